//! One module per way to hand a table over. Each runs the same work and passes the same checks.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::document::Document;
use crate::measure::Plan;
use crate::progress::Progress;
use crate::pulse::Beating;
use crate::table::{self, CountRow, Fact, Figure, LatencyRow, Row, SendRow};
use crate::workload::Workload;

mod copied;
mod counting;
mod further;
mod latency;
mod lent;
mod minis;
mod payload;
mod persistent;
mod refcount;
mod shared;
mod terms;

/// What every row is given.
pub(crate) struct Bench {
    pub(crate) document: Document,
    pub(crate) work: Arc<Workload>,
    pub(crate) plan: Plan,
    pub(crate) progress: Progress,
}

/// A row failed its checks, or couldn't run.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) row: &'static str,
    pub(crate) why: String,
}

/// What is measured about a replacement: the time until the old table is freed, or, with a process that beats, the longest
/// time between two turns of that process, which has nothing to do with it.
#[derive(Default)]
pub(crate) struct Clock {
    beating: Option<Beating>,
    times: Cell<u64>,
}

impl Clock {
    pub(crate) fn beside(beating: Beating) -> Self {
        Self { beating: Some(beating), times: Cell::new(0) }
    }

    /// `replace` says how long it took.
    pub(crate) fn time(&self, replace: impl FnOnce() -> Result<Duration, String>) -> Result<Duration, String> {
        self.times.set(self.times.get() + 1);
        match &self.beating {
            None => replace(),
            Some(beating) => beating.longest_during(replace).map(|(_, longest)| longest),
        }
    }

    /// So many in all for each time something was replaced.
    pub(crate) fn each(&self, all: u64) -> Figure {
        Figure::measured(Some(all as f64 / self.times.get() as f64))
    }
}

type Measure<R> = fn(&Bench) -> Result<R, String>;

const TABLES: &[(&str, Measure<Row>)] = &[
    (copied::COPIED, copied::copied),
    (copied::MOVED, copied::moved),
    (copied::BINARY, copied::binary),
    (persistent::GOT, persistent::got),
    (persistent::KEPT, persistent::kept),
    (refcount::NAME, refcount::run),
    (shared::NAME, shared::run),
    (lent::NAME, lent::run),
];
const SENDS: &[(&str, Measure<SendRow>)] = &[
    (payload::COPIED, payload::copied),
    (payload::MOVED, payload::moved),
    (payload::BINARY, payload::binary),
    (payload::LITERAL, payload::literal),
    (payload::COUNTED, payload::counted),
    (payload::SHARED, payload::shared),
    (payload::LENT, payload::lent),
    (payload::BOXED, payload::boxed),
    (payload::ARC, payload::arc),
];
const LATENCIES: &[(&str, Measure<LatencyRow>)] =
    &[(latency::ALONE, latency::alone), (latency::ISOLATED, latency::isolated), (latency::SHARED, latency::shared)];
const FURTHER: &[(&str, Measure<Vec<Fact>>)] = &[
    (further::DROP, further::dropping),
    (further::WALK, further::walking),
    (further::COUNT, further::counting),
    (further::SHARE, further::share),
    (further::BINARY, further::binary),
    (further::MAJOR, further::major),
    (further::CELL, further::cell),
];
const COUNTERS: &[(&str, Measure<CountRow>)] = &[
    (counting::ATOMICS, counting::atomics),
    (counting::SHARED, counting::shared),
    (counting::STRIPED, counting::striped),
    (counting::WRITER, counting::writer),
    (counting::ATOMIC, counting::atomic),
    (counting::LOCKED, counting::locked),
];

/// How many rows there are.
pub(crate) const COUNT: usize = TABLES.len() + SENDS.len() + COUNTERS.len() + LATENCIES.len() + FURTHER.len();

/// All that was measured.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) tables: Vec<Row>,
    pub(crate) sends: Vec<SendRow>,
    pub(crate) counters: Vec<CountRow>,
    pub(crate) latencies: Vec<LatencyRow>,
    pub(crate) further: Vec<Fact>,
}

/// Measures every row; `each` is called with the object of each as soon as it is there.
pub(crate) fn measure(bench: &Bench, mut each: impl FnMut(String)) -> Result<Measured, Failed> {
    Ok(Measured {
        tables: run(TABLES, bench, |row| each(table::json(row)))?,
        sends: run(SENDS, bench, |row| each(table::json(row)))?,
        counters: run(COUNTERS, bench, |row| each(table::json(row)))?,
        latencies: run(LATENCIES, bench, |row| each(table::json(row)))?,
        further: run(FURTHER, bench, |facts| facts.iter().for_each(|fact| each(table::json(fact))))?.concat(),
    })
}

fn run<R>(rows: &[(&'static str, Measure<R>)], bench: &Bench, mut each: impl FnMut(&R)) -> Result<Vec<R>, Failed> {
    let mut measured = Vec::with_capacity(rows.len());
    for &(row, measure) in rows {
        bench.progress.row(row);
        let figures = measure(bench).map_err(|why| Failed { row, why })?;
        each(&figures);
        measured.push(figures);
    }
    Ok(measured)
}
