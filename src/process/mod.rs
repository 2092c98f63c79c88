//! Processes: a heap, a mailbox, and a Rust value with the behaviour.
//!
//! A process runs in *turns*: one call of [`Process::receive`] per message. Within a turn terms are ordinary `Copy`
//! values; between turns the state term is all that is kept, and the heap may be collected. What must outlive a turn goes
//! into the state (a term) or into `self` (Rust data); a term cannot get into `self`.
//!
//! ```
//! use shared_term::prelude::*;
//!
//! /// Remembers the last lines that it was sent, as many as it has room for.
//! struct Log {
//!     room: usize,
//! }
//!
//! impl Process for Log {
//!     fn receive<'h>(&mut self, cx: Cx<'h>, lines: Term<'h>, message: Term<'h>) -> Turn<'h> {
//!         match message.view() {
//!             View::Pid(who) => {
//!                 cx.send(who, lines);
//!                 Ok(Next(lines))
//!             }
//!             View::Binary(_) => Ok(Next(cx.cons(message, cx.list(lines.list().take(self.room - 1))))),
//!             _ => Err(Exit::msg("neither a line nor somebody who asks")),
//!         }
//!     }
//! }
//!
//! let mut rt = Runtime::deterministic(1);
//! let (log, mut port) = (rt.spawn(Log { room: 2 })?, rt.port()?);
//! for line in ["one", "two", "three"] {
//!     rt.send_new(log, |h| h.binary(line))?;
//! }
//! let me = port.pid();
//! rt.send_new(log, |h| h.pid(me))?;
//! rt.run_until_idle();
//! assert_eq!(port.try_recv().unwrap().root().to_string(), r#"[<<"three">>,<<"two">>]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A process dies alone: an error from a turn (`?` works), a panic, or the heap's limit ends it, drops its heap without
//! tracing, and leaves everyone else as they were. Its end costs O(messages, timers, links and monitors that it has), on its
//! worker, and holds up no grace period, but for what the destructors of its messages and of its heap take.
//!
//! # What this is not
//!
//! Turns are not preempted. A turn that runs long holds its worker, its garbage (collected only *between* turns), and the
//! grace period of a global collection. Cut long jobs with [`Flow::Again`], told by [`Cx::should_yield`].

mod bound;
mod cell;
mod collection;
mod context;
mod end;
mod evacuate;
mod event;
mod exit;
pub(crate) mod hands;
mod incoming;
mod info;
#[cfg(all(test, not(all(loom, feature = "loom"))))]
pub(crate) mod kept;
mod links;
mod mailbox;
mod names;
mod node;
mod observer;
mod options;
mod persistent;
mod remains;
pub(crate) mod run;
mod signals;
mod small_map;
mod sparse;
mod tally;
mod timeout;
mod timer;
mod timetable;
mod turns;

pub use bound::MailboxLimit;
pub use context::{Cx, Letter};
pub use event::{Event, Monitored};
pub use exit::Exit;
pub use info::{Details, ProcessInfo, Status};
pub use names::RegisterError;
pub use node::SpawnError;
pub use observer::{Collected, Observer};
pub use options::{OptionError, SpawnOptions};
pub use persistent::TurnSlot;

pub(crate) use cell::{NOBODY, Recipient, Task};
pub(crate) use end::{Pieces, end};
pub(crate) use exit::caught;
pub(crate) use info::answer;
pub(crate) use mailbox::{Mailbox, Queue};
pub(crate) use node::{Node, Parent, Ready};
pub(crate) use observer::Observed;
pub(crate) use options::Settings;
pub(crate) use remains::Remains;
pub(crate) use signals::received_end;
pub(crate) use small_map::SmallMap;
pub(crate) use timer::{Destination, Timers, flat, nanoseconds, of_timer};

use crate::Pid;
use crate::heap::{HeapError, Region};
use crate::term::Term;
use std::fmt;

/// What a turn ends in.
///
/// ```
/// use shared_term::prelude::*;
/// const OPEN: Atom = Atom::inline("open");
/// # let mut rt = Runtime::deterministic(1);
/// let mut port = rt.port()?;
/// let home = port.pid();
/// let door = rt.spawn_fn(|cx| cx.atom(Atom::FALSE), move |cx, open, message| match message.as_atom() {
///     Some(OPEN) => Ok(NextReoffer(cx.atom(Atom::TRUE))), // what was left for later comes again
///     Some(Atom::OK) => Ok(Stop(Exit::NORMAL)),
///     _ if open.as_bool() == Some(true) => Ok(Forward(home)),
///     _ => Ok(Defer),
/// })?;
/// for guest in 1..=2 {
///     rt.send_new(door, |h| h.int(guest))?;
/// }
/// rt.run_until_idle();
/// assert!(port.try_recv().is_none());
/// rt.send_new(door, |h| h.atom(OPEN))?;
/// rt.run_until_idle();
/// assert_eq!([1, 2].map(|_| port.try_recv().unwrap().root().as_int()), [Some(1), Some(2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub enum Flow<'h> {
    /// Keep this state and wait for the next message.
    ///
    /// A state that is an immediate (an atom, a small integer, nil) frees the heap without tracing; the *same* state as
    /// before frees what this turn made.
    Next(Term<'h>),
    /// As `Next`, and offer the deferred messages again, oldest first.
    NextReoffer(Term<'h>),
    /// Yield: [`Process::resume`] runs next, with this state, before any message. Others run in between, and the heap may
    /// be collected: the tail call by which a long job stays small.
    Again(Term<'h>),
    /// Leave this message for later: selective receive. What the turn built is dropped, and the state stays as it was, so
    /// that nothing can point into a message that stays by itself.
    Defer,
    /// Hand this message on, untouched, O(1) whatever its size. No state, for the same reason. What is dead, or has a mailbox
    /// that is [full](MailboxLimit), swallows it, as what is [sent](Cx::send).
    Forward(Pid),
    /// End, for this reason.
    Stop(Exit),
}

/// What a behaviour returns. `?` works on every error.
///
/// ```
/// use shared_term::prelude::*;
/// fn add<'h>(cx: Cx<'h>, sum: Term<'h>, n: Term<'h>) -> Turn<'h> {
///     let sum = sum.get::<i64>()?.checked_add(n.get()?).ok_or_else(|| Exit::msg("too much"))?;
///     Ok(Next(cx.int(sum)))
/// }
/// # let mut rt = Runtime::deterministic(1);
/// let p = rt.spawn_fn(|cx| cx.int(0), add)?;
/// let exited = rt.exited(p);
/// rt.send_new(p, |h| h.int(i64::MAX))?;
/// rt.send_new(p, |h| h.int(1))?;
/// rt.run_until_idle();
/// assert_eq!(exited.try_wait().unwrap().to_string(), "too much");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Turn<'h> = Result<Flow<'h>, Exit>;

/// The behaviour of a process.
///
/// ```
/// use shared_term::prelude::*;
///
/// /// Adds up what it is sent. The sum lives in Rust; the list of what was sent in the heap.
/// struct Sum(i64);
///
/// impl Process for Sum {
///     fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
///         self.0 += message.get::<i64>()?;
///         if self.0 >= 6 {
///             return Ok(Stop(Exit::msg(format_args!("{} of {}", self.0, cx.cons(message, state)))));
///         }
///         Ok(Next(cx.cons(message, state)))
///     }
/// }
///
/// let mut rt = Runtime::deterministic(7);
/// let sum = rt.spawn(Sum(0))?;
/// let exited = rt.exited(sum);
/// for i in 1..=3 {
///     rt.send_new(sum, |h| h.int(i))?;
/// }
/// rt.run_until_idle();
/// assert_eq!(exited.try_wait().unwrap().to_string(), "6 of [3,2,1]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Process: Send + 'static {
    /// The first state. Runs as a turn of its own before any message; nil unless said otherwise.
    ///
    /// # Errors
    ///
    /// What it returns ends the process.
    ///
    /// ```
    /// use shared_term::prelude::*;
    ///
    /// struct Cache;
    ///
    /// impl Process for Cache {
    ///     fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
    ///         let size: u64 = cx.get("cache_size").ok_or_else(|| Exit::msg("no size"))?.get()?;
    ///         Ok(term!(cx, {size, #{}}))
    ///     }
    ///     fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
    ///         Ok(Next(state))
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let exited = rt.exited(rt.spawn(Cache)?);
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "no size");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        Ok(cx.nil())
    }

    /// Takes one message: from the old state to what follows.
    ///
    /// # Errors
    ///
    /// What it returns ends the process.
    ///
    /// ```
    /// use shared_term::prelude::*;
    ///
    /// struct Table;
    ///
    /// impl Process for Table {
    ///     fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
    ///         Ok(term!(cx, #{}))
    ///     }
    ///     fn receive<'h>(&mut self, cx: Cx<'h>, table: Term<'h>, message: Term<'h>) -> Turn<'h> {
    ///         match message.as_tuple() {
    ///             Some([key, value]) => Ok(Next(cx.insert(table, *key, *value).unwrap())),
    ///             Some([from]) => {
    ///                 cx.send(from.get()?, table);
    ///                 Ok(Next(table))
    ///             }
    ///             _ => Err(Exit::msg("neither a pair nor a question")),
    ///         }
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let (table, mut port) = (rt.spawn(Table)?, rt.port()?);
    /// rt.send_new(table, |h| term!(h, {"k", 1}))?;
    /// let home = port.pid();
    /// rt.send_new(table, |h| term!(h, {home}))?;
    /// rt.run_until_idle();
    /// assert_eq!(port.try_recv().unwrap().root().to_string(), r#"#{<<"k">> => 1}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h>;

    /// Goes on after [`Flow::Again`].
    ///
    /// # Errors
    ///
    /// What it returns ends the process.
    ///
    /// ```
    /// use shared_term::prelude::*;
    ///
    /// /// Counts a list, a thousand cells a turn. The state: what is left of it, and how many there were.
    /// struct Count;
    ///
    /// impl Process for Count {
    ///     fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, list: Term<'h>) -> Turn<'h> {
    ///         Ok(Again(term!(cx, {list, 0})))
    ///     }
    ///     fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
    ///         let (rest, count): (Term<'h>, u64) = state.get()?;
    ///         let mut cells = rest.list();
    ///         match cells.by_ref().take(1000).count() as u64 {
    ///             0 => Ok(Stop(Exit::msg(count))),
    ///             n => Ok(Again(term!(cx, {cells.rest(), count + n}))),
    ///         }
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn(Count)?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.list(0..5500))?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "5500");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        let _ = cx;
        Ok(Flow::Next(state))
    }

    /// Takes what is no message: see [`Event`]. It comes in one order with the messages of the same sender. Nothing is done
    /// about it unless this says so.
    ///
    /// `Defer` leaves the event for later like a message; `Forward` hands it on as the message that OTP would have made of
    /// it.
    ///
    /// # Errors
    ///
    /// What it returns ends the process.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    ///
    /// /// Ends when nobody has written for a minute.
    /// struct Session;
    ///
    /// impl Process for Session {
    ///     fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
    ///         cx.set_timeout(Duration::from_secs(60));
    ///         Ok(Next(state))
    ///     }
    ///     fn event<'h>(&mut self, _: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
    ///         match event {
    ///             Event::Timeout => Ok(Stop(Exit::msg("idle"))),
    ///             _ => Ok(Next(state)),
    ///         }
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn(Session)?;
    /// rt.send_new(p, |h| h.binary("hello"))?;
    /// rt.advance(Duration::from_secs(59));
    /// assert!(rt.is_alive(p));
    /// rt.advance(Duration::from_secs(1));
    /// assert!(!rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn event<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
        let _ = (cx, event);
        Ok(Flow::Next(state))
    }

    /// The process has ended, for whatever reason, a panic included. Its heap is still there, its terms are not to be
    /// had any more. Runs on the thread that ends it, before who is linked to it or monitors it is told; what it unwinds
    /// with is dropped. OTP: `terminate/2` of a `gen_server`, which is not called for every reason.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::sync::mpsc::{Sender, channel};
    ///
    /// struct Upload(Sender<String>);
    ///
    /// impl Process for Upload {
    ///     fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, chunk: Term<'h>) -> Turn<'h> {
    ///         chunk.get::<&[u8]>()?;
    ///         Ok(Next(state))
    ///     }
    ///     fn ended(&mut self, why: &Exit) {
    ///         self.0.send(format!("closed: {why}")).ok();
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let (tx, closed) = channel();
    /// let p = rt.spawn(Upload(tx))?;
    /// rt.send_new(p, |h| h.int(7))?;
    /// rt.run_until_idle();
    /// assert_eq!(closed.try_recv()?, "closed: expected a binary, found Int");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn ended(&mut self, why: &Exit) {
        let _ = why;
    }
}

impl Process for Box<dyn Process> {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        (**self).init(cx)
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        (**self).receive(cx, state, message)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        (**self).resume(cx, state)
    }

    fn event<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
        (**self).event(cx, state, event)
    }

    fn ended(&mut self, why: &Exit) {
        (**self).ended(why);
    }
}

/// For a closure that has to be a value before it is spawned: gives it the signature that a bare `let` cannot infer.
///
/// ```
/// use shared_term::{prelude::*, process::receive_fn};
/// # let rt = Runtime::deterministic(1);
/// let echo = receive_fn(|cx, state, message| {
///     cx.send(message.get()?, cx.atom(Atom::OK));
///     Ok(Next(state))
/// });
/// rt.spawn_fn(|cx| cx.nil(), echo).unwrap();
/// ```
pub fn receive_fn<F>(f: F) -> F
where
    F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h>,
{
    f
}

/// A process of three closures: the first state, messages, and [events](Event).
///
/// ```
/// use shared_term::{prelude::*, process::from_fns};
/// # let mut rt = Runtime::deterministic(1);
/// let mut port = rt.port()?;
/// let me = port.pid();
/// let p = rt.spawn(from_fns(
///     |cx| { cx.trap_exits(true); cx.nil() },
///     |_, state, _| Ok(Next(state)),
///     move |cx, state, event| {
///         if let Event::Exit { reason, .. } = event {
///             cx.send(me, reason);
///         }
///         Ok(Next(state))
///     },
/// ))?;
/// rt.run_until_idle();
/// rt.exit(p, &Region::build(|h| term!(h, {:go, "home"})))?;
/// rt.run_until_idle();
/// assert_eq!(port.try_recv().unwrap().root().to_string(), r#"{go,<<"home">>}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_fns<I, F, E>(init: I, receive: F, event: E) -> impl Process
where
    I: for<'h> FnOnce(Cx<'h>) -> Term<'h> + Send + 'static,
    F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
    E: for<'h> FnMut(Cx<'h>, Term<'h>, Event<'h>) -> Turn<'h> + Send + 'static,
{
    WithEvents { closures: FromClosures::new(init, receive), event }
}

/// A process of closures, and one for events.
struct WithEvents<I, F, E> {
    closures: FromClosures<I, F>,
    event: E,
}

impl<I, F, E> Process for WithEvents<I, F, E>
where
    I: for<'h> FnOnce(Cx<'h>) -> Term<'h> + Send + 'static,
    F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
    E: for<'h> FnMut(Cx<'h>, Term<'h>, Event<'h>) -> Turn<'h> + Send + 'static,
{
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        self.closures.init(cx)
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        self.closures.receive(cx, state, message)
    }

    fn event<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
        (self.event)(cx, state, event)
    }
}

/// A process of two closures. There is no blanket implementation for closures, because the compiler would not infer
/// their signature through it.
pub(crate) struct FromClosures<I, F> {
    init: Option<I>,
    receive: F,
}

impl<I, F> FromClosures<I, F> {
    pub(crate) fn new(init: I, receive: F) -> Self {
        Self { init: Some(init), receive }
    }
}

impl<I, F> Process for FromClosures<I, F>
where
    I: for<'h> FnOnce(Cx<'h>) -> Term<'h> + Send + 'static,
    F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
{
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        match self.init.take() {
            Some(init) => Ok(init(cx)),
            None => Ok(cx.nil()),
        }
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        (self.receive)(cx, state, message)
    }
}

/// A message was not delivered.
///
/// ```
/// use shared_term::{prelude::*, process::Unsent};
/// # let rt = Runtime::deterministic(1);
/// let dead = rt.port()?.pid(); // dropped at once
/// let alive = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
/// let request = Region::build(|h| h.list(0..1000));
/// match rt.send(dead, request) {
///     Err(Unsent::NoProcess(Some(request))) => rt.send(alive, request)?, // to somebody else: the same region
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Unsent {
    /// No process has that pid, or it ended first. A region that was to be moved comes back; a term is still the
    /// sender's.
    NoProcess(Option<Region>),
    /// The mailbox has a [limit](MailboxLimit), and the message would pass it. A region that was to be moved comes back; a
    /// term is still the sender's.
    Full(Option<Region>),
    /// There was no memory for the message.
    Heap(HeapError),
}

impl Unsent {
    /// For who does not ask: what nobody gets goes as it would with its receiver, where a destructor that unwinds ends nobody
    /// either.
    #[cold]
    fn drop_unseen(self) -> Result<(), HeapError> {
        match self {
            Self::NoProcess(message) | Self::Full(message) => _ = caught(|| drop(message)),
            Self::Heap(error) => return Err(error),
        }
        Ok(())
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess(_) => f.write_str("no process has that pid"),
            Self::Full(_) => f.write_str("the mailbox is full"),
            Self::Heap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unsent {}

impl From<HeapError> for Unsent {
    fn from(error: HeapError) -> Self {
        Self::Heap(error)
    }
}

static_assertions::assert_obj_safe!(Process);
