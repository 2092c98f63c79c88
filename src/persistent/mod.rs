//! Persistent terms: whole terms that any number of processes and threads read for free, and the global collection that
//! replacing one of them triggers.
//!
//! A value is copied once, when it is [`put`](PersistentTerms::put), into a literal area. A [`get`](PersistentTerms::get)
//! in a turn gives a term that points there: no copy, no reference count, no lock, no write. The process may keep it, put
//! it into its state or send it on, by pointer. When the value is replaced or erased, the area is freed once no process
//! points into it any more, and finding that out costs the *holders*, not everybody: see the
//! [collector](self#the-global-collection).
//!
//! ```
//! use shared_term::{Atom, PersistentTerms, Region, term};
//!
//! const ROUTES: Atom = Atom::inline("routes");
//! let store = PersistentTerms::new();
//! store.put(ROUTES, Region::build(|h| term!(h, #{"/" => 1, "/users" => 2})))?;
//! let guard = store.pin();
//! assert_eq!(guard.get(ROUTES).unwrap().lookup("/users").unwrap().as_int(), Some(2));
//! # Ok::<(), shared_term::persistent::StoreError>(())
//! ```
//!
//! # The global collection
//!
//! `put` and `erase` unpublish the old value and return. Its area is then marked, every worker and guard passes a
//! boundary, and the cards of all processes are scanned, one load each: a process that is idle and whose literal filter
//! is clear of the area is passed over without being woken. The others are asked; each evacuates at its next turn
//! boundary what it still reaches, and nothing else, and when all have answered the area is freed. What messages that wait in
//! it reach, too, is copied once for all of them, and kept until half of those are received. A process that only
//! *reads* the value in its turns, and keeps none of it, holds nothing and is not asked.
//!
//! # Against `persistent_term` of OTP
//!
//! | OTP | here | difference |
//! |---|---|---|
//! | `put/2` | [`put`](PersistentTerms::put) | writers of different keys do not queue up; no memory is an error value |
//! | `put_new/2` | [`put_new`](PersistentTerms::put_new) | gives the region back |
//! | `get/1`, `get/2` | [`get`](PersistentTerms::get), [`Guard::get`], [`Guard::get_or`] | `None` where there is nothing |
//! | `get/0` | [`entries`](PersistentTerms::entries) | one moment's state; lends: copies neither keys nor values |
//! | `erase/1` | [`erase`](PersistentTerms::erase) | O(1); the table is never copied |
//! | `info/0` | [`info`](PersistentTerms::info), [`entry_info`](PersistentTerms::entry_info) | O(1); what waits to be freed is counted |
//! | none | [`get_or_insert_with`](Guard::get_or_insert_with), [`update`](PersistentTerms::update), [`compare_and_put`](PersistentTerms::compare_and_put) | no lock is held while a value is built |
//! | none | [`put_many`](PersistentTerms::put_many), [`erase_many`](PersistentTerms::erase_many), [`batch`](PersistentTerms::batch), [`erase_all`](PersistentTerms::erase_all) | seen whole or not at all; one collection |
//! | none | [`slot`](PersistentTerms::slot) | a read without a lookup |
//! | none | [`Literal`] | a value in Rust hands, counted |
//! | none | [`Policy`], [`Builder::max_retained_bytes`] | when holders are asked; how much may wait |
//! | every process is signalled and scanned | holders alone pay | |
//! | a holder copies the whole area | it copies what it reaches, sharing kept | |
//! | replacing `{}` collects | values that own no memory end nothing | |

mod asking;
mod batch;
mod card;
mod collector;
mod domain;
mod entry;
mod error;
mod guard;
mod handle;
mod held_up;
mod limbo;
mod quiescence;
mod report;
mod reports;
mod scan;
mod settings;
#[cfg(feature = "runtime")]
mod share;
mod slot;
mod slots;
mod table;
mod tags;
mod value;
mod write;

pub use batch::{Batch, Changes};
pub use error::{CompareError, PutError, PutNewError, StoreError};
pub use guard::{Entries, Guard};
pub use handle::Literal;
pub use held_up::HeldUp;
pub use report::{EntryInfo, Info, Report};
pub use reports::Reports;
pub use settings::{Builder, Policy};
pub use slot::Slot;
pub use value::Value;

pub(crate) use card::{Between, Card, Pressing};
pub(crate) use collector::Step;
pub(crate) use domain::{Domain, TurnMark, in_turn};
pub(crate) use quiescence::{Participant, Role};
pub(crate) use slots::{Acts, ActsRef, Door, Occupant};
#[cfg(feature = "runtime")]
pub(crate) use {
    entry::Entry,
    share::{Lease, Share},
    table::Table,
    value::Offer,
    write::{Expect, Wrote},
};

use crate::heap::copy::Literals;
use crate::heap::{Heap, Region, literal};
use crate::term::{Key, Reference, Term, TermRef, word};
use domain::Span;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic as plain;
use std::time::{Duration, Instant};
#[cfg(not(feature = "runtime"))]
use {
    value::Offer,
    write::{Expect, Wrote},
};

pub(crate) mod sealed {
    /// What a turn knows of its domain.
    pub trait Turn {
        #[doc(hidden)]
        fn domain(&self) -> *const ();

        /// The batches that the turn sees.
        #[doc(hidden)]
        fn snapshot(&self) -> u64;
    }
}

/// A heap that answers global collections, so that it may hold pointers into literal areas: the context of a turn.
/// Sealed; a builder or an [`OwnedHeap`](crate::heap::OwnedHeap) is none, and copies what it reads under a guard.
pub trait Holder<'h>: Copy + sealed::Turn + std::ops::Deref<Target = Heap<'h>> {}

/// A store of persistent terms: key to value, both terms. A cheap handle; clones are the same store.
///
/// A store and the runtimes [attached](crate::runtime::Builder::persistent) to it are one domain. See the
/// [module](self).
#[derive(Clone)]
pub struct PersistentTerms {
    pub(crate) domain: Arc<Domain>,
}

/// What a [`put`](PersistentTerms::put) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The key is new.
    Inserted,
    /// There was another value. If it had memory, a global collection frees it.
    Replaced,
    /// The value was there already, exactly: nothing happened.
    Unchanged,
}

/// Names one value of one key: no other value of any key of the store, before or after, has the same (H22). See
/// [`compare_and_put`](PersistentTerms::compare_and_put).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl fmt::Debug for PersistentTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentTerms").field("info", &self.info()).finish()
    }
}

impl Default for PersistentTerms {
    fn default() -> Self {
        Self::new()
    }
}

/// Steps of the collection for which [`PersistentTerms::wait_idle`] does not look at the time.
const PATIENCE: u32 = 1024;

impl PersistentTerms {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// An empty store that is not set up as usual.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, persistent::Policy};
    /// let store = PersistentTerms::builder().policy(Policy::Lazy).max_retained_bytes(64 << 20).build();
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// A reference that is unique in this domain: no turn, handle or store of it gives it again. Wait-free.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// let store = PersistentTerms::new();
    /// assert_ne!(store.make_ref(), store.make_ref());
    /// ```
    pub fn make_ref(&self) -> Reference {
        self.domain.references.make()
    }

    /// The value at `key`, in a turn: no copy, no count, no lock, no write. Wait-free. The term may be kept in the
    /// state and sent on; what is stored is noted by the heap it is stored in, reading costs nothing later.
    ///
    /// In a turn of another domain the value is copied.
    ///
    #[cfg_attr(feature = "runtime", doc = "```")]
    #[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put(Atom::OK, Region::build(|h| h.int(42)))?;
    /// let store = rt.persistent().clone();
    /// rt.spawn_fn(|cx| cx.nil(), move |cx, state, _message| {
    ///     assert_eq!(store.get(cx, Atom::OK).unwrap().as_int(), Some(42));
    ///     Ok(Next(state))
    /// })?;
    /// # rt.run_until_idle();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get<'h>(&self, cx: impl Holder<'h>, key: impl Key) -> Option<Term<'h>> {
        if std::ptr::eq(cx.domain(), Arc::as_ptr(&self.domain).cast()) {
            // SAFETY: a turn is online in its domain, and its heap answers that domain's collections (invariant 4).
            return self.domain.lookup(key, cx.snapshot()).map(|w| unsafe { Term::from_word(w) });
        }
        self.pin().get(key).map(|t| cx.copy(t))
    }

    /// Pins the store for reading on any thread: a place among those that are pinned now, which is an exchange, then a
    /// store and a fence; two stores and a fence to drop it. Nothing that is unpublished while it lives is freed before it
    /// is dropped; nothing else waits for it. Where no runtime drives the collections, who drops a guard that held one up
    /// goes on with it.
    #[must_use]
    pub fn pin(&self) -> Guard<'_> {
        Guard::new(self)
    }

    /// One read, on any thread.
    ///
    /// ```
    /// # use shared_term::{Atom, PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// assert_eq!(store.read("limit", |v| v.and_then(|v| v.as_int())), Some(10));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn read<R>(&self, key: impl Key, f: impl FnOnce(Option<TermRef<'_>>) -> R) -> R {
        let guard = self.pin();
        f(guard.get(key))
    }

    /// Publishes `value` at `key`. Readers see the old value or the new one. O(words of the value), for the copy of a
    /// [`Region`] into literal memory; O(1) for a [`Literal`] of this store. Does not wait for readers, for holders, or for
    /// writers of other keys beyond a few stores.
    ///
    /// A value that is there already is compared with, outside every lock, and left alone when it is equal. A replaced
    /// value's memory is freed by a global collection. OTP: `put/2`.
    ///
    /// # Errors
    ///
    /// When there is no memory, or too much waits to be [freed](Builder::max_retained_bytes); the old value stays, and a
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
                let new = self.domain.build::<StoreError>(|h| Ok(f(h, old.map(|w| unsafe { write::import(h, w) }))))?;
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

    /// Plans changes of several keys, to be made at once.
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
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// assert_eq!((store.erase_all(), store.info().count), (1, 0));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[allow(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn erase_all(&self) -> usize {
        self.domain.erase_all()
    }

    /// Looks `key` up for good: a handle whose reads are one load and a branch. It may have no value yet.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    pub fn slot(&self, key: impl Key) -> Result<Slot, StoreError> {
        Ok(Slot::new(self, key)?)
    }

    /// All keys and values as they are at one moment, lent for as long as the result lives, which is a [guard](Guard).
    ///
    /// Consistent: it has each single write that was done before some moment during the call, none after it, and each batch
    /// whole or not at all. Writers wait while the pairs are collected, O(keys); readers do not, and nobody waits while
    /// they are looked at. OTP: `get/0`, which copies them.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put_many([("a", Region::build(|h| h.int(1))), ("b", Region::build(|h| h.int(2)))])?;
    /// let entries = store.entries();
    /// store.erase("a");
    /// assert_eq!(entries.iter().filter_map(|(_, value)| value.as_int()).sum::<i64>(), 3);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries::new(self)
    }

    /// Calls `f` with each key and value, in no order, without a lock. Pairs that are put or erased meanwhile may be seen or
    /// not; [`entries`](Self::entries) shows one moment. A batch that was committed before the call is seen whole.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put(1, Region::build(|h| h.int(10)))?;
    /// store.put(2, Region::build(|h| h.int(20)))?;
    /// let mut sum = 0;
    /// store.for_each(|_, v| sum += v.as_int().unwrap_or(0));
    /// assert_eq!(sum, 30);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(TermRef<'_>, TermRef<'_>)) {
        let _span = Span::new(&self.domain);
        let snapshot = self.domain.table.snapshot();
        for entry in self.domain.table.entries() {
            if let Some(w) = entry.value(snapshot) {
                // SAFETY: the span is online for as long as `f` runs.
                f(entry.key(), unsafe { Domain::lend(w) });
            }
        }
    }

    /// The figures of the store. O(1) but for the participants.
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

    /// Waits until everything that was unpublished is freed, helping with it. `false`: the time was over first, because a
    /// guard is held, a turn runs on, a runtime is not being run, or holders are left alone by [policy](Policy); or this was called inside a turn, a destructor that
    /// the collection runs, or a hook of it, which would wait for itself.
    #[must_use]
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        if in_turn() {
            return false;
        }
        let start = Instant::now();
        let mut pause = Duration::from_micros(1);
        let mut worked = 0_u32;
        loop {
            match self.domain.step() {
                // A hook that unpublishes something each time makes work without end.
                Step::Worked if worked >= PATIENCE && start.elapsed() >= timeout => return false,
                Step::Worked => worked = worked.saturating_add(1),
                Step::Idle if self.domain.collector.is_idle() && self.domain.is_at_rest() => return true,
                Step::Idle | Step::Waiting | Step::Spared => {
                    if start.elapsed() >= timeout {
                        return false;
                    }
                    if pause < Duration::from_micros(20) {
                        std::thread::yield_now();
                    } else {
                        std::thread::sleep(pause);
                    }
                    pause = (pause * 2).min(Duration::from_millis(1));
                }
            }
        }
    }

    /// Collects what waits to be freed now whatever the [policy](Policy): its holders are asked, once. Begins it, and does not
    /// wait; see [`wait_idle`](Self::wait_idle).
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, persistent::Policy};
    /// # use std::time::Duration;
    /// let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    /// store.collect();
    /// assert!(store.wait_idle(Duration::from_secs(10)));
    /// ```
    pub fn collect(&self) {
        if self.domain.retained_bytes() > 0 {
            self.domain.collector.force();
            self.domain.help();
        }
    }

    /// Calls `f` with the report of each global collection, until the subscription is dropped. It runs on the thread that
    /// ends the collection, and must not block for long. [`reports`](Self::reports) is for whoever has their own time.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # use std::{sync::mpsc, time::Duration};
    /// let store = PersistentTerms::new();
    /// let (tx, rx) = mpsc::channel();
    /// let _subscription = store.on_collection(move |report| tx.send(report.areas).unwrap());
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// store.erase("k");
    /// assert!(store.wait_idle(Duration::from_secs(10)));
    /// assert_eq!(rx.recv(), Ok(1));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn on_collection(&self, f: impl Fn(&Report) + Send + Sync + 'static) -> Subscription {
        Subscription { id: self.domain.subscribe(Arc::new(f)), domain: Arc::clone(&self.domain) }
    }
}

/// Ends an [`on_collection`](PersistentTerms::on_collection) when it is dropped.
#[derive(Debug)]
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription {
    id: u64,
    domain: Arc<Domain>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.domain.unsubscribe(self.id);
    }
}

/// What became of a write that nothing but the store's refusal could stop.
fn done(wrote: Wrote) -> Put {
    match wrote {
        Wrote::Done { put, .. } => put,
        Wrote::Exists { .. } | Wrote::Conflict { .. } => unreachable!("anything may be replaced"),
    }
}

static_assertions::assert_impl_all!(PersistentTerms: Send, Sync, Clone);
