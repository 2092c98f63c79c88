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
//! # Ok::<(), shared_term::heap::HeapError>(())
//! ```
//!
//! # The global collection
//!
//! `put` and `erase` unpublish the old value and return. Its area is then marked, every worker and guard passes a
//! boundary, and the cards of all processes are scanned, one load each: a process that is idle and whose literal filter
//! is clear of the area is passed over without being woken. The others are asked; each evacuates at its next turn
//! boundary what it still reaches, and nothing else, and when all have answered the area is freed. A process that only
//! *reads* the value in its turns, and keeps none of it, holds nothing and is not asked.
//!
//! # Against `persistent_term` of OTP
//!
//! | OTP | here | difference |
//! |---|---|---|
//! | `put/2` | [`put`](PersistentTerms::put) | writers of different keys do not queue up; memory is an error value |
//! | `put_new/2` | [`put_new`](PersistentTerms::put_new) | gives the region back |
//! | `get/1`, `get/2` | [`get`](PersistentTerms::get), [`Guard::get`] | `None` where there is nothing |
//! | `get/0` | [`for_each`](PersistentTerms::for_each) | lends; copies neither keys nor values |
//! | `erase/1` | [`erase`](PersistentTerms::erase) | O(1); the table is never copied |
//! | `info/0` | [`info`](PersistentTerms::info) | O(1); what waits to be freed is counted |
//! | every process is signalled and scanned | holders alone pay | |
//! | a holder copies the whole area | it copies what it reaches, sharing kept | |
//! | replacing `{}` collects | values that own no memory end nothing | |

mod card;
mod collector;
mod domain;
mod limbo;
mod quiescence;
mod report;
mod slots;
mod table;

pub use report::{Info, Report};

pub(crate) use card::{Between, Card};
pub(crate) use collector::Step;
pub(crate) use domain::{Domain, TurnMark, in_turn};
pub(crate) use quiescence::{Participant, Quiescence, Role};
pub(crate) use slots::Occupant;

use crate::heap::copy::Literals;
use crate::heap::{Heap, HeapError, Region};
use crate::term::word::Word;
use crate::term::{Key, Reference, Term, TermRef};
use domain::Span;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) mod sealed {
    /// What a turn knows of its domain.
    pub trait Turn {
        #[doc(hidden)]
        fn domain(&self) -> *const ();
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
    domain: Arc<Domain>,
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

/// A [`put_new`](PersistentTerms::put_new) did not insert its value.
#[derive(Debug)]
#[non_exhaustive]
pub enum PutNewError {
    /// The key has another value. Yours comes back.
    Exists(Region),
    /// There was no memory. Your value comes back.
    Heap(HeapError, Region),
}

impl fmt::Display for PutNewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(_) => f.write_str("the key has another value"),
            Self::Heap(error, _) => error.fmt(f),
        }
    }
}

impl std::error::Error for PutNewError {}

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
        Self { domain: Domain::new() }
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
    /// ```
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
            return self.domain.lookup(key).map(|w| unsafe { Term::from_word(w) });
        }
        self.pin().get(key).map(|t| cx.copy(t))
    }

    /// Pins the store for reading on any thread: a place among those that are pinned now, which is an exchange, then a
    /// store and a fence; two stores and a fence to drop it. Nothing that is unpublished while it lives is freed before it
    /// is dropped; nothing else waits for it. Where no runtime drives the collections, who drops a guard that held one up
    /// goes on with it.
    #[must_use]
    pub fn pin(&self) -> Guard<'_> {
        Guard { span: Span::new(&self.domain), domain: &self.domain, not_send: PhantomData }
    }

    /// One read, on any thread.
    ///
    /// ```
    /// # use shared_term::{Atom, PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// assert_eq!(store.read("limit", |v| v.and_then(|v| v.as_int())), Some(10));
    /// # Ok::<(), shared_term::heap::HeapError>(())
    /// ```
    pub fn read<R>(&self, key: impl Key, f: impl FnOnce(Option<TermRef<'_>>) -> R) -> R {
        let guard = self.pin();
        f(guard.get(key))
    }

    /// Publishes `value` at `key`. Readers see the old value or the new one. O(words of the value), for the copy into
    /// literal memory; does not wait for readers, for holders, or for writers of other keys beyond a few stores.
    ///
    /// A value that is there already is compared with, and left alone when it is equal. A replaced value's memory is
    /// freed by a global collection.
    ///
    /// # Errors
    ///
    /// When there is no memory; the old value stays.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::Put};
    /// let store = PersistentTerms::new();
    /// assert_eq!(store.put("k", Region::build(|h| h.int(1)))?, Put::Inserted);
    /// assert_eq!(store.put("k", Region::build(|h| h.int(1)))?, Put::Unchanged);
    /// assert_eq!(store.put("k", Region::build(|h| h.int(2)))?, Put::Replaced);
    /// # Ok::<(), shared_term::heap::HeapError>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "a later version may keep the region's memory")]
    pub fn put(&self, key: impl Key, value: Region) -> Result<Put, HeapError> {
        // SAFETY: the region lives during the call.
        unsafe { self.put_word(key, value.root_word(), Literals::Flatten, false) }
    }

    /// Publishes `value` at `key` unless there is a value; an equal one counts as published.
    ///
    /// # Errors
    ///
    /// When there is another value, or no memory; yours comes back.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::PutNewError};
    /// let store = PersistentTerms::new();
    /// store.put_new("k", Region::build(|h| h.int(1))).unwrap();
    /// let Err(PutNewError::Exists(mine)) = store.put_new("k", Region::build(|h| h.int(2))) else { panic!() };
    /// assert_eq!(mine.root().as_int(), Some(2));
    /// ```
    pub fn put_new(&self, key: impl Key, value: Region) -> Result<(), PutNewError> {
        // SAFETY: the region lives during the call.
        match unsafe { self.put_word(key, value.root_word(), Literals::Flatten, true) } {
            Ok(Put::Replaced) => Err(PutNewError::Exists(value)),
            Ok(_) => Ok(()),
            Err(error) => Err(PutNewError::Heap(error, value)),
        }
    }

    /// `put` and `put_new`; with `keep`, [`Put::Replaced`] says that another value was there and stayed.
    ///
    /// # Safety
    ///
    /// `w` must be the word of a term that is alive during the call. With [`Literals::Keep`] its literals must be of this
    /// domain.
    pub(crate) unsafe fn put_word(
        &self,
        key: impl Key,
        w: u64,
        literals: Literals,
        keep: bool,
    ) -> Result<Put, HeapError> {
        let domain = &*self.domain;
        let hash = key.hash_key();
        // From here to the publication the thread is online, also for the literals that the value keeps (R4). Its end gets
        // the collection of what is let go of below on.
        let _span = Span::new(domain);
        let value = || domain.table.find(hash, key).and_then(table::Entry::value);
        let known = |old: Word| {
            // SAFETY: both are alive: the caller's promise, and the span. Compared outside every lock.
            if unsafe { crate::term::equal(old, w) } { Some(Put::Unchanged) } else { keep.then_some(Put::Replaced) }
        };
        let mut compared = value();
        if let Some(put) = compared.and_then(known) {
            return Ok(put);
        }
        // SAFETY: the caller's promise.
        let frozen = unsafe { domain.freeze(w, literals) }?;
        let lock = loop {
            let lock = domain.table.lock(hash);
            // Another writer may have been first, maybe with the same value. What was compared before is not at the same
            // address now unless it is the same: it is not freed during the span.
            let now = value();
            if now.is_none() || now == compared {
                break lock;
            }
            drop(lock);
            compared = now;
            if let Some(put) = now.and_then(known) {
                domain.drop_value(frozen.word);
                return Ok(put);
            }
        };
        let old = if let Some(entry) = domain.table.find(hash, key) {
            entry.replace(frozen.word)
        } else {
            let entry = match Domain::new_entry(hash, key) {
                Ok(entry) => entry,
                Err(error) => {
                    drop(lock);
                    domain.drop_value(frozen.word);
                    return Err(error);
                }
            };
            entry.replace(frozen.word);
            domain.table.insert(entry, &domain.quiescence, &domain.limbo);
            None
        };
        drop(lock);
        match old {
            Some(old) => {
                domain.drop_value(old);
                Ok(Put::Replaced)
            }
            None => Ok(Put::Inserted),
        }
    }

    /// Removes `key`. `false` when it had no value. O(1); a value with memory is freed by a global collection.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// assert!(store.erase("k"));
    /// assert!(!store.erase("k"));
    /// # Ok::<(), shared_term::heap::HeapError>(())
    /// ```
    pub fn erase(&self, key: impl Key) -> bool {
        let domain = &*self.domain;
        let hash = key.hash_key();
        let _span = Span::new(domain);
        let lock = domain.table.lock(hash);
        let Some(entry) = domain.table.find(hash, key) else { return false };
        let old = entry.replace(0);
        domain.table.remove(entry, &domain.quiescence, &domain.limbo);
        drop(lock);
        match old {
            Some(old) => {
                domain.drop_value(old);
                true
            }
            None => false,
        }
    }

    /// Calls `f` with each key and value, in no order. Pairs that are put or erased meanwhile may be seen or not.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put(1, Region::build(|h| h.int(10)))?;
    /// store.put(2, Region::build(|h| h.int(20)))?;
    /// let mut sum = 0;
    /// store.for_each(|_, v| sum += v.as_int().unwrap_or(0));
    /// assert_eq!(sum, 30);
    /// # Ok::<(), shared_term::heap::HeapError>(())
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(TermRef<'_>, TermRef<'_>)) {
        let _span = Span::new(&self.domain);
        for entry in self.domain.table.entries() {
            if let Some(w) = entry.value() {
                // SAFETY: the span is online for as long as `f` runs.
                f(entry.key(), unsafe { Domain::lend(w) });
            }
        }
    }

    /// The figures of the store. O(1) but for the participants.
    pub fn info(&self) -> Info {
        Info {
            count: self.domain.table.len(),
            retained_bytes: self.domain.collector.retained_bytes(),
            collections: self.domain.collector.collections(),
            guards_behind: self.domain.quiescence.behind(Role::Foreign),
        }
    }

    /// Waits until everything that was unpublished is freed, helping with it. `false`: the time was over first, because a
    /// guard is held, a turn runs on, or a runtime is not being run; or this was called inside a turn, a destructor that
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
                Step::Idle if self.domain.collector.is_idle() => return true,
                Step::Idle | Step::Waiting => {
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

    /// Calls `f` with the report of each global collection, until the subscription is dropped. It runs on the thread that
    /// ends the collection, and must not block for long.
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
    /// # Ok::<(), shared_term::heap::HeapError>(())
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

/// A pinned store: what it lends stays until it is dropped, even if it is replaced or erased meanwhile.
///
/// Not `Send`, so that a future that is sent between threads cannot hold it over an `await`. A guard that is leaked
/// (`mem::forget`) stops the freeing of memory for good; [`PersistentTerms::read`] cannot leak one.
pub struct Guard<'s> {
    span: Span<'s>,
    domain: &'s Domain,
    not_send: PhantomData<*mut ()>,
}

impl Guard<'_> {
    /// The value at `key`. Wait-free.
    pub fn get(&self, key: impl Key) -> Option<TermRef<'_>> {
        // SAFETY: the guard is online for as long as it is borrowed.
        self.domain.lookup(key).map(|w| unsafe { Domain::lend(w) })
    }

    /// Lets go of what was lent, as dropping the guard and pinning again would, for the price of a load while nothing was
    /// unpublished.
    ///
    /// ```compile_fail
    /// # use shared_term::PersistentTerms;
    /// # let store = PersistentTerms::new();
    /// let mut guard = store.pin();
    /// let value = guard.get(1);
    /// guard.repin();
    /// println!("{value:?}"); // lent before: gone
    /// ```
    pub fn repin(&mut self) {
        self.span.repin();
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(PersistentTerms: Send, Sync, Clone);
static_assertions::assert_not_impl_any!(Guard<'static>: Send, Sync);
