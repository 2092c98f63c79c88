//! Reference counts everywhere: nothing is ever copied, and every reference kept is a write to a shared counter.
//!
//! * A *send* counts the root once and puts it into the receiver's mailbox.
//! * A *read* counts the value found, up and down; a *walk* counts each cell it visits (see [`arc_tree`](crate::arc_tree)).
//! * A *replacement* swaps the root that new readers get, and tells each holder about the new one. The old table is freed by
//!   whoever lets go of it last, at once: by that process, on its own time. A holder that is never told keeps it for ever,
//!   which no count can change. The new table is built off the clock.

use std::hint::black_box;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::alloc::weigh;
use crate::arc_runtime::{ArcRuntime, Job, Letter, Process};
use crate::arc_tree::{Size, Table, Value};
use crate::checksum::MISS;
use crate::measure::{PATIENCE, Reader, median, per, reading, replacing};
use crate::rows::Bench;
use crate::table::{Figure, HOLDERS, IDLE, Row};
use crate::workload::Depth;

pub(crate) const NAME: &str = "refcount everything";

/// Enough that what the processes share is nothing against what each has.
const WEIGHED: usize = 10_000;
/// Receivers of one batch of sends.
const RECEIVERS: usize = 1_000;

pub(crate) fn run(bench: &Bench) -> Result<Row, String> {
    let (table, bytes) = weigh(|| Table::new(&bench.document, 0, None));
    let size = table.size();
    if bytes != size.words as i64 * 8 {
        return Err(format!("the table was counted as {} words and took {bytes} bytes", size.words));
    }
    check(bench, &table)?;
    bench.progress.step("bytes per process");
    let bytes_per_process = bytes_per_process(&table);
    let (read, walk) = reads(bench, &table)?;
    bench.progress.step("walks without counting");
    let lent = lent_walk(bench, &table)?;
    bench.progress.step("sends");
    let ns_send = Figure::measured(sends(bench, &table));
    let replaced = |idle, holders| {
        bench.progress.step(&format!("replacing, {idle} idle processes, {holders} holders"));
        replacements(bench, idle, holders).map(Figure::measured)
    };
    let [none, few, many] = IDLE;
    let replace_us = [replaced(none, 0)?, replaced(few, 0)?, replaced(many, 0)?, replaced(0, HOLDERS)?];
    Ok(Row {
        name: NAME,
        words: Figure::count(size.words),
        bytes_per_process: Figure::Is(bytes_per_process),
        ns_read: read,
        ns_walk: walk,
        ns_send,
        replace_us,
        note: note(bench, size, counts_per_walk(bench, &table), lent),
    })
}

fn note(bench: &Bench, size: Size, counts: f64, lent: Option<f64>) -> String {
    let lent = lent.map_or_else(|| "-".into(), |ns| format!("{ns:.1} ns"));
    format!(
        "{} cells for {} values; a runtime with one-word references and a single count would need {} words. A walk holds \
         {counts:.1} counted references one after the other; the same walk without counting takes {lent}. Two readers \
         count in the same cells.",
        Figure::count(size.cells).human(),
        Figure::count(bench.document.values).human(),
        Figure::count(size.lean_words).human()
    )
}

/// The sums of every way to read that is measured.
fn check(bench: &Bench, table: &Arc<Table>) -> Result<(), String> {
    let sums = [
        (bench.work.pass(|key| glance(table.lookup(key))), Depth::Glance),
        (bench.work.pass(|key| walk(table.lookup(key))), Depth::Walk),
        (bench.work.pass(|key| table.lend(key).map_or(MISS, Value::lent_walk)), Depth::Walk),
    ];
    for (sum, depth) in sums {
        let expected = bench.work.expected(depth);
        if sum != expected {
            return Err(format!("the sum of what was read is {sum:#x}, and must be {expected:#x}"));
        }
    }
    Ok(())
}

/// Ends the counted reference after the look, as the walk does.
#[expect(clippy::needless_pass_by_value, reason = "what was found is owned by the reader")]
fn glance(found: Option<Value>) -> u64 {
    found.as_ref().map_or(MISS, Value::glance)
}

fn walk(found: Option<Value>) -> u64 {
    found.map_or(MISS, Value::counted_walk)
}

/// How many counted references one walk takes: one per cell at or below the value found.
#[expect(clippy::cast_precision_loss, reason = "counts of cells stay below 2^52")]
fn counts_per_walk(bench: &Bench, table: &Table) -> f64 {
    let keys = &bench.work.keys;
    let cells: usize = keys.iter().filter_map(|key| table.lend(key)).map(|v| v.size(Size::default()).cells).sum();
    cells as f64 / keys.len() as f64
}

#[expect(clippy::cast_precision_loss, reason = "sizes of this example stay below 2^52")]
fn bytes_per_process(table: &Arc<Table>) -> f64 {
    let runtime = ArcRuntime::new(0);
    let (holders, bytes) = weigh(|| {
        let holders = spawn(WEIGHED);
        hold(&runtime, &holders, table);
        runtime.run_until_idle();
        holders
    });
    bytes as f64 / holders.len() as f64
}

fn spawn(count: usize) -> Vec<Arc<Process>> {
    (0..count).map(|_| Arc::default()).collect()
}

fn hold(runtime: &ArcRuntime, processes: &[Arc<Process>], table: &Arc<Table>) {
    for process in processes {
        runtime.send(process, Letter::Hold(Arc::clone(table)));
    }
}

fn reads(bench: &Bench, table: &Arc<Table>) -> Result<([Figure; 2], [Figure; 2]), String> {
    let runtime = ArcRuntime::new(2);
    let processes = spawn(2);
    hold(&runtime, &processes, table);
    let carry = |nth: usize, reader: Reader| {
        let job: Job = Box::new(move |table| match reader.depth() {
            Depth::Glance => reader.run(|key| glance(table.lookup(key))),
            Depth::Walk => reader.run(|key| walk(table.lookup(key))),
        });
        runtime.send(&processes[nth], Letter::Run(job));
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

fn lent_walk(bench: &Bench, table: &Arc<Table>) -> Result<Option<f64>, String> {
    let carry = |_, reader: Reader| reader.run(|key| table.lend(key).map_or(MISS, Value::lent_walk));
    reading(&bench.plan, &bench.work, Depth::Walk, 1, carry)
}

/// The sender's side: the receivers run when the clock is off.
fn sends(bench: &Bench, table: &Arc<Table>) -> Option<f64> {
    let runtime = ArcRuntime::new(0);
    let receivers = spawn(RECEIVERS);
    let round = || {
        let ns = per(RECEIVERS as u64, || hold(&runtime, &receivers, table));
        runtime.run_until_idle();
        ns
    };
    // The first round meets a cold allocator.
    round();
    let rounds = bench.plan.rounds * 10;
    median((0..rounds).map(|_| round()).collect())
}

/// Replaces the table that `holders` processes hold while `idle` others exist, and checks who holds what afterwards.
fn replacements(bench: &Bench, idle: usize, holders: usize) -> Result<Option<f64>, String> {
    let runtime = ArcRuntime::new(2);
    let bystanders = spawn(idle);
    let holders = spawn(holders);
    let (tell, mut old_ended) = channel();
    let root = Mutex::new(Table::new(&bench.document, 0, Some(tell)));
    let current = || root.lock().unwrap_or_else(PoisonError::into_inner);
    hold(&runtime, &holders, &current());
    settled(&runtime, &holders)?;
    let took = replacing(&bench.plan, 1, |version| {
        let (tell, ended) = channel();
        let new = Table::new(&bench.document, version, Some(tell));
        let start = Instant::now();
        let old = std::mem::replace(&mut *current(), Arc::clone(&new));
        hold(&runtime, &holders, &new);
        drop(old);
        let end = old_ended.recv_timeout(PATIENCE).map_err(|_| "a replaced table was never freed")?;
        old_ended = ended;
        let held = settled(&runtime, &holders)?;
        if held.iter().any(|&held| held != version) || current().version != version {
            return Err(format!("a process still holds an older version than {version}"));
        }
        Ok(end.duration_since(start))
    });
    check(bench, &current())?;
    black_box(bystanders);
    took
}

/// Waits until every process has read its mailbox, and says which version each of them holds.
fn settled(runtime: &ArcRuntime, processes: &[Arc<Process>]) -> Result<Vec<u64>, String> {
    let (tell, versions) = channel();
    for process in processes {
        let tell: Sender<u64> = tell.clone();
        let job: Job = Box::new(move |table| {
            // The row may have given up waiting.
            let _ = tell.send(table.version);
        });
        runtime.send(process, Letter::Run(job));
    }
    drop(tell);
    let answers = processes.iter().map(|_| versions.recv_timeout(PATIENCE));
    answers.collect::<Result<_, _>>().map_err(|_| "a process never answered".into())
}
