//! Mailboxes: pushes against the owner's drain, and against its end; no wake-up is lost.
#![cfg(loom)]

use loom::thread;
use loom_tests::{caught, explore};
use shared_term::model::World;
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{CloseWithoutSentinel, DrainRelaxed, PushRelaxed};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const _: () = assert!(shared_term::IS_LOOM);

/// Two senders, two messages each, while the owner drains: each message is received once, each sender's in order, and
/// the process is run until it has them all.
fn push_and_drain() {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let p = {
        let seen = Arc::clone(&seen);
        world.spawn(move |_, state, message| {
            seen.lock().unwrap().push(message.get::<i64>()?);
            Ok(Next(state))
        })
    };
    let sender = {
        let world = world.clone();
        thread::spawn(move || {
            for i in [1, 2] {
                world.send(p, Region::build(|h| h.int(i)));
            }
        })
    };
    world.send(p, Region::build(|h| h.int(10)));
    world.worker().run(p, 8);
    sender.join().unwrap();
    // What is left was announced: `settle` runs scheduled processes only.
    world.settle();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let from = |range: std::ops::Range<i64>| seen.iter().copied().filter(|i| range.contains(i)).collect::<Vec<_>>();
    assert_eq!((from(0..9), from(10..20), seen.len()), (vec![1, 2], vec![10], 3));
    world.end();
}

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A message is pushed while the owner ends: it is received, dropped by the owner, or given back; dropped once anyway.
fn push_and_end() {
    let world = World::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let p = world.spawn(|_, _, _| Ok(Stop(Exit::NORMAL)));
    world.send(p, Region::build(|h| h.nil()));
    let sender = {
        let (world, drops) = (world.clone(), Arc::clone(&drops));
        thread::spawn(move || {
            let message = Region::build(|h| h.resource(Arc::new(Counted(drops))));
            world.send(p, message);
        })
    };
    world.worker().run(p, 8);
    sender.join().unwrap();
    // While the world lives: a message in the mailbox of a process that is never run again is lost.
    assert_eq!(drops.load(Relaxed), 1, "a message was lost, or dropped twice");
    world.end();
}

#[test]
fn push_against_drain() {
    explore("push_and_drain", Some(3), push_and_drain);
    caught("push_and_drain", PushRelaxed, Some(3), push_and_drain);
    caught("push_and_drain", DrainRelaxed, Some(3), push_and_drain);
}

#[test]
fn push_against_the_end() {
    explore("push_and_end", Some(3), push_and_end);
    caught("push_and_end", CloseWithoutSentinel, Some(3), push_and_end);
}
