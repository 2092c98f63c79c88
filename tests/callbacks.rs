//! User code that runs where nobody sees it coming: destructors of resources and behaviours, hooks, `ended`. It panics,
//! waits, ends runtimes and changes the store, and everyone else goes on.

#![cfg(feature = "runtime")]

mod support;

use shared_term::heap::OwnedHeap;
use shared_term::persistent::Reports;
use shared_term::prelude::*;
use shared_term::runtime::{Deterministic, Exited, Handle, Port};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use support::{LONG, Ledger, OnDrop};

const KEY: Atom = Atom::inline("key");
const AGES: Duration = Duration::from_secs(3600);
/// For what fails the test when it waits, which then ends.
const PATIENCE: Duration = Duration::from_secs(2 * LONG.as_secs());

/// A port that a fresh process of the runtime answers: some worker still runs.
fn assert_runs(rt: &Runtime) {
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let echo = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, message| {
            cx.send(me, message);
            Ok(Next(state))
        },
    );
    rt.send_new(echo.unwrap(), |h| h.int(7)).unwrap();
    assert_eq!(port.recv_timeout(LONG).expect("a worker").root().as_int(), Some(7));
}

#[test]
fn a_destructor_that_panics_during_a_collection_leaves_a_whole_heap() {
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.turn(|h, _| {
        let keep = h.tuple(&[h.binary([1; 100]), h.binary([2; 200])]);
        let _garbage = [h.resource(OnDrop::panics()), h.binary([3; 300])];
        (h.tuple(&[keep, h.binary([4; 400])]), ())
    });
    assert!(catch_unwind(AssertUnwindSafe(|| heap.collect_major())).is_err());
    heap.verify().unwrap();
    let [keep, last] = heap.root().tuple_of().unwrap();
    assert_eq!(keep.tuple_of::<2>().unwrap()[1].as_bytes(), Some(&[2; 200][..]));
    assert_eq!(last.as_bytes(), Some(&[4; 400][..]));
    assert_eq!(heap.collect_major().unwrap().moved_words, heap.used_words());
}

#[test]
fn a_destructor_that_panics_ends_its_process_and_not_its_worker() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    type Receive = for<'h> fn(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h>;
    let ways: [(&str, Receive); 6] = [
        ("the message is dropped", |cx, _, _| Ok(Next(cx.nil()))),
        ("the state is cleared", |cx, state, message| {
            Ok(Next(if state.is_nil() { cx.cons(message, state) } else { cx.nil() }))
        }),
        ("the turn is rolled back", |cx, _, message| {
            let _garbage = cx.resource(OnDrop::panics());
            let _ = message;
            Ok(Defer)
        }),
        ("the state stays", |cx, state, _| {
            let _garbage = cx.resource(OnDrop::panics());
            Ok(Next(if state.is_nil() { cx.tuple(&[state]) } else { state }))
        }),
        ("the heap is collected", |cx, state, _| {
            let _garbage = cx.resource(OnDrop::panics());
            Ok(Next(cx.list_with_tail(0..1000, state)))
        }),
        ("two of them", |cx, _, message| {
            let _garbage = (message, cx.resource(OnDrop::panics()));
            Ok(Next(cx.nil()))
        }),
    ];
    for (what, receive) in ways {
        let p = rt.spawn_fn(|cx| cx.nil(), receive).unwrap();
        let exited = rt.exited(p);
        for _ in 0..2 {
            // The first may have ended it: then the second comes back, and panics here.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(rt.send_new(p, |h| h.resource(OnDrop::panics())))));
        }
        let why = exited.wait(LONG).unwrap_or_else(|| panic!("no end: {what}"));
        assert!(why.as_panic().is_some(), "{what}: {why}");
        assert_runs(&rt);
    }
}

/// What is sent, or is to be sent later, to who is dead, and what of that is cancelled, ends neither who does so nor the thread
/// that fires timers.
#[test]
fn who_sends_to_the_dead_or_cancels_a_timer_stays_whatever_panics() {
    fn unruly() -> Region {
        Region::build(|h| h.resource(OnDrop::panics()))
    }
    const SOON: Duration = Duration::from_millis(1);
    let rt = Runtime::builder().workers(1).build().unwrap();
    let dead = rt.port().unwrap().pid();
    let (nobody, later) = (Atom::inline("nobody"), Duration::from_secs(3600));
    type Way = for<'h> fn(Cx<'h>, Pid, Atom, Duration);
    let ways: [(&str, Way); 10] = [
        ("sends", |cx, dead, _, _| cx.send(dead, unruly())),
        ("sends to a name", |cx, _, nobody, _| cx.send_named(nobody, unruly())),
        ("sends later", |cx, dead, _, later| _ = cx.send_after(later, dead, unruly())),
        ("sends now", |cx, dead, _, _| _ = cx.send_after(Duration::ZERO, dead, unruly())),
        ("sends soon to a name", |cx, _, nobody, _| _ = cx.send_after_named(SOON, nobody, unruly())),
        ("starts a timer", |cx, dead, _, later| _ = cx.start_timer(later, dead, unruly())),
        ("starts one soon, to a name", |cx, _, nobody, _| _ = cx.start_timer_named(SOON, nobody, unruly())),
        ("cancels", |cx, _, _, later| {
            let timer = cx.send_after(later, cx.me(), unruly());
            assert!(cx.cancel_timer(timer).is_some());
        }),
        ("forwards", |_, _, _, _| ()),
        ("ends with a timer", |cx, _, _, later| _ = cx.send_after(later, cx.me(), unruly())),
    ];
    for (what, way) in ways {
        let p = rt
            .spawn_fn(
                |cx| cx.nil(),
                move |cx, s, m| {
                    if m.is_nil() {
                        return Ok(Stop(Exit::msg("as it was told")));
                    }
                    way(cx, dead, nobody, later);
                    Ok(if what == "forwards" { Forward(dead) } else { Next(s) })
                },
            )
            .unwrap();
        let exited = rt.exited(p);
        let panics = what == "forwards";
        rt.send_new(p, |h| if panics { h.resource(OnDrop::panics()) } else { h.int(1) }).unwrap();
        rt.send_new(p, |h| h.nil()).unwrap();
        let why = exited.wait(LONG).unwrap_or_else(|| panic!("no end: {what}"));
        assert_eq!(why.to_string(), "as it was told", "{what}");
    }
    rt.send_after(later, dead, unruly()).unwrap();
    rt.send_after(Duration::ZERO, dead, unruly()).unwrap();
    rt.send_after_named(SOON, nobody, unruly()).unwrap();
    rt.start_timer(later, dead, unruly()).unwrap();
    rt.start_timer_named(SOON, nobody, unruly()).unwrap();
    let timer = rt.send_after_named(later, nobody, unruly()).unwrap();
    assert!(rt.cancel_timer(timer).is_some());
    // The thread that fires timers is there still.
    let mut port = rt.port().unwrap();
    rt.send_after(SOON, port.pid(), Region::build(|h| h.nil())).unwrap();
    assert!(port.recv_timeout(LONG).is_some());
    let timers = rt.send_after_named(later, nobody, unruly());
    let handle = (*rt).clone();
    drop(rt);
    assert!(timers.is_ok() && handle.send_after_named(later, nobody, unruly()).is_ok(), "it has no timers any more");
}

#[test]
fn a_process_that_ends_drops_everything_it_has_whatever_panics() {
    struct Unruly(Ledger, Option<Arc<OnDrop>>);
    impl Process for Unruly {
        fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
            match message.as_int() {
                Some(0) => std::panic::panic_any(OnDrop::panics()),
                Some(_) => Ok(Defer),
                None => Ok(Next(cx.list_with_tail([self.0.resource(*cx), message], state))),
            }
        }

        fn ended(&mut self, _: &Exit) {
            drop(self.1.take());
        }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let ledger = Ledger::default();
    let p = rt.spawn(Unruly(ledger.clone(), Some(OnDrop::panics()))).unwrap();
    let exited = rt.exited(p);
    for i in [5, 4, 3] {
        rt.send_new(p, |h| h.int(i)).unwrap();
        rt.send_new(p, |h| ledger.resource(h)).unwrap();
    }
    for _ in 0..3 {
        rt.send_new(p, |h| h.int(0)).unwrap();
    }
    assert!(exited.wait(LONG).is_some());
    assert_runs(&rt);
    assert_eq!((ledger.made(), ledger.dropped()), (6, 6));
}

#[test]
fn a_panic_in_a_destructor_of_a_term_stops_no_collection() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    let value = Region::build(|h| {
        // One panics with what panics in its turn.
        let worse = OnDrop::new(|| std::panic::resume_unwind(Box::new(OnDrop::panics())));
        h.list([ledger.resource(h), h.resource(OnDrop::panics()), h.resource(worse), ledger.resource(h)])
    });
    store.put(KEY, value).unwrap();
    assert!(store.erase(KEY));
    assert!(store.wait_idle(LONG));
    assert_eq!((ledger.dropped(), store.info().retained_bytes), (2, 0));
}

#[test]
fn a_panic_in_a_destructor_of_a_key_is_met_by_nobody() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let store = rt.persistent();
    for guarded in [true, false] {
        let guard = guarded.then(|| store.pin());
        let worse = OnDrop::new(|| std::panic::resume_unwind(Box::new(OnDrop::panics())));
        let key = Region::build(|h| h.tuple(&[h.resource(OnDrop::panics()), h.resource(worse)]));
        store.put(key.root(), Region::build(|h| h.int(1))).unwrap();
        let other = store.pin();
        assert!(store.erase(key.root()));
        drop((key, other)); // the entry of the key has the resources for itself now
        drop(guard);
        assert!(store.wait_idle(LONG));
    }
    // Whoever drives the collections still does.
    store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(KEY);
    assert!(store.wait_idle(LONG));
    assert_runs(&rt);
}

#[test]
fn messages_behind_one_whose_destructor_panics_are_dropped_with_their_port() {
    let rt = Runtime::deterministic(1);
    let (ledger, port) = (Ledger::default(), rt.port().unwrap());
    for _ in 0..3 {
        rt.send_new(port.pid(), |h| h.resource(OnDrop::panics())).unwrap();
        rt.send_new(port.pid(), |h| ledger.resource(h)).unwrap();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(port))).is_err());
    assert_eq!((ledger.made(), ledger.dropped()), (3, 3));
}

#[test]
fn what_a_destructor_panics_with_during_another_panic_aborts_nothing() {
    let region = Region::build(|h| {
        let worse = OnDrop::new(|| std::panic::resume_unwind(Box::new(OnDrop::panics())));
        h.resource(worse)
    });
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _region = region;
        std::panic::resume_unwind(Box::new("the first"));
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"the first"));
}

/// A destructor that panics with a value whose destructor panics.
fn worse() -> Arc<OnDrop> {
    OnDrop::new(|| std::panic::resume_unwind(Box::new(OnDrop::panics())))
}

/// Bytes that their owner's destructor panics for.
struct Owner(#[allow(dead_code, reason = "it is there to be dropped")] Arc<OnDrop>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &[7; 10_000]
    }
}

/// A slice lets go of what it was cut from, and garbage goes, both in one collection.
#[test]
fn two_destructors_that_panic_in_one_collection_abort_nothing() {
    let mut heap = OwnedHeap::new(|h| h.slice(h.bytes(bytes::Bytes::from_owner(Owner(worse()))), 0..100).unwrap());
    heap.collect_minor().unwrap();
    heap.turn(|h, slice| {
        let _garbage = h.resource(OnDrop::panics());
        (slice, ())
    });
    assert!(catch_unwind(AssertUnwindSafe(|| heap.collect_major())).is_err());
    heap.verify().unwrap();
    assert_eq!(heap.root().as_bytes(), Some(&[7; 100][..]));
}

#[test]
fn a_scratch_heap_whose_destructors_panic_leaves_the_outer_heap_as_it_was() {
    let mut heap = OwnedHeap::new(|h| h.list(0..3));
    let result = catch_unwind(AssertUnwindSafe(|| {
        heap.turn(|h, _| {
            let list = h.scratch(|s| {
                let _garbage = s.resource(worse());
                std::panic::resume_unwind(Box::new(OnDrop::panics()));
            });
            (list, ())
        });
    }));
    let payload = result.unwrap_err();
    assert!(payload.is::<Arc<OnDrop>>(), "the panic of the closure goes on");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(payload))).is_err());

    // The result does not fit: the outer heap was built in meanwhile.
    let mut heap = OwnedHeap::with_limit(2000, |h| h.list(0..3));
    let result = catch_unwind(AssertUnwindSafe(|| {
        heap.turn(|h, _| {
            let list = h.scratch(|s| {
                let _garbage = s.resource(OnDrop::panics());
                let result = s.list(0..300);
                let _outer = h.list(0..900);
                result
            });
            (list, ())
        });
    }));
    assert!(result.is_err());
    assert_eq!(heap.used_words(), 6 + 1800);
    heap.verify().unwrap();
}

/// The value that finds no room is dropped while nothing unwinds.
#[test]
fn a_heap_at_its_limit_that_is_given_what_panics_aborts_nothing() {
    let full = |f: &dyn for<'h> Fn(Heap<'h>) -> Term<'h>| {
        let mut heap = OwnedHeap::with_limit(3, |h| h.nil());
        assert!(catch_unwind(AssertUnwindSafe(|| heap.turn(|h, _| (f(h), ())))).is_err());
        assert_eq!(heap.used_words(), 0);
    };
    full(&|h| h.resource(worse()));
    full(&|h| h.bytes(bytes::Bytes::from_owner(Owner(worse()))));
}

#[test]
fn waiting_where_it_would_be_for_oneself_says_so_at_once() {
    let store = PersistentTerms::new();
    let (tx, rx) = mpsc::channel();
    let _subscription = store.on_collection({
        let (store, tx) = (store.clone(), tx.clone());
        move |_| tx.send(("hook", store.wait_idle(AGES))).unwrap()
    });
    let value = OnDrop::new({
        let (store, tx) = (store.clone(), tx.clone());
        move || tx.send(("destructor", store.wait_idle(AGES))).unwrap()
    });
    store.put(KEY, Region::build(|h| h.resource(value))).unwrap();
    store.erase(KEY);
    assert_eq!(rx.recv_timeout(LONG), Ok(("destructor", false)));
    assert_eq!(rx.recv_timeout(LONG), Ok(("hook", false)));

    // An area waits for this very turn, or for the answer of the process that is ending.
    struct Waits(mpsc::Sender<(&'static str, bool)>, PersistentTerms);
    impl Process for Waits {
        fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            let state = cx.get(KEY).unwrap();
            self.1.erase(KEY);
            self.0.send(("turn", self.1.wait_idle(AGES))).unwrap();
            let (tx, store) = (self.0.clone(), self.1.clone());
            let _garbage = cx.resource(OnDrop::new(move || tx.send(("heap", store.wait_idle(AGES))).unwrap()));
            Ok(Stop(Exit::msg(state)))
        }

        fn ended(&mut self, _: &Exit) {
            self.0.send(("ended", self.1.wait_idle(AGES))).unwrap();
        }
    }
    let rt = Runtime::builder().workers(1).persistent(store.clone()).build().unwrap();
    store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
    let p = rt.spawn(Waits(tx, store.clone())).unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    for expected in ["turn", "ended", "heap"] {
        let told = std::iter::repeat_with(|| rx.recv_timeout(LONG)).find(|told| !matches!(told, Ok(("hook", _))));
        assert_eq!(told, Some(Ok((expected, false))));
    }
    assert!(store.wait_idle(LONG));
}

/// Every call that waits for processes, readers or time, with what it waits for behind the one who calls.
struct Waiting {
    tells: mpsc::Sender<(&'static str, &'static str, bool)>,
    store: PersistentTerms,
    reports: Reports,
    handle: Handle,
    runs: Option<Pid>,
    exited: Exited,
    port: Port,
    still: Deterministic,
}

impl Waiting {
    const CALLS: usize = 8;

    /// None waits: each says what it says when the time is over.
    fn try_all(&mut self, place: &'static str) {
        let runs = self.runs.unwrap_or(self.port.pid());
        let tell = |call, at_once| _ = self.tells.send((place, call, at_once));
        tell("wait_idle", !self.store.wait_idle(PATIENCE));
        tell("a report", self.reports.recv_timeout(PATIENCE).is_none());
        tell("info_within", self.handle.info_within(runs, PATIENCE).unwrap().is_none_or(|info| info.details.is_none()));
        tell("an end", self.exited.wait(PATIENCE).is_none());
        tell("a message", self.port.recv_timeout(PATIENCE).is_none());
        tell("step", !self.still.step());
        tell("run_until_idle", self.still.run_until_idle() == 0);
        tell("advance", self.still.advance(PATIENCE) == 0);
    }
}

#[test]
fn nothing_waits_within_a_turn_nor_in_what_is_called_there() {
    struct Waits(Arc<Mutex<Waiting>>);
    impl Process for Waits {
        fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            self.0.lock().unwrap().runs = Some(cx.me());
            self.0.lock().unwrap().try_all("turn");
            let waiting = self.0.clone();
            let _garbage = cx.resource(OnDrop::new(move || waiting.lock().unwrap().try_all("destructor")));
            Ok(Stop(Exit::NORMAL))
        }

        fn ended(&mut self, _: &Exit) {
            self.0.lock().unwrap().try_all("ended");
        }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let store = rt.persistent().clone();
    store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
    let guard = store.pin();
    store.erase(KEY);
    let still = Runtime::deterministic(1);
    still.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
    let other = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
    let (tells, told) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(Waiting {
        tells,
        store: store.clone(),
        reports: store.reports(1),
        handle: Handle::clone(&rt),
        runs: None,
        exited: rt.exited(other),
        port: rt.port().unwrap(),
        still,
    }));
    let p = rt.spawn(Waits(waiting.clone())).unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    let mut last = ("", "", true);
    for place in ["turn", "ended", "destructor"] {
        for _ in 0..Waiting::CALLS {
            last = told.recv_timeout(LONG).unwrap_or_else(|_| panic!("what comes behind {last:?} waits"));
            assert!(last.0 == place && last.2, "{last:?}");
        }
    }

    // What is there is taken, there too: behind the end of the other, which the one worker sees to first.
    rt.send_new(other, |h| h.nil()).unwrap();
    rt.exited(other).wait(LONG);
    rt.send_new(waiting.lock().unwrap().port.pid(), |h| h.int(7)).unwrap();
    let (tx, rx) = mpsc::channel();
    rt.spawn_fn(
        move |cx| {
            let mut waiting = waiting.lock().unwrap();
            let message = waiting.port.recv_timeout(PATIENCE).map(|message| message.root().to_string());
            tx.send((message, waiting.exited.wait(PATIENCE).map(|why| why.to_string()))).unwrap();
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    )
    .unwrap();
    assert_eq!(rx.recv_timeout(LONG), Ok((Some(String::from("7")), Some(String::from("normal")))));
    drop(guard);
}

#[test]
fn a_runtime_can_be_dropped_by_what_it_runs() {
    type Shelf = Arc<Mutex<Option<Runtime>>>;
    let shelved = || -> Shelf { Arc::new(Mutex::new(Some(Runtime::builder().workers(2).build().unwrap()))) };
    let take = |shelf: &Shelf, tx: &mpsc::Sender<()>| {
        let (shelf, tx) = (shelf.clone(), tx.clone());
        move || {
            let runtime = shelf.lock().unwrap().take();
            drop(runtime);
            let _ = tx.send(());
        }
    };
    let (tx, rx) = mpsc::channel();
    let with = |shelf: &Shelf, f: &dyn Fn(&Runtime)| f(shelf.lock().unwrap().as_ref().unwrap());

    // In a turn.
    let shelf = shelved();
    with(&shelf, &|rt| {
        let end = take(&shelf, &tx);
        let p = rt
            .spawn_fn(
                |cx| cx.nil(),
                move |cx, _, _| {
                    end();
                    Ok(Next(cx.nil()))
                },
            )
            .unwrap();
        rt.send_new(p, |h| h.nil()).unwrap();
    });
    rx.recv_timeout(LONG).expect("in a turn");

    // By `ended`, and by the behaviour itself.
    struct Ends<F: FnMut() + Send + 'static>(F, bool);
    impl<F: FnMut() + Send + 'static> Process for Ends<F> {
        fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Stop(Exit::NORMAL))
        }

        fn ended(&mut self, _: &Exit) {
            if self.1 {
                (self.0)();
            }
        }
    }
    impl<F: FnMut() + Send + 'static> Drop for Ends<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    for in_ended in [true, false] {
        let shelf = shelved();
        with(&shelf, &|rt| {
            let p = rt.spawn(Ends(take(&shelf, &tx), in_ended)).unwrap();
            rt.send_new(p, |h| h.nil()).unwrap();
        });
        rx.recv_timeout(LONG).expect("at the end of a process");
        if in_ended {
            rx.recv_timeout(LONG).unwrap();
        }
    }

    // By a resource that a holder's heap and the store let go of, on a worker and on the thread of the collector.
    for hold in [true, false] {
        let shelf = shelved();
        let store = shelf.lock().unwrap().as_ref().unwrap().persistent().clone();
        let guard = store.pin();
        with(&shelf, &|rt| {
            store.put(KEY, Region::build(|h| h.resource(OnDrop::new(take(&shelf, &tx))))).unwrap();
            let (kept_tx, kept) = mpsc::channel();
            let p = rt.spawn_fn(
                |cx| cx.nil(),
                move |cx, _, message| {
                    let state = if hold && message.is_nil() { cx.get(KEY).unwrap() } else { cx.nil() };
                    let _ = kept_tx.send(());
                    Ok(Next(state))
                },
            );
            rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
            kept.recv_timeout(LONG).unwrap();
            assert!(store.erase(KEY));
            if hold {
                assert!(!store.wait_idle(Duration::from_millis(20)), "the guard is in the way");
                rt.send_new(p.unwrap(), |h| h.int(0)).unwrap();
            }
        });
        drop(guard);
        let _ = store.wait_idle(Duration::from_millis(1));
        rx.recv_timeout(LONG).expect("by a destructor");
    }

    // By a hook.
    let shelf = shelved();
    let store = shelf.lock().unwrap().as_ref().unwrap().persistent().clone();
    let end = take(&shelf, &tx);
    let _subscription = store.on_collection(move |_| end());
    store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(KEY);
    rx.recv_timeout(LONG).expect("by a hook");
}

#[test]
fn a_hook_that_replaces_a_term_each_time_neither_recurses_nor_keeps_anybody() {
    const ROUNDS: u32 = 50_000;
    let store = PersistentTerms::new();
    let rounds = Arc::new(AtomicU32::new(0));
    let subscription = store.on_collection({
        let (store, rounds) = (store.clone(), rounds.clone());
        move |_| {
            let n = rounds.fetch_add(1, Ordering::Relaxed);
            if n < ROUNDS {
                store.put(KEY, Region::build(|h| h.tuple(&[h.int(n)]))).unwrap();
            }
        }
    });
    store.put(KEY, Region::build(|h| h.list(0..2))).unwrap();
    store.put(KEY, Region::build(|h| h.list(0..3))).unwrap();
    assert!(rounds.load(Ordering::Relaxed) < ROUNDS, "the put came back before the work was done");
    assert!(store.wait_idle(LONG));
    assert_eq!(rounds.load(Ordering::Relaxed), ROUNDS + 1);
    drop(subscription);
}

#[test]
fn a_destructor_may_use_the_store() {
    let store = PersistentTerms::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    // Each value, when it is freed, erases the next key and puts one of its own.
    for i in 0..20 {
        let value = OnDrop::new({
            let (store, log) = (store.clone(), log.clone());
            move || {
                log.lock().unwrap().push(i);
                store.erase(i + 1);
                store.put(100 + i, Region::build(|h| h.list(0..i))).unwrap();
                assert_eq!(store.read(100 + i, |v| v.map(|v| v.list().count())), Some(i as usize));
            }
        });
        store.put(i, Region::build(|h| h.tuple(&[h.resource(value)]))).unwrap();
    }
    store.erase(0);
    assert!(store.wait_idle(LONG));
    assert_eq!(*log.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!((store.info().count, store.info().retained_bytes), (20, 0));
}

#[test]
fn a_key_with_a_destructor_is_freed_outside_every_lock() {
    let store = PersistentTerms::new();
    let (tx, rx) = mpsc::channel();
    let key = Region::build(|h| {
        let store = store.clone();
        let value = OnDrop::new(move || {
            store.put(2, Region::build(|h| h.list(0..3))).unwrap();
            store.erase(2);
            tx.send(()).unwrap();
        });
        h.tuple(&[h.resource(value)])
    });
    store.put(key.root(), Region::build(|h| h.list(0..4))).unwrap();
    assert!(store.read(key.root(), |v| v.is_some()));
    assert!(store.erase(key.root()));
    drop(key);
    assert!(store.wait_idle(LONG));
    rx.recv_timeout(LONG).unwrap();
    assert!(store.wait_idle(LONG));
    assert_eq!((store.info().count, store.info().retained_bytes), (0, 0));
}

#[test]
fn a_subscription_that_a_hook_has_captured_ends_with_it() {
    let store = PersistentTerms::new();
    let inner = store.on_collection(|_| ());
    let outer = store.on_collection(move |_| {
        let _ = &inner;
    });
    drop(outer);
    store.put(KEY, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(KEY);
    assert!(store.wait_idle(LONG));
}
