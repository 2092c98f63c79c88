//! `hibernate_SUITE`, as far as there is something to throw away: the heap.

use crate::helpers::{GO, go, runtime, said};
use shared_term::heap::HeapInfo;
use shared_term::persistent::Policy;
use shared_term::prelude::*;
use shared_term::process::{MailboxLimit, SpawnOptions};
use shared_term::runtime::Handle;

/// The bytes of a heap with so many words, and no room for more: those, and the header of a chunk.
const fn bytes(words: usize) -> usize {
    if words == 0 { 0 } else { 24 + 8 * words }
}

fn heap(rt: &Handle, p: Pid) -> HeapInfo {
    rt.info(p).unwrap().details.unwrap().heap
}

/// Makes garbage, adds a number to what it keeps, and hibernates; with `:go` it keeps nothing.
fn hibernates(rt: &Handle, to: Pid) -> Pid {
    rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, s, m| {
            cx.list(0..1000);
            cx.hibernate();
            cx.send(to, m);
            Ok(Next(if m.as_atom() == Some(GO) { cx.nil() } else { cx.cons(m, s) }))
        },
    )
    .unwrap()
}

/// `hibernate_SUITE:basic`: whatever was made on the way, what a process keeps is all the memory that it has; in OTP "term +
/// 12 words" after a hundred times, here the term.
#[test]
fn basic() {
    let (mut rt, port) = runtime();
    let p = hibernates(&rt, port.pid());
    for i in 1..=100_usize {
        rt.send_new(p, |h| h.int(i as u64)).unwrap();
        rt.run_until_idle();
        let heap = heap(&rt, p);
        assert_eq!((heap.chunk_bytes, heap.old_words, heap.young_words), (bytes(2 * i), 2 * i, 0));
    }
    go(&rt, p);
    rt.run_until_idle();
    assert_eq!(heap(&rt, p).chunk_bytes, 0, "an immediate needs no heap");
}

/// `hibernate_SUITE:messages_in_queue`: what waits comes first. OTP wakes at each message; here the process has a heap as
/// before until the last is done, and moves it once.
#[test]
fn messages_in_queue() {
    let (mut rt, mut port) = runtime();
    let p = hibernates(&rt, port.pid());
    rt.run_until_idle();
    (0..5).for_each(|i| rt.send_new(p, |h| h.int(i)).unwrap());
    rt.run_until_idle();
    assert_eq!(said(&mut port), ["0", "1", "2", "3", "4"]);
    let heap = heap(&rt, p);
    assert_eq!((heap.chunk_bytes, heap.old_words), (bytes(10), 10));
    assert!(heap.minor_collections + heap.major_collections <= 5 + 2, "{heap:?}");
}

/// `hibernate_SUITE:min_heap_size`: the least size is one for collections, and holds again when the process wakes up.
#[test]
#[cfg_attr(shared_term_stress, ignore = "it is about when nothing is collected")]
fn min_heap_size() {
    let (mut rt, _) = runtime();
    let options = SpawnOptions::new().min_heap_words(5000).mailbox(MailboxLimit::Messages(1));
    let p = rt
        .spawn_fn_with(
            options,
            |cx| {
                cx.hibernate();
                cx.list(0..10)
            },
            |cx, s, _| Ok(Next(cx.cons(cx.nil(), s))),
        )
        .unwrap();
    rt.run_until_idle();
    let before = heap(&rt, p);
    assert_eq!((before.chunk_bytes, before.old_words), (bytes(20), 20), "also from the first turn on");
    for _ in 0..100 {
        go(&rt, p);
        rt.run_until_idle();
    }
    let after = heap(&rt, p);
    assert_eq!(after.young_words, 200);
    assert_eq!(after.major_collections, before.major_collections, "it asked for one, and once");
    assert_eq!(after.minor_collections, 0);
}

/// What a process that has hibernated holds of a persistent term is evacuated without waking it.
#[test]
fn a_holder_that_hibernates_stays_so() {
    let (mut rt, _) = runtime();
    let store = rt.persistent().clone();
    store.put(GO, Region::build(|h| h.list(0..100))).unwrap();
    let p = rt
        .spawn_fn(
            |cx| {
                cx.hibernate();
                cx.list([cx.get(GO).unwrap()])
            },
            |_, s, _| Ok(Next(s)),
        )
        .unwrap();
    rt.run_until_idle();
    assert_eq!(heap(&rt, p).chunk_bytes, bytes(2), "a literal takes no room");
    store.erase(GO);
    rt.run_until_idle();
    assert_eq!((store.info().retained_bytes, heap(&rt, p).old_words), (0, 202));
    assert_eq!(rt.info(p).unwrap().details.unwrap().turns, 1);
}

/// What a lazy collection leaves to its holders goes when one hibernates, also where all that it has is the term itself.
#[test]
fn who_hibernates_lets_go_of_what_a_lazy_collection_has_left() {
    for alone in [false, true] {
        let store = PersistentTerms::builder().policy(Policy::Lazy).build();
        let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
        store.put(GO, Region::build(|h| h.list(0..100))).unwrap();
        let p = rt
            .spawn_fn(
                move |cx| {
                    let term = cx.get(GO).unwrap();
                    if alone { term } else { cx.list([term]) }
                },
                |cx, s, _| {
                    cx.hibernate();
                    Ok(Next(s))
                },
            )
            .unwrap();
        rt.run_until_idle();
        store.erase(GO);
        rt.run_until_idle();
        assert!(store.info().retained_bytes > 0);
        go(&rt, p);
        rt.run_until_idle();
        let words = 200 + if alone { 0 } else { 2 };
        assert_eq!((store.info().retained_bytes, heap(&rt, p).chunk_bytes), (0, bytes(words)));
    }
}
