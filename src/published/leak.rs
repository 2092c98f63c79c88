//! Replaced values stay in a list, which is freed with the cell.

use std::ptr::NonNull;

use crate::sync::Mutex;
use crate::sync::atomic::AtomicPtr;
use crate::sync::atomic::Ordering::{AcqRel, Acquire};
use crate::sync::mutation::{Mutation, ordering};

use super::sealed;

/// Every pointer that was ever in `current` is a leaked box that only the cell's own drop frees, so a reference that
/// borrows the cell is good.
#[derive(Debug)]
pub struct Cell<T> {
    current: AtomicPtr<T>,
    replaced: Mutex<Vec<Replaced<T>>>,
}

/// A leaked box, freed with this.
#[derive(Debug)]
struct Replaced<T>(NonNull<T>);

// SAFETY: it owns a `T`.
unsafe impl<T: Send> Send for Replaced<T> {}

impl<T> Drop for Replaced<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box, and is in no cell any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T> Cell<T> {
    fn current(&self) -> &T {
        // Acquire: pairs with the writers' Release, so that the value is there.
        // SAFETY: it is not null and not freed before the cell.
        unsafe { &*self.current.load(ordering(Mutation::ReadRelaxed, Acquire)) }
    }

    fn keep(&self, old: *mut T) {
        self.replaced.lock().push(Replaced(NonNull::new(old).expect("a cell is never empty")));
    }

    pub(super) fn retained(&self) -> usize {
        self.replaced.lock().len()
    }
}

impl<T: Send + Sync + 'static> sealed::Cell<T> for Cell<T> {
    type Ref<'a> = &'a T;
    type Pin<'a> = &'a Self;

    fn new(value: T) -> Self {
        Self { current: AtomicPtr::new(Box::into_raw(Box::new(value))), replaced: Mutex::new(Vec::new()) }
    }

    #[inline]
    fn read(&self) -> &T {
        self.current()
    }

    #[inline]
    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn get<'p>(pin: &'p mut Self::Pin<'_>) -> &'p T {
        pin.current()
    }

    fn repin(_: &mut Self::Pin<'_>) {}

    fn store(&self, value: T) {
        // AcqRel: Release publishes the value; Acquire, because the cell's drop frees what another writer made.
        let order = ordering(Mutation::PublishRelaxed, AcqRel);
        self.keep(self.current.swap(Box::into_raw(Box::new(value)), order));
    }

    fn compare_and_store(&self, current: &T, new: T) -> Result<(), T> {
        let old = std::ptr::from_ref(current).cast_mut();
        let new = Box::into_raw(Box::new(new));
        // As in `store`. The address cannot have been used again: nothing is freed.
        if self.current.compare_exchange(old, new, ordering(Mutation::PublishRelaxed, AcqRel), Acquire).is_ok() {
            self.keep(old);
            return Ok(());
        }
        // SAFETY: made above, and not published.
        Err(*unsafe { Box::from_raw(new) })
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        if crate::sync::MODELLED && std::thread::panicking() {
            return; // a model that failed is torn down outside of loom's execution
        }
        // Acquire: as in `store`.
        // SAFETY: a leaked box, and nobody borrows the cell.
        drop(unsafe { Box::from_raw(self.current.load(Acquire)) });
    }
}
