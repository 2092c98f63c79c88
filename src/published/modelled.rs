//! Under loom: a number that loom sees, in a list of all values there were.
//!
//! The load and store of the number are ordered as those of the pointer in production, and the list is not visible to
//! loom, so a model explores which value a read can see. Nothing is dropped before the cell.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::{AcqRel, Acquire};

use super::sealed;

#[derive(Debug)]
pub struct Cell<T> {
    current: AtomicUsize,
    values: Mutex<Vec<Arc<T>>>,
}

impl<T> Cell<T> {
    fn value(&self, number: usize) -> Arc<T> {
        Arc::clone(&self.values.lock().unwrap_or_else(PoisonError::into_inner)[number])
    }

    fn add(&self, value: T) -> usize {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.push(Arc::new(value));
        values.len() - 1
    }

    #[cfg(feature = "arc-swap")]
    pub(super) fn to_arc(&self) -> Arc<T> {
        self.value(self.current.load(Acquire))
    }

    pub(super) fn retained(&self) -> usize {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).len() - 1
    }

    #[cfg(feature = "epoch")]
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
        Self { current: AtomicUsize::new(0), values: Mutex::new(vec![Arc::new(value)]) }
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

    fn replace(&self, value: T) {
        self.current.swap(self.add(value), AcqRel);
    }

    fn try_update<E>(&self, mut f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E> {
        loop {
            let old = self.current.load(Acquire);
            let new = self.add(f(&self.value(old))?);
            if self.current.compare_exchange(old, new, AcqRel, Acquire).is_ok() {
                return Ok(());
            }
        }
    }
}
