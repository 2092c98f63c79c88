//! Bytes asked of the allocator, for the columns that are about memory.
//!
//! Off but for the moments in which something is weighed: what is timed pays one load of a flag per allocation, the same
//! in every row.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

struct Weighing;

#[global_allocator]
static GLOBAL: Weighing = Weighing;

static ON: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Relaxed: the weighed threads are waited for, through locks and channels, before the sum is read.
#[inline]
fn note(bytes: i64) {
    if ON.load(Relaxed) {
        BYTES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call is handed to `System` with the caller's own arguments, and its answer is handed back.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// What `f` makes, and the bytes that all threads together asked of the allocator meanwhile and did not give back. What
/// it frees must be its own for the figure to mean anything.
pub(crate) fn weigh<R>(f: impl FnOnce() -> R) -> (R, i64) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    BYTES.store(0, Relaxed);
    ON.store(true, Relaxed);
    let made = f();
    ON.store(false, Relaxed);
    (made, BYTES.load(Relaxed))
}
