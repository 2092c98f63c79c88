//! Slots that are handed out: to whom they lead, and the doors by which senders come.

use super::{BASE, Group, LINE, LINES, Occupant, SEGMENTS, Slots, groups};
use crate::Pid;
use crate::alloc::try_boxed;
use crate::heap::HeapError;
use crate::heap::region::RegionHead;
use crate::persistent::card::Card;
use crate::persistent::tags::{self, Tag};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::word::GENERATIONS;
use std::collections::VecDeque;
use std::ptr::{self, NonNull};

/// Card, mailbox and place of the occupant of a slot that was handed out. A mark, which is the floor above's, may be put on it.
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

    /// Of a door without the mark.
    #[inline(always)]
    pub(crate) fn card<'a>(self) -> &'a Card {
        debug_assert!(!self.is_marked());
        // SAFETY: the card of a slot. Slots live as long as the process table, which everyone outlives who has a door.
        unsafe { &*self.0.as_ptr() }
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

    fn occupant<'a>(self) -> &'a AtomicPtr<Occupant> {
        const TO_OCCUPANT: usize = std::mem::offset_of!(Group, occupants);
        const _: () = assert!(size_of::<Card>() == size_of::<AtomicPtr<Occupant>>());
        // SAFETY: as for the head.
        unsafe { &*self.0.as_ptr().map_addr(|a| a & !MARK).byte_add(TO_OCCUPANT).cast() }
    }

    /// Whoever is in the slot now.
    pub(crate) fn occupied_by(self) -> Option<NonNull<Occupant>> {
        // Acquire: pairs with the release in `occupy`.
        NonNull::new(self.occupant().load(Ordering::Acquire))
    }

    /// Lets the slot lead to its new process, or port.
    pub(crate) fn occupy(self, occupant: NonNull<Occupant>) {
        // Release: pairs with the acquire in `find`: the process is initialised, and its mailbox open.
        self.occupant().store(occupant.as_ptr(), Ordering::Release);
    }

    /// Takes the process out of its slot. Who has looked it up before may use it until the grace period ends.
    pub(crate) fn vacate(self) {
        // Release: a stale lookup that sees null sees nothing else.
        self.occupant().store(ptr::null_mut(), Ordering::Release);
    }
}

/// Slots that can be used again, and what this domain's pids are made of.
#[derive(Default)]
pub(super) struct Free {
    /// With the generations to use them with.
    slots: VecDeque<(u32, u32)>,
    /// Taken with the first slot: a domain without processes needs none.
    tag: Option<Tag>,
    /// No generation from here on was used.
    unused: u32,
}

/// The next pid of a slot, if its generations are not used up (D1).
pub(crate) fn again(pid: Pid) -> Option<Pid> {
    let generation = pid.generation() + 1;
    (generation < GENERATIONS).then(|| Pid::new(pid.tag(), pid.slot(), generation))
}

/// Segment, and place in it, of a slot.
#[inline]
fn locate(slot: usize) -> (usize, usize) {
    let segment = (slot / BASE + 1).ilog2() as usize;
    (segment, slot + BASE - (BASE << segment))
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
    /// How many slots a table can have.
    pub(crate) const CAPACITY: usize = BASE * ((1 << SEGMENTS) - 1);

    /// A pid for a free slot, or `None` when the table is full, or too many domains have processes. First freed, first
    /// used.
    ///
    /// # Errors
    ///
    /// When there is no memory for another slot.
    pub(crate) fn take(&self) -> Result<Option<Pid>, HeapError> {
        let mut taken = None;
        self.take_some(1, |pid| taken = Some(pid))?;
        Ok(taken)
    }

    /// As [`take`](Self::take), `n` times or until there is none.
    pub(crate) fn take_some(&self, n: usize, mut each: impl FnMut(Pid)) -> Result<(), HeapError> {
        let mut free = self.free.lock();
        let tag = match free.tag {
            Some(tag) => tag,
            None => match tags::take()? {
                Some(tag) => *free.tag.insert(tag),
                None => return Ok(()),
            },
        };
        for _ in 0..n {
            let next = free.slots.pop_front();
            let next = if next.is_some() { next } else { self.fresh(&mut free, tag)? };
            let Some((slot, generation)) = next else { break };
            free.unused = free.unused.max(generation + 1);
            each(Pid::new(tag.number, slot, generation));
        }
        Ok(())
    }

    /// A slot that was never used, and its generation, when none is free.
    fn fresh(&self, free: &mut Free, tag: Tag) -> Result<Option<(u32, u32)>, HeapError> {
        // Relaxed: changed under the lock alone; `lines` reads it with acquire.
        let len = self.len.load(Ordering::Relaxed);
        if len == Self::CAPACITY {
            return Ok(None);
        }
        // A place for each slot, so that it can be given back whatever memory there is then.
        free.slots.try_reserve(len + 1).map_err(|_| HeapError::OutOfMemory { words: len + 1 })?;
        let (segment, i) = locate(len);
        if i == 0 {
            let words = groups(segment) * size_of::<Group>() / size_of::<u64>();
            let new = try_boxed(groups(segment), |_| Group::new()).map_err(|_| HeapError::OutOfMemory { words })?;
            // Release: pairs with the acquire in `segment`.
            self.segments[segment].store(Box::into_raw(new).cast(), Ordering::Release);
        }
        // Release: pairs with the acquire in `lines`.
        self.len.store(len + 1, Ordering::Release);
        Ok(Some((len as u32, tag.first)))
    }

    /// Gives slots back, a grace period after they were vacated. A slot whose generations are used up is not used again
    /// (D1). Takes no memory: see [`take`](Self::take).
    pub(crate) fn give(&self, pids: impl IntoIterator<Item = Pid>) {
        let mut free = self.free.lock();
        for pid in pids {
            // Whoever has pids in hand uses slots again by themselves.
            free.unused = free.unused.max(pid.generation() + 1);
            free.slots.extend(again(pid).map(|pid| (pid.slot(), pid.generation())));
        }
    }

    /// The generation that a domain which has the tag next begins with.
    #[cfg(all(test, not(all(loom, feature = "loom"))))]
    pub(crate) fn first_unused(&self) -> u32 {
        self.free.lock().unused
    }

    /// Gives back slots whose pids were not used.
    pub(crate) fn give_unused(&self, pids: impl Iterator<Item = Pid>) {
        let mut free = self.free.lock();
        for pid in pids {
            // Those before it may have been, by whoever has had it in hand.
            free.unused = free.unused.max(pid.generation());
            free.slots.push_back((pid.slot(), pid.generation()));
        }
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

    /// The door of a slot that was handed out.
    pub(crate) fn door(&self, slot: u32) -> Door {
        let (group, at) = self.group(slot).expect("a slot is handed out after its segment");
        // SAFETY: the group lives as long as `self`, and `at` is one of its places.
        Door(unsafe { group.cast::<Card>().add(at) })
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

    /// All occupants, as of no one moment. The caller must be online.
    pub(crate) fn occupants(&self) -> impl Iterator<Item = NonNull<Occupant>> {
        let all = self.groups().flat_map(|(_, groups)| groups).flat_map(|group| &group.occupants);
        // Acquire: pairs with the release in `occupy`.
        all.filter_map(|occupant| NonNull::new(occupant.load(Ordering::Acquire)))
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        if let Some(tag) = self.tag {
            tags::give(tag.number, self.unused);
        }
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::ops::ControlFlow;

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
            slots.take().unwrap();
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
            slots.take().unwrap();
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
    fn what_a_door_leads_to_is_of_its_slot() {
        let slots = Slots::new();
        for _ in 0..1000 {
            slots.take().unwrap();
        }
        for slot in 0..1000 {
            let (group, at) = slots.group(slot).unwrap();
            // SAFETY: the table lives.
            let group = unsafe { group.as_ref() };
            let door = slots.door(slot);
            assert!(ptr::eq(door.card(), &raw const group.cards[at]));
            let door = door.marked();
            assert!(ptr::eq(door.mail(), &raw const group.mails[at]));
            assert!(ptr::eq(door.occupant(), &raw const group.occupants[at]));
        }
    }

    #[test]
    fn a_slot_is_used_again_first_freed_first_with_the_next_generation_until_they_are_used_up() {
        let slots = Slots::new();
        let take = || slots.take().unwrap().unwrap();
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
    fn some_slots_are_taken_as_one_after_the_other_and_those_not_used_come_back_as_they_were() {
        let slots = Slots::new();
        let some = |n| {
            let mut taken = Vec::new();
            slots.take_some(n, |pid| taken.push(pid)).unwrap();
            taken
        };
        let first = some(3);
        assert_eq!(first.iter().map(|pid| pid.slot()).collect::<Vec<_>>(), [0, 1, 2]);
        slots.give([first[1]]);
        let mixed = some(2);
        assert_eq!(mixed[0], again(first[1]).unwrap());
        assert_eq!((mixed[1].slot(), mixed[1].generation()), (3, first[0].generation()));
        slots.give_unused(mixed.iter().copied());
        assert_eq!(some(2), mixed);
        assert_eq!(again(Pid::new(0, 1, GENERATIONS - 1)), None);
    }

    #[test]
    fn what_was_used_again_in_hand_counts_for_the_next_domain_of_the_tag() {
        for unused in [true, false] {
            let slots = Slots::new();
            let pid = slots.take().unwrap().unwrap();
            let later = (0..5).fold(pid, |pid, _| again(pid).unwrap());
            if unused {
                slots.give_unused([later].into_iter());
            } else {
                slots.give([later]);
            }
            let first_unused = later.generation() + u32::from(!unused);
            assert_eq!(slots.first_unused(), first_unused, "a domain that has the tag next begins there");
        }
    }

    #[test]
    fn domains_have_different_tags_and_a_tag_that_is_used_again_goes_on_with_new_generations() {
        let mut last = std::collections::HashMap::new();
        // More than there are tags.
        for _ in 0..600 {
            let (one, other) = (Slots::new(), Slots::new());
            let (a, b) = (one.take().unwrap().unwrap(), other.take().unwrap().unwrap());
            assert_ne!(a.tag(), b.tag());
            one.give([a]);
            let again = one.take().unwrap().unwrap();
            for pid in [a, again, b] {
                if let Some(before) = last.insert(pid.tag(), pid.generation()) {
                    assert!(pid.generation() > before);
                }
            }
        }
    }
}
