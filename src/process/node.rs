//! What processes of one runtime share: their domain, and where they go when they can run.

use super::bound::Bound;
use super::caught;
use super::cell::{Recipient, Room, Task};
use super::hands;
use super::names::{Names, entry_of};
use super::observer::Observed;
use super::options::{OptionError, Settings};
use super::remains::Remains;
use super::tally::Tally;
use super::timer::Timers;
use super::{Exit, Pieces, Process, Unsent};
use crate::heap::Region;
use crate::heap::copy::Literals;
use crate::persistent::{Domain, Door, Occupant, PersistentTerms, TurnMark};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::Reference;
use crate::term::word::{self, Word};
use crate::{Atom, HeapError, Pid};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Arc, atomic as plain, mpsc};

/// Where processes go that can run. The floor above implements it.
pub(crate) trait Ready: Send + Sync {
    /// Takes over a scheduled process. Asks for no memory.
    fn ready(&self, task: Task);

    /// Makes room for one process more, which is not spawned by a worker: in a runtime that has some, those who wait are linked
    /// through themselves.
    fn reserve(&self) -> Result<(), HeapError> {
        Ok(())
    }

    /// A process that room was made for is not to be.
    fn unreserve(&self) {}
}

/// Who spawns a process, and is to know of its end however soon that comes.
pub(crate) enum Parent {
    /// A process, in a turn, and what is to be between the two.
    Turn { task: Task, link: bool, monitor: Option<Reference> },
    /// A port, which has a place for the monitor.
    Port { pid: Pid, monitor: Reference },
    /// A thread that waits for the reason.
    Thread(Tells),
}

/// The way by which who waits for the end of a process is told.
pub(crate) type Tells = mpsc::SyncSender<Arc<Exit>>;

/// Who waits for the end of a process.
struct Watchers {
    /// The place of the reason. In memory from the beginning, because an end must not fail for want of it.
    exit: Arc<Exit>,
    /// With numbers to take them back by.
    tell: Vec<(u64, Tells)>,
}

/// What the processes of one runtime share.
pub(crate) struct Node {
    store: PersistentTerms,
    pub(super) ready: Box<dyn Ready>,
    pub(crate) defaults: Settings,
    pub(crate) processes: Tally,
    pub(crate) max_processes: usize,
    /// No process runs any more; who creates one ends it.
    closed: AtomicBool,
    /// Who waits for the end of which process. Looked at by the ends of processes only while somebody waits.
    watchers: Mutex<HashMap<Pid, Watchers>>,
    watched: AtomicUsize,
    next_watcher: plain::AtomicU64,
    pub(super) names: Names,
    pub(crate) observed: Option<Observed>,
    pub(crate) timers: Timers,
    /// The observer's hook on global collections.
    hook: Option<u64>,
    /// Held by whoever counts what is in a mailbox.
    pub(crate) surveys: Mutex<()>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn new(
        store: PersistentTerms,
        ready: Box<dyn Ready>,
        workers: usize,
        defaults: Settings,
        max_processes: usize,
        observed: Option<Observed>,
        timers: Timers,
    ) -> Self {
        let hook = observed.as_ref().map(|observed| {
            let observer = Arc::clone(&observed.observer);
            store.domain().subscribe(Arc::new(move |report| observer.global_collection(report)))
        });
        Self {
            store,
            ready,
            defaults,
            processes: Tally::new(workers),
            max_processes,
            closed: AtomicBool::new(false),
            watchers: Mutex::new(HashMap::new()),
            watched: AtomicUsize::new(0),
            next_watcher: plain::AtomicU64::new(0),
            names: Names::new(),
            observed,
            timers,
            hook,
            surveys: Mutex::new(()),
        }
    }

    pub(crate) fn domain(&self) -> &Domain {
        self.store.domain()
    }

    pub(crate) fn store(&self) -> &PersistentTerms {
        &self.store
    }

    #[inline]
    pub(crate) fn ready(&self, task: Task) {
        self.ready.ready(task);
    }

    /// Creates a process and puts it on a run queue. The caller must be online, and with `in_turn` in a turn of this node.
    pub(crate) fn spawn<P: Process>(
        self: &Arc<Self>,
        behaviour: P,
        settings: &Settings,
        name: Option<Atom>,
        parent: Option<Parent>,
        in_turn: bool,
    ) -> Result<Pid, SpawnError> {
        // While there is no process yet, whose end may spawn the next: the end of a runtime must come to one.
        // Relaxed: who does not see it yet does in `start`, and ends the process.
        if !in_turn && self.closed.load(Ordering::Relaxed) {
            return Err(SpawnError::ShutDown);
        }
        if let Some(name) = name {
            return self.spawn_named(behaviour, settings, name, parent, in_turn);
        }
        let (room, place) = self.reserve(settings, parent.as_ref(), false)?;
        let task = self.create(place, room, behaviour, settings, parent);
        task.publish();
        Ok(self.start(task, in_turn))
    }

    #[inline(never)]
    fn spawn_named<P: Process>(
        self: &Arc<Self>,
        behaviour: P,
        settings: &Settings,
        name: Atom,
        parent: Option<Parent>,
        in_turn: bool,
    ) -> Result<Pid, SpawnError> {
        let entry = entry_of(name).map_err(SpawnError::Heap)?;
        let _span = self.store.pin();
        let mut registrar = self.registrar();
        if let Some(pid) = self.whereis(name) {
            return Err(SpawnError::NameTaken(pid));
        }
        registrar.reserve().map_err(SpawnError::Heap)?;
        // Apart from the rest: a behaviour that is refused is dropped without the lock of the names.
        let (room, place) = self.reserve(settings, parent.as_ref(), true)?;
        let task = self.create(place, room, behaviour, settings, parent);
        // SAFETY: nobody else knows the process yet.
        unsafe { task.relations_if_any() }.expect("reserved for the name").name = Some(name);
        task.publish();
        registrar.insert(entry, name, task.pid());
        drop(registrar);
        Ok(self.start(task, in_turn))
    }

    /// Memory, a pid and its slot for a process, which must then be created.
    #[inline(always)]
    fn reserve<P: Process>(
        &self,
        settings: &Settings,
        parent: Option<&Parent>,
        named: bool,
    ) -> Result<(Room<P>, (Pid, Door)), SpawnError> {
        // A limit, kept to within the threads that spawn at once.
        if self.max_processes != usize::MAX && self.processes.live() >= self.max_processes {
            return Err(SpawnError::TooMany);
        }
        let mut room = Room::new(settings).map_err(SpawnError::Heap)?;
        let told_by_node = matches!(parent, None | Some(Parent::Thread(_)));
        if named || !told_by_node {
            room.know(parent).map_err(SpawnError::Heap)?;
        }
        let place = hands::begin(self).map_err(SpawnError::Heap)?.ok_or(SpawnError::TooMany)?;
        Ok((room, place))
    }

    /// A process that nobody knows yet but, where it asked for that, who spawns it.
    fn create<P: Process>(
        self: &Arc<Self>,
        place: (Pid, Door),
        room: Room<P>,
        behaviour: P,
        settings: &Settings,
        parent: Option<Parent>,
    ) -> Task {
        let task = Task::create(self, place, room, behaviour, settings);
        if let Some(parent) = parent {
            self.introduce(task, parent);
        }
        task
    }

    /// Lets who spawns a process, which nobody else knows yet, and the process know of each other.
    #[inline]
    fn introduce(&self, child: Task, parent: Parent) {
        // SAFETY: nobody else knows the child.
        let of_child = unsafe { child.relations_if_any() };
        match parent {
            Parent::Turn { task: parent, link, monitor } => {
                // SAFETY: the parent is in a turn that the caller runs.
                let of_parent = unsafe { parent.relations_if_any() };
                let (of_parent, of_child) = of_parent.zip(of_child).expect("reserved for both");
                of_parent.beget(parent.pid(), child.pid(), of_child, link, monitor);
            }
            Parent::Port { pid, monitor } => of_child.expect("reserved for it").watched_by(pid, monitor, child.pid()),
            Parent::Thread(tells) => _ = self.enlist(child.pid(), tells),
        }
    }

    /// Lets a process run that is in its slot.
    #[inline]
    fn start(&self, task: Task, in_turn: bool) -> Pid {
        let pid = task.pid();
        if let Some(observed) = &self.observed {
            observed.spawned(pid);
        }
        if in_turn {
            // Whoever closes the node waits for the turn, and then finds the process in its slot.
            self.ready(task);
            return pid;
        }
        self.start_from_outside(task);
        pid
    }

    /// As [`start`](Self::start), of a thread that whoever closes the node does not wait for.
    #[inline(never)]
    fn start_from_outside(&self, task: Task) {
        // Pairs with the fence in `close`: either this sees that the node is closed, or the closing thread finds the
        // process in its slot, scheduled, and ends it.
        if !mutated(Mutation::SpawnNoFence) {
            fence(Ordering::SeqCst);
        }
        if !self.closed.load(Ordering::Relaxed) {
            self.ready(task);
        } else if task.card().seize() {
            super::end(task, Exit::SHUTDOWN, &mut Pieces::new(self.domain(), None), &TurnMark::new());
            Remains::of(task).into_limbo(self.domain());
        }
    }

    /// The processes of this runtime. The caller must be online.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let mine = |task: Task| std::ptr::eq(Arc::as_ptr(&task.header().node), self).then(|| task.pid());
        let occupants = self.domain().slots.occupants();
        // SAFETY: found in the caller's span.
        occupants.filter_map(|occupant| unsafe { Task::of(occupant) }.and_then(mine)).collect()
    }

    /// Has the end of the runtime begun? Who asks looks again.
    pub(super) fn is_closed(&self) -> bool {
        // Relaxed: as said, and orders nothing.
        self.closed.load(Ordering::Relaxed)
    }

    /// From here on there are no new processes; one that is being created ends where it is.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // Pairs with the fence in `start`.
        fence(Ordering::SeqCst);
    }

    /// Sends a copy of a term; its literals stay literals (R4).
    ///
    /// # Safety
    ///
    /// The caller must be in a turn of this node, and `w` the word of a term of this domain that is alive during the call.
    #[inline]
    pub(crate) unsafe fn send_word(&self, to: Pid, w: Word) -> Result<(), Unsent> {
        let Some(occupant) = self.domain().slots.find(to) else { return Err(Unsent::NoProcess(None)) };
        let message = if word::is_immediate(w) {
            Region::of_immediate(w)?
        } else {
            // SAFETY: found in the caller's span; the rest is the caller's promise.
            unsafe { self.copy_for(occupant, w) }?
        };
        // SAFETY: found in the caller's span, which is a turn of this node.
        unsafe { self.deliver_in_turn(occupant, message) }.map_err(|unsent| match unsent {
            // The copy may point into literal areas. In the hands of a user nothing would find it there (H4).
            Unsent::NoProcess(_) => Unsent::NoProcess(None),
            Unsent::Full(_) => Unsent::Full(None),
            other @ Unsent::Heap(_) => other,
        })
    }

    /// A copy of a term for this process or port, whose mailbox is not full.
    ///
    /// # Safety
    ///
    /// The caller must be online and have found the occupant in this span; `w` must be the word of a term of this domain that
    /// is alive during the call.
    #[inline]
    unsafe fn copy_for(&self, occupant: NonNull<Occupant>, w: Word) -> Result<Region, Unsent> {
        // SAFETY: the caller's promise.
        let recipient = unsafe { Recipient::of(occupant) };
        if recipient.bound.as_deref().is_some_and(Bound::is_full) {
            return Err(Unsent::Full(None)); // before anything is copied
        }
        let literals = if recipient.is_port() {
            Literals::Flatten
        } else {
            Literals::Keep { retired: self.domain().collector.retired() }
        };
        // SAFETY: the caller's promise.
        Ok(unsafe { Region::copy_word(w, literals) }?)
    }

    /// Hands a region over as a message, O(1). The caller must be online.
    pub(crate) fn send_region(&self, to: Pid, message: Region) -> Result<(), Unsent> {
        // SAFETY: online, and found in this span.
        self.send_region_by(to, message, |occupant, message| unsafe { Self::deliver(occupant, message) })
    }

    /// As [`send_region`](Self::send_region).
    ///
    /// # Safety
    ///
    /// The caller must be in a turn of this node.
    #[inline]
    pub(crate) unsafe fn send_region_in_turn(&self, to: Pid, message: Region) -> Result<(), Unsent> {
        // SAFETY: the caller's promise; found in this span.
        self.send_region_by(to, message, |occupant, message| unsafe { self.deliver_in_turn(occupant, message) })
    }

    #[inline]
    fn send_region_by(
        &self,
        to: Pid,
        message: Region,
        deliver: impl FnOnce(NonNull<Occupant>, Region) -> Result<(), Unsent>,
    ) -> Result<(), Unsent> {
        let Some(occupant) = self.domain().slots.find(to) else { return Err(Unsent::NoProcess(Some(message))) };
        // SAFETY: found in the caller's span.
        let is_port = unsafe { Recipient::of(occupant) }.is_port();
        let retired = self.domain().collector.retired();
        // Of a process, as a rule nothing is retired, and then nobody waits for the head of the message, which no cache may hold.
        let stays = if is_port { message.filter() == 0 } else { retired == 0 || message.filter() & retired == 0 };
        let message = if stays { message } else { rebuilt(&message, is_port, retired)? };
        deliver(occupant, message)
    }

    /// As [`deliver`](Self::deliver), by a turn of this node. A process of the same node that is idle is taken over by one
    /// exchange, given the message, and goes to a run queue as it is: that spares the mailbox a push and its owner a drain,
    /// and the card a claim. What each sender has sent before was taken out when the process went idle, so the order is kept.
    ///
    /// # Safety
    ///
    /// The caller must be in a turn of this node, and have found the occupant in this span.
    #[inline]
    pub(crate) unsafe fn deliver_in_turn(&self, occupant: NonNull<Occupant>, message: Region) -> Result<(), Unsent> {
        // SAFETY: the caller's promise.
        if let Some(task) = unsafe { Task::of(occupant) } {
            let header = task.header();
            if std::ptr::eq(&raw const **header.node, self)
                && header.recipient.bound.is_none()
                && header.recipient.card().take_over()
            {
                // SAFETY: taken over, idle.
                unsafe { task.give(message) };
                self.ready(task);
                return Ok(());
            }
        }
        // SAFETY: the caller's promise.
        unsafe { Self::deliver(occupant, message) }
    }

    /// Pushes, notes, and schedules whom it finds idle.
    ///
    /// # Safety
    ///
    /// The caller must be online, and have found the occupant in this span.
    #[inline]
    pub(crate) unsafe fn deliver(occupant: NonNull<Occupant>, message: Region) -> Result<(), Unsent> {
        // SAFETY: the caller's promise.
        let recipient = unsafe { Recipient::of(occupant) };
        if mutated(Mutation::NotifyBeforePush) && recipient.card().notify() {
            // SAFETY: as below.
            unsafe { (recipient.occupant.acts.schedule)(occupant) };
            return recipient.mailbox().push(message).map_err(|message| Unsent::NoProcess(Some(message)));
        }
        if let Some(bound) = &recipient.bound
            && !bound.admit(&message)
        {
            return Err(Unsent::Full(Some(message)));
        }
        recipient.mailbox().push(message).map_err(|message| Unsent::NoProcess(Some(message)))?;
        if recipient.is_port() || recipient.card().notify() {
            // The pointer from the slot, which is good for the whole process: one made of the reference would be good for
            // its first field alone.
            // SAFETY: it was idle, and is scheduled now by us; a port is always told.
            unsafe { (recipient.occupant.acts.schedule)(occupant) };
        }
        Ok(())
    }

    /// Will give the reason of the end of a process.
    pub(crate) fn watch(&self, pid: Pid) -> mpsc::Receiver<Arc<Exit>> {
        let (tx, rx) = mpsc::sync_channel(1);
        let _span = self.store.pin();
        // SAFETY: found in this span.
        let task = || self.domain().slots.find(pid).and_then(|occupant| unsafe { Task::of(occupant) });
        let Some(process) = task() else { return rx };
        // It may be of another runtime, which is then the one that hears of its end.
        let node = &process.header().node;
        let id = node.enlist(pid, tx);
        // Pairs with the fence in `ended`: either the end of the process sees that somebody watches, or this sees it gone.
        fence(Ordering::SeqCst);
        if task().is_none() {
            node.forget(pid, id);
        }
        rx
    }

    /// Puts somebody on the list of those who wait for the end of a process of this node, under a number. A process that is not
    /// in its slot yet is told of later than this, and its end sees it.
    fn enlist(&self, pid: Pid, tells: Tells) -> u64 {
        // Relaxed: a number, and nothing else.
        let id = self.next_watcher.fetch_add(1, plain::Ordering::Relaxed);
        let new = || Watchers { exit: Arc::new(Exit::NORMAL), tell: Vec::new() };
        self.watchers.lock().entry(pid).or_insert_with(new).tell.push((id, tells));
        // Relaxed: whoever runs the process has it from who published it behind this; of one that runs already, see `watch`.
        self.watched.fetch_add(1, Ordering::Relaxed);
        id
    }

    /// Takes back one registration: its process is gone, and has perhaps told. The others were in time.
    fn forget(&self, pid: Pid, id: u64) {
        let mut watchers = self.watchers.lock();
        let Some(Watchers { tell: waiting, .. }) = watchers.get_mut(&pid) else { return };
        let before = waiting.len();
        waiting.retain(|(watcher, _)| *watcher != id);
        self.watched.fetch_sub(before - waiting.len(), Ordering::Relaxed);
        if waiting.is_empty() {
            watchers.remove(&pid);
        }
    }

    /// The process is out of its slot.
    pub(crate) fn ended(&self, pid: Pid, exit: Exit, pieces: &mut Pieces<'_>) {
        hands::end(self);
        if !mutated(Mutation::EndNoFence) {
            // Pairs with the fences in `watch` and `set_timer`.
            fence(Ordering::SeqCst);
        }
        if self.timers.may_be_of(pid) {
            self.end_timers_of(pid, &mut || pieces.one());
        }
        if self.watched.load(Ordering::Relaxed) > 0 || !exit.is_normal() {
            self.tell(pid, exit);
        } else {
            std::mem::forget(exit); // of which nothing is to be dropped
        }
    }

    /// Tells those who watch a process, if there are any, how it has ended.
    #[inline(never)]
    fn tell(&self, pid: Pid, exit: Exit) {
        let watched = self.watched.load(Ordering::Relaxed) > 0;
        let waiting = if watched { self.watchers.lock().remove(&pid) } else { None };
        let Some(mut waiting) = waiting else {
            // It may be an error of the user's.
            let _ = caught(|| drop(exit));
            return;
        };
        self.watched.fetch_sub(waiting.tell.len(), Ordering::Relaxed);
        *Arc::get_mut(&mut waiting.exit).expect("nobody has been told yet") = exit;
        for (_, tx) in &waiting.tell {
            // The watcher may have given up.
            let _ = tx.send(Arc::clone(&waiting.exit));
        }
        let _ = caught(|| drop(waiting));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(hook) = self.hook {
            self.domain().unsubscribe(hook);
        }
    }
}

/// A message anew: it points into retired areas, and crosses owners (H7), or it points into areas at all, and a port is no
/// process: nobody would ask it to evacuate.
#[cold]
#[inline(never)]
fn rebuilt(message: &Region, for_port: bool, retired: u64) -> Result<Region, Unsent> {
    let literals = if for_port { Literals::Flatten } else { Literals::Keep { retired } };
    Ok(rebuild(message, literals)?)
}

/// A region with the same term, retired literals copied in.
pub(crate) fn rebuild(message: &Region, literals: Literals) -> Result<Region, HeapError> {
    // SAFETY: the message is alive, and what it points into with it: it has not been handed on yet.
    unsafe { Region::copy_word(message.root_word(), literals) }
}

/// A process could not be created.
///
/// ```
/// use shared_term::{prelude::*, process::SpawnError, runtime::Handle};
/// let rt = Runtime::builder().max_processes(1).deterministic(1);
/// let spawn = |rt: &Handle| rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)));
/// assert!(spawn(&rt).is_ok());
/// assert_eq!(spawn(&rt), Err(SpawnError::TooMany));
/// let handle = (*rt).clone();
/// drop(rt);
/// assert_eq!(spawn(&handle), Err(SpawnError::ShutDown));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The runtime has as many processes as it may have, or its domain has no slot left, or it is one of more than 256 that
    /// have processes.
    TooMany,
    /// Another process has the name that this one was to have.
    NameTaken(Pid),
    /// The options cannot be had.
    Options(OptionError),
    /// The runtime has been dropped. A turn that runs still may spawn; what it spawns ends with the rest.
    ShutDown,
    /// There is no memory for it.
    Heap(HeapError),
}

impl From<OptionError> for SpawnError {
    fn from(error: OptionError) -> Self {
        Self::Options(error)
    }
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many processes"),
            Self::ShutDown => f.write_str("the runtime has been shut down"),
            Self::NameTaken(pid) => write!(f, "{pid} has the name"),
            Self::Options(error) => error.fmt(f),
            Self::Heap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooMany | Self::ShutDown | Self::NameTaken(_) => None,
            Self::Options(error) => Some(error),
            Self::Heap(error) => Some(error),
        }
    }
}
