//! Integers that many threads add to and somebody reads now and then: OTP's `counters`.
//!
//! [`Counters`] is a handle on an array of `i64` counters. In the [striped](Layout::Striped) layout each thread that
//! writes has a row of cells of its own, in cache lines that nobody else writes, so an addition is a plain load and a
//! plain store: no locked instruction and no line that travels between cores, however many threads count. A read adds
//! the rows up.
//!
//! ```
//! use shared_term::Counters;
//!
//! const REQUESTS: usize = 0;
//! const BYTES: usize = 1;
//!
//! let http = Counters::new(2);
//! std::thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| {
//!             for _ in 0..1000 {
//!                 http.inc(REQUESTS);
//!                 http.add(BYTES, 512);
//!             }
//!         });
//!     }
//! });
//! assert_eq!(http.get(REQUESTS), 4000);
//! assert_eq!(http.take_all(), [4000, 4000 * 512]); // read and reset: for a scraper that reports differences
//! assert_eq!(http.get(BYTES), 0);
//! ```
//!
//! # What a read promises
//!
//! * **Every add that happened before the read is in it.** "Happened before" is meant as in the memory model: adds of
//!   the same thread, of a thread that was joined, of one that sent a message, released a lock or stored with `Release`
//!   what the reader loaded with `Acquire`. Adds that run at the same time as the read may or may not be in it.
//! * **None is lost and none is counted twice.** Once the writers are done, the value is exact to the last unit. What
//!   consecutive [`take`](Counters::take)s return adds up to exactly what was added.
//! * **It is no snapshot.** The rows are read one after the other. If one thread adds 1 and then, because it saw that,
//!   another adds -1, a read that passes the first row before and the second one after can give -1, a value that the
//!   counter never had. For counters that only grow (or only shrink) by one, each read is a value that the counter did
//!   have during the read. Two counters read one after the other are never of one instant. An instant would need every
//!   writer to announce itself, and that is the cost that this type exists to avoid; where one is needed,
//!   [`Layout::Atomic`] reads each single counter at an instant.
//! * **Nothing else is ordered.** An add publishes no other memory.
//!
//! # What things cost
//!
//! | | striped | atomic |
//! |---|---|---|
//! | [`add`](Counters::add) | load and store in an own line: wait-free, but for a thread's first one to an array, which allocates its row | one locked instruction on a shared line: wait-free |
//! | [`writer().add`](Writer::add) | the same without looking for the row | the same |
//! | [`get`](Counters::get) | one load per row; waits for nobody, but after 16 attempts disturbed by `put` or `take` of the same counter for those | one load |
//! | [`put`](Counters::put), [`take`](Counters::take) | one load per row under a lock that adds never see | one instruction |
//! | memory | 128 bytes per 16 counters *for each thread number that ever wrote*, and as much again for the overflow row, 16 bytes per counter, and some 300 bytes | 128 bytes per 16 counters, and some 130 bytes |
//!
//! Counters that are used together belong into one array: sixteen of them share each line of a thread.
//! [`info`](Counters::info) tells the memory of an array as it stands. The memory follows the number of threads that
//! *wrote* at the same time, not the number of cores: a thread that ends hands its rows on to the next thread that
//! starts to write, contents and all.
//!
//! # Threads without a row
//!
//! They share one *overflow row* and add to it with a locked instruction. That is slower, and loses nothing. It happens
//! to threads beyond the 4096 that can own rows at the same time, to destructors of thread-locals that run after the
//! thread has given its rows up, and where the allocator refuses a row. An add therefore never fails, and an allocator
//! can count its own work: what it does for a row counts in the overflow row. Under loom two threads can own rows, so
//! that a model reaches the overflow row.
//!
//! # Where not to add
//!
//! A *signal handler* that interrupts an add between its load and its store, and adds to the same counter itself, has
//! its add overwritten: use [`Atomics`](crate::Atomics) there. After `fork`, the child goes on with the counts of all
//! threads, and the rows of those that are gone stay as they are.
//!
//! # The functions of Erlang's `counters`
//!
//! Indices here start at 0, in OTP at 1.
//!
//! | OTP | here | differences |
//! |---|---|---|
//! | `new(N, [write_concurrency])` | [`Counters::new(n)`](Counters::new) | the default here. Sizes that cannot be had are an [`AllocError`] from [`try_new`](Counters::try_new). OTP has a row per scheduler from the start, here a row comes with a thread's first add |
//! | `new(N, [])`, `new(N, [atomics])` | [`Counters::with_layout(n, Layout::Atomic)`](Counters::with_layout) | |
//! | `add(R, I, D)`, `sub(R, I, D)` | [`add`](Counters::add), [`sub`](Counters::sub), [`inc`](Counters::inc) | both wrap. OTP's `add` takes `D` in -2<sup>63</sup>..2<sup>64</sup>-1 and its `sub` in -(2<sup>64</sup>-1)..2<sup>63</sup>; here it is an `i64`, and `d as i64` gives the same bits |
//! | `get(R, I)` | [`get`](Counters::get) | during a `put` this one sees the old base or the new one with rows that go with it; OTP promises nothing there |
//! | `put(R, I, V)` | [`put`](Counters::put) | concurrent `put`s take turns |
//! | `info(R)` | [`info`](Counters::info) | the same fields for both layouts; OTP has size and memory, and the range of values for its `atomics` only |
//! | | [`take`](Counters::take), [`take_all`](Counters::take_all), [`read_all`](Counters::read_all), [`writer`](Counters::writer), [`counter`](Counters::counter) | not in OTP |
//!
//! With the feature `term` a handle goes into a term, and so to other processes, as OTP's reference does:
//! `term!(h, {:hits, &counters})` builds it, `term.get::<&Counters>()` lends it back, and the last term or handle frees the
//! array.

mod array;
mod counter;
mod row;
mod stripes;
mod thread_id;
mod writer;

pub use counter::Counter;
pub use writer::Writer;

use std::fmt;

use crate::alloc::AllocError;
use crate::sync::Arc;

use array::Array;

/// How the cells of a [`Counters`] lie in memory.
///
/// ```
/// use shared_term::{Counters, counters::Layout};
///
/// let (striped, atomic) = (Counters::new(100), Counters::with_layout(100, Layout::Atomic));
/// std::thread::scope(|scope| {
///     for _ in 0..8 {
///         scope.spawn(|| (striped.inc(0), atomic.inc(0)));
///     }
/// });
/// assert_eq!((striped.get(0), atomic.get(0)), (8, 8));
/// assert!(striped.info().bytes > atomic.info().bytes, "a row for each thread that wrote");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// One cell per counter, shared by all threads, added to with a locked instruction. Smallest, reads are exact to
    /// the instant; additions of several threads slow each other down.
    Atomic,
    /// One row of cells per thread that writes. Fastest to add to; reads add the rows up. OTP's `write_concurrency`.
    Striped,
}

/// What [`Counters::info`] tells.
///
/// ```
/// use shared_term::{Counters, counters::Layout};
///
/// let counters = Counters::new(16);
/// assert_eq!((counters.info().size, counters.info().layout, counters.info().rows), (16, Layout::Striped, 0));
/// counters.inc(3);
/// assert_eq!(counters.info().rows, 1, "this thread's");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The number of counters.
    pub size: usize,
    /// How they lie in memory.
    pub layout: Layout,
    /// The rows that threads were given so far, the overflow row not counted. Zero in the atomic layout.
    pub rows: usize,
    /// The memory of the array, everything counted; shared by all its handles.
    pub bytes: usize,
}

/// A handle on a shared fixed array of counters. See the [module](self).
///
/// Cloning it clones the handle, one reference count; no operation does.
///
/// A `static` holds one behind a `LazyLock`; a [`Counter`] or a clone of the handle, kept where it is used, saves that
/// look on the way.
///
/// ```
/// use shared_term::Counters;
/// use std::sync::LazyLock;
///
/// const HITS: usize = 0;
/// const MISSES: usize = 1;
/// static CACHE: LazyLock<Counters> = LazyLock::new(|| Counters::new(2));
///
/// let cache = CACHE.clone(); // kept where it is used
/// std::thread::spawn(move || {
///     cache.inc(MISSES);
///     cache.add(HITS, 3);
/// })
/// .join()
/// .unwrap();
/// assert_eq!(CACHE.read_all(), [3, 1]);
/// ```
#[derive(Clone)]
pub struct Counters {
    array: Arc<Array>,
}

impl Counters {
    /// `len` striped counters, all zero: for many writers and rare readers.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) is an error.
    ///
    /// ```
    /// use shared_term::Counters;
    ///
    /// assert_eq!(Counters::new(3).len(), 3);
    /// ```
    #[track_caller]
    pub fn new(len: usize) -> Self {
        Self::with_layout(len, Layout::Striped)
    }

    /// `len` striped counters, all zero.
    ///
    /// # Errors
    ///
    /// No counters at all, or more than memory has.
    ///
    /// ```
    /// use shared_term::Counters;
    ///
    /// assert!(Counters::try_new(3).is_ok());
    /// assert!(Counters::try_new(usize::MAX / 4).is_err());
    /// ```
    pub fn try_new(len: usize) -> Result<Self, AllocError> {
        Self::try_with_layout(len, Layout::Striped)
    }

    /// `len` counters, all zero, in the layout given.
    ///
    /// # Panics
    ///
    /// Where [`try_with_layout`](Self::try_with_layout) is an error.
    ///
    /// ```
    /// use shared_term::Counters;
    /// use shared_term::counters::Layout;
    ///
    /// let rare = Counters::with_layout(3, Layout::Atomic);
    /// rare.add(2, 5);
    /// assert_eq!(rare.read_all(), [0, 0, 5]);
    /// ```
    #[doc(alias = "counters:new/2")]
    #[doc(alias = "write_concurrency")]
    #[track_caller]
    pub fn with_layout(len: usize, layout: Layout) -> Self {
        Self::try_with_layout(len, layout).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `len` counters, all zero, in the layout given.
    ///
    /// # Errors
    ///
    /// No counters at all, or more than memory has.
    ///
    /// ```
    /// use shared_term::{AllocError, Counters};
    /// use shared_term::counters::Layout;
    ///
    /// assert_eq!(Counters::try_with_layout(0, Layout::Atomic).unwrap_err(), AllocError::ZeroLength);
    /// ```
    pub fn try_with_layout(len: usize, layout: Layout) -> Result<Self, AllocError> {
        Ok(Self { array: Arc::new(Array::try_new(len, layout)?) })
    }

    /// The number of counters.
    ///
    /// ```
    /// assert_eq!(shared_term::Counters::new(7).len(), 7);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// Are there no counters? Never: an array has at least one.
    ///
    /// ```
    /// assert!(!shared_term::Counters::new(1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `n` to counter `i`; wraps around on overflow. Wait-free but for a thread's first add to the array, which
    /// allocates its row.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.add(0, i64::MAX);
    /// counters.add(0, 1);
    /// assert_eq!(counters.get(0), i64::MIN);
    /// ```
    #[doc(alias = "counters:add/3")]
    #[inline]
    #[track_caller]
    pub fn add(&self, i: usize, n: i64) {
        self.array.add(i, n);
    }

    /// Takes `n` away from counter `i`; wraps around on overflow. As [`add`](Self::add).
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.sub(0, 3);
    /// assert_eq!(counters.get(0), -3);
    /// ```
    #[doc(alias = "counters:sub/3")]
    #[inline]
    #[track_caller]
    pub fn sub(&self, i: usize, n: i64) {
        self.add(i, n.wrapping_neg());
    }

    /// Adds one to counter `i`. As [`add`](Self::add).
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(2);
    /// counters.inc(1);
    /// assert_eq!(counters.read_all(), [0, 1]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn inc(&self, i: usize) {
        self.add(i, 1);
    }

    /// The value of counter `i`: every add that happened before, and perhaps some that run now. See
    /// [what a read promises](self#what-a-read-promises).
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.add(0, 2);
    /// assert_eq!(counters.get(0), 2);
    /// ```
    #[doc(alias = "counters:get/2")]
    #[track_caller]
    pub fn get(&self, i: usize) -> i64 {
        self.array.get(i)
    }

    /// Sets counter `i`. Adds that run at the same time are not lost: each is either part of what was replaced or on
    /// top of `value`. Waits for other calls of `put` and `take` on a striped array, never for adds.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.add(0, 2);
    /// counters.put(0, 40);
    /// counters.add(0, 2);
    /// assert_eq!(counters.get(0), 42);
    /// ```
    #[doc(alias = "counters:put/3")]
    #[track_caller]
    pub fn put(&self, i: usize, value: i64) {
        self.array.replace(i..=i, value, |_| ());
    }

    /// Reads counter `i` and sets it to zero, so that each add is in exactly one of what consecutive calls return, or
    /// in what the counter still holds. Waits for other calls of `put` and `take` on a striped array, never for adds.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.add(0, 2);
    /// assert_eq!(counters.take(0), 2);
    /// assert_eq!(counters.take(0), 0);
    /// ```
    #[doc(alias = "reset")]
    #[must_use = "`put(i, 0)` sets a counter to zero"]
    #[track_caller]
    pub fn take(&self, i: usize) -> i64 {
        let mut taken = 0;
        self.array.replace(i..=i, 0, |was| taken = was);
        taken
    }

    /// The values of all counters, each as [`get`](Self::get) gives it, read one after the other.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(2);
    /// counters.inc(1);
    /// assert_eq!(counters.read_all(), [0, 1]);
    /// ```
    pub fn read_all(&self) -> Vec<i64> {
        let mut values = Vec::new();
        self.read_all_into(&mut values);
        values
    }

    /// As [`read_all`](Self::read_all), into a buffer that can be used again. What was in it is gone.
    ///
    /// ```
    /// let (counters, mut values) = (shared_term::Counters::new(2), vec![3; 7]);
    /// counters.read_all_into(&mut values);
    /// assert_eq!(values, [0, 0]);
    /// ```
    pub fn read_all_into(&self, values: &mut Vec<i64>) {
        values.clear();
        values.extend((0..self.len()).map(|i| self.array.get(i)));
    }

    /// [`take`](Self::take)s all counters, one after the other.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(2);
    /// counters.inc(1);
    /// assert_eq!(counters.take_all(), [0, 1]);
    /// assert_eq!(counters.take_all(), [0, 0]);
    /// ```
    #[must_use = "`put` sets a counter to zero"]
    pub fn take_all(&self) -> Vec<i64> {
        let mut values = Vec::new();
        self.take_all_into(&mut values);
        values
    }

    /// As [`take_all`](Self::take_all), into a buffer that can be used again. What was in it is gone.
    ///
    /// ```
    /// let (counters, mut values) = (shared_term::Counters::new(1), Vec::new());
    /// for round in 1..4 {
    ///     counters.add(0, round);
    ///     counters.take_all_into(&mut values);
    ///     assert_eq!(values, [round]);
    /// }
    /// ```
    pub fn take_all_into(&self, values: &mut Vec<i64>) {
        values.clear();
        // Before the lock is taken: an allocator that counts into this very array can do so.
        values.reserve(self.len());
        self.array.replace(0..=self.len() - 1, 0, |was| values.push(was));
    }

    /// This thread's row, looked up once: the fastest way to add, for a loop or for a structure that stays on its
    /// thread.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// let writer = counters.writer();
    /// for n in 0..100 {
    ///     writer.add(0, n);
    /// }
    /// assert_eq!(counters.get(0), 4950);
    /// ```
    ///
    /// It is bound to its thread:
    ///
    /// ```compile_fail,E0277
    /// let counters = shared_term::Counters::new(1);
    /// let writer = counters.writer();
    /// std::thread::scope(|scope| scope.spawn(move || writer.inc(0)));
    /// ```
    pub fn writer(&self) -> Writer<'_> {
        Writer::new(&self.array)
    }

    /// Counter `i` as one value: what an instrumented structure keeps.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// use shared_term::{Counter, Counters};
    ///
    /// struct Connection {
    ///     received: Counter,
    /// }
    ///
    /// let counters = Counters::new(4);
    /// let connection = Connection { received: counters.counter(2) };
    /// connection.received.add(1500);
    /// assert_eq!(counters.get(2), 1500);
    /// ```
    #[track_caller]
    pub fn counter(&self, i: usize) -> Counter {
        self.array.check(i);
        Counter::new(self.clone(), i)
    }

    /// Are these two handles on one array?
    ///
    /// ```
    /// use shared_term::Counters;
    ///
    /// let counters = Counters::new(1);
    /// assert!(Counters::ptr_eq(&counters, &counters.clone()));
    /// assert!(!Counters::ptr_eq(&counters, &Counters::new(1)));
    /// ```
    #[must_use]
    pub fn ptr_eq(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.array, &b.array)
    }

    /// What tells this array from all others that live.
    #[cfg(feature = "term")]
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.array).addr()
    }

    /// Size, layout, rows and memory.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(16);
    /// counters.inc(0);
    /// let one_row = counters.info();
    /// assert_eq!((one_row.size, one_row.rows), (16, 1));
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| counters.inc(0));
    /// });
    /// let two_rows = counters.info();
    /// assert!(two_rows.bytes - one_row.bytes >= 128);
    /// ```
    #[doc(alias = "counters:info/1")]
    pub fn info(&self) -> Info {
        self.array.info()
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counters ")?;
        f.debug_list().entries(self.read_all()).finish()
    }
}

/// What the end of a thread does to the rows it owns, for a model that goes on after it.
#[cfg(all(loom, feature = "loom"))]
#[doc(hidden)]
pub fn end_of_thread() {
    thread_id::end_of_thread();
}

static_assertions::assert_impl_all!(Counters: Send, Sync);
#[cfg(not(all(loom, feature = "loom")))]
static_assertions::assert_impl_all!(Counters: std::panic::UnwindSafe, std::panic::RefUnwindSafe);
const _: () = assert!(size_of::<Counters>() == size_of::<usize>(), "the handle is one word");
