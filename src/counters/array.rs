//! What the handles on one array share: the safe shell round rows and stripes.

use std::ops::RangeInclusive;

use crate::alloc::AllocError;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::mutation::{Mutation, mutated};

use super::row::{Row, RowRef};
use super::stripes::Stripes;
use super::{Info, Layout};

/// All counters of one array.
pub(super) struct Array {
    len: usize,
    /// The row that is everybody's: the only one of the atomic layout, the overflow row of the striped one. Written
    /// with read-modify-writes.
    shared: Row,
    pub(super) stripes: Option<Stripes>,
}

impl Array {
    pub(super) fn try_new(len: usize, layout: Layout) -> Result<Self, AllocError> {
        if len == 0 {
            return Err(AllocError::ZeroLength);
        }
        let stripes = match layout {
            Layout::Atomic => None,
            Layout::Striped => Some(Stripes::try_new(len)?),
        };
        Ok(Self { len, shared: Row::try_new(len)?, stripes })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// # Panics
    ///
    /// If there is no counter `i`.
    #[inline(always)]
    #[track_caller]
    pub(super) fn check(&self, i: usize) {
        if i >= self.len {
            out_of_range(i, self.len);
        }
    }

    /// Adds to counter `i`, in the calling thread's row, which is made now if it never was.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    #[inline(always)]
    #[track_caller]
    pub(super) fn add(&self, i: usize, n: i64) {
        self.check(i);
        let row = self.stripes.as_ref().and_then(Stripes::own_row);
        // SAFETY: checked just now, and the row is one of this array.
        unsafe { self.add_on(row, i, n) };
    }

    /// Adds to counter `i` on `row`, which must be the calling thread's (I1), or else for everybody.
    ///
    /// # Safety
    ///
    /// `i` is in range, and the row is one of this array.
    #[inline(always)]
    pub(super) unsafe fn add_on(&self, row: Option<RowRef<'_>>, i: usize, n: i64) {
        if let Some(row) = row {
            // SAFETY: the caller's promise; by I4 all rows of the array have its length.
            let cell = unsafe { row.cell(i) };
            // Relaxed, both: only this thread stores to its row (I1), so nothing comes between.
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        } else {
            // SAFETY: the caller's promise, and I4.
            let cell = unsafe { self.shared.as_ref().cell(i) };
            if mutated(Mutation::OverflowPlain) {
                return cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
            }
            // Relaxed: a cell counts, it announces nothing.
            cell.fetch_add(n, Relaxed);
        }
    }

    /// The value of counter `i`.
    ///
    /// # Panics
    ///
    /// If there is no counter `i`.
    #[track_caller]
    pub(super) fn get(&self, i: usize) -> i64 {
        self.check(i);
        let shared = self.shared.as_ref();
        match &self.stripes {
            // SAFETY: checked just now, and `shared` has the length of the array (I4).
            Some(stripes) => unsafe { stripes.get(shared, i) },
            // Relaxed: as in `add`.
            // SAFETY: as above.
            None => unsafe { shared.cell(i) }.load(Relaxed),
        }
    }

    /// Sets the counters `range` to `value` and hands what they were to `each`.
    ///
    /// # Panics
    ///
    /// If one of them is none; then nothing is set.
    #[track_caller]
    pub(super) fn replace(&self, range: RangeInclusive<usize>, value: i64, mut each: impl FnMut(i64)) {
        self.check(*range.end());
        let shared = self.shared.as_ref();
        match &self.stripes {
            Some(stripes) => {
                let writers = stripes.writers();
                for i in range {
                    // SAFETY: checked above, and `shared` has the length of the array (I4).
                    each(unsafe { stripes.rebase(shared, i, value, &writers) });
                }
            }
            None => {
                for i in range {
                    // Relaxed: as in `add`.
                    // SAFETY: as above.
                    each(unsafe { shared.cell(i) }.swap(value, Relaxed));
                }
            }
        }
    }

    pub(super) fn info(&self) -> Info {
        let (layout, (rows, bytes)) = match &self.stripes {
            Some(stripes) => (Layout::Striped, stripes.memory()),
            None => (Layout::Atomic, (0, 0)),
        };
        // Beside the rows: this header, and the two counts of the `Arc` round it.
        let header = size_of::<Self>() + 2 * size_of::<usize>();
        Info { size: self.len, layout, rows, bytes: bytes + self.shared.bytes() + header }
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn out_of_range(i: usize, len: usize) -> ! {
    panic!("there is no counter {i} among {len}")
}
