//! How a store is set up.

use super::PersistentTerms;
use super::domain::Domain;

/// When processes that hold a replaced value are made to let go of it.
///
/// A holder is a process whose heap points into the value's area. Whatever the policy, memory that nobody holds is freed
/// at once, and [`Info::retained_bytes`](super::Info::retained_bytes) says how much waits.
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
    pub fn max_retained_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_retained_bytes = bytes;
        self
    }

    /// The store.
    #[must_use]
    pub fn build(self) -> PersistentTerms {
        PersistentTerms { domain: Domain::new(self.settings) }
    }
}
