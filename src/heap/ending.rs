//! The end of a heap or a region: its off-heap objects are dropped, and then its chunks.
//!
//! A resource may hold another heap or region, that one's resource the next, and so on (invariant 5). They are dropped one
//! in the destructor of the other no deeper than [`DEEPEST`]; what lies deeper waits until the outermost one is done.

use super::chunk::Chunk;
use super::off_heap::{self, Panicked};
use crate::term::word::Word;
use std::cell::Cell;
use std::ptr;

const DEEPEST: u32 = 32;

thread_local! {
    /// How many heaps and regions are being dropped, each in a destructor of the one before. (Plain `std`: of this thread
    /// alone.)
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What waits: complete objects, all of which are dropped before the first chunk is freed, and chunks. (What an
    /// interrupted collection leaves has headers in the chunks of others. It waits for nobody.)
    static WAITING: Cell<(*mut Word, *mut Chunk)> = const { Cell::new((ptr::null_mut(), ptr::null_mut())) };
}

/// Drops the objects of an off-heap list and frees lists of chunks: at once, or before the outermost heap or region that is
/// being dropped has been.
///
/// # Safety
///
/// The caller must own all of it; it is gone afterwards.
#[inline]
pub(super) unsafe fn end<const N: usize>(objects: *mut Word, chunks: [*mut Chunk; N]) -> Panicked {
    // SAFETY: the caller's promise.
    unsafe {
        if objects.is_null() {
            free(chunks);
            return Panicked::default();
        }
        end_with(objects, chunks)
    }
}

/// # Safety
///
/// As for [`end`].
#[inline(never)]
unsafe fn end_with<const N: usize>(mut objects: *mut Word, chunks: [*mut Chunk; N]) -> Panicked {
    let depth = DEPTH.get();
    if depth == DEEPEST {
        // SAFETY: the caller's promise.
        unsafe { wait(objects, chunks) };
        return Panicked::default();
    }
    DEPTH.set(depth + 1);
    // SAFETY: the caller's promise, and what waits is ours. Nothing in there unwinds.
    let panicked = unsafe {
        let mut panicked = off_heap::drop_until(&mut objects, ptr::null_mut());
        free(chunks);
        while depth == 0 && !WAITING.get().0.is_null() {
            let (mut objects, chunks) = WAITING.replace((ptr::null_mut(), ptr::null_mut()));
            panicked.join(off_heap::drop_until(&mut objects, ptr::null_mut()));
            free([chunks]);
        }
        panicked
    };
    DEPTH.set(depth);
    panicked
}

/// # Safety
///
/// As for [`end`].
unsafe fn wait<const N: usize>(objects: *mut Word, chunks: [*mut Chunk; N]) {
    let (mut first_object, mut first_chunk) = WAITING.get();
    // SAFETY: lists without an owner, each linked before those that wait.
    unsafe {
        off_heap::prepend(objects, &mut first_object);
        for chunks in chunks {
            let mut last = chunks;
            while !last.is_null() && !(*last).next.is_null() {
                last = (*last).next;
            }
            if !last.is_null() {
                (*last).next = std::mem::replace(&mut first_chunk, chunks);
            }
        }
    }
    WAITING.set((first_object, first_chunk));
}

/// # Safety
///
/// As for [`end`].
unsafe fn free<const N: usize>(chunks: [*mut Chunk; N]) {
    for list in chunks {
        // SAFETY: the caller's promise.
        unsafe { Chunk::free_until(list, ptr::null_mut()) };
    }
}
