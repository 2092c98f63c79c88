//! Counted handles: the last owner drops the value, once, and whatever the others did with it came before.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use loom_tests::{caught, explore};
use shared_term::model::Counted;
use shared_term::sync::mutation::Mutation::{SharedDropNoFence, SharedDropRelaxed};

const _: () = assert!(shared_term::IS_LOOM);

/// Loom sees a read that is not ordered before the end.
struct Value(UnsafeCell<bool>);

// SAFETY: loom checks the accesses.
unsafe impl Sync for Value {}

impl Value {
    fn read(&self) {
        // SAFETY: loom reports a write that is not ordered with this.
        assert!(!self.0.with(|ended| unsafe { *ended }), "read after its end");
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // The fault that was found unwinds: it needs no second report.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: loom reports an access that is not ordered before this write.
        let ended = self.0.with_mut(|ended| unsafe { std::mem::replace(&mut *ended, true) });
        assert!(!ended, "dropped twice");
    }
}

/// Two threads read and let go, one of them of a handle that it has made itself; this thread does so too.
fn owners() {
    let value = Counted::new(Value(UnsafeCell::new(false)));
    let others = [value.clone(), value.clone()].map(|one| {
        thread::spawn(move || {
            let another = one.clone();
            drop(one);
            another.read();
        })
    });
    value.read();
    drop(value);
    for other in others {
        other.join().unwrap();
    }
}

#[test]
fn the_last_owner_drops_what_all_have_read() {
    explore("shared", Some(3), owners);
    caught("shared", SharedDropRelaxed, Some(3), owners);
    caught("shared", SharedDropNoFence, Some(3), owners);
}
