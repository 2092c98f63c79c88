//! How the rest of a program reaches a runtime.

use super::Port;
use crate::heap::{Heap, HeapError, Region};
use crate::persistent::PersistentTerms;
use crate::process::{
    Cx, Exit, FromClosures, Node, OptionError, Parent, Process, ProcessInfo, RegisterError, SpawnError, SpawnOptions,
    Turn, Unsent,
};
use crate::{Atom, Pid, Term};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A way to reach a runtime from anywhere: a cheap clone, good from any thread. It does not keep the runtime running.
///
/// ```
/// use shared_term::{prelude::*, process::SpawnError, runtime::Handle};
/// let rt = Runtime::new()?;
/// let handle: Handle = (*rt).clone();
/// let p = std::thread::spawn(move || {
///     let p = handle.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
///     handle.send_new(p, |h| h.nil()).ok();
///     Ok::<_, SpawnError>(p)
/// })
/// .join()
/// .unwrap()?;
/// assert!(rt.is_alive(p), "the end of a handle ends nothing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) node: Arc<Node>,
}

impl Handle {
    /// Spawns a process. It starts with [`Process::init`], soon, on some worker.
    ///
    /// # Errors
    ///
    /// When the runtime has as many processes as it may have, or has been dropped, or there is no memory. Dropped while
    /// this runs, it ends the process.
    ///
    /// ```
    /// use shared_term::prelude::*;
    ///
    /// struct Greeter(String);
    ///
    /// impl Process for Greeter {
    ///     fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, who: Term<'h>) -> Turn<'h> {
    ///         cx.send(who.get()?, cx.binary(&self.0));
    ///         Ok(Next(state))
    ///     }
    /// }
    ///
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// let p = rt.spawn(Greeter("hello".into()))?;
    /// rt.send_new(p, |h| h.pid(home))?;
    /// rt.run_until_idle();
    /// assert_eq!(port.try_recv().unwrap().root().as_str(), Some("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn(&self, process: impl Process) -> Result<Pid, SpawnError> {
        self.spawn_with(SpawnOptions::new(), process)
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
    /// let sum = rt.spawn_fn(|cx| cx.int(0), move |cx, sum, n| {
    ///     let sum = cx.int(sum.get::<i64>()? + n.get::<i64>()?);
    ///     cx.send(home, sum);
    ///     Ok(Next(sum))
    /// })?;
    /// rt.send_new(sum, |h| h.int(40))?;
    /// rt.send_new(sum, |h| h.int(2))?;
    /// rt.run_until_idle();
    /// assert_eq!([40, 42], [0, 1].map(|_| port.try_recv().unwrap().root().as_int().unwrap()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_fn<I, F>(&self, init: I, receive: F) -> Result<Pid, SpawnError>
    where
        I: for<'h> FnOnce(Cx<'h>) -> Term<'h> + Send + 'static,
        F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
    {
        self.spawn(FromClosures::new(init, receive))
    }

    /// As [`spawn`](Self::spawn), with options.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and when the options cannot be had or another process has the name.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnOptions, from_fns}};
    /// # let mut rt = Runtime::deterministic(1);
    /// const LOG: Atom = Atom::inline("log");
    /// let log = from_fns(|cx| cx.nil(), |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s)));
    /// let p = rt.spawn_with(SpawnOptions::new().name(LOG), log)?;
    /// assert_eq!(rt.whereis(LOG), Some(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_with(&self, options: SpawnOptions, process: impl Process) -> Result<Pid, SpawnError> {
        spawn(&self.node, options, None, process)
    }

    /// As [`spawn_with`](Self::spawn_with), and will know why the process ended, however soon that comes: who asks
    /// [`exited`](Self::exited) behind a spawn may come too late. Takes a lock and the memory of `std`, as that does. OTP:
    /// `spawn_monitor/1`.
    ///
    /// # Errors
    ///
    /// As [`spawn_with`](Self::spawn_with).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnOptions, from_fns}};
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let job = from_fns(
    ///     |cx| { cx.exit(cx.me(), term!(cx, {:answer, 42})); cx.nil() },
    ///     |_, s, _| Ok(Next(s)),
    ///     |_, s, _| Ok(Next(s)),
    /// );
    /// let (_, exited) = rt.spawn_watched(SpawnOptions::new(), job)?;
    /// assert_eq!(exited.wait(Duration::from_secs(10)).expect("told, whatever was first").to_string(), "{answer,42}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_watched(&self, options: SpawnOptions, process: impl Process) -> Result<(Pid, Exited), SpawnError> {
        let (tells, rx) = mpsc::sync_channel(1);
        let pid = spawn(&self.node, options, Some(Parent::Thread(tells)), process)?;
        Ok((pid, Exited { rx }))
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
    /// let small = SpawnOptions::new().max_heap_words(100);
    /// let exited = rt.exited(rt.spawn_fn_with(small, |cx| cx.list(0..1000), |_, s, _| Ok(Next(s)))?);
    /// rt.run_until_idle();
    /// assert!(exited.try_wait().unwrap().as_heap_error().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_fn_with<I, F>(&self, options: SpawnOptions, init: I, receive: F) -> Result<Pid, SpawnError>
    where
        I: for<'h> FnOnce(Cx<'h>) -> Term<'h> + Send + 'static,
        F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
    {
        self.spawn_with(options, FromClosures::new(init, receive))
    }

    /// Sends a region, O(1) whatever its size. Never blocks: two or three exchanges, and where the receiver was idle and a worker
    /// sleeps, that is woken.
    ///
    /// # Errors
    ///
    /// When the process is dead or its mailbox is [full](crate::process::MailboxLimit); the region comes back.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, rows| Ok(Next(rows)))?;
    /// let rows = Region::build(|h| h.list(0..10));
    /// rt.send(p, rows)?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.info(p).unwrap().details.unwrap().heap.adopted_words, 20, "moved, and not copied on the way");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, to: Pid, message: Region) -> Result<(), Unsent> {
        let _guard = self.node.store().pin();
        self.node.send_region(to, message)
    }

    /// As [`send`](Self::send), to whoever has a name.
    ///
    /// # Errors
    ///
    /// When nobody has the name, and as [`send`](Self::send); the region comes back.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnOptions, Unsent}};
    /// # let mut rt = Runtime::deterministic(1);
    /// const LOG: Atom = Atom::inline("log");
    /// let line = Region::build(|h| h.binary("hello"));
    /// let Err(Unsent::NoProcess(Some(line))) = rt.send_named(LOG, line) else { panic!("nobody has the name") };
    /// let p = rt.spawn_fn_with(SpawnOptions::new().name(LOG), |cx| cx.nil(), |_, _, line| Ok(Stop(Exit::msg(line))))?;
    /// let exited = rt.exited(p);
    /// rt.send_named(LOG, line)?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), r#"<<"hello">>"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_named(&self, name: Atom, message: Region) -> Result<(), Unsent> {
        let _guard = self.node.store().pin();
        match self.node.whereis(name) {
            Some(pid) => self.node.send_region(pid, message),
            None => Err(Unsent::NoProcess(Some(message))),
        }
    }

    /// Gives a name to a process of this runtime, until it ends or the name is [taken back](Self::unregister). Takes a lock.
    /// OTP: `register(Name, Pid)`.
    ///
    /// # Errors
    ///
    /// When another process has the name, this one has another name, or there is no such process.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::RegisterError};
    /// const ME: Atom = Atom::inline("me");
    /// let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
    /// rt.register(ME, p)?;
    /// assert_eq!(rt.whereis(ME), Some(p));
    /// assert_eq!(rt.register(ME, p), Err(RegisterError::Taken(p)));
    /// rt.send_named(ME, Region::build(|h| h.nil()))?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.whereis(ME), None, "a name is free when its process has ended");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, name: Atom, pid: Pid) -> Result<(), RegisterError> {
        self.node.register(name, pid)
    }

    /// Takes a name back; whose it was. Takes a lock. OTP: `unregister/1`, which fails where nobody has it.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let rt = Runtime::deterministic(1);
    /// const LOG: Atom = Atom::inline("log");
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// rt.register(LOG, p)?;
    /// assert_eq!((rt.unregister(LOG), rt.unregister(LOG)), (Some(p), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unregister(&self, name: Atom) -> Option<Pid> {
        self.node.unregister(name)
    }

    /// Who has a name. Takes no lock. OTP: `whereis/1`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// # let rt = Runtime::deterministic(1);
    /// const LOG: Atom = Atom::inline("log");
    /// assert_eq!(rt.whereis(LOG), None);
    /// let p = rt.spawn_fn_with(SpawnOptions::new().name(LOG), |cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// assert_eq!(rt.whereis(LOG), Some(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whereis(&self, name: Atom) -> Option<Pid> {
        let _guard = self.node.store().pin();
        self.node.whereis(name)
    }

    /// All names and who has them, in the order of the pids. Takes a lock. The list is one of `std`, without memory for which
    /// the program ends. OTP: `registered/0`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// # let rt = Runtime::deterministic(1);
    /// let [a, b] = ["a", "b"].map(Atom::inline);
    /// let spawn = |name| rt.spawn_fn_with(SpawnOptions::new().name(name), |cx| cx.nil(), |_, s, _| Ok(Next(s)));
    /// let (first, second) = (spawn(a)?, spawn(b)?);
    /// let mut names = rt.registered();
    /// names.sort();
    /// assert_eq!(names, [(a, first), (b, second)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn registered(&self) -> Vec<(Atom, Pid)> {
        self.node.names()
    }

    /// The processes that live, ports not among them, in no order. O(processes that ever lived at once). Who is spawned or
    /// ends meanwhile may be there or not. The list is one of `std`, without memory for which the program ends. OTP:
    /// `processes/0`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let rt = Runtime::deterministic(1);
    /// for load in [1, 9, 3] {
    ///     let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    ///     (0..load).try_for_each(|i| rt.send_new(p, |h| h.int(i)))?;
    /// }
    /// let waiting: usize = rt.pids().into_iter().filter_map(|p| rt.info(p)).map(|info| info.messages).sum();
    /// assert_eq!((rt.pids().len(), waiting), (3, 13));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pids(&self) -> Vec<Pid> {
        let _guard = self.node.store().pin();
        self.node.pids()
    }

    /// Figures of a process; of one that is running a turn, without [`Details`](crate::process::Details). `None`: there is
    /// nobody. O(messages that wait); takes a lock, and never waits for the process. OTP: `process_info(Pid)`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Status};
    /// let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, s, _| Ok(Next(cx.cons(cx.nil(), s))))?;
    /// rt.run_until_idle();
    /// rt.send_new(p, |h| h.list(0..10))?;
    /// let info = rt.info(p).unwrap();
    /// assert_eq!((info.status, info.messages), (Status::Runnable, 1));
    /// assert!(info.message_bytes >= 160);
    /// rt.run_until_idle();
    /// let info = rt.info(p).unwrap();
    /// assert_eq!((info.status, info.messages, info.details.unwrap().turns), (Status::Idle, 0, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info(&self, pid: Pid) -> Option<ProcessInfo> {
        let _guard = self.node.store().pin();
        self.node.info(pid)
    }

    /// As [`info`](Self::info), and waits for the end of its turn if it is running one: blocks the thread. `None`: there is
    /// nobody, or no end of the turn in time. Inside a turn it does not wait.
    ///
    /// # Errors
    ///
    /// When there is no memory for the question.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, n| Ok(Next(n)))?;
    /// rt.send_new(p, |h| h.int(1))?;
    /// let info = rt.info_within(p, Duration::from_secs(10))?.expect("it lives, and its turns are short");
    /// assert!(info.details.unwrap().turns <= 2, "known whatever it did when it was asked");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info_within(&self, pid: Pid, timeout: Duration) -> Result<Option<ProcessInfo>, HeapError> {
        let question = {
            let _guard = self.node.store().pin();
            let Some(info) = self.node.info(pid) else { return Ok(None) };
            if info.details.is_some() || crate::persistent::in_turn() {
                return Ok(Some(info));
            }
            self.node.inquire(pid)?
        };
        Ok(question.and_then(|answer| crate::process::answer(&answer, timeout)))
    }

    /// Builds a message in place and sends it.
    ///
    /// # Errors
    ///
    /// When the process is dead or its mailbox is full, or there is no memory.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, message| Ok(Stop(Exit::msg(message))))?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| term!(h, {:add, [1, 2]}))?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "{add,[1,2]}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_new(&self, to: Pid, f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) -> Result<(), Unsent> {
        self.send(to, Region::try_build::<Unsent>(|h| Ok(f(h)))?)
    }

    /// Sends an exit signal: who does not trap exits ends of it, unless the reason is `normal`; the atom `kill` cannot be
    /// trapped. `false`: there is nobody. Never blocks. OTP: `exit(Pid, Reason)`.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// rt.exit(p, &Region::build(|h| term!(h, :normal)))?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// let reason = Region::build(|h| term!(h, {:moved, "east"}));
    /// assert!(rt.exit(p, &reason)?);
    /// rt.run_until_idle();
    /// assert!(!rt.exit(p, &reason)?, "there is nobody");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(&self, pid: Pid, reason: &Region) -> Result<bool, HeapError> {
        let _guard = self.node.store().pin();
        // SAFETY: a region in a user's hands has no literals, and this one lives during the call.
        unsafe { self.node.send_exit(None, pid, reason.root_word()) }
    }

    /// Ends a process, whatever it does about exit signals, at the next boundary of its turns. `false`: there is nobody.
    /// Never blocks. OTP: `exit(Pid, kill)`.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let exited = rt.exited(p);
    /// assert!(rt.kill(p)?);
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "killed");
    /// assert!(!rt.kill(p)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self, pid: Pid) -> Result<bool, HeapError> {
        let _guard = self.node.store().pin();
        self.node.send_kill(pid)
    }

    /// A mailbox that this program receives from.
    ///
    /// # Errors
    ///
    /// When the domain has no slot left, or there is no memory.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let mut port = rt.port()?;
    /// let home = port.pid();
    /// rt.spawn_fn(move |cx| { cx.send(home, cx.int(42)); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// assert_eq!(port.recv_timeout(Duration::from_secs(10)).unwrap().root().as_int(), Some(42));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn port(&self) -> Result<Port, SpawnError> {
        Port::new(&self.node)
    }

    /// Will know why a process ended, if it lives now: who asks when it has ended is told `None`, and who would not miss the
    /// end of what it spawns [spawns it so](Self::spawn_watched). Takes a lock; several may ask. The way by which it is told is a channel of `std`, without memory for which the program ends; the end itself
    /// then takes none. OTP: a monitor.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, n| Ok(Stop(Exit::msg(n))))?;
    /// let exited = rt.exited(p); // before there is anything to end of
    /// rt.send_new(p, |h| h.int(7))?;
    /// assert_eq!(exited.wait(Duration::from_secs(10)).unwrap().to_string(), "7");
    /// assert!(rt.exited(p).wait(Duration::from_secs(10)).is_none(), "asked too late, it says so at once");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exited(&self, pid: Pid) -> Exited {
        Exited { rx: self.node.watch(pid) }
    }

    /// Does the process live? Never blocks. OTP: `is_process_alive/1`, which sees to the signals first that the caller has
    /// sent before.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert!(!rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_alive(&self, pid: Pid) -> bool {
        let _guard = self.node.store().pin();
        self.node.domain().slots.find(pid).is_some()
    }

    /// How many processes live: exact when none begins or ends meanwhile, and never too few. O(1). OTP:
    /// `system_info(process_count)`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// for _ in 0..3 {
    ///     rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// }
    /// let _port = rt.port()?; // is none
    /// assert_eq!(rt.processes(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn processes(&self) -> usize {
        self.node.processes.live()
    }

    /// The persistent terms that the processes share.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put("limit", Region::build(|h| h.int(10)))?;
    /// let p = rt.spawn_fn(|cx| cx.get("limit").unwrap(), |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn persistent(&self) -> &PersistentTerms {
        self.node.store()
    }
}

/// Spawns a process for a thread.
pub(super) fn spawn(
    node: &Arc<Node>,
    options: SpawnOptions,
    parent: Option<Parent>,
    process: impl Process,
) -> Result<Pid, SpawnError> {
    if options.is_linked() {
        return Err(OptionError::LinkFromOutside.into());
    }
    let _guard = node.store().pin();
    node.spawn(process, &options.over(&node.defaults)?, options.its_name(), parent, false)
}

/// The end of a process, as seen from outside; from [`Handle::exited`] and [`Handle::spawn_watched`]. It is told once: who asks again gets `None`.
///
/// ```
/// use shared_term::prelude::*;
/// use std::time::Duration;
/// let rt = Runtime::new()?;
/// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, n| Ok(Stop(Exit::msg(n))))?;
/// let (mine, yours) = (rt.exited(p), rt.exited(p));
/// rt.send_new(p, |h| h.binary("done"))?;
/// let heard = std::thread::spawn(move || yours.wait(Duration::from_secs(10)).unwrap().to_string());
/// assert_eq!(mine.wait(Duration::from_secs(10)).unwrap().to_string(), heard.join().unwrap());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exited {
    rx: mpsc::Receiver<Arc<Exit>>,
}

impl Exited {
    /// Why the process ended; blocks the thread until it has. `None`: the time was over first, or the process had ended
    /// before it was watched, and nobody knows why any more, or this was told already. Inside a turn it does not wait, as
    /// [`try_wait`](Self::try_wait): a process [monitors](crate::Cx::monitor) another.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
    /// let exited = rt.exited(p);
    /// assert!(exited.wait(Duration::from_millis(1)).is_none());
    /// rt.send_new(p, |h| h.nil())?;
    /// assert!(exited.wait(Duration::from_secs(10)).unwrap().is_normal());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self, timeout: Duration) -> Option<Arc<Exit>> {
        if crate::persistent::in_turn() { self.try_wait() } else { self.rx.recv_timeout(timeout).ok() }
    }

    /// Why the process ended, if it has, and this was not told already. Does not block.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.nil())?;
    /// assert!(exited.try_wait().is_none());
    /// rt.run_until_idle();
    /// assert!(exited.try_wait().unwrap().is_normal());
    /// assert!(exited.try_wait().is_none(), "told already");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_wait(&self) -> Option<Arc<Exit>> {
        self.rx.try_recv().ok()
    }
}
