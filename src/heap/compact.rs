//! Making a heap no larger than what lives in it.

use super::HeapError;
use super::chunk::Chunk;
use super::collect::{CollectStats, Parents, collect_major, collect_major_to};
use super::literal::Entry;
use super::raw::RawHeap;
use crate::term::word::Word;

/// As [`collect_major`], into memory with room for what lives and for nothing else: moved twice, unless the first time
/// happened to leave no room. Without the memory for that, what the first has left stays.
///
/// # Safety
///
/// As for [`collect_major`].
pub(crate) unsafe fn compact(
    heap: &mut RawHeap,
    root: &mut Word,
    retired: u64,
    parents: Parents,
) -> Result<CollectStats, HeapError> {
    // SAFETY: the caller's promise.
    let first = unsafe { collect_major(heap, root, retired, parents) }?;
    let words = heap.used();
    if heap.capacity() == words {
        return Ok(first);
    }
    let chunk = Chunk::allocate(words);
    if chunk.is_null() {
        return Ok(first);
    }
    // SAFETY: a new chunk, which is nobody else's.
    let exact = unsafe { RawHeap::in_chunk(chunk, Entry::NULL) };
    // SAFETY: the caller's promise, and only the root was kept of the first.
    let second = unsafe { collect_major_to(exact, heap, root, 0, Parents::Keep) }?;
    if let Some(old) = &mut heap.old {
        old.majors -= 1; // both are one to whoever counts them
    }
    Ok(CollectStats { moved_words: first.moved_words + second.moved_words, ..first })
}

impl RawHeap {
    /// Words that its chunks have room for, in both generations; of which [`used`](Self::used) are in use.
    pub(crate) fn capacity(&self) -> usize {
        // SAFETY: each run is the beginning of a chunk of the heap.
        self.all().map(|run| unsafe { Chunk::end(run.chunk).offset_from_unsigned(run.start) }).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::heap::OwnedHeap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_lives_is_all_that_is_left(lengths in prop::collection::vec(0_i64..3000, 0..6)) {
            let mut heap = OwnedHeap::new(|h| h.nil());
            for n in lengths {
                heap.turn(|h, old| (h.list([old, h.list(0..n)]), ()));
                let before = heap.turn(|_, root| (root, root.to_string()));
                let live = heap.clone().compact().unwrap().after_words;
                let collections = heap.info().major_collections;
                let stats = heap.compact().unwrap();
                let info = heap.info();
                let bytes = if live == 0 { 0 } else { 24 + 8 * live };
                prop_assert_eq!((info.chunk_bytes, info.old_words, info.young_words), (bytes, live, 0));
                prop_assert_eq!((stats.after_words, info.major_collections), (live, collections + 1));
                prop_assert_eq!(heap.verify(), Ok(()));
                prop_assert_eq!(heap.turn(|_, root| (root, root.to_string())), before);
            }
        }
    }
}
