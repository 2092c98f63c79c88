//! Processes, readers, writers and the collection together: what a program does, on the production code.
//!
//! A scenario draws what its threads do as well as how they are scheduled. Two workers run processes that keep, pass on,
//! put off, put back and forward what they read; a thread drives the collection; one writes; one is outside of every
//! runtime, with guards, literals and slots. Whoever has a value looks at it, and an area that was freed says so. At the
//! end nothing is left.
#![cfg(all(loom, shuttle))]

use shared_term::model::{World, touch};
use shared_term::persistent::Policy;
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{
    self, CommitBeforeChanges, CopierIgnoresMark, EvacuateForgetsMessages, ExitDoubleAck, ExitNoAck, FilterAfterIdle,
    FinishWithoutGrace, ForeignNotInGrace, GiveUnasked, LeaseNotCounted, NoGrace, NoQueuedFlag, NoRefsCheck,
    ScanIgnoresRunning, ShareNotHeld, ShareNotNoted, WakesNoOther,
};
use shared_term::term::Place;
use shared_term::{Literal, persistent::Slot};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use shuttle_tests::{caught, holds};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const _: () = assert!(shared_term::IS_SHUTTLE);

const KEYS: [Atom; 3] = [Atom::inline("a"), Atom::inline("b"), Atom::inline("c")];
const GET: Atom = Atom::inline("get");
const PASS: Atom = Atom::inline("pass");
const ONWARD: Atom = Atom::inline("onward");
const WAIT: Atom = Atom::inline("wait");
const GO: Atom = Atom::inline("go");
const BACK: Atom = Atom::inline("back");
const CHILD: Atom = Atom::inline("child");
const END: Atom = Atom::inline("end");
const LOOK: Atom = Atom::inline("look");
const SHOWER: Atom = Atom::inline("shower");
const TICK: Duration = Duration::from_millis(1);

fn below(n: usize) -> usize {
    thread_rng().gen_range(0..n)
}

fn any<T: Copy>(of: &[T]) -> T {
    of[below(of.len())]
}

/// A value that says whether it is whole.
fn value() -> Region {
    let n = below(1000) as i64;
    Region::build(|h| term!(h, {n, {n, [n]}}))
}

/// Reads a value, and all that it consists of.
fn look<P: Place>(value: Term<'_, P>) {
    touch(value);
    if let Some([n, inner]) = value.tuple_of() {
        touch(*inner);
        let Some([m, list]) = inner.tuple_of() else { panic!("not a value: {value}") };
        assert!(n.as_int() == m.as_int() && list.list().all(|i| i.as_int() == n.as_int()), "not whole: {value}");
    }
}

/// Reads what a process has: a list of values.
fn look_at_all(state: Term<'_>) {
    touch(state);
    state.list().for_each(look);
}

/// The process that does what it is told with what it has.
#[derive(Clone)]
struct Keeper {
    others: Arc<Mutex<Vec<Pid>>>,
    open: bool,
    /// What a turn has panicked with.
    failures: Arc<Mutex<Vec<String>>>,
}

impl Keeper {
    fn new() -> Self {
        Self { others: Arc::default(), open: true, failures: Arc::default() }
    }

    fn other(&self) -> Pid {
        any(&self.others.lock().unwrap())
    }
}

impl Process for Keeper {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> shared_term::process::Turn<'h> {
        look_at_all(state);
        match message.tagged() {
            Some((GET, [key])) => {
                let got = cx.get(key.as_atom().expect("a key")).unwrap_or(cx.nil());
                look(got);
                Ok(Next(cx.cons(got, state)))
            }
            Some((PASS, [to])) => {
                cx.send(to.get()?, state);
                Ok(Next(cx.nil()))
            }
            Some((SHOWER, [to])) => {
                for _ in 0..3 {
                    cx.send(to.get()?, cx.tuple(&[cx.atom(WAIT), state]));
                }
                Ok(Next(state))
            }
            Some((ONWARD, [to, ..])) if to.get::<Pid>()? != cx.me() => Ok(Forward(to.get()?)),
            Some((ONWARD, [..])) => Ok(Next(state)),
            Some((WAIT, [_])) if !self.open => Ok(Defer),
            Some((WAIT, [values])) => {
                if values.as_pid().is_none() {
                    look_at_all(*values);
                }
                Ok(Next(state))
            }
            Some((GO, [])) => {
                self.open = !self.open;
                Ok(NextReoffer(state))
            }
            Some((BACK, [key])) => {
                if let Some(first) = state.list().next() {
                    cx.put(key.as_atom().expect("a key"), first)?;
                }
                Ok(Next(state))
            }
            Some((CHILD, [])) => {
                let child = cx.spawn(Self { open: true, ..self.clone() })?;
                cx.send(child, state);
                cx.send(child, cx.tuple(&[cx.atom(PASS), cx.pid(self.other())]));
                cx.send(child, cx.tuple(&[cx.atom(END)]));
                Ok(Next(state))
            }
            Some((END, [])) => Ok(Stop(Exit::term(cx.region(state)))),
            Some((LOOK, [])) => Ok(Next(if below(2) == 0 { cx.nil() } else { state })),
            // A list of values that another has passed on; it may be long.
            _ => {
                look_at_all(message);
                Ok(Next(if below(3) == 0 {
                    message
                } else {
                    cx.cons(message.list().next().unwrap_or(cx.nil()), state)
                }))
            }
        }
    }
    fn ended(&mut self, why: &Exit) {
        if let Some(message) = why.as_panic() {
            self.failures.lock().unwrap().push(message.to_owned());
        }
    }
}

fn order(what: Atom) -> Region {
    Region::build(|h| h.atom(what))
}

/// Of what a program consists.
#[derive(Clone, Copy)]
struct Mix {
    keys: &'static [Atom],
    orders: &'static [Atom],
    writes: &'static [Write],
}

#[derive(Clone, Copy)]
enum Write {
    Put,
    Erase,
    Batch,
    Kill,
    Timer,
    Collect,
    Nothing,
}

/// All there is.
const ALL: Mix = Mix {
    keys: &KEYS,
    orders: &[GET, GET, GET, GET, PASS, PASS, SHOWER, ONWARD, BACK, WAIT, GO, CHILD, LOOK],
    writes: &[
        Write::Put,
        Write::Put,
        Write::Put,
        Write::Erase,
        Write::Erase,
        Write::Batch,
        Write::Kill,
        Write::Timer,
        Write::Collect,
        Write::Nothing,
    ],
};

/// One key, and what all processes have put off of it.
const SHOWERS: Mix = Mix {
    keys: &[KEYS[0]],
    orders: &[GET, GET, SHOWER, SHOWER, SHOWER, GO, ONWARD],
    writes: &[Write::Put, Write::Erase, Write::Kill],
};

/// One key that is put and erased all the time, while what was there is passed round: most of what can go wrong between
/// two processes and the collection is more likely here.
const RELAY: Mix =
    Mix { keys: &[KEYS[0]], orders: &[GET, GET, PASS, PASS, WAIT, GO], writes: &[Write::Put, Write::Erase] };

/// Something to do for a process.
fn any_order(mix: Mix, keeper: &Keeper) -> Region {
    let (what, key, other) = (any(mix.orders), any(mix.keys), keeper.other());
    match what {
        GET | BACK => Region::build(|h| term!(h, {what, key})),
        PASS | SHOWER | ONWARD | WAIT => Region::build(|h| term!(h, {what, other})),
        _ => order(what),
    }
}

/// A worker: runs what can be run, and goes to sleep now and then.
fn work(world: &World) {
    for _ in 0..3 {
        let worker = world.worker();
        for _ in 0..6 {
            if !worker.run_next(1 + below(2) as u16) {
                thread::yield_now();
            }
            worker.boundary();
        }
    }
}

/// A thread outside of every runtime.
fn outside(world: &World, mix: Mix, keeper: &Keeper, slot: &Slot) {
    let store = world.store();
    let mut kept: Vec<Literal> = Vec::new();
    for _ in 0..3 {
        let mut guard = store.pin();
        if below(2) == 0 {
            if let Some(value) = guard.get(any(mix.keys)) {
                look(value);
                let _ = world.handle().send(keeper.other(), Region::copy_of(value));
            }
        } else if let Some(value) = guard.read(slot) {
            look(value);
        }
        // A part of a batch is never seen: both have the value of the other, or neither has.
        let pair = [3, 4].map(|i| guard.get(i).and_then(|value| value.as_int()));
        assert_eq!(pair[0], pair[1], "a part of a batch");
        if below(3) == 0 {
            kept.extend(guard.literal(any(mix.keys)).unwrap());
        }
        if below(2) == 0 {
            guard.repin();
            guard.get(KEYS[0]).into_iter().for_each(look);
        }
        drop(guard);
        for literal in &kept {
            look(literal.root());
        }
        if below(2) == 0 {
            kept.clear();
        }
    }
}

/// The one who writes.
fn write(world: &World, mix: Mix, keeper: &Keeper) {
    let (store, handle) = (world.store(), world.handle());
    for _ in 0..7 {
        match any(mix.writes) {
            Write::Put => drop(store.put(any(mix.keys), value()).unwrap()),
            Write::Erase => drop(store.erase(any(mix.keys))),
            Write::Batch => {
                let n = below(100) as i64;
                let _ = store.put_many([3, 4].map(|key| (key, Region::build(|h| h.int(n))))).unwrap();
            }
            Write::Kill => drop(handle.kill(keeper.other()).unwrap()),
            Write::Timer => {
                let _ = handle.send_after(TICK, keeper.other(), any_order(mix, keeper)).unwrap();
                world.advance(TICK);
            }
            Write::Collect => store.collect(),
            Write::Nothing => {}
        }
        for _ in 0..2 {
            // It may have ended.
            let _ = handle.send(keeper.other(), any_order(mix, keeper));
        }
    }
}

fn program(policy: Policy, mix: Mix) {
    let world = World::on(PersistentTerms::builder().policy(policy).build());
    let keeper = Keeper::new();
    for key in KEYS {
        world.store().put(key, value()).unwrap();
    }
    let slot = world.store().slot(KEYS[0]).unwrap();
    for _ in 0..3 {
        let pid = world.handle().spawn(keeper.clone()).unwrap();
        keeper.others.lock().unwrap().push(pid);
        let _ = world.handle().send(pid, any_order(mix, &keeper));
    }
    let (w, k) = (world.clone(), keeper.clone());
    let mut threads = vec![thread::spawn(move || outside(&w, mix, &k, &slot))];
    for _ in 0..2 {
        let w = world.clone();
        threads.push(thread::spawn(move || work(&w)));
    }
    let w = world.clone();
    threads.push(thread::spawn(move || (0..16).for_each(|_| w.step())));
    write(&world, mix, &keeper);
    for thread in threads {
        thread.join().unwrap();
    }
    rest(world, &keeper);
}

/// Lets everything come to rest: whoever has a value looks at it, and what nobody has is freed.
fn rest(world: World, keeper: &Keeper) {
    let store = world.store().clone();
    for &pid in &*keeper.others.lock().unwrap() {
        let _ = world.handle().send(pid, order(LOOK));
    }
    world.settle();
    store.erase_all().unwrap();
    store.collect();
    world.settle();
    assert_eq!(store.info().retained_bytes, 0, "what nobody has is not freed");
    world.end();
    let failures = keeper.failures.lock().unwrap();
    assert!(failures.is_empty(), "in a turn: {failures:?}");
    assert_eq!(store.info().areas, 0, "an area outlives everything");
}

#[test]
fn a_program_holds_with_an_eager_collection() {
    holds("eager", || program(Policy::Eager, ALL));
}

#[test]
fn a_relay_holds() {
    holds("relay", || program(Policy::Eager, RELAY));
}

#[test]
fn showers_hold() {
    holds("showers", || program(Policy::Eager, SHOWERS));
}

#[test]
fn a_program_holds_with_a_lazy_collection() {
    holds("lazy", || program(Policy::Lazy, ALL));
}

#[test]
fn a_program_holds_with_a_budget() {
    holds("budget", || program(Policy::Budget { bytes: 200 }, ALL));
}

/// The faults, with the mix in which they hurt most. The rest is for `loom-tests/` and the search: orderings are not weak
/// here, and of some steps every schedule that hurts is too rare to be drawn.
const FAULTS: [(Mutation, Mix); 17] = [
    (CommitBeforeChanges, ALL),
    (CopierIgnoresMark, RELAY),
    (EvacuateForgetsMessages, ALL),
    (ExitDoubleAck, ALL),
    (ExitNoAck, ALL),
    (FilterAfterIdle, ALL),
    (FinishWithoutGrace, ALL),
    (ForeignNotInGrace, ALL),
    (GiveUnasked, RELAY),
    (LeaseNotCounted, RELAY),
    (NoGrace, ALL),
    (NoQueuedFlag, RELAY),
    (NoRefsCheck, ALL),
    (ScanIgnoresRunning, ALL),
    (ShareNotHeld, SHOWERS),
    (ShareNotNoted, SHOWERS),
    (WakesNoOther, RELAY),
];

#[test]
fn its_faults_are_found() {
    for (fault, mix) in FAULTS {
        caught("program", fault, move || program(Policy::Eager, mix));
    }
}
