//! What the rows for comparison have in common: processes of [`mini_runtime`](crate::mini_runtime), the clocks of the
//! other rows, and their checks.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::channel;

use shared_term::TermRef;

use crate::measure::{PATIENCE, Reader, per, reading, repeated, replacing};
use crate::mini_runtime::{Job, Letter, MiniRuntime, Process};
use crate::pulse::Pulse;
use crate::rows::terms::{check_sums, sums};
use crate::rows::{Bench, Clock};
use crate::table::{Figure, HOLDERS, IDLE};
use crate::term_table::{glance, lookup, walk};
use crate::workload::Depth;

/// Enough that what the processes share is nothing against what each has.
pub(crate) const WEIGHED: usize = 10_000;
/// Receivers of one batch of sends.
pub(crate) const RECEIVERS: usize = 1_000;

/// What each of the processes answers, in no order. They hold something, or never answer.
pub(crate) fn ask<T: Send + 'static, R: Send + 'static>(
    runtime: &MiniRuntime<T>,
    processes: &[Arc<Process<T>>],
    f: impl Fn(&T) -> R + Clone + Send + 'static,
) -> Result<Vec<R>, String> {
    let (tell, told) = channel();
    for process in processes {
        let (tell, f) = (tell.clone(), f.clone());
        let job: Job<T> = Box::new(move |held| {
            // The row may have given up waiting.
            let _ = tell.send(f(held));
        });
        runtime.send(process, Letter::Run(job));
    }
    drop(tell);
    let answers = processes.iter().map(|_| told.recv_timeout(PATIENCE));
    answers.collect::<Result<_, _>>().map_err(|_| "a process never answered".into())
}

/// Nanoseconds per read and per walk, each alone and with two processes at once. `run` reads what a process holds.
pub(crate) fn reads<T: Send + 'static>(
    bench: &Bench,
    runtime: &MiniRuntime<T>,
    readers: &[Arc<Process<T>>],
    run: impl Fn(&T, Reader) + Clone + Send + 'static,
) -> Result<([Figure; 2], [Figure; 2]), String> {
    let carry = |nth: usize, reader: Reader| {
        let run = run.clone();
        let job: Job<T> = Box::new(move |held| run(held, reader));
        runtime.send(&readers[nth], Letter::Run(job));
    };
    let measured = |depth, threads, what| {
        bench.progress.step(what);
        reading(&bench.plan, &bench.work, depth, threads, carry).map(Figure::measured)
    };
    let read = [
        measured(Depth::Glance, 1, "reads, one process")?,
        measured(Depth::Glance, 2, "reads, two processes at once")?,
    ];
    let walk =
        [measured(Depth::Walk, 1, "walks, one process")?, measured(Depth::Walk, 2, "walks, two processes at once")?];
    Ok((read, walk))
}

/// Reads a table that is a term.
pub(crate) fn read_term(table: TermRef<'_>, reader: Reader) {
    match reader.depth() {
        Depth::Glance => reader.run(|key| glance(lookup(table, key))),
        Depth::Walk => reader.run(|key| walk(lookup(table, key))),
    }
}

/// The sums of a table that is a term.
pub(crate) fn check_term(bench: &Bench, table: TermRef<'_>) -> Result<(), String> {
    check_sums(bench, sums(&bench.work, table))
}

/// The sender's side: the receivers run when the clock is off. `hold` makes what each of them is sent.
pub(crate) fn sends<T: Send + 'static>(
    bench: &Bench,
    receivers: &[Arc<Process<T>>],
    mut hold: impl FnMut(&Arc<Process<T>>) -> T,
) -> Result<Figure, String> {
    bench.progress.step("sends");
    let runtime = MiniRuntime::new(0);
    let mut round = || {
        let ns = per(receivers.len() as u64, || {
            for receiver in receivers {
                runtime.send(receiver, Letter::Hold(hold(receiver)));
            }
        });
        runtime.run_until_idle();
        Ok(ns)
    };
    // The first round meets a cold allocator.
    round()?;
    repeated(&bench.plan, bench.plan.rounds * 10, round).map(Figure::measured)
}

/// A world in which a table is replaced.
pub(crate) trait Stage: Sized {
    type Held: Send + 'static;

    /// One with these holders of version 0, and bystanders.
    fn new(bench: &Bench, idle: usize, holders: usize) -> Result<Self, String>;

    fn runtime(&self) -> &MiniRuntime<Self::Held>;

    /// A process beside the others, and something for it to hold.
    fn bystander(&self) -> (Arc<Process<Self::Held>>, Self::Held);

    /// Replaces the table by this version, on the clock.
    fn replace(&mut self, bench: &Bench, version: u64, clock: &Clock) -> Result<std::time::Duration, String>;

    /// What is published in the end.
    fn check(&self, bench: &Bench) -> Result<(), String>;
}

/// The figures about replacing: with each number of idle processes, then of holders; and the longest pause of another.
pub(crate) fn replacements<S: Stage>(bench: &Bench) -> Result<([Figure; IDLE.len() + HOLDERS.len()], Figure), String> {
    let measured = |idle, holders, paused: bool| {
        bench.progress.step(&format!("replacing, {idle} idle processes, {holders} holders"));
        let mut stage = S::new(bench, idle, holders)?;
        let clock = if paused {
            let (process, held) = stage.bystander();
            Clock::beside(Pulse::start_mini(stage.runtime(), &process, held)?)
        } else {
            Clock::default()
        };
        let took = replacing(&bench.plan, 1, |version| stage.replace(bench, version, &clock))?;
        stage.check(bench)?;
        Ok::<_, String>(Figure::measured(black_box(took)))
    };
    let [none, few, many] = IDLE;
    let [some, all] = HOLDERS;
    let replaced = [
        measured(none, 0, false)?,
        measured(few, 0, false)?,
        measured(many, 0, false)?,
        measured(0, some, false)?,
        measured(0, all, false)?,
    ];
    Ok((replaced, measured(0, all, true)?))
}
