//! The table as a persistent term: copied once into literal memory, read by pointer, freed by a global collection.
//!
//! Two ways to use it:
//!
//! * *got*: each read gets the term anew and nobody keeps it. A replacement is a `put`, and is over when the old area is
//!   freed. Idle processes hold nothing and are passed over. The figure with holders is about processes which did keep the
//!   old term, and are told nothing: the collection makes each of them copy what it still reaches, here all of it.
//! * *kept*: the state of each holder is the term. The new version is put at another key, the holders are told to change
//!   over, and when they have, the old version is erased: nobody reaches it any more, and nobody copies.
//!
//! The new table is built off the clock. Copying it into literal memory is part of a `put`.

use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use shared_term::persistent::{Report, Subscription};
use shared_term::{Atom, PersistentTerms, Pid, Region};

use crate::crew::{Crew, why};
use crate::measure::{PATIENCE, replacing};
use crate::pulse::Pulse;
use crate::rows::terms::{Subject, TABLE, Way, check, check_sums, sums};
use crate::rows::{Bench, Clock};
use crate::table::{Figure, HOLDERS, IDLE, Row};
use crate::term_table::{self, version};

pub(crate) const GOT: &str = "persistent term";
pub(crate) const KEPT: &str = "persistent term, kept";

/// The most holders of a figure.
const MOST: usize = HOLDERS[1];

pub(crate) fn got(bench: &Bench) -> Result<Row, String> {
    let note = format!(
        "Each read gets the term anew, and nobody sends it: a send of it passes a pointer on. Idle processes hold nothing \
         and are passed over. The {} holders kept the old term and were told nothing: each copied all of it into its \
         heap.",
        Figure::count(MOST).human()
    );
    run(bench, GOT, Way::Got, got_replaced, note)
}

pub(crate) fn kept(bench: &Bench) -> Result<Row, String> {
    let note = "The term is the state of its readers. The new version is put at another key, the holders are told to \
                change over, and then the old one is erased: nobody copies.";
    run(bench, KEPT, Way::Kept, kept_replaced, note.into())
}

/// Microseconds to replace the table until the old one is freed.
type Replace = fn(&Bench, &Stage, &Clock) -> Result<Option<f64>, String>;

fn run(bench: &Bench, name: &'static str, way: Way, replace: Replace, note: String) -> Result<Row, String> {
    let subject = Subject::new(bench, way)?;
    let (ns_read, ns_walk) = subject.reads(bench)?;
    let ns_send = subject.sends(bench)?;
    let measured = |idle, holders, paused: bool| {
        // Holders that are told nothing end with a copy each.
        if let Some(reason) = subject.too_many(if way == Way::Got { holders } else { 0 }) {
            return Ok([Figure::none(reason.clone()), Figure::none(reason)]);
        }
        bench.progress.step(&format!("replacing, {idle} idle processes, {holders} holders"));
        let stage = Stage::new(subject.size.words, idle, holders)?;
        let clock = if paused { Clock::beside(Pulse::start(&stage.crew)?) } else { Clock::default() };
        let before = stage.crew.collections(&stage.holders)?;
        let took = replace(bench, &stage, &clock)?;
        Ok::<_, String>([Figure::measured(took), clock.each(stage.crew.collections(&stage.holders)? - before)])
    };
    let alone = |idle, holders| measured(idle, holders, false).map(|[us, _]| us);
    let [pause_us, collections] = measured(0, MOST, true)?;
    let [nobody, few, many] = IDLE;
    Ok(Row {
        name,
        words: Figure::count(subject.size.words),
        bytes_per_process: Figure::Is(subject.bytes_per_process),
        ns_read,
        ns_walk,
        ns_send,
        bytes_kept: subject.kept(bench)?,
        replace_us: [alone(nobody, 0)?, alone(few, 0)?, alone(many, 0)?, alone(0, HOLDERS[0])?, alone(0, MOST)?],
        pause_us,
        collections,
        note,
    })
}

/// A store whose table is replaced, and the processes that hold it.
struct Stage {
    crew: Crew,
    holders: Vec<Pid>,
    /// Words of the table.
    words: usize,
    freed: Receiver<(Instant, Report)>,
    _subscription: Subscription,
}

impl Stage {
    fn new(words: usize, idle: usize, holders: usize) -> Result<Self, String> {
        let crew = Crew::new(2, words)?;
        crew.spawn(idle)?;
        let holders = crew.spawn(holders)?;
        let (tell, freed) = channel();
        let subscription = crew.rt.persistent().on_collection(move |report| {
            // The row may have given up waiting.
            let _ = tell.send((Instant::now(), report.clone()));
        });
        Ok(Self { crew, holders, words, freed, _subscription: subscription })
    }

    fn store(&self) -> &PersistentTerms {
        self.crew.rt.persistent()
    }

    /// Makes the holders hold the persistent term at `key`.
    fn hold(&self, key: Atom) -> Result<(), String> {
        self.crew.give(&self.holders, || Ok(Region::build(|h| h.atom(key))))
    }

    /// Waits until a table is freed. That must have made so many holders copy it, and have freed nothing else.
    fn freed(&self, holders: usize) -> Result<Instant, String> {
        let (end, report) = self.freed.recv_timeout(PATIENCE).map_err(|_| "a replaced table was never freed")?;
        let did = [report.areas, report.words, report.holders, report.evacuated_words];
        let must = [1, self.words, holders, holders * self.words];
        if did == must {
            Ok(end)
        } else {
            Err(format!("areas and words freed, holders, and words they copied, are {did:?} and must be {must:?}"))
        }
    }

    /// What is published, and what the holders have.
    fn check(&self, bench: &Bench, key: Atom, published: u64, held: u64) -> Result<(), String> {
        self.store().read(key, |table| match table {
            Some(table) if version(table) == Some(published) => check_sums(bench, sums(&bench.work, table)),
            _ => Err(format!("version {published} is not published")),
        })?;
        check(bench, &self.crew, &self.holders, Way::Kept, held)
    }
}

fn got_replaced(bench: &Bench, stage: &Stage, clock: &Clock) -> Result<Option<f64>, String> {
    stage.store().put(TABLE, term_table::region(&bench.document, 0)?).map_err(why)?;
    replacing(&bench.plan, 1, |version| {
        stage.crew.forget(&stage.holders)?;
        stage.hold(TABLE)?;
        let new = term_table::region(&bench.document, version)?;
        let took = clock.time(|| {
            let start = Instant::now();
            stage.store().put(TABLE, new).map_err(why)?;
            Ok(stage.freed(stage.holders.len())?.duration_since(start))
        })?;
        stage.check(bench, TABLE, version, version - 1)?;
        Ok(took)
    })
}

fn kept_replaced(bench: &Bench, stage: &Stage, clock: &Clock) -> Result<Option<f64>, String> {
    /// Two versions are published at once.
    const KEYS: [Atom; 2] = [Atom::inline("even"), Atom::inline("odd")];
    let key = |version: u64| KEYS[usize::from(version % 2 == 1)];
    stage.store().put(key(0), term_table::region(&bench.document, 0)?).map_err(why)?;
    stage.hold(key(0))?;
    replacing(&bench.plan, 1, |version| {
        let new = term_table::region(&bench.document, version)?;
        let took = clock.time(|| {
            let start = Instant::now();
            stage.store().put(key(version), new).map_err(why)?;
            stage.hold(key(version))?;
            stage.store().erase(key(version - 1));
            Ok(stage.freed(0)?.duration_since(start))
        })?;
        stage.check(bench, key(version), version, version)?;
        Ok(took)
    })
}
