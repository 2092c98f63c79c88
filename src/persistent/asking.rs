//! Waking those who were asked: a few at a time, so that who has nothing to do with a collection does not wait behind all
//! of its holders (H29).
//!
//! A scan asks, and wakes nobody who is idle. When it is over some of those are woken, and are then *at it*; once half of
//! them have answered, as many others are woken, by the process that answers. A message for one that sleeps still wakes it
//! at once: it answers like everybody else between two turns, and is passed over here.

use super::slots::Slots;
use crate::sync::Mutex;
#[cfg(feature = "runtime")]
use crate::sync::mutation::{Mutation, mutated};
use std::ops::{ControlFlow, Range};

/// How many are at it for each processor.
const FOR_EACH: usize = 4;

/// Who is woken next.
#[derive(Debug)]
pub(super) struct Asking {
    most: usize,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// How many more may be at it now.
    free: usize,
    /// Who must be woken still has one of these cards, in the order of memory.
    left: Range<usize>,
}

impl Asking {
    pub(super) fn new() -> Self {
        let most = if crate::sync::MODELLED { 1 } else { FOR_EACH * crate::sync::available_parallelism() };
        Self { most, progress: Mutex::new(Progress { free: most, left: 0..0 }) }
    }

    /// A scan is over, which has put off who has one of these cards, and perhaps others among them: wakes the first.
    pub(super) fn begin(&self, slots: &Slots, put_off: Range<usize>) {
        let mut progress = self.progress.lock();
        *progress = Progress { free: self.most, left: put_off };
        progress.wake(slots);
    }

    /// One that was woken has answered: wakes others, once enough have. O(1) for each, and one walk over the cards for all,
    /// from the first that the scan has put off to the last.
    #[cfg(feature = "runtime")]
    pub(super) fn answered(&self, slots: &Slots) {
        let mut progress = self.progress.lock();
        // Who answers last may come here when the next scan is over already.
        progress.free = (progress.free + 1).min(self.most);
        if progress.free * 2 >= self.most && !mutated(Mutation::WakesNoOther) {
            progress.wake(slots);
        }
    }

    /// Runs `f` while nobody is woken.
    #[cfg(feature = "runtime")]
    pub(super) fn between<R>(&self, f: impl FnOnce() -> R) -> R {
        let _progress = self.progress.lock();
        f()
    }
}

impl Progress {
    fn wake(&mut self, slots: &Slots) {
        self.left.start = slots.walk(self.left.clone(), |card, occupant| {
            if self.free == 0 {
                return ControlFlow::Break(());
            }
            if card.wake() {
                self.free -= 1;
                let occupant = occupant().expect("an idle process is in its slot");
                // SAFETY: it was idle and is scheduled now, by us: it cannot end before it has run, or, where nobody runs it
                // any more, before the lock that is held here is free (`between`).
                unsafe { (occupant.as_ref().acts.schedule)(occupant) };
            }
            ControlFlow::Continue(())
        });
    }
}
