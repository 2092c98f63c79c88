//! Objects whose contents lie outside the heap: large binaries and resources.
//!
//! ```text
//! header | next object of the same heap's list | payload: that of a `binary`, or of a `resource`
//! ```
//!
//! The list is how a heap that is dropped without tracing still releases what it holds. An object enters it after its
//! last word is written (invariant 8), and the list of a heap is the truth about what that heap owns: a payload that a
//! collection has moved bit for bit belongs to the list that links it.

use super::{binary, resource};
use crate::term::word::{self, Object, Word};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// The payload of the object at `p`.
#[inline(always)]
pub(crate) fn payload<T>(p: *const Word) -> *const T {
    p.wrapping_add(2).cast()
}

/// Writes a resource at `p` and puts it at the head of `list`.
///
/// # Safety
///
/// `p` must be valid for the words of the object, in the heap that `list` belongs to.
pub(super) unsafe fn write<T: resource::Payload>(p: *mut Word, value: T, list: &mut *mut Word) {
    // SAFETY: the caller's promise; the payload is written before the object is linked (invariant 8).
    unsafe {
        p.wrapping_add(2).cast::<T>().write(value);
        p.write(T::HEADER);
        link(p, list);
    }
}

/// Puts the complete object at `p` at the head of `list`.
///
/// # Safety
///
/// `p` must be a complete object in the heap that `list` belongs to, and not be on a list.
pub(crate) unsafe fn link(p: *mut Word, list: &mut *mut Word) {
    // SAFETY: the second word of the object is its link.
    unsafe { p.add(1).write((*list).expose_provenance() as Word) };
    *list = p;
}

/// Writes a second object for the payload of the one at `from`, and links it.
///
/// # Safety
///
/// `from` must be a living object with its header in place, and `to` be valid for its words, in the heap that `list` belongs
/// to.
pub(crate) unsafe fn duplicate(from: *const Word, to: *mut Word, list: &mut *mut Word) {
    // SAFETY: the header tells which payload lies there.
    unsafe {
        if word::header_kind(*from) == Object::Bytes {
            return binary::duplicate(from, to, list);
        }
        resource::duplicate(from, to);
        link(to, list);
    }
}

/// The object after `p`, which must be on a list.
pub(crate) fn next(p: *mut Word) -> *mut Word {
    // SAFETY: `p` is an object on a list: its second word is the link, an address that was exposed when it was linked.
    ptr::with_exposed_provenance_mut(unsafe { *p.add(1) } as usize)
}

/// Calls `f` with the value of each resource on a list.
///
/// # Safety
///
/// The list must be that of a heap that stands still.
#[cfg(feature = "runtime")]
pub(crate) unsafe fn each_resource(list: *mut Word, mut f: impl FnMut(&(dyn Any + Send + Sync))) {
    let mut p = list;
    while !p.is_null() {
        // SAFETY: the caller's promise: an object with its header in place, whose kind says what its payload is.
        unsafe {
            if word::header_kind(*p) == Object::Resource {
                f(resource::value(*p, p).0);
            }
        }
        p = next(p);
    }
}

/// What a user's destructor panicked with, kept until the memory is in order again.
#[must_use]
#[derive(Default)]
pub(crate) struct Panicked(Option<Box<dyn Any + Send>>);

impl Panicked {
    /// Runs a user's destructor, and keeps what it panics with. Of several, the last.
    pub(crate) fn during(&mut self, destructor: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(destructor)) {
            self.join(Self(Some(payload)));
        }
    }

    /// What another one has kept is the later.
    pub(crate) fn join(&mut self, later: Self) {
        if let Some(payload) = later.0 {
            Self(self.0.replace(payload)).end();
        }
    }

    /// Goes on with the panic, unless one is under way already: then it [ends](Self::end) here.
    #[inline]
    pub(crate) fn pass_on(self) {
        let Some(payload) = self.0 else { return };
        if std::thread::panicking() {
            return drop_quietly(payload);
        }
        std::panic::resume_unwind(payload);
    }

    /// Ends the panic here.
    pub(crate) fn end(self) {
        if let Some(payload) = self.0 {
            drop_quietly(payload);
        }
    }
}

/// Drops what `error` comes out of. A destructor that panics ends here: the error must not be at hand while something
/// unwinds, because dropped then it could panic too, which would abort.
pub(crate) fn error_of<T, E>(dropped: T, error: E) -> E {
    let mut panicked = Panicked::default();
    panicked.during(|| drop(dropped));
    panicked.end();
    error
}

/// Drops what a panic was thrown with. It is the user's too, and may panic when it is dropped; what *that* is thrown with
/// is leaked, because it could go on so for ever.
pub(crate) fn drop_quietly(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Releases the payloads from `*list` up to, and without, `until`, and makes `until` the head.
///
/// That runs destructors of users. One that panics keeps none of the others from running.
///
/// # Safety
///
/// `until` must be null or on the list. The objects must not be read afterwards.
pub(crate) unsafe fn drop_until(list: &mut *mut Word, until: *mut Word) -> Panicked {
    let mut panicked = Panicked::default();
    while *list != until {
        let p = *list;
        *list = next(p);
        // SAFETY: the object owns its payload, and is off the list now.
        panicked.during(|| unsafe { drop_payload(p) });
    }
    panicked
}

/// # Safety
///
/// The object at `p` must own its payload and not be used again.
unsafe fn drop_payload(p: *mut Word) {
    // SAFETY: the caller's promise. An interrupted collection leaves a forwarding pointer where the header was; the copy
    // it points to still has it.
    unsafe {
        let first = *p;
        let header = if word::is_header(first) { first } else { *word::address(first) };
        match word::header_kind(header) {
            Object::Bytes => binary::drop_payload(p),
            _ => resource::drop_payload(header, p),
        }
    }
}

/// After a collection: links what was moved from where `left` holds to the list `to`, what was moved from elsewhere to
/// the list `other`, and leaves what was not moved on its own.
///
/// # Safety
///
/// `from` must be the list of the space that was collected, whose moved objects have a forwarding pointer for a header;
/// the other lists must be those of the spaces they went to.
pub(crate) unsafe fn sweep(
    from: &mut *mut Word,
    left: impl Fn(*mut Word) -> bool,
    to: &mut *mut Word,
    other: &mut *mut Word,
) {
    let (mut p, mut dead) = (*from, ptr::null_mut());
    while !p.is_null() {
        let after = next(p);
        // SAFETY: an object of the list, which is taken apart; each goes to one of the three.
        unsafe {
            let first = *p;
            if word::is_header(first) {
                link(p, &mut dead);
            } else {
                link(word::address(first), if left(p) { to } else { other });
            }
        }
        p = after;
    }
    *from = dead;
}

/// Puts all of `front` before `list`. O(length of `front`).
///
/// # Safety
///
/// Both must be lists of heaps that become one.
pub(crate) unsafe fn prepend(front: *mut Word, list: &mut *mut Word) {
    if front.is_null() {
        return;
    }
    let mut last = front;
    while !next(last).is_null() {
        last = next(last);
    }
    // SAFETY: the last object of a list: its link is its second word.
    unsafe { last.add(1).write((*list).expose_provenance() as Word) };
    *list = front;
}
