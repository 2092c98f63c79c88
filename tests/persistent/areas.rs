//! Values that share structure with others, and what they keep alive.

use super::*;

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
