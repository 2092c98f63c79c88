//! `Counters` through its public interface: the cases of OTP's `counters_SUITE`, then what is ours.

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Barrier, LazyLock, mpsc};
use std::thread;

use proptest::prelude::*;
use shared_term::counters::{Layout, Writer};
use shared_term::{AllocError, Counters};

const LAYOUTS: [Layout; 2] = [Layout::Atomic, Layout::Striped];

/// `rounds` under a plain run, few where an interpreter runs the test.
fn rounds(rounds: usize) -> usize {
    if cfg!(miri) { rounds / 1000 + 2 } else { rounds }
}

// --- counters_SUITE ---

#[test]
fn basic() {
    for layout in LAYOUTS {
        let size = 10;
        let counters = Counters::with_layout(size, layout);
        let info = counters.info();
        assert_eq!((info.size, info.layout), (size, layout));
        assert!((size * 8..4096).contains(&info.bytes));
        for i in 0..size {
            assert_eq!(counters.get(i), 0);
            counters.add(i, 3);
            counters.add(i, 14);
            assert_eq!(counters.get(i), 17);
            counters.add(i, -20);
            assert_eq!(counters.get(i), -3);
            counters.add(i, 100);
            assert_eq!(counters.get(i), 97);
            counters.sub(i, 20);
            assert_eq!(counters.get(i), 77);
            counters.sub(i, -10);
            assert_eq!(counters.get(i), 87);
            counters.put(i, 0);
            assert_eq!(counters.get(i), 0);
            counters.put(i, 123);
            assert_eq!(counters.get(i), 123);
            counters.put(i, -321);
            assert_eq!(counters.get(i), -321);
        }
    }
}

#[test]
fn bad() {
    for layout in LAYOUTS {
        assert_eq!(Counters::try_with_layout(0, layout).unwrap_err(), AllocError::ZeroLength);
        for len in [usize::MAX, 1 << 61, 1 << 60] {
            assert_eq!(Counters::try_with_layout(len, layout).unwrap_err(), AllocError::TooLong { len });
        }
        let refused = Counters::try_with_layout(1 << 56, layout).unwrap_err();
        assert!(matches!(refused, AllocError::OutOfMemory { .. }), "{refused}");

        let counters = Counters::with_layout(10, layout);
        // 12 lies in the line of the last counter, and is none.
        for out_of_range in [10, 12, 16, 1 << 60, usize::MAX] {
            assert!(catch_unwind(|| counters.add(out_of_range, 1)).is_err());
            assert!(catch_unwind(|| counters.sub(out_of_range, 1)).is_err());
            assert!(catch_unwind(|| counters.inc(out_of_range)).is_err());
            assert!(catch_unwind(|| counters.get(out_of_range)).is_err());
            assert!(catch_unwind(|| counters.put(out_of_range, 1)).is_err());
            assert!(catch_unwind(|| counters.take(out_of_range)).is_err());
            assert!(catch_unwind(|| counters.writer().add(out_of_range, 1)).is_err());
            assert!(catch_unwind(|| counters.counter(out_of_range)).is_err());
        }
        assert_eq!(counters.read_all(), [0; 10], "an index out of range changes nothing");
    }
    assert!(catch_unwind(|| Counters::new(0)).is_err());
}

#[test]
fn limits() {
    for layout in LAYOUTS {
        let counters = Counters::with_layout(1, layout);
        counters.put(0, i64::MAX);
        counters.add(0, 1);
        assert_eq!(counters.get(0), i64::MIN);
        counters.sub(0, 1);
        assert_eq!(counters.get(0), i64::MAX);
        counters.put(0, 0);
        counters.add(0, u64::MAX as i64);
        assert_eq!(counters.get(0), -1);
        counters.put(0, 0);
        counters.sub(0, i64::MIN);
        assert_eq!(counters.take(0), i64::MIN);
        counters.put(0, i64::MIN);
        assert_eq!(counters.take(0), i64::MIN);
        assert_eq!(counters.get(0), 0);
    }
}

/// One worker per counter, and each reads its own exactly.
#[test]
fn indep() {
    for layout in LAYOUTS {
        let workers = 4;
        let counters = Counters::with_layout(workers, layout);
        thread::scope(|scope| {
            for i in 0..workers {
                let counters = &counters;
                scope.spawn(move || {
                    let mut expected = 0;
                    for round in 0..rounds(10_000) as i64 {
                        let n = round * 7919 % 1000 - 500;
                        if round % 7 == 0 {
                            counters.put(i, n);
                            expected = n;
                        } else {
                            counters.add(i, n);
                            expected += n;
                        }
                        assert_eq!(counters.get(i), expected);
                    }
                });
            }
        });
    }
}

/// Large steps, so that counters wrap around.
fn step(worker: usize, round: usize, i: usize) -> i64 {
    (((worker * 1_000_003 + round) * 1_000_003 + i) as i64).wrapping_mul(0x1E37_79B9_7F4A_7C15)
}

/// Many workers add to all counters: the total is exact modulo 2^64.
#[test]
fn write_concurrency() {
    for layout in LAYOUTS {
        let (size, workers, rounds) = (100, 6, rounds(1000));
        let counters = Counters::with_layout(size, layout);
        thread::scope(|scope| {
            for worker in 0..workers {
                let counters = &counters;
                scope.spawn(move || {
                    for round in 0..rounds {
                        for i in 0..size {
                            counters.add(i, step(worker, round, i));
                        }
                    }
                });
            }
        });
        for i in 0..size {
            let steps = (0..workers).flat_map(|worker| (0..rounds).map(move |round| step(worker, round, i)));
            assert_eq!(counters.get(i), steps.fold(0, i64::wrapping_add));
        }
    }
}

/// An error says what was wrong.
#[test]
fn error_info() {
    let message = |run: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        let payload = catch_unwind(run).unwrap_err();
        payload.downcast_ref::<String>().cloned().expect("a message")
    };
    for layout in LAYOUTS {
        let counters = Counters::with_layout(3, layout);
        let of_three = "there is no counter 3 among 3";
        assert_eq!(message(&|| counters.add(3, 1)), of_three);
        assert_eq!(message(&|| counters.sub(3, 1)), of_three);
        assert_eq!(message(&|| _ = counters.get(3)), of_three);
        assert_eq!(message(&|| counters.put(3, 1)), of_three);
        assert_eq!(message(&|| counters.writer().inc(3)), of_three);
        assert_eq!(message(&|| drop(Counters::with_layout(0, layout))), "an array needs at least one cell");
        let refused = Counters::try_with_layout(usize::MAX, layout).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("an array of {} cells is larger than any allocation can be", usize::MAX)
        );
    }
}

// --- reads, takes and puts while others add ---

/// Takes while threads add: together with what is left they are what was added, to the last unit.
#[test]
fn takes_add_up() {
    for layout in LAYOUTS {
        let (threads, each) = (4, rounds(200_000) as i64);
        let counters = Counters::with_layout(3, layout);
        let taken = thread::scope(|scope| {
            let write = || {
                let writer = counters.writer();
                for n in 0..each {
                    counters.inc(0);
                    writer.add(1, n);
                    counters.sub(2, n);
                }
            };
            let writers: Vec<_> = (0..threads).map(|_| scope.spawn(write)).collect();
            let take = || {
                let mut sums = [0; 3];
                while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
                    let taken = counters.take_all();
                    assert!(taken[0] >= 0, "a take of a growing counter is not negative");
                    sums = [0, 1, 2].map(|i| sums[i] + taken[i]);
                }
                sums
            };
            // The second taker is this very thread.
            thread::scope(|scope| {
                let other = scope.spawn(take);
                let mine = take();
                let other = other.join().unwrap();
                [0, 1, 2].map(|i| mine[i] + other[i])
            })
        });
        let left = counters.take_all();
        let total = threads * (0..each).sum::<i64>();
        assert_eq!([0, 1, 2].map(|i| taken[i] + left[i]), [threads * each, total, -total]);
    }
}

/// A counter that only grows never reads less than before.
#[test]
fn reads_of_a_growing_counter_grow() {
    for layout in LAYOUTS {
        let each = rounds(200_000) as i64;
        let counters = Counters::with_layout(1, layout);
        thread::scope(|scope| {
            let write = || (0..each).for_each(|_| counters.inc(0));
            let writers = [scope.spawn(write), scope.spawn(write)];
            let mut last = 0;
            while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
                let now = counters.get(0);
                assert!((last..=2 * each).contains(&now), "{last}, then {now}");
                last = now;
            }
        });
        assert_eq!(counters.get(0), 2 * each);
    }
}

/// A read beside `put`s never mixes the base of one with the rows of another.
#[test]
fn reads_beside_puts_are_near_one_of_them() {
    const FAR: i64 = 1_000_000_000;
    for layout in LAYOUTS {
        let counters = Counters::with_layout(1, layout);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..rounds(20_000) {
                    for value in [FAR, 0] {
                        counters.put(0, value);
                        (0..10).for_each(|_| counters.inc(0));
                    }
                }
            });
            while !writer.is_finished() {
                let value = counters.get(0);
                assert!((0..=10).contains(&value) || (FAR..=FAR + 10).contains(&value), "read {value}");
            }
        });
    }
}

/// Every add that happened before the read is in it, also where the news came through a channel.
#[test]
fn a_read_sees_what_happened_before() {
    for layout in LAYOUTS {
        let counters = Counters::with_layout(1, layout);
        let (added, news) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..3 {
                let (counters, added) = (&counters, added.clone());
                scope.spawn(move || {
                    for _ in 0..rounds(5_000) {
                        counters.inc(0);
                        added.send(()).unwrap();
                    }
                });
            }
            drop(added);
            for (before, ()) in news.iter().enumerate() {
                assert!(counters.get(0) > before as i64);
            }
        });
    }
}

// --- rows ---

/// Numbers are lowest first, so threads that follow each other share few rows. Other tests of this process hold
/// numbers meanwhile.
#[test]
fn rows_are_handed_on() {
    let counters = Counters::new(20);
    let before = counters.info();
    assert_eq!(before.rows, 0);
    let threads = rounds(500);
    for _ in 0..threads {
        let theirs = counters.clone();
        thread::spawn(move || theirs.inc(19)).join().unwrap();
    }
    let after = counters.info();
    assert!((1..threads.max(3) / 2).contains(&after.rows), "{} rows", after.rows);
    assert!(after.bytes >= before.bytes + after.rows * 256, "20 counters are two lines of a row");
    assert_eq!(counters.get(19), threads as i64);
}

/// The owner ended, its counts stay, and the next owner of the row goes on from them.
#[test]
fn counts_outlive_their_thread() {
    let counters = Counters::new(2);
    for n in 0..rounds(300) as i64 {
        let theirs = counters.clone();
        thread::spawn(move || {
            theirs.add(0, n);
            theirs.writer().inc(1);
        })
        .join()
        .unwrap();
        assert_eq!(counters.read_all(), [n * (n + 1) / 2, n + 1]);
    }
}

static LATE: LazyLock<Counters> = LazyLock::new(|| Counters::new(2));

/// Adds while its thread is torn down.
struct AddsLate;

impl Drop for AddsLate {
    fn drop(&mut self) {
        for _ in 0..1000 {
            LATE.inc(0);
        }
        LATE.writer().inc(0);
    }
}

/// Adds while its thread is torn down, through a writer from before.
struct WritesLate(RefCell<Option<Writer<'static>>>);

impl Drop for WritesLate {
    fn drop(&mut self) {
        let writer = self.0.take().unwrap();
        for _ in 0..1000 {
            writer.inc(1);
        }
    }
}

thread_local! {
    static BEFORE: AddsLate = const { AddsLate };
    static AFTER: AddsLate = const { AddsLate };
    static WRITER: WritesLate = const { WritesLate(RefCell::new(None)) };
}

/// Runs `threads` threads, eight at a time, so that rows are taken over while others are torn down.
fn in_eights(threads: usize, run: fn()) {
    let mut running = Vec::new();
    for n in 1..=threads {
        running.push(thread::spawn(run));
        if n % 8 == 0 || n == threads {
            running.drain(..).for_each(|thread| thread.join().unwrap());
        }
    }
}

/// Destructors of thread-locals run before and after the thread gave its row up.
#[test]
fn adds_from_destructors_are_not_lost() {
    let threads = rounds(800);
    in_eights(threads, || {
        BEFORE.with(|_| ());
        (0..1000).for_each(|_| LATE.inc(0));
        AFTER.with(|_| ());
    });
    assert_eq!(LATE.get(0), threads as i64 * (1000 + 2 * 1001));
}

/// A writer keeps its row when its thread gives everything else up.
#[test]
fn writes_from_destructors_are_not_lost() {
    let threads = rounds(800);
    in_eights(threads, || {
        WRITER.with(|writer| writer.0.replace(Some(LATE.writer())));
        (0..1000).for_each(|_| LATE.inc(1));
    });
    assert_eq!(LATE.get(1), threads as i64 * 2000);
}

/// A thread that writes for the first time while it is torn down.
#[test]
fn a_first_add_from_a_destructor() {
    static COUNTERS: LazyLock<Counters> = LazyLock::new(|| Counters::new(1));
    struct FirstAdd;
    impl Drop for FirstAdd {
        fn drop(&mut self) {
            COUNTERS.inc(0);
        }
    }
    thread_local! {
        static LATE: FirstAdd = const { FirstAdd };
    }
    for _ in 0..rounds(50) {
        thread::spawn(|| LATE.with(|_| ())).join().unwrap();
    }
    assert_eq!(COUNTERS.get(0), rounds(50) as i64);
}

/// Leaked writers keep their numbers for good. Once all are gone, threads share the overflow row, and nothing is lost.
#[test]
#[cfg_attr(miri, ignore = "four thousand threads")]
fn more_threads_than_rows() {
    // In a process of its own, for the numbers do not come back.
    const ALONE: &str = "MORE_THREADS_THAN_ROWS";
    if std::env::var_os(ALONE).is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "more_threads_than_rows", "--test-threads=1"])
            .env(ALONE, "1")
            .env("LSAN_OPTIONS", "detect_leaks=0") // it leaks on purpose
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    let (rows, more) = (4096, 50);
    let counters = Counters::new(1);
    for started in 1..=rows + more {
        let theirs = counters.clone();
        thread::spawn(move || {
            theirs.inc(0);
            std::mem::forget(theirs.writer());
        })
        .join()
        .unwrap();
        assert_eq!(counters.get(0), started);
    }
    assert_eq!(counters.info().rows, rows as usize);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let writer = counters.writer();
                assert_eq!(format!("{writer:?}"), "Writer { owns_row: false, .. }");
                for _ in 0..25_000 {
                    writer.inc(0);
                    counters.inc(0);
                }
            });
        }
    });
    let total = rows + more + 200_000;
    assert_eq!([counters.get(0), counters.take(0), counters.get(0)], [total, total, 0]);
}

/// Threads that all make their row at the same time, while the table grows.
#[test]
fn many_threads_at_a_time() {
    let threads = if cfg!(miri) { 40 } else { 150 };
    let each = rounds(2_000);
    let counters = Counters::new(17);
    let together = Barrier::new(threads);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (counters, together) = (&counters, &together);
            scope.spawn(move || {
                together.wait();
                for round in 0..each {
                    counters.inc((thread + round) % 17);
                }
                together.wait();
            });
        }
    });
    assert_eq!(counters.info().rows, threads);
    assert_eq!(counters.read_all().iter().sum::<i64>(), (threads * each) as i64);
}

/// Threads that come and go, and add at every point of their life, beside threads that take: exact to the last unit.
#[test]
fn a_storm_of_threads() {
    static STORM: LazyLock<Counters> = LazyLock::new(|| Counters::new(33));
    struct Last(usize);
    impl Drop for Last {
        fn drop(&mut self) {
            STORM.add(self.0, 5);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let (spawners, waves, wide, each) = (4, rounds(30), 16, rounds(500));
    let done = AtomicBool::new(false);
    let [first, second] = thread::scope(|scope| {
        let take = || {
            let (mut taken, mut buffer) = (vec![0; 33], Vec::new());
            while !done.load(Relaxed) {
                STORM.take_all_into(&mut buffer);
                taken.iter_mut().zip(&buffer).for_each(|(sum, n)| *sum += n);
                taken[7] += STORM.take(7);
                assert!(STORM.get(11) >= 0);
            }
            taken
        };
        let takers = [scope.spawn(take), scope.spawn(take)];
        let storms: Vec<_> = (0..spawners)
            .map(|spawner| {
                scope.spawn(move || {
                    for wave in 0..waves {
                        let threads = (0..wide).map(|n| {
                            thread::spawn(move || {
                                let first = (spawner * 7 + wave * 3 + n) % 33;
                                if n % 2 == 0 {
                                    LAST.set(Some(Last(first))); // before the row, or after it
                                }
                                for i in 0..each {
                                    STORM.inc((first + i) % 33);
                                }
                                LAST.set(Some(Last(first)));
                            })
                        });
                        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
                    }
                })
            })
            .collect();
        for storm in storms {
            storm.join().unwrap();
        }
        done.store(true, Relaxed);
        takers.map(|taker| taker.join().unwrap())
    });
    let left = STORM.take_all();
    let mut expected = vec![0_i64; 33];
    for spawner in 0..spawners {
        for wave in 0..waves {
            for n in 0..wide {
                let first = (spawner * 7 + wave * 3 + n) % 33;
                (0..each).for_each(|i| expected[(first + i) % 33] += 1);
                // The one that the second replaced, and the second.
                expected[first] += if n % 2 == 0 { 10 } else { 5 };
            }
        }
    }
    let total: Vec<i64> = (0..33).map(|i| first[i] + second[i] + left[i]).collect();
    assert_eq!(total, expected);
}

/// Rows are found through the array, never through what a thread remembers of one that is gone.
#[test]
fn arrays_that_come_and_go() {
    let keep = Counters::new(1);
    for n in 0..rounds(2_000) {
        let counters = Counters::new(1 + n % 40);
        let last = counters.len() - 1;
        counters.inc(last);
        keep.inc(0);
        assert_eq!((counters.get(last), keep.get(0)), (1, n as i64 + 1));
    }
}

#[test]
fn a_counter_is_one_of_the_array() {
    for layout in LAYOUTS {
        let counters = Counters::with_layout(3, layout);
        let counter = counters.counter(1);
        counter.add(5);
        counter.sub(2);
        counter.inc();
        assert_eq!((counter.get(), counters.read_all()), (4, vec![0, 4, 0]));
        counter.put(9);
        assert_eq!(format!("{counter:?} {counters:?}"), "Counter(9) Counters [0, 9, 0]");
        drop(counters);
        assert_eq!((counter.take(), counter.get()), (9, 0));
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Add(i64),
    Write(i64),
    Put(i64),
    Take,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<i64>().prop_map(Op::Add),
        any::<i64>().prop_map(Op::Write),
        any::<i64>().prop_map(Op::Put),
        Just(Op::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// On one thread an array of counters is an array of integers that wrap around.
    #[test]
    fn a_counter_is_an_integer(
        len in 1..40_usize,
        ops in proptest::collection::vec((any::<prop::sample::Index>(), op()), 0..60),
    ) {
        for layout in LAYOUTS {
            let counters = Counters::with_layout(len, layout);
            let writer = counters.writer();
            let mut model = vec![0_i64; len];
            for &(i, op) in &ops {
                let i = i.index(len);
                match op {
                    Op::Add(n) => {
                        counters.add(i, n);
                        model[i] = model[i].wrapping_add(n);
                    }
                    Op::Write(n) => {
                        writer.sub(i, n);
                        model[i] = model[i].wrapping_sub(n);
                    }
                    Op::Put(value) => {
                        counters.put(i, value);
                        model[i] = value;
                    }
                    Op::Take => prop_assert_eq!(counters.take(i), std::mem::take(&mut model[i])),
                }
                prop_assert_eq!(counters.get(i), model[i]);
            }
            prop_assert_eq!(counters.read_all(), model.clone());
            prop_assert_eq!(counters.take_all(), model);
        }
    }
}
