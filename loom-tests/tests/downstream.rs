//! A user's own code on top of the library, and its model: what a crate that depends on this one writes.
#![cfg(loom)]

use loom::thread;
use loom_tests::explore;
use shared_term::Atomics;
use shared_term::sync::atomic::Ordering::{AcqRel, Acquire};

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
