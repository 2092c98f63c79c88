//! The runtime: parking against waking, and a slot that is used again against a send to who had it before.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;
use loom_tests::{caught, explore};
use shared_term::model::{Bed, World};
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{
    FindIgnoresGeneration, SleepLooksFirst, SleepNoFence, SlotBackAtOnce, WakeNoFence,
};
use std::sync::{Arc, Mutex};

const _: () = assert!(shared_term::IS_LOOM);

/// Work is made while the only worker goes to sleep: it sees the work, or is woken. A lost wake-up is a deadlock.
fn park_and_wake() {
    let (bed, work) = (Arc::new(Bed::new()), Arc::new(AtomicBool::new(false)));
    let worker = {
        let (bed, work) = (Arc::clone(&bed), Arc::clone(&work));
        thread::spawn(move || bed.work(|| work.load(Relaxed), || work.load(Relaxed)))
    };
    work.store(true, Relaxed);
    bed.wake();
    worker.join().unwrap();
}

/// A process ends, and another is spawned, in its slot if that is free by then. What is sent to the first meanwhile does
/// not get to the second.
fn stale_send() {
    let world = World::new();
    let first = world.spawn(|_, _, _| Ok(Stop(Exit::NORMAL)));
    world.send(first, Region::build(|h| h.nil()));
    let sender = {
        let world = world.clone();
        thread::spawn(move || world.send(first, Region::build(|h| h.int(7))))
    };
    world.worker().run(first, 8);
    world.step();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let second = {
        let seen = Arc::clone(&seen);
        world.spawn(move |_, state, message| {
            seen.lock().unwrap().push(message.get::<i64>()?);
            Ok(Next(state))
        })
    };
    world.send(second, Region::build(|h| h.int(1)));
    sender.join().unwrap();
    world.settle();
    assert_eq!(*seen.lock().unwrap(), [1], "a message for another process");
    world.end();
}

#[test]
fn no_wake_up_is_lost() {
    explore("park_and_wake", None, park_and_wake);
    for fault in [SleepNoFence, WakeNoFence, SleepLooksFirst] {
        caught("park_and_wake", fault, None, park_and_wake);
    }
}

#[test]
fn a_slot_that_is_used_again_gets_no_old_message() {
    explore("stale_send", Some(3), stale_send);
    caught("stale_send", FindIgnoresGeneration, Some(3), stale_send);
    caught("stale_send", SlotBackAtOnce, Some(3), stale_send);
}
