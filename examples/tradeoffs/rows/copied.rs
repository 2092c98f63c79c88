//! A table in each process's own heap: sent as a deep copy, or built for each and moved.
//!
//! A process reads its own heap and nothing else, so whoever may have to read the table holds one, idle or not: so many
//! idle processes are so many tables. A *replacement* sends the new version to each of them, once it has been told to let
//! go of the old one, and is over when the last of them holds it. The first version of the new table is built off the
//! clock; the others are part of what it costs:
//!
//! * *copied*: one process takes the new table in and sends it to the others, which copies it each time;
//! * *moved*: a region goes to one process only, so that the sender makes one for each, and moves it.
//!
//! The third way holds a reference in each heap and no table: *one binary, counted*. The table is encoded as bytes, which
//! lie outside of all heaps, and a send counts one more reference. Every read decodes.

use std::time::{Duration, Instant};

use shared_term::{Pid, Region};

use crate::crew::{Crew, FORGET, why};
use crate::measure::replacing;
use crate::pulse::Pulse;
use crate::rows::terms::{Subject, Way, check, us};
use crate::rows::{Bench, Clock};
use crate::table::{Figure, HOLDERS, IDLE, Row};
use crate::term_table;

pub(crate) const COPIED: &str = "copy for every process";
pub(crate) const MOVED: &str = "moved region";
pub(crate) const BINARY: &str = "one binary, counted";

pub(crate) fn copied(bench: &Bench) -> Result<Row, String> {
    let row = run(bench, COPIED, Way::Copied, copies)?;
    let note = format!("A send copies the table, and the sender pays. {}", row.note);
    Ok(Row { note, ..row })
}

pub(crate) fn moved(bench: &Bench) -> Result<Row, String> {
    let row = run(bench, MOVED, Way::Moved, moves)?;
    let building = us(bench, || term_table::region(&bench.document, 0).map(drop))?;
    let note = format!(
        "A send hands the region over, whatever its size, and the sender has it no more. Each receiver needs a region of \
         its own: to build one from the document takes {building:.0} us, off the clock of the sends. {}",
        row.note
    );
    Ok(Row { note, ..row })
}

pub(crate) fn binary(bench: &Bench) -> Result<Row, String> {
    let row = run(bench, BINARY, Way::Binary, copies)?;
    let encoding = us(bench, || Way::Binary.table(bench, 0).map(drop))?;
    let note = format!(
        "A send counts one more reference to bytes outside of all heaps, and each read decodes them. To encode the \
         document takes {encoding:.0} us, off the clock. The bytes are freed when the last holder's heap has let go: \
         here each is told to. One that is not, and does not collect, keeps all of it."
    );
    Ok(Row { note, ..row })
}

/// Sends the new version to all of `pids`, which hold the old one.
type Replace = fn(&Crew, &[Pid], Region) -> Result<(), String>;

fn run(bench: &Bench, name: &'static str, way: Way, replace: Replace) -> Result<Row, String> {
    let subject = Subject::new(bench, way)?;
    let (ns_read, ns_walk) = subject.reads(bench)?;
    let ns_send = subject.sends(bench)?;
    let replaced = |processes: usize, paused: bool| {
        if way != Way::Binary
            && let Some(reason) = subject.too_many(processes)
        {
            return Ok([Figure::none(reason.clone()), Figure::none(reason)]);
        }
        bench.progress.step(&format!("replacing, {processes} processes with a table each"));
        replacements(bench, &subject, processes, replace, paused)
    };
    let alone = |processes| replaced(processes, false).map(|[us, _]| us);
    let [_, few, many] = IDLE;
    let [some, most] = HOLDERS;
    let few_idle = alone(few)?;
    // Idle processes that can read the table hold it here.
    let holders = if few == most { few_idle.clone() } else { alone(most)? };
    let [pause_us, collections] = replaced(most, true)?;
    Ok(Row {
        name,
        words: Figure::count(subject.words()),
        bytes_per_process: Figure::Is(subject.bytes_per_process),
        bytes_kept: subject.kept(bench)?,
        ns_read,
        ns_walk,
        ns_send,
        replace_us: [alone(1)?, few_idle, alone(many)?, alone(some)?, holders],
        pause_us,
        collections,
        note: format!(
            "Who may have to read the table holds one, so that idle processes are holders; the first column is about one \
             holder and nobody else. {} texts of more than 64 bytes ({} bytes) lie outside the heaps, and all tables share them.",
            subject.size.outside, subject.size.outside_bytes
        ),
    })
}

/// Microseconds, and how often a heap was collected for it.
fn replacements(
    bench: &Bench,
    subject: &Subject,
    processes: usize,
    replace: Replace,
    paused: bool,
) -> Result<[Figure; 2], String> {
    let crew = Crew::new(2, subject.size.words)?;
    let pids = crew.spawn(processes)?;
    let clock = if paused { Clock::beside(Pulse::start(&crew)?) } else { Clock::default() };
    let send = |version| -> Result<Duration, String> {
        let new = subject.way.table(bench, version)?;
        let took = clock.time(|| {
            crew.expect(pids.len());
            let start = Instant::now();
            replace(&crew, &pids, new)?;
            Ok(crew.held()?.duration_since(start))
        })?;
        check(bench, &crew, &pids, subject.way, version)?;
        Ok(took)
    };
    let before = crew.collections(&pids)?;
    send(0)?;
    let took = replacing(&bench.plan, 1, send)?;
    Ok([Figure::measured(took), clock.each(crew.collections(&pids)? - before)])
}

fn copies(crew: &Crew, pids: &[Pid], new: Region) -> Result<(), String> {
    let Some((&first, others)) = pids.split_first() else { return Ok(()) };
    crew.forget(&[first])?;
    crew.rt.send(first, new).map_err(why)?;
    let others = others.to_vec();
    crew.run(first, move |cx, state| {
        for pid in others {
            cx.send(pid, cx.atom(FORGET));
            cx.send(pid, state);
        }
    })
}

fn moves(crew: &Crew, pids: &[Pid], new: Region) -> Result<(), String> {
    let Some((&last, others)) = pids.split_last() else { return Ok(()) };
    for &pid in others {
        crew.forget(&[pid])?;
        crew.rt.send(pid, Region::copy_of(new.root())).map_err(why)?;
    }
    crew.forget(&[last])?;
    crew.rt.send(last, new).map_err(why)
}
