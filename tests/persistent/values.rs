//! What is at a key: put, read, replaced, erased, iterated, counted.

use super::*;

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
