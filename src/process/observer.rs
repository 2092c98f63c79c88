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
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Observer};
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    ///
    /// #[derive(Clone, Default)]
    /// struct Births(Arc<AtomicUsize>);
    ///
    /// impl Observer for Births {
    ///     fn spawned(&self, _: Pid) {
    ///         self.0.fetch_add(1, Ordering::Relaxed);
    ///     }
    /// }
    ///
    /// let births = Births::default();
    /// let rt = Runtime::builder().observer(births.clone()).deterministic(1);
    /// rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// assert_eq!(births.0.load(Ordering::Relaxed), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn spawned(&self, pid: Pid) {
        let _ = pid;
    }

    /// A process has ended, and who is linked to it or monitors it has been told. `last`: its figures from before its heap
    /// and messages went.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{Observer, ProcessInfo}};
    /// use std::sync::mpsc::{Sender, channel};
    ///
    /// struct Crashes(Sender<String>);
    ///
    /// impl Observer for Crashes {
    ///     fn exited(&self, _: Pid, why: &Exit, last: &ProcessInfo) {
    ///         if !why.is_normal() {
    ///             let turns = last.details.as_ref().map_or(0, |details| details.turns);
    ///             self.0.send(format!("after {turns} turns: {why}")).ok();
    ///         }
    ///     }
    /// }
    ///
    /// let (tx, crashes) = channel();
    /// let mut rt = Runtime::builder().observer(Crashes(tx)).deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, _, n| Ok(Next(cx.int(n.get::<i64>()?))))?;
    /// rt.send_new(p, |h| h.int(1))?;
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(crashes.try_recv()?, "after 3 turns: expected an integer of 64 bits, found Nil");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn exited(&self, pid: Pid, why: &Exit, last: &ProcessInfo) {
        let _ = (pid, why, last);
    }

    /// A process has collected its heap.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{Collected, Observer, SpawnOptions}};
    /// use std::sync::mpsc::{Sender, channel};
    ///
    /// struct Majors(Sender<usize>);
    ///
    /// impl Observer for Majors {
    ///     fn collected(&self, _: Pid, done: &Collected) {
    ///         if done.after.major_collections > done.before.major_collections {
    ///             self.0.send(done.after.old_words).ok();
    ///         }
    ///     }
    /// }
    ///
    /// let (tx, majors) = channel();
    /// let mut rt = Runtime::builder().observer(Majors(tx)).deterministic(1);
    /// let always_major = SpawnOptions::new().minors_before_major(0);
    /// let p = rt.spawn_fn_with(always_major, |cx| cx.nil(), |cx, _, _| Ok(Next(cx.list(0..1000))))?;
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(majors.try_recv(), Ok(2000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn collected(&self, pid: Pid, collection: &Collected) {
        let _ = (pid, collection);
    }

    /// A turn took longer than [`Builder::slow_turns`](crate::runtime::Builder::slow_turns) allows; all of it, with what
    /// follows a turn. It is over now: a turn that never ends is not told of.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Observer};
    /// use std::{sync::mpsc::{Sender, channel}, time::Duration};
    ///
    /// struct Slow(Sender<(Pid, Duration)>);
    ///
    /// impl Observer for Slow {
    ///     fn slow_turn(&self, pid: Pid, took: Duration) {
    ///         self.0.send((pid, took)).ok();
    ///     }
    /// }
    ///
    /// let (tx, slow) = channel();
    /// let limit = Duration::from_millis(1);
    /// let mut rt = Runtime::builder().observer(Slow(tx)).slow_turns(limit).deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), move |_, s, _| { std::thread::sleep(2 * limit); Ok(Next(s)) })?;
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(slow.try_iter().any(|(pid, took)| pid == p && took >= 2 * limit));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn slow_turn(&self, pid: Pid, took: Duration) {
        let _ = (pid, took);
    }

    /// A global collection of the domain is done.
    ///
    /// ```
    /// use shared_term::{persistent::Report, prelude::*, process::Observer};
    /// use std::sync::mpsc::{Sender, channel};
    ///
    /// struct Freed(Sender<usize>);
    ///
    /// impl Observer for Freed {
    ///     fn global_collection(&self, report: &Report) {
    ///         self.0.send(report.words).ok();
    ///     }
    /// }
    ///
    /// let (tx, freed) = channel();
    /// let mut rt = Runtime::builder().observer(Freed(tx)).deterministic(1);
    /// rt.persistent().put("k", Region::build(|h| h.list(0..10)))?;
    /// rt.persistent().erase("k");
    /// rt.run_until_idle();
    /// assert_eq!(freed.try_recv(), Ok(20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn global_collection(&self, report: &Report) {
        let _ = report;
    }
}

/// A collection of one heap.
///
/// ```
/// use shared_term::{prelude::*, process::{Collected, Observer, SpawnOptions}};
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// static FREED: AtomicUsize = AtomicUsize::new(0);
/// struct Freed;
///
/// impl Observer for Freed {
///     fn collected(&self, _: Pid, Collected { before, after, .. }: &Collected) {
///         let words = |heap: &shared_term::heap::HeapInfo| heap.young_words + heap.old_words;
///         FREED.fetch_add(words(before) - words(after), Ordering::Relaxed);
///     }
/// }
///
/// let mut rt = Runtime::builder().observer(Freed).deterministic(1);
/// let p = rt.spawn_fn(|cx| cx.list([0]), |cx, _, n| Ok(Next(cx.list([n]))))?;
/// for i in 0..1000 {
///     rt.send_new(p, |h| h.int(i))?;
/// }
/// rt.run_until_idle();
/// assert!(FREED.load(Ordering::Relaxed) > 1000, "two words of old state a message");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
