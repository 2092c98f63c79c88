//! Copying out of retired areas, during a major collection.
//!
//! Areas are never written: others read them, and may evacuate the same one at the same time. So where a copy is, is found
//! again through a side table, kept by each thread from evacuation to evacuation.
//!
//! Many processes that hold the same literal are made to copy the same words, one after the other. So a thread also remembers
//! how many those were, and makes room for all of them at once: a chunk of its own for each holder is one that has to be
//! found now, and found again when it is freed, where several that grow are as many lines that come from memory.

use super::HeapError;
use super::collect::in_retired;
use super::copy::copy_words;
use super::forwards::Forwards;
use super::literal::{self, Area, Extent};
use super::off_heap;
use super::pages::try_box;
use super::raw::{Bump, RawHeap};
use crate::term::word::{self, Word};
use std::cell::Cell;

thread_local! {
    /// A table to work with. (Plain `std`: taken and put back, never shared.)
    static TABLE: Cell<Option<Box<Forwards>>> = const { Cell::new(None) };
    /// The literal that the last evacuation began with, and the words that it copied.
    static LAST: Cell<(Word, usize)> = const { Cell::new((0, 0)) };
}

/// Words for which no room is made before they are copied: a heap that has as many grows by large steps.
const MANY: usize = 1 << 14;

/// What a collection copies out of retired areas.
pub(super) struct Evacuation {
    /// The bits of those to be evacuated.
    retired: u64,
    /// Where the copies are; made for the first.
    table: Option<Box<Forwards>>,
    /// Around what was copied last: all that lies there is of the same area. What is reached in an area mostly is reached
    /// from there, so that neither its block nor the area itself is asked again.
    around: Extent,
    /// The literal that was copied first, or zero.
    first: Word,
    /// Words copied.
    pub(super) words: usize,
}

impl Evacuation {
    /// None.
    pub(super) fn none() -> Self {
        Self { retired: 0, table: None, around: Extent::NOTHING, first: 0, words: 0 }
    }

    pub(super) fn of(retired: u64) -> Self {
        // A destructor of another thread local may collect when this one is gone already.
        let table = if retired == 0 { None } else { TABLE.try_with(Cell::take).ok().flatten() };
        Self { retired, table, ..Self::none() }
    }

    /// Is `w` a list in the area that was copied from last?
    #[inline(always)]
    pub(super) fn is_list_around(&self, w: Word) -> bool {
        word::is_list(w) && self.around.contains(w)
    }

    /// Where a literal is for the heap `to`: as it is, noted, or its copy.
    ///
    /// # Safety
    ///
    /// `w` must be a literal of a living area, and `bump` what `to` has lent.
    #[inline(never)]
    pub(super) unsafe fn literal(
        &mut self,
        to_space: &mut RawHeap,
        w: Word,
        mut bump: Bump,
    ) -> Result<(Word, Bump), HeapError> {
        // SAFETY: the caller's promise: the object lives, and so does its area.
        unsafe {
            if !self.around.contains(w) {
                if !in_retired(w, self.retired) {
                    to_space.note(w);
                    return Ok((w, bump));
                }
                let area: &Area = literal::entry(w).area().as_ref();
                area.note_read();
                self.around = literal::extent(w);
                if self.first == 0 {
                    self.first = w;
                    bump = make_room(to_space, bump, expected(w, area));
                }
            }
            let from = word::address(w);
            let place = table(&mut self.table)?.place(from.addr())?;
            if *place != 0 {
                return Ok((*place, bump));
            }
            let (size, tag) =
                if word::is_list(w) { (2, word::LIST) } else { (1 + word::header_size(*from), word::BOXED) };
            let to = bump.alloc(to_space, size)?;
            if tag == word::BOXED && word::header_is_off_heap(*from) {
                off_heap::duplicate(from, to, &mut to_space.off_heap);
            } else {
                copy_words(from, to, size);
            }
            self.words += size;
            let copy = word::pointer(to, tag);
            *place = copy;
            Ok((copy, bump))
        }
    }

    /// Copies a list of cells one behind the other, to its end or to a cell whose head leads elsewhere. Returns from where
    /// on there is something to be scanned.
    ///
    /// # Safety
    ///
    /// `p` must be a word of the heap `to`, and its contents a [list around](Self::is_list_around); `bump` what `to` has
    /// lent.
    #[inline(never)]
    pub(super) unsafe fn spine(
        &mut self,
        to_space: &mut RawHeap,
        mut bump: Bump,
        mut p: *mut Word,
    ) -> Result<(*mut Word, Bump), HeapError> {
        let table = table(&mut self.table)?;
        // SAFETY: the caller's promise.
        let mut w = unsafe { *p };
        loop {
            let from = word::address(w);
            // SAFETY: a cell of a living area by the caller's promise or the test below; two words of the to-space; and
            // the word that is to lead there.
            unsafe {
                let place = table.place(from.addr())?;
                if *place != 0 {
                    p.write(*place);
                    return Ok((bump.top, bump));
                }
                let to = bump.alloc(to_space, 2)?;
                let copy = word::pointer(to, word::LIST);
                *place = copy;
                self.words += 2;
                p.write(copy);
                let (head, tail) = (*from, *from.add(1));
                to.write(head);
                p = to.add(1);
                p.write(tail);
                if word::is_pointer(head) {
                    return Ok((to, bump));
                }
                if !(word::is_list(tail) && self.around.contains(tail)) {
                    return Ok((p, bump));
                }
                w = tail;
            }
        }
    }
}

/// How many words an evacuation will copy that begins with this literal, as far as that can be told; zero for nobody knows. No
/// more than the literal's area has: by now that may be another one at the same address.
fn expected(w: Word, area: &Area) -> usize {
    match LAST.try_with(Cell::get) {
        Ok((last, words)) if last == w => words.min(area.words),
        _ => 0,
    }
}

/// Room for so many words in one chunk. Without memory for that it is left to the heap to grow.
fn make_room(to_space: &mut RawHeap, bump: Bump, words: usize) -> Bump {
    if words == 0 || words > MANY || bump.has_room(words) {
        return bump;
    }
    to_space.restore(bump);
    to_space.make_room(words);
    to_space.lend()
}

/// The table, made if there is none.
#[inline]
fn table(table: &mut Option<Box<Forwards>>) -> Result<&mut Forwards, HeapError> {
    Ok(match table {
        Some(table) => table,
        none => none.insert(try_box(Forwards::default())?),
    })
}

impl Drop for Evacuation {
    fn drop(&mut self) {
        if self.words > 0 {
            let _ = LAST.try_with(|last| last.set((self.first, self.words)));
        }
        if let Some(mut table) = self.table.take() {
            table.clear();
            let _ = TABLE.try_with(|kept| kept.set(Some(table)));
        }
    }
}
