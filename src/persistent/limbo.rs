//! Things that were unlinked and wait for their grace period.

use super::quiescence::Quiescence;
use crate::sync::Mutex;
use std::any::Any;
use std::collections::VecDeque;

/// What is dropped once nobody can be looking at it any more.
///
/// For what is unlinked now and then: arrays and entries of the key table. Process slots come by the million and keep
/// batches of their own.
#[derive(Default)]
pub(crate) struct Limbo {
    waiting: Mutex<VecDeque<(u64, Box<dyn Any>)>>,
}

// SAFETY: what waits is arrays of pointers and entries, whose fields may be dropped by any thread.
unsafe impl Send for Limbo {}
// SAFETY: as above; it is reached under the lock alone.
unsafe impl Sync for Limbo {}

impl Limbo {
    /// Drops `thing` after a grace period. It must have been unlinked before the call.
    pub(crate) fn put(&self, quiescence: &Quiescence, thing: Box<dyn Any>) {
        self.waiting.lock().push_back((quiescence.advance(), thing));
    }

    /// Drops what has waited long enough, outside the lock.
    pub(crate) fn clear(&self, quiescence: &Quiescence) {
        loop {
            let thing = {
                let mut waiting = self.waiting.lock();
                match waiting.front() {
                    Some(&(epoch, _)) if quiescence.has_passed(epoch) => waiting.pop_front(),
                    _ => return,
                }
            };
            drop(thing);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}
