//! How long a process waits for a message.

use super::Cx;
use super::cell::{Flags, Owned, Task};
use super::signals::{self, Kind};
use super::timer::{Destination, nanoseconds};
use crate::heap::{Region, unwind};
use crate::term::Reference;
use std::time::Duration;

/// When a process has waited long enough, and the number by which it is told from the timeouts before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeout {
    number: u64,
    due: u64,
}

/// The timer that tells a process of its timeout. It stays where it is when that is ended, or put off, as most are by the next
/// message: when it goes off it is set for the rest, if there is one. So a process that waits, and is not kept waiting, takes
/// no lock for that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alarm {
    id: Reference,
    due: u64,
}

/// A message that was taken out of the inbox, unless it is a timeout that is none any more.
///
/// # Safety
///
/// The caller must own the process, whose `owned` it is, between two turns, and be online.
pub(super) unsafe fn unless_void(task: Task, owned: &mut Owned, message: Region) -> Option<Region> {
    if message.mark() == 0 || Kind::of(&message) != Kind::TimeoutEvent {
        return Some(message);
    }
    // SAFETY: the caller's promise.
    unsafe { alarmed(task, owned, message) }
}

/// The number of the timeout that runs.
///
/// # Safety
///
/// As for [`unless_void`].
pub(super) unsafe fn running(task: Task, owned: &Owned) -> Option<u64> {
    let runs = owned.flags.has(Flags::TIMEOUT);
    // SAFETY: the caller's promise; the borrow ends with the statement.
    let relations = if runs { unsafe { task.relations_if_any() } } else { None };
    relations.and_then(|relations| relations.timeout).map(|timeout| timeout.number)
}

/// An alarm has gone off: the event, if the timeout is over.
///
/// # Safety
///
/// As for [`unless_void`].
#[cold]
unsafe fn alarmed(task: Task, owned: &mut Owned, event: Region) -> Option<Region> {
    let id = super::event::fields(&event).get(1).and_then(|id| id.as_reference());
    // SAFETY: the caller's promise; setting a timer looks at no relations.
    let relations = unsafe { task.relations_if_any() }?;
    let alarm = relations.alarm.take_if(|alarm| Some(alarm.id) == id)?;
    let timeout = relations.timeout.filter(|_| owned.flags.has(Flags::TIMEOUT))?;
    if timeout.due > alarm.due {
        relations.alarm = Some(Alarm { due: timeout.due, ..alarm });
        let (node, to) = (&task.header().node, Destination::Pid(task.pid()));
        if let Err((_, mut event)) = node.try_set_timer(alarm.id, node.left(timeout.due), to, event) {
            // It would wait for ever: it ends, for which there is memory.
            Kind::Kill.set(&mut event);
            node.signal(task.pid(), event);
        }
        return None;
    }
    relations.timeout = None;
    owned.flags.set(Flags::TIMEOUT, false);
    Some(event)
}

/// A message was taken while the timeout of this number ran: it ends it, unless the turn has set another.
///
/// # Safety
///
/// The caller must own the process.
#[cold]
pub(super) unsafe fn message_taken(task: Task, number: u64) {
    // SAFETY: the caller's promise; the borrow ends with the statement.
    let timeout = unsafe { task.relations_if_any() }.and_then(|relations| relations.timeout);
    if timeout.is_some_and(|timeout| timeout.number == number) {
        // SAFETY: as above.
        unsafe { end_timeout(task) };
    }
}

/// Ends the timeout of a process, if it has one.
///
/// # Safety
///
/// The caller must own the process.
unsafe fn end_timeout(task: Task) -> bool {
    // SAFETY: the caller's promise.
    unsafe { task.owned() }.flags.set(Flags::TIMEOUT, false)
}

impl Cx<'_> {
    /// If this process takes no message within so long from now, its [`Process::event`](super::Process::event) gets an
    /// [`Event::Timeout`](super::Event::Timeout). A message or an event ends the timeout; a turn that
    /// [defers](super::Flow::Defer) its message has not taken it, and [`Flow::Again`](super::Flow::Again) goes on with the
    /// same message. A process has one timeout: another one takes its place. OTP: `receive ... after`, or a `gen_server`
    /// that returns a timeout.
    ///
    /// What is in the mailbox before the time is over comes first, and ends the timeout though it should be taken later
    /// than that; with zero, what is in the mailbox already. A timeout that is over, replaced or ended is never seen.
    ///
    /// Costs a look at the clock, and no lock, where the next message comes in time: the timer of the process stays as it was,
    /// and when it goes off is set for what is left. So a process that has ended its timeout, or put it off, is woken once at
    /// the time that it was set for first, sees nothing, and has a timer until then. One that is late, with messages and the
    /// end of several timeouts to see to, may take a message that came after the time for one that came before.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::from_fns};
    /// use std::time::Duration;
    /// const PATIENCE: Duration = Duration::from_secs(5);
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn(from_fns(
    ///     |cx| { cx.set_timeout(PATIENCE); cx.nil() },
    ///     |cx, s, _| { cx.set_timeout(PATIENCE); Ok(Next(s)) },
    ///     |_, s, event| match event {
    ///         Event::Timeout => Ok(Stop(Exit::msg("nobody wants me"))),
    ///         _ => Ok(Next(s)),
    ///     },
    /// ))?;
    /// let exited = rt.exited(p);
    /// rt.advance(Duration::from_secs(4));
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.advance(Duration::from_secs(4));
    /// assert!(exited.try_wait().is_none());
    /// rt.advance(Duration::from_secs(1));
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "nobody wants me");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send_after`](Self::send_after).
    pub fn set_timeout(self, after: Duration) {
        let (task, node) = (self.task(), self.node());
        let now = node.timers.now();
        let due = now.saturating_add(nanoseconds(after));
        // SAFETY: a turn owns its process; setting a timer looks at no relations.
        let relations = unsafe { task.relations() }.unwrap_or_else(|error| unwind(error));
        if !relations.alarm.is_some_and(|alarm| (now + 1..=due).contains(&alarm.due)) {
            let id = node.timer_name();
            let event = signals::timeout_event(id).unwrap_or_else(|error| unwind(error));
            if let Some(old) = relations.alarm.replace(Alarm { id, due }) {
                // The event owns nothing of the user's.
                node.cancel_timer(old.id);
            }
            if let Err(error) = node.set_timer(id, after, Destination::Pid(self.me()), event) {
                relations.alarm = None;
                unwind(error);
            }
        }
        relations.timeout = Some(Timeout { number: relations.number(), due });
        // SAFETY: as above; the borrow ends with the statement.
        unsafe { task.owned() }.flags.set(Flags::TIMEOUT, true);
    }

    /// Ends the [timeout](Self::set_timeout) of this process. `false`: it has none. O(1), and no lock: the timer that it
    /// was set with goes off unseen.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::from_fns};
    /// use std::time::Duration;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn(from_fns(
    ///     |cx| {
    ///         assert!(!cx.clear_timeout());
    ///         cx.set_timeout(Duration::from_secs(1));
    ///         assert!(cx.clear_timeout());
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    ///     |_, _, event| panic!("{event:?}"),
    /// ))?;
    /// rt.advance(Duration::from_secs(2));
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear_timeout(self) -> bool {
        // SAFETY: a turn owns its process.
        unsafe { end_timeout(self.task()) }
    }
}
