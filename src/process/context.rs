//! The context of a turn.

use super::cell::{Flags, Task};
use super::node::{Node, Parent, SpawnError};
use super::timer;
use super::{Process, Settings, SpawnOptions, Turn, Unsent};
use crate::heap::copy::Literals;
use crate::heap::{Heap, HeapError, Region};
use crate::persistent::{Domain, Holder, PersistentTerms, sealed};
use crate::term::{Reference, Term};
use crate::{Atom, Pid};
use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// What a turn can reach: its process's heap (it dereferences to [`Heap`]), other processes, and the persistent terms.
/// `Copy`, valid for one turn.
///
/// ```
/// use shared_term::prelude::*;
/// # let mut rt = Runtime::deterministic(1);
/// let echo = rt.spawn_fn(|cx| cx.int(0), |cx, seen, message| {
///     let (from, what): (Pid, Term<'_>) = message.get()?;
///     cx.send(from, what);
///     Ok(Next(cx.int(seen.get::<i64>()? + 1)))
/// })?;
/// let mut port = rt.port()?;
/// let me = port.pid();
/// rt.send_new(echo, |h| term!(h, {me, [1, 2]}))?;
/// rt.run_until_idle();
/// assert_eq!(port.try_recv().unwrap().root().to_string(), "[1,2]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Cx<'h> {
    heap: Heap<'h>,
    turn: &'h TurnState,
}

/// What is the same for all copies of a [`Cx`].
#[derive(Debug)]
pub(crate) struct TurnState {
    task: Task,
    /// Work that the turn may still do before it should yield.
    budget: Cell<u32>,
    /// The task's, at hand for reads of persistent terms.
    domain: NonNull<Domain>,
    /// The batches of persistent terms that the turn sees.
    snapshot: Cell<u64>,
}

impl TurnState {
    /// The state of a turn that begins. The caller must own the task, and be online.
    #[inline]
    pub(crate) fn new(task: Task) -> Self {
        let domain = task.header().node.domain();
        let snapshot = Cell::new(domain.table.snapshot());
        Self { task, budget: Cell::new(BUDGET), domain: NonNull::from(domain), snapshot }
    }
}

/// How often [`Cx::should_yield`] says no.
const BUDGET: u32 = 4000;
/// For how many of those a process counts that is spawned: one that goes on spawning stops when about as many wait for
/// their first turn as the nearest cache holds.
const SPAWN: u32 = 63;

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("me", &self.me()).finish_non_exhaustive()
    }
}

impl<'h> Deref for Cx<'h> {
    type Target = Heap<'h>;

    fn deref(&self) -> &Heap<'h> {
        &self.heap
    }
}

impl sealed::Turn for Cx<'_> {
    #[inline(always)]
    fn domain(&self) -> *const () {
        self.turn.domain.as_ptr().cast()
    }

    #[inline(always)]
    fn snapshot(&self) -> u64 {
        self.seen()
    }
}

impl<'h> Holder<'h> for Cx<'h> {}

/// What can be sent: a [`Term`] is copied (its literals by pointer), a [`Region`] is moved. Sealed.
///
/// ```
/// use shared_term::{prelude::*, process::Letter};
/// /// Every answer goes out with the tag of the request before it.
/// fn answer<'h>(cx: Cx<'h>, to: Pid, tag: Reference, answer: impl Letter<'h>) {
///     cx.send(to, cx.reference(tag));
///     cx.send(to, answer);
/// }
/// # let mut rt = Runtime::deterministic(1);
/// let mut port = rt.port()?;
/// let home = port.pid();
/// rt.spawn_fn(
///     move |cx| {
///         answer(cx, home, cx.make_ref(), cx.atom(Atom::OK)); // copied
///         answer(cx, home, cx.make_ref(), Region::build(|h| h.list(0..100))); // moved
///         cx.nil()
///     },
///     |_, s, _| Ok(Next(s)),
/// )?;
/// rt.run_until_idle();
/// let sizes: Vec<_> = std::iter::from_fn(|| port.try_recv()).map(|m| m.words()).collect();
/// assert_eq!(sizes, [0, 0, 0, 200]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Letter<'h>: letter::Sealed<'h> {}

pub(crate) mod letter {
    use super::{Cx, HeapError, Pid, Reference, Region, Unsent};

    pub trait Sealed<'h>: Sized {
        #[doc(hidden)]
        fn post(self, cx: Cx<'h>, to: Pid) -> Result<(), Unsent>;
        #[doc(hidden)]
        fn back(self) -> Option<Region>;
        #[doc(hidden)]
        fn flat(self) -> Result<Region, HeapError>;
        #[doc(hidden)]
        fn of_timer(self, timer: Reference) -> Result<Region, HeapError>;
    }
}

impl<'h> Letter<'h> for Term<'h> {}
impl<'h> letter::Sealed<'h> for Term<'h> {
    #[inline]
    fn post(self, cx: Cx<'h>, to: Pid) -> Result<(), Unsent> {
        // SAFETY: the term is of this turn, which is one of this node.
        unsafe { cx.node().send_word(to, self.word()) }
    }

    fn back(self) -> Option<Region> {
        None
    }

    fn flat(self) -> Result<Region, HeapError> {
        // SAFETY: the term is of this turn.
        unsafe { Region::copy_word(self.word(), Literals::Flatten) }
    }

    fn of_timer(self, timer: Reference) -> Result<Region, HeapError> {
        // SAFETY: as above.
        unsafe { Region::tuple_with_copy(&timer::front(timer), self.word(), Literals::Flatten) }
    }
}

impl Letter<'_> for Region {}
impl<'h> letter::Sealed<'h> for Region {
    #[inline]
    fn post(self, cx: Cx<'h>, to: Pid) -> Result<(), Unsent> {
        // SAFETY: the context is one of a turn of this node.
        unsafe { cx.node().send_region_in_turn(to, self) }
    }

    fn back(self) -> Option<Region> {
        Some(self)
    }

    fn flat(self) -> Result<Region, HeapError> {
        timer::flat(self)
    }

    fn of_timer(self, timer: Reference) -> Result<Region, HeapError> {
        timer::of_timer(timer, self)
    }
}

impl<'h> Cx<'h> {
    /// # Safety
    ///
    /// The caller must own the task of `turn`, run one turn of it, and be online; `'h` must be made up for that turn.
    pub(crate) unsafe fn new(turn: &'h TurnState) -> Self {
        // SAFETY: the heap of a process that is owned by the caller.
        Self { heap: unsafe { Heap::from_raw(turn.task.heap()) }, turn }
    }

    pub(super) fn node(self) -> &'h Arc<Node> {
        &self.turn.task.header().node
    }

    pub(super) fn task(self) -> Task {
        self.turn.task
    }

    /// The domain of the persistent terms.
    #[inline(always)]
    pub(super) fn domain_ref(self) -> &'h Domain {
        // SAFETY: the process has a share of its domain, and the turn a share of the process.
        unsafe { self.turn.domain.as_ref() }
    }

    /// The batches that the turn sees.
    #[inline(always)]
    pub(super) fn seen(self) -> u64 {
        self.turn.snapshot.get()
    }

    /// From here on the turn sees the batches up to this one.
    pub(super) fn see(self, batch: u64) {
        self.turn.snapshot.set(batch);
    }

    /// The pid of this process. OTP: `self/0`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// let p = rt.spawn_fn(move |cx| { cx.send(home, cx.pid(cx.me())); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert_eq!(port.try_recv().unwrap().root().as_pid(), Some(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn me(self) -> Pid {
        self.turn.task.pid()
    }

    /// A reference that is given once, here and in any other domain. Wait-free, one `fetch_add` for 1,024; no memory. OTP: `make_ref/0`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let asks = rt.spawn_fn(|cx| cx.reference(cx.make_ref()), |_, mine, message| {
    ///     assert!(message.get::<Reference>()? > mine.get::<Reference>()?);
    ///     Ok(Next(message))
    /// })?;
    /// # rt.run_until_idle();
    /// let later = rt.persistent().make_ref();
    /// rt.send_new(asks, |h| h.reference(later))?;
    /// rt.run_until_idle();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn make_ref(self) -> Reference {
        self.persistent().make_ref()
    }

    /// Sends a copy of a term, or moves a region. Waits for no process and never touches the receiver's heap; a pid that is dead,
    /// or dies, swallows it, as does a mailbox that is [full](super::MailboxLimit). What one process sends another arrives
    /// in the order in which it was sent. OTP: `Pid ! Message`.
    ///
    /// A term is copied with its sharing, O(words); its literals go by pointer. A region is moved, O(1) whatever its
    /// size. The memory is the message's own until it is received or dropped. What nobody gets is dropped here; a destructor
    /// of it that panics ends nobody, as in the hands of its receiver.
    ///
    /// # Panics
    ///
    /// When memory runs out, as every allocation of a turn: it ends this process alone.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// rt.spawn_fn(
    ///     move |cx| {
    ///         let state = cx.list(["a", "b"]);
    ///         cx.send(home, state); // a copy; the state stays this process's
    ///         cx.send(home, Region::build(|h| h.list(0..1000))); // moved
    ///         state
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert_eq!(port.try_recv().unwrap().root().to_string(), r#"[<<"a">>,<<"b">>]"#);
    /// assert_eq!(port.try_recv().unwrap().words(), 2000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn send(self, to: Pid, message: impl Letter<'h>) {
        if let Err(unsent) = message.post(self, to) {
            unsent.drop_unseen().unwrap_or_else(|error| crate::heap::unwind(error));
        }
    }

    /// As [`send`](Self::send), and says whether there was somebody to send to.
    ///
    /// # Errors
    ///
    /// When the process is dead or its mailbox is full (a region comes back; of a term there is nothing to give back), or
    /// there is no memory.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Unsent};
    /// # let mut rt = Runtime::deterministic(1);
    /// let gone = rt.port()?.pid(); // dropped at once
    /// let p = rt.spawn_fn(|cx| cx.nil(), move |cx, _, _| {
    ///     let letter = Region::build(|h| h.list(0..10));
    ///     let Err(Unsent::NoProcess(Some(letter))) = cx.try_send(gone, letter) else { panic!("it is dead") };
    ///     Ok(Next(cx.adopt(letter))) // kept instead
    /// })?;
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.info(p).unwrap().details.unwrap().heap.adopted_words, 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send(self, to: Pid, message: impl Letter<'h>) -> Result<(), Unsent> {
        message.post(self, to)
    }

    /// Builds a message in a region of its own and moves it: no copy.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// rt.spawn_fn(
    ///     move |cx| {
    ///         let me = cx.me();
    ///         cx.send_new(home, |h| term!(h, {:rows, me, h.list(0..1000)}));
    ///         assert_eq!(cx.used_words(), 0, "nothing of it was built here");
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert!(port.try_recv().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_new(self, to: Pid, f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) {
        self.send(to, Region::build(f));
    }

    /// Spawns a process. It starts with [`Process::init`], soon, on some worker. O(1). OTP: `spawn/1`.
    ///
    /// # Errors
    ///
    /// When the runtime has as many processes as it may have, or there is no memory.
    ///
    /// ```
    /// use shared_term::prelude::*;
    ///
    /// /// Counts down to where nobody is left.
    /// struct Chain(u32, Pid);
    ///
    /// impl Process for Chain {
    ///     fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
    ///         match self.0 {
    ///             0 => cx.send(self.1, cx.atom(Atom::OK)),
    ///             n => _ = cx.spawn(Chain(n - 1, self.1))?,
    ///         }
    ///         Ok(cx.nil())
    ///     }
    ///     fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
    ///         Ok(Next(state))
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// rt.spawn(Chain(9, port.pid()))?;
    /// rt.run_until_idle();
    /// assert_eq!((rt.processes(), port.try_recv().unwrap().root().as_atom()), (10, Some(Atom::OK)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn(self, process: impl Process) -> Result<Pid, SpawnError> {
        self.beget(&self.node().defaults, None, false, None, process)
    }

    /// As [`spawn`](Self::spawn), with options. OTP: `spawn_opt/2`.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and when the options cannot be had or another process has the name.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnOptions, from_fns}};
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.spawn_fn(
    ///     |cx| {
    ///         let worker = from_fns(|cx| cx.nil(), |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s)));
    ///         let small = SpawnOptions::new().max_heap_words(10_000).name(Atom::inline("worker"));
    ///         cx.spawn_with(small, worker).unwrap();
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert!(rt.whereis(Atom::inline("worker")).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_with(self, options: SpawnOptions, process: impl Process) -> Result<Pid, SpawnError> {
        let settings = options.over(&self.node().defaults)?;
        self.beget(&settings, options.its_name(), options.is_linked(), None, process)
    }

    /// Spawns a process that is [linked](Self::link) to this one from the start. OTP: `spawn_link/1`.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::from_fns};
    /// # let mut rt = Runtime::deterministic(1);
    /// let parent = rt.spawn_fn(
    ///     |cx| {
    ///         let fails = from_fns(|cx| cx.nil(), |_, _, _| Err(Exit::msg("bad input")), |_, s, _| Ok(Next(s)));
    ///         cx.pid(cx.spawn_linked(fails).unwrap())
    ///     },
    ///     |cx, child, message| { cx.send(child.get()?, message); Ok(Next(child)) },
    /// )?;
    /// let exited = rt.exited(parent);
    /// rt.send_new(parent, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), r#"{error,<<"bad input">>}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_linked(self, process: impl Process) -> Result<Pid, SpawnError> {
        self.beget(&self.node().defaults, None, true, None, process)
    }

    /// Spawns a process that is [monitored](Self::monitor) by this one from the start: its end is not missed however soon
    /// it comes. OTP: `spawn_monitor/1`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnOptions, from_fns}};
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let me = port.pid();
    /// rt.spawn(from_fns(
    ///     |cx| {
    ///         cx.spawn_monitored(SpawnOptions::new(), receive_nothing()).unwrap();
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    ///     move |cx, s, event| {
    ///         if let Event::Down { reason, .. } = event {
    ///             cx.send(me, reason);
    ///         }
    ///         Ok(Next(s))
    ///     },
    /// ))?;
    /// fn receive_nothing() -> impl Process {
    ///     from_fns(|cx| { cx.exit(cx.me(), cx.atom(Atom::OK)); cx.nil() }, |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s)))
    /// }
    /// rt.run_until_idle();
    /// assert_eq!(port.try_recv().unwrap().root().as_atom(), Some(Atom::OK));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`spawn_with`](Self::spawn_with).
    pub fn spawn_monitored(self, options: SpawnOptions, process: impl Process) -> Result<(Pid, Reference), SpawnError> {
        let monitor = self.make_ref();
        let settings = options.over(&self.node().defaults)?;
        let pid = self.beget(&settings, options.its_name(), options.is_linked(), Some(monitor), process)?;
        Ok((pid, monitor))
    }

    fn beget(
        self,
        settings: &Settings,
        name: Option<Atom>,
        link: bool,
        monitor: Option<Reference>,
        process: impl Process,
    ) -> Result<Pid, SpawnError> {
        self.turn.budget.set(self.turn.budget.get().saturating_sub(SPAWN).max(1));
        let parent = (link || monitor.is_some()).then(|| Parent::Turn { task: self.task(), link, monitor });
        self.node().spawn(process, settings, name, parent, true)
    }

    /// Spawns a process of two closures: one makes the first state, one receives.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// let boss = rt.spawn_fn(|cx| cx.nil(), move |cx, s, job| {
    ///     let worker = cx.spawn_fn(|cx| cx.nil(), move |cx, _, job| {
    ///         cx.send(home, cx.int(job.list().filter_map(|n| n.as_int()).sum::<i64>()));
    ///         Ok(Stop(Exit::NORMAL))
    ///     })?;
    ///     cx.send(worker, job);
    ///     Ok(Next(s))
    /// })?;
    /// rt.send_new(boss, |h| h.list(1..=4))?;
    /// rt.run_until_idle();
    /// assert_eq!((port.try_recv().unwrap().root().as_int(), rt.processes()), (Some(10), 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_fn<I, F>(self, init: I, receive: F) -> Result<Pid, SpawnError>
    where
        I: for<'x> FnOnce(Cx<'x>) -> Term<'x> + Send + 'static,
        F: for<'x> FnMut(Cx<'x>, Term<'x>, Term<'x>) -> Turn<'x> + Send + 'static,
    {
        self.spawn(super::FromClosures::new(init, receive))
    }

    /// As [`spawn_fn`](Self::spawn_fn), with options.
    ///
    /// # Errors
    ///
    /// As [`spawn_with`](Self::spawn_with).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// # let mut rt = Runtime::deterministic(1);
    /// let parent = rt.spawn_fn(
    ///     |cx| {
    ///         let linked = SpawnOptions::new().link().max_heap_words(100);
    ///         cx.pid(cx.spawn_fn_with(linked, |cx| cx.nil(), |cx, _, _| Ok(Next(cx.list(0..1000)))).unwrap())
    ///     },
    ///     |cx, child, message| { cx.send(child.get()?, message); Ok(Next(child)) },
    /// )?;
    /// let exited = rt.exited(parent);
    /// rt.send_new(parent, |h| h.nil())?;
    /// rt.run_until_idle();
    /// let (limit, _, words): (Atom, i64, i64) = exited.try_wait().unwrap().as_term().unwrap().get()?;
    /// assert_eq!((limit, words), (Atom::inline("limit"), 100));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_fn_with<I, F>(self, options: SpawnOptions, init: I, receive: F) -> Result<Pid, SpawnError>
    where
        I: for<'x> FnOnce(Cx<'x>) -> Term<'x> + Send + 'static,
        F: for<'x> FnMut(Cx<'x>, Term<'x>, Term<'x>) -> Turn<'x> + Send + 'static,
    {
        self.spawn_with(options, super::FromClosures::new(init, receive))
    }

    /// When this process has nothing to do next, it throws away what it needs no more: its heap is collected into memory
    /// with room for what lives in the state, and for nothing else, and the rest is given back. For a process that will
    /// wait for long; one that is busy pays a major collection, O(words that live), which it moves twice. Its heap
    /// grows again as it is used.
    ///
    /// OTP: `erlang:hibernate/3`, `{noreply, State, hibernate}`. There a message that waits already undoes it; here it is
    /// done once the mailbox is empty, deferred messages aside. It takes a stack away there, and no state of a turn needs
    /// one here. A global collection wakes no process that has hibernated, unless it holds what is collected.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, _, message| {
    ///     let all: i64 = message.list().map(|n| n.as_int().unwrap_or(0)).sum();
    ///     cx.hibernate();
    ///     Ok(Next(cx.list([all])))
    /// })?;
    /// rt.send_new(p, |h| h.list(1..=1000))?;
    /// rt.run_until_idle();
    /// let heap = rt.info(p).unwrap().details.unwrap().heap;
    /// assert_eq!((heap.old_words, heap.chunk_bytes), (2, 16 + 24));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hibernate(self) {
        let task = self.task();
        // SAFETY: a turn owns its process; the borrow ends with the statement.
        unsafe { task.owned() }.flags.set(Flags::HIBERNATES, true);
    }

    /// The persistent terms of this process's domain.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.spawn_fn(
    ///     |cx| {
    ///         let slot = cx.persistent().slot("limit").unwrap();
    ///         cx.persistent().put("limit", Region::build(|h| h.int(10))).unwrap();
    ///         cx.read(&slot).unwrap()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.persistent().read("limit", |v| v.unwrap().as_int()), Some(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn persistent(self) -> &'h PersistentTerms {
        self.node().store()
    }

    /// An owned copy of a term, to keep in the behaviour or to hand to other threads: self-contained, what it has of
    /// persistent terms copied in. O(words).
    ///
    /// # Panics
    ///
    /// When memory runs out, as every allocation of a turn: it ends this process alone.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::sync::mpsc::channel;
    /// # let mut rt = Runtime::deterministic(1);
    /// let (tx, lines) = channel::<Region>();
    /// let log = rt.spawn_fn(|cx| cx.nil(), move |cx, s, line| {
    ///     tx.send(cx.region(line)).ok(); // to a thread that knows nothing of processes
    ///     Ok(Next(s))
    /// })?;
    /// rt.send_new(log, |h| term!(h, {:info, "started"}))?;
    /// rt.run_until_idle();
    /// assert_eq!(lines.try_recv()?.root().to_string(), r#"{info,<<"started">>}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn region(self, term: Term<'h>) -> Region {
        Region::copy_of(term)
    }

    /// Has this turn done enough? A long job that asks now and then, and returns [`Flow::Again`](super::Flow::Again) when
    /// it is told yes, lets others run and its own heap be collected. Counts the calls, of which the 4000th of a turn is
    /// told yes, and each after it; a process that the turn spawns counts for as many as 63, because it waits for its first
    /// turn. Looks at no clock. (OTP counts reductions, and interrupts by itself.)
    ///
    /// ```
    /// use shared_term::prelude::*;
    ///
    /// /// Adds up to `n`: how far it is, and the sum, are the state.
    /// struct Sum(i64);
    ///
    /// impl Process for Sum {
    ///     fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
    ///         Ok(Again(term!(cx, {0, 0})))
    ///     }
    ///     fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
    ///         let (mut i, mut sum): (i64, i64) = state.get()?;
    ///         while i < self.0 {
    ///             (i, sum) = (i + 1, sum + i + 1);
    ///             if cx.should_yield() {
    ///                 return Ok(Again(term!(cx, {i, sum})));
    ///             }
    ///         }
    ///         Ok(Stop(Exit::msg(sum)))
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn(Sum(10_000))?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.nil())?;
    /// assert!(rt.run_until_idle() > 3, "one turn was not enough");
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "50005000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn should_yield(self) -> bool {
        let left = self.turn.budget.get().saturating_sub(1);
        self.turn.budget.set(left);
        left == 0
    }
}

static_assertions::assert_not_impl_any!(Cx<'static>: Send, Sync);
