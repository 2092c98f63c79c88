//! Who runs what: from the worker's own queue, from the common one, or stolen.

use super::pace::Pace;
use super::queue::{Common, Own};
use super::sleep::Sleep;
use crate::persistent::Domain;
use crate::process::{Ready, Task};
use crate::sync::{Mutex, Parker};
use crossbeam_deque::Stealer;
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::ops::DerefMut;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often a worker looks at the common queue before its own, so that nobody starves there, and at the clock.
const SELDOM: u32 = 61;
/// A process that goes on alone when its turns are used up counts for so many.
const ALONE: u32 = 8;
/// How often a worker that never sleeps looks after what nobody else would. One that sleeps looks for work as often while
/// others run.
const ROUND: Duration = Duration::from_millis(1);

pub(super) struct Scheduler {
    common: Common,
    stealers: Box<[Stealer<Task>]>,
    /// How many processes each worker has taken up, by which another sees that it is still at the same.
    taken_up: Box<[CachePadded<AtomicU32>]>,
    /// What is known of each by those who steal from it.
    paces: Box<[CachePadded<Mutex<Pace>>]>,
    pub(super) sleep: Sleep,
    stop: AtomicBool,
}

thread_local! {
    /// The scheduler that this thread works for, and its own queue.
    static CURRENT: Cell<(*const Scheduler, *const Own)> = const { Cell::new((ptr::null(), ptr::null())) };
}

/// The scheduler as processes know it.
pub(super) struct Shared(pub(super) Arc<Scheduler>);

impl Ready for Shared {
    #[inline]
    fn ready(&self, task: Task) {
        self.0.push(task);
    }
}

impl Scheduler {
    pub(super) fn new(locals: &[Own], parkers: &[Parker]) -> Self {
        let now = Instant::now();
        Self {
            common: Common::new(),
            stealers: locals.iter().map(Own::stealer).collect(),
            taken_up: locals.iter().map(|_| CachePadded::new(AtomicU32::new(0))).collect(),
            paces: locals.iter().map(|_| CachePadded::new(Mutex::new(Pace::new(0, now)))).collect(),
            sleep: Sleep::new(parkers),
            stop: AtomicBool::new(false),
        }
    }

    #[inline]
    fn push(&self, task: Task) {
        let (scheduler, own) = CURRENT.get();
        if !ptr::eq(scheduler, self) {
            self.common.push(task);
            return self.sleep.wake_one();
        }
        // SAFETY: `Worker::enter` sets the queue of this thread, and takes it back before it goes.
        let own = unsafe { &*own };
        let waiting = own.len();
        if own.is_full(waiting) {
            own.push_over(task, &self.common);
            return self.sleep.wake_another();
        }
        own.push(task);
        // The first in the queue is what this worker runs next, sooner than another would wake up, if its turn is short.
        if waiting > 0 {
            self.sleep.wake_another();
        } else {
            self.sleep.wake_watcher();
        }
    }

    pub(super) fn stop(&self) {
        // Relaxed: waking every worker orders it, and one that runs looks again after each process.
        self.stop.store(true, Ordering::Relaxed);
        self.sleep.wake_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Is there something that is for no worker before others?
    fn has_work_for_all(&self) -> bool {
        self.is_stopped() || !self.common.is_empty()
    }

    /// Does something wait for one worker that others may steal?
    fn has_work_of_workers(&self) -> bool {
        self.stealers.iter().any(|stealer| !stealer.is_empty())
    }
}

/// A worker's view of the queues.
pub(super) struct Worker<'s> {
    scheduler: &'s Scheduler,
    domain: &'s Domain,
    own: &'s Own,
    index: usize,
    /// Its own of [`Scheduler::taken_up`].
    taken_up: &'s AtomicU32,
    /// How many processes it takes up before it does what it does [seldom](SELDOM).
    until_seldom: u32,
    last_round: Instant,
    /// What [`Scheduler::taken_up`] said in the last round.
    seen: Box<[u32]>,
    /// Where to begin stealing.
    turn: usize,
    /// How long it naps now, because it has left somebody alone for whom something waits.
    nap: Option<Duration>,
    /// Did it watch when it slept last?
    watched: bool,
}

impl<'s> Worker<'s> {
    pub(super) fn enter(scheduler: &'s Scheduler, domain: &'s Domain, own: &'s Own, index: usize) -> Self {
        CURRENT.set((scheduler, own));
        // A thread that steals for the first time asks for memory: now, and not while processes run. Nothing is here yet.
        let nothing = scheduler.stealers[index].steal();
        debug_assert!(nothing.is_empty(), "only this thread pushes here");
        Self {
            scheduler,
            domain,
            own,
            index,
            taken_up: &scheduler.taken_up[index],
            until_seldom: SELDOM,
            last_round: Instant::now(),
            seen: scheduler.taken_up.iter().map(|_| 0).collect(),
            turn: index,
            nap: None,
            watched: false,
        }
    }

    /// The next process to run. Calls `round` now and then; a worker that sleeps need not be told.
    #[inline]
    pub(super) fn next(&mut self, round: impl FnOnce()) -> Option<Task> {
        // Relaxed: a hint, and the own count.
        self.taken_up.store(self.taken_up.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.until_seldom -= 1;
        if self.until_seldom > 0
            && !self.watched
            && let Some(task) = self.own.pop()
        {
            return Some(task);
        }
        self.next_but_seldom(round)
    }

    /// As [`next`](Self::next), where there is more to it than a look at the own queue.
    #[inline(never)]
    fn next_but_seldom(&mut self, round: impl FnOnce()) -> Option<Task> {
        let next = self.look(round);
        if std::mem::take(&mut self.watched) && next.is_some() {
            // Another has to watch now.
            self.scheduler.sleep.wake_watcher();
        }
        next
    }

    fn look(&mut self, round: impl FnOnce()) -> Option<Task> {
        if self.until_seldom == 0 {
            self.until_seldom = SELDOM;
            if self.is_round_due() {
                self.last_round = Instant::now();
                self.relieve();
                round();
            }
            if let Some(task) = self.common() {
                return Some(task);
            }
        }
        self.own.pop().or_else(|| self.common()).or_else(|| self.steal())
    }

    fn common(&self) -> Option<Task> {
        let task = self.own.take(&self.scheduler.common, self.domain)?;
        if !self.own.is_empty() {
            self.scheduler.sleep.wake_one();
        }
        Some(task)
    }

    fn steal(&mut self) -> Option<Task> {
        self.nap = None;
        let n = self.scheduler.stealers.len();
        self.turn = (self.turn + 1) % n;
        let victims = (self.turn..n).chain(0..self.turn);
        let me = self.index;
        victims.filter(|&victim| victim != me).find_map(|victim| self.steal_from(victim))
    }

    fn steal_from(&mut self, victim: usize) -> Option<Task> {
        let stealer = &self.scheduler.stealers[victim];
        if stealer.is_empty() {
            return None;
        }
        let now = Instant::now();
        // Relaxed: a hint.
        let taken_up = self.scheduler.taken_up[victim].load(Ordering::Relaxed);
        let (stolen, pace) = {
            let mut pace = self.scheduler.paces[victim].lock();
            if let Err(wait) = pace.ask(taken_up, now) {
                self.nap = Some(self.nap.map_or(wait, |nap| nap.min(wait)));
                return None;
            }
            let stolen = self.own.steal(stealer)?;
            pace.stolen(taken_up, now);
            (stolen, *pace)
        };
        *self.pace() = pace.of_thief(self.taken_up.load(Ordering::Relaxed), now);
        self.nap = None;
        Some(stolen)
    }

    /// What others know of this worker.
    fn pace(&self) -> impl DerefMut<Target = Pace> + '_ {
        self.scheduler.paces[self.index].lock()
    }

    fn is_round_due(&self) -> bool {
        self.last_round.elapsed() >= ROUND
    }

    /// Takes over what waits for workers that have been at the same process since the last round, in a long turn: who sleeps
    /// steals, but while all have something to do, nobody does.
    fn relieve(&mut self) {
        for (i, (taken_up, seen)) in self.scheduler.taken_up.iter().zip(&mut self.seen).enumerate() {
            // Relaxed: a hint.
            let before = std::mem::replace(seen, taken_up.load(Ordering::Relaxed));
            if i != self.index && before == *seen {
                // For whoever looks there first, this worker among them.
                let taken = self.scheduler.common.take_from(&self.scheduler.stealers[i]);
                if taken {
                    self.scheduler.sleep.wake_one();
                }
            }
        }
    }

    /// May a process go on that is alone with this worker? Not when a round is due: it comes after that.
    pub(super) fn goes_on_alone(&mut self) -> bool {
        self.until_seldom = self.until_seldom.saturating_sub(ALONE).max(1);
        if self.until_seldom > 1 {
            return true;
        }
        let due = self.is_round_due();
        if !due {
            self.until_seldom = SELDOM;
        }
        !due
    }

    /// Does nothing wait for this worker but the process that it runs?
    pub(super) fn is_wanted_by_nobody_else(&self) -> bool {
        self.own.is_empty() && self.scheduler.common.is_empty() && !self.scheduler.is_stopped()
    }

    /// Puts a process that has used up its turns behind all others: into the common queue if somebody waits there, who would
    /// wait for as long as the own queue is never empty, but for one look in [`SELDOM`]. Else behind the own queue: from the
    /// common one that same look would take it up before the others, and of a process that goes on spawning what it has
    /// spawned would wait in ever more memory. Where nobody waits at all, this worker takes it up at once: waking another to
    /// fetch it would only move it between processors.
    pub(super) fn again(&self, task: Task) {
        let waiting = self.own.len();
        if self.scheduler.common.is_empty() && !self.own.is_full(waiting) {
            self.own.push(task);
            if waiting > 0 {
                self.scheduler.sleep.wake_another();
            }
            return;
        }
        self.scheduler.common.push(task);
        self.scheduler.sleep.wake_one();
    }

    pub(super) fn sleep(&mut self, parker: &Parker) {
        let nap = self.nap.take();
        let has_work = || self.scheduler.has_work_for_all() || nap.is_none() && self.scheduler.has_work_of_workers();
        self.watched = self.scheduler.sleep.sleep(self.index, parker, nap, has_work);
        *self.pace() = Pace::new(self.taken_up.load(Ordering::Relaxed), Instant::now());
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        CURRENT.set((ptr::null(), ptr::null()));
    }
}
