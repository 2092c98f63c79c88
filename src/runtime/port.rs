//! Mailboxes outside the runtime.

use crate::heap::{HeapError, Region, try_box};
use crate::persistent::{Acts, ActsRef, Link, Occupant};
use crate::process::{
    Mailbox, Monitored, Node, Parent, Process, Queue, Recipient, SmallMap, SpawnError, SpawnOptions, caught,
    received_end,
};
use crate::sync::atomic::{Ordering, fence};
use crate::{Atom, Pid, Reference};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A mailbox with a pid that a thread receives from: how processes answer the world outside.
///
/// Messages arrive self-contained: what they had of persistent terms is copied. Nothing bounds how many wait; they are
/// freed with the port.
///
/// A port can [monitor](Self::monitor) processes, so that who waits for an answer hears of an end in its place. It is no
/// process: nobody links to it, monitors it, or gives it a name, because nothing of it ends when another does, and the thread
/// that has it knows when it goes.
///
/// ```
/// use shared_term::prelude::*;
/// use std::time::Duration;
/// let rt = Runtime::new()?;
/// let mut port = rt.port()?;
/// let me = port.pid();
/// rt.spawn_fn(move |cx| { cx.send(me, term!(cx, {:hello, cx.me()})); cx.nil() }, |_, s, _| Ok(Next(s)))?;
/// let hello = port.recv_timeout(Duration::from_secs(10)).unwrap();
/// assert!(hello.root().to_string().starts_with("{hello,<0."));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Port {
    node: Arc<Node>,
    cell: NonNull<Cell>,
    queue: Queue,
    monitors: SmallMap<Reference, Pid>,
}

// SAFETY: the cell is shared with senders through `Sync` fields alone; the queue is the port's.
unsafe impl Send for Port {}

#[repr(C)]
#[derive(Debug)]
struct Cell {
    recipient: Recipient,
    /// For when the port is gone: written while who has sent to it may still have a reference to the rest.
    link: UnsafeCell<Link>,
    node: Arc<Node>,
    told: Mutex<Told>,
    comes: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    /// Something was sent since somebody looked last.
    has_come: bool,
    /// Who waits for that without blocking a thread.
    waker: Option<Waker>,
}

impl Cell {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port has no card: no collection finds it.
// SAFETY: the acts themselves.
const ACTS: ActsRef = unsafe { ActsRef::of(&Acts { schedule: tell, look: |_, _| None, fetch: |_| {} }) };

/// # Safety
///
/// The occupant must be a port.
unsafe fn tell(occupant: NonNull<Occupant>) {
    // SAFETY: the caller's promise; the cell lives, because the sender is online.
    let cell = unsafe { occupant.cast::<Cell>().as_ref() };
    let waker = {
        let mut told = cell.told();
        told.has_come = true;
        told.waker.take()
    };
    cell.comes.notify_one();
    if let Some(waker) = waker {
        // It is the executor's code, whose panic is not the sender's.
        let _ = caught(|| waker.wake());
    }
}

impl Port {
    pub(super) fn new(node: &Arc<Node>) -> Result<Self, SpawnError> {
        // The memory first: a slot that was taken is given back a grace period after.
        let room = try_box(MaybeUninit::<Cell>::uninit()).map_err(SpawnError::Heap)?;
        let slots = &node.domain().slots;
        let pid = slots.take().map_err(SpawnError::Heap)?.ok_or(SpawnError::TooMany)?;
        let door = slots.door(pid.slot());
        Mailbox::of(door.mail()).open();
        let cell = Box::write(
            room,
            Cell {
                recipient: Recipient { occupant: Occupant { pid, acts: ACTS }, door: door.marked(), bound: None },
                link: UnsafeCell::new(Link::new(end)),
                node: Arc::clone(node),
                told: Mutex::default(),
                comes: Condvar::new(),
            },
        );
        let cell = NonNull::from(Box::leak(cell));
        // The card stays dead: what a port holds points into no area.
        door.occupy(cell.cast());
        Ok(Self { node: Arc::clone(node), cell, queue: Queue::new(), monitors: SmallMap::default() })
    }

    fn cell(&self) -> &Cell {
        // SAFETY: the cell lives until the port is dropped, and a grace period longer.
        unsafe { self.cell.as_ref() }
    }

    /// The pid to send to.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Unsent};
    /// let rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let pid = port.pid();
    /// rt.send_new(pid, |h| h.int(1))?;
    /// assert_eq!(port.try_recv().unwrap().root().as_int(), Some(1));
    /// drop(port);
    /// assert!(matches!(rt.send_new(pid, |h| h.int(2)), Err(Unsent::NoProcess(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pid(&self) -> Pid {
        self.cell().recipient.occupant.pid
    }

    /// The next message, if one is there.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// for i in 0..3 {
    ///     rt.send_new(port.pid(), |h| h.int(i))?;
    /// }
    /// let all = std::iter::from_fn(|| port.try_recv());
    /// assert_eq!(all.filter_map(|message| message.root().as_int()).collect::<Vec<_>>(), [0, 1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv(&mut self) -> Option<Region> {
        loop {
            if self.queue.is_empty() {
                // SAFETY: as in `cell`; the queue is borrowed beside it.
                let cell = unsafe { self.cell.as_ref() };
                cell.recipient.mailbox().drain(&mut self.queue, &self.node.surveys, || ());
            }
            let mut message = self.queue.pop()?;
            match received_end(&mut message) {
                None => return Some(message),
                Some(monitor) if self.monitors.remove(&monitor).is_some() => return Some(message),
                // Ended before it was received. The reason may own things of the user's.
                Some(_) => _ = caught(|| drop(message)),
            }
        }
    }

    /// Monitors a process: when it ends, the port receives `{'DOWN', Monitor, process, Pid, Reason}`, once; at once, with
    /// the reason `noproc`, when there is nobody. What the process has sent to the port before comes before. Takes no lock;
    /// the end of the port ends its monitors. OTP: `monitor(process, Pid)`.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// const DOWN: Atom = Atom::inline("DOWN");
    /// let rt = Runtime::new()?;
    /// let server = rt.spawn_fn(|cx| cx.nil(), |cx, s, message| {
    ///     let (from, n): (Pid, i64) = message.get()?;
    ///     cx.send(from, cx.int(100_i64.checked_div(n).ok_or_else(|| Exit::msg("by zero"))?));
    ///     Ok(Next(s))
    /// })?;
    ///
    /// let mut port = rt.port()?;
    /// let (me, monitor) = (port.pid(), port.monitor(server)?);
    /// let mut ask = |n: i64| {
    ///     rt.send_new(server, |h| term!(h, {me, n})).ok();
    ///     port.recv_timeout(Duration::from_secs(10)).expect("an answer, or the end of who would give it")
    /// };
    /// assert_eq!(ask(5).root().as_int(), Some(20));
    /// let end = ask(0);
    /// let (tag, of, _, _, why): (Atom, Reference, Atom, Pid, TermRef<'_>) = end.root().get()?;
    /// assert_eq!((tag, of), (DOWN, monitor));
    /// assert_eq!(why.to_string(), r#"{error,<<"by zero">>}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor(&mut self, whom: Pid) -> Result<Reference, HeapError> {
        self.monitor_as(|_| (Some(whom), Monitored::Pid(whom)))
    }

    /// As [`monitor`](Self::monitor), of whoever has this name now: the port receives `{'DOWN', Monitor, process, Name, Reason}`,
    /// with the reason `noproc` when nobody has it. OTP: `monitor(process, Name)`, which says `{Name, Node}`.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let early = port.monitor_name(LOG)?;
    /// let p = rt.spawn_fn_with(SpawnOptions::new().name(LOG), |cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let later = port.monitor_name(LOG)?;
    /// rt.kill(p)?;
    /// rt.run_until_idle();
    /// let told: Vec<_> = std::iter::from_fn(|| port.try_recv()).map(|end| end.root().to_string()).collect();
    /// let [noproc, killed] = [(early, "noproc"), (later, "killed")]
    ///     .map(|(monitor, why)| format!("{{'DOWN',{monitor},process,log,{why}}}"));
    /// assert_eq!(told, [noproc, killed]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor_name(&mut self, name: Atom) -> Result<Reference, HeapError> {
        self.monitor_as(|node| (node.whereis(name), Monitored::Name(name)))
    }

    fn monitor_as(&mut self, whom: impl FnOnce(&Node) -> (Option<Pid>, Monitored)) -> Result<Reference, HeapError> {
        self.monitors.reserve()?;
        let _guard = self.node.store().pin();
        let (whom, object) = whom(&self.node);
        let id = self.node.store().make_ref();
        self.node.monitor(self.pid(), id, whom, object)?;
        // That nobody has the name is told already: who takes it back asks nobody else.
        self.monitors.insert(id, whom.unwrap_or(self.pid()));
        Ok(id)
    }

    /// Spawns a process that the port [monitors](Self::monitor) from the start: its end is not missed however soon it comes.
    /// OTP: `spawn_monitor/1`.
    ///
    /// # Errors
    ///
    /// As [`Handle::spawn_with`](super::Handle::spawn_with).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnOptions, from_fns}};
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let mut port = rt.port()?;
    /// let me = port.pid();
    /// for part in 1..=3 {
    ///     let job = from_fns(
    ///         move |cx| { cx.send(me, cx.int(part)); cx.exit(cx.me(), cx.atom(Atom::OK)); cx.nil() },
    ///         |_, s, _| Ok(Next(s)),
    ///         |_, s, _| Ok(Next(s)),
    ///     );
    ///     let (job, monitor) = port.spawn_monitored(SpawnOptions::new(), job)?;
    ///     let mut next = || port.recv_timeout(Duration::from_secs(10)).unwrap().root().to_string();
    ///     assert_eq!([next(), next()], [format!("{part}"), format!("{{'DOWN',{monitor},process,{job},ok}}")]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_monitored(
        &mut self,
        options: SpawnOptions,
        process: impl Process,
    ) -> Result<(Pid, Reference), SpawnError> {
        self.monitors.reserve().map_err(SpawnError::Heap)?;
        let monitor = self.node.store().make_ref();
        let parent = Parent::Port { pid: self.pid(), monitor };
        let pid = super::handle::spawn(&self.node, options, Some(parent), process)?;
        self.monitors.insert(monitor, pid);
        Ok((pid, monitor))
    }

    /// Ends a monitor, and takes back what has come of it and was not received yet. `false`: it was received, or ended before.
    /// OTP: `demonitor(Ref, [flush])`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let monitor = port.monitor(p)?;
    /// rt.kill(p)?;
    /// rt.run_until_idle();
    /// assert!(port.demonitor(monitor), "its end has come, and was not received");
    /// assert!(port.try_recv().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn demonitor(&mut self, monitor: Reference) -> bool {
        let Some(whom) = self.monitors.remove(&monitor) else { return false };
        let _guard = self.node.store().pin();
        self.node.demonitor_for_port(self.pid(), whom, monitor);
        true
    }

    /// The next message; blocks the thread until it is there. `None`: the time was over first. Inside a turn it does not wait,
    /// as [`try_recv`](Self::try_recv): whoever would send may be behind the same worker.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// assert!(port.recv_timeout(Duration::from_millis(1)).is_none());
    /// rt.spawn_fn(move |cx| { cx.send(home, cx.int(1)); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// assert_eq!(port.recv_timeout(Duration::from_secs(10)).unwrap().root().as_int(), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Option<Region> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(message) = self.try_recv() {
                return Some(message);
            }
            if crate::persistent::in_turn() {
                return None;
            }
            let left = match deadline {
                Some(deadline) => deadline.checked_duration_since(Instant::now())?,
                None => Duration::MAX,
            };
            let mut told = self.cell().told();
            if !told.has_come {
                told = self.cell().comes.wait_timeout(told, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            told.has_come = false;
        }
    }

    /// The next message, for asynchronous code: a future that any executor may poll, and that blocks no thread. Dropped before
    /// it is ready, it has taken nothing, and leaves nothing of its task here. Who sends wakes the task, within its turn; a
    /// lock is held for a few stores.
    ///
    /// Ready with a message and with nothing else: who would wait for somebody that may end [monitors](Self::monitor) them, and
    /// who would not wait for ever gives the future a timeout, as any other.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let rt = Runtime::new()?;
    /// let double = rt.spawn_fn(|cx| cx.nil(), |cx, s, message| {
    ///     let (from, n): (Pid, i64) = message.get()?;
    ///     cx.send(from, cx.int(2 * n));
    ///     Ok(Next(s))
    /// })?;
    /// let mut port = rt.port()?;
    /// let ask = async {
    ///     let me = port.pid();
    ///     rt.send_new(double, |h| term!(h, {me, 21})).ok()?;
    ///     port.recv().await.root().as_int()
    /// };
    /// let tokio = tokio::runtime::Builder::new_current_thread().build()?;
    /// assert_eq!(tokio.block_on(ask), Some(42));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(&mut self) -> impl Future<Output = Region> + Send + '_ {
        Recv { port: self, waits: false }
    }

    /// As [`recv`](Self::recv), for a future or stream of one's own. Of several tasks that poll, the last one is woken; its waker
    /// is kept until then, or until the port is dropped.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::task::{Context, Poll, Waker};
    /// let rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(port.poll_recv(&mut cx).is_pending());
    /// rt.send_new(port.pid(), |h| h.int(1))?; // wakes the task
    /// let Poll::Ready(message) = port.poll_recv(&mut cx) else { panic!("it has come") };
    /// assert_eq!(message.root().as_int(), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Region> {
        loop {
            if let Some(message) = self.try_recv() {
                return Poll::Ready(message);
            }
            // Cloned and dropped without the lock: it is the executor's.
            let waker = cx.waker().clone();
            let mut told = self.cell().told();
            if std::mem::take(&mut told.has_come) {
                continue;
            }
            // Whoever sends from here on finds it.
            let old = told.waker.replace(waker);
            drop(told);
            drop(old);
            return Poll::Pending;
        }
    }
}

/// A task that waits for a message.
struct Recv<'p> {
    port: &'p mut Port,
    waits: bool,
}

impl Future for Recv<'_> {
    type Output = Region;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Region> {
        let polled = self.port.poll_recv(cx);
        self.waits = polled.is_pending();
        polled
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.port.forget_waker();
        }
    }
}

impl Port {
    /// A task may wait for its wakers to be gone.
    fn forget_waker(&self) {
        let waker = self.cell().told().waker.take();
        let _ = caught(|| drop(waker));
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.forget_waker(); // not with the cell
        let domain = self.node.domain();
        let monitors = std::mem::take(&mut self.monitors);
        if monitors.len() > 0 {
            let mut guard = self.node.store().pin();
            for (monitor, whom) in monitors.into_pairs() {
                self.node.demonitor_for_port(self.pid(), whom, monitor);
                guard.repin();
            }
        }
        self.cell().recipient.door.vacate();
        // Pairs with the fence in `set_timer`.
        fence(Ordering::SeqCst);
        self.node.end_timers_of(self.pid(), &mut || ());
        // SAFETY: as in `cell`; the queue is borrowed beside it.
        unsafe { self.cell.as_ref() }.recipient.mailbox().close(&mut self.queue, &self.node.surveys, || ());
        // SAFETY: made by `Box`, and out of its slot; it ends as its link says, which nobody else uses.
        unsafe {
            let link = NonNull::new_unchecked(UnsafeCell::raw_get(&raw const (*self.cell.as_ptr()).link));
            domain.limbo.put_one(&domain.quiescence, link);
        }
        domain.help();
    }
}

/// Ends what is left of a port.
///
/// # Safety
///
/// The link must be that of a port that was dropped, a grace period ago.
unsafe fn end(link: NonNull<Link>) {
    // SAFETY: the caller's promise: made by `Box`, and of a pointer to all of it.
    let cell = unsafe { Box::from_raw(link.as_ptr().byte_sub(std::mem::offset_of!(Cell, link)).cast::<Cell>()) };
    cell.node.domain().slots.give([cell.recipient.occupant.pid]);
}
