//! What a collection that has many holders costs those who are none, and the holders.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use support::LONG;

const X: Atom = Atom::inline("x");
const KEEP: Atom = Atom::inline("keep");
const HOLDERS: usize = 1000;

/// How many steps a process waits for its turn that has nothing to do with a collection of a thousand holders, of whom the
/// first are about to answer.
fn delay(seed: u64) -> u64 {
    let mut rt = Runtime::deterministic(seed);
    let store = rt.persistent().clone();
    store.put(X, Region::build(|h| h.list(0..20))).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    for _ in 0..HOLDERS {
        rt.spawn_fn(|cx| cx.get(X).unwrap_or(cx.nil()), |_, state, _| Ok(Next(state))).unwrap();
    }
    let other = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            cx.send(me, cx.nil());
            Ok(Next(state))
        },
    );
    let other = other.unwrap();
    rt.run_until_idle();
    store.erase(X);
    while store.held_up().unanswered.is_empty() {
        rt.step();
    }
    rt.send_new(other, |h| h.nil()).unwrap();
    let mut steps = 0;
    while port.try_recv().is_none() {
        assert!(rt.step());
        steps += 1;
    }
    rt.run_until_idle();
    assert!(store.wait_idle(LONG));
    assert_eq!((store.info().areas, rt.processes()), (0, HOLDERS + 1));
    steps
}

#[test]
fn who_holds_nothing_does_not_wait_behind_all_who_do() {
    let delays: Vec<u64> = (0..20).map(delay).collect();
    let mean = delays.iter().sum::<u64>() / delays.len() as u64;
    println!("{HOLDERS} holders: {mean} steps, at most {}", delays.iter().max().unwrap());
    assert!(mean < HOLDERS as u64 / 3, "{delays:?}");
}

/// A holder that is told something while it waits to be asked its turn is served first, and answers with that.
#[test]
fn who_is_put_off_is_served_at_once() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, Region::build(|h| h.list(0..20))).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let holders: Vec<Pid> = (0..HOLDERS)
        .map(|_| {
            let p = rt.spawn_fn(
                |cx| cx.get(X).unwrap_or(cx.nil()),
                move |cx, state, _| {
                    cx.send(me, state);
                    Ok(Next(state))
                },
            );
            p.unwrap()
        })
        .collect();
    rt.run_until_idle();
    store.erase(X);
    while store.held_up().unanswered.is_empty() {
        rt.step();
    }
    let before = store.held_up().unanswered.len();
    assert!(before < HOLDERS / 3, "{before} are woken at once");
    rt.send_new(holders[HOLDERS - 1], |h| h.atom(KEEP)).unwrap();
    let mut steps = 0;
    let told = loop {
        assert!(rt.step());
        steps += 1;
        if let Some(told) = port.try_recv() {
            break told;
        }
    };
    assert!(steps < HOLDERS / 2, "{steps} steps");
    assert!(told.root().list().map(|i| i.as_int().unwrap()).eq(0..20));
    rt.run_until_idle();
    assert_eq!((store.info().areas, store.held_up()), (0, shared_term::persistent::HeldUp::default()));
}
