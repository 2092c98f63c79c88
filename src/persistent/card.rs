//! Cards: one word per process that holds its scheduling state and its literal filter, so that one load decides.
//!
//! ```text
//! bit 0 NOTE   a message or a request has come           bit 2 DEAD    no process
//! bit 1 RUN    a worker owns the process                 bit 3 ASKED   a global collection waits for its answer
//! bit 4 SIGNAL with NOTE: what has come is no message, and is looked at before the next turn
//! bit 6 WOKEN  with ASKED: it was idle, and has been woken to answer
//! bit 5 HELD   somebody reads the figures of a process that nobody runs; who would run it waits
//! bit 7 GIVEN  with RUN: it was idle, and the sender of a message has made it RUN before it was on a run queue;
//!          also while it runs, so that who takes it from there need not write: the participants tell which worker that is
//! bits 8-63    filter: a bit for each area that the heap or a private message may point into
//! ```
//!
//! *Idle* is neither NOTE nor RUN nor DEAD: the mailbox is empty, and the filter covers all there is. The owner publishes
//! the filter in the same operation by which it goes idle (H2). An idle process that is ASKED will be woken, when fewer are
//! at it, if nothing wakes it before; a process does not go idle by itself before it has answered. Every change is a read-modify-write, so that the values
//! of a card form one chain of release and acquire. Here is what the collection does with cards; the rest is in `card/owner.rs`.

#[cfg(feature = "runtime")]
mod owner;
#[cfg(feature = "runtime")]
pub(crate) use owner::{Answer, Between, Holding, Pressing};

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::mutation::{Mutation, mutated};

pub(crate) const NOTE: u64 = 1;
pub(crate) const RUN: u64 = 2;
pub(crate) const DEAD: u64 = 4;
pub(crate) const ASKED: u64 = 8;
pub(crate) const SIGNAL: u64 = 16;
pub(crate) const HELD: u64 = 32;
pub(crate) const WOKEN: u64 = 64;
#[cfg(feature = "runtime")]
pub(crate) const GIVEN: u64 = 128;
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

impl Card {
    pub(crate) fn load(&self) -> u64 {
        // Acquire: pairs with the releases of all the operations below.
        self.0.load(Ordering::Acquire)
    }

    /// Does a collection wait for an answer?
    pub(crate) fn is_asked(&self) -> bool {
        self.load() & ASKED != 0
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
