//! What it costs to read and to replace a persistent term: by operation, with the contenders side by side.
//!
//! `cargo bench --bench persistent`

mod support;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use shared_term::persistent::Put;
use shared_term::prelude::*;
use support::{on_threads, thread_counts};

const KEY: Atom = Atom::inline("key");
const PAIR: (Atom, Atom) = (Atom::inline("a"), Atom::inline("pair"));
const MISSING: Atom = Atom::inline("missing");
const COLD: u64 = 10_000;

/// What Rust programs keep their configuration in: a map whose values are shared.
type Shared = Arc<[u64]>;

fn value(serial: u64) -> Region {
    Region::build(|h| h.tuple(&[h.int(serial), h.list(1..=10)]))
}

fn shared(serial: u64) -> Shared {
    (serial..serial + 11).collect()
}

fn store() -> PersistentTerms {
    let store = PersistentTerms::new();
    store.put(KEY, value(0)).unwrap();
    store.put(PAIR, value(0)).unwrap();
    for i in 0..COLD {
        store.put(i, value(i)).unwrap();
    }
    store
}

fn map() -> HashMap<u64, Shared> {
    (0..COLD).map(|i| (i, shared(i))).collect()
}

/// Numbers below `n`, in an order that no prefetcher guesses.
fn at_random(n: u64) -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    }
}

fn get(c: &mut Criterion) {
    let store = store();
    let mut group = c.benchmark_group("persistent/get");
    for threads in thread_counts() {
        let slot = store.slot(KEY).unwrap();
        let cell = AtomicU64::new(1);
        on_threads(&mut group, "floor: relaxed load", threads, |_| || _ = black_box(cell.load(Ordering::Relaxed)));
        on_threads(&mut group, "slot", threads, |_| {
            let guard = store.pin();
            let slot = &slot;
            move || _ = black_box(guard.read(black_box(slot)))
        });
        on_threads(&mut group, "atom key", threads, |_| {
            let guard = store.pin();
            move || _ = black_box(guard.get(black_box(KEY)))
        });
        on_threads(&mut group, "pair key", threads, |_| {
            let guard = store.pin();
            move || _ = black_box(guard.get(black_box(PAIR)))
        });
        on_threads(&mut group, "missing key", threads, |_| {
            let guard = store.pin();
            move || _ = black_box(guard.get(black_box(MISSING)))
        });
        on_threads(&mut group, "a guard and an atom key", threads, |_| {
            || _ = black_box(store.read(black_box(KEY), |value| value.is_some()))
        });
        let literal = store.pin().literal(KEY).unwrap().unwrap();
        on_threads(&mut group, "a literal, cloned and dropped", threads, |_| || drop(black_box(literal.clone())));
    }
    group.finish();

    let mut group = c.benchmark_group("persistent/get, 10,000 keys at random");
    let (arc, locked, papaya) = (ArcSwap::from_pointee(map()), RwLock::new(map()), papaya::HashMap::new());
    for (key, value) in map() {
        papaya.pin().insert(key, value);
    }
    for threads in thread_counts() {
        on_threads(&mut group, "floor: the numbers", threads, |_| {
            let mut next = at_random(COLD);
            move || _ = black_box(next())
        });
        on_threads(&mut group, "persistent", threads, |_| {
            let (guard, mut next) = (store.pin(), at_random(COLD));
            move || _ = black_box(guard.get(next()))
        });
        on_threads(&mut group, "persistent, half missing", threads, |_| {
            let (guard, mut next) = (store.pin(), at_random(2 * COLD));
            move || _ = black_box(guard.get(next()))
        });
        on_threads(&mut group, "arc-swap of a HashMap, one load", threads, |_| {
            let (guard, mut next) = (arc.load(), at_random(COLD));
            move || _ = black_box(guard.get(&next()).map(|value| value[0]))
        });
        on_threads(&mut group, "arc-swap of a HashMap, a load each", threads, |_| {
            let mut next = at_random(COLD);
            let arc = &arc;
            move || _ = black_box(arc.load().get(&next()).map(|value| value[0]))
        });
        on_threads(&mut group, "papaya, one pin", threads, |_| {
            let (guard, mut next) = (papaya.pin(), at_random(COLD));
            move || _ = black_box(guard.get(&next()).map(|value| value[0]))
        });
        on_threads(&mut group, "papaya, Arc cloned", threads, |_| {
            let (guard, mut next) = (papaya.pin(), at_random(COLD));
            move || drop(black_box(guard.get(&next()).cloned()))
        });
        on_threads(&mut group, "RwLock of a HashMap", threads, |_| {
            let mut next = at_random(COLD);
            let locked = &locked;
            move || _ = black_box(locked.read().unwrap().get(&next()).map(|value| value[0]))
        });
    }
    group.finish();
}

fn put(c: &mut Criterion) {
    let store = store();
    let mut serial = COLD;
    let mut next = || {
        serial += 1;
        serial
    };
    let mut group = c.benchmark_group("persistent/put, among 10,000 keys, old value freed");
    group.bench_function("replace", |bencher| {
        bencher.iter_batched(
            || value(next()),
            |new| assert_eq!(store.put(KEY, new).unwrap(), Put::Replaced),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("replace, built in place", |bencher| {
        bencher.iter(|| {
            let serial = next();
            store.put_built(KEY, |h| h.tuple(&[h.int(serial), h.list(1..=10)])).unwrap()
        });
    });
    group.bench_function("put an equal value", |bencher| {
        store.put(KEY, value(0)).unwrap();
        bencher.iter_batched(
            || value(0),
            |same| assert_eq!(store.put(KEY, same).unwrap(), Put::Unchanged),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("insert and erase", |bencher| {
        bencher.iter_batched(
            || value(next()),
            |new| {
                store.put(MISSING, new).unwrap();
                assert!(store.erase(MISSING));
            },
            BatchSize::SmallInput,
        );
    });
    for keys in [2, 100] {
        group.bench_function(format!("put_many of {keys}"), |bencher| {
            bencher.iter_batched(
                || (0..keys).map(|key| (key, value(next()))).collect::<Vec<_>>(),
                |pairs| store.put_many(pairs).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("update, one element of a tuple of 1,000", |bencher| {
        let wide = store.put_built(PAIR, |h| h.tuple(&(0..1000).map(|i| h.int(i)).collect::<Vec<_>>()));
        wide.unwrap();
        bencher.iter(|| {
            let serial = next();
            store.update(PAIR, |h, old| h.with_element(old.unwrap(), 7, h.int(serial)).unwrap()).unwrap()
        });
    });
    let arc = ArcSwap::from_pointee(map());
    group.bench_function("arc-swap of a HashMap, cloned", |bencher| {
        bencher.iter(|| {
            let mut new = HashMap::clone(&arc.load());
            new.insert(7, shared(next()));
            arc.store(Arc::new(new));
        });
    });
    let papaya = papaya::HashMap::new();
    for (key, value) in map() {
        papaya.pin().insert(key, value);
    }
    group.bench_function("papaya", |bencher| bencher.iter(|| _ = papaya.pin().insert(7, shared(next()))));
    let locked = RwLock::new(map());
    group.bench_function("RwLock of a HashMap", |bencher| {
        bencher.iter(|| _ = locked.write().unwrap().insert(7, shared(next())));
    });
    group.finish();

    let mut group = c.benchmark_group("persistent/publish a list of 10,000 pairs");
    fn pairs(h: Heap<'_>, serial: u64) -> Term<'_> {
        h.list((0..10_000).map(|i| h.tuple(&[h.int(serial), h.int(i)])))
    }
    group.bench_function("floor: build a region", |bencher| bencher.iter(|| Region::build(|h| pairs(h, 1))));
    group.bench_function("build a region, put it: a copy", |bencher| {
        bencher.iter(|| {
            let serial = next();
            store.put(KEY, Region::build(|h| pairs(h, serial))).unwrap()
        });
    });
    group.bench_function("put_built: in place", |bencher| {
        bencher.iter(|| {
            let serial = next();
            store.put_built(KEY, |h| pairs(h, serial)).unwrap()
        });
    });
    group.finish();
}

/// Is a table that is no benchmark of criterion's among those asked for? `cargo test --benches` asks for none.
fn wanted(name: &str) -> bool {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let mut asked = args.iter().filter(|arg| !arg.starts_with("--")).peekable();
    args.iter().any(|arg| arg == "--bench") && (asked.peek().is_none() || asked.any(|arg| name.contains(arg.as_str())))
}

fn quick() -> bool {
    std::env::args().any(|arg| arg == "--quick")
}

/// What a read costs each of several threads, against what it costs one that is alone.
fn scaling(_: &mut Criterion) {
    if !wanted("persistent/scaling") {
        return;
    }
    println!("persistent/scaling of reads: ns per read as the slowest thread sees it, and times one thread (<= 2x)");
    let (store, cell) = (store(), AtomicU64::new(1));
    let slot = store.slot(KEY).unwrap();
    across("floor: relaxed load", &|| each(|| black_box(&cell).load(Ordering::Relaxed)));
    across("slot, bound to a held guard", &|| {
        let guard = store.pin();
        let bound = guard.bind(&slot).unwrap();
        each(|| black_box(&bound).get())
    });
    across("slot, under a held guard", &|| {
        let guard = store.pin();
        each(|| guard.read(black_box(&slot)))
    });
    across("atom key", &|| {
        let guard = store.pin();
        each(|| guard.get(black_box(KEY)))
    });
    across("pair key", &|| {
        let guard = store.pin();
        each(|| guard.get(black_box(PAIR)))
    });
    across("atom key, and the guard repinned", &|| {
        let mut guard = store.pin();
        each(|| {
            let seen = guard.get(black_box(KEY)).is_some();
            guard.repin();
            seen
        })
    });
    across("atom key, and a guard of its own", &|| each(|| store.read(black_box(KEY), |value| value.is_some())));
}

/// What a read takes, in nanoseconds, of many in a row.
fn each<R>(mut read: impl FnMut() -> R) -> f64 {
    let reads = if quick() { 200_000 } else { 5_000_000 };
    let begun = Instant::now();
    (0..reads).for_each(|_| _ = black_box(read()));
    begun.elapsed().as_nanos() as f64 / f64::from(reads)
}

/// Prints what `read` gives on one thread, on two, and on as many as can run at once: the best of some turns, because
/// whatever else the machine does makes them slower.
fn across(name: &str, read: &(dyn Fn() -> f64 + Sync)) {
    let once = |threads| {
        let together = Barrier::new(threads);
        let reader = || {
            together.wait();
            read()
        };
        thread::scope(|scope| {
            let readers: Vec<_> = (0..threads).map(|_| scope.spawn(reader)).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).fold(0.0, f64::max)
        })
    };
    let counts = thread_counts();
    let mut best = vec![f64::INFINITY; counts.len()];
    for _ in 0..if quick() { 3 } else { 9 } {
        best.iter_mut().zip(&counts).for_each(|(best, &threads)| *best = best.min(once(threads)));
    }
    for (ns, threads) in best.iter().zip(&counts) {
        println!("  {name}, {threads} threads: {ns:.2} ns, {:.2}x", ns / best[0]);
    }
}

/// The latencies of reads, by themselves and beside a writer that replaces what is read a thousand times a second.
fn latency(_: &mut Criterion) {
    if !wanted("persistent/latency") {
        return;
    }
    println!("persistent/latency of {TOGETHER} reads, ns: median, p99, p99.9, p99.99");
    let (store, arc) = (store(), ArcSwap::from_pointee(shared(0)));
    let (locked, rw) = (Mutex::new(shared(0)), RwLock::new(shared(0)));
    for readers in thread_counts() {
        beside(
            "persistent, a guard repinned",
            readers,
            &|serial| _ = store.put(KEY, value(serial)).unwrap(),
            &|length| {
                let mut guard = store.pin();
                timed(length, || {
                    _ = black_box(guard.get(black_box(KEY)));
                    guard.repin();
                })
            },
        );
        beside("arc-swap", readers, &|serial| arc.store(Arc::new(shared(serial))), &|length| {
            timed(length, || _ = black_box(arc.load()[0]))
        });
        beside("RwLock", readers, &|serial| *rw.write().unwrap() = shared(serial), &|length| {
            timed(length, || _ = black_box(rw.read().unwrap()[0]))
        });
        beside("Mutex", readers, &|serial| *locked.lock().unwrap() = shared(serial), &|length| {
            timed(length, || _ = black_box(locked.lock().unwrap()[0]))
        });
    }
}

/// Reads that are timed together: a clock is dearer than a read.
const TOGETHER: u32 = 16;

/// What [`TOGETHER`] reads take, in nanoseconds, again and again for so long.
fn timed(length: Duration, mut read: impl FnMut()) -> Vec<u32> {
    let mut taken = Vec::with_capacity(1 << 23);
    let begun = Instant::now();
    let mut start = begun;
    while start - begun < length {
        (0..TOGETHER).for_each(|_| read());
        let end = Instant::now();
        taken.push((end - start).as_nanos() as u32);
        start = end;
    }
    taken
}

/// Prints what `read` says on so many threads, without a writer and with one.
fn beside(name: &str, readers: usize, write: &(dyn Fn(u64) + Sync), read: &(dyn Fn(Duration) -> Vec<u32> + Sync)) {
    let length = Duration::from_millis(if quick() { 50 } else { 500 });
    for writes in [false, true] {
        let (done, together) = (AtomicBool::new(false), Barrier::new(readers));
        let mut written = 0;
        let mut taken: Vec<_> = thread::scope(|scope| {
            let writer = writes.then(|| {
                scope.spawn(|| {
                    let (start, mut serial) = (Instant::now(), 0);
                    while !done.load(Ordering::Relaxed) {
                        serial += 1;
                        write(serial);
                        thread::sleep(Duration::from_millis(serial).saturating_sub(start.elapsed()));
                    }
                    serial
                })
            });
            let reader = || {
                together.wait();
                read(length)
            };
            let readers: Vec<_> = (0..readers).map(|_| scope.spawn(reader)).collect();
            let taken = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
            done.store(true, Ordering::Relaxed);
            written = writer.map_or(0, |writer| writer.join().unwrap());
            taken
        });
        taken.sort_unstable();
        let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
        let figures = [0.5, 0.99, 0.999, 0.9999].map(at);
        println!("  {name}, {readers} threads, {written} replaces: {figures:?}");
    }
}

/// What a long chain of versions costs, each of which leans on the one before, and what it keeps alive.
fn chain(_: &mut Criterion) {
    const PAIRS: u64 = 1024;
    if !wanted("persistent/chain") {
        return;
    }
    let updates = if quick() { 10_000 } else { 100_000 };
    let store = PersistentTerms::new();
    store.put_built(KEY, |h| h.map((0..PAIRS).map(|key| (key, 0_u64)))).unwrap();
    let one = store.info();
    let (mut peak, mut longest, mut copies) = (one.clone(), Duration::ZERO, 0_u64);
    let begun = Instant::now();
    for serial in 1..=updates {
        let start = Instant::now();
        store.update(KEY, |h, old| h.insert(old.unwrap(), h.int(serial * 7 % PAIRS), h.int(serial)).unwrap()).unwrap();
        longest = longest.max(start.elapsed());
        let info = store.info();
        copies += u64::from(info.areas == 1);
        if info.bytes > peak.bytes {
            peak = info;
        }
    }
    let each = begun.elapsed().as_nanos() / u128::from(updates);
    println!("persistent/chain of {updates} versions of a map of {PAIRS}: {each} ns each, at most {longest:?}");
    println!("  one version: {} words, {} bytes", one.words, one.bytes);
    println!("  peak: {} words, {} bytes, {} areas; full copies: {copies}", peak.words, peak.bytes, peak.areas);
}

criterion_group! {
    name = benches;
    config = support::criterion();
    targets = scaling, latency, chain, get, put
}
criterion_main!(benches);
