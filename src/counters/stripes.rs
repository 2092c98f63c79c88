//! The rows of a striped array, and the base that they are counted from.
//!
//! The value of a counter is the sum of its cells in all rows, less its *base*. Owners write rows, and nobody else ever
//! does: `put` and `take` move the base. Each add is in exactly one of two consecutive sums, so what consecutive takes
//! return adds up, wrap-around included.
//!
//! **I5 (table).** The table has at least as many slots as `slots` says. A slot is null, or points to a row of
//! `growth.rows`. Tables and rows live as long as the array, and every row has its length. A row is in every table that
//! came after it: who sees an add, in the order of happens-before, sees a table with its row.
//!
//! **I6 (base).** A base is written under the lock `writers`, between two increments of its version. A reader that sees
//! one even version on both sides of its loads has a base that is not newer than the row values beside it.

use std::ptr::NonNull;

use crate::alloc::{AllocError, try_boxed};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, fence};
use crate::sync::hint::spin_loop;
use crate::sync::mutation::{Mutation, mutated, ordering};
use crate::sync::{Mutex, MutexGuard};

use super::row::{Line, Row, RowRef};
use super::thread_id;

/// Slots of the smallest table.
const FIRST: usize = if crate::sync::MODELLED { 1 } else { 4 };
/// Slots of the largest table.
pub(super) const CAPACITY: u32 = if crate::sync::MODELLED { 2 } else { 4096 };

/// After this many disturbed attempts a reader waits for the writers' lock.
const ATTEMPTS: usize = if crate::sync::MODELLED { 2 } else { 16 };

/// What a counter is counted from.
struct Base {
    /// Odd while `value` is being replaced.
    version: AtomicU64,
    value: AtomicI64,
}

pub(super) struct Stripes {
    /// The row with each number, if there is one: `slots` of them, at least. Replaced by a larger one as numbers get
    /// higher.
    table: AtomicPtr<AtomicPtr<Line>>,
    slots: AtomicUsize,
    bases: Box<[Base]>,
    growth: Mutex<Growth>,
    writers: Mutex<()>,
}

/// Owns what the table points to, and all tables there were. A slot is written, and a table replaced, under its lock.
#[derive(Default)]
struct Growth {
    rows: Vec<Row>,
    tables: Vec<Table>,
}

/// A table, freed with this. Not a `Box`, for the reason in [`Row::try_new`].
struct Table(NonNull<[AtomicPtr<Line>]>);

// SAFETY: it owns atomics.
unsafe impl Send for Table {}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: the leaked box of `grow`; who looks into the table borrows the array that this goes with.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Stripes {
    pub(super) fn try_new(len: usize) -> Result<Self, AllocError> {
        Ok(Self {
            table: AtomicPtr::new(NonNull::dangling().as_ptr()),
            slots: AtomicUsize::new(0),
            bases: try_boxed(len, |_| Base { version: AtomicU64::new(0), value: AtomicI64::new(0) })?,
            growth: Mutex::new(Growth::default()),
            writers: Mutex::new(()),
        })
    }

    /// The slots of the table.
    #[inline(always)]
    fn slots(&self) -> &[AtomicPtr<Line>] {
        // Acquire, both: pair with the Release of `grow`, so that the table is at least as long, and its slots are there.
        let slots = self.slots.load(Acquire);
        let table = self.table.load(Acquire);
        // SAFETY: I5; without slots the pointer is dangling, as it may be.
        unsafe { std::slice::from_raw_parts(table, slots) }
    }

    /// The calling thread's own row, made at its first write; `None` if it can have none.
    #[inline(always)]
    pub(super) fn own_row(&self) -> Option<RowRef<'_>> {
        if let Some(slot) = self.slots().get(thread_id::current() as usize) {
            // Relaxed: this thread stored it, or a thread whose number it took over (I2).
            let row = slot.load(Relaxed);
            // SAFETY: I5.
            if let Some(row) = unsafe { RowRef::from_ptr(row) } {
                return Some(row);
            }
        }
        self.make_own_row()
    }

    #[cold]
    #[inline(never)]
    fn make_own_row(&self) -> Option<RowRef<'_>> {
        thread_id::with_lease(|lease| self.row_of(lease?.id()))
    }

    /// The row with the number `id`, made if need be; `None` if the allocator refuses it. Only for who holds the number.
    pub(super) fn row_of(&self, id: u32) -> Option<RowRef<'_>> {
        let id = id as usize;
        let row = self.slots().get(id).and_then(Self::row);
        row.or_else(|| self.try_make_row(id).ok())
    }

    fn row(slot: &AtomicPtr<Line>) -> Option<RowRef<'_>> {
        // Acquire: pairs with the Release of `try_make_row`, so that the row's zeros are there.
        let row = slot.load(Acquire);
        // SAFETY: I5.
        unsafe { RowRef::from_ptr(row) }
    }

    #[cold]
    fn try_make_row(&self, id: usize) -> Result<RowRef<'_>, AllocError> {
        let mut growth = self.growth.lock();
        let slot = match self.slots().get(id) {
            Some(slot) => slot,
            None => &self.grow(&mut growth, id)?[id],
        };
        growth.rows.try_reserve(1).map_err(|_| AllocError::OutOfMemory { bytes: size_of::<Row>() })?;
        let row = Row::try_new(self.bases.len())?;
        let address = row.as_ptr();
        growth.rows.push(row);
        // Release: pairs with the Acquire of `row`.
        slot.store(address, ordering(Mutation::RowRelaxed, Release));
        // SAFETY: I5.
        let row = unsafe { RowRef::from_ptr(address) };
        Ok(row.expect("a row's address is not null"))
    }

    /// A table with a slot for `id`, and with all rows that the one before has.
    fn grow(&self, growth: &mut Growth, id: usize) -> Result<&[AtomicPtr<Line>], AllocError> {
        let before = self.slots();
        let table = try_boxed((id + 1).next_power_of_two().max(FIRST), |id| {
            // Relaxed: stored under the lock.
            AtomicPtr::new(before.get(id).map_or(std::ptr::null_mut(), |slot| slot.load(Relaxed)))
        })?;
        growth.tables.try_reserve(1).map_err(|_| AllocError::OutOfMemory { bytes: size_of::<Table>() })?;
        let slots = table.len();
        let table = NonNull::from(Box::leak(table));
        growth.tables.push(Table(table));
        // Release, both: pair with the Acquire of `slots`. In this order, so that the number is never ahead.
        self.table.store(table.as_ptr().cast(), Release);
        self.slots.store(slots, Release);
        Ok(self.slots())
    }

    /// The sum of the cells of counter `i` in all rows and in `overflow`.
    ///
    /// # Safety
    ///
    /// `i` is in range, and `overflow` is a row of this array's length.
    unsafe fn sum(&self, overflow: RowRef<'_>, i: usize) -> i64 {
        // Relaxed, here and below: a cell counts, it announces nothing; which adds a read must see follows from
        // happens-before and coherence.
        // SAFETY: the caller's promise.
        let mut sum = unsafe { overflow.cell(i) }.load(Relaxed);
        for row in self.slots().iter().filter_map(Self::row) {
            // SAFETY: the caller's promise, and I5.
            sum = sum.wrapping_add(unsafe { row.cell(i) }.load(Relaxed));
        }
        sum
    }

    /// The value of counter `i`.
    ///
    /// # Safety
    ///
    /// As [`sum`](Self::sum).
    pub(super) unsafe fn get(&self, overflow: RowRef<'_>, i: usize) -> i64 {
        let base = &self.bases[i];
        for _ in 0..ATTEMPTS {
            // Acquire: pairs with the last store of `rebase`; row values are at least as new as the base's.
            let version = base.version.load(ordering(Mutation::VersionRelaxed, Acquire));
            if version.is_multiple_of(2) || mutated(Mutation::NoVersion) {
                // SAFETY: the caller's promise.
                let sum = unsafe { self.sum(overflow, i) };
                // Relaxed: the fence below orders it.
                let value = sum.wrapping_sub(base.value.load(Relaxed));
                if !mutated(Mutation::ReadFenceMissing) {
                    // Pairs with the fence of `rebase`: if the base came from a later `rebase`, so does the version.
                    fence(Acquire);
                }
                // Relaxed: see the fence.
                if base.version.load(Relaxed) == version || mutated(Mutation::NoVersion) {
                    return value;
                }
            }
            spin_loop();
        }
        let _writers = self.writers.lock();
        // SAFETY: the caller's promise.
        unsafe { self.sum(overflow, i) }.wrapping_sub(base.value.load(Relaxed))
    }

    /// Excludes the other writers of bases.
    pub(super) fn writers(&self) -> MutexGuard<'_, ()> {
        self.writers.lock()
    }

    /// Moves the base of counter `i` so that its value becomes `value`, and returns what it was. Adds that are
    /// not in what it returns are on top of `value`.
    ///
    /// # Safety
    ///
    /// As [`sum`](Self::sum).
    pub(super) unsafe fn rebase(
        &self,
        overflow: RowRef<'_>,
        i: usize,
        value: i64,
        _writers: &MutexGuard<'_, ()>,
    ) -> i64 {
        if mutated(Mutation::TakeBySwap) {
            // SAFETY: the caller's promise, and I5.
            let take = |row: RowRef<'_>| unsafe { row.cell(i) }.swap(0, AcqRel);
            return self.slots().iter().filter_map(Self::row).map(take).sum::<i64>() + take(overflow);
        }
        let base = &self.bases[i];
        // Relaxed: only holders of the lock store it.
        let version = base.version.load(Relaxed);
        // Relaxed: the fence below orders it.
        base.version.store(version.wrapping_add(1), Relaxed);
        if !mutated(Mutation::WriterFenceMissing) {
            // Pairs with the fence of `get`: who reads the base stored below sees the odd version, or a later one.
            fence(Release);
        }
        // SAFETY: the caller's promise.
        let sum = unsafe { self.sum(overflow, i) };
        // Relaxed load: stored under the lock. Relaxed store: see the fence.
        let old = sum.wrapping_sub(base.value.load(Relaxed));
        base.value.store(sum.wrapping_sub(value), Relaxed);
        // Release: pairs with the Acquire of `get`.
        base.version.store(version.wrapping_add(2), ordering(Mutation::VersionStoreRelaxed, Release));
        old
    }

    /// Rows that were made, and all memory but this struct.
    pub(super) fn memory(&self) -> (usize, usize) {
        let growth = self.growth.lock();
        let rows = growth.rows.iter().map(Row::bytes).sum::<usize>() + growth.rows.capacity() * size_of::<Row>();
        let slots = growth.tables.iter().map(|table| table.0.len()).sum::<usize>();
        let tables = slots * size_of::<AtomicPtr<Line>>() + growth.tables.capacity() * size_of::<Table>();
        (growth.rows.len(), rows + tables + size_of_val(&*self.bases))
    }
}
