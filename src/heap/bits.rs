//! A set of objects, by address: one bit per word of the pages that were touched.
//!
//! Copying must not write its source (invariant 11: user code borrows from it, and other processes read it), so what a
//! copier has seen is kept here. Objects allocated together lie together: nearly every test hits the page of the test
//! before.

/// Bytes of a page: 512 words, whose bits are one cache line.
const PAGE_SHIFT: usize = 12;
const LINE: usize = 8;

/// Addresses of one group have their bits in one word.
#[inline(always)]
pub(crate) fn group(address: usize) -> usize {
    address >> 9
}

/// The bit for `address` in the word of its group.
#[inline(always)]
pub(crate) fn bit(address: usize) -> u64 {
    1 << (address >> 3 & 63)
}

#[derive(Debug, Default)]
pub(crate) struct Bits {
    /// Open addressing: page number (never zero), and the index of its line.
    table: Vec<(usize, u32)>,
    /// Pages in the table, in the order they came.
    lines: Vec<[u64; LINE]>,
    pages: Vec<u32>,
    last_page: usize,
    last_line: u32,
}

impl Bits {
    /// Inserts the object at `address`; was it there?
    #[inline(always)]
    pub(crate) fn insert(&mut self, address: usize) -> bool {
        let word = self.word(address);
        let before = *word & bit(address) != 0;
        *word |= bit(address);
        before
    }

    /// Is the object at `address` in the set?
    pub(crate) fn contains(&mut self, address: usize) -> bool {
        *self.word(address) & bit(address) != 0
    }

    /// The word with the bit for `address`, and with those of all addresses of the same [`group`].
    #[inline(always)]
    pub(crate) fn word(&mut self, address: usize) -> &mut u64 {
        let page = address >> PAGE_SHIFT;
        if page != self.last_page {
            self.turn_to(page);
        }
        &mut self.lines[self.last_line as usize][group(address) & (LINE - 1)]
    }

    /// Forgets everything. O(pages touched).
    pub(crate) fn clear(&mut self) {
        for &slot in &self.pages {
            self.table[slot as usize] = (0, 0);
        }
        self.pages.clear();
        self.lines.clear();
        self.last_page = 0;
        // One large copy must not keep its memory for ever.
        if self.table.len() > 1 << 16 {
            *self = Self::default();
        }
    }

    #[cold]
    fn turn_to(&mut self, page: usize) {
        if (self.lines.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let slot = self.find(page);
        if self.table[slot].0 == 0 {
            self.table[slot] = (page, self.lines.len() as u32);
            self.pages.push(slot as u32);
            self.lines.push([0; LINE]);
        }
        (self.last_page, self.last_line) = (page, self.table[slot].1);
    }

    fn find(&self, page: usize) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & mask;
        while self.table[slot].0 != 0 && self.table[slot].0 != page {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let entries: Vec<_> = self.pages.iter().map(|&slot| self.table[slot as usize]).collect();
        self.table = vec![(0, 0); (self.table.len() * 2).max(16)];
        self.pages.clear();
        for (page, line) in entries {
            let slot = self.find(page);
            self.table[slot] = (page, line);
            self.pages.push(slot as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn it_is_a_set(addresses in prop::collection::vec(1usize << 12..1 << 20, 0..400)) {
            let (mut bits, mut set) = (Bits::default(), HashSet::new());
            for round in 0..2 {
                for a in &addresses {
                    let a = a & !7;
                    prop_assert_eq!(bits.insert(a), !set.insert(a), "round {}", round);
                    prop_assert!(bits.contains(a));
                    prop_assert_eq!(bits.contains(a ^ 8), set.contains(&(a ^ 8)));
                }
                bits.clear();
                set.clear();
            }
        }
    }
}
