//! How many processes live, counted without a line that every worker writes.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

/// For threads that are no workers.
const SHARED: usize = if crate::sync::MODELLED { 1 } else { 8 };

/// Beginnings and ends, in one row or another.
#[derive(Debug)]
pub(crate) struct Tally {
    shared: [CachePadded<Row>; SHARED],
    /// One for each worker, which alone writes it.
    own: Box<[CachePadded<Row>]>,
}

#[derive(Debug)]
struct Row {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Tally {
    pub(crate) fn new(workers: usize) -> Self {
        let row = |_| CachePadded::new(Row { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) });
        Self { shared: std::array::from_fn(row), own: (0..workers).map(row).collect() }
    }

    pub(crate) fn workers(&self) -> usize {
        self.own.len()
    }

    pub(crate) fn begin(&self) {
        // Relaxed: whatever leads to the end of the process orders this before it.
        self.shared[stripe()].begun.fetch_add(1, Ordering::Relaxed);
    }

    /// As [`begin`](Self::begin), by this worker, which the calling thread must be.
    pub(crate) fn begin_at(&self, worker: usize) {
        let begun = &self.own[worker].begun;
        // Relaxed: as above; and nobody else writes it.
        begun.store(begun.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        // Release: pairs with the acquire in `live`.
        self.shared[stripe()].ended.fetch_add(1, Ordering::Release);
    }

    /// As [`end`](Self::end), by this worker, which the calling thread must be.
    pub(crate) fn end_at(&self, worker: usize) {
        let ended = &self.own[worker].ended;
        // Relaxed: nobody else writes it. Release: pairs with the acquire in `live`. It goes for the ends counted here
        // before, too: this thread has counted them.
        ended.store(ended.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// How many live: never fewer than there were at some moment of the call.
    pub(crate) fn live(&self) -> usize {
        let rows = || self.shared.iter().chain(&self.own);
        // Acquire: pairs with the releases in `end` and `end_at`. The ends first: whose end is counted, whose beginning is
        // then seen.
        let ended = rows().fold(0_usize, |n, row| n.wrapping_add(row.ended.load(Ordering::Acquire)));
        let begun = rows().fold(0_usize, |n, row| n.wrapping_add(row.begun.load(Ordering::Relaxed)));
        begun.wrapping_sub(ended)
    }
}

/// The row of this thread among those that are shared.
#[cfg(not(all(loom, feature = "loom")))]
fn stripe() -> usize {
    use std::cell::Cell;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let mut stripe = STRIPE.get();
    if stripe == usize::MAX {
        stripe = NEXT.fetch_add(1, Ordering::Relaxed) % SHARED;
        STRIPE.set(stripe);
    }
    stripe
}

#[cfg(all(loom, feature = "loom"))]
fn stripe() -> usize {
    0
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    #[test]
    fn who_begins_at_one_worker_may_end_at_another_or_at_none() {
        let tally = Tally::new(2);
        for _ in 0..3 {
            tally.begin_at(0);
            tally.begin();
        }
        assert_eq!(tally.live(), 6);
        for _ in 0..2 {
            tally.end_at(1);
            tally.end();
        }
        assert_eq!(tally.live(), 2);
        tally.end_at(1);
        tally.end_at(0);
        assert_eq!(tally.live(), 0);
    }
}
