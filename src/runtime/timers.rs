//! The thread that fires timers, and the time of runtimes without threads.

use super::{Deterministic, Handle};
use crate::heap::{HeapError, Region};
use crate::process::{Destination, Node, flat, nanoseconds, of_timer};
use crate::sync::{Parker, Unparker};
use crate::term::Reference;
use crate::{Atom, Pid};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Waits for the next timer, and sleeps while there is none.
pub(super) struct Watch {
    thread: std::thread::JoinHandle<()>,
    unparker: Unparker,
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// The parker must be the one whose unparker the node's timers have.
    pub(super) fn start(node: Arc<Node>, parker: Parker, name: &str) -> std::io::Result<Self> {
        let unparker = parker.unparker().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name(format!("{name}-timers")).spawn({
            let stop = Arc::clone(&stop);
            move || {
                // Acquire: pairs with the release in `stop`.
                while !stop.load(Ordering::Acquire) {
                    match node.fire_timers() {
                        Some(left) => parker.park_timeout(left),
                        None => parker.park(),
                    }
                }
            }
        })?;
        Ok(Self { thread, unparker, stop })
    }

    /// Fires no timer from here on.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.unparker.unpark();
        // A panic there was a bug of ours; there is nothing to do about it here.
        let _ = self.thread.join();
    }
}

/// # Timers
///
/// See [those of a turn](crate::Cx#timers).
impl Handle {
    /// Sends a region after so long, at once if that is zero. Nothing comes of it when the receiver has ended by then, or
    /// its mailbox is full. Takes a lock. OTP: `erlang:send_after/3`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let rt = Runtime::new()?;
    /// let mut port = rt.port()?;
    /// rt.send_after(Duration::from_millis(10), port.pid(), Region::build(|h| h.binary("tick")))?;
    /// let never = rt.send_after(Duration::from_secs(3600), port.pid(), Region::build(|h| h.nil()))?;
    /// assert_eq!(port.recv_timeout(Duration::from_secs(10)).unwrap().root().as_str(), Some("tick"));
    /// assert!(rt.cancel_timer(never).unwrap() > Duration::from_secs(3000));
    /// assert_eq!(rt.cancel_timer(never), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no memory.
    pub fn send_after(&self, after: Duration, to: Pid, message: Region) -> Result<Reference, HeapError> {
        self.set_timer(after, Destination::Pid(to), |_| flat(message))
    }

    /// As [`send_after`](Self::send_after), to whoever has the name then. The end of a process does not end such a timer.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// use std::time::Duration;
    /// const LOG: Atom = Atom::inline("log");
    /// let mut rt = Runtime::deterministic(1);
    /// rt.send_after_named(Duration::from_secs(1), LOG, Region::build(|h| h.int(7)))?;
    /// let log = SpawnOptions::new().name(LOG);
    /// let p = rt.spawn_fn_with(log, |cx| cx.nil(), |_, _, n| Ok(Stop(Exit::msg(n))))?;
    /// let exited = rt.exited(p);
    /// rt.advance(Duration::from_secs(1));
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "7", "who has the name when it fires");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_after_named(&self, after: Duration, to: Atom, message: Region) -> Result<Reference, HeapError> {
        self.set_timer(after, Destination::Name(to), |_| flat(message))
    }

    /// As [`send_after`](Self::send_after), of `{timeout, Timer, Message}`, where `Timer` is what this returns: a message that
    /// can be told from those of other timers. The region is moved, O(1) whatever its size. OTP: `erlang:start_timer/3`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let [_, second] = [1, 2].map(|n| {
    ///     let question = Region::build(|h| term!(h, {:late, n}));
    ///     rt.start_timer(Duration::from_secs(n), port.pid(), question).unwrap()
    /// });
    /// rt.advance(Duration::from_secs(2));
    /// let late: Vec<_> = std::iter::from_fn(|| port.try_recv()).collect();
    /// assert_eq!(late[1].root().to_string(), format!("{{timeout,{second},{{late,2}}}}"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no memory.
    pub fn start_timer(&self, after: Duration, to: Pid, message: Region) -> Result<Reference, HeapError> {
        self.set_timer(after, Destination::Pid(to), |timer| of_timer(timer, message))
    }

    /// As [`start_timer`](Self::start_timer), to whoever has the name then. The end of a process does not end such a timer.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// use std::time::Duration;
    /// const LOG: Atom = Atom::inline("log");
    /// let mut rt = Runtime::deterministic(1);
    /// let timer = rt.start_timer_named(Duration::from_secs(1), LOG, Region::build(|h| h.int(7)))?;
    /// let log = SpawnOptions::new().name(LOG);
    /// let p = rt.spawn_fn_with(log, |cx| cx.nil(), |_, _, message| Ok(Stop(Exit::msg(message))))?;
    /// let exited = rt.exited(p);
    /// rt.advance(Duration::from_secs(1));
    /// assert_eq!(exited.try_wait().unwrap().to_string(), format!("{{timeout,{timer},7}}"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_timer_named(&self, after: Duration, to: Atom, message: Region) -> Result<Reference, HeapError> {
        self.set_timer(after, Destination::Name(to), |timer| of_timer(timer, message))
    }

    fn set_timer(
        &self,
        after: Duration,
        to: Destination,
        message: impl FnOnce(Reference) -> Result<Region, HeapError>,
    ) -> Result<Reference, HeapError> {
        let _guard = self.node.store().pin();
        self.node.start_timer(after, to, message)
    }

    /// Ends a timer, and says what was left of it. `None`: it has fired, was ended before, or is none of this runtime.
    /// Takes a lock. OTP: `erlang:cancel_timer/1`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let timer = rt.send_after(Duration::from_secs(5), port.pid(), Region::build(|h| h.nil()))?;
    /// rt.advance(Duration::from_secs(2));
    /// assert_eq!(rt.cancel_timer(timer), Some(Duration::from_secs(3)));
    /// rt.advance(Duration::from_secs(5));
    /// assert!(port.try_recv().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_timer(&self, timer: Reference) -> Option<Duration> {
        self.node.cancel_timer(timer)
    }

    /// What is left of a timer. `None`: as for [`cancel_timer`](Self::cancel_timer). Takes a lock. OTP:
    /// `erlang:read_timer/1`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let mut rt = Runtime::deterministic(1);
    /// let port = rt.port()?;
    /// let timer = rt.send_after(Duration::from_secs(5), port.pid(), Region::build(|h| h.nil()))?;
    /// rt.advance(Duration::from_secs(2));
    /// assert_eq!(rt.read_timer(timer), Some(Duration::from_secs(3)));
    /// rt.advance(Duration::from_secs(3));
    /// assert_eq!(rt.read_timer(timer), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_timer(&self, timer: Reference) -> Option<Duration> {
        self.node.read_timer(timer)
    }

    /// How many timers run, those of the [timeouts](crate::Cx::set_timeout) of processes among them. Takes a lock.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// const LOG: Atom = Atom::inline("log");
    /// let mut rt = Runtime::deterministic(1);
    /// rt.send_after_named(Duration::from_secs(1), LOG, Region::build(|h| h.nil()))?;
    /// assert_eq!(rt.timers(), 1);
    /// rt.advance(Duration::from_secs(1));
    /// assert_eq!(rt.timers(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timers(&self) -> usize {
        self.node.timers.running()
    }
}

/// # Time
impl Deterministic {
    /// Lets time go on. Time stands still but for this: from timer to timer, and at each all is
    /// [run](Self::run_until_idle) that can run, at first too. The number of steps. Inside a turn it does nothing.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// use std::time::Duration;
    /// let mut rt = Runtime::deterministic(1);
    /// let mut port = rt.port()?;
    /// let hour = Duration::from_secs(3600);
    /// let timer = rt.send_after(hour, port.pid(), Region::build(|h| h.nil()))?;
    /// rt.advance(hour / 4);
    /// assert_eq!(rt.read_timer(timer), Some(hour * 3 / 4));
    /// assert!(port.try_recv().is_none());
    /// rt.advance(hour);
    /// assert!(port.try_recv().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(&mut self, by: Duration) -> u64 {
        if crate::persistent::in_turn() {
            return 0;
        }
        let mut steps = self.run_until_idle();
        let node = Arc::clone(&self.handle.node);
        // Before the last moment that can be told: what is due then has not been waited for as long as it should.
        let end = node.timers.now().saturating_add(nanoseconds(by)).min(u64::MAX - 1);
        while let Some(next) = node.timers.next().filter(|&next| next <= end) {
            // What it says may be over already, if it is not about a timer but about a look.
            node.timers.set_now(next.max(node.timers.now()));
            node.fire_timers();
            steps += self.run_until_idle();
        }
        node.timers.set_now(end);
        steps
    }
}
