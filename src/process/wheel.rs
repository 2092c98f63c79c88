//! Which timers run, and which of them are due.
//!
//! Time is nanoseconds since the runtime was built, cut into *steps* of 2^32 of them, 4.3 s. What is due in the step that
//! time is in, or was due before, lies in an ordered set, to the nanosecond. What is due in a later step lies in a timer
//! wheel, which counts steps and gives out at the beginning of each what is due in it: O(1) to insert, and its range of
//! 2^32 steps is 584 years. Whoever waits wakes up when a timer is due, and at most once a step for the wheel.

use super::timer::Destination;
use crate::heap::Region;
use crate::term::Reference;
use crate::term::word::Word;
use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A moment's step is what is above so many bits.
const STEP: u32 = 32;

/// The last moment that a timer can be due at, 292 years after the beginning.
const LAST: u64 = 1 << 63;

/// So many timers that are no more may wait in the wheel whatever the number of those that are.
const STALE: usize = 64;

pub(super) struct Timer {
    /// When.
    pub(super) due: u64,
    pub(super) to: Destination,
    pub(super) message: Region,
}

#[derive(Default)]
pub(super) struct Wheel {
    all: HashMap<Reference, Timer>,
    /// What is due in this step or was before.
    soon: BTreeSet<(u64, Reference)>,
    /// The timers of each process, which end with it.
    of_processes: BTreeSet<(Word, Reference)>,
    /// What is due later, and what was and is no more. Made for the first; it counts steps as milliseconds.
    later: Option<QuadWheelWithOverflow<Reference>>,
    /// How much is in there.
    in_later: usize,
    step: u64,
}

impl Wheel {
    /// `id` must be new. Time never goes back.
    pub(super) fn insert(&mut self, id: Reference, mut timer: Timer, now: u64) {
        self.turn_to(now >> STEP);
        timer.due = timer.due.min(LAST);
        if let Destination::Pid(pid) = timer.to {
            self.of_processes.insert((pid.word(), id));
        }
        self.place(id, timer.due);
        self.all.insert(id, timer);
    }

    fn place(&mut self, id: Reference, due: u64) {
        let steps = (due >> STEP).saturating_sub(self.step);
        // From one to 2^31 steps is well within the range.
        let delay = Duration::from_millis(steps);
        if steps > 0 && self.later.get_or_insert_default().insert_with_delay(id, delay).is_ok() {
            self.in_later += 1;
        } else {
            self.soon.insert((due, id));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn due(&self, id: Reference) -> Option<u64> {
        self.all.get(&id).map(|timer| timer.due)
    }

    pub(super) fn remove(&mut self, id: Reference) -> Option<Timer> {
        let timer = self.all.remove(&id)?;
        if let Destination::Pid(pid) = timer.to {
            self.of_processes.remove(&(pid.word(), id));
        }
        // What is not here is in the wheel, which cannot be searched.
        if !self.soon.remove(&(timer.due, id)) && self.in_later > 2 * self.later_and_live() + STALE {
            self.rebuild();
        }
        Some(timer)
    }

    /// How many timers are due later.
    fn later_and_live(&self) -> usize {
        self.all.len() - self.soon.len()
    }

    /// Rids the wheel of what is no more: O(timers), paid for by as many that were removed.
    fn rebuild(&mut self) {
        self.later = None;
        self.in_later = 0;
        let later: Vec<_> = self.all.iter().map(|(&id, timer)| (id, timer.due)).collect();
        for (id, due) in later {
            if due >> STEP > self.step {
                self.place(id, due);
            }
        }
        self.all.shrink_to(2 * self.all.len());
    }

    /// Goes on to a step.
    fn turn_to(&mut self, step: u64) {
        while self.step < step {
            let left = step - self.step;
            let Some(later) = self.later.as_mut() else {
                self.step = step;
                return;
            };
            match later.can_skip() {
                // It counts from wherever it stands.
                Skip::Empty => self.step = step,
                Skip::Millis(steps) => {
                    let steps = u64::from(steps).min(left);
                    later.skip(steps as u32);
                    self.step += steps;
                }
                Skip::None => {
                    let due = later.tick();
                    self.step += 1;
                    self.in_later -= due.len();
                    for id in due {
                        if let Some(timer) = self.all.get(&id) {
                            self.soon.insert((timer.due, id));
                        }
                    }
                }
            }
        }
    }

    /// Takes out what is due, in order, at most `most`.
    pub(super) fn take_due(&mut self, now: u64, most: usize) -> Vec<Timer> {
        self.turn_to(now >> STEP);
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(&(due, id)) = self.soon.first()
            && due <= now
        {
            taken.extend(self.remove(id));
        }
        taken
    }

    /// Takes out timers of a process, at most `most`.
    pub(super) fn take_of(&mut self, pid: Word, most: usize) -> Vec<Timer> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(&(_, id)) =
                self.of_processes.range((pid, Reference::FIRST)..).next().filter(|&&(of, _)| of == pid)
        {
            taken.extend(self.remove(id));
        }
        taken
    }

    pub(super) fn into_timers(self) -> impl Iterator<Item = Timer> {
        self.all.into_values()
    }

    /// When there may be something to do next; never too late.
    pub(super) fn next(&self) -> Option<u64> {
        if self.all.is_empty() {
            return None;
        }
        let soon = self.soon.first().map(|&(due, _)| due);
        let steps = match self.later.as_ref().map(QuadWheelWithOverflow::can_skip) {
            _ if self.later_and_live() == 0 => None,
            None | Some(Skip::Empty) => None,
            Some(Skip::Millis(steps)) => Some(u64::from(steps) + 1),
            Some(Skip::None) => Some(1),
        };
        let later = steps.map(|steps| (self.step + steps) << STEP);
        soon.into_iter().chain(later).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Atom;
    use crate::term::References;

    const YEAR: u64 = 365 * 86400 * 1_000_000_000;

    fn timer(due: u64) -> Timer {
        let to = Destination::Name(Atom::OK);
        Timer { due, to, message: Region::build(|h| h.nil()) }
    }

    #[test]
    fn what_is_cancelled_leaves_nothing_in_the_wheel_however_far_off_it_was() {
        let (refs, mut wheel) = (References::new(), Wheel::default());
        let stays: Vec<_> = (0..10).map(|_| refs.make()).collect();
        for (i, &id) in (1..).zip(&stays) {
            wheel.insert(id, timer(i * YEAR), 0);
        }
        for i in 0..100_000 {
            let id = refs.make();
            wheel.insert(id, timer((1 + i % 7) * YEAR), i);
            assert!(wheel.remove(id).is_some() && wheel.remove(id).is_none());
            assert!(wheel.in_later <= 2 * stays.len() + STALE);
        }
        assert!(wheel.all.capacity() < 100);
        for i in 1..=10 {
            assert_eq!(wheel.take_due(i * YEAR - 1, 9).len(), 0);
            assert_eq!(wheel.take_due(i * YEAR, 9).len(), 1);
        }
        assert_eq!((wheel.len(), wheel.next()), (0, None));
    }

    #[test]
    fn who_waits_is_woken_a_few_times_and_never_too_late() {
        for due in [1, 1 << STEP, 60_000_000_000, 86_400_000_000_000, YEAR, LAST] {
            let (refs, mut wheel) = (References::new(), Wheel::default());
            wheel.insert(refs.make(), timer(due), 0);
            let mut looks = 0;
            let mut now = 0;
            while wheel.take_due(now, 1).is_empty() {
                looks += 1;
                let next = wheel.next().unwrap();
                assert!(next > now && next <= due, "{next} after {now}");
                now = next;
            }
            assert_eq!(now, due);
            // For each of the four levels at most all of its ways.
            assert!(
                looks <= due.checked_ilog2().unwrap_or(0).saturating_sub(STEP).div_ceil(8) * 256 + 2,
                "{looks} looks"
            );
        }
    }
}
