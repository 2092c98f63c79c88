//! Counting requests: what one `add` costs, alone and beside other threads that count into the same counter.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use shared_term::counters::Layout;
use shared_term::{Atomics, Counters};

use crate::measure::{adding, ns_per_call};
use crate::rows::Bench;
use crate::table::{CountRow, Figure, THREADS};

pub(crate) const ATOMICS: &str = "Atomics: one cell";
pub(crate) const SHARED: &str = "Counters, atomic layout";
pub(crate) const STRIPED: &str = "Counters: add";
pub(crate) const WRITER: &str = "Counters: writer().add";
pub(crate) const ATOMIC: &str = "std: one AtomicU64";
pub(crate) const LOCKED: &str = "std: one Mutex<u64>";

pub(crate) fn atomics(bench: &Bench) -> Result<CountRow, String> {
    let cells = Atomics::<u64>::new(1);
    let adder = || {
        || {
            cells[0].fetch_add(1, Relaxed);
        }
    };
    let note = "The cell has the operations of the standard library; beside it, its index is checked.";
    measure(bench, ATOMICS, adder, || cells[0].load(Relaxed), || cells.info().bytes, note)
}

pub(crate) fn shared(bench: &Bench) -> Result<CountRow, String> {
    let note = "All threads add to one cell.";
    add(bench, SHARED, &Counters::with_layout(1, Layout::Atomic), note)
}

pub(crate) fn striped(bench: &Bench) -> Result<CountRow, String> {
    let note = "Each thread adds to a row of its own, without a locked instruction; a total adds the rows. The bytes are \
                those of four threads' rows, which have room for 15 counters more.";
    add(bench, STRIPED, &Counters::new(1), note)
}

fn add(bench: &Bench, name: &'static str, counters: &Counters, note: &str) -> Result<CountRow, String> {
    measure(bench, name, || || counters.add(0, 1), || total(counters), || counters.info().bytes, note)
}

pub(crate) fn writer(bench: &Bench) -> Result<CountRow, String> {
    let counters = Counters::new(1);
    let adder = || {
        let writer = counters.writer();
        move || writer.add(0, 1)
    };
    let note = "As above, with the thread's row looked up once.";
    measure(bench, WRITER, adder, || total(&counters), || counters.info().bytes, note)
}

/// A negative total would be the one of no run.
fn total(counters: &Counters) -> u64 {
    counters.get(0).try_into().unwrap_or(u64::MAX)
}

/// The plain thing of the standard library: the reference of the other rows.
pub(crate) fn atomic(bench: &Bench) -> Result<CountRow, String> {
    let cell = AtomicU64::new(0);
    let adder = || {
        || {
            cell.fetch_add(1, Relaxed);
        }
    };
    measure(bench, ATOMIC, adder, || cell.load(Relaxed), || size_of_val(&cell), "The reference of the rows above.")
}

/// What a program has that keeps its counters in a locked structure.
pub(crate) fn locked(bench: &Bench) -> Result<CountRow, String> {
    let cell = Mutex::new(0_u64);
    let lock = || cell.lock().unwrap_or_else(PoisonError::into_inner);
    let note = "What a program has that keeps its counters in a locked structure.";
    measure(bench, LOCKED, || || *lock() += 1, || *lock(), || size_of_val(&cell), note)
}

/// Measures a counter at 0, and checks that no add was lost. `total` must see every add that happened before it.
fn measure<A: Fn()>(
    bench: &Bench,
    name: &'static str,
    adder: impl Fn() -> A + Sync,
    total: impl Fn() -> u64,
    bytes: impl Fn() -> usize,
    note: &str,
) -> Result<CountRow, String> {
    let plan = &bench.plan;
    let mut made = 0;
    let ns_add = THREADS.map(|threads| {
        bench.progress.step(&format!("adds, {threads} threads"));
        let (ns, adds) = adding(plan, threads, &adder);
        made += adds;
        Figure::measured(ns)
    });
    bench.progress.step("totals");
    let ns_total = ns_per_call(plan, || {
        std::hint::black_box(total());
    });
    let counted = total();
    if counted != made {
        return Err(format!("{made} requests were counted as {counted}"));
    }
    Ok(CountRow {
        name,
        bytes: Figure::count(bytes()),
        ns_add,
        ns_total: Figure::measured(ns_total),
        note: note.into(),
    })
}
