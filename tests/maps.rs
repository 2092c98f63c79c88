//! Large maps, through the public interface: sharing between versions, in heaps and in persistent terms; depth; cost.

#![cfg(feature = "term")]

mod common;

use common::hash_of;
use shared_term::heap::{Heap, OwnedHeap};
use shared_term::{Atom, Region, Term};
use std::cmp::Ordering;

const N: i64 = 10_000;

fn squares(h: Heap<'_>, n: i64) -> Term<'_> {
    h.map((0..n).map(|i| (i, i * i)))
}

#[test]
fn an_update_shares_all_but_a_path() {
    let mut heap = OwnedHeap::new(|h| squares(h, N));
    let all = heap.used_words();
    assert!(all < 7 * N as usize / 2, "{all} words");
    heap.turn(|h, map| {
        let before = h.used_words();
        let steps = 100;
        let new = (0..steps).fold(map, |map, i| h.insert(map, h.int(i * 97), h.nil()).unwrap());
        let new = (0..steps).fold(new, |map, i| h.insert(map, h.int(N + i), h.nil()).unwrap());
        let new = (0..steps).fold(new, |map, i| h.remove(map, i * 89).unwrap());
        let each = (h.used_words() - before) / (3 * steps as usize);
        assert!(each < 70, "{each} words an update");
        // The old version is what it was.
        assert!(map.as_map().unwrap().iter().all(|(k, v)| v.as_int() == k.as_int().map(|i| i * i)));
        assert_eq!(new.as_map().unwrap().len(), N as usize);
        assert!(new.lookup(97).unwrap().is_nil() && new.lookup(0).is_none() && new.lookup(N).unwrap().is_nil());
        (h.tuple(&[map, new]), ())
    });
    heap.verify().unwrap();
    heap.collect_major().unwrap();
    heap.verify().unwrap();
    let Some([old, new]) = heap.root().tuple_of() else { panic!() };
    assert!(heap.used_words() < all + 300 * 70, "the collection keeps what the versions share");
    assert_eq!((old.as_map().unwrap().len(), new.as_map().unwrap().len()), (N as usize, N as usize));
    assert_eq!(Region::copy_of(heap.root()).words(), heap.used_words());
}

#[test]
fn a_map_is_the_same_however_it_came_about() {
    let bulk = Region::build(|h| squares(h, 1000));
    let backwards = Region::build(|h| {
        let more = h.map((0..2000).rev().map(|i| (i, h.int(i))));
        let all = (0..1000).fold(more, |map, i| h.insert(map, h.int(i), h.int(i * i)).unwrap());
        (1000..2000).fold(all, |map, i| h.remove(map, i).unwrap())
    });
    assert!(bulk.root() == backwards.root() && bulk.root().cmp(&backwards.root()).is_eq());
    assert_eq!(hash_of(bulk.root()), hash_of(backwards.root()));
    assert_eq!(bulk.root().to_string(), backwards.root().to_string());
    let small = Region::build(|h| (32..1000).fold(h.copy(bulk.root()), |map, i| h.remove(map, i).unwrap()));
    small.verify().unwrap();
    assert!(small.root() == Region::build(|h| squares(h, 32)).root());
    assert!(small.root().as_map().unwrap().keys().is_sorted(), "flat again");
}

/// How many times this thread asks for memory while `f` runs.
fn allocations<R>(f: impl FnOnce() -> R) -> (R, usize) {
    common::count_allocations(f)
}

#[test]
fn looking_up_and_walking_allocate_nothing() {
    let r = Region::build(|h| {
        let mixed = [
            (h.atom(Atom::OK), h.nil()),
            (h.binary("key"), h.nil()),
            (h.tuple(&[h.atom(Atom::OK), h.int(1), h.binary("x")]), h.nil()),
            (h.int(1_i128 << 70), h.nil()),
        ];
        let small = h.map((0..28).map(|i| (h.int(i), h.nil())).chain(mixed));
        let large = h.map((0..N).map(|i| (h.int(i), h.nil())).chain(mixed));
        h.tuple(&[small, large])
    });
    let Some([small, large]) = r.root().tuple_of() else { panic!() };
    for map in [small, large].map(|m| m.as_map().unwrap()) {
        let (found, count) = allocations(|| {
            let keys =
                [map.get(Atom::OK), map.get("key"), map.get((Atom::OK, 1, "x")), map.get(1_i128 << 70), map.get(7)];
            let none = [map.get(Atom::ERROR), map.get("kex"), map.get((Atom::OK, 2, "x")), map.get(-7)];
            keys.iter().all(Option::is_some) && none.iter().all(Option::is_none)
        });
        assert_eq!((found, count), (true, 0));
        assert_eq!(
            allocations(|| map.iter().filter(|(k, v)| v.is_nil() && *k != Atom::OK).count()),
            (map.len() - 1, 0)
        );
        assert_eq!(allocations(|| map.keys().chain(map.values()).count()), (2 * map.len(), 0));
    }
}

/// A large map with `key` among its keys.
fn around<'h>(h: Heap<'h>, key: Term<'h>) -> Term<'h> {
    h.map((0..32).map(|i| (h.int(i), h.nil())).chain([(key, h.nil())]))
}

#[test]
fn depth_is_no_limit_for_keys_of_large_maps() {
    // A key is hashed anew at each level that is put round it, so the depth is moderate here, and the stack small.
    let small = std::thread::Builder::new().stack_size(96 << 10);
    small.spawn(compare_deep_keys).unwrap().join().unwrap();
}

fn compare_deep_keys() {
    let build = |leaf: i64| Region::build(|h| (0..1000).fold(h.int(leaf), |key, _| around(h, key)));
    let (a, b, c) = (build(100), build(100), build(101));
    assert!(a.root() == b.root() && a.root() != c.root());
    assert_eq!((a.root().cmp(&b.root()), a.root().cmp(&c.root())), (Ordering::Equal, Ordering::Less));
    assert!(a.root().eq_value(b.root()));
    assert_eq!(hash_of(a.root()), hash_of(b.root()));
    assert!(a.root().to_string().len() > 1000 * 32);
    a.verify().unwrap();
    let mut heap = OwnedHeap::new(|h| h.copy(a.root()));
    heap.collect_major().unwrap();
    assert!(heap.root() == c.root() || heap.root() < c.root());
}

fn level<'h>(h: Heap<'h>, [p, q]: [Term<'h>; 2], tag: i64) -> Term<'h> {
    h.map((0..40).map(|i| (h.tuple(&[if i < 20 { p } else { q }, h.int(i)]), h.int(tag))))
}

#[test]
fn graphs_of_large_maps_compare_in_the_time_of_their_words() {
    // Each level has two maps, whose keys are pairs of either of the two below and a number: a comparison of two maps sorts
    // keys that lead to comparisons of two maps, and so on. Without remembering, each level multiplies the work by hundreds.
    let build = |leaf: i64| {
        Region::build(|h| {
            let start = [around(h, h.int(leaf)), around(h, h.int(leaf + 1))];
            let [p, q] = (0..12).fold(start, |below, _| [level(h, below, 0), level(h, below, 1)]);
            h.tuple(&[p, q])
        })
    };
    let (a, b, c) = (build(100), build(100), build(99));
    assert!(a.root() == b.root() && a.root().cmp(&b.root()).is_eq() && a.root().cmp_value(b.root()).is_eq());
    assert_ne!(a.root(), c.root());
    assert_ne!(a.root().cmp(&c.root()), Ordering::Equal);
    assert_eq!(a.root().cmp(&c.root()), c.root().cmp(&a.root()).reverse());
    let Some([p, q]) = a.root().tuple_of() else { panic!() };
    assert_eq!((p.cmp(q), q.cmp(p)), (Ordering::Less, Ordering::Greater));
    assert_eq!(hash_of(a.root()), hash_of(b.root()));
}

#[test]
fn keys_that_begin_alike_go_as_deep_as_they_must() {
    // Tuples, binaries and wide integers that differ late, and many of them.
    let r = Region::build(|h| {
        let long = h.binary("x".repeat(60));
        h.map((0..1000).flat_map(|i| {
            [
                (h.tuple(&[long, long, h.int(i)]), h.int(i)),
                (h.binary(format!("{}{i}", "y".repeat(100))), h.int(i)),
                (h.int((1_i128 << 100) + i128::from(i)), h.int(i)),
            ]
        }))
    });
    r.verify().unwrap();
    let map = r.root().as_map().unwrap();
    assert_eq!(map.len(), 3000);
    let text = "x".repeat(60);
    for i in 0..1000 {
        assert_eq!(map.get((&*text, &*text, i)).unwrap().as_int(), Some(i));
        assert_eq!(map.get(&*format!("{}{i}", "y".repeat(100))).unwrap().as_int(), Some(i));
        assert_eq!(map.get((1_i128 << 100) + i128::from(i)).unwrap().as_int(), Some(i));
    }
}

#[cfg(feature = "runtime")]
mod persistent {
    use super::*;
    use shared_term::TermRef;
    use shared_term::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const KEY: Atom = Atom::inline("map");
    const UPDATES: i64 = 1200;

    #[test]
    fn a_version_of_a_large_persistent_map_costs_its_path() {
        let mut rt = Runtime::deterministic(1);
        let store = rt.persistent().clone();
        store.put(KEY, Region::build(|h| squares(h, N))).unwrap();
        // Each turn changes, adds or removes one key, and keeps what it has read.
        let p = rt
            .spawn_fn(
                |cx| cx.nil(),
                |cx, _, message| {
                    let (i, value): (i64, Term<'_>) = message.get()?;
                    let old = cx.get(KEY).unwrap();
                    let new = if value.is_nil() {
                        cx.remove(old, i).unwrap()
                    } else {
                        cx.insert(old, cx.int(i), value).unwrap()
                    };
                    cx.put(KEY, new)?;
                    Ok(Next(if i % 2 == 0 { old } else { cx.nil() }))
                },
            )
            .unwrap();
        let mut full = 0;
        for i in 0..UPDATES {
            rt.send_new(p, |h| match i % 3 {
                0 => term!(h, {(i * 7), {:changed, i}}),
                1 => term!(h, {(N + i), i}),
                _ => term!(h, {(i * 8 + 1), []}),
            })
            .unwrap();
            rt.run_until_idle();
            // What the version has of its own: a path, or everything, so that what it leans on can go.
            let words = store.entry_info(KEY).unwrap().words;
            assert!(words < 150 || words > 2 * N as usize, "{words} words");
            full += usize::from(words >= 150);
        }
        assert!((1..=4).contains(&full), "{full} full copies in {UPDATES} versions");
        let mut expected: BTreeMap<i64, String> = (0..N).map(|i| (i, (i * i).to_string())).collect();
        for i in 0..UPDATES {
            match i % 3 {
                0 => drop(expected.insert(i * 7, format!("{{changed,{i}}}"))),
                1 => drop(expected.insert(N + i, i.to_string())),
                _ => drop(expected.remove(&(i * 8 + 1))),
            }
        }
        let check = |map: TermRef<'_>| {
            let map = map.as_map().unwrap();
            assert_eq!(map.len(), expected.len());
            assert!(map.iter().all(|(k, v)| expected[&k.as_int().unwrap()] == v.to_string()));
        };
        store.read(KEY, |map| check(map.unwrap()));
        assert!(store.info().collections > 0, "what a full copy leans on no more is freed");
        store.erase(KEY);
        rt.run_until_idle();
        assert!(store.wait_idle(Duration::from_secs(60)));
        assert_eq!(store.info().retained_bytes, 0);
    }

    #[test]
    fn a_holder_of_a_large_map_keeps_it_through_a_collection() {
        let mut rt = Runtime::deterministic(2);
        let store = rt.persistent().clone();
        store.put(KEY, Region::build(|h| squares(h, N))).unwrap();
        // The state is a version of its own, which leans on the literal.
        let p = rt
            .spawn_fn(
                |cx| cx.insert(cx.get(KEY).unwrap(), cx.int(-1), cx.int(1)).unwrap(),
                |cx, state, message| {
                    let to: Pid = message.get()?;
                    cx.send(to, state);
                    Ok(Next(state))
                },
            )
            .unwrap();
        rt.run_until_idle();
        store.erase(KEY);
        rt.run_until_idle();
        assert_eq!(store.info().retained_bytes, 0, "what is held was copied out");
        let mut port = rt.port().unwrap();
        let me = port.pid();
        rt.send_new(p, |h| h.pid(me)).unwrap();
        rt.run_until_idle();
        let kept = port.try_recv().unwrap();
        kept.verify().unwrap();
        let expected = Region::build(|h| h.insert(squares(h, N), h.int(-1), h.int(1)).unwrap());
        assert!(kept.root() == expected.root());
    }
}
