//! Walking the words of a heap that stands still.

use super::chunk::Chunk;
use super::raw::RawHeap;
use crate::term::word::{self, Word};
use std::ptr;

/// Words in use, one behind the other, of one chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) chunk: *mut Chunk,
    pub(super) start: *mut Word,
    pub(super) end: *mut Word,
}

/// Has two lines from `chunk` on brought into the cache, if it is not null, while the caller goes on.
#[inline(always)]
#[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process is looked at"))]
pub(super) fn fetch(chunk: *const Chunk) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint, which may name any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(chunk.cast());
        _mm_prefetch::<_MM_HINT_T0>(chunk.cast::<i8>().wrapping_add(64));
    }
    let _ = chunk;
}

impl From<*mut Word> for Run {
    /// None yet.
    fn from(start: *mut Word) -> Self {
        Self { chunk: ptr::null_mut(), start, end: start }
    }
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn words(&self) -> usize {
        // SAFETY: both lie in the chunk, or are the same.
        unsafe { self.end.offset_from_unsigned(self.start) }
    }

    /// The bytes of the chunk's memory; see [`Chunk::memory_bytes`].
    pub(super) fn memory_bytes(&self) -> usize {
        // SAFETY: the run is of a live chunk; null is none.
        if self.chunk.is_null() { 0 } else { unsafe { Chunk::memory_bytes(self.chunk) } }
    }

    pub(super) fn contains(&self, p: *mut Word) -> bool {
        self.start <= p && p < self.end
    }

    /// Is there a literal among the words of which `is_it` says so? Asks no further then.
    ///
    /// # Safety
    ///
    /// The run must begin at an object, and hold complete objects that nobody changes meanwhile.
    pub(super) unsafe fn any_literal(self, is_it: &mut impl FnMut(Word) -> bool) -> bool {
        let mut p = self.start;
        while p < self.end {
            // SAFETY: the caller's promise: a term, or a header, whose object is stepped over if it holds no terms.
            unsafe {
                let w = *p;
                p = p.add(1);
                if word::is_literal(w) {
                    if is_it(w) {
                        return true;
                    }
                } else if word::is_header(w) && word::header_is_opaque(w) {
                    p = p.add(word::header_size(w));
                }
            }
        }
        false
    }
}

impl RawHeap {
    /// The end of the words in use of a chunk of this heap.
    pub(super) fn end_of(&self, chunk: *mut Chunk) -> *mut Word {
        // SAFETY: a chunk of the heap.
        if chunk == self.current { self.top } else { unsafe { (*chunk).top } }
    }

    /// The words in use from `chunk` on, which is one of this heap's lists, to the end of the list.
    pub(super) fn runs_from(&self, chunk: *mut Chunk) -> impl Iterator<Item = Run> {
        let mut next = chunk;
        std::iter::from_fn(move || {
            let chunk = next;
            if chunk.is_null() {
                return None;
            }
            // SAFETY: a chunk of the heap. Behind the current chunk there is none of the same list.
            unsafe {
                next = if chunk == self.current { ptr::null_mut() } else { (*chunk).next };
                Some(Run { chunk, start: Chunk::start(chunk), end: self.end_of(chunk) })
            }
        })
    }

    /// The young generation: this heap's own chunks, oldest first, and those that it has adopted.
    pub(super) fn young(&self) -> impl Iterator<Item = Run> {
        self.runs_from(self.first).chain(self.runs_from(self.adopted))
    }

    /// All words in use.
    pub(super) fn all(&self) -> impl Iterator<Item = Run> {
        self.young().chain(self.old_runs())
    }
}
