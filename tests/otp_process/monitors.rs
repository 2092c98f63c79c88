//! Monitors, by pid and by name.

use crate::helpers::{GO, does, go, runtime, said, tell, traps, waits};
use crate::support::LONG;
use shared_term::prelude::*;
use shared_term::process::{Monitored, OptionError, SpawnError, SpawnOptions, from_fns};
use shared_term::runtime::Handle;
use std::sync::mpsc;

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

/// Of what waits, the end that is taken back goes, and nothing else: not the end of another, nor a message that names the
/// monitor.
#[test]
fn a_flush_takes_one_event_back() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let ended = waits(&rt);
    rt.kill(ended).unwrap();
    rt.run_until_idle();
    let mut monitors = Vec::new();
    let p = rt.spawn(from_fns(
        |cx| cx.nil(),
        move |cx, s, m| {
            if m.as_atom() == Some(GO) {
                // The ends come behind this turn, and stay in the mailbox while what is sent now is received.
                cx.send(cx.me(), cx.nil());
                monitors.extend((0..2).map(|_| cx.monitor(ended)));
                cx.send(cx.me(), term!(cx, {1, monitors[0]}));
            } else if m.is_nil() {
                assert!(!cx.demonitor_flush(monitors[0]));
            } else {
                cx.send(me, cx.atom(GO));
            }
            Ok(Next(s))
        },
        move |cx, s, event| {
            tell(cx, me, event);
            Ok(Next(s))
        },
    ));
    go(&rt, p.unwrap());
    rt.run_until_idle();
    assert_eq!(said(&mut port), [format!("{{down,{ended},noproc}}"), String::from("go")]);
}

/// An end that is on its way when its monitor is ended is never seen.
#[test]
fn an_end_that_crosses_the_end_of_its_monitor_is_dropped() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let mut others = Runtime::builder().persistent(rt.persistent().clone()).deterministic(1);
    let p = waits(&others);
    let mut monitor = None;
    let q = traps(&rt, me, move |cx, m| {
        if m.as_atom() == Some(GO) {
            monitor = Some(cx.monitor(p));
        } else {
            assert!(monitor.is_some_and(|monitor| cx.demonitor(monitor)));
        }
        Ok(())
    });
    go(&rt, q);
    rt.run_until_idle();
    others.run_until_idle();
    // As many signals as a step looks at, so that it comes to the message, and not to the end behind them.
    rt.send_new(q, |h| h.nil()).unwrap();
    for _ in 0..8 {
        assert!(rt.exit(q, &Region::build(|h| h.int(1))).unwrap());
    }
    others.kill(p).unwrap();
    others.run_until_idle();
    rt.run_until_idle();
    assert!(rt.is_alive(q));
    assert_eq!(said(&mut port), ["{exit,[],1}"; 8]);
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

fn ends(rt: &Handle) -> Pid {
    rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("end")))).unwrap()
}

fn watchers(rt: &Handle, p: Pid) -> usize {
    rt.info(p).unwrap().details.unwrap().watchers.len()
}

/// What a port receives of an end.
fn down(monitor: Reference, p: Pid, reason: &str) -> String {
    format!("{{'DOWN',{monitor},process,{p},{reason}}}")
}

/// A thread is told of ends in one order with what it is sent, as a process is.
#[test]
fn a_port_monitors() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, _, m| {
                cx.send(me, m);
                Ok(Stop(Exit::msg("end")))
            },
        )
        .unwrap();
    let (one, two) = (port.monitor(p).unwrap(), port.monitor(p).unwrap());
    rt.run_until_idle();
    assert_eq!(watchers(&rt, p), 2);
    go(&rt, p);
    rt.run_until_idle();
    let why = "{error,<<\"end\">>}";
    assert_eq!(said(&mut port), ["go".into(), down(one, p, why), down(two, p, why)]);
    assert!(!port.demonitor(one), "it has fired");
    // Of nobody, at once.
    let three = port.monitor(p).unwrap();
    assert_eq!(said(&mut port), [down(three, p, "noproc")]);
    let four = port.monitor(me).unwrap();
    assert_eq!(said(&mut port), [down(four, me, "noproc")], "a port is no process");
}

/// Nothing comes of a monitor that was ended, also when its event had come, and nothing else is taken for one.
#[test]
fn a_port_demonitors() {
    let (mut rt, mut port) = runtime();
    let (p, q) = (ends(&rt), ends(&rt));
    let (early, late, stays) = (port.monitor(p).unwrap(), port.monitor(p).unwrap(), port.monitor(q).unwrap());
    assert!(port.demonitor(early) && !port.demonitor(early));
    rt.run_until_idle();
    assert_eq!(watchers(&rt, p), 1);
    go(&rt, p);
    rt.run_until_idle();
    // A message that looks like one is a message.
    rt.send_new(port.pid(), |h| term!(h, {Atom::inline("DOWN"), h.reference(late), :process, p, :x})).unwrap();
    assert!(port.demonitor(late));
    assert_eq!(said(&mut port), [down(late, p, "x")]);
    // With the port its monitors go.
    assert_eq!(watchers(&rt, q), 1);
    let _ = stays;
    drop(port);
    rt.run_until_idle();
    assert_eq!(watchers(&rt, q), 0);
}

/// An end that was taken back hides nothing that has come behind it.
#[test]
fn a_port_receives_what_comes_behind_an_end_that_it_has_taken_back() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let p = does(&rt, move |cx, m| {
        cx.send(me, m);
        Err(Exit::NORMAL)
    });
    let monitor = port.monitor(p).unwrap();
    go(&rt, p);
    rt.run_until_idle();
    // The end is out of the mailbox with it.
    assert_eq!(port.try_recv().unwrap().root().as_atom(), Some(GO));
    assert!(port.demonitor(monitor));
    rt.send_new(me, |h| h.int(2)).unwrap();
    assert_eq!(port.try_recv().expect("it has come").root().as_int(), Some(2));
}

/// What a process is told that monitors a name a port receives.
#[test]
fn a_port_monitors_by_name() {
    const NAME: Atom = Atom::inline("name");
    let (mut rt, mut port) = runtime();
    let down = |monitor, why| format!("{{'DOWN',{monitor},process,name,{why}}}");
    // Of nobody: told at once, unless it is taken back.
    let [nobody, taken_back] = [(); 2].map(|()| port.monitor_name(NAME).unwrap());
    assert!(port.demonitor(taken_back));
    assert_eq!(said(&mut port), [down(nobody, "noproc")]);
    assert!(!port.demonitor(nobody));
    // Of who had the name then, who loses it, and not of who has it when it ends.
    let (p, q) = (ends(&rt), ends(&rt));
    rt.register(NAME, p).unwrap();
    let of_p = port.monitor_name(NAME).unwrap();
    let ended = port.monitor_name(NAME).unwrap();
    assert!(port.demonitor(ended) && !port.demonitor(ended));
    assert_eq!(rt.unregister(NAME), Some(p));
    rt.register(NAME, q).unwrap();
    go(&rt, q);
    rt.run_until_idle();
    assert_eq!(said(&mut port), [""; 0]);
    go(&rt, p);
    rt.run_until_idle();
    assert_eq!(said(&mut port), [down(of_p, "{error,<<\"end\">>}")]);
}

/// A monitor of a port that comes while the process ends is one of nobody.
#[test]
fn a_port_monitors_while_the_process_ends() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let mut port = rt.port().unwrap();
    for _ in 0..500 {
        let p = ends(&rt);
        go(&rt, p);
        let monitor = port.monitor(p).unwrap();
        let end = port.recv_timeout(LONG).expect("an end").root().to_string();
        assert!([down(monitor, p, "noproc"), down(monitor, p, "{error,<<\"end\">>}")].contains(&end), "{end}");
    }
}

/// A process that ends in its first turn.
fn at_once() -> impl Process {
    from_fns(
        |cx| {
            cx.exit(cx.me(), cx.atom(GO));
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
        |_, s, _| Ok(Next(s)),
    )
}

/// `process_SUITE:spawn_monitor`-like, of a thread: of what it spawns so it hears, though it ends before it could ask.
#[test]
fn a_thread_hears_of_the_end_of_what_it_spawns_however_soon_it_comes() {
    const NAME: Atom = Atom::inline("name");
    let rt = Runtime::builder().workers(2).build().unwrap();
    let mut port = rt.port().unwrap();
    for i in 0..1000 {
        // The name is free when the end is told.
        let options = if i % 2 == 0 { SpawnOptions::new() } else { SpawnOptions::new().name(NAME) };
        let (p, exited) = rt.spawn_watched(options, at_once()).unwrap();
        assert_eq!(exited.wait(LONG).expect("the reason").to_string(), "go", "{p}");
        let (p, monitor) = port.spawn_monitored(options, at_once()).unwrap();
        assert_eq!(port.recv_timeout(LONG).expect("an end").root().to_string(), down(monitor, p, "go"));
        assert!(!port.demonitor(monitor));
    }
}

/// What a thread is to hear of a process goes with who refuses to spawn it, and with the port.
#[test]
fn who_was_not_spawned_is_watched_by_nobody() {
    const NAME: Atom = Atom::inline("name");
    let mut rt = Runtime::builder().max_processes(2).deterministic(1);
    let mut port = rt.port().unwrap();
    let holder = waits(&rt);
    rt.register(NAME, holder).unwrap();
    let (named, linked) = (SpawnOptions::new().name(NAME), SpawnOptions::new().link());
    let from_outside = SpawnError::Options(OptionError::LinkFromOutside);
    for (options, refused) in [(named, SpawnError::NameTaken(holder)), (linked, from_outside)] {
        assert_eq!(port.spawn_monitored(options, at_once()), Err(refused));
        assert_eq!(rt.spawn_watched(options, at_once()).unwrap_err(), refused);
    }
    let (p, monitor) = port.spawn_monitored(SpawnOptions::new(), at_once()).unwrap();
    assert_eq!(rt.spawn_watched(SpawnOptions::new(), at_once()).unwrap_err(), SpawnError::TooMany);
    assert_eq!(rt.info(p).unwrap().details.unwrap().watchers, [port.pid()], "before its first turn");
    assert!(port.demonitor(monitor));
    rt.run_until_idle();
    assert!(port.try_recv().is_none() && !rt.is_alive(p));
    let (_, exited) = rt.spawn_watched(SpawnOptions::new(), at_once()).unwrap();
    let handle = (*rt).clone();
    drop(rt);
    assert_eq!(exited.try_wait().unwrap().to_string(), "shutdown");
    assert_eq!(handle.spawn_watched(SpawnOptions::new(), at_once()).unwrap_err(), SpawnError::ShutDown);
    assert_eq!(port.spawn_monitored(SpawnOptions::new(), at_once()), Err(SpawnError::ShutDown));
}
