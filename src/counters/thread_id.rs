//! Dense numbers for the threads that write, one space for all [`Counters`](super::Counters).
//!
//! A thread takes the lowest free number at its first write and gives it back when it ends. Who holds a number is the
//! only writer of the rows with that number, in every array: that is what makes a plain load and store enough.
//!
//! **I1 (owner).** Between taking a number and giving it back, one thread holds it. The holder is the [`Lease`], which
//! is counted: by its thread, and by the [`Writer`](super::Writer)s that it made, which a thread-local may keep beyond
//! the end of the rest of its thread.
//!
//! **I2 (hand-over).** Numbers travel through a mutex, so everything that the last holder wrote happened before the
//! next one writes.
//!
//! **I3 (late writes).** [`ID`] has no destructor, so it can be read when other thread-locals of its thread are torn
//! down. It says [`NONE`] from the moment the thread gives its lease up.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use crate::sync::mutation::{Mutation, mutated};
use crate::sync::{Arc, Mutex, global, local};

/// The thread has not written yet.
const UNASSIGNED: u32 = u32::MAX;
/// The thread has no number: it gave it back, or there was none left, or it is just being given one.
const NONE: u32 = u32::MAX - 1;

/// The numbers below this one are given out. It is what the row table of an array has room for.
pub(super) const LIMIT: u32 = super::stripes::CAPACITY;

local! {
    static ID: Cell<u32> = Cell::new(UNASSIGNED);
}

local! {
    static OWNER: Owner = Owner(RefCell::new(None));
}

global! {
    static REGISTRY: Arc<Registry> = Arc::new(Registry::default());
}

/// Which numbers are taken.
#[derive(Default)]
struct Registry {
    numbers: Mutex<Numbers>,
    /// What the fault `HandoverRelaxed` passes a number through instead of the mutex: the number plus one.
    #[cfg(all(loom, feature = "loom"))]
    unsynchronised: crate::sync::atomic::AtomicUsize,
}

#[derive(Default)]
struct Numbers {
    /// Given back, lowest first, so that the rows in use stay dense.
    free: BinaryHeap<Reverse<u32>>,
    /// Everything from here on was never taken.
    next: u32,
}

impl Registry {
    fn take(&self) -> Option<u32> {
        #[cfg(all(loom, feature = "loom"))]
        if mutated(Mutation::HandoverRelaxed) {
            use crate::sync::atomic::Ordering::Relaxed;
            if let Some(id) = self.unsynchronised.swap(0, Relaxed).checked_sub(1) {
                return Some(id as u32);
            }
        }
        let mut numbers = self.numbers.lock();
        if let Some(Reverse(id)) = numbers.free.pop() {
            return Some(id);
        }
        if numbers.next == LIMIT {
            return None;
        }
        // Room for all of them at once, so that giving one back, in a destructor, never allocates.
        let room = numbers.next as usize + 1 - numbers.free.len();
        numbers.free.try_reserve(room).ok()?;
        numbers.next += 1;
        Some(numbers.next - 1)
    }

    fn give_back(&self, id: u32) {
        #[cfg(all(loom, feature = "loom"))]
        if mutated(Mutation::HandoverRelaxed) {
            return self.unsynchronised.store(id as usize + 1, crate::sync::atomic::Ordering::Relaxed);
        }
        self.numbers.lock().free.push(Reverse(id));
    }
}

/// A number, held by this thread. Given back when the last reference goes.
pub(super) struct Lease {
    id: u32,
    registry: Arc<Registry>,
}

impl Lease {
    pub(super) fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !model_failed() {
            self.registry.give_back(self.id);
        }
    }
}

/// The thread's own reference to its lease; it has the destructor that [`ID`] must not have.
struct Owner(RefCell<Option<Rc<Lease>>>);

impl Drop for Owner {
    fn drop(&mut self) {
        if !model_failed() {
            give_up(self);
        }
    }
}

/// A model that failed is torn down outside of loom's execution, where its locks and thread-locals panic.
fn model_failed() -> bool {
    crate::sync::MODELLED && std::thread::panicking()
}

fn give_up(owner: &Owner) {
    let Some(lease) = owner.0.take() else { return };
    if !mutated(Mutation::LateAddOnRow) {
        // Before the number goes: what this thread adds from here on, in destructors of other thread-locals, must not
        // touch rows that another thread may own at any moment (I3). Without its TLS the thread has no number either.
        let _ = ID.try_with(|id| id.set(NONE));
    }
    drop(lease);
}

/// This thread's number, or one past every row: not given one yet, or it has none.
#[inline(always)]
pub(super) fn current() -> u32 {
    ID.try_with(Cell::get).unwrap_or(NONE)
}

/// Calls `f` with this thread's lease, taken now if it never was.
///
/// Meanwhile the thread counts as one without a number: a counting allocator that adds to the counters whose row is
/// being allocated gets into the overflow row, not into a deadlock.
pub(super) fn with_lease<R>(f: impl FnOnce(Option<&Rc<Lease>>) -> R) -> R {
    let before = ID.try_with(|id| id.replace(NONE)).unwrap_or(NONE);
    if before == NONE {
        return f(None);
    }
    let mut after = NONE;
    let result = OWNER.try_with(|owner| {
        if before == UNASSIGNED {
            let registry = &*REGISTRY;
            let lease = registry.take().map(|id| Rc::new(Lease { id, registry: Arc::clone(registry) }));
            *owner.0.borrow_mut() = lease;
        }
        let lease = owner.0.borrow().clone();
        after = lease.as_ref().map_or(NONE, |lease| lease.id);
        lease
    });
    let result = f(result.ok().flatten().as_ref());
    let _ = ID.try_with(|id| id.set(after));
    result
}

/// What the end of a thread does to its number, for a model that goes on after it.
#[cfg(all(loom, feature = "loom"))]
pub(super) fn end_of_thread() {
    let _ = OWNER.try_with(give_up);
}
