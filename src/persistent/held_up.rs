//! Who holds up a collection, by name where there is one.

use super::PersistentTerms;
use super::domain::Span;
use super::quiescence::Role;
use crate::Pid;
use std::time::Duration;

/// What the collection that is under way waits for; see [`PersistentTerms::held_up`].
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::new();
/// store.put("k", Region::build(|h| h.list(0..10)))?;
/// let (slow, quick) = (store.pin(), store.pin());
/// store.erase("k");
/// drop(quick);
/// let held_up = store.held_up();
/// assert!(held_up.since.is_some());
/// assert_eq!((held_up.guards, held_up.turns, held_up.unanswered), (1, vec![], vec![]));
/// # drop(slow);
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HeldUp {
    /// How long the collection has been under way; none is: nothing.
    pub since: Option<Duration>,
    /// Guards of threads outside of a runtime that were pinned, or repinned, before it began.
    pub guards: usize,
    /// Processes in a turn that began before it. A process may have ended its turn since.
    pub turns: Vec<Pid>,
    /// Processes that were asked to let go, and have not run since, or not to the end of a turn; also those that sleep still,
    /// and are woken when others have answered. In a runtime that is not being run they stay here.
    pub unanswered: Vec<Pid>,
}

impl PersistentTerms {
    /// What holds up the freeing of memory now, and nothing else: readers and writers do not wait for it. Takes a look at
    /// every process, so it is for whoever wonders why [`Info::retained_bytes`](super::Info::retained_bytes) does not go
    /// down, not for each put.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// let guard = store.pin();
    /// store.erase("k");
    /// assert_eq!(store.held_up().guards, 1);
    /// assert!(store.held_up().since.is_some());
    /// drop(guard);
    /// assert_eq!(store.held_up(), Default::default());
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn held_up(&self) -> HeldUp {
        let domain = &*self.domain;
        let mut held_up = HeldUp { since: domain.collector.under_way(), ..HeldUp::default() };
        domain.quiescence.each_behind(|role, running| match role {
            Role::Foreign => held_up.guards += 1,
            Role::Worker => held_up.turns.extend(running),
        });
        let _span = Span::new(domain);
        domain.slots.for_each_card(|card, occupant| {
            if card.is_asked() {
                // SAFETY: found in this span, so it is freed after that.
                held_up.unanswered.extend(occupant().map(|occupant| unsafe { occupant.as_ref() }.pid));
            }
        });
        held_up
    }
}
