//! Persistent terms: the rest of the surface. Updates, batches, slots, literals, policies, limits.

#![cfg(feature = "runtime")]

mod support;

use shared_term::Literal;
use shared_term::persistent::{Changes, CompareError, Policy, Put, PutNewError, StoreError};
use shared_term::prelude::*;
use shared_term::term::Key;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;
use support::{LONG, Ledger};

const A: Atom = Atom::inline("a");
const B: Atom = Atom::inline("b");
const KEEP: Atom = Atom::inline("keep");

fn int(i: i64) -> Region {
    Region::build(|h| h.int(i))
}

/// A value with memory of its own, that says which it is.
fn numbered(i: i64) -> Region {
    Region::build(|h| h.list([i, i + 1]))
}

fn number(value: Option<TermRef<'_>>) -> Option<i64> {
    value.map(|v| v.list().next().unwrap().as_int().unwrap())
}

fn at_rest(store: &PersistentTerms) {
    assert!(store.wait_idle(LONG));
    assert_eq!(store.info().retained_bytes, 0);
}

/// Is what lies at a Rust value found by the term that it stands for, and the other way round, in a store and in a map?
fn is_the_key(rust: impl Key, built: &Region) -> bool {
    let (store, term) = (PersistentTerms::new(), built.root());
    let by_term = store.put(rust, int(1)).map(|_| store.pin().get(term).and_then(|v| v.as_int()));
    store.erase(term);
    let by_rust = store.put(term, int(2)).map(|_| store.pin().get(rust).and_then(|v| v.as_int()));
    let map = Region::build(|h| {
        let map = h.map((0..100).map(|i| (h.int(i), h.int(i))));
        h.insert(map, h.copy(term), h.int(-3)).expect("a map")
    });
    let in_map = map.root().lookup(rust).and_then(|v| v.as_int());
    (by_term.unwrap(), by_rust.unwrap(), in_map, store.info().count) == (Some(1), Some(2), Some(-3), 1)
}

#[test]
fn a_rust_value_and_the_term_that_it_stands_for_are_one_key() {
    assert!(is_the_key("", &Region::build(|h| h.binary(""))));
    assert!(is_the_key(("",), &Region::build(|h| term!(h, { "" }))));
    assert!(is_the_key(("", 7), &Region::build(|h| term!(h, {"", 7}))));
    assert!(is_the_key((7, "".as_bytes()), &Region::build(|h| term!(h, {7, ""}))));
    assert!(is_the_key((A, 7, ""), &Region::build(|h| term!(h, {A, 7, ""}))));
    assert!(is_the_key((A, ("", B), true, "x"), &Region::build(|h| term!(h, {A, {"", B}, true, "x"}))));
    assert!(is_the_key((i64::MAX, -1), &Region::build(|h| term!(h, {i64::MAX, -1}))));
    assert!(is_the_key((i128::MIN, u64::MAX), &Region::build(|h| term!(h, {i128::MIN, u64::MAX}))));
    let float = Region::build(|h| term!(h, 1.0));
    assert!(is_the_key((float.root(), 1), &Region::build(|h| term!(h, {1.0, 1}))));
    assert!(!is_the_key((1, 1), &Region::build(|h| term!(h, {1.0, 1}))));
}

#[test]
fn tuples_of_two_and_three_are_told_apart_by_each_word() {
    const N: i64 = 14;
    let store = PersistentTerms::new();
    let each = || (0..N).flat_map(|a| (0..N).flat_map(move |b| (0..N).map(move |c| (a, b, c))));
    for (a, b, c) in each() {
        assert_eq!(store.put((a, b, c), int(a * 10_000 + b * 100 + c)).unwrap(), Put::Inserted);
        store.put((a, b, c % 2 == 0), int(-1)).unwrap();
        store.put((a, b), int(a - b)).unwrap();
        // Not of immediates alone.
        store.put((a, "x"), int(a)).unwrap();
        store.put((a, b, "x"), int(b)).unwrap();
    }
    let expected = (N * N * N + N * N * 2 + N * N + N + N * N) as usize;
    assert_eq!(store.info().count, expected);
    let guard = store.pin();
    let read = |key: TermRef<'_>| guard.get(key).and_then(|value| value.as_int());
    for (a, b, c) in each() {
        let number = Some(a * 10_000 + b * 100 + c);
        assert_eq!(guard.get((a, b, c)).and_then(|value| value.as_int()), number);
        assert_eq!(guard.get((a, b)).and_then(|value| value.as_int()), Some(a - b));
        let keys =
            Region::build(|h| term!(h, [{a, b, c}, {a, b}, {a, "x"}, {a, b, "x"}, {a, b, c, 0}, {b}, {c + N, b, a}]));
        let seen: Vec<_> = keys.root().list().map(read).collect();
        assert_eq!(seen, [number, Some(a - b), Some(a), Some(b), None, None, None]);
        assert!(
            guard.get((a, b, c + N)).is_none() && guard.get((a, b, c, 0)).is_none() && guard.get((a + N, b)).is_none()
        );
    }
    drop(guard);
    assert!(each().all(|key| store.erase(key)) && each().all(|key| !store.erase(key)));
    assert_eq!(store.info().count, expected - (N * N * N) as usize);
}

#[test]
fn keys_of_every_size_are_found_by_their_like() {
    let store = PersistentTerms::new();
    // Around what fits in an entry: four words.
    let keys = Region::build(|h| {
        let binaries = (0..40).map(|n| h.binary(vec![7; n]));
        let tuples = (0..6_i64).map(|n| h.tuple(&(0..n).map(|i| h.int(i)).collect::<Vec<_>>()));
        let floats = [0.5, -0.5].map(|x| h.float(x).unwrap());
        let wide = [1_i128 << 64, 1 << 100, -1 << 100].map(|i| h.int(i));
        let nested =
            [h.list([1, 2]), term!(h, {1, {2}}), term!(h, {1.5, 2}), term!(h, #{1 => 2}), h.list([h.list([1])])];
        h.list(binaries.chain(tuples).chain(floats).chain(wide).chain(nested).collect::<Vec<_>>())
    });
    for (i, key) in keys.root().list().enumerate() {
        assert_eq!(store.put(key, int(i as i64)).unwrap(), Put::Inserted, "{key}");
    }
    let guard = store.pin();
    for (i, key) in keys.root().list().enumerate() {
        assert_eq!(guard.get(key).and_then(|v| v.as_int()), Some(i as i64), "{key}");
        assert!(store.slot(key).unwrap().key() == key);
    }
    let shown: HashSet<_> = store.entries().iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(shown, keys.root().list().map(|key| key.to_string()).collect());
    for key in keys.root().list() {
        assert!(store.erase(key) && guard.get(key).is_none(), "{key}");
    }
}

#[test]
fn updates_that_race_are_all_done() {
    let store = PersistentTerms::new();
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..500 {
                    let next = |v: Option<Term<'_>>| v.map_or(0, |v| v.as_tuple().unwrap()[0].as_int().unwrap()) + 1;
                    store.update("n", |h, old| h.tuple(&[h.int(next(old))])).unwrap();
                }
            });
        }
    });
    assert_eq!(store.read("n", |v| v.unwrap().to_string()), "{1500}");
    at_rest(&store);
}

#[test]
fn an_update_shares_what_it_takes_over_and_equal_ones_change_nothing() {
    let store = PersistentTerms::new();
    store.put(A, Region::build(|h| h.tuple(&[h.list(0..1000), h.int(0)]))).unwrap();
    let words = store.entry_info(A).unwrap().words;
    store.update(A, |h, old| h.with_element(old.unwrap(), 1, h.int(1)).unwrap()).unwrap();
    let info = store.entry_info(A).unwrap();
    assert!(info.words < 10 && info.shared_words == words, "{info:?}");
    assert_eq!(store.update(A, |h, _| h.tuple(&[h.list(0..1000), h.int(1)])).unwrap(), Put::Unchanged);
    assert_eq!(store.update(A, |_, old| old.unwrap()).unwrap(), Put::Unchanged);
    assert_eq!(store.entry_info(A).unwrap(), info, "it is the same value still");
    // A part of the value, by itself, does not keep all of it.
    store.update(A, |_, old| old.unwrap().as_tuple().unwrap()[1]).unwrap();
    at_rest(&store);
    assert_eq!(store.info().words, 0);
    // The same in a turn.
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, n| {
            cx.update(A, |old| old.map_or(n, |old| cx.int(old.as_int().unwrap() + n.as_int().unwrap())))?;
            Ok(Next(state))
        },
    );
    for i in 0..4 {
        rt.send_new(p.unwrap(), |h| h.int(i)).unwrap();
    }
    rt.run_until_idle();
    assert_eq!(store.read(A, |v| v.unwrap().as_int()), Some(1 + 6));
}

#[test]
fn a_hundred_thousand_versions_never_keep_more_than_a_few() {
    const SIDE: usize = 32;
    const WORDS: usize = (SIDE + 1) * (SIDE + 1);
    let store = PersistentTerms::new();
    // 1,024 values in a tree of two levels, of which an update makes one branch anew.
    store
        .put_built(A, |h| {
            let branch = |_| h.tuple(&(0..SIDE).map(|_| h.int(0)).collect::<Vec<_>>());
            h.tuple(&(0..SIDE).map(branch).collect::<Vec<_>>())
        })
        .unwrap();
    let mut peak = 0;
    for version in 1..=100_000_usize {
        let (i, j) = (version * 7 % SIDE, version * 5 % SIDE);
        store
            .update(A, |h, old| {
                let old = old.unwrap();
                let branch = h.with_element(old.as_tuple().unwrap()[i], j, h.int(version as u64)).unwrap();
                h.with_element(old, i, branch).unwrap()
            })
            .unwrap();
        peak = peak.max(store.info().words);
    }
    assert!(peak > WORDS + SIDE && peak < 4 * WORDS, "{peak} words at the peak, {WORDS} in one version");
    let newest = store.read(A, |v| v.unwrap().as_tuple().unwrap().iter().map(|b| b.as_tuple().unwrap().len()).sum());
    assert_eq!(SIDE * SIDE, newest);
    store.erase(A);
    at_rest(&store);
    assert_eq!(store.info().words, 0);
}

#[test]
fn a_version_stands_for_one_put() {
    let store = PersistentTerms::new();
    let one = store.compare_and_put(A, None, numbered(1)).unwrap();
    assert!(matches!(
        store.compare_and_put(A, None, numbered(2)),
        Err(CompareError::Conflict { current: Some(v), value }) if v == one && value.root() == numbered(2).root()
    ));
    assert_eq!(store.compare_and_put(A, Some(one), numbered(1)).unwrap(), one, "an equal value is left alone");
    assert_eq!(store.pin().get_with_version(A).unwrap().1, one);
    assert!(store.erase(A));
    assert!(matches!(
        store.compare_and_put(A, Some(one), numbered(2)),
        Err(CompareError::Conflict { current: None, .. })
    ));
    let again = store.compare_and_put(A, None, numbered(1)).unwrap();
    assert_ne!(one, again, "the same value, put again, is another version");
    assert!(store.compare_and_put(A, Some(one), numbered(2)).is_err());
    store.put_many([(A, numbered(3))]).unwrap();
    assert!(store.compare_and_put(A, Some(again), numbered(2)).is_err(), "batches make versions too");
    let three = store.entry_info(A).unwrap().version;
    assert!(store.compare_and_put(A, Some(three), numbered(4)).unwrap() > three);
    at_rest(&store);
}

#[test]
fn what_is_not_there_is_made_once() {
    let store = PersistentTerms::new();
    let start = Barrier::new(3);
    let made: Vec<_> = std::thread::scope(|s| {
        let work = |i: i64| {
            let (store, start) = (&store, &start);
            s.spawn(move || {
                start.wait();
                let guard = store.pin();
                number(Some(guard.get_or_insert_with(A, |h| h.list([i, 0])).unwrap()))
            })
        };
        let threads: Vec<_> = (0..3).map(work).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(made.iter().all(|n| *n == made[0]), "all got the one that is there: {made:?}");
    assert_eq!(number(store.pin().get(A)), made[0]);
    let default = numbered(9);
    assert_eq!(number(Some(store.pin().get_or(B, default.root()))), Some(9));
    assert_eq!(number(Some(store.pin().get_or(A, default.root()))), made[0]);
    at_rest(&store);
}

// Batches.

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    let store = PersistentTerms::new();
    store.put_many([(A, numbered(0)), (B, numbered(0))]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let guard = store.pin();
                    let seen: Vec<_> = [A, B, A, B].iter().map(|&key| number(guard.get(key))).collect();
                    assert!(seen.iter().all(|n| *n == seen[0]), "{seen:?}");
                    assert!(seen[0].unwrap() >= newest, "a later guard sees no older batch");
                    newest = seen[0].unwrap();
                    let entries = store.entries();
                    let all: Vec<_> = entries.iter().map(|(_, value)| number(Some(value))).collect();
                    assert!(all.len() == 2 && all[0] == all[1] && all[0] >= seen[0], "{all:?}");
                }
            });
        }
        for i in 1..3000 {
            let changes = store.put_many([(A, numbered(i)), (B, numbered(i))]).unwrap();
            assert_eq!(changes.replaced, 2);
        }
        done.store(true, Ordering::Relaxed);
    });
    at_rest(&store);
    assert_eq!(store.info().areas, 2);
}

#[test]
fn each_guard_keeps_to_the_batches_that_it_began_with() {
    let store = PersistentTerms::new();
    let slot = store.slot(A).unwrap();
    let put = |i: i64| store.put_many([(A, numbered(i)), (B, numbered(i))]).unwrap();
    let guards: Vec<_> = (0..4)
        .map(|i| {
            let guard = store.pin();
            put(i);
            guard
        })
        .collect();
    let none = store.pin();
    store.erase_many([A, B]).unwrap();
    for (i, guard) in guards.iter().enumerate() {
        let expected = (i as i64).checked_sub(1).filter(|n| *n >= 0);
        assert_eq!([number(guard.get(A)), number(guard.get(B)), number(guard.read(&slot))], [expected; 3]);
        assert_eq!(number(guard.bind(&slot).unwrap().get()), expected);
    }
    assert_eq!(number(none.get(A)), Some(3));
    assert!(store.pin().get(A).is_none() && store.info().count == 0);
    // By itself, a write is seen at once; what it ends is the batch's part in that key alone.
    store.put(A, numbered(9)).unwrap();
    assert_eq!(number(guards[2].get(A)), Some(9));
    assert_eq!(number(guards[2].get(B)), Some(1));
    assert!(store.erase(A));
    assert!(guards[2].get(A).is_none() && !store.erase(B), "{:?}", store.info());
    assert!(store.info().retained_bytes > 0);
    drop((guards, none));
    at_rest(&store);
    assert_eq!((store.info().count, store.info().areas), (0, 0));
}

#[test]
fn a_guard_between_two_batches_keeps_what_it_saw_when_the_first_is_done() {
    let store = PersistentTerms::new();
    let put = |i: i64| store.put_many([(A, numbered(i)), (B, numbered(i))]).unwrap();
    put(0);
    let before = store.pin();
    put(1);
    let between = store.pin();
    put(2);
    drop(before); // the first batch gives way to its values, below the changes of the second
    assert_eq!([number(between.get(A)), number(between.get(B))], [Some(1); 2]);
    drop(between);
    assert_eq!([A, B].map(|key| number(store.pin().get(key))), [Some(2); 2]);
    at_rest(&store);
}

#[test]
fn a_batch_says_what_it_did_and_collects_once() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let value = |i: i64| Region::build(|h| h.tuple(&[h.int(i), ledger.resource(h)]));
    store.put("equal", numbered(1)).unwrap();
    store.put("old", value(1)).unwrap();
    store.put("gone", value(2)).unwrap();
    let collections = store.info().collections;
    let mut batch = store.batch();
    batch.put("new", value(3)).unwrap().put("new", value(4)).unwrap().put("old", value(5)).unwrap();
    batch.put("equal", numbered(1)).unwrap().erase("gone").unwrap().erase("never").unwrap();
    let changes = batch.commit();
    assert_eq!((store.info().areas, store.info().retained_bytes), (3, 0), "freed by the batch's end: nobody looks");
    assert_eq!(
        [changes.inserted, changes.replaced, changes.erased, changes.unchanged],
        [1, 1, 1, 2],
        "the last of equal keys counts: {changes:?}"
    );
    at_rest(&store);
    let new = store.read("new", |v| v.unwrap().as_tuple().unwrap()[0].as_int());
    assert_eq!((new, store.info().count, store.info().areas), (Some(4), 3, 3));
    assert_eq!(ledger.made() - ledger.dropped(), 2);
    assert!(store.info().collections - collections <= 2, "the plan that lost, and what was replaced");
    let mut left = store.batch();
    left.put("x", value(6)).unwrap().erase("old").unwrap();
    drop(left);
    at_rest(&store);
    assert_eq!((store.info().count, ledger.made() - ledger.dropped()), (3, 2), "a batch that is dropped does nothing");
    assert_eq!(store.erase_all(), Ok(3));
    assert_eq!(store.put_many([] as [(i64, Region); 0]).unwrap(), Changes::default());
    at_rest(&store);
    assert_eq!(ledger.made(), ledger.dropped());
}

#[test]
fn a_turn_sees_whole_batches_and_its_own() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put_many([(A, numbered(0)), (B, numbered(0))]).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let outside = store.clone();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let first = cx.get(A).unwrap();
            outside.put_many([(A, numbered(1)), (B, numbered(1))])?;
            let second = cx.get(B).unwrap();
            cx.put_many([(A, cx.list([2, 3])), (B, cx.list([2, 3]))])?;
            cx.send(me, cx.list([first, second, cx.get(A).unwrap(), outside.get(cx, B).unwrap()]));
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().to_string(), "[[0,1],[0,1],[2,3],[2,3]]");
    at_rest(&store);
}

#[test]
fn batches_of_many_threads_are_each_whole() {
    const KEYS: i64 = 8;
    let store = PersistentTerms::new();
    store.put_many((0..KEYS).map(|key| (key, numbered(-1)))).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        let writers: Vec<_> = (0..2_i64)
            .map(|w| {
                let store = &store;
                s.spawn(move || {
                    for i in 0..1000 {
                        store.put_many((0..KEYS).map(|key| (key, numbered(2 * i + w)))).unwrap();
                    }
                })
            })
            .collect();
        s.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let guard = store.pin();
                let seen: HashSet<_> = (0..KEYS).map(|key| number(guard.get(key))).collect();
                assert_eq!(seen.len(), 1, "{seen:?}");
            }
        });
        for w in writers {
            w.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    at_rest(&store);
}

// Slots.

#[test]
fn a_slot_stays_its_key_whatever_happens() {
    let store = PersistentTerms::new();
    let slot = store.slot(("a", "slot")).unwrap();
    let clone = slot.clone();
    let read = || [&slot, &clone].map(|slot| number(store.pin().read(slot)));
    assert_eq!((read(), store.info().count), ([None; 2], 0));
    for round in 0..3 {
        store.put(("a", "slot"), numbered(round)).unwrap();
        assert_eq!(read(), [Some(round); 2]);
        // The table grows, and shrinks, around it.
        for i in 0..1000 {
            store.put(i, int(round)).unwrap();
        }
        assert_eq!(read(), [Some(round); 2]);
        match round {
            0 => assert!(store.erase(("a", "slot"))),
            1 => assert_eq!(store.erase_all(), Ok(1001)),
            _ => assert_eq!(store.erase_many([("a", "slot")]).unwrap().erased, 1),
        }
        assert_eq!(read(), [None; 2]);
        assert!(store.wait_idle(LONG));
        assert_eq!(read(), [None; 2]);
    }
    let keeps = slot.clone();
    drop((slot, clone, store));
    assert_eq!(keeps.key().to_string(), r#"{<<"a">>,<<"slot">>}"#);
}

#[test]
fn slots_race_with_writers_and_with_the_end_of_each_other() {
    let store = PersistentTerms::new();
    std::thread::scope(|s| {
        for t in 0..3_i64 {
            let store = &store;
            s.spawn(move || {
                for i in 0..2000 {
                    let slot = store.slot(A).unwrap();
                    match t {
                        0 => _ = store.put(A, numbered(i)).unwrap(),
                        1 => _ = store.erase(A),
                        _ => {
                            let seen = number(store.pin().read(&slot));
                            assert!(seen.is_none_or(|n| n < 2000));
                        }
                    }
                }
            });
        }
    });
    store.erase(A);
    at_rest(&store);
    assert_eq!(store.info().count, 0);
}

#[test]
fn a_slot_in_a_turn_of_another_store_gives_a_copy() {
    let mut rt = Runtime::deterministic(1);
    let other = PersistentTerms::new();
    other.put(A, numbered(4)).unwrap();
    let slots = [rt.persistent().slot(A).unwrap(), other.slot(A).unwrap()];
    rt.persistent().put(A, numbered(3)).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, _| {
            let state = cx.list(slots.iter().map(|slot| cx.read(slot).unwrap()));
            cx.send(me, state);
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().to_string(), "[[3,4],[4,5]]");
    other.erase(A);
    at_rest(&other); // the process holds a copy
}

#[test]
fn a_bound_slot_reads_what_its_guard_reads() {
    let store = PersistentTerms::new();
    let slot = store.slot(A).unwrap();
    assert!(PersistentTerms::new().pin().bind(&slot).is_none(), "of another store");
    let mut guard = store.pin();
    let first = guard.bind(&slot).unwrap();
    assert!(first.get().is_none() && first.key() == guard.bind(&slot).unwrap().key());
    store.put(A, numbered(1)).unwrap();
    let one = first.get();
    store.put_many([(A, numbered(2)), (B, numbered(2))]).unwrap();
    assert_eq!(number(first.get()), Some(1), "the batch is younger than the guard");
    store.put(A, numbered(3)).unwrap();
    assert_eq!((number(one), number(first.get())), (Some(1), Some(3)));
    store.erase(A);
    assert!(first.get().is_none());
    store.put_many([(A, numbered(4))]).unwrap();
    assert!(first.get().is_none());
    guard.repin();
    assert_eq!(number(guard.bind(&slot).unwrap().get()), Some(4));
    drop(guard);
    at_rest(&store);
    assert_eq!((store.info().count, store.info().areas), (2, 2));
}

#[test]
fn bound_slots_see_a_batch_whole_or_not_at_all() {
    let store = PersistentTerms::new();
    store.put_many([(A, numbered(0)), (B, numbered(0))]).unwrap();
    let slots = [A, B].map(|key| store.slot(key).unwrap());
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let guard = store.pin();
                    let [a, b] = slots.each_ref().map(|slot| guard.bind(slot).unwrap());
                    let seen = [a, b, a, b, b, a].map(|slot| number(slot.get()));
                    assert!(seen.iter().all(|n| *n == seen[0]), "{seen:?}");
                    assert!(seen[0].unwrap() >= newest, "a later guard sees no older batch");
                    newest = seen[0].unwrap();
                }
            });
        }
        for i in 1..3000 {
            let changes = store.put_many([(A, numbered(i)), (B, numbered(i))]).unwrap();
            assert_eq!(changes.replaced, 2);
        }
        done.store(true, Ordering::Relaxed);
    });
    at_rest(&store);
}

#[test]
fn a_slot_that_is_bound_to_a_turn_gives_terms_of_the_turn() {
    let mut rt = Runtime::deterministic(1);
    let (store, other) = (rt.persistent().clone(), PersistentTerms::new());
    let (slot, foreign) = (store.slot(A).unwrap(), other.slot(A).unwrap());
    store.put(A, numbered(1)).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, _| {
            assert!(cx.bind(&foreign).is_none(), "of another store");
            let bound = cx.bind(&slot).unwrap();
            let first = bound.get().unwrap();
            // Another's batch is younger than the turn; its own is its own.
            store.put_many([(A, numbered(2)), (B, numbered(2))]).unwrap();
            let second = bound.get().unwrap();
            cx.put_many([(A, cx.list([3, 4]))]).unwrap();
            let third = bound.get().unwrap();
            assert!(bound.key() == slot.key());
            cx.send(me, cx.list([first, second, third]));
            Ok(Next(third))
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().to_string(), "[[1,2],[1,2],[3,4]]");
    // What it has put into its state is what it answers for.
    let reports = rt.persistent().reports(4);
    rt.persistent().erase(A);
    rt.run_until_idle();
    let report = reports.recv_timeout(LONG).expect("a collection");
    assert_eq!((report.holders, rt.is_alive(p)), (1, true));
}

#[test]
#[should_panic(expected = "a slot is read under a guard of its own store")]
fn a_slot_of_another_store_is_not_read_under_a_guard() {
    let slot = PersistentTerms::new().slot(A).unwrap();
    let _ = PersistentTerms::new().pin().read(&slot);
}

// Literals.

#[test]
fn a_literal_outlives_its_key_and_ends_with_its_last_handle() {
    static KEPT: OnceLock<Literal> = OnceLock::new();
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    store.put(A, Region::build(|h| h.tuple(&[h.int(1), ledger.resource(h)]))).unwrap();
    let literal = store.pin().literal(A).unwrap().unwrap();
    assert!(literal.ptr_eq(&store.pin().literal(A).unwrap().unwrap()), "the store's own memory");
    assert!(store.pin().literal(B).unwrap().is_none());
    KEPT.set(literal.clone()).unwrap();
    assert_eq!(store.info().literals, 2);
    store.erase(A);
    at_rest(&store);
    assert_eq!((store.info().areas, ledger.dropped()), (1, 0), "leased, and so not waiting to be freed");
    let far = literal.clone();
    std::thread::spawn(move || assert_eq!(far.root().as_tuple().unwrap()[0].as_int(), Some(1))).join().unwrap();
    // Put back, it is the same memory; in another store, a copy.
    assert_eq!(store.put(B, &literal).unwrap(), Put::Inserted);
    assert!(store.pin().literal(B).unwrap().unwrap().ptr_eq(&literal) && store.info().areas == 1);
    assert_eq!(store.put(B, literal.clone()).unwrap(), Put::Unchanged);
    let other = PersistentTerms::new();
    other.put(B, &literal).unwrap();
    assert!(!other.pin().literal(B).unwrap().unwrap().ptr_eq(&literal));
    drop(other);
    drop(literal);
    store.erase(B);
    at_rest(&store);
    assert_eq!((store.info().literals, ledger.dropped()), (1, 0));
    assert_eq!(KEPT.get().unwrap().root().as_tuple().unwrap()[0].as_int(), Some(1));
}

#[test]
fn the_last_handle_on_what_no_key_has_frees_it() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let literal = store.literal(|h| h.tuple(&[ledger.resource(h)])).unwrap();
    let frozen = store.freeze(Region::build(|h| h.tuple(&[ledger.resource(h)]))).unwrap();
    let immediate = store.literal(|h| h.int(1)).unwrap();
    assert_eq!((store.info().literals, store.info().areas, immediate.words()), (2, 2, 0));
    drop((literal, immediate));
    assert_eq!((ledger.dropped(), store.info().areas), (1, 1));
    drop(store);
    assert_eq!(frozen.root().as_tuple().unwrap().len(), 1, "a literal keeps its store");
    drop(frozen);
    assert_eq!(ledger.dropped(), 2);
}

#[test]
fn a_process_keeps_what_a_literal_gave_it() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    let (here, there) =
        (store.literal(|h| h.list(0..100)).unwrap(), PersistentTerms::new().literal(|h| h.list(0..100)));
    let literals = Arc::new(std::sync::Mutex::new(Some([here, there.unwrap()])));
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt.spawn_fn(|cx| cx.nil(), {
        let literals = Arc::clone(&literals);
        move |cx, state, _| {
            let Some(literals) = literals.lock().unwrap().take() else {
                cx.send(me, state);
                return Ok(Next(state));
            };
            Ok(Next(cx.list(literals.each_ref().map(|literal| cx.literal(literal)))))
        }
    });
    for _ in 0..2 {
        rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
        rt.run_until_idle();
        assert!(
            store.wait_idle(Duration::ZERO) || {
                rt.run_until_idle();
                store.wait_idle(LONG)
            }
        );
    }
    assert_eq!(store.info().areas, 0, "the handle is gone, and the process has made itself a copy");
    let told = port.try_recv().unwrap();
    assert!(told.root().list().all(|list| list.list().count() == 100));
}

// Values that are built in place.

#[test]
fn a_large_value_is_built_where_it_stays() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let huge = vec![3; 100_000];
    for elements in [0, 10, 400, 600, 20_000, 100_000_i64] {
        let build = || (0..elements).map(|i| i * i);
        let put = store.put_built(A, |h| {
            let squares = h.list(build());
            let tuple = h.tuple(&build().map(|i| h.tuple(&[h.int(i), h.binary("x")])).collect::<Vec<_>>());
            h.tuple(&[squares, tuple, h.float(0.5).unwrap(), h.binary(&huge), ledger.resource(h), squares])
        });
        assert_ne!(put.unwrap(), Put::Unchanged);
        let guard = store.pin();
        let value = guard.get(A).unwrap();
        let [squares, tuple, float, binary, _, again] = value.tuple_of::<6>().unwrap();
        assert!(squares.list().map(|x| x.as_int().unwrap()).eq((0..elements).map(|i| i * i)));
        assert_eq!(tuple.as_tuple().unwrap().len(), elements as usize);
        assert!(tuple.as_tuple().unwrap().iter().all(|t| t.as_tuple().unwrap()[1].as_str() == Some("x")));
        assert_eq!((float.as_float(), binary.as_bytes().map(<[u8]>::len)), (Some(0.5), Some(100_000)));
        assert!(squares == again);
        assert_eq!(store.entry_info(A).unwrap().off_heap_bytes, 100_000);
        // A turn may keep a part; everything in it is a literal.
        let copy = Region::copy_of(value);
        copy.verify().unwrap();
        assert!(copy.root() == value);
    }
    at_rest(&store);
    assert_eq!(ledger.made() - ledger.dropped(), 1);
    assert_eq!(store.put_built(A, |h| h.nil()).unwrap(), Put::Replaced);
    at_rest(&store);
    assert_eq!((ledger.made(), store.info().areas, store.info().off_heap_bytes), (ledger.dropped(), 0, 0));
}

#[test]
fn what_a_builder_took_over_or_left_unfinished_is_in_order() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let adopted = Region::build(|h| h.tuple(&[h.list(0..5000), ledger.resource(h)]));
    store.put_built(A, |h| h.tuple(&[h.adopt(adopted), h.list(0..5000)])).unwrap();
    let value = store.pin().literal(A).unwrap().unwrap();
    assert!(value.root().as_tuple().unwrap()[1].list().count() == 5000);
    for words in [10, 10_000] {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.put_built(B, |h| {
                let _ = (h.list(0..words), ledger.resource(h));
                std::panic::resume_unwind(Box::new("a builder"))
            })
        }));
        assert!(panicked.is_err() && store.pin().get(B).is_none());
    }
    drop(value);
    store.erase_all().unwrap();
    at_rest(&store);
    assert_eq!((store.info().areas, ledger.made()), (0, ledger.dropped()));
}

#[test]
fn a_holder_of_a_value_built_in_place_evacuates_what_it_reaches() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put_built(A, |h| h.list((0..20_000).map(|i| h.tuple(&[h.int(i), h.float(f64::from(i)).unwrap()])))).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, state, message| {
                if message.as_atom() == Some(KEEP) {
                    return Ok(Next(cx.get(A).unwrap().list().nth(7).unwrap()));
                }
                cx.send(me, state);
                Ok(Next(state))
            },
        )
        .unwrap();
    rt.send_new(p, |h| h.atom(KEEP)).unwrap();
    rt.run_until_idle();
    store.erase(A);
    rt.run_until_idle();
    at_rest(&store);
    assert_eq!(store.info().areas, 0);
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().to_string(), "{7,7.0}");
}

// Policies and limits.

/// A process that keeps the value at `A`, and makes garbage of whatever else it is sent.
fn holder(rt: &shared_term::runtime::Handle) -> Pid {
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            |cx, state, message| match message.as_atom() {
                Some(KEEP) => Ok(Next(cx.tuple(&[cx.get(A).unwrap()]))),
                Some(_) => Ok(Next(cx.nil())),
                None => {
                    let _ = cx.list(0..2000);
                    // Not the state it had: a heap is collected when its state is new.
                    Ok(Next(state.as_tuple().map_or(state, |elements| cx.tuple(&[elements[0]]))))
                }
            },
        )
        .unwrap();
    rt.send_new(p, |h| h.atom(KEEP)).unwrap();
    p
}

#[test]
fn a_lazy_store_leaves_its_holders_alone() {
    let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    let p = {
        store.put(A, numbered(1)).unwrap();
        let p = holder(&rt);
        rt.run_until_idle();
        p
    };
    store.put(A, numbered(2)).unwrap();
    rt.run_until_idle();
    assert!(store.info().retained_bytes > 0 && !store.wait_idle(Duration::from_millis(2)));
    // What nobody holds is freed with or without policy, and so is what was held and is not any more.
    store.put(B, numbered(1)).unwrap();
    store.put(B, numbered(2)).unwrap();
    rt.send_new(p, |h| h.int(1)).unwrap();
    rt.run_until_idle();
    assert!(store.wait_idle(LONG), "its own collection has evacuated the value: {:?}", store.info());
    assert_eq!((store.info().areas, store.info().retained_bytes), (2, 0));
    // Asked for, it goes as in an eager one.
    rt.send_new(p, |h| h.atom(KEEP)).unwrap();
    rt.run_until_idle();
    store.erase(A);
    rt.run_until_idle();
    assert!(store.info().retained_bytes > 0);
    store.collect();
    rt.run_until_idle();
    at_rest(&store);
    assert_eq!(store.info().areas, 1);
}

#[test]
fn a_lazy_store_that_is_told_to_collect_collects_all_that_waits() {
    let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    for key in [A, B] {
        store.put(key, numbered(1)).unwrap();
    }
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            |cx, state, m| match m.as_atom() {
                Some(KEEP) => Ok(Next(cx.list([cx.get(A), cx.get(B)].into_iter().flatten()))),
                _ => Ok(Next(state)),
            },
        )
        .unwrap();
    rt.send_new(p, |h| h.atom(KEEP)).unwrap();
    rt.run_until_idle();
    // One of them has been taken up when the other comes, and waits for the guard.
    let guard = store.pin();
    store.erase(A);
    rt.run_until_idle();
    store.erase(B);
    store.collect();
    drop(guard);
    rt.run_until_idle();
    at_rest(&store);
}

#[test]
fn what_joins_a_lazy_collection_goes_with_one_collection_of_its_holder() {
    const KEYS: [i64; 4] = [1, 2, 3, 4];
    let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    for key in KEYS {
        store.put(key, numbered(key)).unwrap();
    }
    let p = rt.spawn_fn(
        |cx| cx.list(KEYS.into_iter().filter_map(|key| cx.get(key))),
        |cx, state, _| {
            cx.hibernate();
            Ok(Next(state))
        },
    );
    let p = p.unwrap();
    rt.run_until_idle();
    for key in KEYS {
        store.erase(key);
        rt.run_until_idle();
    }
    assert_eq!(store.info().areas, KEYS.len());
    // Its only collection.
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    at_rest(&store);
    assert_eq!(store.info().areas, 0);
}

#[test]
fn a_holder_that_ends_or_forgets_lets_a_lazy_store_go_on() {
    let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    for end in [true, false] {
        store.put(A, numbered(1)).unwrap();
        let p = holder(&rt);
        rt.run_until_idle();
        store.erase(A);
        rt.run_until_idle();
        assert!(store.info().retained_bytes > 0);
        if end {
            drop(rt);
            rt = Runtime::builder().persistent(store.clone()).deterministic(1);
        } else {
            rt.send_new(p, |h| h.atom(A)).unwrap();
        }
        rt.run_until_idle();
        at_rest(&store);
    }
}

#[test]
fn a_process_that_holds_other_terms_with_the_same_bit_does_not_keep_a_lazy_store_waiting() {
    /// More than there are bits in a filter.
    const OTHERS: i64 = 200;
    let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    for i in 0..OTHERS {
        store.put(i, numbered(i)).unwrap();
    }
    store.put(A, numbered(1)).unwrap();
    rt.spawn_fn(|cx| cx.list((0..OTHERS).filter_map(|i| cx.get(i))), |_, state, _| Ok(Next(state))).unwrap();
    rt.run_until_idle();
    store.erase(A);
    rt.run_until_idle();
    at_rest(&store);
    assert_eq!(store.info().areas, OTHERS as usize);
}

#[test]
fn a_budget_makes_a_lazy_store_eager() {
    let store = PersistentTerms::builder().policy(Policy::Budget { bytes: 100_000 }).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    let big = |i: i64| Region::build(|h| h.list(i..i + 2000)); // 32 kB
    store.put(A, big(0)).unwrap();
    let p = holder(&rt);
    let mut most = 0;
    for i in 1..20 {
        rt.run_until_idle();
        store.put(A, big(i)).unwrap();
        rt.send_new(p, |h| h.atom(KEEP)).unwrap();
        rt.run_until_idle();
        most = most.max(store.info().retained_bytes);
    }
    // Under stress the holder's own collection comes at once, and leaves it nothing.
    let least = u64::from(!cfg!(shared_term_stress));
    assert!((least..=100_000).contains(&(most as u64)), "{most} bytes were left to the holder, and no more");
}

#[test]
fn a_limit_on_what_is_retained_ends_a_loop_of_puts_and_nothing_else() {
    const LIMIT: usize = 1 << 20;
    let store = PersistentTerms::builder().max_retained_bytes(LIMIT).build();
    let big = |i: i64| Region::build(|h| h.list(i..i + 10_000));
    let size = {
        store.put(A, big(0)).unwrap();
        store.entry_info(A).unwrap().bytes
    };
    let guard = store.pin();
    let error = (1..).find_map(|i| store.put(A, big(i)).err()).unwrap();
    let StoreError::Retained { bytes, limit } = error.reason() else { panic!("{error}") };
    assert!(limit == LIMIT && (LIMIT..LIMIT + 2 * size).contains(&bytes), "{bytes} bytes");
    assert_eq!(store.info().retained_bytes, bytes);
    let mine = error.into_value().unwrap();
    assert_eq!(mine.root().list().count(), 10_000, "the value comes back");
    let there = number(store.pin().get(A)).unwrap();
    assert!(mine.root().list().next().unwrap().as_int() == Some(there + 1), "what was there stays");
    assert!(matches!(store.put_new(B, int(1)), Err(PutNewError::Refused(StoreError::Retained { .. }, _))));
    assert!(matches!(store.compare_and_put(B, None, int(1)), Err(CompareError::Refused(..))));
    assert!(store.put_many([(B, int(1))]).is_err() && store.update(B, |h, _| h.nil()).is_err());
    assert!(store.pin().get_or_insert_with(B, |h| h.nil()).is_err());
    assert_eq!(store.put(A, Region::copy_of(store.pin().get(A).unwrap())).unwrap(), Put::Unchanged);
    assert!(store.erase(A), "what takes away is not refused");
    drop(guard);
    assert_eq!(store.put(A, mine).unwrap(), Put::Inserted, "the guard is gone: the memory is, too");
    at_rest(&store);
}

#[test]
fn a_turn_that_puts_in_a_loop_is_stopped_by_the_limit_alone() {
    let store = PersistentTerms::builder().max_retained_bytes(200_000).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let error = (0..).find_map(|i: i64| cx.put(A, cx.list(i..i + 100)).err());
            cx.send(me, cx.atom(if matches!(error, Some(StoreError::Retained { .. })) { A } else { B }));
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().as_atom(), Some(A));
    assert_eq!(store.put(A, int(1)).unwrap(), Put::Replaced, "the turn is over");
    at_rest(&store);
}

#[test]
fn the_figures_go_up_and_come_down_again() {
    let store = PersistentTerms::new();
    let value = || Region::build(|h| h.tuple(&[h.binary(vec![1; 5000]), h.list(0..10)]));
    for key in 0..10 {
        store.put(key, value()).unwrap();
    }
    let info = store.info();
    let one = store.entry_info(0).unwrap();
    assert_eq!((info.count, info.areas, info.off_heap_bytes), (10, 10, 50_000));
    assert_eq!((info.words, info.bytes), (10 * one.words, 10 * one.bytes));
    assert_eq!((one.off_heap_bytes, one.shared_words, info.retained_bytes), (5000, 0, 0));
    let guard = store.pin();
    store.erase(3);
    let info = store.info();
    assert_eq!((info.count, info.areas, info.retained_bytes), (9, 10, one.bytes + one.off_heap_bytes));
    drop(guard);
    store.erase_all().unwrap();
    at_rest(&store);
    let info = store.info();
    assert_eq!((info.count, info.areas, info.words, info.bytes, info.off_heap_bytes), (0, 0, 0, 0, 0));
    assert!(store.entry_info(0).is_none());
    store.put(0, int(1)).unwrap();
    assert_eq!(store.entry_info(0).map(|info| (info.words, info.bytes)), Some((0, 0)));
}
