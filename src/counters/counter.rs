//! One counter, as a value.

use std::fmt;

use super::Counters;

/// One counter of a [`Counters`], as a value: [`Counters::counter`].
///
/// ```
/// use shared_term::{Counter, Counters};
///
/// /// Counts its own requests, and knows nothing of the array.
/// struct Server {
///     requests: Counter,
/// }
///
/// let all = Counters::new(2);
/// let servers = [0, 1].map(|i| Server { requests: all.counter(i) });
/// servers[1].requests.inc();
/// servers[1].requests.add(2);
/// assert_eq!(all.read_all(), [0, 3]);
/// ```
#[derive(Clone)]
pub struct Counter {
    counters: Counters,
    i: usize,
}

impl Counter {
    /// `i` is in range.
    pub(super) fn new(counters: Counters, i: usize) -> Self {
        Self { counters, i }
    }

    /// Adds `n`. As [`Counters::add`].
    ///
    /// ```
    /// let counter = shared_term::Counters::new(1).counter(0);
    /// counter.add(2);
    /// assert_eq!(counter.get(), 2);
    /// ```
    #[inline]
    pub fn add(&self, n: i64) {
        self.counters.add(self.i, n);
    }

    /// Takes `n` away. As [`Counters::sub`].
    ///
    /// ```
    /// let counter = shared_term::Counters::new(1).counter(0);
    /// counter.sub(2);
    /// assert_eq!(counter.get(), -2);
    /// ```
    #[inline]
    pub fn sub(&self, n: i64) {
        self.counters.sub(self.i, n);
    }

    /// Adds one. As [`Counters::inc`].
    ///
    /// ```
    /// let counter = shared_term::Counters::new(1).counter(0);
    /// counter.inc();
    /// assert_eq!(counter.get(), 1);
    /// ```
    #[inline]
    pub fn inc(&self) {
        self.counters.inc(self.i);
    }

    /// The value. As [`Counters::get`].
    ///
    /// ```
    /// assert_eq!(shared_term::Counters::new(1).counter(0).get(), 0);
    /// ```
    pub fn get(&self) -> i64 {
        self.counters.get(self.i)
    }

    /// Sets the value. As [`Counters::put`].
    ///
    /// ```
    /// let counter = shared_term::Counters::new(1).counter(0);
    /// counter.put(7);
    /// assert_eq!(counter.get(), 7);
    /// ```
    pub fn put(&self, value: i64) {
        self.counters.put(self.i, value);
    }

    /// Reads and sets to zero. As [`Counters::take`].
    ///
    /// ```
    /// let counter = shared_term::Counters::new(1).counter(0);
    /// counter.add(7);
    /// assert_eq!((counter.take(), counter.take()), (7, 0));
    /// ```
    #[must_use = "`put(0)` sets a counter to zero"]
    pub fn take(&self) -> i64 {
        self.counters.take(self.i)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.get()).finish()
    }
}

static_assertions::assert_impl_all!(Counter: Send, Sync);
