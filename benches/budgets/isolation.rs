//! What a process feels of another's collections.
//!
//! A gap between two turns is the library's if it locks, waits or collects, and the machine's if the operating system takes
//! the thread off for another program. Both workers are busy here and the machine may have no third core, so the second
//! kind is in every figure, and four milliseconds long. Each run is therefore a [`child`] that goes ahead of all others,
//! where that is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use shared_term::prelude::*;

use crate::child;
use crate::ours::{text, threads, wait};
use crate::rows::{Plan, Sampler};
use crate::timing::{nanoseconds, per};

/// How long the turns of a process were apart. Of a fixed size: memory that is touched for the first time makes a gap itself.
struct Gaps {
    /// Of gaps that have their five leading bits in common: how many, and nanoseconds of all.
    alike: Box<[(u64, u64)]>,
}

/// Kinds of gaps that begin with the same bit.
const FINER: u32 = 16;

impl Gaps {
    fn new() -> Gaps {
        Gaps { alike: vec![(0, 0); 64 * FINER as usize].into() }
    }

    fn add(&mut self, gap: Duration) {
        let gap = u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX).max(u64::from(FINER));
        let octave = gap.ilog2();
        let alike =
            &mut self.alike[(octave * FINER) as usize + (gap >> (octave - FINER.ilog2())) as usize % FINER as usize];
        alike.0 += 1;
        alike.1 += gap;
    }

    /// The gap that a moment in a thousand lies in, or in a longer one. Of moments, not of turns: what comes at a random
    /// moment meets the long gaps more often than the short ones.
    fn p999(&self) -> Option<f64> {
        let mut left = self.alike.iter().map(|(_, time)| time).sum::<u64>() / 1000;
        let (n, time) = self.alike.iter().rev().filter(|(n, _)| *n > 0).find(|(_, time)| {
            let found = left < *time;
            left = left.saturating_sub(*time);
            found
        })?;
        Some(per(nanoseconds(Duration::from_nanos(*time)), *n))
    }
}

/// Asks itself for the next turn, and keeps how long that took.
struct Metronome {
    last: Option<Instant>,
    until: Instant,
    gaps: Gaps,
    result: Sender<Gaps>,
}

impl Process for Metronome {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.gaps.add(now - last);
        }
        if now >= self.until {
            let gaps = std::mem::replace(&mut self.gaps, Gaps::new());
            self.result.send(gaps).map_err(|_| Exit::msg("nobody wants the gaps"))?;
            return Ok(Stop(Exit::NORMAL));
        }
        cx.send(cx.me(), message);
        Ok(Next(state))
    }
}

/// Fills its heap with 100 MB that live, which is collected at the end of the turn, and starts again.
fn hoard<'h>(cx: Cx<'h>, state: Term<'h>, stop: &AtomicU64) -> Turn<'h> {
    const CELLS: u64 = 100_000_000 / 16;
    if stop.load(Ordering::Relaxed) > 0 {
        return Ok(Stop(Exit::NORMAL));
    }
    let full = state.as_int().is_none();
    cx.send(cx.me(), cx.nil());
    Ok(Next(if full { cx.int(0) } else { cx.list(0..CELLS) }))
}

/// In a child: the 99.9th percentile of the gap between two turns of a process, while another collects or idles, over so many
/// milliseconds.
pub(crate) fn gap(milliseconds: u64, collecting: bool) -> Result<f64, String> {
    let rt = threads()?;
    let stop = Arc::new(AtomicU64::new(0));
    if collecting {
        let stop = Arc::clone(&stop);
        let hoarder = rt.spawn_fn(|cx| cx.int(0), move |cx, state, _| hoard(cx, state, &stop)).map_err(text)?;
        rt.send_new(hoarder, |h| h.nil()).map_err(text)?;
    }
    let (result, gaps) = mpsc::channel();
    let until = Instant::now() + Duration::from_millis(milliseconds);
    let metronome = Metronome { last: None, until, gaps: Gaps::new(), result };
    let metronome = rt.spawn(metronome).map_err(text)?;
    rt.send_new(metronome, |h| h.nil()).map_err(text)?;
    let gaps = wait(&gaps)?;
    stop.store(1, Ordering::Relaxed);
    while rt.processes() > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    gaps.p999().ok_or_else(|| "no turn was taken".to_string())
}

fn sampler(work: &'static str, plan: Plan) -> Result<Sampler, String> {
    let time = 10 * plan.batch;
    let mut sample = child::sampler(work, u64::try_from(time.as_millis()).map_err(text)?, true)?;
    Ok(Box::new(move || {
        // Who goes ahead of all others has, by default, 95 % of a second; after a rest it has not used them up.
        thread::sleep(2 * time);
        sample()
    }))
}

/// The 99.9th percentile of a process's turn latency while another process, on a second worker, collects 100 MB.
pub(crate) fn p999(plan: Plan) -> Result<Sampler, String> {
    sampler("gaps-collecting", plan)
}

/// As [`p999`] with the other process idle.
pub(crate) fn p999_idle(plan: Plan) -> Result<Sampler, String> {
    sampler("gaps-idle", plan)
}
