//! The threads of a runtime.

use super::graves::Graves;
use super::queue::Own;
use super::scheduler::{Scheduler, Worker};
use crate::persistent::{Domain, Participant, Step, TurnMark};
use crate::process::run::{Pause, Ran, run};
use crate::sync::{Parker, Unparker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Turns of a process that are not timed. If nobody waits for this worker behind them, they begin again.
const TURNS: u16 = 32;
/// How long a process goes on behind them while others wait: about as long as what is sent to it in one turn keeps it busy.
/// If it were less, those who send would be so far ahead that their messages wait in memory that no cache holds.
const SLICE: Duration = Duration::from_micros(100);

/// Runs processes until the scheduler is stopped.
pub(super) fn work(
    domain: &Domain,
    participant: &Participant,
    scheduler: &Scheduler,
    own: &Own,
    index: usize,
    parker: &Parker,
) {
    let mut worker = Worker::enter(scheduler, domain, own, index);
    let mut graves = Graves::default();
    // Whatever is called here, nothing may wait for this thread.
    let mark = TurnMark::new();
    domain.quiescence.enter(participant);
    while !scheduler.is_stopped() {
        let round = || {
            participant.rests();
            graves.pass(domain);
        };
        if let Some(task) = worker.next(round) {
            let mut since = None;
            let goes_on = |pause| {
                if worker.is_wanted_by_nobody_else() {
                    return worker.goes_on_alone();
                }
                let now = Instant::now();
                pause == Pause::Turns && now.duration_since(*since.get_or_insert(now)) < SLICE
            };
            match run(task, participant, &mark, TURNS, goes_on) {
                Ran::Idle => {}
                Ran::Ready => worker.again(task),
                Ran::Ended => graves.bury(task, domain),
            }
            // Also when no turn was run: an answer to a collection is no turn.
            if domain.quiescence.boundary(participant) {
                domain.passed();
            }
            continue;
        }
        // A worker that sleeps must not hold up a grace period (H25).
        participant.rests();
        domain.quiescence.leave(participant);
        domain.passed();
        graves.leave(domain);
        worker.sleep(parker);
        domain.quiescence.enter(participant);
    }
    domain.quiescence.leave(participant);
    graves.leave(domain);
}

/// Drives the global collections of a domain.
pub(super) struct Driver {
    thread: std::thread::JoinHandle<()>,
    unparker: Unparker,
    stop: Arc<AtomicBool>,
    id: u64,
}

impl Driver {
    pub(super) fn start(domain: &Arc<Domain>, name: &str) -> std::io::Result<Self> {
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let asleep = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name(format!("{name}-collector")).spawn({
            let (domain, stop, asleep) = (Arc::clone(domain), Arc::clone(&stop), Arc::clone(&asleep));
            move || drive(&domain, &parker, &stop, &asleep)
        })?;
        let wake = unparker.clone();
        let id = domain.add_driver(Arc::new(move || {
            // AcqRel, a swap on both sides, of which one comes first: either the driver sees the work, or this sees that it sleeps.
            if asleep.swap(false, Ordering::AcqRel) {
                wake.unpark();
            }
        }));
        Ok(Self { thread, unparker, stop, id })
    }

    pub(super) fn stop(self, domain: &Domain) {
        domain.remove_driver(self.id);
        self.stop.store(true, Ordering::Release);
        self.unparker.unpark();
        // A panic there was a bug of ours; there is nothing to do about it here.
        let _ = self.thread.join();
    }
}

fn drive(domain: &Domain, parker: &Parker, stop: &AtomicBool, asleep: &AtomicBool) {
    const PATIENCE: u32 = 64;
    /// How long the driver sleeps when nobody says anything: a thread that was at a step itself may have left the next one.
    const UNTOLD: Duration = Duration::from_millis(100);
    /// A second, as a power of two of milliseconds.
    const LONGEST_LOOK: u32 = 10;
    let mut waited = 0;
    while !stop.load(Ordering::Acquire) {
        match domain.step() {
            Step::Worked => waited = 0,
            // Participants pass a boundary within a turn, which is short,
            Step::Waiting if waited < PATIENCE => {
                waited += 1;
                std::thread::yield_now();
            }
            // or is not: whoever passes, and whoever answers last, then says so.
            Step::Waiting => {
                // AcqRel, as in the wake.
                asleep.swap(true, Ordering::AcqRel);
                domain.await_passage();
                if domain.step() == Step::Waiting && !stop.load(Ordering::Acquire) {
                    parker.park_timeout(UNTOLD);
                }
                asleep.store(false, Ordering::Relaxed);
            }
            step @ (Step::Idle | Step::Spared) => {
                // AcqRel, as in the wake: what was queued before it is seen by the step that follows.
                asleep.swap(true, Ordering::AcqRel);
                if domain.step() == step && !stop.load(Ordering::Acquire) {
                    if step == Step::Idle {
                        waited = 0;
                        parker.park();
                    } else {
                        // Holders let go in silence: look again, ever less often.
                        waited = (waited + 1).min(LONGEST_LOOK);
                        parker.park_timeout(Duration::from_millis(1 << waited));
                    }
                }
                asleep.store(false, Ordering::Relaxed);
            }
        }
    }
}
