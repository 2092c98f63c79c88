//! Figures of processes.

use crate::helpers::{GO, NORMAL, atom, does, go, runtime, said, traps, waits, why};
use crate::support::LONG;
use shared_term::prelude::*;
use shared_term::process::{ProcessInfo, Status};
use shared_term::runtime::Deterministic;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// `process_SUITE:t_process_info`, `process_info_other`: the figures of a process that waits.
#[test]
fn t_process_info() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let (name, other) = (Atom::inline("name"), waits(&rt));
    let p = traps(&rt, me, move |cx, m| {
        if m.as_atom() == Some(GO) {
            cx.link(other);
            let monitor = cx.monitor(other);
            let info = cx.info(cx.me()).unwrap();
            assert_eq!((info.status, info.pid, info.name, info.messages), (Status::Running, cx.me(), Some(name), 1));
            let details = info.details.unwrap();
            assert_eq!((details.links, details.monitors), (vec![other], vec![(monitor, other)]));
            let info = cx.info(other).unwrap();
            assert!(info.details.is_some_and(|other| other.links.is_empty()), "it has not seen the link yet");
        }
        Ok(())
    });
    rt.register(name, p).unwrap();
    rt.run_until_idle();
    go(&rt, p);
    rt.send_new(p, |h| h.list(0..100)).unwrap();
    let info = rt.info(p).unwrap();
    assert_eq!((info.status, info.name, info.messages), (Status::Runnable, Some(name), 2));
    assert!((1600..2000).contains(&info.message_bytes), "{info:?}");
    rt.run_until_idle();
    let info = rt.info(p).unwrap();
    assert_eq!((info.status, info.messages, info.message_bytes), (Status::Idle, 0, 0));
    let details = info.details.unwrap();
    assert!(details.traps_exits && details.turns == 3 && details.watchers.is_empty(), "{details:?}");
    let info = rt.info(other).unwrap();
    let details = info.details.unwrap();
    assert_eq!((details.links, details.watchers, details.monitors.len()), (vec![p], vec![p], 0));
    rt.kill(p).unwrap();
    rt.run_until_idle();
    assert_eq!(rt.info(p), None);
    assert_eq!(rt.info(me), None, "a port is no process");
    assert!(rt.info(other).is_none(), "it was linked");
    assert!(said(&mut port).is_empty());
}

/// Deferred messages are counted, and so is what they take.
#[test]
fn process_info_messages() {
    let (mut rt, _) = runtime();
    let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Defer)).unwrap();
    for _ in 0..5 {
        rt.send_new(p, |h| h.list(0..10)).unwrap();
    }
    let before = rt.info(p).unwrap();
    rt.run_until_idle();
    let after = rt.info(p).unwrap();
    assert_eq!((before.messages, after.messages, after.details.unwrap().deferred), (5, 5, 5));
    assert_eq!(before.message_bytes, after.message_bytes);
}

/// `process_SUITE:process_info_self_msgq_len_more` and its kin: the queue of a process in a long turn is seen to grow, while
/// senders go on, and nothing is lost or counted twice.
#[test]
fn process_info_of_a_process_that_runs() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let mut seen = 0;
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |_, s, m| {
                if m.as_atom() == Some(GO) {
                    tx.send(0)?;
                    let _ = held.recv_timeout(LONG);
                } else {
                    seen += 1;
                    tx.send(seen)?;
                }
                Ok(Next(s))
            },
        )
        .unwrap();
    go(&rt, p);
    assert_eq!(rx.recv_timeout(LONG), Ok(0));
    const EACH: usize = 2000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..EACH).for_each(|i| rt.send_new(p, |h| h.int(i as u64)).unwrap()));
        }
        let mut last = 0;
        while last < 2 * EACH {
            let info = rt.info(p).unwrap();
            assert!(info.status == Status::Running && info.details.is_none());
            assert!((last..=2 * EACH).contains(&info.messages), "{last}, then {}", info.messages);
            last = info.messages;
        }
    });
    assert!(rt.info_within(p, Duration::from_millis(1)).unwrap().is_none(), "its turn does not end");
    hold.send(()).unwrap();
    // Looked at all the while, it receives every message once.
    while rx.try_iter().last() != Some(2 * EACH) {
        let info = rt.info_within(p, LONG).unwrap().unwrap();
        assert!(info.details.is_some() && info.messages <= 2 * EACH + 1, "{info:?}");
    }
}

/// `process_SUITE:process_info_status_handled_signal`: who has looked at a signal, and at nothing else, waits again, and had
/// no turn for it.
#[test]
fn process_info_status_handled_signal() {
    let (mut rt, _) = runtime();
    let p = waits(&rt);
    rt.run_until_idle();
    let before = rt.info(p).unwrap();
    assert_eq!((before.status, before.messages), (Status::Idle, 0));
    assert!(rt.exit(p, &atom("normal")).unwrap());
    let noted = rt.info(p).unwrap();
    assert_eq!((noted.status, noted.messages), (Status::Runnable, 1));
    rt.run_until_idle();
    assert_eq!(rt.info(p).unwrap(), before);
}

/// `erlang:process_info/2`, `status`: who waits for a message, is sent one by another and is run by nobody yet is runnable,
/// and has it in its queue; when it runs it is running, and has not.
#[test]
fn process_info_of_who_waits_for_a_worker() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let q = {
        let tx = tx.clone();
        rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, s, _| {
                tx.send(cx.info(cx.me()))?;
                let _ = held.recv_timeout(LONG);
                Ok(Next(s))
            },
        )
        .unwrap()
    };
    let (release, released) = mpsc::channel::<()>();
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, s, _| {
                tx.send(cx.info(q))?;
                cx.send(q, cx.list(0..10));
                tx.send(cx.info(q))?;
                cx.send(q, cx.nil());
                tx.send(cx.info(q))?;
                let _ = released.recv_timeout(LONG);
                Ok(Next(s))
            },
        )
        .unwrap();
    let seen = |info: Option<ProcessInfo>| info.map(|info| (info.status, info.messages, info.details.is_some()));
    while seen(rt.info(q)) != Some((Status::Idle, 0, true)) {
        std::thread::yield_now();
    }
    go(&rt, p);
    let next = || seen(rx.recv_timeout(LONG).unwrap());
    assert_eq!(next(), Some((Status::Idle, 0, true)));
    assert_eq!(next(), Some((Status::Runnable, 1, false)), "the only worker is at the one who has sent it");
    assert_eq!(next(), Some((Status::Runnable, 2, false)), "what is sent behind it is in the mailbox");
    assert_eq!(seen(rt.info(q)), Some((Status::Runnable, 2, false)), "as a thread sees it");
    assert_eq!(seen(rt.info(p)), Some((Status::Running, 0, false)));
    release.send(()).unwrap();
    assert_eq!(next(), Some((Status::Running, 1, true)));
    assert_eq!(seen(rt.info(q)), Some((Status::Running, 0, false)), "it has taken out what it runs for, and the rest");
    drop(hold);
    rx.recv_timeout(LONG).unwrap();
    while seen(rt.info(q)) != Some((Status::Idle, 0, true)) {
        std::thread::yield_now();
    }
}

/// `process_SUITE:process_info_self_msgq_len`, `process_info_self_signal`: what a process has sent to itself is in its own
/// figures at once, signals with the rest.
#[test]
fn process_info_self_msgq_len() {
    let (mut rt, _) = runtime();
    let p = does(&rt, |cx, m| {
        if m.as_atom() == Some(GO) {
            for i in 0..3 {
                cx.send(cx.me(), cx.int(i));
            }
            cx.exit(cx.me(), cx.list([cx.me()]));
            let info = cx.info(cx.me()).unwrap();
            assert_eq!((info.messages, info.signals), (4, 1));
        }
        Ok(())
    });
    let why = why(&mut rt, p, |rt| go(rt, p));
    assert_eq!(why, Some(format!("[{p}]")));
}

/// `process_SUITE:process_info_signal_race`, `process_info_smoke_all`: processes ask for each other's figures, and so do
/// threads, while they run, send and end; everyone is answered, and nobody waits for another.
#[test]
fn process_info_signal_race() {
    const ROUNDS: i64 = 300;
    let rt = Runtime::builder().workers(2).build().unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let asks = || {
        does(&rt, move |cx, m| {
            let (peer, n): (Pid, i64) = m.get()?;
            assert!(cx.info(cx.me()).is_some_and(|info| info.details.is_some()));
            assert!(cx.info(peer).is_none_or(|info| info.pid == peer));
            if n == 0 {
                cx.send(me, cx.nil());
            } else {
                // The peer goes on, and so does this one.
                cx.send(peer, term!(cx, {cx.me(), n - 1}));
                cx.exit(peer, cx.atom(NORMAL));
            }
            Ok(())
        })
    };
    let pairs: Vec<_> = (0..4).map(|_| (asks(), asks())).collect();
    for &(p, q) in &pairs {
        rt.send_new(p, |h| term!(h, {q, ROUNDS})).unwrap();
    }
    let (mut left, mut answers) = (pairs.len(), 0);
    while left > 0 || answers == 0 {
        for p in rt.pids() {
            answers += usize::from(rt.info_within(p, LONG).unwrap().is_some());
        }
        left -= usize::from(port.try_recv().is_some());
        // Who is asked may end meanwhile.
        let ends = waits(&rt);
        rt.kill(ends).unwrap();
        assert!(rt.info_within(ends, LONG).unwrap().is_none_or(|info| info.pid == ends));
    }
    assert!(rt.processes() >= 8);
}

/// `process_SUITE:processes_large_tab`, `processes_term_proc_list`: a list of processes has all that live throughout, each
/// once, whoever is spawned and ends meanwhile.
#[test]
fn processes_large_tab() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let stay: BTreeSet<_> = (0..3000).map(|_| waits(&rt)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let comes_and_goes = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let some: Vec<_> = (0..20).map(|_| waits(&rt)).collect();
                for p in some {
                    rt.kill(p).unwrap();
                }
            }
        });
        for _ in 0..50 {
            let list = rt.pids();
            let set: BTreeSet<_> = list.iter().copied().collect();
            assert_eq!(set.len(), list.len(), "a process is there twice");
            assert!(stay.is_subset(&set));
        }
        over.store(true, Ordering::Relaxed);
        comes_and_goes.join().unwrap();
    });
}

/// `processes/0` and what is near it: a turn is told what a thread is, of its own runtime. Who has ended and is not yet freed is
/// not there, who only has its end before it is.
#[test]
fn a_turn_and_a_thread_see_the_same_processes() {
    let store = PersistentTerms::new();
    let build = || Runtime::builder().persistent(store.clone()).deterministic(1);
    let (mut rt, other) = (build(), build());
    let (theirs, port) = (waits(&other), rt.port().unwrap());
    let seen = Arc::new(Mutex::new(None));
    let looks = does(&rt, {
        let (seen, port) = (Arc::clone(&seen), port.pid());
        move |cx, about| {
            let last = about.as_pid().unwrap_or(port);
            if about.is_nil() {
                cx.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
                cx.kill(cx.me());
            }
            let alive = [cx.me(), port, theirs, last].map(|p| cx.is_alive(p));
            *seen.lock().unwrap() = Some((cx.pids(), cx.processes(), cx.registered(), alive));
            Ok(())
        }
    });
    let [a, b, c] = [(); 3].map(|()| waits(&rt));
    let names = [(Atom::inline("looks"), looks), (Atom::inline("c"), c)];
    rt.run_until_idle();
    let look = |rt: &mut Deterministic, about: &dyn for<'r> Fn(Heap<'r>) -> Term<'r>| {
        rt.send_new(looks, about).unwrap();
        rt.run_until_idle();
        let (mut pids, count, registered, alive) = seen.lock().unwrap().take().unwrap();
        pids.sort_unstable();
        (pids, count, registered, alive)
    };
    assert_eq!(look(&mut rt, &|h| h.pid(a)), (vec![looks, a, b, c], 4, vec![], [true; 4]));
    for (name, p) in names {
        rt.register(name, p).unwrap();
    }
    assert_eq!(look(&mut rt, &|h| h.pid(c)).2, names);
    let guard = store.pin(); // holds up what is left of the dead
    rt.kill(b).unwrap();
    rt.kill(c).unwrap();
    rt.run_until_idle();
    let mine = (vec![looks, a], 2, vec![names[0]], [true, true, true, false]);
    assert_eq!(look(&mut rt, &|h| h.pid(c)), mine);
    assert_eq!((rt.pids(), rt.processes(), rt.registered()), (mine.0, 2, mine.2));
    drop(guard);
    // One that has spawned another in this turn sees it, and one that will end sees itself.
    let last = look(&mut rt, &|h| h.nil());
    assert_eq!((last.0.len(), last.1, last.3), (3, 3, [true; 4]));
    assert!(last.0.contains(&looks) && !rt.is_alive(looks));
    drop(port);
}
