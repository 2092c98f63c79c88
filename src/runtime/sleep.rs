//! Parking idle workers, without losing a wake-up and without busy waiting.
//!
//! A worker that finds nothing enters itself in the list of sleepers, fences, looks once more, and parks. Who makes work
//! pushes it, fences, and looks at the number of sleepers. Of the two fences one comes first: either the worker sees the
//! work, or the other sees the sleeper.
//!
//! A worker that finds only what it leaves to others *naps*: it looks again after a while, whatever happens.

use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::mutation::{Mutation, mutated};
use crate::sync::{Mutex, Parker, Unparker};
use std::time::Duration;

/// While others run, one that sleeps *watches*: it looks again after this long. What a turn makes for its own worker is
/// announced only when nobody watches, and a long turn would keep it.
const GLANCE: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Sleep {
    sleepers: AtomicUsize,
    /// How many of them nap.
    napping: AtomicUsize,
    /// How many of them watch.
    watchers: AtomicUsize,
    /// With room for all.
    list: Mutex<Vec<usize>>,
    unparkers: Box<[Unparker]>,
}

impl Sleep {
    pub(crate) fn new(parkers: &[Parker]) -> Self {
        Self {
            sleepers: AtomicUsize::new(0),
            napping: AtomicUsize::new(0),
            watchers: AtomicUsize::new(0),
            list: Mutex::new(Vec::with_capacity(parkers.len())),
            unparkers: parkers.iter().map(|parker| parker.unparker().clone()).collect(),
        }
    }

    /// Work has been pushed: wakes one worker, if any sleeps. A fence and a load when none does.
    #[inline]
    pub(crate) fn wake_one(&self) {
        if !mutated(Mutation::WakeNoFence) {
            // Pairs with the fence in `sleep`.
            fence(Ordering::SeqCst);
        }
        // Relaxed: ordered by the fence.
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.wake_slowly();
        }
    }

    /// A worker has pushed what it would take up itself in the end: wakes another, if one sleeps that does not nap over just
    /// that. Two loads.
    #[inline]
    pub(crate) fn wake_another(&self) {
        // Relaxed, and no fence: whoever goes to sleep now, while this worker runs, watches, and whoever naps wakes up.
        if self.sleepers.load(Ordering::Relaxed) > self.napping.load(Ordering::Relaxed) {
            self.wake_slowly();
        }
    }

    /// A worker has pushed what it will take up itself after this turn: wakes a watcher, if there is none. Two loads.
    #[inline]
    pub(crate) fn wake_watcher(&self) {
        // Relaxed, and no fence: whoever goes to sleep now, while this worker runs, watches.
        if self.sleepers.load(Ordering::Relaxed) > 0 && self.watchers.load(Ordering::Relaxed) == 0 {
            self.wake_slowly();
        }
    }

    #[cold]
    fn wake_slowly(&self) {
        let mut list = self.list.lock();
        if let Some(worker) = list.pop() {
            self.sleepers.store(list.len(), Ordering::Relaxed);
            drop(list);
            self.unparkers[worker].unpark();
        }
    }

    pub(crate) fn wake_all(&self) {
        let mut list = self.list.lock();
        list.clear();
        self.sleepers.store(0, Ordering::Relaxed);
        drop(list);
        for unparker in &self.unparkers {
            unparker.unpark();
        }
    }

    /// Parks `worker` until there may be work, unless `has_work` finds some, and for no longer than a nap, if it takes one.
    /// Says whether it watched.
    pub(crate) fn sleep(
        &self,
        worker: usize,
        parker: &Parker,
        nap: Option<Duration>,
        has_work: impl Fn() -> bool,
    ) -> bool {
        let looked = mutated(Mutation::SleepLooksFirst).then(&has_work);
        let all_idle = {
            let mut list = self.list.lock();
            // The last of the list is woken first: nobody who naps before who does not.
            let at = if nap.is_some() { 0 } else { list.len() };
            list.insert(at, worker);
            self.sleepers.store(list.len(), Ordering::Relaxed);
            self.napping.fetch_add(usize::from(nap.is_some()), Ordering::Relaxed);
            let all_idle = list.len() == self.unparkers.len();
            self.watchers.fetch_add(usize::from(!all_idle), Ordering::Relaxed);
            all_idle
        };
        if !mutated(Mutation::SleepNoFence) {
            // Pairs with the fence in `wake_one`.
            fence(Ordering::SeqCst);
        }
        if !looked.unwrap_or_else(has_work) {
            match nap {
                None if all_idle => parker.park(),
                nap => parker.park_timeout(nap.unwrap_or(GLANCE)),
            }
        }
        let mut list = self.list.lock();
        self.watchers.fetch_sub(usize::from(!all_idle), Ordering::Relaxed);
        self.napping.fetch_sub(usize::from(nap.is_some()), Ordering::Relaxed);
        // Whoever woke this worker has taken it off the list; then nothing is left to do.
        if let Some(at) = list.iter().position(|&w| w == worker) {
            list.remove(at); // who naps stays before who does not
            self.sleepers.store(list.len(), Ordering::Relaxed);
        }
        !all_idle
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    /// Whoever is woken instead naps on, once for each that naps, at the cost of who works.
    #[test]
    fn who_naps_is_woken_behind_who_does_not_whoever_else_has_woken_up() {
        let parkers: Vec<_> = (0..5).map(|_| Parker::new()).collect();
        let (sleep, nap) = (Sleep::new(&parkers), Some(GLANCE));
        let asleep = || sleep.list.lock().clone();
        // Asleep while it looks once more, and awake behind that.
        let while_asleep = |worker: usize, nap, then: &dyn Fn()| {
            sleep.sleep(worker, &parkers[worker], nap, || {
                then();
                true
            })
        };
        while_asleep(0, None, &|| {
            while_asleep(1, nap, &|| {
                while_asleep(2, nap, &|| {
                    while_asleep(3, nap, &|| assert_eq!(asleep(), [3, 2, 1, 0]));
                    assert_eq!(asleep(), [2, 1, 0]);
                });
                sleep.wake_another();
                assert_eq!(asleep(), [1], "who does not nap has been woken");
                sleep.wake_another();
                assert_eq!(asleep(), [1], "the others nap over just that");
            });
        });
        assert!(asleep().is_empty());
    }
}
