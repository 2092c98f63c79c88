//! That nothing waits for ever beside those who never wait: processes behind a long turn, what is left of processes that have
//! ended, and the grace periods of others while one with very many relations or messages ends.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::LONG;

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

#[test]
fn what_is_left_of_the_dead_is_freed_by_a_worker_that_is_never_idle() {
    for n in 1..=2 {
        let rt = Runtime::builder().workers(1).build().unwrap();
        busy(&rt, n);
        let brief = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
        let exited = rt.exited(brief);
        rt.send_new(brief, |h| h.nil()).unwrap();
        assert!(exited.wait(LONG).is_some());
        // A slot is used again when what is left of its process has been freed.
        let mut ports = Vec::new();
        let is_free = (0..LONG.as_millis()).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            ports.push(rt.port().unwrap());
            ports.last().is_some_and(|port| slot(port.pid()) == slot(brief))
        });
        assert!(is_free, "beside {n}");
    }
}
