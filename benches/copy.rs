//! Deep copies: what keeping the sharing of a term costs where there is none, and saves where there is some; and moving a
//! region, which copies nothing.
//!
//! `cargo bench --bench copy`

#[path = "support/by_hand.rs"]
mod by_hand;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shared_term::heap::Heap;
use shared_term::prelude::*;

/// A full tree `{Left, Depth, Right}`, or, with one subtree in both places, a term of as many paths in as few objects.
fn tree(h: Heap<'_>, depth: i64, shared: bool) -> Term<'_> {
    if depth == 0 {
        return h.nil();
    }
    let left = tree(h, depth - 1, shared);
    let right = if shared { left } else { tree(h, depth - 1, shared) };
    h.tuple(&[left, h.int(depth), right])
}

/// What keeping the sharing costs where there is none: the copier marks each object that it meets, asks whether it is a
/// literal and whether there is room, and learns from its words what it is. A copy by hand does nothing of that.
fn flat(c: &mut Criterion) {
    let mut group = c.benchmark_group("copy_flat");
    let list = Region::build(|h| h.list(1..=1000));
    group.bench_function("list of 1000 integers, sharing kept", |b| b.iter(|| Region::copy_of(black_box(list.root()))));
    let mut by_hand = by_hand::List::new(1000);
    group.bench_function("list of 1000 integers, by hand", |b| b.iter(|| _ = black_box(by_hand.copy())));
    let nodes = Region::build(|h| tree(h, 10, false));
    group.bench_function("tree of 1023 nodes, sharing kept", |b| b.iter(|| Region::copy_of(black_box(nodes.root()))));
    let mut by_hand = by_hand::Tree::new(10);
    group.bench_function("tree of 1023 nodes, by hand", |b| b.iter(|| _ = black_box(by_hand.copy())));
    group.finish();
}

/// The copy and its end.
fn copies(c: &mut Criterion) {
    let mut group = c.benchmark_group("copy");
    for (name, source) in [
        ("list of 1000 integers", Region::build(|h| h.list(0..1000))),
        ("list of 1000 pairs", Region::build(|h| h.list((0..1000).map(|i| h.tuple(&[h.int(i), h.int(i)]))))),
        ("tree of 1023 nodes", Region::build(|h| tree(h, 10, false))),
        ("depth 18, sharing kept", Region::build(|h| tree(h, 18, true))),
        ("depth 18, sharing lost", Region::build(|h| tree(h, 18, false))),
    ] {
        group.throughput(Throughput::Elements(source.words() as u64));
        group.bench_function(name, |b| b.iter(|| Region::copy_of(black_box(source.root()))));
    }
    group.finish();
}

/// The sender's side alone. The receiver hands the region on to us, so that what frees it is not measured either.
fn moves(c: &mut Criterion) {
    let mut group = c.benchmark_group("move_region");
    for bytes in [64_u64, 4 << 10, 1 << 20, 64 << 20] {
        let mut rt = Runtime::deterministic(1);
        let mut port = rt.port().expect("a runtime has a port");
        let me = port.pid();
        let receiver = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(me))).expect("a runtime has room");
        rt.run_until_idle();
        let mut region = Some(Region::build(|h| h.list(0..bytes / 16)));
        group.bench_function(BenchmarkId::from_parameter(format!("{bytes} bytes")), |b| {
            b.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    let message = region.take().expect("it came back");
                    let start = Instant::now();
                    let sent = rt.send(receiver, message);
                    took += start.elapsed();
                    sent.expect("the receiver lives");
                    rt.run_until_idle();
                    region = port.try_recv();
                }
                took
            });
        });
    }
    group.finish();
}

fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .configure_from_args()
}

criterion_group! { name = benches; config = criterion(); targets = copies, flat, moves }
criterion_main!(benches);
