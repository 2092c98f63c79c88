//! The context of a turn.

use super::cell::{Flags, Task};
use super::mailbox::Load;
use super::node::{Node, Parent, SpawnError};
use super::timer;
use super::{Process, ProcessInfo, SpawnOptions, Turn, Unsent};
use crate::Pid;
use crate::heap::copy::Literals;
use crate::heap::{Heap, HeapError, Region};
use crate::persistent::{Domain, Holder, PersistentTerms, sealed};
use crate::term::{Reference, Term};
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
    pub(crate) fn new(task: Task) -> Self {
        let domain = task.header().node.domain();
        let snapshot = Cell::new(domain.table.snapshot());
        Self { task, budget: Cell::new(BUDGET), domain: NonNull::from(domain), snapshot }
    }
}

/// How often [`Cx::should_yield`] says no.
const BUDGET: u32 = 4000;

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
pub trait Letter<'h>: letter::Sealed<'h> {}

pub(crate) mod letter {
    use super::{Cx, HeapError, Pid, Region, Unsent};

    pub trait Sealed<'h>: Sized {
        #[doc(hidden)]
        fn post(self, cx: Cx<'h>, to: Pid) -> Result<(), Unsent>;
        #[doc(hidden)]
        fn back(self) -> Option<Region>;
        #[doc(hidden)]
        fn flat(self) -> Result<Region, HeapError>;
    }
}

impl<'h> Letter<'h> for Term<'h> {}
impl<'h> letter::Sealed<'h> for Term<'h> {
    #[inline]
    fn post(self, cx: Cx<'h>, to: Pid) -> Result<(), Unsent> {
        // SAFETY: the term is of this turn, whose worker is online.
        unsafe { cx.node().send_word(to, self.word()) }
    }

    fn back(self) -> Option<Region> {
        None
    }

    fn flat(self) -> Result<Region, HeapError> {
        // SAFETY: the term is of this turn.
        unsafe { Region::copy_word(self.word(), Literals::Flatten) }
    }
}

impl Letter<'_> for Region {}
impl<'h> letter::Sealed<'h> for Region {
    fn post(self, cx: Cx<'h>, to: Pid) -> Result<(), Unsent> {
        cx.node().send_region(to, self)
    }

    fn back(self) -> Option<Region> {
        Some(self)
    }

    fn flat(self) -> Result<Region, HeapError> {
        timer::flat(self)
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

    /// The pid of this process.
    #[inline]
    pub fn me(self) -> Pid {
        self.turn.task.pid()
    }

    /// A reference that is unique in this domain. Wait-free, one `fetch_add`; no memory.
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

    /// Sends a copy of a term, or moves a region. Never blocks and never touches the receiver's heap; a pid that is dead,
    /// or dies, swallows it.
    ///
    /// A term is copied with its sharing, O(words); its literals go by pointer. A region is moved, O(1) whatever its
    /// size.
    ///
    /// # Panics
    ///
    /// When memory runs out, as every allocation of a turn: it ends this process alone.
    #[inline]
    pub fn send(self, to: Pid, message: impl Letter<'h>) {
        if let Err(Unsent::Heap(error)) = message.post(self, to) {
            crate::heap::unwind(error);
        }
    }

    /// As [`send`](Self::send), and says whether there was somebody to send to.
    ///
    /// # Errors
    ///
    /// When the process is dead (a region comes back; of a term there is nothing to give back), or there is no memory.
    pub fn try_send(self, to: Pid, message: impl Letter<'h>) -> Result<(), Unsent> {
        message.post(self, to)
    }

    /// Builds a message in a region of its own and moves it: no copy.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub fn send_new(self, to: Pid, f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) {
        self.send(to, Region::build(f));
    }

    /// Spawns a process. It starts with [`Process::init`], soon, on some worker.
    ///
    /// # Errors
    ///
    /// When the runtime has as many processes as it may have.
    pub fn spawn(self, process: impl Process) -> Result<Pid, SpawnError> {
        self.spawn_with(SpawnOptions::new(), process)
    }

    /// As [`spawn`](Self::spawn), with options.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and when the options cannot be had.
    pub fn spawn_with(self, options: SpawnOptions, process: impl Process) -> Result<Pid, SpawnError> {
        self.beget(options, options.is_linked(), None, process)
    }

    /// Spawns a process that is [linked](Self::link) to this one from the start.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_linked(self, process: impl Process) -> Result<Pid, SpawnError> {
        self.beget(SpawnOptions::new(), true, None, process)
    }

    /// Spawns a process that is [monitored](Self::monitor) by this one from the start: its end is not missed however soon
    /// it comes.
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
        Ok((self.beget(options, options.is_linked(), Some(monitor), process)?, monitor))
    }

    fn beget(
        self,
        options: SpawnOptions,
        link: bool,
        monitor: Option<Reference>,
        process: impl Process,
    ) -> Result<Pid, SpawnError> {
        let node = self.node();
        let parent = (link || monitor.is_some()).then(|| Parent { task: self.task(), link, monitor });
        node.spawn(process, options.over(node.defaults)?, options.its_name(), parent, true)
    }

    /// Spawns a process of two closures: one makes the first state, one receives.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
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

    /// Figures of a process; of one that runs now, other than this one, without [`Details`](super::Details). `None`: there
    /// is nobody. O(messages that wait); takes a lock. OTP: `process_info(Pid)`, which waits for the process.
    pub fn info(self, pid: Pid) -> Option<ProcessInfo> {
        if pid == self.me() {
            // SAFETY: a turn owns its process, and is online.
            return Some(unsafe { self.task().own_info(Load::default()) });
        }
        self.node().info(pid)
    }

    /// The persistent terms of this process's domain.
    pub fn persistent(self) -> &'h PersistentTerms {
        self.node().store()
    }

    /// An owned copy of a term, to keep in the behaviour or to hand to other threads: self-contained.
    pub fn region(self, term: Term<'h>) -> Region {
        Region::copy_of(term)
    }

    /// Has this turn done enough? A long job that asks now and then, and returns [`Flow::Again`](super::Flow::Again) when
    /// it is told yes, lets others run and its own heap be collected. Counts the calls; cheap.
    pub fn should_yield(self) -> bool {
        let left = self.turn.budget.get().saturating_sub(1);
        self.turn.budget.set(left);
        left == 0
    }
}

static_assertions::assert_not_impl_any!(Cx<'static>: Send, Sync);
