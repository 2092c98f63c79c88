//! What becomes of an allocation that fails: an error value, or the end of what builds (invariant 10).

use super::raw::RawHeap;
use super::{Heap, pages};
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

/// A heap could not grow.
///
#[cfg_attr(feature = "runtime", doc = "```")]
#[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
/// use shared_term::{heap::HeapError, prelude::*, process::SpawnOptions};
/// let mut rt = Runtime::deterministic(1);
/// let small = SpawnOptions::new().max_heap_words(1000);
/// let p = rt.spawn_fn_with(small, |cx| cx.nil(), |cx, _, _| Ok(Next(cx.list(0..1_000_000))))?;
/// let exited = rt.exited(p);
/// rt.send_new(p, |h| h.nil())?;
/// rt.run_until_idle();
/// let why = exited.try_wait().unwrap().as_heap_error();
/// assert!(matches!(why, Some(HeapError::Limit { limit: 1000, words: 1001.., .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapError {
    /// The system gave no memory.
    OutOfMemory {
        /// Words asked for.
        words: usize,
    },
    /// The heap would have passed its limit.
    Limit {
        /// Words asked for.
        asked: usize,
        /// Words it would have had.
        words: usize,
        /// Words it may have.
        limit: usize,
    },
}

impl fmt::Display for HeapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { words } => write!(f, "no memory for {words} words"),
            Self::Limit { asked, words, limit } => {
                write!(f, "{asked} words more make a heap of {words} words, over its limit of {limit}")
            }
        }
    }
}

impl std::error::Error for HeapError {}

/// The payload with which an allocation ends a turn (invariant 10).
pub(super) struct Unwind {
    pub(super) error: HeapError,
    /// Address of the heap that could not grow: the error is that of whoever builds in it, and goes through everybody
    /// between. Zero when it is nobody's in particular.
    pub(super) owner: usize,
}

/// The same where there was no memory for an [`Unwind`] either: a box of nothing takes none. It is the error of whoever
/// asked for memory last, and so is nobody's in particular.
struct NoMemory;

impl Unwind {
    pub(super) fn start(self) -> ! {
        match pages::try_box(self) {
            Ok(payload) => resume_unwind(payload),
            Err(_) => resume_unwind(Box::new(NoMemory)),
        }
    }

    /// What a panic was thrown with, if it was one of these.
    pub(super) fn of(payload: Box<dyn Any + Send>) -> Result<Self, Box<dyn Any + Send>> {
        match payload.downcast::<Self>() {
            Ok(unwind) => Ok(*unwind),
            Err(payload) if payload.is::<NoMemory>() => {
                Ok(Self { error: HeapError::OutOfMemory { words: 0 }, owner: 0 })
            }
            Err(payload) => Err(payload),
        }
    }
}

/// Ends the turn, or the innermost builder closure. No panic hook runs.
pub(crate) fn unwind(error: HeapError) -> ! {
    Unwind { error, owner: 0 }.start()
}

/// Ends what builds in `heap`.
pub(super) fn unwind_from(heap: NonNull<RawHeap>, error: HeapError) -> ! {
    Unwind { error, owner: heap.addr().get() }.start()
}

/// Makes room for `n` more in what a walk over terms works with; without memory, ends the turn.
#[inline]
pub(crate) fn make_room<T>(list: &mut Vec<T>, n: usize) {
    pages::reserve(list, n).unwrap_or_else(|error| unwind(error));
}

/// The value in memory of its own; without any, ends the turn.
pub(crate) fn make_box<T>(value: T) -> Box<T> {
    pages::try_box(value).unwrap_or_else(|error| unwind(error))
}

/// As [`make_room`], for one more in a table.
#[inline]
pub(crate) fn make_place<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    pages::reserve_place(table).unwrap_or_else(|error| unwind(error));
}

/// The heap error in the payload of a panic, or the payload.
#[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes catch what a heap unwinds with"))]
pub(crate) fn heap_error(payload: Box<dyn Any + Send>) -> Result<HeapError, Box<dyn Any + Send>> {
    Unwind::of(payload).map(|unwind| unwind.error)
}

/// Runs `f`, which builds in no heap of its own; memory that runs out in it is an error. The rest of what it unwinds with goes
/// on.
#[cfg(feature = "persistent")]
pub(crate) fn catch_error<R>(f: impl FnOnce() -> R) -> Result<R, HeapError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| match Unwind::of(payload) {
        Ok(unwind) if unwind.owner == 0 => unwind.error,
        Ok(unwind) => unwind.start(),
        Err(payload) => resume_unwind(payload),
    })
}

/// Runs `f` with the heap; an allocation of it that fails is an error.
pub(crate) fn catch_limit<'h, R>(heap: Heap<'h>, f: impl FnOnce(Heap<'h>) -> R) -> Result<R, HeapError> {
    // All else goes on, the limits of heaps around this one too; what is left half-built is dropped with the builder.
    catch_unwind(AssertUnwindSafe(|| f(heap))).map_err(|payload| match Unwind::of(payload) {
        Ok(unwind) if unwind.owner == 0 || unwind.owner == heap.raw.addr().get() => unwind.error,
        Ok(unwind) => unwind.start(),
        Err(payload) => resume_unwind(payload),
    })
}
