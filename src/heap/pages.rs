//! Pages of addresses, numbered in the order they came: what the side tables of copying are indexed by.
//!
//! Objects that were allocated together lie together: nearly every look-up is for the page of the one before.

use super::HeapError;
use crate::term::word::Word;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Slots of a table that is kept when it is empty.
const KEPT_SLOTS: usize = 1 << 11;

#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// Open addressing: a page (never zero), and its number.
    table: Vec<(usize, u32)>,
    /// The slots of the pages, by number.
    slots: Vec<u32>,
    last: (usize, u32),
}

impl Pages {
    /// The number of a page, which must not be zero; new ones are numbered from zero on.
    #[inline]
    pub(crate) fn number(&mut self, page: usize) -> Result<usize, HeapError> {
        if page != self.last.0 {
            self.last = (page, self.turn_to(page)?);
        }
        Ok(self.last.1 as usize)
    }

    fn turn_to(&mut self, page: usize) -> Result<u32, HeapError> {
        if (self.slots.len() + 1) * 2 > self.table.len() {
            self.grow()?;
        }
        let slot = find(&self.table, page);
        if self.table[slot].0 == 0 {
            self.table[slot] = (page, self.slots.len() as u32);
            self.slots.push(slot as u32);
        }
        Ok(self.table[slot].1)
    }

    /// Doubles the table, and makes room for as many pages as it is for.
    #[cold]
    fn grow(&mut self) -> Result<(), HeapError> {
        let size = (self.table.len() * 2).max(16);
        let mut table = Vec::new();
        reserve(&mut table, size)?;
        let room = size / 2 - self.slots.len();
        reserve(&mut self.slots, room)?;
        table.resize(size, (0, 0));
        let old = std::mem::replace(&mut self.table, table);
        for slot in &mut self.slots {
            let entry = old[*slot as usize];
            let new = find(&self.table, entry.0);
            self.table[new] = entry;
            *slot = new as u32;
        }
        Ok(())
    }

    /// Forgets everything. O(pages). One large copy does not keep its memory for ever.
    pub(crate) fn clear(&mut self) {
        if self.table.len() > KEPT_SLOTS {
            *self = Self::default();
            return;
        }
        for &slot in &self.slots {
            self.table[slot as usize] = (0, 0);
        }
        self.slots.clear();
        self.last = (0, 0);
    }
}

/// The slot of a page, or the one that it would have.
fn find(table: &[(usize, u32)], page: usize) -> usize {
    let mask = table.len() - 1;
    let mut slot = page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & mask;
    while table[slot].0 != 0 && table[slot].0 != page {
        slot = (slot + 1) & mask;
    }
    slot
}

/// The value in memory of its own, or an error value (invariant 10).
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, HeapError> {
    let mut one = Vec::new();
    if one.try_reserve_exact(1).is_err() {
        return Err(HeapError::OutOfMemory { words: size_of::<T>().div_ceil(size_of::<Word>()) });
    }
    one.push(value);
    let one = Box::into_raw(one.into_boxed_slice()).cast::<T>();
    // SAFETY: a slice of one lies in memory like the one value.
    Ok(unsafe { Box::from_raw(one) })
}

/// A place for one more in a table, or an error value (invariant 10).
#[inline]
pub(crate) fn reserve_place<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) -> Result<(), HeapError> {
    table.try_reserve(1).map_err(|_| {
        let bytes = 2 * table.capacity().max(1) * (size_of::<(K, V)>() + 1);
        HeapError::OutOfMemory { words: bytes.div_ceil(size_of::<Word>()) }
    })
}

/// Room for `n` more, or an error value (invariant 10).
#[inline]
pub(crate) fn reserve<T>(list: &mut Vec<T>, n: usize) -> Result<(), HeapError> {
    let words = n.saturating_mul(size_of::<T>()).div_ceil(size_of::<Word>());
    list.try_reserve(n).map_err(|_| HeapError::OutOfMemory { words })
}
