//! Ended processes on their way to being freed: in batches, each after a grace period of its own.

use crate::persistent::Domain;
use crate::process::{Remains, Task};
use std::collections::VecDeque;

const BATCH: usize = 64;

/// The ended processes of one worker.
#[derive(Default)]
pub(super) struct Graves {
    fresh: Vec<Task>,
    /// With the epochs that their grace periods began.
    waiting: VecDeque<(u64, Remains)>,
}

impl Graves {
    /// Takes a process that has ended.
    pub(super) fn bury(&mut self, task: Task, domain: &Domain) {
        self.fresh.push(task);
        if self.fresh.len() >= BATCH {
            self.close_batch(domain);
            self.clear(domain);
        }
    }

    /// Without memory for that the batch stays open, and is closed with those that follow.
    fn close_batch(&mut self, domain: &Domain) {
        let mut next = Vec::new();
        if self.waiting.try_reserve(1).is_err() || next.try_reserve_exact(BATCH).is_err() {
            return;
        }
        let tasks = std::mem::replace(&mut self.fresh, next);
        self.waiting.push_back((domain.quiescence.advance(), Remains::new(tasks)));
    }

    /// Frees what has waited long enough, of fewer than a batch too, of a worker that goes on.
    pub(super) fn pass(&mut self, domain: &Domain) {
        if !self.fresh.is_empty() {
            self.close_batch(domain);
        }
        self.clear(domain);
    }

    /// Frees what has waited long enough.
    fn clear(&mut self, domain: &Domain) {
        while self.waiting.front().is_some_and(|&(epoch, _)| domain.quiescence.has_passed(epoch)) {
            self.waiting.pop_front();
        }
    }

    /// Leaves what still has to wait to the domain: this worker goes to sleep. It must be offline.
    pub(super) fn leave(&mut self, domain: &Domain) {
        if !self.fresh.is_empty() {
            self.close_batch(domain);
        }
        self.clear(domain);
        if self.waiting.is_empty() {
            return;
        }
        for (_, remains) in self.waiting.drain(..) {
            domain.limbo.put(&domain.quiescence, Box::new(remains));
        }
        domain.help();
    }
}
