//! What a heap has, and what its collections did.

use super::raw::RawHeap;

/// What is in a heap, and what its collections have done. Counted, not estimated.
///
/// ```
/// use shared_term::heap::OwnedHeap;
/// let mut heap = OwnedHeap::new(|h| h.list(0..100));
/// assert_eq!((heap.info().young_words, heap.info().old_words), (200, 0));
/// heap.collect_major()?;
/// let info = heap.info();
/// assert_eq!((info.young_words, info.old_words), (0, 200));
/// assert_eq!((info.minor_collections, info.major_collections, info.moved_words), (0, 1, 200));
/// # Ok::<(), shared_term::HeapError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HeapInfo {
    /// Words in use in the young generation, garbage included: made or adopted since the last collection, or lived through
    /// one minor collection.
    pub young_words: usize,
    /// Part of `young_words`: words of the regions that were adopted since the last collection. (OTP: heap fragments.)
    pub adopted_words: usize,
    /// Words in use in the old generation, what died there since the last major collection included.
    pub old_words: usize,
    /// Bytes outside the heap that its binaries keep alive, garbage included, each once: of a binary that others are slices
    /// of, all of its bytes, and of a buffer that is appended to, its capacity.
    pub off_heap_bytes: usize,
    /// Pieces of memory that the heap holds: at least one for each region that it adopted.
    pub chunks: usize,
    /// Bytes of these pieces, with their headers and the room that is not used yet. Of what a
    /// collection frees its thread may keep up to 1 MiB for the next one, which is nobody's heap and not counted.
    pub chunk_bytes: usize,
    /// Minor collections of this heap so far.
    pub minor_collections: u64,
    /// Major collections of this heap so far, evacuations for a global collection included.
    pub major_collections: u64,
    /// Words that all of them have moved.
    pub moved_words: u64,
}

impl RawHeap {
    /// O(chunks), and O(n log n) for n off-heap objects.
    pub(crate) fn info(&self) -> HeapInfo {
        let mut info = HeapInfo {
            young_words: self.young_words(),
            adopted_words: self.runs_from(self.adopted).map(|run| run.words()).sum(),
            off_heap_bytes: self.pinned_bytes(),
            ..HeapInfo::default()
        };
        if let Some(old) = &self.old {
            info.old_words = self.old_words();
            info.minor_collections = old.minors;
            info.major_collections = old.majors;
            info.moved_words = old.moved_words;
        }
        for run in self.all() {
            info.chunks += 1;
            info.chunk_bytes += run.memory_bytes();
        }
        info
    }
}
