//! Which areas have which bits of the filter.

use super::literal::FILTER_BITS;

/// Bits for areas that replace nothing; those that do may have any bit.
const STEADY_BITS: u64 = 42;

/// Which areas have which bits.
///
/// Processes that hold an area with the bit of a retired one are asked for nothing, so the bits are spread evenly. And
/// what is replaced is what will be replaced again: an area that is made after another was freed most likely is the new
/// value of a key that changes, and finds bits that those which only came have left alone.
pub(super) struct FilterBits {
    /// Living areas of each bit.
    live: [u32; FILTER_BITS as usize],
    last: u64,
    /// Areas that were freed and not made up for.
    freed: u64,
}

impl Default for FilterBits {
    fn default() -> Self {
        Self { live: [0; FILTER_BITS as usize], last: 0, freed: 0 }
    }
}

impl FilterBits {
    /// The bit with the fewest areas. The search begins behind the last one, so that a bit rests before it is used
    /// again: filters keep it until their heap is collected.
    pub(super) fn take(&mut self) -> u64 {
        let bits = if self.freed > 0 { FILTER_BITS } else { STEADY_BITS };
        self.freed = self.freed.saturating_sub(1);
        let next = self.last + 1;
        let (mut bit, mut fewest) = (0, u32::MAX);
        for candidate in (next..bits).chain(0..next.min(bits)) {
            let live = self.live[candidate as usize];
            if live < fewest {
                (bit, fewest) = (candidate, live);
                if live == 0 {
                    break;
                }
            }
        }
        self.live[bit as usize] += 1;
        self.last = bit;
        bit
    }

    pub(super) fn give(&mut self, bit: u64) {
        self.live[bit as usize] -= 1;
        self.freed += 1;
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    #[test]
    fn bits_are_shared_evenly_and_what_changes_keeps_clear_of_what_stays() {
        let mut bits = FilterBits::default();
        let stay: Vec<_> = (0..4 * STEADY_BITS).map(|_| bits.take()).collect();
        assert!((0..STEADY_BITS).all(|bit| stay.iter().filter(|&&b| b == bit).count() == 4));
        let mut old = bits.take();
        for round in 0..100 {
            let new = bits.take();
            bits.give(old);
            assert_ne!(new, old, "a filter that still has the old bit says nothing of the new area");
            assert!(round == 0 || new >= STEADY_BITS);
            old = new;
        }
    }
}
