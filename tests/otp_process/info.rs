//! Figures of processes.

use crate::helpers::{GO, go, runtime, said, traps, waits};
use crate::support::LONG;
use shared_term::prelude::*;
use shared_term::process::Status;
use std::sync::mpsc;
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
