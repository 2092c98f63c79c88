//! A runtime without threads, for tests.

use super::Handle;
use super::graves::Graves;
use crate::heap::{HeapError, reserve};
use crate::persistent::{Role, Step, TurnMark, in_turn};
use crate::process::run::{Ran, run};
use crate::process::{Ready, Task};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// A runtime that runs when it is told to, one turn at a time, in an order that its seed decides: the same seed gives the
/// same schedule. See [`Runtime::deterministic`](super::Runtime::deterministic).
///
/// Global collections take their steps in between, so that they interleave with turns too.
///
/// The same schedule in each run of a program, and each time in one run. Pids and references are others each time, because
/// none is given twice in a program; so a behaviour that goes by their numbers, or by the order in which a map of more than 32
/// pairs has them for keys, may not repeat itself.
///
/// ```
/// use shared_term::prelude::*;
/// /// What two processes that write to one port are heard to say, in a schedule of this seed.
/// fn heard(seed: u64) -> Vec<i64> {
///     let mut rt = Runtime::deterministic(seed);
///     let mut port = rt.port().unwrap();
///     let home = port.pid();
///     for me in 1..=2 {
///         let p = rt.spawn_fn(|cx| cx.nil(), move |cx, s, _| { cx.send(home, cx.int(me)); Ok(Next(s)) }).unwrap();
///         for _ in 0..3 {
///             rt.send_new(p, |h| h.nil()).unwrap();
///         }
///     }
///     rt.run_until_idle();
///     std::iter::from_fn(|| port.try_recv()).filter_map(|m| m.root().as_int()).collect()
/// }
/// assert_eq!(heard(7), heard(7));
/// let schedules: std::collections::HashSet<_> = (0..1000).map(heard).collect();
/// assert_eq!(schedules.len(), 20, "each of the orders that there are");
/// ```
pub struct Deterministic {
    pub(super) handle: Handle,
    queue: Arc<Runnable>,
    random: u64,
    graves: Graves,
}

/// The processes that can run, with room for all there are: each is here once at most.
#[derive(Default)]
pub(super) struct Runnable(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    tasks: Vec<Task>,
    /// How many processes there are, and are about to be.
    processes: usize,
}

impl Runnable {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, task: Task) {
        debug_assert!(self.tasks.len() < self.tasks.capacity(), "reserved when the process was spawned");
        self.tasks.push(task);
    }
}

pub(super) struct Shared(pub(super) Arc<Runnable>);

impl Ready for Shared {
    fn ready(&self, task: Task) {
        // Between two steps nobody runs anything, and whoever asks for the figures of a process is not to be told otherwise.
        if task.card().is_given() {
            task.card().requeue();
        }
        self.0.lock().push(task);
    }

    fn reserve(&self) -> Result<(), HeapError> {
        let mut queue = self.0.lock();
        let free = queue.processes + 1 - queue.tasks.len();
        reserve(&mut queue.tasks, free)?;
        queue.processes += 1;
        Ok(())
    }

    fn unreserve(&self) {
        self.0.lock().processes -= 1;
    }
}

impl Deterministic {
    pub(super) fn new(handle: Handle, queue: Arc<Runnable>, seed: u64) -> Self {
        Self { handle, queue, random: seed, graves: Graves::default() }
    }

    /// Splitmix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Runs one turn of one process, or one step of a global collection. `false`: there is nothing to do; or this was
    /// called inside a turn, where it does nothing.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.int(0), |cx, n, _| Ok(Next(cx.int(n.get::<i64>()? + 1))))?;
    /// rt.send_new(p, |h| h.nil())?;
    /// let mut turns = vec![];
    /// while rt.step() {
    ///     turns.push(rt.info(p).unwrap().details.unwrap().turns); // looked at between two turns
    /// }
    /// assert_eq!(turns.last(), Some(&2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&mut self) -> bool {
        if in_turn() {
            return false;
        }
        let domain = Arc::clone(self.handle.node.store().domain());
        let choices = self.queue.lock().tasks.len() as u64;
        // The collection is one of the things that can go on.
        let choice = self.random() % (choices + 1);
        if choice == choices && domain.step() == Step::Worked {
            return true;
        }
        if choices == 0 {
            return false;
        }
        let task = self.queue.lock().tasks.swap_remove((choice % choices) as usize);
        // Online for the turn alone: nobody has to wait for a runtime that is not being run (H25).
        let participant = domain.quiescence.join(Role::Worker);
        domain.quiescence.enter(participant);
        let ran = run(task, participant, &TurnMark::new(), 1, |_| false);
        domain.quiescence.leave(participant);
        domain.quiescence.retire(participant);
        // Another runtime on this store may drive its collections with a thread.
        domain.passed();
        match ran {
            Ran::Idle => {}
            Ran::Ready => self.queue.lock().push(task),
            Ran::Ended => {
                self.queue.lock().processes -= 1;
                self.graves.bury(task, &domain);
            }
        }
        true
    }

    /// Runs until no process can run and no global collection can go on. The number of steps.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let mut rt = Runtime::deterministic(1);
    /// assert_eq!(rt.run_until_idle(), 0);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// rt.send_new(p, |h| h.nil())?;
    /// assert!(rt.run_until_idle() >= 2);
    /// assert_eq!(rt.info(p).unwrap().messages, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_until_idle(&mut self) -> u64 {
        let mut steps = 0;
        while self.step() {
            steps += 1;
        }
        let domain = self.handle.node.store().domain();
        self.graves.leave(domain);
        steps
    }
}

impl Deref for Deterministic {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl std::fmt::Debug for Deterministic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deterministic").field("runnable", &self.queue.lock().tasks.len()).finish_non_exhaustive()
    }
}

impl Drop for Deterministic {
    fn drop(&mut self) {
        self.graves.leave(self.handle.node.domain());
        self.handle.node.close();
        super::end_all(&self.handle.node);
    }
}
