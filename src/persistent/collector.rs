//! The global collection: which areas does nobody point into any more?
//!
//! Only holders pay. `put` and `erase` unpublish and return; an area whose last reference goes joins the *pending* list,
//! once. The collector then works through these steps, one batch at a time (`C1` to `C6`, as ARCHITECTURE numbers them):
//!
//! 1. **C1** It takes the pending areas that are still without a reference and marks them *retired*: whoever hands one of
//!    their literals to another owner copies it as ordinary data from here on.
//! 2. **C2** It advances the epoch, and
//! 3. **C3** waits until every participant has passed a boundary. After that no new pointer to a retired area can arise,
//!    except
//! 4. **C4** where an old turn had put one back: such an area has moved its references, and is let go.
//! 5. **C5** It scans the cards. A process that is idle and whose filter is clear of the batch is passed over, and so is
//!    one whose filter is not, where a look at its heap finds nothing. Everyone else is *asked*, and answers once it has
//!    evacuated what it still reaches. Idle ones are woken a few at a time, the next as these answer, so that who has
//!    nothing to do with it does not wait behind all of them.
//! 6. **C6** When all have answered, the areas are freed.
//!
//! Nothing here blocks: [`Collector::step`] does what can be done and says what it waits for, so that the collection can
//! be driven by a thread of its own, by the thread that replaced the term, or one step at a time by a test.

use super::asking::Asking;
#[cfg(feature = "runtime")]
use super::card::Answer;
use super::domain::{Domain, called_back};
use super::pending::Pending;
use super::report::Report;
use super::scan;
use crate::heap::literal::{Area, bit_of, count};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::mutation::{Mutation, mutated, ordering};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic as plain;
use std::time::{Duration, Instant};

/// What a step of the collection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is nothing to collect.
    Idle,
    /// Participants have not passed a boundary yet, or processes have not answered.
    Waiting,
    /// What waits is left to its holders, by policy.
    Spared,
    /// Something was done; there may be more.
    Worked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// C3.
    Grace,
    /// Between C4 and C5: the holders are left alone, by policy. No new one can arise (L2); the scan is put off until it
    /// would ask nobody, or the policy gives them no more time.
    Spared,
    /// Between C5 and C6.
    Asked,
    /// C6, outside the lock.
    Freeing,
}

struct State {
    phase: Phase,
    /// The areas of the batch, with their references as they were at the mark.
    batch: Pending,
    /// The epoch that the grace period began.
    epoch: u64,
    /// It is to be collected whatever the policy.
    forced: bool,
    started: Instant,
    report: Report,
}

/// The bits of the areas of a batch.
fn bits_of(batch: &Pending) -> u64 {
    batch.iter().fold(0, |bits, area| bits | bit_of(area))
}

/// Does nobody hold what is left to its holders any more?
fn is_let_go(domain: &Domain, state: &State) -> bool {
    scan::is_done(domain, bits_of(&state.batch)) && !mutated(Mutation::SparedForEver)
}

pub(crate) struct Collector {
    pending: Mutex<Pending>,
    state: Mutex<State>,
    /// Processes that have not answered, and one for the scan itself.
    remaining: AtomicUsize,
    /// Which of them are woken when.
    asking: Asking,
    /// The bits of the areas that are retired.
    retired: AtomicU64,
    /// The bits of those that processes evacuate when they collect by themselves.
    spared: AtomicU64,
    /// What waits is to be collected whatever the policy, and not all of it is in the batch.
    forced: plain::AtomicBool,
    // Figures. Not modelled: nothing is decided by them.
    retained: plain::AtomicUsize,
    holders: plain::AtomicUsize,
    evacuated: plain::AtomicUsize,
    collections: plain::AtomicU64,
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self {
            pending: Mutex::default(),
            state: Mutex::new(State {
                phase: Phase::Idle,
                batch: Pending::default(),
                epoch: 0,
                forced: false,
                started: Instant::now(),
                report: Report::default(),
            }),
            remaining: AtomicUsize::new(0),
            asking: Asking::new(),
            retired: AtomicU64::new(0),
            spared: AtomicU64::new(0),
            forced: plain::AtomicBool::new(false),
            retained: plain::AtomicUsize::new(0),
            holders: plain::AtomicUsize::new(0),
            evacuated: plain::AtomicUsize::new(0),
            collections: plain::AtomicU64::new(0),
        }
    }

    /// The bits of the areas that are retired now.
    #[inline]
    pub(crate) fn retired(&self) -> u64 {
        // Relaxed: as for the mark of an area, the grace period orders it before every span that must see it (L2).
        self.retired.load(Ordering::Relaxed)
    }

    /// The bits of the areas that a process evacuates when it collects its heap by itself.
    #[cfg(feature = "runtime")]
    pub(crate) fn spared(&self) -> u64 {
        // Relaxed: evacuating an area is right at any time; the scan looks at what came of it.
        self.spared.load(Ordering::Relaxed)
    }

    /// Has what waits collected whatever the policy, once.
    pub(crate) fn force(&self) {
        // Release: pairs with the acquire in `take_forced`.
        self.forced.store(true, plain::Ordering::Release);
    }

    /// Bytes of areas that wait to be freed.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.retained.load(plain::Ordering::Relaxed)
    }

    pub(crate) fn collections(&self) -> u64 {
        self.collections.load(plain::Ordering::Relaxed)
    }

    /// R5: drops a reference. `true`: the area has joined the pending list.
    ///
    /// The last reference is dropped under the lock of that list. Otherwise another thread could take the area up and
    /// drop it again, and the collector free it, between the subtraction and the look at `queued`.
    ///
    /// # Safety
    ///
    /// The caller must own a reference on the area, and not use it again.
    pub(crate) unsafe fn release(&self, area: NonNull<Area>) -> bool {
        // SAFETY: the caller's reference keeps the area.
        let this = unsafe { area.as_ref() };
        // Relaxed: decides nothing; the exchange does.
        let mut refs = this.refs.load(Ordering::Relaxed);
        while count(refs) > 1 {
            // AcqRel: the release hands the uses under this reference to whoever drops the last one (L5).
            let order = ordering(Mutation::ReleaseRelaxed, Ordering::AcqRel);
            match this.refs.compare_exchange(refs, refs - 1, order, Ordering::Relaxed) {
                Ok(_) => return false,
                Err(now) => refs = now,
            }
        }
        let early = mutated(Mutation::LastDropUnlocked).then(|| this.refs.fetch_sub(1, Ordering::AcqRel));
        let mut pending = self.pending.lock();
        // AcqRel: as above; the acquire takes over the uses of those who dropped before.
        let last = count(
            early.unwrap_or_else(|| this.refs.fetch_sub(1, ordering(Mutation::ReleaseRelaxed, Ordering::AcqRel))),
        ) == 1;
        // Until here the area lives: the reference was this caller's, or its end is for whoever takes the lock next.
        this.note_read();
        // Relaxed: under the lock.
        if !last || this.queued.load(Ordering::Relaxed) && !mutated(Mutation::NoQueuedFlag) {
            return false;
        }
        this.queued.store(true, Ordering::Relaxed);
        self.retained.fetch_add(this.held_bytes(), plain::Ordering::Relaxed);
        pending.push(area, 0);
        true
    }

    /// A process has answered, or is gone. `true`: it was the last one.
    #[cfg(feature = "runtime")]
    pub(crate) fn answered(&self) -> bool {
        // AcqRel: the answers of all form one chain that ends at the free (L5).
        self.remaining.fetch_sub(1, ordering(Mutation::AckRelaxed, Ordering::AcqRel)) == 1
    }

    /// What follows an answer of a process of this domain: who was put off is woken, and the driver if it was the last one.
    #[cfg(feature = "runtime")]
    pub(crate) fn after(&self, answer: Answer, domain: &Domain) {
        if answer.woken {
            self.asking.answered(&domain.slots);
        }
        if answer.last {
            domain.passed();
        }
    }

    /// How long the collection has been under way, if one is.
    pub(crate) fn under_way(&self) -> Option<Duration> {
        let state = self.state.lock();
        (state.phase != Phase::Idle).then(|| state.started.elapsed())
    }

    /// A holder has evacuated so many words.
    #[cfg(feature = "runtime")]
    pub(crate) fn evacuated(&self, words: usize) {
        self.holders.fetch_add(1, plain::Ordering::Relaxed);
        self.evacuated.fetch_add(words, plain::Ordering::Relaxed);
    }

    /// Is nothing pending, and no collection running?
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.lock().is_empty() && self.state.try_lock().is_some_and(|state| state.phase == Phase::Idle)
    }

    /// Does the collection wait for the answers of processes?
    #[cfg(all(loom, feature = "loom"))]
    pub(crate) fn is_asking(&self) -> bool {
        self.state.try_lock().is_some_and(|state| state.phase == Phase::Asked)
    }

    /// Runs `f` while no scan of the cards is under way, and nobody is woken: whoever a scan has found idle and woken is on
    /// its run queue.
    #[cfg(feature = "runtime")]
    pub(crate) fn between_scans<R>(&self, f: impl FnOnce() -> R) -> R {
        let _state = self.state.lock();
        self.asking.between(f)
    }

    /// A scan is over that has put off who has one of these cards.
    pub(super) fn wake(&self, domain: &Domain, put_off: Range<usize>) {
        self.asking.begin(&domain.slots, put_off);
    }

    /// One process more, or less, has to answer.
    pub(super) fn count(&self, up: bool) {
        // Relaxed: published by the question, which is a release.
        if up {
            self.remaining.fetch_add(1, Ordering::Relaxed);
        } else {
            self.remaining.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Does what can be done now. Another thread that is at it makes this return [`Step::Waiting`], unless the caller is
    /// `patient` and waits until that step is done.
    pub(crate) fn step(&self, domain: &Domain, patient: bool) -> Step {
        self.step_looking(domain, patient, false)
    }

    /// As [`step`](Self::step); with `look`, also at whether holders that are left alone have let go, which takes a load
    /// per process.
    pub(crate) fn step_looking(&self, domain: &Domain, patient: bool, look: bool) -> Step {
        let state = if patient { Some(self.state.lock()) } else { self.state.try_lock() };
        let Some(mut state) = state else { return Step::Waiting };
        match state.phase {
            Phase::Idle => self.begin(domain, &mut state),
            Phase::Spared => match self.begin(domain, &mut state) {
                Step::Idle if self.spares(domain, &state) && !(look && is_let_go(domain, &state)) => Step::Spared,
                Step::Idle => {
                    self.ask(domain, &mut state);
                    Step::Worked
                }
                // What has come since goes with the rest, through a grace period of its own.
                step => step,
            },
            Phase::Grace if mutated(Mutation::NoGrace) || domain.quiescence.has_passed(state.epoch) => {
                self.ask(domain, &mut state);
                Step::Worked
            }
            // Acquire: pairs with the releases of the answers.
            Phase::Asked if self.remaining.load(Ordering::Acquire) == 0 => {
                state.phase = Phase::Freeing;
                let batch = std::mem::take(&mut state.batch);
                drop(state);
                called_back(&domain.quiescence, || self.free(domain, batch));
                Step::Worked
            }
            Phase::Grace | Phase::Asked | Phase::Freeing => Step::Waiting,
        }
    }

    /// Does the policy leave the holders of what waits alone?
    fn spares(&self, domain: &Domain, state: &State) -> bool {
        if mutated(Mutation::SparedForEver) {
            return true;
        }
        !state.forced
            && !self.forced.load(plain::Ordering::Relaxed)
            && domain.settings.policy.spares(domain.retained_bytes())
    }

    /// C1 and C2.
    fn begin(&self, domain: &Domain, state: &mut State) -> Step {
        let mut pending = self.pending.lock();
        if pending.is_empty() {
            // What young batches have replaced waits too.
            if state.phase == Phase::Idle {
                self.take_forced(domain);
            }
            return Step::Idle;
        }
        if state.batch.is_empty() {
            state.started = Instant::now();
            state.report = Report::default();
            state.forced = false;
        }
        let mut bits = bits_of(&state.batch);
        while let Some((area, _)) = pending.pop() {
            // SAFETY: a pending area is the collector's to free; until then it lives.
            let this = unsafe { area.as_ref() };
            // Relaxed: the grace period orders the mark (L2).
            this.retired.store(true, Ordering::Relaxed);
            // Acquire: pairs with the releases of those who dropped references.
            let refs = this.refs.load(Ordering::Acquire);
            if count(refs) != 0 && !mutated(Mutation::NoRefsCheck) {
                self.let_go(this);
                continue;
            }
            bits |= bit_of(this);
            state.batch.push(area, refs);
        }
        state.forced |= self.take_forced(domain);
        drop(pending);
        if state.batch.is_empty() {
            return Step::Worked;
        }
        // Relaxed: as for the marks.
        self.retired.store(bits, Ordering::Relaxed);
        if mutated(Mutation::AskBeforeGrace) {
            self.ask(domain, state);
            state.epoch = domain.quiescence.advance();
            while !domain.quiescence.has_passed(state.epoch) {
                crate::sync::thread::yield_now();
            }
            return Step::Worked;
        }
        state.epoch = domain.quiescence.advance();
        if state.phase != Phase::Spared || !mutated(Mutation::JoinsWithoutGrace) {
            state.phase = Phase::Grace;
        }
        Step::Worked
    }

    /// Was [`force`](Self::force) called for what waits? Nothing is pending, so all of that is in the batch and this is no
    /// longer remembered, unless a young batch of changes has some of it still. The lock of the pending list is held.
    fn take_forced(&self, domain: &Domain) -> bool {
        // Acquire: pairs with the release in `force`, so that the young batches from before are seen.
        let forced = self.forced.load(plain::Ordering::Relaxed) && self.forced.swap(false, plain::Ordering::Acquire);
        if forced && !domain.batches.is_empty() {
            self.forced.store(true, plain::Ordering::Relaxed);
        }
        forced
    }

    /// Somebody holds the area again: it comes back when that reference goes. The lock of the pending list is held.
    fn let_go(&self, area: &Area) {
        // Relaxed: a copy too many does no harm; `queued` is under the lock.
        area.retired.store(false, Ordering::Relaxed);
        area.queued.store(false, Ordering::Relaxed);
        self.retained.fetch_sub(area.held_bytes(), plain::Ordering::Relaxed);
    }

    /// C4 and C5.
    fn ask(&self, domain: &Domain, state: &mut State) {
        let mut pending = self.pending.lock();
        let mut batch = std::mem::take(&mut state.batch);
        while let Some((area, at_mark)) = batch.pop() {
            // SAFETY: as in `begin`.
            let this = unsafe { area.as_ref() };
            // Acquire: pairs with the releases of those who dropped references.
            let refs = this.refs.load(Ordering::Acquire);
            if mutated(Mutation::NoRefsCheck) || mutated(Mutation::RefsBeforeGrace) {
                state.batch.push(area, at_mark);
            } else if count(refs) != 0 {
                state.report.let_go += 1;
                self.let_go(this);
            } else if refs != at_mark && !mutated(Mutation::RefsZeroOnly) {
                // It was taken up and dropped again since the mark: a turn that began in between may still read it.
                this.retired.store(false, Ordering::Relaxed);
                state.report.let_go += 1;
                pending.push(area, 0);
            } else {
                state.batch.push(area, at_mark);
            }
        }
        if pending.is_empty() {
            state.forced |= self.take_forced(domain);
        }
        drop(pending);
        let bits = bits_of(&state.batch);
        if bits != 0 && state.phase == Phase::Grace && self.spares(domain, state) && !scan::is_done(domain, bits) {
            state.phase = Phase::Spared;
            self.spared.store(bits, Ordering::Relaxed);
            return;
        }
        state.phase = Phase::Asked;
        // The scan's own token keeps the count above zero until it is done. Relaxed: no answer is due yet.
        self.remaining.store(1, Ordering::Relaxed);
        if bits != 0 {
            scan::ask(self, domain, bits, &mut state.report);
        }
        // AcqRel: the last answer may have come before.
        self.remaining.fetch_sub(1, Ordering::AcqRel);
    }

    /// C6.
    fn free(&self, domain: &Domain, mut batch: Pending) {
        let (mut areas, mut words, mut bytes, mut off_heap_bytes) = (0, 0, 0, 0);
        while let Some((area, _)) = batch.pop() {
            // SAFETY: nobody points into the area (L3, L4), and all uses of it come before this (L5).
            let mut area = unsafe { Box::from_raw(area.as_ptr()) };
            areas += 1;
            words += area.words;
            bytes += area.bytes;
            off_heap_bytes += area.off_heap_bytes;
            for dep in std::mem::take(&mut area.deps) {
                // SAFETY: the area's reference on what it pointed into.
                unsafe { self.release(dep) };
            }
            // SAFETY: as above.
            unsafe { domain.space.free(area) };
        }
        self.retained.fetch_sub(bytes + off_heap_bytes, plain::Ordering::Relaxed);
        let mut state = self.state.lock();
        // Relaxed: the areas with these bits are gone; a stale mask only costs a look at an area.
        self.retired.store(0, Ordering::Relaxed);
        self.spared.store(0, Ordering::Relaxed);
        state.phase = Phase::Idle;
        let mut report = std::mem::take(&mut state.report);
        report.areas = areas;
        report.words = words;
        report.bytes = bytes;
        report.off_heap_bytes = off_heap_bytes;
        report.holders = self.holders.swap(0, plain::Ordering::Relaxed);
        report.evacuated_words = self.evacuated.swap(0, plain::Ordering::Relaxed);
        report.elapsed = state.started.elapsed();
        report.retained_bytes = self.retained_bytes();
        drop(state);
        if areas > 0 {
            self.collections.fetch_add(1, plain::Ordering::Relaxed);
            domain.report(&report);
        }
    }

    /// Frees what is pending or in a batch, when the domain ends.
    pub(crate) fn abandon(&mut self, space: &crate::heap::literal::Space) {
        loop {
            let next = self.state.lock().batch.pop();
            let Some((area, _)) = next.or_else(|| self.pending.lock().pop()) else { return };
            // SAFETY: the domain has ended: there is no process, no guard and no handle.
            unsafe {
                let mut area = Box::from_raw(area.as_ptr());
                for dep in std::mem::take(&mut area.deps) {
                    self.release(dep);
                }
                space.free(area);
            }
        }
    }
}
