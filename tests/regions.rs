//! Regions: built in place, copied into, adopted, handed on.

#![cfg(feature = "term")]

mod common;

use common::{Tracker, panics, quiet_panic};
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Atom, Region, Term, TermRef, term};
use std::sync::{Arc, Mutex};

#[test]
fn a_region_is_self_contained_and_sendable() {
    let r = Region::build(|h| term!(h, {:point, 1.5, "bytes", [1, 2, ..3], #{:k => {}}}));
    r.verify().unwrap();
    let r = std::thread::spawn(move || {
        assert_eq!(r.root().to_string(), r#"{point,1.5,<<"bytes">>,[1,2|3],#{k => {}}}"#);
        r
    })
    .join()
    .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(r.root().as_tuple().map(<[_]>::len), Some(5)));
        }
    });
}

#[test]
fn an_immediate_needs_no_words() {
    for (region, text) in [
        (Region::build(|h| h.list::<Term<'_>>([])), "[]"),
        (Region::build(|h| h.tuple(&[])), "{}"),
        (Region::build(|h| h.map::<Term<'_>, Term<'_>>([])), "#{}"),
        (Region::build(|h| h.binary("")), "<<\"\">>"),
        (Region::build(|h| h.atom(Atom::OK)), "ok"),
    ] {
        assert_eq!((region.words(), region.root().to_string().as_str()), (0, text));
        let copy = Region::copy_of(region.root());
        copy.verify().unwrap();
        assert_eq!((copy.words(), copy.root()), (0, region.root()));
        assert_eq!(OwnedHeap::new(|h| h.adopt(copy)).used_words(), 0);
    }
}

/// Built forwards, and backwards; all integers, or with another object in the middle; and with its end met from outside.
#[test]
fn lists_whose_cells_lie_side_by_side_are_copied_whole() {
    for n in (0..150).chain(4000..4005).chain([9_000]) {
        for (i, list) in (0..12).map(|kind| (kind, side_by_side(n, kind))) {
            let (copy, list) = (Region::copy_of(list.root()), list.root());
            copy.verify().unwrap();
            assert!(copy.root() == list, "{n} of kind {i}");
            assert_eq!(copy.root().size_words(), list.size_words(), "{n} of kind {i}");
        }
    }
}

fn side_by_side(n: i64, kind: usize) -> Region {
    Region::build(|h| {
        let other = h.tuple(&[h.int(n)]);
        let item = |i| if kind % 2 == 1 && i == n / 2 { other } else { h.int(i) };
        let list = if [0, 1].contains(&(kind % 4)) {
            h.list_with_tail((0..n).map(item), h.int(7))
        } else {
            (0..n).fold(h.nil(), |list, i| h.cons(item(i), list))
        };
        let mut rest = list.list();
        rest.by_ref().take(n as usize * 7 / 8).for_each(drop);
        let middle = rest.rest();
        match kind / 4 {
            0 => list,
            1 => h.tuple(&[list, middle]),
            _ => h.tuple(&[middle, list]),
        }
    })
}

#[test]
fn a_region_that_adopts_others_owns_their_memory() {
    let tracker = Tracker::default();
    let part = |n: i64| {
        Region::build(|h| h.tuple(&[h.list(0..n), h.resource(tracker.value()), h.bytes(tracker.bytes(80, 1))]))
    };
    let (a, b, c) = (part(3), part(300), part(30));
    let words = a.words() + b.words() + c.words();
    let whole = Region::build(|h| {
        let first = h.adopt(a);
        let second = h.list([first, h.adopt(b)]);
        // After an adoption, building goes on in the region's own chunks.
        let long = h.list(0..100);
        term!(h, {h.adopt(c), second, long})
    });
    whole.verify().unwrap();
    assert_eq!(whole.words(), words + 4 + 4 + 200);
    assert_eq!(whole.root().size_words(), whole.words());
    let copy = Region::copy_of(whole.root());

    // Handed on once more, and collected: nothing of it is lost, nothing is released early.
    let mut heap = OwnedHeap::new(|h| term!(h, {:before, h.list(0..50)}));
    heap.turn(|h, before| (h.tuple(&[before, h.adopt(whole)]), ()));
    heap.verify().unwrap();
    assert_eq!(heap.collect_major().unwrap().moved_words, 3 + 3 + 100 + copy.words());
    heap.verify().unwrap();
    assert_eq!(heap.root().as_tuple().unwrap()[1], copy.root());
    drop(heap);
    assert_eq!(tracker.dropped(), 0, "the copy holds them");
    drop(copy);
    assert_eq!((tracker.dropped(), tracker.made()), (6, 6));
}

#[test]
fn what_a_heap_adopts_is_dropped_with_it() {
    let tracker = Tracker::default();
    let region = |n: i64| Region::build(|h| h.tuple(&[h.resource(tracker.value()), h.list(0..n)]));
    // Into an empty heap (which goes on in the region's last chunk), then into one with chunks, in two orders.
    for (first, second) in [(0, 500), (500, 0), (10, 10)] {
        let mut heap = OwnedHeap::new(|h| h.adopt(region(first)));
        heap.turn(|h, t| (h.tuple(&[t, h.adopt(region(second)), h.list(0..200)]), ()));
        heap.turn(|h, t| (h.tuple(&[t, h.adopt(region(1))]), ()));
        heap.verify().unwrap();
        let before = heap.root().to_string();
        heap.collect_major().unwrap();
        heap.verify().unwrap();
        assert_eq!(heap.root().to_string(), before.as_str());
    }
    assert_eq!((tracker.made(), tracker.dropped()), (9, 9));
}

#[test]
fn the_garbage_of_an_adopted_immediate_is_released() {
    let tracker = Tracker::default();
    let region = Region::build(|h| {
        h.resource(tracker.value());
        h.nil()
    });
    let heap = OwnedHeap::new(|h| h.adopt(region));
    assert_eq!((heap.used_words(), tracker.dropped()), (0, 1));
}

#[test]
fn a_round_trip_through_a_heap_changes_nothing() {
    let original = Region::build(|h| {
        let shared = term!(h, {1, "x", 2.5});
        h.list([shared, shared, h.int(-1_i128 << 90)])
    });
    let mut heap = OwnedHeap::new(|h| h.copy(original.root()));
    let back = Region::copy_of(heap.root());
    assert_eq!((back.root(), back.words()), (original.root(), original.words()));
    heap.turn(|h, _| (h.adopt(back), ()));
    assert_eq!(heap.root(), original.root());
    // Inside a turn too: out of the heap and in again.
    heap.turn(|h, t| (h.adopt(Region::copy_of(t)), ()));
    assert_eq!(heap.collect_major().unwrap().moved_words, original.words());
    assert_eq!(heap.root(), original.root());
}

#[test]
fn a_copy_may_come_from_the_heap_it_goes_to() {
    let mut heap = OwnedHeap::new(|h| term!(h, {1, [2, 3], "four"}));
    heap.turn(|h, t| (h.tuple(&[t, h.copy(t), t]), ()));
    let Some([a, b, c]) = heap.root().tuple_of() else { panic!() };
    assert!(a == b && a == c);
    assert_eq!(heap.root().size_words(), 4 + 2 * (4 + 4 + 2));
    heap.verify().unwrap();
}

#[test]
fn the_error_of_a_builder_is_passed_on() {
    let tracker = Tracker::default();
    let failed: Result<Region, Box<dyn std::error::Error>> = Region::try_build(|h| {
        h.resource(tracker.value());
        h.bytes(tracker.bytes(1000, 0));
        Ok(h.int("no number".parse::<i64>()?))
    });
    assert!(failed.unwrap_err().is::<std::num::ParseIntError>());
    assert_eq!((tracker.made(), tracker.dropped()), (2, 2));
    let built = Region::try_build::<HeapError>(|h| Ok(h.int(1))).unwrap();
    assert_eq!(built.root().as_int(), Some(1));
}

#[test]
fn a_panic_in_a_builder_releases_what_was_built() {
    let tracker = Tracker::default();
    let inner = Region::build(|h| h.resource(tracker.value()));
    let payload = panics(|| {
        Region::build(|h| {
            h.list((0..100).map(|i| {
                if i == 99 {
                    quiet_panic();
                }
                h.tuple(&[h.resource(tracker.value()), h.bytes(tracker.bytes(65, 0)), h.copy(inner.root())])
            }))
        })
    });
    assert_eq!(payload, Some("quiet"), "not taken for a limit");
    assert_eq!((tracker.made(), tracker.dropped()), (1 + 2 * 99, 2 * 99));
    assert_eq!(panics(|| Region::try_build::<HeapError>(|_| quiet_panic())), Some("quiet"));
}

#[test]
fn a_destructor_that_panics_keeps_nothing_else_from_being_released() {
    let tracker = Tracker::default();
    let region = Region::build(|h| {
        h.list([tracker.value(), tracker.panicking(), tracker.value(), tracker.panicking()].map(|v| h.resource(v)))
    });
    assert_eq!(panics(|| drop(region)), Some("a destructor that panics"));
    assert_eq!(tracker.dropped(), 4);

    let heap = OwnedHeap::new(|h| h.list([tracker.panicking(), tracker.value()].map(|v| h.resource(v))));
    assert_eq!(panics(|| drop(heap)), Some("a destructor that panics"));
    assert_eq!(tracker.dropped(), 6);

    // While a panic is under way, a second one must not end the program.
    let payload = panics(|| {
        Region::build(|h| {
            h.resource(tracker.panicking());
            h.resource(tracker.value());
            quiet_panic()
        })
    });
    assert_eq!((payload, tracker.dropped()), (Some("quiet"), 8));
}

#[test]
fn a_term_ref_is_read_and_copied_but_borrows_its_region() {
    fn sum(t: TermRef<'_>) -> i64 {
        t.list().filter_map(Term::as_int).sum()
    }
    let region = Arc::new(Region::build(|h| h.list(0..10)));
    let sums: Vec<i64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| sum(region.root()))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(sums, [45; 3]);
    let wrapped = Region::build(|h| term!(h, {:copy, region.root()}));
    assert_eq!(wrapped.root().as_tuple().unwrap()[1], region.root());
}

#[test]
fn a_copy_works_while_its_thread_ends() {
    struct Late(Option<Region>);
    impl Drop for Late {
        fn drop(&mut self) {
            let region = self.0.take().unwrap();
            assert_eq!(Region::copy_of(region.root()).root(), region.root());
        }
    }
    thread_local! {
        static LATE: std::cell::RefCell<Late> = const { std::cell::RefCell::new(Late(None)) };
    }
    std::thread::spawn(|| {
        // Registered first, and so dropped last: the copier's own memory is gone by then.
        LATE.with_borrow_mut(|late| late.0 = Some(Region::build(|h| h.list(0..100))));
        LATE.with_borrow(|late| drop(Region::copy_of(late.0.as_ref().unwrap().root())));
    })
    .join()
    .unwrap();
}

#[test]
fn lists_that_share_cells_still_do_in_the_copy() {
    let shared = Region::build(|h| {
        let end = term!(h, [5]);
        // The walk along the cells comes to one that was copied as a head before.
        let a = term!(h, [end, 1, 2, 3, ..end]);
        let long = h.list(0..100);
        let b = term!(h, {long, [1, 2, ..long], [{1}, ..long]});
        h.tuple(&[a, a, b])
    });
    assert_eq!(shared.words(), 2 + 8 + 200 + 4 + 4 + (2 + 2) + 4);
    let copy = Region::copy_of(shared.root());
    copy.verify().unwrap();
    assert_eq!((copy.words(), copy.root()), (shared.words(), shared.root()));
    let alone = Region::copy_of(shared.root().as_tuple().unwrap()[0]);
    assert_eq!(alone.words(), 2 + 8);
}

/// What a resource of a region holds: another one.
struct Nested {
    _region: Region,
    _tracked: Arc<common::Tracked>,
}

fn nested(depth: usize, innermost: Region, tracker: &Tracker) -> Region {
    (0..depth).fold(innermost, |region, _| {
        let nested = Nested { _region: region, _tracked: tracker.value() };
        Region::build(|h| h.list([h.resource(Arc::new(nested))]))
    })
}

#[test]
fn regions_that_resources_of_regions_hold_are_dropped_at_any_depth() {
    let tracker = Tracker::default();
    let region = nested(100_000, Region::build(|h| h.list(0..3)), &tracker);
    let heap = OwnedHeap::new(|h| h.adopt(nested(100_000, Region::build(|h| h.nil()), &tracker)));
    std::thread::Builder::new().stack_size(1 << 20).spawn(|| drop((region, heap))).unwrap().join().unwrap();
    assert_eq!((tracker.made(), tracker.dropped()), (200_000, 200_000));
}

/// Young and old generations, with adopted regions between them.
#[test]
fn heaps_that_resources_of_heaps_hold_are_dropped_at_any_depth() {
    let tracker = Tracker::default();
    let heap = (0..100_000).fold(OwnedHeap::new(|h| h.nil()), |inner, i| {
        let inner = (Mutex::new(inner), tracker.value());
        let mut heap = OwnedHeap::new(|h| h.list([h.resource(Arc::new(inner)), h.binary([7; 100])]));
        if i % 2 == 0 {
            heap.collect_major().unwrap();
            heap.turn(|h, old| (h.cons(h.resource(tracker.value()), old), ()));
        }
        if i % 3 == 0 {
            let heap = Region::build(|h| h.list([h.resource(Arc::new(Mutex::new(heap))), h.resource(tracker.value())]));
            return OwnedHeap::new(|h| h.list([h.resource(tracker.value()), h.adopt(heap)]));
        }
        heap
    });
    std::thread::Builder::new().stack_size(1 << 20).spawn(|| drop(heap)).unwrap().join().unwrap();
    assert_eq!((tracker.made(), tracker.dropped()), (216_668, 216_668));
}

/// The panic reaches whoever drops the outermost, and keeps nothing from being dropped.
#[test]
fn a_destructor_that_panics_far_inside_is_heard_outside() {
    let tracker = Tracker::default();
    for depth in [1, 40, 1000] {
        let innermost = Region::build(|h| h.resource(tracker.panicking()));
        let region = nested(depth, innermost, &tracker);
        assert_eq!(panics(|| drop(region)), Some("a destructor that panics"));
        assert_eq!(tracker.dropped(), tracker.made());
    }
}

/// Panics when it is dropped, which during another panic would abort.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        quiet_panic();
    }
}

impl From<HeapError> for Fragile {
    fn from(_: HeapError) -> Self {
        Self
    }
}

#[test]
fn the_error_of_a_builder_is_not_dropped_during_a_panic() {
    let tracker = Tracker::default();
    let built = Region::try_build(|h| {
        h.resource(tracker.panicking());
        Err(Fragile)
    });
    assert_eq!(tracker.dropped(), 1);
    std::mem::forget(built.unwrap_err());
}

/// Short tuples of immediates are copied by a way of their own.
#[test]
fn tuples_are_copied_whatever_their_length_and_elements() {
    for n in 1..12 {
        let a = Region::build(|h| h.tuple(&(0..n).map(|i| h.int(i)).collect::<Vec<_>>()));
        let b = Region::copy_of(a.root());
        assert_eq!(a.root(), b.root());
        assert_eq!(b.words(), n as usize + 1);
        for at in 0..n {
            let a = Region::build(|h| {
                let item = |i| if i == at { h.list(0..3) } else { h.int(i) };
                h.tuple(&(0..n).map(item).collect::<Vec<_>>())
            });
            let b = Region::copy_of(a.root());
            assert_eq!(a.root(), b.root());
            assert_eq!(b.words(), a.words(), "the list is in the copy too");
        }
    }
}

/// What waits to be copied while the copier goes into the heads needs room that what came before did not.
#[test]
fn a_term_that_is_deep_in_its_heads_is_copied_after_one_that_is_flat() {
    let r = Region::build(|h| {
        let deep = (0..20_000).fold(h.nil(), |deep, i| h.cons(deep, h.list([i])));
        let flat = h.list((0..20_000).map(|i| h.tuple(&[h.int(i), h.int(i)])));
        h.tuple(&[deep, flat])
    });
    let copy = Region::copy_of(r.root());
    copy.verify().unwrap();
    assert!(copy.words() == r.words() && copy.root() == r.root());
}
