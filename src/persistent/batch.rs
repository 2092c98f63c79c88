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
use super::table::Table;
use super::value::{Frozen, Offer, Value};
use super::{PutError, StoreError};
use crate::heap::{HeapError, literal};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::sync::mutation::{Mutation, mutated};
use crate::term::Key;
use crate::term::word::{self, Word};
use std::alloc::{Layout, handle_alloc_error};
use std::collections::VecDeque;
use std::fmt;
use std::ptr::NonNull;
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
    hash: u64,
    /// The key; linked if it is not in the table yet.
    entry: Box<Entry>,
    /// `None`: the key is erased.
    value: Option<Frozen<'s>>,
    /// The value that was there, if it was found to be equal.
    equal: Option<Word>,
}

impl<'s> Batch<'s> {
    pub(crate) fn new(domain: &'s Domain) -> Self {
        Self { domain, planned: Vec::new() }
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
        let hash = key.hash_key();
        let entry = Entry::new(hash, key)?;
        let _span = Span::new(self.domain);
        // SAFETY: the caller's promise.
        let frozen = unsafe { self.domain.accept(&mut offer) }?;
        self.planned.push(Planned { hash, entry, value: Some(frozen), equal: None });
        Ok(())
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
        let hash = key.hash_key();
        self.planned.push(Planned { hash, entry: Entry::new(hash, key)?, value: None, equal: None });
        Ok(self)
    }

    /// Makes the changes, all at once. O(keys), and O(words) of values that are there already, which are compared with;
    /// writers of the same keys wait meanwhile, for a few stores per key, readers do not.
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
        self.domain.commit(std::mem::take(&mut self.planned))
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

/// A batch that is committed, until nobody has a snapshot from before it.
struct Young {
    epoch: u64,
    changes: Vec<Change>,
    keys: Vec<Changed>,
    bytes: usize,
}

struct Changed {
    entry: NonNull<Entry>,
    /// The value that lost its place, or zero.
    replaced: Word,
}

// SAFETY: the entries are pinned, and atomic or under locks; the words are references on areas, which are `Send`.
unsafe impl Send for Young {}

/// The young batches of a domain.
#[derive(Default)]
pub(super) struct Batches {
    /// Held from the numbering of a batch to its commit: numbers are committed in order.
    committing: Mutex<()>,
    young: Mutex<VecDeque<Young>>,
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
    fn commit(&self, mut planned: Vec<Planned<'_>>) -> (u64, Changes) {
        let _span = Span::new(self);
        let mut done = Changes::default();
        last_of_each_key(&mut planned);
        let now = self.table.snapshot();
        for plan in &mut planned {
            let there = self.table.find(plan.hash, plan.entry.key()).and_then(|entry| entry.value(now));
            if let (Some(value), Some(there)) = (&plan.value, there) {
                // SAFETY: both are alive: the plan holds one, the span the other. Compared outside every lock.
                plan.equal = unsafe { crate::term::equal(there, value.word()) }.then_some(there);
            }
        }
        // Keys that are not needed: they may own things of the user's, which must not go under a lock.
        let mut unused = Vec::new();
        let number = {
            let _committing = self.batches.committing.lock();
            let number = self.table.commits().load(Ordering::Relaxed) + 1; // Relaxed: changed under the lock alone
            let mut stripes: Vec<_> = planned.iter().map(|plan| Table::stripe(plan.hash)).collect();
            stripes.sort_unstable();
            stripes.dedup();
            let locks = self.table.lock_stripes(stripes.into_iter());
            let mut found = Vec::with_capacity(planned.len());
            for plan in planned {
                let entry = self.table.find(plan.hash, plan.entry.key());
                let there = entry.and_then(Entry::newest);
                if plan.value.is_none() && there.is_none() || plan.equal.is_some() && there == plan.equal {
                    done.unchanged += 1;
                    unused.push(plan.entry);
                    continue;
                }
                let entry = match entry {
                    Some(entry) => {
                        unused.push(plan.entry);
                        entry
                    }
                    // Where a batch commits nothing may fail: what it still needs then is a few words a key.
                    None => match self.table.insert(plan.entry, plan.hash, &self.quiescence, &self.limbo) {
                        Ok(entry) => entry,
                        Err(_) => handle_alloc_error(Layout::new::<Entry>()),
                    },
                };
                found.push((entry, plan.value));
            }
            let installed = self.install(number, found, &mut done);
            drop(locks);
            if installed { number } else { number - 1 }
        };
        (number, done)
    }

    /// Erases every key, at once. The number of those that had a value.
    pub(super) fn erase_all(&self) -> usize {
        let _span = Span::new(self);
        let mut done = Changes::default();
        let _committing = self.batches.committing.lock();
        let number = self.table.commits().load(Ordering::Relaxed) + 1; // Relaxed: changed under the lock alone
        let locks = self.table.lock_all();
        let found = self.table.entries().filter(|entry| entry.newest().is_some()).map(|entry| (entry, None)).collect();
        self.install(number, found, &mut done);
        drop(locks);
        done.erased
    }

    /// Puts the changes in their places and commits them. The caller holds the locks of all keys and that of commits.
    /// `false`: there was nothing to change.
    fn install(&self, number: u64, found: Vec<(&Entry, Option<Frozen<'_>>)>, done: &mut Changes) -> bool {
        if found.is_empty() {
            return false;
        }
        if mutated(Mutation::CommitBeforeChanges) {
            self.table.commits().store(number, Ordering::Release);
        }
        let change =
            |(_, value): &(&Entry, Option<Frozen<'_>>)| Change::new(number, value.as_ref().map_or(0, Frozen::word));
        // A `Vec`: it may move while entries lead to what it holds.
        let mut changes: Vec<Change> = found.iter().map(change).collect();
        let first = changes.as_mut_ptr();
        let (mut keys, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for (i, (entry, value)) in found.into_iter().enumerate() {
            let replaced = entry.newest();
            // SAFETY: the change lives until a grace period after it is taken out again.
            unsafe { entry.change(NonNull::new_unchecked(first.add(i))) };
            entry.pin();
            match (&replaced, value.is_some()) {
                (None, _) => done.inserted += 1,
                (Some(_), true) => done.replaced += 1,
                (Some(_), false) => done.erased += 1,
            }
            if let Some(value) = value {
                entry.set_version(self.table.next_version());
                value.into_word(); // the entry's reference
            }
            let replaced = replaced.unwrap_or(0);
            if word::is_literal(replaced) {
                // SAFETY: the entry's reference, which is the batch's now.
                bytes += unsafe { literal::entry(replaced).area().as_ref() }.held_bytes();
            }
            keys.push(Changed { entry: NonNull::from(entry), replaced });
        }
        self.table.count(done.inserted, done.erased);
        if !mutated(Mutation::CommitBeforeChanges) {
            // Release: pairs with the acquire of the snapshots: who sees the number sees every change.
            self.table.commits().store(number, Ordering::Release);
        }
        self.batches.len.fetch_add(1, plain::Ordering::Relaxed);
        self.batches.retained.fetch_add(bytes, plain::Ordering::Relaxed);
        let mut young = self.batches.young.lock();
        young.push_back(Young { epoch: self.quiescence.advance(), changes, keys, bytes });
        true
    }

    /// Puts new values in the place of changes that everybody sees as done, and lets go of what they replaced. Did
    /// something.
    pub(super) fn finish_batches(&self) -> bool {
        let mut worked = false;
        while !self.batches.is_empty() {
            let batch = {
                let mut young = self.batches.young.lock();
                let passed =
                    |batch: &Young| mutated(Mutation::FinishWithoutGrace) || self.quiescence.has_passed(batch.epoch);
                match young.front() {
                    Some(batch) if passed(batch) => young.pop_front(),
                    _ => None,
                }
            };
            let Some(batch) = batch else { break };
            self.finish(batch);
            worked = true;
        }
        worked
    }

    fn finish(&self, batch: Young) {
        let Young { changes, keys, bytes, .. } = batch;
        for (change, Changed { entry, replaced }) in changes.iter().zip(keys) {
            // SAFETY: the batch has pinned the entry.
            let entry = unsafe { entry.as_ref() };
            let lock = self.table.lock(u64::from(entry.hash));
            entry.forget(change);
            entry.unpin();
            self.table.unlink_idle(entry, &self.quiescence, &self.limbo);
            drop(lock);
            self.drop_value(replaced);
        }
        self.batches.retained.fetch_sub(bytes, plain::Ordering::Relaxed);
        // Somebody may be looking at a change, found before it was taken out.
        self.limbo.put(&self.quiescence, Box::new(changes));
        self.batches.len.fetch_sub(1, plain::Ordering::Relaxed);
    }

    /// Finishes all batches, when the domain ends.
    pub(super) fn abandon_batches(&self) {
        loop {
            let Some(batch) = self.batches.young.lock().pop_front() else { return };
            self.finish(batch);
        }
    }
}

/// Drops all plans for a key but the last. O(n log n).
fn last_of_each_key(planned: &mut Vec<Planned<'_>>) {
    // Stable: equal keys stay in their order, among others that have the same hash by chance.
    planned.sort_by_key(|plan| plan.hash);
    let counts = |(i, plan): (usize, &Planned<'_>)| {
        let mut later = planned[i + 1..].iter().take_while(|other| other.hash == plan.hash);
        !later.any(|other| other.entry.key() == plan.entry.key())
    };
    let mut counts = planned.iter().enumerate().map(counts).collect::<Vec<_>>().into_iter();
    planned.retain(|_| counts.next().unwrap_or(true));
}
