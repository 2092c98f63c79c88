//! The participants that those share for whom there is no memory to have one each (invariant 10).
//!
//! A guard has no way to say that there is no memory, and must not wait for some. (A worker has its own from before its
//! runtime is there.) So those who find none take part as one: it is online while one of them is, in the epoch of the first,
//! and passes a boundary only while one is there alone. That is later than needed for most of them, which a grace period may
//! always be; but it must come, though there should always be somebody. So there are two such *generations*: once the epoch
//! has changed, whoever comes goes to the other, if that is empty, and who stays goes over at its next boundary, or to a
//! participant of its own when there is memory by then. While there is somebody in both, nobody comes to the older; so it
//! gets empty when each who is there has passed a boundary, and then the other does. Who goes through here takes a lock.

use super::quiescence::{Participant, Role};
use crate::sync::Mutex;
use crate::sync::mutation::{Mutation, mutated};
use std::sync::atomic as plain;

/// For models: everybody takes part so, as if there were no memory.
#[cfg(all(loom, feature = "loom"))]
pub(crate) static ALWAYS: plain::AtomicBool = plain::AtomicBool::new(false);

#[derive(Debug)]
pub(super) struct Crowd {
    shared: [Participant; 2],
    /// How many are online as each of them.
    inside: Mutex<[usize; 2]>,
    /// Has anybody come here? Who does not look at the crowd for that is spared two loads for each grace period; not modelled,
    /// because it is set before the fence with which the first goes online.
    used: plain::AtomicBool,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self {
            shared: [(); 2].map(|()| Participant::new(Some(Role::Foreign))),
            inside: Mutex::new([0; 2]),
            used: plain::AtomicBool::new(false),
        }
    }

    /// The generation of who comes now. That another may be right by the time when it goes online is a matter of one more
    /// boundary.
    #[cold]
    pub(super) fn join(&self, epoch: u64) -> &Participant {
        // Relaxed: pairs, by the fences of entering and advancing, with `participants`: who advances the epoch and misses this
        // is seen by who enters.
        self.used.store(true, plain::Ordering::Relaxed);
        let inside = self.inside.lock();
        let [a, b] = &self.shared;
        let (newer, older) = if a.seen() >= b.seen() { (0, 1) } else { (1, 0) };
        let behind = inside[newer] > 0 && self.shared[newer].seen() < epoch;
        &self.shared[if behind && inside[older] == 0 { older } else { newer }]
    }

    /// Which of the two it is, which it must be.
    fn generation(&self, p: &Participant) -> usize {
        usize::from(std::ptr::eq(p, &raw const self.shared[1]))
    }

    #[inline(always)]
    pub(super) fn is(&self, p: &Participant) -> bool {
        std::ptr::from_ref(p).addr().wrapping_sub(self.shared.as_ptr().addr()) < size_of_val(&self.shared)
    }

    /// The participants that may be online.
    pub(super) fn participants(&self) -> &[Participant] {
        if self.used.load(plain::Ordering::Relaxed) { &self.shared } else { &[] }
    }

    /// One more is online. The first announces it; those who come later have seen that, by the lock, and so all that it has
    /// seen.
    #[cold]
    pub(super) fn enter(&self, p: &Participant, announce: impl FnOnce(&Participant)) {
        let mut inside = self.inside.lock();
        let which = self.generation(p);
        inside[which] += 1;
        let silent = inside[1 - which] > 0 && mutated(Mutation::CrowdEntersUnannounced);
        if inside[which] == 1 && !silent || mutated(Mutation::CrowdPasses) {
            announce(p);
        }
    }

    /// One looks at nothing any more. Alone it announces that; what those who have left looked at came before, by the lock. Of
    /// others it knows nothing.
    #[cold]
    pub(super) fn pass(&self, p: &Participant, announce: impl FnOnce(&Participant)) {
        let inside = self.inside.lock();
        if inside[self.generation(p)] == 1 || mutated(Mutation::CrowdPasses) {
            announce(p);
        }
    }

    /// One is offline. The last withdraws for all, whose uses came before, by the lock.
    #[cold]
    pub(super) fn leave(&self, p: &Participant, withdraw: impl FnOnce(&Participant)) {
        let mut inside = self.inside.lock();
        let which = self.generation(p);
        inside[which] -= 1;
        if inside[which] == 0 || mutated(Mutation::CrowdLeavesFirst) {
            withdraw(p);
        }
    }
}
