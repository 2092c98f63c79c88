//! Cards: one word per process that holds its scheduling state and its literal filter, so that one load decides.
//!
//! ```text
//! bit 0 NOTE   a message or a request has come           bit 2 DEAD    no process
//! bit 1 RUN    a worker owns the process                 bit 3 ASKED   a global collection waits for its answer
//! bit 4 SIGNAL with NOTE: what has come is no message, and is looked at before the next turn
//! bit 6 WOKEN  with ASKED: it was idle, and has been woken to answer
//! bit 5 HELD   somebody reads the figures of a process that nobody runs; who would run it waits
//! bits 8-63    filter: a bit for each area that the heap or a private message may point into
//! ```
//!
//! *Idle* is neither NOTE nor RUN nor DEAD: the mailbox is empty, and the filter covers all there is. The owner publishes
//! the filter in the same operation by which it goes idle (H2). An idle process that is ASKED will be woken, when fewer are
//! at it, if nothing wakes it before; a process does not go idle by itself before it has answered. Every change is a read-modify-write, so that the values
//! of a card form one chain of release and acquire.

use super::collector::Collector;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::mutation::{Mutation, mutated, ordering};

pub(crate) const NOTE: u64 = 1;
pub(crate) const RUN: u64 = 2;
pub(crate) const DEAD: u64 = 4;
pub(crate) const ASKED: u64 = 8;
pub(crate) const SIGNAL: u64 = 16;
pub(crate) const HELD: u64 = 32;
pub(crate) const WOKEN: u64 = 64;
/// The bits of the filter.
pub(crate) const FILTER: u64 = !0xff;

/// Does the state say that nobody runs the process or is about to?
pub(crate) const fn is_idle(card: u64) -> bool {
    card & (NOTE | RUN | DEAD) == 0
}

/// The card of a process.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Card(AtomicU64);

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

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Nothing of this process can point into the areas.
    PassedOver,
    /// It was asked, and is not idle: it answers by itself.
    Asked,
    /// It was idle, and was asked: it must be [woken](Card::wake) if nothing else wakes it.
    PutOff,
    /// It was idle, and is the caller's, who looks at it, and then asks it or lets it go.
    Claimed,
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

impl Pressing {
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have turns"))]
    pub(crate) fn any(self) -> bool {
        self.signal || self.asked
    }
}

impl Card {
    pub(crate) fn dead() -> Self {
        Self(AtomicU64::new(DEAD))
    }

    pub(crate) fn load(&self) -> u64 {
        // Acquire: pairs with the releases of all the operations below.
        self.0.load(Ordering::Acquire)
    }

    /// A new process starts owned by its creator: nobody else can schedule it before its first turn.
    pub(crate) fn revive(&self) {
        // Release: pairs with the acquire of whoever reads the card; the slot is out of everyone's sight.
        self.0.store(RUN, Ordering::Release);
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

    /// Takes a scheduled process: NOTE becomes RUN. The caller must drain.
    pub(crate) fn claim(&self) {
        // AcqRel: pairs with the release of `notify` and of the last owner. A scheduled process is on one run queue, so
        // no other owner can interfere; a collector may set ASKED meanwhile.
        let before = self.0.fetch_xor(NOTE | RUN, Ordering::AcqRel);
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

    /// Is there something to see to at the end of a turn that is not the last one of this run? A signal is then taken
    /// note of, and the owner must drain.
    #[inline]
    pub(crate) fn pressing(&self) -> Pressing {
        let card = self.load();
        if card & (ASKED | SIGNAL) == 0 {
            return Pressing::default();
        }
        let signal = card & SIGNAL != 0;
        if signal {
            // AcqRel: as in `between`. NOTE stays: more may have come.
            self.0.fetch_and(!SIGNAL, Ordering::AcqRel);
        }
        Pressing { signal, asked: card & ASKED != 0 }
    }

    /// Does a collection wait for an answer?
    pub(crate) fn is_asked(&self) -> bool {
        self.load() & ASKED != 0
    }

    /// Gives the process up to a run queue: RUN becomes NOTE.
    pub(crate) fn requeue(&self) {
        let mut card = self.load();
        // AcqRel: the release hands the process to its next owner.
        while let Err(now) = self.0.compare_exchange(card, (card & !RUN) | NOTE, Ordering::AcqRel, Ordering::Acquire) {
            card = now;
        }
    }

    /// Takes a process that no worker will run any more. `false`: its creator has it still.
    pub(crate) fn seize(&self) -> bool {
        // AcqRel: takes the process over from its last owner, and from the senders that noted it.
        let before = self.0.fetch_or(RUN, Ordering::AcqRel);
        if before & HELD != 0 {
            self.wait_for_release();
        }
        before & (RUN | DEAD) == 0
    }

    /// Takes hold of a process that nobody runs, to read what is its owner's. `None`: it has ended. `Some(false)`: somebody
    /// runs it or has hold of it. Whoever would run it waits until it is [let go](Self::let_go), which must be soon.
    pub(crate) fn hold(&self) -> Option<bool> {
        let mut card = self.load();
        loop {
            if card & DEAD != 0 {
                return None;
            }
            if card & (RUN | HELD) != 0 {
                return Some(false);
            }
            // AcqRel: the acquire sees what the last owner did.
            match self.0.compare_exchange(card, card | HELD, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(true),
                Err(now) => card = now,
            }
        }
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

    /// Gives a claimed process back, idle, with the filter that the look at it has found. `true`: something has come
    /// meanwhile, and the caller must put it on a run queue.
    pub(crate) fn give_back(&self, filter: u64) -> bool {
        let mut card = self.load();
        loop {
            let note = if mutated(Mutation::InspectForgetsNote) { 0 } else { card & (NOTE | SIGNAL) };
            // AcqRel: the release hands the process to its next owner and the filter to the next scan.
            match self.0.compare_exchange(card, filter | note, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return note != 0,
                Err(now) => card = now,
            }
        }
    }

    /// As [`give_back`](Self::give_back), with the filter that it has.
    pub(crate) fn give_back_as_it_was(&self) -> bool {
        // AcqRel: the release hands the process to its next owner.
        self.0.fetch_and(!RUN, Ordering::AcqRel) & NOTE != 0
    }

    /// Claims an idle process, as [`ask`](Self::ask) does for a look. `false`: it is not idle any more.
    pub(crate) fn claim_idle(&self) -> bool {
        let card = self.load();
        // AcqRel: takes the process over from its last owner; senders leave it alone from here on.
        is_idle(card)
            && card & HELD == 0
            && self.0.compare_exchange(card, card | RUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Asks a claimed process, and gives it back, idle, to be [woken](Self::wake). `true`: something has come meanwhile, and
    /// the caller must put it on a run queue.
    pub(crate) fn ask_claimed(&self) -> bool {
        // AcqRel: as in `ask`, and the release hands the process to its next owner.
        let before = self.0.fetch_xor(ASKED | RUN, Ordering::AcqRel);
        debug_assert_eq!(before & (ASKED | RUN), RUN, "it is the collector's, who has not asked it before");
        before & NOTE != 0
    }

    /// Wakes a process that was asked and is idle. `true`: the caller must put it on a run queue.
    pub(crate) fn wake(&self) -> bool {
        let mut card = self.load();
        while is_idle(card) && card & ASKED != 0 {
            // AcqRel: as in `notify`.
            match self.0.compare_exchange(card, card | NOTE | WOKEN, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => card = now,
            }
        }
        false
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

    /// Is the process idle, and does nothing of it point into the areas whose bits are `retired`?
    pub(crate) fn is_clear(&self, retired: u64) -> bool {
        let card = self.load();
        card & DEAD != 0 || is_idle(card) && card & retired == 0
    }

    /// Does a scan for areas with these bits pass over all of these, as [`ask`](Self::ask) would one by one? `false` where
    /// that takes more than a load of each to tell.
    #[inline]
    pub(crate) fn pass(cards: &[Self], retired: u64) -> bool {
        if mutated(Mutation::SplitWords) {
            return false; // that fault is in the question
        }
        let running = if mutated(Mutation::ScanIgnoresRunning) { 0 } else { NOTE | RUN };
        // Each of them is dead, or idle with a clear filter: a load of each decides, as in the question.
        cards.iter().fold(0, |all, card| all | card.load()) & (retired | running) == 0
    }

    /// The collector's question. `counted` is called once, before the question can be answered; with `look`, an idle
    /// process is claimed instead of asked.
    pub(crate) fn ask(&self, retired: u64, look: bool, mut counted: impl FnMut(bool)) -> Question {
        let mut card = self.load();
        if mutated(Mutation::SplitWords) {
            card = card & FILTER | self.load() & !FILTER;
            if is_idle(card) && card & retired == 0 {
                return Question::PassedOver;
            }
            card = self.load();
        }
        loop {
            let running = !is_idle(card) && card & DEAD == 0 && !mutated(Mutation::ScanIgnoresRunning);
            if card & DEAD != 0 || !running && card & retired == 0 {
                return Question::PassedOver;
            }
            let idle = is_idle(card);
            if look && idle && card & HELD == 0 {
                // AcqRel: takes the process over from its last owner; senders leave it alone from here on.
                match self.0.compare_exchange(card, card | RUN, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Question::Claimed,
                    Err(now) => card = now,
                }
                continue;
            }
            counted(true);
            // One that runs has to look again before it goes idle, which ASKED tells it; one that waits is run.
            // AcqRel: the acquire sees what the owner published with its filter; the release hands over the question.
            match self.0.compare_exchange(card, card | ASKED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if idle => return Question::PutOff,
                Ok(_) => return Question::Asked,
                Err(now) => {
                    counted(false);
                    card = now;
                }
            }
        }
    }
}
