//! Quiescence: when has every thread that might still look at something passed a point at which it looks at nothing?
//!
//! A *participant* is a worker of a runtime or a foreign guard. While it is *online* it may follow pointers into the key
//! table, the process table and literal areas, and it has announced an epoch. Who unlinks something advances the epoch
//! and waits until every participant is offline or has announced the new one: the *grace period*.
//!
//! The two sides meet in two ways (lemma L2 of the collection):
//!
//! * *Entering* stores the epoch and then fences; the collector advances the epoch, fences, and then reads what was
//!   announced. If the collector misses the announcement, the entering thread sees everything from before the advance.
//! * *Passing a boundary* reads the epoch with acquire: whoever announces the new epoch has seen what was done before it.

use super::crowd::Crowd;
#[cfg(feature = "runtime")]
use super::domain::Domain;
use crate::Pid;
use crate::heap::{HeapError, try_box};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::mutation::{Mutation, mutated, ordering};
use std::ptr;
#[cfg(feature = "runtime")]
use std::sync::Arc;
use std::sync::atomic as plain;

/// Participants per segment. Few under loom, where each is a load of every grace period.
const SEGMENT: usize = if crate::sync::MODELLED { 2 } else { 16 };

const OFFLINE: u64 = 0;
/// The word of no pid.
const NOBODY: u64 = 0;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Worker = 1,
    Foreign = 2,
}

/// One participant's announcement, on lines of its own: two, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Participant {
    /// The epoch it is online in, or [`OFFLINE`].
    seen: AtomicU64,
    /// Zero: free. Otherwise the [`Role`] of its owner.
    owner: AtomicU32,
    /// The process that a worker runs, or has run until a moment ago, to be told by. Not modelled: nothing is decided by it.
    running: plain::AtomicU64,
}

impl Participant {
    /// The worker runs this process from here on.
    #[inline]
    #[cfg(feature = "runtime")]
    pub(crate) fn runs(&self, pid: Pid) {
        self.running.store(pid.word(), plain::Ordering::Relaxed);
    }

    /// The worker does something else, which may last.
    #[cfg(feature = "runtime")]
    pub(crate) fn rests(&self) {
        self.running.store(NOBODY, plain::Ordering::Relaxed);
    }

    /// The epoch that it has announced, for who has a lock against others who do; 0: none.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// With an owner from the beginning, or free.
    pub(super) fn new(owner: Option<Role>) -> Self {
        let owner = owner.map_or(0, |role| role as u32);
        Self { seen: AtomicU64::new(OFFLINE), owner: AtomicU32::new(owner), running: plain::AtomicU64::new(NOBODY) }
    }
}

#[derive(Debug)]
struct Segment {
    participants: [Participant; SEGMENT],
    next: AtomicPtr<Segment>,
}

impl Segment {
    fn new() -> Self {
        Self { participants: std::array::from_fn(|_| Participant::new(None)), next: AtomicPtr::new(ptr::null_mut()) }
    }
}

/// The epoch, and everyone who takes part. Participants are made and never freed before the whole.
#[derive(Debug)]
pub(crate) struct Quiescence {
    epoch: AtomicU64,
    first: Segment,
    crowd: Crowd,
}

impl Quiescence {
    pub(crate) fn new() -> Self {
        Self { epoch: AtomicU64::new(1), first: Segment::new(), crowd: Crowd::new() }
    }

    /// A free participant, offline. Lock-free; O(participants), which is the number that were ever online at once. Without
    /// memory for another, that of the [crowd](Crowd).
    pub(crate) fn join(&self, role: Role) -> &Participant {
        #[cfg(all(loom, feature = "loom"))]
        if super::crowd::ALWAYS.load(plain::Ordering::Relaxed) {
            return self.join_crowd();
        }
        self.try_join(role).unwrap_or_else(|_| self.join_crowd())
    }

    #[cold]
    fn join_crowd(&self) -> &Participant {
        // Relaxed: an old epoch makes it come where it waits for another boundary.
        self.crowd.join(self.epoch.load(Ordering::Relaxed))
    }

    /// As [`join`](Self::join), or an error.
    fn try_join(&self, role: Role) -> Result<&Participant, HeapError> {
        let mut segment = &self.first;
        loop {
            for p in &segment.participants {
                // Acquire: pairs with the release in `retire`, so that this owner's announcements follow the last one's.
                if p.owner.load(Ordering::Relaxed) == 0
                    && p.owner.compare_exchange(0, role as u32, Ordering::Acquire, Ordering::Relaxed).is_ok()
                {
                    return Ok(p);
                }
            }
            segment = Self::next_or_new(segment)?;
        }
    }

    fn next_or_new(segment: &Segment) -> Result<&Segment, HeapError> {
        // Acquire: pairs with the release below; the segment is initialised.
        let mut next = segment.next.load(Ordering::Acquire);
        if next.is_null() {
            let new = Box::into_raw(try_box(Segment::new())?);
            match segment.next.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => next = new,
                Err(other) => {
                    // SAFETY: nobody else has seen the new segment.
                    drop(unsafe { Box::from_raw(new) });
                    next = other;
                }
            }
        }
        // SAFETY: segments live as long as `self`.
        Ok(unsafe { &*next })
    }

    /// A participant for a worker, who has it from before it begins to work.
    #[cfg(feature = "runtime")]
    pub(crate) fn seat(domain: &Arc<Domain>) -> Result<Seat, HeapError> {
        let quiescence = &domain.quiescence;
        let own = quiescence.try_join(Role::Worker)?;
        let nth = quiescence.participants().position(|p| ptr::eq(p, own)).expect("it is one of them");
        Ok(Seat { domain: Arc::clone(domain), nth })
    }

    /// Gives a participant back. It must be offline.
    pub(crate) fn retire(&self, p: &Participant) {
        if self.crowd.is(p) {
            return;
        }
        debug_assert_eq!(p.seen.load(Ordering::Relaxed), OFFLINE);
        p.running.store(NOBODY, plain::Ordering::Relaxed);
        // Release: pairs with the acquire in `join`.
        p.owner.store(0, Ordering::Release);
    }

    /// Goes online.
    pub(crate) fn enter(&self, p: &Participant) {
        if self.crowd.is(p) {
            self.crowd.enter(p, |p| self.announce(p));
        } else {
            self.announce(p);
        }
    }

    #[inline(always)]
    fn announce(&self, p: &Participant) {
        // Relaxed: an old epoch only makes a collector wait for the next boundary.
        let epoch = self.epoch.load(Ordering::Relaxed);
        // Release: a collector that reads this announcement also sees the end of the span before it.
        p.seen.store(epoch, ordering(Mutation::EnterRelaxed, Ordering::Release));
        if !mutated(Mutation::EnterNoFence) {
            // Pairs with the fence in `advance`.
            fence(Ordering::SeqCst);
        }
    }

    /// Passes a boundary: what was looked at before is not looked at any more. One load when nothing happened; `true`: the
    /// epoch has changed, and somebody may be waiting for this; one of a crowd, which may not have passed, should then see to
    /// it that it [leaves](Self::leave_crowd) that.
    #[inline]
    pub(crate) fn boundary(&self, p: &Participant) -> bool {
        // Acquire: pairs with the release in `advance`: what the collector did before is seen by the next span.
        let epoch = self.epoch.load(ordering(Mutation::BoundaryRelaxed, Ordering::Acquire));
        // Relaxed: the own announcement.
        let changed = p.seen.load(Ordering::Relaxed) != epoch;
        if changed {
            if self.crowd.is(p) {
                self.crowd.pass(p, |p| self.announce(p));
            } else {
                // Release: pairs with the acquire in `has_passed`: the span's uses come before the free.
                p.seen.store(epoch, Ordering::Release);
            }
        }
        changed
    }

    /// Who takes part from here on, in place of `p`, which is online and looks at nothing: if `p` is one of the crowd, a
    /// participant of its own, if there is memory for one now, or the other of the crowd, if that is further.
    pub(crate) fn leave_crowd<'q>(&'q self, p: &'q Participant, role: Role) -> &'q Participant {
        if !self.crowd.is(p) {
            return p;
        }
        self.leave(p);
        let own = self.join(role);
        self.enter(own);
        own
    }

    /// Goes offline.
    pub(crate) fn leave(&self, p: &Participant) {
        if self.crowd.is(p) {
            self.crowd.leave(p, Self::withdraw);
        } else {
            Self::withdraw(p);
        }
    }

    #[inline(always)]
    fn withdraw(p: &Participant) {
        // Release: pairs with the acquire in `has_passed`: the span's uses come before the free.
        p.seen.store(OFFLINE, ordering(Mutation::LeaveRelaxed, Ordering::Release));
    }

    /// Begins a grace period: what was unlinked before this call is out of sight once [`has_passed`](Self::has_passed)
    /// says so of the epoch returned.
    pub(crate) fn advance(&self) -> u64 {
        // Release: pairs with the acquire in `boundary`.
        let epoch = self.epoch.fetch_add(1, ordering(Mutation::EpochRelaxed, Ordering::Release)) + 1;
        // Pairs with the fence in `enter`.
        fence(Ordering::SeqCst);
        epoch
    }

    /// Is the grace period that `epoch` began over?
    pub(crate) fn has_passed(&self, epoch: u64) -> bool {
        self.participants().all(|p| {
            // Acquire: pairs with the releases in `enter`, `boundary` and `leave`.
            let seen = p.seen.load(Ordering::Acquire);
            seen == OFFLINE
                || seen >= epoch
                || mutated(Mutation::ForeignNotInGrace) && p.owner.load(Ordering::Relaxed) == Role::Foreign as u32
        })
    }

    /// How many participants of a role are online in an epoch before the current one: what a grace period waits for.
    pub(crate) fn behind(&self, role: Role) -> usize {
        let mut behind = 0;
        self.each_behind(|of, _| behind += usize::from(of == role));
        behind
    }

    /// Calls `f` with the role of each participant that is online in an epoch before the current one, and with the
    /// process that a worker runs.
    pub(crate) fn each_behind(&self, mut f: impl FnMut(Role, Option<Pid>)) {
        // Relaxed: a figure to look at.
        let epoch = self.epoch.load(Ordering::Relaxed);
        for p in self.participants() {
            let seen = p.seen.load(Ordering::Relaxed);
            if seen == OFFLINE || seen >= epoch {
                continue;
            }
            let pid = p.running.load(plain::Ordering::Relaxed);
            match p.owner.load(Ordering::Relaxed) {
                0 => {}
                of if of == Role::Foreign as u32 => f(Role::Foreign, None),
                _ => f(Role::Worker, (pid != NOBODY).then(|| Pid::from_word(pid))),
            }
        }
    }

    /// Does a worker run this process, or has it until a moment ago? O(participants).
    #[cfg(feature = "runtime")]
    pub(crate) fn runs(&self, pid: Pid) -> bool {
        self.participants().any(|p| p.running.load(plain::Ordering::Relaxed) == pid.word())
    }

    /// Whoever may be online. Not before the fence of an [`advance`](Self::advance), for a grace period.
    fn participants(&self) -> impl Iterator<Item = &Participant> {
        std::iter::successors(Some(&self.first), |segment| {
            // Acquire: pairs with the release of `next_or_new`. A segment that is missed was linked after the fence of
            // `advance`, and whoever enters through it sees what was done before.
            let next = segment.next.load(Ordering::Acquire);
            // SAFETY: segments live as long as `self`.
            unsafe { next.as_ref() }
        })
        .flat_map(|segment| &segment.participants)
        .chain(self.crowd.participants())
    }
}

/// The participant of a worker, which goes with it.
#[cfg(feature = "runtime")]
pub(crate) struct Seat {
    domain: Arc<Domain>,
    /// Which of all participants it is.
    nth: usize,
}

#[cfg(feature = "runtime")]
impl Seat {
    pub(crate) fn participant(&self) -> &Participant {
        self.domain.quiescence.participants().nth(self.nth).expect("none is ever taken away")
    }
}

#[cfg(feature = "runtime")]
impl Drop for Seat {
    fn drop(&mut self) {
        self.domain.quiescence.retire(self.participant());
    }
}

impl Drop for Quiescence {
    fn drop(&mut self) {
        let mut next = self.first.next.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: segments are made by `Box` and linked once; nobody takes part any more.
            let segment = unsafe { Box::from_raw(next) };
            next = segment.next.load(Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    #[test]
    fn of_a_crowd_one_passes_who_is_there_alone() {
        let quiescence = Quiescence::new();
        let p = quiescence.join_crowd();
        quiescence.enter(p);
        let passes = || {
            let epoch = quiescence.advance();
            assert!(!quiescence.has_passed(epoch) && quiescence.boundary(p));
            quiescence.has_passed(epoch)
        };
        assert!(passes());
        quiescence.enter(p);
        assert!(!passes());
        quiescence.leave(p);
        assert!(passes());
        quiescence.leave(p);
        assert!(quiescence.has_passed(quiescence.advance()));
    }

    /// There always is somebody, and nobody stays: each grace period is over when those are gone who were there before it.
    #[test]
    fn those_who_come_and_go_hold_up_no_grace_period_together() {
        let quiescence = Quiescence::new();
        let come = || {
            let p = quiescence.join_crowd();
            quiescence.enter(p);
            p
        };
        let mut there = come();
        for _ in 0..10 {
            let second = come();
            let epoch = quiescence.advance();
            let [next, short] = [come(), come()];
            quiescence.leave(short);
            assert!(!quiescence.has_passed(epoch));
            quiescence.leave(second);
            assert!(!quiescence.has_passed(epoch), "one is there still");
            quiescence.leave(there);
            assert!(quiescence.has_passed(epoch));
            there = next;
        }
    }
}
