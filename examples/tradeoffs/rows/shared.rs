//! One heap for all processes, collected while all of them stand still (see [`shared_heap`](crate::shared_heap)).
//!
//! * A *send* passes a handle.
//! * A *read* follows a pointer, as in the rows that copy: the terms are the same.
//! * A *replacement* takes the new table in, tells the holders, and collects: the old table's memory comes back when the
//!   heap of everybody has been copied. The processes that hold nothing are visited too. Nothing else is in the heap here;
//!   every live word that was there would be copied with each collection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alloc::weigh;
use crate::mini_runtime::{self, Letter, MiniRuntime};
use crate::rows::minis::{RECEIVERS, Stage, WEIGHED, ask, check_term, read_term, reads, replacements, sends};
use crate::rows::{Bench, Clock};
use crate::shared_heap::{Handle, SharedHeap};
use crate::table::{Figure, KEEPERS, Row};
use crate::term_table::{self, version};

pub(crate) const NAME: &str = "one shared heap";

type Process = mini_runtime::Process<Handle>;
type Runtime = MiniRuntime<Handle>;

pub(crate) fn run(bench: &Bench) -> Result<Row, String> {
    let heap = Arc::new(SharedHeap::default());
    let table = heap.adopt(term_table::region(&bench.document, 0)?);
    let runtime = Runtime::stoppable(2);
    let readers = heap.spawn(2);
    hold(&runtime, &readers, table);
    ask(&runtime, &readers, |_| ())?;
    // What a collection moved is read, not what was built.
    let words = heap.collect(&runtime, Some(table))?.words;
    let space = Arc::clone(&heap);
    let (ns_read, ns_walk) = reads(bench, &runtime, &readers, move |&table, reader| {
        // A handle that stands for nothing is missed, with its reader.
        space.read(table, |table| read_term(table, reader));
    })?;
    let ns_send = sends(bench, &heap.spawn(RECEIVERS), |_| table)?;
    let (replace_us, pause_us) = replacements::<World>(bench)?;
    bench.progress.step("bytes per process");
    Ok(Row {
        name: NAME,
        words: Figure::count(words),
        bytes_per_process: Figure::Is(bytes_per_process(table)),
        bytes_kept: Figure::Is(bytes_kept(bench)?),
        ns_read,
        ns_walk,
        ns_send,
        replace_us,
        pause_us,
        collections: Figure::count(1),
        note:
            "Handles are not counted: only a collection knows who holds what. It stops every process, visits each, and \
               copies all that is alive, whoever it belongs to; with more in the heap, each replacement costs more."
                .into(),
    })
}

fn hold(runtime: &Runtime, processes: &[Arc<Process>], table: Handle) {
    for process in processes {
        runtime.send(process, Letter::Hold(table));
    }
}

/// Of a process alone: it holds a handle.
fn bytes_per_process(table: Handle) -> f64 {
    let runtime = Runtime::stoppable(0);
    let heap = SharedHeap::default();
    let (holders, bytes) = weigh(|| {
        let holders = heap.spawn(WEIGHED);
        hold(&runtime, &holders, table);
        runtime.run_until_idle();
        holders
    });
    bytes as f64 / holders.len() as f64
}

/// The owner's handle is gone, and a collection has found the holders'.
fn bytes_kept(bench: &Bench) -> Result<f64, String> {
    let runtime = Runtime::stoppable(0);
    let heap = SharedHeap::default();
    let holders = heap.spawn(KEEPERS);
    let (collected, bytes) = weigh(|| {
        let table = heap.adopt(term_table::region(&bench.document, 0)?);
        hold(&runtime, &holders, table);
        runtime.run_until_idle();
        heap.collect(&runtime, None)
    });
    collected?;
    Ok(bytes as f64)
}

struct World {
    runtime: Runtime,
    heap: Arc<SharedHeap>,
    holders: Vec<Arc<Process>>,
    current: Handle,
}

impl Stage for World {
    type Held = Handle;

    fn new(bench: &Bench, idle: usize, holders: usize) -> Result<Self, String> {
        let (runtime, heap) = (Runtime::stoppable(2), Arc::new(SharedHeap::default()));
        let current = heap.adopt(term_table::region(&bench.document, 0)?);
        let holders = heap.spawn(holders);
        heap.spawn(idle);
        hold(&runtime, &holders, current);
        ask(&runtime, &holders, |_| ())?;
        heap.collect(&runtime, Some(current))?;
        Ok(Self { runtime, heap, holders, current })
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn bystander(&self) -> (Arc<Process>, Handle) {
        let small = self.heap.adopt(shared_term::Region::build(|h| h.nil()));
        let process = self.heap.spawn(1).remove(0);
        (process, small)
    }

    fn replace(&mut self, bench: &Bench, version: u64, clock: &Clock) -> Result<Duration, String> {
        let new = term_table::region(&bench.document, version)?;
        let took = clock.time(|| {
            let start = Instant::now();
            self.current = self.heap.adopt(new);
            hold(&self.runtime, &self.holders, self.current);
            ask(&self.runtime, &self.holders, |_| ())?;
            let collected = self.heap.collect(&self.runtime, Some(self.current))?;
            if collected.freed == 1 {
                Ok(start.elapsed())
            } else {
                Err(format!("not one table was freed: {collected:?}"))
            }
        })?;
        let current = self.current;
        let held = ask(&self.runtime, &self.holders, move |&held| held == current)?;
        if held.contains(&false) {
            return Err(format!("a process still holds an older version than {version}"));
        }
        match self.heap.read(current, version_of) {
            Some(Some(published)) if published == version => Ok(took),
            _ => Err(format!("version {version} is not published")),
        }
    }

    fn check(&self, bench: &Bench) -> Result<(), String> {
        self.heap.read(self.current, |table| check_term(bench, table)).ok_or("nothing is published")?
    }
}

fn version_of(table: shared_term::TermRef<'_>) -> Option<u64> {
    version(table)
}
