//! What collections tell, and the figures of a store.

use super::domain::Span;
use super::quiescence::Role;
use super::{PersistentTerms, Version};
use crate::heap::literal;
use crate::term::{Key, word};
use std::sync::atomic as plain;
use std::time::Duration;

/// What one global collection did.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// # use std::time::Duration;
/// let store = PersistentTerms::new();
/// let reports = store.reports(16);
/// store.put("k", Region::build(|h| h.list([h.binary(vec![0; 1000])])))?;
/// store.erase("k");
/// let report = reports.recv_timeout(Duration::from_secs(10)).unwrap();
/// assert_eq!((report.areas, report.off_heap_bytes, report.retained_bytes), (1, 1000, 0));
/// assert_eq!((report.asked, report.holders), (0, 0), "no process had anything to do");
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Areas freed.
    pub areas: usize,
    /// Words in them.
    pub words: usize,
    /// Bytes of memory that they took, off-heap contents not included.
    pub bytes: usize,
    /// Bytes of the binaries outside that they kept alive.
    pub off_heap_bytes: usize,
    /// Areas that had been taken up again, and were let go.
    pub let_go: usize,
    /// Processes (and free slots) that the scan passed over: one load each.
    pub skipped: usize,
    /// Idle processes whose filter was not clear of the areas, and whose heap, on a look, was: they were not woken.
    pub cleared: usize,
    /// Processes that were asked, because they were running, or did point into the areas as far as could be told.
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
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// store.put("list", Region::build(|h| h.list(0..100)))?;
/// store.put("small", Region::build(|h| h.int(1)))?;
/// let info = store.info();
/// assert_eq!((info.count, info.areas, info.words), (2, 1, 200));
/// let guard = store.pin();
/// store.erase("list");
/// assert_eq!((store.info().count, store.info().areas, store.info().guards_behind), (1, 1, 1));
/// assert_eq!(store.info().retained_bytes, info.bytes);
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Keys that have a value.
    pub count: usize,
    /// Areas: pieces of literal memory, one for each value that has memory of its own. These and the figures below are of
    /// all areas that are not freed yet, whether a key, another value, a [`Literal`](crate::Literal), messages that
    /// wait in a process and were made to share what they hold, or nothing but a holder keeps them. The keys' own memory is not included.
    pub areas: usize,
    /// Words in use in the areas.
    pub words: usize,
    /// Bytes of memory of the areas, room at their ends included.
    pub bytes: usize,
    /// Bytes of the binaries that lie outside of the areas and that these keep alive, counted once for each area.
    pub off_heap_bytes: usize,
    /// The part of `bytes` and `off_heap_bytes` that no key, value or literal leads to any more, and that waits to be freed.
    pub retained_bytes: usize,
    /// [`Literal`](crate::Literal)s that keep an area.
    pub literals: usize,
    /// Global collections that have freed something.
    pub collections: u64,
    /// Guards of foreign threads that hold up a grace period now: memory is freed once they are dropped or repinned.
    pub guards_behind: usize,
}

/// The figures of one key; see [`PersistentTerms::entry_info`](super::PersistentTerms::entry_info).
///
/// ```
/// # use shared_term::{PersistentTerms, term};
/// let store = PersistentTerms::new();
/// store.put_built("routes", |h| h.map((0..1000).map(|i| (i, "here"))))?;
/// let before = store.entry_info("routes").unwrap();
/// store.update("routes", |h, old| h.insert(old.unwrap(), h.int(7), h.binary("there")).unwrap())?;
/// let after = store.entry_info("routes").unwrap();
/// assert!(after.version != before.version && after.words < before.words / 10, "only what is new was made");
/// assert!(after.shared_words >= before.words);
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The version of the value.
    pub version: Version,
    /// Words in the value's own area; none for an immediate.
    pub words: usize,
    /// Bytes of that area.
    pub bytes: usize,
    /// Bytes of binaries outside of it that it keeps alive.
    pub off_heap_bytes: usize,
    /// Words of other values' areas that it points into, and so keeps alive, counted once for each path to them.
    pub shared_words: usize,
}

impl PersistentTerms {
    /// The figures of the store. O(1) but for the participants.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.binary(vec![0; 1000])))?;
    /// let info = store.info();
    /// assert_eq!((info.count, info.off_heap_bytes, info.collections), (1, 1000, 0));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn info(&self) -> Info {
        let figures = &self.domain.space.figures;
        let load = |figure: &plain::AtomicUsize| figure.load(plain::Ordering::Relaxed);
        Info {
            count: self.domain.table.len(),
            areas: load(&figures.areas),
            words: load(&figures.words),
            bytes: load(&figures.bytes),
            off_heap_bytes: load(&figures.off_heap_bytes),
            retained_bytes: self.domain.retained_bytes(),
            literals: load(&self.domain.literals),
            collections: self.domain.collector.collections(),
            guards_behind: self.domain.quiescence.behind(Role::Foreign),
        }
    }

    /// The version and the size of the newest value at `key`. O(1); waits for a writer of the key, for a few stores.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.tuple(&[h.binary([0; 1000]), h.nil()])))?;
    /// let info = store.entry_info("k").unwrap();
    /// assert_eq!((info.off_heap_bytes, info.shared_words), (1000, 0));
    /// assert!(info.words >= 3);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn entry_info(&self, key: impl Key) -> Option<EntryInfo> {
        let _span = Span::new(&self.domain);
        let (w, version) = self.domain.newest(key)?;
        if !word::is_literal(w) {
            return Some(EntryInfo { version, words: 0, bytes: 0, off_heap_bytes: 0, shared_words: 0 });
        }
        // SAFETY: found in the span.
        let area = unsafe { literal::entry(w).area().as_ref() };
        Some(EntryInfo {
            version,
            words: area.words,
            bytes: area.bytes,
            off_heap_bytes: area.off_heap_bytes,
            shared_words: area.closure_words - area.words,
        })
    }
}
