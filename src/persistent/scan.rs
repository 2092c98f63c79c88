//! C5: the scan of the cards, and the look at those who are idle and may point into a retired area.
//!
//! Nearly all cards are passed over, at a load each. A look is dearer, most of all because what it reads has to come from
//! memory. So candidates are claimed a few at a time, and looked at when what all of them have is on its way.

use super::card::{Card, Question};
use super::collector::Collector;
use super::domain::Domain;
use super::report::Report;
use super::slots::Occupant;
use crate::sync::atomic::{AtomicPtr, Ordering};
use std::ptr::NonNull;

/// Idle holders that a scan looks at in vain before it asks without a look.
const LOOKS_IN_VAIN: usize = 16;

/// Processes that are looked at together.
const TOGETHER: usize = 16;

/// Who lies in a slot whose card says that there is a process.
fn occupant(slot: &AtomicPtr<Occupant>) -> NonNull<Occupant> {
    // Acquire: pairs with the release in `occupy`.
    NonNull::new(slot.load(Ordering::Acquire)).expect("an idle process is in its slot")
}

/// Puts a process on a run queue.
///
/// # Safety
///
/// The caller must have made it scheduled.
unsafe fn schedule(occupant: NonNull<Occupant>) {
    // SAFETY: the caller's promise: it cannot end before it has run, or, where nobody runs it any more, before the scan is
    // over (`between_scans`).
    unsafe { (occupant.as_ref().acts.schedule)(occupant) };
}

/// Asks everybody who may point into an area with these bits, but for those of whom a look tells otherwise.
pub(super) fn ask(collector: &Collector, domain: &Domain, bits: u64, report: &mut Report) {
    let mut scan =
        Scan { collector, bits, worth: LOOKS_IN_VAIN, claimed: [None; TOGETHER], claims: 0, put_off: false, report };
    domain.slots.lines().for_each(|(cards, occupants)| {
        if Card::pass(cards, bits) {
            scan.report.skipped += cards.len();
        } else {
            cards.iter().zip(occupants).for_each(|(card, slot)| scan.ask(card, slot));
        }
    });
    scan.look();
    if scan.put_off {
        collector.wake(domain);
    }
}

/// A scan under way.
struct Scan<'s> {
    collector: &'s Collector,
    bits: u64,
    /// Looking at a holder is in vain: a look is taken while it is not much more than what it has spared so far.
    worth: usize,
    /// Idle processes that wait for a look, owned by the scan.
    claimed: [Option<(&'s Card, NonNull<Occupant>)>; TOGETHER],
    claims: usize,
    /// Has anybody been asked who must be woken for it?
    put_off: bool,
    report: &'s mut Report,
}

impl<'s> Scan<'s> {
    fn ask(&mut self, card: &'s Card, slot: &AtomicPtr<Occupant>) {
        match card.ask(self.bits, self.worth > self.claims, |up| self.collector.count(up)) {
            Question::PassedOver => self.report.skipped += 1,
            Question::Asked => self.report.asked += 1,
            Question::PutOff => {
                self.put_off = true;
                self.report.asked += 1;
            }
            Question::Claimed => {
                self.claimed[self.claims] = Some((card, occupant(slot)));
                self.claims += 1;
                if self.claims == TOGETHER {
                    self.look();
                }
            }
        }
    }

    /// Looks at those who were claimed, and asks the holders among them.
    fn look(&mut self) {
        let claimed = std::mem::replace(&mut self.claimed, [None; TOGETHER]);
        self.claims = 0;
        for (_, occupant) in claimed.into_iter().flatten() {
            // SAFETY: claimed by us.
            unsafe { (occupant.as_ref().acts.fetch)(occupant) };
        }
        for (card, occupant) in claimed.into_iter().flatten() {
            // SAFETY: claimed by us. What it points into lives, because it has not answered.
            let noted = if let Some(filter) = unsafe { (occupant.as_ref().acts.look)(occupant, self.bits) } {
                self.worth += 1;
                self.report.cleared += 1;
                card.give_back(filter)
            } else {
                self.worth -= 1;
                self.collector.count(true);
                self.put_off = true;
                self.report.asked += 1;
                card.ask_claimed()
            };
            if noted {
                // SAFETY: something has come, and so it is scheduled now, by us.
                unsafe { schedule(occupant) };
            }
        }
    }
}

/// Is there nobody whom [`ask`] would ask? Takes a look at idle candidates until one is a holder: a filter keeps the bit of
/// what its heap has let go of, and of another area that has it too.
pub(super) fn is_done(domain: &Domain, bits: u64) -> bool {
    domain.slots.lines().all(|(cards, occupants)| {
        Card::pass(cards, bits) || cards.iter().zip(occupants).all(|(card, slot)| is_none(card, slot, bits))
    })
}

/// Is this no process that would have to be asked?
fn is_none(card: &Card, slot: &AtomicPtr<Occupant>, bits: u64) -> bool {
    if card.is_clear(bits) {
        return true;
    }
    if !card.claim_idle() {
        return false;
    }
    let occupant = occupant(slot);
    // SAFETY: claimed by us. What it points into lives: nobody was asked for it.
    let filter = unsafe { (occupant.as_ref().acts.look)(occupant, bits) };
    let noted = match filter {
        Some(filter) => card.give_back(filter),
        None => card.give_back_as_it_was(),
    };
    if noted {
        // SAFETY: something has come, and so it is scheduled now, by us.
        unsafe { schedule(occupant) };
    }
    filter.is_some()
}
