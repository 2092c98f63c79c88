//! What the tests of terms and heaps share: values that count their destructors, and an allocator that makes the use of
//! freed memory visible and can be told to run out.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use bytes::Bytes;
use shared_term::{Region, term};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// Fills what is freed with ones. No word of ones is a header, a list cell or a pointer, so whoever still reads it, even
/// for a walk, fails at once.
pub(crate) struct Poisoning;

/// Chunks of heaps are of this size or larger; the payload of a panic, for example, is not.
const CHUNK_BYTES: usize = 256;

thread_local! {
    /// How many more large allocations of this thread succeed.
    static BUDGET: Cell<usize> = const { Cell::new(usize::MAX) };
    /// From how many bytes on an allocation is large.
    static LARGE: Cell<usize> = const { Cell::new(CHUNK_BYTES) };
    /// Does the budget come back after one refusal?
    static ONCE: Cell<bool> = const { Cell::new(false) };
    /// How many allocations of this thread were refused.
    static REFUSED: Cell<usize> = const { Cell::new(0) };
    /// Bytes of the last allocation of this thread.
    static LAST: Cell<usize> = const { Cell::new(0) };
    /// What `std` allocates to unwind, which it cannot do without.
    static UNWINDING: Cell<usize> = const { Cell::new(0) };
    /// What this thread allocates and frees is added up there.
    static BALANCE: Cell<*const AtomicIsize> = const { Cell::new(std::ptr::null()) };
    /// How many allocations this thread has made.
    static MADE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all memory is that of `System`; a null result says that there is none.
unsafe impl GlobalAlloc for Poisoning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.set(MADE.get() + 1);
        LAST.set(layout.size());
        let unwinds = layout.size() == UNWINDING.get() && std::thread::panicking();
        if layout.size() >= LARGE.get() && !unwinds {
            let budget = BUDGET.get();
            if budget == 0 {
                REFUSED.set(REFUSED.get() + 1);
                if ONCE.get() {
                    BUDGET.set(usize::MAX);
                }
                return std::ptr::null_mut();
            }
            BUDGET.set(budget.saturating_sub(usize::from(budget != usize::MAX)));
        }
        book(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        book(-layout.size().cast_signed());
        // SAFETY: the caller's promise: the memory is that long, and nobody's any more.
        unsafe {
            p.write_bytes(0xff, layout.size());
            System.dealloc(p, layout);
        }
    }
}

fn book(bytes: isize) {
    // SAFETY: a balance outlives the thread that it is of.
    if let Some(balance) = unsafe { BALANCE.get().as_ref() } {
        balance.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The bytes that a thread has allocated, less those that it has freed, up to its very end.
#[derive(Default)]
pub(crate) struct Balance(AtomicIsize);

impl Balance {
    /// From here on. It must outlive the thread.
    pub(crate) fn is_of_this_thread(&self) {
        BALANCE.set(&raw const self.0);
    }

    pub(crate) fn bytes(&self) -> isize {
        self.0.load(Ordering::Relaxed)
    }
}

#[global_allocator]
static ALLOCATOR: Poisoning = Poisoning;

/// Runs `f` with so many large allocations, after which memory is out.
pub(crate) fn with_large_allocations<R>(n: usize, f: impl FnOnce() -> R) -> R {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            BUDGET.set(usize::MAX);
        }
    }
    let _restore = Restore;
    BUDGET.set(n);
    f()
}

/// Runs `f` with no memory for anything of so many bytes or more.
pub(crate) fn without_allocations_from<R>(bytes: usize, f: impl FnOnce() -> R) -> R {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            LARGE.set(CHUNK_BYTES);
        }
    }
    let _restore = Restore;
    LARGE.set(bytes);
    with_large_allocations(0, f)
}

/// Runs `f` with so many allocations of any size, after which memory is out, or, with `once`, one is refused. Only what `std`
/// takes to unwind is there in any case. Also how many were refused.
pub(crate) fn with_allocations<R>(n: usize, once: bool, f: impl FnOnce() -> R) -> (R, usize) {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            LARGE.set(CHUNK_BYTES);
            ONCE.set(false);
        }
    }
    // A payload without a size is not allocated: what is, then, is all that unwinding takes.
    let _ = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(())));
    UNWINDING.set(LAST.get());
    let _restore = Restore;
    LARGE.set(0);
    ONCE.set(once);
    REFUSED.set(0);
    (with_large_allocations(n, f), REFUSED.get())
}

/// Has `std` note a few destructors of thread-locals for this thread, so that there is room in its list for more.
pub(crate) fn with_room_for_thread_locals() {
    struct Noted;
    impl Drop for Noted {
        fn drop(&mut self) {}
    }
    macro_rules! note {
        ($($name:ident)*) => {$({
            thread_local! { static $name: Noted = const { Noted }; }
            $name.with(|_| ());
        })*};
    }
    note!(A B C D E F G H I);
}

/// Runs `f`, and counts the allocations that it makes.
pub(crate) fn count_allocations<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = MADE.get();
    let result = f();
    (result, MADE.get() - before)
}

/// Counts the values that it made, and those that were dropped.
#[derive(Clone, Default)]
pub(crate) struct Tracker {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Tracker {
    fn make(&self, bytes: Vec<u8>, panics: bool) -> Tracked {
        self.made.fetch_add(1, Ordering::SeqCst);
        Tracked { dropped: Arc::clone(&self.dropped), bytes, panics }
    }

    /// A value for a resource.
    pub(crate) fn value(&self) -> Arc<Tracked> {
        Arc::new(self.make(Vec::new(), false))
    }

    /// A value for a resource whose destructor panics.
    pub(crate) fn panicking(&self) -> Arc<Tracked> {
        Arc::new(self.make(Vec::new(), true))
    }

    /// A buffer of so many bytes, all of them `fill`.
    pub(crate) fn bytes(&self, n: usize, fill: u8) -> Bytes {
        Bytes::from_owner(self.make(vec![fill; n], false))
    }

    /// As [`bytes`](Self::bytes), with a destructor that panics.
    pub(crate) fn panicking_bytes(&self, n: usize) -> Bytes {
        Bytes::from_owner(self.make(vec![0; n], true))
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// See [`Tracker`].
pub(crate) struct Tracked {
    dropped: Arc<AtomicUsize>,
    bytes: Vec<u8>,
    panics: bool,
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        if self.panics {
            // Without the hook: the message would only be noise in the output of the tests.
            std::panic::resume_unwind(Box::new("a destructor that panics"));
        }
    }
}

/// The hash of a value, as a `HashMap` of std would ask for it.
pub(crate) fn hash_of(value: impl std::hash::Hash) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Runs `f`, which panics; gives the payload's text if it has one.
pub(crate) fn panics<R>(f: impl FnOnce() -> R) -> Option<&'static str> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("it was to panic"),
        Err(payload) => payload.downcast_ref().copied(),
    }
}

/// Runs `f` in the destructors of resources of regions, each of which has the next one, while all are being dropped: also so
/// deep inside that what is dropped there waits for the outermost.
pub(crate) fn at_any_depth(f: impl Fn() + Send + Sync + 'static) {
    struct OnDrop<F: Fn()>(Arc<F>, Option<Region>);

    impl<F: Fn()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            self.0();
        }
    }

    let f = Arc::new(f);
    let nest = |inner, _| Some(Region::build(|h| h.resource(Arc::new(OnDrop(Arc::clone(&f), inner)))));
    drop((0..34).fold(None, nest));
}

/// A panic that no hook reports.
pub(crate) fn quiet_panic() -> ! {
    std::panic::resume_unwind(Box::new("quiet"))
}

/// Some kilobytes of lists, with off-heap objects between them.
pub(crate) fn mixed(tracker: &Tracker) -> Region {
    Region::build(|h| {
        h.list((0..200).map(|i| match i % 20 {
            0 => h.bytes(tracker.bytes(100, i as u8)),
            10 => h.resource(tracker.value()),
            _ => term!(h, {i, [i]}),
        }))
    })
}
