//! Mailboxes: many senders push regions, the owner takes all of them at once.

use crate::heap::Region;
use crate::heap::region::RegionHead;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::mutation::{Mutation, mutated, ordering};
use std::ptr::{self, NonNull};

/// A stack of messages that the owner takes whole and reverses, so that each sender's order is kept. The region is the
/// node: a push is one compare-exchange, lock-free, and never touches the receiver's heap (invariant 6).
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The newest message, null, or [`closed`].
    head: AtomicPtr<RegionHead>,
}

/// What the head is once the owner has ended: a late push sees it and keeps its message (H15).
fn closed() -> *mut RegionHead {
    ptr::without_provenance_mut(align_of::<RegionHead>())
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Pushes a message, or gives it back when the mailbox is closed.
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
            unsafe { (*node.as_ptr()).next = head };
            // Release: pairs with the acquire in `take`: the message and its link are written. Pushes by others in
            // between are read-modify-writes, and so belong to the release sequence of each push before them.
            let release = ordering(Mutation::PushRelaxed, Ordering::Release);
            match self.head.compare_exchange_weak(head, node.as_ptr(), release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => head = now,
            }
        }
    }

    /// Appends all messages to `queue`, in the order in which each sender pushed them, and returns their filters and
    /// marks, all in one. The owner's alone.
    pub(crate) fn drain(&self, queue: &mut Queue) -> u64 {
        // Relaxed: an empty mailbox is left alone; who pushes later notes the card.
        if self.head.load(Ordering::Relaxed).is_null() {
            return 0;
        }
        // Acquire: pairs with the release in `push`.
        let head = self.head.swap(ptr::null_mut(), ordering(Mutation::DrainRelaxed, Ordering::Acquire));
        // SAFETY: the whole stack is ours.
        unsafe { queue.append_reversed(head) }
    }

    /// Closes the mailbox and appends what is in it. The owner's last call.
    pub(crate) fn close(&self, queue: &mut Queue) {
        let end = if mutated(Mutation::CloseWithoutSentinel) { ptr::null_mut() } else { closed() };
        // Acquire: pairs with the release in `push`.
        let head = self.head.swap(end, Ordering::Acquire);
        // SAFETY: the whole stack is ours.
        unsafe { queue.append_reversed(head) };
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        if self.head.load(Ordering::Relaxed) != closed() {
            self.close(&mut Queue::new());
        }
    }
}

/// Messages in the order of their arrival; private to the owner.
#[derive(Debug)]
pub(crate) struct Queue {
    first: *mut RegionHead,
    last: *mut RegionHead,
}

// SAFETY: a queue owns its regions, which are `Send`.
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { first: ptr::null_mut(), last: ptr::null_mut() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// The filters and marks of all that is appended: each message comes from another core's cache, and is fetched for this once.
    ///
    /// # Safety
    ///
    /// `stack` must be null or a stack of regions, newest first, that nobody else reaches.
    unsafe fn append_reversed(&mut self, mut stack: *mut RegionHead) -> u64 {
        let (last, mut first, mut filter) = (stack, ptr::null_mut(), 0);
        // SAFETY: the caller's promise; each node is linked anew once.
        unsafe {
            while !stack.is_null() {
                let next = (*stack).next;
                filter |= RegionHead::filter_and_mark(stack);
                (*stack).next = first;
                first = stack;
                stack = next;
            }
            self.append_list(first, last);
        }
        filter
    }

    /// # Safety
    ///
    /// `first` to `last` must be a list of regions that nobody else reaches, or both null.
    unsafe fn append_list(&mut self, first: *mut RegionHead, last: *mut RegionHead) {
        if first.is_null() {
            return;
        }
        if self.first.is_null() {
            self.first = first;
        } else {
            // SAFETY: the last node is ours.
            unsafe { (*self.last).next = first };
        }
        self.last = last;
    }

    pub(crate) fn push(&mut self, message: Region) {
        let node = message.into_raw().as_ptr();
        // SAFETY: the node is ours.
        unsafe {
            (*node).next = ptr::null_mut();
            self.append_list(node, node);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Region> {
        let node = NonNull::new(self.first)?;
        // SAFETY: the node is ours, and off the queue now.
        unsafe {
            self.first = (*node.as_ptr()).next;
            if self.first.is_null() {
                self.last = ptr::null_mut();
            }
            Some(Region::from_raw(node))
        }
    }

    /// Puts all of `rest` behind what is here, and leaves it empty. O(1).
    pub(crate) fn append(&mut self, rest: &mut Self) {
        let (first, last) = (rest.first, rest.last);
        (rest.first, rest.last) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: both queues are ours.
        unsafe { self.append_list(first, last) };
    }

    /// Puts all of `front` before what is here, and leaves it empty. O(1).
    pub(crate) fn prepend(&mut self, front: &mut Self) {
        let (rest, end) = (self.first, self.last);
        (self.first, self.last) = (front.first, front.last);
        (front.first, front.last) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: both queues are ours.
        unsafe { self.append_list(rest, end) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
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
