//! `Published` through its public interface, every way of reclamation the same.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Weak};
use std::{ptr, thread};

use proptest::prelude::*;
use shared_term::Published;
use shared_term::published::{Leak, Reclaim, Ref};

/// Counts itself while it is alive, and is broken once it is dropped.
struct Value {
    number: usize,
    copy: Box<usize>,
    alive: Arc<AtomicUsize>,
}

impl Value {
    fn new(number: usize, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self { number, copy: Box::new(number), alive: Arc::clone(alive) }
    }

    fn check(&self) -> usize {
        assert_eq!(self.number, *self.copy);
        self.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        *self.copy = usize::MAX;
        self.alive.fetch_sub(1, Relaxed);
    }
}

fn rounds(rounds: usize) -> usize {
    if cfg!(miri) { rounds / 1000 + 2 } else { rounds }
}

/// Waits for the very end of these threads, which a scope does not. Whoever has read a cell leaves it for good only there.
fn end<'s>(threads: impl IntoIterator<Item = thread::ScopedJoinHandle<'s, ()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Values only ever get newer, for every reader; and each is dropped exactly once, at the latest with the cell.
fn readers_beside_writers<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    let start = Barrier::new(4);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            start.wait();
            for n in 1..=rounds(5_000) {
                cell.store(Value::new(n, &alive));
            }
        });
        let readers = [false, true, false].map(|long| {
            let (cell, start) = (&cell, &start);
            scope.spawn(move || {
                start.wait();
                let mut last = 0;
                let mut pin = cell.pin();
                for n in 0..rounds(20_000) {
                    let seen = if long { pin.get().check() } else { cell.read().check() };
                    assert!(seen >= last, "{last}, then {seen}");
                    last = seen;
                    if n % 100 == 0 {
                        pin.repin();
                    }
                }
            })
        });
        end(readers.into_iter().chain([writer]));
    });
    assert_eq!(cell.read().check(), rounds(5_000));
    drop(cell);
    assert_eq!(alive.load(Relaxed), 0);
}

/// No update is lost, and an error publishes nothing.
fn updates<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    thread::scope(|scope| {
        end([(); 4].map(|()| {
            scope.spawn(|| {
                for _ in 0..rounds(2_000) {
                    cell.update(|old| Value::new(old.check() + 1, &alive));
                }
            })
        }));
    });
    assert_eq!(
        cell.try_update(|old| if old.number > 0 { Err("full") } else { Ok(Value::new(9, &alive)) }),
        Err("full")
    );
    assert_eq!(cell.read().check(), 4 * rounds(2_000));
    drop(cell);
    assert_eq!(alive.load(Relaxed), 0);
}

/// A reader keeps what it reads, and what it alone kept ends with it: no further replacement is needed.
#[cfg(any(feature = "arc-swap", feature = "epoch", feature = "hyaline"))]
fn ends_without_another_store<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    for n in 1..100 {
        cell.store(Value::new(n, &alive));
        assert_eq!(alive.load(Relaxed), 1, "nobody reads: the old value ends at once");
    }
    let before = cell.read();
    let mut pin = cell.pin();
    assert_eq!(pin.get().check(), 99);
    thread::scope(|scope| {
        end([scope.spawn(|| {
            let theirs = cell.read();
            cell.store(Value::new(100, &alive));
            assert_eq!(theirs.check(), 99);
        })]);
    });
    assert_eq!((before.check(), pin.get().check(), cell.read().check()), (99, 100, 100));
    assert_eq!(alive.load(Relaxed), 2);
    drop(before);
    pin.repin();
    assert_eq!(alive.load(Relaxed), 1, "the last reader has left");
    drop(pin);
    cell.update(|old| Value::new(old.number + 1, &alive));
    assert_eq!((cell.read().check(), alive.load(Relaxed)), (101, 1));
}

/// The value is compared by what it is, not by what it is worth; who loses gets the own value back.
fn compare_and_stores<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    let stranger = Value::new(0, &alive);
    let Err(back) = cell.compare_and_store(&stranger, Value::new(1, &alive)) else { panic!("another value") };
    assert_eq!((back.check(), cell.read().check()), (1, 0));
    drop((back, stranger));

    let first = cell.read();
    assert!(cell.compare_and_store(&first, Value::new(1, &alive)).is_ok());
    assert!(cell.compare_and_store(&first, Value::new(2, &alive)).is_err(), "the first was replaced");
    cell.store(Value::new(0, &alive));
    let Err(back) = cell.compare_and_store(&first, Value::new(3, &alive)) else { panic!("an equal value") };
    assert_eq!((first.check(), back.check(), cell.read().check()), (0, 3, 0));
    drop((first, back));

    // Each success is one step, and each loser tries again with its own value.
    let wins = AtomicUsize::new(0);
    thread::scope(|scope| {
        end([(); 4].map(|()| {
            scope.spawn(|| {
                let mut mine = Value::new(0, &alive);
                let mut pin = cell.pin();
                for _ in 0..rounds(2_000) {
                    let seen = pin.get();
                    mine.number = seen.check() + 1;
                    *mine.copy = mine.number;
                    match cell.compare_and_store(seen, mine) {
                        Ok(()) => {
                            wins.fetch_add(1, Relaxed);
                            mine = Value::new(0, &alive);
                        }
                        Err(back) => mine = back,
                    }
                    pin.repin();
                }
            })
        }));
    });
    assert_eq!(cell.read().check(), wins.load(Relaxed));
    drop(cell);
    assert_eq!(alive.load(Relaxed), 0);
}

/// Values without a size may have one address, and each is dropped once.
fn values_without_a_size<R: Reclaim>() {
    thread_local! {
        static DROPPED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    struct Empty;
    impl Drop for Empty {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    let before = DROPPED.get();
    let cell = Published::<Empty, R>::new(Empty);
    cell.store(Empty);
    let seen = cell.read();
    drop(cell.compare_and_store(&seen, Empty));
    drop(seen);
    drop(cell);
    assert_eq!(DROPPED.get() - before, 3);
}

/// A value whose destructor stores into the cell that it was in.
fn drops_that_store<R: Reclaim>() {
    struct Stores<R: Reclaim>(Weak<Published<Stores<R>, R>>, usize, Arc<AtomicUsize>);
    impl<R: Reclaim> Drop for Stores<R> {
        fn drop(&mut self) {
            self.2.fetch_add(1, Relaxed);
            if let (Some(cell), 1..) = (self.0.upgrade(), self.1) {
                cell.store(Stores(self.0.clone(), self.1 - 1, Arc::clone(&self.2)));
            }
        }
    }
    let dropped: Arc<AtomicUsize> = Arc::default();
    let cell = Arc::new_cyclic(|cell| Published::<_, R>::new(Stores(cell.clone(), 20, Arc::clone(&dropped))));
    for _ in 0..50 {
        let reader = cell.read();
        cell.store(Stores(Arc::downgrade(&cell), 20, Arc::clone(&dropped)));
        drop(reader);
    }
    drop(cell);
    assert!(dropped.load(Relaxed) > 50);
}

/// Reads a cell when it is dropped: a value can be dropped in the middle of a read.
struct ReadsWhenDropped<R: Reclaim>(Arc<Published<usize, R>>);

impl<R: Reclaim> Drop for ReadsWhenDropped<R> {
    fn drop(&mut self) {
        assert_eq!(*self.0.read(), 7);
        // A cell that this thread enters for the first time.
        assert_eq!(*Published::<_, R>::new(8).read(), 8);
    }
}

fn drops_that_read<R: Reclaim>() {
    let other = Arc::new(Published::<usize, R>::new(7));
    let cell = Published::<ReadsWhenDropped<R>, R>::new(ReadsWhenDropped(Arc::clone(&other)));
    thread::scope(|scope| {
        end([(); 2].map(|()| {
            scope.spawn(|| {
                for _ in 0..rounds(1_000) {
                    cell.store(ReadsWhenDropped(Arc::clone(&other)));
                    assert_eq!(*cell.read().0.read(), 7);
                }
            })
        }));
    });
    drop(cell);
    assert_eq!(Arc::strong_count(&other), 1);
}

/// Cells come and go while threads stay, and threads while cells stay; a read at the very end of a thread works.
fn cells_and_threads_come_and_go<R: Reclaim>() {
    struct Late<R: Reclaim>(Arc<Published<usize, R>>, Arc<AtomicUsize>);
    impl<R: Reclaim> Drop for Late<R> {
        fn drop(&mut self) {
            self.1.fetch_add(*self.0.read(), Relaxed);
        }
    }
    thread_local! {
        static LATE: std::cell::RefCell<Option<Box<dyn std::any::Any>>> = const { std::cell::RefCell::new(None) };
    }
    let (stays, sum) = (Arc::new(Published::<usize, R>::new(1)), Arc::default());
    for n in 0..rounds(200) {
        let comes = Published::<usize, R>::new(n);
        comes.store(n + 1);
        assert_eq!(*comes.read() + *stays.read(), n + 2);
        let late = Late(Arc::clone(&stays), Arc::clone(&sum));
        thread::spawn(move || LATE.set(Some(Box::new(late)))).join().unwrap();
    }
    assert_eq!(sum.load(Relaxed), rounds(200));
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Store,
    Update,
    /// With the value that is there, or with one that a reader has.
    CompareAndStore(bool),
    Read,
    Pin,
    Leave(usize),
    Look(usize),
    Repin(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Store),
        1 => Just(Op::Update),
        2 => any::<bool>().prop_map(Op::CompareAndStore),
        2 => Just(Op::Read),
        1 => Just(Op::Pin),
        3 => any::<usize>().prop_map(Op::Leave),
        2 => any::<usize>().prop_map(Op::Look),
        1 => any::<usize>().prop_map(Op::Repin),
    ]
}

/// Readers and writers of one thread in any order: a reader has what there was when it came, a pin what there is, and at
/// the end one value is left.
fn any_order<R: Reclaim>() {
    let config = ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(ops in proptest::collection::vec(op(), 0..40))| {
        let alive = Arc::default();
        let cell = Published::<Value, R>::new(Value::new(0, &alive));
        let (mut now, mut pins) = (0, Vec::new());
        let mut readers: Vec<(usize, Ref<'_, Value, R>)> = Vec::new();
        for (n, op) in (1..).zip(ops) {
            match op {
                Op::Store => {
                    cell.store(Value::new(n, &alive));
                    now = n;
                }
                Op::Update => {
                    cell.update(|old| Value::new(old.check() + 1_000, &alive));
                    now += 1_000;
                }
                Op::CompareAndStore(fresh) => {
                    let there = cell.read();
                    let (seen, current): (_, &Value) = match readers.first() {
                        Some((seen, reader)) if !fresh => (*seen, reader),
                        _ => (now, &there),
                    };
                    let same = ptr::eq::<Value>(current, &raw const *there);
                    prop_assert!(!same || seen == now);
                    let stored = cell.compare_and_store(current, Value::new(n, &alive));
                    prop_assert_eq!(stored.is_ok(), same);
                    now = if same { n } else { now };
                }
                Op::Read => readers.push((now, cell.read())),
                Op::Pin => pins.push(cell.pin()),
                Op::Leave(i) if !readers.is_empty() => drop(readers.swap_remove(i % readers.len())),
                Op::Look(i) if !pins.is_empty() => {
                    let i = i % pins.len();
                    prop_assert_eq!(pins[i].get().check(), now);
                }
                Op::Repin(i) if !pins.is_empty() => {
                    let i = i % pins.len();
                    pins[i].repin();
                }
                Op::Leave(_) | Op::Look(_) | Op::Repin(_) => drop(pins.pop()),
            }
            for (seen, reader) in &readers {
                prop_assert_eq!(reader.check(), *seen);
            }
        }
        drop((readers, pins));
        cell.update(|old| Value::new(old.check(), &alive));
        prop_assert_eq!(cell.read().check(), now);
        drop(cell);
        prop_assert_eq!(alive.load(Relaxed), 0);
    });
}

macro_rules! ways {
    ($($(#[$meta:meta])* $way:ident: $type:ty, [$($more:ident),*];)*) => {$(
        $(#[$meta])*
        mod $way {
            ways!(
                @tests $type:
                readers_beside_writers updates compare_and_stores values_without_a_size drops_that_read drops_that_store
                cells_and_threads_come_and_go any_order $($more)*
            );
        }
    )*};
    (@tests $type:ty: $($test:ident)*) => {$(
        #[test]
        fn $test() {
            crate::$test::<$type>();
        }
    )*};
}

ways! {
    leak: shared_term::published::Leak, [];
    #[cfg(feature = "arc-swap")]
    counted: shared_term::published::Counted, [ends_without_another_store];
    #[cfg(feature = "epoch")]
    epoch: shared_term::published::Epoch, [ends_without_another_store];
    #[cfg(feature = "hyaline")]
    hyaline: shared_term::published::Hyaline, [ends_without_another_store];
}

#[test]
fn leaked_values_are_counted() {
    let cell = Published::<_, Leak>::new(0);
    cell.store(1);
    cell.update(|n| n + 1);
    assert_eq!(cell.compare_and_store(&2, 3), Err(3), "equal, and another");
    assert_eq!((cell.retained(), format!("{cell:?}")), (2, "Published(2)".to_owned()));
}

/// What `Epoch` and `Hyaline` have in common.
macro_rules! waits_for_readers {
    ($($feature:literal $module:ident: $way:ident;)*) => {$(
        #[cfg(feature = $feature)]
        mod $module {
            use super::*;
            use shared_term::published::$way;

            #[test]
            fn a_stalled_reader_of_one_cell_holds_up_no_other() {
                let (busy, free) = (Published::<_, $way>::new(0), Published::<_, $way>::new(0));
                let stalled = busy.read();
                for n in 1..=50 {
                    busy.store(n);
                    free.store(n);
                }
                assert_eq!((busy.retained(), free.retained()), (50, 0));
                drop(stalled);
                assert_eq!(busy.retained(), 0);
            }

            #[test]
            fn the_last_of_many_readers_drops() {
                const READERS: usize = 70;
                let alive = Arc::default();
                let cell = Published::<Value, $way>::new(Value::new(0, &alive));
                let (inside, out) = (Barrier::new(READERS + 1), Barrier::new(READERS + 1));
                thread::scope(|scope| {
                    let read = || {
                        let mut pin = cell.pin();
                        let seen = pin.get();
                        inside.wait();
                        out.wait();
                        assert_eq!(seen.check(), 0);
                    };
                    let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
                    inside.wait();
                    for n in 1..=10 {
                        cell.store(Value::new(n, &alive));
                    }
                    cell.collect();
                    assert_eq!((cell.retained(), alive.load(Relaxed)), (10, 11));
                    out.wait();
                    for reader in readers {
                        reader.join().unwrap(); // to its very end, which the scope does not wait for
                    }
                });
                assert_eq!((cell.retained(), alive.load(Relaxed)), (0, 1), "no store was needed");
                // So many threads there were, and none is in: it ends at once.
                cell.store(Value::new(11, &alive));
                assert_eq!(alive.load(Relaxed), 1);
            }

            /// Threads that come for the first time while values are replaced: none of them leaves a value behind.
            #[test]
            fn readers_that_come_during_stores_leave_nothing_behind() {
                let alive = Arc::default();
                let cell = Published::<Value, $way>::new(Value::new(0, &alive));
                for round in 0..rounds(200) {
                    thread::scope(|scope| {
                        let read = || (0..20).for_each(|_| _ = cell.read().check());
                        let readers = [(); 4].map(|()| scope.spawn(read));
                        for n in 0..20 {
                            cell.store(Value::new(round * 20 + n, &alive));
                        }
                        // To their very end, which the scope does not wait for.
                        _ = readers.map(|reader| reader.join().unwrap());
                    });
                    assert_eq!((cell.retained(), alive.load(Relaxed)), (0, 1), "in round {round}");
                }
            }

            #[test]
            fn a_destructor_that_panics_keeps_no_other_value_and_meets_no_reader() {
                struct Unruly(Arc<AtomicUsize>);
                impl Drop for Unruly {
                    fn drop(&mut self) {
                        self.0.fetch_add(1, Relaxed);
                        std::panic::resume_unwind(Box::new("a destructor"));
                    }
                }
                let dropped: Arc<AtomicUsize> = Arc::default();
                let cell = Published::<_, $way>::new(Unruly(Arc::clone(&dropped)));
                let reader = cell.read();
                for _ in 0..100 {
                    cell.store(Unruly(Arc::clone(&dropped)));
                }
                drop(reader);
                assert_eq!((cell.retained(), dropped.load(Relaxed)), (0, 100));
                std::mem::forget(cell); // its last value is dropped by whoever drops the cell
            }

            #[test]
            fn a_reader_that_was_forgotten_keeps_what_it_could_read() {
                let alive = Arc::default();
                let cell = Published::<Value, $way>::new(Value::new(0, &alive));
                thread::scope(|scope| {
                    scope.spawn(|| std::mem::forget(cell.read()));
                });
                cell.store(Value::new(1, &alive));
                assert_eq!((cell.retained(), cell.read().check()), (1, 1));
                drop(cell);
                assert_eq!(alive.load(Relaxed), 1);
            }
        }
    )*};
}

waits_for_readers! {
    "epoch" epoch_waits: Epoch;
    "hyaline" hyaline_waits: Hyaline;
}
