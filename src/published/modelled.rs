//! Under loom: a number that loom sees, in a list of all values there were.
//!
//! The load and store of the number are ordered as those of the pointer in production, and the list is not visible to
//! loom, so a model explores which value a read can see. Nothing is dropped before the cell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::{AcqRel, Acquire};

use super::sealed;

#[derive(Debug)]
pub struct Cell<T> {
    current: AtomicUsize,
    /// None where a value was never published, and went back to who brought it.
    values: Mutex<Vec<Option<Arc<T>>>>,
}

impl<T> Cell<T> {
    fn values(&self) -> MutexGuard<'_, Vec<Option<Arc<T>>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self, number: usize) -> Arc<T> {
        Arc::clone(self.values()[number].as_ref().expect("a number that was published"))
    }

    fn add(&self, value: T) -> usize {
        let mut values = self.values();
        values.push(Some(Arc::new(value)));
        values.len() - 1
    }

    fn take_back(&self, number: usize) -> T {
        let value = self.values()[number].take();
        value.and_then(Arc::into_inner).expect("what was not published is nobody else's")
    }

    #[cfg(feature = "arc-swap")]
    pub(super) fn to_arc(&self) -> Arc<T> {
        self.value(self.current.load(Acquire))
    }

    #[cfg(any(feature = "epoch", feature = "hyaline"))]
    pub(super) fn retained(&self) -> usize {
        self.values().iter().flatten().count() - 1
    }

    #[cfg(any(feature = "epoch", feature = "hyaline"))]
    #[expect(clippy::unused_self, reason = "as in production")]
    pub(super) fn collect(&self) {}
}

#[derive(Debug)]
pub struct Pin<'a, T> {
    cell: &'a Cell<T>,
    last: Option<Arc<T>>,
}

impl<T: Send + Sync + 'static> sealed::Cell<T> for Cell<T> {
    type Ref<'a> = Arc<T>;
    type Pin<'a> = Pin<'a, T>;

    fn new(value: T) -> Self {
        Self { current: AtomicUsize::new(0), values: Mutex::new(vec![Some(Arc::new(value))]) }
    }

    fn read(&self) -> Arc<T> {
        self.value(self.current.load(Acquire))
    }

    fn pin(&self) -> Pin<'_, T> {
        Pin { cell: self, last: None }
    }

    fn get<'p>(pin: &'p mut Pin<'_, T>) -> &'p T {
        pin.last.insert(pin.cell.read())
    }

    fn repin(pin: &mut Pin<'_, T>) {
        pin.last = None;
    }

    fn store(&self, value: T) {
        self.current.swap(self.add(value), AcqRel);
    }

    fn compare_and_store(&self, current: &T, new: T) -> Result<(), T> {
        let old = self.current.load(Acquire);
        if !std::ptr::eq(Arc::as_ptr(&self.value(old)), current) {
            return Err(new);
        }
        let number = self.add(new);
        if self.current.compare_exchange(old, number, AcqRel, Acquire).is_ok() {
            return Ok(());
        }
        Err(self.take_back(number))
    }
}
