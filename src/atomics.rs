//! A shared fixed array of 64-bit integers: OTP's `atomics`.
//!
//! [`Atomics`] is a handle on an array of `AtomicI64` or `AtomicU64`. The cells *are* the atomics of the standard
//! library (loom's in a loom build), so the whole vocabulary is the known one and every operation states its own
//! [`Ordering`]. What the type adds is the shared array: one allocation behind a handle of one word that is cheap to
//! clone and frees the cells once, with the last handle; a layout without false sharing; and sizes whose failure is an
//! error value.
//!
//! ```
//! use shared_term::Atomics;
//! use shared_term::sync::atomic::Ordering::Relaxed;
//!
//! let hits: Atomics<u64> = Atomics::new(2);
//! std::thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| hits[1].fetch_add(10, Relaxed));
//!     }
//! });
//! assert_eq!(hits.load_all(Relaxed), [0, 40]);
//! ```
//!
//! # Which of the two
//!
//! Pick `Atomics` for values that are *decided on*: limits, sequence numbers, flags, state machines. Each operation is
//! one atomic step and its result is exact. Pick [`Counters`](crate::Counters) for values that many threads only add to
//! and somebody reads now and then: an addition there is several times cheaper alone and does not get dearer with the
//! number of threads.
//!
//! # The functions of Erlang's `atomics`
//!
//! Indices here start at 0, in OTP at 1.
//!
//! | OTP | here | differences |
//! |---|---|---|
//! | `new(N, [{signed, true}])` | [`Atomics::<i64>::new(n)`](Atomics::new), [`try_new`](Atomics::try_new) | signedness is the type. A size that does not fit memory is an [`AllocError`]; OTP ends the virtual machine where the allocator refuses |
//! | `new(N, [{signed, false}])` | `Atomics::<u64>::new(n)` | as above |
//! | `put(R, I, V)` | `r[i].store(v, order)` | a value out of range is a type error instead of `badarg` |
//! | `get(R, I)` | `r[i].load(order)` | |
//! | `add(R, I, D)` | `r[i].fetch_add(d, order)` | wraps, as there. OTP takes any `D` in -2<sup>63</sup>..2<sup>64</sup>-1 for both kinds; here `D` has the type of the cells, and `d as i64` or `d as u64` gives the same bits |
//! | `add_get(R, I, D)` | `r[i].fetch_add(d, order).wrapping_add(d)` | |
//! | `sub(R, I, D)` | `r[i].fetch_sub(d, order)` | every `d` is accepted; OTP negates first, so that `sub(R, I, 1 bsl 63 + 1)` is `badarg` although the same `add` is not |
//! | `sub_get(R, I, D)` | `r[i].fetch_sub(d, order).wrapping_sub(d)` | as above |
//! | `exchange(R, I, V)` | `r[i].swap(v, order)` | |
//! | `compare_exchange(R, I, E, V)` | `r[i].compare_exchange(e, v, success, failure)` | both are strong: no spurious failure. `Ok(previous)` for `ok`, `Err(actual)` for the actual value |
//! | `info(R)` | [`info`](Atomics::info) | `bytes` counts the cells and their header; OTP's `memory` its own header |
//! | | `fetch_and`, `fetch_or`, `fetch_xor`, `fetch_min`, `fetch_max`, `fetch_update`, [`load_all`](Atomics::load_all) | not in OTP |
//!
//! An index out of range is a panic from `r[i]`, as with a slice, and `None` from [`get`](Atomics::get); in OTP it is
//! `badarg`.
//!
//! With the feature `term` a handle goes into a term, and so to other processes, as OTP's reference does:
//! `term!(h, {:limits, &cells})` builds it, `term.get::<&Atomics<i64>>()` lends it back, and the last term or handle frees
//! the cells.
//!
//! # Memory order
//!
//! Every operation of OTP is sequentially consistent: once anyone has seen a later update, nobody sees the state before
//! an earlier one. `Ordering::SeqCst` on every access is that promise, and its price is a full fence even on stores.
//! Most uses need less: `Relaxed` for a cell that is looked at alone, `Release` on the store and `Acquire` on the load
//! where one cell announces another. Whoever wants to model-check the code with loom should know that loom treats a
//! `SeqCst` access as `AcqRel`; a [`fence(SeqCst)`](crate::sync::atomic::fence) beside `Relaxed` accesses is modelled
//! faithfully.
//!
//! # Progress, memory, panics
//!
//! Every operation is wait-free where the processor has the instruction, and never allocates. A packed array is 8 bytes
//! a cell; a [`padded`](Atomics::padded) one 128, so that no two cells share a cache line or the pair that
//! adjacent-line prefetchers fetch together. Nothing but an index out of range and a size that cannot be had in `new`
//! panics.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Index, Range};

use crate::alloc::{AllocError, try_boxed};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering};

mod sealed {
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for u64 {}
}

/// The integers that [`Atomics`] hold: `i64` and `u64`. Sealed.
///
/// ```
/// use shared_term::atomics::{Atomics, Integer};
/// use shared_term::sync::atomic::Ordering::Relaxed;
///
/// fn largest<T: Integer>(cells: &Atomics<T>) -> T {
///     cells.load_all(Relaxed).into_iter().max().unwrap_or(T::MIN)
/// }
/// assert_eq!(largest(&Atomics::from_fn(3, |i| i as i64 - 5)), -3);
/// assert_eq!(largest(&Atomics::from_fn(3, |i| u64::MAX - i as u64)), u64::MAX);
/// ```
pub trait Integer: sealed::Sealed + Copy + Default + Ord + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The cell: [`AtomicI64`] or [`AtomicU64`].
    type Cell: fmt::Debug + Send + Sync;
    /// The least value.
    ///
    /// ```
    /// use shared_term::atomics::Integer;
    ///
    /// assert_eq!((<i64 as Integer>::MIN, <u64 as Integer>::MIN), (-1 << 63, 0));
    /// ```
    const MIN: Self;
    /// The greatest value.
    ///
    /// ```
    /// use shared_term::atomics::Integer;
    ///
    /// fn least<T: Integer>(all: impl IntoIterator<Item = T>) -> T {
    ///     all.into_iter().fold(T::MAX, T::min)
    /// }
    /// assert_eq!((least([3_i64, -7]), least([3_u64, 7])), (-7, 3));
    /// ```
    const MAX: Self;

    #[doc(hidden)]
    fn cell(self) -> Self::Cell;
    #[doc(hidden)]
    fn load(cell: &Self::Cell, order: Ordering) -> Self;
}

macro_rules! integer {
    ($int:ident, $cell:ident) => {
        impl Integer for $int {
            type Cell = $cell;
            const MIN: Self = $int::MIN;
            const MAX: Self = $int::MAX;

            fn cell(self) -> $cell {
                $cell::new(self)
            }

            #[inline]
            fn load(cell: &$cell, order: Ordering) -> Self {
                cell.load(order)
            }
        }
    };
}
integer!(i64, AtomicI64);
integer!(u64, AtomicU64);

/// One cell with a line, and its neighbour, to itself.
#[repr(align(128))]
struct Padded<C>(C);

enum Cells<C> {
    Packed(Box<[C]>),
    Padded(Box<[Padded<C>]>),
}

/// A handle on a shared fixed array of `i64` or `u64` cells. See the [module](self).
///
/// Cloning it clones the handle, one reference count; no operation does.
///
/// ```
/// use shared_term::Atomics;
/// use shared_term::sync::atomic::Ordering::{AcqRel, Relaxed};
///
/// const NEXT: usize = 0; // the next piece of work
/// const DONE: usize = 1; // pieces that are done
/// let work = Atomics::<u64>::new(2);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             while work[NEXT].fetch_add(1, Relaxed) < 100 {
///                 work[DONE].fetch_add(1, AcqRel);
///             }
///         });
///     }
/// });
/// assert_eq!(work[DONE].load(Relaxed), 100);
/// ```
#[doc(alias = "atomics:new/2")]
#[doc(alias = "atomics:put/3")]
#[doc(alias = "atomics:get/2")]
#[doc(alias = "atomics:add/3")]
#[doc(alias = "atomics:add_get/3")]
#[doc(alias = "atomics:sub/3")]
#[doc(alias = "atomics:sub_get/3")]
#[doc(alias = "atomics:exchange/3")]
#[doc(alias = "atomics:compare_exchange/4")]
pub struct Atomics<T: Integer = i64> {
    cells: Arc<Cells<T::Cell>>,
}

/// What [`Atomics::info`] tells.
///
/// ```
/// use shared_term::Atomics;
///
/// let info = Atomics::<i64>::padded(10).info();
/// assert_eq!((info.size, info.min, info.max), (10, i64::MIN, i64::MAX));
/// assert!(info.bytes >= 10 * 128);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info<T> {
    /// The number of cells.
    pub size: usize,
    /// The least value that a cell holds.
    pub min: T,
    /// The greatest value that a cell holds.
    pub max: T,
    /// The memory of the array, its header included; shared by all its handles.
    pub bytes: usize,
}

impl<T: Integer> Atomics<T> {
    /// `len` cells side by side, all zero.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) is an error.
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// let signed = Atomics::<i64>::new(3);
    /// assert_eq!(signed.len(), 3);
    /// ```
    #[track_caller]
    pub fn new(len: usize) -> Self {
        expect(Self::try_new(len))
    }

    /// `len` cells side by side, all zero.
    ///
    /// # Errors
    ///
    /// No cells at all, or more than memory has.
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// assert!(Atomics::<i64>::try_new(3).is_ok());
    /// assert!(Atomics::<i64>::try_new(usize::MAX).is_err());
    /// ```
    pub fn try_new(len: usize) -> Result<Self, AllocError> {
        Self::try_from_fn(len, |_| T::default())
    }

    /// `len` cells side by side, the `i`th holding `f(i)`.
    ///
    /// # Panics
    ///
    /// Where [`try_from_fn`](Self::try_from_fn) is an error.
    ///
    /// ```
    /// use shared_term::Atomics;
    /// use shared_term::sync::atomic::Ordering::Relaxed;
    ///
    /// let squares: Atomics<u64> = Atomics::from_fn(4, |i| (i * i) as u64);
    /// assert_eq!(squares[3].load(Relaxed), 9);
    /// ```
    #[track_caller]
    pub fn from_fn(len: usize, f: impl FnMut(usize) -> T) -> Self {
        expect(Self::try_from_fn(len, f))
    }

    /// `len` cells side by side, the `i`th holding `f(i)`.
    ///
    /// # Errors
    ///
    /// No cells at all, or more than memory has; `f` is not called then.
    ///
    /// ```
    /// use shared_term::{AllocError, Atomics};
    ///
    /// assert_eq!(Atomics::try_from_fn(0, |_| 1_i64).unwrap_err(), AllocError::ZeroLength);
    /// ```
    pub fn try_from_fn(len: usize, mut f: impl FnMut(usize) -> T) -> Result<Self, AllocError> {
        some(len)?;
        Ok(Self { cells: Arc::new(Cells::Packed(try_boxed(len, |i| f(i).cell())?)) })
    }

    /// `len` cells, all zero, one per 128 bytes: threads that write neighbouring cells do not slow each other down.
    ///
    /// # Panics
    ///
    /// Where [`try_padded`](Self::try_padded) is an error.
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// let per_worker = Atomics::<u64>::padded(8);
    /// assert!(per_worker.info().bytes >= 8 * 128);
    /// ```
    #[track_caller]
    pub fn padded(len: usize) -> Self {
        expect(Self::try_padded(len))
    }

    /// `len` cells, all zero, one per 128 bytes.
    ///
    /// # Errors
    ///
    /// No cells at all, or more than memory has.
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// assert!(Atomics::<u64>::try_padded(usize::MAX / 64).is_err());
    /// ```
    pub fn try_padded(len: usize) -> Result<Self, AllocError> {
        some(len)?;
        Ok(Self { cells: Arc::new(Cells::Padded(try_boxed(len, |_| Padded(T::default().cell()))?)) })
    }

    /// The number of cells.
    ///
    /// ```
    /// assert_eq!(shared_term::Atomics::<u64>::padded(5).len(), 5);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        match &*self.cells {
            Cells::Packed(cells) => cells.len(),
            Cells::Padded(cells) => cells.len(),
        }
    }

    /// Are there no cells? Never: an array has at least one.
    ///
    /// ```
    /// assert!(!shared_term::Atomics::<u64>::new(1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`th cell, counted from 0, if there is one.
    ///
    /// ```
    /// use shared_term::Atomics;
    /// use shared_term::sync::atomic::Ordering::Relaxed;
    ///
    /// let cells = Atomics::<i64>::new(1);
    /// assert_eq!(cells.get(0).unwrap().swap(7, Relaxed), 0);
    /// assert!(cells.get(1).is_none());
    /// ```
    #[inline]
    pub fn get(&self, i: usize) -> Option<&T::Cell> {
        match &*self.cells {
            Cells::Packed(cells) => cells.get(i),
            Cells::Padded(cells) => cells.get(i).map(|padded| &padded.0),
        }
    }

    /// The cells in order.
    ///
    /// ```
    /// use shared_term::Atomics;
    /// use shared_term::sync::atomic::Ordering::Relaxed;
    ///
    /// let cells = Atomics::from_fn(3, |i| i as i64);
    /// assert_eq!(cells.iter().map(|cell| cell.load(Relaxed)).sum::<i64>(), 3);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { cells: self, left: 0..self.len() }
    }

    /// The cells as a slice; `None` for a [`padded`](Self::padded) array, whose cells do not lie side by side.
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// assert_eq!(Atomics::<i64>::new(3).as_slice().unwrap().len(), 3);
    /// assert!(Atomics::<i64>::padded(3).as_slice().is_none());
    /// ```
    pub fn as_slice(&self) -> Option<&[T::Cell]> {
        match &*self.cells {
            Cells::Packed(cells) => Some(cells),
            Cells::Padded(_) => None,
        }
    }

    /// The values of all cells, loaded one after the other. No snapshot: other threads go on writing meanwhile.
    ///
    /// # Panics
    ///
    /// If `order` is one that a load cannot have: `Release` or `AcqRel`.
    ///
    /// ```
    /// use shared_term::Atomics;
    /// use shared_term::sync::atomic::Ordering::Acquire;
    ///
    /// assert_eq!(Atomics::from_fn(3, |i| i as u64).load_all(Acquire), [0, 1, 2]);
    /// ```
    pub fn load_all(&self, order: Ordering) -> Vec<T> {
        self.iter().map(|cell| T::load(cell, order)).collect()
    }

    /// As [`load_all`](Self::load_all), into a buffer that can be used again. What was in it is gone.
    ///
    /// # Panics
    ///
    /// As [`load_all`](Self::load_all).
    ///
    /// ```
    /// use shared_term::Atomics;
    /// use shared_term::sync::atomic::Ordering::Relaxed;
    ///
    /// let (cells, mut values) = (Atomics::from_fn(2, |i| i as u64), Vec::new());
    /// for _scrape in 0..3 {
    ///     cells.load_all_into(Relaxed, &mut values);
    ///     assert_eq!(values, [0, 1]);
    /// }
    /// ```
    pub fn load_all_into(&self, order: Ordering, values: &mut Vec<T>) {
        values.clear();
        values.extend(self.iter().map(|cell| T::load(cell, order)));
    }

    /// Are these two handles on one array?
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// let cells = Atomics::<i64>::new(1);
    /// assert!(Atomics::ptr_eq(&cells, &cells.clone()));
    /// assert!(!Atomics::ptr_eq(&cells, &Atomics::new(1)));
    /// ```
    #[must_use]
    pub fn ptr_eq(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.cells, &b.cells)
    }

    /// What tells this array from all others that live.
    #[cfg(feature = "term")]
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.cells).addr()
    }

    /// Size, range of values, and memory.
    ///
    /// ```
    /// use shared_term::Atomics;
    ///
    /// let info = Atomics::<u64>::new(10).info();
    /// assert_eq!((info.size, info.min, info.max), (10, 0, u64::MAX));
    /// assert!((80..160).contains(&info.bytes));
    /// ```
    #[doc(alias = "atomics:info/1")]
    pub fn info(&self) -> Info<T> {
        let cells = match &*self.cells {
            Cells::Packed(cells) => size_of_val(&**cells),
            Cells::Padded(cells) => size_of_val(&**cells),
        };
        // Beside the cells: their enum, and the two counts of the `Arc`.
        let bytes = cells + size_of::<Cells<T::Cell>>() + 2 * size_of::<usize>();
        Info { size: self.len(), min: T::MIN, max: T::MAX, bytes }
    }
}

fn some(len: usize) -> Result<(), AllocError> {
    if len == 0 { Err(AllocError::ZeroLength) } else { Ok(()) }
}

#[track_caller]
fn expect<T>(made: Result<T, AllocError>) -> T {
    made.unwrap_or_else(|error| panic!("{error}"))
}

impl<T: Integer> Index<usize> for Atomics<T> {
    type Output = T::Cell;

    /// The `i`th cell, counted from 0.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    #[track_caller]
    fn index(&self, i: usize) -> &T::Cell {
        match &*self.cells {
            Cells::Packed(cells) => &cells[i],
            Cells::Padded(cells) => &cells[i].0,
        }
    }
}

impl<T: Integer> Clone for Atomics<T> {
    fn clone(&self) -> Self {
        Self { cells: Arc::clone(&self.cells) }
    }
}

impl<T: Integer> fmt::Debug for Atomics<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Atomics ")?;
        // Relaxed: a picture for people; it orders nothing.
        f.debug_list().entries(self.iter().map(|cell| T::load(cell, Ordering::Relaxed))).finish()
    }
}

impl<'a, T: Integer> IntoIterator for &'a Atomics<T> {
    type Item = &'a T::Cell;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The cells of an [`Atomics`] in order: [`Atomics::iter`].
///
/// ```
/// use shared_term::Atomics;
/// use shared_term::sync::atomic::Ordering::Relaxed;
///
/// let cells = Atomics::from_fn(5, |i| i as i64);
/// for cell in cells.iter().rev().take(2) {
///     cell.store(-1, Relaxed);
/// }
/// assert_eq!(cells.load_all(Relaxed), [0, 1, 2, -1, -1]);
/// assert_eq!(cells.iter().len(), 5);
/// ```
#[derive(Debug, Clone)]
pub struct Iter<'a, T: Integer> {
    cells: &'a Atomics<T>,
    left: Range<usize>,
}

impl<'a, T: Integer> Iterator for Iter<'a, T> {
    type Item = &'a T::Cell;

    fn next(&mut self) -> Option<&'a T::Cell> {
        self.left.next().map(|i| &self.cells[i])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<'a, T: Integer> DoubleEndedIterator for Iter<'a, T> {
    fn next_back(&mut self) -> Option<&'a T::Cell> {
        self.left.next_back().map(|i| &self.cells[i])
    }
}

impl<T: Integer> ExactSizeIterator for Iter<'_, T> {}
impl<T: Integer> FusedIterator for Iter<'_, T> {}

static_assertions::assert_impl_all!(Atomics<i64>: Send, Sync);
static_assertions::assert_impl_all!(Atomics<u64>: Send, Sync);
const _: () = assert!(size_of::<Atomics<i64>>() == size_of::<usize>(), "the handle is one word");
const _: () = assert!(align_of::<Padded<AtomicI64>>() == 128 && align_of::<Padded<AtomicU64>>() == 128);
#[cfg(not(all(loom, feature = "loom")))]
const _: () = {
    static_assertions::assert_impl_all!(Atomics<i64>: std::panic::UnwindSafe, std::panic::RefUnwindSafe);
    static_assertions::assert_impl_all!(Atomics<u64>: std::panic::UnwindSafe, std::panic::RefUnwindSafe);
    assert!(size_of::<AtomicI64>() == 8 && align_of::<AtomicI64>() == 8);
    assert!(size_of::<AtomicU64>() == 8 && align_of::<AtomicU64>() == 8);
    assert!(size_of::<Padded<AtomicI64>>() == 128);
};
