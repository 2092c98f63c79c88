//! How a store is set up.

use super::PersistentTerms;
use super::domain::Domain;

/// When processes that hold a replaced value are made to let go of it.
///
/// A holder is a process whose heap points into the value's area. Whatever the policy, memory that nobody holds is freed
/// at once, and [`Info::retained_bytes`](super::Info::retained_bytes) says how much waits.
///
#[cfg_attr(feature = "runtime", doc = "```")]
#[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
/// use shared_term::{persistent::Policy, prelude::*};
/// let store = PersistentTerms::builder().policy(Policy::Lazy).build();
/// let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
/// store.put("k", Region::build(|h| h.list(0..1000)))?;
/// let holder = rt.spawn_fn(|cx| cx.get("k").unwrap(), |_, kept, _| Ok(Next(kept)))?;
/// rt.run_until_idle();
/// store.erase("k");
/// rt.run_until_idle();
/// assert!(store.info().retained_bytes > 16_000, "the holder was left alone");
/// store.collect();
/// rt.run_until_idle();
/// assert_eq!(store.info().retained_bytes, 0, "it has a copy of its own now");
/// # assert!(rt.is_alive(holder));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// At their next turn boundary: each is asked, and evacuates what it still reaches.
    #[default]
    Eager,
    /// Never: the memory waits until they collect their heaps by themselves, which then is a major collection that evacuates
    /// what they reach, or have ended. A process that makes no garbage makes it wait for ever.
    /// [`PersistentTerms::collect`] asks them all, once. Meanwhile a holder that sends on what it has sends a copy.
    Lazy,
    /// As [`Lazy`](Self::Lazy) while no more than so many bytes wait, and eager beyond.
    Budget {
        /// Bytes that may wait.
        bytes: usize,
    },
}

impl Policy {
    /// May the holders of what waits, so many bytes of it, be left alone?
    pub(super) fn spares(self, retained: usize) -> bool {
        match self {
            Self::Eager => false,
            Self::Lazy => true,
            Self::Budget { bytes } => retained <= bytes,
        }
    }
}

/// What a store is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) max_retained_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { policy: Policy::default(), max_retained_bytes: usize::MAX }
    }
}

/// Makes a store; see [`PersistentTerms::builder`].
///
/// ```
/// # use shared_term::{PersistentTerms, Region, persistent::Policy};
/// let a_mebibyte = Policy::Budget { bytes: 1 << 20 };
/// let store = PersistentTerms::builder().policy(a_mebibyte).max_retained_bytes(64 << 20).build();
/// store.put("k", Region::build(|h| h.int(1)))?;
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { settings: Settings::default() }
    }

    /// When holders of replaced values are made to let go. [`Policy::Eager`] unless told otherwise.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::Policy};
    /// # use std::time::Duration;
    /// let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// store.erase("k");
    /// assert!(store.wait_idle(Duration::from_secs(10)), "nobody holds it: it is freed at once all the same");
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn policy(mut self, policy: Policy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// While more than so many bytes wait to be freed, `put` and its relatives are
    /// [refused](super::StoreError::Retained) and change nothing; what only removes is not. No limit unless told
    /// otherwise.
    ///
    /// A turn that runs on, or a guard that is kept, holds up the freeing of all that is replaced meanwhile: with a limit,
    /// a loop of puts beside it ends in an error, and not with all the memory. What is retained stays below the limit and
    /// one value for each writer at work.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::builder().max_retained_bytes(1 << 20).build();
    /// let _stuck = store.pin();
    /// let stored = (0..1000).take_while(|i| store.put("k", Region::build(|h| h.list(*i..i + 1000))).is_ok()).count();
    /// assert!(stored < 100, "a replaced value has 16,000 bytes and more");
    /// assert!(store.info().retained_bytes <= (1 << 20) + store.entry_info("k").unwrap().bytes);
    /// assert!(store.erase("k"), "what only removes is never refused");
    /// ```
    pub fn max_retained_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_retained_bytes = bytes;
        self
    }

    /// The store.
    ///
    /// ```
    /// # use shared_term::PersistentTerms;
    /// let (a, b) = (PersistentTerms::builder().build(), PersistentTerms::builder().build());
    /// a.put("k", shared_term::Region::build(|h| h.int(1)))?;
    /// assert_eq!((a.info().count, b.info().count), (1, 0), "each is a store of its own");
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    #[must_use]
    pub fn build(self) -> PersistentTerms {
        PersistentTerms { domain: Domain::new(self.settings) }
    }
}
