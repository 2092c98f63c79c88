//! What it costs to count: by operation, with the contenders side by side, at 1, 2 and N threads, the memory of a
//! counter in the name of each.
//!
//! `cargo bench --bench counters`

mod support;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use contatori::counters::signed::Signed;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_utils::CachePadded;
use fast_counter::ConcurrentCounter;
use shared_term::Counters;
use shared_term::counters::Layout;
use support::{on_threads, thread_counts};

thread_local! {
    static LOCAL: Cell<i64> = const { Cell::new(0) };
}

/// Counters of an array that is measured.
const SIZE: usize = 16;

fn add(c: &mut Criterion) {
    let mut group = c.benchmark_group("counters/add");
    for threads in thread_counts() {
        // What it takes for one counter once so many threads have added to it.
        let named = |name: &str, bytes: usize| format!("{name} ({bytes} B)");
        // What nobody else can read, and the floor: a cell that others can.
        on_threads(&mut group, &named("thread-local cell", threads * 8), threads, |_| {
            || {
                LOCAL.with(|local| {
                    local.set(local.get() + 1);
                    _ = black_box(local);
                });
            }
        });
        let owned: Vec<_> = (0..threads).map(|_| CachePadded::new(AtomicI64::new(0))).collect();
        let padded = size_of_val(&*owned);
        on_threads(&mut group, &named("floor: owned load + store", padded), threads, |thread| {
            let owned = &owned;
            move || {
                let cell = &owned[black_box(thread)];
                cell.store(cell.load(Relaxed) + 1, Relaxed);
            }
        });
        let striped = with_rows(SIZE, threads, Layout::Striped);
        let bytes = striped.info().bytes / SIZE;
        on_threads(&mut group, &named("Counters writer", bytes), threads, |_| {
            let writer = striped.writer();
            move || writer.inc(black_box(3))
        });
        on_threads(&mut group, &named("Counters", bytes), threads, |_| || striped.inc(black_box(3)));
        let counter = striped.counter(3);
        on_threads(&mut group, &named("Counter handle", bytes), threads, |_| || counter.inc());
        on_threads(&mut group, &named("padded fetch_add per thread", padded), threads, |thread| {
            let owned = &owned;
            move || _ = owned[black_box(thread)].fetch_add(1, Relaxed)
        });
        let fast = ConcurrentCounter::new(threads);
        let bytes = size_of_val(&fast) + threads.next_power_of_two() * padded / threads;
        on_threads(&mut group, &named("fast-counter", bytes), threads, |_| || fast.add(1));
        let contatori = Signed::new();
        on_threads(&mut group, &named("contatori", size_of_val(&contatori)), threads, |_| || contatori.add(1));
        let atomic = Counters::with_layout(SIZE, Layout::Atomic);
        let bytes = atomic.info().bytes / SIZE;
        on_threads(&mut group, &named("Counters atomic", bytes), threads, |_| || atomic.inc(black_box(3)));
        let shared = AtomicI64::new(0);
        on_threads(&mut group, &named("one fetch_add for all", size_of_val(&shared)), threads, |_| {
            || _ = shared.fetch_add(1, Relaxed)
        });
    }
    group.finish();
}

/// An array to which so many threads have added.
fn with_rows(len: usize, rows: usize, layout: Layout) -> Counters {
    let counters = Counters::with_layout(len, layout);
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
            let counters = with_rows(SIZE, 1, Layout::Atomic);
            bencher.iter(|| run(&counters));
        });
        for rows in [1, 4, 16, 64] {
            group.bench_function(BenchmarkId::new("striped", format!("{rows} rows")), |bencher| {
                let counters = with_rows(SIZE, rows, Layout::Striped);
                bencher.iter(|| run(&counters));
            });
        }
        group.finish();
    }
}

/// Bytes, not time: what a counter takes in arrays of other lengths, once so many threads have added to it.
fn memory(_: &mut Criterion) {
    println!("counters/memory, bytes per counter");
    for rows in [1, 4, 16] {
        for counters in [1, 16, 256] {
            println!(
                "  {counters} counters, {rows} threads: Counters {}, one padded cell per thread {}, contatori {}",
                with_rows(counters, rows, Layout::Striped).info().bytes / counters,
                rows * size_of::<CachePadded<AtomicI64>>(),
                size_of::<Signed>(),
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
