//! The process table: slots that never move, found by number, used again one grace period after they were given back.
//!
//! Eight slots share three cache lines, one for each thing that a slot has. The cards lie by themselves, a page of them
//! together, because the scan of a global collection reads all of them and nothing else: it is as fast as memory comes. So
//! do the heads of the mailboxes, which senders write: they are not in the memory of the process, which its owner reads in
//! every turn. Slots with neighbouring numbers lie on different lines: processes spawned together run on different workers.

#[cfg(feature = "runtime")]
mod handed_out;

#[cfg(feature = "runtime")]
use handed_out::Free;
#[cfg(feature = "runtime")]
pub(crate) use handed_out::{Door, again};

use super::card::Card;
use crate::Pid;
use crate::heap::region::RegionHead;
#[cfg(feature = "runtime")]
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::term::word::SLOT_BITS;
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

#[cfg(feature = "runtime")]
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
    #[cfg(feature = "runtime")]
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

/// All slots of a domain.
pub(crate) struct Slots {
    segments: [AtomicPtr<Group>; SEGMENTS],
    /// Slots that were ever used.
    len: AtomicUsize,
    #[cfg(feature = "runtime")]
    free: Mutex<Free>,
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("len", &self.len.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// Groups of a segment: a power of two.
const fn groups(segment: usize) -> usize {
    1 << segment
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            len: AtomicUsize::new(0),
            #[cfg(feature = "runtime")]
            free: Mutex::default(),
        }
    }

    /// How many slots were ever used.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure to decide by what a scan costs.
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn segment(&self, segment: usize) -> Option<NonNull<Group>> {
        // Acquire: pairs with the release in `take`.
        NonNull::new(self.segments.get(segment)?.load(Ordering::Acquire))
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
}

impl Drop for Slots {
    fn drop(&mut self) {
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
