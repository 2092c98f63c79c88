//! What the owner of a process, its senders, and whoever reads its figures do with its card.

use super::{ASKED, Card, DEAD, FILTER, GIVEN, HELD, NOTE, RUN, SIGNAL, WOKEN, is_idle};
use crate::persistent::collector::Collector;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::mutation::{Mutation, mutated, ordering};

/// What the owner of a process finds between two turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// A global collection asks: drain, evacuate, then [`Card::answer`].
    Asked,
    /// Something has come: drain, and go on.
    Noted,
    /// The process is idle, and no longer the caller's.
    Idle,
}

/// What became of an attempt to take [hold](Card::hold) of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It is the caller's to look at.
    Mine,
    /// Somebody runs it.
    Runs,
    /// It was given a message when it was idle, and waits for a worker, or runs since: the card does not tell which, so that
    /// who takes it off a run queue need not write it.
    Given,
}

/// What an answer means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// All have answered.
    pub(crate) last: bool,
    /// The collection has woken this process, and may wake another.
    pub(crate) woken: bool,
}

/// What cannot wait until the messages at hand are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pressing {
    pub(crate) signal: bool,
    pub(crate) asked: bool,
}

impl Card {
    pub(crate) fn dead() -> Self {
        Self(AtomicU64::new(DEAD))
    }

    /// A new process starts scheduled, on no run queue yet: nobody but its creator puts it there, whatever comes for it.
    #[inline]
    pub(crate) fn revive(&self) {
        // Release: pairs with the acquire of whoever reads the card; the slot is out of everyone's sight.
        self.0.store(NOTE, Ordering::Release);
    }

    /// Notes that something has come. `true`: the process was idle, and the caller must put it on a run queue.
    ///
    /// The card is left alone when it is noted: of a stream of messages only the first writes a line that the owner reads
    /// in every turn. That note is not one that the owner has taken off before it drained what was pushed: the caller has
    /// pushed, by an exchange on the mailbox's head, and the owner drains, by another, after it has taken a note off.
    /// Either the drain comes later and finds the message, or the push does and the load here sees the note gone.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        // Relaxed: as just said.
        if self.0.load(Ordering::Relaxed) & NOTE != 0 {
            return false;
        }
        // AcqRel: the release hands over what was pushed; the acquire takes over the process if it was idle.
        is_idle(self.0.fetch_or(NOTE, Ordering::AcqRel))
    }

    /// As [`notify`](Self::notify), for what the owner looks at between any two turns.
    pub(crate) fn notify_signal(&self) -> bool {
        // AcqRel: as in `notify`.
        is_idle(self.0.fetch_or(NOTE | SIGNAL, Ordering::AcqRel))
    }

    /// Takes an idle process over, to give it a message and put it on a run queue: whoever [claims](Self::claim) it there
    /// finds it RUN already. `false`: it is not idle, or somebody has hold of it, for whom a sender does not wait.
    ///
    /// This is for turns of the process's own runtime: [`seize`](Self::seize) relies on it.
    #[inline]
    pub(crate) fn take_over(&self) -> bool {
        // Relaxed: the exchange decides.
        let card = self.0.load(Ordering::Relaxed);
        let held = card & HELD != 0 && !mutated(Mutation::GiveIgnoresHold);
        if !is_idle(card) || held {
            return false;
        }
        if mutated(Mutation::GiveUnasked) {
            self.0.fetch_or(RUN | GIVEN, Ordering::AcqRel);
            return true;
        }
        // AcqRel: takes the process over from its last owner, whose `between` released it; the release pairs with the
        // acquire of whoever finds it RUN, and leaves it alone.
        let order = ordering(Mutation::GiveRelaxed, Ordering::AcqRel);
        self.0.compare_exchange(card, card | RUN | GIVEN, order, Ordering::Relaxed).is_ok()
    }

    /// Takes a process off a run queue. One that was [given](Self::take_over) is RUN already; of any other NOTE becomes
    /// RUN. `true`: something has come, and the caller must drain.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        // What was done to it before it was put on the queue comes before this: RUN is seen if it was given.
        let card = self.load();
        if card & RUN == 0 {
            self.claim_noted();
            return true;
        }
        debug_assert_eq!(card & (GIVEN | DEAD | HELD), GIVEN, "on a run queue is what is noted, or given");
        if card & NOTE != 0 {
            // AcqRel: as in `between`.
            self.0.fetch_and(!(NOTE | SIGNAL), Ordering::AcqRel);
        }
        card & NOTE != 0
    }

    fn claim_noted(&self) {
        const _: () = assert!(NOTE == 1 && RUN == 2);
        // AcqRel: pairs with the release of `notify` and of the last owner. A scheduled process is on one run queue, so
        // no other owner can interfere; a collector may set ASKED meanwhile. One more makes RUN of NOTE, and is one
        // instruction, where an exclusive or that says what was before is a loop.
        let before = self.0.fetch_add(RUN - NOTE, Ordering::AcqRel);
        if before & HELD != 0 && !mutated(Mutation::ClaimIgnoresHold) {
            self.wait_for_release();
        }
        debug_assert_eq!(before & (NOTE | RUN | DEAD), NOTE, "a process on a run queue is noted, and nobody runs it");
    }

    /// What to do between two turns. Goes idle, publishing `filter`, when there is nothing.
    pub(crate) fn between(&self, filter: u64) -> Between {
        debug_assert_eq!(filter & !FILTER, 0);
        let mut card = self.load();
        loop {
            if card & ASKED != 0 {
                return Between::Asked;
            }
            if card & NOTE != 0 {
                // AcqRel: pairs with the release of `notify`: the drain that follows sees what was pushed.
                self.0.fetch_and(!(NOTE | SIGNAL), Ordering::AcqRel);
                return Between::Noted;
            }
            if mutated(Mutation::FilterAfterIdle) {
                if self.0.compare_exchange(card, card & FILTER, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    self.0.fetch_and(!FILTER, Ordering::AcqRel);
                    self.0.fetch_or(filter, Ordering::AcqRel);
                    return Between::Idle;
                }
                card = self.load();
                continue;
            }
            // AcqRel: the release hands the process to its next owner and the filter to the collector's scan.
            let idle = ordering(Mutation::IdleRelaxed, Ordering::AcqRel);
            match self.0.compare_exchange(card, filter, idle, Ordering::Acquire) {
                Ok(_) => return Between::Idle,
                Err(now) => card = now,
            }
        }
    }

    /// Is there something to see to at the end of a turn that is not the last one of this run?
    #[inline]
    pub(crate) fn is_pressed(&self) -> bool {
        self.load() & (ASKED | SIGNAL) != 0
    }

    /// What there is to see to. A signal is then taken note of, and the owner must drain.
    pub(crate) fn pressing(&self) -> Pressing {
        let card = self.load();
        let signal = card & SIGNAL != 0;
        if signal {
            // AcqRel: as in `between`. NOTE stays: more may have come.
            self.0.fetch_and(!SIGNAL, Ordering::AcqRel);
        }
        Pressing { signal, asked: card & ASKED != 0 }
    }

    /// Gives the process up to a run queue: RUN becomes NOTE.
    pub(crate) fn requeue(&self) {
        let mut card = self.load();
        // AcqRel: the release hands the process to its next owner.
        let noted = |card| card & !(RUN | GIVEN) | NOTE;
        while let Err(now) = self.0.compare_exchange(card, noted(card), Ordering::AcqRel, Ordering::Acquire) {
            card = now;
        }
    }

    /// Takes a process that no worker will run any more. `false`: somebody else has.
    ///
    /// One that was given is on a run queue that nobody takes it from: its runtime's workers are gone, and with them
    /// whoever ran it and whoever was about to put it there.
    pub(crate) fn seize(&self) -> bool {
        let mut card = self.load();
        loop {
            if card & DEAD != 0 || card & (RUN | GIVEN) == RUN {
                return false;
            }
            // AcqRel: takes the process over from its last owner, and from the senders that noted it.
            match self.0.compare_exchange(card, card & !GIVEN | RUN, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => card = now,
            }
        }
        if card & HELD != 0 {
            self.wait_for_release();
        }
        true
    }

    /// Takes hold of a process that nobody runs, to read what is its owner's. `None`: it has ended. Whoever would run it waits
    /// until it is [let go](Self::let_go), which must be soon, and so does who would take hold of it.
    pub(crate) fn hold(&self) -> Option<Holding> {
        let mut card = self.load();
        loop {
            if card & DEAD != 0 {
                return None;
            }
            if card & RUN != 0 {
                return Some(if card & GIVEN != 0 { Holding::Given } else { Holding::Runs });
            }
            if card & HELD != 0 {
                self.wait_for_release();
                card = self.load();
                continue;
            }
            // AcqRel: the acquire sees what the last owner did.
            match self.0.compare_exchange(card, card | HELD, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Holding::Mine),
                Err(now) => card = now,
            }
        }
    }

    /// Has it been given a message, or does it run since?
    pub(crate) fn is_given(&self) -> bool {
        self.load() & GIVEN != 0
    }

    /// As [`is_given`](Self::is_given), of this moment and none before.
    pub(crate) fn is_given_now(&self) -> bool {
        // An exchange, because a load may read what it has read before. AcqRel: as all of them.
        self.0.fetch_or(0, Ordering::AcqRel) & GIVEN != 0
    }

    /// Does nobody run the process, and is nobody about to?
    pub(crate) fn is_idle(&self) -> bool {
        is_idle(self.load())
    }

    /// The end of a [`hold`](Self::hold).
    pub(crate) fn let_go(&self) {
        // AcqRel: the release pairs with the acquire in `wait_for_release`: what was read is not read any more.
        self.0.fetch_and(!HELD, ordering(Mutation::LetGoRelaxed, Ordering::AcqRel));
    }

    #[cold]
    fn wait_for_release(&self) {
        while self.load() & HELD != 0 {
            crate::sync::thread::yield_now();
        }
    }

    /// Answers the collection that asked: nothing of this process points into its areas any more.
    pub(crate) fn answer(&self, collector: &Collector) -> Answer {
        // AcqRel: the release orders the evacuation before the free (L5).
        let before = self.0.fetch_and(!(ASKED | WOKEN), ordering(Mutation::AckRelaxed, Ordering::AcqRel));
        debug_assert_ne!(before & ASKED, 0);
        Answer { last: collector.answered(), woken: before & WOKEN != 0 }
    }

    /// Ends the process. Its heap and messages must be gone: this is the answer to a collection that asks.
    pub(crate) fn die(&self, collector: &Collector) -> Answer {
        // AcqRel: the release orders the end of the heap before the free of what it pointed to (L5).
        let before = self.0.swap(DEAD, Ordering::AcqRel);
        if before & ASKED != 0 && !mutated(Mutation::ExitNoAck) {
            if mutated(Mutation::ExitDoubleAck) {
                collector.answered();
            }
            return Answer { last: collector.answered(), woken: before & WOKEN != 0 };
        }
        Answer { last: false, woken: false }
    }
}
