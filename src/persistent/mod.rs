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
//! # Keys
//!
//! A key is found by a hash without a secret in it. Keys are for the program to choose: who may choose them for it can choose
//! some that hash alike, and whoever looks for one of n such keys, puts it or erases it, looks at up to n.
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
//! | none | [`BoundSlot`] | a read of one load and a branch |
//! | none | [`Literal`] | a value in Rust hands, counted |
//! | none | [`Policy`], [`Builder::max_retained_bytes`] | when holders are asked; how much may wait |
//! | every process is signalled and scanned | holders alone pay | |
//! | a holder copies the whole area | it copies what it reaches, sharing kept | |
//! | replacing `{}` collects | values that own no memory end nothing | |

mod asking;
mod batch;
mod bound;
mod card;
mod collector;
pub(crate) mod crowd;
mod domain;
mod entry;
mod error;
mod guard;
mod handle;
mod held_up;
mod limbo;
mod pending;
mod put;
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
#[cfg(feature = "runtime")]
mod tags;
mod value;
mod waiting;
mod write;

pub use batch::{Batch, Changes};
pub use bound::BoundSlot;
pub use error::{CompareError, PutError, PutNewError, StoreError};
pub use guard::{Entries, Guard};
pub use handle::Literal;
pub use held_up::HeldUp;
pub use put::Put;
pub use report::{EntryInfo, Info, Report};
pub use reports::Reports;
pub use settings::{Builder, Policy};
pub use slot::Slot;
pub use value::Value;
pub use waiting::Subscription;

pub(crate) use domain::{Domain, in_turn};
#[cfg(feature = "runtime")]
pub(crate) use {
    card::{Between, Card, Holding, Pressing},
    collector::Step,
    domain::TurnMark,
    entry::Entry,
    limbo::{Chain, Link},
    quiescence::{Participant, Quiescence, Role},
    share::{Lease, Share},
    slots::{Acts, ActsRef, Door, Occupant, again},
    table::Table,
    value::Offer,
    write::{Expect, Wrote},
};

use crate::heap::Heap;
use crate::term::{Key, Reference, Term, TermRef};
use domain::Span;
use std::fmt;
use std::sync::Arc;

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
///
#[cfg_attr(feature = "runtime", doc = "```")]
#[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
/// use shared_term::{persistent::Holder, prelude::*};
/// fn limit<'h>(cx: impl Holder<'h>, store: &PersistentTerms) -> Term<'h> {
///     store.get(cx, "limit").unwrap_or(cx.int(10))
/// }
/// # let mut rt = Runtime::deterministic(1);
/// let store = rt.persistent().clone();
/// let p = rt.spawn_fn(|cx| cx.nil(), move |cx, _, _| Ok(Stop(Exit::msg(limit(cx, &store)))))?;
/// let exited = rt.exited(p);
/// rt.send_new(p, |h| h.nil())?;
/// rt.run_until_idle();
/// assert_eq!(exited.try_wait().unwrap().to_string(), "10");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Holder<'h>: Copy + sealed::Turn + std::ops::Deref<Target = Heap<'h>> {}

/// A store of persistent terms: key to value, both terms. A cheap handle; clones are the same store.
///
/// A store and the runtimes [attached](crate::runtime::Builder::persistent) to it are one domain. See the
/// [module](self).
///
/// ```
/// use shared_term::{PersistentTerms, Region, term};
/// use std::time::Duration;
/// let store = PersistentTerms::new();
/// store.put("routes", Region::build(|h| term!(h, #{"/" => "index"})))?;
/// let other = store.clone(); // the same store
/// std::thread::spawn(move || {
///     let guard = other.pin();
///     assert_eq!(guard.get("routes").unwrap().lookup("/").unwrap().as_str(), Some("index"));
/// })
/// .join()
/// .unwrap();
/// store.update("routes", |h, old| h.insert(old.unwrap(), h.binary("/help"), h.binary("help")).unwrap())?;
/// assert!(store.erase("routes"));
/// assert!(store.wait_idle(Duration::from_secs(10)));
/// assert_eq!(store.info().bytes, 0);
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Clone)]
pub struct PersistentTerms {
    pub(crate) domain: Arc<Domain>,
}

/// Names one value of one key: no other value of any key of the store, before or after, has the same (H22). See
/// [`compare_and_put`](PersistentTerms::compare_and_put).
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// let put = |n: i64| store.put("k", Region::build(|h| h.int(n))).map(|_| store.entry_info("k").unwrap().version);
/// let one = put(1)?;
/// assert_eq!(put(1)?, one, "the same value is left alone");
/// assert_ne!(put(2)?, one);
/// assert_ne!(put(1)?, one, "equal to the first, and another put");
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
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

impl PersistentTerms {
    /// An empty store.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// assert_eq!(PersistentTerms::new().info().count, 0);
    /// ```
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

    #[cfg(feature = "runtime")]
    pub(crate) fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// A reference that is given once: no turn, handle or store gives it again. Wait-free.
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
    /// store and a fence; two stores and a fence to drop it. Lock-free. Nothing that is unpublished while it lives is
    /// freed before it is dropped; nothing else waits for it. Where no runtime drives the collections, who drops a
    /// guard that held one up goes on with it. Places are allocated when more are pinned at once than ever before, and
    /// stay the store's.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..3)))?;
    /// let guard = store.pin();
    /// let lent = guard.get("k").unwrap();
    /// store.erase("k");
    /// assert_eq!(lent.to_string(), "[0,1,2]");
    /// assert!(store.info().retained_bytes > 0);
    /// drop(guard);
    /// assert_eq!(store.info().retained_bytes, 0);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[must_use]
    pub fn pin(&self) -> Guard<'_> {
        Guard::new(self)
    }

    /// One read, on any thread, under a guard of its own: nothing that is unpublished while `f` runs is freed before it
    /// returns.
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

    /// Looks `key` up for good: a handle that reads without a lookup, and by one load and a branch once it is
    /// [bound](Guard::bind). It may have no value yet.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # let store = PersistentTerms::new();
    /// let limit = store.slot("limit")?;
    /// assert_eq!((limit.key().as_str(), store.info().count), (Some("limit"), 0), "a slot is no value");
    /// store.put("limit", Region::build(|h| h.int(10)))?;
    /// assert_eq!(store.pin().read(&limit).unwrap().as_int(), Some(10));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn slot(&self, key: impl Key) -> Result<Slot, StoreError> {
        Ok(Slot::new(self, key)?)
    }

    /// All keys and values as they are at one moment, lent for as long as the result lives, which is a [guard](Guard).
    ///
    /// Consistent: it has each single write that was done before some moment during the call, none after it, and each batch
    /// whole or not at all. Writers wait while the pairs are collected, O(keys); readers do not, and nobody waits while
    /// they are looked at. The pairs are in a list of `std`, without memory for which the program ends. OTP: `get/0`, which
    /// copies them.
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

    /// Calls `f` with each key and value, in no order, without a lock. Pairs that are put or erased meanwhile may be
    /// seen or not; [`entries`](Self::entries) shows one moment. A batch that was committed before the call is seen
    /// whole. Nothing that is unpublished meanwhile is freed before it returns.
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
}

static_assertions::assert_impl_all!(PersistentTerms: Send, Sync, Clone);
