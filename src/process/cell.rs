//! The memory of a process.

use super::bound::Bound;
use super::links::Relations;
use super::mailbox::{Mailbox, Queue};
use super::node::{Node, Parent};
use super::options::Settings;
use super::{Exit, Process, caught};
use crate::Pid;
use crate::heap::CollectWhen;
use crate::heap::raw::RawHeap;
use crate::heap::{HeapError, try_box};
use crate::heap::{Region, pool};
use crate::persistent::{Acts, ActsRef, Card, Domain, Door, Link, Occupant};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::term::word::{self, SLOT_BITS, Word};
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// What a sender touches: the part of a process, or of a port, that others reach while they are online.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Recipient {
    pub(crate) occupant: Occupant,
    /// Marked for a port, whose card says nothing.
    pub(crate) door: Door,
    /// What the mailbox may hold, if not any number of messages.
    pub(crate) bound: Option<Box<Bound>>,
}

impl Recipient {
    /// The recipient that a slot leads to.
    ///
    /// # Safety
    ///
    /// The caller must be online, and have found the occupant in this span.
    pub(crate) unsafe fn of<'a>(occupant: NonNull<Occupant>) -> &'a Self {
        // SAFETY: every occupant is the first field of a recipient, and is freed a grace period after it left its slot.
        unsafe { occupant.cast::<Self>().as_ref() }
    }

    pub(crate) fn is_port(&self) -> bool {
        self.door.is_marked()
    }

    pub(crate) fn card(&self) -> &Card {
        debug_assert!(!self.is_port());
        self.door.card()
    }

    #[inline]
    pub(crate) fn mailbox(&self) -> &Mailbox {
        Mailbox::of(self.door.mail())
    }
}

/// How the type of a behaviour is reached from a process whose type is forgotten. What the floor below wants of it comes
/// first, so that one pointer leads to both.
#[repr(C)]
pub(crate) struct VTable {
    acts: Acts,
    /// # Safety
    ///
    /// The process must be of the behaviour that the table was made for.
    behaviour: unsafe fn(NonNull<Header>) -> *mut dyn Process,
    /// # Safety
    ///
    /// As above; the process must have ended, and nobody may look at it any more.
    free: unsafe fn(NonNull<Header>),
    /// Does anything happen when the behaviour is dropped?
    needs_drop: bool,
}

/// A process, but for its behaviour, which follows in the same allocation.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) recipient: Recipient,
    /// Not counted, because workers would all write that count. The runtime holds the node until every process of it has
    /// ended, and what is left of those then holds it (see `Remains`).
    pub(crate) node: ManuallyDrop<Arc<Node>>,
    /// The owner's, as what follows; by itself, because signals are sent while the rest is borrowed.
    relations: UnsafeCell<Option<Box<Relations>>>,
    owned: UnsafeCell<Owned>,
}

impl Header {
    /// Has the process, which has ended, memory of its own still? Most have none.
    #[inline]
    fn has_memory(&mut self) -> bool {
        let owned = self.owned.get_mut();
        let messages = !(owned.inbox.is_empty() && owned.deferred.is_empty());
        messages
            || self.recipient.bound.is_some()
            || self.relations.get_mut().is_some()
            || owned.heap.old.is_some()
            || owned.heap.has_memory()
    }
}

/// What belongs to whoever runs the process. What seldom changes comes first: senders read the beginning of the header, and
/// what each turn writes lies on other lines than that.
#[repr(C)]
pub(crate) struct Owned {
    /// Messages that were left for later.
    pub(crate) deferred: Queue,
    /// Bits of what the private messages point into; more than that is allowed, less is not.
    pub(crate) messages_filter: u64,
    /// Words in use beyond which the heap is collected after a turn.
    pub(crate) threshold: usize,
    pub(crate) min_heap_words: u32,
    pub(crate) minors_before_major: u32,
    pub(crate) heap: RawHeap,
    pub(crate) state: Word,
    /// Messages that were taken out of the mailbox.
    pub(crate) inbox: Queue,
    pub(crate) collect_when: CollectWhen,
    pub(crate) next: NextTurn,
    pub(crate) flags: Flags,
    pub(super) turns: Turns,
    /// The slot of who comes behind it on a list of scheduled processes: what is left of a word, too.
    next_scheduled: AtomicU32,
}

/// The slot of nobody.
pub(crate) const NOBODY: u32 = u32::MAX;
const _: () = assert!(SLOT_BITS < u32::BITS);

/// Answers in one byte.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// Does the process see exit signals as events?
    pub(crate) const TRAPS_EXITS: Self = Self(1);
    /// Is there a timeout in its relations?
    pub(crate) const TIMEOUT: Self = Self(2);
    /// Does it hibernate when it waits next?
    pub(crate) const HIBERNATES: Self = Self(8);
    /// Is there something in its relations that has come and was not looked at yet?
    pub(crate) const UNSEEN: Self = Self(4);
    /// Do slices of binaries stay what they are?
    pub(crate) const KEEPS_PARENTS: Self = Self(16);

    pub(crate) fn has(self, which: Self) -> bool {
        self.0 & which.0 != 0
    }

    /// Says what was before.
    pub(crate) fn set(&mut self, which: Self, on: bool) -> bool {
        let before = self.has(which);
        self.0 = if on { self.0 | which.0 } else { self.0 & !which.0 };
        before
    }
}

/// Turns that were begun, modulo 2^40: what is left of a word beside the bytes before it.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Turns {
    high: u8,
    low: u32,
}

impl Turns {
    #[inline]
    pub(super) fn begin(&mut self) {
        let (low, carry) = self.low.overflowing_add(1);
        self.low = low;
        self.high = self.high.wrapping_add(carry.into());
    }

    pub(super) fn begun(&self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

const _: () = assert!(
    // A cell begins at any of the eight words of a line, and the recipient ends with a word.
    std::mem::offset_of!(Header, owned) + std::mem::offset_of!(Owned, heap) + std::mem::offset_of!(RawHeap, top)
        >= size_of::<Recipient>() + 56,
    "what each turn writes lies on other lines than what senders read"
);

impl Owned {
    /// Drops the events among the messages that wait for which `which` is true. O(messages).
    pub(super) fn remove_events(&mut self, which: impl Fn(&Region) -> bool) {
        for queue in [&mut self.inbox, &mut self.deferred] {
            let mut old = std::mem::take(queue);
            while let Some(message) = old.pop() {
                if which(&message) {
                    let _ = caught(|| drop(message));
                } else {
                    queue.push(message);
                }
            }
        }
    }
}

/// What the next turn of a process calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextTurn {
    Init,
    Receive,
    Resume,
}

#[repr(C)]
struct Cell<P> {
    header: Header,
    behaviour: UnsafeCell<ManuallyDrop<P>>,
}

/// Where the link of an ended process lies.
const GRAVE: usize = std::mem::offset_of!(Header, owned) + std::mem::offset_of!(Owned, messages_filter);

/// A process that is on a run queue, or owned by whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task(NonNull<Header>);

// SAFETY: whoever holds a task owns the process (the card says so): heap, messages and behaviour are `Send`.
unsafe impl Send for Task {}

/// The memory of a process to be, in which what it takes other memory for is written already.
pub(crate) struct Room<P>(NonNull<Cell<P>>);

impl<P: Process> Room<P> {
    /// Or an error, while there is nothing yet to be undone.
    #[inline]
    pub(crate) fn new(settings: &Settings) -> Result<Self, HeapError> {
        let bound = settings.mailbox.map(|limit| try_box(Bound::new(limit))).transpose()?;
        let layout = Layout::new::<Cell<P>>();
        let words = layout.size() / size_of::<Word>();
        let cell: NonNull<Cell<P>> =
            NonNull::new(pool::allocate(layout).cast()).ok_or(HeapError::OutOfMemory { words })?;
        // SAFETY: the memory is new, and for a cell.
        unsafe {
            (&raw mut (*cell.as_ptr()).header.recipient.bound).write(bound);
            (&raw mut (*cell.as_ptr()).header.relations).write(UnsafeCell::new(None));
        }
        Ok(Self(cell))
    }

    /// Makes places for what the process is to know of who spawns it, and that of the process, and for a name.
    pub(super) fn know(&mut self, parent: Option<&Parent>) -> Result<(), HeapError> {
        let mut mine = try_box(Relations::default())?;
        match parent {
            Some(&Parent::Turn { task, link, monitor }) => {
                let monitored = monitor.is_some();
                // SAFETY: the parent is in a turn that the caller runs; the borrow ends with the statement.
                unsafe { task.relations() }?.reserve(link, monitored, false)?;
                mine.reserve(link, false, monitored)?;
            }
            Some(Parent::Port { .. }) => mine.reserve(false, false, true)?,
            Some(Parent::Thread(_)) | None => {}
        }
        // SAFETY: `new` has written the field, and nobody else knows the memory.
        unsafe { (*self.0.as_ptr()).header.relations = UnsafeCell::new(Some(mine)) };
        Ok(())
    }
}

impl<P> Drop for Room<P> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`, which has written these two fields, and nobody else's: `create`
        // forgets it.
        unsafe {
            (&raw mut (*self.0.as_ptr()).header.recipient.bound).drop_in_place();
            (&raw mut (*self.0.as_ptr()).header.relations).drop_in_place();
            pool::free(self.0.as_ptr().cast(), Layout::new::<Cell<P>>());
        }
    }
}

struct Erase<P>(P);

impl<P: Process> Erase<P> {
    const VTABLE: VTable = VTable {
        acts: Acts { schedule: Task::schedule, look: super::evacuate::look, fetch: super::evacuate::fetch },
        // SAFETY: the caller's promise: the header is the first field of a `Cell<P>`.
        behaviour: |header| unsafe { (&raw mut *(*header.cast::<Cell<P>>().as_ptr()).behaviour.get()).cast::<P>() },
        // SAFETY: as above; `create` has made the cell, and its behaviour has been dropped when the process ended.
        free: |header| unsafe {
            let cell = header.cast::<Cell<P>>().as_ptr();
            if (*cell).header.has_memory() {
                cell.drop_in_place();
            }
            pool::free(cell.cast(), Layout::new::<Cell<P>>());
        },
        needs_drop: std::mem::needs_drop::<P>(),
    };
}

impl Task {
    /// A process that nobody else knows yet. Its card says that the caller owns it.
    pub(crate) fn create<P: Process>(
        node: &Arc<Node>,
        (pid, door): (Pid, Door),
        room: Room<P>,
        behaviour: P,
        settings: &Settings,
    ) -> Self {
        door.card().revive();
        Mailbox::of(door.mail()).open();
        let owned = Owned {
            heap: RawHeap::new(settings.limit),
            state: word::NIL,
            inbox: Queue::new(),
            deferred: Queue::new(),
            messages_filter: 0,
            threshold: settings.min_heap_words as usize,
            min_heap_words: settings.min_heap_words,
            minors_before_major: settings.minors_before_major,
            collect_when: settings.collect_when,
            turns: Turns::default(),
            next_scheduled: AtomicU32::new(NOBODY),
            next: NextTurn::Init,
            flags: if settings.keep_parents { Flags::KEEPS_PARENTS } else { Flags::default() },
        };
        let room = ManuallyDrop::new(room);
        let cell = room.0.as_ptr();
        // SAFETY: the memory is new, and for a cell, all of whose fields are written: two by the room. One by one, so that
        // none is put together elsewhere first.
        unsafe {
            (&raw mut (*cell).behaviour).write(UnsafeCell::new(ManuallyDrop::new(behaviour)));
            (&raw mut (*cell).header.owned).write(UnsafeCell::new(owned));
            // Never dropped, so that this is a borrow; it lives as long as the field says.
            (&raw mut (*cell).header.node).write(ManuallyDrop::new(std::ptr::read(node)));
            // The acts are the first field of the table.
            let occupant = Occupant { pid, acts: ActsRef::of(&Erase::<P>::VTABLE) };
            (&raw mut (*cell).header.recipient.occupant).write(occupant);
            (&raw mut (*cell).header.recipient.door).write(door);
        }
        Self(room.0.cast())
    }

    /// # Safety
    ///
    /// As for [`Occupant::schedule`]: the occupant is a process, and the caller has made it scheduled.
    unsafe fn schedule(occupant: NonNull<Occupant>) {
        let task = Self(occupant.cast());
        // SAFETY: a scheduled process lives until it has run.
        unsafe { task.0.as_ref() }.node.ready(task);
    }

    /// The process whose occupant this is, or `None` for a port.
    ///
    /// # Safety
    ///
    /// The occupant must live. Only the owner of the process may do more with the task than look at its header.
    pub(crate) unsafe fn of(occupant: NonNull<Occupant>) -> Option<Self> {
        // SAFETY: the caller's promise.
        let is_port = unsafe { Recipient::of(occupant) }.is_port();
        (!is_port).then(|| Self(occupant.cast()))
    }

    /// Notes the slot of who comes next on the list that it is on, all of which are of one domain and scheduled.
    pub(crate) fn set_next(self, slot: u32) {
        // Relaxed, here and below: what guards the list orders it.
        self.next_scheduled().store(slot, Ordering::Relaxed);
    }

    /// Which slot was [noted](Self::set_next).
    pub(crate) fn next(self) -> u32 {
        self.next_scheduled().load(Ordering::Relaxed)
    }

    /// The scheduled process in that slot, unless it is that of [nobody](NOBODY): who is scheduled stays in its slot until it
    /// runs.
    pub(crate) fn in_slot(domain: &Domain, slot: u32) -> Option<Self> {
        (slot != NOBODY).then(|| domain.slots.door(slot).occupied_by().map(|occupant| Self(occupant.cast())))?
    }

    fn next_scheduled(&self) -> &AtomicU32 {
        // SAFETY: of what belongs to the owner this is for whoever has it on a list, and nobody owns it there.
        unsafe { &(*self.owned_ptr()).next_scheduled }
    }

    /// What others see of the process too.
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the process lives while somebody holds its task.
        unsafe { self.0.as_ref() }
    }

    fn vtable(self) -> &'static VTable {
        // SAFETY: `create` has made it of this.
        unsafe { self.header().recipient.occupant.acts.whole() }
    }

    pub(crate) fn pid(self) -> Pid {
        self.header().recipient.occupant.pid
    }

    pub(crate) fn card(&self) -> &Card {
        self.header().recipient.card()
    }

    /// What is the owner's.
    ///
    /// # Safety
    ///
    /// The caller must own the process (its card says RUN), and end the borrow before it runs code of the user's that
    /// gets at the heap, or gives the process up.
    #[allow(clippy::mut_from_ref, reason = "the card, not the borrow, says who owns the process")]
    pub(crate) unsafe fn owned(&self) -> &mut Owned {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.header().owned.get() }
    }

    /// What the process knows of others; made when it is not there yet.
    ///
    /// # Safety
    ///
    /// The caller must own the process, and end the borrow before it runs code of the user's.
    #[allow(clippy::mut_from_ref, reason = "as for `owned`")]
    pub(super) unsafe fn relations<'a>(self) -> Result<&'a mut Relations, HeapError> {
        // SAFETY: the caller's promise; the process lives as long as its owner has it.
        let relations = unsafe { &mut *(*self.0.as_ptr()).relations.get() };
        if relations.is_none() {
            *relations = Some(try_box(Relations::default())?);
        }
        Ok(relations.as_deref_mut().expect("just made"))
    }

    /// As [`relations`](Self::relations), if there is anything.
    ///
    /// # Safety
    ///
    /// As for [`relations`](Self::relations).
    pub(super) unsafe fn known_relations<'a>(self) -> Option<&'a Relations> {
        // SAFETY: the caller's promise; the process lives as long as its owner has it.
        unsafe { &*(*self.0.as_ptr()).relations.get() }.as_deref()
    }

    /// As [`known_relations`](Self::known_relations), to be changed.
    ///
    /// # Safety
    ///
    /// As for [`relations`](Self::relations).
    pub(super) unsafe fn relations_if_any<'a>(self) -> Option<&'a mut Relations> {
        // SAFETY: the caller's promise; the process lives as long as its owner has it.
        unsafe { &mut *(*self.0.as_ptr()).relations.get() }.as_deref_mut()
    }

    /// Takes what the process knows of others.
    ///
    /// # Safety
    ///
    /// The caller must own the process.
    pub(super) unsafe fn take_relations(self) -> Option<Box<Relations>> {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.header().relations.get() }.take()
    }

    /// What is the owner's, to be read by who has hold of the process.
    pub(super) fn owned_ptr(self) -> *const Owned {
        self.header().owned.get()
    }

    /// The heap, for the context of a turn.
    pub(crate) fn heap(&self) -> *mut RawHeap {
        // SAFETY: only an address is taken.
        unsafe { &raw mut (*self.header().owned.get()).heap }
    }

    /// The behaviour.
    ///
    /// # Safety
    ///
    /// The caller must own the process, which has not ended.
    #[allow(clippy::mut_from_ref, reason = "as for `owned`")]
    pub(crate) unsafe fn behaviour(&self) -> &mut dyn Process {
        // SAFETY: the table belongs to the process; the rest is the caller's promise.
        unsafe { &mut *(self.vtable().behaviour)(self.0) }
    }

    /// Tells the behaviour why, and drops it.
    ///
    /// # Safety
    ///
    /// As for [`behaviour`](Self::behaviour); it must not be used again.
    pub(crate) unsafe fn end_behaviour(&self, exit: &Exit) {
        // A panic in either is the behaviour's loss: the process has ended, and its reason is settled.
        // SAFETY: the caller's promise.
        let _ = caught(|| unsafe { self.behaviour() }.ended(exit));
        if self.vtable().needs_drop {
            // SAFETY: as above; dropped once: the cell keeps it in a `ManuallyDrop`.
            let _ = caught(|| unsafe { std::ptr::drop_in_place((self.vtable().behaviour)(self.0)) });
        }
    }

    /// Lets the slot lead here.
    #[inline]
    pub(crate) fn publish(self) {
        // The occupant is the first field of all; its pointer is the task's, good for the whole process.
        self.header().recipient.door.occupy(self.0.cast());
    }

    /// Puts a link where the process, when it has ended, has words that nobody reads any more.
    ///
    /// # Safety
    ///
    /// The caller must own the process, which must have ended.
    pub(super) unsafe fn bury(self, link: Link) -> NonNull<Link> {
        const _: () = assert!(
            size_of::<Link>() == size_of::<[u64; 2]>()
                && std::mem::offset_of!(Owned, threshold) == std::mem::offset_of!(Owned, messages_filter) + 8,
            "two words without a destructor"
        );
        // SAFETY: the caller's promise: the words are the process's, which nothing will read as what they were.
        unsafe {
            let place = NonNull::new_unchecked(self.0.as_ptr().byte_add(GRAVE).cast::<Link>());
            place.write(link);
            place
        }
    }

    /// The process that the link lies in.
    ///
    /// # Safety
    ///
    /// It must come from [`bury`](Self::bury), and the process not be freed.
    pub(super) unsafe fn buried(link: NonNull<Link>) -> Self {
        // SAFETY: the caller's promise: made of a pointer to all of the process.
        Self(unsafe { link.byte_sub(GRAVE) }.cast())
    }

    /// Frees the memory.
    ///
    /// # Safety
    ///
    /// The process must have ended, and a grace period must have passed since it left its slot.
    pub(crate) unsafe fn free(self) {
        // SAFETY: the caller's promise.
        unsafe { (self.vtable().free)(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_beyond_their_low_word_and_begin_again_at_the_end() {
        let mut turns = Turns { high: 0, low: u32::MAX - 1 };
        turns.begin();
        assert_eq!(turns.begun(), (1 << 32) - 1);
        turns.begin();
        assert_eq!(turns.begun(), 1 << 32);
        let mut last = Turns { high: u8::MAX, low: u32::MAX };
        assert_eq!(last.begun(), (1 << 40) - 1);
        last.begin();
        assert_eq!(last.begun(), 0);
    }

    #[test]
    fn a_flag_leaves_the_other_as_it_was() {
        let mut flags = Flags::default();
        assert!(!flags.set(Flags::TIMEOUT, true));
        assert!(!flags.set(Flags::TRAPS_EXITS, true));
        assert!(flags.set(Flags::TIMEOUT, false));
        assert!(flags.has(Flags::TRAPS_EXITS) && !flags.has(Flags::TIMEOUT));
    }
}
