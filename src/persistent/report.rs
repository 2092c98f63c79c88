//! What collections tell.

use std::time::Duration;

/// What one global collection did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Areas freed.
    pub areas: usize,
    /// Words in them.
    pub words: usize,
    /// Bytes of memory that they took, off-heap contents not included.
    pub bytes: usize,
    /// Areas that had been taken up again, and were let go.
    pub let_go: usize,
    /// Processes (and free slots) that the scan passed over: one load each.
    pub skipped: usize,
    /// Processes that were asked, because they were running or their filter was not clear of the areas.
    pub asked: usize,
    /// Processes of those that did point into the areas, and evacuated.
    pub holders: usize,
    /// Words that the holders copied.
    pub evacuated_words: usize,
    /// From the mark to the free.
    pub elapsed: Duration,
    /// Bytes that wait for the next collection.
    pub retained_bytes: usize,
}

/// The figures of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Keys.
    pub count: usize,
    /// Bytes of the areas of values that wait to be freed.
    pub retained_bytes: usize,
    /// Global collections that have freed something.
    pub collections: u64,
    /// Guards of foreign threads that hold up a grace period now: memory is freed once they are dropped or repinned.
    pub guards_behind: usize,
}
