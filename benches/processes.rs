//! What processes cost: to spawn, to send to, to find by name, in a ring, at a sink, by the million; and what tasks of
//! tokio with unbounded channels, and threads with channels of `std`, do the same for.
//!
//! `cargo bench --bench processes`; `-- million` for one group. A runtime has as many workers as the name says.
//! `benches/budgets` has some of this beside OTP, and `benches/savina` whole programs.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shared_term::prelude::*;
use shared_term::process::receive_fn;
use shared_term::runtime::Deterministic;
use tokio::sync::mpsc::unbounded_channel;

const RING: u64 = 1_000;
const SENDERS: u64 = 16;
const MILLION: u64 = 1_000_000;
/// What waits in one mailbox at most, when what is measured is a send: more would be the price of fresh memory.
const WAITING: u64 = 300;

const OURS: &str = "shared-term";
const TOKIO: &str = "tokio";
const STD: &str = "std threads";

fn tokio_runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().expect("threads can be had")
}

fn with(contender: &str, workers: usize) -> BenchmarkId {
    BenchmarkId::new(contender, format!("{workers} workers"))
}

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

impl Countdown {
    fn from(n: u64) -> (Arc<Self>, Receiver<Instant>) {
        let (last, ended) = mpsc::channel();
        (Arc::new(Self { left: AtomicU64::new(n), last }), ended)
    }

    fn count(&self) {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            self.last.send(Instant::now()).expect("somebody waits for it");
        }
    }
}

impl Process for Brief {
    fn init<'h>(&mut self, _: Cx<'h>) -> Result<Term<'h>, Exit> {
        self.0.count();
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
        group.bench_function(with(OURS, workers), |b| {
            b.iter_custom(|n| {
                let (countdown, ended) = Countdown::from(n);
                let began = repeat(&rt, n, move |cx| {
                    cx.spawn(Brief(Arc::clone(&countdown))).expect("there is room");
                });
                wait(&ended).duration_since(wait(&began))
            });
        });
        let rt = tokio_runtime(workers);
        group.bench_function(with(TOKIO, workers), |b| {
            b.iter_custom(|n| {
                let (countdown, ended) = Countdown::from(n);
                let began = Instant::now();
                rt.spawn(async move {
                    for _ in 0..n {
                        let countdown = Arc::clone(&countdown);
                        tokio::spawn(async move { countdown.count() });
                    }
                });
                wait(&ended).duration_since(began)
            });
        });
    }
    group.finish();
}

/// From the first message of one process to another until that has taken the last.
fn send(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/send");
    for workers in worker_counts() {
        let rt = runtime(workers);
        let mut bench = |name: &str, send: for<'h> fn(Cx<'h>, Pid)| {
            group.bench_function(with(name, workers), |b| {
                b.iter_custom(|n| {
                    let (to, filled) = sink(&rt, n);
                    let began = repeat(&rt, n, move |cx| send(cx, to));
                    wait(&filled).duration_since(wait(&began))
                });
            });
        };
        bench("shared-term, an atom", |cx, to| cx.send(to, cx.atom(Atom::OK)));
        bench("shared-term, a tuple of three", |cx, to| cx.send(to, term!(cx, {:call, cx.me(), 1})));
        let rt = tokio_runtime(workers);
        group.bench_function(with("tokio, an integer", workers), |b| {
            b.iter_custom(|n| {
                let (to, mut messages) = unbounded_channel();
                let (full, filled) = mpsc::channel();
                rt.spawn(async move {
                    while messages.recv().await.is_some() {}
                    full.send(Instant::now())
                });
                let began = Instant::now();
                rt.spawn(async move { (0..n).try_for_each(|i| to.send(i)) });
                wait(&filled).duration_since(began)
            });
        });
    }
    group.bench_function("std threads, an integer", |b| {
        b.iter_custom(|n| {
            let (to, messages) = mpsc::channel();
            let receiver = std::thread::spawn(move || {
                for i in messages {
                    let _: u64 = black_box(i);
                }
                Instant::now()
            });
            let began = Instant::now();
            (0..n).for_each(|i| to.send(i).expect("the receiver lives"));
            drop(to);
            receiver.join().expect("it only counts").duration_since(began)
        });
    });
    group.finish();
}

/// Does `work` in a turn, and then whatever follows from it.
fn in_turn<R: Send + 'static>(rt: &mut Deterministic, work: impl for<'h> Fn(Cx<'h>) -> R + Send + 'static) -> R {
    let (to_us, result) = mpsc::channel();
    let init = move |cx: Cx<'_>| to_us.send(work(cx)).map_err(Exit::msg);
    struct Once<F>(F);
    impl<F: for<'h> FnMut(Cx<'h>) -> Result<(), Exit> + Send + 'static> Process for Once<F> {
        fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
            (self.0)(cx)?;
            Err(Exit::NORMAL)
        }

        fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Err(Exit::NORMAL)
        }
    }
    rt.spawn(Once(init)).expect("there is room");
    rt.run_until_idle();
    result.try_recv().expect("it has run")
}

/// The sender's side alone: what is sent is taken out between two rounds, which is not measured.
fn send_suspended(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/send_suspended");
    let mut bench = |name: &str, send: for<'h> fn(Cx<'h>, Pid)| {
        let mut rt = Runtime::deterministic(1);
        let to = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).expect("there is room");
        in_turn(&mut rt, move |cx| cx.register(NAME, to).expect("nobody else has the name"));
        group.bench_function(name, |b| {
            b.iter_custom(|n| {
                let mut took = Duration::ZERO;
                for sent in (0..n).step_by(WAITING as usize) {
                    let now = WAITING.min(n - sent);
                    took += in_turn(&mut rt, move |cx| {
                        let began = Instant::now();
                        (0..now).for_each(|_| send(cx, black_box(to)));
                        began.elapsed()
                    });
                }
                took
            });
        });
    };
    bench("shared-term, an atom", |cx, to| cx.send(to, cx.atom(Atom::OK)));
    bench("shared-term, an atom by name", |cx, _| cx.send_named(black_box(NAME), cx.atom(Atom::OK)));
    bench("shared-term, a tuple of three", |cx, to| cx.send(to, term!(cx, {:call, cx.me(), 1})));
    group.bench_function("std channel, an integer", |b| {
        b.iter_custom(|n| {
            let mut took = Duration::ZERO;
            for sent in (0..n).step_by(WAITING as usize) {
                let (to, messages) = mpsc::channel();
                let began = Instant::now();
                (sent..n.min(sent + WAITING)).for_each(|i| to.send(i).expect("the receiver is there"));
                took += began.elapsed();
                drop(messages);
            }
            took
        });
    });
    group.finish();
}

const NAME: Atom = Atom::inline("name");

/// From a name to whom it belongs.
fn whereis(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/whereis");
    let mut rt = Runtime::deterministic(1);
    let pid = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).expect("there is room");
    in_turn(&mut rt, move |cx| cx.register(NAME, pid).expect("nobody else has the name"));
    group.bench_function(OURS, |b| {
        b.iter_custom(|n| {
            in_turn(&mut rt, move |cx| {
                let began = Instant::now();
                (0..n).for_each(|_| _ = black_box(cx.whereis(black_box(NAME))));
                began.elapsed()
            })
        });
    });
    let locked = RwLock::new(HashMap::from([("name", pid)]));
    group.bench_function("HashMap in an RwLock", |b| {
        b.iter(|| locked.read().expect("nobody panics with it").get(black_box("name")).copied());
    });
    let papaya = papaya::HashMap::<_, _>::from_iter([("name", pid)]);
    group.bench_function("papaya", |b| b.iter(|| papaya.pin().get(black_box("name")).copied()));
    group.finish();
}

/// An atom to another process and back.
fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/round_trip");
    for workers in worker_counts() {
        let rt = runtime(workers);
        let echo = receive_fn(|cx, state, from| {
            cx.send(from.get()?, cx.atom(Atom::OK));
            Ok(Next(state))
        });
        let echo = rt.spawn_fn(|cx| cx.nil(), echo).expect("there is room");
        group.bench_function(with(OURS, workers), |b| {
            b.iter_custom(|n| {
                let (done, took) = mpsc::channel();
                let (mut left, mut began) = (n, Instant::now());
                let ask = receive_fn(move |cx, state, message| {
                    if message.is_nil() {
                        began = Instant::now();
                    } else {
                        left -= 1;
                    }
                    if left > 0 {
                        cx.send(echo, cx.pid(cx.me()));
                        return Ok(Next(state));
                    }
                    done.send(began.elapsed())?;
                    Ok(Stop(Exit::NORMAL))
                });
                let asks = rt.spawn_fn(|cx| cx.nil(), ask).expect("there is room");
                rt.send_new(asks, |h| h.nil()).expect("it waits for this");
                wait(&took)
            });
        });
        let rt = tokio_runtime(workers);
        group.bench_function(with(TOKIO, workers), |b| {
            b.iter_custom(|n| {
                let ((ask, mut asked), (answer, mut answers)) = (unbounded_channel(), unbounded_channel());
                let (done, took) = mpsc::channel();
                rt.spawn(async move {
                    while let Some(i) = asked.recv().await {
                        let _ = answer.send(i);
                    }
                });
                rt.spawn(async move {
                    let began = Instant::now();
                    for i in 0..n {
                        let _ = ask.send(i);
                        answers.recv().await;
                    }
                    done.send(began.elapsed())
                });
                wait(&took)
            });
        });
    }
    group.bench_function(STD, |b| {
        b.iter_custom(|n| {
            let ((ask, asked), (answer, answers)) = (mpsc::channel(), mpsc::channel());
            let echo = std::thread::spawn(move || asked.iter().try_for_each(|i: u64| answer.send(i)));
            let began = Instant::now();
            for i in 0..n {
                ask.send(i).expect("it echoes");
                answers.recv().expect("it echoes");
            }
            let took = began.elapsed();
            drop(ask);
            echo.join().expect("it only echoes").expect("we are here");
            took
        });
    });
    group.finish();
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
        group.bench_function(with("shared-term, 1,000 processes", workers), |b| {
            b.iter_custom(|n| {
                let began = Instant::now();
                rt.send_new(first, |h| term!(h, {n, first})).expect("the ring is there");
                wait(&arrived).duration_since(began)
            });
        });
    }
    group.finish();
}

/// Sixteen processes send to one: per message.
fn fan_in(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/sink");
    for workers in worker_counts() {
        let rt = runtime(workers);
        group.bench_function(with("shared-term, 16 senders", workers), |b| {
            b.iter_custom(|n| {
                let each = n.div_ceil(SENDERS);
                let (to, filled) = sink(&rt, each * SENDERS);
                let send = move |cx: Cx<'_>| cx.send(to, cx.atom(Atom::OK));
                let began: Vec<_> = (0..SENDERS).map(|_| repeat(&rt, each, send)).collect();
                let began = began.iter().map(wait).min().expect("there are senders");
                wait(&filled).duration_since(began)
            });
        });
        let rt = tokio_runtime(workers);
        group.bench_function(with("tokio, 16 senders", workers), |b| {
            b.iter_custom(|n| {
                let each = n.div_ceil(SENDERS);
                let (to, mut messages) = unbounded_channel();
                let (full, filled) = mpsc::channel();
                rt.spawn(async move {
                    while messages.recv().await.is_some() {}
                    full.send(Instant::now())
                });
                let began = Instant::now();
                for _ in 0..SENDERS {
                    let to = to.clone();
                    rt.spawn(async move { (0..each).try_for_each(|i| to.send(i)) });
                }
                drop(to);
                wait(&filled).duration_since(began)
            });
        });
    }
    group.finish();
}

/// A million processes live, and each answers one message: per round.
fn million(c: &mut Criterion) {
    let mut group = c.benchmark_group("processes/million");
    group.sample_size(10).throughput(Throughput::Elements(MILLION));
    // Made when it is needed, which it is not when another group is asked for.
    let mut population = None;
    group.bench_function(
        with("shared-term, each answers one message", shared_term::sync::available_parallelism()),
        |b| {
            let (rt, pids, last) = population.get_or_insert_with(a_million);
            b.iter_custom(|n| {
                let began = Instant::now();
                for _ in 0..n {
                    for &pid in &*pids {
                        rt.send_new(pid, |h| h.nil()).expect("it lives");
                    }
                    wait(last);
                }
                began.elapsed()
            });
        },
    );
    group.finish();
}

/// A million processes, and who hears when all have answered.
fn a_million() -> (Runtime, Vec<Pid>, Receiver<()>) {
    let rt = runtime(shared_term::sync::available_parallelism());
    let answered = Arc::new(AtomicU64::new(0));
    let (all, last) = mpsc::channel();
    let process = |_| {
        let (answered, all) = (Arc::clone(&answered), all.clone());
        let answer = receive_fn(move |_, state, _| {
            if (answered.fetch_add(1, Relaxed) + 1).is_multiple_of(MILLION) {
                all.send(()).map_err(Exit::msg)?;
            }
            Ok(Next(state))
        });
        rt.spawn_fn(|cx| cx.nil(), answer).expect("there is room")
    };
    let pids: Vec<_> = (0..MILLION).map(process).collect();
    assert_eq!(rt.processes() as u64, MILLION);
    (rt, pids, last)
}

fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args()
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = spawn, send, send_suspended, whereis, round_trip, ring, fan_in, million
}
criterion_main!(benches);
