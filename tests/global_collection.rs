//! The global collection, from outside: what holders keep, what it costs whom, and that it ends.

#![cfg(feature = "runtime")]

use shared_term::persistent::{Put, Report};
use shared_term::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
const TABLE: Atom = Atom::inline("table");
const KEEP: Atom = Atom::inline("keep");
const TELL: Atom = Atom::inline("tell");
const PASS: Atom = Atom::inline("pass");

/// Collects the reports of a store.
fn reports(store: &PersistentTerms) -> (Arc<Mutex<Vec<Report>>>, shared_term::persistent::Subscription) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let subscription = store.on_collection({
        let all = Arc::clone(&all);
        move |report| all.lock().unwrap().push(report.clone())
    });
    (all, subscription)
}

/// Keeps the persistent term on `keep` (or what it is sent), tells its state to who asks, passes its state on.
fn receive<'h>(cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
    match message.tagged() {
        Some((KEEP, [])) => Ok(Next(cx.get(TABLE).unwrap_or(cx.nil()))),
        Some((KEEP, [what])) => Ok(Next(*what)),
        Some((TELL, [to])) => {
            cx.send(to.get()?, state);
            Ok(Next(state))
        }
        Some((PASS, [to])) => {
            cx.send(to.get()?, term!(cx, {KEEP, state}));
            Ok(Next(cx.nil()))
        }
        _ => Ok(Next(state)),
    }
}

#[test]
fn a_holder_keeps_an_equal_copy_and_everyone_else_is_passed_over() {
    let mut rt = Runtime::deterministic(3);
    let store = rt.persistent().clone();
    let (reports, _subscription) = reports(&store);
    assert_eq!(store.put(TABLE, Region::build(|h| h.list(0..100))).unwrap(), Put::Inserted);
    let holders: Vec<_> = (0..3).map(|_| rt.spawn_fn(|cx| cx.nil(), receive).unwrap()).collect();
    let others: Vec<_> = (0..50).map(|_| rt.spawn_fn(|cx| cx.nil(), receive).unwrap()).collect();
    for &p in &holders {
        rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
    }
    for &p in &others {
        rt.send_new(p, |h| h.nil()).unwrap();
    }
    rt.run_until_idle();
    assert_eq!(store.put(TABLE, Region::build(|h| h.list(0..3))).unwrap(), Put::Replaced);
    rt.run_until_idle();
    let report = reports.lock().unwrap().pop().expect("a collection has ended");
    assert_eq!((report.areas, report.asked, report.holders), (1, 3, 3));
    assert_eq!(report.evacuated_words, 3 * 200);
    assert_eq!(store.info().retained_bytes, 0);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    for &p in &holders {
        rt.send_new(p, |h| term!(h, {TELL, me})).unwrap();
        rt.run_until_idle();
        assert_eq!(port.try_recv().unwrap().root().list().count(), 100);
    }
}

#[test]
fn literals_that_are_passed_round_while_terms_are_replaced_stay_whole() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let store = rt.persistent().clone();
    let version = |v: i64| Region::build(|h| term!(h, {v, h.list((0..20).map(|i| i + v))}));
    store.put(TABLE, version(0)).unwrap();
    let ring: Vec<_> = (0..16).map(|_| rt.spawn_fn(|cx| cx.nil(), receive).unwrap()).collect();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    for v in 1..2000 {
        let p = ring[v as usize % ring.len()];
        let q = ring[(v as usize * 7 + 3) % ring.len()];
        rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
        rt.send_new(p, |h| term!(h, {PASS, q})).unwrap();
        rt.send_new(q, |h| term!(h, {TELL, me})).unwrap();
        store.put(TABLE, version(v)).unwrap();
    }
    for _ in 1..2000 {
        let told = port.recv_timeout(LONG).expect("an answer");
        told.verify().unwrap();
        if let Some([v, list]) = told.root().tuple_of() {
            let v = v.as_int().unwrap();
            assert!(list.list().map(|i| i.as_int().unwrap()).eq((0..20).map(|i| i + v)));
        }
    }
    assert!(store.wait_idle(LONG));
    assert_eq!(store.info().retained_bytes, 0);
}
