//! A set of objects, by address: one bit per word of the pages that were touched.
//!
//! Copying must not write its source (invariant 11: user code borrows from it, and other processes read it), so what a
//! copier has seen is kept here. Objects allocated together lie together: nearly every test hits the page of the test
//! before.

use crate::term::word::Word;
use std::mem::MaybeUninit;
use std::ptr;

/// Bytes of a page: 512 words, whose bits are one cache line.
const PAGE_SHIFT: usize = 12;
const LINE: usize = 8;
const WORDS: usize = LINE * 64;
/// Pages that an empty [`Forwards`] keeps: 256 KiB.
const KEPT_PAGES: usize = 64;

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
    #[inline]
    pub(crate) fn word(&mut self, address: usize) -> &mut u64 {
        let page = address >> PAGE_SHIFT;
        if page != self.last_page {
            self.turn_to(page);
        }
        &mut self.lines[self.last_line as usize][group(address) & (LINE - 1)]
    }

    /// The same set, with the line of the last page by value.
    pub(crate) fn marker(&mut self) -> Marker<'_> {
        Marker { bits: self, page: 0, line: ptr::null_mut() }
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

    /// The line of a page that is none of address zero.
    #[cold]
    fn line(&mut self, page: usize) -> *mut [u64; LINE] {
        self.turn_to(page);
        &raw mut self.lines[self.last_line as usize]
    }

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

/// A set, and where the line of the page lies that was asked for last: a loop keeps that in registers.
#[derive(Debug)]
pub(crate) struct Marker<'a> {
    bits: &'a mut Bits,
    page: usize,
    line: *mut [u64; LINE],
}

impl Marker<'_> {
    /// As [`Bits::word`].
    #[inline(always)]
    pub(crate) fn word(&mut self, address: usize) -> &mut u64 {
        let page = address >> PAGE_SHIFT;
        if page != self.page {
            (self.page, self.line) = (page, self.bits.line(page));
        }
        // SAFETY: the line of a page, which stays where it is until another is asked for: the set is borrowed.
        unsafe { &mut (*self.line)[group(address) & (LINE - 1)] }
    }
}

/// A map from objects to words: for each page that was touched, a word for each of its words, that counts where its
/// bit is set. Nothing is hashed but the number of a page, where an object lies on another page than the one before.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    bits: Bits,
    /// One for each line of the bits.
    pages: Vec<Box<ForwardsPage>>,
}

type ForwardsPage = [MaybeUninit<Word>; WORDS];

impl Forwards {
    /// The place for the object at `address`.
    #[inline(always)]
    pub(crate) fn place(&mut self, address: usize) -> Place<'_> {
        let page = address >> PAGE_SHIFT;
        if page != self.bits.last_page {
            self.turn_to(page);
        }
        let line = self.bits.last_line as usize;
        Place {
            bits: &mut self.bits.lines[line][group(address) & (LINE - 1)],
            bit: bit(address),
            word: &mut self.pages[line][address >> 3 & (WORDS - 1)],
        }
    }

    #[cold]
    fn turn_to(&mut self, page: usize) {
        self.bits.turn_to(page);
        while self.pages.len() < self.bits.lines.len() {
            self.pages.push(Box::new([MaybeUninit::uninit(); WORDS]));
        }
    }

    /// Forgets everything. O(pages touched).
    pub(crate) fn clear(&mut self) {
        self.bits.clear();
        // One large evacuation must not keep its memory for ever.
        self.pages.truncate(KEPT_PAGES);
    }
}

/// Where a [`Forwards`] has the word for one object, or will have it.
pub(crate) struct Place<'a> {
    bits: &'a mut u64,
    bit: u64,
    word: &'a mut MaybeUninit<Word>,
}

impl Place<'_> {
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<Word> {
        // SAFETY: whoever sets the bit writes the word.
        (*self.bits & self.bit != 0).then(|| unsafe { self.word.assume_init() })
    }

    #[inline(always)]
    pub(crate) fn set(self, w: Word) {
        self.word.write(w);
        *self.bits |= self.bit;
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Forwards};
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

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

        #[test]
        fn forwards_are_a_map(pairs in prop::collection::vec((1_usize << 12..1 << 20, any::<u64>()), 0..400)) {
            let (mut forwards, mut map) = (Forwards::default(), HashMap::new());
            for _ in 0..2 {
                for (a, w) in &pairs {
                    let a = a & !7;
                    prop_assert_eq!(forwards.place(a).get(), map.get(&a).copied());
                    forwards.place(a).set(*w);
                    map.insert(a, *w);
                    prop_assert_eq!(forwards.place(a).get(), Some(*w));
                    prop_assert_eq!(forwards.place(a ^ 8).get(), map.get(&(a ^ 8)).copied());
                }
                forwards.clear();
                map.clear();
            }
        }
    }
}
