//! The library's side: one function for each row.
//!
//! A function makes what all runs of its row share (a runtime, a population) and gives back the closure that does one
//! run. The closure owns what was made and drops it with itself, when the row is done.

use std::fmt::Display;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use shared_term::heap::{CollectStats, HeapError, OwnedHeap};
use shared_term::persistent::Put;
use shared_term::prelude::*;
use shared_term::runtime::{Deterministic, Handle};
use shared_term::term::Key;
use shared_term::{Atomics, Counters};

use crate::resident;
use crate::rows::{Plan, Sampler};
use crate::rust_refs::Xorshift;
use crate::timing::{Batch, median, nanoseconds, net_of, per, timed};

/// As many as OTP has schedulers.
const WORKERS: usize = 2;
/// No run takes so long; one that hangs must not hang the bench.
const LONG: Duration = Duration::from_secs(120);

const KEY: Atom = Atom::inline("budget");
const PAIR: Atom = Atom::inline("pair");
const PING: Atom = Atom::inline("ping");
const COLD: Atom = Atom::inline("cold");
const COLD_KEYS: u64 = 10_000;
const MIXED: Atom = Atom::inline("mixed");
const MIXED_TERMS: u64 = 200;
const MIXED_READS: u64 = 8;
/// Words of a heap of 10 kB: two a cell.
const FULL_CELLS: u64 = 640;
const LIVE_CELLS: i64 = 10_000;
const SENDS_PER_RECEIVER: u64 = 300;
/// So many regions that [`move_region`] sends in one turn.
const REGIONS: u64 = 50;

pub(crate) fn text(error: impl Display) -> String {
    error.to_string()
}

// Work in a turn.

/// A process that does one thing, in its first turn.
struct Once<W, R> {
    work: Option<W>,
    result: Sender<R>,
}

impl<W, R> Process for Once<W, R>
where
    W: for<'h> FnOnce(Cx<'h>) -> R + Send + 'static,
    R: Send + 'static,
{
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        if let Some(work) = self.work.take() {
            self.result.send(work(cx)).map_err(Exit::msg)?;
        }
        Err(Exit::NORMAL)
    }

    fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Err(Exit::NORMAL)
    }
}

/// Does `work` in a turn of a new process of a runtime that only this thread runs, and then whatever follows from it.
fn in_turn<R: Send + 'static>(
    rt: &mut Deterministic,
    work: impl for<'h> FnOnce(Cx<'h>) -> R + Send + 'static,
) -> Result<R, String> {
    let (to_us, result) = mpsc::channel();
    rt.spawn(Once { work: Some(work), result: to_us }).map_err(text)?;
    rt.run_until_idle();
    result.try_recv().map_err(text)
}

pub(crate) fn threads() -> Result<Runtime, String> {
    Runtime::builder().workers(WORKERS).build().map_err(text)
}

pub(crate) fn wait<R>(result: &Receiver<R>) -> Result<R, String> {
    result.recv_timeout(LONG).map_err(text)
}

/// As [`in_turn`], for a loop whose length is found in the first run.
fn batch_in_turn(
    rt: &mut Deterministic,
    batch: &mut Batch,
    work: impl for<'h> FnOnce(Cx<'h>, &mut Batch) -> f64 + Send + 'static,
) -> Result<f64, String> {
    let mut own = *batch;
    let (found, sample) = in_turn(rt, move |cx| {
        let sample = work(cx, &mut own);
        (own, sample)
    })?;
    *batch = found;
    Ok(sample)
}

// Persistent terms: reading.

/// A value that differs each time: an equal one would not be stored at all.
fn value(serial: u64) -> Region {
    Region::build(|h| term!(h, {serial, h.list(1..=100)}))
}

/// `get` of an atom key in a turn, in a calibrated loop, net of the loop.
pub(crate) fn persistent_get_atom(plan: Plan) -> Result<Sampler, String> {
    let (mut rt, mut batch) = (Runtime::deterministic(1), Batch::new(plan.batch));
    rt.persistent().put(KEY, value(0)).map_err(text)?;
    Ok(Box::new(move || batch_in_turn(&mut rt, &mut batch, |cx, batch| batch.net(|_| cx.get(black_box(KEY))))))
}

/// As [`persistent_get_atom`] with a key `{budget, pair}` that lies in the process's heap.
pub(crate) fn persistent_get_pair(plan: Plan) -> Result<Sampler, String> {
    let (mut rt, mut batch) = (Runtime::deterministic(1), Batch::new(plan.batch));
    rt.persistent().put((KEY, PAIR), value(0)).map_err(text)?;
    Ok(Box::new(move || {
        batch_in_turn(&mut rt, &mut batch, |cx, batch| {
            let key = term!(cx, {KEY, PAIR});
            batch.net(|_| cx.get(black_box(key)))
        })
    }))
}

/// `n` gets of keys `{cold, I}` from a list in the process's heap, `I` at random from twice as many as the 10,000 that
/// are stored; the same walk without the gets is subtracted.
pub(crate) fn persistent_get_cold(plan: Plan) -> Result<Sampler, String> {
    let mut rt = Runtime::deterministic(1);
    for i in 0..COLD_KEYS {
        rt.persistent().put((COLD, i), value(i)).map_err(text)?;
    }
    Ok(Box::new(move || {
        in_turn(&mut rt, move |cx| {
            let mut chance = Xorshift::new();
            let keys = cx.list((0..plan.n).map(|_| term!(cx, {COLD, chance.below(2 * COLD_KEYS)})));
            let walk = timed(|| keys.list().for_each(|key| _ = black_box(key)));
            let gets = timed(|| keys.list().for_each(|key| _ = black_box(cx.get(key))));
            per(gets - walk, plan.n)
        })
    }))
}

/// A read through a resolved slot that is bound to a guard, which is held, with its loop, as its reference is.
pub(crate) fn persistent_slot_read(plan: Plan) -> Result<Sampler, String> {
    let (store, mut batch) = (PersistentTerms::new(), Batch::new(plan.batch));
    store.put(KEY, value(0)).map_err(text)?;
    let slot = store.slot(KEY).map_err(text)?;
    Ok(Box::new(move || {
        let guard = store.pin();
        let bound = guard.bind(&slot).ok_or("a slot of another store")?;
        Ok(batch.gross(|_| black_box(&bound).get()))
    }))
}

/// A read through a resolved slot in a turn that it is not bound to, with its loop.
pub(crate) fn persistent_slot_read_unbound(plan: Plan) -> Result<Sampler, String> {
    let (mut rt, mut batch) = (Runtime::deterministic(1), Batch::new(plan.batch));
    rt.persistent().put(KEY, value(0)).map_err(text)?;
    let slot = rt.persistent().slot(KEY).map_err(text)?;
    Ok(Box::new(move || {
        let slot = slot.clone();
        batch_in_turn(&mut rt, &mut batch, move |cx, batch| batch.gross(|_| cx.read(black_box(&slot))))
    }))
}

// Persistent terms: replacing, until the memory of the old value is free.

/// Processes that have all started, on a runtime of their own.
struct Population {
    rt: Runtime,
    pids: Vec<Pid>,
}

impl Population {
    /// `n` processes, the `i`th with the state that `init` makes, which take what they are sent by `receive`.
    fn new<I, F>(rt: Runtime, n: u64, init: I, receive: F) -> Result<Population, String>
    where
        I: for<'h> Fn(Cx<'h>, u64) -> Term<'h> + Copy + Send + 'static,
        F: for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h> + Copy + Send + 'static,
    {
        let tally = Arc::new(Tally::default());
        let pids = (0..n).map(|i| {
            let tally = Arc::clone(&tally);
            let init = receive_init(move |cx| {
                tally.count();
                init(cx, i)
            });
            rt.spawn_fn(init, receive)
        });
        let pids = pids.collect::<Result<Vec<_>, _>>().map_err(text)?;
        tally.wait(n)?;
        Ok(Population { rt, pids })
    }

    fn idle(n: u64) -> Result<Population, String> {
        Population::new(threads()?, n, |cx, _| cx.nil(), |_, state, _| Ok(Next(state)))
    }

    /// From the call of `put` until the old value's area is free.
    fn replace(&self, key: impl Key, new: Region) -> Result<f64, String> {
        let store = self.rt.persistent();
        if !store.wait_idle(LONG) {
            return Err("the last run's garbage is still there".to_string());
        }
        let mut freed = Ok(false);
        let took = timed(|| freed = store.put(key, new).map(|put| put == Put::Replaced && store.wait_idle(LONG)));
        match freed {
            Ok(true) => Ok(took),
            Ok(false) => Err("the old value was not replaced and freed".to_string()),
            Err(error) => Err(text(error)),
        }
    }
}

/// For a closure that is a value before it is spawned: the compiler would not find its signature by itself.
fn receive_init<I: for<'h> FnOnce(Cx<'h>) -> Term<'h>>(init: I) -> I {
    init
}

/// How many processes have come so far.
#[derive(Default)]
struct Tally(AtomicU64);

impl Tally {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn wait(&self, n: u64) -> Result<(), String> {
        let start = Instant::now();
        while self.0.load(Ordering::Acquire) < n {
            if start.elapsed() > LONG {
                return Err("the processes did not start".to_string());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// One `put` of a value that differs each time, `{Serial, [1..=100]}`, beside `n` idle processes: from the call until
/// the old area is freed.
pub(crate) fn persistent_replace_idle(plan: Plan) -> Result<Sampler, String> {
    let population = Population::idle(plan.n)?;
    replacements(population)
}

fn replacements(population: Population) -> Result<Sampler, String> {
    let mut serial = 0;
    population.rt.persistent().put(KEY, value(serial)).map_err(text)?;
    Ok(Box::new(move || {
        serial += 1;
        population.replace(KEY, value(serial))
    }))
}

/// As [`persistent_replace_idle`], where each of the `n` processes keeps a list of 10 kB of its own in its state.
pub(crate) fn persistent_replace_full(plan: Plan) -> Result<Sampler, String> {
    replacements(Population::new(threads()?, plan.n, |cx, _| cx.list(0..FULL_CELLS), |_, state, _| Ok(Next(state)))?)
}

/// Processes that each keep 8 of 200 terms in their state, on a runtime whose store has these.
fn mixed(n: u64) -> Result<Population, String> {
    let rt = threads()?;
    for i in 0..MIXED_TERMS {
        rt.persistent().put((MIXED, i), value(i)).map_err(text)?;
    }
    Population::new(
        rt,
        n,
        |cx, i| {
            let keys = (0..MIXED_READS).map(|read| (MIXED, (i + 25 * read) % MIXED_TERMS));
            cx.list(keys.filter_map(|key| cx.get(key)))
        },
        |_, state, _| Ok(Next(state)),
    )
}

/// As [`persistent_replace_idle`], where each of the `n` processes keeps 8 of 200 other terms in its state. The key has been
/// replaced before: it has a filter bit to itself.
pub(crate) fn persistent_replace_mixed(plan: Plan) -> Result<Sampler, String> {
    let population = mixed(plan.n)?;
    for serial in 0..2 {
        population.rt.persistent().put(KEY, value(MIXED_TERMS + serial)).map_err(text)?;
    }
    replacements(population)
}

/// As [`persistent_replace_mixed`], of a key that has never changed, another one each time: its filter bit is also that of
/// terms that some processes keep.
pub(crate) fn persistent_replace_first(plan: Plan) -> Result<Sampler, String> {
    /// More than a row has runs.
    const KEYS: u64 = 16;
    let population = mixed(plan.n)?;
    for i in 0..KEYS {
        population.rt.persistent().put((KEY, i), value(i)).map_err(text)?;
    }
    let mut keys = 0..KEYS;
    Ok(Box::new(move || {
        let i = keys.next().ok_or("every key has been replaced")?;
        population.replace((KEY, i), value(KEYS + i))
    }))
}

/// As [`persistent_replace_idle`], where each of the `n` processes has the old value in its state. They take it before
/// the run, which is not timed.
pub(crate) fn persistent_replace_holders(plan: Plan) -> Result<Sampler, String> {
    static TAKEN: Tally = Tally(AtomicU64::new(0));
    fn take<'h>(cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        TAKEN.count();
        Ok(Next(cx.get(KEY).unwrap_or(cx.nil())))
    }
    let population = Population::new(threads()?, plan.n, |cx, _| cx.nil(), take)?;
    let mut serial = 0;
    population.rt.persistent().put(KEY, value(serial)).map_err(text)?;
    Ok(Box::new(move || {
        TAKEN.0.store(0, Ordering::Relaxed);
        for &pid in &population.pids {
            population.rt.send_new(pid, |h| h.nil()).map_err(text)?;
        }
        TAKEN.wait(plan.n)?;
        serial += 1;
        population.replace(KEY, value(serial))
    }))
}

/// `n` puts of `{Serial, budget}` under one key, one after the other: nanoseconds per put. A run fails if the bytes
/// retained meanwhile were not bounded.
pub(crate) fn persistent_put_loop(plan: Plan) -> Result<Sampler, String> {
    /// Far more than one value, far less than all of a run.
    const BOUND: usize = 1 << 14;
    let rt = threads()?;
    let mut serial = 0_u64;
    Ok(Box::new(move || {
        let store = rt.persistent();
        let values = (0..plan.n).map(|_| {
            serial += 1;
            Region::build(|h| term!(h, {serial, KEY}))
        });
        let values: Vec<_> = values.collect();
        let (mut retained, mut failed) = (0, None);
        let took = timed(|| {
            for value in values {
                failed = store.put(KEY, value).err().map(|error| error.reason()).or(failed);
                retained = retained.max(store.info().retained_bytes);
            }
        });
        if let Some(error) = failed {
            return Err(text(error));
        }
        if retained > BOUND { Err(format!("{retained} bytes were retained at once")) } else { Ok(per(took, plan.n)) }
    }))
}

// Counting.

/// `fetch_add` on one cell, with its loop, as its reference is.
pub(crate) fn atomics_add(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, cells) = (Batch::new(plan.batch), Atomics::<i64>::new(1));
    Ok(Box::new(move || {
        let cell = &cells[0];
        Ok(batch.gross(|_| cell.fetch_add(1, Ordering::SeqCst)))
    }))
}

/// `writer().add`, with its loop, as its reference is.
pub(crate) fn counters_writer_add(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, counters) = (Batch::new(plan.batch), Counters::new(1));
    Ok(Box::new(move || {
        let writer = counters.writer();
        Ok(batch.gross(|_| writer.add(0, 1)))
    }))
}

/// `add` of a write-concurrent array, with its loop, as its reference is.
pub(crate) fn counters_add(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, counters) = (Batch::new(plan.batch), Counters::new(1));
    Ok(Box::new(move || Ok(batch.gross(|_| counters.add(0, 1)))))
}

/// As [`counters_add`], net of the loop, as OTP's side is.
pub(crate) fn counters_add_vs_otp(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, counters) = (Batch::new(plan.batch), Counters::new(1));
    Ok(Box::new(move || Ok(batch.net(|_| counters.add(0, 1)))))
}

// Messages.

/// Ends a process that is told anything but a ping.
fn swallow<'h>(_: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
    Ok(if message == PING { Next(state) } else { Stop(Exit::NORMAL) })
}

/// `n` sends of an atom from a turn to processes that do not run, 300 to each: the sender's time per send.
pub(crate) fn send_atom_suspended(plan: Plan) -> Result<Sampler, String> {
    send_atoms(plan, SENDS_PER_RECEIVER)
}

/// As many to each as [`move_region`] sends to one.
pub(crate) fn send_atom_for_region(plan: Plan) -> Result<Sampler, String> {
    send_atoms(plan, REGIONS)
}

fn send_atoms(plan: Plan, to_each: u64) -> Result<Sampler, String> {
    let mut rt = Runtime::deterministic(1);
    Ok(Box::new(move || {
        let (mut sent, mut took) = (0, 0.0);
        while sent < plan.n {
            let receiver = rt.spawn_fn(|cx| cx.nil(), swallow).map_err(text)?;
            rt.run_until_idle();
            took += in_turn(&mut rt, move |cx| {
                let atom = cx.atom(PING);
                let took = net_of(to_each, |_| cx.send(receiver, black_box(atom)));
                cx.send(receiver, cx.nil());
                took
            })?;
            sent += to_each;
        }
        Ok(per(took, sent))
    }))
}

/// Counts what it is sent, and tells when the last has come.
struct Drain {
    left: u64,
    drained: Sender<Instant>,
}

impl Process for Drain {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.left -= 1;
        if self.left > 0 {
            return Ok(Next(state));
        }
        self.drained.send(Instant::now()).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

/// Sends as many as a turn should, then lets others have a turn.
struct Source {
    left: u64,
    to: Pid,
    started: Option<Instant>,
    done: Sender<Instant>,
}

impl Process for Source {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let atom = cx.atom(PING);
        while self.left > 0 {
            self.left -= 1;
            cx.send(self.to, atom);
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        self.done.send(started).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

/// `n` sends of an atom by a process to one on another worker, until it has taken the last: per send.
pub(crate) fn send_atom(plan: Plan) -> Result<Sampler, String> {
    let rt = threads()?;
    Ok(Box::new(move || {
        let ((drained, end), (done, start)) = (mpsc::channel(), mpsc::channel());
        let to = rt.spawn(Drain { left: plan.n, drained }).map_err(text)?;
        let source = rt.spawn(Source { left: plan.n, to, started: None, done }).map_err(text)?;
        rt.send_new(source, |h| h.nil()).map_err(text)?;
        let took = wait(&end)?.duration_since(wait(&start)?);
        let empty = timed(|| (0..plan.n).for_each(|i| _ = black_box(i)));
        Ok(per(nanoseconds(took) - empty, plan.n))
    }))
}

/// Sends each ping back to where it came from.
fn pong<'h>(cx: Cx<'h>, peer: Term<'h>, message: Term<'h>) -> Turn<'h> {
    if let Some(peer) = message.as_pid() {
        return Ok(Next(cx.pid(peer)));
    }
    cx.send(peer.get()?, message);
    Ok(Next(peer))
}

/// Longer than a run takes.
const AFTER: Duration = Duration::from_secs(3600);

/// Plays so many rounds with its peer, and tells what they took.
struct Ping {
    peer: Pid,
    left: u64,
    /// Does it wait with a timeout?
    with_timeout: bool,
    started: Option<Instant>,
    took: Sender<f64>,
}

impl Process for Ping {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let Some(started) = self.started else {
            cx.send(self.peer, cx.pid(cx.me()));
            self.started = Some(Instant::now());
            cx.send(self.peer, message);
            return Ok(Next(state));
        };
        self.left -= 1;
        if self.left > 0 {
            cx.send(self.peer, message);
            if self.with_timeout {
                cx.set_timeout(AFTER);
            }
            return Ok(Next(state));
        }
        self.took.send(nanoseconds(started.elapsed())).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

/// `n` round trips of an atom between two processes: per round trip.
pub(crate) fn round_trip(plan: Plan) -> Result<Sampler, String> {
    round_trips(plan, false)
}

/// As [`round_trip`], where the one that counts waits for each answer with a timeout, which never comes.
pub(crate) fn round_trip_after(plan: Plan) -> Result<Sampler, String> {
    round_trips(plan, true)
}

fn round_trips(plan: Plan, with_timeout: bool) -> Result<Sampler, String> {
    let rt = threads()?;
    let peer = rt.spawn_fn(|cx| cx.nil(), pong).map_err(text)?;
    Ok(Box::new(move || {
        let (took, result) = mpsc::channel();
        let ping = Ping { peer, left: plan.n, with_timeout, started: None, took };
        let ping = rt.spawn(ping).map_err(text)?;
        rt.send_new(ping, |h| h.atom(PING)).map_err(text)?;
        let empty = timed(|| (0..plan.n).for_each(|i| _ = black_box(i)));
        Ok(per(wait(&result)? - empty, plan.n))
    }))
}

/// Sets so many timers and ends each, and tells when it began and when it was done.
struct SetCancel {
    left: u64,
    started: Option<Instant>,
    done: Sender<(Instant, Instant)>,
}

impl Process for SetCancel {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let atom = cx.atom(PING);
        while self.left > 0 {
            self.left -= 1;
            let timer = cx.send_after(AFTER, cx.me(), atom);
            black_box(cx.cancel_timer(timer));
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        self.done.send((started, Instant::now())).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

/// `n` timers that are set and ended, by one process: per timer.
pub(crate) fn timer_set_cancel(plan: Plan) -> Result<Sampler, String> {
    set_cancel(plan, 1)
}

/// As [`timer_set_cancel`], by two processes at once, `n` each: from the beginning of the first to the end of the last, per `n`.
pub(crate) fn timer_set_cancel_two(plan: Plan) -> Result<Sampler, String> {
    set_cancel(plan, 2)
}

fn set_cancel(plan: Plan, at_once: usize) -> Result<Sampler, String> {
    let rt = threads()?;
    Ok(Box::new(move || {
        let (done, ends) = mpsc::channel();
        for _ in 0..at_once {
            let process = SetCancel { left: plan.n, started: None, done: done.clone() };
            let process = rt.spawn(process).map_err(text)?;
            rt.send_new(process, |h| h.nil()).map_err(text)?;
        }
        let (mut began, mut ended) = wait(&ends)?;
        for _ in 1..at_once {
            let other = wait(&ends)?;
            (began, ended) = (began.min(other.0), ended.max(other.1));
        }
        let empty = timed(|| (0..plan.n).for_each(|i| _ = black_box(i)));
        Ok(per(nanoseconds(ended.duration_since(began)) - empty, plan.n))
    }))
}

/// A deep copy of a list of 1,000 integers with sharing kept, and the end of the copy.
pub(crate) fn copy_list_1000(plan: Plan) -> Result<Sampler, String> {
    copies(plan, Region::build(|h| h.list(1..=1000)))
}

/// As [`copy_list_1000`], of a full binary tree of 1,023 nodes `{Left, Depth, Right}` with empty lists as leaves.
pub(crate) fn copy_tree_1023(plan: Plan) -> Result<Sampler, String> {
    copies(plan, Region::build(|h| tree(h, 10)))
}

/// As [`copy_list_1000`], of 18 cells with the next one in head and tail: 288 bytes, of which a copy that loses the sharing
/// makes 4 MiB.
pub(crate) fn copy_dag_18(plan: Plan) -> Result<Sampler, String> {
    copies(plan, Region::build(|h| (0..18).fold(h.nil(), |both, _| h.cons(both, both))))
}

fn copies(plan: Plan, source: Region) -> Result<Sampler, String> {
    let mut batch = Batch::new(plan.batch);
    Ok(Box::new(move || Ok(batch.net(|_| Region::copy_of(black_box(source.root()))))))
}

fn tree(h: Heap<'_>, depth: i64) -> Term<'_> {
    if depth == 0 {
        return h.nil();
    }
    let (left, right) = (tree(h, depth - 1), tree(h, depth - 1));
    h.tuple(&[left, h.int(depth), right])
}

/// As [`send_atom_suspended`] with a region of 1 MiB each time: the sender's side. What frees it is not timed.
///
/// The receiver hands the regions on to us, untouched, so that a run costs no more memory than there are in one turn.
pub(crate) fn move_region(plan: Plan) -> Result<Sampler, String> {
    const CELLS: u64 = (1 << 20) / 16;
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().map_err(text)?;
    let me = port.pid();
    let receiver = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(me))).map_err(text)?;
    rt.run_until_idle();
    let mut regions: Vec<_> = (0..REGIONS).map(|_| Region::build(|h| h.list(0..CELLS))).collect();
    Ok(Box::new(move || {
        let (mut sent, mut took) = (0, 0.0);
        while sent < plan.n {
            let mut all = std::mem::take(&mut regions);
            took += in_turn(&mut rt, move |cx| {
                let mut all = all.drain(..);
                net_of(REGIONS, |_| all.next().map(|region| cx.send(receiver, region)))
            })?;
            regions.extend(std::iter::from_fn(|| port.try_recv()));
            if regions.len() as u64 != REGIONS {
                return Err("regions got lost".to_string());
            }
            sent += REGIONS;
        }
        Ok(per(took, sent))
    }))
}

// Collections, per live word: a list of pairs, five words a cell.

fn live_heap() -> OwnedHeap {
    OwnedHeap::new(|h| h.list((0..LIVE_CELLS).map(|i| term!(h, {i, i}))))
}

type Collect = fn(&mut OwnedHeap) -> Result<CollectStats, HeapError>;

fn collection(heap: &mut OwnedHeap, collect: Collect) -> Result<f64, String> {
    let mut stats = Ok(CollectStats::default());
    let took = timed(|| stats = collect(heap));
    Ok(per(took, stats.map_err(text)?.moved_words as u64))
}

/// `n` minor collections of a heap whose only live data is a list of 10,000 pairs of integers, just built: the median, per
/// live word.
pub(crate) fn collect_minor(plan: Plan) -> Result<Sampler, String> {
    let minor = || collection(&mut live_heap(), OwnedHeap::collect_minor);
    Ok(Box::new(move || median((0..plan.n).map(|_| minor()).collect::<Result<_, _>>()?)))
}

/// `n` major collections of the same data one after the other, after two that are not timed: per live word.
pub(crate) fn collect_major(plan: Plan) -> Result<Sampler, String> {
    Ok(Box::new(move || {
        let mut heap = live_heap();
        let mut major = || collection(&mut heap, OwnedHeap::collect_major);
        major()?;
        major()?;
        let all = (0..plan.n).map(|_| major()).sum::<Result<f64, _>>()?;
        Ok(per(all, plan.n))
    }))
}

// Processes.

/// Ends at once.
struct Brief;

impl Process for Brief {
    fn init<'h>(&mut self, _: Cx<'h>) -> Result<Term<'h>, Exit> {
        Err(Exit::NORMAL)
    }

    fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Err(Exit::NORMAL)
    }
}

/// Spawns so many, and then looks in every turn whether they are gone.
struct Spawner {
    rt: Handle,
    left: u64,
    /// As many processes as there were before.
    before: usize,
    started: Option<Instant>,
    took: Sender<f64>,
}

impl Process for Spawner {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        let started = *self.started.get_or_insert_with(|| {
            self.before = self.rt.processes();
            Instant::now()
        });
        while self.left > 0 {
            self.left -= 1;
            cx.spawn(Brief)?;
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        if self.rt.processes() > self.before {
            return Ok(Again(state));
        }
        self.took.send(nanoseconds(started.elapsed())).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

/// `n` processes spawned by a process, each ending in its first turn, until all are gone: per process.
pub(crate) fn spawn_exit(plan: Plan) -> Result<Sampler, String> {
    let rt = threads()?;
    Ok(Box::new(move || {
        let (took, result) = mpsc::channel();
        let handle = Handle::clone(&rt);
        let spawner = Spawner { rt: handle, left: plan.n, before: 0, started: None, took };
        let spawner = rt.spawn(spawner).map_err(text)?;
        rt.send_new(spawner, |h| h.nil()).map_err(text)?;
        let empty = timed(|| (0..plan.n).for_each(|i| _ = black_box(i)));
        Ok(per(wait(&result)? - empty, plan.n))
    }))
}

/// See [`resident`].
pub(crate) fn idle_process_bytes(plan: Plan) -> Result<Sampler, String> {
    resident::sampler("resident-ours", plan.n)
}

/// In a child of its own: resident bytes per process that a runtime with `n` idle processes adds, by
/// [`resident::bytes_each`].
pub(crate) fn resident(n: u64) -> Result<f64, String> {
    struct Idle;
    impl Process for Idle {
        fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Next(state))
        }
    }
    let mut rt = Runtime::deterministic(1);
    let mut failed = None;
    let bytes = resident::bytes_each(n, || {
        // A thousand at a time: the queue of those that can run is not part of an idle process.
        for i in 1..=n {
            failed = rt.spawn(Idle).err().or(failed);
            if i % 1000 == 0 {
                rt.run_until_idle();
            }
        }
        rt.run_until_idle();
        rt
    });
    failed.map_or(bytes, |error| Err(text(error)))
}
