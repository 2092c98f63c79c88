//! How many processes live, counted without a line that every worker writes.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

const STRIPES: usize = if crate::sync::MODELLED { 1 } else { 16 };

/// Beginnings and ends, in one stripe or another.
#[derive(Debug)]
pub(crate) struct Tally {
    stripes: [CachePadded<Stripe>; STRIPES],
}

#[derive(Debug)]
struct Stripe {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let stripe = |_| CachePadded::new(Stripe { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) });
        Self { stripes: std::array::from_fn(stripe) }
    }

    pub(crate) fn begin(&self) {
        // Relaxed: whatever leads to the end of the process orders this before it.
        self.stripes[stripe()].begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        // Release: pairs with the acquire in `live`.
        self.stripes[stripe()].ended.fetch_add(1, Ordering::Release);
    }

    /// How many live: never fewer than there were at some moment of the call.
    pub(crate) fn live(&self) -> usize {
        // Acquire: pairs with the release in `end`. The ends first: whose end is counted, whose beginning is then seen.
        let ended = self.stripes.iter().fold(0_usize, |n, s| n.wrapping_add(s.ended.load(Ordering::Acquire)));
        let begun = self.stripes.iter().fold(0_usize, |n, s| n.wrapping_add(s.begun.load(Ordering::Relaxed)));
        begun.wrapping_sub(ended)
    }
}

/// The stripe of this thread: workers that were started together have different ones.
#[cfg(not(all(loom, feature = "loom")))]
fn stripe() -> usize {
    use std::cell::Cell;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let mut stripe = STRIPE.get();
    if stripe == usize::MAX {
        stripe = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
        STRIPE.set(stripe);
    }
    stripe
}

#[cfg(all(loom, feature = "loom"))]
fn stripe() -> usize {
    0
}
