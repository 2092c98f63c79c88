//! Figures of a process.

use super::Cx;
use super::cell::{Flags, Task};
use super::mailbox::Load;
use super::node::Node;
use crate::heap::{HeapInfo, Region, reserve, try_box};
use crate::persistent::Holding;
use crate::sync::mutation::{Mutation, mutated};
use crate::term::{Atom, Reference};
use crate::{HeapError, Pid};
use std::sync::mpsc;
use std::time::Duration;

/// What a process does. OTP: the `status` of `process_info/2`.
///
/// ```
/// use shared_term::{prelude::*, process::Status, runtime::Handle};
/// let mut rt = Runtime::deterministic(1);
/// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
/// let status = |rt: &Handle| rt.info(p).map(|info| info.status);
/// assert_eq!(status(&rt), Some(Status::Runnable), "its first turn is to come");
/// rt.run_until_idle();
/// assert_eq!(status(&rt), Some(Status::Idle));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It waits for a message. OTP: `waiting`.
    Idle,
    /// It waits for a worker. OTP: `runnable`.
    Runnable,
    /// A worker runs it. OTP: `running`.
    Running,
}

/// Figures of a process at one moment; from [`Handle::info`](crate::runtime::Handle::info) and
/// [`Cx::info`](crate::Cx::info). OTP: `process_info(Pid)`.
///
/// ```
/// use shared_term::prelude::*;
/// let mut rt = Runtime::deterministic(1);
/// for load in [5, 50, 500] {
///     let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
///     for i in 0..load {
///         rt.send_new(p, |h| h.list(0..i))?;
///     }
/// }
/// let busiest = rt.pids().into_iter().filter_map(|p| rt.info(p)).max_by_key(|info| info.messages).unwrap();
/// assert_eq!((busiest.messages, busiest.signals, busiest.name), (500, 0, None));
/// assert!(busiest.message_bytes > 16 * 499 * 500 / 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Whose.
    pub pid: Pid,
    /// Its registered name.
    pub name: Option<Atom>,
    /// What it did.
    pub status: Status,
    /// Messages, signals and events that it has not received. Of a process that runs, those are missing that it took out
    /// of its mailbox before this turn, and the one that it runs for.
    pub messages: usize,
    /// How many of these are [signals](crate::Cx#links-monitors-and-exit-signals) that have not taken effect yet: what nothing
    /// bounds.
    pub signals: usize,
    /// Their bytes: a head, and the words in use of each; binaries outside of heaps not counted. Of the message for which a
    /// process waits for a worker without [details](Self::details) nothing is counted.
    pub message_bytes: usize,
    /// What only its owner knows; `None` of a process that runs, but for the one that asks; of one that was idle when another
    /// of its runtime sent to it, until it has run; and where there is no memory for the lists.
    pub details: Option<Details>,
}

/// What can be read of a process between two of its turns.
///
/// ```
/// use shared_term::prelude::*;
/// let mut rt = Runtime::deterministic(1);
/// let a = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Defer))?;
/// let b = rt.spawn_fn(move |cx| { cx.link(a); cx.trap_exits(true); cx.list(0..10) }, |_, s, _| Ok(Next(s)))?;
/// rt.send_new(a, |h| h.nil())?;
/// rt.run_until_idle();
/// let (a, b) = (rt.info(a).unwrap().details.unwrap(), rt.info(b).unwrap().details.unwrap());
/// assert_eq!((a.deferred, a.links.len(), b.links.len()), (1, 1, 1));
/// assert_eq!((b.heap.young_words, b.turns, b.traps_exits), (20, 1, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Details {
    /// How many of the messages were deferred.
    pub deferred: usize,
    /// Its heap, and what its collections have done.
    pub heap: HeapInfo,
    /// Turns that it has begun, modulo 2^40.
    pub turns: u64,
    /// Does it see exit signals as events?
    pub traps_exits: bool,
    /// Who it is linked to.
    pub links: Vec<Pid>,
    /// What it monitors.
    pub monitors: Vec<(Reference, Pid)>,
    /// Who monitors it; as often as they do.
    pub watchers: Vec<Pid>,
}

impl Task {
    /// # Safety
    ///
    /// The caller must own the process, or have hold of it.
    unsafe fn details(self) -> Result<Details, HeapError> {
        #[cfg(all(loom, feature = "loom"))]
        crate::model::looks();
        // SAFETY: the caller's promise; nothing is changed.
        let (owned, relations) = unsafe { (&*self.owned_ptr(), self.known_relations()) };
        let mut watchers = Vec::new();
        let (links, monitors) = match relations {
            Some(relations) => {
                reserve(&mut watchers, relations.watchers.len())?;
                watchers.extend(relations.watchers.keys()?.into_iter().map(|(pid, _)| pid));
                (relations.links.keys()?, relations.monitors.pairs()?)
            }
            None => (Vec::new(), Vec::new()),
        };
        Ok(Details {
            deferred: owned.deferred.load().messages,
            heap: owned.heap.info(),
            turns: owned.turns.begun(),
            traps_exits: owned.flags.has(Flags::TRAPS_EXITS),
            links,
            monitors,
            watchers,
        })
    }

    /// The figures of a process whose owner the caller is; `more` waits too.
    ///
    /// # Safety
    ///
    /// The caller must own the process, and be online.
    pub(super) unsafe fn own_info(self, more: Load) -> ProcessInfo {
        let (header, pid) = (self.header(), self.pid());
        // SAFETY: the caller's promise.
        let (details, private) = unsafe { (self.details(), self.private_load()) };
        let load = header.recipient.mailbox().survey(&header.node.surveys) + private + more;
        ProcessInfo {
            pid,
            name: header.node.name_of(pid),
            status: Status::Running,
            messages: load.messages,
            signals: load.signals,
            message_bytes: load.bytes,
            details: details.ok(),
        }
    }
}

/// # Who there is
impl Cx<'_> {
    /// Figures of a process; of one that runs now, other than this one, without [`Details`](Details). `None`: there
    /// is nobody. O(messages that wait); takes a lock. OTP: `process_info(Pid)`, which waits for the process.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Status};
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, _, message| {
    ///     let mine = cx.info(cx.me()).unwrap();
    ///     assert_eq!((mine.status, mine.messages), (Status::Running, 1), "another message waits");
    ///     Ok(Next(message))
    /// })?;
    /// rt.run_until_idle();
    /// rt.send_new(p, |h| h.int(1))?;
    /// rt.send_new(p, |h| h.int(2))?;
    /// rt.step();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info(self, pid: Pid) -> Option<ProcessInfo> {
        if pid == self.me() {
            // SAFETY: a turn owns its process, and is online.
            return Some(unsafe { self.task().own_info(Load::default()) });
        }
        self.node().info(pid)
    }

    /// Does the process live? Wait-free. OTP: `is_process_alive/1`, which sees to the signals first that the caller has
    /// sent before.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let gone = rt.port()?.pid(); // dropped at once
    /// let p = rt.spawn_fn(
    ///     move |cx| {
    ///         assert!(cx.is_alive(cx.me()) && !cx.is_alive(gone));
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_alive(self, pid: Pid) -> bool {
        self.domain_ref().slots.find(pid).is_some()
    }

    /// How many processes live, this one among them: exact when none begins or ends meanwhile, and never too few. O(1). OTP:
    /// `system_info(process_count)`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(
    ///     |cx| {
    ///         for _ in 0..3 {
    ///             cx.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
    ///         }
    ///         cx.int(cx.processes() as i64)
    ///     },
    ///     |_, n, _| Ok(Stop(Exit::msg(n))),
    /// )?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "4");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn processes(self) -> usize {
        self.node().processes.live()
    }

    /// The processes that live, this one among them, ports not, in no order. O(processes that ever lived at once), for which
    /// the turn goes on. Who is spawned or ends meanwhile may be there or not. The list is one of `std`, without memory for
    /// which the program ends. OTP: `processes/0`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let others = [1, 2].map(|_| rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap());
    /// rt.run_until_idle();
    /// let ends_them = rt.spawn_fn(
    ///     |cx| {
    ///         for p in cx.pids().into_iter().filter(|&p| p != cx.me()) {
    ///             cx.kill(p);
    ///         }
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.pids(), [ends_them]);
    /// assert!(!others.into_iter().any(|p| rt.is_alive(p)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pids(self) -> Vec<Pid> {
        self.node().pids()
    }
}

/// A question to a process that runs, which it answers at its next boundary. Dropped unanswered when it ends first.
pub(super) struct Inquiry(pub(super) mpsc::SyncSender<ProcessInfo>);

/// The caller must be online.
impl Node {
    /// The figures of a process. Waits for nobody but others that ask.
    ///
    /// What a process was given that nobody runs yet only the next who runs it may look at: this counts it, unseen.
    pub(crate) fn info(&self, pid: Pid) -> Option<ProcessInfo> {
        /// Lets go of a process.
        struct Hold(Task);

        impl Drop for Hold {
            fn drop(&mut self) {
                self.0.card().let_go();
            }
        }

        // SAFETY: found in the caller's span, for which the process is there.
        let task = unsafe { Task::of(self.domain().slots.find(pid)?) }?;
        // It may be of another runtime, which has its name.
        let node = &task.header().node;
        let name = node.name_of(pid);
        let (hold, status) = loop {
            match task.card().hold()? {
                Holding::Mine if task.card().is_idle() => break (Some(Hold(task)), Status::Idle),
                Holding::Mine => break (Some(Hold(task)), Status::Runnable),
                Holding::Runs => break (None, Status::Running),
                Holding::Given if self.domain().quiescence.runs(pid) => break (None, Status::Running),
                // Who ran it when it was found so may have been done when its worker was asked: then it is given no more, or
                // again, and waited in between.
                Holding::Given if task.card().is_given_now() || mutated(Mutation::InfoLooksOnce) => {
                    break (None, Status::Runnable);
                }
                Holding::Given => {}
            }
        };
        let mut load = task.header().recipient.mailbox().survey(&node.surveys);
        let mut details = None;
        if hold.is_some() {
            // SAFETY: the hold.
            let (own, private) = unsafe { (task.details(), task.private_load()) };
            (load, details) = (load + private, own.ok());
        } else if status == Status::Runnable {
            load.messages += 1; // what it was given
        }
        drop(hold);
        let Load { messages, signals, bytes: message_bytes } = load;
        Some(ProcessInfo { pid, name, status, messages, signals, message_bytes, details })
    }

    /// Asks a process for its figures. `None`: there is nobody.
    pub(crate) fn inquire(&self, pid: Pid) -> Result<Option<mpsc::Receiver<ProcessInfo>>, HeapError> {
        let (tx, rx) = mpsc::sync_channel(1);
        let question = try_box(Inquiry(tx))?;
        let question = Region::try_build::<HeapError>(|h| Ok(h.own_resource(question)))?;
        Ok(self.send_inquiry(pid, question).then_some(rx))
    }
}

/// Waits for the answer to an inquiry. The caller must not be online.
pub(crate) fn answer(rx: &mpsc::Receiver<ProcessInfo>, timeout: Duration) -> Option<ProcessInfo> {
    rx.recv_timeout(timeout).ok()
}
