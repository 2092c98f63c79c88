//! That no replaced value stays behind, where whoever is in a cell can keep a collection from its aim.
//!
//! Whoever was in, for whatever reason, looks for values that were not dropped once it has left, and collects. One thread
//! at a time does that, and once more if somebody came by meanwhile: two that collect would be in each other's way, and both
//! could give up. So after the last one that was in the way has left, there is a collection with nobody in its way.

#![cfg_attr(not(all(loom, feature = "loom")), expect(unreachable_pub, reason = "a model looks at them by themselves"))]

use crate::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::sync::atomic::{AtomicU32, AtomicUsize, fence};
use crate::sync::mutation::{Mutation, mutated};

/// Nobody collects.
const IDLE: u32 = 0;
/// Somebody does.
const BUSY: u32 = 1;
/// Somebody does, and must once more.
const AGAIN: u32 = 2;

/// Whose turn it is to collect.
#[derive(Debug)]
pub struct Turns(AtomicU32);

impl Default for Turns {
    fn default() -> Self {
        Self(AtomicU32::new(IDLE))
    }
}

impl Turns {
    /// Counts a value that was replaced, before a collection looks who is in.
    pub fn replaced(values: &AtomicUsize) {
        // Relaxed: the fence orders it.
        values.fetch_add(1, Relaxed);
        // Pairs with the one in `left`.
        fence(SeqCst);
    }

    /// After leaving: `collect`s if there are values. It counts them down.
    #[inline]
    pub fn left(&self, values: &AtomicUsize, collect: impl FnMut()) {
        if !mutated(Mutation::LeftNoFence) {
            // Pairs with the one in `replaced`: either that writer sees that this thread has left, or this thread sees the
            // count.
            fence(SeqCst);
        }
        // Relaxed: see the fence.
        if values.load(Relaxed) != 0 {
            self.collect(collect);
        }
    }

    /// Runs `collect`, or leaves it to the thread that is about it.
    #[cold]
    pub fn collect(&self, mut collect: impl FnMut()) {
        // AcqRel, all three: who came by had left before, and the `collect` that follows sees that.
        if self.0.swap(AGAIN, AcqRel) != IDLE {
            return;
        }
        loop {
            self.0.swap(BUSY, AcqRel);
            collect();
            let over = self.0.compare_exchange(BUSY, IDLE, AcqRel, Relaxed).is_ok();
            if over {
                return;
            }
            if mutated(Mutation::CollectOnce) {
                self.0.swap(IDLE, AcqRel);
                return;
            }
        }
    }
}
