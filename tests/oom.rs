//! What happens when the system gives no more memory (invariant 10), at every point where it can.

#![cfg(feature = "term")]

mod common;

use bytes::Bytes;
use common::{
    Tracker, at_any_depth, count_allocations, hash_of, panics, with_large_allocations, without_allocations_from,
};
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Region, TermRef, term};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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

#[cfg(feature = "persistent")]
mod persistent {
    use super::*;
    use shared_term::{Atom, PersistentTerms, persistent::StoreError};

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
            store
                .put_built(OTHER, |h| h.list((0..2000).map(|_| h.resource(tracker.value()))))
                .map(drop)
                .map_err(heap_error)
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
}

#[cfg(feature = "runtime")]
mod processes {
    use super::*;
    use shared_term::prelude::*;
    use shared_term::process::{SpawnError, from_fns};
    use shared_term::runtime::{Deterministic, Exited, Port};
    use std::sync::Arc;
    use std::time::Duration;

    /// How long to wait for what must come before the test has failed.
    const LONG: Duration = Duration::from_secs(60);

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

    /// A runtime of one thread with processes that wait, and one more that has got a message.
    struct World {
        rt: Deterministic,
        waiting: Vec<Pid>,
        exited: Exited,
    }

    fn world(f: Turned) -> World {
        let mut rt = Runtime::deterministic(1);
        let waiting: Vec<_> = (0..40).map(|_| rt.spawn(waits()).unwrap()).collect();
        let others = waiting.clone();
        let turn = move |cx: Cx<'_>| f(cx, &others);
        let p = rt.spawn(from_fns(|cx| cx.nil(), move |cx, s, _| turn(cx).map(|()| Next(s)), |_, s, _| Ok(Next(s))));
        let p = p.unwrap();
        rt.run_until_idle();
        rt.send_new(p, |h| h.nil()).unwrap();
        World { exited: rt.exited(p), rt, waiting }
    }

    /// A process that outlives those it is linked to.
    fn waits() -> impl Process {
        from_fns(|cx| (cx.trap_exits(true), cx.nil()).1, |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s)))
    }

    /// What is done in a turn.
    type Turned = fn(Cx<'_>, &[Pid]) -> Result<(), Exit>;

    /// Does something in a turn, first without memory, and then with some. Too little ends that process, and no other.
    fn failures_of(f: Turned) -> usize {
        let run = |world: &mut World| {
            world.rt.run_until_idle();
            match world.exited.try_wait() {
                None => Ok(()),
                Some(exit) => {
                    assert!(exit.to_string().contains("no memory"), "{exit}");
                    Err(HeapError::OutOfMemory { words: 0 })
                }
            }
        };
        failures_in(
            || world(f),
            run,
            |mut world, done| {
                assert!(world.waiting.iter().all(|p| world.rt.is_alive(*p)));
                for p in &world.waiting {
                    world.rt.kill(*p).unwrap();
                }
                world.rt.run_until_idle();
                assert!(!world.waiting.iter().any(|p| world.rt.is_alive(*p)));
                // The timeout of who had memory.
                assert!(world.rt.timers() <= usize::from(done.is_some()));
            },
        )
    }

    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn links_without_memory_end_the_process_that_makes_them() {
        let failures = failures_of(|cx, others| {
            cx.trap_exits(true);
            for p in others {
                cx.link(*p);
            }
            Ok(())
        });
        assert!(failures > 1, "{failures}");
    }

    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn monitors_without_memory_end_the_process_that_makes_them() {
        let failures = failures_of(|cx, others| {
            for p in others {
                cx.monitor(*p);
            }
            Ok(())
        });
        assert!(failures > 1, "{failures}");
    }

    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn timers_without_memory_end_the_process_that_sets_them() {
        let failures = failures_of(|cx, others| {
            for (i, p) in (1..).zip(others.iter().cycle().take(200)) {
                cx.send_after(Duration::from_millis(i), *p, cx.int(i as i64));
            }
            cx.set_timeout(Duration::from_secs(1));
            Ok(())
        });
        assert!(failures > 3, "{failures}");
    }

    /// More than a queue has room for, from a turn and from outside.
    #[test]
    fn who_is_scheduled_waits_without_memory_for_that() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let (told, tells) = std::sync::mpsc::channel();
        let receivers: Vec<_> = std::iter::repeat_with(|| {
            let told = told.clone();
            rt.spawn_fn(
                |cx| cx.nil(),
                move |_, state, _| {
                    told.send(()).map_err(Exit::msg)?;
                    Ok(Next(state))
                },
            )
            .unwrap()
        })
        .take(1000)
        .collect();
        let letters = || receivers.iter().map(|&p| (p, Region::build(|h| h.int(1)))).collect::<Vec<_>>();
        let all_receive = || (0..receivers.len()).for_each(|_| tells.recv_timeout(LONG).unwrap());
        let (mut in_turn, (done, made)) = (letters(), std::sync::mpsc::channel());
        let sender = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                let ((), made) = count_allocations(|| in_turn.drain(..).for_each(|(p, letter)| cx.send(p, letter)));
                done.send(made).map_err(Exit::msg)?;
                Ok(Next(state))
            },
        );
        rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
        assert_eq!(made.recv_timeout(LONG).unwrap(), 0);
        all_receive();
        let outside = letters();
        let ((), made) = count_allocations(|| outside.into_iter().for_each(|(p, letter)| rt.send(p, letter).unwrap()));
        assert_eq!(made, 0);
        all_receive();
    }

    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn names_without_memory_are_error_values() {
        let failures = failures_of(|cx, others| {
            for (i, p) in others.iter().enumerate() {
                cx.register(Atom::new(&format!("n{i}"))?, *p)?;
            }
            Ok(())
        });
        assert!(failures > 1, "{failures}");
    }

    /// Whether the process ends for want of memory, while what came for it is looked at, or is killed behind that.
    fn forty_are_told_of_its_end(world: impl Fn() -> (Deterministic, Pid, Port) + Sync) {
        let run = |(rt, p, _): &mut (Deterministic, Pid, Port)| {
            rt.run_until_idle();
            if rt.is_alive(*p) { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
        };
        let failures = failures_in(world, run, |(mut rt, p, mut port), _| {
            let _ = rt.kill(p);
            rt.run_until_idle();
            assert_eq!(std::iter::from_fn(|| port.try_recv()).count(), 40);
        });
        assert!(failures > 0);
    }

    /// Who cannot be noted is told at once, and the others at the end.
    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn who_monitors_a_process_without_memory_is_told_of_its_end() {
        let world = || {
            let rt = Runtime::deterministic(1);
            let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
            let mut port = rt.port().unwrap();
            for _ in 0..40 {
                port.monitor(p).unwrap();
            }
            (rt, p, port)
        };
        forty_are_told_of_its_end(world);
    }

    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn who_links_to_a_process_without_memory_is_told_of_its_end() {
        let world = || {
            let mut rt = Runtime::deterministic(1);
            let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
            let mut port = rt.port().unwrap();
            let me = port.pid();
            let links = || {
                let receive = move |cx: Cx<'_>| cx.link(p);
                from_fns(
                    |cx| (cx.trap_exits(true), cx.nil()).1,
                    move |cx, s, _| Ok((receive(cx), Next(s)).1),
                    move |cx, s, _| Ok((cx.send(me, cx.nil()), Next(s)).1),
                )
            };
            let linked: Vec<_> = (0..40).map(|_| rt.spawn(links()).unwrap()).collect();
            rt.run_until_idle();
            for p in &linked {
                rt.send_new(*p, |h| h.nil()).unwrap();
            }
            assert!(port.try_recv().is_none());
            (rt, p, port)
        };
        forty_are_told_of_its_end(world);
    }

    /// Whether it hears of the name while it lives, which ends it, or has ended before.
    #[test]
    fn a_name_that_a_process_has_no_memory_to_note_is_given_back() {
        const NAME: Atom = Atom::inline("name");
        for late in [false, true] {
            let mut rt = Runtime::deterministic(1);
            let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
            rt.run_until_idle();
            if late {
                rt.kill(p).unwrap();
            }
            rt.register(NAME, p).unwrap();
            // What a process knows of others takes more.
            without_allocations_from(128, || rt.run_until_idle());
            assert!(!rt.is_alive(p));
            assert_eq!((rt.whereis(NAME), rt.registered()), (None, vec![]), "late: {late}");
        }
    }

    /// A process that holds what is replaced has to copy it.
    #[test]
    #[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
    fn a_holder_without_memory_for_what_it_holds_ends_and_holds_up_nothing() {
        const KEY: Atom = Atom::inline("key");
        let world = || {
            let mut rt = Runtime::deterministic(1);
            let tracker = Tracker::default();
            rt.persistent().put(KEY, mixed(&tracker)).unwrap();
            let holds = rt.spawn_fn(|cx| cx.get(KEY).unwrap(), |_, s, _| Ok(Next(s))).unwrap();
            rt.run_until_idle();
            rt.persistent().erase(KEY);
            (rt, holds, tracker)
        };
        let run = |(rt, holds, _): &mut (Deterministic, Pid, Tracker)| {
            rt.run_until_idle();
            if rt.is_alive(*holds) { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
        };
        let failures = failures_in(world, run, |(mut rt, holds, tracker), done| {
            assert_eq!((rt.persistent().info().words, rt.persistent().info().retained_bytes), (0, 0));
            assert_eq!(tracker.made() - tracker.dropped(), if done.is_some() { 20 } else { 0 });
            let _ = rt.kill(holds);
            rt.run_until_idle();
            assert_eq!(tracker.dropped(), tracker.made());
        });
        assert!(failures > 3, "{failures}");
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

/// A process whose heap and messages are made to share what they hold, without the memory for it: it goes on, or ends by that
/// alone, and what it held is freed.
#[cfg(feature = "runtime")]
#[test]
fn messages_that_are_to_share_without_memory_share_all_or_end_with_their_process() {
    use shared_term::prelude::*;
    use shared_term::runtime::Deterministic;

    const KEY: Atom = Atom::inline("key");
    let world = || {
        let tracker = Tracker::default();
        let mut rt = Runtime::deterministic(1);
        rt.persistent().put(KEY, mixed(&tracker)).unwrap();
        let mut sent = false;
        let p = rt.spawn_fn(
            |cx| cx.get(KEY).unwrap_or(cx.nil()),
            move |cx, state, message| {
                if !std::mem::replace(&mut sent, true) {
                    (0..3).for_each(|i| cx.send(cx.me(), cx.tuple(&[cx.int(i), state])));
                    return Ok(Next(state));
                }
                if message.is_nil() { Ok(NextReoffer(state)) } else { Ok(Defer) }
            },
        );
        let p = p.unwrap();
        rt.send_new(p, |h| h.nil()).unwrap();
        rt.run_until_idle();
        assert_eq!(rt.info(p).unwrap().messages, 3);
        (tracker, rt, p)
    };
    let collect = |(_, rt, p): &mut (Tracker, Deterministic, Pid)| {
        rt.persistent().erase(KEY);
        rt.run_until_idle();
        if rt.is_alive(*p) { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
    };
    let after = |(tracker, mut rt, p): (Tracker, Deterministic, Pid), lives: Option<()>| {
        rt.run_until_idle();
        let info = rt.persistent().info();
        assert_eq!((info.retained_bytes, info.areas), (0, usize::from(lives.is_some())));
        if lives.is_some() {
            assert_eq!(rt.info(p).unwrap().messages, 3);
        }
        drop(rt);
        assert_eq!(tracker.dropped(), tracker.made());
    };
    let failures = failures_in(world, collect, after);
    assert!(failures > 4, "{failures}");
}
