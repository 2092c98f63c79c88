//! Maps of terms beside those of imbl: one operation, at sizes on both sides of where a flat map becomes a trie.
//!
//! `cargo bench --bench maps`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use shared_term::heap::OwnedHeap;

const SIZES: [i64; 4] = [8, 32, 1000, 100_000];
/// Operations for each setup.
const MANY: i64 = 100;

/// Keys in no order, each in `0..n`; the same for all.
fn keys(n: i64) -> Vec<i64> {
    (0..MANY).map(|i| (i * 7919 + 13) % n).collect()
}

fn ours(n: i64) -> OwnedHeap {
    OwnedHeap::new(|h| h.map((0..n).map(|i| (i, i))))
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("map_lookup");
    for n in SIZES {
        let (keys, heap) = (keys(n), ours(n));
        let sum = |get: &dyn Fn(i64) -> i64| keys.iter().map(|k| get(black_box(*k))).sum::<i64>();
        group.throughput(criterion::Throughput::Elements(MANY as u64));
        let map = heap.root().as_map().unwrap();
        group.bench_function(BenchmarkId::new("term", n), |b| {
            b.iter(|| sum(&|k| map.get(k).and_then(|v| v.as_int()).unwrap()));
        });
        let map: imbl::HashMap<i64, i64> = (0..n).map(|i| (i, i)).collect();
        group.bench_function(BenchmarkId::new("imbl::HashMap", n), |b| b.iter(|| sum(&|k| map[&k])));
        let map: imbl::OrdMap<i64, i64> = (0..n).map(|i| (i, i)).collect();
        group.bench_function(BenchmarkId::new("imbl::OrdMap", n), |b| b.iter(|| sum(&|k| map[&k])));
    }
    group.finish();
}

/// A new version for each key, with another value or without it; the old one stays.
fn versions(c: &mut Criterion, name: &str, inserts: bool) {
    let mut group = c.benchmark_group(name);
    for n in SIZES {
        let keys = keys(n);
        group.throughput(criterion::Throughput::Elements(MANY as u64));
        group.bench_function(BenchmarkId::new("term", n), |b| {
            let all = |mut heap: OwnedHeap| {
                heap.turn(|h, map| {
                    for k in &keys {
                        let new = if inserts { h.insert(map, h.int(*k), h.nil()) } else { h.remove(map, *k) };
                        _ = black_box(new);
                    }
                    (map, ())
                });
                heap // with its garbage
            };
            b.iter_batched(|| ours(n), all, BatchSize::LargeInput);
        });
        let map: imbl::HashMap<i64, i64> = (0..n).map(|i| (i, i)).collect();
        group.bench_function(BenchmarkId::new("imbl::HashMap", n), |b| {
            b.iter(|| {
                for k in &keys {
                    black_box(if inserts { map.update(*k, -1) } else { map.without(k) });
                }
            });
        });
        let map: imbl::OrdMap<i64, i64> = (0..n).map(|i| (i, i)).collect();
        group.bench_function(BenchmarkId::new("imbl::OrdMap", n), |b| {
            b.iter(|| {
                for k in &keys {
                    black_box(if inserts { map.update(*k, -1) } else { map.without(k) });
                }
            });
        });
    }
    group.finish();
}

fn insert(c: &mut Criterion) {
    versions(c, "map_insert", true);
}

fn remove(c: &mut Criterion) {
    versions(c, "map_remove", false);
}

fn iterate(c: &mut Criterion) {
    let mut group = c.benchmark_group("map_iterate");
    for n in SIZES {
        group.throughput(criterion::Throughput::Elements(n as u64));
        let heap = ours(n);
        let map = heap.root().as_map().unwrap();
        group.bench_function(BenchmarkId::new("term", n), |b| {
            b.iter(|| map.iter().filter_map(|(_, v)| v.as_int()).sum::<i64>());
        });
        let map: imbl::HashMap<i64, i64> = (0..n).map(|i| (i, i)).collect();
        group.bench_function(BenchmarkId::new("imbl::HashMap", n), |b| b.iter(|| map.values().sum::<i64>()));
        let map: imbl::OrdMap<i64, i64> = (0..n).map(|i| (i, i)).collect();
        group.bench_function(BenchmarkId::new("imbl::OrdMap", n), |b| b.iter(|| map.values().sum::<i64>()));
    }
    group.finish();
}

fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .configure_from_args()
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = lookup, insert, remove, iterate
}
criterion_main!(benches);
