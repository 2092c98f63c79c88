//! Which timers run, and which of them is due first.
//!
//! A timer lies in a numbered *place*. A heap of four ways has moments and places, and each place knows where it is in the
//! heap, so that a timer that is cancelled leaves it at once: O(log n), and O(1) for one that is due last, as a new one
//! mostly is. One table finds the place of a timer by its name, another the timers of a process, which are linked in the
//! order in which they were set. All of it is asked for before anything is changed, and given back when little is left.

use super::small_map::{FEW, SPARSE, thin_out};
use super::timer::Destination;
use crate::heap::{HeapError, Region, reserve, reserve_place};
use crate::term::Reference;
use crate::term::word::Word;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

const WAYS: usize = 4;

pub(super) struct Timer {
    /// When.
    pub(super) due: u64,
    pub(super) to: Destination,
    pub(super) message: Region,
}

/// The number of a place.
type Number = u32;

/// No place.
const NONE: Number = Number::MAX;

struct Place {
    /// `None`: the place is free.
    timer: Option<Timer>,
    id: Reference,
    /// The number of timers that were set before it. (Of names each thread has its own, so that they do not tell.)
    set: u64,
    /// Where it is in the heap.
    at: Number,
    /// Its neighbours among the timers of its process; of a free place, the next one that is free lies behind.
    before: Number,
    behind: Number,
}

#[derive(Clone, Copy)]
struct Entry {
    due: u64,
    place: Number,
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

type Table<V> = HashMap<Word, V, BuildHasherDefault<Multiply>>;

pub(super) struct Timetable {
    /// How many timers were set.
    set: u64,
    places: Vec<Place>,
    /// The first place that is free.
    free: Number,
    /// Each entry is due no later than those of its ways, and if at the same time, is older.
    heap: Vec<Entry>,
    names: Table<Number>,
    /// The oldest and the newest timer of each process; they end with it.
    of_processes: Table<[Number; 2]>,
}

impl Default for Timetable {
    fn default() -> Self {
        Self {
            set: 0,
            places: Vec::new(),
            free: NONE,
            heap: Vec::new(),
            names: Table::default(),
            of_processes: Table::default(),
        }
    }
}

impl Timetable {
    /// Without memory the timer is handed back. No other that runs may have its name.
    pub(super) fn insert(&mut self, id: Reference, timer: Timer) -> Result<(), (HeapError, Timer)> {
        if let Err(error) = self.reserve() {
            return Err((error, timer));
        }
        let (due, to) = (timer.due, timer.to);
        let at = self.heap.len() as Number;
        let place = Place { timer: Some(timer), id, set: self.set, at, before: NONE, behind: NONE };
        self.set += 1;
        let number = self.free;
        let number = if number == NONE {
            self.places.push(place);
            (self.places.len() - 1) as Number
        } else {
            let old = std::mem::replace(self.place(number), place);
            self.free = old.behind;
            number
        };
        self.names.insert(id.word(), number);
        if let Destination::Pid(pid) = to {
            let [_, newest] = self.of_processes.entry(pid.word()).or_insert([number, NONE]);
            let before = std::mem::replace(newest, number);
            self.place(number).before = before;
            if before != NONE {
                self.place(before).behind = number;
            }
        }
        self.heap.push(Entry { due, place: number });
        self.up(at as usize);
        Ok(())
    }

    /// Makes room for one more.
    fn reserve(&mut self) -> Result<(), HeapError> {
        if self.heap.len() >= NONE as usize {
            return Err(HeapError::OutOfMemory { words: size_of::<Place>() / size_of::<Word>() });
        }
        if self.free == NONE {
            reserve(&mut self.places, 1)?;
        }
        reserve(&mut self.heap, 1)?;
        reserve_place(&mut self.names)?;
        reserve_place(&mut self.of_processes)
    }

    fn place(&mut self, number: Number) -> &mut Place {
        &mut self.places[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.first().map(|first| first.due)
    }

    pub(super) fn due(&self, id: Reference) -> Option<u64> {
        let &number = self.names.get(&id.word())?;
        self.places[number as usize].timer.as_ref().map(|timer| timer.due)
    }

    pub(super) fn remove(&mut self, id: Reference) -> Option<Timer> {
        let number = self.names.remove(&id.word())?;
        self.take_out(number)
    }

    /// Takes out the first that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Timer> {
        let &Entry { place, .. } = self.heap.first().filter(|first| first.due <= now)?;
        self.take(place)
    }

    /// Takes out the oldest timer of a process.
    pub(super) fn take_of(&mut self, pid: Word) -> Option<Timer> {
        let &[oldest, _] = self.of_processes.get(&pid)?;
        self.take(oldest)
    }

    fn take(&mut self, number: Number) -> Option<Timer> {
        let id = self.place(number).id.word();
        self.names.remove(&id);
        self.take_out(number)
    }

    /// Takes the timer out of a place, which its name does not lead to any more.
    fn take_out(&mut self, number: Number) -> Option<Timer> {
        let free = std::mem::replace(&mut self.free, number);
        let place = self.place(number);
        let (timer, at) = (place.timer.take()?, place.at as usize);
        let (before, behind) = (place.before, std::mem::replace(&mut place.behind, free));
        if let Destination::Pid(pid) = timer.to {
            self.unlink(pid.word(), before, behind);
        }
        let last = self.heap.swap_remove(at);
        if at < self.heap.len() {
            // What was last came here: by a way that need not be its own.
            let moved = self.heap[at];
            self.place(moved.place).at = at as Number;
            if at > 0 && self.precedes(moved, self.heap[(at - 1) / WAYS]) { self.up(at) } else { self.down(at) }
        }
        debug_assert_eq!(last.place, number);
        self.thin_out();
        Some(timer)
    }

    /// Takes what is between the two out of the timers of a process.
    fn unlink(&mut self, process: Word, before: Number, behind: Number) {
        if before != NONE {
            self.place(before).behind = behind;
        }
        if behind != NONE {
            self.place(behind).before = before;
        }
        if before == NONE && behind == NONE {
            self.of_processes.remove(&process);
        } else if (before == NONE || behind == NONE)
            && let Some([oldest, newest]) = self.of_processes.get_mut(&process)
        {
            if before == NONE {
                *oldest = behind;
            } else {
                *newest = before;
            }
        }
    }

    /// Of two that are due at the same time the older goes first, so that the deterministic runtime repeats itself.
    fn precedes(&self, a: Entry, b: Entry) -> bool {
        let set = |entry: Entry| self.places[entry.place as usize].set;
        a.due < b.due || a.due == b.due && set(a) < set(b)
    }

    fn put(&mut self, at: usize, entry: Entry) {
        self.heap[at] = entry;
        self.place(entry.place).at = at as Number;
    }

    fn up(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let above = (at - 1) / WAYS;
            if !self.precedes(entry, self.heap[above]) {
                break;
            }
            self.put(at, self.heap[above]);
            at = above;
        }
        self.put(at, entry);
    }

    fn down(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let ways = WAYS * at + 1..(WAYS * at + 1 + WAYS).min(self.heap.len());
            let first = ways.reduce(|a, b| if self.precedes(self.heap[b], self.heap[a]) { b } else { a });
            let Some(first) = first.filter(|&first| self.precedes(self.heap[first], entry)) else { break };
            self.put(at, self.heap[first]);
            at = first;
        }
        self.put(at, entry);
    }

    /// Gives memory back where there is much more than it takes, which as many that were removed pay for. Without memory
    /// for less, it keeps what it has.
    fn thin_out(&mut self) {
        let live = self.heap.len();
        if self.places.capacity() <= SPARSE * live.max(FEW) {
            return;
        }
        let (mut places, mut heap) = (Vec::new(), Vec::new());
        if reserve(&mut places, 2 * live).is_err() || reserve(&mut heap, 2 * live).is_err() {
            return;
        }
        // Each goes to the place that has the number of its entry.
        let old = &mut self.places;
        let moved = |old: &[Place], number: Number| if number == NONE { NONE } else { old[number as usize].at };
        for &Entry { due, place } in &self.heap {
            let timer = old[place as usize].timer.take();
            let Place { id, set, at, before, behind, .. } = old[place as usize];
            heap.push(Entry { due, place: at });
            places.push(Place { timer, id, set, at, before: moved(old, before), behind: moved(old, behind) });
        }
        self.names.values_mut().for_each(|number| *number = moved(old, *number));
        self.of_processes.values_mut().flatten().for_each(|number| *number = moved(old, *number));
        (self.places, self.heap, self.free) = (places, heap, NONE);
        thin_out(&mut self.names);
        thin_out(&mut self.of_processes);
    }

    pub(super) fn into_timers(self) -> impl Iterator<Item = Timer> {
        self.places.into_iter().filter_map(|place| place.timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::References;
    use crate::{Atom, Pid};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn timer(due: u64, to: Destination) -> Timer {
        Timer { due, to, message: Region::build(|h| h.nil()) }
    }

    impl Timetable {
        /// Is everything where what leads to it says?
        fn check(&self) {
            assert_eq!(self.names.len(), self.heap.len());
            for (at, entry) in self.heap.iter().enumerate() {
                let place = &self.places[entry.place as usize];
                assert_eq!((place.at as usize, place.timer.as_ref().unwrap().due), (at, entry.due));
                assert_eq!(self.names[&place.id.word()], entry.place);
                assert!(at == 0 || !self.precedes(*entry, self.heap[(at - 1) / WAYS]));
            }
            let mut linked = 0;
            for (pid, &[oldest, newest]) in &self.of_processes {
                let (mut number, mut before) = (oldest, NONE);
                while number != NONE {
                    let place = &self.places[number as usize];
                    let Destination::Pid(to) = place.timer.as_ref().unwrap().to else { panic!("of no process") };
                    assert_eq!((to.word(), place.before), (*pid, before));
                    (before, number, linked) = (number, place.behind, linked + 1);
                }
                assert_eq!(before, newest);
            }
            let pids = self.places.iter().flat_map(|place| &place.timer);
            assert_eq!(linked, pids.filter(|timer| matches!(timer.to, Destination::Pid(_))).count());
        }
    }

    proptest! {
        #[test]
        fn does_what_a_sorted_list_does(steps in proptest::collection::vec((0..8_u8, 0..40_u64, 0..4_u32), 1..300)) {
            let (refs, mut table) = (References::new(), Timetable::default());
            // By moment and name: whose it is.
            let mut model: BTreeMap<(u64, Reference), Option<Pid>> = BTreeMap::new();
            let mut made = Vec::new();
            for (what, n, slot) in steps {
                let pid = (slot > 0).then(|| Pid::new(0, slot, 0));
                match what {
                    0..4 => {
                        let (id, to) = (refs.make(), pid.map_or(Destination::Name(Atom::OK), Destination::Pid));
                        prop_assert!(table.insert(id, timer(n, to)).is_ok());
                        model.insert((n, id), pid);
                        made.push((n, id));
                    }
                    4 | 5 if !made.is_empty() => {
                        let (due, id) = made[n as usize % made.len()];
                        let there = model.remove(&(due, id)).is_some();
                        prop_assert_eq!(table.due(id), there.then_some(due));
                        prop_assert_eq!(table.remove(id).map(|timer| timer.due), there.then_some(due));
                    }
                    6 => {
                        let first = model.first_key_value().map(|(&key, _)| key).filter(|&(due, _)| due <= n);
                        prop_assert_eq!(table.take_due(n).map(|timer| timer.due), first.map(|(due, _)| due));
                        first.map(|key| model.remove(&key));
                        if let Some((_, id)) = first {
                            prop_assert_eq!(table.due(id), None);
                        }
                    }
                    _ => if let Some(pid) = pid {
                        let oldest = model.iter().filter(|(_, to)| **to == Some(pid)).map(|(&key, _)| key).min_by_key(|key| key.1);
                        prop_assert_eq!(table.take_of(pid.word()).map(|timer| timer.due), oldest.map(|(due, _)| due));
                        oldest.map(|key| model.remove(&key));
                    },
                }
                table.check();
                prop_assert_eq!((table.len(), table.next()), (model.len(), model.first_key_value().map(|(key, _)| key.0)));
            }
            prop_assert_eq!(table.into_timers().count(), model.len());
        }
    }

    #[test]
    fn what_is_cancelled_leaves_nothing_however_many_there_were() {
        let (refs, mut table) = (References::new(), Timetable::default());
        let pid = |i: u64| Destination::Pid(Pid::new(0, (i % 1000) as u32, 0));
        let stays: Vec<_> = (0..10).map(|_| refs.make()).collect();
        for (i, &id) in (1..).zip(&stays) {
            table.insert(id, timer(i << 50, pid(i))).ok().unwrap();
        }
        let go: Vec<_> = (0..100_000).map(|_| refs.make()).collect();
        for (i, &id) in (0..).zip(&go) {
            table.insert(id, timer(i * 7919 % 100_003, pid(i))).ok().unwrap();
        }
        assert!(go.iter().all(|&id| table.remove(id).is_some() && table.remove(id).is_none()));
        table.check();
        let most = SPARSE * FEW;
        assert!(table.places.capacity() <= most && table.heap.capacity() <= most);
        assert!(table.names.capacity() <= 2 * most && table.of_processes.capacity() <= 2 * most);
        for i in 1..=10 {
            assert!(table.take_due((i << 50) - 1).is_none());
            assert!(table.take_due(i << 50).is_some() && table.take_due(i << 50).is_none());
        }
        assert_eq!((table.len(), table.next()), (0, None));
    }
}
