//! A process that does next to nothing, turn after turn, and notes how long it was kept from it.
//!
//! It has nothing to do with the table. What it notices is what one process's data costs another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use shared_term::prelude::*;

use crate::crew::{Crew, why};
use crate::measure::PATIENCE;
use crate::mini_runtime::{Letter, MiniRuntime, Process as MiniProcess};

/// Relaxed throughout: one process writes, and a figure read is as old as the reader's next look.
pub(crate) struct Pulse {
    began: Instant,
    /// Nanoseconds since `began` at the last beat; 0 before the first.
    last: AtomicU64,
    longest: AtomicU64,
    gaps: Box<[AtomicU64]>,
    stop: AtomicBool,
}

/// Steps for each doubling of a gap.
const STEPS: u32 = 8;

impl Pulse {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            gaps: (0..64 * STEPS).map(|_| AtomicU64::new(0)).collect(),
            stop: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        // 0 is taken.
        self.began.elapsed().as_nanos() as u64 + 1
    }

    /// One turn. Says whether there is a next one.
    fn beat(&self) -> bool {
        let now = self.now();
        let last = self.last.swap(now, Relaxed);
        if last != 0 {
            let gap = now - last;
            self.longest.fetch_max(gap, Relaxed);
            self.gaps[bucket(gap)].fetch_add(1, Relaxed);
        }
        !self.stop.load(Relaxed)
    }

    /// In a runtime of the library.
    pub(crate) fn start(crew: &Crew) -> Result<Beating, String> {
        let pulse = Self::new();
        let pid = crew.rt.spawn(Beater(Arc::clone(&pulse))).map_err(why)?;
        crew.rt.send_new(pid, |h| h.nil()).map_err(why)?;
        Beating::begin(pulse)
    }

    /// In a runtime of the rows for comparison, as a process that holds `held`.
    pub(crate) fn start_mini<T: Send + 'static>(
        runtime: &MiniRuntime<T>,
        process: &Arc<MiniProcess<T>>,
        held: T,
    ) -> Result<Beating, String> {
        let pulse = Self::new();
        runtime.send(process, Letter::Hold(held));
        let beating = Arc::clone(&pulse);
        runtime.send(process, Letter::Repeat(Box::new(move |_| beating.beat())));
        Beating::begin(pulse)
    }
}

#[expect(clippy::cast_precision_loss, reason = "gaps stay below 2^52 ns")]
fn bucket(gap: u64) -> usize {
    (((gap.max(1) as f64).log2() * f64::from(STEPS)) as usize).min(64 * STEPS as usize - 1)
}

/// Nanoseconds at the upper end of a bucket.
fn upper_end(bucket: usize) -> f64 {
    ((bucket as f64 + 1.0) / f64::from(STEPS)).exp2()
}

struct Beater(Arc<Pulse>);

impl Process for Beater {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Again(state))
    }

    fn resume<'h>(&mut self, _: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        Ok(if self.0.beat() { Again(state) } else { Next(state) })
    }
}

/// Ends the process when dropped.
pub(crate) struct Beating(Arc<Pulse>);

impl Beating {
    fn begin(pulse: Arc<Pulse>) -> Result<Self, String> {
        let this = Self(pulse);
        this.next_beat(0)?;
        Ok(this)
    }

    /// Waits for a beat after `moment`.
    fn next_beat(&self, moment: u64) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while self.0.last.load(Relaxed) <= moment {
            if Instant::now() > until {
                return Err("the process that beats never ran".into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// What `f` gives, and the longest time between two beats meanwhile.
    pub(crate) fn longest_during<R>(&self, f: impl FnOnce() -> Result<R, String>) -> Result<(R, Duration), String> {
        self.next_beat(self.0.now())?;
        self.0.longest.store(0, Relaxed);
        let made = f()?;
        // The gap under way at the end counts too.
        self.next_beat(self.0.now())?;
        Ok((made, Duration::from_nanos(self.0.longest.load(Relaxed))))
    }

    /// Every gap during `f`: from short to long, the nanoseconds that gaps of a bucket do not pass, and how many there were.
    pub(crate) fn gaps_during(&self, f: impl FnOnce() -> Result<(), String>) -> Result<Vec<(f64, u64)>, String> {
        let count = || -> Vec<u64> { self.0.gaps.iter().map(|count| count.load(Relaxed)).collect() };
        self.next_beat(self.0.now())?;
        let before = count();
        f()?;
        self.next_beat(self.0.now())?;
        let gaps = count().into_iter().zip(before).enumerate();
        Ok(gaps.map(|(at, (after, before))| (upper_end(at), after - before)).filter(|&(_, count)| count > 0).collect())
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.stop.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini_runtime::spawn;

    #[test]
    fn a_gap_falls_into_a_bucket_that_ends_just_above_it() {
        for gap in [1, 2, 3, 100, 1_023, 1_024, 1_000_000_007] {
            let end = upper_end(bucket(gap));
            assert!((gap as f64) < end && end < gap as f64 * 1.2, "{gap} {end}");
        }
        assert_eq!(bucket(u64::MAX), 64 * STEPS as usize - 1);
    }

    #[test]
    fn a_stop_is_noticed_by_who_has_nothing_to_do_with_it() {
        let runtime = MiniRuntime::stoppable(2);
        let [process] = <[_; 1]>::try_from(spawn(1)).unwrap_or_else(|_| unreachable!("one was asked for"));
        let beating = Pulse::start_mini(&runtime, &process, ()).unwrap();
        let pause = Duration::from_millis(20);
        let stop = || {
            runtime.stop(|| std::thread::sleep(pause));
            Ok(())
        };
        assert!(beating.longest_during(stop).unwrap().1 >= pause);
        let gaps = beating.gaps_during(stop).unwrap();
        assert!(gaps.len() > 1 && gaps.is_sorted_by(|a, b| a.0 < b.0));
        assert!(gaps.last().unwrap().0 >= 20e6);
    }

    #[test]
    fn a_process_of_the_library_beats_until_it_is_told_to_stop() {
        let crew = Crew::new(1, 10).unwrap();
        let beating = Pulse::start(&crew).unwrap();
        assert_eq!(beating.longest_during(|| Ok(7)).unwrap().0, 7);
        let pulse = Arc::clone(&beating.0);
        drop(beating);
        crew.spawn(1).unwrap();
        let last = || pulse.last.load(Relaxed);
        // A process that was spawned after the stop has run: so has the last beat, or it is the next but one.
        crew.spawn(1).unwrap();
        let stopped = last();
        crew.spawn(1).unwrap();
        assert_eq!(last(), stopped);
    }
}
