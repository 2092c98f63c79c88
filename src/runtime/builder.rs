//! Setting up a runtime.

use super::deterministic::{self, Deterministic, Runnable};
use super::scheduler::{self, Scheduler};
use super::timers::Watch;
use super::worker::{Driver, work};
use super::{Handle, Runtime, Threads};
use crate::persistent::PersistentTerms;
use crate::process::{Node, Observed, Observer, OptionError, Ready, Settings, SpawnOptions, Timers};
use crate::sync::Parker;
use crossbeam_deque::Worker as Local;
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
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A thread could not be started.
    Thread(std::io::Error),
    /// More workers than [`Builder::MAX_WORKERS`].
    TooManyWorkers(usize),
    /// The program aborts on panic, so that a process could not die alone.
    PanicAborts,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(error) => write!(f, "a thread could not be started: {error}"),
            Self::TooManyWorkers(n) => write!(f, "a runtime has at most {} workers, not {n}", Builder::MAX_WORKERS),
            Self::PanicAborts => f.write_str("processes die alone by unwinding, and this program aborts on panic"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
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
    pub const MAX_WORKERS: usize = 4096;

    /// How many worker threads; one per processor unless said otherwise, at least one.
    pub fn workers(mut self, n: usize) -> Self {
        self.workers = n.max(1);
        self
    }

    /// What the names of the threads begin with.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// The store of persistent terms that the processes share with whoever else has it; one of its own unless said
    /// otherwise.
    pub fn persistent(mut self, store: PersistentTerms) -> Self {
        self.store = Some(store);
        self
    }

    /// How many processes may live at once.
    pub fn max_processes(mut self, n: usize) -> Self {
        self.max_processes = n;
        self
    }

    /// How processes are spawned that are not told otherwise.
    ///
    /// # Errors
    ///
    /// When the options cannot be had.
    pub fn spawn_defaults(mut self, options: SpawnOptions) -> Result<Self, OptionError> {
        if options.is_linked() || options.its_name().is_some() {
            return Err(OptionError::NoDefault);
        }
        self.settings = options.over(Settings::DEFAULT)?;
        Ok(self)
    }

    /// Who is told of what happens: see [`Observer`].
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Turns that take longer than this are told of by [`Observer::slow_turn`]; none unless said so. Two looks at the
    /// clock a turn, where there is an observer.
    pub fn slow_turns(mut self, longer_than: Duration) -> Self {
        self.slow = Some(longer_than);
        self
    }

    fn node(self, ready: Box<dyn Ready>, timers: Timers) -> Arc<Node> {
        let observed = self.observer.map(|observer| Observed { observer, slow: self.slow });
        Arc::new(Node::new(self.store.unwrap_or_default(), ready, self.settings, self.max_processes, observed, timers))
    }

    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started, more than [`MAX_WORKERS`](Self::MAX_WORKERS) are asked for, or the program was
    /// built to abort on panic.
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
        let locals: Vec<_> = (0..n).map(|_| Local::new_fifo()).collect();
        let parkers: Vec<_> = (0..n).map(|_| Parker::new()).collect();
        let scheduler = Arc::new(Scheduler::new(&locals, &parkers));
        let sleeper = Parker::new();
        let timers = Timers::real(sleeper.unparker().clone());
        let node = self.node(Box::new(scheduler::Shared(Arc::clone(&scheduler))), timers);
        let watch = Watch::start(Arc::clone(&node), sleeper, &name).map_err(BuildError::Thread)?;
        let driver = match Driver::start(node.store().domain(), &name) {
            Ok(driver) => driver,
            Err(error) => {
                watch.stop();
                return Err(BuildError::Thread(error));
            }
        };
        let mut threads = Threads { node: Arc::clone(&node), scheduler, workers: Vec::with_capacity(n), driver, watch };
        for (index, (local, parker)) in locals.into_iter().zip(parkers).enumerate() {
            let (node, scheduler) = (Arc::clone(&node), Arc::clone(&threads.scheduler));
            let worker = std::thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || work(node.domain(), &scheduler, &local, index, &parker));
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
    pub fn deterministic(self, seed: u64) -> Deterministic {
        let queue = Arc::new(Runnable::default());
        let node = self.node(Box::new(deterministic::Shared(Arc::clone(&queue))), Timers::virtual_time());
        Deterministic::new(Handle { node }, queue, seed)
    }
}
