//! Reference counts everywhere: nothing is ever copied, and every reference kept is a write to a shared counter.
//!
//! * A *send* counts the root once and puts it into the receiver's mailbox.
//! * A *read* counts the value found, up and down; a *walk* counts each cell it visits (see [`arc_tree`](crate::arc_tree)).
//! * A *replacement* swaps the root that new readers get, and tells each holder about the new one. The old table is freed by
//!   whoever lets go of it last, at once: by that process, on its own time. A holder that is never told keeps it for ever,
//!   which no count can change. The new table is built off the clock.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::alloc::weigh;
use crate::arc_tree::{Size, Table, Value};
use crate::checksum::MISS;
use crate::document::Document;
use crate::measure::{PATIENCE, Reader, reading};
use crate::mini_runtime::{self, Letter, MiniRuntime, spawn};
use crate::rows::minis::{self, RECEIVERS, Stage, WEIGHED, ask, reads, replacements, sends};
use crate::rows::{Bench, Clock};
use crate::table::{Figure, KEEPERS, Row};
use crate::workload::Depth;

pub(crate) const NAME: &str = "refcount everything";

type Process = mini_runtime::Process<Arc<Table>>;
type ArcRuntime = MiniRuntime<Arc<Table>>;

pub(crate) fn run(bench: &Bench) -> Result<Row, String> {
    let (table, bytes) = weigh(|| Table::new(&bench.document, 0, None));
    let size = table.size();
    if bytes != size.words as i64 * 8 {
        return Err(format!("the table was counted as {} words and took {bytes} bytes", size.words));
    }
    check(bench, &table)?;
    bench.progress.step("bytes per process");
    let bytes_per_process = bytes_per_process(&table);
    let runtime = ArcRuntime::new(2);
    let readers = spawn(2);
    hold(&runtime, &readers, &table);
    let (ns_read, ns_walk) = reads(bench, &runtime, &readers, |table: &Arc<Table>, reader| match reader.depth() {
        Depth::Glance => reader.run(|key| glance(table.lookup(key))),
        Depth::Walk => reader.run(|key| walk(table.lookup(key))),
    })?;
    bench.progress.step("walks without counting");
    let lent = lent_walk(bench, &table)?;
    let ns_send = sends(bench, &spawn(RECEIVERS), |_| Arc::clone(&table))?;
    let (replace_us, pause_us) = replacements::<World>(bench)?;
    Ok(Row {
        name: NAME,
        words: Figure::count(size.words),
        bytes_per_process: Figure::Is(bytes_per_process),
        bytes_kept: Figure::Is(bytes_kept(bench)),
        ns_read,
        ns_walk,
        ns_send,
        replace_us,
        pause_us,
        collections: Figure::count(0),
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
fn counts_per_walk(bench: &Bench, table: &Table) -> f64 {
    let keys = &bench.work.keys;
    let cells: usize = keys.iter().filter_map(|key| table.lend(key)).map(|v| v.size(Size::default()).cells).sum();
    cells as f64 / keys.len() as f64
}

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

/// The owner's reference is gone, and the holders' are left.
fn bytes_kept(bench: &Bench) -> f64 {
    let (runtime, holders) = (ArcRuntime::new(0), spawn(KEEPERS));
    let ((), bytes) = weigh(|| {
        let table = Table::new(&bench.document, 0, None);
        hold(&runtime, &holders, &table);
        drop(table);
        runtime.run_until_idle();
    });
    bytes as f64
}

fn hold(runtime: &ArcRuntime, processes: &[Arc<Process>], table: &Arc<Table>) {
    for process in processes {
        runtime.send(process, Letter::Hold(Arc::clone(table)));
    }
}

fn lent_walk(bench: &Bench, table: &Arc<Table>) -> Result<Option<f64>, String> {
    let carry = |_, reader: Reader| reader.run(|key| table.lend(key).map_or(MISS, Value::lent_walk));
    reading(&bench.plan, &bench.work, Depth::Walk, 1, carry)
}

/// The table that `holders` hold while others exist.
struct World {
    runtime: ArcRuntime,
    holders: Vec<Arc<Process>>,
    _bystanders: Vec<Arc<Process>>,
    current: Arc<Table>,
    freed: Receiver<Instant>,
}

impl Stage for World {
    type Held = Arc<Table>;

    fn new(bench: &Bench, idle: usize, holders: usize) -> Result<Self, String> {
        let (runtime, holders) = (ArcRuntime::new(2), spawn(holders));
        let (tell, freed) = channel();
        let current = Table::new(&bench.document, 0, Some(tell));
        hold(&runtime, &holders, &current);
        ask(&runtime, &holders, |_| ())?;
        Ok(Self { runtime, holders, _bystanders: spawn(idle), current, freed })
    }

    fn runtime(&self) -> &ArcRuntime {
        &self.runtime
    }

    fn bystander(&self) -> (Arc<Process>, Arc<Table>) {
        (Arc::default(), Table::new(&Document::of_table(Vec::new()), 0, None))
    }

    fn replace(&mut self, bench: &Bench, version: u64, clock: &Clock) -> Result<Duration, String> {
        let (tell, freed) = channel();
        let new = Table::new(&bench.document, version, Some(tell));
        let took = clock.time(|| {
            let start = Instant::now();
            let old = std::mem::replace(&mut self.current, Arc::clone(&new));
            hold(&self.runtime, &self.holders, &new);
            drop(old);
            let end = self.freed.recv_timeout(PATIENCE).map_err(|_| "a replaced table was never freed")?;
            Ok(end.duration_since(start))
        })?;
        self.freed = freed;
        let held = minis::ask(&self.runtime, &self.holders, |table| table.version)?;
        if held.iter().any(|&held| held != version) || self.current.version != version {
            return Err(format!("a process still holds an older version than {version}"));
        }
        Ok(took)
    }

    fn check(&self, bench: &Bench) -> Result<(), String> {
        check(bench, &self.current)
    }
}
