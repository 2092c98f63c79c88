//! The runtime: parking against waking, and a slot that is used again against a send to who had it before.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;
use loom_tests::{caught, explore};
use shared_term::model::{Bed, RunQueue, World};
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{
    FindIgnoresGeneration, SleepLooksFirst, SleepNoFence, SlotBackAtOnce, SpawnNoFence, StackRelaxed, TurnedOverUntold,
    WakeNoFence,
};
use std::sync::atomic::AtomicUsize;
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

/// So many processes, scheduled, and the queue that workers have in common.
fn run_queue<const N: usize>() -> (World, Arc<RunQueue>, [Pid; N]) {
    let world = World::new();
    let pids = [(); N].map(|()| world.spawn(|_, state, _| Ok(Next(state))));
    for pid in pids {
        world.send(pid, Region::build(|h| h.nil()));
    }
    let queue = Arc::new(RunQueue::new(&world));
    (world, queue, pids)
}

/// Two push, the one two processes, the other one, and one of them takes: each is taken once, in the order of who pushed it.
fn push_and_take() {
    let (world, queue, [a, b, c]) = run_queue();
    let other = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || _ = [a, b].map(|pid| queue.push(pid)))
    };
    queue.push(c);
    let mut taken: Vec<_> = queue.take().into_iter().collect();
    other.join().unwrap();
    taken.extend(std::iter::from_fn(|| queue.take()));
    assert_eq!(taken.len(), 3, "{taken:?} of {:?}", [a, b, c]);
    let of = |pid| taken.iter().position(|&taken| taken == pid).expect("it was pushed");
    assert!(of(a) < of(b) && of(c) < 3);
    drop(queue);
    world.settle();
    world.end();
}

/// One of two processes is taken, while a worker looks that is about to sleep: it sees that there is another.
fn take_and_look() {
    let (world, queue, pids) = run_queue::<2>();
    for pid in pids {
        queue.push(pid);
    }
    let taker = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || queue.take())
    };
    assert!(!queue.is_empty(), "one of two");
    assert_eq!(taker.join().unwrap(), Some(pids[0]));
    assert_eq!(queue.take(), Some(pids[1]));
    assert!(queue.is_empty());
    drop(queue);
    world.settle();
    world.end();
}

#[test]
fn the_common_run_queue() {
    explore("push_and_take", Some(3), push_and_take);
    caught("push_and_take", StackRelaxed, Some(3), push_and_take);
    explore("take_and_look", Some(3), take_and_look);
    caught("take_and_look", TurnedOverUntold, Some(3), take_and_look);
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

/// A process that says when it ends.
struct Counted(Arc<AtomicUsize>);

impl Process for Counted {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Next(state))
    }

    fn ended(&mut self, _: &Exit) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A process is spawned while its runtime ends. It is refused, or ends on one of the two threads, and on no more.
fn spawn_and_close() {
    let (world, ended) = (World::new(), Arc::new(AtomicUsize::new(0)));
    let spawner = {
        let (handle, ended) = (world.handle(), Arc::clone(&ended));
        thread::spawn(move || handle.spawn(Counted(ended)).is_ok())
    };
    world.close();
    let spawned = spawner.join().unwrap();
    assert_eq!(ended.load(Relaxed), usize::from(spawned), "ends of what was spawned");
    assert_eq!(world.handle().processes(), 0);
    world.step();
}

#[test]
fn what_is_spawned_while_its_runtime_ends_ends_once() {
    explore("spawn_and_close", Some(3), spawn_and_close);
    caught("spawn_and_close", SpawnNoFence, Some(3), spawn_and_close);
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
