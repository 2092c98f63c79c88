//! Which timers run, and which of them is due first.
//!
//! A table has the timers by their names, and `std`'s heap their moments. That heap gives out its first alone. So a timer that
//! is cancelled leaves the table at once, with its message, and its moment, of 24 bytes, is *stale*: it goes when it comes
//! first, or together with all that are stale, once these are more than the timers that run. That is O(1) for each that was
//! cancelled; what is first is never stale. Another table has the timers of each owner, which are linked, by their names, in
//! the order in which they were set. All of it is asked for before anything is changed, and given back when little is left.
//!
//! ARCHITECTURE.md says why this is no timer wheel. Nothing here is of this crate: `benches/timers.rs` compiles this file.

use super::sparse::{FEW, SPARSE, thin_out};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// What waits here for its moment.
pub(super) trait Scheduled {
    fn due(&self) -> u64;
    /// With whom it ends.
    fn owner(&self) -> Option<u64>;
}

/// The name of a timer: not zero, and of no two that run.
type Name = u64;

/// The name of none.
const NONE: Name = 0;

struct Entry<T> {
    timer: T,
    /// The number of timers that were set before it. (Of names each thread has its own, so that they do not tell.)
    set: u64,
    /// Its neighbours among the timers of its owner.
    before: Name,
    behind: Name,
}

/// In the order in which timers fire: of two that are due at the same time the older goes first, so that the deterministic
/// runtime repeats itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    due: u64,
    set: u64,
    name: Name,
}

/// For keys that this crate has made, of which nobody chooses any: one multiplication, both halves of it.
#[derive(Default)]
struct Multiply(u64);

impl Hasher for Multiply {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        let product = u128::from(self.0 ^ n) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

type Table<V> = HashMap<u64, V, BuildHasherDefault<Multiply>>;

pub(super) struct Timetable<T> {
    /// How many timers were set.
    set: u64,
    timers: Table<Entry<T>>,
    /// One for each timer that runs, and stale ones. The first is of a timer that runs.
    moments: BinaryHeap<Reverse<Moment>>,
    /// The oldest and the newest timer of each owner.
    of_owners: Table<[Name; 2]>,
}

impl<T> Default for Timetable<T> {
    fn default() -> Self {
        Self { set: 0, timers: Table::default(), moments: BinaryHeap::new(), of_owners: Table::default() }
    }
}

impl<T: Scheduled> Timetable<T> {
    /// Without memory the timer is handed back, with about how many words were not to be had. No other that runs may have
    /// its name.
    pub(super) fn insert(&mut self, name: Name, timer: T) -> Result<(), (usize, T)> {
        debug_assert!(name != NONE && !self.timers.contains_key(&name));
        if let Err(words) = self.reserve() {
            return Err((words, timer));
        }
        let moment = Moment { due: timer.due(), set: self.set, name };
        self.set += 1;
        let mut before = NONE;
        if let Some(owner) = timer.owner() {
            let [_, newest] = self.of_owners.entry(owner).or_insert([name, NONE]);
            before = std::mem::replace(newest, name);
            if let Some(before) = self.entry(before) {
                before.behind = name;
            }
        }
        self.timers.insert(name, Entry { timer, set: moment.set, before, behind: NONE });
        self.moments.push(Reverse(moment));
        Ok(())
    }

    /// Makes room for one more.
    fn reserve(&mut self) -> Result<(), usize> {
        fn words(capacity: usize, one: usize) -> usize {
            (2 * capacity.max(1) * one).div_ceil(size_of::<u64>())
        }
        let one = size_of::<(Name, Entry<T>)>();
        self.timers.try_reserve(1).map_err(|_| words(self.timers.capacity(), one))?;
        self.moments.try_reserve(1).map_err(|_| words(self.moments.capacity(), size_of::<Moment>()))?;
        self.of_owners.try_reserve(1).map_err(|_| words(self.of_owners.capacity(), size_of::<[Name; 3]>()))
    }

    /// The timer of this name, if it is one.
    fn entry(&mut self, name: Name) -> Option<&mut Entry<T>> {
        if name == NONE { None } else { self.timers.get_mut(&name) }
    }

    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.moments.peek().map(|Reverse(first)| first.due)
    }

    pub(super) fn due(&self, name: Name) -> Option<u64> {
        self.timers.get(&name).map(|entry| entry.timer.due())
    }

    /// Takes out the first that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<T> {
        let &Reverse(first) = self.moments.peek().filter(|Reverse(first)| first.due <= now)?;
        self.remove(first.name)
    }

    /// Takes out the oldest timer of an owner.
    pub(super) fn take_of(&mut self, owner: u64) -> Option<T> {
        let &[oldest, _] = self.of_owners.get(&owner)?;
        self.remove(oldest)
    }

    pub(super) fn remove(&mut self, name: Name) -> Option<T> {
        let Entry { timer, set, before, behind } = self.timers.remove(&name)?;
        if let Some(owner) = timer.owner() {
            self.unlink(owner, before, behind);
        }
        self.forget(set);
        thin_out(&mut self.timers);
        thin_out(&mut self.of_owners);
        Some(timer)
    }

    /// Takes what is between the two out of the timers of an owner.
    fn unlink(&mut self, owner: u64, before: Name, behind: Name) {
        if let Some(entry) = self.entry(before) {
            entry.behind = behind;
        }
        if let Some(entry) = self.entry(behind) {
            entry.before = before;
        }
        if before == NONE && behind == NONE {
            self.of_owners.remove(&owner);
        } else if (before == NONE || behind == NONE)
            && let Some([oldest, newest]) = self.of_owners.get_mut(&owner)
        {
            if before == NONE {
                *oldest = behind;
            } else {
                *newest = before;
            }
        }
    }

    /// The moment of a timer that has left the table is stale.
    fn forget(&mut self, set: u64) {
        // A name may come back, the number does not.
        let runs = |moment: &Moment| self.timers.get(&moment.name).is_some_and(|entry| entry.set == moment.set);
        if self.moments.peek().is_some_and(|Reverse(first)| first.set == set) {
            self.moments.pop();
            while self.moments.peek().is_some_and(|Reverse(first)| !runs(first)) {
                self.moments.pop();
            }
        }
        if self.moments.len() > 2 * self.timers.len() + FEW {
            self.moments.retain(|Reverse(moment)| runs(moment));
        }
        let left = self.moments.len();
        if self.moments.capacity() > SPARSE * left.max(FEW) {
            let mut less = Vec::new();
            if less.try_reserve(2 * left).is_ok() {
                less.extend(self.moments.drain());
                self.moments = less.into();
            }
        }
    }

    /// In the order in which they would fire. (That of a table depends on the names, which are others when a program is run
    /// again on a deterministic runtime.)
    pub(super) fn into_timers(self) -> impl Iterator<Item = T> {
        let Self { mut timers, moments, .. } = self;
        moments.into_sorted_vec().into_iter().rev().filter_map(move |Reverse(moment)| {
            let runs = timers.get(&moment.name)?.set == moment.set;
            if runs { timers.remove(&moment.name).map(|entry| entry.timer) } else { None }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// When it is due, and of whom it is.
    type Timer = (u64, Option<u64>);

    impl Scheduled for Timer {
        fn due(&self) -> u64 {
            self.0
        }

        fn owner(&self) -> Option<u64> {
            self.1
        }
    }

    impl Timetable<Timer> {
        fn stale(&self) -> usize {
            self.moments.len() - self.timers.len()
        }

        /// Is everything where what leads to it says?
        fn check(&self) {
            let mut running = 0;
            for Reverse(moment) in &self.moments {
                let Some(entry) = self.timers.get(&moment.name).filter(|entry| entry.set == moment.set) else {
                    continue;
                };
                assert_eq!(entry.timer.0, moment.due);
                running += 1;
            }
            assert_eq!(running, self.timers.len());
            assert!(self.stale() <= self.timers.len() + FEW);
            if let Some(Reverse(first)) = self.moments.peek() {
                assert_eq!(self.timers.get(&first.name).map(|entry| entry.set), Some(first.set));
            }
            let mut linked = 0;
            for (owner, &[oldest, newest]) in &self.of_owners {
                let (mut name, mut last) = (oldest, NONE);
                while name != NONE {
                    let entry = &self.timers[&name];
                    assert_eq!((entry.timer.1, entry.before), (Some(*owner), last));
                    (last, name, linked) = (name, entry.behind, linked + 1);
                }
                assert_eq!(last, newest);
            }
            assert_eq!(linked, self.timers.values().filter(|entry| entry.timer.1.is_some()).count());
        }
    }

    proptest! {
        #[test]
        fn does_what_a_sorted_list_does(steps in proptest::collection::vec((0..9_u8, 0..40_u64, 0..4_u64), 1..300)) {
            let mut table = Timetable::default();
            // By moment and number: its name, and whose it is.
            let mut model: BTreeMap<(u64, u64), (Name, Option<u64>)> = BTreeMap::new();
            // The names that were given, and their last timers.
            let mut made: Vec<(u64, u64)> = Vec::new();
            for (set, (what, n, owner)) in (0..).zip(steps) {
                let owner = (owner > 0).then_some(owner);
                match what {
                    0..4 => {
                        made.push((n, set));
                        prop_assert!(table.insert(made.len() as Name, (n, owner)).is_ok());
                        model.insert((n, set), (made.len() as Name, owner));
                    }
                    4..6 if !made.is_empty() => {
                        let at = n as usize % made.len();
                        let (due, name) = (made[at].0, 1 + at as Name);
                        let there = model.remove(&made[at]).is_some();
                        prop_assert_eq!(table.due(name), there.then_some(due));
                        prop_assert_eq!(table.remove(name).map(|timer| timer.0), there.then_some(due));
                    }
                    // A name that is free comes back, where its old moment may be.
                    6 if !made.is_empty() => {
                        let at = n as usize % made.len();
                        let there = model.contains_key(&made[at]);
                        if !there {
                            made[at] = (n / 2, set);
                            prop_assert!(table.insert(1 + at as Name, (n / 2, owner)).is_ok());
                            model.insert(made[at], (1 + at as Name, owner));
                        }
                    }
                    7 => {
                        let first = model.first_entry().filter(|first| first.key().0 <= n).map(|first| first.remove_entry());
                        prop_assert_eq!(table.take_due(n), first.map(|((due, _), (_, owner))| (due, owner)));
                        if let Some((_, (name, _))) = first {
                            prop_assert_eq!(table.due(name), None);
                        }
                    }
                    _ => if let Some(owner) = owner {
                        let mine = model.iter().filter(|(_, (_, of))| *of == Some(owner));
                        let oldest = mine.map(|(&key, _)| key).min_by_key(|key| key.1);
                        prop_assert_eq!(table.take_of(owner).map(|timer| timer.0), oldest.map(|(due, _)| due));
                        oldest.map(|key| model.remove(&key));
                    },
                }
                table.check();
                prop_assert_eq!((table.len(), table.next()), (model.len(), model.first_key_value().map(|(key, _)| key.0)));
            }
            let left: Vec<_> = model.into_iter().map(|((due, _), (_, owner))| (due, owner)).collect();
            prop_assert_eq!(table.into_timers().collect::<Vec<_>>(), left);
        }
    }

    #[test]
    fn what_is_cancelled_leaves_nothing_however_many_there_were() {
        let mut table = Timetable::default();
        for i in 1..=10 {
            table.insert(i, (i << 50, Some(i))).unwrap();
        }
        let go = 11..100_011;
        for i in go.clone() {
            table.insert(i, (i * 7919 % 100_003, Some(i % 1000))).unwrap();
        }
        assert!(go.clone().all(|i| table.remove(i).is_some() && table.remove(i).is_none()));
        table.check();
        let most = SPARSE * FEW;
        assert!(table.moments.capacity() <= most);
        assert!(table.timers.capacity() <= 2 * most && table.of_owners.capacity() <= 2 * most);
        for i in 1..=10 {
            assert!(table.take_due((i << 50) - 1).is_none());
            assert!(table.take_due(i << 50).is_some() && table.take_due(i << 50).is_none());
        }
        assert_eq!((table.len(), table.next()), (0, None));
    }

    /// Whose timers are mostly cancelled, and never come first, has no more of what is left of them than of timers.
    #[test]
    fn what_is_stale_is_never_more_than_what_runs() {
        let (mut table, mut most) = (Timetable::default(), 0);
        for i in 1..=1000 {
            table.insert(i, (i, None)).unwrap();
        }
        for i in 1001..11_001 {
            table.insert(i, (i, None)).unwrap();
            table.remove(i);
            most = most.max(table.stale());
        }
        table.check();
        assert_eq!(most, 1000 + FEW);
        assert!(table.moments.capacity() <= 4 * 1000);
        // However few are left of those that run.
        for i in 1..1000 {
            assert_eq!(table.take_due(i), Some((i, None)));
            assert!(table.stale() <= table.len() + FEW);
        }
    }
}
