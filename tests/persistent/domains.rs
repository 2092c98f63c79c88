//! Two stores, and two runtimes on one.

use super::*;

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
