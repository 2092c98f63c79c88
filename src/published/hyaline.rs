//! seize, with a collector per cell.
//!
//! seize hands what was replaced to the readers that are in, one entry of a batch to each, and the last of them to leave
//! drops it. A batch with fewer entries than there are readers stays with its thread until more is retired there, so a
//! `store` fills its batch up: with an entry for every thread that there can be. What it replaced then ends without
//! another `store`.

use std::cell::Cell as LocalCell;
use std::fmt;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize, fence};
use std::sync::{Arc, LazyLock};

use seize::{Collector, Guard as _, LocalGuard, OwnedGuard};

use super::{contain, sealed};

/// One more than the highest number that a thread has at seize. Numbers are reused, so it follows the most threads there
/// were at a time.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// Readers without a number of their thread, now and at most.
static LATE: AtomicUsize = AtomicUsize::new(0);
static MOST_LATE: AtomicUsize = AtomicUsize::new(0);

/// Tells numbers of threads. It has no values, so entering it is seen by nobody.
static NUMBERS: LazyLock<Collector> = LazyLock::new(Collector::new);

#[derive(Clone, Copy)]
enum Phase {
    /// The thread has read no cell yet.
    New,
    /// `THREADS` counts it.
    Counted,
    /// Its thread-locals are being dropped, seize's perhaps among them.
    Ending,
}

thread_local! {
    /// Has no destructor, so it can be read to the very end.
    static PHASE: LocalCell<Phase> = const { LocalCell::new(Phase::New) };
    static END: End = const { End };
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        PHASE.set(Phase::Ending);
    }
}

/// No fewer than the readers that anybody has seen in a cell, in the order of happens-before. Never gets lower.
fn most_readers() -> usize {
    // Acquire: pairs with the Release of `count`, by way of what a reader's entering wrote.
    fence(Acquire);
    THREADS.load(Relaxed) + MOST_LATE.load(Relaxed)
}

/// Raises what `most_readers` is made of, before the reader enters a cell.
fn count(readers: &AtomicUsize, n: usize) {
    readers.fetch_max(n, Relaxed);
    // Release: see `most_readers`.
    fence(Release);
}

/// A reader at the end of its thread, as long as it is in.
struct Late;

impl Late {
    fn new() -> Self {
        // Relaxed, here and below: `count` orders it.
        count(&MOST_LATE, LATE.fetch_add(1, Relaxed) + 1);
        Self
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        LATE.fetch_sub(1, Relaxed);
    }
}

enum Guard<'a> {
    Local(LocalGuard<'a>),
    /// In this order: it counts until it has left.
    Late(OwnedGuard<'a>, Late),
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl<'a> Guard<'a> {
    #[inline]
    fn enter(collector: &'a Collector) -> Self {
        if let Phase::Counted = PHASE.get() { Self::Local(collector.enter()) } else { Self::enter_slowly(collector) }
    }

    #[cold]
    fn enter_slowly(collector: &'a Collector) -> Self {
        if let Phase::New = PHASE.get() {
            // seize's thread-local first, so that its destructor comes after ours.
            let number = NUMBERS.enter().thread_id();
            if END.try_with(|_| ()).is_ok() {
                count(&THREADS, number + 1);
                PHASE.set(Phase::Counted);
                return Self::Local(collector.enter());
            }
        }
        let late = Late::new();
        Self::Late(collector.enter_owned(), late)
    }

    #[inline]
    fn load<N>(&self, current: &AtomicPtr<N>) -> *mut N {
        match self {
            Self::Local(guard) => guard.protect(current, Acquire),
            Self::Late(guard, _) => guard.protect(current, Acquire),
        }
    }

    fn refresh(&mut self) {
        match self {
            Self::Local(guard) => guard.refresh(),
            Self::Late(guard, _) => guard.refresh(),
        }
    }

    /// # Safety
    ///
    /// As for seize's `defer_retire`: who enters from now on does not find `p`, and `reclaim` may be called for it once.
    unsafe fn retire<N>(&self, p: *mut N, reclaim: unsafe fn(*mut N, &Collector)) {
        match self {
            // SAFETY: the caller's promise.
            Self::Local(guard) => unsafe { guard.defer_retire(p, reclaim) },
            // SAFETY: the same.
            Self::Late(guard, _) => unsafe { guard.defer_retire(p, reclaim) },
        }
    }

    /// Hands what this thread retired to the readers that are in.
    fn hand_over(&self) {
        unsafe fn nothing(_: *mut (), _: &Collector) {}

        let mut entries = 0;
        // Again if a reader came that the entries may not have sufficed for.
        while entries < most_readers() {
            entries += 1;
            // SAFETY: there is nothing to be found, and nothing that `nothing` does.
            unsafe { self.retire(ptr::NonNull::<()>::dangling().as_ptr(), nothing) };
            if entries >= most_readers() {
                match self {
                    Self::Local(guard) => guard.flush(),
                    Self::Late(guard, _) => guard.flush(),
                }
            }
        }
    }
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    /// See [`Cell`].
    retained: Arc<AtomicUsize>,
}

/// `current` is a leaked box. Who enters before the pointer is loaded keeps it alive: who takes the pointer out of the cell
/// only retires it.
#[derive(Debug)]
pub struct Cell<T> {
    current: AtomicPtr<Node<T>>,
    collector: Collector,
    /// Values replaced and not dropped.
    retained: Arc<AtomicUsize>,
}

/// # Safety
///
/// `node` is a leaked box that nobody reads any more.
unsafe fn free<T>(node: *mut Node<T>, _: &Collector) {
    // SAFETY: the caller's promise.
    let node = unsafe { Box::from_raw(node) };
    let retained = Arc::clone(&node.retained);
    contain(|| drop(node));
    // Relaxed: a count that announces nothing.
    retained.fetch_sub(1, Relaxed);
}

impl<T> Cell<T> {
    fn node(&self, value: T) -> *mut Node<T> {
        Box::into_raw(Box::new(Node { value, retained: Arc::clone(&self.retained) }))
    }

    fn retire(&self, old: *mut Node<T>, guard: &Guard<'_>)
    where
        T: Send + 'static,
    {
        // Relaxed: as in `free`.
        self.retained.fetch_add(1, Relaxed);
        // SAFETY: the pointer is out of the cell; `T` is Send and 'static, so any thread may drop it at any time.
        unsafe { guard.retire(old, free) };
        guard.hand_over();
    }

    pub(super) fn collect(&self) {
        if self.retained() != 0 {
            Guard::enter(&self.collector).hand_over();
        }
    }

    pub(super) fn retained(&self) -> usize {
        self.retained.load(Relaxed)
    }
}

/// A reader that is in.
#[derive(Debug)]
pub struct Pin<'a, T> {
    current: &'a AtomicPtr<Node<T>>,
    guard: Guard<'a>,
}

impl<T> Pin<'_, T> {
    #[inline]
    fn current(&self) -> *mut Node<T> {
        self.guard.load(self.current)
    }
}

#[derive(Debug)]
pub struct Held<'a, T> {
    node: *const Node<T>,
    _pin: Pin<'a, T>,
}

impl<T> std::ops::Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: loaded under the guard, which is still there.
        unsafe { &(*self.node).value }
    }
}

impl<T: Send + Sync + 'static> sealed::Cell<T> for Cell<T> {
    type Ref<'a> = Held<'a, T>;
    type Pin<'a> = Pin<'a, T>;

    fn new(value: T) -> Self {
        let retained = Arc::default();
        let first = Box::new(Node { value, retained: Arc::clone(&retained) });
        Self { current: AtomicPtr::new(Box::into_raw(first)), collector: Collector::new(), retained }
    }

    #[inline]
    fn read(&self) -> Held<'_, T> {
        let pin = self.pin();
        Held { node: pin.current(), _pin: pin }
    }

    #[inline]
    fn pin(&self) -> Pin<'_, T> {
        Pin { current: &self.current, guard: Guard::enter(&self.collector) }
    }

    #[inline]
    fn get<'p>(pin: &'p mut Pin<'_, T>) -> &'p T {
        // SAFETY: loaded under the guard, which stays while the pin is borrowed.
        unsafe { &(*pin.current()).value }
    }

    fn repin(pin: &mut Pin<'_, T>) {
        pin.guard.refresh();
    }

    fn store(&self, value: T) {
        let new = self.node(value);
        let guard = Guard::enter(&self.collector);
        let old = match &guard {
            Guard::Local(guard) => guard.swap(&self.current, new, Release),
            Guard::Late(guard, _) => guard.swap(&self.current, new, Release),
        };
        self.retire(old, &guard);
    }

    fn compare_and_store(&self, current: &T, new: T) -> Result<(), T> {
        let guard = Guard::enter(&self.collector);
        let old = guard.load(&self.current);
        // SAFETY: loaded under the guard.
        if !ptr::eq(unsafe { &raw const (*old).value }, current) {
            return Err(new);
        }
        let new = self.node(new);
        let swapped = match &guard {
            Guard::Local(guard) => guard.compare_exchange(&self.current, old, new, Release, Relaxed),
            Guard::Late(guard, _) => guard.compare_exchange(&self.current, old, new, Release, Relaxed),
        };
        if swapped.is_ok() {
            self.retire(old, &guard);
            return Ok(());
        }
        // SAFETY: made above, and not published.
        Err(unsafe { Box::from_raw(new) }.value)
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        // SAFETY: a leaked box, and nobody borrows the cell. What was retired and not handed over goes with the collector.
        drop(unsafe { Box::from_raw(*self.current.get_mut()) });
    }
}
