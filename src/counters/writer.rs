//! A thread's row, looked up once.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::sync::mutation::{Mutation, mutated};

use super::array::Array;
use super::row::RowRef;
use super::thread_id::{self, Lease};

/// A thread's row of a [`Counters`](super::Counters), in hand: [`Counters::writer`](super::Counters::writer). Stays on
/// its thread.
///
/// It may be kept in a thread-local and used in destructors, after its thread has given everything else up: the row
/// stays this thread's until the writer is dropped. Nothing here waits, and nothing allocates.
///
/// ```
/// use shared_term::Counters;
///
/// let words = Counters::new(26);
/// let text = ["the quick brown fox", "jumps over the lazy dog"];
/// std::thread::scope(|scope| {
///     for line in text {
///         scope.spawn(|| {
///             let writer = words.writer(); // looked up once, for all that follows
///             line.bytes().filter(u8::is_ascii_lowercase).for_each(|b| writer.inc(usize::from(b - b'a')));
///         });
///     }
/// });
/// assert!(words.read_all().iter().all(|&n| n > 0), "a pangram");
/// ```
pub struct Writer<'a> {
    /// A row of `array`, and the calling thread's as long as it holds the lease (I1).
    row: Option<RowRef<'a>>,
    array: &'a Array,
    /// None without a row.
    _lease: Option<Rc<Lease>>,
    _not_send: PhantomData<*mut ()>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(array: &'a Array) -> Self {
        let (lease, row) = match &array.stripes {
            Some(stripes) => thread_id::with_lease(|lease| {
                let row = lease.and_then(|lease| stripes.row_of(lease.id()));
                let lease = row.and(lease.cloned()).filter(|_| !mutated(Mutation::WriterWithoutLease));
                (lease, row)
            }),
            None => (None, None),
        };
        Self { row, array, _lease: lease, _not_send: PhantomData }
    }

    /// Adds `n` to counter `i`; wraps around on overflow. Wait-free.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.writer().add(0, 5);
    /// assert_eq!(counters.get(0), 5);
    /// ```
    #[inline]
    #[track_caller]
    pub fn add(&self, i: usize, n: i64) {
        self.array.check(i);
        // SAFETY: checked just now, and the row is one of the array.
        unsafe { self.array.add_on(self.row, i, n) };
    }

    /// Takes `n` away from counter `i`. As [`add`](Self::add).
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.writer().sub(0, 5);
    /// assert_eq!(counters.get(0), -5);
    /// ```
    #[inline]
    #[track_caller]
    pub fn sub(&self, i: usize, n: i64) {
        self.add(i, n.wrapping_neg());
    }

    /// Adds one to counter `i`. As [`add`](Self::add).
    ///
    /// ```
    /// let counters = shared_term::Counters::new(1);
    /// counters.writer().inc(0);
    /// assert_eq!(counters.get(0), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn inc(&self, i: usize) {
        self.add(i, 1);
    }
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("owns_row", &self.row.is_some()).finish_non_exhaustive()
    }
}

static_assertions::assert_not_impl_any!(Writer<'static>: Send, Sync);
