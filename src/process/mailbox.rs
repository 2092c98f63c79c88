//! Mailboxes: many senders push regions, the owner takes all of them at once.

use super::signals::is_signal;
use crate::heap::Region;
use crate::heap::region::{MARK, RegionHead};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::mutation::{Mutation, mutated, ordering};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// A stack of messages that the owner takes whole and reverses, so that each sender's order is kept. The region is the
/// node: a push is one compare-exchange, lock-free, and never touches the receiver's heap (invariant 6).
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Mailbox {
    /// The newest message, null, or [`closed`].
    head: AtomicPtr<RegionHead>,
}

/// So many messages are put in their order before anything else may be done: some of them are fetched from memory, each for as
/// long as several turns take.
pub(super) const PIECE: u32 = if crate::sync::MODELLED { 2 } else { 1024 };

/// What the head is once the owner has ended: a late push sees it and keeps its message (H15).
fn closed() -> *mut RegionHead {
    ptr::without_provenance_mut(align_of::<RegionHead>())
}

/// The bit of the head that says: somebody counts what is in the mailbox. Senders keep it; the owner, who has taken the
/// messages out then, waits before it touches one.
const SURVEYED: usize = 1;

fn without_bit(head: *mut RegionHead) -> *mut RegionHead {
    head.map_addr(|a| a & !SURVEYED)
}

/// Messages, and their bytes: heads, and words in use. What they have of binaries outside of heaps is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    /// How many of these are signals.
    pub(crate) signals: usize,
    pub(crate) bytes: usize,
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            signals: self.signals + other.signals,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Load {
    pub(crate) fn bytes_of(message: &Region) -> usize {
        // SAFETY: the region is a live one.
        unsafe { RegionHead::bytes(message.as_raw()) }
    }

    /// # Safety
    ///
    /// `node` must be a list of regions, up to null or to `last`, that nobody changes or frees meanwhile.
    unsafe fn count(&mut self, mut node: *const RegionHead, last: *const RegionHead) {
        while !node.is_null() {
            #[cfg(all(loom, feature = "loom"))]
            crate::model::looks();
            self.messages += 1;
            // SAFETY: the caller's promise.
            unsafe {
                self.bytes += RegionHead::bytes(node);
                self.signals += usize::from(is_signal((RegionHead::filter_and_mark(node) & MARK) as u8));
            }
            if node == last {
                return;
            }
            // SAFETY: as above.
            node = unsafe { (*node).next };
        }
    }
}

impl Mailbox {
    /// The mailbox whose head that is: one of a slot of the process table.
    #[inline]
    pub(crate) fn of(head: &AtomicPtr<RegionHead>) -> &Self {
        // SAFETY: a mailbox is its head.
        unsafe { &*ptr::from_ref(head).cast() }
    }

    /// Opens the mailbox of a slot that was handed out and that nobody looks at yet.
    #[inline]
    pub(crate) fn open(&self) {
        // Relaxed: the slot leads to its new process later, by a store with release.
        self.head.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// A mailbox without a slot, for models.
    #[cfg(all(loom, feature = "loom"))]
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Pushes a message, or gives it back when the mailbox is closed.
    #[inline]
    pub(crate) fn push(&self, message: Region) -> Result<(), Region> {
        let node = message.into_raw();
        // Relaxed: decides nothing; the exchange does.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                // SAFETY: it was ours a moment ago, and nobody else has seen it.
                return Err(unsafe { Region::from_raw(node) });
            }
            // SAFETY: the node is ours until it is linked.
            unsafe { (*node.as_ptr()).next = without_bit(head) };
            let new = node.as_ptr().map_addr(|a| a | head.addr() & SURVEYED);
            // Release: pairs with the acquire in `drain`: the message and its link are written. Pushes by others in
            // between are read-modify-writes, and so belong to the release sequence of each push before them.
            // Acquire: pairs with the release in `drain`: who pushes behind a drain sees what the owner did before it,
            // which is to take the note off the card.
            let order = match () {
                () if mutated(Mutation::PushRelaxed) => Ordering::Relaxed,
                () if mutated(Mutation::PushNoAcquire) => Ordering::Release,
                () => Ordering::AcqRel,
            };
            match self.head.compare_exchange_weak(head, new, order, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => head = now,
            }
        }
    }

    /// Is there something to drain? It may have come by the time of the answer.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        // Relaxed: a hint.
        !self.head.load(Ordering::Relaxed).is_null()
    }

    /// Appends all messages to `queue`, in the order in which each sender pushed them, and returns their filters and
    /// marks, all in one. The owner's alone. Whoever counts meanwhile holds `surveys`. Calls `piece` now and then, while it
    /// reverses many.
    ///
    /// Always an exchange, also when there is nothing: whoever pushes behind it has acquired what was done before it.
    #[inline]
    pub(crate) fn drain(&self, queue: &mut Queue, surveys: &Mutex<()>, piece: impl FnMut()) -> u64 {
        if mutated(Mutation::DrainSkips) && !self.has_mail() {
            return 0;
        }
        // Acquire and release: pair with those in `push`.
        let head = self.head.swap(ptr::null_mut(), ordering(Mutation::DrainRelaxed, Ordering::AcqRel));
        // SAFETY: the whole stack is ours.
        unsafe { queue.append_reversed(Self::undisturbed(head, surveys), piece) }
    }

    #[cold]
    fn wait_for_survey(surveys: &Mutex<()>) {
        drop(surveys.lock());
    }

    /// What was taken out of the mailbox, once nobody else looks at it.
    #[inline]
    fn undisturbed(head: *mut RegionHead, surveys: &Mutex<()>) -> *mut RegionHead {
        if head.addr() & SURVEYED != 0 && !mutated(Mutation::DrainIgnoresSurvey) {
            Self::wait_for_survey(surveys);
        }
        without_bit(head)
    }

    /// What is in the mailbox, O(messages). Senders go on meanwhile; the owner waits with the first message that it takes
    /// out. The caller must be online.
    pub(crate) fn survey(&self, surveys: &Mutex<()>) -> Load {
        let _alone = surveys.lock();
        let mut load = Load::default();
        // Acquire: pairs with the releases of the pushes: messages and links are written.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head.is_null() || head == closed() {
                return load;
            }
            let marked = head.map_addr(|a| a | SURVEYED);
            match self.head.compare_exchange_weak(head, marked, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // SAFETY: from the mark on, who takes these messages out waits for the lock that this thread has.
        unsafe { load.count(head, ptr::null()) };
        // Relaxed: decides nothing; the exchange does.
        let mut now = self.head.load(Ordering::Relaxed);
        // When the mark is gone, so are the messages. Release: what was read here comes before what their owner does, who
        // does not take the lock once the mark is gone.
        while now.addr() & SURVEYED != 0 {
            match self.head.compare_exchange_weak(now, without_bit(now), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        load
    }

    /// Closes the mailbox and appends what is in it. The owner's last call. `piece`: as in [`drain`](Self::drain).
    pub(crate) fn close(&self, queue: &mut Queue, surveys: &Mutex<()>, piece: impl FnMut()) {
        let end = if mutated(Mutation::CloseWithoutSentinel) { ptr::null_mut() } else { closed() };
        // Acquire: pairs with the release in `push`.
        let head = self.head.swap(end, Ordering::Acquire);
        // SAFETY: the whole stack is ours.
        unsafe { queue.append_reversed(Self::undisturbed(head, surveys), piece) };
    }
}

#[cfg(all(loom, feature = "loom"))]
impl Drop for Mailbox {
    fn drop(&mut self) {
        // Relaxed: nobody else has it any more.
        let head = self.head.load(Ordering::Relaxed);
        if head != closed() {
            // SAFETY: the whole stack is ours.
            unsafe { Queue::new().append_reversed(without_bit(head), || ()) };
        }
    }
}

/// Messages in the order of their arrival; private to the owner. One word: every process has two of them.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Null when there is none; the next of the last is the first.
    last: *mut RegionHead,
}

// SAFETY: a queue owns its regions, which are `Send`.
unsafe impl Send for Queue {}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { last: ptr::null_mut() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_null()
    }

    /// The filters and marks of all that is appended: each message comes from another core's cache, and is fetched for this once.
    /// Calls `piece` behind so many.
    ///
    /// # Safety
    ///
    /// `stack` must be null or a stack of regions, newest first, that nobody else reaches.
    #[inline]
    unsafe fn append_reversed(&mut self, mut stack: *mut RegionHead, mut piece: impl FnMut()) -> u64 {
        let (last, mut first, mut filter) = (stack, ptr::null_mut(), 0);
        // SAFETY: the caller's promise; each node is linked anew once.
        unsafe {
            loop {
                let mut left = PIECE;
                while !stack.is_null() && left > 0 {
                    let next = (*stack).next;
                    filter |= RegionHead::filter_and_mark(stack);
                    (*stack).next = first;
                    first = stack;
                    stack = next;
                    left -= 1;
                }
                if stack.is_null() {
                    break;
                }
                piece();
            }
            self.append_list(first, last);
        }
        filter
    }

    /// # Safety
    ///
    /// `first` to `last` must be a list of regions that nobody else reaches, or both null.
    #[inline]
    unsafe fn append_list(&mut self, first: *mut RegionHead, last: *mut RegionHead) {
        if first.is_null() {
            return;
        }
        // SAFETY: both ends of the queue are ours, and those of the list by the caller's promise.
        unsafe {
            (*last).next = if self.last.is_null() { first } else { std::mem::replace(&mut (*self.last).next, first) };
        }
        self.last = last;
    }

    /// The filters of all messages, unless there are more than are `left` to be looked at. O(messages), or O(`left`).
    pub(crate) fn filter(&self, left: &mut usize) -> Option<u64> {
        let (mut filter, mut node) = (0, self.last);
        while !node.is_null() {
            *left = left.checked_sub(1)?;
            // SAFETY: the node is ours.
            unsafe {
                filter |= RegionHead::filter_and_mark(node) & !MARK;
                node = (*node).next;
            }
            if node == self.last {
                break;
            }
        }
        Some(filter)
    }

    pub(crate) fn push(&mut self, message: Region) {
        let node = message.into_raw().as_ptr();
        // SAFETY: the node is ours.
        unsafe { self.append_list(node, node) };
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Region> {
        let last = NonNull::new(self.last)?.as_ptr();
        // SAFETY: the nodes are ours, and the first one is off the queue now.
        unsafe {
            let first = (*last).next;
            if first == last {
                self.last = ptr::null_mut();
            } else {
                (*last).next = (*first).next;
            }
            Some(Region::from_raw(NonNull::new_unchecked(first)))
        }
    }

    /// Calls `f` with each message, in their order.
    ///
    /// # Safety
    ///
    /// `f` must not put another one in its place.
    pub(crate) unsafe fn each(&mut self, mut f: impl FnMut(&mut Region)) {
        let mut node = self.last;
        while let Some(before) = NonNull::new(node) {
            // SAFETY: the nodes are ours, and stay: the caller's promise, and nothing is dropped here.
            unsafe {
                node = (*before.as_ptr()).next;
                f(&mut ManuallyDrop::new(Region::from_raw(NonNull::new_unchecked(node))));
            }
            if node == self.last {
                break;
            }
        }
    }

    pub(crate) fn load(&self) -> Load {
        let mut load = Load::default();
        if !self.last.is_null() {
            // SAFETY: the queue owns its regions.
            unsafe { load.count((*self.last).next, self.last) };
        }
        load
    }

    /// Puts all of `rest` behind what is here, and leaves it empty. O(1).
    pub(crate) fn append(&mut self, rest: &mut Self) {
        let last = std::mem::replace(&mut rest.last, ptr::null_mut());
        if !last.is_null() {
            // SAFETY: both queues are ours.
            unsafe { self.append_list((*last).next, last) };
        }
    }

    /// Puts all of `front` before what is here, and leaves it empty. O(1).
    pub(crate) fn prepend(&mut self, front: &mut Self) {
        std::mem::swap(self, front);
        self.append(front);
    }
}

impl Drop for Queue {
    #[inline]
    fn drop(&mut self) {
        if !self.is_empty() {
            self.clear();
        }
    }
}

impl Queue {
    #[cold]
    fn clear(&mut self) {
        /// A message whose destructors panic keeps none of the others: while they unwind, no further panic gets out of a
        /// region.
        struct Rest<'q>(&'q mut Queue);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while self.0.pop().is_some() {}
            }
        }

        let rest = Rest(self);
        while rest.0.pop().is_some() {}
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    #[test]
    fn very_many_messages_are_put_in_their_order_in_pieces() {
        let (head, surveys) = (AtomicPtr::new(ptr::null_mut()), Mutex::new(()));
        let mailbox = Mailbox::of(&head);
        let mut queue = Queue::new();
        for (many, pieces) in [(0, 0), (1, 0), (PIECE, 0), (PIECE + 1, 1), (5 * PIECE, 4), (5 * PIECE + 3, 5)] {
            (0..many).for_each(|i| mailbox.push(Region::build(|h| h.int(u64::from(i)))).unwrap());
            let mut seen = 0;
            mailbox.drain(&mut queue, &surveys, || seen += 1);
            assert_eq!(seen, pieces, "of {many}");
            let order = std::iter::from_fn(|| queue.pop()).map(|message| message.root().as_int().unwrap());
            assert!(order.eq(0..i64::from(many)), "of {many}");
        }
    }
}
