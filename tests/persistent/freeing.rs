//! Who frees what waits, and what delays that.

use super::*;

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
    assert_eq!(store.held_up().guards, 1);
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
