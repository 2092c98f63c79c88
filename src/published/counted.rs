//! arc-swap.

use std::ptr;
use std::sync::Arc;

use arc_swap::cache::Cache;
use arc_swap::{ArcSwap, Guard};

use super::sealed;

#[derive(Debug)]
pub struct Cell<T>(ArcSwap<T>);

impl<T> Cell<T> {
    pub(super) fn to_arc(&self) -> Arc<T> {
        self.0.load_full()
    }
}

/// What [`Guard`] is, as a reference on the value.
#[derive(Debug)]
pub struct Held<T>(Guard<Arc<T>>);

impl<T> std::ops::Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> sealed::Cell<T> for Cell<T> {
    type Ref<'a> = Held<T>;
    type Pin<'a> = Cache<&'a ArcSwap<T>, Arc<T>>;

    fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    #[inline]
    fn read(&self) -> Held<T> {
        Held(self.0.load())
    }

    #[inline]
    fn pin(&self) -> Self::Pin<'_> {
        Cache::new(&self.0)
    }

    #[inline]
    fn get<'p>(pin: &'p mut Self::Pin<'_>) -> &'p T {
        pin.load()
    }

    fn repin(pin: &mut Self::Pin<'_>) {
        pin.load(); // lets the value go, if it was replaced
    }

    fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }

    fn compare_and_store(&self, current: &T, new: T) -> Result<(), T> {
        let old = self.0.load();
        if !ptr::eq(Arc::as_ptr(&old), current) {
            return Err(new);
        }
        let new = Arc::new(new);
        let before = self.0.compare_and_swap(&*old, Arc::clone(&new));
        if Arc::ptr_eq(&old, &before) {
            return Ok(());
        }
        Err(Arc::into_inner(new).expect("what was not published is nobody else's"))
    }
    // Not by `compare_and_store`, which would load once more.
    fn try_update<E>(&self, mut f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E> {
        loop {
            let old = self.0.load();
            let before = self.0.compare_and_swap(&*old, Arc::new(f(&old)?));
            if Arc::ptr_eq(&old, &before) {
                return Ok(());
            }
        }
    }
}
