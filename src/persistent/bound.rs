//! A slot that is bound to a guard.

use super::entry::Entry;
use super::guard::Guard;
use super::slot::Slot;
use crate::term::TermRef;
use std::fmt;

/// A [slot](Slot) [bound](Guard::bind) to a guard of its store: reading it is one load and a branch.
///
/// It sees what the guard sees: what is put or erased by itself at once, and of [batches](super::Batch) those that were
/// committed before the guard was pinned or repinned, whole. Two words, `Copy`; it borrows the slot and the guard, so that
/// the guard is neither dropped nor [repinned](Guard::repin) while it is in use.
///
/// ```
/// use shared_term::{Atom, PersistentTerms, Region};
///
/// const LIMIT: Atom = Atom::inline("limit");
/// const SPENT: Atom = Atom::inline("spent");
/// let store = PersistentTerms::new();
/// let (limit, spent) = (store.slot(LIMIT)?, store.slot(SPENT)?);
/// store.put_many([(LIMIT, Region::build(|h| h.int(10))), (SPENT, Region::build(|h| h.int(0)))])?;
/// let guard = store.pin();
/// let (Some(limit), Some(spent)) = (guard.bind(&limit), guard.bind(&spent)) else { unreachable!("of this store") };
/// store.put_many([(LIMIT, Region::build(|h| h.int(20))), (SPENT, Region::build(|h| h.int(15)))])?;
/// let left = limit.get().unwrap().as_int().unwrap() - spent.get().unwrap().as_int().unwrap();
/// assert_eq!(left, 10, "of the batch that came later the guard sees nothing");
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
///
/// The guard stays where it is while something is bound to it:
///
/// ```compile_fail,E0502
/// # use shared_term::PersistentTerms;
/// # let store = PersistentTerms::new();
/// # let slot = store.slot(1).unwrap();
/// let mut guard = store.pin();
/// let bound = guard.bind(&slot).unwrap();
/// guard.repin();
/// println!("{:?}", bound.get());
/// ```
#[derive(Clone, Copy)]
pub struct BoundSlot<'g> {
    entry: &'g Entry,
    guard: &'g Guard<'g>,
}

impl<'g> BoundSlot<'g> {
    /// The slot must be of the guard's store.
    #[inline(always)]
    pub(super) fn new(guard: &'g Guard<'_>, slot: &'g Slot) -> Self {
        Self { entry: slot.entry(), guard }
    }

    /// The value, lent for as long as the guard is borrowed. Wait-free: one load and a branch.
    ///
    /// The key of a batch that has not given way to its new values yet, within a grace period of its commit, takes a few
    /// loads more, and so does one without a value.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let slot = store.slot("limit")?;
    /// let guard = store.pin();
    /// let limit = guard.bind(&slot).unwrap();
    /// assert!(limit.get().is_none());
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// assert_eq!(limit.get().unwrap().as_int(), Some(10), "what is put by itself is seen at once");
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[inline(always)]
    pub fn get(&self) -> Option<TermRef<'g>> {
        let guard = self.guard;
        self.entry.value_at(move || guard.snapshot()).map(|w| guard.lend(w))
    }

    /// The key.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// # let store = PersistentTerms::new();
    /// let slot = store.slot(("limits", "rate"))?;
    /// let guard = store.pin();
    /// assert_eq!(guard.bind(&slot).unwrap().key().to_string(), r#"{<<"limits">>,<<"rate">>}"#);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn key(&self) -> TermRef<'g> {
        self.entry.key()
    }
}

impl fmt::Debug for BoundSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundSlot").field("key", &self.key()).finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(BoundSlot<'static>: Copy);
static_assertions::assert_not_impl_any!(BoundSlot<'static>: Send, Sync);
