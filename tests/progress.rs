//! That nothing waits for ever beside those who never wait: processes behind a long turn, what is left of processes that have
//! ended, and the grace periods of others while one with very many relations or messages ends.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use shared_term::runtime::Handle;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::{LONG, OnDrop};

/// Never waits, and counts its turns.
struct Busy(Arc<AtomicUsize>);

impl Process for Busy {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Again(state))
    }

    fn resume<'h>(&mut self, _: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Again(state))
    }
}

/// So many of those, which have begun.
fn busy(rt: &Runtime, n: usize) -> Vec<Arc<AtomicUsize>> {
    let turns: Vec<_> = (0..n).map(|_| Arc::default()).collect();
    for turns in &turns {
        let busy = rt.spawn(Busy(Arc::clone(turns))).unwrap();
        rt.send_new(busy, |h| h.nil()).unwrap();
    }
    go_on(&turns);
    turns
}

/// Waits until each has had more turns.
fn go_on(turns: &[Arc<AtomicUsize>]) {
    for turns in turns {
        let before = turns.load(Ordering::Relaxed);
        while turns.load(Ordering::Relaxed) == before {
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_waits_behind_a_long_turn_is_taken_by_a_worker_that_is_never_idle() {
    for n in 1..=2 {
        let rt = Runtime::builder().workers(2).build().unwrap();
        let turns = busy(&rt, n);
        let (tx, rx) = mpsc::channel();
        let (done_tx, done) = mpsc::channel();
        let other = rt.spawn_fn(
            |cx| cx.nil(),
            move |_, state, _| {
                tx.send(())?;
                Ok(Next(state))
            },
        );
        let other = other.unwrap();
        let long = rt.spawn_fn(
            |cx| cx.nil(),
            move |cx, state, _| {
                go_on(&turns); // by the other worker: it has something to do
                cx.send(other, cx.nil());
                done_tx.send(rx.recv_timeout(LONG).is_ok())?;
                Ok(Next(state))
            },
        );
        rt.send_new(long.unwrap(), |h| h.nil()).unwrap();
        assert!(done.recv().unwrap(), "beside {n}");
    }
}

/// The slot of a process in the table of them.
fn slot(pid: Pid) -> String {
    pid.to_string().split('.').nth(1).unwrap().to_owned()
}

/// Is a slot used again? It is when what is left of its process, or port, has been freed, behind a grace period: by who comes
/// from outside, or by what a turn spawns, since a worker keeps some slots for that.
fn is_used_again(rt: &Handle, of: &str) -> bool {
    let (tx, spawned) = mpsc::channel();
    let spawns = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let child = cx.spawn_fn(|cx| cx.nil(), |_, state, _| Ok(Next(state)))?;
            tx.send(child)?;
            Ok(Next(state))
        },
    );
    let spawns = spawns.unwrap();
    let mut ports = Vec::new();
    slot(spawns) == of
        || (0..LONG.as_millis()).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            rt.send_new(spawns, |h| h.nil()).unwrap();
            ports.push(rt.port().unwrap());
            let by_port = ports.last().is_some_and(|port| slot(port.pid()) == of);
            // Whoever calls this may keep the worker that would spawn.
            by_port || spawned.try_iter().any(|child| slot(child) == of)
        })
}

#[test]
fn what_is_left_of_the_dead_is_freed_by_a_worker_that_is_never_idle() {
    for n in 1..=2 {
        let rt = Runtime::builder().workers(1).build().unwrap();
        busy(&rt, n);
        let brief = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
        let exited = rt.exited(brief);
        rt.send_new(brief, |h| h.nil()).unwrap();
        assert!(exited.wait(LONG).is_some());
        assert!(is_used_again(&rt, &slot(brief)), "beside {n}");
    }
}

/// More of anything than an end sees to between two boundaries.
const MANY: usize = 1000;

/// A message whose destructor calls this.
fn tells(f: impl FnOnce() + Send + 'static) -> Region {
    let resource = OnDrop::new(f);
    Region::build(|h| h.resource(resource))
}

/// Has a process end in whose hands `MANY` messages are; the destructor of the first drops a port, and that of the last waits
/// until it is freed.
fn a_port_is_freed_while_a_process_ends(give: impl FnOnce(&Runtime, Pid, Vec<Region>)) {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let (begin, begun) = mpsc::channel();
    let p = rt
        .spawn_fn(
            move |cx| {
                begun.recv_timeout(LONG).unwrap();
                cx.nil()
            },
            |_, s, _| Ok(Next(s)),
        )
        .unwrap();
    let (port, handle, (tx, waited)) = (rt.port().unwrap(), Handle::clone(&rt), mpsc::channel());
    let of = slot(port.pid());
    let mut messages = vec![tells(move || drop(port))];
    messages.extend((2..MANY).map(|_| Region::build(|h| h.nil())));
    messages.push(tells(move || _ = tx.send(is_used_again(&handle, &of))));
    give(&rt, p, messages);
    rt.kill(p).unwrap();
    begin.send(()).unwrap();
    assert!(waited.recv().unwrap());
}

#[test]
fn a_process_with_many_messages_ends_in_pieces() {
    a_port_is_freed_while_a_process_ends(|rt, p, messages| {
        for message in messages {
            rt.send(p, message).unwrap();
        }
    });
}

#[test]
fn a_process_with_many_timers_ends_in_pieces() {
    a_port_is_freed_while_a_process_ends(|rt, p, messages| {
        for message in messages {
            rt.send_after(LONG * 100, p, message).unwrap();
        }
    });
}

/// Those who monitor it are told one by one; a port that is dropped when the first has heard is freed before all have.
#[test]
fn a_process_that_many_monitor_ends_in_pieces() {
    const TOLD: usize = 100_000;
    let came_between = (0..100).any(|_| {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let mut port = rt.port().unwrap();
        let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
        // First, and so the first that is told.
        port.monitor(p).unwrap();
        // Runs when it is told to, and so keeps what comes.
        let mut other = Runtime::builder().persistent(rt.persistent().clone()).deterministic(1);
        let watcher = other
            .spawn_fn(
                move |cx| {
                    (0..TOLD).for_each(|_| _ = cx.monitor(p));
                    cx.nil()
                },
                |_, s, _| Ok(Next(s)),
            )
            .unwrap();
        other.run_until_idle();
        let watchers = || rt.info_within(p, LONG).unwrap().unwrap().details.unwrap().watchers.len();
        while watchers() <= TOLD {}

        rt.kill(p).unwrap();
        port.recv_timeout(LONG).unwrap();
        let of = slot(port.pid());
        drop(port);
        assert!(is_used_again(&rt, &of));
        other.info(watcher).unwrap().messages < TOLD
    });
    assert!(came_between);
}

/// Ends in its first turn, and says so.
struct Ends(Option<mpsc::Sender<()>>);

impl Process for Ends {
    fn init<'h>(&mut self, _: Cx<'h>) -> Result<Term<'h>, Exit> {
        self.0.as_ref().map_or(Ok(()), |tx| tx.send(()).map_err(Exit::msg))?;
        Err(Exit::NORMAL)
    }

    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Next(state))
    }
}

/// Spawns until it has run for many short turns, and then waits in a long one for whom it has spawned last.
struct Hurried {
    spawns: u32,
    done: mpsc::Sender<()>,
}

impl Process for Hurried {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        while self.spawns > 0 {
            self.spawns -= 1;
            cx.spawn(Ends(None))?;
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        let (tx, rx) = mpsc::channel();
        for _ in 0..2 {
            let tx = tx.clone();
            cx.spawn(Ends(Some(tx)))?;
        }
        for _ in 0..2 {
            rx.recv_timeout(LONG).map_err(Exit::msg)?;
        }
        self.done.send(()).map_err(Exit::msg)?;
        Ok(Stop(Exit::NORMAL))
    }
}

#[test]
fn a_worker_that_was_left_alone_as_long_as_it_was_quick_is_stolen_from_in_a_long_turn() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..20 {
        let (done, is_done) = mpsc::channel();
        let hurried = rt.spawn(Hurried { spawns: 20_000, done }).unwrap();
        rt.send_new(hurried, |h| h.nil()).unwrap();
        is_done.recv_timeout(LONG).unwrap();
    }
}
