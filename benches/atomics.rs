//! What the array costs beside bare atomics: by operation, at 1, 2 and N threads.
//!
//! `cargo bench --bench atomics`

mod support;

use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use criterion::{Criterion, criterion_group, criterion_main};
use shared_term::Atomics;
use support::{on_threads, thread_counts};

fn operation(c: &mut Criterion, name: &str, run: impl Fn(&AtomicI64) + Copy + Send + Sync) {
    let bare: Vec<AtomicI64> = (0..16).map(|_| AtomicI64::new(0)).collect();
    let (packed, padded) = (Atomics::<i64>::new(16), Atomics::<i64>::padded(16));
    let mut group = c.benchmark_group(name);
    for threads in thread_counts() {
        on_threads(&mut group, "bare", threads, |_| || run(&bare[black_box(3)]));
        on_threads(&mut group, "Atomics", threads, |_| || run(&packed[black_box(3)]));
        on_threads(&mut group, "Atomics padded", threads, |_| || run(&padded[black_box(3)]));
    }
    group.finish();
}

fn operations(c: &mut Criterion) {
    operation(c, "atomics/fetch_add", |cell| _ = cell.fetch_add(1, Relaxed));
    operation(c, "atomics/load", |cell| _ = black_box(cell.load(Relaxed)));
    operation(c, "atomics/store", |cell| cell.store(1, Relaxed));
    operation(c, "atomics/compare_exchange", |cell| _ = black_box(cell.compare_exchange(0, 1, Relaxed, Relaxed)));
}

/// Each thread adds to a cell of its own: what the layout is for.
fn neighbours(c: &mut Criterion) {
    let mut group = c.benchmark_group("atomics/fetch_add, a cell per thread");
    for threads in thread_counts() {
        let (packed, padded) = (Atomics::<i64>::new(threads), Atomics::<i64>::padded(threads));
        for (name, cells) in [("packed", packed), ("padded", padded)] {
            on_threads(&mut group, name, threads, |thread| {
                let cells = &cells;
                move || _ = cells[black_box(thread)].fetch_add(1, Relaxed)
            });
        }
    }
    group.finish();
}

fn load_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("atomics/load_all of 1000");
    for (name, cells) in [("packed", Atomics::<u64>::new(1000)), ("padded", Atomics::padded(1000))] {
        let mut values = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| cells.load_all_into(Relaxed, black_box(&mut values)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::criterion();
    targets = operations, neighbours, load_all
}
criterion_main!(benches);
