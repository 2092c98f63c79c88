//! crossbeam-epoch, with a collector per cell: who stays long in one cell holds up no other.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use super::sealed;

/// A value that was replaced under one epoch is dropped two epochs later, each of which takes one round; one more to
/// find it.
const ROUNDS: usize = 4;

/// Never used again, so that what a thread remembers of a cell that is gone is found by nobody.
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's registrations.
    static HANDLES: RefCell<Vec<Registration>> = const { RefCell::new(Vec::new()) };
}

struct Registration {
    cell: u64,
    handle: LocalHandle,
    /// Dead once the cell is.
    alive: std::sync::Weak<AtomicUsize>,
}

/// `current` is a leaked box. A guard that is pinned before the pointer is loaded keeps it alive: who takes the
/// pointer out of the cell only defers the drop.
#[derive(Debug)]
pub struct Cell<T> {
    current: AtomicPtr<T>,
    id: u64,
    collector: Collector,
    /// Values replaced and not dropped.
    retained: Arc<AtomicUsize>,
}

impl<T> Cell<T> {
    /// Pinning now and then drops values, whose own drop can come back here: hence nowhere a borrow that must succeed.
    #[inline]
    fn enter(&self) -> Guard {
        let guard = HANDLES.try_with(|handles| {
            let handles = handles.try_borrow().ok()?;
            handles.iter().find(|one| one.cell == self.id).map(|one| one.handle.pin())
        });
        match guard {
            Ok(Some(guard)) => guard,
            _ => self.register(),
        }
    }

    /// Enters for the first time on this thread.
    #[cold]
    fn register(&self) -> Guard {
        let handle = self.collector.register();
        let guard = handle.pin();
        // Where the list cannot be had, at the end of a thread or within a drop, the handle serves this once: the guard
        // outlives it.
        let gone = HANDLES.try_with(|handles| {
            let mut handles = handles.try_borrow_mut().ok()?;
            let gone: Vec<_> = handles.extract_if(.., |one| one.alive.strong_count() == 0).collect();
            handles.push(Registration { cell: self.id, handle, alive: Arc::downgrade(&self.retained) });
            Some(gone)
        });
        // After the borrow: dropping handles can drop values.
        drop(gone);
        guard
    }

    fn retire(&self, old: *mut T, guard: &Guard)
    where
        T: Send + 'static,
    {
        // Relaxed, here and below: a count that announces nothing.
        self.retained.fetch_add(1, Relaxed);
        let (old, retained) = (Retired(old), Arc::clone(&self.retained));
        // SAFETY: the pointer is out of the cell, so who still has it entered before; `T` is Send and 'static, so any
        // thread may drop it at any time.
        unsafe {
            guard.defer_unchecked(move || {
                // A panic of the value's destructor is nobody's who happens to enter or to leave now, and it must keep no
                // other value from being dropped. What it was thrown with may panic too.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| old.free())) {
                    std::mem::forget(payload);
                }
                retained.fetch_sub(1, Relaxed);
            });
        }
    }

    pub(super) fn collect(&self) {
        let mut idle = 0;
        let mut before = self.retained();
        // A round drops a few values only, so it goes on as long as it gets somewhere.
        while before != 0 && idle < ROUNDS {
            self.enter().flush();
            let now = self.retained();
            idle = if now < before { 0 } else { idle + 1 };
            before = now;
        }
    }

    pub(super) fn retained(&self) -> usize {
        self.retained.load(Relaxed)
    }
}

struct Retired<T>(*mut T);

impl<T> Retired<T> {
    fn free(self) {
        // SAFETY: `retire`'s, whose grace period is over.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// A guard, and its cell for when it leaves.
#[derive(Debug)]
pub struct Pin<'a, T> {
    cell: &'a Cell<T>,
    guard: Option<Guard>,
}

impl<T> Pin<'_, T> {
    fn current(&self) -> *const T {
        // Acquire: pairs with the writers' Release, so that the value is there.
        self.cell.current.load(Acquire)
    }

    /// Leaves, and drops what has been waiting for that.
    fn leave(&mut self) {
        self.guard = None;
        if self.cell.retained() != 0 {
            self.cell.collect();
        }
    }
}

impl<T> Drop for Pin<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

#[derive(Debug)]
pub struct Held<'a, T> {
    value: *const T,
    _pin: Pin<'a, T>,
}

impl<T> std::ops::Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: loaded under the guard, which is still there.
        unsafe { &*self.value }
    }
}

impl<T: Send + Sync + 'static> sealed::Cell<T> for Cell<T> {
    type Ref<'a> = Held<'a, T>;
    type Pin<'a> = Pin<'a, T>;

    fn new(value: T) -> Self {
        Self {
            current: AtomicPtr::new(Box::into_raw(Box::new(value))),
            // Relaxed: all that matters is that no number comes twice.
            id: NEXT.fetch_add(1, Relaxed),
            collector: Collector::new(),
            retained: Arc::new(AtomicUsize::new(0)),
        }
    }

    #[inline]
    fn read(&self) -> Held<'_, T> {
        let pin = self.pin();
        Held { value: pin.current(), _pin: pin }
    }

    #[inline]
    fn pin(&self) -> Pin<'_, T> {
        Pin { cell: self, guard: Some(self.enter()) }
    }

    #[inline]
    fn get<'p>(pin: &'p mut Pin<'_, T>) -> &'p T {
        // SAFETY: loaded under the guard, which stays while the pin is borrowed.
        unsafe { &*pin.current() }
    }

    fn repin(pin: &mut Pin<'_, T>) {
        pin.leave();
        pin.guard = Some(pin.cell.enter());
    }

    fn replace(&self, value: T) {
        let new = Box::into_raw(Box::new(value));
        let guard = self.enter();
        // AcqRel: Release publishes the value; Acquire, because it may be here that the old one is dropped.
        self.retire(self.current.swap(new, AcqRel), &guard);
        drop(guard);
        self.collect();
    }

    fn try_update<E>(&self, mut f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E> {
        let mut pin = self.pin();
        loop {
            let old = ptr::from_ref(Self::get(&mut pin)).cast_mut();
            // SAFETY: as in `get`; the pin stays.
            let new = Box::into_raw(Box::new(f(unsafe { &*old })?));
            // As in `replace`. The address cannot have been used again: the guard keeps it.
            if self.current.compare_exchange(old, new, AcqRel, Relaxed).is_ok() {
                self.retire(old, pin.guard.as_ref().expect("a pin that did not leave"));
                return Ok(());
            }
            // SAFETY: made above, and not published.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        // SAFETY: a leaked box, and nobody borrows the cell.
        drop(unsafe { Box::from_raw(*self.current.get_mut()) });
        // Nobody is in, so this drops everything, but for what a reader that was forgotten keeps.
        self.collect();
    }
}
