//! Runs of memory that heaps are made of.
//!
//! A chunk is a small header followed by words. Three kinds of memory hold one: an allocation of its own, the tail of a
//! region's head (so that a message is one allocation), and a block or a slot of a block of literal memory. Two bits of
//! the end pointer tell them apart, because they are freed differently.

use super::literal::{self, BLOCK_BYTES};
use super::pool;
use super::region::RegionHead;
use super::{poison, spare};
use crate::term::word::Word;
use std::alloc::{Layout, dealloc};
use std::ptr;

/// Header of a chunk; its words follow.
#[repr(C)]
pub(crate) struct Chunk {
    /// The next chunk of the same heap, or null.
    pub(crate) next: *mut Chunk,
    /// One past the last word in use; for the chunk that a heap allocates from, the heap's own `top` is newer.
    pub(crate) top: *mut Word,
    /// One past the last word, and in the low bits the [`Memory`].
    end: *mut Word,
}

/// What memory a chunk lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// An allocation of its own.
    Own = 0,
    /// The end of a [`RegionHead`].
    RegionHead = 1,
    /// An aligned block of literal memory, all of it.
    Block = 2,
    /// A slot of a shared block: its owner gives it back.
    Slot = 3,
}

pub(crate) const CHUNK_WORDS: usize = size_of::<Chunk>() / size_of::<Word>();

impl Chunk {
    /// Writes the header of a chunk whose words end at `end`.
    ///
    /// # Safety
    ///
    /// `this` must be valid for writing a header, and the words between it and `end` must be the chunk's own.
    pub(crate) unsafe fn init(this: *mut Self, end: *mut Word, memory: Memory) {
        // SAFETY: the caller's promise.
        unsafe {
            let start = this.cast::<Word>().add(CHUNK_WORDS);
            poison::lock(start, end);
            this.write(Self { next: ptr::null_mut(), top: start, end: end.map_addr(|a| a | memory as usize) });
        }
    }

    /// # Safety
    ///
    /// `this` must be a live chunk.
    #[inline(always)]
    pub(crate) unsafe fn start(this: *mut Self) -> *mut Word {
        // SAFETY: the words follow the header in the same memory.
        unsafe { this.cast::<Word>().add(CHUNK_WORDS) }
    }

    /// # Safety
    ///
    /// `this` must be a live chunk.
    #[inline(always)]
    pub(crate) unsafe fn end(this: *mut Self) -> *mut Word {
        // SAFETY: the caller's promise.
        unsafe { (*this).end.map_addr(|a| a & !0b11) }
    }

    /// # Safety
    ///
    /// `this` must be a live chunk.
    unsafe fn memory(this: *mut Self) -> Memory {
        // SAFETY: the caller's promise.
        match unsafe { (*this).end.addr() & 0b11 } {
            0 => Memory::Own,
            1 => Memory::RegionHead,
            2 => Memory::Block,
            _ => Memory::Slot,
        }
    }

    /// Does the chunk have a block of literal memory to itself?
    ///
    /// # Safety
    ///
    /// `this` must be a live chunk.
    #[cfg_attr(not(feature = "persistent"), allow(dead_code, reason = "without that floor nobody makes a literal"))]
    pub(crate) unsafe fn is_block(this: *mut Self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Self::memory(this) == Memory::Block }
    }

    /// The words in use, for a chunk that is not being allocated from.
    ///
    /// # Safety
    ///
    /// `this` must be a live chunk.
    pub(crate) unsafe fn used(this: *mut Self) -> usize {
        // SAFETY: both lie in the chunk, `top` not before the start.
        unsafe { (*this).top.offset_from_unsigned(Self::start(this)) }
    }

    /// The bytes of its memory, with the header and the head of the region that it lies in.
    ///
    /// # Safety
    ///
    /// `this` must be a live chunk.
    pub(crate) unsafe fn memory_bytes(this: *mut Self) -> usize {
        // SAFETY: the caller's promise.
        unsafe {
            let start = match Self::memory(this) {
                Memory::RegionHead => RegionHead::of_inline(this).addr(),
                Memory::Own | Memory::Block | Memory::Slot => this.addr(),
            };
            Self::end(this).addr() - start
        }
    }

    /// A chunk of its own for `words`, or null when there is no memory.
    pub(crate) fn allocate(words: usize) -> *mut Self {
        let Some(layout) = words_layout::<Self>(words) else { return ptr::null_mut() };
        // Not empty: it holds a header.
        let this = spare::take(layout.size()).unwrap_or_else(|| pool::allocate(layout)).cast::<Self>();
        if !this.is_null() {
            // SAFETY: the memory was just made, for a header and the words.
            unsafe { Self::init(this, this.cast::<Word>().add(CHUNK_WORDS + words), Memory::Own) };
        }
        this
    }

    /// A chunk of its own for `n` words, or null when there is no memory. It has about `wanted`, if that is more.
    pub(crate) fn allocate_about(wanted: usize, n: usize) -> *mut Self {
        let wanted = wanted.max(n);
        // Sizes that are kept when they are freed, where one of them will do.
        let kept = wanted.checked_add(CHUNK_WORDS).and_then(|words| spare::size_within(words.saturating_mul(8)));
        let words = kept.map_or(0, |bytes| bytes / size_of::<Word>() - CHUNK_WORDS);
        Self::allocate(if words >= n && 2 * words >= wanted { words } else { wanted })
    }

    /// A chunk of its own for `n` words, or null when there is no memory. It has no more than a third more of them.
    pub(crate) fn allocate_whole(n: usize) -> *mut Self {
        // Of a size that is kept when it is freed, where that is not much more.
        let bytes = (n + CHUNK_WORDS).saturating_mul(size_of::<Word>());
        let kept = bytes.checked_next_power_of_two().filter(|kept| kept / 4 * 3 <= bytes);
        let kept = kept.and_then(spare::size_within).filter(|&kept| kept >= bytes);
        Self::allocate(kept.map_or(n, |bytes| bytes / size_of::<Word>() - CHUNK_WORDS))
    }

    /// Frees the chunks of a list from `chunk` up to, and without, `until`.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free), for each of them; `until` must be null or on the list.
    pub(crate) unsafe fn free_until(mut chunk: *mut Self, until: *mut Self) {
        while chunk != until {
            // SAFETY: the caller's promise; the link is read before the chunk goes.
            unsafe {
                let next = (*chunk).next;
                Self::free(chunk);
                chunk = next;
            }
        }
    }

    /// Frees the memory of a chunk (but not what the off-heap objects in it hold). A slot is left to its owner.
    ///
    /// # Safety
    ///
    /// `this` must be a live chunk; it is no longer afterwards.
    pub(crate) unsafe fn free(this: *mut Self) {
        // SAFETY: each layout is the one that the memory was made with.
        unsafe {
            let end = Self::end(this).addr();
            if Self::memory(this) == Memory::Slot {
                return poison::lock(Self::start(this), Self::end(this));
            }
            poison::unlock(Self::start(this), Self::end(this));
            match Self::memory(this) {
                Memory::Own => {
                    let bytes = end - this.addr();
                    if !spare::give(this.cast(), bytes) {
                        pool::free(this.cast(), Layout::from_size_align_unchecked(bytes, 8));
                    }
                }
                Memory::RegionHead => {
                    let head = RegionHead::of_inline(this);
                    pool::free(head.cast(), Layout::from_size_align_unchecked(end - head.addr(), 8));
                }
                Memory::Block => {
                    let block = this.byte_sub(literal::DEDICATED_HEADER_BYTES);
                    let bytes = end - block.addr();
                    if bytes != BLOCK_BYTES || !spare::give_block(block.cast()) {
                        dealloc(block.cast(), Layout::from_size_align_unchecked(bytes, BLOCK_BYTES));
                    }
                }
                Memory::Slot => {}
            }
        }
    }
}

/// The layout of a header `T` that ends in a chunk header, and `words` after it.
pub(crate) fn words_layout<T>(words: usize) -> Option<Layout> {
    let bytes = words.checked_mul(size_of::<Word>())?.checked_add(size_of::<T>())?;
    Layout::from_size_align(bytes, 8).ok()
}
