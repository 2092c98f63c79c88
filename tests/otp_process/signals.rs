//! Signals among messages: their order, and what a flood of them may cost others.

use crate::helpers::{GO, NORMAL, atom, does, go, runtime, said, traps, waits};
use crate::support::LONG;
use shared_term::prelude::*;
use shared_term::process::from_fns;
use shared_term::runtime::Handle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

/// Exit signals and messages of one sender come in the order in which they were sent.
#[test]
fn events_and_messages_of_one_sender_keep_their_order() {
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let q = traps(&rt, me, move |cx, m| {
            cx.send(me, m);
            Ok(())
        });
        let p = rt
            .spawn_fn(
                |cx| cx.nil(),
                move |cx, _, _| {
                    cx.link(q);
                    cx.send(q, cx.int(1));
                    cx.exit(q, cx.atom(Atom::inline("a")));
                    cx.send(q, cx.int(2));
                    cx.exit(q, cx.atom(NORMAL));
                    cx.send(q, cx.int(3));
                    Ok(Stop(Exit::msg("end")))
                },
            )
            .unwrap();
        rt.run_until_idle();
        go(&rt, p);
        rt.run_until_idle();
        let exit = |why: &str| format!("{{exit,{p},{why}}}");
        let end = exit("{error,<<\"end\">>}");
        assert_eq!(said(&mut port), ["1", &exit("a"), "2", &exit("normal"), "3", &end], "seed {seed}");
    }
}

/// An exit signal that ends the process takes effect when it comes, not when the messages before it are done.
#[test]
fn an_exit_signal_does_not_wait_for_messages() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = does(&rt, move |cx, m| {
        cx.send(me, m);
        Ok(())
    });
    rt.run_until_idle();
    for _ in 0..100 {
        go(&rt, p);
    }
    rt.kill(p).unwrap();
    rt.run_until_idle();
    assert!(said(&mut port).is_empty());
    assert!(!rt.is_alive(p));
}

#[test]
fn an_event_that_is_forwarded_is_a_message() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let to = rt.spawn(from_fns(
        |cx| cx.nil(),
        move |cx, s, m| {
            cx.send(me, m);
            Ok(Next(s))
        },
        |_, _, _| Ok(Stop(Exit::msg("an event"))),
    ));
    let to = to.unwrap();
    let forwards = rt.spawn(from_fns(
        |cx| {
            cx.trap_exits(true);
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
        move |_, _, _| Ok(Forward(to)),
    ));
    rt.run_until_idle();
    rt.exit(forwards.unwrap(), &atom("bye")).unwrap();
    rt.run_until_idle();
    let message = port.try_recv().unwrap();
    let (tag, _, why): (Atom, TermRef<'_>, Atom) = message.root().get().unwrap();
    assert_eq!((tag, why, rt.is_alive(to)), (Atom::inline("EXIT"), Atom::inline("bye"), true));
}

/// How many signals one step of a deterministic runtime looks at, at most.
const SIGNALS: usize = 8;

fn messages(rt: &Handle, pid: Pid) -> usize {
    rt.info(pid).unwrap().messages
}

/// However many signals wait for a process, each of its steps looks at a few, and others have theirs in between. What waits
/// is seen in its figures all the while, and goes at last.
#[test]
fn a_flood_of_signals_is_looked_at_in_portions() {
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let flooded = waits(&rt);
        let echo = does(&rt, move |cx, m| {
            cx.send(me, m);
            Ok(())
        });
        rt.run_until_idle();
        let many = 100 * SIGNALS;
        for _ in 0..many {
            assert!(rt.exit(flooded, &atom("normal")).unwrap());
        }
        let one = rt.info(flooded).unwrap().message_bytes / many;
        go(&rt, echo);
        let (mut before, mut answered_at) = (many, 0);
        while before > 0 {
            assert!(rt.step());
            let info = rt.info(flooded).unwrap();
            assert!((before - SIGNALS..=before).contains(&info.messages), "seed {seed}: {before}, then {info:?}");
            assert_eq!((info.signals, info.message_bytes), (info.messages, one * info.messages), "seed {seed}");
            before = info.messages;
            if answered_at == 0 && port.try_recv().is_some() {
                answered_at = before;
            }
        }
        assert!(answered_at > 0, "seed {seed}: the echo had to wait for all of the flood");
        assert!(rt.is_alive(flooded));
    }
}

/// What an observer sees of a flood, whatever it is made of: how many, and that each takes less than 100 bytes.
#[test]
fn signals_that_wait_are_counted_by_themselves() {
    let (mut rt, _) = runtime();
    let flooded = waits(&rt);
    rt.run_until_idle();
    // On the same store, and run by nobody who would run the other.
    let mut others = Runtime::builder().persistent(rt.persistent().clone()).deterministic(1);
    let p = does(&others, move |cx, _| {
        cx.link(flooded);
        cx.unlink(flooded);
        let monitor = cx.monitor(flooded);
        cx.demonitor(monitor);
        cx.exit(flooded, cx.atom(NORMAL));
        cx.send(flooded, cx.nil());
        Ok(())
    });
    for _ in 0..10 {
        go(&others, p);
    }
    others.run_until_idle();
    let info = rt.info(flooded).unwrap();
    assert_eq!((info.messages, info.signals), (60, 50));
    assert!(info.message_bytes < 60 * 100, "{info:?}");
    rt.run_until_idle();
    let info = rt.info(flooded).unwrap();
    assert_eq!((info.messages, info.signals), (0, 0));
    let details = info.details.unwrap();
    assert!(details.links.is_empty() && details.watchers.is_empty());
}

/// Threads that send signals for as long as nobody else is heard do not keep a worker from its other processes, nor from
/// the messages of the process that they flood.
#[test]
fn a_flood_without_end_holds_no_worker() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let echoes = || {
        does(&rt, move |cx, m| {
            cx.send(me, m);
            Ok(())
        })
    };
    let (flooded, echo) = (echoes(), echoes());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (normal, is_over) = (atom("normal"), || over.load(Ordering::Relaxed));
                while !is_over() {
                    for _ in 0..1000 {
                        rt.exit(flooded, &normal).unwrap();
                    }
                    // There is always more than enough, and memory has an end.
                    while !is_over() && messages(&rt, flooded) > 50_000 {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let heard = (0..10).all(|_| {
            go(&rt, echo);
            port.recv_timeout(LONG).is_some()
        });
        go(&rt, flooded);
        let by_the_flooded = port.recv_timeout(LONG).is_some();
        over.store(true, Ordering::Relaxed);
        assert!(heard && by_the_flooded);
    });
    assert!(rt.is_alive(flooded));
}

/// A process that yields and goes on at once, because nobody else waits, looks at all of its signals in the end.
#[test]
fn a_signal_behind_a_flood_ends_a_process_that_never_waits() {
    struct Loops(mpsc::Sender<()>, mpsc::Receiver<()>);
    impl Process for Loops {
        fn receive<'h>(&mut self, _: Cx<'h>, s: Term<'h>, _: Term<'h>) -> Turn<'h> {
            self.0.send(())?;
            self.1.recv_timeout(LONG)?;
            Ok(Again(s))
        }
        fn resume<'h>(&mut self, _: Cx<'h>, s: Term<'h>) -> Turn<'h> {
            Ok(Again(s))
        }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let ((says, said), (go_on, may)) = (mpsc::channel(), mpsc::channel());
    let p = rt.spawn(Loops(says, may)).unwrap();
    let exited = rt.exited(p);
    go(&rt, p);
    said.recv_timeout(LONG).unwrap();
    for _ in 0..5000 {
        assert!(rt.exit(p, &atom("normal")).unwrap());
    }
    assert!(rt.kill(p).unwrap());
    go_on.send(()).unwrap();
    assert_eq!(exited.wait(LONG).unwrap().to_string(), "killed");
}

/// What was not looked at when the process ends is answered as what comes too late, and a name that it did not know of yet
/// is given back.
#[test]
fn signals_that_nobody_looks_at_any_more_are_answered() {
    let mut unseen = 0;
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let ends = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("first")))).unwrap();
        let watches = traps(&rt, me, move |cx, _| {
            (0..4 * SIGNALS).for_each(|_| cx.exit(ends, cx.atom(NORMAL)));
            cx.link(ends);
            cx.monitor(ends);
            Ok(())
        });
        rt.run_until_idle();
        go(&rt, ends);
        go(&rt, watches);
        while messages(&rt, watches) > 0 {
            assert!(rt.step());
        }
        // If it was the one to run, the other has its flood before it, and in its next step it ends.
        unseen += usize::from(rt.register(GO, ends).is_ok());
        rt.run_until_idle();
        let mut said = said(&mut port);
        said.sort();
        assert_eq!(said, [format!("{{down,{ends},noproc}}"), format!("{{exit,{ends},noproc}}")], "seed {seed}");
        assert!(rt.registered().is_empty(), "seed {seed}");
    }
    assert!(unseen > 0);
}

/// What waits unseen may point into a persistent term: a collection finds it there.
#[test]
fn signals_that_wait_unseen_are_evacuated() {
    const TERM: Atom = Atom::inline("term");
    let expected = Region::build(|h| h.list(0..100)).root().to_string();
    for seed in 0..40 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let store = rt.persistent().clone();
        store.put(TERM, Region::build(|h| h.list(0..100))).unwrap();
        let trapping = traps(&rt, me, |_, _| Ok(()));
        let sends = does(&rt, move |cx, _| {
            (0..4 * SIGNALS).for_each(|_| cx.exit(trapping, cx.get(TERM).unwrap()));
            Ok(())
        });
        rt.run_until_idle();
        go(&rt, sends);
        while messages(&rt, trapping) == 0 {
            assert!(rt.step());
        }
        // Some of them are looked at, and the others wait outside of the mailbox.
        while messages(&rt, trapping) == 4 * SIGNALS {
            assert!(rt.step());
        }
        store.erase(TERM);
        rt.run_until_idle();
        assert_eq!(store.info().retained_bytes, 0, "seed {seed}");
        assert_eq!(said(&mut port), vec![format!("{{exit,{sends},{expected}}}"); 4 * SIGNALS], "seed {seed}");
    }
}

/// A process that is never done with its signals answers a collection all the same.
#[test]
fn a_flood_without_end_holds_no_collection_up() {
    const TERM: Atom = Atom::inline("term");
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        store.put(TERM, Region::build(|h| h.list(0..100))).unwrap();
        let flooded = rt.spawn_fn(|cx| cx.list([cx.get(TERM).unwrap()]), |_, s, _| Ok(Next(s))).unwrap();
        rt.run_until_idle();
        let more = |rt: &Handle| (0..2 * SIGNALS).for_each(|_| assert!(rt.exit(flooded, &atom("normal")).unwrap()));
        more(&rt);
        store.erase(TERM);
        let mut steps = 0;
        while store.info().retained_bytes > 0 {
            more(&rt);
            assert!(rt.step());
            steps += 1;
            assert!(steps < 1000, "seed {seed}: the collection waits for the flood to end");
        }
        assert!(rt.is_alive(flooded), "seed {seed}");
    }
}
