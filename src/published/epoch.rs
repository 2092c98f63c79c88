//! crossbeam-epoch, with a collector per cell: who stays long in one cell holds up no other.

use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use super::turns::Turns;
use super::{contain, sealed};

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
    /// Some until it is dropped.
    handle: Option<LocalHandle>,
    /// Dead once the cell is.
    shared: Weak<Shared>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (Some(handle), Some(shared)) = (self.handle.take(), self.shared.upgrade()) else { return };
        shared.mark(&handle.pin());
        // It enters for a last time when it goes, which may keep somebody else's collection from its aim.
        drop(handle);
        shared.left();
    }
}

/// `current` is a leaked box. A guard that is pinned before the pointer is loaded keeps it alive: who takes the
/// pointer out of the cell only defers the drop.
#[derive(Debug)]
pub struct Cell<T> {
    current: AtomicPtr<T>,
    shared: Arc<Shared>,
}

/// What a thread that ends still needs of a cell.
#[derive(Debug)]
struct Shared {
    id: u64,
    collector: Collector,
    /// What was deferred counts down here, and must not own the collector that owns it.
    deferred: Arc<Deferred>,
    turns: Turns,
}

#[derive(Debug, Default)]
struct Deferred {
    /// Values replaced and not dropped.
    values: AtomicUsize,
    /// And marks: what was put into the queue of the collector, and did not come out.
    all: AtomicUsize,
}

impl Shared {
    /// Pinning now and then drops values, whose own drop can come back here: hence nowhere a borrow that must succeed.
    #[inline]
    fn enter(self: &Arc<Self>) -> Guard {
        let guard = HANDLES.try_with(|handles| {
            let handles = handles.try_borrow().ok()?;
            let one = handles.iter().find(|one| one.cell == self.id)?;
            one.handle.as_ref().map(LocalHandle::pin)
        });
        match guard {
            Ok(Some(guard)) => guard,
            _ => self.register(),
        }
    }

    /// Enters for the first time on this thread.
    #[cold]
    fn register(self: &Arc<Self>) -> Guard {
        let handle = self.collector.register();
        let guard = handle.pin();
        let mut handle = Some(handle);
        let gone = HANDLES.try_with(|handles| {
            let mut handles = handles.try_borrow_mut().ok()?;
            let gone: Vec<_> = handles.extract_if(.., |one| one.shared.strong_count() == 0).collect();
            handles.push(Registration { cell: self.id, handle: handle.take(), shared: Arc::downgrade(self) });
            Some(gone)
        });
        if handle.is_some() {
            // The list cannot be had, at the end of a thread or within a drop: the handle serves this once, and the
            // guard outlives it.
            self.mark(&guard);
        }
        // After the borrow: dropping handles can drop values.
        drop(gone);
        guard
    }

    /// Puts a mark into what `guard`'s handle leaves in the queue when it goes. The collector takes a few such bags out
    /// per round, and a round that found empty ones has got somewhere.
    fn mark(&self, guard: &Guard) {
        self.deferred.all.fetch_add(1, Relaxed);
        let deferred = Arc::clone(&self.deferred);
        guard.defer(move || _ = deferred.all.fetch_sub(1, Relaxed));
    }

    /// Drops what can be dropped.
    fn collect(self: &Arc<Self>) {
        self.turns.collect(|| self.rounds());
    }

    /// After leaving.
    #[inline]
    fn left(self: &Arc<Self>) {
        self.turns.left(&self.deferred.values, || self.rounds());
    }

    #[cold]
    fn rounds(self: &Arc<Self>) {
        let mut idle = 0;
        let mut before = self.deferred.all.load(Relaxed);
        // A round drops a few values only, so it goes on as long as it gets somewhere.
        while self.retained() != 0 && idle < ROUNDS {
            self.enter().flush();
            let now = self.deferred.all.load(Relaxed);
            idle = if now < before { 0 } else { idle + 1 };
            before = now;
        }
    }

    fn retained(&self) -> usize {
        // Relaxed, here and where it changes: a count; who relies on it has the fences of `turns`.
        self.deferred.values.load(Relaxed)
    }
}

impl<T> Cell<T> {
    fn retire(&self, old: *mut T, guard: &Guard)
    where
        T: Send + 'static,
    {
        self.shared.deferred.all.fetch_add(1, Relaxed);
        Turns::replaced(&self.shared.deferred.values);
        let (old, deferred) = (Retired(old), Arc::clone(&self.shared.deferred));
        // SAFETY: the pointer is out of the cell, so who still has it entered before; `T` is Send and 'static, so any
        // thread may drop it at any time.
        unsafe {
            guard.defer_unchecked(move || {
                contain(|| old.free());
                deferred.values.fetch_sub(1, Relaxed);
                deferred.all.fetch_sub(1, Relaxed);
            });
        }
        // Out of this thread's hands: somebody else may be the one who collects.
        guard.flush();
    }

    pub(super) fn collect(&self) {
        self.shared.collect();
    }

    pub(super) fn retained(&self) -> usize {
        self.shared.retained()
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
        self.cell.shared.left();
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
            shared: Arc::new(Shared {
                // Relaxed: all that matters is that no number comes twice.
                id: NEXT.fetch_add(1, Relaxed),
                collector: Collector::new(),
                deferred: Arc::default(),
                turns: Turns::default(),
            }),
        }
    }

    #[inline]
    fn read(&self) -> Held<'_, T> {
        let pin = self.pin();
        Held { value: pin.current(), _pin: pin }
    }

    #[inline]
    fn pin(&self) -> Pin<'_, T> {
        Pin { cell: self, guard: Some(self.shared.enter()) }
    }

    #[inline]
    fn get<'p>(pin: &'p mut Pin<'_, T>) -> &'p T {
        // SAFETY: loaded under the guard, which stays while the pin is borrowed.
        unsafe { &*pin.current() }
    }

    fn repin(pin: &mut Pin<'_, T>) {
        pin.leave();
        pin.guard = Some(pin.cell.shared.enter());
    }

    fn store(&self, value: T) {
        let new = Box::into_raw(Box::new(value));
        let guard = self.shared.enter();
        // AcqRel: Release publishes the value; Acquire, because it may be here that the old one is dropped.
        self.retire(self.current.swap(new, AcqRel), &guard);
        drop(guard);
        self.collect();
    }

    fn compare_and_store(&self, current: &T, new: T) -> Result<(), T> {
        let new = Box::into_raw(Box::new(new));
        let guard = self.shared.enter();
        let old = ptr::from_ref(current).cast_mut();
        // As in `store`. The address cannot have been used again: `current` is alive.
        if self.current.compare_exchange(old, new, AcqRel, Relaxed).is_ok() {
            self.retire(old, &guard);
            drop(guard);
            self.collect();
            return Ok(());
        }
        // SAFETY: made above, and not published.
        Err(*unsafe { Box::from_raw(new) })
    }

    // Not by `compare_and_store`, which would collect in vain: the reader that the closure's argument comes from is in.
    fn try_update<E>(&self, mut f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E> {
        let mut pin = self.pin();
        loop {
            let old = ptr::from_ref(Self::get(&mut pin)).cast_mut();
            // SAFETY: as in `get`; the pin stays.
            let new = Box::into_raw(Box::new(f(unsafe { &*old })?));
            // As in `store`. The address cannot have been used again: the guard keeps it.
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
        // Nobody is in, so this drops everything, but for what a reader that was forgotten keeps, and what a thread at its
        // end is about to drop.
        self.collect();
    }
}
