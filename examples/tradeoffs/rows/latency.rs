//! How long a small process is kept from running by the collection of somebody else's 100 MB.
//!
//! Two workers. On one of them a process with next to nothing takes turn after turn; on the other another process fills its
//! heap, has it collected, drops it, and starts again. Where each process has a heap, that is its own affair. Where there is
//! one heap, nobody runs while it is collected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use shared_term::prelude::*;

use crate::crew::{Crew, why};
use crate::mini_runtime::{Letter, MiniRuntime};
use crate::pulse::Pulse;
use crate::rows::Bench;
use crate::shared_heap::SharedHeap;
use crate::table::{LatencyRow, Quantiles};

pub(crate) const ALONE: &str = "nobody else runs";
pub(crate) const ISOLATED: &str = "a heap of its own collects";
pub(crate) const SHARED: &str = "one shared heap collects";

/// List cells of two words.
const CELLS: i64 = 100_000_000 / 16;

/// Fills its heap, which is collected when the turn ends, and lets go of it in the next.
struct Hoarder {
    stop: Arc<AtomicBool>,
}

impl Process for Hoarder {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Again(state))
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        if self.stop.load(Relaxed) {
            return Ok(Stop(Exit::NORMAL));
        }
        Ok(Again(if state.is_nil() { cx.list(0..CELLS) } else { cx.nil() }))
    }
}

/// Stops what runs on another worker when the figure is taken, or can't be.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

pub(crate) fn alone(bench: &Bench) -> Result<LatencyRow, String> {
    library(bench, ALONE, false, "What the machine itself does to a process, and the other programs on it.")
}

pub(crate) fn isolated(bench: &Bench) -> Result<LatencyRow, String> {
    let note = "Another process, on the other worker, collects 100 MB again and again: what is shared is memory bandwidth, \
                the allocator and the cores.";
    library(bench, ISOLATED, true, note)
}

fn library(bench: &Bench, name: &'static str, collects: bool, note: &str) -> Result<LatencyRow, String> {
    bench.progress.step("gaps between turns");
    let crew = Crew::new(2, 10)?;
    let stop = StopOnDrop(Arc::default());
    if collects {
        let hoarder = crew.rt.spawn(Hoarder { stop: Arc::clone(&stop.0) }).map_err(why)?;
        crew.rt.send_new(hoarder, |h| h.nil()).map_err(why)?;
    }
    let beating = Pulse::start(&crew)?;
    let gaps = beating.gaps_during(|| {
        std::thread::sleep(bench.plan.window * 10);
        Ok(())
    })?;
    Ok(LatencyRow { name, quantiles: Quantiles::of(&gaps), note: note.into() })
}

pub(crate) fn shared(bench: &Bench) -> Result<LatencyRow, String> {
    bench.progress.step("gaps between turns");
    let (runtime, heap) = (MiniRuntime::stoppable(2), SharedHeap::default());
    let small = heap.adopt(Region::build(|h| h.nil()));
    let [bystander, hoarder] = &heap.spawn(2)[..] else { return Err("two processes were asked for".into()) };
    let beating = Pulse::start_mini(&runtime, bystander, small)?;
    let gaps = beating.gaps_during(|| {
        let began = Instant::now();
        let mut words = Vec::new();
        while began.elapsed() < bench.plan.window * 10 {
            let hoard = heap.adopt(Region::build(|h| h.list(0..CELLS)));
            runtime.send(hoarder, Letter::Hold(hoard));
            words.push(heap.collect(&runtime, Some(hoard))?.words);
            runtime.send(hoarder, Letter::Forget);
        }
        let least = 2 * CELLS as usize;
        if words.iter().all(|&words| words >= least) { Ok(()) } else { Err("the hoard was lost".into()) }
    })?;
    let note = "The same, where all processes have their data in one heap: a collection stops everybody.";
    Ok(LatencyRow { name: SHARED, quantiles: Quantiles::of(&gaps), note: note.into() })
}
