//! What happens when the system gives no more memory (invariant 10), at every point where it can.

#![cfg(feature = "term")]

mod common;

use common::{Tracker, hash_of, panics, with_large_allocations};
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Region, TermRef, term};
use std::fmt::Write;

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

/// What lives has been moved once by then: without the memory to move it again, it stays where it is.
#[test]
fn a_heap_that_is_compacted_without_memory_is_collected_all_the_same() {
    let (mut failures, mut with_room) = (0, 0);
    for n in 0.. {
        let tracker = Tracker::default();
        let mut heap = OwnedHeap::new(|h| h.adopt(mixed(&tracker)));
        match with_large_allocations(n, || heap.compact()) {
            Err(HeapError::OutOfMemory { .. }) => {
                failures += 1;
                assert!(heap.root().is_nil());
                assert_eq!(tracker.dropped(), tracker.made());
            }
            Err(other) => panic!("{other}"),
            Ok(stats) => {
                assert_eq!(stats.after_words, heap.used_words());
                assert_eq!((tracker.dropped(), heap.info().major_collections), (0, 1));
                heap.verify().unwrap();
                let done = heap.info().chunk_bytes == 24 + 8 * heap.used_words();
                drop(heap);
                assert_eq!(tracker.dropped(), tracker.made());
                if done {
                    break;
                }
                with_room += 1;
            }
        }
    }
    assert!(failures > 2 && with_room > 0, "{failures} without memory for the first time, {with_room} for the second");
}

/// Half of it had gone to a new young generation, some behind what is old, and some was still to go.
#[test]
fn a_minor_collection_without_memory_releases_what_is_old_too() {
    let mut failures = 0;
    for n in 0.. {
        let tracker = Tracker::default();
        let mut heap = OwnedHeap::new(|h| h.adopt(mixed(&tracker)));
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
        match with_large_allocations(n, || heap.collect_minor()) {
            Err(HeapError::OutOfMemory { .. }) => {
                failures += 1;
                assert!(heap.root().is_nil());
                assert_eq!(heap.used_words(), 0);
                assert_eq!(tracker.dropped(), tracker.made());
                heap.turn(|h, _| (term!(h, [1, 2]), ()));
                heap.collect_minor().unwrap();
                heap.verify().unwrap();
            }
            Err(other) => panic!("{other}"),
            Ok(_) => {
                heap.verify().unwrap();
                assert_eq!(tracker.dropped(), dropped + 1);
                drop(heap);
                assert_eq!(tracker.dropped(), tracker.made());
                break;
            }
        }
    }
    assert!(failures > 3, "the heap was too small to be interrupted in its middle: {failures}");
}

#[test]
fn a_copy_without_memory_leaves_both_sides_as_they_were() {
    copies_without_memory(mixed, 3);
}

/// The second pass has a table of its own.
#[test]
fn a_copy_of_what_is_shared_without_memory_leaves_both_sides_as_they_were() {
    copies_without_memory(shared, 4);
}

/// As [`mixed`], each of it in two places.
fn shared(tracker: &Tracker) -> Region {
    let one = mixed(tracker);
    Region::build(|h| {
        let one = h.adopt(one);
        h.tuple(&[one, h.list(one.list()), one])
    })
}

/// Copies with memory for so many allocations, from none on, each on a thread that has copied nothing yet and so has no
/// tables to work with.
fn copies_without_memory(source: fn(&Tracker) -> Region, least: usize) {
    let tracker = Tracker::default();
    let source = source(&tracker);
    let mut failures = 0;
    let mut n = 0;
    while !std::thread::scope(|scope| scope.spawn(|| copy_with(n, &source)).join().unwrap()) {
        failures += 1;
        n += 1;
    }
    assert!(failures > least, "{failures}");
    assert_eq!(tracker.dropped(), 0);
    drop(source);
    assert_eq!(tracker.dropped(), tracker.made());
}

/// Was there memory enough?
fn copy_with(n: usize, source: &Region) -> bool {
    let mut heap = OwnedHeap::new(|h| term!(h, {:kept, [1, 2, 3]}));
    let before = heap.used_words();
    let mut copied = false;
    let turn = || heap.turn(|h, kept| (h.tuple(&[kept, h.copy(source.root())]), copied = true));
    if with_large_allocations(n, || std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn))).is_ok() {
        assert!(copied && heap.root().as_tuple().unwrap()[1] == source.root());
        return true;
    }
    assert_eq!(heap.used_words(), before, "the copy was taken back");
    assert_eq!(heap.root().to_string(), "{kept,[1,2,3]}");
    heap.verify().unwrap();
    source.verify().unwrap();
    false
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

/// With memory for none, one, two and so on; how often that was too little. Each on a thread that has no tables yet.
fn failures<R: Send>(f: impl Fn() -> Result<R, HeapError> + Sync) -> usize {
    let enough = |n| std::thread::scope(|scope| scope.spawn(|| with_large_allocations(n, &f)).join().unwrap());
    let too_little = |n: &usize| match enough(*n).map(drop) {
        Ok(()) => false,
        Err(HeapError::OutOfMemory { .. }) => true,
        Err(other) => panic!("{other}"),
    };
    (0..1000).take_while(too_little).count()
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

#[cfg(feature = "runtime")]
mod processes {
    use super::*;
    use shared_term::prelude::*;
    use shared_term::process::SpawnError;
    use std::sync::Arc;

    /// Larger than what the allocator of these tests gives in any case.
    struct Large {
        ones: [u64; 64],
        _tracked: Arc<common::Tracked>,
    }

    impl Process for Large {
        fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Next(cx.int(self.ones.iter().sum::<u64>())))
        }
    }

    #[test]
    fn a_process_without_memory_is_an_error_value() {
        let tracker = Tracker::default();
        let mut rt = Runtime::deterministic(1);
        let large = || Large { ones: [1; 64], _tracked: tracker.value() };
        rt.spawn(large()).unwrap();
        let spawned = with_large_allocations(0, || rt.spawn(large()));
        assert!(matches!(spawned, Err(SpawnError::Heap(HeapError::OutOfMemory { .. }))), "{spawned:?}");
        assert_eq!(tracker.dropped(), 1);
        let p = rt.spawn(large()).unwrap();
        rt.run_until_idle();
        assert!(rt.is_alive(p));
    }
}
