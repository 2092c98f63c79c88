//! A map from objects to the words of their copies, for sources that must not be written: for each page that was touched,
//! a word for every two of its words. Nothing is hashed but the number of a page, where an object lies on another page
//! than the one before. Half the size of the pages that were touched, at most.

use super::HeapError;
use super::pages::{Pages, reserve};
use crate::term::word::Word;

/// Bytes of a page.
const PAGE: usize = 1 << 12;
/// Every object has two words at least, so no two objects begin in the same pair.
const PAIR: usize = 16;
/// Pages whose room an empty map keeps: 128 KiB.
const KEPT_PAGES: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Forwards {
    pages: Pages,
    /// Zero, which no term is: none.
    lines: Vec<[Word; PAGE / PAIR]>,
}

impl Forwards {
    /// The place for the word of the object at `address`: zero until it is written.
    #[inline(always)]
    pub(crate) fn place(&mut self, address: usize) -> Result<&mut Word, HeapError> {
        let line = self.pages.number(address / PAGE)?;
        if line == self.lines.len() {
            self.add()?;
        }
        Ok(&mut self.lines[line][address % PAGE / PAIR])
    }

    #[cold]
    fn add(&mut self) -> Result<(), HeapError> {
        reserve(&mut self.lines, 1)?;
        self.lines.push([0; PAGE / PAIR]);
        Ok(())
    }

    /// Forgets everything. O(pages touched).
    pub(crate) fn clear(&mut self) {
        self.pages.clear();
        self.lines.clear();
        self.lines.shrink_to(KEPT_PAGES);
    }
}

#[cfg(test)]
mod tests {
    use super::Forwards;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn they_are_a_map(pairs in prop::collection::vec((1_usize << 12..1 << 20, any::<u64>()), 0..400)) {
            let (mut forwards, mut map) = (Forwards::default(), HashMap::new());
            for _ in 0..2 {
                for (a, w) in &pairs {
                    let a = a & !15;
                    prop_assert_eq!(*forwards.place(a).unwrap(), map.get(&a).copied().unwrap_or(0));
                    *forwards.place(a).unwrap() = *w;
                    map.insert(a, *w);
                    prop_assert_eq!(*forwards.place(a ^ 16).unwrap(), map.get(&(a ^ 16)).copied().unwrap_or(0));
                }
                forwards.clear();
                map.clear();
            }
        }
    }
}
