//! One operation on several threads at a time.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};

/// One thread, two, and as many as can run at once.
pub(crate) fn thread_counts() -> Vec<usize> {
    let mut counts = vec![1, 2, thread::available_parallelism().map_or(1, std::num::NonZero::get)];
    counts.sort_unstable();
    counts.dedup();
    counts
}

pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .configure_from_args()
}

/// Measures `operation` as each thread of `threads` sees it; `prepare(n)` runs once on the `n`th, and what it returns
/// is the operation.
pub(crate) fn on_threads<O: FnMut()>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    threads: usize,
    prepare: impl Fn(usize) -> O + Sync,
) {
    group.bench_function(BenchmarkId::new(name, format!("{threads} threads")), |bencher| {
        bencher.iter_custom(|iterations| {
            let start = Barrier::new(threads);
            let work = |thread| {
                let mut operation = prepare(thread);
                operation(); // what is made at a thread's first use is made
                start.wait();
                let begun = Instant::now();
                for _ in 0..iterations {
                    black_box(());
                    operation();
                }
                begun.elapsed()
            };
            // The slowest thread: the others share its line, or wait for it.
            thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
            })
        });
    });
}
