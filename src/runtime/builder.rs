//! Setting up a runtime.

use super::deterministic::{self, Deterministic, Runnable};
use super::queue::Own;
use super::scheduler::{self, Scheduler};
use super::timers::Watch;
use super::worker::{Driver, work};
use super::{Handle, Runtime, Threads};
use crate::HeapError;
use crate::persistent::{PersistentTerms, Quiescence};
use crate::process::{Node, Observed, Observer, OptionError, Ready, Settings, SpawnOptions, Timers, hands};
use crate::sync::Parker;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Sets up a [`Runtime`]; from [`Runtime::builder`].
///
/// ```
/// use shared_term::{Runtime, PersistentTerms, process::SpawnOptions};
/// let store = PersistentTerms::new();
/// let small = SpawnOptions::new().max_heap_words(1 << 20);
/// let rt = Runtime::builder().workers(2).persistent(store).spawn_defaults(small)?.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    workers: usize,
    thread_name: String,
    store: Option<PersistentTerms>,
    max_processes: usize,
    settings: Settings,
    observer: Option<Arc<dyn Observer>>,
    slow: Option<Duration>,
}

/// A runtime could not be built.
///
/// ```
/// use shared_term::runtime::{BuildError, Builder, Runtime};
/// let Err(error) = Runtime::builder().workers(Builder::MAX_WORKERS + 1).build() else { panic!("it has them") };
/// assert!(matches!(error, BuildError::TooManyWorkers(4097)));
/// assert_eq!(error.to_string(), "a runtime has at most 4096 workers, not 4097");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A thread could not be started.
    Thread(std::io::Error),
    /// More workers than [`Builder::MAX_WORKERS`].
    TooManyWorkers(usize),
    /// The program aborts on panic, so that a process could not die alone.
    PanicAborts,
    /// There is no memory for what workers take part in grace periods with.
    Heap(HeapError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(error) => write!(f, "a thread could not be started: {error}"),
            Self::TooManyWorkers(n) => write!(f, "a runtime has at most {} workers, not {n}", Builder::MAX_WORKERS),
            Self::PanicAborts => f.write_str("processes die alone by unwinding, and this program aborts on panic"),
            Self::Heap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::Heap(error) => Some(error),
            Self::TooManyWorkers(_) | Self::PanicAborts => None,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            workers: crate::sync::available_parallelism(),
            thread_name: String::from("shared-term"),
            store: None,
            max_processes: usize::MAX,
            settings: Settings::DEFAULT,
            observer: None,
            slow: None,
        }
    }
}

impl Builder {
    /// The most workers that a runtime has.
    ///
    /// ```
    /// use shared_term::runtime::{Builder, Runtime};
    /// assert!(Runtime::builder().workers(Builder::MAX_WORKERS + 1).build().is_err());
    /// ```
    pub const MAX_WORKERS: usize = 4096;

    /// How many worker threads; one per processor unless said otherwise, at least one. OTP: `+S`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::{collections::HashSet, time::Duration};
    /// let rt = Runtime::builder().workers(1).build()?;
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// for i in 0..10 {
    ///     rt.spawn_fn(move |cx| { cx.send(home, cx.int(i)); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// }
    /// let told = (0..10).map(|_| port.recv_timeout(Duration::from_secs(10)).unwrap().root().as_int());
    /// assert_eq!(told.collect::<HashSet<_>>().len(), 10, "one worker runs them all");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn workers(mut self, n: usize) -> Self {
        self.workers = n.max(1);
        self
    }

    /// What the names of the threads begin with; `shared-term` unless said otherwise. With a NUL in it the runtime
    /// cannot be built.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::builder().workers(1).thread_name("web").build()?;
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// rt.spawn_fn(
    ///     move |cx| {
    ///         cx.send(home, cx.binary(std::thread::current().name().unwrap()));
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// assert_eq!(port.recv_timeout(Duration::from_secs(10)).unwrap().root().as_str(), Some("web-0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// The store of persistent terms that the processes share with whoever else has it; one of its own unless said
    /// otherwise.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let store = PersistentTerms::new();
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    /// rt.spawn_fn(
    ///     |cx| {
    ///         let doubled = cx.get("limit").and_then(|n| n.as_int()).map_or(0, |n| 2 * n);
    ///         cx.persistent().put("limit", Region::build(|h| h.int(doubled))).unwrap();
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert_eq!(store.read("limit", |n| n.unwrap().as_int()), Some(20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn persistent(mut self, store: PersistentTerms) -> Self {
        self.store = Some(store);
        self
    }

    /// How many processes may live at once; any number unless said otherwise. One more is
    /// [`SpawnError::TooMany`](crate::process::SpawnError::TooMany). OTP: `+P`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnError};
    /// let mut rt = Runtime::builder().max_processes(2).deterministic(1);
    /// let spawn = |rt: &shared_term::runtime::Handle| rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)));
    /// let first = spawn(&rt)?;
    /// spawn(&rt)?;
    /// assert_eq!(spawn(&rt), Err(SpawnError::TooMany));
    /// rt.send_new(first, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(spawn(&rt).is_ok(), "one has ended");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_processes(mut self, n: usize) -> Self {
        self.max_processes = n;
        self
    }

    /// How processes are spawned that are not told otherwise.
    ///
    /// # Errors
    ///
    /// When the options cannot be had.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{OptionError, SpawnOptions}};
    /// let small = SpawnOptions::new().max_heap_words(1000);
    /// let mut rt = Runtime::builder().spawn_defaults(small)?.deterministic(1);
    /// let exited = rt.exited(rt.spawn_fn(|cx| cx.list(0..1000), |_, s, _| Ok(Next(s)))?);
    /// let larger = SpawnOptions::new().max_heap_words(10_000);
    /// let lives = rt.spawn_fn_with(larger, |cx| cx.list(0..1000), |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert!(exited.try_wait().is_some() && rt.is_alive(lives));
    /// assert_eq!(Runtime::builder().spawn_defaults(small.link()).err(), Some(OptionError::NoDefault));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_defaults(mut self, options: SpawnOptions) -> Result<Self, OptionError> {
        if options.is_linked() || options.its_name().is_some() {
            return Err(OptionError::NoDefault);
        }
        self.settings = options.over(&Settings::DEFAULT)?;
        Ok(self)
    }

    /// Who is told of what happens: see [`Observer`].
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{Observer, ProcessInfo}};
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    ///
    /// /// Counts what did not end well.
    /// #[derive(Clone, Default)]
    /// struct Crashes(Arc<AtomicUsize>);
    ///
    /// impl Observer for Crashes {
    ///     fn exited(&self, _: Pid, why: &Exit, _: &ProcessInfo) {
    ///         self.0.fetch_add(usize::from(!why.is_normal()), Ordering::Relaxed);
    ///     }
    /// }
    ///
    /// let crashes = Crashes::default();
    /// let mut rt = Runtime::builder().observer(crashes.clone()).deterministic(1);
    /// for input in ["1", "x", "y"] {
    ///     let p = rt.spawn_fn(|cx| cx.nil(), |_, _, text| {
    ///         text.get::<&str>()?.parse::<i64>()?;
    ///         Ok(Stop(Exit::NORMAL))
    ///     })?;
    ///     rt.send_new(p, |h| h.binary(input))?;
    /// }
    /// rt.run_until_idle();
    /// assert_eq!(crashes.0.load(Ordering::Relaxed), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Turns that take longer than this are told of by [`Observer::slow_turn`]; none unless said so. Two looks at the
    /// clock a turn, where there is an observer.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Observer};
    /// use std::{sync::mpsc::{Sender, channel}, time::Duration};
    ///
    /// struct Slow(Sender<Pid>);
    ///
    /// impl Observer for Slow {
    ///     fn slow_turn(&self, pid: Pid, _: Duration) {
    ///         self.0.send(pid).ok();
    ///     }
    /// }
    ///
    /// let (tx, slow) = channel();
    /// let mut rt = Runtime::builder().observer(Slow(tx)).slow_turns(Duration::from_secs(3600)).deterministic(1);
    /// rt.spawn_fn(|cx| cx.list(0..1000), |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert!(slow.try_recv().is_err(), "no turn took an hour");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slow_turns(mut self, longer_than: Duration) -> Self {
        self.slow = Some(longer_than);
        self
    }

    fn node(self, ready: Box<dyn Ready>, workers: usize, timers: Timers) -> Arc<Node> {
        let observed = self.observer.map(|observer| Observed { observer, slow: self.slow });
        let store = self.store.unwrap_or_default();
        Arc::new(Node::new(store, ready, workers, self.settings, self.max_processes, observed, timers))
    }

    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started, more than [`MAX_WORKERS`](Self::MAX_WORKERS) are asked for, the program was built to
    /// abort on panic, or there is no memory for what workers take part in grace periods with.
    ///
    /// ```
    /// use shared_term::Runtime;
    /// use std::time::Duration;
    /// let rt = Runtime::builder().workers(2).build()?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, n| Ok(shared_term::Flow::Stop(shared_term::Exit::msg(n))))?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.int(7))?;
    /// assert_eq!(exited.wait(Duration::from_secs(10)).unwrap().to_string(), "7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build(self) -> Result<Runtime, BuildError> {
        if cfg!(panic = "abort") {
            return Err(BuildError::PanicAborts);
        }
        let (n, name) = (self.workers, self.thread_name.clone());
        if n > Self::MAX_WORKERS {
            return Err(BuildError::TooManyWorkers(n)); // before a queue is made for each
        }
        if name.contains('\0') {
            // `std` panics.
            return Err(BuildError::Thread(std::io::ErrorKind::InvalidInput.into()));
        }
        let locals: Vec<_> = (0..n).map(|_| Own::new()).collect();
        let parkers: Vec<_> = (0..n).map(|_| Parker::new()).collect();
        let scheduler = Arc::new(Scheduler::new(&locals, &parkers));
        let sleeper = Parker::new();
        let timers = Timers::real(sleeper.unparker().clone(), n);
        let node = self.node(Box::new(scheduler::Shared(Arc::clone(&scheduler))), n, timers);
        let seats = (0..n).map(|_| Quiescence::seat(node.store().domain())).collect::<Result<Vec<_>, _>>();
        let seats = seats.map_err(BuildError::Heap)?;
        let watch = Watch::start(Arc::clone(&node), sleeper, &name).map_err(BuildError::Thread)?;
        let driver = match Driver::start(node.store().domain(), &name) {
            Ok(driver) => driver,
            Err(error) => {
                watch.stop();
                return Err(BuildError::Thread(error));
            }
        };
        let mut threads = Threads { node: Arc::clone(&node), scheduler, workers: Vec::with_capacity(n), driver, watch };
        for (index, ((local, parker), seat)) in locals.into_iter().zip(parkers).zip(seats).enumerate() {
            let (node, scheduler) = (Arc::clone(&node), Arc::clone(&threads.scheduler));
            let worker = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(move || {
                let _hands = hands::enter(&node, index);
                work(node.domain(), seat.participant(), &scheduler, &local, index, &parker);
            });
            match worker {
                Ok(worker) => threads.workers.push(worker),
                Err(error) => {
                    threads.scheduler.stop();
                    threads.join();
                    return Err(BuildError::Thread(error));
                }
            }
        }
        Ok(Runtime { handle: Handle { node }, threads: Some(threads) })
    }

    /// A runtime without threads; see [`Runtime::deterministic`].
    ///
    /// ```
    /// use shared_term::{Runtime, process::SpawnOptions};
    /// let small = SpawnOptions::new().max_heap_words(100);
    /// let mut rt = Runtime::builder().spawn_defaults(small)?.deterministic(42);
    /// let p = rt.spawn_fn(|cx| cx.list(0..1000), |_, s, _| Ok(shared_term::Flow::Next(s)))?;
    /// assert!(rt.is_alive(p), "nothing runs before it is told to");
    /// rt.run_until_idle();
    /// assert!(!rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deterministic(self, seed: u64) -> Deterministic {
        let queue = Arc::new(Runnable::default());
        let node = self.node(Box::new(deterministic::Shared(Arc::clone(&queue))), 0, Timers::virtual_time());
        Deterministic::new(Handle { node }, queue, seed)
    }
}
