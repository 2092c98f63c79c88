//! Persistent terms, as a user sees them; with the black-box cases of OTP's `persistent_term_SUITE`, whose names the tests
//! mention.

#![cfg(feature = "runtime")]

mod support;

use shared_term::persistent::{Put, PutNewError};
use shared_term::prelude::*;
use shared_term::process::SpawnOptions;
use shared_term::runtime::{Deterministic, Handle};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;
use support::{LONG, Ledger, OnDrop};

const KEY: Atom = Atom::inline("key");
const KEEP: Atom = Atom::inline("keep");
const TELL: Atom = Atom::inline("tell");
const WRAP: Atom = Atom::inline("wrap");

fn list(n: i64) -> Region {
    Region::build(|h| h.list(0..n))
}

/// Keeps what a key has (or what it is sent), tells its state, wraps it.
fn receive<'h>(cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
    match message.tagged() {
        Some((KEEP, [key])) => Ok(Next(cx.get(*key).unwrap_or(cx.nil()))),
        Some((WRAP, [])) => Ok(Next(cx.tuple(&[state, cx.int(1)]))),
        Some((TELL, [to])) => {
            cx.send(to.get()?, state);
            Ok(Next(state))
        }
        _ => Ok(Next(message)),
    }
}

fn holder(rt: &Handle, key: impl for<'h> ToAny<'h>) -> Pid {
    let p = rt.spawn_fn(|cx| cx.nil(), receive).unwrap();
    rt.send_new(p, move |h| term!(h, {KEEP, key.any(h)})).unwrap();
    p
}

/// For keys that are given to closures of any brand.
trait ToAny<'h>: Copy {
    fn any(self, h: Heap<'h>) -> Term<'h>;
}
impl<'h> ToAny<'h> for Atom {
    fn any(self, h: Heap<'h>) -> Term<'h> {
        h.atom(self)
    }
}
impl<'h> ToAny<'h> for i64 {
    fn any(self, h: Heap<'h>) -> Term<'h> {
        h.int(self)
    }
}

/// The state of a process.
fn told(rt: &mut Deterministic, p: Pid) -> Region {
    let mut port = rt.port().unwrap();
    let me = port.pid();
    rt.send_new(p, |h| term!(h, {TELL, me})).unwrap();
    rt.run_until_idle();
    let told = port.try_recv().expect("an answer");
    told.verify().unwrap();
    told
}

// basic
#[test]
fn many_keys_are_put_read_replaced_and_erased_also_in_parallel() {
    const KEYS: i64 = 777;
    let store = PersistentTerms::new();
    let value = |i: i64| Region::build(|h| term!(h, {:value, i, [i, i + 1]}));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..KEYS).for_each(|i| assert_ne!(store.put(("key", i), value(i)).unwrap(), Put::Replaced)));
        }
    });
    assert_eq!(store.info().count, KEYS as usize);
    for i in 0..KEYS {
        assert!(store.read(("key", i), |v| v.unwrap() == value(i).root()));
        assert_eq!(store.put(("key", i), value(i)).unwrap(), Put::Unchanged);
        assert!(store.put_new(("key", i), value(i)).is_ok(), "an equal value counts as published");
        let Err(PutNewError::Exists(mine)) = store.put_new(("key", i), value(-1)) else { panic!() };
        assert!(mine.root() == value(-1).root());
    }
    assert!(store.read(("key", KEYS), |v| v.is_none()));
    let mut seen = HashSet::new();
    store.for_each(|k, v| {
        let [_, i] = k.tuple_of().unwrap();
        assert!(v == value(i.as_int().unwrap()).root());
        assert!(seen.insert(i.as_int().unwrap()));
    });
    assert_eq!(seen.len(), KEYS as usize);
    for i in 0..KEYS {
        assert_eq!(store.put(("key", i), value(i + 1)).unwrap(), Put::Replaced);
        assert!(store.erase(("key", i)));
        assert!(!store.erase(("key", i)));
        assert!(store.read(("key", i), |v| v.is_none()));
    }
    assert!(store.wait_idle(LONG));
    assert_eq!((store.info().count, store.info().retained_bytes), (0, 0));
}

#[test]
fn equal_values_that_are_put_at_once_are_all_welcome() {
    let store = PersistentTerms::new();
    for round in 0..2000 {
        let start = Barrier::new(2);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let mine = list(20);
                    start.wait();
                    store.put_new(round, mine).expect("the value is there, whoever put it");
                });
            }
        });
    }
}

// purging
#[test]
fn holders_keep_equal_private_copies_when_a_term_is_replaced_or_erased() {
    for (seed, erase) in [(1, true), (2, false), (3, true)] {
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        let ledger = Ledger::default();
        let value =
            |n: i64| Region::build(|h| term!(h, {n, h.list((0..n).map(|i| term!(h, {i, "text"}))), [n; 3].to_vec()}));
        store.put(KEY, value(40)).unwrap();
        store.put(1, Region::build(|h| ledger.resource(h))).unwrap();
        let holders: Vec<_> = (0..50).map(|i| if i % 2 == 0 { holder(&rt, KEY) } else { holder(&rt, 1_i64) }).collect();
        rt.run_until_idle();
        for &p in &holders[..10] {
            rt.send_new(p, |h| term!(h, { WRAP })).unwrap();
        }
        rt.run_until_idle();
        if erase {
            store.erase(KEY);
            store.erase(1);
        } else {
            store.put(KEY, value(3)).unwrap();
            store.put(1, list(3)).unwrap();
        }
        rt.run_until_idle();
        assert_eq!(store.info().retained_bytes, 0);
        assert_eq!(ledger.dropped(), 0, "the resource is shared by 25 processes");
        for (i, &p) in holders.iter().enumerate() {
            let state = told(&mut rt, p);
            let state = if i < 10 { state.root().tuple_of::<2>().unwrap()[0] } else { state.root() };
            if i % 2 == 0 {
                assert!(state == value(40).root());
            } else {
                assert!(state.resource::<support::Noted>().is_some());
            }
        }
        drop(rt);
        drop(store);
        assert_eq!((ledger.made(), ledger.dropped()), (1, 1));
    }
}

// sharing
#[test]
fn a_dag_stays_small_wherever_it_goes() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    let dag = || {
        Region::build(|h| {
            let leaf = h.list(0..2);
            (0..10).fold(leaf, |t, _| h.cons(t, t))
        })
    };
    assert_eq!(dag().words(), 24);
    store.put(KEY, dag()).unwrap();
    assert_eq!(store.read(KEY, |v| v.unwrap().size_words()), 24);
    // put(b, get(a)), through a turn and through a copy.
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, message| {
            if !message.is_nil() {
                return receive(cx, state, message);
            }
            cx.put(2, cx.tuple(&[cx.get(KEY).unwrap(), cx.get(KEY).unwrap()]))?;
            Ok(Next(cx.get(2).unwrap()))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    let copy = store.read(2, |v| Region::copy_of(v.unwrap()));
    assert_eq!(copy.words(), 24 + 3);
    store.erase(KEY);
    store.erase(2);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
    assert_eq!(told(&mut rt, p.unwrap()).words(), 24 + 3, "evacuated with its sharing");
}

// info, info_trapping
#[test]
fn the_figures_follow_what_happens() {
    let store = PersistentTerms::new();
    let none = store.info();
    assert_eq!((none.count, none.retained_bytes, none.collections, none.guards_behind), (0, 0, 0, 0));
    for i in 0..100 {
        store.put(i, list(100)).unwrap();
        assert_eq!(store.info().count, i as usize + 1);
    }
    let mut last = 0;
    let guard = store.pin();
    for i in 0..100 {
        assert!(store.erase(i));
        let info = store.info();
        assert_eq!(info.count, 99 - i as usize);
        assert!(info.retained_bytes >= last + 100 * 2 * 8, "retained grows while the guard is held");
        last = info.retained_bytes;
    }
    assert_eq!(store.info().guards_behind, 1, "the report names what holds it up");
    assert!(!store.wait_idle(Duration::from_millis(1)));
    assert_eq!(store.info().collections, 0);
    drop(guard);
    assert!(store.wait_idle(LONG));
    let info = store.info();
    assert_eq!((info.count, info.retained_bytes, info.guards_behind), (0, 0, 0));
    assert!(info.collections >= 1);
}

// destruction
#[test]
fn what_a_value_holds_is_released_once_however_it_goes() {
    let ledger = Ledger::default();
    let mut random = 12345_u64;
    {
        let store = PersistentTerms::new();
        let value = |n: u64| Region::build(|h| h.list((0..n).map(|_| ledger.resource(h))));
        for round in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 33) as i64 % 50;
            match random >> 60 {
                0..8 => drop(store.put(key, value(round % 4)).unwrap()),
                8..10 => drop(store.put_new(key, value(round % 4))),
                _ => drop(store.erase(key)),
            }
        }
        assert!(store.wait_idle(LONG));
        let mut live = 0;
        store.for_each(|_, v| live += v.list().count());
        assert_eq!(ledger.made() - ledger.dropped(), live, "what is in the store lives, and nothing else");
    }
    assert_eq!(ledger.made(), ledger.dropped(), "and the rest ends with the store");
}

// get_trapping, get_all_race
#[test]
fn iterating_while_everything_changes_shows_whole_pairs_and_what_stands_still() {
    let store = PersistentTerms::new();
    let stop = AtomicBool::new(false);
    for i in 0..1000 {
        store.put(("still", i), Region::build(|h| term!(h, {i, i}))).unwrap();
    }
    std::thread::scope(|s| {
        for t in 0..2_i64 {
            let (store, stop) = (&store, &stop);
            s.spawn(move || {
                let mut i = 0_i64;
                while !stop.load(Ordering::Relaxed) {
                    i += 1;
                    let key = ("moving", t, i % 300);
                    store.put(key, Region::build(|h| term!(h, {i % 300, [i, i]}))).unwrap();
                    if i % 3 == 0 {
                        store.erase(("moving", t, (i * 7) % 300));
                    }
                }
            });
        }
        for _ in 0..200 {
            let (mut still, mut keys) = (0, HashSet::new());
            store.for_each(|k, v| {
                let [first, second] = v.tuple_of().unwrap();
                match k.as_tuple().unwrap() {
                    [_, i] => {
                        assert!(first == i && second == i);
                        still += 1;
                    }
                    [_, t, i] => {
                        assert!(first == i);
                        assert!(keys.insert((t.as_int(), i.as_int())), "a key is shown once");
                    }
                    _ => panic!("{k}"),
                }
            });
            assert_eq!(still, 1000);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(store.wait_idle(LONG));
}

// off_heap_values
#[test]
fn off_heap_values_survive_their_term() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    let ledger = Ledger::default();
    store
        .put(
            KEY,
            Region::build(|h| {
                let large = h.binary([7; 1000]);
                term!(h, {h.slice(large, 100..400).unwrap(), large, "small", ledger.resource(h)})
            }),
        )
        .unwrap();
    let (p, q) = (holder(&rt, KEY), holder(&rt, KEY));
    rt.run_until_idle();
    store.erase(KEY);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
    for p in [p, q] {
        let state = told(&mut rt, p);
        let [slice, large, small, resource] = state.root().tuple_of().unwrap();
        assert_eq!((slice.as_bytes(), large.as_bytes()), (Some(&[7; 300][..]), Some(&[7; 1000][..])));
        assert_eq!(small.as_str(), Some("small"));
        assert!(resource.resource::<support::Noted>().is_some());
        assert_eq!(ledger.dropped(), 0);
    }
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.send_new(q, |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!((ledger.made(), ledger.dropped()), (1, 1));
}

// keys
#[test]
fn any_term_is_a_key_and_matches_exactly() {
    let store = PersistentTerms::new();
    let keys = Region::build(|h| {
        let deep = (0..1000).fold(h.nil(), |t, _| h.cons(t, h.nil()));
        h.list([
            h.nil(),
            h.int(1),
            h.float(1.0).unwrap(),
            h.int(-1),
            h.int(i128::MAX),
            h.int(i128::MIN),
            h.atom(Atom::inline("a")),
            h.atom(Atom::new("a much longer atom than those that lie in a word").unwrap()),
            h.binary(""),
            h.binary("a"),
            h.binary([1; 64]),
            h.binary([1; 65]),
            h.binary([1; 5000]),
            h.tuple(&[]),
            h.tuple(&[h.int(1)]),
            h.tuple(&[h.float(1.0).unwrap()]),
            h.list(0..3),
            h.list_with_tail(0..3, h.int(3)),
            term!(h, #{1 => 2}),
            term!(h, #{}),
            term!(h, #{1 => 2, "b" => [#{}]}),
            deep,
        ])
    });
    for (i, key) in keys.root().list().enumerate() {
        assert_eq!(store.put(key, list(i as i64)).unwrap(), Put::Inserted, "{key}");
    }
    assert_eq!(store.info().count, keys.root().list().count());
    for (i, key) in keys.root().list().enumerate() {
        // A copy elsewhere is the same key.
        let copy = Region::copy_of(key);
        assert_eq!(store.read(copy.root(), |v| v.map(|v| v.list().count())), Some(i), "{key}");
    }
    assert_eq!(store.read("a", |v| v.unwrap().list().count()), 9);
    assert_eq!(store.read(Atom::inline("a"), |v| v.unwrap().list().count()), 6);
    for key in keys.root().list() {
        assert!(store.erase(key), "{key}");
    }
    assert!(store.wait_idle(LONG));
    assert_eq!((store.info().count, store.info().retained_bytes), (0, 0));
}

#[test]
fn a_key_may_be_made_of_literals_and_outlives_them() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(KEY, list(5)).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, _| {
            let literal = cx.get(KEY).unwrap();
            cx.put(literal, cx.int(1))?;
            cx.put(cx.tuple(&[literal, literal]), literal)?;
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    store.erase(KEY);
    let pair = Region::build(|h| term!(h, {h.list(0..5), h.list(0..5)}));
    assert!(store.erase(pair.root()));
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
    assert_eq!(store.read(list(5).root(), |v| v.unwrap().as_int()), Some(1));
    assert!(store.erase(list(5).root()));
}

// collisions, get_put_colliding_bucket
#[test]
fn keys_that_collide_are_told_apart_and_deleted_in_any_order() {
    // Resources hash by their address, so terms of equal shape whose places differ by what the hash does not see cannot
    // be had; but the table has few places at first: keys whose hashes agree in the low bits share a run of it.
    /// The hash that the table goes by is the one word that a term gives a hasher.
    #[derive(Default)]
    struct Word(u64);
    impl Hasher for Word {
        fn write(&mut self, _: &[u8]) {
            unreachable!("a term gives a word")
        }

        fn write_u64(&mut self, word: u64) {
            self.0 = word;
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }
    let mut runs: HashMap<u64, Vec<i64>> = HashMap::new();
    let _ = Region::build(|h| {
        for i in 0..2_000_000 {
            let hash = BuildHasherDefault::<Word>::default().hash_one(h.int(i));
            let run = runs.entry(hash & 0xfff).or_default();
            run.push(i);
            if run.len() == 300 {
                break;
            }
        }
        h.nil()
    });
    let keys = runs.into_values().find(|run| run.len() == 300).expect("a run");
    let store = PersistentTerms::new();
    let mut random = 1_u64;
    let mut model = HashSet::new();
    for round in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let key = keys[(random >> 33) as usize % keys.len()];
        if random >> 63 == 0 {
            let put = store.put(key, Region::build(|h| h.int(key))).unwrap();
            assert_eq!(put == Put::Inserted, model.insert(key), "round {round}");
        } else {
            assert_eq!(store.erase(key), model.remove(&key), "round {round}");
        }
        let look = keys[(random >> 20) as usize % keys.len()];
        assert_eq!(store.read(look, |v| v.and_then(|v| v.as_int())), model.contains(&look).then_some(look));
    }
    assert_eq!(store.info().count, model.len());
    let stop = &AtomicBool::new(false);
    std::thread::scope(|s| {
        // Readers of keys that stay, while their neighbours come and go.
        let (stay, go) = keys.split_at(150);
        for k in stay {
            store.put(*k, Region::build(|h| h.int(*k))).unwrap();
        }
        let store = &store;
        for t in 0..2 {
            s.spawn(move || {
                for round in 0..200 {
                    for k in go.iter().skip(t).step_by(2) {
                        if round % 2 == 0 {
                            store.put(*k, Region::build(|h| h.int(*k))).unwrap();
                        } else {
                            store.erase(*k);
                        }
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
        while !stop.load(Ordering::Relaxed) {
            let guard = store.pin();
            assert!(stay.iter().all(|k| guard.get(*k).and_then(|v| v.as_int()) == Some(*k)));
        }
    });
}

// put_erase_trapping, killed_while_trapping_*
#[test]
fn writers_of_one_key_leave_one_whole_value() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let writers: Vec<_> = (0..3_i64)
            .map(|t| {
                let (store, ledger) = (&store, &ledger);
                s.spawn(move || {
                    for i in 0..3000 {
                        match (i + t) % 4 {
                            0 => drop(store.erase(KEY)),
                            1 => drop(
                                store.put_new(KEY, Region::build(|h| h.list([h.int(t), h.int(t), ledger.resource(h)]))),
                            ),
                            _ => drop(
                                store.put(KEY, Region::build(|h| h.list([h.int(i), h.int(i), ledger.resource(h)]))),
                            ),
                        }
                    }
                })
            })
            .collect();
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.read(KEY, |v| {
                    let v: Vec<_> = v.into_iter().flat_map(|v| v.list()).collect();
                    assert!(v.is_empty() || v[0] == v[1] && v[2].resource::<support::Noted>().is_some());
                });
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.erase(KEY);
    assert!(store.wait_idle(LONG));
    assert_eq!((ledger.made(), store.info().count), (ledger.dropped(), 0));
}

// whole_message
#[test]
fn messages_that_are_or_hold_literals_survive_their_erasure_before_they_are_received() {
    for seed in 0..40 {
        for whole in [true, false] {
            let mut rt = Runtime::deterministic(seed);
            let store = rt.persistent().clone();
            store.put(KEY, list(30)).unwrap();
            let mut port = rt.port().unwrap();
            let me = port.pid();
            // Defers what comes until it is told to take it, then passes it on along two more.
            let last = rt.spawn_fn(
                |cx| cx.nil(),
                move |cx, state, m| {
                    cx.send(me, m);
                    Ok(Next(state))
                },
            );
            let last = last.unwrap();
            let forwards = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(last))).unwrap();
            let defers = rt.spawn_fn(
                |cx| cx.atom(Atom::FALSE),
                move |cx, open, m| match (m.as_atom(), open.as_bool()) {
                    (Some(TELL), _) => Ok(NextReoffer(cx.atom(Atom::TRUE))),
                    (_, Some(true)) => Ok(Forward(forwards)),
                    _ => Ok(Defer),
                },
            );
            let defers = defers.unwrap();
            let sender = rt.spawn_fn(
                |cx| cx.nil(),
                move |cx, state, _| {
                    let literal = cx.get(KEY).unwrap();
                    cx.send(defers, if whole { literal } else { term!(cx, [literal, 1, literal]) });
                    Ok(Next(state))
                },
            );
            rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
            // Somewhere on its way, the term goes.
            for _ in 0..seed % 9 + 3 {
                rt.step();
            }
            if seed % 2 == 0 {
                rt.run_until_idle();
            }
            let known = store.read(KEY, |v| v.is_some()) && rt.is_alive(sender.unwrap());
            assert!(known);
            if seed % 2 == 0 {
                store.erase(KEY);
                rt.run_until_idle();
                assert_eq!(store.info().retained_bytes, 0, "the message that waits is no holder any more");
            }
            rt.send_new(defers, |h| h.atom(TELL)).unwrap();
            rt.run_until_idle();
            let got = port.try_recv().expect("the message");
            got.verify().unwrap();
            if whole {
                assert!(got.root() == list(30).root());
            } else {
                assert!(got.root().list().filter(|t| *t == list(30).root()).count() == 2);
            }
            store.erase(KEY);
            rt.run_until_idle();
            assert_eq!(store.info().retained_bytes, 0);
        }
    }
}

#[test]
fn a_message_that_is_forwarded_by_a_process_that_is_asked_is_whole_where_it_arrives() {
    for seed in 0..200 {
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        store.put(KEY, list(30)).unwrap();
        let last = rt.spawn_fn(|cx| cx.nil(), receive).unwrap();
        let forwards = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(last))).unwrap();
        let sender = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                cx.send(forwards, term!(cx, {KEEP, "no key", cx.get(KEY).unwrap()}));
                Ok(Next(state))
            },
        );
        let sender = sender.unwrap();
        rt.run_until_idle();
        rt.send_new(sender, |h| h.nil()).unwrap();
        // The sender's turn; the message waits. From here on, the seed decides which steps of the collection come
        // before the turn that forwards it.
        assert!(rt.step());
        store.erase(KEY);
        rt.run_until_idle();
        assert_eq!(store.info().retained_bytes, 0);
        let state = told(&mut rt, last);
        assert!(state.root().tuple_of::<3>().unwrap()[2] == list(30).root());
    }
}

#[test]
fn what_leaves_for_a_port_or_as_a_reason_has_no_part_in_the_store() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(KEY, list(30)).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let forwards = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(me))).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, _| {
            let value = cx.get(KEY).unwrap();
            cx.send(me, value);
            cx.send(me, term!(cx, { value }));
            cx.send(forwards, value);
            Ok(Stop(Exit::term(cx.region(value))))
        },
    );
    let exited = rt.exited(p.unwrap());
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    store.erase(KEY);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0, "nobody is asked for what waits in a port");
    drop((rt, store));
    let got: Vec<_> = std::iter::from_fn(|| port.try_recv()).collect();
    assert_eq!(got.len(), 3);
    for message in &got {
        message.verify().unwrap();
    }
    assert!(got[0].root() == list(30).root() && got[2].root() == list(30).root());
    assert!(got[1].root().tuple_of::<1>().unwrap()[0] == list(30).root());
    assert!(exited.try_wait().unwrap().as_term().unwrap() == list(30).root());
}

#[test]
fn a_holder_that_ends_while_it_is_asked_answers() {
    type End = for<'h> fn(Cx<'h>) -> Turn<'h>;
    let ends: [End; 4] = [
        |_| Ok(Stop(Exit::NORMAL)),
        |_| std::panic::resume_unwind(Box::new("end")),
        |cx| Ok(Next(cx.list(0..100_000))),
        |_| Err(Exit::msg("end")),
    ];
    for (seed, end) in (0..40).zip(ends.into_iter().cycle()) {
        let mut rt =
            Runtime::builder().spawn_defaults(SpawnOptions::new().max_heap_words(10_000)).unwrap().deterministic(seed);
        let store = rt.persistent().clone();
        let ledger = Ledger::default();
        store.put(KEY, Region::build(|h| h.list([h.list(0..50), ledger.resource(h)]))).unwrap();
        let p = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, m| match m.as_int() {
                Some(0) => Ok(Next(cx.tuple(&[cx.get(KEY).unwrap()]))),
                Some(1) => Ok(Defer),
                _ => {
                    let _ = state;
                    end(cx)
                }
            },
        );
        let p = p.unwrap();
        rt.send_new(p, |h| h.int(0)).unwrap();
        rt.run_until_idle();
        store.erase(KEY);
        for i in [1, 2, 1] {
            rt.send_new(p, |h| h.int(i)).unwrap();
        }
        rt.run_until_idle();
        assert!(!rt.is_alive(p));
        assert_eq!(store.info().retained_bytes, 0);
        assert_eq!((ledger.made(), ledger.dropped()), (1, 1));
    }
}

#[test]
fn a_guard_delays_the_freeing_and_nothing_else() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let store = rt.persistent().clone();
    store.put(KEY, list(10)).unwrap();
    let mut guard = store.pin();
    let value = guard.get(KEY).unwrap();
    store.put(KEY, list(20)).unwrap();
    // Everybody else goes on: writers, readers, processes.
    store.put(1, list(3)).unwrap();
    store.put(1, list(4)).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            cx.send(me, cx.int(cx.get(KEY).unwrap().list().count() as u64));
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    assert_eq!(port.recv_timeout(LONG).unwrap().root().as_int(), Some(20));
    assert!(!store.wait_idle(Duration::from_millis(5)));
    assert!(store.info().retained_bytes > 0 && store.info().guards_behind == 1);
    assert!(value == list(10).root(), "what was lent stays");
    // Each collection needs the guard to move on once: the first was waiting for it, the second begins then.
    let freed = (0..100).any(|_| {
        guard.repin();
        store.wait_idle(Duration::from_millis(20))
    });
    assert!(freed, "a guard that is repinned holds up nothing for good");
    assert_eq!(guard.get(KEY).unwrap().list().count(), 20);
    let _second = store.pin();
    assert_eq!(store.info().guards_behind, 0);
}

#[test]
fn who_ends_last_frees_what_waited_for_it() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let put = |key: i64| store.put(key, Region::build(|h| h.list([ledger.resource(h)]))).unwrap();
    for key in 0..10 {
        put(key);
    }
    // A walk through the store, during which everything is erased. There is no runtime, and nobody waits.
    store.for_each(|key, _| assert!(store.erase(key)));
    assert_eq!((ledger.dropped(), store.info().retained_bytes), (10, 0));
    put(1);
    store.read(1, |_| store.erase(1));
    assert_eq!((ledger.dropped(), store.info().retained_bytes), (11, 0));
}

#[test]
fn a_store_ends_with_its_last_user_whoever_that_is() {
    for guard_outlives in [true, false] {
        for deterministic in [true, false] {
            let ledger = Ledger::default();
            let store = PersistentTerms::new();
            store.put(KEY, Region::build(|h| h.list([ledger.resource(h)]))).unwrap();
            let guard = store.pin();
            let work = |rt: &Handle| {
                let p = holder(rt, KEY);
                rt.send_new(p, |h| ledger.resource(h)).unwrap();
                drop(rt.port().unwrap());
            };
            let builder = Runtime::builder().workers(2).persistent(store.clone());
            let handle = if deterministic {
                let rt = builder.deterministic(1);
                work(&rt);
                Handle::clone(&rt)
            } else {
                let rt = builder.build().unwrap();
                work(&rt);
                Handle::clone(&rt)
            };
            if guard_outlives {
                drop(handle);
                assert!(guard.get(KEY).is_some());
                drop(guard);
                drop(store);
            } else {
                drop(guard);
                drop(store);
                assert!(handle.persistent().read(KEY, |v| v.is_some()));
                drop(handle);
            }
            assert_eq!((ledger.made(), ledger.dropped()), (2, 2));
        }
    }
}

#[test]
fn a_long_chain_of_versions_keeps_bounded_memory() {
    const KEYS: i64 = 32;
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    let ledger = Ledger::default();
    store.put(KEY, Region::build(|h| h.map((0..KEYS).map(|i| (i, ledger.resource(h)))))).unwrap();
    let p = {
        let ledger = ledger.clone();
        rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, version| {
                let key = cx.int(version.get::<i64>()? % KEYS);
                let new = cx.insert(cx.get(KEY).unwrap(), key, cx.tuple(&[version, ledger.resource(*cx)])).unwrap();
                cx.put(KEY, new)?;
                Ok(Next(state))
            },
        )
        .unwrap()
    };
    let mut most = 0;
    for version in 0..10_000_i64 {
        rt.send_new(p, |h| h.int(version)).unwrap();
        rt.run_until_idle();
        // Each version made one resource; those that live are what some version that is still kept holds.
        most = most.max(ledger.made() - ledger.dropped());
    }
    assert!(most < 8 * KEYS as usize, "{most} resources lived at once");
    assert!(store.read(KEY, |v| v.unwrap().lookup(9_999 % KEYS).unwrap().to_string().contains("9999")));
    store.erase(KEY);
    assert!(store.wait_idle(LONG));
    drop((rt, store));
    assert_eq!(ledger.made(), ledger.dropped());
}

#[test]
fn a_part_of_a_large_term_does_not_keep_all_of_it() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    let ledger = Ledger::default();
    store.put(KEY, Region::build(|h| h.list([h.list(0..3), h.list(0..100_000), ledger.resource(h)]))).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, _| {
            cx.put("part", cx.get(KEY).unwrap().list().next().unwrap())?;
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    store.erase(KEY);
    rt.run_until_idle();
    assert_eq!(ledger.dropped(), 1);
    assert!(store.read("part", |v| v.unwrap() == list(3).root()));
}

#[test]
fn terms_share_what_they_have_of_each_other_and_keep_it_alive() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    let at = |key: i64| store.read(key, |v| v.unwrap().list().next().unwrap().as_bytes().unwrap().as_ptr() as usize);
    store.put(1, Region::build(|h| h.list([h.binary([7; 60])]))).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, _| {
            let one = cx.get(1).unwrap();
            cx.put(2, one)?;
            cx.put(3, cx.cons(one.list().next().unwrap(), one))?;
            Ok(Next(state))
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!((at(1), at(1)), (at(2), at(3)), "one memory");
    for key in [1, 2] {
        store.erase(key);
        rt.run_until_idle();
    }
    assert_eq!(store.read(3, |v| v.unwrap().list().filter(|b| b.as_bytes() == Some(&[7; 60])).count()), 2);
    store.erase(3);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
}

#[test]
fn a_process_of_another_store_reads_a_copy() {
    let (mut rt, other) = (Runtime::deterministic(1), PersistentTerms::new());
    other.put(KEY, list(50)).unwrap();
    let store = other.clone();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, m| match m.tagged() {
            Some((TELL, [to])) => {
                let state = store.get(cx, KEY).unwrap_or(cx.nil());
                cx.send(to.get()?, state);
                Ok(Next(state))
            }
            _ => Ok(Next(store.get(cx, KEY).unwrap())),
        },
    );
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    other.erase(KEY);
    assert_eq!(other.info().retained_bytes, 0, "nobody there is asked");
    assert!(told(&mut rt, p.unwrap()).root().is_nil());
}

#[test]
fn two_runtimes_on_one_store_are_one_domain() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let runtime = || Runtime::builder().workers(1).persistent(store.clone()).build().unwrap();
    let (a, b) = (runtime(), runtime());
    let wait = |rt: &Handle, p: Pid| {
        let mut port = rt.port().unwrap();
        let me = port.pid();
        rt.send_new(p, |h| term!(h, {TELL, me})).unwrap();
        port.recv_timeout(LONG).expect("an answer")
    };
    for round in 0..200 {
        store.put(KEY, Region::build(|h| h.list([h.int(round), ledger.resource(h)]))).unwrap();
        let (p, q) = (holder(&a, KEY), holder(&b, KEY));
        assert_eq!((wait(&b, p).root().list().count(), wait(&a, q).root().list().count()), (2, 2));
        store.erase(KEY);
        assert!(store.wait_idle(LONG), "both are asked, and answer");
        assert_eq!(wait(&b, p).root().list().next().unwrap().as_int(), Some(round));
        for p in [p, q] {
            a.send_new(p, |h| h.nil()).unwrap();
        }
    }
    drop(a);
    store.put(KEY, list(10)).unwrap();
    let p = holder(&b, KEY);
    wait(&b, p);
    store.erase(KEY);
    assert!(store.wait_idle(LONG), "the other runtime drives what is left");
    drop(b);
    assert_eq!(ledger.made(), ledger.dropped());
}

// t_copy_literals_frags
#[test]
fn many_senders_of_literals_race_with_their_replacement() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let store = rt.persistent().clone();
    let ledger = Ledger::default();
    let version = |v: i64| Region::build(|h| term!(h, {v, h.list((0..30).map(|i| i + v)), ledger.resource(h)}));
    let whole = |t: Term<'_>| {
        let [v, l, r] = t.tuple_of().unwrap();
        let v = v.as_int().unwrap();
        r.resource::<support::Noted>().is_some() && l.list().map(|i| i.as_int().unwrap()).eq((0..30).map(|i| i + v))
    };
    store.put(KEY, version(0)).unwrap();
    let bad = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = mpsc::channel();
    const SENDERS: usize = 20;
    const EACH: usize = 500;
    let sink = rt.spawn_fn(|cx| cx.nil(), {
        let (bad, mut left) = (bad.clone(), SENDERS * EACH);
        move |cx, state, m| {
            let mut ok = m.list().all(whole);
            ok &= state.list().all(whole);
            bad.fetch_add(usize::from(!ok), Ordering::Relaxed);
            left -= 1;
            if left == 0 {
                tx.send(())?;
            }
            // Keeps some of it for a while.
            Ok(Next(if left % 7 == 0 { cx.nil() } else { cx.list_with_tail(m.list(), state) }))
        }
    });
    let sink = sink.unwrap();
    for _ in 0..SENDERS {
        let p = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, old, m| {
                let now = cx.get(KEY).unwrap();
                cx.send(sink, if old.is_nil() { cx.list([now]) } else { cx.list([old, now]) });
                let left: i64 = m.get()?;
                if left > 1 {
                    cx.send(cx.me(), cx.int(left - 1));
                }
                Ok(Next(if left % 3 == 0 { old } else { now }))
            },
        );
        rt.send_new(p.unwrap(), |h| h.int(EACH as i64)).unwrap();
    }
    let mut v = 0;
    while rx.try_recv().is_err() {
        v += 1;
        store.put(KEY, version(v)).unwrap();
        if v % 8 == 0 {
            std::thread::yield_now();
        }
        assert!(v < 100_000_000);
    }
    assert_eq!(bad.load(Ordering::Relaxed), 0);
    assert!(store.wait_idle(LONG));
    assert_eq!(store.info().retained_bytes, 0);
    drop((rt, store));
    assert_eq!(ledger.made(), ledger.dropped());
}

#[test]
fn a_value_is_freed_by_whoever_lets_go_of_it_last_and_the_rest_of_its_batch_with_it() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    for i in 0..100_i64 {
        let order = order.clone();
        let noted = OnDrop::new(move || order.lock().unwrap().push(i));
        store.put(i, Region::build(|h| h.list([h.int(i), h.resource(noted)]))).unwrap();
    }
    // A hundred areas share 56 bits: holders of some are asked for others, and evacuate nothing.
    let holders: Vec<_> = (0..50).map(|i| holder(&rt, i * 2_i64)).collect();
    rt.run_until_idle();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let _subscription = store.on_collection({
        let reports = reports.clone();
        move |report| reports.lock().unwrap().push(report.clone())
    });
    (0..50).for_each(|i| assert!(store.erase(i * 2 + 1)));
    rt.run_until_idle();
    assert_eq!(order.lock().unwrap().iter().copied().collect::<HashSet<_>>(), (0..50).map(|i| i * 2 + 1).collect());
    assert!(reports.lock().unwrap().iter().all(|r| r.holders == 0 && r.evacuated_words == 0));
    (0..50).for_each(|i| assert!(store.erase(i * 2)));
    rt.run_until_idle();
    assert_eq!(reports.lock().unwrap().iter().map(|r| r.holders).sum::<usize>(), 50);
    assert_eq!(reports.lock().unwrap().iter().map(|r| r.areas).sum::<usize>(), 100);
    assert_eq!(order.lock().unwrap().len(), 50, "the resources of the holders live on");
    for (i, p) in holders.into_iter().enumerate() {
        assert_eq!(told(&mut rt, p).root().list().next().unwrap().as_int(), Some(i as i64 * 2));
    }
    drop((rt, store));
    assert_eq!(order.lock().unwrap().len(), 100);
}

#[test]
fn a_guard_that_is_repinned_goes_on_with_what_waited_for_it() {
    let store = PersistentTerms::new();
    let mut guard = store.pin();
    for round in 0..3 {
        store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
        assert_eq!(guard.get(KEY).unwrap().list().count(), 10);
        store.erase(KEY);
        let info = store.info();
        assert!(info.retained_bytes > 0 && info.guards_behind == 1, "{info:?}");
        // Nobody else is there to free it: no runtime, and whoever erased it has gone.
        guard.repin();
        let info = store.info();
        assert_eq!((info.retained_bytes, info.guards_behind, info.collections), (0, 0, round + 1));
    }
}
