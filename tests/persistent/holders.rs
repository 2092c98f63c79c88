//! Who holds a literal, and what becomes of it when its term goes.

use super::*;

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
