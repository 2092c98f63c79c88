//! Heaps and regions, as a user sees them.

#![cfg(feature = "term")]

mod common;

use common::{Tracker, hash_of, panics};
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Region, Term, term};

#[test]
fn a_deep_list_is_handled_without_recursion() {
    const DEPTH: usize = 1_000_000;
    let build = || {
        Region::build(|h| {
            let mut t = h.nil();
            for _ in 0..DEPTH {
                t = h.cons(t, h.nil());
            }
            t
        })
    };
    let (a, b) = (build(), build());
    assert!(a.root() == b.root());
    assert_eq!(hash_of(a.root()), hash_of(b.root()));
    assert_eq!(a.root().to_string().len(), 2 * DEPTH + 2);
    let copy = Region::copy_of(a.root());
    assert!(copy.root() == a.root());
    assert_eq!(copy.words(), 2 * DEPTH);
    copy.verify().unwrap();
    let mut heap = OwnedHeap::new(|h| h.copy(a.root()));
    assert_eq!(heap.collect_major().unwrap().moved_words, 2 * DEPTH);
    heap.verify().unwrap();
    assert!(heap.root() == a.root());
}

#[test]
fn sharing_survives_a_copy_and_a_collection() {
    let dag = Region::build(|h| {
        let mut t = term!(h, [1, 2]);
        for _ in 0..60 {
            t = h.tuple(&[t, t]);
        }
        t
    });
    assert_eq!(dag.words(), 4 + 60 * 3);
    let copy = Region::copy_of(dag.root());
    assert_eq!(copy.words(), dag.words());
    let mut heap = OwnedHeap::new(|h| h.copy(dag.root()));
    assert_eq!(heap.collect_major().unwrap().moved_words, dag.words());
    assert!(heap.root() == dag.root() && copy.root() == dag.root());
    assert_eq!(heap.root().cmp(&dag.root()), std::cmp::Ordering::Equal);
    heap.verify().unwrap();
}

#[test]
fn a_destructor_that_panics_spoils_no_collection() {
    let tracker = Tracker::default();
    let mut heap = OwnedHeap::new(|h| {
        h.resource(tracker.value());
        let old = h.resource(tracker.value());
        h.resource(tracker.panicking());
        let new = h.bytes(tracker.bytes(100, 7));
        h.resource(tracker.panicking());
        h.tuple(&[old, new])
    });
    assert_eq!(panics(|| heap.collect_major()), Some("a destructor that panics"));
    assert_eq!(tracker.dropped(), 3);
    heap.verify().unwrap();
    assert_eq!(heap.used_words(), heap.root().size_words(), "the collection took place");
    let [old, new] = heap.root().tuple_of().unwrap();
    assert!(old.resource::<common::Tracked>().is_some());
    assert_eq!(new.as_bytes(), Some(&[7; 100][..]));
    heap.collect_major().unwrap();
    drop(heap);
    assert_eq!((tracker.made(), tracker.dropped()), (5, 5));
}

/// Allocates until the heap refuses; gives the words that it had then.
fn fill(heap: &mut OwnedHeap) -> usize {
    let mut most = 0;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        heap.turn(|h, t| -> (Term<'_>, ()) {
            loop {
                h.cons(t, t);
                most = h.used_words();
                assert!(most < 1 << 20, "no limit in sight");
            }
        });
    }));
    let Err(_): Result<(), _> = result else { panic!("a heap without limit") };
    most
}

#[test]
fn a_limit_holds_after_a_collection_and_an_adoption() {
    for live in [0, 1, 50, 240, 460, 900] {
        let mut heap = OwnedHeap::with_limit(1000, |h| h.list(0..live / 2));
        for _ in 0..3 {
            let most = fill(&mut heap);
            assert!((999..=1000).contains(&most), "{most} words with {live} live");
            heap.collect_major().unwrap();
            heap.verify().unwrap();
        }
        assert_eq!(heap.used_words(), live as usize / 2 * 2);
    }
    let mut heap = OwnedHeap::with_limit(1000, |h| h.adopt(Region::build(|h| h.list(0..400))));
    assert!((999..=1000).contains(&fill(&mut heap)));
    heap.collect_major().unwrap();
    let mut adopt = |n: i64| {
        let region = Region::build(|h| h.list(0..n));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            heap.turn(|h, t| (h.tuple(&[t, h.adopt(region)]), ()));
        }))
    };
    assert!(adopt(101).is_err(), "1002 words");
    adopt(90).unwrap();
    heap.verify().unwrap();
    assert_eq!(heap.root().as_tuple().unwrap()[0].list().count(), 400);
    assert!((999..=1000).contains(&fill(&mut heap)));
}

#[test]
fn what_was_there_survives_a_limit() {
    let tracker = Tracker::default();
    let mut heap = OwnedHeap::with_limit(200, |h| h.tuple(&[h.resource(tracker.value()), h.list(0..10)]));
    fill(&mut heap);
    let big = Region::build(|h| h.list((0..1000).map(|_| h.resource(tracker.value()))));
    heap.collect_major().unwrap();
    let used = heap.used_words();
    assert!(panics(|| heap.turn(|h, t| (h.tuple(&[t, h.copy(big.root())]), ()))).is_none());
    assert_eq!(heap.used_words(), used, "a copy that does not fit is taken back");
    assert!(panics(|| heap.turn(|h, t| (h.tuple(&[t, h.list(0..1000)]), ()))).is_none());
    heap.verify().unwrap();
    assert_eq!(heap.root().as_tuple().unwrap()[1].list().count(), 10);
    let nested = Region::try_build::<HeapError>(|h| Ok(h.copy(big.root()))).unwrap();
    drop((big, heap, nested));
    assert_eq!((tracker.made(), tracker.dropped()), (1001, 1001));
}

#[test]
fn what_a_heap_holds_is_counted_with_its_headers() {
    let held = |heap: &OwnedHeap| (heap.info().chunks, heap.info().chunk_bytes);
    let mut heap = OwnedHeap::new(|h| h.nil());
    assert_eq!(held(&heap), (0, 0), "nothing was made");

    let region = Region::build(|h| h.list(0..400));
    heap.turn(|h, _| (h.adopt(region), ()));
    let (chunks, bytes) = held(&heap);
    assert!(chunks >= 1 && bytes > 6400, "{chunks} chunks, {bytes} bytes");

    heap.turn(|h, list| (h.list_with_tail(0..100_000, list), ()));
    let (chunks, bytes) = held(&heap);
    assert!(chunks > 2 && (1_606_400..2 * 1_606_400).contains(&bytes), "{chunks} chunks, {bytes} bytes");

    heap.turn(|h, _| (h.nil(), ()));
    assert_eq!(held(&heap), (chunks, bytes), "garbage is held until a collection");
    heap.collect_major().unwrap();
    assert_eq!(held(&heap).1, 0, "nothing lives");
}

#[test]
fn what_lives_through_two_minor_collections_is_old_and_moves_no_more() {
    let mut heap = OwnedHeap::new(|h| h.list(0..1000));
    let mut collect = |young: usize, old: usize, moved: usize| {
        let stats = heap.collect_minor().unwrap();
        heap.verify().unwrap();
        let info = heap.info();
        assert_eq!((info.young_words, info.old_words, stats.moved_words), (young, old, moved), "young, old, moved");
        heap.turn(|h, list| (h.list_with_tail([-1], list), ()));
    };
    collect(2000, 0, 2000);
    collect(2, 2000, 2002);
    collect(2, 2002, 4);
    collect(2, 2004, 4);
}

#[test]
fn a_limit_holds_after_a_minor_collection() {
    let mut heap = OwnedHeap::with_limit(1000, |h| h.list(0..100));
    for _ in 0..4 {
        let most = fill(&mut heap);
        assert!((999..=1000).contains(&most), "{most} words");
        heap.collect_minor().unwrap();
        heap.verify().unwrap();
    }
    assert_eq!(heap.root().list().count(), 100);
}
