//! Things that were unlinked and wait for their grace period.

use super::domain::called_back;
use super::quiescence::Quiescence;
use crate::sync::Mutex;
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic as plain;

/// What is dropped once nobody can be looking at it any more.
///
/// For what is unlinked now and then: arrays and entries of the key table. Process slots come by the million and keep
/// batches of their own.
#[derive(Default)]
pub(crate) struct Limbo {
    waiting: Mutex<VecDeque<(u64, Box<dyn Any>)>>,
    /// How many, for a look without the lock. Counted up before the epoch is advanced: see `Drop for Span`.
    len: plain::AtomicUsize,
}

// SAFETY: what waits is arrays of pointers and entries, whose fields may be dropped by any thread.
unsafe impl Send for Limbo {}
// SAFETY: as above; it is reached under the lock alone.
unsafe impl Sync for Limbo {}

impl Limbo {
    /// Drops `thing` after a grace period. It must have been unlinked before the call.
    pub(crate) fn put(&self, quiescence: &Quiescence, thing: Box<dyn Any>) {
        let mut waiting = self.waiting.lock();
        self.len.fetch_add(1, plain::Ordering::Relaxed);
        waiting.push_back((quiescence.advance(), thing));
    }

    /// Drops what has waited long enough, outside the lock.
    pub(crate) fn clear(&self, quiescence: &Quiescence) {
        loop {
            let thing = {
                let mut waiting = self.waiting.lock();
                match waiting.front() {
                    Some(&(epoch, _)) if quiescence.has_passed(epoch) => {
                        self.len.fetch_sub(1, plain::Ordering::Relaxed);
                        waiting.pop_front()
                    }
                    _ => return,
                }
            };
            // An entry's key may hold a resource. The panic of its destructor is nobody's who is running now: a writer, a
            // guard that is dropped, a worker, the driver of collections. What it was thrown with may panic too.
            if let Err(payload) = called_back(quiescence, || catch_unwind(AssertUnwindSafe(|| drop(thing)))) {
                std::mem::forget(payload);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(plain::Ordering::Relaxed) == 0
    }
}
