//! The process table: slots that never move, found by number, used again one grace period after they were given back.
//!
//! Eight slots share three cache lines, one for each thing that a slot has. The cards lie by themselves, a page of them
//! together, because the scan of a global collection reads all of them and nothing else: it is as fast as memory comes. So
//! do the heads of the mailboxes, which senders write: they are not in the memory of the process, which its owner reads in
//! every turn. Slots with neighbouring numbers lie on different lines: processes spawned together run on different workers.

use super::card::Card;
use super::tags::{self, Tag};
use crate::Pid;
use crate::heap::region::RegionHead;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::word::{GENERATIONS, SLOT_BITS};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{ControlFlow, Deref, Range};
use std::ptr::{self, NonNull};

/// What this floor knows of a process: the first field of whatever a slot leads to.
#[derive(Debug)]
pub(crate) struct Occupant {
    pub(crate) pid: Pid,
    pub(crate) acts: ActsRef,
}

/// A reference to [`Acts`] that may be used for all of the table that they are the beginning of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActsRef(NonNull<Acts>);

// SAFETY: a reference to functions.
unsafe impl Send for ActsRef {}
// SAFETY: as above.
unsafe impl Sync for ActsRef {}

impl ActsRef {
    /// # Safety
    ///
    /// A `T` must begin with [`Acts`].
    pub(crate) const unsafe fn of<T>(table: &'static T) -> Self {
        // SAFETY: a reference is not null.
        Self(unsafe { NonNull::new_unchecked(ptr::from_ref(table).cast_mut().cast()) })
    }

    /// # Safety
    ///
    /// The table must have been made [of](Self::of) a `T`.
    pub(crate) const unsafe fn whole<T>(self) -> &'static T {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Deref for ActsRef {
    type Target = Acts;

    fn deref(&self) -> &Acts {
        // SAFETY: `of` was given a static that begins with them.
        unsafe { self.0.as_ref() }
    }
}

/// What this floor wants done with whatever a slot leads to.
#[derive(Debug)]
pub(crate) struct Acts {
    /// Puts the process on a run queue. The caller has made it scheduled.
    ///
    /// # Safety
    ///
    /// The occupant must be one that has this function.
    pub(crate) schedule: unsafe fn(NonNull<Occupant>),
    /// What a process that is idle points into: a bit for each area, or `None` where one is retired, or it would take
    /// long to tell.
    ///
    /// # Safety
    ///
    /// As above; the caller must own the process, and the areas with the bits given must live.
    pub(crate) look: unsafe fn(NonNull<Occupant>, u64) -> Option<u64>,
    /// Has what [`look`](Self::look) will read brought near.
    ///
    /// # Safety
    ///
    /// As above; the caller must own the process.
    pub(crate) fetch: unsafe fn(NonNull<Occupant>),
}

/// Slots of a line of cards.
pub(super) const LINE: usize = if crate::sync::MODELLED { 2 } else { 8 };
/// Lines of a group: a page of each thing.
const LINES: usize = if crate::sync::MODELLED { 1 } else { 64 };
/// Slots of the first segment, which is a group; each further one has twice as many.
const BASE: usize = LINES * LINE;
const SEGMENTS: usize = if crate::IS_LOOM {
    2
} else if crate::IS_SHUTTLE {
    4
} else {
    SLOT_BITS as usize - BASE.trailing_zeros() as usize
};

/// A line of cards, and as many occupants.
pub(super) type Line<'a> = (&'a [Card], &'a [AtomicPtr<Occupant>]);

/// What some slots have.
#[repr(C, align(64))]
struct Group {
    cards: [Card; BASE],
    mails: [AtomicPtr<RegionHead>; BASE],
    occupants: [AtomicPtr<Occupant>; BASE],
}

impl Group {
    fn new() -> Self {
        Self {
            cards: std::array::from_fn(|_| Card::dead()),
            mails: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            occupants: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// The lines of cards, with the occupants that belong to them.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.cards.chunks_exact(LINE).zip(self.occupants.chunks_exact(LINE))
    }
}

/// Card and mailbox of a slot that was handed out. A mark, which is the floor above's, may be put on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door(NonNull<Card>);

const MARK: usize = 1;
const _: () = assert!(align_of::<Card>() > MARK);

impl Door {
    pub(crate) fn marked(self) -> Self {
        Self(self.0.map_addr(|a| a | MARK))
    }

    pub(crate) fn is_marked(self) -> bool {
        self.0.addr().get() & MARK != 0
    }

    #[inline(always)]
    pub(crate) fn card<'a>(self) -> &'a Card {
        // SAFETY: the card of a slot. Slots live as long as the process table, which everyone outlives who has a door.
        unsafe { &*self.0.as_ptr().map_addr(|a| a & !MARK) }
    }

    /// The head of the mailbox.
    #[inline(always)]
    pub(crate) fn mail<'a>(self) -> &'a AtomicPtr<RegionHead> {
        const TO_MAIL: usize = std::mem::offset_of!(Group, mails);
        const _: () = assert!(size_of::<Card>() == size_of::<AtomicPtr<RegionHead>>());
        // SAFETY: as above; the pointer was made from one to the group, where the heads lie behind the cards in the same
        // order, and are as large.
        unsafe { &*self.0.as_ptr().map_addr(|a| a & !MARK).byte_add(TO_MAIL).cast() }
    }
}

/// All slots of a domain.
pub(crate) struct Slots {
    segments: [AtomicPtr<Group>; SEGMENTS],
    /// Slots that were ever used.
    len: AtomicUsize,
    free: Mutex<Free>,
}

/// Slots that can be used again, and what this domain's pids are made of.
struct Free {
    /// With the generations to use them with.
    slots: VecDeque<(u32, u32)>,
    /// Taken with the first slot: a domain without processes needs none.
    tag: Option<Tag>,
    /// No generation from here on was used.
    unused: u32,
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("len", &self.len.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// Segment, and place in it, of a slot.
#[inline]
fn locate(slot: usize) -> (usize, usize) {
    let segment = (slot / BASE + 1).ilog2() as usize;
    (segment, slot + BASE - (BASE << segment))
}

/// Groups of a segment: a power of two.
const fn groups(segment: usize) -> usize {
    1 << segment
}

/// Group, and place in it, of the `i`th slot of a segment: on the line after that of the one before.
#[inline]
fn spread(segment: usize, i: usize) -> (usize, usize) {
    let lines = groups(segment) * LINES;
    let (line, at) = (i & (lines - 1), i >> lines.trailing_zeros());
    let group = line / LINES;
    (group, (line - group * LINES) * LINE + at)
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            len: AtomicUsize::new(0),
            free: Mutex::new(Free { slots: VecDeque::new(), tag: None, unused: 0 }),
        }
    }

    /// How many slots were ever used.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure to decide by what a scan costs.
        self.len.load(Ordering::Relaxed)
    }

    /// How many slots a table can have.
    pub(crate) const CAPACITY: usize = BASE * ((1 << SEGMENTS) - 1);

    /// A pid for a free slot, or `None` when the table is full, or too many domains have processes. First freed, first
    /// used.
    pub(crate) fn take(&self) -> Option<Pid> {
        let mut free = self.free.lock();
        let tag = match free.tag {
            Some(tag) => tag,
            None => *free.tag.insert(tags::take()?),
        };
        if let Some((slot, generation)) = free.slots.pop_front() {
            free.unused = free.unused.max(generation + 1);
            return Some(Pid::new(tag.number, slot, generation));
        }
        // Relaxed: changed under the lock alone; `lines` reads it with acquire.
        let len = self.len.load(Ordering::Relaxed);
        if len == Self::CAPACITY {
            return None;
        }
        let (segment, i) = locate(len);
        if i == 0 {
            let new: Box<[Group]> = (0..groups(segment)).map(|_| Group::new()).collect();
            // Release: pairs with the acquire in `segment`.
            self.segments[segment].store(Box::into_raw(new).cast(), Ordering::Release);
        }
        // Release: pairs with the acquire in `lines`.
        self.len.store(len + 1, Ordering::Release);
        free.unused = free.unused.max(tag.first + 1);
        Some(Pid::new(tag.number, len as u32, tag.first))
    }

    /// Gives slots back, a grace period after they were vacated. A slot whose generations are used up is not used again
    /// (D1).
    pub(crate) fn give(&self, pids: impl IntoIterator<Item = Pid>) {
        let next = |pid: Pid| (pid.generation() + 1 < GENERATIONS).then_some((pid.slot(), pid.generation() + 1));
        self.free.lock().slots.extend(pids.into_iter().filter_map(next));
    }

    #[inline]
    fn segment(&self, segment: usize) -> Option<NonNull<Group>> {
        // Acquire: pairs with the release in `take`.
        NonNull::new(self.segments.get(segment)?.load(Ordering::Acquire))
    }

    /// The group of a slot, and the place in it. `None`: the slot was never handed out.
    #[inline]
    fn group(&self, slot: u32) -> Option<(NonNull<Group>, usize)> {
        let (segment, i) = locate(slot as usize);
        let first = self.segment(segment)?;
        let (group, at) = spread(segment, i);
        // SAFETY: `i` is less than the slots of the segment, so the group is one of its.
        Some((unsafe { first.add(group) }, at))
    }

    /// Card and mailbox of a slot that was handed out.
    pub(crate) fn door(&self, slot: u32) -> Door {
        let (group, at) = self.group(slot).expect("a slot is handed out after its segment");
        // SAFETY: the group lives as long as `self`, and `at` is one of its places.
        Door(unsafe { group.cast::<Card>().add(at) })
    }

    fn occupant(&self, slot: u32) -> &AtomicPtr<Occupant> {
        let (group, at) = self.group(slot).expect("a slot is handed out after its segment");
        // SAFETY: the group lives as long as `self`.
        &unsafe { group.as_ref() }.occupants[at]
    }

    /// Lets a slot lead to its new process.
    pub(crate) fn occupy(&self, occupant: NonNull<Occupant>, pid: Pid) {
        // Release: pairs with the acquire in `find`: the process is initialised, and its mailbox open.
        self.occupant(pid.slot()).store(occupant.as_ptr(), Ordering::Release);
    }

    /// Takes the process out of its slot. Who has looked it up before may use it until the grace period ends.
    pub(crate) fn vacate(&self, pid: Pid) {
        // Release: a stale lookup that sees null sees nothing else.
        self.occupant(pid.slot()).store(ptr::null_mut(), Ordering::Release);
    }

    /// The process of that name, if it lives. The caller must be online, and the result is valid until its next boundary.
    #[inline]
    pub(crate) fn find(&self, pid: Pid) -> Option<NonNull<Occupant>> {
        let (group, at) = self.group(pid.slot())?;
        // SAFETY: the group lives as long as `self`.
        let occupant = &unsafe { group.as_ref() }.occupants[at];
        // Acquire: pairs with the release in `occupy`.
        let p = NonNull::new(occupant.load(Ordering::Acquire))?;
        // SAFETY: the occupant was in its slot during the caller's online span, so it is freed after that span ends.
        let found = unsafe { p.as_ref() }.pid;
        (found == pid || mutated(Mutation::FindIgnoresGeneration) && found.slot() == pid.slot()).then_some(p)
    }

    /// Calls `f` with every card, in the order of memory, and a way to find the occupant that belongs to it.
    pub(crate) fn for_each_card(&self, mut f: impl FnMut(&Card, &dyn Fn() -> Option<NonNull<Occupant>>)) {
        self.lines().for_each(|(cards, occupants)| {
            for (card, occupant) in cards.iter().zip(occupants) {
                // Acquire: pairs with the release in `occupy`.
                f(card, &|| NonNull::new(occupant.load(Ordering::Acquire)));
            }
        });
    }

    /// As [`for_each_card`](Self::for_each_card), for the cards with these numbers, until `f` breaks. The number of the card
    /// at which it did, or the end.
    pub(crate) fn walk(
        &self,
        cards: Range<usize>,
        mut f: impl FnMut(&Card, &dyn Fn() -> Option<NonNull<Occupant>>) -> ControlFlow<()>,
    ) -> usize {
        let mut first = 0;
        for (n, groups) in self.groups() {
            for number in cards.start.max(first)..cards.end.min(first + n) {
                let (group, at) = (&groups[(number - first) / BASE], (number - first) % BASE);
                // Acquire: pairs with the release in `occupy`.
                let occupant = || NonNull::new(group.occupants[at].load(Ordering::Acquire));
                if f(&group.cards[at], &occupant).is_break() {
                    return number;
                }
            }
            first += n;
            if first >= cards.end {
                break;
            }
        }
        cards.end
    }

    /// The lines with a card that was ever used, in the order of memory, and the occupants that belong to the cards. The
    /// cards that this comes by have the numbers from zero on.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        // Acquire: pairs with the release in `take`. A slot that is taken later is occupied by a process that cannot
        // carry what a collection is looking for.
        let len = self.len.load(Ordering::Acquire);
        let used = self.groups().scan(len, |left, (n, groups)| {
            // The first slots of a segment are those at the front of its lines.
            let here = *left;
            *left = left.saturating_sub(n);
            (here > 0).then(|| groups.iter().flat_map(Group::lines).take(here))
        });
        used.flatten()
    }

    /// The segments that there are: how many slots, and their groups.
    fn groups(&self) -> impl Iterator<Item = (usize, &[Group])> {
        (0..SEGMENTS).map_while(|segment| {
            let first = self.segment(segment)?;
            // SAFETY: segments have so many groups, and live as long as `self`.
            let groups = unsafe { std::slice::from_raw_parts(first.as_ptr(), groups(segment)) };
            Some((BASE << segment, groups))
        })
    }

    /// All occupants, as of no one moment. The caller must be online.
    pub(crate) fn occupants(&self) -> Vec<NonNull<Occupant>> {
        let all = self.groups().flat_map(|(_, groups)| groups).flat_map(|group| &group.occupants);
        // Acquire: pairs with the release in `occupy`.
        all.filter_map(|occupant| NonNull::new(occupant.load(Ordering::Acquire))).collect()
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let free = self.free.lock();
        if let Some(tag) = free.tag {
            tags::give(tag.number, free.unused);
        }
        drop(free);
        for (segment, first) in self.segments.iter().enumerate() {
            let first = first.load(Ordering::Relaxed);
            if !first.is_null() {
                let all = ptr::slice_from_raw_parts_mut(first, groups(segment));
                // SAFETY: made by `Box` with so many, and nobody looks any more.
                drop(unsafe { Box::from_raw(all) });
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
            let (group, at) = spread(segment, i);
            assert!(group < groups(segment) && at < BASE);
            assert!(seen.insert((segment, group, at)));
        }
    }

    #[test]
    fn neighbours_do_not_share_a_line() {
        let line = |segment, i| {
            let (group, at) = spread(segment, i);
            (group, at / LINE)
        };
        for segment in 0..5 {
            assert!((1..BASE << segment).all(|i| line(segment, i) != line(segment, i - 1)));
        }
    }

    #[test]
    fn every_slot_that_was_used_is_on_a_line_and_few_slots_on_few_lines() {
        let slots = Slots::new();
        for n in 1..=2000_usize {
            slots.take();
            if n % 97 > 1 && n % 64 > 1 {
                continue;
            }
            let lines: Vec<_> = slots.lines().map(|(cards, _)| cards.as_ptr_range()).collect();
            assert!(lines.len() <= n);
            for slot in 0..n as u32 {
                let card = ptr::from_ref(slots.door(slot).card());
                assert!(lines.iter().any(|line| line.contains(&card)), "{slot} of {n}");
            }
        }
    }

    #[test]
    fn a_walk_over_some_cards_comes_by_those_that_the_lines_have_with_these_numbers() {
        let slots = Slots::new();
        for _ in 0..3000 {
            slots.take();
        }
        let all: Vec<_> = slots.lines().flat_map(|(cards, _)| cards).map(ptr::from_ref).collect();
        for range in [0..0, 0..1, 5..9, 100..1700, 511..513, 0..all.len(), 2999..3000] {
            let mut seen = Vec::new();
            let end = slots.walk(range.clone(), |card, _| {
                seen.push(ptr::from_ref(card));
                ControlFlow::Continue(())
            });
            assert_eq!((end, &seen[..]), (range.end, &all[range.clone()]));
            if range.len() > 2 {
                let mut left = 2;
                let stop = |_: &Card, _: &dyn Fn() -> Option<NonNull<Occupant>>| {
                    left -= 1;
                    if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                assert_eq!(slots.walk(range.clone(), stop), range.start + 2);
            }
        }
    }

    #[test]
    fn card_and_mailbox_of_a_door_are_those_of_its_slot() {
        let slots = Slots::new();
        for _ in 0..1000 {
            slots.take();
        }
        for slot in 0..1000 {
            let (group, at) = slots.group(slot).unwrap();
            // SAFETY: the table lives.
            let group = unsafe { group.as_ref() };
            let door = slots.door(slot).marked();
            assert!(
                ptr::eq(door.card(), &raw const group.cards[at]) && ptr::eq(door.mail(), &raw const group.mails[at])
            );
        }
    }

    #[test]
    fn a_slot_is_used_again_first_freed_first_with_the_next_generation_until_they_are_used_up() {
        let slots = Slots::new();
        let take = || slots.take().unwrap();
        let [a, b, c] = [0, 1, 2].map(|_| take());
        let (tag, first) = (a.tag(), a.generation());
        assert_eq!([a, b, c], [0, 1, 2].map(|slot| Pid::new(tag, slot, first)));
        slots.give([b, Pid::new(tag, 0, GENERATIONS - 1), Pid::new(tag, 2, 7)]);
        assert_eq!(
            [0, 1, 2].map(|_| take()),
            [Pid::new(tag, 1, first + 1), Pid::new(tag, 2, 8), Pid::new(tag, 3, first)]
        );
    }

    #[test]
    fn domains_have_different_tags_and_a_tag_that_is_used_again_goes_on_with_new_generations() {
        let mut last = std::collections::HashMap::new();
        // More than there are tags.
        for _ in 0..600 {
            let (one, other) = (Slots::new(), Slots::new());
            let (a, b) = (one.take().unwrap(), other.take().unwrap());
            assert_ne!(a.tag(), b.tag());
            one.give([a]);
            let again = one.take().unwrap();
            for pid in [a, again, b] {
                if let Some(before) = last.insert(pid.tag(), pid.generation()) {
                    assert!(pid.generation() > before);
                }
            }
        }
    }
}
