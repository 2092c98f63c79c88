//! A user's own code on top of the library, and its model: what a crate that depends on this one writes.
#![cfg(loom)]

use loom::thread;
use loom_tests::explore;
use shared_term::published::{Leak, Published};
use shared_term::sync::Arc;
use shared_term::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use shared_term::{Atomics, Counters};

const _: () = assert!(shared_term::IS_LOOM);

/// At most `max` holders at a time.
#[derive(Clone)]
struct Permits {
    held: Atomics<u64>,
    max: u64,
}

impl Permits {
    fn new(max: u64) -> Self {
        Self { held: Atomics::new(1), max }
    }

    fn acquire(&self) -> bool {
        self.held[0].fetch_update(AcqRel, Acquire, |held| (held < self.max).then_some(held + 1)).is_ok()
    }

    /// The bug that one writes first: test, then act.
    fn acquire_in_two_steps(&self) -> bool {
        let free = self.held[0].load(Acquire) < self.max;
        if free {
            self.held[0].fetch_add(1, AcqRel);
        }
        free
    }

    fn release(&self) {
        self.held[0].fetch_sub(1, AcqRel);
    }
}

fn one_permit(acquire: fn(&Permits) -> bool) -> impl Fn() + Send + Sync {
    move || {
        let permits = Permits::new(1);
        let theirs = permits.clone();
        let thread = thread::spawn(move || acquire(&theirs));
        let mine = acquire(&permits);
        assert!(!(thread.join().unwrap() && mine), "two holders of one permit");
        permits.release();
        assert!(acquire(&permits), "a permit that was given back can be had");
    }
}

#[test]
fn never_two_holders() {
    explore("permits", None, one_permit(Permits::acquire));
}

#[test]
#[should_panic(expected = "two holders of one permit")]
fn the_model_can_fail() {
    explore("permits in two steps", None, one_permit(Permits::acquire_in_two_steps));
}

/// Who sees the new value of a cell sees what its writer did before.
#[test]
fn a_published_value_brings_what_came_before() {
    explore("published", None, || {
        let (served, limit) = (Counters::new(1), Arc::new(Published::<i64, Leak>::new(0)));
        let (theirs, their_limit) = (served.clone(), Arc::clone(&limit));
        let thread = thread::spawn(move || {
            let limit = *their_limit.read();
            (limit, theirs.get(0))
        });
        served.add(0, 5);
        limit.store(5);
        let (limit, served) = thread.join().unwrap();
        assert!(limit <= served, "a limit of {limit}, and {served} served");
    });
}

/// Without the library's help: a flag that is set relaxed announces nothing.
#[test]
#[should_panic(expected = "served")]
fn a_relaxed_flag_does_not() {
    explore("relaxed flag", None, || {
        let (served, limit) = (Counters::new(1), Atomics::<i64>::new(1));
        let (theirs, their_limit) = (served.clone(), limit.clone());
        let thread = thread::spawn(move || {
            let limit = their_limit[0].load(Relaxed);
            (limit, theirs.get(0))
        });
        served.add(0, 5);
        limit[0].store(5, Relaxed);
        let (limit, served) = thread.join().unwrap();
        assert!(limit <= served, "a limit of {limit}, and {served} served");
    });
}
