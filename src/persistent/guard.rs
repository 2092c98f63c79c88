//! Reading on any thread.

use super::bound::BoundSlot;
use super::domain::{Domain, Span};
use super::handle::Literal;
#[cfg(feature = "runtime")]
use super::quiescence::Participant;
use super::slot::Slot;
use super::value::Offer;
use super::write::{Expect, Wrote};
use super::{PersistentTerms, StoreError, Version};
use crate::heap::Heap;
use crate::heap::copy::Literals;
use crate::term::word::Word;
use crate::term::{Key, Term, TermRef};
use std::fmt;
use std::marker::PhantomData;

/// A pinned store: what it lends stays until it is dropped, even if it is replaced or erased meanwhile.
///
/// What is put or erased by itself while the guard lives is seen at once; a [batch](super::Batch) is seen, whole, if it was
/// committed before the guard was pinned or [repinned](Self::repin).
///
/// Not `Send`, so that a future that is sent between threads cannot hold it over an `await`. A guard that is leaked
/// (`mem::forget`) stops the freeing of memory for good; [`PersistentTerms::read`] cannot leak one.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// store.put("names", Region::build(|h| h.list(["ann", "bob"])))?;
/// let mut guard = store.pin();
/// let names = guard.get("names").unwrap();
/// store.put("names", Region::build(|h| h.list(["eve"])))?;
/// assert_eq!(names.list().count(), 2, "lent before, and still there");
/// assert_eq!(guard.get("names").unwrap().list().count(), 1, "what was put by itself is seen at once");
/// guard.repin(); // `names` may be freed from here on
/// assert_eq!(store.info().guards_behind, 0);
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
pub struct Guard<'s> {
    span: Span<'s>,
    store: &'s PersistentTerms,
    /// The batches that it sees. Loaded after the span began.
    snapshot: u64,
    not_send: PhantomData<*mut ()>,
}

impl<'s> Guard<'s> {
    pub(super) fn new(store: &'s PersistentTerms) -> Self {
        let span = Span::new(&store.domain);
        Self { span, store, snapshot: store.domain.table.snapshot(), not_send: PhantomData }
    }

    #[inline(always)]
    fn domain(&self) -> &'s Domain {
        self.span.domain
    }

    /// The batches that it sees.
    #[inline(always)]
    pub(super) fn snapshot(&self) -> u64 {
        self.snapshot
    }

    /// As whom the guard is online.
    #[cfg(feature = "runtime")]
    pub(crate) fn participant(&self) -> &Participant {
        self.span.participant
    }

    #[allow(clippy::unused_self, reason = "what is lent is lent for as long as this is borrowed")]
    #[inline(always)]
    pub(super) fn lend(&self, w: Word) -> TermRef<'_> {
        // SAFETY: the guard is online for as long as it is borrowed.
        unsafe { Domain::lend(w) }
    }

    /// The value at `key`. Wait-free. OTP: `get/1`, which raises where this is `None`.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put(("user", 7), Region::build(|h| h.binary("ann")))?;
    /// let guard = store.pin();
    /// assert_eq!(guard.get(("user", 7)).unwrap().as_str(), Some("ann"));
    /// assert!(guard.get(("user", 8)).is_none());
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl Key) -> Option<TermRef<'_>> {
        self.domain().lookup(key, self.snapshot).map(|w| self.lend(w))
    }

    /// The value at `key`, or `default`. Wait-free. OTP: `get/2`.
    ///
    /// ```
    /// # use shared_term::{Atom, PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let default = Region::build(|h| h.int(10));
    /// assert_eq!(store.pin().get_or(Atom::inline("limit"), default.root()).as_int(), Some(10));
    /// ```
    pub fn get_or<'a>(&'a self, key: impl Key, default: TermRef<'a>) -> TermRef<'a> {
        self.get(key).unwrap_or(default)
    }

    /// The value of a slot. Wait-free: whether it is of this store, one load and a branch. Who reads it again
    /// [binds](Self::bind) it.
    ///
    /// # Panics
    ///
    /// When the slot is of another store.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let limit = store.slot("limit")?;
    /// assert!(store.pin().read(&limit).is_none());
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// assert_eq!(store.pin().read(&limit).unwrap().as_int(), Some(10));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[inline]
    pub fn read(&self, slot: &Slot) -> Option<TermRef<'_>> {
        assert!(slot.is_of(self.domain()), "a slot is read under a guard of its own store");
        slot.value(move || self.snapshot).map(|w| self.lend(w))
    }

    /// Binds a slot to this guard: whether it is of this store is looked at here, once, and each
    /// [`get`](BoundSlot::get) is one load and a branch. `None` when the slot is of another store. Wait-free; no memory.
    ///
    /// Nothing of it in OTP, where each `get` hashes its key.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let limit = store.slot("limit")?;
    /// let guard = store.pin();
    /// let limit = guard.bind(&limit).expect("a slot of this store");
    /// assert!(limit.get().is_none());
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// assert_eq!(limit.get().unwrap().as_int(), Some(10), "put by itself: seen at once");
    /// assert!(guard.bind(&PersistentTerms::new().slot("limit")?).is_none());
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[inline]
    pub fn bind<'a>(&'a self, slot: &'a Slot) -> Option<BoundSlot<'a>> {
        slot.is_of(self.domain()).then(|| BoundSlot::new(self, slot))
    }

    /// The newest value at `key`, and its version, for [`compare_and_put`](PersistentTerms::compare_and_put). Waits for a
    /// writer of the key, for a few stores. It may be newer than what [`get`](Self::get) gives: a batch that was committed
    /// since the guard was pinned is in it.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("n", Region::build(|h| h.int(1)))?;
    /// let (value, version) = store.pin().get_with_version("n").map(|(v, n)| (v.as_int(), n)).unwrap();
    /// store.compare_and_put("n", Some(version), Region::build(|h| h.int(2))).unwrap();
    /// assert!(store.compare_and_put("n", Some(version), Region::build(|h| h.int(3))).is_err(), "it is another one now");
    /// # assert_eq!(value, Some(1));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn get_with_version(&self, key: impl Key) -> Option<(TermRef<'_>, Version)> {
        self.domain().newest(key).map(|(w, version)| (self.lend(w), version))
    }

    /// The value at `key`; if there is none, the one that `f` builds, which is published. No lock is held while it is
    /// built. If another writer is first, `f`'s value is dropped, and the other's returned.
    ///
    /// # Errors
    ///
    /// When the store does not take the value.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// # let store = PersistentTerms::new();
    /// let guard = store.pin();
    /// let squares = guard.get_or_insert_with("squares", |h| h.list((0..4).map(|i| i * i)))?;
    /// assert_eq!(squares.to_string(), "[0,1,4,9]");
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn get_or_insert_with(
        &self,
        key: impl Key,
        f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>,
    ) -> Result<TermRef<'_>, StoreError> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let frozen = self.domain().build::<StoreError>(|h| Ok(f(h)))?;
        // SAFETY: frozen in this domain.
        match unsafe { self.domain().write(key, Offer::frozen(frozen), Expect::Vacant) }? {
            Wrote::Done { word, .. } | Wrote::Exists { word } => Ok(self.lend(word)),
            Wrote::Conflict { .. } => unreachable!("no version was asked for"),
        }
    }

    /// The value at `key` in a handle that outlives the guard, with a lease on the value's area. Three counters.
    ///
    /// # Errors
    ///
    /// When there is no memory: a value that is being collected is copied.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..3)))?;
    /// let kept = store.pin().literal("k")?.unwrap();
    /// store.erase("k");
    /// assert_eq!(kept.root().to_string(), "[0,1,2]");
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn literal(&self, key: impl Key) -> Result<Option<Literal>, StoreError> {
        let Some(w) = self.domain().lookup(key, self.snapshot) else { return Ok(None) };
        let literals = Literals::Keep { retired: self.domain().collector.retired() };
        let kept = !crate::term::word::is_literal(w) || literals.keeps(w);
        let mut offer = if kept { Offer::Held(w) } else { Offer::Term(w, Literals::Flatten) };
        // SAFETY: found in the guard's span: whoever takes a reference before it ends is seen by the collection (C4).
        let frozen = unsafe { self.domain().accept(&mut offer) }?;
        Ok(Some(Literal::new(&self.store.domain, frozen)))
    }

    /// Lets go of what was lent, as dropping the guard and pinning again would, for the price of three loads while
    /// nothing was unpublished.
    ///
    /// ```compile_fail
    /// # use shared_term::PersistentTerms;
    /// # let store = PersistentTerms::new();
    /// let mut guard = store.pin();
    /// let value = guard.get(1);
    /// guard.repin();
    /// println!("{value:?}"); // lent before: gone
    /// ```
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// let mut guard = store.pin();
    /// store.erase("k");
    /// assert!(store.info().retained_bytes > 0);
    /// guard.repin(); // between two requests, say
    /// assert!(store.wait_idle(std::time::Duration::from_secs(10)), "freed, though the guard is there");
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn repin(&mut self) {
        self.span.repin();
        self.snapshot = self.domain().table.snapshot();
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// All keys and values, as of one moment; see [`PersistentTerms::entries`].
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// for key in ["a", "b", "c"] {
///     store.put(key, Region::build(|h| h.list(0..10)))?;
/// }
/// let entries = store.entries();
/// store.erase_all()?;
/// assert_eq!(entries.iter().map(|(_, list)| list.list().count()).sum::<usize>(), 30);
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
pub struct Entries<'s> {
    guard: Guard<'s>,
    pairs: Vec<(std::ptr::NonNull<super::entry::Entry>, Word)>,
}

impl<'s> Entries<'s> {
    pub(super) fn new(store: &'s PersistentTerms) -> Self {
        let table = &store.domain.table;
        // Online while the locks are held: no batch is committed between the two, so that this sees all there are.
        let locks = table.lock_all();
        let guard = Guard::new(store);
        let pair = |entry: &super::entry::Entry| Some((std::ptr::NonNull::from(entry), entry.value(guard.snapshot)?));
        let pairs = table.entries().filter_map(pair).collect();
        drop(locks);
        Self { guard, pairs }
    }

    /// The pairs, in no order.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("a", Region::build(|h| h.int(1)))?;
    /// store.put("b", Region::build(|h| h.int(2)))?;
    /// let entries = store.entries();
    /// let mut keys: Vec<_> = entries.iter().filter_map(|(key, _)| key.as_str()).collect();
    /// keys.sort_unstable();
    /// assert_eq!(keys, ["a", "b"]);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TermRef<'_>, TermRef<'_>)> {
        // SAFETY: found in the guard's span, and freed after it has ended.
        self.pairs.iter().map(|&(entry, value)| (unsafe { entry.as_ref() }.key(), self.guard.lend(value)))
    }

    /// How many.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.int(1)))?;
    /// let entries = store.entries();
    /// store.erase("k");
    /// assert_eq!((entries.len(), store.info().count), (1, 0));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Were there none?
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// assert!(PersistentTerms::new().entries().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

static_assertions::assert_not_impl_any!(Guard<'static>: Send, Sync);
static_assertions::assert_not_impl_any!(Entries<'static>: Send, Sync);
