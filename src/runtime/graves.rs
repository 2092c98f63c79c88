//! Ended processes on their way to being freed: in batches, each after a grace period of its own.

use crate::persistent::Domain;
use crate::process::{Remains, Task};
use std::mem::take;

const BATCH: usize = 64;

/// The ended processes of one worker.
#[derive(Default)]
pub(super) struct Graves {
    /// They go with the next batch, when there is no other that waits.
    fresh: Remains,
    waiting: Remains,
    /// The grace period of those that wait.
    epoch: u64,
}

impl Graves {
    /// Takes a process that has ended.
    pub(super) fn bury(&mut self, task: Task, domain: &Domain) {
        self.fresh.push(task);
        if self.fresh.len().is_multiple_of(BATCH) {
            self.pass(domain);
        }
    }

    /// Frees what has waited long enough, of fewer than a batch too, of a worker that goes on.
    pub(super) fn pass(&mut self, domain: &Domain) {
        self.clear(domain);
        if self.waiting.is_empty() && !self.fresh.is_empty() {
            self.waiting = take(&mut self.fresh);
            self.epoch = domain.quiescence.advance();
            self.clear(domain);
        }
    }

    /// Frees what has waited long enough.
    fn clear(&mut self, domain: &Domain) {
        if !self.waiting.is_empty() && domain.quiescence.has_passed(self.epoch) {
            self.waiting = Remains::default();
        }
    }

    /// Leaves what still has to wait to the domain: this worker goes to sleep. It must be offline.
    pub(super) fn leave(&mut self, domain: &Domain) {
        self.pass(domain);
        self.waiting.append(take(&mut self.fresh));
        if !self.waiting.is_empty() {
            take(&mut self.waiting).into_limbo(domain);
            domain.help();
        }
    }
}
