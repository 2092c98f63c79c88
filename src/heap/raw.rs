//! The raw core of a heap: chunks, bump allocation, marks to roll back to.

use super::HeapError;
use super::chunk::{CHUNK_WORDS, Chunk};
use super::generations::Old;
use super::literal::{self, Entry};
use super::region::Region;
use super::{ending, off_heap, poison};
use crate::term::word::{self, Word};
use std::ptr;

/// Words of the first chunk of a heap.
const FIRST_CHUNK: usize = 29; // with the header, 256 bytes
/// Chunks grow with their heap up to 256 KiB, or a quarter of it.
const LARGEST_CHUNK: usize = (1 << 15) - CHUNK_WORDS;

/// A heap: a list of chunks, the newest of which is allocated from; the chunks that it has adopted; and, once it was
/// collected, its old generation, which is a heap of its own.
///
/// Lazy: there is no chunk before the first allocation. Nothing that was allocated moves until the heap is collected.
///
/// What a turn does not write comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawHeap {
    /// Words that the heap may grow to, its old generation included.
    pub(crate) limit: usize,
    /// The area whose blocks the chunks are; null for allocations of their own.
    source: Entry,
    /// Made by the first collection.
    pub(crate) old: Option<Box<Old>>,
    /// Oldest chunk; the list goes on to `current`, and ends there.
    pub(super) first: *mut Chunk,
    pub(super) current: *mut Chunk,
    /// Chunks of regions that were adopted since the last collection, newest region first.
    pub(super) adopted: *mut Chunk,
    /// The next free word, and the end of the current chunk.
    pub(crate) top: *mut Word,
    end: *mut Word,
    /// Words in all of these chunks but the current one.
    closed: usize,
    /// The off-heap objects in these chunks, newest first.
    pub(crate) off_heap: *mut Word,
    /// A bit for each area that a word of this heap points into (invariant 4), garbage and old generation included.
    pub(crate) filter: u64,
    /// At least the bytes that the binaries keep alive outside the heap: those of what came since they were counted, however
    /// often, and what they were then.
    pub(super) received: usize,
}

// SAFETY: a heap owns its chunks; terms on the stack of a turn do not outlive the turn, so that between turns the heap
// can go to another thread. Its off-heap objects are `Send + Sync`.
unsafe impl Send for RawHeap {}

/// A point to roll back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    adopted: *mut Chunk,
    current: *mut Chunk,
    top: *mut Word,
    closed: usize,
    off_heap: *mut Word,
    filter: u64,
    received: usize,
}

/// Where a heap is allocated from, by value: a loop that copies keeps it in registers, where the heap itself would be
/// read and written again around every word that the loop stores. From [`RawHeap::lend`] to [`RawHeap::restore`] the
/// heap's own `top` is old.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bump {
    pub(crate) top: *mut Word,
    pub(crate) end: *mut Word,
    pub(crate) chunk: *mut Chunk,
}

impl Bump {
    /// As [`RawHeap::alloc`], from `heap`, which must be the heap that lent this.
    #[inline(always)]
    pub(crate) fn alloc(&mut self, heap: &mut RawHeap, n: usize) -> Result<*mut Word, HeapError> {
        if !self.has_room(n) {
            *self = heap.grow_lent(*self, n)?;
        }
        let p = self.top;
        // SAFETY: the chunk has room for `n` words behind `top`.
        self.top = unsafe { p.add(n) };
        Ok(p)
    }

    /// Does the chunk that is allocated from have room for `n` words?
    #[inline(always)]
    pub(crate) fn has_room(&self, n: usize) -> bool {
        self.end.addr() - self.top.addr() >= n * size_of::<Word>()
    }
}

impl Bump {
    /// The same with room for `n` words.
    pub(crate) fn with_room(self, heap: &mut RawHeap, n: usize) -> Result<Self, HeapError> {
        let room = (self.end.addr() - self.top.addr()) / size_of::<Word>();
        if room < n { heap.grow_lent(self, n) } else { Ok(self) }
    }
}

/// The words that a copy still has to relocate: those from `at` on to the end of what is allocated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    chunk: *mut Chunk,
    at: *mut Word,
    /// The end of the words that are known to be there, and are to be scanned.
    limit: *mut Word,
    /// Where words begin that were scanned already, or null; and where they end.
    skip: *mut Word,
    skip_chunk: *mut Chunk,
    skip_to: *mut Word,
}

impl Scan {
    /// The next word that is a pointer. Opaque objects are stepped over. The word may be changed, and `heap` allocated
    /// from, between two calls.
    ///
    /// # Safety
    ///
    /// The scan must be of `heap`, not collected or rolled back since, and `bump` what it lent; every object from `at` on
    /// must be complete.
    #[inline(always)]
    pub(crate) unsafe fn next(&mut self, heap: &RawHeap, bump: &Bump) -> Option<*mut Word> {
        // SAFETY: `at` lies in a chunk of the heap, at its end or at a word that is a term or a header; each header is
        // met before the words of its object are.
        unsafe {
            loop {
                while self.at < self.limit {
                    let p = self.at;
                    let w = *p;
                    self.at = p.add(1);
                    if word::is_pointer(w) {
                        return Some(p);
                    }
                    if word::is_header(w) && word::header_is_opaque(w) {
                        // Out of the inner loop, so that this stays a branch: the next address, computed from what was
                        // loaded at this one, would make each step wait for the last.
                        self.at = p.add(1 + word::header_size(w));
                        break;
                    }
                }
                if self.at == self.skip && !self.skip.is_null() {
                    *self = Self::from(self.skip_chunk, self.skip_to);
                } else if self.chunk == bump.chunk {
                    if self.at == bump.top {
                        return None;
                    }
                    self.go_on_to(bump.top);
                } else if self.chunk.is_null() {
                    // Begun when the heap was empty.
                    self.enter(heap.first);
                } else if self.at < (*self.chunk).top {
                    self.go_on_to((*self.chunk).top);
                } else {
                    self.enter((*self.chunk).next);
                }
            }
        }
    }

    /// Goes on at `at`, in the chunk that is allocated from: what lies before it has been relocated otherwise.
    #[inline(always)]
    pub(crate) fn resume(&mut self, at: *mut Word, bump: &Bump) {
        *self = Self { limit: bump.top, ..Self::from(bump.chunk, at) };
    }

    /// Can what will be allocated from `bump` on be scanned ahead of what still is to be?
    #[inline(always)]
    pub(crate) fn can_run_ahead(&self, bump: &Bump) -> bool {
        self.skip.is_null() || (self.skip_to == bump.top && self.skip_chunk == bump.chunk)
    }

    /// What was allocated from `before` on has been scanned up to `at`, which lies in the chunk that is allocated from.
    #[inline(always)]
    pub(crate) fn ran_ahead(&mut self, before: &Bump, at: *mut Word, bump: &Bump) {
        if self.at == before.top {
            return self.resume(at, bump);
        }
        if self.skip.is_null() {
            self.skip = before.top;
        }
        (self.skip_chunk, self.skip_to) = (bump.chunk, at);
    }

    /// A scan from `at` on.
    fn from(chunk: *mut Chunk, at: *mut Word) -> Self {
        Self { chunk, at, limit: at, skip: ptr::null_mut(), skip_chunk: ptr::null_mut(), skip_to: ptr::null_mut() }
    }

    /// Words are there up to `top`; those to be skipped are not for this scan.
    #[inline(always)]
    fn go_on_to(&mut self, top: *mut Word) {
        self.limit = if self.at <= self.skip && self.skip <= top { self.skip } else { top };
    }

    /// # Safety
    ///
    /// `chunk` must be a live chunk.
    #[inline(always)]
    unsafe fn enter(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller's promise.
        let start = unsafe { Chunk::start(chunk) };
        (self.chunk, self.at, self.limit) = (chunk, start, start);
    }
}

impl RawHeap {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            top: ptr::null_mut(),
            end: ptr::null_mut(),
            first: ptr::null_mut(),
            current: ptr::null_mut(),
            adopted: ptr::null_mut(),
            closed: 0,
            off_heap: ptr::null_mut(),
            filter: 0,
            limit,
            source: Entry::NULL,
            received: 0,
            old: None,
        }
    }

    /// A heap that begins with `chunk`, empty.
    ///
    /// # Safety
    ///
    /// `chunk` must be an empty chunk that nothing else owns.
    pub(crate) unsafe fn in_chunk(chunk: *mut Chunk, source: Entry) -> Self {
        let mut heap = Self::new(usize::MAX);
        // SAFETY: the caller's promise.
        (heap.top, heap.end) = unsafe { (Chunk::start(chunk), Chunk::end(chunk)) };
        (heap.first, heap.current, heap.source) = (chunk, chunk, source);
        heap
    }

    /// A heap that goes on where another ended.
    ///
    /// # Safety
    ///
    /// The parts must be of one heap or region, and owned by nothing else.
    #[allow(clippy::needless_pass_by_value, reason = "the memory changes its owner")]
    pub(crate) unsafe fn from_parts(parts: Parts) -> Self {
        let mut heap = Self::new(usize::MAX);
        (heap.first, heap.current) = (parts.first, parts.last);
        (heap.off_heap, heap.filter) = (parts.off_heap, parts.filter);
        if !parts.last.is_null() {
            // SAFETY: the caller's promise.
            unsafe {
                (heap.top, heap.end) = ((*parts.last).top, Chunk::end(parts.last));
                heap.closed = parts.words - Chunk::used(parts.last);
            }
        }
        heap
    }

    /// Has anything been allocated or adopted since the heap was new, or cleared?
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes look before they let go of terms"))]
    #[inline]
    pub(crate) fn has_memory(&self) -> bool {
        !self.first.is_null() || !self.adopted.is_null() || self.old.as_ref().is_some_and(|old| old.space.has_memory())
    }

    /// Words in use, in both generations.
    pub(crate) fn used(&self) -> usize {
        self.young_words() + self.old_words()
    }

    /// Words in use in the old generation.
    pub(crate) fn old_words(&self) -> usize {
        self.old.as_ref().map_or(0, |old| old.space.young_words())
    }

    /// Words in use in this heap's own chunks: in all but the old generation.
    pub(crate) fn young_words(&self) -> usize {
        if self.current.is_null() {
            return self.closed;
        }
        // SAFETY: `top` lies in the current chunk.
        self.closed + unsafe { self.top.offset_from_unsigned(Chunk::start(self.current)) }
    }

    /// Room for `n` words, not written yet. The caller writes all of them before it allocates again.
    #[inline(always)]
    pub(crate) fn alloc(&mut self, n: usize) -> Result<*mut Word, HeapError> {
        if self.end.addr() - self.top.addr() < n * size_of::<Word>() {
            self.grow(n)?;
        }
        let p = self.top;
        // SAFETY: the chunk has room for `n` words behind `top`.
        self.top = unsafe { p.add(n) };
        poison::unlock(p, self.top);
        Ok(p)
    }

    /// Lends what is allocated from; see [`Bump`].
    #[inline(always)]
    pub(crate) fn lend(&self) -> Bump {
        poison::unlock(self.top, self.end);
        Bump { top: self.top, end: self.end, chunk: self.current }
    }

    /// Takes back what was lent.
    #[inline(always)]
    pub(crate) fn restore(&mut self, bump: Bump) {
        self.top = bump.top;
        poison::lock(self.top, self.end);
    }

    #[cold]
    #[inline(never)]
    fn grow_lent(&mut self, bump: Bump, n: usize) -> Result<Bump, HeapError> {
        self.restore(bump);
        self.grow(n)?;
        Ok(self.lend())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) -> Result<(), HeapError> {
        let (used, young) = (self.used(), self.young_words());
        let Some(room) = self.limit.checked_sub(used).filter(|&room| room >= n) else {
            return Err(HeapError::Limit { asked: n, words: used.saturating_add(n), limit: self.limit });
        };
        let chunk = if self.source.is_null() {
            // A part of what is there, so that few chunks hold much.
            let most = LARGEST_CHUNK.max(young / 4);
            Chunk::allocate_about(used.clamp(FIRST_CHUNK, most).min(room), n)
        } else {
            literal::dedicated(self.source, n)
        };
        if chunk.is_null() {
            return Err(HeapError::OutOfMemory { words: n });
        }
        // SAFETY: just made for this heap.
        unsafe { self.go_on_in(chunk) };
        Ok(())
    }

    /// A chunk with room for `n` words, about so many, if there is memory for it.
    pub(super) fn make_room(&mut self, n: usize) {
        debug_assert!(self.source.is_null(), "an area is made in chunks of its own kind");
        let chunk = Chunk::allocate_whole(n);
        if !chunk.is_null() {
            // SAFETY: just made for this heap.
            unsafe { self.go_on_in(chunk) };
        }
    }

    /// Allocates from `chunk` from here on.
    ///
    /// # Safety
    ///
    /// The chunk must be empty, and nobody else's.
    unsafe fn go_on_in(&mut self, chunk: *mut Chunk) {
        let young = self.young_words();
        // SAFETY: both chunks are ours; the old one is closed at `top`.
        unsafe {
            if self.current.is_null() {
                self.first = chunk;
            } else {
                (*self.current).top = self.top;
                (*self.current).next = chunk;
            }
            self.closed = young;
            self.current = chunk;
            (self.top, self.end) = (Chunk::start(chunk), Chunk::end(chunk));
        }
    }

    /// Notes a word that is stored in this heap, or becomes its root (R3): one untaken test for all but literals.
    #[inline(always)]
    pub(crate) fn note(&mut self, w: Word) {
        if word::is_literal(w) {
            self.filter |= literal::entry(w).bit();
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            adopted: self.adopted,
            current: self.current,
            top: self.top,
            closed: self.closed,
            off_heap: self.off_heap,
            filter: self.filter,
            received: self.received,
        }
    }

    /// Is the heap what it was at the mark? The memory, what it keeps alive, and what it points into.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process looks whether a turn left a trace"))]
    #[inline(always)]
    pub(crate) fn is_at(&self, mark: &Mark) -> bool {
        // What is made moves `top`, and what is taken over comes first among what was adopted. Nothing else changes the rest.
        let is_at = self.top == mark.top && self.adopted == mark.adopted;
        debug_assert!(
            !is_at || (self.current, self.off_heap, self.filter) == (mark.current, mark.off_heap, mark.filter),
            "neither made nor adopted, and yet there"
        );
        is_at
    }

    /// Nothing here points into areas without these bits.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process is asked"))]
    pub(crate) fn narrow(&mut self, bits: u64) {
        self.filter &= bits;
        if let Some(old) = &mut self.old {
            old.space.filter &= bits;
        }
    }

    /// This and no more is what the heap, as it stands, points into.
    #[cfg(feature = "runtime")]
    pub(super) fn set_filter(&mut self, bits: u64) {
        self.filter = bits;
        if let Some(old) = &mut self.old {
            old.space.filter = bits;
        }
    }

    /// Has the first words of this heap brought near, for somebody who will read them soon.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process is looked at"))]
    #[inline]
    pub(crate) fn fetch(&self) {
        super::walk::fetch(self.first);
        super::walk::fetch(self.adopted);
        if let Some(old) = &self.old {
            super::walk::fetch(old.space.first);
        }
    }

    /// Drops everything allocated or adopted since `mark`, its filter bits included (H24).
    ///
    /// # Safety
    ///
    /// `mark` must be of this heap, not collected since, and nothing that is used later may point behind it.
    pub(crate) unsafe fn roll_back(&mut self, mark: &Mark) {
        // SAFETY: objects younger than the mark are at the front of the list, and nobody reads them any more. So are
        // chunks adopted since then; chunks grown since then stand behind the one that was current.
        let panicked = unsafe {
            let panicked = off_heap::drop_until(&mut self.off_heap, mark.off_heap);
            Chunk::free_until(self.adopted, mark.adopted);
            if mark.current.is_null() {
                Chunk::free_until(self.first, ptr::null_mut());
                self.first = ptr::null_mut();
            } else {
                let end = self.end_of(mark.current);
                poison::kill(mark.top, end);
                poison::lock(mark.top, Chunk::end(mark.current));
                Chunk::free_until((*mark.current).next, ptr::null_mut());
                (*mark.current).next = ptr::null_mut();
            }
            panicked
        };
        (self.adopted, self.current, self.closed, self.filter) = (mark.adopted, mark.current, mark.closed, mark.filter);
        // Less, if they were counted anew in the meantime.
        self.received = self.received.min(mark.received);
        self.top = mark.top;
        self.set_end();
        panicked.pass_on();
    }

    /// The heap may grow to so many words from now on.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process changes the limit of its heap"))]
    pub(crate) fn set_limit(&mut self, words: usize) {
        self.limit = words;
        self.set_end();
    }

    /// Sets the end of allocation: that of the current chunk, or where the limit cuts it off. A chunk that was not grown
    /// under the limit (it was adopted, or collected into) can have more room than that.
    pub(crate) fn set_end(&mut self) {
        self.end = if self.current.is_null() {
            ptr::null_mut()
        } else {
            // SAFETY: `top` lies in the current chunk, and so does what lies before its end.
            unsafe {
                let room = Chunk::end(self.current).offset_from_unsigned(self.top);
                self.top.add(room.min(self.limit.saturating_sub(self.used())))
            }
        };
    }

    /// Makes the region's memory this heap's, and returns its root. O(1), and O(off-heap objects of the region).
    ///
    /// The limit does not stop it, but it stops the next allocation.
    pub(crate) fn adopt(&mut self, region: Region) -> Word {
        let root = region.root_word();
        if word::is_immediate(root) {
            return root; // and the region, with whatever garbage it has, is dropped
        }
        let parts = region.into_parts();
        // SAFETY: the region's chunks and objects are ours from here on.
        unsafe {
            self.receive(super::binary::received(parts.off_heap));
            off_heap::prepend(parts.off_heap, &mut self.off_heap);
            (*parts.last).next = self.adopted;
        }
        self.adopted = parts.first;
        self.closed += parts.words;
        self.set_end();
        self.filter |= parts.filter;
        root
    }

    /// Frees everything without tracing: only the off-heap lists are walked (invariant 9).
    pub(crate) fn clear(&mut self) {
        let mut old = self.old.take();
        let space = old.as_mut().map(|old| old.clear());
        let empty = Self { limit: self.limit, source: self.source, old, ..Self::new(0) };
        let young = std::mem::replace(self, empty);
        drop((young, space));
    }

    /// A scan of what will be allocated from now on.
    pub(crate) fn scan(&self) -> Scan {
        Scan::from(self.current, self.top)
    }

    /// Ends allocation and hands out the memory of a heap that was never collected, and that has a chunk of its own: what
    /// it adopted goes behind.
    pub(crate) fn into_parts(mut self) -> Parts {
        debug_assert!(self.old.is_none() && !self.current.is_null());
        let (words, mut last) = (self.young_words(), self.current);
        // SAFETY: the chunks are ours.
        unsafe {
            (*last).top = self.top;
            (*last).next = self.adopted;
            while !(*last).next.is_null() {
                last = (*last).next;
            }
        }
        let parts = Parts { first: self.first, last, off_heap: self.off_heap, filter: self.filter, words };
        (self.first, self.current, self.adopted) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        self.off_heap = ptr::null_mut();
        parts
    }
}

/// The memory of a heap or region that has none any more.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) first: *mut Chunk,
    pub(crate) last: *mut Chunk,
    pub(crate) off_heap: *mut Word,
    pub(crate) filter: u64,
    pub(crate) words: usize,
}

impl Drop for RawHeap {
    #[inline]
    fn drop(&mut self) {
        // Of most processes that end at once there is nothing.
        if !self.first.is_null() || !self.adopted.is_null() {
            self.free_all();
        }
    }
}

impl RawHeap {
    fn free_all(&mut self) {
        // SAFETY: the heap owns its chunks and its off-heap objects, and nothing points into it any more.
        unsafe { ending::end(self.off_heap, [self.adopted, self.first]) }.pass_on();
    }
}
