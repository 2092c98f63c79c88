//! Copying collection between turns, and evacuation from retired literal areas.
//!
//! Nothing borrows from a heap between turns, so here forwarding pointers may be written into the from-space: over the
//! header of a boxed object, and into the tail of a list cell whose head becomes zero. Areas are never written: what is
//! evacuated from them is found again through a side table.

use super::HeapError;
use super::bits::Forwards;
use super::copy::copy_words;
use super::literal::{self, Area};
use super::off_heap;
use super::raw::{Bump, RawHeap};
use crate::term::word::{self, Word};
use std::cell::Cell;

/// What a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CollectStats {
    /// Words in use before it.
    pub before_words: usize,
    /// Words that were live, and moved.
    pub live_words: usize,
    /// Words copied out of retired literal areas; part of `live_words`.
    pub evacuated_words: usize,
}

/// Is `w` a literal of an area that is retired, given the bits of those that are?
///
/// # Safety
///
/// The areas that `w` may point into must live.
#[inline]
pub(crate) unsafe fn in_retired(w: Word, retired: u64) -> bool {
    if !word::is_literal(w) {
        return false;
    }
    let entry = literal::entry(w);
    // SAFETY: the caller's promise.
    entry.bit() & retired != 0 && unsafe { entry.area().as_ref() }.is_retired()
}

/// Does any word of the heap, garbage included, point into a retired area? Read only: bits of a filter can be those of
/// other areas, and no heap is collected for a coincidence (H17).
pub(crate) fn points_into(heap: &RawHeap, root: Word, retired: u64) -> bool {
    if heap.filter & retired == 0 {
        return false;
    }
    let mut cursor = heap.start();
    // SAFETY: the objects of a heap between turns are complete, and the areas they point into live (invariant 4).
    unsafe {
        in_retired(root, retired)
            || std::iter::from_fn(|| heap.next_object(&mut cursor))
                .any(|(p, n)| (0..n).any(|i| in_retired(*p.add(i), retired)))
    }
}

/// Moves what `root` reaches into new chunks and frees the old ones. `retired` has the bits of areas to evacuate: what is
/// reached in a retired area among them is copied like data. The filter is exact afterwards.
///
/// On an error the heap is empty, and the root nil: part of it had been moved.
///
/// # Safety
///
/// No term of the heap but the root may be used afterwards; the areas that the heap points into must live.
pub(crate) unsafe fn collect(heap: &mut RawHeap, root: &mut Word, retired: u64) -> Result<CollectStats, HeapError> {
    let before_words = heap.used();
    let mut to = RawHeap::new(usize::MAX);
    // A destructor of another thread local may collect when this one is gone already.
    let scratch = EVACUATED.try_with(Cell::take).ok().flatten();
    let mut collector = Collector { to: &mut to, retired, evacuated: scratch, evacuated_words: 0 };
    // SAFETY: the caller's promise. Off-heap payloads move bit for bit with their objects; until the sweep the list of
    // the from-space is the truth about who owns them (invariant 8), so an error drops each of them once.
    unsafe {
        let new_root = collector.run(*root);
        if let Some(mut evacuated) = collector.evacuated.take() {
            evacuated.clear();
            let _ = EVACUATED.try_with(|kept| kept.set(Some(evacuated)));
        }
        let new_root = match new_root {
            Ok(w) => w,
            Err(error) => {
                // While `to` lives: the headers of what was moved are there.
                *root = word::NIL;
                heap.clear();
                return Err(error);
            }
        };
        let stats =
            CollectStats { before_words, live_words: collector.to.used(), evacuated_words: collector.evacuated_words };
        off_heap::sweep(&mut heap.off_heap, &mut to.off_heap);
        to.limit = heap.limit;
        to.set_end();
        *root = new_root;
        // Last, because it runs destructors of users, and these may panic.
        drop(std::mem::replace(heap, to));
        Ok(stats)
    }
}

thread_local! {
    /// A table to work with, kept from evacuation to evacuation. (Plain `std`: taken and put back, never shared.)
    static EVACUATED: Cell<Option<Box<Forwards>>> = const { Cell::new(None) };
}

struct Collector<'a> {
    to: &'a mut RawHeap,
    retired: u64,
    /// Objects copied out of areas, by address; made when the first is.
    evacuated: Option<Box<Forwards>>,
    evacuated_words: usize,
}

impl Collector<'_> {
    /// On an error the to-space's own top is old.
    ///
    /// # Safety
    ///
    /// As for [`collect`].
    #[inline(never)]
    unsafe fn run(&mut self, mut root: Word) -> Result<Word, HeapError> {
        let (mut scan, mut bump) = (self.to.scan(), self.to.lend());
        // SAFETY: objects of the to-space are complete when they are allocated; each of their words is relocated once.
        unsafe {
            if word::is_literal(root) {
                (root, bump) = self.literal(root, bump)?;
            } else if word::is_list(root) {
                root = self.cell(root, &mut bump)?;
            } else if word::is_boxed(root) {
                root = self.boxed(root, &mut bump)?;
            }
            while let Some(p) = scan.next(self.to, &bump) {
                let w = *p;
                if word::is_literal(w) {
                    (*p, bump) = self.literal(w, bump)?;
                } else if !word::is_list(w) {
                    *p = self.boxed(w, &mut bump)?;
                } else if p.add(1) == bump.top {
                    let at;
                    (at, bump) = spine(self.to, bump, p)?;
                    scan.resume(at, &bump);
                } else {
                    *p = self.cell(w, &mut bump)?;
                }
            }
            self.to.restore(bump);
            Ok(root)
        }
    }

    /// Where a cell is now.
    ///
    /// # Safety
    ///
    /// `w` must be a pointer to a cell of the from-space, moved or not.
    #[inline(always)]
    unsafe fn cell(&mut self, w: Word, bump: &mut Bump) -> Result<Word, HeapError> {
        let from = word::address(w);
        // SAFETY: a cell of the from-space, or what was left when it moved.
        unsafe {
            let (head, tail) = (*from, *from.add(1));
            if head == 0 {
                return Ok(tail);
            }
            let to = bump.alloc(self.to, 2)?;
            to.write(head);
            to.add(1).write(tail);
            let copy = word::pointer(to, word::LIST);
            *from = 0;
            *from.add(1) = copy;
            Ok(copy)
        }
    }

    /// Where an object with a header is now.
    ///
    /// # Safety
    ///
    /// `w` must be a pointer to such an object of the from-space, moved or not.
    #[inline(always)]
    unsafe fn boxed(&mut self, w: Word, bump: &mut Bump) -> Result<Word, HeapError> {
        let from = word::address(w);
        // SAFETY: an object of the from-space, or what was left when it moved.
        unsafe {
            let header = *from;
            if !word::is_header(header) {
                return Ok(header);
            }
            let size = 1 + word::header_size(header);
            let to = bump.alloc(self.to, size)?;
            copy_words(from, to, size);
            let copy = word::pointer(to, word::BOXED);
            *from = copy;
            Ok(copy)
        }
    }

    /// # Safety
    ///
    /// `w` must be a literal of a living area.
    #[inline(never)]
    unsafe fn literal(&mut self, w: Word, mut bump: Bump) -> Result<(Word, Bump), HeapError> {
        // SAFETY: the caller's promise: the object lives, and so does its area.
        unsafe {
            if !in_retired(w, self.retired) {
                self.to.note(w);
                return Ok((w, bump));
            }
            let area: &Area = literal::entry(w).area().as_ref();
            area.note_read();
            let from = word::address(w);
            let place = self.evacuated.get_or_insert_default().place(from.addr());
            if let Some(copy) = place.get() {
                return Ok((copy, bump));
            }
            let (size, tag) =
                if word::is_list(w) { (2, word::LIST) } else { (1 + word::header_size(*from), word::BOXED) };
            let to = bump.alloc(self.to, size)?;
            if tag == word::BOXED && word::header_is_off_heap(*from) {
                off_heap::duplicate(from, to, &mut self.to.off_heap);
            } else {
                copy_words(from, to, size);
            }
            self.evacuated_words += size;
            let copy = word::pointer(to, tag);
            place.set(copy);
            Ok((copy, bump))
        }
    }
}

/// Moves cells one behind the other for as long as nothing else is to be scanned between them, which for a list of
/// immediates is to its end: without going back to each for its tail. Returns where the scan goes on.
///
/// # Safety
///
/// `p` must be the last word of the to-space, all others being scanned, and its contents a pointer to a cell of the
/// from-space, moved or not.
#[inline(never)]
unsafe fn spine(heap: &mut RawHeap, mut bump: Bump, mut p: *mut Word) -> Result<(*mut Word, Bump), HeapError> {
    // SAFETY: the caller's promise.
    let mut w = unsafe { *p };
    loop {
        let from = word::address(w);
        // SAFETY: a cell of the from-space by the caller's promise or the test below; two words of the to-space; and
        // the word that is to lead there.
        unsafe {
            let (head, tail) = (*from, *from.add(1));
            if head == 0 {
                p.write(tail);
                return Ok((p.add(1), bump));
            }
            let to = bump.alloc(heap, 2)?;
            let copy = word::pointer(to, word::LIST);
            *from = 0;
            *from.add(1) = copy;
            p.write(copy);
            to.write(head);
            p = to.add(1);
            p.write(tail);
            if word::is_pointer(head) || !word::is_list(tail) || word::is_literal(tail) {
                return Ok((to, bump));
            }
            w = tail;
        }
    }
}
