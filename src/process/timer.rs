//! Timers: messages that are sent later.

use super::hands;
use super::node::{Node, rebuild};
use super::signals::Kind;
use super::timetable::{Scheduled, Timetable};
use super::{Cx, Letter, caught};
use crate::Pid;
use crate::heap::copy::Literals;
use crate::heap::off_heap::error_of;
use crate::heap::{HeapError, Region, unwind};
use crate::persistent::TurnMark;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::mutation::{Mutation, mutated};
use crate::sync::{Mutex, Unparker};
use crate::term::word::Word;
use crate::term::{Atom, Reference, References};
use crossbeam_utils::CachePadded;
use std::time::{Duration, Instant};

pub(super) const TIMEOUT: Word = Atom::inline("timeout").word();

/// Timers that are due, or end, are taken this many at a time, so that neither a grace period nor others wait for all of them.
const BATCH: usize = 64;

/// No timer runs for longer: 292 years.
const LONGEST: u64 = 1 << 63;

/// Where the message of a timer goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Destination {
    Pid(Pid),
    /// To whoever has the name then.
    Name(Atom),
}

/// A message that waits.
struct Timer {
    due: u64,
    to: Destination,
    message: Region,
}

impl Scheduled for Timer {
    fn due(&self) -> u64 {
        self.due
    }

    fn owner(&self) -> Option<Word> {
        match self.to {
            Destination::Pid(pid) => Some(pid.word()),
            Destination::Name(_) => None,
        }
    }
}

/// The timers of a runtime, in tables: one for each worker, but no more than there are, and one for all other threads. The
/// name of a timer says in which it is.
pub(crate) struct Timers {
    clock: Clock,
    /// Who fires timers, if that is a thread of its own.
    sleeper: Option<Unparker>,
    tables: Box<[CachePadded<Mutex<Running>>]>,
    /// How many timers of each table end with a process, by its slot, roughly: written under the lock of the table. Looked
    /// at by the ends of processes, which take the locks of those tables alone where there are some.
    of_processes: Box<[CachePadded<[AtomicU32; TABLES]>; GROUPS]>,
}

/// So many tables at most: as many as a line has counts.
const TABLES: usize = if crate::sync::MODELLED { 2 } else { 16 };

/// Slots are told apart by as much.
const GROUPS: usize = if crate::sync::MODELLED { 1 } else { 64 };
// So that its last bits are the group of a slot.
const _: () = assert!(GROUPS.is_power_of_two());

struct Running {
    timers: Timetable<Timer>,
    /// When the thread that fires timers looks here again by itself.
    looks_at: u64,
    /// No timer fires any more.
    stopped: bool,
}

/// Nanoseconds since the beginning.
enum Clock {
    /// The time of the machine.
    Real(Instant),
    /// A time that goes on when it is told to.
    Virtual(AtomicU64),
}

impl Timers {
    /// Timers that a thread [fires](Node::fire_timers), whom this wakes up.
    pub(crate) fn real(sleeper: Unparker, workers: usize) -> Self {
        Self::new(Clock::Real(Instant::now()), Some(sleeper), workers)
    }

    /// Timers whose time goes on when it is told to.
    pub(crate) fn virtual_time() -> Self {
        Self::new(Clock::Virtual(AtomicU64::new(0)), None, 0)
    }

    /// As [`virtual_time`](Self::virtual_time), in two tables, for a model in which a thread fires timers.
    #[cfg(all(loom, not(shuttle), feature = "loom"))]
    pub(crate) fn virtual_time_for(sleeper: Unparker) -> Self {
        Self::new(Clock::Virtual(AtomicU64::new(0)), Some(sleeper), 1)
    }

    fn new(clock: Clock, sleeper: Option<Unparker>, workers: usize) -> Self {
        // A power of two: the class of a name is the last bits of its number.
        let tables = workers.saturating_add(1).min(TABLES).next_power_of_two();
        let table = || Mutex::new(Running { timers: Timetable::default(), looks_at: u64::MAX, stopped: false });
        let counts = || std::array::from_fn(|_| AtomicU32::new(0));
        Self {
            clock,
            sleeper,
            tables: (0..tables).map(|_| CachePadded::new(table())).collect(),
            of_processes: Box::new(std::array::from_fn(|_| CachePadded::new(counts()))),
        }
    }

    /// The number of the table that this worker has, or who is none.
    fn table_at(&self, worker: Option<usize>) -> usize {
        let others = self.tables.len() - 1;
        if others == 0 { 0 } else { worker.map_or(0, |worker| 1 + worker % others) }
    }

    /// The number of the table that a timer with this name is in.
    fn table_of(&self, id: Reference) -> usize {
        References::class_of(id, self.tables.len() as u64) as usize
    }

    pub(crate) fn now(&self) -> u64 {
        match &self.clock {
            Clock::Real(beginning) => nanoseconds(beginning.elapsed()),
            // Relaxed: orders nothing.
            Clock::Virtual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Lets virtual time go on to a later moment.
    pub(crate) fn set_now(&self, moment: u64) {
        if let Clock::Virtual(now) = &self.clock {
            now.store(moment, Ordering::Relaxed);
        }
    }

    /// When a timer may be due next; never too late.
    pub(crate) fn next(&self) -> Option<u64> {
        self.tables.iter().filter_map(|table| table.lock().timers.next()).min()
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.tables.iter().map(|table| table.lock().timers.len()).sum()
    }

    /// How many timers of this table end with this process, or another of its group.
    fn of_process(&self, pid: Pid, table: usize) -> &AtomicU32 {
        &self.of_processes[pid.slot() as usize & (GROUPS - 1)][table]
    }

    /// May there be timers that end with this process? There was a full fence since it left its slot.
    #[inline]
    pub(super) fn may_be_of(&self, pid: Pid) -> bool {
        // Relaxed: as said.
        (0..self.tables.len()).any(|table| self.of_process(pid, table).load(Ordering::Relaxed) > 0)
    }

    /// Counts a timer of a table, whose lock the caller has.
    fn count(&self, to: Destination, table: usize, change: impl FnOnce(u32) -> u32) {
        if let Destination::Pid(pid) = to {
            let count = self.of_process(pid, table);
            // Relaxed: written under the lock alone. Who reads it without is seen to by the fence behind it in `set_timer`; and
            // too many, for a moment, is as good.
            count.store(change(count.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// Takes a timer out of a table.
    fn take(&self, table: usize, take: impl FnOnce(&mut Timetable<Timer>) -> Option<Timer>) -> Option<Timer> {
        let mut running = self.tables[table].lock();
        let timer = take(&mut running.timers)?;
        self.count(timer.to, table, |n| n - 1);
        Some(timer)
    }

    fn remove(&self, id: Reference) -> Option<Timer> {
        self.take(self.table_of(id), |timers| timers.remove(id.word()))
    }

    /// Without memory the message is handed back.
    fn set(&self, id: Reference, after: u64, to: Destination, message: Region) -> Result<(), (HeapError, Region)> {
        let due = self.now().saturating_add(after.min(LONGEST));
        let table = self.table_of(id);
        {
            let mut running = self.tables[table].lock();
            if running.stopped {
                drop(running);
                let _ = caught(|| drop(message)); // outside of the lock
                return Ok(());
            }
            let set = running.timers.insert(id.word(), Timer { due, to, message });
            set.map_err(|(words, timer)| (HeapError::OutOfMemory { words }, timer.message))?;
            self.count(to, table, |n| n + 1);
            if due >= running.looks_at {
                return Ok(());
            }
            running.looks_at = due;
        }
        // It looks here again before it sleeps, or finds this and does not sleep.
        if let Some(sleeper) = &self.sleeper
            && !mutated(Mutation::TimerNoWake)
        {
            sleeper.unpark();
        }
        Ok(())
    }
}

/// What `take` gives, up to its first `None`: without memory for a list.
fn first_some<T, const N: usize>(mut take: impl FnMut() -> Option<T>) -> [Option<T>; N] {
    let mut more = true;
    std::array::from_fn(|_| {
        let one = if more { take() } else { None };
        more = one.is_some();
        one
    })
}

/// In more than 584 years nobody is there to see the difference.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the callers of all of these have to be: online.
impl Node {
    /// The name of a timer that this thread is about to set.
    pub(crate) fn timer_name(&self) -> Reference {
        let timers = &self.timers;
        let table = timers.table_at(hands::worker(self));
        self.domain().references.make_of(timers.tables.len() as u64, table as u64)
    }

    /// Sets a timer with what `message` makes of its name: without literals (H4).
    pub(crate) fn start_timer(
        &self,
        after: Duration,
        to: Destination,
        message: impl FnOnce(Reference) -> Result<Region, HeapError>,
    ) -> Result<Reference, HeapError> {
        let id = self.timer_name();
        self.set_timer(id, after, to, message(id)?)?;
        Ok(id)
    }

    /// Sends the message then; at once when that is now. The message must have no literals (H4).
    pub(crate) fn set_timer(
        &self,
        id: Reference,
        after: Duration,
        to: Destination,
        message: Region,
    ) -> Result<(), HeapError> {
        self.try_set_timer(id, after, to, message).map_err(|(error, message)| error_of(message, error))
    }

    /// As [`set_timer`](Self::set_timer), with the message back.
    pub(super) fn try_set_timer(
        &self,
        id: Reference,
        after: Duration,
        to: Destination,
        message: Region,
    ) -> Result<(), (HeapError, Region)> {
        debug_assert_eq!(message.filter(), 0, "nothing would find a literal in a timer");
        if after.is_zero() {
            self.fire(to, message);
            return Ok(());
        }
        self.timers.set(id, nanoseconds(after), to, message)?;
        if let Destination::Pid(pid) = to {
            // Pairs with the fence in `ended`: either the end of the process sees that there are timers, or this sees it
            // gone.
            if !mutated(Mutation::TimerNoFence) {
                fence(Ordering::SeqCst);
            }
            if self.domain().slots.find(pid).is_none() && !mutated(Mutation::TimerNoLook) {
                let timer = self.timers.remove(id);
                let _ = caught(|| drop(timer));
            }
        }
        Ok(())
    }

    /// What was left, if it had not fired.
    pub(crate) fn cancel_timer(&self, id: Reference) -> Option<Duration> {
        // Dropped outside of the lock: the message may own things of the user's.
        let timer = self.timers.remove(id)?;
        let left = self.left(timer.due);
        let _ = caught(|| drop(timer));
        Some(left)
    }

    pub(crate) fn read_timer(&self, id: Reference) -> Option<Duration> {
        let due = self.timers.tables[self.timers.table_of(id)].lock().timers.due(id.word())?;
        Some(self.left(due))
    }

    pub(super) fn left(&self, due: u64) -> Duration {
        Duration::from_nanos(due.saturating_sub(self.timers.now()))
    }

    fn fire(&self, to: Destination, message: Region) {
        // A receiver that is dead or full gets nothing; what it does not get may own things of the user's.
        let _ = caught(|| match to {
            Destination::Pid(pid) if Kind::of(&message) == Kind::TimeoutEvent => drop(self.signal(pid, message)),
            Destination::Pid(pid) => drop(self.send_region(pid, message)),
            Destination::Name(name) => drop(self.whereis(name).map(|pid| self.send_region(pid, message))),
        });
    }

    /// Fires what is due, and says how long nothing more is, `None`: until somebody sets a timer. The one exception to the
    /// above: this goes online by itself.
    ///
    /// The tables are looked at one after the other. Whoever sets a timer in one that has been looked at already, and that is
    /// due sooner than what was found there, wakes the caller, also before it sleeps.
    pub(crate) fn fire_timers(&self) -> Option<Duration> {
        loop {
            let now = self.timers.now();
            let (mut first, mut fired) = (None, false);
            for table in 0..self.timers.tables.len() {
                let next = self.fire_some(table, now);
                fired |= next.is_err();
                first = first.into_iter().chain(next.unwrap_or_default()).min();
            }
            if !fired {
                return first.map(|first: u64| Duration::from_nanos(first.saturating_sub(now)));
            }
            // While others set timers as fast as they are fired there always is one: the end of the runtime does not wait for them.
            if self.is_closed() {
                return Some(Duration::ZERO);
            }
        }
    }

    /// Fires some of what is due in a table. Nothing was: when the first is.
    fn fire_some(&self, table: usize, now: u64) -> Result<Option<u64>, Fired> {
        let due: [_; BATCH] = {
            let mut running = self.timers.tables[table].lock();
            let due = first_some(|| {
                let timer = running.timers.take_due(now)?;
                self.timers.count(timer.to, table, |n| n - 1);
                Some(timer)
            });
            let next = running.timers.next();
            if due[0].is_none() {
                if mutated(Mutation::TimerLooksUnlocked) {
                    drop(running);
                    running = self.timers.tables[table].lock();
                }
                running.looks_at = next.unwrap_or(u64::MAX);
                return Ok(next);
            }
            running.looks_at = 0;
            due
        };
        // What a message owns may be the runtime itself, whose end must not wait for this thread.
        let _mark = TurnMark::new();
        let _span = self.store().pin();
        for timer in due.into_iter().flatten() {
            self.fire(timer.to, timer.message);
        }
        Err(Fired)
    }

    /// Drops all timers, and what is set from here on.
    pub(crate) fn stop_timers(&self) {
        for (at, table) in self.timers.tables.iter().enumerate() {
            let timers = {
                let mut running = table.lock();
                running.stopped = true;
                let counts = self.timers.of_processes.iter();
                // Relaxed: as in `count`.
                counts.for_each(|counts| counts[at].store(0, Ordering::Relaxed));
                std::mem::take(&mut running.timers)
            };
            for timer in timers.into_timers() {
                let _ = caught(|| drop(timer));
            }
        }
    }

    /// A process has ended, or a port: what was to be sent to it goes. There was a full fence since it left its slot.
    /// Calls `one` behind each.
    #[cold]
    pub(crate) fn end_timers_of(&self, pid: Pid, one: &mut dyn FnMut()) {
        for table in 0..self.timers.tables.len() {
            // Relaxed: as above.
            if self.timers.of_process(pid, table).load(Ordering::Relaxed) > 0 {
                self.end_timers_in(table, pid, one);
            }
        }
    }

    fn end_timers_in(&self, table: usize, pid: Pid, one: &mut dyn FnMut()) {
        loop {
            let timers: [_; BATCH] = {
                let mut running = self.timers.tables[table].lock();
                first_some(|| {
                    let timer = running.timers.take_of(pid.word())?;
                    self.timers.count(timer.to, table, |n| n - 1);
                    Some(timer)
                })
            };
            let last = timers[BATCH - 1].is_none();
            for timer in timers.into_iter().flatten() {
                let _ = caught(|| drop(timer));
                one();
            }
            if last {
                return;
            }
        }
    }
}

/// There may be more.
struct Fired;

/// # Timers
///
/// A timer is a message that is sent later. It is held in the table of the worker that set it, or of those who are none,
/// behind a lock that setting, cancelling and firing take for O(log n) of the timers in that table, amortised: a table grows,
/// and what cancelled timers leave in the order of moments is cleared away once in as many as run. The name of a timer says
/// which table that is. The end of a process takes the locks of those tables in which it, or one in 64 of the others, has a
/// timer. A process that cancels what it has set takes a lock that nobody else wants, unless another worker has taken it over
/// in between; a runtime with more than 15 workers has tables for 15, which they share. `cargo bench --bench budgets -- --only
/// timer_set_cancel,timer_set_cancel_two` shows what that costs, beside OTP and tokio. A [timeout](Self::set_timeout) seldom
/// comes to a table. A timer is never early. How late it is depends on the machine and on how busy it is.
/// Those of a table fire in the order in which they are due, and of the same moment in which they were set; of those that were
/// set by different workers, and are due before the thread that fires them comes to it, a later one may be the first.
///
/// What a timer sends is a copy without literals. Its memory, and what it owns, goes when the timer fires, is cancelled,
/// when its receiver ends, or with the runtime; one for a process of another runtime on the same store not when that ends. A
/// table has 130 to 250 bytes for a timer besides; of one that was cancelled 24 may stay until they are cleared away, of no more
/// than run there, and 16. A destructor of a message that panics ends nobody: neither who sets a timer for a process that is
/// dead, nor who cancels one. A duration of more than 292 years counts as so long.
impl<'h> Cx<'h> {
    /// Sends a message after so long, at once if that is zero. Nothing comes of it when the receiver has ended by then,
    /// or its mailbox is full: a receiver that ends takes its timers with it. OTP: `erlang:send_after/3`.
    ///
    /// O(words) for the copy of a term; a region is moved.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let me = port.pid();
    /// rt.spawn_fn(
    ///     |cx| {
    ///         cx.send_after(Duration::from_secs(1), cx.me(), cx.int(1));
    ///         cx.nil()
    ///     },
    ///     move |cx, s, tick| {
    ///         cx.send(me, tick);
    ///         cx.send_after(Duration::from_secs(1), cx.me(), cx.int(tick.get::<i64>()? + 1));
    ///         Ok(Next(s))
    ///     },
    /// )?;
    /// rt.advance(Duration::from_millis(2500));
    /// let ticks: Vec<_> = std::iter::from_fn(|| port.try_recv()).map(|m| m.root().as_int()).collect();
    /// assert_eq!(ticks, [Some(1), Some(2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When memory runs out, as every allocation of a turn: it ends this process alone.
    pub fn send_after(self, after: Duration, to: Pid, message: impl Letter<'h>) -> Reference {
        self.set_timer(after, Destination::Pid(to), |_| message.flat())
    }

    /// As [`send_after`](Self::send_after), to whoever has the name then. The end of a process does not end such a timer.
    ///
    /// # Panics
    ///
    /// As [`send_after`](Self::send_after).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// use std::time::Duration;
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let second = Duration::from_secs(1);
    /// rt.spawn_fn(move |cx| { cx.send_after_named(second, LOG, cx.int(7)); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// let log = SpawnOptions::new().name(LOG); // who has the name when it fires, not who had it when it was set
    /// let p = rt.spawn_fn_with(log, |cx| cx.nil(), |_, _, n| Ok(Stop(Exit::msg(n))))?;
    /// let exited = rt.exited(p);
    /// rt.advance(second);
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_after_named(self, after: Duration, to: Atom, message: impl Letter<'h>) -> Reference {
        self.set_timer(after, Destination::Name(to), |_| message.flat())
    }

    fn set_timer(
        self,
        after: Duration,
        to: Destination,
        message: impl FnOnce(Reference) -> Result<Region, HeapError>,
    ) -> Reference {
        self.node().start_timer(after, to, message).unwrap_or_else(|error| unwind(error))
    }

    /// As [`send_after`](Self::send_after), of `{timeout, Timer, Message}`, where `Timer` is what this returns: a message
    /// that can be told from those of other timers. A term is copied, O(words); a region is moved, O(1). OTP:
    /// `erlang:start_timer/3`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// # let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let me = port.pid();
    /// rt.spawn_fn(move |cx| cx.reference(cx.start_timer(Duration::from_secs(1), me, cx.int(5))), |_, s, _| Ok(Next(s)))?;
    /// rt.advance(Duration::from_secs(1));
    /// let message = port.try_recv().unwrap();
    /// let (tag, _, five): (Atom, Reference, i64) = message.root().get()?;
    /// assert_eq!((tag, five), (Atom::inline("timeout"), 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send_after`](Self::send_after).
    pub fn start_timer(self, after: Duration, to: Pid, message: impl Letter<'h>) -> Reference {
        self.set_timer(after, Destination::Pid(to), |timer| message.of_timer(timer))
    }

    /// As [`start_timer`](Self::start_timer), to whoever has the name then. The end of a process does not end such a timer.
    ///
    /// # Panics
    ///
    /// As [`send_after`](Self::send_after).
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// use std::time::Duration;
    /// const LOG: Atom = Atom::inline("log");
    /// # let mut rt = Runtime::deterministic(1);
    /// let second = Duration::from_secs(1);
    /// rt.spawn_fn(move |cx| { cx.start_timer_named(second, LOG, cx.int(7)); cx.nil() }, |_, s, _| Ok(Next(s)))?;
    /// let log = SpawnOptions::new().name(LOG);
    /// let p = rt.spawn_fn_with(log, |cx| cx.nil(), |cx, _, message| {
    ///     let (_, timer, n): (Atom, Reference, i64) = message.get()?;
    ///     assert_eq!(cx.read_timer(timer), None, "it has fired");
    ///     Ok(Stop(Exit::msg(n)))
    /// })?;
    /// let exited = rt.exited(p);
    /// rt.advance(second);
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_timer_named(self, after: Duration, to: Atom, message: impl Letter<'h>) -> Reference {
        self.set_timer(after, Destination::Name(to), |timer| message.of_timer(timer))
    }

    /// Ends a timer, and says what was left of it. `None`: it has fired, was ended before, or is none of this runtime; the
    /// message of one that has fired may be in the mailbox already. Any process may end any timer.
    /// OTP: `erlang:cancel_timer/1`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.spawn_fn(
    ///     |cx| {
    ///         let timer = cx.send_after(Duration::from_secs(1), cx.me(), cx.nil());
    ///         assert_eq!(cx.read_timer(timer), Some(Duration::from_secs(1)));
    ///         assert_eq!(cx.cancel_timer(timer), Some(Duration::from_secs(1)));
    ///         assert_eq!((cx.read_timer(timer), cx.cancel_timer(timer)), (None, None));
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.advance(Duration::from_secs(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_timer(self, timer: Reference) -> Option<Duration> {
        self.node().cancel_timer(timer)
    }

    /// What is left of a timer. `None`: as for [`cancel_timer`](Self::cancel_timer). OTP: `erlang:read_timer/1`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(
    ///     |cx| {
    ///         cx.send_after(Duration::from_secs(2), cx.me(), cx.nil());
    ///         cx.reference(cx.send_after(Duration::from_secs(5), cx.me(), cx.nil()))
    ///     },
    ///     |cx, longer, _| {
    ///         let left = cx.read_timer(longer.get()?);
    ///         Ok(Stop(Exit::msg(format_args!("{left:?}"))))
    ///     },
    /// )?;
    /// let exited = rt.exited(p);
    /// rt.advance(Duration::from_secs(2));
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "Some(3s)");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_timer(self, timer: Reference) -> Option<Duration> {
        self.node().read_timer(timer)
    }
}

/// A region without literals: as it is, if it has none (H4).
pub(crate) fn flat(message: Region) -> Result<Region, HeapError> {
    if message.filter() == 0 { Ok(message) } else { rebuild(&message, Literals::Flatten) }
}

/// What stands before the message of a timer that was started.
pub(super) fn front(timer: Reference) -> [Word; 2] {
    [TIMEOUT, timer.word()]
}

/// `{timeout, Timer, Message}`, without literals: the message is moved.
pub(crate) fn of_timer(timer: Reference, message: Region) -> Result<Region, HeapError> {
    Region::tuple_with(&front(timer), flat(message)?)
}
