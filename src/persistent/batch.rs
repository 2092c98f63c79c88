//! Batches: changes of many keys that each reader sees all of, or none.
//!
//! Readers load one word per key and write nothing, so a batch cannot stop them. It puts a [`Change`] in the place of each
//! value, with the old value, the new one and the number of the batch; then it publishes that number, which commits all of
//! them; and a grace period later the changes give way to the new values. A span loads the number once, where it begins:
//! that is its *snapshot*, and it takes the new value of a change whose batch its snapshot has, and the old one of any
//! other. So long as a span may have a snapshot from before, the changes are there for it to tell.
//!
//! What the batch replaced loses its reference when the changes go, all of it at once: one collection.

use super::domain::{Domain, Span};
use super::entry::{Change, Entry};
use super::limbo::{Chain, Link};
use super::slot::Pinned;
use super::table::{self, Table};
use super::value::{Frozen, Offer, Value};
use super::{PutError, StoreError};
use crate::heap::{HeapError, catch_error, literal, reserve, try_box};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::sync::mutation::{Mutation, mutated};
use crate::term::Key;
use crate::term::word::{self, Word};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic as plain;

/// Changes of many keys, to be made at once.
///
/// A reader sees all of a batch or nothing of it: in all reads of one turn, and in all reads under one guard until it is
/// [repinned](super::Guard::repin). It sees the batch if that was committed when the turn began, or the guard was pinned.
/// What is put or erased by itself is seen at once, also in a turn or under a guard that does not see an older batch yet.
///
/// Whatever a batch replaces and erases is freed by one collection, which begins when every turn and guard that still
/// sees the old values has ended. Dropped without [`commit`](Self::commit), a batch does nothing.
///
/// No counterpart in OTP, where each `put/2` is seen, and collected, by itself.
///
/// ```
/// # use shared_term::{PersistentTerms, Region, term};
/// let store = PersistentTerms::new();
/// store.put("draft", Region::build(|h| h.list(0..9)))?;
/// let before = store.pin();
/// let mut batch = store.batch();
/// batch.put("primary", Region::build(|h| term!(h, {:db, 1})))?.put("replica", Region::build(|h| term!(h, {:db, 2})))?;
/// batch.erase("draft")?;
/// assert_eq!(batch.commit().erased, 1);
/// assert!(before.get("primary").is_none() && before.get("draft").is_some());
/// let after = store.pin();
/// assert!(after.get("primary").is_some() && after.get("replica").is_some() && after.get("draft").is_none());
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[must_use = "a batch does nothing before it is committed"]
pub struct Batch<'s> {
    domain: &'s Domain,
    planned: Vec<Planned<'s>>,
    /// With room for the changes of all of these; made for the first.
    young: Option<Box<Young>>,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("keys", &self.planned.len()).finish_non_exhaustive()
    }
}

/// What a batch did.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// store.put("a", Region::build(|h| h.int(1)))?;
/// store.put("b", Region::build(|h| h.int(2)))?;
/// let done = store.put_many([("a", 1), ("b", 3), ("c", 4)].map(|(key, n)| (key, Region::build(|h| h.int(n)))))?;
/// assert_eq!((done.inserted, done.replaced, done.unchanged), (1, 1, 1));
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Changes {
    /// Keys that had no value.
    pub inserted: usize,
    /// Keys that had another value.
    pub replaced: usize,
    /// Keys that lost their value.
    pub erased: usize,
    /// Keys that had the value already, or had none to erase.
    pub unchanged: usize,
}

struct Planned<'s> {
    /// In the order of the plans.
    nth: usize,
    /// The key: already in the table, so that to commit takes no memory.
    key: Pinned<'s>,
    /// `None`: the key is erased.
    value: Option<Frozen<'s>>,
    /// The value that was there, if it was found to be equal.
    equal: Option<Word>,
    /// A later plan is for the same key.
    superseded: bool,
}

impl<'s> Batch<'s> {
    pub(crate) fn new(domain: &'s Domain) -> Self {
        Self { domain, planned: Vec::new(), young: None }
    }

    /// Adds a plan, and makes room for all that it takes to commit it. The caller must be online.
    fn plan(&mut self, key: impl Key, value: Option<Frozen<'s>>) -> Result<(), HeapError> {
        let young = match &mut self.young {
            Some(young) => young,
            none => none.insert(Young::new()?),
        };
        let nth = self.planned.len();
        reserve(&mut self.planned, 1)?;
        reserve(&mut young.changed, nth + 1)?;
        let key = Pinned::new(self.domain, key)?;
        self.planned.push(Planned { nth, key, value, equal: None, superseded: false });
        Ok(())
    }

    /// Plans to publish `value` at `key`. The last plan for a key counts. O(words of the value), as
    /// [`put`](super::PersistentTerms::put).
    ///
    /// # Errors
    ///
    /// When the store does not take it: a region comes back, and what was planned before stays planned.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let mut batch = store.batch();
    /// batch.put("k", Region::build(|h| h.int(1)))?.put("k", Region::build(|h| h.int(2)))?;
    /// assert_eq!(store.read("k", |v| v.map(|v| v.as_int())), None);
    /// assert_eq!(batch.commit().inserted, 1);
    /// assert_eq!(store.read("k", |v| v.unwrap().as_int()), Some(2));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn put(&mut self, key: impl Key, value: impl Value) -> Result<&mut Self, PutError> {
        // SAFETY: the value lives during the call.
        match unsafe { self.plan_put(key, Offer::of(&value, self.domain)) } {
            Ok(()) => Ok(self),
            Err(reason) => Err(PutError { reason, value: value.back() }),
        }
    }

    /// # Safety
    ///
    /// As for [`Domain::accept`].
    pub(crate) unsafe fn plan_put(&mut self, key: impl Key, mut offer: Offer<'s>) -> Result<(), StoreError> {
        self.domain.admit()?;
        let _span = Span::new(self.domain);
        // SAFETY: the caller's promise.
        let frozen = unsafe { self.domain.accept(&mut offer) }?;
        Ok(self.plan(key, Some(frozen))?)
    }

    /// Plans to remove `key`.
    ///
    /// # Errors
    ///
    /// When there is no memory to remember the key with.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("old", Region::build(|h| h.int(1)))?;
    /// let mut rename = store.batch();
    /// rename.put("new", Region::build(|h| h.int(1)))?.erase("old")?;
    /// rename.commit();
    /// assert_eq!(store.entries().iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), [r#"<<"new">>"#]);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn erase(&mut self, key: impl Key) -> Result<&mut Self, HeapError> {
        let _span = Span::new(self.domain);
        self.plan(key, None)?;
        Ok(self)
    }

    /// Makes the changes, all at once. O(n log n) for n plans, whatever the hashes of their keys, and O(words) of values that
    /// are there already, which are compared with; writers of the same keys wait meanwhile, for a few stores per key, readers
    /// do not. Takes no memory: what it needs was reserved with the plans.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let mut batch = store.batch();
    /// batch.put("k", Region::build(|h| h.list(0..3)))?;
    /// let mut guard = store.pin();
    /// batch.commit();
    /// assert!(guard.get("k").is_none(), "pinned before");
    /// guard.repin();
    /// assert!(guard.get("k").is_some());
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn commit(self) -> Changes {
        self.commit_numbered().1
    }

    /// As [`commit`](Self::commit); also the number of the last batch, for a turn that is to see it.
    pub(crate) fn commit_numbered(mut self) -> (u64, Changes) {
        match self.young.take() {
            Some(young) => self.domain.commit(std::mem::take(&mut self.planned), young),
            None => (self.domain.table.snapshot(), Changes::default()),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.planned.is_empty() {
            // The values were never published; nobody else would free them.
            self.planned.clear();
            self.domain.help();
        }
    }
}

/// A batch that is committed, until nobody has a snapshot from before it; and then, until nobody looks at its changes.
#[repr(C)]
struct Young {
    link: Link,
    epoch: u64,
    /// Entries lead to the changes, which stay where they are.
    changed: Vec<Changed>,
    bytes: usize,
}

struct Changed {
    change: Change,
    entry: NonNull<Entry>,
    /// The value that lost its place, or zero.
    replaced: Word,
}

// SAFETY: the entries are pinned, and atomic or under locks; the words are references on areas, which are `Send`.
unsafe impl Send for Young {}

impl Young {
    fn new() -> Result<Box<Self>, HeapError> {
        // SAFETY: who ends it has it alone, and it was made by `Box`: see `into_link`.
        let link = Link::new(|link| drop(unsafe { Self::from_link(link) }));
        try_box(Self { link, epoch: 0, changed: Vec::new(), bytes: 0 })
    }

    fn into_link(self: Box<Self>) -> NonNull<Link> {
        NonNull::from(Box::leak(self)).cast()
    }

    /// # Safety
    ///
    /// The link must come from [`into_link`](Self::into_link), and be taken back once.
    #[allow(clippy::unnecessary_box_returns, reason = "entries and a list lead to what is in the box")]
    unsafe fn from_link(link: NonNull<Link>) -> Box<Self> {
        // SAFETY: the caller's promise: the link is its first field.
        unsafe { Box::from_raw(link.as_ptr().cast()) }
    }

    /// Puts a change in the place of an entry's value. There must be room, and the caller hold the lock of the key.
    fn change(&mut self, number: u64, entry: &Entry, value: Option<Frozen<'_>>, table: &Table, done: &mut Changes) {
        let replaced = entry.newest();
        match (&replaced, value.is_some()) {
            (None, _) => done.inserted += 1,
            (Some(_), true) => done.replaced += 1,
            (Some(_), false) => done.erased += 1,
        }
        let new = value.as_ref().map_or(0, Frozen::word);
        let replaced = replaced.unwrap_or(0);
        let (at, room) = (self.changed.len(), self.changed.capacity());
        assert!(at < room, "reserved with the plan");
        // SAFETY: there is room behind the last, so that nothing moves that an entry leads to. The change lives until a grace
        // period after it is taken out again.
        unsafe {
            let changed = self.changed.as_mut_ptr().add(at);
            changed.write(Changed { change: Change::new(number, new), entry: NonNull::from(entry), replaced });
            self.changed.set_len(at + 1);
            entry.change(NonNull::new_unchecked(&raw mut (*changed).change));
        }
        entry.pin();
        if let Some(value) = value {
            entry.set_version(table.next_version());
            value.into_word(); // the entry's reference
        }
        if word::is_literal(replaced) {
            // SAFETY: the entry's reference, which is the batch's now.
            self.bytes += unsafe { literal::entry(replaced).area().as_ref() }.held_bytes();
        }
    }
}

/// Young batches, the oldest first.
#[derive(Default)]
struct Queue(Chain);

// SAFETY: what is there is `Send`.
unsafe impl Send for Queue {}

impl Queue {
    fn push(&mut self, young: Box<Young>) {
        // SAFETY: leaked until it is popped.
        unsafe { self.0.push(young.into_link()) };
    }

    /// Takes the oldest, if `which` says so of it.
    fn pop_if(&mut self, which: impl FnOnce(&Young) -> bool) -> Option<Box<Young>> {
        // SAFETY: what is here was pushed, and is alive.
        let oldest = unsafe { self.0.iter().next()?.cast::<Young>().as_ref() };
        // SAFETY: as above; taken back once.
        which(oldest).then(|| self.0.pop()).flatten().map(|link| unsafe { Young::from_link(link) })
    }
}

/// The young batches of a domain.
#[derive(Default)]
pub(super) struct Batches {
    /// Held from the numbering of a batch to its commit: numbers are committed in order.
    committing: Mutex<()>,
    young: Mutex<Queue>,
    /// How many, for a look without the lock. Counted up before the epoch is advanced: see `Drop for Span`.
    len: plain::AtomicUsize,
    /// Bytes of what they replaced.
    retained: plain::AtomicUsize,
}

impl Batches {
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(plain::Ordering::Relaxed) == 0
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.retained.load(plain::Ordering::Relaxed)
    }
}

impl Domain {
    /// Makes all changes at once. The number of the last batch that is committed then: this one, if it changed anything.
    fn commit(&self, mut planned: Vec<Planned<'_>>, mut young: Box<Young>) -> (u64, Changes) {
        let _span = Span::new(self);
        let mut done = Changes::default();
        mark_superseded(&mut planned);
        let now = self.table.snapshot();
        let mut stripes = table::NO_STRIPES;
        for plan in planned.iter_mut().filter(|plan| !plan.superseded) {
            let entry = plan.key.entry();
            stripes[Table::stripe(u64::from(entry.hash))] = true;
            if let (Some(value), Some(there)) = (&plan.value, entry.value(now)) {
                // Without the memory to compare them, they pass for different.
                // SAFETY: both are alive: the plan holds one, the span the other. Compared outside every lock.
                let equal = catch_error(|| unsafe { crate::term::equal(there, value.word()) });
                plan.equal = equal.unwrap_or(false).then_some(there);
            }
        }
        let number = {
            let _committing = self.batches.committing.lock();
            let number = self.table.commits().load(Ordering::Relaxed) + 1; // Relaxed: changed under the lock alone
            let locks = self.table.lock_stripes(&stripes);
            if mutated(Mutation::CommitBeforeChanges) {
                self.table.commits().store(number, Ordering::Release);
            }
            // Values that are not needed stay in the plans: they may own things of the user's, which must not go under a lock.
            for plan in planned.iter_mut().filter(|plan| !plan.superseded) {
                let entry = plan.key.entry();
                let there = entry.newest();
                if plan.value.is_none() && there.is_none() || plan.equal.is_some() && there == plan.equal {
                    done.unchanged += 1;
                } else {
                    young.change(number, entry, plan.value.take(), &self.table, &mut done);
                }
            }
            let installed = self.install(number, young, &done);
            drop(locks);
            if installed { number } else { number - 1 }
        };
        // In the span, whose end gets the collection of values on that were not needed.
        drop(planned);
        (number, done)
    }

    /// Erases every key, at once. The number of those that had a value.
    pub(super) fn erase_all(&self) -> Result<usize, HeapError> {
        let _span = Span::new(self);
        let mut young = Young::new()?;
        let mut done = Changes::default();
        let _committing = self.batches.committing.lock();
        let number = self.table.commits().load(Ordering::Relaxed) + 1; // Relaxed: changed under the lock alone
        let locks = self.table.lock_all();
        let entries = || self.table.entries().filter(|entry| entry.newest().is_some());
        reserve(&mut young.changed, entries().count())?;
        entries().for_each(|entry| young.change(number, entry, None, &self.table, &mut done));
        self.install(number, young, &done);
        drop(locks);
        Ok(done.erased)
    }

    /// Commits the changes that are in their places. The caller holds the locks of all keys and that of commits. `false`:
    /// there was nothing to change.
    fn install(&self, number: u64, mut young: Box<Young>, done: &Changes) -> bool {
        if young.changed.is_empty() {
            return false;
        }
        self.table.count(done.inserted, done.erased);
        if !mutated(Mutation::CommitBeforeChanges) {
            // Release: pairs with the acquire of the snapshots: who sees the number sees every change.
            self.table.commits().store(number, Ordering::Release);
        }
        self.batches.len.fetch_add(1, plain::Ordering::Relaxed);
        self.batches.retained.fetch_add(young.bytes, plain::Ordering::Relaxed);
        let mut queue = self.batches.young.lock();
        young.epoch = self.quiescence.advance();
        queue.push(young);
        true
    }

    /// Puts new values in the place of changes that everybody sees as done, and lets go of what they replaced. Did
    /// something.
    pub(super) fn finish_batches(&self) -> bool {
        let mut worked = false;
        while !self.batches.is_empty() {
            let batch = {
                let passed =
                    |batch: &Young| mutated(Mutation::FinishWithoutGrace) || self.quiescence.has_passed(batch.epoch);
                self.batches.young.lock().pop_if(passed)
            };
            let Some(batch) = batch else { break };
            self.finish(batch);
            worked = true;
        }
        worked
    }

    fn finish(&self, batch: Box<Young>) {
        for Changed { change, entry, replaced } in &batch.changed {
            // SAFETY: the batch has pinned the entry.
            let entry = unsafe { entry.as_ref() };
            let lock = self.table.lock(u64::from(entry.hash));
            entry.forget(change);
            entry.unpin();
            self.table.unlink_idle(entry, &self.quiescence, &self.limbo);
            drop(lock);
            self.drop_value(*replaced);
        }
        self.batches.retained.fetch_sub(batch.bytes, plain::Ordering::Relaxed);
        // Somebody may be looking at a change, found before it was taken out.
        // SAFETY: it was made by `Box`, as its link says.
        unsafe { self.limbo.put_one(&self.quiescence, batch.into_link()) };
        self.batches.len.fetch_sub(1, plain::Ordering::Relaxed);
    }

    /// Finishes all batches, when the domain ends.
    pub(super) fn abandon_batches(&self) {
        loop {
            let Some(batch) = self.batches.young.lock().pop_if(|_| true) else { return };
            self.finish(batch);
        }
    }
}

/// Finds the plans for a key that are followed by another. O(n log n), also of keys that have one hash.
fn mark_superseded(planned: &mut [Planned<'_>]) {
    mark_followed(planned, |plan| (ptr::from_ref(plan.key.entry()).addr(), plan.nth), |plan| plan.superseded = true);
    // In an order that does not differ from run to run, as addresses do.
    planned.sort_unstable_by_key(|plan| (plan.key.entry().hash, plan.nth));
}

/// Marks each of those that another one of its group comes behind. `place`: the group of one, and its place there.
fn mark_followed<T>(all: &mut [T], place: impl Fn(&T) -> (usize, usize), mark: impl Fn(&mut T)) {
    all.sort_unstable_by_key(&place);
    for i in 1..all.len() {
        if place(&all[i - 1]).0 == place(&all[i]).0 {
            mark(&mut all[i - 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_last_of_each_key_is_found_by_few_looks_whatever_their_hashes() {
        const KEYS: usize = 1 << 14;
        // Each key is planned twice, but for a quarter of them.
        let planned = (0..2 * KEYS).map(|nth| (nth % KEYS, nth)).filter(|(key, nth)| key % 4 > 0 || *nth < KEYS);
        let mut planned: Vec<_> =
            planned.map(|(key, nth)| (key.wrapping_mul(0x9e37_79b9) % (1 << 31), nth, false)).collect();
        let (n, looks) = (planned.len(), Cell::new(0));
        let place = |&(key, nth, _): &(usize, usize, bool)| {
            looks.set(looks.get() + 1);
            (key, nth)
        };
        mark_followed(&mut planned, place, |(.., superseded)| *superseded = true);
        let last = planned.iter().filter(|(.., superseded)| !superseded).count();
        assert_eq!(last, KEYS);
        assert!(planned.iter().all(|&(_, nth, superseded)| superseded == (nth < KEYS && nth % 4 > 0)));
        assert!(looks.get() < 4 * n * n.ilog2() as usize, "{} looks at {n}", looks.get());
    }
}
