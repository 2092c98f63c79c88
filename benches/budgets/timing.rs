//! Clocks, loops, and what is kept of several runs.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Nanoseconds that `work` takes.
pub(crate) fn timed<R>(work: impl FnOnce() -> R) -> f64 {
    let start = Instant::now();
    black_box(work());
    nanoseconds(start.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "no run takes the 104 days from which on a nanosecond is lost")]
pub(crate) fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// `total / n`
#[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^53")]
pub(crate) fn per(total: f64, n: u64) -> f64 {
    total / n as f64
}

/// Nanoseconds that `n` operations take, without the loop.
pub(crate) fn net_of<R>(n: u64, mut op: impl FnMut(u64) -> R) -> f64 {
    let empty = looped(n, &mut |i| i);
    looped(n, &mut op) - empty
}

/// Runs an operation in a loop that is long enough for the clock. The length is found in the first run and kept, so
/// that all runs do the same.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    length: Duration,
    n: u64,
}

impl Batch {
    pub(crate) fn new(length: Duration) -> Batch {
        Batch { length, n: 0 }
    }

    /// Nanoseconds per operation, without the loop: an empty loop of the same shape is subtracted.
    pub(crate) fn net<R>(&mut self, mut op: impl FnMut(u64) -> R) -> f64 {
        self.calibrate(&mut op);
        per(net_of(self.n, op), self.n)
    }

    /// Nanoseconds per operation, with the loop. For rows whose operation is about as dear as the loop: it runs beside
    /// the loop's own instructions rather than after them, and a subtraction would leave nothing but noise.
    pub(crate) fn gross<R>(&mut self, mut op: impl FnMut(u64) -> R) -> f64 {
        self.calibrate(&mut op);
        per(looped(self.n, &mut op), self.n)
    }

    fn calibrate<R>(&mut self, op: &mut impl FnMut(u64) -> R) {
        if self.n > 0 {
            return;
        }
        let wanted = nanoseconds(self.length);
        let mut n = 1;
        loop {
            let took = looped(n, op);
            // Short probes say little about the price of one operation; from a tenth on they say enough.
            if took * 10.0 >= wanted {
                self.n = (wanted / per(took, n)).max(1.0) as u64;
                return;
            }
            n *= 4;
        }
    }
}

#[inline(never)]
fn looped<R>(n: u64, op: &mut impl FnMut(u64) -> R) -> f64 {
    timed(|| {
        for i in 0..n {
            black_box(op(black_box(i)));
        }
    })
}

/// The middle of several figures.
pub(crate) fn median(runs: Vec<f64>) -> Result<f64, String> {
    Summary::of(runs).map(|summary| summary.median).ok_or_else(|| "no run".to_string())
}

/// What several runs of one contender gave.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// `None` of no runs.
    pub(crate) fn of(mut runs: Vec<f64>) -> Option<Summary> {
        runs.sort_by(f64::total_cmp);
        let (min, max) = (*runs.first()?, *runs.last()?);
        let upper = runs.len() / 2;
        let lower = (runs.len() - 1) / 2;
        Some(Summary { median: f64::midpoint(runs[lower], runs[upper]), min, max })
    }
}
