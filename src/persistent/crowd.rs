//! The participant that those share for whom there is no memory to have one each (invariant 10).
//!
//! A guard has no way to say that there is no memory, and must not wait for some. So those who find none take part as one: it is
//! online while one of them is, in the epoch of the first, and passes a boundary only while one is there alone. That is later than
//! needed for most of them, which a grace period may always be; but it must come, though one of them should stay for ever: so who
//! stays looks at each boundary whether there is memory for one of its own by now. Who goes through it takes a lock.

use super::quiescence::{Participant, Role};
use crate::sync::Mutex;
use crate::sync::mutation::{Mutation, mutated};
use std::sync::atomic as plain;

/// For models: everybody takes part so, as if there were no memory.
#[cfg(all(loom, feature = "loom"))]
pub(crate) static ALWAYS: plain::AtomicBool = plain::AtomicBool::new(false);

#[derive(Debug)]
pub(super) struct Crowd {
    shared: Participant,
    /// How many are online.
    inside: Mutex<usize>,
    /// Has anybody come here? Who does not look at the crowd for that is spared a load for each grace period; not modelled,
    /// because it is set before the fence with which the first goes online.
    used: plain::AtomicBool,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self {
            shared: Participant::new(Some(Role::Foreign)),
            inside: Mutex::new(0),
            used: plain::AtomicBool::new(false),
        }
    }

    #[cold]
    pub(super) fn join(&self) -> &Participant {
        // Relaxed: pairs, by the fences of entering and advancing, with `participant`: who advances the epoch and misses this
        // is seen by who enters.
        self.used.store(true, plain::Ordering::Relaxed);
        &self.shared
    }

    #[inline(always)]
    pub(super) fn is(&self, p: &Participant) -> bool {
        std::ptr::eq(p, &raw const self.shared)
    }

    /// The participant, if it may be online.
    pub(super) fn participant(&self) -> Option<&Participant> {
        self.used.load(plain::Ordering::Relaxed).then_some(&self.shared)
    }

    /// One more is online. The first announces it; those who come later have seen that, by the lock, and so all that it has
    /// seen.
    #[cold]
    pub(super) fn enter(&self, announce: impl FnOnce(&Participant)) {
        let mut inside = self.inside.lock();
        *inside += 1;
        if *inside == 1 || mutated(Mutation::CrowdPasses) {
            announce(&self.shared);
        }
    }

    /// One looks at nothing any more. Alone it announces that; what those who have left looked at came before, by the lock. Of
    /// others it knows nothing.
    #[cold]
    pub(super) fn pass(&self, announce: impl FnOnce(&Participant)) {
        let inside = self.inside.lock();
        if *inside == 1 || mutated(Mutation::CrowdPasses) {
            announce(&self.shared);
        }
    }

    /// One is offline. The last withdraws for all, whose uses came before, by the lock.
    #[cold]
    pub(super) fn leave(&self, withdraw: impl FnOnce(&Participant)) {
        let mut inside = self.inside.lock();
        *inside -= 1;
        if *inside == 0 || mutated(Mutation::CrowdLeavesFirst) {
            withdraw(&self.shared);
        }
    }
}
