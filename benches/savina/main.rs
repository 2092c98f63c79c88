//! Programs of the Savina suite (Imam and Sarkar, *Savina, an actor benchmark suite*, 2014), each with processes of this
//! library, with ractor, with tasks and channels of tokio, and with Erlang processes where `erl` is found.
//!
//! `cargo bench --bench savina`; `-- big` for one of them. All contenders do the same work on as many threads, and what
//! comes out is checked. A figure is one run: from before the first process is made until the last has done its part;
//! divided by the messages of a run it is criterion's throughput.

mod ours;
mod rust;
#[path = "../support/vm.rs"]
mod vm;
mod with_ractor;
mod with_tokio;
mod work;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vm::{COOL_DOWN, DEFAULT_PROCESSES, Installed, Module, Vm};
use work::Program;

/// No run takes so long.
const LONG: Duration = Duration::from_secs(60);

/// The threads of every contender.
fn threads() -> usize {
    shared_term::sync::available_parallelism()
}

/// Runs programs in this operating system process.
trait Contender {
    const NAME: &'static str;

    fn new() -> Self;

    /// Starts a program, which sends its result once.
    fn start(&self, program: Program, result: Sender<u64>);
}

fn wait(result: &Receiver<u64>) -> u64 {
    result.recv_timeout(LONG).expect("no run takes so long")
}

fn bench<C: Contender>(c: &mut Criterion, program: Program) {
    let contender = C::new();
    let expected = program.result();
    let mut group = c.benchmark_group(format!("savina/{}", program.name()));
    group.throughput(Throughput::Elements(program.messages()));
    group.bench_function(C::NAME, |b| {
        b.iter_custom(|n| {
            let began = Instant::now();
            for _ in 0..n {
                let (to_us, result) = channel();
                contender.start(program, to_us);
                assert_eq!(wait(&result), expected, "{}, {}", program.name(), C::NAME);
            }
            began.elapsed()
        });
    });
    group.finish();
}

/// An Erlang that serves runs, or why there is none.
fn erlang() -> Result<(Installed, Vm), String> {
    let module = Module {
        name: "savina",
        source: include_str!("../otp/savina.erl"),
        defines: work::PARAMETERS,
        schedulers: threads(),
    };
    let installed = Installed::compile(module)?;
    let vm = Vm::start(&installed, DEFAULT_PROCESSES)?;
    Ok((installed, vm))
}

fn bench_otp(c: &mut Criterion, program: Program, vm: &mut Vm) {
    let mut run = |row: &str, n| {
        let answer = vm.run(row, n).and_then(|answer| answer);
        std::thread::sleep(COOL_DOWN);
        answer.unwrap_or_else(|why| panic!("{row}, OTP: {why}"))
    };
    let mut group = c.benchmark_group(format!("savina/{}", program.name()));
    group.throughput(Throughput::Elements(program.messages()));
    let mut checked = false;
    group.bench_function("OTP", |b| {
        if !checked {
            // Runs that are timed must give what this one gives: the module sees to that.
            let result = run(&format!("{}_result", program.name()), 0);
            assert_eq!(result as u64, program.result(), "{}, OTP", program.name());
            checked = true;
        }
        b.iter_custom(|n| Duration::from_nanos(run(program.name(), n) as u64));
    });
    group.finish();
}

fn programs(c: &mut Criterion) {
    let mut erlang = erlang();
    if let Err(why) = &erlang {
        eprintln!("savina: no Erlang: {why}");
    }
    for program in Program::ALL {
        bench::<ours::SharedTerm>(c, program);
        bench::<with_ractor::Ractor>(c, program);
        bench::<with_tokio::Tokio>(c, program);
        if let Ok((_, vm)) = &mut erlang {
            bench_otp(c, program, vm);
        }
    }
}

fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args()
}

criterion_group! { name = benches; config = criterion(); targets = programs }
criterion_main!(benches);
