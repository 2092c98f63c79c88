//! What it costs to read and to replace one value, and what is kept alive meanwhile: every way of reclamation beside what
//! one would take without the library, at 1, 2 and N threads.
//!
//! `cargo bench --features epoch,hyaline --bench published`; `-- retention`, `-- table` and `-- threads` print the tables of the documentation alone.

mod support;

use std::hint::black_box;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_epoch as epoch;
use seize::Guard as _;
use shared_term::Published;
use shared_term::published::{Counted, Epoch, Hyaline, Leak, Reclaim};
use support::{on_threads, thread_counts};

/// For left-right: a value that is replaced.
#[derive(Default, Clone)]
struct Replaced(u64);

impl left_right::Absorb<u64> for Replaced {
    fn absorb_first(&mut self, new: &mut u64, _: &Self) {
        self.0 = *new;
    }

    fn sync_with(&mut self, first: &Self) {
        self.0 = first.0;
    }
}

fn read_ours<R: Reclaim>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: usize) {
    let cell = Published::<u64, R>::new(7);
    on_threads(group, name, threads, |_| || _ = black_box(*cell.read()));
}

fn held_ours<R: Reclaim>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: usize) {
    let cell = Published::<u64, R>::new(7);
    on_threads(group, name, threads, |_| {
        let mut pin = cell.pin();
        move || _ = black_box(*pin.get())
    });
}

fn reads(c: &mut Criterion) {
    let mut group = c.benchmark_group("published/read");
    for threads in thread_counts() {
        let bare = AtomicU64::new(7);
        on_threads(&mut group, "floor: relaxed load", threads, |_| || _ = black_box(black_box(&bare).load(Relaxed)));
        read_ours::<Leak>(&mut group, "Leak", threads);
        read_ours::<Counted>(&mut group, "Counted", threads);
        read_ours::<Epoch>(&mut group, "Epoch", threads);
        read_ours::<Hyaline>(&mut group, "Hyaline", threads);
        let swap = ArcSwap::from_pointee(7_u64);
        on_threads(&mut group, "arc-swap load", threads, |_| || _ = black_box(**swap.load()));
        on_threads(&mut group, "arc-swap load_full", threads, |_| || _ = black_box(*swap.load_full()));
        let atomic = epoch::Atomic::new(7_u64);
        on_threads(&mut group, "crossbeam-epoch pin, load", threads, |_| {
            || {
                let guard = epoch::pin();
                // SAFETY: not null, and loaded under the guard.
                _ = black_box(unsafe { *atomic.load(Acquire, &guard).deref() });
            }
        });
        let (_write, read) = left_right::new::<Replaced, u64>();
        let factory = read.factory();
        on_threads(&mut group, "left-right", threads, |_| {
            let read = factory.handle();
            move || _ = black_box(read.enter().map(|value| value.0))
        });
        let lock = RwLock::new(7_u64);
        on_threads(&mut group, "RwLock", threads, |_| || _ = black_box(*lock.read().unwrap()));
        let lock = RwLock::new(Arc::new(7_u64));
        on_threads(&mut group, "RwLock<Arc>, cloned", threads, |_| {
            || _ = black_box(*Arc::clone(&lock.read().unwrap()))
        });
        // SAFETY: nobody else has it.
        drop(unsafe { atomic.into_owned() });
    }
    group.finish();

    let mut group = c.benchmark_group("published/read under a held guard");
    for threads in thread_counts() {
        let bare = AtomicU64::new(7);
        on_threads(&mut group, "floor: relaxed load", threads, |_| || _ = black_box(black_box(&bare).load(Relaxed)));
        held_ours::<Leak>(&mut group, "Leak", threads);
        held_ours::<Counted>(&mut group, "Counted", threads);
        held_ours::<Epoch>(&mut group, "Epoch", threads);
        held_ours::<Hyaline>(&mut group, "Hyaline", threads);
    }
    group.finish();
}

/// Runs `read` beside a thread that runs `write` all the time.
fn beside(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    write: impl Fn(u64) + Sync,
    read: impl Fn() -> u64 + Sync,
) {
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0;
                while !done.load(Relaxed) {
                    write(n);
                    n += 1;
                }
            });
            bencher.iter(|| black_box(read()));
            done.store(true, Relaxed);
        });
    });
}

fn beside_a_writer(c: &mut Criterion) {
    fn ours<R: Reclaim>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str) {
        let cell = Published::<u64, R>::new(0);
        beside(group, name, |n| cell.store(n), || *cell.read());
    }
    // Not `Leak`, which would take all the memory there is.
    let mut group = c.benchmark_group("published/read beside a writer that replaces all the time");
    ours::<Counted>(&mut group, "Counted");
    ours::<Epoch>(&mut group, "Epoch");
    ours::<Hyaline>(&mut group, "Hyaline");
    let swap = ArcSwap::from_pointee(0);
    beside(&mut group, "arc-swap load", |n| swap.store(Arc::new(n)), || **swap.load());
    let lock = RwLock::new(0);
    beside(&mut group, "RwLock", |n| *lock.write().unwrap() = n, || *lock.read().unwrap());
    group.finish();
}

fn writes(c: &mut Criterion) {
    fn ours<R: Reclaim>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: usize, update: bool) {
        let cell = Published::<u64, R>::new(0);
        if update {
            on_threads(group, name, threads, |_| || cell.update(|n| n + 1));
        } else {
            on_threads(group, name, threads, |_| || cell.store(black_box(1)));
        }
    }
    for update in [false, true] {
        let mut group = c.benchmark_group(if update { "published/update" } else { "published/store" });
        for threads in thread_counts() {
            ours::<Counted>(&mut group, "Counted", threads, update);
            ours::<Epoch>(&mut group, "Epoch", threads, update);
            ours::<Hyaline>(&mut group, "Hyaline", threads, update);
            let swap = ArcSwap::from_pointee(0);
            if update {
                on_threads(&mut group, "arc-swap", threads, |_| || _ = swap.rcu(|n| **n + 1));
            } else {
                on_threads(&mut group, "arc-swap", threads, |_| || swap.store(Arc::new(black_box(1))));
            }
            let lock = RwLock::new(Arc::new(0));
            on_threads(&mut group, "RwLock<Arc>", threads, |_| {
                || {
                    let mut value = lock.write().unwrap();
                    *value = Arc::new(if update { **value + 1 } else { black_box(1) });
                }
            });
        }
        group.finish();
    }
}

/// Counts the values that are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Values alive after ten stores; with a reader that stays through ten thousand; and once it has left.
fn retained(name: &str, count: &AtomicUsize, store: impl Fn(), reader: impl Fn(&mut dyn FnMut())) {
    (0..10).for_each(|_| store());
    let idle = count.load(Relaxed);
    let mut stalled = 0;
    reader(&mut || {
        (0..10_000).for_each(|_| store());
        stalled = count.load(Relaxed);
    });
    println!("  {name:28} {idle:>9} {stalled:>12} {:>9}", count.load(Relaxed));
}

fn retention(_: &mut Criterion) {
    fn ours<R: Reclaim>(name: &str) {
        let count = Arc::default();
        let cell = Published::<Alive, R>::new(Alive::new(&count));
        retained(
            name,
            &count,
            || cell.store(Alive::new(&count)),
            |stay| {
                let reader = cell.read();
                stay();
                drop(reader);
            },
        );
    }
    if !wanted("retention") {
        return;
    }
    println!("published/retention, values alive");
    println!("  {:28} {:>9} {:>12} {:>9}", "", "10 stores", "reader stays", "it left");
    ours::<Leak>("Leak");
    ours::<Counted>("Counted");
    ours::<Epoch>("Epoch");
    ours::<Hyaline>("Hyaline");

    let count = Arc::default();
    let swap = ArcSwap::from_pointee(Alive::new(&count));
    retained(
        "arc-swap",
        &count,
        || swap.store(Arc::new(Alive::new(&count))),
        |stay| {
            let reader = swap.load();
            stay();
            drop(reader);
        },
    );

    let count = Arc::default();
    let atomic = epoch::Atomic::new(Alive::new(&count));
    let store = || {
        let guard = epoch::pin();
        let old = atomic.swap(epoch::Owned::new(Alive::new(&count)), AcqRel, &guard);
        // SAFETY: out of the cell.
        unsafe { guard.defer_destroy(old) };
    };
    retained("crossbeam-epoch as it comes", &count, store, |stay| {
        let reader = epoch::pin();
        black_box(atomic.load(Acquire, &reader));
        stay();
        drop(reader);
    });

    let count = Arc::default();
    let collector = seize::Collector::new();
    let pointer = std::sync::atomic::AtomicPtr::new(Box::into_raw(Box::new(Alive::new(&count))));
    let store = || {
        let guard = collector.enter();
        let old = guard.swap(&pointer, Box::into_raw(Box::new(Alive::new(&count))), Release);
        // SAFETY: out of the cell, and a leaked box.
        unsafe { guard.defer_retire(old, seize::reclaim::boxed) };
    };
    retained("seize as it comes", &count, store, |stay| {
        let reader = collector.enter();
        black_box(reader.protect(&pointer, Acquire));
        stay();
        drop(reader);
    });

    let count = Arc::default();
    let lock = RwLock::new(Arc::new(Alive::new(&count)));
    retained(
        "RwLock<Arc>",
        &count,
        || *lock.write().unwrap() = Arc::new(Alive::new(&count)),
        |stay| {
            let reader = Arc::clone(&lock.read().unwrap());
            stay();
            drop(reader);
        },
    );
}

/// One turn of an operation: nanoseconds for each of many, the loop included.
type Turn = Box<dyn FnMut() -> f64>;

#[expect(clippy::unnecessary_wraps, reason = "as a row has it")]
fn turn(mut operation: impl FnMut() + 'static) -> Option<Turn> {
    const LOOPS: u32 = 5_000;
    Some(Box::new(move || {
        let begun = Instant::now();
        for _ in 0..LOOPS {
            operation();
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(LOOPS)
    }))
}

/// A contender: a read, a read under a guard that is held, a store, an update.
type Row = (&'static str, [Option<Turn>; 4]);

fn row_of_ours<R: Reclaim>(name: &'static str, stores: bool) -> Row {
    let cell: &'static _ = Box::leak(Box::new(Published::<u64, R>::new(7)));
    let mut pin = cell.pin();
    let read = turn(move || _ = black_box(*black_box(cell).read()));
    let held = turn(move || _ = black_box(*black_box(&mut pin).get()));
    // With another cell: the pin would keep all that is replaced.
    let cell: &'static _ = Box::leak(Box::new(Published::<u64, R>::new(7)));
    let store = turn(|| cell.store(black_box(1))).filter(|_| stores);
    let update = turn(|| cell.update(|n| n + 1)).filter(|_| stores);
    (name, [read, held, store, update])
}

fn rows() -> Vec<Row> {
    let bare: &'static AtomicU64 = Box::leak(Box::default());
    let load = || turn(move || _ = black_box(black_box(bare).load(Relaxed)));
    let swap: &'static _ = Box::leak(Box::new(ArcSwap::from_pointee(7_u64)));
    let lock: &'static _ = Box::leak(Box::new(RwLock::new(Arc::new(7_u64))));
    let (mut write, read) = left_right::new::<Replaced, u64>();
    vec![
        ("floor: relaxed load, new Box", [load(), load(), turn(|| drop(black_box(Box::new(1_u64)))), None]),
        // What it keeps would be all the memory there is.
        row_of_ours::<Leak>("Leak", false),
        row_of_ours::<Counted>("Counted", true),
        row_of_ours::<Epoch>("Epoch", true),
        row_of_ours::<Hyaline>("Hyaline", true),
        (
            "arc-swap",
            [
                turn(|| _ = black_box(**swap.load())),
                None,
                turn(|| swap.store(Arc::new(black_box(1)))),
                turn(|| _ = swap.rcu(|n| **n + 1)),
            ],
        ),
        (
            "left-right",
            [
                turn(move || _ = black_box(read.enter().map(|value| value.0))),
                None,
                turn(move || _ = write.append(black_box(1)).publish()),
                None,
            ],
        ),
        (
            "RwLock<Arc>",
            [
                turn(|| _ = black_box(**lock.read().unwrap())),
                None,
                turn(|| *lock.write().unwrap() = Arc::new(black_box(1))),
                turn(|| {
                    let mut value = lock.write().unwrap();
                    *value = Arc::new(**value + 1);
                }),
            ],
        ),
    ]
}

/// One thread: the fastest of many turns, which the contenders take one after the other, so that what disturbs the
/// machine disturbs all of them. And the budget: a read under a held guard takes no more than 1 ns, and no more
/// than twice a relaxed load.
fn table(_: &mut Criterion) {
    if !wanted("table") {
        return;
    }
    let mut rows = rows();
    let mut best = vec![[f64::INFINITY; 4]; rows.len()];
    for _ in 0..300 {
        for ((_, turns), best) in rows.iter_mut().zip(&mut best) {
            for (turn, best) in turns.iter_mut().zip(best) {
                if let Some(turn) = turn {
                    *best = best.min(turn());
                }
            }
        }
    }
    println!("published/table, ns on one thread, the loop included");
    println!("  {:30} {:>6} {:>6} {:>6} {:>6}", "", "read", "held", "store", "update");
    for ((name, turns), best) in rows.iter().zip(&best) {
        let cells = turns.iter().zip(best).map(|(turn, ns)| match turn {
            Some(_) => format!(" {ns:>6.2}"),
            None => format!(" {:>6}", "-"),
        });
        println!("  {name:30}{}", cells.collect::<String>());
    }
    let floor = best[0][1];
    println!("published/budget, a read under a held guard: no more than 1 ns, and twice the relaxed load");
    for ((name, _), best) in rows.iter().zip(&best).skip(1).take(4) {
        let ratio = best[1] / floor;
        let verdict = if best[1] <= 1.0 && ratio <= 2.0 { "holds" } else { "MISSED" };
        println!("  {name:30} {:>6.2} ns {ratio:>6.2}x  {verdict}", best[1]);
    }
}

/// What each of so many threads at once takes for an operation: nanoseconds, of the slowest of them, in the fastest of the
/// turns that they ran at the same time but for a tenth of it. A turn that a busy machine ran one thread after the other
/// says nothing of what they cost each other. `prepare` makes the operation of a thread.
fn at_once<O: FnMut()>(threads: usize, prepare: impl Fn() -> O + Sync) -> f64 {
    const LOOPS: u32 = 10_000;
    const TIME: Duration = Duration::from_secs(1);
    let (come, last) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let work = |first: bool| {
        let mut operation = prepare();
        operation(); // what is made at a thread's first use is made
        let (start, mut turns) = (Instant::now(), Vec::new());
        loop {
            let turn = turns.len();
            if first && start.elapsed() > TIME {
                last.store(turn, Relaxed); // the others have come after it
            }
            come.fetch_add(1, AcqRel);
            while come.load(Acquire) < threads * (turn + 1) {
                std::hint::spin_loop(); // parking takes longer than a turn
            }
            if turn >= last.load(Relaxed) {
                return turns;
            }
            let begun = Instant::now();
            (0..LOOPS).for_each(|_| operation());
            turns.push((begun, Instant::now()));
        }
    };
    let all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|i| scope.spawn(move || work(i == 0))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let turn = |turn: usize| {
        let all = || all.iter().map(|of_one| of_one[turn]);
        let slowest = all().map(|(begun, ended)| ended - begun).max()?;
        let together =
            all().map(|(_, ended)| ended).min()?.checked_duration_since(all().map(|(begun, _)| begun).max()?)?;
        (together >= slowest * 9 / 10).then_some(slowest)
    };
    let fastest = (0..all[0].len()).filter_map(turn).min();
    fastest.map_or(f64::NAN, |turn| turn.as_secs_f64() * 1e9 / f64::from(LOOPS))
}

/// Reads, reads under a held guard and stores on one thread, on two, and on as many as can run at once.
fn threads(_: &mut Criterion) {
    fn row(name: &str, operations: [Option<&dyn Fn(usize) -> f64>; 3]) {
        let cells = operations.iter().flat_map(|operation| {
            thread_counts().into_iter().map(move |threads| match operation {
                Some(operation) => match operation(threads) {
                    ns if ns.is_nan() => format!(" {:>8}", "busy"), // no such turn
                    ns => format!(" {ns:>8.2}"),
                },
                None => format!(" {:>8}", "-"),
            })
        });
        println!("  {name:28}{}", cells.collect::<String>());
    }
    fn ours<R: Reclaim>(name: &str, stores: bool) {
        let cell = Published::<u64, R>::new(7);
        let read = |threads| at_once(threads, || || _ = black_box(*cell.read()));
        let held = |threads| {
            at_once(threads, || {
                let mut pin = cell.pin();
                move || _ = black_box(*pin.get())
            })
        };
        // With another cell: a pin would keep all that is replaced.
        let replaced = Published::<u64, R>::new(7);
        let store = |threads| at_once(threads, || || replaced.store(black_box(1)));
        row(name, [Some(&read), Some(&held), stores.then_some(&store)]);
    }
    if !wanted("threads") {
        return;
    }
    println!("published/threads, ns for each operation of each thread");
    let head = |what| thread_counts().into_iter().map(move |threads| format!(" {:>8}", format!("{what} {threads}")));
    println!("  {:28}{}", "", ["read", "held", "store"].into_iter().flat_map(head).collect::<String>());
    let bare = AtomicU64::new(7);
    let load = |threads| at_once(threads, || || _ = black_box(black_box(&bare).load(Relaxed)));
    row("floor: relaxed load", [Some(&load), Some(&load), None]);
    // What it keeps would be all the memory there is.
    ours::<Leak>("Leak", false);
    ours::<Counted>("Counted", true);
    ours::<Epoch>("Epoch", true);
    ours::<Hyaline>("Hyaline", true);
    let swap = ArcSwap::from_pointee(7_u64);
    let load = |threads| at_once(threads, || || _ = black_box(**swap.load()));
    let store = |threads| at_once(threads, || || swap.store(Arc::new(black_box(1))));
    row("arc-swap", [Some(&load), None, Some(&store)]);
    let lock = RwLock::new(Arc::new(7_u64));
    let read = |threads| at_once(threads, || || _ = black_box(**lock.read().unwrap()));
    let store = |threads| at_once(threads, || || *lock.write().unwrap() = Arc::new(black_box(1)));
    row("RwLock<Arc>", [Some(&read), None, Some(&store)]);
}

/// Is a table that is no benchmark of criterion's among those asked for?
fn wanted(name: &str) -> bool {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    asked.is_empty() || asked.iter().any(|arg| name.contains(arg.as_str()) || arg.contains(name))
}

criterion_group! {
    name = benches;
    config = support::criterion().measurement_time(Duration::from_millis(500)).configure_from_args();
    targets = retention, table, threads, reads, beside_a_writer, writes
}
criterion_main!(benches);
