//! The generations of a heap.
//!
//! ```text
//! young   the heap's own chunks:  aged (lived through one minor collection) | eden (made since)
//!         adopted chunks:         what was moved in since the last collection, self-contained
//! old     chunks of their own:    lived through two, was adopted and lived through one, or through a major one
//! ```
//!
//! A minor collection moves what lives of eden to the front of a new young generation, and what lives of the rest behind
//! what is in the old one. That leaves no pointer from old to young, and needs no write barrier (invariant 2): aged
//! objects were there before eden was begun, and so point to aged and old ones alone; an adopted region points to itself.

use super::HeapError;
use super::chunk::Chunk;
use super::pages::{reserve, try_box};
use super::raw::RawHeap;
use super::walk::Run;
use crate::term::word::Word;
use std::cell::Cell;
use std::ptr;

/// The old generation of a heap, and what the heap knows of its collections. Made by the first.
#[derive(Debug)]
pub(crate) struct Old {
    /// A heap without an old generation, that never adopts.
    pub(super) space: RawHeap,
    pub(super) aged: Aged,
    pub(super) minors: u64,
    pub(super) majors: u64,
    pub(super) moved_words: u64,
    /// Minor collections since the last major one.
    pub(crate) since_major: u32,
    /// Words that the last major collection left.
    pub(crate) after_major: usize,
    /// Bytes outside the heap that the last major collection left.
    pub(super) pinned: usize,
    /// Words of the heap's limit that evacuations have added to it (H20).
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes are made to copy"))]
    allowance: usize,
}

/// Where the aged objects end: chunks before this one hold them alone, chunks behind it none. Null: there are none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aged {
    chunk: *mut Chunk,
    top: *mut Word,
}

impl Aged {
    const NONE: Self = Self { chunk: ptr::null_mut(), top: ptr::null_mut() };
}

impl Old {
    /// An empty one.
    fn new() -> Result<Box<Self>, HeapError> {
        let empty = Self {
            space: RawHeap::new(usize::MAX),
            aged: Aged::NONE,
            minors: 0,
            majors: 0,
            moved_words: 0,
            since_major: 0,
            after_major: 0,
            pinned: 0,
            allowance: 0,
        };
        try_box(empty)
    }

    /// The heap is emptied: what was in the old generation, to be dropped. The counts stay.
    pub(super) fn clear(&mut self) -> RawHeap {
        self.pinned = 0;
        self.replace(RawHeap::new(usize::MAX))
    }

    /// `young` is the young generation that a minor collection has made.
    pub(super) fn collected_minor(&mut self, young: &RawHeap, moved_words: usize) {
        self.aged = Aged { chunk: young.current, top: young.top };
        self.minors += 1;
        self.moved_words += moved_words as u64;
        self.since_major = self.since_major.saturating_add(1);
    }

    /// `space` is what a major collection has made. Returns what was there before.
    pub(super) fn collected_major(&mut self, space: RawHeap) -> RawHeap {
        self.majors += 1;
        self.moved_words += space.young_words() as u64;
        self.replace(space)
    }

    fn replace(&mut self, space: RawHeap) -> RawHeap {
        self.aged = Aged::NONE;
        self.since_major = 0;
        self.after_major = space.young_words();
        std::mem::replace(&mut self.space, space)
    }
}

/// Takes the heap's old generation out of it, for a collection; makes one if there is none.
pub(super) fn take(heap: &mut RawHeap) -> Result<Box<Old>, HeapError> {
    heap.old.take().map_or_else(Old::new, Ok)
}

impl RawHeap {
    /// Has anything been made or adopted since the last collection?
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes wait"))]
    pub(crate) fn has_grown(&self) -> bool {
        !self.adopted.is_null() || self.eden().next().is_some()
    }

    /// Was everything that is young made since the last collection?
    pub(super) fn only_eden(&self) -> bool {
        self.adopted.is_null() && self.aged().all(|run| run.is_empty())
    }

    /// The old generation.
    pub(super) fn old_runs(&self) -> impl Iterator<Item = Run> {
        self.old.iter().flat_map(|old| old.space.runs_from(old.space.first))
    }

    /// What was made since the last collection.
    pub(super) fn eden(&self) -> impl Iterator<Item = Run> {
        let aged = self.old.as_ref().map_or(Aged::NONE, |old| old.aged);
        let skipped = if aged.chunk.is_null() {
            ptr::null_mut()
        } else {
            // SAFETY: the chunk is one of the heap's own.
            unsafe { (*aged.chunk).next }
        };
        let partly = (!aged.chunk.is_null()).then(|| Run { end: self.end_of(aged.chunk), ..Run::from(aged.top) });
        let first = if aged.chunk.is_null() { self.first } else { skipped };
        partly.into_iter().chain(self.runs_from(first)).filter(|run| !run.is_empty())
    }

    /// What has lived through one minor collection.
    pub(super) fn aged(&self) -> impl Iterator<Item = Run> {
        let aged = self.old.as_ref().map_or(Aged::NONE, |old| old.aged);
        let first = if aged.chunk.is_null() { ptr::null_mut() } else { self.first };
        let mut ended = false;
        self.runs_from(first).map_while(move |run| {
            if ended {
                return None;
            }
            ended = run.chunk == aged.chunk;
            Some(if ended { Run { end: aged.top, ..run } } else { run })
        })
    }

    /// What evacuation has made the heap copy does not count against its limit until a major collection of its own (H20):
    /// so many words more.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes are made to copy"))]
    pub(crate) fn allow(&mut self, words: usize) {
        if let Some(old) = &mut self.old {
            // Not more than is taken back: a heap without a limit has none afterwards either.
            let words = words.min(usize::MAX - self.limit);
            old.allowance += words;
            self.set_limit(self.limit + words);
        }
    }

    /// Takes back what was allowed.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes are made to copy"))]
    pub(crate) fn end_allowance(&mut self) {
        let allowed = self.old.as_mut().map_or(0, |old| std::mem::take(&mut old.allowance));
        if allowed > 0 {
            self.set_limit(self.limit - allowed);
        }
    }
}

/// A set of addresses: sorted runs. Most have one, and most questions are about the run of the question before.
pub(super) struct Ranges {
    recent: Cell<(usize, usize)>,
    /// All runs lie in these bytes.
    lowest: usize,
    length: usize,
    runs: Vec<(usize, usize)>,
}

impl Ranges {
    pub(super) fn new(runs: impl Iterator<Item = Run>) -> Result<Self, HeapError> {
        let mut all = Vec::new();
        for run in runs {
            reserve(&mut all, 1)?;
            all.push((run.start.addr(), run.end.addr() - run.start.addr()));
        }
        all.sort_unstable();
        let (first, last) = (all.first().copied().unwrap_or_default(), all.last().copied().unwrap_or_default());
        Ok(Self { recent: Cell::new(first), lowest: first.0, length: last.0 + last.1 - first.0, runs: all })
    }

    #[inline(always)]
    pub(super) fn contains(&self, p: *mut Word) -> bool {
        let (start, length) = self.recent.get();
        p.addr().wrapping_sub(start) < length
            || p.addr().wrapping_sub(self.lowest) < self.length && self.search(p.addr())
    }

    #[inline(never)]
    fn search(&self, address: usize) -> bool {
        let behind = self.runs.partition_point(|run| run.0 <= address);
        let Some(&(start, length)) = behind.checked_sub(1).map(|at| &self.runs[at]) else { return false };
        let inside = address - start < length;
        if inside {
            self.recent.set((start, length));
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(gaps in prop::collection::vec((1_usize..6, 1_usize..6), 0..12), asked in prop::collection::vec(0_usize..140, 0..60)) {
            let word = |i: usize| ptr::without_provenance_mut::<Word>(8 * i);
            let (mut at, mut runs) = (10, Vec::new());
            for (gap, length) in gaps {
                at += gap;
                runs.push(at..at + length);
                at += length;
            }
            let all = runs.iter().rev().map(|run| Run { end: word(run.end), ..Run::from(word(run.start)) });
            let ranges = Ranges::new(all).unwrap();
            for i in asked {
                prop_assert_eq!(ranges.contains(word(i)), runs.iter().any(|run| run.contains(&i)), "{}", i);
            }
        }
    }
}
