//! Rust values that a heap holds: those of users, handles on arrays, and what a region keeps.
//!
//! ```text
//! header | link | payload: two words, which the header's `aux` says how to read
//! ```

use super::off_heap::payload;
use crate::term::word::{self, Object, Word};
use crate::{Atomics, Counters};
use std::any::Any;
use std::ptr;
use std::sync::Arc;

/// A value that threads may share.
pub(crate) type Anything = dyn Any + Send + Sync;

/// Words that follow the header of a resource.
pub(crate) const SIZE: usize = 1 + size_of::<Arc<Anything>>() / 8;

/// What can be the payload of a resource.
///
/// # Safety
///
/// The number must be its own.
pub(super) unsafe trait Payload: Sized {
    /// As the header's `aux`.
    const AUX: u8;
    /// The header of a resource with this payload.
    const HEADER: Word = {
        assert!(size_of::<Self>() <= 16 && align_of::<Self>() <= 8, "a payload of two words");
        word::header(Object::Resource, Self::AUX, SIZE)
    };
}

// SAFETY: nothing else has this number, here and below. A value of the user's, who may share it with others.
unsafe impl Payload for Arc<Anything> {
    const AUX: u8 = 0;
}
// SAFETY: as above.
unsafe impl Payload for Counters {
    const AUX: u8 = 1;
}
// SAFETY: as above.
unsafe impl Payload for Atomics<i64> {
    const AUX: u8 = 2;
}
// SAFETY: as above.
unsafe impl Payload for Atomics<u64> {
    const AUX: u8 = 3;
}
// SAFETY: as above. What nobody copies: what a region keeps, where no term
// leads, and what this crate sends itself.
unsafe impl Payload for Box<Anything> {
    const AUX: u8 = 4;
}

/// The value of the resource at `p`, whose header is `header`, and the handle on it if it is a user's.
///
/// # Safety
///
/// `p` must be a resource that lives and stands still for `'a`.
pub(crate) unsafe fn value<'a>(header: Word, p: *const Word) -> (&'a Anything, Option<&'a Arc<Anything>>) {
    // SAFETY: the caller's promise: the header says what the payload is.
    unsafe {
        match word::header_aux(header) {
            Counters::AUX => (&*payload::<Counters>(p), None),
            <Atomics<i64>>::AUX => (&*payload::<Atomics<i64>>(p), None),
            <Atomics<u64>>::AUX => (&*payload::<Atomics<u64>>(p), None),
            <Box<Anything>>::AUX => (&**payload::<Box<Anything>>(p), None),
            _ => {
                let shared = &*payload::<Arc<Anything>>(p);
                (&**shared, Some(shared))
            }
        }
    }
}

/// Writes the words of a second resource with the value of the one at `from`, but for its link. Takes no memory.
///
/// # Safety
///
/// `from` must be a living resource with its header in place that a term leads to, and `to` valid for its words.
pub(super) unsafe fn duplicate(from: *const Word, to: *mut Word) {
    // SAFETY: the caller's promise: the header says what the payload is.
    unsafe {
        let header = *from;
        match word::header_aux(header) {
            Counters::AUX => again::<Counters>(from, to),
            <Atomics<i64>>::AUX => again::<Atomics<i64>>(from, to),
            <Atomics<u64>>::AUX => again::<Atomics<u64>>(from, to),
            <Box<Anything>>::AUX => unreachable!("nobody copies what a region keeps"),
            _ => again::<Arc<Anything>>(from, to),
        }
        to.write(header);
    }
}

/// # Safety
///
/// The payload of `from` must be a `T`, and `to` be as in [`duplicate`].
unsafe fn again<T: Clone>(from: *const Word, to: *mut Word) {
    // SAFETY: the caller's promise.
    unsafe { payload::<T>(to).cast_mut().write((*payload::<T>(from)).clone()) };
}

/// Drops the payload of the resource at `p`, whose header is `header`.
///
/// # Safety
///
/// The object must own it and not be used again.
pub(super) unsafe fn drop_payload(header: Word, p: *mut Word) {
    // SAFETY: the caller's promise: the header says what the payload is.
    unsafe {
        match word::header_aux(header) {
            Counters::AUX => ptr::drop_in_place(payload::<Counters>(p).cast_mut()),
            <Atomics<i64>>::AUX => ptr::drop_in_place(payload::<Atomics<i64>>(p).cast_mut()),
            <Atomics<u64>>::AUX => ptr::drop_in_place(payload::<Atomics<u64>>(p).cast_mut()),
            <Box<Anything>>::AUX => ptr::drop_in_place(payload::<Box<Anything>>(p).cast_mut()),
            _ => ptr::drop_in_place(payload::<Arc<Anything>>(p).cast_mut()),
        }
    }
}
