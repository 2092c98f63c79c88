//! Striped counters: what is read, taken and handed over while others add.
//!
//! In each model the thread that owns a row and stores to it is the first one: loom forgets a load of another thread
//! that the storing thread's own load of the same cell follows.
#![cfg(loom)]

use loom::thread;
use loom_tests::{Preemptions, caught, explore};
use shared_term::Counters;
use shared_term::counters::end_of_thread;
use shared_term::sync::mutation::Mutation::{
    HandoverRelaxed, LateAddOnRow, NoVersion, OverflowPlain, ReadFenceMissing, RowRelaxed, TakeBySwap, VersionRelaxed,
    VersionStoreRelaxed, WriterFenceMissing, WriterWithoutLease,
};

const _: () = assert!(shared_term::IS_LOOM);

/// Two takes against two adds: each add is in exactly one take, or still there.
fn take() {
    let counters = Counters::new(1);
    counters.add(0, 0); // makes the row; the model is about what follows
    let theirs = counters.clone();
    let thread = thread::spawn(move || {
        let (first, second) = (theirs.take(0), theirs.take(0));
        assert!(first >= 0 && second >= 0, "took {first} and {second}");
        first + second
    });
    counters.inc(0);
    counters.inc(0);
    let taken = thread.join().unwrap();
    assert_eq!(taken + counters.get(0), 2, "takes do not add up");
}

/// Two takers at the same time.
fn takers() {
    let counters = Counters::new(1);
    counters.add(0, 0);
    let takers = [counters.clone(), counters.clone()].map(|counters| thread::spawn(move || counters.take(0)));
    counters.inc(0);
    let taken: i64 = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
    assert_eq!(taken + counters.get(0), 1, "takes do not add up");
}

/// A read against a `put` and an add: the old base with the old rows or the new base with the new ones.
fn put() {
    let counters = Counters::new(1);
    counters.add(0, 0);
    let (putter, reader) = (counters.clone(), counters.clone());
    let putter = thread::spawn(move || putter.put(0, 100));
    let reader = thread::spawn(move || reader.get(0));
    counters.add(0, 5);
    putter.join().unwrap();
    let read = reader.join().unwrap();
    assert!([0, 5, 100, 105].contains(&read), "read {read}");
    let last = counters.get(0);
    assert!([100, 105].contains(&last), "at the end {last}");
}

/// A read while a thread makes its row, and after it.
fn first_add() {
    let counters = Counters::new(1);
    let reader = counters.clone();
    let thread = thread::spawn(move || reader.get(0));
    counters.inc(0);
    let read = thread.join().unwrap();
    assert!([0, 1].contains(&read), "read {read}");
    assert_eq!(counters.get(0), 1, "an add that happened before is not in the read");
}

/// Two threads, the second of which can have the row of the first one: the row is handed over, or each has its own.
fn hand_over() {
    let counters = Counters::new(1);
    let threads = [counters.clone(), counters.clone()].map(|counters| {
        thread::spawn(move || {
            counters.inc(0);
            end_of_thread();
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counters.get(0), 2, "an add was lost at the hand-over");
}

/// A thread that adds after it gave its row up, as a destructor of a thread-local does.
fn late_add() {
    let counters = Counters::new(1);
    let (late, next) = (counters.clone(), counters.clone());
    let late = thread::spawn(move || {
        late.inc(0);
        end_of_thread();
        late.inc(0);
    });
    let next = thread::spawn(move || next.inc(0));
    late.join().unwrap();
    next.join().unwrap();
    assert_eq!(counters.get(0), 3, "an add from a destructor was lost");
}

/// A writer that is still used after its thread gave everything else up: the row is not handed on.
fn late_writer() {
    let counters = Counters::new(1);
    let (late, next) = (counters.clone(), counters.clone());
    let late = thread::spawn(move || {
        let writer = late.writer();
        end_of_thread();
        writer.inc(0);
        drop(writer);
    });
    let next = thread::spawn(move || next.inc(0));
    late.join().unwrap();
    next.join().unwrap();
    assert_eq!(counters.get(0), 2, "an add of a writer was lost");
}

/// More threads than rows: a model's table has two.
fn overflow() {
    let counters = Counters::new(1);
    let held = [counters.clone(), counters.clone()];
    // Two threads end, but their writers keep the rows.
    for counters in held {
        thread::spawn(move || {
            std::mem::forget(counters.writer());
            end_of_thread();
        })
        .join()
        .unwrap();
    }
    let theirs = counters.clone();
    let thread = thread::spawn(move || theirs.inc(0));
    counters.inc(0);
    thread.join().unwrap();
    assert_eq!(counters.info().rows, 2);
    assert_eq!(counters.get(0), 2, "an add to the overflow row was lost");
}

const ALL: Preemptions = None;

#[test]
fn takes_add_up() {
    explore("take", ALL, take);
    caught("take", TakeBySwap, ALL, take);
}

#[test]
fn takers_exclude_each_other() {
    explore("takers", ALL, takers);
    caught("takers", TakeBySwap, ALL, takers);
}

#[test]
fn a_read_never_mixes_two_bases() {
    explore("put", ALL, put);
    for fault in [NoVersion, VersionRelaxed, VersionStoreRelaxed, ReadFenceMissing, WriterFenceMissing] {
        caught("put", fault, ALL, put);
    }
}

#[test]
fn a_first_add_is_seen() {
    explore("first add", ALL, first_add);
    caught("first add", RowRelaxed, ALL, first_add);
}

#[test]
fn a_row_is_handed_over() {
    explore("hand-over", ALL, hand_over);
    caught("hand-over", HandoverRelaxed, ALL, hand_over);
}

#[test]
fn a_late_add_is_not_lost() {
    explore("late add", ALL, late_add);
    caught("late add", LateAddOnRow, ALL, late_add);
}

#[test]
fn a_writer_keeps_its_row() {
    explore("late writer", ALL, late_writer);
    caught("late writer", WriterWithoutLease, ALL, late_writer);
}

#[test]
fn the_overflow_row_is_shared() {
    explore("overflow", ALL, overflow);
    caught("overflow", OverflowPlain, ALL, overflow);
}
