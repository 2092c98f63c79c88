//! Building a value straight in literal memory.
//!
//! The builder allocates from blocks of literal memory. What it has built becomes an area in place: one linear pass sets
//! the frozen bit of each pointer and finds the areas that are leaned on. That needs blocks, because only from a block a
//! pointer finds its area; a chunk of an ordinary region is not aligned, and a value that has taken some over
//! ([`Heap::adopt`]) is copied instead. So is a small one, which shares a block with others of its size, and one that
//! has a literal of a retired area (R4).

use super::chunk::Chunk;
use super::copy::Literals;
use super::literal::{self, Area, Space};
use super::pages::reserve;
use super::raw::{Parts, RawHeap};
use super::{Heap, HeapError};
use crate::term::word::{self, Word};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// A value that is being built.
pub(crate) struct LiteralBuilder<'s> {
    space: &'s Space,
    area: Option<Box<Area>>,
    heap: ManuallyDrop<RawHeap>,
}

/// What a value turned out to be.
pub(crate) enum Built {
    /// To be copied into an area of its size.
    Copy(Word),
    /// An area, with its root.
    Area(Box<Area>, Word),
    /// An area to be freed, for want of memory.
    Failed(Box<Area>, HeapError),
}

impl<'s> LiteralBuilder<'s> {
    /// A builder, or an error when there is no memory.
    pub(crate) fn new(space: &'s Space) -> Result<Self, HeapError> {
        let words = literal::LARGEST_SHARED_WORDS + 1;
        let Some((area, chunk)) = space.reserve(words) else { return Err(HeapError::OutOfMemory { words }) };
        // SAFETY: the chunk is empty and ours.
        let heap = ManuallyDrop::new(unsafe { RawHeap::in_chunk(chunk, literal::entry_of_chunk(chunk)) });
        Ok(Self { space, area: Some(area), heap })
    }

    /// The heap to build in.
    pub(crate) fn heap<'r>(&mut self) -> Heap<'r> {
        // SAFETY: the brand is made up by the caller's `for<'r>` closure, and the builder outlives the closure.
        unsafe { Heap::from_raw(&raw mut *self.heap) }
    }

    /// Ends the building; `root` is of the built heap. `retain` takes a reference on an area that is leaned on.
    ///
    /// # Safety
    ///
    /// The literals among the words of the heap must be of the space's domain, and alive.
    pub(crate) unsafe fn freeze(&mut self, root: Word, literals: Literals, retain: impl Fn(&Area)) -> Built {
        let small = self.heap.used() <= literal::LARGEST_SHARED_WORDS;
        if small || !word::is_pointer(root) || word::is_literal(root) {
            return Built::Copy(root);
        }
        // SAFETY: taken once: it is put back, or the area is taken too, without which the drop leaves the heap alone.
        let parts = unsafe { ManuallyDrop::take(&mut self.heap) }.into_parts();
        // SAFETY: the caller's promise; the chunks of the parts, complete, and ours.
        unsafe {
            let leaned_on = if chunks(&parts).all(|chunk| Chunk::is_block(chunk)) {
                find_leaned_on(&parts, literals)
            } else {
                None
            };
            let Some(leaned_on) = leaned_on else {
                self.heap = ManuallyDrop::new(RawHeap::from_parts(parts));
                return Built::Copy(root);
            };
            for area in &leaned_on {
                retain(area.as_ref());
            }
            set_frozen_bits(&parts);
            let area = self.area.take().expect("a value is frozen once");
            match self.space.commit(area, parts.first, parts.off_heap, leaned_on) {
                (area, Ok(())) => Built::Area(area, root | word::FROZEN),
                (area, Err(error)) => Built::Failed(area, error),
            }
        }
    }
}

fn chunks(parts: &Parts) -> impl Iterator<Item = *mut Chunk> {
    let chunk = |p: *mut Chunk| (!p.is_null()).then_some(p);
    // SAFETY: the chunks of the parts.
    std::iter::successors(chunk(parts.first), move |&p| chunk(unsafe { (*p).next }))
}

/// Calls `f` with each pointer of the parts, and where it is.
///
/// # Safety
///
/// The parts must be of one heap whose objects are complete.
#[inline(always)]
unsafe fn each_pointer(parts: &Parts, mut f: impl FnMut(*mut Word, Word)) {
    for chunk in chunks(parts) {
        // SAFETY: the words of a chunk, object by object.
        unsafe {
            let (mut p, top) = (Chunk::start(chunk), (*chunk).top);
            while p < top {
                let w = *p;
                if word::is_pointer(w) {
                    f(p, w);
                } else if word::is_header(w) && word::header_is_opaque(w) {
                    p = p.add(word::header_size(w));
                }
                p = p.add(1);
            }
        }
    }
}

/// The areas that the parts point into, each once. `None`: one of them must be copied from.
///
/// # Safety
///
/// As for [`each_pointer`]; the literals must be alive.
unsafe fn find_leaned_on(parts: &Parts, literals: Literals) -> Option<Vec<NonNull<Area>>> {
    let (mut areas, mut last, mut kept) = (Vec::new(), None, true);
    if parts.filter != 0 {
        // SAFETY: the caller's promise.
        unsafe {
            each_pointer(parts, |_, w| {
                if !word::is_literal(w) {
                    return;
                }
                kept &= literals.keeps(w);
                let area = literal::entry(w).area();
                if last != Some(area) && !areas.contains(&area) {
                    // Without room, the copy says so.
                    kept &= reserve(&mut areas, 1).is_ok();
                    if kept {
                        areas.push(area);
                    }
                }
                last = Some(area);
            });
        }
    }
    kept.then_some(areas)
}

/// # Safety
///
/// As for [`each_pointer`]; nobody must be reading the parts, and their own pointers must lead to their own objects.
unsafe fn set_frozen_bits(parts: &Parts) {
    // SAFETY: the caller's promise.
    unsafe { each_pointer(parts, |p, w| p.write(w | word::FROZEN)) };
}

impl Drop for LiteralBuilder<'_> {
    fn drop(&mut self) {
        if let Some(area) = self.area.take() {
            // The heap's destructors may panic: first what must not be lost.
            self.space.give_back(&area);
            // SAFETY: dropped once: the heap is taken with the area.
            unsafe { ManuallyDrop::drop(&mut self.heap) };
        }
    }
}
