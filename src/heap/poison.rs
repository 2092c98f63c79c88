//! Words that hold nothing, or nothing any more: who reads them all the same shall be noticed.
//!
//! With `--cfg shared_term_asan`, for a build under the address sanitizer, each use of such words is reported; what
//! the allocator has freed is its own. Otherwise debug builds, and `--cfg shared_term_stress`, fill what has died with
//! ones: no word of ones is a header, a cell or a pointer.

use crate::term::word::Word;

#[cfg(shared_term_asan)]
mod how {
    use super::Word;

    unsafe extern "C" {
        fn __asan_poison_memory_region(start: *const Word, bytes: usize);
        fn __asan_unpoison_memory_region(start: *const Word, bytes: usize);
    }

    #[inline(always)]
    pub(in super::super) fn lock(start: *mut Word, end: *mut Word) {
        // SAFETY: only notes of the sanitizer's about these addresses are changed.
        unsafe { __asan_poison_memory_region(start, end.addr() - start.addr()) };
    }

    #[inline(always)]
    pub(in super::super) fn unlock(start: *mut Word, end: *mut Word) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(start, end.addr() - start.addr()) };
    }

    /// # Safety
    ///
    /// None.
    pub(in super::super) unsafe fn kill(start: *mut Word, end: *mut Word) {
        lock(start, end);
    }
}

#[cfg(not(shared_term_asan))]
mod how {
    use super::Word;

    /// The words from `start` to `end` are not in use yet.
    #[inline(always)]
    pub(in super::super) fn lock(_: *mut Word, _: *mut Word) {}

    /// The words from `start` to `end` are in use from now on.
    #[inline(always)]
    pub(in super::super) fn unlock(_: *mut Word, _: *mut Word) {}

    /// The words from `start` to `end` are not in use any more.
    ///
    /// # Safety
    ///
    /// They must be one run of the caller's memory, that nobody reads again.
    #[inline(always)]
    pub(in super::super) unsafe fn kill(start: *mut Word, end: *mut Word) {
        if cfg!(any(debug_assertions, shared_term_stress)) {
            // SAFETY: the caller's promise.
            unsafe { start.write_bytes(0xff, end.offset_from_unsigned(start)) };
        }
    }
}

pub(super) use how::{kill, lock, unlock};
