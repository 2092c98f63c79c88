//! What processes cost: to spawn, to send to, in a ring, at a sink, by the million.
//!
//! `cargo bench --bench processes`; `-- million` for one group. A runtime has a worker per processor, or as many as the name
//! says. `benches/budgets` has the same beside OTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shared_term::prelude::*;
use shared_term::process::receive_fn;

const RING: u64 = 1_000;
const SENDERS: u64 = 16;
const MILLION: u64 = 1_000_000;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().expect("threads can be had")
}

/// One worker, two, and one per processor.
fn worker_counts() -> Vec<usize> {
    let mut counts = vec![1, 2, shared_term::sync::available_parallelism()];
    counts.dedup();
    counts
}

fn wait<T>(of: &Receiver<T>) -> T {
    of.recv_timeout(Duration::from_secs(120)).expect("processes do not take so long")
}

/// Does `work` so many times, yields when it should, and then tells when it began.
struct Repeat<W> {
    left: u64,
    began: Option<Instant>,
    work: W,
    done: Sender<Instant>,
}

impl<W: for<'h> FnMut(Cx<'h>) + Send + 'static> Process for Repeat<W> {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        let began = *self.began.get_or_insert_with(Instant::now);
        while self.left > 0 {
            self.left -= 1;
            (self.work)(cx);
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        self.done.send(began).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

/// Starts a process that does `work` so many times; when it began is sent once it is done.
fn repeat(rt: &Runtime, times: u64, work: impl for<'h> FnMut(Cx<'h>) + Send + 'static) -> Receiver<Instant> {
    let (done, began) = mpsc::channel();
    let repeat = rt.spawn(Repeat { left: times, began: None, work, done }).expect("there is room");
    rt.send_new(repeat, |h| h.nil()).expect("it waits for this");
    began
}

/// Counts messages down, and tells when the last has come.
fn sink(rt: &Runtime, mut left: u64) -> (Pid, Receiver<Instant>) {
    let (full, filled) = mpsc::channel();
    let sink = rt.spawn_fn(
        |cx| cx.nil(),
        move |_, state, _| {
            left -= 1;
            if left > 0 {
                return Ok(Next(state));
            }
            full.send(Instant::now()).map_err(Exit::msg)?;
            Ok(Stop(Exit::NORMAL))
        },
    );
    (sink.expect("there is room"), filled)
}

/// Ends at once; the last of so many tells.
struct Brief(Arc<Countdown>);

struct Countdown {
    left: AtomicU64,
    last: Sender<Instant>,
}

impl Process for Brief {
    fn init<'h>(&mut self, _: Cx<'h>) -> Result<Term<'h>, Exit> {
        if self.0.left.fetch_sub(1, Relaxed) == 1 {
            self.0.last.send(Instant::now()).map_err(Exit::msg)?;
        }
        Err(Exit::NORMAL)
    }

    fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Err(Exit::NORMAL)
    }
}

/// From the first spawn of a process that ends in its first turn until the last is in it. (Each holds a count that all
/// share, and takes one off: that is part of the figure.)
fn spawn(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/spawn");
    for workers in worker_counts() {
        let rt = runtime(workers);
        group.bench_function(BenchmarkId::from_parameter(format!("{workers} workers")), |b| {
            b.iter_custom(|n| {
                let (last, ended) = mpsc::channel();
                let countdown = Arc::new(Countdown { left: AtomicU64::new(n), last });
                let began = repeat(&rt, n, move |cx| {
                    cx.spawn(Brief(Arc::clone(&countdown))).expect("there is room");
                });
                wait(&ended).duration_since(wait(&began))
            });
        });
    }
}

/// From the first message of one process to another until that has taken the last.
fn send(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/send");
    for workers in worker_counts() {
        let rt = runtime(workers);
        let mut bench = |name: &str, send: for<'h> fn(Cx<'h>, Pid)| {
            group.bench_function(BenchmarkId::new(name, format!("{workers} workers")), |b| {
                b.iter_custom(|n| {
                    let (to, filled) = sink(&rt, n);
                    let began = repeat(&rt, n, move |cx| send(cx, to));
                    wait(&filled).duration_since(wait(&began))
                });
            });
        };
        bench("an atom", |cx, to| cx.send(to, cx.atom(Atom::OK)));
        bench("a tuple of three", |cx, to| cx.send(to, term!(cx, {:call, cx.me(), 1})));
    }
}

/// A token round a ring: per hop.
fn ring(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/ring");
    for workers in worker_counts() {
        let rt = runtime(workers);
        let (done, arrived) = mpsc::channel::<Instant>();
        // The last leads to the first, which is told whom to send to when there is one.
        let hop = move |next: Option<Pid>| {
            let done = done.clone();
            move |cx: Cx<'_>, left: i64, first: Pid| {
                if left == 0 {
                    return done.send(Instant::now()).map_err(Exit::msg);
                }
                cx.send(next.unwrap_or(first), term!(cx, {left - 1, first}));
                Ok(())
            }
        };
        let mut next = None;
        for _ in 0..RING {
            let pass = hop(next);
            let member = rt.spawn_fn(
                |cx| cx.nil(),
                move |cx, state, token| {
                    let (left, first) = token.get()?;
                    pass(cx, left, first)?;
                    Ok(Next(state))
                },
            );
            next = Some(member.expect("there is room"));
        }
        let first = next.expect("a ring has members");
        group.bench_function(BenchmarkId::new(format!("{RING} processes"), format!("{workers} workers")), |b| {
            b.iter_custom(|n| {
                let began = Instant::now();
                rt.send_new(first, |h| term!(h, {n, first})).expect("the ring is there");
                wait(&arrived).duration_since(began)
            });
        });
    }
}

/// Sixteen processes send to one: per message.
fn fan_in(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/sink");
    for workers in worker_counts() {
        let rt = runtime(workers);
        group.bench_function(BenchmarkId::new(format!("{SENDERS} senders"), format!("{workers} workers")), |b| {
            b.iter_custom(|n| {
                let each = n.div_ceil(SENDERS);
                let (to, filled) = sink(&rt, each * SENDERS);
                let send = move |cx: Cx<'_>| cx.send(to, cx.atom(Atom::OK));
                let began: Vec<_> = (0..SENDERS).map(|_| repeat(&rt, each, send)).collect();
                let began = began.iter().map(wait).min().expect("there are senders");
                wait(&filled).duration_since(began)
            });
        });
    }
}

/// A million processes live, and each answers one message: per round.
fn million(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/million");
    group.sample_size(10).throughput(Throughput::Elements(MILLION));
    let rt = runtime(shared_term::sync::available_parallelism());
    let answered = Arc::new(AtomicU64::new(0));
    let (all, last) = mpsc::channel();
    let pids: Vec<_> = (0..MILLION)
        .map(|_| {
            let (answered, all) = (Arc::clone(&answered), all.clone());
            let answer = receive_fn(move |_, state, _| {
                if (answered.fetch_add(1, Relaxed) + 1).is_multiple_of(MILLION) {
                    all.send(()).map_err(Exit::msg)?;
                }
                Ok(Next(state))
            });
            rt.spawn_fn(|cx| cx.nil(), answer).expect("there is room")
        })
        .collect();
    assert_eq!(rt.processes() as u64, MILLION);
    group.bench_function("each answers one message", |b| {
        b.iter_custom(|n| {
            let began = Instant::now();
            for _ in 0..n {
                for &pid in &pids {
                    rt.send_new(pid, |h| h.nil()).expect("it lives");
                }
                wait(&last);
            }
            began.elapsed()
        });
    });
}

criterion_group!(benches, spawn, send, ring, fan_in, million);
criterion_main!(benches);
