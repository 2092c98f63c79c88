//! Links and monitors: what a process knows of them, and what it can do about them in a turn.
//!
//! Two processes are linked when both know of it. Each link has a number from whoever made it, and an unlink names the
//! number of the other end that it knew of. Without it a process that is unlinked and linked again by its peer, while its own unlink is
//! on the way, would drop the new link for the old one, and the two would disagree for ever.

use super::Cx;
use super::cell::Flags;
use super::event::Monitored;
use super::exit::NOPROC;
use super::mailbox::Queue;
use super::signals::Kind;
use super::small_map::SmallMap;
use super::timeout::{Alarm, Timeout};
use crate::Pid;
use crate::heap::{HeapError, unwind};
use crate::term::{Atom, Reference, Term, TermRef};

/// What a process knows of others, of its timeout, and what it has still to look at. Made with the first of these: a process without is smaller.
#[derive(Debug, Default)]
pub(super) struct Relations {
    pub(super) links: SmallMap<Pid, Link>,
    /// Whom this process monitors.
    pub(super) monitors: SmallMap<Reference, Pid>,
    /// Who monitors this process.
    pub(super) watchers: SmallMap<(Pid, Reference), Watched>,
    /// The last name that was given to this process. It may have lost it.
    pub(super) name: Option<Atom>,
    /// The timeout of this process.
    pub(super) timeout: Option<Timeout>,
    /// The timer by which it hears of that, which runs, or has fired unseen.
    pub(super) alarm: Option<Alarm>,
    /// What has come and was not looked at yet: a signal, and what came behind it.
    pub(super) unseen: Queue,
    /// The last number that was given.
    last: u64,
}

/// A link as one of its ends knows it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    /// The number that this process gave it, zero if it did not make it.
    mine: u64,
    /// The number that the peer gave it, zero if that has not made it.
    theirs: u64,
    /// This process had ended before it knew.
    pub(super) late: bool,
}

/// A monitor as the process knows it that is monitored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pub(super) object: Monitored,
    /// This process had ended before it knew.
    pub(super) late: bool,
}

impl Relations {
    /// A number for a link, or for a timeout: never zero, never again.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps no room for more.
    pub(super) fn shrink(&mut self) {
        self.links.shrink();
        self.monitors.shrink();
        self.watchers.shrink();
    }

    /// Makes places for one more link and one more monitor, either way.
    pub(super) fn reserve(&mut self, link: bool, monitors: bool, monitored: bool) -> Result<(), HeapError> {
        if link {
            self.links.reserve()?;
        }
        if monitors {
            self.monitors.reserve()?;
        }
        if monitored { self.watchers.reserve() } else { Ok(()) }
    }

    /// Links and monitors a process that is being spawned, of which nobody else knows yet. Both must have
    /// [places](Self::reserve) for that.
    pub(super) fn beget(&mut self, me: Pid, child: Pid, of_child: &mut Self, link: bool, monitor: Option<Reference>) {
        if link {
            let id = self.number();
            self.links.insert(child, Link { mine: id, ..Link::default() });
            of_child.links.insert(me, Link { mine: 0, theirs: id, late: false });
        }
        if let Some(id) = monitor {
            self.monitors.insert(id, child);
            of_child.watched_by(me, id, child);
        }
    }

    /// This process, which nobody knows yet, is monitored from the start. There must be a [place](Self::reserve) for that.
    pub(super) fn watched_by(&mut self, who: Pid, monitor: Reference, me: Pid) {
        self.watchers.insert((who, monitor), Watched { object: Monitored::Pid(me), late: false });
    }

    pub(super) fn link_came(&mut self, from: Option<Pid>, id: u64, late: bool) -> Result<(), HeapError> {
        let Some(from) = from else { return Ok(()) };
        if let Some(link) = self.links.get_mut(&from) {
            link.theirs = id;
            return Ok(());
        }
        self.links.reserve()?;
        self.links.insert(from, Link { mine: 0, theirs: id, late });
        Ok(())
    }

    /// The peer has ended the link, of which it knew this number of this process. Its own number needs no name: what it has
    /// sent comes in order, and so the last that came is the one.
    pub(super) fn unlink_came(&mut self, from: Option<Pid>, mine: u64) {
        let Some((from, link)) = from.and_then(|from| Some((from, self.links.get_mut(&from)?))) else { return };
        link.theirs = 0;
        if link.mine == mine {
            link.mine = 0;
        }
        if (link.mine, link.theirs) == (0, 0) {
            self.links.remove(&from);
        }
    }

    /// The peer has ended. Was there a link?
    pub(super) fn unlinked(&mut self, from: Option<Pid>) -> bool {
        from.is_some_and(|from| self.links.remove(&from).is_some())
    }

    /// This process monitors `id` no more. Whom it did.
    pub(super) fn demonitored(&mut self, id: Reference) -> Option<Pid> {
        self.monitors.remove(&id)
    }
}

/// What a turn cannot do without memory ends the process, as any allocation there.
fn or_unwind<T>(result: Result<T, HeapError>) -> T {
    result.unwrap_or_else(|error| unwind(error))
}

/// # Links, monitors and exit signals
///
/// All of these send a signal and return: they never block, and take effect in one order with the messages that this
/// process sends to the same receiver. Where there is no memory for it, this process ends, and no other, as at every
/// allocation of a turn.
///
/// Signals are looked at between turns, in the order of their arrival, eight for each turn that a process may run before
/// others get theirs: a flood of them holds no worker. What has not been looked at yet counts among the
/// [`messages`](super::ProcessInfo::messages) that wait, and by itself as [`signals`](super::ProcessInfo::signals).
///
/// Nothing bounds how many wait, as in OTP, and for the same reason: a signal that is refused would be a link of which one
/// end knows nothing. A signal takes less than 100 bytes, that of an end as much as the reason besides, once for each who is
/// told. It waits for the turn that the receiver is in, and for the signals before it. So what can grow is the queue of a
/// process that is in a long turn, or that others send more than it can see to: by one signal for each call of the functions
/// here.
impl<'h> Cx<'h> {
    fn relations(self) -> &'h mut Relations {
        // SAFETY: a turn owns its process; nobody keeps this borrow while it runs code of the user's.
        or_unwind(unsafe { self.task().relations() })
    }

    /// Links this process with another: when one of them ends, the other is sent an exit signal with the reason. That
    /// ends it too, unless the reason is `normal` or it [traps exits](Self::trap_exits). A second link of the same two is
    /// none.
    ///
    /// With nobody there, this process is sent an exit signal of the link with the reason `noproc`, as if the other had ended
    /// on the way. OTP's `link/1` fails in place of that where the caller does not trap exits.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let a = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("no reason"))))?;
    /// let b = rt.spawn_fn(move |cx| { cx.link(a); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// rt.send_new(a, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(!rt.is_alive(b));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn link(self, to: Pid) {
        let (me, relations) = (self.me(), self.relations());
        if to == me || relations.links.contains(&to) {
            return;
        }
        // A place first: the peer may know of the link from here on.
        or_unwind(relations.links.reserve());
        let id = relations.number();
        let there = or_unwind(self.node().send_link(me, to, id));
        relations.links.insert(to, Link { mine: id, ..Link::default() });
        if !there {
            or_unwind(self.node().send_link_exit(to, me, NOPROC.word()));
        }
    }

    /// Ends a link. From here on no exit signal comes of it, be it on its way. What came before, to a process that traps
    /// exits, may wait as an event: [`unlink_flush`](Self::unlink_flush) takes that back too. OTP: `unlink/1`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let a = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("no reason"))))?;
    /// let b = rt.spawn_fn(move |cx| { cx.link(a); cx.nil() }, move |cx, s, _| { cx.unlink(a); Ok(Next(s)) })?;
    /// rt.send_new(b, |h| h.nil())?;
    /// rt.run_until_idle();
    /// rt.send_new(a, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(!rt.is_alive(a) && rt.is_alive(b));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink(self, from: Pid) {
        if let Some(link) = self.relations().links.remove(&from) {
            or_unwind(self.node().send_unlink(self.me(), from, link.theirs));
        }
    }

    /// As [`unlink`](Self::unlink), and takes the event out of the mailbox if it has come: of a link with this process nothing
    /// is seen from here on. What it has sent by [`exit`](Self::exit) stays. O(messages that wait). OTP: `unlink(Pid), receive {'EXIT', Pid, _} -> true after 0 -> true end`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::from_fns};
    /// # let mut rt = Runtime::deterministic(1);
    /// let a = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("no reason"))))?;
    /// let b = rt.spawn(from_fns(
    ///     move |cx| { cx.trap_exits(true); cx.link(a); cx.nil() },
    ///     move |cx, s, _| { cx.unlink_flush(a); Ok(Next(s)) },
    ///     |_, _, event| panic!("{event:?}"),
    /// ))?;
    /// rt.run_until_idle();
    /// rt.send_new(b, |h| h.nil())?; // before the end of `a`, which comes before it is received
    /// rt.send_new(a, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(!rt.is_alive(a) && rt.is_alive(b));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink_flush(self, from: Pid) {
        self.unlink(from);
        self.remove_events(Kind::LinkExitEvent, |who| who.as_pid() == Some(from));
    }

    /// Takes back the events of this kind whose first field behind the tag is the one.
    fn remove_events(self, kind: Kind, is_it: impl Fn(TermRef<'_>) -> bool) {
        let task = self.task();
        // SAFETY: a turn owns its process; the borrow ends here.
        unsafe { task.owned() }.remove_events(|event| {
            Kind::of(event) == kind && super::event::fields(event).get(1).is_some_and(|field| is_it(*field))
        });
    }

    /// Monitors a process: when it ends, this one is told by [`Event::Down`](super::Event::Down), once; at once, with the
    /// reason `noproc`, when there is nobody. Monitoring the same process again is another monitor. OTP:
    /// `monitor(process, Pid)`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Event};
    ///
    /// struct Watches(Pid, Option<Reference>);
    ///
    /// impl Process for Watches {
    ///     fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
    ///         self.1 = Some(cx.monitor(self.0));
    ///         Ok(cx.nil())
    ///     }
    ///     fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
    ///         Ok(Next(state))
    ///     }
    ///     fn event<'h>(&mut self, _: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
    ///         match event {
    ///             Event::Down { monitor, reason, .. } if Some(monitor) == self.1 => Ok(Stop(Exit::msg(reason))),
    ///             _ => Ok(Next(state)),
    ///         }
    ///     }
    /// }
    ///
    /// let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
    /// let exited = rt.exited(rt.spawn(Watches(p, None))?);
    /// rt.run_until_idle();
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "normal");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor(self, whom: Pid) -> Reference {
        self.monitor_as(Some(whom), Monitored::Pid(whom))
    }

    /// As [`monitor`](Self::monitor), of whoever has this name now: the event tells the name. `noproc` when nobody has it.
    /// OTP: `monitor(process, Name)`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{Monitored, from_fns}};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn(from_fns(
    ///     |cx| cx.reference(cx.monitor_name(LOG)),
    ///     |_, s, _| Ok(Next(s)),
    ///     |_, mine, event| match event {
    ///         Event::Down { monitor, object: Monitored::Name(LOG), reason } => {
    ///             assert_eq!(mine.as_reference(), Some(monitor));
    ///             Ok(Stop(Exit::msg(reason)))
    ///         }
    ///         _ => Ok(Next(mine)),
    ///     },
    /// ))?;
    /// let exited = rt.exited(p);
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "noproc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor_name(self, name: Atom) -> Reference {
        self.monitor_as(self.node().whereis(name), Monitored::Name(name))
    }

    fn monitor_as(self, whom: Option<Pid>, object: Monitored) -> Reference {
        let (me, relations) = (self.me(), self.relations());
        or_unwind(relations.monitors.reserve());
        let id = self.make_ref();
        or_unwind(self.node().monitor(me, id, whom, object));
        relations.monitors.insert(id, whom.unwrap_or(me));
        id
    }

    /// Ends a monitor. Nothing comes of it from here on; an [`Event::Down`](super::Event::Down) that came before may wait
    /// still. `false`: it had fired, or was ended before. OTP: `demonitor/1`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let a = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let b = rt.spawn_fn(
    ///     move |cx| {
    ///         let monitor = cx.monitor(a);
    ///         assert!(cx.demonitor(monitor));
    ///         assert!(!cx.demonitor(monitor), "it was ended before");
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.info(b).unwrap().details.unwrap().monitors, []);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn demonitor(self, monitor: Reference) -> bool {
        let Some(whom) = self.relations().demonitored(monitor) else { return false };
        or_unwind(self.node().send_demonitor(self.me(), whom, monitor));
        true
    }

    /// As [`demonitor`](Self::demonitor), and takes the event out of the mailbox if it has come: it is never seen from here
    /// on. O(messages that wait) when the monitor has fired. OTP: `demonitor(Ref, [flush])`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::from_fns};
    /// # let mut rt = Runtime::deterministic(1);
    /// let gone = rt.port()?.pid(); // dropped at once
    /// let p = rt.spawn(from_fns(
    ///     move |cx| {
    ///         let monitor = cx.monitor(gone); // fires at once
    ///         cx.demonitor_flush(monitor);
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    ///     |_, _, event| panic!("{event:?}"),
    /// ))?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn demonitor_flush(self, monitor: Reference) -> bool {
        let active = self.demonitor(monitor);
        if !active {
            self.remove_events(Kind::DownEvent, |id| id.as_reference() == Some(monitor));
        }
        active
    }

    /// Does this process see exit signals as events, instead of ending of them? It does not, unless told so. The old
    /// answer. OTP: `process_flag(trap_exit, Bool)`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::from_fns};
    /// # let mut rt = Runtime::deterministic(1);
    /// let supervisor = rt.spawn(from_fns(
    ///     |cx| {
    ///         cx.trap_exits(true);
    ///         cx.int(0)
    ///     },
    ///     |cx, s, _| {
    ///         let fails = cx.spawn_linked(from_fns(|cx| cx.nil(), |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s))))?;
    ///         cx.exit(fails, cx.atom(Atom::ERROR));
    ///         Ok(Next(s))
    ///     },
    ///     |cx, failed, event| match event {
    ///         Event::Exit { .. } => Ok(Next(cx.int(failed.get::<i64>()? + 1))),
    ///         _ => Ok(Next(failed)),
    ///     },
    /// ))?;
    /// rt.send_new(supervisor, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(supervisor));
    /// assert_eq!(rt.info(supervisor).unwrap().details.unwrap().links, [], "the child has ended");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trap_exits(self, traps: bool) -> bool {
        let task = self.task();
        // SAFETY: a turn owns its process; the borrow ends with the statement.
        unsafe { task.owned() }.flags.set(Flags::TRAPS_EXITS, traps)
    }

    /// Sends an exit signal. `normal` does nothing to a process that does not trap exits, but for this one itself; `kill`
    /// cannot be trapped. Nothing happens where there is nobody. OTP: `exit(Pid, Reason)`.
    ///
    /// A signal to this process itself is seen after the turn.
    ///
    /// # Panics
    ///
    /// When memory runs out, as every allocation of a turn: it ends this process alone.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let victim = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let exited = rt.exited(victim);
    /// rt.spawn_fn(move |cx| { cx.exit(victim, term!(cx, {:moved, "east"})); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), r#"{moved,<<"east">>}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(self, to: Pid, reason: Term<'h>) {
        // SAFETY: the term is of this turn, whose worker is online.
        or_unwind(unsafe { self.node().send_exit(Some(self.me()), to, reason.word()) });
    }

    /// Ends another process, whatever it does about exit signals, at the next boundary of its turns; what is linked to it
    /// has `killed` for a reason. OTP: `exit(Pid, kill)`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let stubborn = rt.spawn_fn(|cx| { cx.trap_exits(true); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// rt.spawn_fn(move |cx| { cx.kill(stubborn); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert!(!rt.is_alive(stubborn));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(self, whom: Pid) {
        or_unwind(self.node().send_kill(whom));
    }
}
