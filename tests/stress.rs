//! Everything at once, on real threads, for as long as one likes, with every value saying by itself whether it is whole.
//!
//! Two seconds run with the tests; `ci/sanitize.sh` runs longer under the address sanitizer; by hand, with the seed that a
//! failure has printed or none:
//!
//! ```text
//! STRESS_SECONDS=600 STRESS_SEED=1 cargo test --release --test stress -- --nocapture
//! ```
//!
//! Processes keep, pass on (one, or a shower of messages), forward, put off, put back and append to what they read, spawn, run on, set timers, and end,
//! panic or are killed; threads put, update, erase, batch, lease and hold slots and guards. Threads make the order of
//! things differ from run to run whatever the seed.

#![cfg(feature = "runtime")]

mod support;

use shared_term::heap::CollectWhen;
use shared_term::persistent::{Policy, Slot, StoreError};
use shared_term::prelude::*;
use shared_term::process::{MailboxLimit, SpawnOptions, Turn};
use shared_term::runtime::Handle;
use shared_term::term::Place;
use shared_term::{Literal, persistent::PutError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{LONG, Random};

/// Keys of values; those of the batches come behind them.
const KEYS: i64 = 12;
/// Keys that only batches change, all at once.
const PAIR: [i64; 2] = [100, 101];
const KEEPERS: usize = 24;
/// Values that a process keeps at most.
const ROOM: usize = 6;

const GET: Atom = Atom::inline("get");
const PASS: Atom = Atom::inline("pass");
const ONWARD: Atom = Atom::inline("onward");
const WAIT: Atom = Atom::inline("wait");
const GO: Atom = Atom::inline("go");
const BACK: Atom = Atom::inline("back");
const GROW: Atom = Atom::inline("grow");
const CHILD: Atom = Atom::inline("child");
const RUN: Atom = Atom::inline("run");
const TICK: Atom = Atom::inline("tick");
const LEASE: Atom = Atom::inline("lease");
const END: Atom = Atom::inline("end");
const PANIC: Atom = Atom::inline("panic");
const DROP: Atom = Atom::inline("drop");
const LOOK: Atom = Atom::inline("look");
const SHOWER: Atom = Atom::inline("shower");

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn key(&mut self) -> i64 {
        self.below(KEYS as u64) as i64
    }
}

fn sum<P: Place>(payload: Term<'_, P>) -> i64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    (hasher.finish() >> 8) as i64
}

/// A value is a payload and its sum.
fn build<'h>(h: Heap<'h>, payload: Term<'h>) -> Term<'h> {
    let sum = h.int(sum(payload));
    h.tuple(&[sum, payload])
}

/// Small and large, with binaries in and outside of the heap, sharing, and maps of both kinds.
fn value<'h>(h: Heap<'h>, random: &mut Random) -> Term<'h> {
    let n = random.below(200) as i64;
    let payload = match random.below(6) {
        0 => h.int(n),
        1 => h.list(0..n),
        2 => h.binary(vec![n as u8; n as usize * 3]),
        3 => {
            let (shared, bytes) = (h.list(0..n), h.binary(vec![n as u8; 300]));
            h.tuple(&[shared, shared, bytes, bytes])
        }
        4 => h.map((0..n).map(|i| (i, i * i))),
        _ => h.list((0..n / 8).map(|i| h.tuple(&[h.int(i), h.binary([i as u8; 5])]))),
    };
    build(h, payload)
}

/// Reads all of a value.
fn check<P: Place>(value: Term<'_, P>) {
    if value.is_nil() {
        return;
    }
    let Some([said, payload]) = value.tuple_of() else { panic!("not a value: {value}") };
    assert_eq!(said.as_int(), Some(sum(*payload)), "not whole: {value}");
}

fn check_all<P: Place>(values: Term<'_, P>) {
    values.list().for_each(check);
}

/// What all share.
struct Shared {
    pids: Mutex<Vec<Pid>>,
    stop: AtomicBool,
    turns: AtomicU64,
    /// What a turn has panicked with against its will.
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
        self.stop.store(true, Relaxed);
    }

    fn any(&self, random: &mut Random) -> Pid {
        let pids = self.pids.lock().unwrap();
        pids[random.below(pids.len() as u64) as usize]
    }
}

struct Keeper {
    shared: Arc<Shared>,
    random: Random,
    open: bool,
    runs: u32,
    leases: Vec<Literal>,
}

impl Keeper {
    fn new(shared: &Arc<Shared>, seed: u64) -> Self {
        Self { shared: Arc::clone(shared), random: Random(seed), open: true, runs: 0, leases: Vec::new() }
    }

    /// The values of a process and one more, or fewer, in front of them.
    fn with<'h>(&mut self, cx: Cx<'h>, value: Term<'h>, state: Term<'h>) -> Term<'h> {
        if state.list().count() < ROOM {
            return cx.cons(value, state);
        }
        match self.random.below(3) {
            0 => cx.nil(),
            1 => cx.list([value]),
            _ => cx.list(state.list().skip(ROOM / 2)),
        }
    }
}

impl Process for Keeper {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        self.shared.turns.fetch_add(1, Relaxed);
        check_all(state);
        let Some((order, [about, ..])) = message.tagged() else {
            // Values that another has passed on.
            check_all(message);
            let few = self.random.below(2) == 0 && message.list().count() <= ROOM;
            return Ok(Next(if few {
                message
            } else {
                self.with(cx, message.list().next().unwrap_or(cx.nil()), state)
            }));
        };
        match order {
            GET => {
                let value = cx.get(about.get::<i64>()?).unwrap_or(cx.nil());
                check(value);
                Ok(Next(self.with(cx, value, state)))
            }
            PASS => {
                let _ = cx.try_send(about.get()?, state);
                Ok(Next(if self.random.below(2) == 0 { cx.nil() } else { state }))
            }
            // Many at once, some of which may be put off, with what all of them share.
            SHOWER => {
                let (to, value) = (about.get()?, cx.get(self.random.key()));
                for i in 0..self.random.below(12) as i64 {
                    let all = cx.list(value.into_iter().chain(state.list()));
                    let _ = cx.try_send(to, if i % 2 == 0 { cx.tuple(&[cx.atom(WAIT), cx.int(i), all]) } else { all });
                }
                Ok(Next(state))
            }
            WAIT if self.open && message.tagged().is_some_and(|(_, args)| args.len() == 2) => {
                message.tagged().into_iter().for_each(|(_, args)| check_all(args[1]));
                Ok(Next(state))
            }
            ONWARD if about.get::<Pid>()? != cx.me() => Ok(Forward(about.get()?)),
            WAIT if !self.open => Ok(Defer),
            GO => {
                self.open = !self.open;
                Ok(NextReoffer(state))
            }
            BACK => {
                if let Some(first) = state.list().next() {
                    cx.put(about.get::<i64>()?, first)?;
                }
                Ok(Next(state))
            }
            GROW => {
                // A value that leans on the one before, until the chain is cut.
                cx.update(about.get::<i64>()?, |old| {
                    let old = old.and_then(|old| old.tuple_of()).map_or(cx.nil(), |[_, payload]| *payload);
                    build(*cx, if old.to_string().len() > 4000 { cx.nil() } else { cx.tuple(&[old, cx.int(1)]) })
                })?;
                Ok(Next(state))
            }
            CHILD => {
                let child = Keeper::new(&self.shared, self.random.next());
                let child = if self.random.below(2) == 0 { cx.spawn(child) } else { cx.spawn_linked(child) }?;
                cx.send(child, state);
                cx.send(child, cx.tuple(&[cx.atom(PASS), *about]));
                cx.send(child, cx.tuple(&[cx.atom(END), cx.nil()]));
                Ok(Next(state))
            }
            RUN => {
                self.runs = 5;
                Ok(Again(state))
            }
            TICK => {
                let after = Duration::from_micros(self.random.below(3000));
                let id = cx.send_after(after, about.get()?, state);
                if self.random.below(4) == 0 {
                    cx.cancel_timer(id);
                }
                Ok(Next(state))
            }
            LEASE => {
                let lease = cx.persistent().pin().literal(about.get::<i64>()?)?;
                self.leases.extend(lease);
                self.leases.iter().for_each(|lease| check(lease.root()));
                if self.leases.len() > 3 {
                    self.leases.remove(0);
                }
                Ok(Next(match self.leases.first() {
                    Some(lease) => self.with(cx, cx.literal(lease), state),
                    None => state,
                }))
            }
            END => Ok(Stop(Exit::term(cx.region(state)))),
            PANIC => std::panic::resume_unwind(Box::new(PANIC.to_string())),
            DROP => Ok(Next(cx.nil())),
            _ => Ok(Next(state)),
        }
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        check_all(state);
        self.runs -= 1;
        let mine = value(*cx, &mut self.random);
        let state = self.with(cx, mine, state);
        Ok(if self.runs == 0 { Next(state) } else { Again(state) })
    }

    fn ended(&mut self, why: &Exit) {
        if let Some(message) = why.as_panic().filter(|message| *message != PANIC.to_string()) {
            self.shared.fail(message.to_owned());
        }
    }
}

/// Something for a process to do.
fn order(random: &mut Random, other: Pid) -> Region {
    let key = random.key();
    let what = [
        GET, GET, GET, GET, PASS, PASS, ONWARD, WAIT, SHOWER, GO, BACK, GROW, CHILD, RUN, TICK, LEASE, DROP, LOOK, END,
        PANIC,
    ];
    let what = what[random.below(what.len() as u64) as usize];
    Region::build(|h| match what {
        GET | BACK | GROW | LEASE => term!(h, {what, key}),
        _ => term!(h, {what, other}),
    })
}

fn spawn(rt: &Handle, shared: &Arc<Shared>, random: &mut Random) -> Pid {
    let mut options = SpawnOptions::new().mailbox(MailboxLimit::Messages(64));
    if random.below(3) == 0 {
        options = options.collect_when(CollectWhen::Idle);
    }
    if random.below(3) == 0 {
        options = options.min_heap_words(64).minors_before_major(random.below(3) as u32);
    }
    rt.spawn_with(options, Keeper::new(shared, random.next())).unwrap()
}

/// Keeps the number of processes, kills some, gives orders.
fn command(rt: &Handle, shared: &Arc<Shared>, mut random: Random) {
    while !shared.stop.load(Relaxed) {
        for place in 0..KEEPERS {
            let pid = shared.pids.lock().unwrap()[place];
            if !rt.is_alive(pid) {
                shared.pids.lock().unwrap()[place] = spawn(rt, shared, &mut random);
            }
        }
        for _ in 0..64 {
            let (to, other) = (shared.any(&mut random), shared.any(&mut random));
            // It may have ended, or have enough to do.
            let _ = rt.send(to, order(&mut random, other));
        }
        if random.below(4) == 0 {
            rt.kill(shared.any(&mut random)).unwrap();
        }
        std::thread::yield_now();
    }
}

/// A refusal for what waits to be freed is no failure: a turn may take its time.
fn refused(reason: &StoreError) {
    assert!(matches!(reason, StoreError::Retained { .. }), "{reason}");
    std::thread::yield_now();
}

fn done<T>(put: Result<T, PutError>) {
    let _ = put.map_err(|error| refused(&error.reason()));
}

/// Changes the store from outside.
fn write(store: &PersistentTerms, shared: &Shared, mut random: Random) {
    let mut round = 0_i64;
    while !shared.stop.load(Relaxed) {
        let key = random.key();
        match random.below(10) {
            0..=2 => done(store.put(key, Region::build(|h| value(h, &mut random)))),
            3 => {
                let _ = store.put_built(key, |h| value(h, &mut random)).map_err(|error| refused(&error));
            }
            4 | 5 => drop(store.erase(key)),
            6 => {
                round += 1;
                done(store.put_many(PAIR.map(|key| (key, Region::build(|h| h.list([round; 3]))))));
            }
            7 => {
                store.erase_many([key, (key + 1) % KEYS]).unwrap();
            }
            8 => match store.freeze(Region::build(|h| value(h, &mut random))) {
                Ok(literal) => done(store.put(key, &literal)),
                Err(error) => refused(&error.reason()),
            },
            _ => {
                let version = store.pin().get_with_version(key).map(|(_, version)| version);
                // Somebody may have been faster.
                let _ = store.compare_and_put(key, version, Region::build(|h| value(h, &mut random)));
            }
        }
    }
}

/// Reads from outside, under guards, by slots, and with literals of its own.
fn read(rt: &Handle, shared: &Shared, mut random: Random) {
    let store = rt.persistent();
    let slots: Vec<Slot> = (0..KEYS).map(|key| store.slot(key).unwrap()).collect();
    let mut leases: Vec<Literal> = Vec::new();
    while !shared.stop.load(Relaxed) {
        let mut guard = store.pin();
        let pair = PAIR.map(|key| guard.get(key).map(|value| value.to_string()));
        assert_eq!(pair[0], pair[1], "a part of a batch");
        let key = random.key();
        guard.get(key).into_iter().for_each(check);
        if let Some(value) = guard.read(&slots[key as usize]) {
            check(value);
            let _ = rt.send(shared.any(&mut random), Region::build(|h| h.list([h.copy(value)])));
        }
        if random.below(4) == 0 {
            let entries = store.entries();
            let values = entries.iter().filter(|(key, _)| key.as_int().is_some_and(|key| key < KEYS));
            values.for_each(|(_, value)| check(value));
        }
        if random.below(4) == 0 {
            guard.repin();
            guard.get(key).into_iter().for_each(check);
        }
        leases.extend(guard.literal(key).unwrap());
        drop(guard);
        for lease in &leases {
            check(lease.root());
        }
        if leases.len() > 8 {
            leases.clear();
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// So long under a policy, in the end of which nothing is left.
fn stress(policy: Policy, time: Duration, seed: u64) {
    let store = PersistentTerms::builder().policy(policy).max_retained_bytes(32 << 20).build();
    let rt = Runtime::builder().workers(3).persistent(store.clone()).build().unwrap();
    let mut random = Random(seed);
    let shared = Arc::new(Shared {
        pids: Mutex::default(),
        stop: AtomicBool::new(false),
        turns: AtomicU64::new(0),
        failures: Mutex::default(),
    });
    for _ in 0..KEEPERS {
        let pid = spawn(&rt, &shared, &mut random);
        shared.pids.lock().unwrap().push(pid);
    }
    std::thread::scope(|scope| {
        let rt: &Handle = &rt;
        let (shared, seeds) = (&shared, [(); 4].map(|()| Random(random.next())));
        let [a, b, c, d] = seeds;
        // Whoever fails ends the others.
        let stopping = |f: Box<dyn FnOnce() + Send>| {
            move || {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
                shared.stop.store(true, Relaxed);
                result
            }
        };
        let all: [Box<dyn FnOnce() + Send>; 4] = [
            Box::new(move || command(rt, shared, a)),
            Box::new(move || write(rt.persistent(), shared, b)),
            Box::new(move || write(rt.persistent(), shared, c)),
            Box::new(move || read(rt, shared, d)),
        ];
        let threads = all.map(|f| scope.spawn(stopping(f)));
        let end = Instant::now() + time;
        while Instant::now() < end && !shared.stop.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        shared.stop.store(true, Relaxed);
        for thread in threads {
            if let Err(panic) = thread.join().unwrap() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    // A turn that runs while its process is killed may still store, or spawn another.
    let end = Instant::now() + LONG;
    while rt.processes() > 0 {
        assert!(Instant::now() < end, "they do not end: {:?}", rt.pids());
        for pid in rt.pids() {
            rt.kill(pid).unwrap();
        }
        std::thread::yield_now();
    }
    store.erase_all().unwrap();
    store.collect();
    assert!(store.wait_idle(LONG), "not idle: {:?}, held up by {:?}", store.info(), store.held_up());
    let info = store.info();
    println!("{policy:?}: {} turns, {} collections", shared.turns.load(Relaxed), info.collections);
    assert_eq!((info.count, info.retained_bytes), (0, 0), "{info:?}");
    drop(rt);
    let info = store.info();
    assert_eq!((info.areas, info.bytes, info.off_heap_bytes, info.literals), (0, 0, 0, 0), "{info:?}");
    let failures = shared.failures.lock().unwrap();
    assert!(failures.is_empty(), "in a turn: {failures:?}");
    assert!(shared.turns.load(Relaxed) > 0 && info.collections > 0, "nothing happened");
}

#[test]
fn values_are_whole_and_nothing_is_left() {
    let seed = number("STRESS_SEED").unwrap_or_else(|| shared_term::sync::seed() >> 32);
    let time = Duration::from_secs(number("STRESS_SECONDS").unwrap_or(2)) / 3;
    println!("STRESS_SEED={seed}");
    for policy in [Policy::Eager, Policy::Lazy, Policy::Budget { bytes: 1 << 20 }] {
        stress(policy, time, seed);
    }
}
