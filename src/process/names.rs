//! Registered names: an atom for a process, found without a lock.

use super::cell::Task;
use super::node::Node;
use super::sparse::thin_out;
use super::{Cx, Letter, Unsent};
use crate::Pid;
use crate::heap::{HeapError, reserve_place, unwind};
use crate::persistent::{Entry, Table};
use crate::sync::{Mutex, MutexGuard};
use crate::term::{Atom, Key};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The names of one runtime. Who looks one up is wait-free; who gives or takes one holds a lock.
pub(crate) struct Names {
    table: Table,
    /// The same the other way round; its lock excludes writers.
    of: Mutex<Of>,
}

type Of = HashMap<Pid, Atom>;

/// A name could not be given.
///
/// ```
/// use shared_term::{prelude::*, process::RegisterError};
/// # let mut rt = Runtime::deterministic(1);
/// const LOG: Atom = Atom::inline("log");
/// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
/// let gone = rt.port()?.pid(); // dropped at once
/// rt.register(LOG, p)?;
/// assert_eq!(rt.register(Atom::OK, p), Err(RegisterError::Named(LOG)));
/// assert_eq!(rt.register(Atom::OK, gone), Err(RegisterError::NoProcess));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another process has this name.
    Taken(Pid),
    /// The process has another name; a process has one at most.
    Named(Atom),
    /// This runtime has no such process.
    NoProcess,
    /// There was no memory.
    Heap(HeapError),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(pid) => write!(f, "{pid} has this name"),
            Self::Named(name) => write!(f, "the process has the name {name}"),
            Self::NoProcess => f.write_str("no process has that pid"),
            Self::Heap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RegisterError {}

impl From<HeapError> for RegisterError {
    fn from(error: HeapError) -> Self {
        Self::Heap(error)
    }
}

fn hash_of(name: impl Key) -> u64 {
    name.hash_key()
}

/// The entry of a name.
pub(super) fn entry_of(name: Atom) -> Result<Box<Entry>, HeapError> {
    Entry::new(hash_of(name), name)
}

/// The right to change the names.
pub(super) struct Registrar<'n> {
    node: &'n Node,
    of: MutexGuard<'n, Of>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { table: Table::new(), of: Mutex::new(Of::new()) }
    }
}

impl Registrar<'_> {
    /// Makes a place for one more name.
    pub(super) fn reserve(&mut self) -> Result<(), HeapError> {
        reserve_place(&mut self.of)?;
        let domain = self.node.domain();
        self.node.names.table.reserve(&domain.quiescence, &domain.limbo)
    }

    /// Gives a name that nobody has to a process that has none, for which there is a [place](Self::reserve); `entry` is the
    /// name's.
    pub(super) fn insert(&mut self, entry: Box<Entry>, name: Atom, pid: Pid) {
        let (table, domain, hash) = (&self.node.names.table, self.node.domain(), hash_of(name));
        entry.replace(pid.word());
        let _writers = table.lock(hash);
        let inserted = table.insert(entry, hash, &domain.quiescence, &domain.limbo);
        assert!(inserted.is_ok(), "there is a place for it");
        self.of.insert(pid, name);
    }

    fn remove(&mut self, name: Atom) -> Option<Pid> {
        let (table, domain, hash) = (&self.node.names.table, self.node.domain(), hash_of(name));
        let entry = table.find(hash, name)?;
        let _writers = table.lock(hash);
        let pid = Pid::from_word(entry.replace(0)?);
        table.unlink_idle(entry, &domain.quiescence, &domain.limbo);
        self.of.remove(&pid);
        thin_out(&mut self.of);
        Some(pid)
    }
}

impl Node {
    /// Who has a name. The caller must be online.
    #[inline]
    pub(crate) fn whereis(&self, name: Atom) -> Option<Pid> {
        // Names are never changed in batches: there is one value, whatever the snapshot.
        self.names.table.find(hash_of(name), name)?.value(0).map(Pid::from_word)
    }

    /// Excludes others from changing names. The caller must be online, in a span of its own whose end gets on with freeing
    /// what is unlinked.
    pub(super) fn registrar(&self) -> Registrar<'_> {
        Registrar { node: self, of: self.names.of.lock() }
    }

    pub(crate) fn register(&self, name: Atom, pid: Pid) -> Result<(), RegisterError> {
        let entry = entry_of(name)?;
        let _span = self.store().pin();
        let mut registrar = self.registrar();
        if let Some(pid) = self.whereis(name) {
            return Err(RegisterError::Taken(pid));
        }
        if let Some(name) = registrar.of.get(&pid) {
            return Err(RegisterError::Named(*name));
        }
        // A process of another runtime on this store would give its name back there.
        // SAFETY: found in the span.
        let task = self.domain().slots.find(pid).and_then(|occupant| unsafe { Task::of(occupant) });
        if !task.is_some_and(|task| std::ptr::eq(Arc::as_ptr(&task.header().node), self)) {
            return Err(RegisterError::NoProcess);
        }
        registrar.reserve()?;
        // First, so that whoever is told of the name by the process finds it.
        registrar.insert(entry, name, pid);
        // The process gives its name back when it ends. It knows of the name, or finds this among what came too late, or
        // its mailbox is closed.
        match self.send_named(pid, name) {
            Ok(true) => Ok(()),
            Ok(false) => {
                registrar.remove(name);
                Err(RegisterError::NoProcess)
            }
            Err(error) => {
                registrar.remove(name);
                Err(RegisterError::Heap(error))
            }
        }
    }

    pub(crate) fn unregister(&self, name: Atom) -> Option<Pid> {
        let _span = self.store().pin();
        self.registrar().remove(name)
    }

    /// A process that had a name has ended. It may have lost the name before, and another have it.
    pub(super) fn forget_name(&self, name: Atom, pid: Pid) {
        let _span = self.store().pin();
        let mut registrar = self.registrar();
        if registrar.of.get(&pid) == Some(&name) {
            registrar.remove(name);
        }
    }

    /// The name of a process. Takes a lock.
    pub(crate) fn name_of(&self, pid: Pid) -> Option<Atom> {
        self.names.of.lock().get(&pid).copied()
    }

    /// All names, in the order of the pids.
    pub(crate) fn names(&self) -> Vec<(Atom, Pid)> {
        let mut names: Vec<_> = self.names.of.lock().iter().map(|(pid, name)| (*name, *pid)).collect();
        names.sort_unstable_by_key(|(_, pid)| *pid);
        names
    }
}

/// # Names
impl<'h> Cx<'h> {
    /// Gives a name to a process of this runtime, until it ends or the name is [taken back](Self::unregister). Takes a lock;
    /// O(1), but for the tables of names, which grow now and then. OTP: `register(Name, Pid)`.
    ///
    /// # Errors
    ///
    /// When another process has the name, this one has another name, or there is no such process.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::RegisterError};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let open = |cx: Cx<'_>| cx.register(LOG, cx.me());
    /// let first = rt.spawn_fn(move |cx| { assert_eq!(open(cx), Ok(())); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// let taken = Err(RegisterError::Taken(first));
    /// let second = rt.spawn_fn(move |cx| { assert_eq!(open(cx), taken); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(second) && rt.whereis(LOG) == Some(first));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(self, name: Atom, pid: Pid) -> Result<(), RegisterError> {
        self.node().register(name, pid)
    }

    /// Takes a name back; whose it was. Takes a lock. OTP: `unregister/1`, which fails where nobody has it.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let log = SpawnOptions::new().name(LOG);
    /// let old = rt.spawn_fn_with(log, |cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let new = rt.spawn_fn(
    ///     move |cx| {
    ///         assert_eq!(cx.unregister(LOG), Some(old));
    ///         cx.register(LOG, cx.me()).unwrap();
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.whereis(LOG), Some(new));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unregister(self, name: Atom) -> Option<Pid> {
        self.node().unregister(name)
    }

    /// All names and who has them, in the order of the pids. O(names), to sort them; takes a lock. The list is one of `std`,
    /// without memory for which the program ends. OTP: `registered/0`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// # let mut rt = Runtime::deterministic(1);
    /// let [a, b] = ["a", "b"].map(Atom::inline);
    /// let waits = |name| rt.spawn_fn_with(SpawnOptions::new().name(name), |cx| cx.nil(), |_, s, _| Ok(Next(s)));
    /// let named = [(a, waits(a)?), (b, waits(b)?)];
    /// let p = rt.spawn_fn(move |cx| { assert_eq!(cx.registered(), named); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn registered(self) -> Vec<(Atom, Pid)> {
        self.node().names()
    }

    /// Who has a name. Wait-free. OTP: `whereis/1`.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let log = rt.spawn_fn_with(SpawnOptions::new().name(LOG), |cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let p = rt.spawn_fn(
    ///     move |cx| {
    ///         assert_eq!(cx.whereis(LOG), Some(log));
    ///         assert_eq!(cx.whereis(Atom::OK), None);
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whereis(self, name: Atom) -> Option<Pid> {
        self.node().whereis(name)
    }

    /// As [`send`](Self::send), to whoever has a name; nothing happens where nobody has it. OTP: `Name ! Message`, which
    /// fails then.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let me = port.pid();
    /// let log = SpawnOptions::new().name(LOG);
    /// rt.spawn_fn_with(log, |cx| cx.nil(), move |cx, s, line| { cx.send(me, line); Ok(Next(s)) })?;
    /// rt.spawn_fn(|cx| { cx.send_named(LOG, cx.binary("hello")); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert_eq!(port.try_recv().unwrap().root().as_str(), Some("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub fn send_named(self, name: Atom, message: impl Letter<'h>) {
        if let Err(unsent) = self.try_send_named(name, message) {
            unsent.drop_unseen().unwrap_or_else(|error| unwind(error));
        }
    }

    /// As [`try_send`](Self::try_send), to whoever has a name.
    ///
    /// # Errors
    ///
    /// When nobody has the name, and as [`try_send`](Self::try_send).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::Unsent};
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(
    ///     |cx| {
    ///         let line = Region::build(|h| h.binary("hello"));
    ///         let Err(Unsent::NoProcess(Some(line))) = cx.try_send_named(LOG, line) else { panic!("nobody has it") };
    ///         cx.adopt(line)
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send_named(self, name: Atom, message: impl Letter<'h>) -> Result<(), Unsent> {
        match self.whereis(name) {
            Some(pid) => self.try_send(pid, message),
            None => Err(Unsent::NoProcess(message.back())),
        }
    }
}
