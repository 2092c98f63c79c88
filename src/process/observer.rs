//! Where logs and metrics attach.

use super::cell::Task;
use super::info::ProcessInfo;
use super::mailbox::Load;
use super::{Exit, caught};
use crate::Pid;
use crate::heap::HeapInfo;
use crate::persistent::{Report, TurnMark};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is told of a runtime; for [`Builder::observer`](crate::runtime::Builder::observer). All methods do nothing unless
/// they are written.
///
/// They run in the midst of what they tell of, on the thread that does it, which waits: they should be short, and must not
/// wait for the runtime. They may send and spawn. What one unwinds with is dropped. Without an observer nothing is measured,
/// and what is left is a test per spawn, run and end of a process.
///
/// ```
/// use shared_term::{prelude::*, process::{Observer, ProcessInfo}};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Clone, Default)]
/// struct Log(Arc<Mutex<Vec<String>>>);
///
/// impl Observer for Log {
///     fn exited(&self, pid: Pid, why: &Exit, last: &ProcessInfo) {
///         self.0.lock().unwrap().push(format!("{why} with {} messages left", last.messages));
///     }
/// }
///
/// let log = Log::default();
/// let mut rt = Runtime::builder().observer(log.clone()).deterministic(1);
/// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("enough"))))?;
/// for _ in 0..3 {
///     rt.send_new(p, |h| h.nil())?;
/// }
/// rt.run_until_idle();
/// assert_eq!(*log.0.lock().unwrap(), ["enough with 2 messages left"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A process was spawned; it has not run yet.
    fn spawned(&self, pid: Pid) {
        let _ = pid;
    }

    /// A process has ended, and who is linked to it or monitors it has been told. `last`: its figures from before its heap
    /// and messages went.
    fn exited(&self, pid: Pid, why: &Exit, last: &ProcessInfo) {
        let _ = (pid, why, last);
    }

    /// A process has collected its heap.
    fn collected(&self, pid: Pid, collection: &Collected) {
        let _ = (pid, collection);
    }

    /// A turn took longer than [`Builder::slow_turns`](crate::runtime::Builder::slow_turns) allows; all of it, with what
    /// follows a turn. It is over now: a turn that never ends is not told of.
    fn slow_turn(&self, pid: Pid, took: Duration) {
        let _ = (pid, took);
    }

    /// A global collection of the domain is done.
    fn global_collection(&self, report: &Report) {
        let _ = report;
    }
}

/// A collection of one heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The heap before.
    pub before: HeapInfo,
    /// The heap after; its counts tell whether it was a minor or a major collection, or one after the other.
    pub after: HeapInfo,
    /// How long it took.
    pub took: Duration,
}

/// The observer of a runtime, and what it wants to know.
pub(crate) struct Observed {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) slow: Option<Duration>,
}

impl Observed {
    /// Calls the observer, which is the user's code.
    fn tell(&self, f: impl FnOnce(&dyn Observer)) {
        let _mark = TurnMark::new();
        let _ = caught(|| f(&*self.observer));
    }

    pub(super) fn spawned(&self, pid: Pid) {
        self.tell(|observer| observer.spawned(pid));
    }

    pub(super) fn exited(&self, pid: Pid, why: &Exit, last: &ProcessInfo) {
        self.tell(|observer| observer.exited(pid, why, last));
    }

    /// Runs a turn, and tells of it if it was slow.
    pub(super) fn turn<R>(&self, pid: Pid, turn: impl FnOnce() -> R) -> R {
        let Some(slow) = self.slow else { return turn() };
        let start = Instant::now();
        let result = turn();
        let took = start.elapsed();
        if took > slow {
            self.tell(|observer| observer.slow_turn(pid, took));
        }
        result
    }

    /// Runs a collection of a process's heap, and tells of it.
    ///
    /// # Safety
    ///
    /// The caller must own the process, between two turns.
    pub(super) unsafe fn collection<R>(&self, task: Task, collect: impl FnOnce() -> R) -> R {
        // SAFETY: the caller's promise; the borrow ends with the statement.
        let heap = || unsafe { task.owned() }.heap.info();
        let (before, start) = (heap(), Instant::now());
        let result = collect();
        let (took, after) = (start.elapsed(), heap());
        self.tell(|observer| observer.collected(task.pid(), &Collected { before, after, took }));
        result
    }

    /// The last figures of a process that ends.
    ///
    /// # Safety
    ///
    /// The caller must own the process, and be online.
    pub(super) unsafe fn last_figures(task: Task) -> ProcessInfo {
        // SAFETY: the caller's promise.
        unsafe { task.own_info(Load::default()) }
    }
}
