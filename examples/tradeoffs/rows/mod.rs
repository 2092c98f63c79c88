//! One module per way to hand a table over. Each runs the same work and passes the same checks.

use std::sync::Arc;

use crate::document::Document;
use crate::measure::Plan;
use crate::progress::Progress;
use crate::table::{CountRow, Row};
use crate::workload::Workload;

mod copied;
mod counting;
mod persistent;
mod refcount;
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

type Measure<R> = fn(&Bench) -> Result<R, String>;

const TABLES: &[(&str, Measure<Row>)] = &[
    (copied::COPIED, copied::copied),
    (copied::MOVED, copied::moved),
    (persistent::GOT, persistent::got),
    (persistent::KEPT, persistent::kept),
    (refcount::NAME, refcount::run),
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
pub(crate) const COUNT: usize = TABLES.len() + COUNTERS.len();

/// Calls `each` with every row of a table as soon as it is there.
pub(crate) fn tables(bench: &Bench, each: impl FnMut(Row)) -> Result<(), Failed> {
    run(TABLES, bench, each)
}

/// Calls `each` with every row about counting as soon as it is there.
pub(crate) fn counters(bench: &Bench, each: impl FnMut(CountRow)) -> Result<(), Failed> {
    run(COUNTERS, bench, each)
}

fn run<R>(rows: &[(&'static str, Measure<R>)], bench: &Bench, mut each: impl FnMut(R)) -> Result<(), Failed> {
    for &(row, measure) in rows {
        bench.progress.row(row);
        each(measure(bench).map_err(|why| Failed { row, why })?);
    }
    Ok(())
}
