//! The process table: slots that never move, found by number, used again one grace period after they were given back.
//!
//! Cards lie in arrays of their own, because the scan of a global collection reads all of them and nothing else. Slots
//! with neighbouring numbers lie on different cache lines: processes spawned together run on different workers.

use super::card::Card;
use crate::Pid;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::term::word::SLOT_BITS;
use std::collections::VecDeque;
use std::fmt;
use std::ptr::{self, NonNull};

/// What this floor knows of a process: the first field of whatever a slot leads to.
#[derive(Debug)]
pub(crate) struct Occupant {
    pub(crate) pid: Pid,
    /// Puts the process on a run queue. The caller has made it scheduled.
    ///
    /// # Safety
    ///
    /// The occupant must be the one that holds this function.
    pub(crate) schedule: unsafe fn(NonNull<Occupant>),
}

/// Slots of the first segment; each further one has twice as many.
const BASE: usize = if crate::IS_LOOM { 2 } else { 64 };
const SEGMENTS: usize = if crate::IS_LOOM { 2 } else { SLOT_BITS as usize - 6 };
/// Cards of a cache line.
const LINE: usize = 8;

struct Segment {
    cards: Box<[Card]>,
    occupants: Box<[AtomicPtr<Occupant>]>,
}

/// All slots of a domain.
pub(crate) struct Slots {
    segments: [AtomicPtr<Segment>; SEGMENTS],
    /// Slots that were ever used.
    len: AtomicUsize,
    free: Mutex<VecDeque<(u32, u32)>>,
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("len", &self.len.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// Segment, and place in it, of a slot.
fn locate(slot: usize) -> (usize, usize) {
    let segment = (slot / BASE + 1).ilog2() as usize;
    (segment, slot + BASE - (BASE << segment))
}

/// Where the card of the `i`th slot of a segment of `n` lies.
fn spread(i: usize, n: usize) -> usize {
    if n <= LINE { i } else { i % (n / LINE) * LINE + i / (n / LINE) }
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            len: AtomicUsize::new(0),
            free: Mutex::new(VecDeque::new()),
        }
    }

    /// How many slots were ever used.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure to decide by what a scan costs.
        self.len.load(Ordering::Relaxed)
    }

    /// How many slots a table can have.
    pub(crate) const CAPACITY: usize = BASE * ((1 << SEGMENTS) - 1);

    /// A free slot and the generation to use it with, or `None` when the table is full. First freed, first used.
    pub(crate) fn take(&self) -> Option<(u32, u32)> {
        let mut free = self.free.lock();
        if let Some(slot) = free.pop_front() {
            return Some(slot);
        }
        // Relaxed: changed under the lock alone; `for_each_card` reads it with acquire.
        let len = self.len.load(Ordering::Relaxed);
        if len == Self::CAPACITY {
            return None;
        }
        let (segment, i) = locate(len);
        if i == 0 {
            let n = BASE << segment;
            let new = Box::new(Segment {
                cards: (0..n).map(|_| Card::dead()).collect(),
                occupants: (0..n).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            });
            // Release: pairs with the acquire in `segment`.
            self.segments[segment].store(Box::into_raw(new), Ordering::Release);
        }
        // Release: pairs with the acquire in `for_each_card`.
        self.len.store(len + 1, Ordering::Release);
        Some((len as u32, 0))
    }

    /// Gives slots back, a grace period after they were vacated. A slot whose generations are used up is not used again
    /// (D1).
    pub(crate) fn give(&self, slots: impl IntoIterator<Item = (u32, u32)>) {
        let next = |(slot, generation): (u32, u32)| Some((slot, generation.checked_add(1)?));
        self.free.lock().extend(slots.into_iter().filter_map(next));
    }

    fn segment(&self, segment: usize) -> Option<&Segment> {
        // Acquire: pairs with the release in `take`.
        let p = self.segments.get(segment)?.load(Ordering::Acquire);
        // SAFETY: segments live as long as `self`.
        unsafe { p.as_ref() }
    }

    /// The card of a slot that was handed out.
    pub(crate) fn card(&self, slot: u32) -> &Card {
        let (segment, i) = locate(slot as usize);
        let segment = self.segment(segment).expect("a slot is handed out after its segment");
        &segment.cards[spread(i, segment.cards.len())]
    }

    /// Lets a slot lead to its new process.
    pub(crate) fn occupy(&self, occupant: NonNull<Occupant>, pid: Pid) {
        let (segment, i) = locate(pid.slot() as usize);
        let segment = self.segment(segment).expect("a slot is handed out after its segment");
        // Release: pairs with the acquire in `find`: the process is initialised.
        segment.occupants[i].store(occupant.as_ptr(), Ordering::Release);
    }

    /// Takes the process out of its slot. Who has looked it up before may use it until the grace period ends.
    pub(crate) fn vacate(&self, pid: Pid) {
        let (segment, i) = locate(pid.slot() as usize);
        let segment = self.segment(segment).expect("a slot is handed out after its segment");
        // Release: a stale lookup that sees null sees nothing else.
        segment.occupants[i].store(ptr::null_mut(), Ordering::Release);
    }

    /// The process of that name, if it lives. The caller must be online, and the result is valid until its next boundary.
    #[inline]
    pub(crate) fn find(&self, pid: Pid) -> Option<NonNull<Occupant>> {
        let (segment, i) = locate(pid.slot() as usize);
        // Acquire: pairs with the release in `occupy`.
        let p = NonNull::new(self.segment(segment)?.occupants.get(i)?.load(Ordering::Acquire))?;
        // SAFETY: the occupant was in its slot during the caller's online span, so it is freed after that span ends.
        (unsafe { p.as_ref() }.pid == pid).then_some(p)
    }

    /// Calls `f` with every card, in the order of memory, and a way to find the occupant that belongs to it.
    pub(crate) fn for_each_card(&self, mut f: impl FnMut(&Card, &dyn Fn() -> Option<NonNull<Occupant>>)) {
        // Acquire: pairs with the release in `take`. A slot that is taken later is occupied by a process that cannot
        // carry what a collection is looking for.
        let mut left = self.len.load(Ordering::Acquire);
        for segment in 0..SEGMENTS {
            let Some(segment) = self.segment(segment) else { return };
            if left == 0 {
                return;
            }
            left = left.saturating_sub(segment.cards.len());
            let n = segment.cards.len();
            for (at, card) in segment.cards.iter().enumerate() {
                let i = if n <= LINE { at } else { at % LINE * (n / LINE) + at / LINE };
                // Acquire: pairs with the release in `occupy`.
                f(card, &|| NonNull::new(segment.occupants[i].load(Ordering::Acquire)));
            }
        }
    }

    /// Is there nobody whom a collection of areas with these bits would ask now?
    pub(crate) fn all_clear(&self, bits: u64) -> bool {
        let mut clear = true;
        self.for_each_card(|card, _| clear &= card.is_clear(bits));
        clear
    }

    /// All occupants, as of no one moment. The caller must be online.
    pub(crate) fn occupants(&self) -> Vec<NonNull<Occupant>> {
        // Acquire: pairs with the release in `occupy`.
        let of = |segment: &Segment| -> Vec<_> {
            segment.occupants.iter().filter_map(|p| NonNull::new(p.load(Ordering::Acquire))).collect()
        };
        (0..SEGMENTS).map_while(|s| self.segment(s)).flat_map(of).collect()
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for segment in &self.segments {
            let p = segment.load(Ordering::Relaxed);
            if !p.is_null() {
                // SAFETY: made by `Box`, and nobody looks any more.
                drop(unsafe { Box::from_raw(p) });
            }
        }
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn slots_have_places_of_their_own() {
        let mut seen = HashSet::new();
        for slot in 0..10_000 {
            let (segment, i) = locate(slot);
            let n = BASE << segment;
            assert!(i < n);
            assert!(seen.insert((segment, spread(i, n))));
            let at = spread(i, n);
            assert_eq!(i, at % LINE * (n / LINE) + at / LINE, "the scan finds the occupant of a card");
        }
    }

    #[test]
    fn neighbours_do_not_share_a_line() {
        let n = BASE << 4;
        assert!((1..n / LINE).all(|i| spread(i, n) / LINE != spread(i - 1, n) / LINE));
    }

    #[test]
    fn a_slot_is_used_again_first_freed_first_with_the_next_generation_until_they_are_used_up() {
        let slots = Slots::new();
        assert_eq!([0, 1, 2].map(|_| slots.take()), [0, 1, 2].map(|slot| Some((slot, 0))));
        slots.give([(1, 0), (0, u32::MAX), (2, 7)]);
        assert_eq!([0, 1, 2].map(|_| slots.take()), [Some((1, 1)), Some((2, 8)), Some((3, 0))]);
    }
}
