//! A map from the address of an object to the word of its copy.
//!
//! The keys are addresses that the allocator chose, one per object: the hash of the standard library, which withstands
//! keys that an adversary chose, costs more than the copying it serves.

use crate::term::word::Word;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type AddressMap = HashMap<usize, Word, BuildHasherDefault<AddressHasher>>;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    #[inline(always)]
    fn write_usize(&mut self, address: usize) {
        // The table takes its place from the low bits and its tag from the high ones: both halves of the product are in
        // each of them. (Objects lie 8 bytes apart: the low bits of an address say nothing.)
        let product = u128::from(self.0 ^ address as u64) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    #[test]
    fn neighbours_spread_over_the_low_and_the_high_bits() {
        let hasher = BuildHasherDefault::<AddressHasher>::default();
        for stride in [8, 16, 24, 64, 4096] {
            let hashes: Vec<_> = (0..1024_usize).map(|i| hasher.hash_one(0x7f00_0000_0000 + i * stride)).collect();
            let places = hashes.iter().map(|hash| hash & 1023).collect::<HashSet<_>>().len();
            let tags = hashes.iter().map(|hash| hash >> 57).collect::<HashSet<_>>().len();
            // Chance alone fills about 647 of 1024.
            assert!(places > 500, "{places} places at a stride of {stride}");
            assert!(tags > 100, "{tags} tags at a stride of {stride}");
        }
    }
}
