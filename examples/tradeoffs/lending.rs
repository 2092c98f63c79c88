//! Messages that are lent: the copy is made when the owner ends, if it has to be made at all.
//!
//! The proposal reads well: why copy at each send, when the sender may be gone before the receiver needs the copy, or the
//! receiver before the sender? So a send passes a pointer into the owner's heap, and the owner notes whom it lent to, in a
//! *tracking record*. Passing on what was borrowed adds a record to the owner, who may be a third process. When an owner
//! ends, each borrower is stopped, what it borrowed is copied for it, and it goes on: a pause that the borrower did
//! nothing to deserve, in the size of somebody else's data.
//!
//! Here a holder has *parts*, each its own or lent by some owner. (A reading program would also have to note pointers
//! *into* what was lent, and a collection of the owner would have to find and move what others read, or leave it where it
//! lies. This small implementation lends whole values out of an owner that never collects: what it costs is a lower bound.)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use shared_term::{Region, TermRef};

use crate::mini_runtime::Process;

/// What a process holds.
pub(crate) type Held = Vec<Part>;
pub(crate) type Holder = Process<Held>;

pub(crate) enum Part {
    Own(Region),
    Lent(Loan),
}

impl Part {
    pub(crate) fn root(&self) -> TermRef<'_> {
        match self {
            Self::Own(region) => region.root(),
            Self::Lent(loan) => loan.value.root(),
        }
    }

    pub(crate) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent(_))
    }
}

/// A pointer into somebody's heap. Given back when dropped.
pub(crate) struct Loan {
    value: Arc<Region>,
    owner: Arc<Owner>,
    record: usize,
}

impl Loan {
    /// What passing it on takes: the owner must know the new borrower.
    pub(crate) fn lend_on(&self, to: &Arc<Holder>) -> Option<Part> {
        self.owner.lend(to)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut ledger = self.owner.ledger();
        // An owner that ended has no records any more.
        if let Some(record) = ledger.records.get_mut(self.record) {
            *record = None;
            ledger.free.push(self.record);
        }
    }
}

/// A process that lends its value out, as far as that matters here.
pub(crate) struct Owner {
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    value: Option<Arc<Region>>,
    /// One for each loan, with room left by those given back.
    records: Vec<Option<Weak<Holder>>>,
    free: Vec<usize>,
}

/// What the end of an owner did to others.
#[derive(Debug, Default)]
pub(crate) struct Death {
    pub(crate) records: usize,
    /// Values copied for borrowers, and their words.
    pub(crate) copies: usize,
    pub(crate) words: usize,
    /// The longest time for which a borrower was kept from running.
    pub(crate) longest_pause: Duration,
    /// When the last pointer into the owner's heap was gone and its memory was freed.
    pub(crate) freed: Option<Instant>,
}

impl Owner {
    pub(crate) fn new(value: Region) -> Arc<Self> {
        Arc::new(Self { ledger: Mutex::new(Ledger { value: Some(Arc::new(value)), ..Ledger::default() }) })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pointer to the value for `to`, and a record of it. `None` from an owner that ended.
    pub(crate) fn lend(self: &Arc<Self>, to: &Arc<Holder>) -> Option<Part> {
        let mut ledger = self.ledger();
        let value = ledger.value.clone()?;
        let noted = Some(Arc::downgrade(to));
        let record = ledger.free.pop().unwrap_or(ledger.records.len());
        match ledger.records.get_mut(record) {
            Some(free) => *free = noted,
            None => ledger.records.push(noted),
        }
        Some(Part::Lent(Loan { value, owner: Arc::clone(self), record }))
    }

    /// Loans that are out.
    pub(crate) fn records(&self) -> usize {
        self.ledger().records.iter().flatten().count()
    }

    /// Bytes of the records.
    pub(crate) fn ledger_bytes(&self) -> usize {
        let ledger = self.ledger();
        ledger.records.capacity() * size_of::<Option<Weak<Holder>>>() + ledger.free.capacity() * size_of::<usize>()
    }

    /// Ends the owner: whoever still holds the value gets a copy of it, and the value is freed.
    pub(crate) fn die(self: &Arc<Self>) -> Death {
        // The records are taken out first: a borrower that gives its part back meanwhile waits for nobody.
        let Ledger { value, records, .. } = std::mem::take(&mut *self.ledger());
        let mut death = Death::default();
        for borrower in records.into_iter().flatten() {
            death.records += 1;
            let Some(borrower) = borrower.upgrade() else { continue };
            let mut held = borrower.stopped();
            let stopped = Instant::now();
            let mut copy = |part: &mut Part| {
                if let Part::Lent(loan) = part
                    && Arc::ptr_eq(&loan.owner, self)
                {
                    let own = Region::copy_of(loan.value.root());
                    death.copies += 1;
                    death.words += own.words();
                    *part = Part::Own(own);
                }
            };
            held.iter_mut().flatten().for_each(&mut copy);
            borrower.waiting(|held| held.iter_mut().for_each(&mut copy));
            drop(held);
            death.longest_pause = death.longest_pause.max(stopped.elapsed());
        }
        death.freed = value.and_then(Arc::into_inner).map(|value| {
            drop(value);
            Instant::now()
        });
        death
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini_runtime::{Letter, MiniRuntime, spawn};

    fn value(n: i64) -> Region {
        Region::build(|h| h.tuple(&[h.int(n)]))
    }

    fn numbers(holder: &Holder) -> Vec<Option<i64>> {
        let held = holder.stopped();
        held.iter().flatten().map(|part| part.root().tuple_of().and_then(|[n]| n.as_int())).collect()
    }

    #[test]
    fn a_lends_to_b_that_lends_on_to_c_and_b_dies_first() {
        let runtime = MiniRuntime::new(0);
        let [c] = spawn(1).try_into().unwrap_or_else(|_| unreachable!("one was asked for"));
        let [b_holds] = spawn(1).try_into().unwrap_or_else(|_| unreachable!("one was asked for"));
        let (a, b) = (Owner::new(value(1)), Owner::new(value(2)));
        runtime.send(&b_holds, Letter::Hold(vec![a.lend(&b_holds).unwrap()]));
        runtime.run_until_idle();
        let lent_on = match &b_holds.stopped().as_deref().unwrap()[0] {
            Part::Lent(loan) => loan.lend_on(&c).unwrap(),
            Part::Own(_) => panic!("A lives"),
        };
        runtime.send(&c, Letter::Hold(vec![lent_on, b.lend(&c).unwrap()]));
        runtime.run_until_idle();
        assert_eq!((a.records(), b.records()), (2, 1));
        // B ends: what it held it gives back, what it lent is copied.
        runtime.send(&b_holds, Letter::Forget);
        runtime.run_until_idle();
        let death = b.die();
        assert_eq!((death.records, death.copies, death.words), (1, 1, 2));
        assert!(death.freed.is_some());
        assert_eq!((a.records(), b.records()), (1, 0));
        assert_eq!(c.stopped().iter().flatten().filter(|part| part.is_lent()).count(), 1);
        assert_eq!(numbers(&c), [Some(1), Some(2)]);
        // And then A.
        assert_eq!(a.die().copies, 1);
        assert_eq!(numbers(&c), [Some(1), Some(2)]);
        assert!(a.lend(&c).is_none());
    }

    #[test]
    fn what_waits_in_a_mailbox_is_copied_and_a_record_given_back_is_used_again() {
        let runtime = MiniRuntime::new(0);
        let holders = spawn(2);
        let owner = Owner::new(value(7));
        runtime.send(&holders[0], Letter::Hold(vec![owner.lend(&holders[0]).unwrap()]));
        runtime.send(&holders[0], Letter::Forget);
        runtime.run_until_idle();
        assert_eq!(owner.records(), 0);
        runtime.send(&holders[1], Letter::Hold(vec![owner.lend(&holders[1]).unwrap()]));
        assert_eq!((owner.records(), owner.ledger().records.len()), (1, 1));
        let death = owner.die();
        assert_eq!((death.copies, death.freed.is_some()), (1, true));
        runtime.run_until_idle();
        assert_eq!(numbers(&holders[1]), [Some(7)]);
    }
}
