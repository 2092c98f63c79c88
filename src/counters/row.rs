//! A row: one cell per counter, in cache lines that no other row touches.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::alloc::{AllocError, try_boxed};
use crate::sync::atomic::AtomicI64;

/// Cells in a line; one under loom, where every cell costs executions.
const CELLS: usize = if crate::sync::MODELLED { 1 } else { 16 };

/// The unit of memory of a row: a cache line and the neighbour that adjacent-line prefetchers fetch with it.
#[repr(C, align(128))]
pub(super) struct Line([AtomicI64; CELLS]);

const _: () = assert!(align_of::<Line>() == 128, "rows of different threads share no line");
#[cfg(not(all(loom, feature = "loom")))]
const _: () = assert!(size_of::<Line>() == 128, "and waste none");

fn zero() -> AtomicI64 {
    #[cfg_attr(
        not(all(loom, feature = "loom", not(all(shuttle, feature = "shuttle")))),
        expect(unused_mut, reason = "loom takes a look at it")
    )]
    let mut cell = AtomicI64::new(0);
    // loom does not check that a cell's creation happened before its use; that a write like this one did, it does.
    #[cfg(all(loom, feature = "loom", not(all(shuttle, feature = "shuttle"))))]
    cell.with_mut(|_| ());
    cell
}

/// The lines of one row, freed with it.
///
/// **I4 (length).** All rows of one array have the lines for `len` cells, where `len` is the array's.
pub(super) struct Row {
    lines: NonNull<Line>,
    count: usize,
}

// SAFETY: a row owns its lines, which are atomics.
unsafe impl Send for Row {}
// SAFETY: as above.
unsafe impl Sync for Row {}

impl Row {
    /// A row for `len` counters, all zero.
    pub(super) fn try_new(len: usize) -> Result<Self, AllocError> {
        let lines = try_boxed(len.div_ceil(CELLS), |_| Line(std::array::from_fn(|_| zero())));
        let lines = lines.map_err(|error| match error {
            AllocError::TooLong { .. } => AllocError::TooLong { len },
            other => other,
        })?;
        let count = lines.len();
        // A `Box` would be a claim to be the only pointer, and rows are reached through copies of this one.
        let lines = NonNull::from(Box::leak(lines)).cast();
        Ok(Self { lines, count })
    }

    pub(super) fn bytes(&self) -> usize {
        self.count * size_of::<Line>()
    }

    /// The address, for the table through which rows are found.
    pub(super) fn as_ptr(&self) -> *mut Line {
        self.lines.as_ptr()
    }

    pub(super) fn as_ref(&self) -> RowRef<'_> {
        RowRef { lines: self.lines, row: PhantomData }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let lines = std::ptr::slice_from_raw_parts_mut(self.lines.as_ptr(), self.count);
        // SAFETY: the pointer and the length of the leaked box; the row owns it, and every `RowRef` borrows the array
        // that owns the row.
        drop(unsafe { Box::from_raw(lines) });
    }
}

/// A row, borrowed.
#[derive(Clone, Copy)]
pub(super) struct RowRef<'a> {
    lines: NonNull<Line>,
    row: PhantomData<&'a Row>,
}

impl<'a> RowRef<'a> {
    /// The row at an address that came from [`Row::as_ptr`], if it is one.
    ///
    /// # Safety
    ///
    /// The address is null, or the row lives for `'a`.
    #[inline(always)]
    pub(super) unsafe fn from_ptr(lines: *mut Line) -> Option<Self> {
        Some(Self { lines: NonNull::new(lines)?, row: PhantomData })
    }

    /// The cell of counter `i`.
    ///
    /// # Safety
    ///
    /// `i` is less than the length of the row's array.
    #[inline(always)]
    pub(super) unsafe fn cell(self, i: usize) -> &'a AtomicI64 {
        if crate::sync::MODELLED {
            // A cell per line.
            // SAFETY: by I4 the line is there, and the row lives for `'a`.
            let line: &'a Line = unsafe { self.lines.add(i).as_ref() };
            &line.0[0]
        } else {
            // The cells of all lines lie side by side, which saves taking `i` apart.
            // SAFETY: by I4 the cell is there, and the row lives for `'a`.
            unsafe { self.lines.cast::<AtomicI64>().add(i).as_ref() }
        }
    }
}
