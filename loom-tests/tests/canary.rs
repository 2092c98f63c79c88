//! A planted bug that loom must find: if it does not, no other model here means anything.
#![cfg(loom)]

use loom::thread;
use loom_tests::explore;
use shared_term::Atomics;
use shared_term::sync::atomic::Ordering::Relaxed;

const _: () = assert!(shared_term::IS_LOOM);

/// Two threads that each add one; `add` is the code under test.
fn two_adds(add: fn(&Atomics)) -> impl Fn() + Send + Sync {
    move || {
        let cells = Atomics::new(1);
        let theirs = cells.clone();
        let thread = thread::spawn(move || add(&theirs));
        add(&cells);
        thread.join().unwrap();
        assert_eq!(cells[0].load(Relaxed), 2, "an add was lost");
    }
}

#[test]
fn a_read_modify_write_loses_nothing() {
    explore("canary", None, two_adds(|cells| _ = cells[0].fetch_add(1, Relaxed)));
}

#[test]
#[should_panic(expected = "an add was lost")]
fn a_load_and_a_store_lose_an_add() {
    explore("canary", None, two_adds(|cells| cells[0].store(cells[0].load(Relaxed) + 1, Relaxed)));
}
