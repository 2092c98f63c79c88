//! How the rest of a program reaches a runtime.

use super::Port;
use crate::heap::{Heap, HeapError, Region};
use crate::persistent::PersistentTerms;
use crate::process::{
    Cx, Exit, FromClosures, Node, OptionError, Process, ProcessInfo, RegisterError, SpawnError, SpawnOptions, Turn,
    Unsent,
};
use crate::{Atom, Pid, Term};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A way to reach a runtime from anywhere: a cheap clone, good from any thread. It does not keep the runtime running.
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
    pub fn spawn(&self, process: impl Process) -> Result<Pid, SpawnError> {
        self.spawn_with(SpawnOptions::new(), process)
    }

    /// Spawns a process of two closures: one makes the first state, one receives.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
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
    pub fn spawn_with(&self, options: SpawnOptions, process: impl Process) -> Result<Pid, SpawnError> {
        if options.is_linked() {
            return Err(OptionError::LinkFromOutside.into());
        }
        let _guard = self.node.store().pin();
        self.node.spawn(process, options.over(self.node.defaults)?, options.its_name(), None, false)
    }

    /// As [`spawn_fn`](Self::spawn_fn), with options.
    ///
    /// # Errors
    ///
    /// As [`spawn_with`](Self::spawn_with).
    pub fn spawn_fn_with<I, F>(&self, options: SpawnOptions, init: I, receive: F) -> Result<Pid, SpawnError>
    where
        I: for<'h> FnOnce(Cx<'h>) -> Term<'h> + Send + 'static,
        F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Send + 'static,
    {
        self.spawn_with(options, FromClosures::new(init, receive))
    }

    /// Sends a region, O(1) whatever its size. Never blocks.
    ///
    /// # Errors
    ///
    /// When the process is dead or its mailbox is [full](crate::process::MailboxLimit); the region comes back.
    pub fn send(&self, to: Pid, message: Region) -> Result<(), Unsent> {
        let _guard = self.node.store().pin();
        self.node.send_region(to, message)
    }

    /// As [`send`](Self::send), to whoever has a name.
    ///
    /// # Errors
    ///
    /// When nobody has the name, and as [`send`](Self::send); the region comes back.
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

    /// Takes a name back; whose it was.
    pub fn unregister(&self, name: Atom) -> Option<Pid> {
        self.node.unregister(name)
    }

    /// Who has a name. Takes no lock.
    pub fn whereis(&self, name: Atom) -> Option<Pid> {
        let _guard = self.node.store().pin();
        self.node.whereis(name)
    }

    /// All names and who has them, in the order of the pids. Takes a lock. OTP: `registered/0`.
    pub fn registered(&self) -> Vec<(Atom, Pid)> {
        self.node.names()
    }

    /// The processes that live, ports not among them, in no order. O(processes that ever lived at once). Who is spawned or
    /// ends meanwhile may be there or not. OTP: `processes/0`.
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
    pub fn send_new(&self, to: Pid, f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) -> Result<(), Unsent> {
        self.send(to, Region::try_build::<Unsent>(|h| Ok(f(h)))?)
    }

    /// Sends an exit signal: who does not trap exits ends of it, unless the reason is `normal`; the atom `kill` cannot be
    /// trapped. `false`: there is nobody. Never blocks. OTP: `exit(Pid, Reason)`.
    ///
    /// # Errors
    ///
    /// When there is no memory.
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
    /// When the domain has no slot left.
    pub fn port(&self) -> Result<Port, SpawnError> {
        Port::new(&self.node)
    }

    /// Will know why a process ended.
    pub fn exited(&self, pid: Pid) -> Exited {
        Exited { rx: self.node.watch(pid) }
    }

    /// Does the process live?
    pub fn is_alive(&self, pid: Pid) -> bool {
        let _guard = self.node.store().pin();
        self.node.domain().slots.find(pid).is_some()
    }

    /// How many processes live: exact when none begins or ends meanwhile, and never too few. O(1).
    pub fn processes(&self) -> usize {
        self.node.processes.live()
    }

    /// The persistent terms that the processes share.
    pub fn persistent(&self) -> &PersistentTerms {
        self.node.store()
    }
}

/// The end of a process, as seen from outside; from [`Handle::exited`].
#[derive(Debug)]
pub struct Exited {
    rx: mpsc::Receiver<Arc<Exit>>,
}

impl Exited {
    /// Why the process ended; blocks the thread until it has. `None`: the time was over first, or the process had ended
    /// before it was watched, and nobody knows why any more.
    pub fn wait(&self, timeout: Duration) -> Option<Arc<Exit>> {
        self.rx.recv_timeout(timeout).ok()
    }

    /// Why the process ended, if it has.
    pub fn try_wait(&self) -> Option<Arc<Exit>> {
        self.rx.try_recv().ok()
    }
}
