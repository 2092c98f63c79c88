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
            (Kind::ExitEvent, &[_, from, reason]) => Some(Self::Exit { from: from.as_pid(), reason: term(reason) }),
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
