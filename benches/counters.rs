//! What it costs to count: by operation, with the contenders side by side, at 1, 2 and N threads.
//!
//! `cargo bench --bench counters`

mod support;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_utils::CachePadded;
use fast_counter::ConcurrentCounter;
use shared_term::Counters;
use shared_term::counters::Layout;
use support::{on_threads, thread_counts};

thread_local! {
    static LOCAL: Cell<i64> = const { Cell::new(0) };
}

fn add(c: &mut Criterion) {
    let mut group = c.benchmark_group("counters/add");
    for threads in thread_counts() {
        // What nobody else can read, and the floor: a cell that others can.
        on_threads(&mut group, "thread-local cell", threads, |_| {
            || {
                LOCAL.with(|local| {
                    local.set(local.get() + 1);
                    _ = black_box(local);
                });
            }
        });
        let owned: Vec<_> = (0..threads).map(|_| CachePadded::new(AtomicI64::new(0))).collect();
        on_threads(&mut group, "floor: owned load + store", threads, |thread| {
            let owned = &owned;
            move || {
                let cell = &owned[black_box(thread)];
                cell.store(cell.load(Relaxed) + 1, Relaxed);
            }
        });
        let striped = Counters::new(16);
        on_threads(&mut group, "Counters writer", threads, |_| {
            let writer = striped.writer();
            move || writer.inc(black_box(3))
        });
        on_threads(&mut group, "Counters", threads, |_| || striped.inc(black_box(3)));
        let counter = striped.counter(3);
        on_threads(&mut group, "Counter handle", threads, |_| || counter.inc());
        on_threads(&mut group, "padded fetch_add per thread", threads, |thread| {
            let owned = &owned;
            move || _ = owned[black_box(thread)].fetch_add(1, Relaxed)
        });
        let fast = ConcurrentCounter::new(threads);
        on_threads(&mut group, "fast-counter", threads, |_| || fast.add(1));
        let atomic = Counters::with_layout(16, Layout::Atomic);
        on_threads(&mut group, "Counters atomic", threads, |_| || atomic.inc(black_box(3)));
        let shared = AtomicI64::new(0);
        on_threads(&mut group, "one fetch_add for all", threads, |_| || _ = shared.fetch_add(1, Relaxed));
    }
    group.finish();
}

/// An array of 16 counters with this many rows.
fn with_rows(rows: usize, layout: Layout) -> Counters {
    let counters = Counters::with_layout(16, layout);
    let together = std::sync::Barrier::new(rows);
    std::thread::scope(|scope| {
        for _ in 0..rows {
            scope.spawn(|| {
                counters.inc(0);
                together.wait();
            });
        }
    });
    counters
}

fn read(c: &mut Criterion) {
    for (operation, run) in [
        ("counters/get", (|counters| _ = black_box(counters.get(3))) as fn(&Counters)),
        ("counters/take", |counters| _ = black_box(counters.take(3))),
        ("counters/put", |counters| counters.put(3, 7)),
        ("counters/read_all of 16", |counters| _ = black_box(counters.read_all())),
        ("counters/take_all of 16", |counters| _ = black_box(counters.take_all())),
    ] {
        let mut group = c.benchmark_group(operation);
        group.bench_function("atomic", |bencher| {
            let counters = with_rows(1, Layout::Atomic);
            bencher.iter(|| run(&counters));
        });
        for rows in [1, 4, 16, 64] {
            group.bench_function(BenchmarkId::new("striped", format!("{rows} rows")), |bencher| {
                let counters = with_rows(rows, Layout::Striped);
                bencher.iter(|| run(&counters));
            });
        }
        group.finish();
    }
}

/// Bytes, not time: they belong beside the figures above.
fn memory(_: &mut Criterion) {
    println!("counters/memory, bytes per counter");
    let padded = size_of::<CachePadded<AtomicI64>>();
    for rows in [1, 4, 16] {
        for counters in [1, 16, 256] {
            let array = Counters::new(counters);
            let empty = array.info().bytes;
            let row = (counters * size_of::<i64>()).next_multiple_of(128);
            println!(
                "  {counters} counters, {rows} writing threads: Counters {}, one padded cell per thread {}",
                (empty + rows * row) / counters,
                rows * padded
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = support::criterion();
    targets = memory, add, read
}
criterion_main!(benches);
