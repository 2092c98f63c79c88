//! One number for a looked-up value, the same in every representation.
//!
//! A row proves that it did the same work as the others by the sums of what it read. The functions here define a sum
//! over *kinds*, not over a data structure, so that a tree of counters and a term in a heap can both be folded with them.
//! The entries of a map are added without regard to their order, because representations order them differently.
//!
//! Two depths of reading exist. A *glance* looks only at the value itself: its kind and its size. A *walk* visits every
//! cell below it.

/// What stands in the sum for a key that is not in the table.
pub(crate) const MISS: u64 = 0x6d69_7373;

const NULL: u64 = 1;
const BOOL: u64 = 2;
const INT: u64 = 3;
const FLOAT: u64 = 4;
const TEXT: u64 = 5;
const LIST: u64 = 6;
const MAP: u64 = 7;

/// Folds `next` into a running sum; the order matters.
#[inline]
pub(crate) const fn mix(sum: u64, next: u64) -> u64 {
    (sum.rotate_left(5) ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
pub(crate) const fn null() -> u64 {
    mix(NULL, 0)
}

#[inline]
pub(crate) const fn boolean(value: bool) -> u64 {
    mix(BOOL, value as u64)
}

#[inline]
pub(crate) const fn int(value: i64) -> u64 {
    mix(INT, value as u64)
}

#[inline]
pub(crate) const fn float(value: f64) -> u64 {
    mix(FLOAT, value.to_bits())
}

/// Text counts as its bytes, eight at a time: the sum must stay cheap beside the reading that is measured.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = mix(TEXT, bytes.len() as u64);
    for word in words {
        sum = mix(sum, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(sum, u64::from_le_bytes(last))
}

/// The sums of a list's elements, in order.
#[inline]
pub(crate) fn list(elements: impl Iterator<Item = u64>) -> u64 {
    elements.fold(mix(LIST, 0), mix)
}

/// The sums of a map's keys and values, in any order.
#[inline]
pub(crate) fn map(entries: impl Iterator<Item = (u64, u64)>) -> u64 {
    let (len, sum) = entries.fold((0, 0_u64), |(len, sum), (key, value)| (len + 1, sum.wrapping_add(mix(key, value))));
    mix(mix(MAP, len), sum)
}

/// What a glance sees of each kind: nothing here follows a pointer out of the value.
pub(crate) mod glance {
    use super::{FLOAT, INT, LIST, MAP, TEXT, mix};
    pub(crate) use super::{boolean, null};

    #[inline]
    pub(crate) const fn int(value: i64) -> u64 {
        mix(INT, value as u64)
    }

    #[inline]
    pub(crate) const fn float(value: f64) -> u64 {
        mix(FLOAT, value.to_bits())
    }

    #[inline]
    pub(crate) const fn text(bytes: usize) -> u64 {
        mix(TEXT, bytes as u64)
    }

    #[inline]
    pub(crate) const fn list(is_empty: bool) -> u64 {
        mix(LIST, is_empty as u64)
    }

    #[inline]
    pub(crate) const fn map(len: usize) -> u64 {
        mix(MAP, len as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_contents_differ() {
        let sums = [
            null(),
            boolean(false),
            boolean(true),
            int(0),
            int(1),
            float(0.0),
            float(1.0),
            text(b""),
            text(b"\0"),
            text(b"12345678"),
            text(b"12345678\0"),
            list([].into_iter()),
            list([null()].into_iter()),
            list([null(), null()].into_iter()),
            map([].into_iter()),
            map([(text(b"a"), null())].into_iter()),
            MISS,
        ];
        for (i, a) in sums.iter().enumerate() {
            for b in &sums[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn order_matters_in_lists_only() {
        let (a, b) = ((text(b"a"), int(1)), (text(b"b"), int(2)));
        assert_ne!(list([a.0, b.0].into_iter()), list([b.0, a.0].into_iter()));
        assert_eq!(map([a, b].into_iter()), map([b, a].into_iter()));
        assert_ne!(map([(a.0, b.1), (b.0, a.1)].into_iter()), map([a, b].into_iter()));
    }
}
