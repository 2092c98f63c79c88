//! What the rows about terms have in common: the same processes, the same clocks, the same checks.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use shared_term::term::Place;
use shared_term::{Atom, Cx, Pid, Region, Term};

use crate::alloc::weigh;
use crate::crew::{Crew, why};
use crate::document::Key;
use crate::encoded;
use crate::measure::{PATIENCE, Reader, per, reading, repeated};
use crate::rows::Bench;
use crate::table::{Figure, KEEPERS};
use crate::term_table::{self, Size, glance, lookup, version, walk};
use crate::workload::{Depth, Workload};

/// The key of the table where it is a persistent term.
pub(crate) const TABLE: Atom = Atom::inline("table");

/// Bytes that the tables of one figure may take, old and new together.
const ROOM: usize = 2 << 30;
/// Bytes that the tables of one batch of sends may take, and of the processes that are weighed.
const BATCH: usize = 64 << 20;
/// Enough that what the processes share is nothing against what each has.
const MOST_WEIGHED: usize = 10_000;
/// Receivers of one batch of sends.
const MOST_RECEIVERS: usize = 1_000;

/// How a process comes to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its state is a table of its own: a message that was a deep copy.
    Copied,
    /// Its state is a table of its own: a region that was built for it, and moved.
    Moved,
    /// Its state is a binary that all of them share.
    Binary,
    /// It gets the persistent term in each turn, once per read.
    Got,
    /// Its state is the persistent term.
    Kept,
}

impl Way {
    /// Does a process that holds a table have memory of its own for it?
    fn is_own(self) -> bool {
        matches!(self, Self::Copied | Self::Moved)
    }

    fn is_persistent(self) -> bool {
        matches!(self, Self::Got | Self::Kept)
    }

    /// A version of the table.
    pub(crate) fn table(self, bench: &Bench, version: u64) -> Result<Region, String> {
        if self != Self::Binary {
            return term_table::region(&bench.document, version);
        }
        let bytes = encoded::encode(&bench.document, version).ok_or("the table takes more than 4 GiB as a binary")?;
        Ok(Region::build(|h| h.bytes(bytes.into())))
    }

    pub(crate) fn version<P: Place>(self, table: Term<'_, P>) -> Option<u64> {
        if self == Self::Binary { encoded::version(table.as_bytes()?) } else { version(table) }
    }

    #[inline(always)]
    fn glance<P: Place>(self, table: Term<'_, P>, key: &Key) -> u64 {
        match self {
            Self::Binary => encoded::glance(table.as_bytes().and_then(|table| encoded::lookup(table, key))),
            _ => glance(lookup(table, key)),
        }
    }

    fn sums<P: Place>(self, work: &Workload, table: Term<'_, P>) -> [u64; 2] {
        [work.pass(|key| self.glance(table, key)), work.pass(|key| self.walk(table, key))]
    }

    #[inline(always)]
    fn walk<P: Place>(self, table: Term<'_, P>, key: &Key) -> u64 {
        match self {
            Self::Binary => encoded::walk(table.as_bytes().and_then(|table| encoded::lookup(table, key))),
            _ => walk(lookup(table, key)),
        }
    }

    /// What makes a process hold the table.
    fn message(self, bench: &Bench, table: &Region) -> Result<Region, String> {
        match self {
            // The copy of a binary is a reference to it.
            Self::Copied | Self::Binary => Ok(Region::copy_of(table.root())),
            Self::Moved => self.table(bench, 0),
            Self::Got | Self::Kept => Ok(Region::build(|h| h.atom(TABLE))),
        }
    }

    /// Where a turn finds the table.
    #[inline(always)]
    fn root<'h>(self, cx: Cx<'h>, state: Term<'h>) -> Term<'h> {
        // Without a table the state is nil, and every sum is wrong.
        if self == Self::Got { cx.get(TABLE).unwrap_or(state) } else { state }
    }
}

/// A version of the table that a row measures with.
pub(crate) struct Subject {
    pub(crate) way: Way,
    table: Region,
    pub(crate) size: Size,
    /// Of a process that can read it, the table included where it is its own.
    pub(crate) bytes_per_process: f64,
}

impl Subject {
    pub(crate) fn new(bench: &Bench, way: Way) -> Result<Self, String> {
        let table = way.table(bench, 0)?;
        let size = term_table::size(&table);
        let mut subject = Self { way, table, size, bytes_per_process: 0.0 };
        bench.progress.step("bytes per process");
        subject.bytes_per_process = subject.weigh(bench)?;
        Ok(subject)
    }

    /// Processes and a published table where that is the way; nobody holds it yet.
    fn crew(&self, workers: usize) -> Result<Crew, String> {
        let crew = Crew::new(workers, self.size.words)?;
        if self.way.is_persistent() {
            crew.rt.persistent().put(TABLE, Region::copy_of(self.table.root())).map_err(why)?;
        }
        Ok(crew)
    }

    /// Of one table. What all tables share outside of the heaps is left out, but for the way in which all of it is there.
    pub(crate) fn words(&self) -> usize {
        let outside = if self.way == Way::Binary { self.size.outside_bytes.div_ceil(8) } else { 0 };
        self.size.words + outside
    }

    fn give(&self, bench: &Bench, crew: &Crew, pids: &[Pid]) -> Result<(), String> {
        if self.way == Way::Got {
            return Ok(());
        }
        crew.give(pids, || self.way.message(bench, &self.table))
    }

    /// How many processes may be made to hold a table within so many bytes.
    fn within(&self, bytes: usize, most: usize) -> usize {
        if self.way.is_own() { (bytes / (self.size.words * 8)).clamp(2, most) } else { most }
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes of this example stay below 2^52")]
    fn weigh(&self, bench: &Bench) -> Result<f64, String> {
        let crew = self.crew(1)?;
        let count = self.within(BATCH, MOST_WEIGHED);
        let (pids, bytes) = weigh(|| {
            let pids = crew.spawn(count)?;
            self.give(bench, &crew, &pids)?;
            // The turns in which the tables arrived are over.
            crew.ask(&pids, |_, _| ())?;
            Ok::<_, String>(pids)
        });
        Ok(bytes as f64 / pids?.len() as f64)
    }

    /// Bytes that are left when a process gave its table to others, and has ended.
    pub(crate) fn kept(&self, bench: &Bench) -> Result<Figure, String> {
        bench.progress.step("bytes kept");
        let crew = Crew::new(1, self.size.words)?;
        let [owner] = crew.spawn(1)?[..] else { return Err("one process was asked for".into()) };
        let keepers = crew.spawn(KEEPERS)?;
        let way = self.way;
        let (ended, bytes) = weigh(|| {
            // Made here, so that what several share is weighed too.
            let table = way.table(bench, 0)?;
            if way.is_persistent() {
                crew.rt.persistent().put(TABLE, table).map_err(why)?;
            } else {
                crew.expect(1);
                crew.rt.send(owner, table).map_err(why)?;
                crew.held()?;
            }
            if way == Way::Moved {
                self.give(bench, &crew, &keepers)?;
            } else {
                crew.expect(keepers.len());
                let to = keepers.clone();
                crew.run(owner, move |cx, state| {
                    let table = if way.is_persistent() { cx.atom(TABLE) } else { state };
                    for pid in to {
                        cx.send(pid, table);
                    }
                })?;
                crew.held()?;
            }
            crew.end(owner)?;
            // The turns in which the tables arrived are over.
            crew.ask(&keepers, |_, _| ())
        });
        ended?;
        Ok(Figure::Is(bytes as f64))
    }

    /// Nanoseconds per read and per walk, each alone and with two processes at once.
    pub(crate) fn reads(&self, bench: &Bench) -> Result<([Figure; 2], [Figure; 2]), String> {
        let crew = self.crew(2)?;
        let pids = crew.spawn(2)?;
        self.give(bench, &crew, &pids)?;
        let way = self.way;
        let carry = |nth: usize, reader: Reader| {
            let job = crew.run(pids[nth], move |cx, state| match reader.depth() {
                Depth::Glance => reader.run(|key| way.glance(way.root(cx, state), key)),
                Depth::Walk => reader.run(|key| way.walk(way.root(cx, state), key)),
            });
            // A reader that can't be sent is dropped, and missed.
            drop(job);
        };
        let measured = |depth, threads, what| {
            bench.progress.step(what);
            reading(&bench.plan, &bench.work, depth, threads, carry).map(Figure::measured)
        };
        let read = [
            measured(Depth::Glance, 1, "reads, one process")?,
            measured(Depth::Glance, 2, "reads, two processes at once")?,
        ];
        let walk = [
            measured(Depth::Walk, 1, "walks, one process")?,
            measured(Depth::Walk, 2, "walks, two processes at once")?,
        ];
        Ok((read, walk))
    }

    /// Nanoseconds per send in a turn, to receivers that don't run: the only worker is the sender's.
    pub(crate) fn sends(&self, bench: &Bench) -> Result<Figure, String> {
        bench.progress.step("sends");
        let crew = self.crew(1)?;
        let sender = crew.spawn(1)?;
        self.give(bench, &crew, &sender)?;
        let receivers = crew.spawn(self.within(BATCH, MOST_RECEIVERS))?;
        let way = self.way;
        let round = || {
            let mut regions = Vec::new();
            if way == Way::Moved {
                regions.extend(receivers.iter().map(|_| Region::copy_of(self.table.root())));
            }
            let (tell, told) = channel();
            let to = receivers.clone();
            crew.expect(to.len());
            crew.run(sender[0], move |cx, state| {
                let sends = to.len() as u64;
                let ns = if way == Way::Moved {
                    per(sends, || to.into_iter().zip(regions).for_each(|(pid, region)| cx.send(pid, region)))
                } else {
                    let table = way.root(cx, state);
                    per(sends, || to.into_iter().for_each(|pid| cx.send(pid, table)))
                };
                // The row may have given up waiting.
                let _ = tell.send(ns);
            })?;
            let ns = told.recv_timeout(PATIENCE).map_err(|_| "the sender never answered")?;
            crew.held()?;
            let held = crew.ask(&receivers, move |_, state| way.version(state))?;
            crew.forget(&receivers)?;
            crew.ask(&receivers, |_, _| ())?;
            if held.iter().all(|&held| held == Some(0)) { Ok(ns) } else { Err("a table was lost on its way".into()) }
        };
        // The first round meets a cold allocator.
        round()?;
        repeated(&bench.plan, bench.plan.rounds * 10, round).map(Figure::measured)
    }

    /// Why so many processes can't have a table each, if they can't.
    pub(crate) fn too_many(&self, tables: usize) -> Option<String> {
        let bytes = tables.saturating_mul(2 * 8 * self.size.words);
        (bytes > ROOM).then(|| {
            format!(
                "{} tables, old and new, take {} GiB, and one figure may take {} GiB here",
                Figure::count(tables).human(),
                bytes.div_ceil(1 << 30),
                ROOM >> 30
            )
        })
    }
}

/// The processes' states are tables of this version, whole and right. (A few of them are read from end to end.)
pub(crate) fn check(bench: &Bench, crew: &Crew, pids: &[Pid], way: Way, expected: u64) -> Result<(), String> {
    const READ: usize = 8;
    let held = crew.ask(pids, move |_, state| way.version(state))?;
    if held.iter().any(|&held| held != Some(expected)) {
        return Err(format!("a process holds another version than {expected}"));
    }
    for &pid in pids.iter().step_by(pids.len().div_ceil(READ).max(1)) {
        let (tell, told) = channel();
        let work = Arc::clone(&bench.work);
        crew.run(pid, move |_, state| {
            // The row may have given up waiting.
            let _ = tell.send(way.sums(&work, state));
        })?;
        check_sums(bench, told.recv_timeout(PATIENCE).map_err(|_| "a process never answered")?)?;
    }
    Ok(())
}

/// Of all glances and all walks at a table.
pub(crate) fn sums<P: Place>(work: &Workload, table: Term<'_, P>) -> [u64; 2] {
    Way::Copied.sums(work, table)
}

pub(crate) fn check_sums(bench: &Bench, sums: [u64; 2]) -> Result<(), String> {
    let must = [Depth::Glance, Depth::Walk].map(|depth| bench.work.expected(depth));
    if sums == must { Ok(()) } else { Err(format!("the sums of what was read are {sums:x?}, and must be {must:x?}")) }
}

/// Microseconds that `f` takes, as a figure of a note.
pub(crate) fn us(bench: &Bench, mut f: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let timed = repeated(&bench.plan, bench.plan.rounds, || {
        let start = Instant::now();
        f()?;
        Ok(start.elapsed().as_secs_f64() * 1e6)
    });
    Ok(timed?.unwrap_or(f64::NAN))
}
