//! Reports of global collections as a stream.

#![cfg(feature = "persistent")]

mod support;

use shared_term::{Atom, PersistentTerms, Region};
use support::LONG;

const X: Atom = Atom::inline("x");

fn list(n: i64) -> Region {
    Region::build(|h| h.list(0..n))
}

#[test]
fn reports_wait_for_whoever_reads_them_as_many_as_there_is_room_for() {
    let store = PersistentTerms::new();
    let (all, few) = (store.reports(100), store.reports(3));
    for n in 1..=10 {
        store.put(X, list(n)).unwrap();
        store.erase(X);
        assert!(store.wait_idle(LONG));
    }
    let words = |reports: &shared_term::persistent::Reports| -> Vec<usize> {
        std::iter::from_fn(|| reports.try_recv()).map(|report| report.words).collect()
    };
    assert_eq!((words(&all), all.lost()), ((1..=10).map(|n| 2 * n).collect(), 0));
    assert_eq!((words(&few), few.lost()), (vec![16, 18, 20], 7));
    // Nothing comes: the time is over.
    assert_eq!(few.recv_timeout(std::time::Duration::ZERO), None);
    let reader = std::thread::spawn(move || few.recv_timeout(LONG).map(|report| report.areas));
    store.put(X, list(1)).unwrap();
    store.erase(X);
    assert_eq!(reader.join().unwrap(), Some(1));
}
