//! The rows of a striped array, and the base that they are counted from.
//!
//! The value of a counter is the sum of its cells in all rows, less its *base*. Owners write rows, and nobody else ever
//! does: `put` and `take` move the base. Each add is in exactly one of two consecutive sums, so what consecutive takes
//! return adds up, wrap-around included.
//!
//! **I5 (table).** A slot of the row table is null, or points to a row of `growth.rows`, which lives as long as the
//! array and has its length. It is written once.
//!
//! **I6 (base).** A base is written under the lock `writers`, between two increments of its version. A reader that sees
//! one even version on both sides of its loads has a base that is not newer than the row values beside it.

use crate::alloc::{AllocError, try_boxed};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, fence};
use crate::sync::hint::spin_loop;
use crate::sync::mutation::{Mutation, mutated, ordering};
use crate::sync::{Mutex, MutexGuard};

use super::row::{Line, Row, RowRef};
use super::thread_id;

/// Slots that lie in the array itself; a power of two.
const FIRST: u32 = if crate::IS_LOOM { 1 } else { 32 };
/// Segments of further slots, made when they are needed; each doubles the number of slots.
const SEGMENTS: u32 = if crate::IS_LOOM { 1 } else { 7 };
/// Slots in all.
pub(super) const CAPACITY: u32 = FIRST << SEGMENTS;

/// After this many disturbed attempts a reader waits for the writers' lock.
const ATTEMPTS: usize = if crate::IS_LOOM { 2 } else { 16 };

/// What a counter is counted from.
struct Base {
    /// Odd while `value` is being replaced.
    version: AtomicU64,
    value: AtomicI64,
}

pub(super) struct Stripes {
    first: [AtomicPtr<Line>; FIRST as usize],
    segments: [AtomicPtr<AtomicPtr<Line>>; SEGMENTS as usize],
    /// No slot from here on has a row.
    end: AtomicUsize,
    bases: Box<[Base]>,
    growth: Mutex<Growth>,
    writers: Mutex<()>,
}

/// Owns what the table points to.
#[derive(Default)]
struct Growth {
    rows: Vec<Row>,
    segments: Vec<Segment>,
}

/// Slots of the table, freed with it. Not a `Box`, for the reason in [`Row::try_new`].
struct Segment(std::ptr::NonNull<[AtomicPtr<Line>]>);

// SAFETY: it owns atomics.
unsafe impl Send for Segment {}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the leaked box of `try_slot`; the table that points into it goes with it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Segment and place in it of the slot `id`, which is at least `FIRST`.
fn place(id: u32) -> (usize, usize) {
    let segment = (id / FIRST).ilog2();
    (segment as usize, (id - (FIRST << segment)) as usize)
}

impl Stripes {
    pub(super) fn try_new(len: usize) -> Result<Self, AllocError> {
        Ok(Self {
            first: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
            segments: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
            end: AtomicUsize::new(0),
            bases: try_boxed(len, |_| Base { version: AtomicU64::new(0), value: AtomicI64::new(0) })?,
            growth: Mutex::new(Growth::default()),
            writers: Mutex::new(()),
        })
    }

    /// The calling thread's own row, made at its first write; `None` if it can have none.
    #[inline(always)]
    pub(super) fn own_row(&self) -> Option<RowRef<'_>> {
        if let Some(slot) = self.first.get(thread_id::current() as usize) {
            // Relaxed: this thread stored it, or a thread whose number it took over (I2).
            let row = slot.load(Relaxed);
            // SAFETY: I5.
            if let Some(row) = unsafe { RowRef::from_ptr(row) } {
                return Some(row);
            }
        }
        self.find_or_make_row()
    }

    #[cold]
    #[inline(never)]
    fn find_or_make_row(&self) -> Option<RowRef<'_>> {
        let id = thread_id::current();
        if id < CAPACITY
            && let Some(row) = self.row(id)
        {
            return Some(row);
        }
        thread_id::with_lease(|lease| self.row_of(lease?.id()))
    }

    /// The row with the number `id`, made if need be. Only for who holds the number.
    pub(super) fn row_of(&self, id: u32) -> Option<RowRef<'_>> {
        self.row(id).or_else(|| self.try_make_row(id).ok())
    }

    fn row(&self, id: u32) -> Option<RowRef<'_>> {
        // Acquire: pairs with the Release of `try_make_row`, so that the row's zeros are there.
        let row = self.slot(id)?.load(Acquire);
        // SAFETY: I5.
        unsafe { RowRef::from_ptr(row) }
    }

    #[inline]
    fn slot(&self, id: u32) -> Option<&AtomicPtr<Line>> {
        if let Some(slot) = self.first.get(id as usize) {
            return Some(slot);
        }
        let (segment, at) = place(id);
        // Acquire: pairs with the Release of `try_slot`.
        let slots = self.segments[segment].load(Acquire);
        if slots.is_null() {
            return None;
        }
        // SAFETY: segment `k` has `FIRST << k` slots, `place` stays below, and `growth` owns it as long as `self`
        // lives.
        Some(unsafe { &*slots.add(at) })
    }

    #[cold]
    fn try_make_row(&self, id: u32) -> Result<RowRef<'_>, AllocError> {
        let row = Row::try_new(self.bases.len())?;
        let mut growth = self.growth.lock();
        let slot = self.try_slot(&mut growth, id)?;
        growth.rows.try_reserve(1).map_err(|_| AllocError::OutOfMemory { bytes: size_of::<Row>() })?;
        let address = row.as_ptr();
        growth.rows.push(row);
        // Release: pairs with the Acquire of `row`; `end` alone would not do, a row with a higher number may have
        // raised it.
        slot.store(address, ordering(Mutation::RowRelaxed, Release));
        // Relaxed load: stores happen under the lock. Release store: pairs with the Acquire of `sum`; who has seen an
        // add of this row sees that there is a row.
        let end = self.end.load(Relaxed);
        self.end.store(end.max(id as usize + 1), ordering(Mutation::RowRelaxed, Release));
        // SAFETY: I5.
        let row = unsafe { RowRef::from_ptr(address) };
        Ok(row.expect("a row's address is not null"))
    }

    fn try_slot(&self, growth: &mut Growth, id: u32) -> Result<&AtomicPtr<Line>, AllocError> {
        if let Some(slot) = self.slot(id) {
            return Ok(slot);
        }
        let (segment, at) = place(id);
        let slots = try_boxed((FIRST << segment) as usize, |_| AtomicPtr::new(std::ptr::null_mut()))?;
        growth.segments.try_reserve(1).map_err(|_| AllocError::OutOfMemory { bytes: size_of::<Segment>() })?;
        let slots = std::ptr::NonNull::from(Box::leak(slots));
        growth.segments.push(Segment(slots));
        let slots: *mut AtomicPtr<Line> = slots.as_ptr().cast();
        // Release: pairs with the Acquire of `slot`, so that the nulls are there.
        self.segments[segment].store(slots, Release);
        // SAFETY: as in `slot`.
        Ok(unsafe { &*slots.add(at) })
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
        // Acquire: pairs with the Release of `try_make_row`.
        for id in 0..self.end.load(Acquire) {
            if let Some(row) = self.row(id as u32) {
                // SAFETY: the caller's promise, and I5.
                sum = sum.wrapping_add(unsafe { row.cell(i) }.load(Relaxed));
            }
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
            return (0..CAPACITY).filter_map(|id| self.row(id)).map(take).sum::<i64>() + take(overflow);
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
        base.version.store(version.wrapping_add(2), Release);
        old
    }

    /// Rows that were made, and all memory but this struct.
    pub(super) fn memory(&self) -> (usize, usize) {
        let growth = self.growth.lock();
        let rows = growth.rows.iter().map(Row::bytes).sum::<usize>() + growth.rows.capacity() * size_of::<Row>();
        let slots = growth.segments.iter().map(|segment| segment.0.len()).sum::<usize>();
        let segments = slots * size_of::<AtomicPtr<Line>>() + growth.segments.capacity() * size_of::<Segment>();
        (growth.rows.len(), rows + segments + size_of_val(&*self.bases))
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_its_place() {
        let mut places = Vec::new();
        for id in FIRST..CAPACITY {
            let (segment, at) = place(id);
            assert!(segment < SEGMENTS as usize && at < (FIRST << segment) as usize);
            places.push((segment, at));
        }
        assert!(places.is_sorted(), "in order, so no two share one");
        places.dedup();
        assert_eq!(places.len(), (CAPACITY - FIRST) as usize);
    }
}
