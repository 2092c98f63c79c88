//! Persistent terms.

use super::*;
use shared_term::persistent::{Guard, StoreError};
use shared_term::{Atom, PersistentTerms};
use std::time::Duration;

const KEY: Atom = Atom::inline("key");
const OTHER: Atom = Atom::inline("other");

fn heap_error(error: StoreError) -> HeapError {
    match error {
        StoreError::Heap(error) => error,
        other => panic!("{other}"),
    }
}

/// A store with a large value at one key, an update of it at another, and what made what is in there.
fn world() -> (PersistentTerms, Tracker) {
    let (store, tracker) = (PersistentTerms::new(), Tracker::default());
    store.put(KEY, mixed(&tracker)).unwrap();
    (store, tracker)
}

/// The first value is there as it was, whatever else is; and in the end nothing is left.
fn is_whole_and_ends((store, tracker): (PersistentTerms, Tracker), done: Option<()>) {
    let guard = store.pin();
    assert_eq!(guard.get(KEY).unwrap().list().count(), 200);
    assert_eq!(guard.get(OTHER).is_some(), done.is_some());
    drop(guard);
    store.erase_all().unwrap();
    store.collect();
    assert_eq!((store.info().words, store.info().retained_bytes), (0, 0));
    assert_eq!(tracker.dropped(), tracker.made());
}

#[test]
fn a_value_without_memory_is_an_error_value_and_leaves_nothing() {
    let put = |(store, tracker): &mut (PersistentTerms, Tracker)| {
        let value = Region::try_build::<HeapError>(|h| Ok(h.list((0..500).map(|_| h.resource(tracker.value())))))?;
        store.put(OTHER, value).map(drop).map_err(|error| heap_error(error.reason()))
    };
    let failures = failures_in(world, put, is_whole_and_ends);
    assert!(failures > 1, "{failures}");
    let put = |(store, tracker): &mut (PersistentTerms, Tracker)| {
        store.put_built(OTHER, |h| h.list((0..2000).map(|_| h.resource(tracker.value())))).map(drop).map_err(heap_error)
    };
    let failures = failures_in(world, put, is_whole_and_ends);
    assert!(failures > 1, "{failures}");
}

/// It leans on little of what is large: whether that is too much takes a walk, behind the freezing.
#[test]
fn a_value_that_leans_on_another_without_memory_leaves_nothing() {
    let lean = |(store, _): &mut (PersistentTerms, Tracker)| {
        let wrote = store.update(KEY, |h, old| {
            let one = old.unwrap().list().next().unwrap();
            h.list((0..2000).map(|_| h.tuple(&[one])))
        });
        wrote.map(drop).map_err(heap_error)
    };
    let large = || {
        let (store, tracker) = (PersistentTerms::new(), Tracker::default());
        let value = Region::build(|h| h.list_with_tail([h.resource(tracker.value())], h.list(0..60_000)));
        // Elsewhere: this thread keeps no tables of it.
        std::thread::scope(|scope| scope.spawn(|| store.put(KEY, value).unwrap()).join().unwrap());
        (store, tracker)
    };
    let failures = failures_in(large, lean, |(store, tracker), done| {
        let items = store.pin().get(KEY).unwrap().list().count();
        assert_eq!(items, if done.is_some() { 2000 } else { 60_001 });
        store.erase(KEY);
        store.collect();
        assert_eq!((store.info().words, store.info().retained_bytes), (0, 0));
        assert_eq!(tracker.dropped(), tracker.made());
    });
    assert!(failures > 3, "{failures}");
}

#[test]
fn keys_and_slots_without_memory_are_error_values() {
    let many = |(store, _): &mut (PersistentTerms, Tracker)| {
        let key = |i| (KEY, i, "a key that is no immediate");
        let slots = [0; 20].map(|i| store.slot(key(i)));
        slots.into_iter().try_for_each(|slot| slot.map(drop)).map_err(heap_error)?;
        for i in 0..300 {
            store.put(key(i), Region::build(|h| h.nil())).map_err(|error| heap_error(error.reason()))?;
        }
        store.put(OTHER, Region::build(|h| h.nil())).map(drop).map_err(|error| heap_error(error.reason()))
    };
    assert!(failures_in(world, many, is_whole_and_ends) > 0);
}

/// Beside as many guards as there is room for from the beginning. What they had looked at is freed once all are repinned,
/// whether there is memory again or not.
#[test]
fn guards_without_memory_of_their_own_are_repinned_like_any_other() {
    for (n, again) in [(1, false), (2, false), (3, false), (2, true), (3, true)] {
        let store = PersistentTerms::new();
        store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
        let mut guards: Vec<_> = (0..16).map(|_| store.pin()).collect();
        guards.reserve(n);
        without_allocations_from(0, || {
            guards.extend((0..n).map(|_| store.pin()));
            assert!(store.erase(KEY));
            if !again {
                guards.iter_mut().for_each(Guard::repin);
            }
        });
        if again {
            guards.iter_mut().for_each(Guard::repin);
        }
        assert!(store.wait_idle(Duration::from_secs(10)), "{n}");
    }
}
