//! Heaps for a part of a turn.

#![cfg(feature = "term")]

mod common;

use common::{Tracker, at_any_depth, panics, with_large_allocations};
use proptest::prelude::*;
use shared_term::heap::{HeapError, OwnedHeap};
use shared_term::{Region, Term, heap::Heap, term};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

#[test]
fn the_result_moves_out_and_what_is_outside_stays_where_it_is() {
    let place = |tuple: Term<'_>| tuple.as_tuple().unwrap().as_ptr().addr();
    let mut heap = OwnedHeap::new(|h| h.tuple(&[h.list(0..100)]));
    heap.turn(|h, outer| {
        let before = h.used_words();
        let new = h.scratch(|s| {
            let _garbage = s.list(0..10_000);
            let own = term!(s, {1, 2});
            s.tuple(&[s.import(outer), own, own])
        });
        assert_eq!(h.used_words() - before, 4 + 3);
        let [a, b, c] = *new.tuple_of().unwrap();
        assert_eq!(place(a), place(outer));
        assert_eq!(place(b), place(c), "sharing is kept");
        (new, ())
    });
    heap.verify().unwrap();
    heap.collect_minor().unwrap();
    heap.verify().unwrap();
    assert_eq!(heap.root().to_string(), term_text());
}

fn term_text() -> String {
    Region::build(|h| h.tuple(&[h.tuple(&[h.list(0..100)]), term!(h, {1, 2}), term!(h, {1, 2})])).root().to_string()
}

#[test]
fn they_nest() {
    let r = Region::build(|h| {
        let a = h.list(0..2);
        h.scratch(|s| {
            let b = s.list(2..4);
            let both = s.scratch(|t| {
                let (a, b) = (t.import(s.import(a)), t.import(b));
                t.list([a, b, t.list(4..6)])
            });
            s.tuple(&[both, b])
        })
    });
    assert_eq!(r.root().to_string(), "{[[0,1],[2,3],[4,5]],[2,3]}");
    r.verify().unwrap();
}

#[test]
fn an_immediate_and_an_outer_term_need_nothing() {
    let _ = Region::build(|h| {
        let list = h.list(0..5);
        let before = h.used_words();
        let n = h.scratch(|s| s.int(s.list(0..1000).list().count() as u64));
        let same = h.scratch(|s| s.import(list));
        assert_eq!((n.as_int(), same, h.used_words()), (Some(1000), list, before));
        n
    });
}

#[test]
fn what_lies_outside_the_heap_is_released_once() {
    let tracker = Tracker::default();
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.turn(|h, _| {
        let kept = h.scratch(|s| {
            let all: Vec<_> = (0..10).map(|i| s.bytes(tracker.bytes(100, i))).collect();
            let _value = s.resource(tracker.value());
            s.list([all[3], all[7]])
        });
        assert_eq!(tracker.dropped(), 9);
        (kept, ())
    });
    heap.verify().unwrap();
    assert_eq!(heap.info().off_heap_bytes, 200);
    assert_eq!(heap.root().list().map(|b| b.as_bytes().unwrap()[0]).collect::<Vec<_>>(), [3, 7]);
    drop(heap);
    assert_eq!(tracker.dropped(), tracker.made());
}

#[test]
fn a_panic_frees_everything_and_leaves_the_outer_heap_as_it_was() {
    let tracker = Tracker::default();
    let mut heap = OwnedHeap::new(|h| h.list(0..10));
    let words = heap.used_words();
    let text = panics(|| {
        heap.turn(|h, list| {
            let list = h.scratch(|s| {
                let _ = s.list((0..100).map(|_| s.resource(tracker.value())));
                if s.import(list).is_nil() { s.nil() } else { common::quiet_panic() }
            });
            (list, ())
        });
    });
    assert_eq!(text, Some("quiet"));
    assert_eq!((tracker.dropped(), tracker.made()), (100, 100));
    assert_eq!(heap.used_words(), words);
    heap.verify().unwrap();
}

#[test]
fn without_memory_the_outer_heap_is_as_it_was() {
    /// Is there memory enough when only `n` large allocations are given?
    fn is_enough(n: usize) -> bool {
        let tracker = Tracker::default();
        let mut heap = OwnedHeap::new(|h| h.list(0..10));
        let words = heap.used_words();
        let turn = || {
            heap.turn(|h, list| {
                let new = h.scratch(|s| {
                    let list = s.import(list);
                    s.list((0..200).map(|i| {
                        let item = if i % 10 == 0 { s.bytes(tracker.bytes(100, 1)) } else { list };
                        s.tuple(&[item, list])
                    }))
                });
                (new, ())
            });
        };
        let is_enough = with_large_allocations(n, || catch_unwind(AssertUnwindSafe(turn))).is_ok();
        heap.verify().unwrap();
        if is_enough {
            assert_eq!(heap.root().list().count(), 200);
            assert_eq!(tracker.dropped(), 0);
        } else {
            assert_eq!((heap.used_words(), tracker.dropped()), (words, tracker.made()));
            assert_eq!(heap.root().list().count(), 10);
        }
        is_enough
    }

    // Each on a thread of its own, which has kept no chunk of the one before.
    let failures = (0..1000).take_while(|&n| !thread::spawn(move || is_enough(n)).join().unwrap()).count();
    assert!(failures > 6, "{failures}");
}

/// Half of the result has moved when the limit is passed; and none of what it holds waits for the heaps around it.
#[test]
fn a_result_that_does_not_move_out_is_released_at_once_while_others_are_dropped_too() {
    let once = || {
        let tracker = Tracker::default();
        let mut heap = OwnedHeap::with_limit(500, |h| h.nil());
        let turn = || {
            heap.turn(|h, _| {
                let new = h.scratch(|s| {
                    h.list(0..200);
                    s.list((0..40).map(|_| s.resource(tracker.value())))
                });
                (new, ())
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(turn)).is_err());
        assert_eq!((tracker.made(), tracker.dropped()), (40, 40));
        heap.turn(|h, _| (h.list(0..40), ()));
        heap.verify().unwrap();
    };
    once();
    at_any_depth(once);
}

/// A limit is the error of whoever builds in that heap, however many others build around the allocation.
#[test]
fn a_limit_goes_to_its_owner() {
    let limited = |f: &dyn for<'h> Fn(Heap<'h>) -> Term<'h>| {
        let mut swallowed = false;
        let built = catch_unwind(AssertUnwindSafe(|| {
            OwnedHeap::with_limit(1000, |h| {
                let inner = Region::try_build::<HeapError>(|r| {
                    f(h);
                    Ok(r.nil())
                });
                swallowed = inner.is_err();
                h.nil()
            })
        }));
        assert!(built.is_err() && !swallowed);
    };
    limited(&|h| h.list(0..1000));
    limited(&|h| h.scratch(|s| s.list(0..1000)));
    limited(&|h| h.scratch(|s| s.scratch(|t| t.list(0..1000))));
    limited(&|h| h.adopt(Region::build(|r| r.list(0..1000))));
    limited(&|h| h.copy(Region::build(|r| r.list(0..1000)).root()));
    // What its own builder runs out of is its own error, in a scratch heap too.
    for n in 0..3 {
        let built = with_large_allocations(n, || {
            Region::try_build::<HeapError>(|r| Ok(r.scratch(|s| s.int(s.list(0..10_000).list().count() as u64))))
        });
        assert!(matches!(built, Err(HeapError::OutOfMemory { .. })));
    }
}

proptest! {
    #[test]
    fn any_mixture_moves_out(picks in prop::collection::vec((any::<bool>(), 0_usize..8, 0_usize..8), 1..40)) {
        let mut heap = OwnedHeap::new(|h| h.list(0..8));
        let mut model = Vec::new();
        heap.turn(|h, base| {
            let mut outer = vec![base];
            let new = h.scratch(|s| {
                let mut inner = vec![s.nil()];
                for &(out, a, b) in &picks {
                    if out {
                        outer.push(h.cons(outer[a % outer.len()], outer[b % outer.len()]));
                    } else {
                        let pair = [inner[a % inner.len()], s.import(outer[b % outer.len()])];
                        inner.push(s.tuple(&pair));
                        inner.push(s.binary([7; 80]));
                    }
                }
                model = inner.iter().map(|t| Region::copy_of(*t)).collect();
                s.list(inner)
            });
            (new, ())
        });
        heap.verify().unwrap();
        prop_assert_eq!(heap.root().list().count(), model.len());
        prop_assert!(heap.root().list().zip(&model).all(|(t, m)| t == m.root()));
    }
}

#[cfg(feature = "runtime")]
#[test]
fn the_limit_of_a_process_ends_it_from_within() {
    use shared_term::prelude::*;
    let mut rt = Runtime::deterministic(1);
    for scratch in [false, true] {
        let options = shared_term::process::SpawnOptions::new().max_heap_words(10_000);
        let p = rt.spawn_fn_with(
            options,
            |cx| cx.nil(),
            move |cx, _, _| {
                // An error value of the region would let the process go on.
                let inner = Region::try_build::<HeapError>(|r| {
                    if scratch {
                        cx.scratch(|s| s.list(0..100_000));
                    } else {
                        cx.list(0..100_000);
                    }
                    Ok(r.nil())
                });
                Err(Exit::msg(format!("{inner:?}")))
            },
        );
        let p = p.unwrap();
        let exited = rt.exited(p);
        rt.send_new(p, |h| h.nil()).unwrap();
        rt.run_until_idle();
        let error = exited.try_wait().unwrap().as_heap_error();
        assert!(
            matches!(error, Some(HeapError::Limit { asked: 2, words: 10_001..=10_002, limit: 10_000 })),
            "scratch {scratch}: {error:?}"
        );
    }
}

/// What a turn reads and keeps nowhere leaves its heap as it was, also by way of a heap of its own.
#[cfg(feature = "runtime")]
#[test]
fn a_literal_is_read_through_and_leaves_no_trace() {
    use shared_term::prelude::*;
    let mut rt = Runtime::deterministic(1);
    rt.persistent().put("k", Region::build(|h| h.list(0..3))).unwrap();
    let mut port = rt.port().unwrap();
    let home = port.pid();
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, s, _| {
                let key = cx.get("k").unwrap();
                let same = cx.scratch(|s| s.import(key));
                cx.send(home, cx.int(same.list().count() as u64));
                Ok(Next(s))
            },
        )
        .unwrap();
    let exited = rt.exited(p);
    for _ in 0..2 {
        rt.send_new(p, |h| h.nil()).unwrap();
    }
    rt.run_until_idle();
    let ended = exited.try_wait();
    assert!(ended.is_none(), "{ended:?}");
    let heard: Vec<_> = std::iter::from_fn(|| port.try_recv()).map(|m| m.root().as_int()).collect();
    assert_eq!(heard, [Some(3); 2]);
    // Nobody is asked, because nobody has kept it.
    rt.persistent().erase("k");
    rt.run_until_idle();
    assert_eq!(rt.persistent().info().retained_bytes, 0);
}
