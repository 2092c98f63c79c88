//! Published cells: who finds a new value finds what its writer wrote into it, and of writers that compare one wins.
//!
//! `Leak` is the code of production. The other ways are, under loom, a cell that loom sees: their models show that a
//! user's own model on top of them finds what it would find on the real ones.
#![cfg(loom)]

use loom::thread;
use loom_tests::{caught, explore};
use shared_term::Published;
use shared_term::published::model::Turns;
use shared_term::published::{Counted, Leak, Reclaim};
use shared_term::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use shared_term::sync::atomic::{AtomicUsize, fence};
use shared_term::sync::mutation::Mutation::{CollectOnce, LeftNoFence, PublishRelaxed, ReadRelaxed};
use shared_term::sync::{Arc, UnsafeCell};

const _: () = assert!(shared_term::IS_LOOM);

/// Written before it is published, read after: loom complains if the one did not happen before the other.
struct Value(UnsafeCell<u32>);

// SAFETY: nobody writes once it is published.
unsafe impl Sync for Value {}

impl Value {
    fn new(n: u32) -> Self {
        let value = Self(UnsafeCell::new(0));
        // SAFETY: it is not published yet.
        value.0.with_mut(|p| unsafe { *p = n });
        value
    }

    fn get(&self) -> u32 {
        // SAFETY: nobody writes any more; that the writing is over is what the models check.
        self.0.with(|p| unsafe { *p })
    }
}

type Cell<R> = Arc<Published<Value, R>>;

fn cell<R: Reclaim>() -> [Cell<R>; 2] {
    let cell = Arc::new(Published::<Value, R>::new(Value::new(0)));
    [Arc::clone(&cell), cell]
}

fn store<R: Reclaim>() {
    let [mine, theirs] = cell::<R>();
    let thread = thread::spawn(move || {
        let mut pin = theirs.pin();
        let (first, second) = (theirs.read().get(), pin.get().get());
        assert!(first <= second, "read {first}, then {second}");
    });
    mine.store(Value::new(1));
    mine.store(Value::new(2));
    thread.join().unwrap();
    assert_eq!(mine.read().get(), 2);
}

fn update<R: Reclaim>() {
    let [mine, theirs] = cell::<R>();
    let add = |cell: &Published<Value, R>| cell.update(|old| Value::new(old.get() + 1));
    let thread = thread::spawn(move || add(&theirs));
    add(&mine);
    thread.join().unwrap();
    assert_eq!(mine.read().get(), 2, "an update was lost");
}

fn compare_and_store<R: Reclaim>() {
    let [mine, theirs] = cell::<R>();
    let step = |cell: &Published<Value, R>, n| {
        let seen = cell.read();
        match cell.compare_and_store(&seen, Value::new(n)) {
            Ok(()) => true,
            Err(back) => {
                assert_eq!(back.get(), n, "the own value comes back");
                assert_eq!(cell.read().get(), 3 - n, "the winner's is there");
                false
            }
        }
    };
    let thread = thread::spawn(move || step(&theirs, 1));
    let i_won = step(&mine, 2);
    let they_won = thread.join().unwrap();
    assert!(i_won || they_won);
    let last = mine.read().get();
    assert!(if i_won && they_won { last == 1 || last == 2 } else { last == if i_won { 2 } else { 1 } });
}

/// Stands for a collector that cannot drop a value while anybody else is in.
struct Collector {
    turns: Turns,
    values: AtomicUsize,
    inside: [AtomicUsize; 2],
}

impl Collector {
    fn enter(&self, me: usize) {
        self.inside[me].store(1, Relaxed);
        fence(SeqCst);
    }

    fn leave(&self, me: usize) {
        self.inside[me].store(0, Release);
    }

    /// In as well, while it looks.
    fn collect(&self, me: usize) {
        self.enter(me);
        if self.inside[1 - me].load(Acquire) == 0 {
            self.values.swap(0, AcqRel);
        }
        self.leave(me);
    }

    fn read(&self, me: usize) {
        self.enter(me);
        self.leave(me);
        self.turns.left(&self.values, || self.collect(me));
    }

    fn store(&self, me: usize) {
        self.enter(me);
        Turns::replaced(&self.values);
        self.leave(me);
        self.turns.collect(|| self.collect(me));
    }
}

/// Two threads that are in each other's way.
fn tidy(ours: fn(&Collector, usize), theirs: fn(&Collector, usize)) -> impl Fn() + Send + Sync {
    move || {
        let inside = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let cell = Arc::new(Collector { turns: Turns::default(), values: AtomicUsize::new(0), inside });
        let other = Arc::clone(&cell);
        let thread = thread::spawn(move || theirs(&other, 1));
        ours(&cell, 0);
        thread.join().unwrap();
        assert_eq!(cell.values.load(Acquire), 0, "a value stays behind");
    }
}

#[test]
fn nothing_stays_behind() {
    explore("store and read", None, tidy(Collector::store, Collector::read));
    caught("store and read", LeftNoFence, None, tidy(Collector::store, Collector::read));
    explore("two stores", None, tidy(Collector::store, Collector::store));
    caught("two stores", CollectOnce, None, tidy(Collector::store, Collector::store));
}

#[test]
fn a_value_is_there_when_it_is_found() {
    explore("store", None, store::<Leak>);
    caught("store", PublishRelaxed, None, store::<Leak>);
    caught("store", ReadRelaxed, None, store::<Leak>);
    explore("store, counted", None, store::<Counted>);
}

#[test]
fn no_update_is_lost() {
    explore("update", None, update::<Leak>);
    caught("update", PublishRelaxed, None, update::<Leak>);
    explore("update, counted", None, update::<Counted>);
}

#[test]
fn one_of_two_that_compare_wins() {
    explore("compare_and_store", None, compare_and_store::<Leak>);
    caught("compare_and_store", PublishRelaxed, None, compare_and_store::<Leak>);
    explore("compare_and_store, counted", None, compare_and_store::<Counted>);
}
