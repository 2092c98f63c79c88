//! What OTP's suites say of processes, case by case where the name is one of theirs: `process_SUITE`, and its neighbours on
//! links, monitors and names.

#![cfg(feature = "runtime")]

mod support;

use shared_term::persistent::Report;
use shared_term::prelude::*;
use shared_term::process::{
    Collected, MailboxLimit, Monitored, Observer, OptionError, ProcessInfo, RegisterError, SpawnError, SpawnOptions,
    Status, Unsent, from_fns,
};
use shared_term::runtime::{Deterministic, Handle, Port};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use support::LONG;

const GO: Atom = Atom::inline("go");
const NORMAL: Atom = Atom::inline("normal");
const KILL: Atom = Atom::inline("kill");

fn said(port: &mut Port) -> Vec<String> {
    std::iter::from_fn(|| port.try_recv()).map(|m| m.root().to_string()).collect()
}

fn atom(name: &str) -> Region {
    Region::build(|h| h.atom(Atom::new(name).unwrap()))
}

/// A process that waits, and does nothing about what it receives.
fn waits(rt: &Handle) -> Pid {
    rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap()
}

/// A process that does to `f` what it is told by any message.
fn does(rt: &Handle, f: impl for<'h> FnMut(Cx<'h>, Term<'h>) -> Result<(), Exit> + Send + 'static) -> Pid {
    let mut f = f;
    rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, s, m| {
            f(cx, m)?;
            Ok(Next(s))
        },
    )
    .unwrap()
}

/// As `does`, in a process that traps exits and tells `to` of every event.
fn traps(rt: &Handle, to: Pid, f: impl for<'h> FnMut(Cx<'h>, Term<'h>) -> Result<(), Exit> + Send + 'static) -> Pid {
    let mut f = f;
    rt.spawn(from_fns(
        |cx| {
            cx.trap_exits(true);
            cx.nil()
        },
        move |cx, s, m| {
            f(cx, m)?;
            Ok(Next(s))
        },
        move |cx, s, event| {
            tell(cx, to, event);
            Ok(Next(s))
        },
    ))
    .unwrap()
}

fn tell<'h>(cx: Cx<'h>, to: Pid, event: Event<'h>) {
    match event {
        Event::Exit { from, reason } => {
            let from = from.map_or(cx.nil(), |pid| cx.pid(pid));
            cx.send(to, cx.tuple(&[cx.atom(Atom::inline("exit")), from, reason]));
        }
        Event::Down { object, reason, .. } => {
            let object = match object {
                Monitored::Pid(pid) => cx.pid(pid),
                Monitored::Name(name) => cx.atom(name),
                _ => cx.nil(),
            };
            cx.send(to, cx.tuple(&[cx.atom(Atom::inline("down")), object, reason]));
        }
        _ => {}
    }
}

fn go(rt: &Handle, to: Pid) {
    rt.send_new(to, |h| h.atom(GO)).unwrap();
}

fn runtime() -> (Deterministic, Port) {
    let rt = Runtime::deterministic(1);
    let port = rt.port().unwrap();
    (rt, port)
}

fn why(rt: &mut Deterministic, pid: Pid, act: impl FnOnce(&Deterministic)) -> Option<String> {
    rt.run_until_idle();
    let exited = rt.exited(pid);
    act(rt);
    rt.run_until_idle();
    exited.try_wait().map(|exit| exit.to_string())
}

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
fn normal_ends_of_links_are_seen_by_who_traps_and_by_nobody_else() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
    let link = move |cx: Cx<'_>, _: Term<'_>| {
        cx.link(p);
        Ok(())
    };
    let (trapping, other) = (traps(&rt, me, link), does(&rt, link));
    go(&rt, trapping);
    go(&rt, other);
    rt.run_until_idle();
    go(&rt, p);
    rt.run_until_idle();
    assert_eq!(said(&mut port), [format!("{{exit,{p},normal}}")]);
    assert!(rt.is_alive(other));
}

#[test]
fn a_link_to_nobody_is_an_exit_signal_noproc() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let dead = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
    go(&rt, dead);
    rt.run_until_idle();
    let link = move |cx: Cx<'_>, _: Term<'_>| {
        cx.link(dead);
        Ok(())
    };
    let trapping = traps(&rt, me, link);
    go(&rt, trapping);
    let other = does(&rt, link);
    assert_eq!(why(&mut rt, other, |rt| go(rt, other)).as_deref(), Some("noproc"));
    assert_eq!(said(&mut port), [format!("{{exit,{dead},noproc}}")]);
}

/// A link whose signal comes too late to be seen is one to nobody, and so is a monitor.
#[test]
fn a_link_that_comes_while_the_process_ends_is_one_to_nobody() {
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let dying = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("x")))).unwrap();
        let p = traps(&rt, me, move |cx, _| {
            cx.link(dying);
            cx.monitor(dying);
            Ok(())
        });
        rt.run_until_idle();
        go(&rt, dying);
        go(&rt, p);
        rt.run_until_idle();
        let mut said = said(&mut port);
        said.sort();
        let either = |why: &str| [format!("{{down,{dying},{why}}}"), format!("{{exit,{dying},{why}}}")];
        assert!(said == either("noproc") || said == either("{error,<<\"x\">>}"), "{said:?}");
    }
}

#[test]
fn an_unlinked_process_is_not_touched() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = waits(&rt);
    let a = traps(&rt, me, move |cx, m| {
        if m.as_atom() == Some(GO) {
            cx.link(p);
        } else {
            cx.unlink(p);
        }
        Ok(())
    });
    let b = does(&rt, move |cx, _| {
        cx.link(p);
        cx.unlink(p);
        cx.unlink(p);
        Ok(())
    });
    go(&rt, a);
    go(&rt, b);
    rt.run_until_idle();
    rt.send_new(a, |h| h.nil()).unwrap();
    rt.run_until_idle();
    rt.kill(p).unwrap();
    rt.run_until_idle();
    assert!(said(&mut port).is_empty());
    assert!(rt.is_alive(a) && rt.is_alive(b));
}

/// Both ends of a link unlink and link at will, in every order: in the end both are linked, or neither is.
#[test]
fn the_two_ends_of_a_link_agree() {
    for seed in 0..300 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        // `{link, Pid}`, `{unlink, Pid}`.
        let obeys = |rt: &Handle| {
            traps(rt, me, |cx, m| {
                let (what, peer): (Atom, Pid) = m.get()?;
                if what == Atom::inline("link") {
                    cx.link(peer);
                } else {
                    cx.unlink(peer);
                }
                Ok(())
            })
        };
        let (a, b) = (obeys(&rt), obeys(&rt));
        rt.run_until_idle();
        let mut random = seed;
        for _ in 0..8 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (to, peer) = if random >> 40 & 1 == 0 { (a, b) } else { (b, a) };
            let what = Atom::inline(if random >> 41 & 1 == 0 { "link" } else { "unlink" });
            rt.send_new(to, |h| term!(h, {what, peer})).unwrap();
            (0..random >> 42 & 3).for_each(|_| _ = rt.step());
        }
        rt.run_until_idle();
        let links = |pid| rt.info(pid).unwrap().details.unwrap().links;
        let agreed = (links(a).contains(&b), links(b).contains(&a));
        assert_eq!(agreed.0, agreed.1, "seed {seed}");
        rt.kill(a).unwrap();
        rt.run_until_idle();
        assert_eq!(!said(&mut port).is_empty(), agreed.0, "seed {seed}");
    }
}

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

#[test]
fn a_monitor_fires_once_with_the_reason() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Err(Exit::msg("broken"))).unwrap();
    let q = traps(&rt, me, move |cx, _| {
        cx.monitor(p);
        cx.monitor(p);
        Ok(())
    });
    go(&rt, q);
    rt.run_until_idle();
    go(&rt, p);
    rt.run_until_idle();
    let down = format!("{{down,{p},{{error,<<\"broken\">>}}}}");
    assert_eq!(said(&mut port), [down.clone(), down]);
    // Of a dead one.
    go(&rt, q);
    rt.run_until_idle();
    let down = format!("{{down,{p},noproc}}");
    assert_eq!(said(&mut port), [down.clone(), down]);
}

/// `monitor_SUITE:demon_1`, `demonitor_flush`: nothing comes of a monitor that was ended, and of one that has fired the
/// event is taken back if that is asked for.
#[test]
fn demonitor_and_flush() {
    let mut fired = [0; 2];
    for seed in 0..40 {
        for flush in [false, true] {
            let mut rt = Runtime::deterministic(seed);
            let p = waits(&rt);
            let mut monitor: Option<Reference> = None;
            let (tx, rx) = mpsc::channel();
            let ended = tx.clone();
            let q = rt
                .spawn(from_fns(
                    |cx| cx.nil(),
                    move |cx, s, m| {
                        if m.as_atom() == Some(GO) {
                            monitor = Some(cx.monitor(p));
                        } else {
                            let monitor = monitor.take().unwrap();
                            let active = if flush { cx.demonitor_flush(monitor) } else { cx.demonitor(monitor) };
                            ended.send(if active { "active" } else { "fired" })?;
                        }
                        Ok(Next(s))
                    },
                    move |_, s, event| {
                        assert!(matches!(event, Event::Down { object: Monitored::Pid(pid), .. } if pid == p));
                        tx.send("down")?;
                        Ok(Next(s))
                    },
                ))
                .unwrap();
            go(&rt, q);
            rt.run_until_idle();
            rt.send_new(q, |h| h.nil()).unwrap();
            rt.kill(p).unwrap();
            rt.run_until_idle();
            let said: Vec<_> = rx.try_iter().collect();
            match said[..] {
                ["active"] => {}
                ["fired"] if flush => fired[1] += 1,
                ["fired", "down"] if !flush => fired[0] += 1,
                _ => panic!("seed {seed}, flush {flush}: {said:?}"),
            }
            assert!(rt.is_alive(q));
        }
    }
    assert!(fired[0] > 0 && fired[1] > 0, "{fired:?}");
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

/// `register_SUITE:otp_8099` and the rules of `register/2`: a name for one process, one name a process, free when it ends.
#[test]
fn names() {
    let (mut rt, mut port) = runtime();
    let (a, b) = (Atom::inline("a"), Atom::inline("b"));
    let (p, q) = (waits(&rt), waits(&rt));
    rt.register(a, p).unwrap();
    assert_eq!(rt.register(a, q), Err(RegisterError::Taken(p)));
    assert_eq!(rt.register(b, p), Err(RegisterError::Named(a)));
    assert_eq!(rt.registered(), [(a, p)]);
    assert_eq!(rt.unregister(a), Some(p));
    assert_eq!((rt.unregister(a), rt.whereis(a)), (None, None));
    rt.register(b, p).unwrap();
    rt.register(a, q).unwrap();
    rt.kill(p).unwrap();
    rt.run_until_idle();
    assert_eq!((rt.whereis(a), rt.whereis(b)), (Some(q), None));
    assert_eq!(rt.register(b, p), Err(RegisterError::NoProcess));
    assert_eq!(rt.register(b, port.pid()), Err(RegisterError::NoProcess), "a port has no name");
    assert!(rt.registered() == [(a, q)]);
    // A process that has lost its name to another takes nothing from that one when it ends.
    assert_eq!(rt.unregister(a), Some(q));
    let r = waits(&rt);
    rt.register(a, r).unwrap();
    rt.kill(q).unwrap();
    rt.run_until_idle();
    assert_eq!(rt.whereis(a), Some(r));
    // By name from a process and from outside.
    let me = port.pid();
    let options = SpawnOptions::new().name(b);
    let named = |rt: &Handle| {
        rt.spawn_with(
            options,
            from_fns(
                |cx| cx.nil(),
                move |cx, s, m| {
                    cx.send(me, m);
                    Ok(Next(s))
                },
                |_, s, _| Ok(Next(s)),
            ),
        )
    };
    let p = named(&rt).unwrap();
    assert_eq!(rt.whereis(b), Some(p));
    assert!(matches!(named(&rt), Err(SpawnError::NameTaken(holder)) if holder == p));
    let from = does(&rt, move |cx, m| {
        cx.send_named(b, m);
        assert!(cx.try_send_named(Atom::inline("nobody"), m).is_err());
        assert!(cx.whereis(b).is_some());
        Ok(())
    });
    go(&rt, from);
    rt.send_named(b, atom("out")).unwrap();
    assert!(matches!(rt.send_named(KILL, atom("x")), Err(Unsent::NoProcess(Some(_)))));
    rt.run_until_idle();
    let mut said = said(&mut port);
    said.sort();
    assert_eq!(said, ["go", "out"]);
}

/// `monitor_SUITE:named_down`: a monitor by name tells the name, also when nobody has it.
#[test]
fn named_down() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let name = Atom::inline("name");
    let p = waits(&rt);
    rt.register(name, p).unwrap();
    let q = traps(&rt, me, move |cx, _| {
        cx.monitor_name(name);
        Ok(())
    });
    go(&rt, q);
    rt.run_until_idle();
    // When the event is seen, the name is free.
    rt.kill(p).unwrap();
    while said(&mut port).is_empty() {
        assert!(rt.step());
    }
    assert_eq!(rt.whereis(name), None);
    go(&rt, q);
    rt.run_until_idle();
    assert_eq!(said(&mut port), ["{down,name,noproc}"]);
}

/// `process_SUITE:spawn_link`-like: the parent hears of the end of a child that never waited, under any schedule.
#[test]
fn children_are_linked_and_monitored_from_the_start() {
    for seed in 0..50 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let parent = traps(&rt, me, |cx, _| {
            let dies = || from_fns(|_| panic_quietly(), |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s)));
            cx.spawn_linked(dies())?;
            cx.spawn_monitored(SpawnOptions::new().link(), dies())?;
            cx.spawn_with(SpawnOptions::new().link().name(Atom::inline("child")), dies())?;
            Ok(())
        });
        go(&rt, parent);
        rt.run_until_idle();
        let said = said(&mut port);
        assert_eq!(said.iter().filter(|m| m.starts_with("{exit")).count(), 3, "{said:?}");
        assert_eq!(said.iter().filter(|m| m.starts_with("{down")).count(), 1, "{said:?}");
        assert!(said.iter().all(|m| m.ends_with(r#"{panic,<<"init">>}}"#)), "{said:?}");
        assert_eq!((rt.processes(), rt.pids()), (1, vec![parent]));
        assert!(rt.registered().is_empty());
    }
    let rt = Runtime::deterministic(0);
    let linked = rt.spawn_fn_with(SpawnOptions::new().link(), |cx| cx.nil(), |_, s, _| Ok(Next(s)));
    assert!(matches!(linked, Err(SpawnError::Options(OptionError::LinkFromOutside))));
}

fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("init"))
}

/// The parent ends with the child, and the other way round, unless the reason is `normal`.
#[test]
fn linked_processes_end_together() {
    for normal in [false, true] {
        let (mut rt, _) = runtime();
        let (tx, rx) = mpsc::channel();
        let parent = does(&rt, move |cx, m| {
            if m.as_atom() == Some(GO) {
                tx.send(cx.spawn_linked(from_fns(|cx| cx.nil(), |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s))))?)?;
                return Ok(());
            }
            Err(if normal { Exit::NORMAL } else { Exit::SHUTDOWN })
        });
        go(&rt, parent);
        rt.run_until_idle();
        let child = rx.try_recv().unwrap();
        assert_eq!(why(&mut rt, child, |rt| rt.send_new(parent, |h| h.nil()).unwrap()).is_none(), normal);
        assert!(!rt.is_alive(parent));
    }
}

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

/// A process that never waits starves none of a hundred others: of any schedule, each has its turn long before the busy one
/// has had a hundred times as many.
#[test]
fn a_busy_process_starves_nobody() {
    struct Busy(Arc<AtomicUsize>);
    impl Process for Busy {
        fn receive<'h>(&mut self, _: Cx<'h>, s: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Again(s))
        }
        fn resume<'h>(&mut self, _: Cx<'h>, s: Term<'h>) -> Turn<'h> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Again(s))
        }
    }
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let (me, turns) = (port.pid(), Arc::new(AtomicUsize::new(0)));
        let busy = rt.spawn(Busy(turns.clone())).unwrap();
        go(&rt, busy);
        (0..50).for_each(|_| _ = rt.step());
        let others: Vec<_> = (0..100)
            .map(|_| {
                does(&rt, move |cx, _| {
                    cx.send(me, cx.pid(cx.me()));
                    Ok(())
                })
            })
            .collect();
        for p in others {
            go(&rt, p);
        }
        let before = turns.load(Ordering::Relaxed);
        let mut heard = 0;
        while heard < 100 {
            assert!(rt.step());
            heard += usize::from(port.try_recv().is_some());
            assert!(turns.load(Ordering::Relaxed) - before < 10_000, "seed {seed}: {heard} of 100");
        }
    }
}

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

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Log {
    fn spawned(&self, pid: Pid) {
        self.say(format!("spawned {pid}"));
    }
    fn exited(&self, pid: Pid, why: &Exit, last: &ProcessInfo) {
        let details = last.details.as_ref().unwrap();
        self.say(format!("exited {pid} {why} {} {} {:?}", details.turns, last.messages, last.name));
        std::panic::resume_unwind(Box::new("an observer's panic is its own"));
    }
    fn collected(&self, pid: Pid, collection: &Collected) {
        assert!(collection.after.minor_collections + collection.after.major_collections > 0);
        assert!(collection.before.young_words > collection.after.young_words);
        self.say(format!("collected {pid}"));
    }
    fn slow_turn(&self, pid: Pid, took: Duration) {
        self.say(format!("slow {pid} {}", took >= Duration::from_millis(20)));
    }
    fn global_collection(&self, report: &Report) {
        self.say(format!("global {}", report.areas));
    }
}

#[test]
fn an_observer_is_told_of_everything() {
    let log = Log::default();
    let mut rt = Runtime::builder().observer(log.clone()).slow_turns(Duration::from_millis(20)).deterministic(1);
    let p = rt
        .spawn_fn_with(
            SpawnOptions::new().name(GO).min_heap_words(10),
            |cx| cx.nil(),
            |cx, s, m| match m.as_int() {
                Some(0) => {
                    std::thread::sleep(Duration::from_millis(21));
                    Ok(Next(s))
                }
                Some(1) => {
                    cx.list(0..1000);
                    Ok(Next(cx.cons(m, s)))
                }
                _ => Err(Exit::msg("why")),
            },
        )
        .unwrap();
    assert_eq!(log.take(), [format!("spawned {p}")]);
    for (n, told) in [(0, format!("slow {p} true")), (1, format!("collected {p}"))] {
        rt.send_new(p, |h| h.int(n)).unwrap();
        rt.run_until_idle();
        assert_eq!(log.take(), [told]);
    }
    let store = rt.persistent().clone();
    store.put(GO, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(GO);
    rt.run_until_idle();
    assert_eq!(log.take(), ["global 1"]);
    (2..5).for_each(|n| rt.send_new(p, |h| h.int(n)).unwrap());
    rt.run_until_idle();
    assert_eq!(log.take(), [format!("exited {p} why 4 2 Some(:go)")]);
    drop(rt);
    store.put(GO, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(GO);
    assert!(log.take().is_empty(), "the observer went with its runtime");
}

/// A pid of one domain names nobody in another, also when the first is gone.
#[test]
fn two_runtimes_in_one_program() {
    let (mut a, mut b) = (Runtime::deterministic(1), Runtime::deterministic(2));
    let mut port = b.port().unwrap();
    let me = port.pid();
    let (of_a, of_b): (Vec<_>, Vec<_>) = (0..5).map(|_| (waits(&a), waits(&b))).unzip();
    for (p, q) in of_a.iter().zip(&of_b) {
        assert_ne!(p, q);
        assert!(a.is_alive(*p) && !b.is_alive(*p) && !a.is_alive(*q));
        assert!(matches!(b.send(*p, atom("x")), Err(Unsent::NoProcess(Some(_)))));
        assert!(!b.kill(*p).unwrap() && b.info(*p).is_none());
        assert!(b.register(GO, *p).is_err());
    }
    // From a turn of one to a process of the other: by a handle, and what was a literal is copied.
    a.persistent().put(GO, Region::build(|h| h.list(0..50))).unwrap();
    let to_b = Handle::clone(&b);
    let stranger = of_b[0];
    let p = does(&a, move |cx, _| {
        cx.send(stranger, cx.nil());
        assert!(matches!(cx.try_send(stranger, cx.nil()), Err(Unsent::NoProcess(_))));
        cx.link(stranger);
        to_b.send(me, cx.region(cx.get(GO).unwrap()))?;
        Ok(())
    });
    let why = why(&mut a, p, |a| go(a, p));
    assert_eq!(why.as_deref(), Some("noproc"));
    a.persistent().erase(GO);
    a.run_until_idle();
    assert_eq!(a.persistent().info().retained_bytes, 0);
    b.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().list().count(), 50);
    assert_eq!(b.info(of_b[0]).unwrap().details.unwrap().turns, 1, "only its init");
    drop(a);
    // More runtimes than there are numbers for domains: a pid of one that is gone stays nobody's.
    for _ in 0..600 {
        let c = Runtime::deterministic(3);
        let fresh: Vec<_> = (0..5).map(|_| waits(&c)).collect();
        assert!(of_a.iter().all(|old| !fresh.contains(old) && !c.is_alive(*old)));
    }
}
