//! Counting requests: what one `add` costs, alone and beside another thread that counts into the same counter.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::measure::{adding, ns_per_call};
use crate::rows::Bench;
use crate::table::{CountRow, Figure};

pub(crate) const ATOMIC: &str = "std: one AtomicU64";
pub(crate) const LOCKED: &str = "std: one Mutex<u64>";

/// The plain thing of the standard library: the reference of the other rows.
pub(crate) fn atomic(bench: &Bench) -> Result<CountRow, String> {
    let cell = AtomicU64::new(0);
    let adder = || {
        || {
            cell.fetch_add(1, Relaxed);
        }
    };
    measure(bench, ATOMIC, size_of_val(&cell), adder, || cell.load(Relaxed))
}

/// What a program has that keeps its counters in a locked structure.
pub(crate) fn locked(bench: &Bench) -> Result<CountRow, String> {
    let cell = Mutex::new(0_u64);
    let lock = || cell.lock().unwrap_or_else(PoisonError::into_inner);
    measure(bench, LOCKED, size_of_val(&cell), || || *lock() += 1, || *lock())
}

/// Measures a counter at 0, and checks that no add was lost. `total` must see every add that happened before it.
fn measure<A: Fn()>(
    bench: &Bench,
    name: &'static str,
    bytes: usize,
    adder: impl Fn() -> A + Sync,
    total: impl Fn() -> u64,
) -> Result<CountRow, String> {
    let plan = &bench.plan;
    bench.progress.step("adds, one thread");
    let (alone, first) = adding(plan, 1, &adder);
    bench.progress.step("adds, two threads");
    let (together, second) = adding(plan, 2, &adder);
    bench.progress.step("totals");
    let ns_total = ns_per_call(plan, || {
        std::hint::black_box(total());
    });
    let (made, counted) = (first + second, total());
    if counted != made {
        return Err(format!("{made} requests were counted as {counted}"));
    }
    Ok(CountRow {
        name,
        bytes: Figure::count(bytes),
        ns_add: [alone, together].map(Figure::measured),
        ns_total: Figure::measured(ns_total),
        note: String::new(),
    })
}
