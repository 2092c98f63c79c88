//! What a process receives that is no message.

use super::signals::Kind;
use crate::heap::Region;
use crate::term::word::Word;
use crate::term::{Reference, Term, TermRef};
use crate::{Atom, Pid};
use std::fmt;

/// What arrives in the mailbox beside messages, and in one order with the messages of the same sender: the argument of
/// [`Process::event`](super::Process::event).
///
/// A process sees an `Exit` only while it [traps exits](super::Cx::trap_exits), and a `Down` only for what it
/// [monitors](super::Cx::monitor).
///
/// ```
/// use shared_term::{prelude::*, process::from_fns};
/// use std::time::Duration;
/// # let mut rt = Runtime::deterministic(1);
/// let mut port = rt.port()?;
/// let home = port.pid();
/// let worker = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("done"))))?;
/// rt.spawn(from_fns(
///     move |cx| {
///         cx.trap_exits(true);
///         cx.link(worker);
///         cx.monitor(worker);
///         cx.nil()
///     },
///     |_, s, _| Ok(Next(s)),
///     move |cx, s, event| {
///         match event {
///             Event::Exit { from, reason } => cx.send(home, term!(cx, {:exit, from == Some(worker), reason})),
///             Event::Down { reason, .. } => cx.send(home, term!(cx, {:down, reason})),
///             Event::Timeout => cx.send(home, term!(cx, :timeout)),
///             _ => {}
///         }
///         cx.set_timeout(Duration::from_secs(1));
///         Ok(Next(s))
///     },
/// ))?;
/// rt.run_until_idle();
/// rt.send_new(worker, |h| h.nil())?;
/// rt.advance(Duration::from_secs(1));
/// let mut told: Vec<_> = std::iter::from_fn(|| port.try_recv()).map(|m| m.root().to_string()).collect();
/// told[..2].sort();
/// assert_eq!(told, [r#"{down,{error,<<"done">>}}"#, r#"{exit,true,{error,<<"done">>}}"#, "timeout"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'h> {
    /// A process that this one is linked to has ended, or somebody has sent an exit signal. OTP: `{'EXIT', From, Reason}`.
    Exit {
        /// Who; `None` for a signal from outside the processes.
        from: Option<Pid>,
        /// Why; see [`Exit::to_region`](super::Exit::to_region) for how Rust errors read here.
        reason: Term<'h>,
    },
    /// What this process monitors has ended. OTP: `{'DOWN', Ref, process, Object, Reason}`.
    Down {
        /// What [`Cx::monitor`](super::Cx::monitor) has given.
        monitor: Reference,
        /// What was monitored.
        object: Monitored,
        /// Why it ended; the atom `noproc` when there was nobody.
        reason: Term<'h>,
    },
    /// No message has come in [time](super::Cx::set_timeout). Deferred, it is let go of; forwarded, it is `{timeout, Ref}`.
    Timeout,
}

impl Event<'_> {
    /// The event that a region of this kind holds.
    ///
    /// # Safety
    ///
    /// The region must have been made as one of this kind, and live for `'h`, the brand of the turn that it is given to.
    pub(super) unsafe fn of(kind: Kind, event: &Region) -> Option<Self> {
        // SAFETY: the caller's promise.
        let term = |lent: TermRef<'_>| unsafe { Term::from_word(lent.word()) };
        match (kind, fields(event)) {
            (Kind::ExitEvent | Kind::LinkExitEvent, &[_, from, reason]) => {
                Some(Self::Exit { from: from.as_pid(), reason: term(reason) })
            }
            (Kind::DownEvent, &[_, monitor, _, object, reason]) => Some(Self::Down {
                monitor: monitor.as_reference()?,
                object: Monitored::of(object)?,
                reason: term(reason),
            }),
            (Kind::TimeoutEvent, _) => Some(Self::Timeout),
            _ => None,
        }
    }
}

/// The elements of the tuple that a signal is.
pub(super) fn fields(signal: &Region) -> &[TermRef<'_>] {
    signal.root().as_tuple().unwrap_or_default()
}

/// What a monitor was set on.
///
/// ```
/// use shared_term::{prelude::*, process::{Monitored, from_fns}};
/// # let mut rt = Runtime::deterministic(1);
/// let a = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
/// rt.register(Atom::inline("a"), a)?;
/// let mut port = rt.port()?;
/// let home = port.pid();
/// rt.spawn(from_fns(
///     move |cx| {
///         cx.monitor(a);
///         cx.monitor_name(Atom::inline("a"));
///         cx.nil()
///     },
///     |_, s, _| Ok(Next(s)),
///     move |cx, s, event| {
///         if let Event::Down { object, .. } = event {
///             cx.send(home, cx.binary(match object {
///                 Monitored::Pid(pid) if pid == a => "by pid",
///                 Monitored::Name(_) => "by name",
///                 _ => "somebody else",
///             }));
///         }
///         Ok(Next(s))
///     },
/// ))?;
/// rt.run_until_idle();
/// rt.send_new(a, |h| h.nil())?;
/// rt.run_until_idle();
/// let mut told: Vec<_> = std::iter::from_fn(|| port.try_recv()).map(|m| m.root().to_string()).collect();
/// told.sort();
/// assert_eq!(told, [r#"<<"by name">>"#, r#"<<"by pid">>"#]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Monitored {
    /// A process.
    Pid(Pid),
    /// Whoever had this name at the time.
    Name(Atom),
}

impl Monitored {
    pub(super) const fn word(self) -> Word {
        match self {
            Self::Pid(pid) => pid.word(),
            Self::Name(name) => name.word(),
        }
    }

    pub(super) fn of(term: TermRef<'_>) -> Option<Self> {
        term.as_atom().map(Self::Name).or_else(|| term.as_pid().map(Self::Pid))
    }
}

impl fmt::Display for Monitored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => pid.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
