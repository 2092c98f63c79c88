//! Registered names.

use crate::helpers::{KILL, atom, does, go, runtime, said, waits};
use shared_term::prelude::*;
use shared_term::process::{RegisterError, SpawnError, SpawnOptions, Unsent, from_fns};
use shared_term::runtime::Handle;

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

/// `register_SUITE`, `process_SUITE:otp_6237`: a process gives names and takes them back, its own and others'.
#[test]
fn names_in_a_turn() {
    let (mut rt, _) = runtime();
    let (a, b) = (Atom::inline("a"), Atom::inline("b"));
    let other = waits(&rt);
    let p = does(&rt, move |cx, m| {
        if m.as_atom() == Some(KILL) {
            cx.kill(other);
            return Ok(());
        }
        assert_eq!((cx.register(a, cx.me()), cx.register(b, other)), (Ok(()), Ok(())));
        assert_eq!((cx.whereis(a), cx.whereis(b)), (Some(cx.me()), Some(other)));
        assert_eq!(cx.register(a, other), Err(RegisterError::Taken(cx.me())));
        assert_eq!((cx.unregister(a), cx.unregister(a), cx.whereis(a)), (Some(cx.me()), None, None));
        Ok(())
    });
    go(&rt, p);
    rt.run_until_idle();
    assert_eq!((rt.is_alive(p), rt.registered()), (true, vec![(b, other)]));
    rt.send(p, atom("kill")).unwrap();
    rt.run_until_idle();
    assert_eq!((rt.is_alive(p), rt.is_alive(other), rt.registered()), (true, false, vec![]));
}
