//! Mailboxes with a limit.

use crate::helpers::{GO, atom, does, go, runtime, said};
use crate::support::{LONG, Ledger};
use shared_term::prelude::*;
use shared_term::process::{MailboxLimit, SpawnOptions, Unsent};
use shared_term::runtime::Handle;
use std::sync::mpsc;

/// A mailbox with a limit gives back what it does not take, and takes more when something was received.
#[test]
fn a_mailbox_with_a_limit() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let with = |rt: &Handle, limit| {
        // Defers odd numbers until it is told to go.
        rt.spawn_fn_with(
            SpawnOptions::new().mailbox(limit),
            |cx| cx.nil(),
            move |cx, s, m| match m.as_int() {
                None => Ok(NextReoffer(cx.atom(GO))),
                Some(n) if n % 2 == 1 && s.is_nil() => Ok(Defer),
                Some(_) => {
                    cx.send(me, m);
                    Ok(Next(s))
                }
            },
        )
        .unwrap()
    };
    let p = with(&rt, MailboxLimit::Messages(3));
    let send = |rt: &Handle, n: i64| rt.send_new(p, |h| h.int(n));
    (1..=3).for_each(|n| send(&rt, n).unwrap());
    assert!(matches!(send(&rt, 4), Err(Unsent::Full(Some(message))) if message.root().as_int() == Some(4)));
    assert_eq!(rt.info(p).unwrap().messages, 3);
    rt.run_until_idle();
    // 1 and 3 are deferred, and wait still.
    send(&rt, 5).unwrap();
    assert!(matches!(send(&rt, 7), Err(Unsent::Full(_))));
    // Signals go through, and events take no room.
    assert!(rt.exit(p, &atom("normal")).unwrap());
    rt.run_until_idle();
    assert!(matches!(send(&rt, 7), Err(Unsent::Full(_))), "three are deferred");
    let sender = does(&rt, move |cx, m| {
        assert!(matches!(cx.try_send(p, m), Err(Unsent::Full(None))));
        assert!(matches!(cx.try_send(p, cx.region(m)), Err(Unsent::Full(Some(_)))));
        cx.send(p, m);
        Ok(())
    });
    go(&rt, sender);
    rt.run_until_idle();
    assert!(rt.is_alive(sender) && rt.is_alive(p));
    assert_eq!(said(&mut port), ["2"]);

    // By bytes: what is large goes alone, what is small goes in numbers.
    let p = with(&rt, MailboxLimit::Bytes(300));
    let list = |n: i64| Region::build(|h| h.list(0..n));
    rt.send(p, list(100)).unwrap();
    assert!(matches!(rt.send(p, list(1)), Err(Unsent::Full(Some(_)))));
    rt.run_until_idle();
    assert_eq!(rt.info(p).unwrap().messages, 0);
    let taken = (0..100).take_while(|n| rt.send_new(p, |h| h.int(n * 2)).is_ok()).count();
    assert!((5..20).contains(&taken), "{taken}");
    rt.run_until_idle();
    assert_eq!(said(&mut port).len(), taken);
}

/// Terms that a process sends are let in as regions are: up to the limit, and one when nothing waits, whatever its size.
#[test]
fn a_limit_for_terms() {
    for (limit, admits) in [
        (MailboxLimit::Messages(0), 0),
        (MailboxLimit::Messages(2), 2),
        (MailboxLimit::Bytes(0), 1),
        (MailboxLimit::Bytes(1), 1),
    ] {
        let (mut rt, mut port) = runtime();
        let me = port.pid();
        let options = SpawnOptions::new().mailbox(limit);
        let bounded = rt.spawn_fn_with(
            options,
            |cx| cx.nil(),
            move |cx, s, m| {
                cx.send(me, m);
                Ok(Next(s))
            },
        );
        let bounded = bounded.unwrap();
        let sender = does(&rt, move |cx, m| {
            let sent = (0..5).take_while(|_| cx.try_send(bounded, m).is_ok()).count();
            cx.send(me, cx.int(sent as i64));
            Ok(())
        });
        for _ in 0..2 {
            go(&rt, sender);
            rt.run_until_idle();
            let mut expected = vec![admits.to_string()];
            expected.extend(vec![String::from("go"); admits]);
            assert_eq!(said(&mut port), expected, "{limit:?}");
        }
    }
}

/// Under many senders a limit holds, and every message that was taken is received.
#[test]
fn a_limit_under_many_senders() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let p = rt
        .spawn_fn_with(
            SpawnOptions::new().mailbox(MailboxLimit::Messages(10)),
            |cx| cx.nil(),
            move |cx, s, m| {
                assert!(cx.info(cx.me()).unwrap().messages <= 10);
                tx.send(m.get::<i64>()?)?;
                Ok(Next(s))
            },
        )
        .unwrap();
    let sent: i64 = std::thread::scope(|scope| {
        let send = || {
            let mut sent = 0;
            for i in 0..5000 {
                match rt.send_new(p, |h| h.int(i)) {
                    Ok(()) => sent += i,
                    Err(Unsent::Full(Some(_))) => std::thread::yield_now(),
                    Err(other) => panic!("{other}"),
                }
            }
            sent
        };
        let (a, b) = (scope.spawn(send), scope.spawn(send));
        a.join().unwrap() + b.join().unwrap()
    });
    let mut received = 0;
    while received < sent {
        received += rx.recv_timeout(LONG).unwrap();
    }
    assert_eq!(received, sent);
}

/// What is handed on to a mailbox that is full is dropped, as what is sent there: who has handed it on goes
/// on, and what the message owned goes with it.
#[test]
fn a_full_mailbox_swallows_what_is_forwarded() {
    let (mut rt, _) = runtime();
    let ledger = Ledger::default();
    let options = SpawnOptions::new().mailbox(MailboxLimit::Messages(1));
    let full = rt.spawn_fn_with(options, |cx| cx.nil(), |_, _, _| Ok(Defer)).unwrap();
    let forwards = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(full))).unwrap();
    for sent in 1..=3 {
        rt.send_new(forwards, |h| ledger.resource(h)).unwrap();
        rt.run_until_idle();
        assert_eq!((ledger.made(), ledger.dropped()), (sent, sent - 1), "the first is in the mailbox");
    }
    assert_eq!((rt.info(full).unwrap().messages, rt.is_alive(forwards)), (1, true));
}
