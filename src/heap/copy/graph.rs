//! Copying what is shared: a table says where each object went. Breadth first: an object is copied as it is, and the words
//! of the copy that still point to the source are relocated when the scan reaches them.

use super::Copier;
use crate::heap::HeapError;
use crate::heap::copy::copy_words;
use crate::heap::forwards::Forwards;
use crate::heap::raw::Bump;
use crate::term::word::{self, Word};

impl Copier<'_> {
    /// On an error the heap's own top is old: the caller rolls back.
    ///
    /// # Safety
    ///
    /// As for [`copy`](super::copy).
    pub(super) unsafe fn graph(&mut self, tag: Word, root: Word, table: &mut Forwards) -> Result<Word, HeapError> {
        let (mut scan, mut bump) = (self.dest.scan(), self.dest.lend());
        // SAFETY: the caller's promise; objects of the copy are complete when they are allocated, and their words are
        // relocated one by one, each once.
        unsafe {
            let root = self.place(tag, root, &mut bump, table)?;
            while let Some(p) = scan.next(self.dest, &bump) {
                *p = self.place(tag, *p, &mut bump, table)?;
            }
            self.dest.restore(bump);
            Ok(root)
        }
    }

    /// Where the object of the pointer `w` is in the copy.
    ///
    /// # Safety
    ///
    /// `w` must be a pointer to an object of the source.
    #[inline(always)]
    unsafe fn place(&mut self, tag: Word, w: Word, bump: &mut Bump, table: &mut Forwards) -> Result<Word, HeapError> {
        if word::is_literal(w) && self.keep(w) {
            return Ok(w);
        }
        let from = word::address(w);
        let place = table.place(from.addr())?;
        if *place == 0 {
            // SAFETY: the caller's promise; the words of a cell are all written here.
            *place = unsafe {
                if word::is_list(w) {
                    let to = bump.alloc(self.dest, 2)?;
                    copy_words(from, to, 2);
                    word::pointer(to, word::LIST | tag)
                } else {
                    word::pointer(self.object(from, bump)?, word::BOXED | tag)
                }
            };
        }
        Ok(*place)
    }
}
