//! Numbers of domains: the part of a pid that says where it is valid (H14).
//!
//! Two domains that live at the same time have different tags. A tag that is used again goes on with the generations that
//! its last domain did not reach, so that a pid of a domain that is gone names no process of another either.

use crate::heap::HeapError;
use crate::term::word::{GENERATIONS, TAGS};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A domain's number, and the generation that its slots begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) number: u8,
    pub(super) first: u32,
}

struct Tags {
    /// Numbers that were never given.
    next: u32,
    /// First given back, first given.
    free: VecDeque<Tag>,
}

// Plain `std`: numbers, by which nothing is ordered. Models run one domain after the other.
static ALL: Mutex<Tags> = Mutex::new(Tags { next: 0, free: VecDeque::new() });

/// A tag that no living domain has, or `None` when there is none. An error, without memory to take it back some day.
pub(super) fn take() -> Result<Option<Tag>, HeapError> {
    let mut tags = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let free = &mut tags.free;
    free.try_reserve(TAGS as usize - free.len()).map_err(|_| HeapError::OutOfMemory { words: TAGS as usize })?;
    if tags.next < TAGS {
        tags.next += 1;
        return Ok(Some(Tag { number: (tags.next - 1) as u8, first: 0 }));
    }
    Ok(tags.free.pop_front())
}

/// Gives a tag back, whose domain has used no generation from `first` on. One whose generations are used up is not given
/// again.
pub(super) fn give(number: u8, first: u32) {
    if first < GENERATIONS {
        ALL.lock().unwrap_or_else(PoisonError::into_inner).free.push_back(Tag { number, first });
    }
}
