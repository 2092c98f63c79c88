//! Processes of the library that hold the table, for all rows but the one that counts references.
//!
//! The state of such a process is the table, or nil. It understands four messages:
//!
//! * a table, `{Version, Map}`: hold it;
//! * the atom [`FORGET`]: hold nothing. An immediate state frees the heap without tracing it, so that a process which
//!   forgets the old table before it takes the new one needs no collection to give the memory back;
//! * any other atom: hold the persistent term at that key;
//! * `{run, Job}`: call a Rust closure in a turn, with the state.

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shared_term::prelude::*;
use shared_term::process::SpawnOptions;

use crate::measure::PATIENCE;

pub(crate) const FORGET: Atom = Atom::inline("forget");
const RUN: Atom = Atom::inline("run");

type Job = Box<dyn for<'h> FnOnce(Cx<'h>, Term<'h>) + Send>;

/// A closure on its way. A message is immutable and can be looked at twice; a job runs once.
struct Carried(Mutex<Option<Job>>);

impl Carried {
    fn take(&self) -> Option<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Says when as many processes as expected have come to hold a table.
struct Tally {
    missing: AtomicUsize,
    all: Sender<Instant>,
}

impl Tally {
    fn holds(&self) {
        // AcqRel: what the others freed before they counted is freed when the last one says so.
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The row may have given up waiting.
            let _ = self.all.send(Instant::now());
        }
    }
}

struct Holder {
    tally: Arc<Tally>,
}

impl Process for Holder {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        if let Some((RUN, [job])) = message.tagged() {
            let job = job.resource().and_then(Carried::take).ok_or_else(|| Exit::msg("a job comes once"))?;
            job(cx, state);
            return Ok(Next(state));
        }
        if message.as_atom() == Some(FORGET) {
            return Ok(Next(cx.nil()));
        }
        let table = match message.as_atom() {
            Some(key) => cx.get(key).ok_or_else(|| Exit::msg("no such persistent term"))?,
            None => message,
        };
        self.tally.holds();
        Ok(Next(table))
    }
}

/// A runtime and its holders.
pub(crate) struct Crew {
    pub(crate) rt: Runtime,
    /// Words that a holder's heap may have before it is collected.
    room: usize,
    tally: Arc<Tally>,
    all: Receiver<Instant>,
}

pub(crate) fn why(error: impl Display) -> String {
    error.to_string()
}

impl Crew {
    /// For holders of a table of so many words: their heaps have room for two, so that taking a table in is not followed
    /// by a collection that copies it.
    pub(crate) fn new(workers: usize, words: usize) -> Result<Self, String> {
        let rt = Runtime::builder().workers(workers).thread_name("tradeoffs").build().map_err(why)?;
        let room = words.saturating_mul(2).clamp(1_024, SpawnOptions::MAX_MIN_HEAP_WORDS);
        let (tell, all) = channel();
        let tally = Arc::new(Tally { missing: AtomicUsize::new(0), all: tell });
        Ok(Self { rt, room, tally, all })
    }

    /// Processes that hold nothing; all of them idle.
    pub(crate) fn spawn(&self, count: usize) -> Result<Vec<Pid>, String> {
        /// Few enough at once that no queue grows by them: what is weighed are the processes.
        const BATCH: usize = 256;
        let mut pids = Vec::with_capacity(count);
        while pids.len() < count {
            let batch = BATCH.min(count - pids.len());
            for _ in 0..batch {
                let holder = Holder { tally: Arc::clone(&self.tally) };
                let options = SpawnOptions::new().min_heap_words(self.room);
                pids.push(self.rt.spawn_with(options, holder).map_err(why)?);
            }
            self.ask(&pids[pids.len() - batch..], |_, _| ())?;
        }
        Ok(pids)
    }

    /// What each of the processes answers, in no order.
    pub(crate) fn ask<R: Send + 'static>(
        &self,
        pids: &[Pid],
        f: impl for<'h> Fn(Cx<'h>, Term<'h>) -> R + Copy + Send + 'static,
    ) -> Result<Vec<R>, String> {
        let (tell, answers) = channel();
        for &pid in pids {
            let tell = tell.clone();
            self.run(pid, move |cx, state| {
                // The row may have given up waiting.
                let _ = tell.send(f(cx, state));
            })?;
        }
        drop(tell);
        let answers = pids.iter().map(|_| answers.recv_timeout(PATIENCE));
        answers.collect::<Result<_, _>>().map_err(|_| "a process never answered".into())
    }

    /// Runs `f` in a turn of the process, once.
    pub(crate) fn run(
        &self,
        pid: Pid,
        f: impl for<'h> FnOnce(Cx<'h>, Term<'h>) + Send + 'static,
    ) -> Result<(), String> {
        let job = Arc::new(Carried(Mutex::new(Some(Box::new(f)))));
        self.rt.send_new(pid, |h| term!(h, {RUN, h.resource(job)})).map_err(why)
    }

    /// Ends a process, and waits for its end.
    pub(crate) fn end(&self, pid: Pid) -> Result<(), String> {
        const NO_KEY: Atom = Atom::inline("no key");
        let exited = self.rt.exited(pid);
        self.rt.send_new(pid, |h| h.atom(NO_KEY)).map_err(why)?;
        exited.wait(PATIENCE).map(|_| ()).ok_or_else(|| "a process never ended".into())
    }

    /// Collections of the heaps of these processes so far.
    pub(crate) fn collections(&self, pids: &[Pid]) -> Result<u64, String> {
        let counts = self.ask(pids, |cx, _| {
            let heap = cx.info(cx.me())?.details?.heap;
            Some(heap.minor_collections + heap.major_collections)
        })?;
        counts.into_iter().sum::<Option<_>>().ok_or_else(|| "a process knows nothing of itself".into())
    }

    pub(crate) fn forget(&self, pids: &[Pid]) -> Result<(), String> {
        pids.iter().try_for_each(|&pid| self.rt.send_new(pid, |h| h.atom(FORGET)).map_err(why))
    }

    /// From here on so many tables are waited for.
    pub(crate) fn expect(&self, tables: usize) {
        self.tally.missing.store(tables, Ordering::Release);
    }

    /// Waits until as many tables as expected are held, and says since when.
    pub(crate) fn held(&self) -> Result<Instant, String> {
        self.all.recv_timeout(PATIENCE).map_err(|_| "a table never arrived".into())
    }

    /// Sends each process what makes it hold a table, and waits until all do.
    pub(crate) fn give(&self, pids: &[Pid], mut message: impl FnMut() -> Result<Region, String>) -> Result<(), String> {
        if pids.is_empty() {
            return Ok(());
        }
        self.expect(pids.len());
        for &pid in pids {
            self.rt.send(pid, message()?).map_err(why)?;
        }
        self.held().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Atom = Atom::inline("key");

    #[test]
    fn a_process_holds_what_it_is_told_to_and_forgets_it() {
        let crew = Crew::new(2, 10).unwrap();
        let pids = crew.spawn(300).unwrap();
        let numbers = |crew: &Crew| {
            crew.ask(&pids, |_, state| state.tuple_of().map(|[n, _]| n.as_int())).unwrap().into_iter().flatten()
        };
        crew.give(&pids, || Ok(Region::build(|h| term!(h, {1, []})))).unwrap();
        assert!(numbers(&crew).eq([Some(1); 300]));
        crew.rt.persistent().put(KEY, Region::build(|h| term!(h, {2, []}))).unwrap();
        crew.give(&pids, || Ok(Region::build(|h| h.atom(KEY)))).unwrap();
        assert!(numbers(&crew).eq([Some(2); 300]));
        crew.forget(&pids).unwrap();
        assert_eq!(numbers(&crew).count(), 0);
    }

    #[test]
    fn what_never_comes_is_an_error() {
        let crew = Crew::new(1, 10).unwrap();
        let pids = crew.spawn(1).unwrap();
        let exited = crew.rt.exited(pids[0]);
        crew.rt.send_new(pids[0], |h| h.atom(KEY)).unwrap();
        assert_eq!(exited.wait(PATIENCE).unwrap().to_string(), "no such persistent term");
        assert_eq!(crew.run(pids[0], |_, _| ()), Err("no process has that pid".into()));
        assert_eq!(crew.ask(&[pids[0]], |_, _| ()), Err("no process has that pid".into()));
    }
}
