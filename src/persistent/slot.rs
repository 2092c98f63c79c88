//! Resolved slots: a key that was looked up once.

#[cfg(feature = "runtime")]
use super::Holder;
use super::PersistentTerms;
use super::domain::{Domain, Span};
use super::entry::Entry;
use crate::heap::HeapError;
use crate::heap::off_heap::error_of;
use crate::sync::mutation::{Mutation, mutated};
#[cfg(feature = "runtime")]
use crate::term::Term;
use crate::term::word::Word;
use crate::term::{Key, TermRef};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// A key of a store, looked up once: no read hashes it or looks for it again, whatever the key.
///
/// The slot stays the key's: it reads what is put there next, also after the value was erased, and whatever becomes of
/// the table. It keeps the store, and its key, but no value. Made, cloned and dropped under a lock that writers of the key
/// hold for a few stores; [read](super::Guard::read) under a guard, and in a turn, wait-free.
///
/// Such a read first looks whether the slot is of the store that is pinned. Who reads again and again *binds* the slot to the
/// guard or to the turn, which looks once: [`BoundSlot`](super::BoundSlot)
#[cfg_attr(feature = "runtime", doc = "and [`TurnSlot`](crate::process::TurnSlot)")]
#[cfg_attr(not(feature = "runtime"), doc = "(and `TurnSlot`)")]
/// read by one load and a branch.
///
/// No counterpart in OTP, where each `get` hashes its key.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// let slot = store.slot(("limits", "rate"))?;
/// store.put(("limits", "rate"), Region::build(|h| h.int(100)))?;
/// assert_eq!(store.pin().read(&slot).unwrap().as_int(), Some(100));
/// store.erase(("limits", "rate"));
/// assert!(store.pin().read(&slot).is_none());
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
pub struct Slot {
    entry: NonNull<Entry>,
    domain: Arc<Domain>,
}

// SAFETY: the entry is pinned for as long as the slot lives; what is written of it is atomic, or under the lock of its key.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    pub(super) fn new(store: &PersistentTerms, key: impl Key) -> Result<Self, HeapError> {
        let domain = &store.domain;
        let _span = Span::new(domain);
        let pinned = Pinned::new(domain, key)?;
        Ok(Self { entry: pinned.into_entry(), domain: Arc::clone(domain) })
    }

    #[inline(always)]
    pub(crate) fn entry(&self) -> &Entry {
        // SAFETY: the slot has pinned it: it stays in the table.
        unsafe { self.entry.as_ref() }
    }

    /// The key.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// # let store = PersistentTerms::new();
    /// let slot = store.slot(("limits", "rate"))?;
    /// assert_eq!(slot.key().to_string(), r#"{<<"limits">>,<<"rate">>}"#);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn key(&self) -> TermRef<'_> {
        self.entry().key()
    }

    #[inline(always)]
    pub(crate) fn is_of(&self, domain: &Domain) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.domain), domain)
    }

    /// The value's word. The caller must be online.
    #[inline(always)]
    pub(super) fn value(&self, snapshot: impl FnOnce() -> u64) -> Option<Word> {
        self.entry().value_at(snapshot)
    }

    /// In a turn.
    #[cfg(feature = "runtime")]
    #[inline(always)]
    pub(crate) fn get<'h>(&self, cx: impl Holder<'h>) -> Option<Term<'h>> {
        if std::ptr::eq(cx.domain(), Arc::as_ptr(&self.domain).cast()) {
            // SAFETY: a turn is online in its domain, and its heap answers that domain's collections (invariant 4).
            return self.value(move || cx.snapshot()).map(|w| unsafe { Term::from_word(w) });
        }
        self.copy(cx)
    }

    /// In a turn of another domain.
    #[cfg(feature = "runtime")]
    #[cold]
    fn copy<'h>(&self, cx: impl Holder<'h>) -> Option<Term<'h>> {
        let _span = Span::new(&self.domain);
        // SAFETY: the span is online during the copy.
        self.value(|| self.domain.table.snapshot()).map(|w| cx.copy(unsafe { Domain::lend(w) }))
    }
}

/// An entry that stays in the table, with a value or without, until this is dropped.
pub(super) struct Pinned<'d> {
    domain: &'d Domain,
    entry: NonNull<Entry>,
}

impl<'d> Pinned<'d> {
    /// The entry of a key, made if there is none. The caller must be online.
    pub(super) fn new(domain: &'d Domain, key: impl Key) -> Result<Self, HeapError> {
        let hash = key.hash_key();
        let fresh = if domain.table.find(hash, key).is_none() { Some(Entry::new(hash, key)?) } else { None };
        let lock = domain.table.lock(hash);
        let insert = |entry| domain.table.insert(entry, hash, &domain.quiescence, &domain.limbo);
        let entry = match (domain.table.find(hash, key), fresh) {
            (Some(entry), _) => Ok(entry),
            (None, Some(entry)) => insert(entry),
            // Erased since it was found.
            (None, None) => insert(Entry::new(hash, key)?),
        };
        let entry = match entry {
            Ok(entry) => entry,
            Err((error, entry)) => {
                drop(lock);
                return Err(error_of(entry, error));
            }
        };
        pin(entry);
        drop(lock);
        Ok(Self { domain, entry: NonNull::from(entry) })
    }

    #[inline(always)]
    pub(super) fn entry(&self) -> &'d Entry {
        // SAFETY: it stays in the table while it is pinned, and whoever drops this uses it no more.
        unsafe { self.entry.as_ref() }
    }

    /// The entry, pinned until somebody unpins it.
    fn into_entry(self) -> NonNull<Entry> {
        ManuallyDrop::new(self).entry
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        if mutated(Mutation::SlotNotPinned) {
            return;
        }
        let (domain, entry) = (self.domain, self.entry());
        let _lock = domain.table.lock(u64::from(entry.hash));
        entry.unpin();
        domain.table.unlink_idle(entry, &domain.quiescence, &domain.limbo);
    }
}

/// Keeps the entry for one more slot. The caller holds the lock of its key.
fn pin(entry: &Entry) {
    if !mutated(Mutation::SlotNotPinned) {
        entry.pin();
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        let _lock = self.domain.table.lock(u64::from(self.entry().hash));
        pin(self.entry());
        Self { entry: self.entry, domain: Arc::clone(&self.domain) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The end of the span gets the freeing of the entry on.
        let _span = Span::new(&self.domain);
        drop(Pinned { domain: &self.domain, entry: self.entry });
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("key", &self.key()).finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(Slot: Send, Sync, Clone);
