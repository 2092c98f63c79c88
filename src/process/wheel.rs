//! Which timers run, and which of them are due.
//!
//! Time is nanoseconds since the runtime was built, cut into *steps* of 2^32 of them, 4.3 s. What is due in the step that
//! time is in, or was due before, lies in a heap, to the nanosecond. What is due in a later step lies in a timer
//! wheel, which counts steps and gives out at the beginning of each what is due in it: O(1) to insert, and its range of
//! 2^32 steps is 584 years. Whoever waits wakes up when a timer is due, and at most once a step for the wheel.

use super::small_map::thin_out;
use super::timer::Destination;
use crate::heap::{HeapError, Region, reserve_place};
use crate::term::Reference;
use crate::term::word::Word;
use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
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

/// A timer, and what is known of it beside.
struct Running {
    timer: Timer,
    /// Is it in `soon`?
    soon: bool,
    /// Its neighbours among the timers of its process.
    before: Option<Reference>,
    behind: Option<Reference>,
}

#[derive(Default)]
pub(super) struct Wheel {
    all: HashMap<Reference, Running>,
    /// What is due in this step or was before, and what was and is no more; the first is one that is. There is room for all
    /// that is due later, so that nothing fails when it comes here.
    soon: BinaryHeap<Reverse<(u64, Reference)>>,
    /// How many of these are.
    live_soon: usize,
    /// The oldest and the newest timer of each process; they end with it.
    of_processes: HashMap<Word, [Reference; 2]>,
    /// What is due later, and what was and is no more. Made for the first; it counts steps as milliseconds.
    later: Option<QuadWheelWithOverflow<Reference>>,
    /// How much is in there.
    in_later: usize,
    step: u64,
}

impl Wheel {
    /// `id` must be new. Time never goes back. Without memory the timer is handed back.
    pub(super) fn insert(&mut self, id: Reference, mut timer: Timer, now: u64) -> Result<(), (HeapError, Timer)> {
        self.turn_to(now >> STEP);
        if let Err(error) = self.reserve() {
            return Err((error, timer));
        }
        timer.due = timer.due.min(LAST);
        let mut before = None;
        if let Destination::Pid(pid) = timer.to {
            let [_, newest] = self.of_processes.entry(pid.word()).or_insert([id; 2]);
            before = Some(std::mem::replace(newest, id)).filter(|&before| before != id);
        }
        if let Some(before) = before.and_then(|before| self.all.get_mut(&before)) {
            before.behind = Some(id);
        }
        let soon = !self.place_later(id, timer.due);
        if soon {
            self.live_soon += 1;
            self.soon.push(Reverse((timer.due, id)));
        }
        self.all.insert(id, Running { timer, soon, before, behind: None });
        Ok(())
    }

    /// Makes a place for one more. (The wheel itself allocates as it likes.)
    fn reserve(&mut self) -> Result<(), HeapError> {
        reserve_place(&mut self.all)?;
        reserve_place(&mut self.of_processes)?;
        let more = self.later_and_live() + 1;
        self.soon.try_reserve(more).map_err(|_| HeapError::OutOfMemory { words: 2 * more })
    }

    /// Puts into the wheel what is not due in this step; was it?
    fn place_later(&mut self, id: Reference, due: u64) -> bool {
        let steps = (due >> STEP).saturating_sub(self.step);
        // From one to 2^31 steps is well within the range.
        let delay = Duration::from_millis(steps);
        let placed = steps > 0 && self.later.get_or_insert_default().insert_with_delay(id, delay).is_ok();
        self.in_later += usize::from(placed);
        placed
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn due(&self, id: Reference) -> Option<u64> {
        self.all.get(&id).map(|running| running.timer.due)
    }

    pub(super) fn remove(&mut self, id: Reference) -> Option<Timer> {
        let running = self.all.remove(&id)?;
        if let Destination::Pid(pid) = running.timer.to {
            self.unlink(pid.word(), &running);
        }
        if running.soon {
            self.live_soon -= 1;
            self.tidy_soon();
        } else if self.in_later > 2 * self.later_and_live() + STALE {
            // The wheel cannot be searched.
            self.rebuild();
        }
        thin_out(&mut self.all);
        Some(running.timer)
    }

    /// Takes a timer out of those of its process.
    fn unlink(&mut self, process: Word, &Running { before, behind, .. }: &Running) {
        if let Some(before) = before.and_then(|before| self.all.get_mut(&before)) {
            before.behind = behind;
        }
        if let Some(behind) = behind.and_then(|behind| self.all.get_mut(&behind)) {
            behind.before = before;
        }
        if before.is_some() && behind.is_some() {
            return;
        }
        match (self.of_processes.get_mut(&process), behind, before) {
            (Some([oldest, _]), Some(next), _) => *oldest = next,
            (Some([_, newest]), None, Some(last)) => *newest = last,
            _ => {
                self.of_processes.remove(&process);
                thin_out(&mut self.of_processes);
            }
        }
    }

    /// Lets go of what is no more: all of it where it is much, which as many that were removed pay for, and in any case what
    /// is first.
    fn tidy_soon(&mut self) {
        let all = &self.all;
        if self.soon.len() > 2 * self.live_soon + STALE {
            self.soon.retain(|Reverse((_, id))| all.contains_key(id));
            let room = self.soon.len() + self.later_and_live();
            let mut less = BinaryHeap::new();
            // Without memory for less, it keeps what it has.
            if self.soon.capacity() > 4 * room.max(STALE) && less.try_reserve(2 * room).is_ok() {
                less.append(&mut self.soon);
                self.soon = less;
            }
        }
        while self.soon.peek().is_some_and(|Reverse((_, id))| !self.all.contains_key(id)) {
            self.soon.pop();
        }
    }

    /// How many timers are due later.
    fn later_and_live(&self) -> usize {
        self.all.len() - self.live_soon
    }

    /// Rids the wheel of what is no more: O(timers), paid for by as many that were removed.
    fn rebuild(&mut self) {
        let mut all = std::mem::take(&mut self.all);
        self.later = None;
        self.in_later = 0;
        for (&id, running) in &mut all {
            if !running.soon && !self.place_later(id, running.timer.due) {
                running.soon = true;
                self.live_soon += 1;
                self.soon.push(Reverse((running.timer.due, id)));
            }
        }
        self.all = all;
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
                        if let Some(running) = self.all.get_mut(&id) {
                            running.soon = true;
                            self.live_soon += 1;
                            self.soon.push(Reverse((running.timer.due, id)));
                        }
                    }
                }
            }
        }
    }

    /// Takes out the first that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Timer> {
        self.turn_to(now >> STEP);
        let &Reverse((due, id)) = self.soon.peek()?;
        if due > now {
            return None;
        }
        self.soon.pop();
        self.remove(id)
    }

    /// Takes out the oldest timer of a process.
    pub(super) fn take_of(&mut self, pid: Word) -> Option<Timer> {
        let &[id, _] = self.of_processes.get(&pid)?;
        self.remove(id)
    }

    pub(super) fn into_timers(self) -> impl Iterator<Item = Timer> {
        self.all.into_values().map(|running| running.timer)
    }

    /// When there may be something to do next; never too late.
    pub(super) fn next(&self) -> Option<u64> {
        if self.all.is_empty() {
            return None;
        }
        let soon = self.soon.peek().map(|&Reverse((due, _))| due);
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
            wheel.insert(id, timer(i * YEAR), 0).ok().unwrap();
        }
        for i in 0..100_000 {
            let id = refs.make();
            wheel.insert(id, timer((1 + i % 7) * YEAR), i).ok().unwrap();
            assert!(wheel.remove(id).is_some() && wheel.remove(id).is_none());
            assert!(wheel.in_later <= 2 * stays.len() + STALE);
        }
        assert!(wheel.all.capacity() < 300);
        for i in 1..=10 {
            assert!(wheel.take_due(i * YEAR - 1).is_none());
            assert!(wheel.take_due(i * YEAR).is_some() && wheel.take_due(i * YEAR).is_none());
        }
        assert_eq!((wheel.len(), wheel.next()), (0, None));
    }

    #[test]
    fn who_waits_is_woken_a_few_times_and_never_too_late() {
        for due in [1, 1 << STEP, 60_000_000_000, 86_400_000_000_000, YEAR, LAST] {
            let (refs, mut wheel) = (References::new(), Wheel::default());
            wheel.insert(refs.make(), timer(due), 0).ok().unwrap();
            let mut looks = 0;
            let mut now = 0;
            while wheel.take_due(now).is_none() {
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
