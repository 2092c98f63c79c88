//! Links, and processes that are linked from the start.

use crate::helpers::{GO, atom, does, go, runtime, said, tell, traps, waits, why};
use crate::support::LONG;
use shared_term::prelude::*;
use shared_term::process::{OptionError, SpawnError, SpawnOptions, Status, from_fns};
use shared_term::runtime::Handle;
use std::sync::mpsc;

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

/// What an end of a link does in one turn.
#[derive(Debug, Clone, Copy)]
enum Act {
    Link,
    Unlink,
}

/// Two linked processes: the one acts in a turn, and the other in one that began before that and ends after it, so that
/// what they tell each other crosses. Does each of them know of a link in the end?
fn crossing(first: &'static [Act], second: &'static [Act]) -> [bool; 2] {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (tell, told) = mpsc::channel();
    // Told `Peer`, it links; told `[Peer]`, it begins its turn, waits until it may act, and says that it has.
    let end = |acts: &'static [Act]| {
        let ((go, may), tell) = (mpsc::channel::<()>(), tell.clone());
        let p = does(&rt, move |cx, m| {
            if let Ok(peer) = m.get() {
                cx.link(peer);
            } else {
                let peer: Pid = m.list().next().unwrap().get()?;
                tell.send((cx.me(), "begins"))?;
                may.recv_timeout(LONG)?;
                for act in acts {
                    match act {
                        Act::Link => cx.link(peer),
                        Act::Unlink => cx.unlink(peer),
                    }
                }
            }
            tell.send((cx.me(), "done"))?;
            Ok(())
        });
        (p, go)
    };
    let ((a, go_a), (b, go_b)) = (end(first), end(second));
    let says = |p, what| assert_eq!(told.recv_timeout(LONG), Ok((p, what)));
    let knows = |p: Pid, peer: Pid| loop {
        let info = rt.info_within(p, LONG).unwrap().unwrap();
        if info.status == Status::Idle {
            return info.details.unwrap().links == [peer];
        }
        std::thread::yield_now();
    };
    rt.send_new(a, |h| h.pid(b)).unwrap();
    says(a, "done");
    assert_eq!([knows(a, b), knows(b, a)], [true; 2]);
    for (p, peer) in [(a, b), (b, a)] {
        rt.send_new(p, |h| h.list([h.pid(peer)])).unwrap();
        says(p, "begins");
    }
    for (p, go) in [(a, go_a), (b, go_b)] {
        go.send(()).unwrap();
        says(p, "done");
    }
    [knows(a, b), knows(b, a)]
}

/// An unlink that is on its way ends the link that its sender knew of, and not another that was made since.
#[test]
fn an_unlink_that_crosses_another_link_leaves_it() {
    use Act::{Link, Unlink};
    for (first, second, linked) in [
        (&[Unlink] as &[_], &[] as &[_], false),
        (&[Unlink], &[Link], false), // which is none: there is one still, as far as it knows
        (&[Unlink], &[Unlink], false),
        (&[Unlink], &[Unlink, Link], true),
        (&[Unlink, Link], &[], true),
        (&[Unlink, Link], &[Unlink], true),
        (&[Unlink, Link], &[Unlink, Link], true),
        (&[Unlink, Link, Unlink], &[Unlink, Link], true),
        (&[Unlink, Link, Unlink], &[Unlink, Link, Unlink], false),
        (&[Unlink, Link, Unlink], &[Link, Unlink, Link, Unlink, Link], true),
    ] {
        assert_eq!(crossing(first, second), [linked; 2], "{first:?} and {second:?}");
    }
}

/// An exit signal of a link that was ended while it was on its way is void, whoever comes first.
#[test]
fn the_end_of_a_peer_that_crosses_an_unlink_touches_nobody() {
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let ends = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::msg("on its way")))).unwrap();
        let unlinks = does(&rt, move |cx, m| {
            if m.as_atom() == Some(GO) {
                cx.link(ends);
            } else {
                cx.unlink(ends);
            }
            Ok(())
        });
        go(&rt, unlinks);
        rt.run_until_idle();
        // The message, more signals than one step looks at, and then the end of the peer, if that has its step first.
        rt.send_new(unlinks, |h| h.nil()).unwrap();
        (0..8).for_each(|_| assert!(rt.exit(unlinks, &atom("normal")).unwrap()));
        go(&rt, ends);
        rt.run_until_idle();
        assert!(rt.is_alive(unlinks) && !rt.is_alive(ends), "seed {seed}");
    }
}

/// A link that is ended in the turn in which it was made tells of nothing, also when there was nobody to link to: whether
/// the other had ended by then, or ends on the way, is the same.
#[test]
fn a_link_to_nobody_that_is_ended_at_once_is_none() {
    let (mut rt, mut port) = runtime();
    let me = port.pid();
    let dead = waits(&rt);
    rt.kill(dead).unwrap();
    rt.run_until_idle();
    let act = move |cx: Cx<'_>, _: Term<'_>| {
        cx.link(dead);
        cx.link(dead);
        assert_eq!(cx.info(cx.me()).unwrap().details.unwrap().links, [dead], "until it is told");
        cx.unlink(dead);
        Ok(())
    };
    let (trapping, other) = (traps(&rt, me, act), does(&rt, act));
    go(&rt, trapping);
    go(&rt, other);
    rt.run_until_idle();
    assert!(said(&mut port).is_empty());
    assert!(rt.is_alive(other) && rt.is_alive(trapping));
    assert_eq!(rt.info(other).unwrap().details.unwrap().links, []);
}

/// What OTP's manual of `unlink/1` does behind it: the end that has come, and waits, is taken back, also one that was deferred.
/// What the same process has sent besides stays, and so does the end of another.
#[test]
fn a_flush_takes_the_end_of_a_link_back() {
    let mut taken_back = [0; 2];
    for seed in 0..80 {
        let defers = seed % 2 == 0;
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let ends = || {
            let ends = |cx: Cx<'_>, to: Term<'_>| {
                cx.exit(to.get()?, cx.atom(GO));
                Err(Exit::SHUTDOWN)
            };
            does(&rt, ends)
        };
        let (one, two) = (ends(), ends());
        let p = rt.spawn(from_fns(
            move |cx| {
                cx.trap_exits(true);
                cx.link(one);
                cx.link(two);
                cx.nil()
            },
            move |cx, _, _| {
                let had_ended = !cx.info(cx.me()).unwrap().details.unwrap().links.contains(&one);
                cx.unlink_flush(one);
                cx.send(me, cx.atom(if had_ended { Atom::TRUE } else { Atom::FALSE }));
                Ok(NextReoffer(cx.atom(GO)))
            },
            move |cx, s, event| {
                if defers && s.is_nil() {
                    return Ok(Defer);
                }
                tell(cx, me, event);
                Ok(Next(s))
            },
        ));
        let p = p.unwrap();
        rt.run_until_idle();
        for peer in [one, two] {
            rt.send_new(peer, |h| h.pid(p)).unwrap();
        }
        if defers {
            rt.run_until_idle();
        }
        go(&rt, p);
        rt.run_until_idle();
        let said = said(&mut port);
        let exit = |who: Pid, why: &str| said.iter().position(|said| *said == format!("{{exit,{who},{why}}}"));
        let (flushed, had_ended) = match said.iter().position(|said| said == "true" || said == "false") {
            Some(at) => (at, said[at] == "true"),
            None => panic!("seed {seed}: {said:?}"),
        };
        assert!(exit(one, "go").is_some() && exit(two, "go").is_some(), "seed {seed}: {said:?}");
        assert!(exit(two, "go") < exit(two, "shutdown"), "seed {seed}: {said:?}");
        match exit(one, "shutdown") {
            Some(at) => assert!(at < flushed, "seed {seed}: {said:?}"),
            None => taken_back[usize::from(defers)] += usize::from(had_ended),
        }
    }
    assert!(taken_back.iter().all(|&n| n > 0), "{taken_back:?}");
}
