//! A set of objects, by address: one byte for every two words of the pages that were touched.
//!
//! Copying must not write its source (invariant 11: user code borrows from it, and other processes read it), so what a
//! copier has seen is kept here. A byte and not a bit: neighbours are marked one after the other, and with bits each would
//! wait for the store before it. The byte is the number of the round, so that nothing is cleared between two copies.

use super::HeapError;
use super::pages::{Pages, reserve};

/// Bytes of a page, which is aligned to them.
pub(crate) const PAGE: usize = 1 << 16;
/// Every object has two words at least, so no two objects begin in the same pair.
const PAIR_SHIFT: usize = 4;
/// Pages whose room an empty set keeps: one large copy must not keep its memory for ever.
const KEPT_PAGES: usize = 64;

type Line = [u8; PAGE >> PAIR_SHIFT];

/// The mark, in the line of its page, of the object that lies so many bytes from the beginning of the page.
#[inline(always)]
pub(crate) const fn index(offset: usize) -> usize {
    offset >> PAIR_SHIFT
}

#[derive(Debug, Default)]
pub(crate) struct Marks {
    pages: Pages,
    /// Those of the pages, in their order, and behind them some that wait for pages.
    lines: Vec<Line>,
    /// What a mark of this round is; what is in the lines from earlier rounds is less, and never zero but at the start.
    round: u8,
}

impl Marks {
    /// What the byte of an object is that is in the set.
    pub(crate) fn round(&self) -> u8 {
        self.round
    }

    /// Inserts the object at `address`; was it there?
    #[inline]
    pub(crate) fn insert(&mut self, address: usize) -> Result<bool, HeapError> {
        let line = self.number(address)?;
        Ok(std::mem::replace(&mut self.lines[line][index(address % PAGE)], self.round) == self.round)
    }

    /// The marks of the page that has `address`. They stay where they are until those of another are asked for.
    #[cold]
    #[inline(never)]
    pub(crate) fn line(&mut self, address: usize) -> Result<*mut u8, HeapError> {
        let line = self.number(address)?;
        Ok(self.lines[line].as_mut_ptr())
    }

    #[inline]
    fn number(&mut self, address: usize) -> Result<usize, HeapError> {
        let line = self.pages.number(address / PAGE)?;
        if line >= self.lines.len() {
            self.add()?;
        }
        Ok(line)
    }

    #[cold]
    fn add(&mut self) -> Result<(), HeapError> {
        reserve(&mut self.lines, 1)?;
        self.lines.push([0; PAGE >> PAIR_SHIFT]);
        Ok(())
    }

    /// Begins a round, with an empty set. O(pages of the one before).
    pub(crate) fn begin(&mut self) {
        self.pages.clear();
        if self.lines.len() > KEPT_PAGES {
            self.lines.truncate(KEPT_PAGES);
            self.lines.shrink_to_fit();
        }
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.lines.as_flattened_mut().fill(0);
            1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_PAGES, Marks, PAGE};
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn they_are_a_set(addresses in prop::collection::vec(1_usize << 16..1 << 22, 0..400)) {
            let (mut marks, mut set) = (Marks::default(), HashSet::new());
            for round in 0..3 {
                marks.begin();
                set.clear();
                for a in &addresses {
                    // Neighbours of two words, at even and at odd words.
                    for a in [a & !31, (a & !31) + 16, (a & !31) + 40] {
                        prop_assert_eq!(marks.insert(a).unwrap(), !set.insert(a / 16), "round {}", round);
                    }
                }
            }
        }
    }

    #[test]
    fn no_round_sees_the_marks_of_another() {
        let mut marks = Marks::default();
        for round in 0..1000 {
            marks.begin();
            // Some rounds have more pages than the next ones.
            for page in 1..=round % 7 {
                let address = page * PAGE + 16 * (round % 2);
                assert!(!marks.insert(address).unwrap(), "round {round}, page {page}");
                assert!(marks.insert(address).unwrap());
            }
        }
    }

    #[test]
    fn a_large_round_keeps_no_memory() {
        let mut marks = Marks::default();
        marks.begin();
        for page in 1..=10 * KEPT_PAGES {
            marks.insert(page * PAGE).unwrap();
        }
        marks.begin();
        assert!(marks.lines.capacity() <= KEPT_PAGES);
        assert!(!marks.insert(PAGE).unwrap());
    }
}
