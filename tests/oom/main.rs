//! What happens when the system gives no more memory (invariant 10), at every point where it can.

#![cfg(feature = "term")]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "persistent")]
mod persistent;
#[cfg(feature = "runtime")]
mod processes;

use bytes::Bytes;
use common::{
    Tracker, at_any_depth, count_allocations, hash_of, mixed, panics, with_large_allocations, without_allocations_from,
};
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Region, TermRef, term};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Runs `f` with memory for none, one, two allocations and so on, in another world each time, on a thread that has no tables
/// to work with yet, until that was enough. `after` is told whether it was. How often it was not.
fn failures_in<W, R>(
    world: impl Fn() -> W + Sync,
    f: impl Fn(&mut W) -> Result<R, HeapError> + Sync,
    after: impl Fn(W, Option<R>) + Sync,
) -> usize {
    let too_little = |n: &usize| {
        let once = || {
            let mut world = world();
            let result = with_large_allocations(*n, || f(&mut world));
            let too_little = match &result {
                Ok(_) => false,
                Err(HeapError::OutOfMemory { .. }) => true,
                Err(other) => panic!("{other}"),
            };
            after(world, result.ok());
            too_little
        };
        std::thread::scope(|scope| scope.spawn(once).join().unwrap())
    };
    (0..1000).take_while(too_little).count()
}

/// As [`failures_in`], without a world.
fn failures<R>(f: impl Fn() -> Result<R, HeapError> + Sync) -> usize {
    failures_in(|| (), |()| f(), |(), _| ())
}

/// A heap in which everything was made by a tracker.
type Tracked = (Tracker, OwnedHeap);

fn tracked() -> Tracked {
    let tracker = Tracker::default();
    let heap = OwnedHeap::new(|h| h.adopt(mixed(&tracker)));
    (tracker, heap)
}

/// A collection has failed: nothing is left, and the heap can be used.
fn is_empty_and_usable((tracker, mut heap): Tracked) {
    assert!(heap.root().is_nil());
    assert_eq!(heap.used_words(), 0);
    assert_eq!(tracker.dropped(), tracker.made(), "dropped, and made");
    heap.turn(|h, _| (term!(h, [1, 2]), ()));
    heap.collect_minor().unwrap();
    heap.verify().unwrap();
}

/// So many were garbage, or copied.
fn releases_the_rest_in_the_end((tracker, heap): Tracked, dropped: usize) {
    heap.verify().unwrap();
    assert_eq!(tracker.dropped(), dropped);
    drop(heap);
    assert_eq!(tracker.dropped(), tracker.made());
}

#[test]
fn a_collection_without_memory_is_an_error_and_releases_everything_once() {
    let collect = |(_, heap): &mut Tracked| heap.collect_major();
    let failures = failures_in(tracked, collect, |world, stats| match stats {
        None => is_empty_and_usable(world),
        Some(stats) => {
            assert_eq!(stats.after_words, world.1.used_words());
            releases_the_rest_in_the_end(world, 0);
        }
    });
    assert!(failures > 2, "the heap was too small to be interrupted in its middle");
}

/// None of it waits for the heaps around it, which free their chunks later: what was moved has its headers in a space that
/// goes at once.
#[test]
fn a_collection_without_memory_releases_everything_once_while_others_are_dropped() {
    let failures = Arc::new(AtomicUsize::new(0));
    for n in 1..4 {
        let failures = Arc::clone(&failures);
        let collect = move || {
            let mut world = tracked();
            if with_large_allocations(n, || world.1.collect_major()).is_err() {
                failures.fetch_add(1, Relaxed);
                is_empty_and_usable(world);
            }
        };
        std::thread::spawn(|| at_any_depth(collect)).join().unwrap();
    }
    assert!(failures.load(Relaxed) > 34, "{failures:?}");
}

/// What lives has been moved once by then: without the memory to move it again, it stays where it is.
#[test]
fn a_heap_that_is_compacted_without_memory_is_collected_all_the_same() {
    let with_room = AtomicUsize::new(0);
    let compact = |(_, heap): &mut Tracked| {
        let stats = heap.compact()?;
        assert_eq!((stats.after_words, heap.info().major_collections), (heap.used_words(), 1));
        if heap.info().chunk_bytes > 24 + 8 * heap.used_words() {
            with_room.fetch_add(1, Relaxed);
            return Err(HeapError::OutOfMemory { words: 0 });
        }
        Ok(())
    };
    let failures = failures_in(tracked, compact, |world, done| match done {
        None if world.1.root().is_nil() => is_empty_and_usable(world),
        _ => releases_the_rest_in_the_end(world, 0),
    });
    let with_room = with_room.into_inner();
    assert!(failures > 2 + with_room && with_room > 0, "{failures} without memory, {with_room} for the second time");
}

/// Half of it had gone to a new young generation, some behind what is old, and some was still to go.
#[test]
fn a_minor_collection_without_memory_releases_what_is_old_too() {
    let world = || {
        let (tracker, mut heap) = tracked();
        heap.collect_major().unwrap();
        heap.turn(|h, old| (h.cons(h.copy(mixed(&tracker).root()), old), ()));
        heap.collect_minor().unwrap();
        heap.turn(|h, aged| {
            let moved_in = h.adopt(mixed(&tracker));
            let _garbage = h.resource(tracker.value());
            let made = h.list((0..200).map(|i| h.tuple(&[h.bytes(tracker.bytes(100, i as u8)), moved_in, aged])));
            (made, ())
        });
        // What was copied was dropped with the region that it came from, but for its values, which are shared.
        let dropped = tracker.dropped();
        ((tracker, heap), dropped)
    };
    let failures = failures_in(
        world,
        |((_, heap), _)| heap.collect_minor(),
        |(world, dropped), stats| match stats {
            None => is_empty_and_usable(world),
            Some(_) => releases_the_rest_in_the_end(world, dropped + 1),
        },
    );
    assert!(failures > 3, "the heap was too small to be interrupted in its middle: {failures}");
}

#[test]
fn a_copy_without_memory_leaves_both_sides_as_they_were() {
    assert!(failures_to_copy(mixed) > 3);
}

/// The second pass has a table of its own.
#[test]
fn a_copy_of_what_is_shared_without_memory_leaves_both_sides_as_they_were() {
    assert!(failures_to_copy(shared) > 4);
}

/// As [`mixed`], each of it in two places.
fn shared(tracker: &Tracker) -> Region {
    let one = mixed(tracker);
    Region::build(|h| {
        let one = h.adopt(one);
        h.tuple(&[one, h.list(one.list()), one])
    })
}

fn failures_to_copy(source: fn(&Tracker) -> Region) -> usize {
    let tracker = Tracker::default();
    let source = source(&tracker);
    let kept = || OwnedHeap::new(|h| term!(h, {:kept, [1, 2, 3]}));
    let before = kept().used_words();
    let copy = |heap: &mut OwnedHeap| {
        let turn = || heap.turn(|h, kept| (h.tuple(&[kept, h.copy(source.root())]), ()));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn));
        done.map_err(|_| HeapError::OutOfMemory { words: 0 })
    };
    let failures = failures_in(kept, copy, |heap, copied| {
        if copied.is_some() {
            return assert!(heap.root().as_tuple().unwrap()[1] == source.root());
        }
        assert_eq!(heap.used_words(), before, "the copy was taken back");
        assert_eq!(heap.root().to_string(), "{kept,[1,2,3]}");
        heap.verify().unwrap();
        source.verify().unwrap();
    });
    assert_eq!(tracker.dropped(), 0);
    drop(source);
    assert_eq!(tracker.dropped(), tracker.made());
    failures
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

#[test]
fn large_binaries_without_memory_are_error_values() {
    let tracker = Tracker::default();
    let cut_and_appended = |bytes: &mut Bytes| {
        Region::try_build::<HeapError>(|h| {
            let whole = h.bytes(bytes.clone());
            let copied = h.binary(whole.as_bytes().unwrap());
            let longer = (0..40).fold(copied, |longer, _| h.append(longer, [2; 1000]).unwrap());
            let parts = h.list((0..60).map(|i| h.slice(longer, i..i + 100).unwrap()));
            Ok(h.tuple(&[whole, longer, parts]))
        })
    };
    let failures = failures_in(|| tracker.bytes(10_000, 1), cut_and_appended, |bytes, _| drop(bytes));
    assert!(failures > 5, "{failures}");
    assert_eq!(tracker.dropped(), tracker.made());
    // A collection copies them out.
    let parts = || {
        let tracker = Tracker::default();
        let heap = OwnedHeap::new(|h| {
            let whole = h.bytes(tracker.bytes(100_000, 1));
            h.list((0..20).map(|i| h.slice(whole, i..i + 300).unwrap()))
        });
        (tracker, heap)
    };
    let copy_out = |(tracker, heap): &mut Tracked| {
        heap.collect_major()?;
        // Without memory for that, they stay slices.
        if tracker.dropped() == 1 { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
    };
    let failures = failures_in(parts, copy_out, |world, done| {
        let dropped = world.0.dropped();
        if done.is_none() && world.1.root().is_nil() {
            is_empty_and_usable(world);
        } else {
            releases_the_rest_in_the_end(world, dropped);
        }
    });
    assert!(failures > 2, "{failures}");
}

#[test]
fn a_map_without_memory_is_an_error_value() {
    let tracker = Tracker::default();
    let map = || Region::try_build(|h| Ok(h.map((0..1000).map(|i| (i, h.resource(tracker.value()))))));
    assert!(failures(|| map().map(drop)) > 10);
    // One by one: flat, and then a trie.
    let map =
        || Region::try_build(|h| Ok((0..100).fold(h.map([(0, 0)]), |m, i| h.insert(m, h.int(i), h.nil()).unwrap())));
    assert!(failures(|| map().map(drop)) > 5);
    let map = map().unwrap();
    let less = || Region::try_build(|h| Ok((0..100).fold(h.copy(map.root()), |m, i| h.remove(m, i).unwrap())));
    assert!(failures(|| less().map(drop)) > 5);
    assert_eq!(tracker.dropped(), tracker.made());
}

/// Goes nowhere.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> std::fmt::Result {
        Ok(())
    }
}

#[test]
fn what_walks_a_term_without_memory_ends_what_is_built() {
    let deep = || Region::build(|h| (0..10_000).fold(h.nil(), |deep, _| h.tuple(&[deep, h.nil()])));
    let wide = || Region::build(|h| h.map((0..1000).map(|i| (i, deep().root().size_words() as u64))));
    let [(a, b), (c, d)] = [(deep(), deep()), (wide(), wide())];
    type Walk<'a> = &'a (dyn Fn(TermRef<'_>, TermRef<'_>) + Sync);
    let walks: [Walk<'_>; 6] = [
        &|a, _| _ = hash_of(a),
        &|a, b| assert!(a == b),
        &|a, b| assert!(a.cmp_value(b).is_eq()),
        &|a, _| _ = a.size_words(),
        &|a, _| _ = a.flat_size_words(),
        &|a, _| _ = write!(Nowhere, "{a:.60000}"),
    ];
    for (i, walk) in walks.iter().enumerate() {
        let run = |a: &Region, b: &Region| {
            Region::try_build::<HeapError>(|h| {
                walk(a.root(), b.root());
                Ok(h.nil())
            })
        };
        assert!(failures(|| run(&a, &b)) > 0, "the walk number {i}");
        run(&c, &d).unwrap();
    }
    assert!(failures(|| Region::try_build::<HeapError>(|h| Ok(h.int(u64::from(c.root() < d.root()))))) > 0);
}
