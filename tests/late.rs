//! What comes at a bad time: in a hook of another store, under a lock, to a process of another runtime, behind a batch.

#![cfg(feature = "runtime")]

mod support;

use shared_term::persistent::Policy;
use shared_term::prelude::*;
use shared_term::process::{MailboxLimit, RegisterError, SpawnError, SpawnOptions};
use shared_term::runtime::Handle;
use std::sync::mpsc;
use support::{LONG, OnDrop};

const KEY: Atom = Atom::inline("key");
const OTHER: Atom = Atom::inline("other");
const NAME: Atom = Atom::inline("name");

/// A test that hangs fails.
fn within(f: impl FnOnce() + Send + 'static) {
    let (tx, rx) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        tx.send(()).unwrap();
    });
    if rx.recv_timeout(LONG) != Err(mpsc::RecvTimeoutError::Timeout) {
        return thread.join().unwrap();
    }
    panic!("it hangs");
}

fn list(n: i64) -> Region {
    Region::build(|h| h.list(0..n))
}

#[test]
fn a_name_is_for_a_process_of_its_own_runtime() {
    let store = PersistentTerms::new();
    let mut one = Runtime::builder().persistent(store.clone()).deterministic(1);
    let two = Runtime::builder().persistent(store).deterministic(2);
    let p = one.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
    one.register(NAME, p).unwrap();
    assert_eq!(two.register(OTHER, p), Err(RegisterError::NoProcess));
    one.send_new(p, |h| h.nil()).unwrap();
    one.run_until_idle();
    assert_eq!((one.whereis(NAME), two.whereis(OTHER)), (None, None));
}

#[test]
fn a_behaviour_that_is_refused_may_use_names_as_it_goes() {
    struct Refused(Handle);
    impl Process for Refused {
        fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
            Ok(cx.nil())
        }
        fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Next(state))
        }
    }
    impl Drop for Refused {
        fn drop(&mut self) {
            assert!(self.0.registered().is_empty());
        }
    }
    within(|| {
        let rt = Runtime::builder().max_processes(0).deterministic(1);
        let handle = Handle::clone(&rt);
        let refused = rt.spawn_with(SpawnOptions::new().name(NAME), Refused(handle));
        assert!(matches!(refused, Err(SpawnError::TooMany)));
    });
}

#[test]
fn the_last_handle_on_a_key_may_change_the_store_as_it_goes() {
    within(|| {
        let store = PersistentTerms::new();
        let (tx, rx) = mpsc::channel();
        let last = OnDrop::new({
            let store = store.clone();
            move || tx.send(store.put_many([(KEY, list(3))]).is_ok()).unwrap()
        });
        let key = Region::build(|h| h.tuple(&[h.resource(last)]));
        let mut batch = store.batch();
        batch.erase(key.root()).unwrap();
        drop(key);
        assert_eq!(batch.commit().unchanged, 1);
        assert!(rx.recv().unwrap());
    });
}

#[test]
fn what_a_hook_does_to_another_store_is_collected() {
    let (one, other) = (PersistentTerms::new(), PersistentTerms::new());
    other.put(KEY, list(100)).unwrap();
    let _erases = one.on_collection({
        let other = other.clone();
        move |_| _ = other.erase(KEY)
    });
    one.put(KEY, list(3)).unwrap();
    one.erase(KEY);
    assert_eq!((one.info().areas, other.info().areas), (0, 0));
}

#[test]
fn hooks_of_two_stores_that_change_each_other_come_to_an_end() {
    let (one, other) = (PersistentTerms::new(), PersistentTerms::new());
    let replaces = |store: &PersistentTerms| {
        let store = store.clone();
        move |_: &_| _ = store.put(KEY, list(store.info().collections as i64 + 1))
    };
    for store in [&one, &other] {
        store.put(KEY, list(5000)).unwrap();
    }
    let _both = (one.on_collection(replaces(&other)), other.on_collection(replaces(&one)));
    one.erase(KEY);
    assert!(one.info().collections > 0 && other.info().collections > 0);
}

#[test]
fn to_erase_what_a_batch_has_erased_changes_nothing_for_who_does_not_see_the_batch() {
    let store = PersistentTerms::new();
    store.put_many([(KEY, list(1)), (OTHER, list(2))]).unwrap();
    let before = store.pin();
    store.erase_many([KEY, OTHER]).unwrap();
    assert!(!store.erase(KEY));
    assert_eq!((before.get(KEY).is_some(), before.get(OTHER).is_some()), (true, true));
}

#[test]
fn a_batch_that_is_dropped_leaves_nothing() {
    let store = PersistentTerms::new();
    let mut batch = store.batch();
    batch.put(KEY, list(100)).unwrap().put(OTHER, list(200)).unwrap();
    drop(batch);
    assert_eq!((store.info().areas, store.info().retained_bytes), (0, 0));
}

#[test]
fn a_value_that_was_built_in_vain_leaves_nothing() {
    let store = PersistentTerms::new();
    for _ in 0..2 {
        store.put_built(KEY, |h| h.list(0..100)).unwrap();
    }
    assert_eq!((store.info().areas, store.info().retained_bytes), (1, 0));
}

#[test]
fn a_lazy_store_that_is_told_to_collect_collects_what_a_batch_will_let_go_of() {
    let store = PersistentTerms::builder().policy(Policy::Lazy).build();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    store.put(KEY, list(1000)).unwrap();
    rt.spawn_fn(|cx| cx.get(KEY).unwrap(), |_, s, _| Ok(Next(s))).unwrap();
    rt.run_until_idle();
    let guard = store.pin();
    store.put_many([(KEY, list(3))]).unwrap();
    store.collect();
    drop(guard);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
}

#[test]
fn a_message_that_a_collection_makes_larger_leaves_a_mailbox_with_a_limit_as_empty_as_it_was() {
    let store = PersistentTerms::new();
    let mut rt = Runtime::builder().persistent(store.clone()).deterministic(1);
    let options = SpawnOptions::new().mailbox(MailboxLimit::Bytes(20_000));
    // Defers until it is told to take what it has.
    let p = rt.spawn_fn_with(
        options,
        |cx| cx.atom(Atom::from(false)),
        |cx, takes, message| match (takes.as_bool(), message.is_nil()) {
            (_, true) => Ok(NextReoffer(cx.atom(Atom::from(true)))),
            (Some(true), _) => Ok(Next(takes)),
            _ => Ok(Defer),
        },
    );
    let p = p.unwrap();
    store.put(KEY, list(1000)).unwrap();
    rt.spawn_fn(
        move |cx| {
            cx.send(p, cx.get(KEY).unwrap());
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    )
    .unwrap();
    rt.run_until_idle();
    store.erase(KEY);
    rt.run_until_idle();
    assert!(rt.info(p).unwrap().message_bytes > 8000, "it was made larger");
    assert_eq!(store.info().areas, 0);
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    // As much as in the beginning.
    assert_eq!(rt.info(p).unwrap().messages, 0);
    let fits = std::iter::repeat_with(|| rt.send(p, list(200))).take_while(Result::is_ok).count();
    assert_eq!(fits, 6);
}
