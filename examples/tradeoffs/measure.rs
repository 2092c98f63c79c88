//! Clocks. Every figure is a median over rounds, and every round's answers are checked.

use std::hint::black_box;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::document::Key;
use crate::workload::{Depth, Workload};

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// One round of a figure in nanoseconds.
    pub(crate) window: Duration,
    pub(crate) rounds: usize,
    /// How many times a table is replaced for one figure, at most.
    pub(crate) replacements: usize,
    /// When this is over, a figure that takes long makes do with what it has.
    pub(crate) enough: Duration,
    /// But with no fewer measurements than these.
    pub(crate) fewest: usize,
}

impl Plan {
    pub(crate) const QUICK: Self = Self {
        window: Duration::from_millis(20),
        rounds: 5,
        replacements: 5,
        enough: Duration::from_millis(100),
        fewest: 2,
    };
    pub(crate) const FULL: Self = Self {
        window: Duration::from_millis(200),
        rounds: 9,
        replacements: 21,
        enough: Duration::from_secs(3),
        fewest: 3,
    };
}

/// How long a row waits for an answer before it gives up: far more than anything measured here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The middle one; between the two middle ones where they are even.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    let upper = *figures.get(half)?;
    Some(if figures.len() % 2 == 1 { upper } else { f64::midpoint(figures[half - 1], upper) })
}

/// Nanoseconds per call of `f`, in batches long enough for the clock. For what can be repeated without end.
pub(crate) fn ns_per_call(plan: &Plan, mut f: impl FnMut()) -> Option<f64> {
    let mut batch = 1_u32;
    let calls = loop {
        let start = Instant::now();
        (0..batch).for_each(|_| f());
        let took = start.elapsed();
        if took >= plan.window / 8 || batch == u32::MAX {
            // The batch that fills a window at this pace.
            let fills = f64::from(batch) * plan.window.as_secs_f64() / took.as_secs_f64();
            break (fills as u32).max(1);
        }
        batch = batch.saturating_mul(4);
    };
    median((0..plan.rounds).map(|_| per(calls.into(), || (0..calls).for_each(|_| f()))).collect())
}

/// Nanoseconds that `f` takes for each of the `ops` operations it does.
pub(crate) fn per(ops: u64, f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    ns_each(start.elapsed(), ops)
}

#[expect(clippy::cast_precision_loss, reason = "counts of operations stay below 2^52")]
fn ns_each(took: Duration, ops: u64) -> f64 {
    took.as_secs_f64() * 1e9 / ops as f64
}

/// Microseconds to replace the table: `replace` does it once, with the version given, and says how long it took until the
/// old one was freed.
pub(crate) fn replacing(
    plan: &Plan,
    first_version: u64,
    mut replace: impl FnMut(u64) -> Result<Duration, String>,
) -> Result<Option<f64>, String> {
    let mut next = first_version;
    repeated(plan, plan.replacements, || {
        let version = next;
        next += 1;
        Ok(replace(version)?.as_secs_f64() * 1e6)
    })
}

/// The median of up to `most` figures.
pub(crate) fn repeated(
    plan: &Plan,
    most: usize,
    mut figure: impl FnMut() -> Result<f64, String>,
) -> Result<Option<f64>, String> {
    let began = Instant::now();
    let mut figures = Vec::with_capacity(most);
    while figures.len() < most && (figures.len() < plan.fewest || began.elapsed() < plan.enough) {
        figures.push(figure()?);
    }
    Ok(median(figures))
}

/// Work for one reading process: the row carries it there and calls [`run`](Self::run) in a turn.
pub(crate) struct Reader {
    work: Arc<Workload>,
    depth: Depth,
    window: Duration,
    /// All readers of a round start together, so that each is disturbed by the others throughout.
    start: Arc<Barrier>,
    done: Sender<Result<f64, String>>,
}

impl Reader {
    /// Looks keys up until the window is over; `read` gives a value's glance or walk, as the depth asks. Blocks until the
    /// other readers of the round are there too.
    pub(crate) fn run(self, mut read: impl FnMut(&Key) -> u64) {
        self.start.wait();
        let start = Instant::now();
        let mut reads = 0;
        let expected = self.work.expected(self.depth);
        let answer = loop {
            let sum = self.work.pass(&mut read);
            reads += self.work.keys.len() as u64;
            if sum != expected {
                break Err(format!("the sum of what was read is {sum:#x}, and must be {expected:#x}"));
            }
            let took = start.elapsed();
            if took >= self.window {
                break Ok(ns_each(took, reads));
            }
        };
        // The row gave up waiting: there is nobody to tell.
        let _ = self.done.send(answer);
    }

    pub(crate) fn depth(&self) -> Depth {
        self.depth
    }
}

/// Nanoseconds per read and thread with `threads` readers at once; `carry` takes each reader to a process of its own.
/// The processes need as many workers as there are readers.
pub(crate) fn reading(
    plan: &Plan,
    work: &Arc<Workload>,
    depth: Depth,
    threads: usize,
    mut carry: impl FnMut(usize, Reader),
) -> Result<Option<f64>, String> {
    let mut figures = Vec::with_capacity(plan.rounds * threads);
    for _ in 0..plan.rounds {
        let (done, answers) = channel();
        let start = Arc::new(Barrier::new(threads));
        for nth in 0..threads {
            let (work, start, done) = (Arc::clone(work), Arc::clone(&start), done.clone());
            carry(nth, Reader { work, depth, window: plan.window, start, done });
        }
        drop(done);
        for _ in 0..threads {
            figures.push(answers.recv_timeout(PATIENCE).map_err(|_| "a reader never answered")??);
        }
    }
    Ok(median(figures))
}

/// Nanoseconds per add and thread with `threads` threads at once, and how many were made in all. `adder` is called once on
/// each thread for what adds there.
pub(crate) fn adding<A: Fn()>(plan: &Plan, threads: usize, adder: impl Fn() -> A + Sync) -> (Option<f64>, u64) {
    const BATCH: u64 = 4_096;
    let (mut figures, mut made) = (Vec::new(), 0);
    let count = |start: &Barrier| {
        let add = adder();
        start.wait();
        let began = Instant::now();
        let mut adds = 0;
        loop {
            (0..BATCH).for_each(|_| black_box(&add)());
            adds += BATCH;
            let took = began.elapsed();
            if took >= plan.window {
                return (ns_each(took, adds), adds);
            }
        }
    };
    for _ in 0..plan.rounds {
        let start = Barrier::new(threads);
        std::thread::scope(|scope| {
            let adders: Vec<_> = (0..threads).map(|_| scope.spawn(|| count(&start))).collect();
            for adder in adders {
                let (figure, adds) = adder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                figures.push(figure);
                made += adds;
            }
        });
    }
    (median(figures), made)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::checksum;
    use crate::document::{Doc, Document};

    const SHORT: Plan = Plan {
        window: Duration::from_millis(2),
        rounds: 3,
        replacements: 4,
        enough: Duration::from_secs(1),
        fewest: 3,
    };

    #[test]
    fn the_median_of_odd_even_and_none() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_call_that_sleeps_takes_as_long() {
        let ns = ns_per_call(&SHORT, || std::thread::sleep(Duration::from_millis(1))).unwrap();
        assert!(ns >= 1e6, "{ns}");
    }

    #[test]
    fn readers_run_together_and_are_checked() {
        let document = Arc::new(Document::shipped().unwrap());
        let work = Workload::new(&document);
        let spawn = |wrong: u64| {
            let document = Arc::clone(&document);
            move |_: usize, reader: Reader| {
                let document = Arc::clone(&document);
                assert_eq!(reader.depth(), Depth::Walk);
                std::thread::spawn(move || {
                    reader.run(|key| wrong ^ document.get(key).map_or(checksum::MISS, Doc::walk));
                });
            }
        };
        assert!(reading(&SHORT, &work, Depth::Walk, 2, spawn(0)).is_ok_and(|ns| ns > Some(0.0)));
        assert!(reading(&SHORT, &work, Depth::Walk, 2, spawn(1)).is_err_and(|e| e.contains("must be")));
        assert!(reading(&SHORT, &work, Depth::Walk, 1, |_, _| ()).is_err_and(|e| e.contains("never answered")));
    }

    #[test]
    fn each_replacement_has_a_version_of_its_own() {
        let mut versions = Vec::new();
        let replaced = replacing(&SHORT, 5, |version| {
            versions.push(version);
            Ok(Duration::from_micros(version))
        });
        assert_eq!(versions, [5, 6, 7, 8]);
        assert!(replaced.unwrap().is_some_and(|us| (us - 6.5).abs() < 1e-6));
        assert_eq!(replacing(&SHORT, 0, |_| Err("no".into())), Err("no".into()));
    }

    #[test]
    fn what_takes_long_is_repeated_a_few_times() {
        let (hasty, mut made) = (Plan { enough: Duration::ZERO, ..SHORT }, 0.0);
        let figure = repeated(&hasty, 100, || {
            made += 1.0;
            Ok(made)
        });
        assert_eq!((figure, made), (Ok(Some(2.0)), 3.0));
        assert_eq!(repeated(&hasty, 1, || Ok(5.0)), Ok(Some(5.0)));
    }

    #[test]
    fn adds_are_counted() {
        let cell = AtomicU64::new(0);
        let (ns, made) = adding(&SHORT, 2, || {
            || {
                cell.fetch_add(1, Relaxed);
            }
        });
        assert!(ns > Some(0.0));
        assert_eq!(made, cell.into_inner());
    }
}
