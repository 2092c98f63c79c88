//! C5: the scan of the cards, and the look at those who are idle and may point into a retired area.
//!
//! Nearly all cards are passed over, at a load each. A look is dearer, most of all because what it reads has to come from
//! memory. So candidates are claimed a few at a time, and looked at when what all of them have is on its way. A claimed process
//! is run by nobody, so that none is kept for long: few cards further on it is looked at, with others or alone.

use super::card::{Card, Question};
use super::collector::Collector;
use super::domain::Domain;
use super::report::Report;
use super::slots::{LINE, Occupant};
use crate::sync::atomic::{AtomicPtr, Ordering};
use std::ops::Range;
use std::ptr::NonNull;

/// Idle holders that a scan looks at in vain before it asks without a look.
const LOOKS_IN_VAIN: usize = 16;

/// Processes that are looked at together.
const TOGETHER: usize = 16;

/// Lines of cards that the scan goes on with somebody claimed: no more than some microseconds.
const LINES_CLAIMED: usize = 256;

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
    let mut scan = Scan::new(collector, bits, report);
    domain.slots.lines().for_each(|(cards, occupants)| scan.line(cards, occupants));
    scan.look();
    if let Some(put_off) = scan.put_off {
        collector.wake(domain, put_off);
    }
}

/// A scan under way.
struct Scan<'s> {
    collector: &'s Collector,
    bits: u64,
    /// The number of the next card.
    number: usize,
    /// Looking at a holder is in vain: a look is taken while it is not much more than what it has spared so far.
    worth: usize,
    /// Idle processes that wait for a look, owned by the scan.
    claimed: [Option<Claimed<'s>>; TOGETHER],
    claims: usize,
    /// The number of the card by which the first of them must have been looked at.
    until: usize,
    /// Whoever was asked and must be woken for it has one of these cards.
    put_off: Option<Range<usize>>,
    report: &'s mut Report,
}

#[derive(Clone, Copy)]
struct Claimed<'s> {
    card: &'s Card,
    number: usize,
    occupant: NonNull<Occupant>,
}

impl<'s> Scan<'s> {
    fn new(collector: &'s Collector, bits: u64, report: &'s mut Report) -> Self {
        Self {
            collector,
            bits,
            number: 0,
            worth: LOOKS_IN_VAIN,
            claimed: [None; TOGETHER],
            claims: 0,
            until: usize::MAX,
            put_off: None,
            report,
        }
    }

    #[inline]
    fn line(&mut self, cards: &'s [Card], occupants: &[AtomicPtr<Occupant>]) {
        if Card::pass(cards, self.bits) {
            self.report.skipped += cards.len();
            self.number += cards.len();
        } else {
            for (card, slot) in cards.iter().zip(occupants) {
                self.ask(card, slot);
                self.number += 1;
            }
        }
        if self.number >= self.until {
            self.look();
        }
    }

    fn ask(&mut self, card: &'s Card, slot: &AtomicPtr<Occupant>) {
        match card.ask(self.bits, self.worth > self.claims, |up| self.collector.count(up)) {
            Question::PassedOver => self.report.skipped += 1,
            Question::Asked => self.report.asked += 1,
            Question::PutOff => self.put_off(self.number),
            Question::Claimed => {
                if self.claims == 0 {
                    self.until = self.number + LINES_CLAIMED * LINE;
                }
                self.claimed[self.claims] = Some(Claimed { card, number: self.number, occupant: occupant(slot) });
                self.claims += 1;
                if self.claims == TOGETHER {
                    self.look();
                }
            }
        }
    }

    /// The process with this card was asked, and must be woken.
    fn put_off(&mut self, number: usize) {
        self.report.asked += 1;
        let put_off = self.put_off.get_or_insert(number..number);
        *put_off = put_off.start.min(number)..put_off.end.max(number + 1);
    }

    /// Looks at those who were claimed, and asks the holders among them.
    fn look(&mut self) {
        let claimed = std::mem::replace(&mut self.claimed, [None; TOGETHER]);
        (self.claims, self.until) = (0, usize::MAX);
        for Claimed { occupant, .. } in claimed.into_iter().flatten() {
            // SAFETY: claimed by us.
            unsafe { (occupant.as_ref().acts.fetch)(occupant) };
        }
        for Claimed { card, number, occupant } in claimed.into_iter().flatten() {
            // SAFETY: claimed by us. What it points into lives, because it has not answered.
            let noted = if let Some(filter) = unsafe { (occupant.as_ref().acts.look)(occupant, self.bits) } {
                self.worth += 1;
                self.report.cleared += 1;
                card.give_back(filter)
            } else {
                self.worth -= 1;
                self.collector.count(true);
                self.put_off(number);
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

#[cfg(all(test, feature = "runtime", not(all(loom, feature = "loom"))))]
mod tests {
    use super::super::slots::{Acts, ActsRef, Slots};
    use super::*;

    static ACTS: Acts = Acts {
        schedule: |_| unreachable!("nobody sends"),
        // Some point into the areas, unless these have the highest bit, which nobody does.
        // SAFETY: an occupant of the table below.
        look: |occupant, bits| (bits >> 63 != 0 || unsafe { occupant.as_ref() }.pid.slot() % 3 == 0).then_some(0),
        fetch: |_| {},
    };

    /// A table with idle processes in some slots, with a filter, and none in the others.
    #[allow(clippy::vec_box, reason = "the table leads to their addresses")]
    fn table(slots: &Slots, n: usize, idle: &[u32], filter: u64) -> Vec<Box<Occupant>> {
        let pids: Vec<_> = (0..n).map(|_| slots.take().unwrap().unwrap()).collect();
        let occupy = |slot: &u32| {
            let pid = pids[*slot as usize];
            // SAFETY: they are their own beginning.
            let mut occupant = Box::new(Occupant { pid, acts: unsafe { ActsRef::of(&ACTS) } });
            let card = slots.door(*slot).card();
            card.revive();
            card.claim();
            card.between(filter);
            slots.door(*slot).occupy(NonNull::from(&mut *occupant));
            occupant
        };
        idle.iter().map(occupy).collect()
    }

    #[test]
    fn nobody_is_claimed_for_more_than_some_lines() {
        let slots = Slots::new();
        let idle: Vec<_> = (0..5).map(|i| i * 7_001).collect();
        let occupants = table(&slots, 40_000, &idle, 1 << 63);
        let (collector, mut report) = (Collector::new(), Report::default());
        let mut scan = Scan::new(&collector, 1 << 63, &mut report);
        let mut since = vec![0; idle.len()];
        for (cards, slot) in slots.lines() {
            scan.line(cards, slot);
            for (slot, since) in idle.iter().zip(&mut since) {
                let claimed = slots.door(*slot).card().load() & super::super::card::RUN != 0;
                *since = if claimed { *since + 1 } else { 0 };
                assert!(*since <= LINES_CLAIMED, "slot {slot} is kept");
            }
        }
        scan.look();
        assert_eq!((scan.report.cleared, scan.put_off.clone()), (idle.len(), None));
        drop(occupants);
    }

    #[test]
    fn whoever_is_put_off_has_a_card_among_those_that_are_walked_over_and_few_others_do() {
        let slots = Slots::new();
        let idle: Vec<_> = (2_000..2_040).collect();
        let occupants = table(&slots, 40_000, &idle, 1 << 9);
        let (collector, mut report) = (Collector::new(), Report::default());
        let mut scan = Scan::new(&collector, 1 << 9, &mut report);
        slots.lines().for_each(|(cards, slot)| scan.line(cards, slot));
        scan.look();
        let put_off = scan.put_off.clone().unwrap();
        let (mut asked, mut first, mut last) = (0, None, false);
        slots.walk(put_off, |card, _| {
            last = card.is_asked();
            first.get_or_insert(last);
            asked += usize::from(last);
            std::ops::ControlFlow::Continue(())
        });
        let holders = scan.report.asked;
        assert_eq!((asked, first, last), (holders, Some(true), true));
        assert!(holders > idle.len() / 2 && holders + scan.report.cleared == idle.len());
        drop(occupants);
    }
}
