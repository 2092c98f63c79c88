//! When a process collects its heap, and how.
//!
//! Between two turns, never in one:
//!
//! * A state that is an immediate frees everything, untraced. That is no collection.
//! * A collection is due when more than `max(2 * what the last one left, min_heap_words)` words are in use; with
//!   [`CollectWhen::Idle`], also when the mailbox is empty and something was made since the last one. A message that is
//!   kept raises that threshold to twice its size: it is not collected for having come.
//! * A process that [hibernates](crate::Cx::hibernate) makes a major one, into memory with room for what lives alone.
//! * One is also due when the binaries of the heap keep more bytes outside it alive, each counted once, than max(twice what
//!   the last major collection left, half a mebibyte).
//! * It is a minor one, unless there were `minors_before_major` of them since the last major one, or the old generation
//!   is more than twice what that one left (and than `min_heap_words`), or, after it, less than a quarter of
//!   `max_heap_words` is left; or its binaries are the reason; or the heap points into a persistent term that waits for its holders by policy.

use super::cell::{Flags, Owned};
use crate::heap::{
    CollectWhen, HeapError, Literals, Parents, collect_major, collect_minor, compact, literals_of, verify,
};
use crate::persistent::Domain;

impl Owned {
    /// Is there more in the heap than there may be without a collection?
    pub(super) fn is_under_pressure(&mut self) -> bool {
        STRESS || self.heap.used() > self.threshold.min(self.heap.limit) || self.heap.holds_many_bytes()
    }

    /// Is there something that the process should not wait with?
    pub(super) fn is_untidy(&self) -> bool {
        self.collect_when == CollectWhen::Idle && self.heap.has_grown() || self.flags.has(Flags::HIBERNATES)
    }

    /// What lives now does not count towards the next collection.
    pub(super) fn rest(&mut self) {
        self.threshold = self.heap.used().saturating_mul(2).max(self.min_heap_words as usize);
    }

    /// Collects, in a process of this domain. An error if what lives passes the limit all the same, after `asked` words were adopted.
    ///
    /// # Safety
    ///
    /// Between turns: no term of the heap but the state may be used afterwards.
    pub(super) unsafe fn collect(&mut self, asked: usize, domain: &Domain) -> Result<(), HeapError> {
        // What a lazy collection has left to its holders goes with their next collection, which is a major one for that.
        let spared = domain.collector.spared();
        let major = self.is_major_due()
            || self.heap.holds_many_bytes()
            || literals_of(&self.heap, self.state, spared) == Literals::Retired;
        if !major {
            // SAFETY: the caller's promise.
            unsafe { collect_minor(&mut self.heap, &mut self.state) }?;
        }
        if major || self.is_cramped() {
            let parents = self.parents();
            self.heap.end_allowance();
            // SAFETY: the caller's promise.
            let stats = unsafe { collect_major(&mut self.heap, &mut self.state, spared, parents) }?;
            if stats.evacuated_words > 0 {
                domain.collector.evacuated(stats.evacuated_words);
            }
        }
        self.collected(asked)
    }

    /// Makes the heap as small as what lives in it.
    ///
    /// # Safety
    ///
    /// As for [`collect`](Self::collect).
    pub(super) unsafe fn compact(&mut self, domain: &Domain) -> Result<(), HeapError> {
        let spared = domain.collector.spared();
        if !self.heap.has_memory() && literals_of(&self.heap, self.state, spared) != Literals::Retired {
            return Ok(()); // nor a state that needs some
        }
        let parents = self.parents();
        self.heap.end_allowance();
        // SAFETY: the caller's promise.
        let stats = unsafe { compact(&mut self.heap, &mut self.state, spared, parents) }?;
        if stats.evacuated_words > 0 {
            domain.collector.evacuated(stats.evacuated_words);
        }
        self.collected(0)
    }

    /// What follows a collection, after `asked` words were adopted.
    fn collected(&mut self, asked: usize) -> Result<(), HeapError> {
        self.rest();
        self.check();
        let (words, limit) = (self.heap.used(), self.heap.limit);
        if words > limit { Err(HeapError::Limit { asked, words, limit }) } else { Ok(()) }
    }

    /// What becomes of slices.
    pub(super) fn parents(&self) -> Parents {
        if self.flags.has(Flags::KEEPS_PARENTS) { Parents::Keep } else { Parents::CopyOut }
    }

    /// Under stress: is every word of the heap in order?
    pub(super) fn check(&self) {
        if STRESS && let Err(what) = verify(&self.heap, self.state) {
            // A panic would be the end of this process alone, and many tests would not hear of it.
            eprintln!("after a collection: {what}");
            std::process::abort();
        }
    }

    fn is_major_due(&self) -> bool {
        let Some(old) = &self.heap.old else { return self.minors_before_major == 0 };
        let most = if STRESS { STRESSED_MINORS } else { self.minors_before_major };
        let left = old.after_major.max(self.min_heap_words as usize);
        old.since_major >= most || self.heap.old_words() > left.saturating_mul(2)
    }

    /// Is little of the limit left, and may a major collection get more?
    fn is_cramped(&self) -> bool {
        let limit = self.heap.limit;
        let grown = self.heap.old.as_ref().is_some_and(|old| self.heap.old_words() > old.after_major);
        grown && limit.saturating_sub(self.heap.used()) < limit / 4
    }
}

/// Collect after every turn, whatever the options say: for tests that look for what must not move, or not be kept.
const STRESS: bool = cfg!(shared_term_stress);
/// Under stress: minor collections between two major ones, so that objects become aged, old, and move again.
const STRESSED_MINORS: u32 = 2;
