//! Waiting for what is freed, having it freed, and hearing of it.

use super::collector::Step;
use super::domain::{Domain, in_turn};
use super::{PersistentTerms, Report};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Steps of the collection for which [`PersistentTerms::wait_idle`] does not look at the time.
const PATIENCE: u32 = 1024;

impl PersistentTerms {
    /// Waits until everything that was unpublished is freed, helping with it. `false`: the time was over first, because a
    /// guard is held, a turn runs on, a runtime is not being run, or holders are left alone by [policy](super::Policy); or this was called inside a turn, a destructor that
    /// the collection runs, or a hook of it, which would wait for itself.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # use std::time::Duration;
    /// let store = PersistentTerms::new();
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// let guard = store.pin();
    /// store.erase("k");
    /// assert!(!store.wait_idle(Duration::ZERO));
    /// drop(guard);
    /// assert!(store.wait_idle(Duration::from_secs(10)));
    /// assert_eq!(store.info().areas, 0);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
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

    /// Collects what waits to be freed now whatever the [policy](super::Policy): its holders are asked, once. Begins it, and does not
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

    /// Calls `f` with the report of each global collection, until the subscription is dropped. It runs on the thread
    /// that ends the collection, and must not block for long; what it unwinds with is dropped. (It is kept in a box, without
    /// memory for which the program ends.)
    /// [`reports`](Self::reports) is for whoever has their own time.
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
///
/// A call that has begun on another thread then is not waited for; what the function has captured goes with the last
/// such call.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// # use std::{sync::{Arc, atomic::{AtomicUsize, Ordering}}, time::Duration};
/// let store = PersistentTerms::new();
/// let freed = Arc::new(AtomicUsize::new(0));
/// let subscription = store.on_collection({
///     let freed = Arc::clone(&freed);
///     move |report| _ = freed.fetch_add(report.words, Ordering::Relaxed)
/// });
/// let replace = || store.put("k", Region::build(|h| h.list(0..10))).map(|_| store.erase("k"));
/// replace()?;
/// assert!(store.wait_idle(Duration::from_secs(10)));
/// drop(subscription);
/// replace()?;
/// assert!(store.wait_idle(Duration::from_secs(10)));
/// assert_eq!(freed.load(Ordering::Relaxed), 20, "the second was not told of");
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
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
