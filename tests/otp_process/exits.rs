//! Exit signals, `kill`, and the reasons of ends.

use crate::helpers::{GO, KILL, NORMAL, atom, does, go, runtime, said, traps, waits, why};
use crate::support::LONG;
use shared_term::prelude::*;
use shared_term::process::from_fns;
use std::sync::mpsc;
use std::time::Duration;

/// `process_SUITE:t_exit_1`: a process ends with the reason that it gives, and whoever is linked to it hears of that.
#[test]
fn t_exit_1() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let child = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::build(|h| term!(h, {:kb, 42}))))).unwrap();
    let parent = traps(&rt, me, move |cx, _| {
        cx.link(child);
        Ok(())
    });
    go(&rt, parent);
    rt.run_until_idle();
    go(&rt, child);
    rt.run_until_idle();
    assert_eq!(said(&mut port), [format!("{{exit,{child},{{kb,42}}}}")]);
}

/// `process_SUITE:t_exit_2_other`: an exit signal to another process.
#[test]
fn t_exit_2_other() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = waits(&rt);
    let watcher = traps(&rt, me, move |cx, m| {
        if m.as_atom() == Some(GO) {
            cx.link(p);
        } else {
            cx.exit(p, m);
        }
        Ok(())
    });
    go(&rt, watcher);
    rt.run_until_idle();
    rt.send_new(watcher, |h| term!(h, {:other, [1, "x"]})).unwrap();
    rt.run_until_idle();
    assert_eq!(said(&mut port), [format!("{{exit,{p},{{other,[1,<<\"x\">>]}}}}")]);
    assert!(!rt.is_alive(p));
}

/// `process_SUITE:t_exit_2_other_normal`: `normal` does nothing to another process.
#[test]
fn t_exit_2_other_normal() {
    let (mut rt, _) = runtime();
    let p = waits(&rt);
    assert_eq!(why(&mut rt, p, |rt| assert!(rt.exit(p, &atom("normal")).unwrap())), None);
    assert!(rt.is_alive(p));
}

/// `process_SUITE:self_exit`: an exit signal to oneself is seen.
#[test]
fn self_exit() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = traps(&rt, me, move |cx, _| {
        cx.exit(cx.me(), cx.atom(Atom::inline("self")));
        Ok(())
    });
    go(&rt, p);
    rt.run_until_idle();
    assert_eq!(said(&mut port), [format!("{{exit,{p},self}}")]);
}

/// `process_SUITE:normal_suicide_exit`: `exit(self(), normal)` ends the process.
#[test]
fn normal_suicide_exit() {
    let (mut rt, _) = runtime();
    let p = does(&rt, |cx, _| {
        cx.exit(cx.me(), cx.atom(NORMAL));
        Ok(())
    });
    assert_eq!(why(&mut rt, p, |rt| go(rt, p)).as_deref(), Some("normal"));
}

/// `process_SUITE:abnormal_suicide_exit`, with a reason of some size.
#[test]
fn abnormal_suicide_exit() {
    let (mut rt, _) = runtime();
    let p = does(&rt, |cx, _| {
        cx.exit(cx.me(), cx.list(0..1000));
        Ok(())
    });
    let expected = Region::build(|h| h.list(0..1000)).root().to_string();
    assert_eq!(why(&mut rt, p, |rt| go(rt, p)), Some(expected));
}

/// `process_SUITE:t_exit_2_catch`: an exit signal is no error of the turn that it comes in; the turn ends first.
#[test]
fn t_exit_2_catch() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = does(&rt, move |cx, _| {
        cx.exit(cx.me(), cx.atom(Atom::inline("foo")));
        cx.send(me, cx.atom(Atom::inline("later")));
        Ok(())
    });
    assert_eq!(why(&mut rt, p, |rt| go(rt, p)).as_deref(), Some("foo"));
    assert_eq!(said(&mut port), ["later"]);
}

/// `process_SUITE:exit_twice`: of two exit signals the first ends the process.
#[test]
fn exit_twice() {
    let (mut rt, _) = runtime();
    let p = waits(&rt);
    let why = why(&mut rt, p, |rt| {
        assert!(rt.exit(p, &atom("first")).unwrap());
        assert!(rt.exit(p, &atom("second")).unwrap());
    });
    assert_eq!(why.as_deref(), Some("first"));
    assert!(!rt.exit(p, &atom("third")).unwrap());
}

/// `kill` from somebody cannot be trapped, and those linked to the process have `killed`, which can.
#[test]
fn kill_is_not_trapped_and_its_links_have_killed() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let victim = traps(&rt, me, |_, _| Ok(()));
    let linked = traps(&rt, me, move |cx, _| {
        cx.link(victim);
        Ok(())
    });
    let untrapped = does(&rt, move |cx, _| {
        cx.link(victim);
        Ok(())
    });
    go(&rt, linked);
    go(&rt, untrapped);
    let exited = rt.exited(untrapped);
    assert_eq!(why(&mut rt, victim, |rt| assert!(rt.exit(victim, &atom("kill")).unwrap())).as_deref(), Some("killed"));
    assert_eq!(said(&mut port), [format!("{{exit,{victim},killed}}")]);
    assert_eq!(exited.try_wait().unwrap().to_string(), "killed");
    assert!(rt.is_alive(linked));
}

/// A process that ends *by itself* with the reason `kill` is nothing special: its links have `kill`, and may trap it.
#[test]
fn the_reason_kill_of_a_link_can_be_trapped() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::build(|h| h.atom(KILL))))).unwrap();
    let link = move |cx: Cx<'_>, _: Term<'_>| {
        cx.link(p);
        Ok(())
    };
    let trapping = traps(&rt, me, link);
    let untrapped = does(&rt, link);
    go(&rt, trapping);
    go(&rt, untrapped);
    let why = why(&mut rt, untrapped, |rt| go(rt, p));
    assert_eq!(why.as_deref(), Some("kill"));
    assert_eq!(said(&mut port), [format!("{{exit,{p},kill}}")]);
}

#[test]
fn a_process_killed_before_its_first_turn_runs_nothing() {
    let (mut rt, _) = runtime();
    let (tx, rx) = mpsc::channel();
    let init = tx.clone();
    let p = rt
        .spawn_fn(
            move |cx| {
                init.send(1).unwrap();
                cx.nil()
            },
            move |_, s, _| {
                tx.send(2)?;
                Ok(Next(s))
            },
        )
        .unwrap();
    go(&rt, p);
    rt.kill(p).unwrap();
    rt.run_until_idle();
    assert!(rx.try_recv().is_err() && !rt.is_alive(p));
}

/// A busy process, and one in a long turn, end at their next boundary.
#[test]
fn a_process_that_never_waits_can_be_killed() {
    struct Loops;
    impl Process for Loops {
        fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
            cx.trap_exits(true);
            cx.send(cx.me(), cx.nil());
            Ok(cx.nil())
        }
        fn receive<'h>(&mut self, _: Cx<'h>, s: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Again(s))
        }
        fn resume<'h>(&mut self, _: Cx<'h>, s: Term<'h>) -> Turn<'h> {
            Ok(Again(s))
        }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let loops = rt.spawn(Loops).unwrap();
    let (tx, rx) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let long = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |_, s, _| {
                tx.send(())?;
                let _ = held.recv_timeout(LONG);
                Ok(Next(s))
            },
        )
        .unwrap();
    let exited = [rt.exited(loops), rt.exited(long)];
    go(&rt, long);
    go(&rt, long);
    rx.recv_timeout(LONG).unwrap();
    rt.kill(long).unwrap();
    rt.kill(loops).unwrap();
    assert!(rt.is_alive(long), "a turn is not torn apart");
    hold.send(()).unwrap();
    for exited in exited {
        assert_eq!(exited.wait(LONG).unwrap().to_string(), "killed");
    }
    assert!(rx.recv_timeout(Duration::from_millis(1)).is_err(), "its second message is not seen");
}

/// What an exit reason has of persistent terms outlives them.
#[test]
fn a_reason_with_literals_is_whole_when_they_are_gone() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let store = rt.persistent().clone();
    store.put(GO, Region::build(|h| h.list(0..100))).unwrap();
    let expected = Region::build(|h| h.list(0..100)).root().to_string();
    let trapping = traps(&rt, me, |_, _| Ok(()));
    let dies = waits(&rt);
    let exited = rt.exited(dies);
    let p = does(&rt, move |cx, _| {
        let literal = cx.get(GO).unwrap();
        cx.exit(trapping, literal);
        cx.exit(dies, literal);
        Ok(())
    });
    rt.run_until_idle();
    go(&rt, p);
    for _ in 0..3 {
        rt.step();
    }
    store.erase(GO);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0);
    assert_eq!(said(&mut port), [format!("{{exit,[],{expected}}}").replace("[],", &format!("{p},"))]);
    assert_eq!(exited.try_wait().unwrap().to_string(), expected);
}

/// `process_SUITE:exit_and_timeout`: an exit signal and the end of a timeout at the same time. The signal takes effect when it
/// comes; of the timeout, which waits to be seen, nothing is.
#[test]
fn exit_and_timeout() {
    const AFTER: Duration = Duration::from_millis(10);
    let mut first = [0; 2];
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let low = rt
            .spawn(from_fns(
                |cx| {
                    cx.set_timeout(AFTER);
                    cx.nil()
                },
                |_, s, _| Ok(Next(s)),
                move |cx, s, _| {
                    cx.send(me, cx.atom(Atom::inline("timeout")));
                    Ok(Next(s))
                },
            ))
            .unwrap();
        let why = why(&mut rt, low, |rt| {
            let high = does(rt, move |cx, m| {
                cx.exit(low, cx.list([cx.atom(GO)]));
                cx.send(me, m);
                Ok(())
            });
            rt.send_after(AFTER, high, atom("go")).unwrap();
        });
        assert_eq!(why, None);
        let exited = rt.exited(low);
        rt.advance(AFTER);
        assert_eq!(exited.try_wait().unwrap().to_string(), "[go]");
        let said = said(&mut port);
        match said.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            // The timeout was in the mailbox, and is not seen.
            ["go"] => first[0] += 1,
            ["timeout", "go"] => first[1] += 1,
            _ => panic!("seed {seed}: {said:?}"),
        }
    }
    assert!(first.iter().all(|&n| n > 0), "{first:?}");
}
