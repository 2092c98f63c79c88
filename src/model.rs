//! The floors above the heap, laid open for models: the production code, driven step by step.
//!
//! Only in a loom build. A model's threads play workers, guards and the collector; what a thread of the runtime would do
//! in a loop, they do once.

use crate::heap::copy::Literals;
use crate::heap::{literal, pool, shared};
use crate::persistent::{Domain, Participant, Role, Step, TurnMark};
use crate::process::Turn;
use crate::process::run::{Ran, run};
use crate::process::{Destination, Mailbox, Node, ProcessInfo, Queue, Ready, Remains, Settings, Task, Timers};
use crate::runtime::queue::Common;
use crate::runtime::{Handle, sleep::Sleep};
use crate::sync::Parker;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::term::{Place, word};
use crate::{Cx, Exit, PersistentTerms, Pid, Process, Region, Term};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A domain with processes, and nobody who runs them unless told to.
#[derive(Debug, Clone)]
pub struct World {
    node: Arc<Node>,
    ready: Arc<Runnable>,
    failures: Arc<Mutex<Vec<String>>>,
}

/// Steps of collections within which a world comes to rest.
const ROUNDS: usize = if crate::IS_LOOM { 64 } else { 4096 };

/// Scheduled processes. (Plain `std`: run queues have models of their own.)
#[derive(Debug, Default)]
struct Runnable {
    tasks: Mutex<Vec<Task>>,
    /// What every run queue orders: what was done before a process was put there, before what is done by who takes it.
    put: AtomicUsize,
}

struct Shared(Arc<Runnable>);

impl Ready for Shared {
    fn ready(&self, task: Task) {
        self.0.put.fetch_add(1, Ordering::Release);
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// A behaviour whose panics a model hears of, though they are caught.
struct Heard<F> {
    receive: F,
    failures: Arc<Mutex<Vec<String>>>,
}

impl<F> Process for Heard<F>
where
    F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
{
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        (self.receive)(cx, state, message)
    }

    fn ended(&mut self, why: &Exit) {
        if let Some(message) = why.as_panic() {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
        }
    }
}

/// A worker, online.
#[derive(Debug)]
pub struct Worker {
    world: World,
    participant: NonNull<Participant>,
}

// SAFETY: a participant is made of atomics and lives as long as its world.
unsafe impl Send for Worker {}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self::on(PersistentTerms::new())
    }

    /// A world round this store.
    #[must_use]
    pub fn on(store: PersistentTerms) -> Self {
        Self::with(store, Timers::virtual_time())
    }

    /// An empty world with two tables of timers, and who fires them.
    #[must_use]
    #[cfg(not(shuttle))]
    pub fn with_sleeper() -> (Self, Sleeper) {
        let parker = Parker::new();
        let world = Self::with(PersistentTerms::new(), Timers::virtual_time_for(parker.unparker().clone()));
        let sleeper = Sleeper { world: world.clone(), parker };
        (world, sleeper)
    }

    fn with(store: PersistentTerms, timers: Timers) -> Self {
        let ready = Arc::new(Runnable::default());
        let node =
            Node::new(store, Box::new(Shared(Arc::clone(&ready))), 0, Settings::DEFAULT, usize::MAX, None, timers);
        Self { node: Arc::new(node), ready, failures: Arc::default() }
    }

    fn domain(&self) -> &Domain {
        self.node.domain()
    }

    /// The persistent terms.
    #[must_use]
    pub fn store(&self) -> &PersistentTerms {
        self.node.store()
    }

    /// A process that is idle, with nil for a state.
    pub fn spawn<F>(&self, receive: F) -> Pid
    where
        F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
    {
        self.spawn_process(Heard { receive, failures: Arc::clone(&self.failures) })
    }

    /// As [`spawn`](Self::spawn), with a behaviour of the model's.
    ///
    /// # Panics
    ///
    /// When there are too many processes for a model.
    pub fn spawn_process(&self, behaviour: impl Process) -> Pid {
        let pid =
            self.node.spawn(behaviour, &self.node.defaults, None, None, false).expect("a model has few processes");
        assert!(self.worker().run(pid, 1));
        pid
    }

    /// The rest of what a program has of a runtime.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { node: Arc::clone(&self.node) }
    }

    /// Lets the time of timers go on, and fires what is due.
    pub fn advance(&self, by: Duration) {
        self.go_on(by);
        self.node.fire_timers();
    }

    /// Lets the time of timers go on.
    pub fn go_on(&self, by: Duration) {
        let now = self.node.timers.now();
        self.node.timers.set_now(now + by.as_nanos() as u64);
    }

    /// Sends a message from outside.
    pub fn send(&self, to: Pid, message: Region) {
        let _guard = self.store().pin();
        // A process may have ended; then the message is dropped.
        let _ = self.node.send_region(to, message);
    }

    /// Looks at the figures of a process from outside.
    #[must_use]
    pub fn info(&self, pid: Pid) -> Option<ProcessInfo> {
        let _guard = self.store().pin();
        self.node.info(pid)
    }

    /// Sets a timer for later, which is not reached in a model.
    pub fn send_later(&self, to: Pid, message: Region) {
        let _guard = self.store().pin();
        let id = self.node.timer_name();
        self.node.set_timer(id, Duration::from_secs(1), Destination::Pid(to), message).expect("a model has memory");
    }

    /// How many timers run.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.node.timers.running()
    }

    /// Goes online as a worker.
    #[must_use]
    pub fn worker(&self) -> Worker {
        let participant = self.domain().quiescence.join(Role::Worker);
        self.domain().quiescence.enter(participant);
        Worker { world: self.clone(), participant: participant.into() }
    }

    /// The first half of a send, as a turn does it: the message, with the value at `key` in it by pointer unless that is
    /// retired. The caller must be online.
    #[must_use]
    pub fn letter(&self, key: crate::Atom) -> Option<Region> {
        let retired = self.domain().collector.retired();
        let value = self.domain().lookup(key, self.domain().table.snapshot())?;
        // SAFETY: the caller is online, so the value lives.
        unsafe { Region::copy_word(value, Literals::Keep { retired }) }.ok()
    }

    /// The second half: the message is given, or pushed, and what follows that. The caller must be online since the first.
    pub fn deliver(&self, to: Pid, letter: Region) {
        let occupant = self.domain().slots.find(to).expect("the process lives");
        // SAFETY: found in the caller's span; the turn is one that the model plays.
        unsafe { self.node.deliver_in_turn(occupant, letter) }.expect("the process lives");
    }

    /// Erases a key, and leaves the collection of its value to [`collect`](Self::collect).
    ///
    /// # Panics
    ///
    /// When there is no such key.
    pub fn unpublish(&self, key: crate::Atom) {
        let (domain, _online) = (self.domain(), self.worker());
        let entry = domain.table.find(hash_of(key), key).expect("the key is there");
        let old = entry.replace(0).expect("it has a value");
        domain.table.count(0, 1);
        domain.table.unlink_idle(entry, &domain.quiescence, &domain.limbo);
        domain.drop_value(old);
    }

    /// The value at `key`, for as long as the caller is online.
    #[must_use]
    pub fn hand(&self, key: crate::Atom) -> Option<Hand> {
        Some(Hand(self.domain().lookup(key, self.domain().table.snapshot())?))
    }

    /// A counted lease on a value, or `None` when it is retired. The caller must have been online since it has the
    /// value; the lease may be kept longer, and anywhere.
    #[must_use]
    pub fn lease(&self, Hand(value): Hand) -> Option<Lease> {
        // SAFETY: the caller is online, so the value lives.
        let area = unsafe { literal::entry(value).area().as_ref() };
        if area.is_retired() {
            return None;
        }
        area.retain();
        Some(Lease { world: self.clone(), value })
    }

    /// Drives the global collection until it has asked whom it must, or is done. What is asked after that answers when it
    /// is run.
    pub fn collect(&self) {
        loop {
            match self.domain().collector.step(self.domain(), false) {
                Step::Idle | Step::Spared => return,
                Step::Worked => {}
                Step::Waiting if self.domain().collector.is_asking() => return,
                Step::Waiting => crate::sync::thread::yield_now(),
            }
        }
    }

    /// Begins a grace period, for which nothing waits.
    pub fn step_epoch(&self) {
        self.domain().quiescence.advance();
    }

    /// One step of what waits for grace periods.
    pub fn step(&self) {
        self.domain().step();
    }

    /// Runs whatever can run, and collects whatever can be collected, on one thread. What a policy leaves to its holders
    /// stays.
    ///
    /// # Panics
    ///
    /// When something is never freed, or a turn has panicked.
    pub fn settle(&self) {
        for _ in 0..ROUNDS {
            while let Some(task) = self.take(|_| true) {
                self.worker().run_task(task, 8);
            }
            self.hear();
            if matches!(self.domain().step(), Step::Idle | Step::Spared) {
                return;
            }
        }
        panic!("the collection does not end: {:?}", self.store().info());
    }

    /// Panics if a turn has.
    fn hear(&self) {
        let failures = std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(failures.is_empty(), "in a turn: {failures:?}");
    }

    fn take(&self, which: impl Fn(&Task) -> bool) -> Option<Task> {
        let task = {
            let mut ready = self.ready.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            let at = ready.iter().position(which)?;
            ready.remove(at)
        };
        // An exchange: it sees the last, of which a load may see the one before.
        self.ready.put.fetch_sub(1, Ordering::Acquire);
        Some(task)
    }

    /// What dropping the runtime does: no process is spawned from here on, and those there are end.
    pub fn close(&self) {
        self.node.close();
        crate::runtime::end_all(&self.node);
    }

    /// Ends every process, and frees everything.
    pub fn end(self) {
        self.settle();
        crate::runtime::end_all(&self.node);
        self.settle();
    }
}

/// The thread that fires the timers of a world.
#[cfg(not(shuttle))]
#[derive(Debug)]
pub struct Sleeper {
    world: World,
    parker: Parker,
}

#[cfg(not(shuttle))]
impl Sleeper {
    /// Fires what is due. Does it know of a timer then that is due later, or else sleep until it is woken?
    #[must_use]
    pub fn fire(&self) -> bool {
        self.world.node.fire_timers().is_some()
    }

    /// Has it been woken since it was asked last? Then it does not sleep, but fires again.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.parker.take_token()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Worker {
    fn participant(&self) -> &Participant {
        // SAFETY: participants live as long as the world's domain.
        unsafe { self.participant.as_ref() }
    }

    /// Runs a process for some turns, if it is scheduled.
    pub fn run(&self, pid: Pid, turns: u16) -> bool {
        let Some(task) = self.world.take(|task| task.pid() == pid) else { return false };
        self.run_task(task, turns);
        self.world.hear();
        true
    }

    /// Runs the process that has waited longest, if one is scheduled, for some turns.
    pub fn run_next(&self, turns: u16) -> bool {
        let Some(task) = self.world.take(|_| true) else { return false };
        self.run_task(task, turns);
        self.world.hear();
        true
    }

    fn run_task(&self, task: Task, turns: u16) {
        match run(task, self.participant(), &TurnMark::new(), turns, |_| false) {
            Ran::Idle => {}
            Ran::Ready => self.world.node.ready(task),
            Ran::Ended => Remains::of(task).into_limbo(self.world.domain()),
        }
    }

    /// Passes a boundary, as a worker does after each turn.
    pub fn boundary(&self) {
        self.world.domain().quiescence.boundary(self.participant());
    }

    /// As [`boundary`](Self::boundary); one of a crowd goes over to where it holds up nobody.
    pub fn go_over(&mut self) {
        let domain = self.world.domain();
        if domain.quiescence.boundary(self.participant()) {
            self.participant = domain.quiescence.leave_crowd(self.participant(), Role::Worker).into();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let quiescence = &self.world.domain().quiescence;
        quiescence.leave(self.participant());
        quiescence.retire(self.participant());
    }
}

/// A literal in the hands of a span.
#[derive(Debug, Clone, Copy)]
pub struct Hand(u64);

impl Hand {
    /// Reads the value, as far as the model is concerned.
    pub fn touch(self) {
        literal::note_use(self.0);
    }
}

/// A reference on a literal, outside of every process and every span.
#[derive(Debug)]
pub struct Lease {
    world: World,
    value: u64,
}

impl Lease {
    /// Reads the value, as far as the model is concerned.
    pub fn touch(&self) {
        literal::note_use(self.value);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: the lease's reference.
        unsafe { self.world.domain().collector.release(literal::entry(self.value).area()) };
    }
}

/// A mailbox by itself, without the card that orders most of what goes through it too.
#[derive(Debug)]
pub struct Mail(Mailbox, crate::sync::Mutex<()>);

impl Mail {
    /// An open mailbox.
    #[must_use]
    pub fn new() -> Self {
        Self(Mailbox::new(), crate::sync::Mutex::new(()))
    }

    /// Pushes a message.
    ///
    /// # Errors
    ///
    /// Gives it back when the mailbox is closed.
    pub fn push(&self, message: Region) -> Result<(), Region> {
        self.0.push(message)
    }

    /// Takes all messages; the owner's alone.
    pub fn drain(&self) -> Vec<Region> {
        let mut queue = Queue::new();
        self.0.drain(&mut queue, &self.1, || ());
        std::iter::from_fn(|| queue.pop()).collect()
    }

    /// Counts the messages.
    pub fn survey(&self) -> usize {
        self.0.survey(&self.1).messages
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}

/// The run queue that all workers of a runtime have in common.
#[derive(Debug)]
pub struct RunQueue {
    world: World,
    common: Common,
}

impl RunQueue {
    /// An empty one.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self { world: world.clone(), common: Common::new() }
    }

    /// Puts a process there that is scheduled.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn push(&self, pid: Pid) {
        self.common.push(self.world.take(|task| task.pid() == pid).expect("it is scheduled"));
    }

    /// Takes the first, which is scheduled as it was before.
    #[must_use]
    pub fn take(&self) -> Option<Pid> {
        let task = self.common.take(self.world.domain(), |_| 0, |_| ())?;
        self.world.node.ready(task);
        Some(task.pid())
    }

    /// Is there nobody, as far as a worker sees that goes to sleep?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.common.is_empty()
    }
}

/// Where workers without work sleep: one worker, and whoever makes work for it.
#[derive(Debug)]
pub struct Bed {
    sleep: Sleep,
    parker: Mutex<Option<Parker>>,
}

impl Bed {
    /// A bed for one worker.
    #[must_use]
    pub fn new() -> Self {
        let parkers = [Parker::new()];
        let sleep = Sleep::new(&parkers);
        let [parker] = parkers;
        Self { sleep, parker: Mutex::new(Some(parker)) }
    }

    /// The worker: sleeps, as often as it takes, until `take` finds work. `has_work` looks whether there may be some.
    ///
    /// # Panics
    ///
    /// When there is another.
    pub fn work(&self, take: impl Fn() -> bool, has_work: impl Fn() -> bool) {
        let parker = self.parker.lock().unwrap().take().expect("one worker");
        while !take() {
            self.sleep.sleep(0, &parker, None, &has_work);
        }
    }

    /// Work has been made.
    pub fn wake(&self) {
        self.sleep.wake_one();
    }
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

/// A depot of a pool, for blocks that the model makes.
#[derive(Debug)]
pub struct Depot(pool::Depot);

impl Depot {
    /// An empty depot with room for so many batches.
    #[must_use]
    pub fn new(room: usize) -> Self {
        let bytes = pool::BATCH * size_of::<usize>();
        Self(pool::Depot::new(size_of::<usize>(), 0, Box::leak(Box::new(pool::Room::new(room * bytes)))))
    }
}

/// What one thread keeps of a pool.
#[derive(Debug)]
pub struct Cache(pool::Cache);

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self(pool::Cache::new())
    }

    /// Blocks that are handed over at once; a cache holds twice as many.
    pub const BATCH: usize = pool::BATCH;

    /// A block that somebody gave. The caller has it alone.
    pub fn take<T>(&self, depot: &Depot) -> Option<NonNull<T>> {
        NonNull::new(self.0.take(|| &depot.0)?.cast())
    }

    /// Gives a block. `false`: there was no room for all, and the model has lost some.
    pub fn give<T>(&self, block: NonNull<T>, depot: &Depot) -> bool {
        let mut lost = false;
        self.0.give(block.as_ptr().cast(), || &depot.0, |_| lost = true);
        !lost
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

/// What a model has done for whoever looks at what belongs to another thread.
static LOOKS: Mutex<Option<Arc<dyn Fn() + Send + Sync>>> = Mutex::new(None);

/// From here to the end of what this returns, `f` is called by whoever counts messages that wait, reads the figures of a
/// process, or gives it a message: a model reads a cell there that the owner writes.
#[must_use]
pub fn when_looked_at(f: impl Fn() + Send + Sync + 'static) -> Watched {
    *LOOKS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(f));
    Watched(())
}

/// The end of [`when_looked_at`].
#[derive(Debug)]
pub struct Watched(());

impl Drop for Watched {
    fn drop(&mut self) {
        *LOOKS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub(crate) fn looks() {
    let f = LOOKS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(f) = f {
        f();
    }
}

/// Reads a term as far as the model is concerned: fails if it is a literal whose area was freed, or may be.
pub fn touch<P: Place>(term: Term<'_, P>) {
    literal::note_use(term.word());
}

/// Is the term a literal?
#[must_use]
pub fn is_literal<P: Place>(term: Term<'_, P>) -> bool {
    word::is_literal(term.word())
}

fn hash_of(key: impl crate::term::Key) -> u64 {
    key.hash_key()
}

/// A handle as large binaries and lines of areas have them, which counts by the atomics of the model.
#[derive(Debug)]
pub struct Counted<T: Send + Sync>(shared::Shared<T, crate::sync::atomic::AtomicUsize>);

impl<T: Send + Sync> Counted<T> {
    /// One owner of a value.
    ///
    /// # Panics
    ///
    /// When there is no memory.
    pub fn new(value: T) -> Self {
        Self(shared::Shared::try_new(value).unwrap_or_else(|(error, _)| panic!("{error}")))
    }
}

impl<T: Send + Sync> Clone for Counted<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + Sync> std::ops::Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// From here to the end of what this returns, everybody takes part in grace periods as if there were no memory.
#[must_use]
pub fn crowded() -> Crowded {
    crate::persistent::crowd::ALWAYS.store(true, std::sync::atomic::Ordering::Relaxed);
    Crowded(())
}

/// See [`crowded`].
#[derive(Debug)]
pub struct Crowded(());

impl Drop for Crowded {
    fn drop(&mut self) {
        crate::persistent::crowd::ALWAYS.store(false, std::sync::atomic::Ordering::Relaxed);
    }
}
