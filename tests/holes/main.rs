//! The holes that a simpler global collection would have: `table` says for each what shows that this one has it closed; here
//! are the tests of those that no other file has.

#![cfg(feature = "runtime")]

#[path = "../support/mod.rs"]
mod support;
mod table;

use shared_term::persistent::Report;
use shared_term::prelude::*;
use shared_term::process::{SpawnOptions, Status};
use shared_term::runtime::Deterministic;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;
use support::{LONG, Ledger};

const X: Atom = Atom::inline("x");
const KEEP: Atom = Atom::inline("keep");
const TELL: Atom = Atom::inline("tell");
const OPEN: Atom = Atom::inline("open");

fn list(n: i64) -> Region {
    Region::build(|h| h.list(0..n))
}

/// Keeps what is at `X` when told to, and tells what it has.
fn holder(rt: &shared_term::runtime::Handle) -> Pid {
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, message| match message.tagged() {
            Some((KEEP, [])) => Ok(Next(cx.get(X).unwrap_or(cx.nil()))),
            Some((TELL, [to])) => {
                cx.send(to.get()?, state);
                Ok(Next(state))
            }
            _ => Ok(Next(state)),
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
    p
}

fn told(rt: &mut Deterministic, p: Pid) -> Region {
    let mut port = rt.port().unwrap();
    let me = port.pid();
    rt.send_new(p, |h| term!(h, {TELL, me})).unwrap();
    rt.run_until_idle();
    port.try_recv().expect("it lives")
}

type Reports = Arc<Mutex<Vec<Report>>>;

fn reports(store: &PersistentTerms) -> (Reports, shared_term::persistent::Subscription) {
    let all = Reports::default();
    let subscription = store.on_collection({
        let all = Arc::clone(&all);
        move |report| all.lock().unwrap().push(report.clone())
    });
    (all, subscription)
}

#[test]
fn a_literal_in_a_message_that_waits_is_whole_when_its_turn_comes() {
    let mut rt = Runtime::deterministic(5);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let mut open = false;
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let q = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, message| {
            if message.as_atom() == Some(OPEN) {
                open = true;
                return Ok(NextReoffer(state));
            }
            if !open {
                return Ok(Defer);
            }
            cx.send(me, message);
            Ok(Next(state))
        },
    );
    let q = q.unwrap();
    // One that is deferred, and one that still lies in the mailbox when the key goes.
    let sender = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            cx.send(q, cx.get(X).unwrap_or(cx.nil()));
            Ok(Next(state))
        },
    );
    let sender = sender.unwrap();
    rt.send_new(sender, |h| h.nil()).unwrap();
    rt.run_until_idle();
    rt.send_new(sender, |h| h.nil()).unwrap();
    rt.step();
    store.erase(X);
    rt.run_until_idle();
    assert!(store.wait_idle(LONG));
    rt.send_new(q, |h| h.atom(OPEN)).unwrap();
    rt.run_until_idle();
    let first = port.try_recv().expect("the deferred message");
    assert!(first.root().list().map(|i| i.as_int().unwrap()).eq(0..100));
    first.verify().unwrap();
}

#[test]
fn a_region_in_plain_hands_outlives_what_it_was_copied_from() {
    let store = PersistentTerms::new();
    store.put(X, list(1000)).unwrap();
    let region = store.read(X, |value| Region::copy_of(value.unwrap()));
    store.erase(X);
    assert!(store.wait_idle(LONG));
    region.verify().unwrap();
    assert!(region.root().list().map(|i| i.as_int().unwrap()).eq(0..1000));
}

#[test]
fn what_was_evacuated_is_whole_after_minor_and_major_collections() {
    let options = SpawnOptions::new().min_heap_words(64);
    let mut rt = Runtime::builder().spawn_defaults(options).unwrap().deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, message| match message.tagged() {
            Some((KEEP, [])) => Ok(Next(cx.tuple(&[cx.get(X).unwrap_or(cx.nil()), cx.nil()]))),
            Some((TELL, [to])) => {
                cx.send(to.get()?, state);
                Ok(Next(state))
            }
            // Something old with the value in it, something new before it, and garbage.
            _ => {
                let _garbage = cx.list(0..50);
                let [value, rest]: [Term<'_>; 2] = state.tuple_of().copied().expect("its state");
                Ok(Next(cx.tuple(&[value, cx.cons(message, rest)])))
            }
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
    for i in 0..40 {
        rt.send_new(p, |h| h.int(i)).unwrap();
        rt.run_until_idle();
        if i == 20 {
            store.erase(X);
            rt.run_until_idle();
            assert_eq!(store.info().retained_bytes, 0);
        }
    }
    let told = told(&mut rt, p);
    told.verify().unwrap();
    let [value, rest] = told.root().tuple_of().unwrap();
    assert!(value.list().map(|i| i.as_int().unwrap()).eq(0..100));
    assert!(rest.list().map(|i| i.as_int().unwrap()).eq((0..40).rev()));
}

#[test]
fn who_reads_and_keeps_nothing_is_passed_over() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let reader = || {
        let read = |cx: Cx<'_>| cx.get(X).map_or(0, |value| value.list().count() as i64);
        rt.spawn_fn(|cx| cx.nil(), move |cx, _, _| Ok(Next(cx.list([read(cx)])))).unwrap()
    };
    let readers: Vec<_> = (0..20).map(|_| reader()).collect();
    for p in readers {
        rt.send_new(p, |h| h.nil()).unwrap();
    }
    rt.run_until_idle();
    let (reports, _subscription) = reports(&store);
    store.erase(X);
    rt.run_until_idle();
    let report = reports.lock().unwrap().pop().unwrap();
    assert_eq!((report.areas, report.asked, report.cleared), (1, 0, 0));
}

#[test]
fn holders_of_terms_with_the_same_bit_are_not_woken() {
    // There are 56 bits, and 200 terms.
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(10)).unwrap();
    for key in 0..200 {
        store.put(key, list(key + 2)).unwrap();
    }
    let holders: Vec<_> = (0..5).map(|_| holder(&rt)).collect();
    rt.run_until_idle();
    let (reports, _subscription) = reports(&store);
    for key in 0..200 {
        store.erase(key);
        rt.run_until_idle();
    }
    let reports = std::mem::take(&mut *reports.lock().unwrap());
    let sum = |f: fn(&Report) -> usize| reports.iter().map(f).sum::<usize>();
    assert_eq!((sum(|r| r.areas), sum(|r| r.asked), sum(|r| r.holders)), (200, 0, 0));
    assert!(sum(|r| r.cleared) >= holders.len(), "no bit was shared: the test shows nothing");
    assert_eq!(told(&mut rt, holders[0]).root().list().count(), 10);
}

#[test]
fn a_holder_copies_what_it_reaches_and_not_the_area() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, Region::build(|h| term!(h, {[1, 2, 3], h.list(0..10_000)}))).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, state, message| match message.tagged() {
            Some((TELL, [to])) => {
                cx.send(to.get()?, state);
                Ok(Next(state))
            }
            _ => Ok(Next(cx.get(X).and_then(|x| x.tuple_of::<2>().map(|t| t[0])).unwrap_or(cx.nil()))),
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    let (reports, _subscription) = reports(&store);
    store.erase(X);
    rt.run_until_idle();
    let report = reports.lock().unwrap().pop().unwrap();
    assert_eq!((report.holders, report.evacuated_words), (1, 6));
    assert!(report.words > 20_000);
    assert_eq!(told(&mut rt, p).root().to_string(), "[1,2,3]");
}

/// Puts off what comes until it is told how many to take; keeps the last one, and what it had before.
fn hoarder(rt: &shared_term::runtime::Handle) -> Pid {
    let mut left = 0;
    rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, message| match message.tagged() {
            Some((OPEN, [n])) => {
                left = n.get()?;
                Ok(NextReoffer(state))
            }
            Some((KEEP, [])) => Ok(Next(cx.list([cx.get(X).unwrap_or(cx.nil())]))),
            Some((TELL, [to])) => {
                cx.send(to.get()?, state);
                Ok(Next(state))
            }
            _ if left == 0 => Ok(Defer),
            _ => {
                left -= 1;
                let [_, list] = message.tuple_of::<2>().expect("a number and a list");
                assert_eq!(list.list().count(), 10_000);
                Ok(Next(state))
            }
        },
    )
    .unwrap()
}

#[test]
fn a_burst_of_messages_is_made_to_copy_once_what_all_of_them_hold() {
    const MESSAGES: i64 = 1000;
    const WORDS: usize = 2 * 10_000;
    for keeps in [false, true] {
        let mut rt = Runtime::deterministic(1);
        let store = rt.persistent().clone();
        store.put(X, list(10_000)).unwrap();
        let p = hoarder(&rt);
        if keeps {
            rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
        }
        let sender = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                for i in 0..MESSAGES {
                    cx.send(p, cx.tuple(&[cx.int(i), cx.get(X).expect("it is there")]));
                }
                Ok(Next(state))
            },
        );
        rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
        rt.run_until_idle();
        let waiting = |rt: &Deterministic| rt.info(p).unwrap();
        let before = waiting(&rt);
        let reports = store.reports(64);
        store.erase(X);
        rt.run_until_idle();
        // A list for all of them, the heap included, and not one for each.
        let report = reports.try_recv().unwrap();
        assert_eq!((report.areas, report.holders, report.evacuated_words), (1, 1, WORDS));
        let info = store.info();
        assert_eq!((info.areas, info.retained_bytes), (1, 0));
        assert_eq!(info.words, WORDS + 2, "and nothing for each of them");
        let after = waiting(&rt);
        assert_eq!((before.messages, after.messages), (MESSAGES as usize, MESSAGES as usize));
        assert!(after.message_bytes <= before.message_bytes + 32 * before.messages, "{after:?}");
        let heap = after.details.expect("it is idle").heap;
        assert!(heap.young_words + heap.old_words < 100, "the heap has a copy of its own: {heap:?}");
        // As they go, no more than once for each time that their number is halved.
        for _ in 0..20 {
            rt.send_new(p, |h| term!(h, {OPEN, 50})).unwrap();
            rt.run_until_idle();
            let info = store.info();
            assert!(info.words <= WORDS + 2 && info.areas <= 1, "{info:?}");
        }
        assert_eq!(waiting(&rt).messages, 0);
        assert_eq!((store.info().areas, store.info().retained_bytes), (0, 0));
        let copied: usize = std::iter::from_fn(|| reports.try_recv()).map(|report| report.evacuated_words).sum();
        assert!(copied <= 10 * WORDS, "{copied}");
        let told = told(&mut rt, p);
        told.verify().unwrap();
        let kept = told.root().list().next().map(|list| list.list().map(|i| i.as_int().unwrap()).eq(0..10_000));
        assert_eq!(kept, keeps.then_some(true));
    }
}

#[test]
fn of_a_burst_each_message_has_what_it_had() {
    const VALUES: i64 = 200;
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, Region::build(|h| h.tuple(&(0..VALUES).map(|i| h.list([i, -i])).collect::<Vec<_>>()))).unwrap();
    let (seen, mut open) = (Arc::new(Mutex::new(Vec::new())), false);
    let receiver = {
        let seen = Arc::clone(&seen);
        rt.spawn_fn(
            |cx| cx.nil(),
            move |_, state, message| {
                if message.as_atom() == Some(OPEN) {
                    open = true;
                    return Ok(NextReoffer(state));
                }
                if !open {
                    return Ok(Defer);
                }
                let [number, list] = message.tuple_of::<2>().expect("a number and a list");
                let list: Vec<_> = list.list().map(|i| i.as_int().unwrap()).collect();
                seen.lock().unwrap().push((number.as_int().unwrap(), list));
                Ok(Next(state))
            },
        )
    };
    let p = receiver.unwrap();
    // Next to each other, twice in a row, and far apart.
    let number = |i: i64| if i % 3 == 0 { i % 5 } else { i * 7 % VALUES };
    let sender = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let values = cx.get(X).and_then(|x| x.as_tuple()).expect("it is there");
            for i in 0..2000 {
                cx.send(p, cx.tuple(&[cx.int(i), values[number(i) as usize]]));
            }
            Ok(Next(state))
        },
    );
    rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    store.erase(X);
    rt.run_until_idle();
    let info = store.info();
    assert!(info.areas == 1 && info.words < 4 * VALUES as usize + 2000, "{info:?}");
    rt.send_new(p, |h| h.atom(OPEN)).unwrap();
    rt.run_until_idle();
    let expected: Vec<_> = (0..2000).map(|i| (i, vec![number(i), -number(i)])).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!((store.info().areas, store.info().retained_bytes), (0, 0));
}

#[test]
fn a_message_that_is_received_keeps_nothing_for_having_waited() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let mut open = false;
    let p = rt.spawn_fn(
        |cx| cx.get(X).unwrap_or(cx.nil()),
        move |cx, state, message| match message.tagged() {
            Some((KEEP, [])) => {
                for i in 0..2 {
                    cx.send(cx.me(), cx.tuple(&[cx.int(i), state]));
                }
                Ok(Next(state))
            }
            Some((OPEN, [])) => {
                open = true;
                Ok(NextReoffer(state))
            }
            Some((TELL, [to])) => {
                cx.send(to.get()?, state);
                Ok(Next(state))
            }
            _ if !open => Ok(Defer),
            _ => Ok(Next(message)),
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
    rt.run_until_idle();
    store.erase(X);
    rt.run_until_idle();
    assert_eq!(store.info().areas, 1, "heap and messages share a copy");
    // Kept whole, and not collected: what it was kept by goes all the same.
    rt.send_new(p, |h| term!(h, { OPEN })).unwrap();
    rt.run_until_idle();
    assert_eq!((store.info().areas, store.info().retained_bytes), (0, 0));
    let told = told(&mut rt, p);
    assert!(told.root().tuple_of::<2>().unwrap()[1].list().map(|i| i.as_int().unwrap()).eq(0..100));
}

/// And nothing of a store whose only term is gone.
fn one_small_message_is_left(rt: &Deterministic, p: Pid) {
    let info = rt.persistent().info();
    assert_eq!((info.areas, info.words), (0, 0));
    let left = rt.info(p).unwrap();
    assert!(left.messages == 1 && left.message_bytes < 200, "{left:?}");
}

#[test]
fn what_few_messages_have_left_is_not_what_many_had() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    // A large part for all, and a small one for the last.
    store.put(X, Region::build(|h| term!(h, {h.list(0..10_000), [7]}))).unwrap();
    let p = hoarder(&rt);
    let sender = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let [large, small] = cx.get(X).and_then(|x| x.tuple_of().copied()).expect("it is there");
            for i in 0..8 {
                cx.send(p, cx.tuple(&[cx.int(i), large]));
            }
            cx.send(p, cx.tuple(&[cx.int(8), small]));
            Ok(Next(state))
        },
    );
    rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    store.erase(X);
    rt.run_until_idle();
    assert!(store.info().words > 20_000);
    rt.send_new(p, |h| term!(h, {OPEN, 8})).unwrap();
    rt.run_until_idle();
    // The one that is left has a list of its own.
    one_small_message_is_left(&rt, p);
}

/// Whoever has many messages looks at them by itself: the collection that keeps it meanwhile would keep it long.
#[test]
#[cfg_attr(shared_term_stress, ignore = "it is about when nothing is collected")]
fn a_look_at_who_is_idle_passes_over_few_messages() {
    for (messages, cleared) in [(10, 1), (10_000, 0)] {
        let mut rt = Runtime::deterministic(1);
        let store = rt.persistent().clone();
        store.put(X, list(10)).unwrap();
        let p = rt.spawn_fn(
            |cx| cx.nil(),
            |_, state, message| if message.as_int().is_some() { Ok(Defer) } else { Ok(Next(state)) },
        );
        let p = p.unwrap();
        (0..messages).for_each(|i| rt.send_new(p, |h| h.int(i)).unwrap());
        rt.run_until_idle();
        // Behind those comes one with a literal, which it keeps nothing of.
        let sender = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                cx.send(p, cx.tuple(&[cx.get(X).expect("it is there")]));
                Ok(Next(state))
            },
        );
        rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
        rt.run_until_idle();
        let reports = store.reports(1);
        store.erase(X);
        rt.run_until_idle();
        let report = reports.try_recv().unwrap();
        assert_eq!((report.areas, report.holders, report.cleared, report.asked), (1, 0, cleared, 1 - cleared));
    }
}

#[test]
fn what_the_heap_had_is_not_what_the_one_message_keeps_that_waits() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    // A large part for the heap, and a small one for the message.
    store.put(X, Region::build(|h| term!(h, {h.list(0..10_000), [7]}))).unwrap();
    let p = rt.spawn_fn(
        |cx| cx.get(X).expect("it is there"),
        |cx, state, message| match message.tagged() {
            Some((KEEP, [])) => {
                cx.send(cx.me(), cx.tuple(&[cx.int(1), state.as_tuple().expect("both parts")[1]]));
                Ok(Next(state))
            }
            Some((OPEN, [])) => Ok(Next(cx.nil())),
            _ => Ok(Defer),
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| term!(h, { KEEP })).unwrap();
    rt.run_until_idle();
    store.erase(X);
    rt.run_until_idle();
    rt.send_new(p, |h| term!(h, { OPEN })).unwrap();
    rt.run_until_idle();
    one_small_message_is_left(&rt, p);
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "it is about when nothing is collected")]
fn a_large_message_that_is_kept_is_not_copied_for_having_come() {
    let mut rt = Runtime::deterministic(1);
    let p = rt.spawn_fn(|cx| cx.nil(), |_, _, message| Ok(Next(message))).unwrap();
    rt.send(p, list(100_000)).unwrap();
    rt.run_until_idle();
    let info = rt.info(p).unwrap();
    let heap = info.details.expect("it is idle").heap;
    assert_eq!((heap.minor_collections, heap.major_collections), (0, 0));
}

#[test]
fn a_turn_that_runs_on_delays_the_freeing_and_is_named() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let (entered, is_in) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let slow = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let before = cx.get(X).map(|value| value.list().count());
            entered.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
            assert_eq!(cx.get(X).map(|value| value.list().count()), Some(1));
            assert_eq!(before, Some(100));
            Ok(Next(state))
        },
    );
    let slow = slow.unwrap();
    rt.send_new(slow, |h| h.nil()).unwrap();
    is_in.recv().unwrap();
    store.put(X, list(1)).unwrap();
    // Others put, read, send and are served meanwhile.
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let other = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            cx.put(OPEN, cx.list(0..9))?;
            cx.send(me, cx.get(OPEN).unwrap_or(cx.nil()));
            Ok(Next(state))
        },
    );
    rt.send_new(other.unwrap(), |h| h.nil()).unwrap();
    assert_eq!(port.recv_timeout(LONG).unwrap().root().list().count(), 9);
    let start = Instant::now();
    while store.held_up().turns != [slow] {
        assert!(start.elapsed() < LONG, "{:?}", store.held_up());
        std::thread::yield_now();
    }
    assert!(store.info().retained_bytes > 0);
    go_on.send(()).unwrap();
    assert!(store.wait_idle(LONG));
    assert_eq!(store.held_up(), shared_term::persistent::HeldUp::default());
    assert!(rt.is_alive(slow));
}

#[test]
fn who_is_asked_and_never_run_is_named() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let p = holder(&rt);
    rt.run_until_idle();
    store.erase(X);
    // Nobody runs the runtime.
    assert!(!store.wait_idle(std::time::Duration::ZERO));
    while store.held_up().unanswered.is_empty() {
        assert!(!store.wait_idle(std::time::Duration::from_millis(1)));
    }
    assert_eq!(store.held_up().unanswered, [p]);
    rt.run_until_idle();
    assert_eq!(store.held_up(), shared_term::persistent::HeldUp::default());
    assert_eq!(told(&mut rt, p).root().list().count(), 100);
}

#[test]
fn all_who_are_asked_are_named_whether_they_are_woken_or_not() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    // More than are woken at once.
    let mut holders: Vec<_> = (0..1000).map(|_| holder(&rt)).collect();
    rt.run_until_idle();
    store.erase(X);
    while store.held_up().unanswered.is_empty() {
        assert!(!store.wait_idle(std::time::Duration::from_millis(1)));
    }
    let mut named = store.held_up().unanswered;
    named.sort_unstable();
    holders.sort_unstable();
    assert_eq!(named, holders);
    rt.run_until_idle();
    assert!(store.held_up().unanswered.is_empty());
}

#[test]
fn who_hibernates_lets_go_and_sleeps_on() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    let sleeper = |keeps: bool| {
        let p = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, message| {
                if let Some((TELL, [to])) = message.tagged() {
                    cx.send(to.get()?, state);
                    return Ok(Next(state));
                }
                let all = cx.get(X).unwrap_or(cx.nil());
                let first = all.list().next().unwrap_or(cx.nil());
                cx.hibernate();
                Ok(Next(cx.list([if keeps { all } else { first }])))
            },
        );
        let p = p.unwrap();
        rt.send_new(p, |h| h.nil()).unwrap();
        p
    };
    let (holds, sleeps) = (sleeper(true), sleeper(false));
    rt.run_until_idle();
    let before = [holds, sleeps].map(|p| rt.info(p).unwrap().details.unwrap());
    let reports = store.reports(4);
    store.erase(X);
    rt.run_until_idle();
    let report = reports.try_recv().unwrap();
    assert_eq!((report.areas, report.holders, report.asked), (1, 1, 1));
    let after = [holds, sleeps].map(|p| rt.info(p).unwrap().details.unwrap());
    // No turn is run for it, and nobody has more memory than it needs.
    assert_eq!(before.each_ref().map(|of| of.turns), after.each_ref().map(|of| of.turns));
    assert_eq!(before[1].heap, after[1].heap);
    assert_eq!(after[0].heap.old_words + after[0].heap.young_words, 2 + 200);
    let told = told(&mut rt, holds);
    assert!(told.root().list().next().unwrap().list().map(|i| i.as_int().unwrap()).eq(0..100));
}

#[test]
fn a_pid_of_another_domain_names_nobody_here() {
    let (here, there) = (Runtime::deterministic(1), Runtime::deterministic(2));
    let [mine, other] = [&here, &there].map(|rt| rt.spawn_fn(|cx| cx.nil(), |_, state, _| Ok(Next(state))).unwrap());
    assert!(here.is_alive(mine) && there.is_alive(other));
    // In the same slot, of the same generation.
    assert!(!here.is_alive(other) && !there.is_alive(mine));
    assert!(here.send_new(other, |h| h.nil()).is_err());
    assert!(!here.kill(other).unwrap());
}

#[test]
fn a_holder_that_is_killed_or_panics_at_any_step_holds_nothing_up() {
    for seed in 0..200 {
        let ledger = Ledger::default();
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        store.put(X, Region::build(|h| term!(h, {h.list(0..20), ledger.resource(h)}))).unwrap();
        let holders = [(); 3].map(|()| holder(&rt));
        let panics = rt.spawn_fn(
            |cx| cx.nil(),
            |cx, state, message| {
                if !message.is_nil() {
                    std::panic::resume_unwind(Box::new("as told"));
                }
                Ok(Next(cx.get(X).unwrap_or(state)))
            },
        );
        let panics = panics.unwrap();
        rt.send_new(panics, |h| h.nil()).unwrap();
        rt.run_until_idle();
        store.erase(X);
        for _ in 0..seed % 13 {
            rt.step();
        }
        rt.kill(holders[0]).unwrap();
        rt.send_new(panics, |h| h.int(1)).unwrap();
        for _ in 0..seed % 5 {
            rt.step();
        }
        rt.kill(holders[1]).unwrap();
        rt.run_until_idle();
        assert_eq!(store.info().retained_bytes, 0, "seed {seed}");
        assert_eq!(rt.processes(), 1, "seed {seed}");
        assert_eq!(told(&mut rt, holders[2]).root().tuple_of::<2>().unwrap()[0].list().count(), 20);
        drop(rt);
        assert_eq!(ledger.made(), ledger.dropped(), "seed {seed}");
    }
}

#[test]
fn holders_that_end_instead_of_answering_have_the_next_ones_woken() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, list(100)).unwrap();
    // More than are woken at once.
    let holders: Vec<_> = (0..1000).map(|_| holder(&rt)).collect();
    rt.run_until_idle();
    store.erase(X);
    let mut killed = 0;
    while killed == 0 {
        rt.step();
        for p in holders.iter().filter(|&&p| rt.info(p).unwrap().status == Status::Runnable) {
            rt.kill(*p).unwrap();
            killed += 1;
        }
    }
    rt.run_until_idle();
    assert_eq!((store.info().areas, store.info().retained_bytes), (0, 0));
    assert_eq!(rt.processes(), holders.len() - killed);
}

#[test]
fn collections_that_overlap_each_free_what_is_theirs() {
    for seed in 0..100 {
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        let mut holders = Vec::new();
        for version in 1..12 {
            store.put(X, list(version)).unwrap();
            holders.push(holder(&rt));
            for _ in 0..seed % 7 {
                rt.step();
            }
        }
        rt.run_until_idle();
        assert_eq!(store.info().retained_bytes, 0, "seed {seed}");
        store.erase(X);
        rt.run_until_idle();
        assert_eq!((store.info().retained_bytes, store.info().areas), (0, 0), "seed {seed}");
        for p in holders {
            let told = told(&mut rt, p);
            let n = told.root().list().count() as i64;
            assert!((1..12).contains(&n) && told.root().list().map(|i| i.as_int().unwrap()).eq(0..n), "seed {seed}");
        }
    }
}

#[test]
fn a_writer_that_ends_at_any_point_leaves_a_store_that_others_write() {
    for seed in 0..100 {
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        let writer = rt.spawn_fn(
            |cx| cx.int(0),
            |cx, n, _| {
                let n = n.as_int().expect("a number");
                cx.put(X, cx.list(0..=n))?;
                if n == 20 {
                    cx.persistent().erase(X);
                    std::panic::resume_unwind(Box::new("in the middle of it"));
                }
                Ok(Next(cx.int(n + 1)))
            },
        );
        let writer = writer.unwrap();
        for _ in 0..30 {
            let _ = rt.send_new(writer, |h| h.nil());
        }
        for _ in 0..seed {
            rt.step();
        }
        rt.kill(writer).unwrap();
        store.put(X, list(3)).unwrap();
        rt.run_until_idle();
        assert_eq!(store.read(X, |value| value.unwrap().list().count()), 3, "seed {seed}");
        store.erase(X);
        rt.run_until_idle();
        assert_eq!((store.info().retained_bytes, store.info().areas), (0, 0), "seed {seed}");
    }
}
