//! Runtimes: workers that run processes, and how the rest of a program reaches them.
//!
//! A [`Runtime`] is a value: several can live in one program, and dropping one ends its processes and joins its workers.
//! Workers take processes from run queues of their own and steal from each other; a worker without work sleeps, and uses
//! no processor (`cargo test --test idle -- --nocapture` prints how long the threads of an idle runtime ran). [`Runtime::deterministic`] makes a runtime without threads, for tests.
//!
//! A process that can run waits for those before it in its queue: each has a turn, or as many as it can within 100 us, and
//! gives way at every [`Again`](crate::process::Flow::Again). Behind a turn that is longer than that, a worker that sleeps, or
//! has something else to do, takes it over within milliseconds; behind turns of that length on all workers it waits for the
//! first of them. A worker that gets through its processes sooner than they could be moved to another processor keeps them,
//! but for some once in a millisecond: what is spread over the workers is work that takes longer than that. Memory of processes that have ended is freed at the latest a few milliseconds after every worker is between
//! two turns.
//!
//! What waits, for a time that it is given, blocks its thread: [`Exited::wait`], [`Port::recv_timeout`],
//! [`Handle::info_within`], [`wait_idle`](crate::PersistentTerms::wait_idle) and
//! [`Reports::recv_timeout`](crate::persistent::Reports::recv_timeout). Inside a turn, and in what is called there (destructors,
//! hooks, [`ended`](crate::Process::ended)), none of them waits, because what would come may need this very worker: each says
//! at once what is there, or what it says when the time is over. Nor do [`step`](Deterministic::step) and its like do anything there.
//!
//! ```
//! use shared_term::prelude::*;
//! use std::time::Duration;
//!
//! const PING: Atom = Atom::inline("ping");
//! let rt = Runtime::new()?;
//! let pong = rt.spawn_fn(
//!     |cx| cx.int(0),
//!     |cx, count, message| {
//!         let (tag, from): (Atom, Pid) = message.get()?;
//!         if tag == PING {
//!             cx.send(from, term!(cx, {:pong, count}));
//!         }
//!         Ok(Next(cx.int(count.get::<i64>()? + 1)))
//!     },
//! )?;
//! let mut port = rt.port()?;
//! let me = port.pid();
//! rt.send_new(pong, |h| term!(h, {PING, me}))?;
//! assert_eq!(port.recv_timeout(Duration::from_secs(10)).unwrap().root().to_string(), "{pong,0}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod deterministic;
mod graves;
mod handle;
mod pace;
mod port;
pub(crate) mod queue;
mod scheduler;
pub(crate) mod sleep;
mod timers;
mod worker;

pub use builder::{BuildError, Builder};
pub use deterministic::Deterministic;
pub use handle::{Exited, Handle};
pub use port::Port;

use crate::heap::reserve;
use crate::persistent::TurnMark;
use crate::process::{Exit, Node, Pieces, Remains, Task, end};
use scheduler::Scheduler;
use std::ops::Deref;
use std::sync::Arc;
use std::thread::JoinHandle;
use timers::Watch;
use worker::Driver;

/// Workers and their processes. Dereferences to a [`Handle`], which is how it is used.
///
/// Dropping it ends every process (with [`Exit::SHUTDOWN`]), then joins the workers; a turn that is running is waited for.
/// Dropped inside a turn, or by a destructor or a hook that the collection calls, it only gives the order, and the rest
/// happens on a thread of its own.
///
/// ```
/// use shared_term::prelude::*;
/// use std::{sync::mpsc::{Sender, channel}, time::Duration};
///
/// struct Worker(Sender<String>);
///
/// impl Process for Worker {
///     fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, job: Term<'h>) -> Turn<'h> {
///         self.0.send(job.to_string()).ok();
///         Ok(Next(state))
///     }
///     fn ended(&mut self, why: &Exit) {
///         self.0.send(why.to_string()).ok();
///     }
/// }
///
/// let (tx, log) = channel();
/// let rt = Runtime::new()?;
/// let worker = rt.spawn(Worker(tx))?;
/// rt.send_new(worker, |h| term!(h, {:job, 1}))?;
/// assert_eq!(log.recv_timeout(Duration::from_secs(10))?, "{job,1}");
/// drop(rt);
/// assert_eq!(log.try_recv()?, "shutdown", "it has ended when `drop` returns");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Runtime {
    handle: Handle,
    threads: Option<Threads>,
}

struct Threads {
    node: Arc<Node>,
    scheduler: Arc<Scheduler>,
    workers: Vec<JoinHandle<()>>,
    driver: Driver,
    watch: Watch,
}

impl Runtime {
    /// A runtime with one worker per processor, and a store of persistent terms of its own.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started, or the program was built to abort on panic.
    ///
    /// ```
    /// use shared_term::Runtime;
    /// let rt = Runtime::new()?;
    /// assert_eq!((rt.processes(), rt.persistent().info().count), (0, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    /// A runtime to be set up.
    ///
    /// ```
    /// use shared_term::Runtime;
    /// let rt = Runtime::builder().workers(2).thread_name("web").max_processes(100_000).build()?;
    /// assert_eq!(rt.processes(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A runtime without threads: it runs when told, and the same seed gives the same schedule.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let order = |seed| {
    ///     let mut rt = Runtime::deterministic(seed);
    ///     let mut port = rt.port().unwrap();
    ///     let me = port.pid();
    ///     for i in 0..8 {
    ///         rt.spawn_fn(move |cx| { cx.send(me, cx.int(i)); cx.nil() }, |_, s, _| Ok(Next(s))).unwrap();
    ///     }
    ///     rt.run_until_idle();
    ///     std::iter::from_fn(|| port.try_recv()).map(|m| m.root().as_int().unwrap()).collect::<Vec<_>>()
    /// };
    /// assert_eq!(order(1), order(1));
    /// assert_ne!(order(1), order(2));
    /// ```
    pub fn deterministic(seed: u64) -> Deterministic {
        Self::builder().deterministic(seed)
    }
}

impl Deref for Runtime {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.threads.as_ref().map_or(0, |threads| threads.workers.len()))
            .finish_non_exhaustive()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let Some(threads) = self.threads.take() else { return };
        threads.node.close();
        threads.scheduler.stop();
        if crate::persistent::in_turn() {
            // This thread may be one of those to wait for. If no thread can be had either, the workers end all the same,
            // and the processes stay, with the node that they lead to.
            let node = Arc::clone(&threads.node);
            if std::thread::Builder::new().spawn(move || threads.join()).is_err() {
                std::mem::forget(node);
            }
        } else {
            threads.join();
        }
    }
}

impl Threads {
    fn join(self) {
        self.watch.stop();
        for worker in self.workers {
            // A worker catches what processes unwind with; its own panic would be a bug of ours, reported by its hook.
            let _ = worker.join();
        }
        end_all(&self.node);
        self.driver.stop(self.node.domain());
        // The driver may have been woken and have stopped instead; another runtime's may drive what is left.
        self.node.domain().help();
    }
}

/// Ends every process of a node that nobody runs any more.
pub(crate) fn end_all(node: &Arc<Node>) {
    let domain = node.domain();
    node.stop_timers();
    let span = node.store().pin();
    let (mut seized, mut ended) = (Vec::new(), Remains::default());
    // What was seized stays, whoever passes a boundary.
    let mut pieces = Pieces::new(domain, Some(span.participant()));
    loop {
        // Seized between two scans, so that no collection still holds one that it has found idle. As many at once as there is
        // memory to note, and at least one.
        let mut last = None;
        domain.collector.between_scans(|| {
            for occupant in domain.slots.occupants() {
                // SAFETY: found in this span.
                let Some(task) = (unsafe { Task::of(occupant) }) else { continue };
                if !Arc::ptr_eq(&task.header().node, node) || !task.card().seize() {
                    continue;
                }
                if reserve(&mut seized, 1).is_err() {
                    last = Some(task);
                    break;
                }
                seized.push(task);
            }
        });
        let none_left = last.is_none();
        for task in seized.drain(..).chain(last) {
            end(task, Exit::SHUTDOWN, &mut pieces, &TurnMark::new());
            ended.push(task);
            pieces.one();
        }
        if none_left {
            break;
        }
    }
    drop(span);
    ended.into_limbo(domain);
    domain.help();
}

static_assertions::assert_impl_all!(Runtime: Send, Sync);
