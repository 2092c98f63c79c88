//! Collection reports as a stream, for whoever looks at them in their own time.

use super::{PersistentTerms, Report, Subscription};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The reports of global collections, in order; from [`PersistentTerms::reports`]. Ends when it is dropped.
///
/// It keeps a number of them that was chosen when it was made. When one more comes the oldest goes, and is
/// [counted](Self::lost): a reader that is slow holds up no collection and takes no more memory.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// # use std::time::Duration;
/// let store = PersistentTerms::new();
/// let reports = store.reports(1000);
/// let log = std::thread::spawn(move || {
///     let report = reports.recv_timeout(Duration::from_secs(10)).unwrap();
///     format!("{} areas of {} words", report.areas, report.words)
/// });
/// store.put("k", Region::build(|h| h.list(0..10)))?;
/// store.erase("k");
/// assert_eq!(log.join().unwrap(), "1 areas of 20 words");
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug)]
pub struct Reports {
    shared: Arc<Shared>,
    _subscription: Subscription,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    comes: Condvar,
}

#[derive(Debug)]
struct Kept {
    reports: VecDeque<Report>,
    lost: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PersistentTerms {
    /// The reports of the global collections from here on, of which so many wait to be read, at least one. See
    /// [`on_collection`](Self::on_collection) for a function that is called with each.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # use std::time::Duration;
    /// let store = PersistentTerms::new();
    /// let reports = store.reports(16);
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// store.erase("k");
    /// let report = reports.recv_timeout(Duration::from_secs(10)).unwrap();
    /// assert_eq!((report.areas, report.words, reports.lost()), (1, 20, 0));
    /// assert!(reports.try_recv().is_none());
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn reports(&self, room: usize) -> Reports {
        let room = room.max(1);
        let shared =
            Arc::new(Shared { kept: Mutex::new(Kept { reports: VecDeque::new(), lost: 0 }), comes: Condvar::new() });
        let writer = Arc::clone(&shared);
        let subscription = self.on_collection(move |report| {
            let mut kept = writer.lock();
            // Without memory for more of them, it is as if there were no room.
            if kept.reports.len() == room || kept.reports.try_reserve(1).is_err() {
                kept.lost += 1;
                if kept.reports.pop_front().is_none() {
                    return;
                }
            }
            kept.reports.push_back(report.clone());
            drop(kept);
            writer.comes.notify_one();
        });
        Reports { shared, _subscription: subscription }
    }
}

impl Reports {
    /// The oldest report that waits, if one does. Takes a lock.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # use std::time::Duration;
    /// # let store = PersistentTerms::new();
    /// let reports = store.reports(16);
    /// assert!(reports.try_recv().is_none());
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// store.erase("k");
    /// assert!(store.wait_idle(Duration::from_secs(10)));
    /// assert_eq!(reports.try_recv().map(|report| report.words), Some(20));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn try_recv(&self) -> Option<Report> {
        self.shared.lock().reports.pop_front()
    }

    /// The oldest report that waits, or the next one: blocks the thread until it is there. `None`: the time was over first,
    /// as it is at once inside a turn.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # use std::time::Duration;
    /// # let store = PersistentTerms::new();
    /// let reports = store.reports(16);
    /// store.put("k", Region::build(|h| h.list(0..10)))?;
    /// let guard = store.pin();
    /// store.erase("k");
    /// assert!(reports.recv_timeout(Duration::from_millis(1)).is_none(), "a guard holds it up");
    /// drop(guard);
    /// assert!(reports.recv_timeout(Duration::from_secs(10)).is_some());
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Report> {
        let deadline = Instant::now().checked_add(timeout);
        let mut kept = self.shared.lock();
        loop {
            if let Some(report) = kept.reports.pop_front() {
                return Some(report);
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() || super::in_turn() {
                return None;
            }
            kept = self.shared.comes.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many were dropped before they were read. Takes a lock.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// # use std::time::Duration;
    /// # let store = PersistentTerms::new();
    /// let reports = store.reports(1);
    /// for i in 0..3 {
    ///     store.put("k", Region::build(|h| h.list(0..i + 1)))?;
    ///     store.erase("k");
    ///     assert!(store.wait_idle(Duration::from_secs(10)));
    /// }
    /// assert_eq!((reports.try_recv().map(|last| last.words), reports.lost()), (Some(6), 2));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn lost(&self) -> u64 {
        self.shared.lock().lost
    }
}
