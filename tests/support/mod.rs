//! What several tests use.

#![allow(dead_code, reason = "each test uses a part of it")]

use shared_term::{Heap, Term};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long to wait for what must come before the test has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A resource that says when it is dropped.
pub(crate) struct OnDrop(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl UnwindSafe for OnDrop {}
impl RefUnwindSafe for OnDrop {}

impl OnDrop {
    pub(crate) fn new(f: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Box::new(f)))))
    }

    pub(crate) fn panics() -> Arc<Self> {
        Self::new(|| std::panic::resume_unwind(Box::new("a destructor")))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        let f = self.0.get_mut().ok().and_then(Option::take);
        if let Some(f) = f {
            f();
        }
    }
}

/// Counts how many of its resources live, and notices one that is dropped twice.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

pub(crate) struct Noted(Ledger);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Ledger {
    pub(crate) fn resource<'h>(&self, h: Heap<'h>) -> Term<'h> {
        self.made.fetch_add(1, Ordering::SeqCst);
        h.resource(Arc::new(Noted(self.clone())))
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}
