//! What can be a key.

use super::*;

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
