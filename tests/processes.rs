//! Processes and runtimes, as a user sees them.

#![cfg(feature = "runtime")]

mod support;

use shared_term::heap::HeapError;
use shared_term::prelude::*;
use shared_term::process::{OptionError, SpawnError, SpawnOptions, Unsent};
use shared_term::runtime::{BuildError, Builder, Deterministic, Handle, Port};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;
use support::{LONG, Ledger, OnDrop};

const GO: Atom = Atom::inline("go");

fn said(port: &mut Port) -> Vec<String> {
    std::iter::from_fn(|| port.try_recv()).map(|m| m.root().to_string()).collect()
}

/// Sends integers.
fn send_all(rt: &Handle, to: Pid, items: impl IntoIterator<Item = i64>) {
    for i in items {
        rt.send_new(to, |h| h.int(i)).unwrap();
    }
}

#[test]
fn selective_receive_offers_deferred_messages_again_oldest_first_and_before_newer_ones() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    // Takes numbers only once it is told to go; tells what it takes, in order.
    let p = rt
        .spawn_fn(
            |cx| cx.atom(Atom::FALSE),
            move |cx, open, message| match (message.as_atom(), open.as_bool()) {
                (Some(GO), _) => Ok(NextReoffer(cx.atom(Atom::TRUE))),
                (_, Some(true)) => {
                    cx.send(me, message);
                    Ok(Next(open))
                }
                _ => Ok(Defer),
            },
        )
        .unwrap();
    send_all(&rt, p, 1..=3);
    rt.run_until_idle();
    assert!(said(&mut port).is_empty());
    send_all(&rt, p, [4]);
    rt.send_new(p, |h| h.atom(GO)).unwrap();
    send_all(&rt, p, 5..=6);
    rt.run_until_idle();
    assert_eq!(said(&mut port), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_deferred_turn_leaves_no_garbage_and_the_state_as_it_was() {
    let mut rt = Runtime::deterministic(1);
    let ledger = Ledger::default();
    let used = Arc::new(AtomicUsize::new(0));
    let p = rt
        .spawn_fn(|cx| term!(cx, [1, 2, 3]), {
            let (ledger, used) = (ledger.clone(), used.clone());
            move |cx, state, _| {
                assert_eq!(state.to_string(), "[1,2,3]");
                used.store(cx.used_words(), Ordering::Relaxed);
                cx.list((0..100).map(|_| ledger.resource(*cx)));
                Ok(Defer)
            }
        })
        .unwrap();
    for round in 1..=50 {
        send_all(&rt, p, [round]);
        rt.run_until_idle();
        assert_eq!(used.load(Ordering::Relaxed), 6);
        assert_eq!(ledger.made(), ledger.dropped());
    }
}

/// Turns that make something between turns that make nothing, all with the same state.
#[test]
fn a_turn_that_keeps_its_state_leaves_nothing_of_what_it_made() {
    for (state, words) in [(Region::build(|h| h.list(1..=3)), 6), (Region::build(|h| h.nil()), 0)] {
        let mut rt = Runtime::deterministic(1);
        let ledger = Ledger::default();
        let used = Arc::new(AtomicUsize::new(0));
        let before = state.root().to_string();
        let p = rt
            .spawn_fn(move |cx| cx.copy(state.root()), {
                let (ledger, used) = (ledger.clone(), used.clone());
                move |cx, state, message| {
                    assert_eq!(state.to_string(), before);
                    used.fetch_max(cx.used_words(), Ordering::Relaxed);
                    match message.get::<i64>()? % 4 {
                        0 => _ = cx.list((0..100).map(|_| ledger.resource(*cx))),
                        1 => _ = cx.adopt(Region::build(|h| h.list(0..100))),
                        2 => _ = cx.list(0..2),
                        _ => {}
                    }
                    Ok(Next(state))
                }
            })
            .unwrap();
        for _ in 0..20 {
            send_all(&rt, p, 0..20);
            rt.run_until_idle();
            assert_eq!(ledger.made(), ledger.dropped());
        }
        assert_eq!(used.load(Ordering::Relaxed), words);
        assert_eq!(rt.info(p).unwrap().details.unwrap().turns, 401);
    }
}

/// All in one run: turns that add to the state, turns that make something and keep it, and turns that do nothing.
#[test]
fn turns_in_a_row_each_begin_with_what_the_last_one_left() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let mut port = rt.port().unwrap();
    let (me, sent) = (port.pid(), Arc::new(Barrier::new(2)));
    let p = rt
        .spawn_fn(|cx| cx.nil(), {
            let sent = Arc::clone(&sent);
            move |cx, state, message| {
                let n: i64 = message.get()?;
                match n % 3 {
                    _ if n < 0 => _ = sent.wait(),
                    0 => return Ok(Next(cx.cons(cx.tuple(&[message, cx.int(2 * n)]), state))),
                    1 => _ = cx.list(0..100),
                    _ => {}
                }
                if n == 29 {
                    cx.send(me, state);
                }
                Ok(Next(state))
            }
        })
        .unwrap();
    send_all(&rt, p, std::iter::once(-1).chain(0..30));
    sent.wait();
    let all = port.recv_timeout(LONG).unwrap();
    let expected: Vec<_> = (0..30).step_by(3).rev().map(|n| format!("{{{n},{}}}", 2 * n)).collect();
    assert_eq!(all.root().to_string(), format!("[{}]", expected.join(",")));
}

#[test]
fn a_message_is_forwarded_along_a_chain_without_a_copy() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let (tx, rx) = mpsc::channel();
    let last = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, state, message| {
                tx.send(message.list().map(|b| b.as_bytes().unwrap().as_ptr() as usize).collect::<Vec<_>>()).unwrap();
                cx.send(me, cx.int(cx.used_words() as u64));
                Ok(Next(state))
            },
        )
        .unwrap();
    let first = (0..100).fold(last, |to, _| {
        rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, _, _| {
                cx.list(0..100); // garbage
                Ok(Forward(to))
            },
        )
        .unwrap()
    });
    let message = Region::build(|h| h.list((0..1000).map(|_| h.binary("in the heap"))));
    let at: Vec<_> = message.root().list().map(|b| b.as_bytes().unwrap().as_ptr() as usize).collect();
    rt.send(first, message).unwrap();
    rt.run_until_idle();
    assert_eq!(rx.try_recv().unwrap(), at, "the very words that were sent");
    assert_eq!(said(&mut port), ["0"]);
}

#[test]
fn what_is_forwarded_to_the_dead_is_dropped_and_to_oneself_comes_last() {
    let mut rt = Runtime::deterministic(1);
    let ledger = Ledger::default();
    let dead = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
    rt.send_new(dead, |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert!(!rt.is_alive(dead));
    let p = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(dead))).unwrap();
    rt.send_new(p, |h| ledger.resource(h)).unwrap();
    rt.run_until_idle();
    assert!(rt.is_alive(p));
    assert_eq!((ledger.made(), ledger.dropped()), (1, 1));

    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt
        .spawn_fn(
            |cx| cx.int(0),
            move |cx, n, message| {
                let n: i64 = n.get()?;
                cx.send(me, message);
                // The first is put behind the others, once.
                Ok(if n == 0 { Again(cx.int(1)) } else { Next(cx.int(n)) })
            },
        )
        .unwrap();
    send_all(&rt, p, 1..=2);
    rt.run_until_idle();
    assert_eq!(said(&mut port), ["1", "2"]);
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, state, message| {
                if message.as_int() == Some(1) && cx.persistent().read(GO, |v| v.is_none()) {
                    cx.put(GO, cx.nil())?;
                    return Ok(Forward(cx.me()));
                }
                cx.send(me, message);
                Ok(Next(state))
            },
        )
        .unwrap();
    send_all(&rt, p, 1..=3);
    rt.run_until_idle();
    assert_eq!(said(&mut port), ["2", "3", "1"]);
}

/// Counts down from what it is sent, a step a turn.
struct Countdown {
    log: mpsc::Sender<(i64, i64)>,
    me: i64,
}

impl Process for Countdown {
    fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, message: Term<'h>) -> Turn<'h> {
        Ok(Again(cx.tuple(&[message])))
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        let (n,): (i64,) = (state.tuple_of::<1>().ok_or_else(|| Exit::msg("state"))?[0].get()?,);
        self.log.send((self.me, n))?;
        Ok(if n == 0 { Next(cx.nil()) } else { Again(term!(cx, { n - 1 })) })
    }
}

#[test]
fn a_long_job_lets_others_run_and_comes_before_its_next_message() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let (log, rx) = mpsc::channel();
    let held = Arc::new(Barrier::new(2));
    // All are queued before any runs.
    let gate = rt.spawn_fn(|cx| cx.nil(), {
        let held = held.clone();
        move |_, state, _| {
            held.wait();
            Ok(Next(state))
        }
    });
    rt.send_new(gate.unwrap(), |h| h.nil()).unwrap();
    for me in 0..3 {
        let p = rt.spawn(Countdown { log: log.clone(), me }).unwrap();
        send_all(&rt, p, [2000, 10]);
    }
    held.wait();
    let mut all = Vec::new();
    while all.iter().filter(|(_, n)| *n == 0).count() < 6 {
        all.push(rx.recv_timeout(LONG).unwrap());
    }
    for me in 0..3 {
        let mine: Vec<_> = all.iter().filter(|(who, _)| *who == me).map(|(_, n)| *n).collect();
        assert!(
            mine.iter().copied().eq((0..=2000).rev().chain((0..=10).rev())),
            "its jobs in order, one after the other"
        );
    }
    let first_done = all.iter().position(|(_, n)| *n == 0).unwrap();
    for me in 0..3 {
        let turns = all[..first_done].iter().filter(|(who, _)| *who == me).count();
        assert!(turns > 1000, "process {me} had {turns} turns while another had 2001");
    }
}

#[test]
fn a_long_job_stays_small_and_answers_collections() {
    let mut rt = Runtime::deterministic(5);
    let store = rt.persistent().clone();
    struct Loops(Arc<AtomicUsize>);
    impl Process for Loops {
        fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Again(cx.tuple(&[cx.get(GO).unwrap(), cx.nil()])))
        }

        fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
            self.0.fetch_max(cx.used_words(), Ordering::Relaxed);
            let [held, _] = state.tuple_of().unwrap();
            assert_eq!(held.list().count(), 50);
            Ok(Again(cx.tuple(&[*held, cx.list(0..20)])))
        }
    }
    store.put(GO, Region::build(|h| h.list(0..50))).unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let p = rt.spawn(Loops(most.clone())).unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    for _ in 0..10 {
        rt.step();
    }
    store.erase(GO);
    // It never goes idle, and answers between two of its turns.
    let steps = (0..100_000).position(|_| {
        rt.step();
        store.info().retained_bytes == 0
    });
    assert!(steps.is_some());
    assert!(most.load(Ordering::Relaxed) < 2000);
    (0..10_000).for_each(|_| assert!(rt.step()));
    assert!(most.load(Ordering::Relaxed) < 2000);
}

#[test]
fn every_error_ends_a_process_with_its_reason_and_nobody_else() {
    let mut rt = Runtime::deterministic(1);
    let ended = |rt: &mut Deterministic, f: for<'h> fn(Cx<'h>, Term<'h>) -> Turn<'h>| {
        let p = rt.spawn_fn(|cx| cx.nil(), move |cx, _, message| f(cx, message)).unwrap();
        let exited = rt.exited(p);
        rt.send_new(p, |h| h.binary("12x")).unwrap();
        rt.run_until_idle();
        assert!(!rt.is_alive(p));
        exited.try_wait().expect("a reason")
    };
    let before = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
    let why = ended(&mut rt, |_, m| Ok(Stop(Exit::msg(m.as_str().unwrap().parse::<u8>()?))));
    assert!(why.downcast_ref::<std::num::ParseIntError>().is_some());
    let why = ended(&mut rt, |cx, m| Ok(Next(cx.int(m.get::<i64>()?))));
    assert!(!why.is_normal() && why.as_panic().is_none());
    assert!(ended(&mut rt, |_, _| Ok(Stop(Exit::NORMAL))).is_normal());
    let why = ended(&mut rt, |_, _| std::panic::resume_unwind(Box::new("a reason")));
    assert_eq!(why.as_panic(), Some("a reason"));
    let why = ended(&mut rt, |_, _| std::panic::resume_unwind(Box::new(String::from("owned"))));
    assert_eq!(why.as_panic(), Some("owned"));
    let why = ended(&mut rt, |_, _| std::panic::resume_unwind(Box::new(7)));
    assert!(why.as_panic().is_some());
    let why = ended(&mut rt, |_, m| Ok(Stop(Exit::term(Region::copy_of(m)))));
    assert_eq!(why.as_term().unwrap().as_str(), Some("12x"));
    assert!(rt.is_alive(before));
    assert_eq!(rt.processes(), 1);
    // The init of a process is a turn too.
    let p = rt.spawn_fn(|_| std::panic::resume_unwind(Box::new("init")), |_, s, _| Ok(Next(s))).unwrap();
    let exited = rt.exited(p);
    rt.run_until_idle();
    assert_eq!(exited.try_wait().unwrap().as_panic(), Some("init"));
}

#[test]
fn options_that_cannot_be_had_are_error_values() {
    let rt = Runtime::deterministic(1);
    let error = |options| match rt.spawn_fn_with(options, |cx| cx.nil(), |_, s, _| Ok(Next(s))) {
        Err(SpawnError::Options(error)) => Some(error),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    };
    let options = SpawnOptions::new;
    let most = SpawnOptions::MAX_MIN_HEAP_WORDS;
    assert_eq!(error(options().min_heap_words(most)), None);
    assert_eq!(error(options().min_heap_words(most + 1)), Some(OptionError::MinHeapWords { asked: most + 1 }));
    assert_eq!(error(options().max_heap_words(0)), None, "the default for the minimum gives way");
    assert_eq!(error(options().max_heap_words(99).min_heap_words(99)), None);
    let below = OptionError::MaxBelowMin { max: 99, min: 100 };
    assert_eq!(error(options().max_heap_words(99).min_heap_words(100)), Some(below));
    assert_eq!(Runtime::builder().spawn_defaults(options().max_heap_words(99).min_heap_words(100)).unwrap_err(), below);
    assert_eq!(rt.processes(), 3);
}

#[test]
fn a_heap_limit_ends_a_process_with_the_figures() {
    let mut rt = Runtime::deterministic(1);
    let spawn = |rt: &Handle, f: for<'h> fn(Cx<'h>, Term<'h>, Term<'h>) -> Turn<'h>| {
        let p = rt.spawn_fn_with(SpawnOptions::new().max_heap_words(100), |cx| cx.nil(), f).unwrap();
        (p, rt.exited(p))
    };
    let limit = |exited: &shared_term::runtime::Exited| match exited.try_wait().expect("an end").as_heap_error() {
        Some(HeapError::Limit { asked, words, limit: 100 }) => (asked, words),
        other => panic!("{other:?}"),
    };
    // By an allocation: exactly the words it would have come to.
    let (p, exited) = spawn(&rt, |cx, _, _| Ok(Next(cx.tuple(&[cx.nil(); 150]))));
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!(limit(&exited), (151, 151));
    // By many small ones, within a turn and over many.
    let (p, exited) = spawn(&rt, |cx, _, _| Ok(Next(cx.list(0..1000))));
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert!(matches!(limit(&exited), (2, 101..=102)));
    let (p, exited) = spawn(&rt, |cx, state, message| Ok(Next(cx.cons(message, state))));
    send_all(&rt, p, 0..49);
    rt.run_until_idle();
    assert!(rt.is_alive(p), "98 words are allowed");
    send_all(&rt, p, 0..3);
    rt.run_until_idle();
    assert!(matches!(limit(&exited), (2, 101..=102)));
    // By messages that are kept, without an allocation of its own.
    let (p, exited) = spawn(&rt, |_, _, message| Ok(Next(message)));
    rt.send_new(p, |h| h.list(0..40)).unwrap();
    rt.run_until_idle();
    rt.send_new(p, |h| h.list(0..45)).unwrap();
    rt.run_until_idle();
    assert!(rt.is_alive(p), "only the last is live");
    rt.send_new(p, |h| h.list(0..150)).unwrap();
    rt.run_until_idle();
    assert_eq!(limit(&exited), (300, 300));
    // A large message that is only looked at costs the process nothing.
    let (p, _exited) = spawn(&rt, |cx, _, message| Ok(Next(cx.int(message.list().count() as u64))));
    rt.send_new(p, |h| h.list(0..100_000)).unwrap();
    rt.run_until_idle();
    assert!(rt.is_alive(p));
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "it holds until the next major collection, which comes at once")]
fn a_process_made_to_copy_by_a_collection_does_not_pass_its_limit_by_it() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(GO, Region::build(|h| h.list(0..200))).unwrap();
    let p = rt.spawn_fn_with(
        SpawnOptions::new().max_heap_words(100),
        |cx| cx.nil(),
        |cx, state, message| match message.as_atom() {
            Some(GO) => Ok(Next(cx.tuple(&[cx.get(GO).unwrap()]))),
            _ => Ok(Next(cx.tuple(&[state.tuple_of::<1>().unwrap()[0]]))),
        },
    );
    let p = p.unwrap();
    rt.send_new(p, |h| h.atom(GO)).unwrap();
    rt.run_until_idle();
    store.erase(GO);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
    send_all(&rt, p, 0..10);
    rt.run_until_idle();
    assert!(rt.is_alive(p));
}

#[test]
fn a_pid_never_reaches_the_next_process_of_its_slot() {
    let mut rt = Runtime::deterministic(1);
    let hits = Arc::new(AtomicU64::new(0));
    let mut old = Vec::new();
    let mut names = std::collections::HashSet::new();
    for round in 0..300 {
        let counts = hits.clone();
        let p = rt
            .spawn_fn(
                |cx| cx.nil(),
                move |_, state, message| {
                    counts.fetch_add(1, Ordering::Relaxed);
                    Ok(if message.is_nil() { Stop(Exit::NORMAL) } else { Next(state) })
                },
            )
            .unwrap();
        assert!(names.insert(p), "{p} was the name of another process");
        rt.send_new(p, |h| h.nil()).unwrap();
        rt.run_until_idle();
        old.push(p);
        for &dead in &old {
            let back = rt.send_new(dead, |h| h.int(round));
            let Err(Unsent::NoProcess(Some(region))) = back else { panic!("{back:?}") };
            assert_eq!(region.root().as_int(), Some(round));
            assert!(!rt.is_alive(dead));
        }
        rt.run_until_idle();
        assert_eq!(hits.load(Ordering::Relaxed), round as u64 + 1);
    }
    let slots: std::collections::HashSet<_> =
        names.iter().map(|p| p.to_string().split('.').nth(1).map(String::from)).collect();
    assert!(slots.len() < 10, "the slots were used again: {}", slots.len());
}

#[test]
fn stale_pids_under_threads_hit_nobody() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let stop = AtomicBool::new(false);
    let wrong = Arc::new(AtomicUsize::new(0));
    let newest = AtomicU64::new(0);
    let pids = std::sync::Mutex::new(Vec::<Pid>::new());
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let all = pids.lock().unwrap().clone();
                    for (i, p) in all.into_iter().enumerate() {
                        // Each process knows its number: a message for another is a stranger's.
                        let _ = rt.send_new(p, |h| h.int(i as u64));
                    }
                }
            });
        }
        for i in 0..2000_u64 {
            let wrong = wrong.clone();
            let p = rt.spawn_fn(
                |cx| cx.nil(),
                move |_, _, message| {
                    if message.as_int() != Some(i as i64) {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(Stop(Exit::NORMAL))
                },
            );
            let mut pids = pids.lock().unwrap();
            pids.push(p.unwrap());
            newest.store(i, Ordering::Relaxed);
            drop(pids);
            if i % 64 == 0 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

/// Ends at once.
struct Brief;

impl Process for Brief {
    fn init<'h>(&mut self, _: Cx<'h>) -> Result<Term<'h>, Exit> {
        Err(Exit::NORMAL)
    }

    fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Err(Exit::NORMAL)
    }
}

/// Spawns so many, and gives way when it is told to.
struct Spawner {
    left: u32,
    pids: Vec<Pid>,
    /// How many of them lived when it was called again, at most.
    waiting: usize,
    done: mpsc::Sender<(Vec<Pid>, usize)>,
    rt: Handle,
}

impl Process for Spawner {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        self.waiting = self.waiting.max(self.rt.processes());
        while self.left > 0 {
            self.left -= 1;
            self.pids.push(cx.spawn(Brief)?);
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        self.done.send((std::mem::take(&mut self.pids), self.waiting)).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

fn spawners(rt: &Handle, n: u32) -> Vec<(Vec<Pid>, usize)> {
    let (done, all) = mpsc::channel();
    for _ in 0..n {
        let spawner = Spawner { left: 20_000, pids: Vec::new(), waiting: 0, done: done.clone(), rt: Handle::clone(rt) };
        let spawner = rt.spawn(spawner).unwrap();
        rt.send_new(spawner, |h| h.nil()).unwrap();
    }
    drop(done);
    all.iter().collect()
}

#[test]
fn workers_that_use_slots_again_give_no_pid_twice() {
    let rt = Builder::default().workers(3).build().unwrap();
    let pids: Vec<_> = spawners(&rt, 3).into_iter().flat_map(|(pids, _)| pids).collect();
    assert_eq!(pids.iter().collect::<HashSet<_>>().len(), pids.len());
    // Nor does the runtime that comes next on the same store.
    let store = rt.persistent().clone();
    drop(rt);
    let rt = Builder::default().workers(3).persistent(store).build().unwrap();
    let more = spawners(&rt, 1).pop().unwrap().0;
    assert_eq!(pids.iter().chain(&more).collect::<HashSet<_>>().len(), pids.len() + more.len());
}

#[test]
fn a_turn_that_spawns_has_done_enough_after_some_dozens() {
    let mut rt = Runtime::deterministic(1);
    let (most, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&most);
    let spawns = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, _| {
            while !cx.should_yield() {
                cx.spawn(Brief)?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Stop(Exit::NORMAL))
        },
    );
    rt.send_new(spawns.unwrap(), |h| h.nil()).unwrap();
    let count = Arc::clone(&seen);
    let asks = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, _| {
            while !cx.should_yield() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Stop(Exit::NORMAL))
        },
    );
    rt.send_new(asks.unwrap(), |h| h.nil()).unwrap();
    rt.run_until_idle();
    assert_eq!((most.load(Ordering::Relaxed), seen.load(Ordering::Relaxed)), (63, 3999));
}

#[test]
fn who_goes_on_spawning_waits_for_the_first_turns_of_those_who_are_there() {
    // Of one worker, so that it is known who runs when.
    let rt = Builder::default().workers(1).build().unwrap();
    let (_, waiting) = spawners(&rt, 1).pop().unwrap();
    assert_eq!(waiting, 1, "when its turn comes again, it is alone");
}

#[test]
fn each_senders_order_is_kept() {
    const EACH: i64 = 20_000;
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let mut seen = [0_i64; 4];
    let to = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |_, state, message| {
                let (who, n): (i64, i64) = message.get()?;
                let next = &mut seen[who as usize];
                if *next != n {
                    return Ok(Stop(Exit::msg(format_args!("{n} of {who} came instead of {next}"))));
                }
                *next += 1;
                if seen == [EACH; 4] {
                    tx.send(())?;
                }
                Ok(Next(state))
            },
        )
        .unwrap();
    let exited = rt.exited(to);
    // Two processes, two foreign threads.
    for who in 0..2 {
        let p = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                (0..EACH).for_each(|n| cx.send(to, term!(cx, {who, n})));
                Ok(Next(state))
            },
        );
        rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    }
    std::thread::scope(|s| {
        for who in 2..4 {
            let rt = &rt;
            s.spawn(move || (0..EACH).for_each(|n| rt.send_new(to, |h| term!(h, {who, n})).unwrap()));
        }
    });
    rx.recv_timeout(LONG).unwrap_or_else(|_| panic!("{:?}", exited.try_wait()));
}

#[test]
fn every_message_is_taken_once_by_a_process_that_runs_in_one_place_at_a_time() {
    let rt = Runtime::builder().workers(4).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (inside, tx, mut left) = (AtomicBool::new(false), tx.clone(), 4000);
            rt.spawn_fn(
                |cx| cx.nil(),
                move |_, state, _| {
                    assert!(!inside.swap(true, Ordering::SeqCst));
                    left -= 1;
                    assert!(inside.swap(false, Ordering::SeqCst));
                    if left == 0 {
                        tx.send(())?;
                    }
                    Ok(Next(state))
                },
            )
            .unwrap()
        })
        .collect();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..1000 {
                    for &p in &all {
                        rt.send_new(p, |h| h.nil()).unwrap();
                    }
                }
            });
        }
    });
    for _ in &all {
        rx.recv_timeout(LONG).expect("no wake-up was lost");
    }
}

#[test]
fn turns_spawn_to_the_limit_and_what_they_spawned_lives_on() {
    let mut rt = Runtime::builder().max_processes(10).deterministic(1);
    let (tx, rx) = mpsc::channel();
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, _, _| {
                let spawned: Vec<_> = (0..12).map(|_| cx.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))).collect();
                tx.send(spawned)?;
                Ok(Stop(Exit::NORMAL))
            },
        )
        .unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    let spawned = rx.try_recv().unwrap();
    assert_eq!(spawned.iter().filter(|p| matches!(p, Ok(p) if rt.is_alive(*p))).count(), 9);
    assert_eq!(spawned.last(), Some(&Err(SpawnError::TooMany)));
    assert_eq!(rt.processes(), 9);
    assert!(rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).is_ok());
}

#[test]
fn a_worker_that_sleeps_takes_what_a_long_turn_of_another_made() {
    for _ in 0..20 {
        let rt = Runtime::builder().workers(2).build().unwrap();
        let (tx, rx) = mpsc::channel();
        let (done_tx, done) = mpsc::channel();
        let other = rt.spawn_fn(
            |cx| cx.nil(),
            move |_, state, _| {
                tx.send(())?;
                Ok(Next(state))
            },
        );
        let other = other.unwrap();
        let p = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                cx.send(other, cx.nil());
                // This worker is busy until the other process has run.
                done_tx.send(rx.recv_timeout(LONG).is_ok())?;
                Ok(Next(state))
            },
        );
        let p = p.unwrap();
        // Both workers have gone to sleep.
        std::thread::sleep(Duration::from_millis(5));
        rt.send_new(p, |h| h.nil()).unwrap();
        assert!(done.recv().unwrap());
    }
}

#[test]
fn a_port_frees_what_it_has_not_received_and_its_pid_is_dead_afterwards() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let ledger = Ledger::default();
    let mut pids = Vec::new();
    std::thread::scope(|s| {
        for _ in 0..200 {
            let mut port = rt.port().unwrap();
            let me = port.pid();
            pids.push(me);
            let (ledger, rt) = (ledger.clone(), &rt);
            s.spawn(move || (0..20).for_each(|_| drop(rt.send_new(me, |h| ledger.resource(h)))));
            drop(port.recv_timeout(LONG));
        }
    });
    assert_eq!((ledger.made(), ledger.dropped()), (4000, 4000));
    assert!(pids.iter().all(|p| matches!(rt.send_new(*p, |h| h.nil()), Err(Unsent::NoProcess(Some(_))))));
    assert!(rt.exited(pids[0]).wait(LONG).is_none(), "a port is no process: there is nothing to wait for");
}

#[test]
fn a_port_outlives_its_runtime() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    rt.spawn_fn(
        move |cx| {
            cx.send(me, cx.int(1));
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    )
    .unwrap();
    assert_eq!(port.recv_timeout(LONG).unwrap().root().as_int(), Some(1));
    drop(rt);
    assert!(port.try_recv().is_none());
}

#[test]
fn everyone_who_watched_in_time_learns_the_reason() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..500 {
        let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("done")))).unwrap();
        let early = rt.exited(p);
        std::thread::scope(|s| {
            for _ in 0..2 {
                // Watchers that come while it ends.
                s.spawn(|| (0..20).for_each(|_| drop(rt.exited(p))));
            }
            rt.send_new(p, |h| h.nil()).unwrap();
        });
        assert_eq!(early.wait(LONG).expect("the reason").to_string(), "done");
        assert!(rt.exited(p).wait(LONG).is_none(), "too late, and said at once");
    }
}

#[test]
fn a_process_of_another_runtime_on_the_same_store_is_reached_and_watched() {
    let store = PersistentTerms::new();
    let runtime = || Runtime::builder().workers(1).persistent(store.clone()).build().unwrap();
    let (a, b) = (runtime(), runtime());
    let p = a.spawn_fn(|cx| cx.nil(), |_, _, message| Ok(Stop(Exit::msg(message)))).unwrap();
    let exited = b.exited(p);
    b.send_new(p, |h| h.int(3)).unwrap();
    assert_eq!(exited.wait(LONG).unwrap().to_string(), "3");
    // The end of one runtime leaves the other's processes alone.
    let (p, q) = (a.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))), b.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))));
    let (p, q) = (p.unwrap(), q.unwrap());
    let exited = b.exited(p);
    drop(a);
    assert_eq!(exited.wait(LONG).unwrap().to_string(), "shutdown");
    assert!(b.is_alive(q) && !b.is_alive(p));
}

#[test]
fn dropping_a_runtime_ends_every_process_whatever_it_is_at() {
    struct Counts(Arc<AtomicUsize>);
    impl Process for Counts {
        fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
            Ok(match message.as_int() {
                Some(0) => Again(state),
                Some(1) => Defer,
                _ => Next(message),
            })
        }

        fn resume<'h>(&mut self, _: Cx<'h>, state: Term<'h>) -> Turn<'h> {
            Ok(Again(state))
        }

        fn ended(&mut self, why: &Exit) {
            assert_eq!(why.to_string(), "shutdown");
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for deterministic in [false, true] {
        let (ended, ledger) = (Arc::new(AtomicUsize::new(0)), Ledger::default());
        let start = |rt: &Handle| -> Vec<_> {
            (0..300)
                .map(|i| {
                    let p = rt.spawn(Counts(ended.clone())).unwrap();
                    rt.send_new(p, |h| ledger.resource(h)).unwrap();
                    rt.send_new(p, |h| if i % 3 == 2 { ledger.resource(h) } else { h.int(i % 3) }).unwrap();
                    rt.exited(p)
                })
                .collect()
        };
        let exits = if deterministic {
            let mut rt = Runtime::deterministic(9);
            let exits = start(&rt);
            (0..400).for_each(|_| assert!(rt.step()));
            exits
        } else {
            start(&Runtime::builder().workers(2).build().unwrap())
        };
        assert_eq!(ended.load(Ordering::SeqCst), 300);
        assert!(exits.iter().all(|e| e.try_wait().is_some()));
        assert_eq!((ledger.made(), ledger.dropped()), (400, 400));
    }
}

#[test]
fn a_process_spawned_while_its_runtime_ends_ends_too() {
    for _ in 0..300 {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let handle = Handle::clone(&rt);
        let started = Barrier::new(2);
        std::thread::scope(|s| {
            let spawner = s.spawn(|| {
                started.wait();
                let spawn = |_| handle.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)));
                let spawned = (0..50).map(spawn).map_while(|spawned| match spawned {
                    Ok(p) => Some((p, handle.exited(p))),
                    Err(refused) => {
                        assert_eq!(refused, SpawnError::ShutDown);
                        None
                    }
                });
                spawned.collect::<Vec<_>>()
            });
            started.wait();
            drop(rt);
            let spawned = spawner.join().unwrap();
            assert!(spawned.iter().all(|(p, _)| !handle.is_alive(*p)));
        });
        assert_eq!(handle.processes(), 0);
    }
}

/// Who begins again at every end would keep the runtime from coming to its own.
#[test]
fn what_spawns_as_it_ends_is_refused_once_its_runtime_ends() {
    struct Again(Handle, mpsc::Sender<Result<Pid, SpawnError>>);

    impl Process for Again {
        fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Stop(Exit::NORMAL))
        }

        fn ended(&mut self, _: &Exit) {
            self.1.send(self.0.spawn(Self(self.0.clone(), self.1.clone()))).unwrap();
        }
    }

    let rt = Runtime::builder().workers(1).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let first = rt.spawn(Again(Handle::clone(&rt), tx)).unwrap();
    rt.send_new(first, |h| h.nil()).unwrap();
    assert!(rx.recv_timeout(LONG).unwrap().is_ok());
    let handle = Handle::clone(&rt);
    drop(rt);
    assert_eq!(rx.iter().collect::<Vec<_>>(), [Err(SpawnError::ShutDown)]);
    assert_eq!(handle.processes(), 0);
    assert_eq!(handle.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))), Err(SpawnError::ShutDown));
}

#[test]
fn runtimes_that_end_while_their_processes_are_asked_hold_nothing_up() {
    let store = PersistentTerms::new();
    let ledger = Ledger::default();
    for round in 0..60 {
        let rt = Runtime::builder().workers(2).persistent(store.clone()).build().unwrap();
        store.put(GO, Region::build(|h| h.list([h.int(round), ledger.resource(h)]))).unwrap();
        for _ in 0..100 {
            let p =
                rt.spawn_fn(|cx| cx.nil(), |cx, _, _| Ok(Next(cx.tuple(&[cx.get(GO).unwrap_or(cx.nil())])))).unwrap();
            rt.send_new(p, |h| h.nil()).unwrap();
        }
        std::thread::scope(|s| {
            s.spawn(|| store.erase(GO));
            s.spawn(|| drop(rt));
        });
    }
    assert!(store.wait_idle(LONG));
    assert_eq!((ledger.made(), ledger.dropped()), (60, 60));
    assert_eq!(store.info().retained_bytes, 0);
}

#[test]
fn of_a_term_that_comes_too_late_nothing_comes_back() {
    // The receiver is ending: its mailbox is closed, and it is in its slot still, because a destructor takes its time. The
    // copy that was made for it has a pointer to a persistent term, which no region in the hands of a user may have.
    let rt = Runtime::builder().workers(2).build().unwrap();
    rt.persistent().put(GO, Region::build(|h| h.list(0..10))).unwrap();
    let ((closing, closed), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
    let mut slow = Some(OnDrop::new(move || {
        closing.send(()).unwrap();
        let _ = goes.recv_timeout(LONG);
    }));
    let ends = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, _, _| {
            let _held = slow.take().map(|slow| cx.resource(slow));
            Ok(Stop(Exit::NORMAL))
        },
    );
    let ends = ends.unwrap();
    rt.send_new(ends, |h| h.nil()).unwrap();
    closed.recv_timeout(LONG).unwrap();
    let (tx, rx) = mpsc::channel();
    rt.spawn_fn(
        move |cx| {
            let literal = cx.get(GO).unwrap();
            tx.send(cx.try_send(ends, cx.tuple(&[literal]))).unwrap();
            // A region of the sender's own comes back as it went.
            tx.send(cx.try_send(ends, cx.region(literal))).unwrap();
            cx.nil()
        },
        |_, state, _| Ok(Next(state)),
    )
    .unwrap();
    let back = rx.recv_timeout(LONG).unwrap();
    assert!(matches!(back, Err(Unsent::NoProcess(None))), "{back:?}");
    let back = rx.recv_timeout(LONG).unwrap();
    let Err(Unsent::NoProcess(Some(region))) = back else { panic!("{back:?}") };
    assert_eq!(region.root().list().count(), 10);
    go.send(()).unwrap();
}

#[test]
fn a_runtime_that_cannot_be_is_an_error() {
    for n in [Builder::MAX_WORKERS + 1, usize::MAX] {
        let error = Runtime::builder().workers(n).build().unwrap_err();
        assert!(matches!(error, BuildError::TooManyWorkers(asked) if asked == n), "{error}");
    }
    let error = Runtime::builder().thread_name("a\0b").build().unwrap_err();
    assert!(matches!(error, BuildError::Thread(_)), "{error}");
}
