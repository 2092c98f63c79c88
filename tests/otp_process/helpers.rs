//! What several rooms use.

use shared_term::prelude::*;
use shared_term::process::{Monitored, from_fns};
use shared_term::runtime::{Deterministic, Handle, Port};

pub(crate) const GO: Atom = Atom::inline("go");
pub(crate) const NORMAL: Atom = Atom::inline("normal");
pub(crate) const KILL: Atom = Atom::inline("kill");

pub(crate) fn said(port: &mut Port) -> Vec<String> {
    std::iter::from_fn(|| port.try_recv()).map(|m| m.root().to_string()).collect()
}

pub(crate) fn atom(name: &str) -> Region {
    Region::build(|h| h.atom(Atom::new(name).unwrap()))
}

/// A process that waits, and does nothing about what it receives.
pub(crate) fn waits(rt: &Handle) -> Pid {
    rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap()
}

/// A process that does to `f` what it is told by any message.
pub(crate) fn does(rt: &Handle, f: impl for<'h> FnMut(Cx<'h>, Term<'h>) -> Result<(), Exit> + Send + 'static) -> Pid {
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
pub(crate) fn traps(
    rt: &Handle,
    to: Pid,
    f: impl for<'h> FnMut(Cx<'h>, Term<'h>) -> Result<(), Exit> + Send + 'static,
) -> Pid {
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

pub(crate) fn tell<'h>(cx: Cx<'h>, to: Pid, event: Event<'h>) {
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

pub(crate) fn go(rt: &Handle, to: Pid) {
    rt.send_new(to, |h| h.atom(GO)).unwrap();
}

pub(crate) fn runtime() -> (Deterministic, Port) {
    let rt = Runtime::deterministic(1);
    let port = rt.port().unwrap();
    (rt, port)
}

pub(crate) fn why(rt: &mut Deterministic, pid: Pid, act: impl FnOnce(&Deterministic)) -> Option<String> {
    rt.run_until_idle();
    let exited = rt.exited(pid);
    act(rt);
    rt.run_until_idle();
    exited.try_wait().map(|exit| exit.to_string())
}
