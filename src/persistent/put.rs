//! Changing what a store has: puts and erases, of one key or of several at once.

use super::domain::Span;
use super::value::Offer;
use super::write::{Expect, Wrote, import};
use super::{
    Batch, Changes, CompareError, Literal, PersistentTerms, PutError, PutNewError, StoreError, Value, Version,
};
use crate::heap::copy::Literals;
use crate::heap::{Heap, Region};
use crate::term::{Key, Term};

/// What a [`put`](PersistentTerms::put) did.
///
/// ```
/// # use shared_term::{PersistentTerms, Region, persistent::Put};
/// let store = PersistentTerms::new();
/// let load = |text: &str| store.put("config", Region::build(|h| h.binary(text)));
/// load("rate = 10")?;
/// match load("rate = 20")? {
///     Put::Inserted | Put::Replaced => println!("new configuration"),
///     Put::Unchanged => unreachable!("it was another one"),
/// }
/// assert_eq!(load("rate = 20")?, Put::Unchanged, "no reader is disturbed, nothing is collected");
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The key is new.
    Inserted,
    /// There was another value. If it had memory, a global collection frees it.
    Replaced,
    /// The value was there already, exactly: nothing happened.
    Unchanged,
}

impl PersistentTerms {
    /// Publishes `value` at `key`. Readers see the old value or the new one. O(words of the value), for the copy of a
    /// [`Region`] into literal memory; O(1) for a [`Literal`] of this store. Does not wait for readers, for holders, or for
    /// writers of other keys beyond a few stores.
    ///
    /// A value that is there already is compared with, outside every lock, and left alone when it is equal. A replaced
    /// value's memory is freed by a global collection. OTP: `put/2`.
    ///
    /// # Errors
    ///
    /// When there is no memory, or too much waits to be [freed](super::Builder::max_retained_bytes); the old value stays, and a
    /// region comes back.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::Put};
    /// let store = PersistentTerms::new();
    /// assert_eq!(store.put("k", Region::build(|h| h.int(1)))?, Put::Inserted);
    /// assert_eq!(store.put("k", Region::build(|h| h.int(1)))?, Put::Unchanged);
    /// assert_eq!(store.put("k", Region::build(|h| h.int(2)))?, Put::Replaced);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn put(&self, key: impl Key, value: impl Value) -> Result<Put, PutError> {
        // SAFETY: the value lives during the call.
        let wrote = unsafe { self.domain.write(key, Offer::of(&value, &self.domain), Expect::Anything) };
        wrote.map(done).map_err(|reason| PutError { reason, value: value.back() })
    }

    /// As [`put`](Self::put), of a value that is built straight in literal memory: a large one is not copied.
    ///
    /// What `f` builds becomes the value in one linear pass over its words, garbage included, where it is larger than
    /// 8 KiB and built without [`Heap::adopt`]; it is copied otherwise, and with that loses its garbage.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put). Memory that runs out while the value is built is an error, too.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// let store = PersistentTerms::new();
    /// store.put_built("squares", |h| h.list((0..10_000).map(|i| i * i)))?;
    /// # assert_eq!(store.pin().get("squares").unwrap().list().count(), 10_000);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn put_built(&self, key: impl Key, f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) -> Result<Put, StoreError> {
        let frozen = self.domain.build::<StoreError>(|h| Ok(f(h)))?;
        // SAFETY: frozen in this domain.
        unsafe { self.domain.write(key, Offer::frozen(frozen), Expect::Anything) }.map(done)
    }

    /// A literal of this store, built straight in literal memory as by [`put_built`](Self::put_built), at no key.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, term};
    /// let store = PersistentTerms::new();
    /// let shared = store.literal(|h| term!(h, #{"rate" => 100}))?;
    /// store.put("a", &shared)?;
    /// store.put("b", &shared)?;
    /// assert_eq!((store.info().count, store.info().areas), (2, 1));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn literal(&self, f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) -> Result<Literal, StoreError> {
        Ok(Literal::new(&self.domain, self.domain.build::<StoreError>(|h| Ok(f(h)))?))
    }

    /// A literal of this store with a copy of the region's term. O(words).
    ///
    /// # Errors
    ///
    /// When there is no memory; the region comes back.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// let list = store.freeze(Region::build(|h| h.list(0..3)))?;
    /// store.put("list", &list)?; // shared
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn freeze(&self, value: Region) -> Result<Literal, PutError> {
        // SAFETY: the region lives during the call.
        match unsafe { self.domain.freeze(value.root_word(), Literals::Flatten) } {
            Ok(frozen) => Ok(Literal::new(&self.domain, frozen)),
            Err(error) => Err(PutError { reason: error.into(), value: Some(value) }),
        }
    }

    /// Publishes `value` at `key` unless there is a value; an equal one counts as published. OTP: `put_new/2`.
    ///
    /// # Errors
    ///
    /// When there is another value, or the store does not take yours; it comes back.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::PutNewError};
    /// let store = PersistentTerms::new();
    /// store.put_new("k", Region::build(|h| h.int(1))).unwrap();
    /// let Err(PutNewError::Exists(mine)) = store.put_new("k", Region::build(|h| h.int(2))) else { panic!() };
    /// assert_eq!(mine.root().as_int(), Some(2));
    /// ```
    pub fn put_new(&self, key: impl Key, value: Region) -> Result<(), PutNewError> {
        let offer = Offer::Term(value.root_word(), Literals::Flatten);
        // SAFETY: the region lives during the call.
        match unsafe { self.domain.write(key, offer, Expect::Vacant) } {
            Ok(Wrote::Done { .. }) => Ok(()),
            Ok(_) => Err(PutNewError::Exists(value)),
            Err(error) => Err(PutNewError::Refused(error, value)),
        }
    }

    /// Publishes `value` at `key` if the value there has version `expected`, or if there is none for `None`; the version
    /// that is there now. An equal value is left alone and keeps its version.
    ///
    /// A version stands for one `put`: where the key was erased and put again meanwhile, even with the same value, it is
    /// another one. Lock-free but for a few stores under the lock of the key. No counterpart in OTP.
    ///
    /// # Errors
    ///
    /// When another version is there, or the store does not take the value; it comes back.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::CompareError};
    /// let store = PersistentTerms::new();
    /// let one = store.compare_and_put("k", None, Region::build(|h| h.int(1))).unwrap();
    /// let two = store.compare_and_put("k", Some(one), Region::build(|h| h.int(2))).unwrap();
    /// let Err(CompareError::Conflict { current, .. }) = store.compare_and_put("k", Some(one), Region::build(|h| h.int(3)))
    /// else { panic!() };
    /// assert_eq!(current, Some(two));
    /// ```
    pub fn compare_and_put(
        &self,
        key: impl Key,
        expected: Option<Version>,
        value: Region,
    ) -> Result<Version, CompareError> {
        let offer = Offer::Term(value.root_word(), Literals::Flatten);
        // SAFETY: the region lives during the call.
        match unsafe { self.domain.write(key, offer, Expect::Version(expected)) } {
            Ok(Wrote::Done { version: Some(version), .. }) => Ok(version),
            Ok(Wrote::Conflict { current }) => Err(CompareError::Conflict { current, value }),
            Ok(_) => unreachable!("a version was asked for"),
            Err(error) => Err(CompareError::Refused(error, value)),
        }
    }

    /// Publishes what `f` makes of the value at `key`, or of none. What `f` links of the old value is shared with the new
    /// one, not copied: see [`Cx::put`](crate::Cx::put).
    ///
    /// No lock is held while `f` runs. If another writer of the key was faster, what `f` made is dropped and `f` is called
    /// again with that writer's value: each call sees a newer value than the one before, and some writer has got on.
    /// While `f` runs, nothing that is replaced elsewhere is freed.
    ///
    /// # Errors
    ///
    /// When the store does not take the value.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, term};
    /// let store = PersistentTerms::new();
    /// store.put("routes", Region::build(|h| term!(h, #{"/" => 1})))?;
    /// store.update("routes", |h, old| h.insert(old.unwrap(), h.binary("/a"), h.int(2)).unwrap())?;
    /// assert_eq!(store.read("routes", |r| r.unwrap().to_string()), r#"#{<<"/">> => 1,<<"/a">> => 2}"#);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn update(
        &self,
        key: impl Key,
        mut f: impl for<'r> FnMut(Heap<'r>, Option<Term<'r>>) -> Term<'r>,
    ) -> Result<Put, StoreError> {
        loop {
            let wrote = {
                let _span = Span::new(&self.domain);
                let (old, version) = self.domain.newest(key).unzip();
                // SAFETY: read in the span, which ends after the new value is published.
                let new = self.domain.build::<StoreError>(|h| Ok(f(h, old.map(|w| unsafe { import(h, w) }))))?;
                // SAFETY: frozen in this domain.
                unsafe { self.domain.write(key, Offer::frozen(new), Expect::Version(version)) }?
            };
            if let Wrote::Done { put, .. } = wrote {
                return Ok(put);
            }
        }
    }

    /// Removes `key`. `false` when it had no value. O(1); a value with memory is freed by a global collection. OTP:
    /// `erase/1`.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// assert!(store.erase("k"));
    /// assert!(!store.erase("k"));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn erase(&self, key: impl Key) -> bool {
        self.domain.erase(key)
    }

    /// Plans changes of several keys, to be made at once. O(1): nothing is planned yet, and no memory is taken.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// let mut batch = store.batch();
    /// for shard in 0..4 {
    ///     batch.put(("shard", shard), Region::build(|h| h.int(shard)))?;
    /// }
    /// assert_eq!(store.info().count, 0);
    /// batch.commit();
    /// assert_eq!(store.info().count, 4);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.domain)
    }

    /// Publishes all values, each at its key, at once: see [`Batch`] for what a reader sees. Of equal keys the last wins.
    ///
    /// # Errors
    ///
    /// When the store does not take a value, which comes back; then nothing is changed.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// let changes = store.put_many((0..10).map(|i| (("shard", i), Region::build(|h| h.int(i)))))?;
    /// assert_eq!(changes.inserted, 10);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn put_many<K: Key, V: Value>(&self, pairs: impl IntoIterator<Item = (K, V)>) -> Result<Changes, PutError> {
        let mut batch = self.batch();
        for (key, value) in pairs {
            batch.put(key, value)?;
        }
        Ok(batch.commit())
    }

    /// Removes all keys at once: see [`Batch`] for what a reader sees.
    ///
    /// # Errors
    ///
    /// When there is no memory; then nothing is changed.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put_many([("a", Region::build(|h| h.int(1))), ("b", Region::build(|h| h.int(2)))])?;
    /// assert_eq!(store.erase_many(["a", "b", "c"])?.erased, 2);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn erase_many<K: Key>(&self, keys: impl IntoIterator<Item = K>) -> Result<Changes, StoreError> {
        let mut batch = self.batch();
        for key in keys {
            batch.erase(key)?;
        }
        Ok(batch.commit())
    }

    /// Removes all keys, at once, and returns how many had a value. Writers wait meanwhile, O(keys); readers do not. OTP
    /// has it for `init:restart/0` alone.
    ///
    /// # Errors
    ///
    /// When there is no memory: a few words for each key, until nobody sees the old values any more. Then nothing is changed.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// assert_eq!((store.erase_all()?, store.info().count), (1, 0));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn erase_all(&self) -> Result<usize, StoreError> {
        Ok(self.domain.erase_all()?)
    }
}

/// What became of a write that nothing but the store's refusal could stop.
fn done(wrote: Wrote) -> Put {
    match wrote {
        Wrote::Done { put, .. } => put,
        Wrote::Exists { .. } | Wrote::Conflict { .. } => unreachable!("anything may be replaced"),
    }
}
