//! What happens when the system gives no more memory (invariant 10), at every point where it can.

#![cfg(feature = "term")]

mod common;

use common::{Tracker, panics, with_large_allocations};
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Region, term};

/// Some kilobytes of lists, with off-heap objects between them.
fn mixed(tracker: &Tracker) -> Region {
    Region::build(|h| {
        h.list((0..200).map(|i| match i % 20 {
            0 => h.bytes(tracker.bytes(100, i as u8)),
            10 => h.resource(tracker.value()),
            _ => term!(h, {i, [i]}),
        }))
    })
}

#[test]
fn a_collection_without_memory_is_an_error_and_releases_everything_once() {
    let mut failures = 0;
    for n in 0.. {
        let tracker = Tracker::default();
        let mut heap = OwnedHeap::new(|h| h.adopt(mixed(&tracker)));
        match with_large_allocations(n, || heap.collect_major()) {
            Err(HeapError::OutOfMemory { .. }) => {
                failures += 1;
                assert!(heap.root().is_nil());
                assert_eq!(heap.used_words(), 0);
                assert_eq!(tracker.dropped(), tracker.made());
                heap.turn(|h, _| (term!(h, [1, 2]), ()));
                heap.verify().unwrap();
            }
            Err(other) => panic!("{other}"),
            Ok(stats) => {
                assert_eq!(stats.after_words, heap.used_words());
                assert_eq!(tracker.dropped(), 0);
                drop(heap);
                assert_eq!(tracker.dropped(), tracker.made());
                break;
            }
        }
    }
    assert!(failures > 2, "the heap was too small to be interrupted in its middle");
}

#[test]
fn a_copy_without_memory_leaves_both_sides_as_they_were() {
    let tracker = Tracker::default();
    let source = mixed(&tracker);
    drop(Region::copy_of(source.root())); // so that the copier has its working memory
    let mut failures = 0;
    for n in 0.. {
        let mut heap = OwnedHeap::new(|h| term!(h, {:kept, [1, 2, 3]}));
        let before = heap.used_words();
        let mut copied = false;
        let turn = || heap.turn(|h, kept| (h.tuple(&[kept, h.copy(source.root())]), copied = true));
        if with_large_allocations(n, || std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn))).is_ok() {
            assert!(copied && heap.root().as_tuple().unwrap()[1] == source.root());
            break;
        }
        failures += 1;
        assert_eq!(heap.used_words(), before, "the copy was taken back");
        assert_eq!(heap.root().to_string(), "{kept,[1,2,3]}");
        heap.verify().unwrap();
        source.verify().unwrap();
    }
    assert!(failures > 2);
    assert_eq!(tracker.dropped(), 0);
    drop(source);
    assert_eq!(tracker.dropped(), tracker.made());
}

#[test]
fn building_a_region_without_memory_is_an_error_value() {
    let tracker = Tracker::default();
    for n in 1..4 {
        let result = with_large_allocations(n, || {
            Region::try_build::<HeapError>(|h| Ok(h.list((0..1000).map(|_| h.resource(tracker.value())))))
        });
        assert!(matches!(result, Err(HeapError::OutOfMemory { .. })));
        assert!(tracker.made() > 0);
        assert_eq!(tracker.dropped(), tracker.made());
    }
    assert!(with_large_allocations(0, || panics(|| Region::build(|h| h.list(0..1000)))).is_none());
}
