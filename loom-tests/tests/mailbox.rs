//! Mailboxes: pushes against the owner's drain, and against its end; no wake-up is lost.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use loom_tests::{caught, explore};
use shared_term::model::{Mail, Watched, World, when_looked_at};
use shared_term::prelude::*;
use shared_term::process::Status;
use shared_term::sync::mutation::Mutation::{
    CloseWithoutSentinel, DrainRelaxed, DrainSkips, GiveIgnoresHold, GiveRelaxed, GiveUnasked, InfoLooksOnce,
    NotifyBeforePush, PushNoAcquire, PushRelaxed,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const _: () = assert!(shared_term::IS_LOOM);

/// Two senders push while the owner drains: what it takes is whole, once, and in each sender's order. The first thread
/// is a sender: loom forgets another thread's load that the storing thread's own load and exchange follow.
fn mailbox() {
    let mail = Arc::new(Mail::new());
    let push = |mail: &Mail, i: i64| mail.push(Region::build(|h| h.int(i))).unwrap();
    // Read at once: joining threads orders everything.
    let take = |mail: &Mail| mail.drain().iter().map(|m| m.root().as_int().unwrap()).collect::<Vec<_>>();
    let owner = {
        let mail = Arc::clone(&mail);
        thread::spawn(move || take(&mail))
    };
    let sender = {
        let mail = Arc::clone(&mail);
        thread::spawn(move || push(&mail, 10))
    };
    push(&mail, 1);
    push(&mail, 2);
    let mut seen = owner.join().unwrap();
    sender.join().unwrap();
    seen.append(&mut take(&mail));
    let from = |range: std::ops::Range<i64>| seen.iter().copied().filter(|i| range.contains(i)).collect::<Vec<_>>();
    assert_eq!((from(0..9), from(10..20), seen.len()), (vec![1, 2], vec![10], 3));
}

/// A process is sent to from two threads, and run by one of them: it has every message once, and no
/// wake-up is lost. The first thread only sends: loom forgets loads that the same thread's exchange follows.
fn push_and_run() {
    send_and_run(&[1]);
}

/// As above; the second message may find the card noted for the first, which the owner has by then.
fn push_two_and_run() {
    send_and_run(&[1, 2]);
}

fn send_and_run(messages: &[i64]) {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let p = {
        let seen = Arc::clone(&seen);
        world.spawn(move |_, state, message| {
            seen.lock().unwrap().push(message.get::<i64>()?);
            Ok(Next(state))
        })
    };
    let worker = {
        let world = world.clone();
        thread::spawn(move || {
            world.send(p, Region::build(|h| h.int(10)));
            world.worker().run(p, 8);
        })
    };
    for &i in messages {
        world.send(p, Region::build(|h| h.int(i)));
    }
    worker.join().unwrap();
    // What is left was announced: `settle` runs scheduled processes only.
    world.settle();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort_unstable();
    assert_eq!(seen, [messages, &[10]].concat());
    world.end();
}

/// Written by who owns a process, read by who has hold of it, or gives it something.
#[derive(Default)]
struct Witness(UnsafeCell<()>);

// SAFETY: whether it is used well is what the models are there to check.
unsafe impl Sync for Witness {}

/// A process that notes what it receives, and whoever reaches what belongs to its owner.
fn witnessed(world: &World) -> (Pid, Arc<Mutex<Vec<i64>>>, Watched) {
    let (seen, witness) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Witness::default()));
    let watched = when_looked_at({
        let witness = Arc::clone(&witness);
        move || witness.0.with(|_| ())
    });
    let p = {
        let seen = Arc::clone(&seen);
        world.spawn(move |_, state, message| {
            witness.0.with_mut(|_| ());
            seen.lock().unwrap().push(message.get::<i64>()?);
            Ok(Next(state))
        })
    };
    (p, seen, watched)
}

/// A turn gives a process messages, if it finds it idle, while another gives it one too, or pushes one from outside, and
/// runs it: it has every message once, those of each sender in their order, and nobody reaches what is another's.
fn give_and_run(in_turn: bool) {
    let world = World::new();
    let (p, seen, _watched) = witnessed(&world);
    let other = {
        let world = world.clone();
        thread::spawn(move || {
            let worker = world.worker();
            if in_turn {
                world.deliver(p, Region::build(|h| h.int(10)));
            } else {
                world.send(p, Region::build(|h| h.int(10)));
            }
            worker.run(p, 8);
        })
    };
    {
        let _turn = world.worker();
        world.deliver(p, Region::build(|h| h.int(1)));
        world.deliver(p, Region::build(|h| h.int(2)));
    }
    other.join().unwrap();
    world.settle();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let own: Vec<_> = seen.iter().copied().filter(|&i| i < 10).collect();
    assert_eq!((own, seen.len()), (vec![1, 2], 3), "{seen:?}");
    world.end();
}

fn give_and_give() {
    give_and_run(true);
}

fn give_and_push() {
    give_and_run(false);
}

/// A turn gives an idle process a message and runs it, while somebody reads its figures.
fn give_and_look() {
    let world = World::new();
    let (p, seen, _watched) = witnessed(&world);
    let looks = {
        let world = world.clone();
        thread::spawn(move || drop(world.info(p)))
    };
    let worker = world.worker();
    world.deliver(p, Region::build(|h| h.int(1)));
    worker.run(p, 8);
    drop(worker);
    looks.join().unwrap();
    world.settle();
    assert_eq!(*seen.lock().unwrap(), [1]);
    world.end();
}

/// A turn gives an idle process a message and runs it, then another, while somebody asks for its figures: a message that was
/// received before the question does not wait.
fn give_and_ask() {
    let world = World::new();
    let received = Arc::new(AtomicUsize::new(0));
    let spawn = || {
        let received = Arc::clone(&received);
        world.spawn(move |cx, state, _| {
            received.fetch_add(1, Relaxed);
            let own = cx.info(cx.me()).unwrap();
            assert_eq!((own.status, own.messages), (Status::Running, 0));
            Ok(Next(state))
        })
    };
    let (p, other) = (spawn(), spawn());
    let asks = {
        let (world, received) = (world.clone(), Arc::clone(&received));
        thread::spawn(move || {
            let before = received.load(Relaxed);
            let info = world.info(p).unwrap();
            assert!(info.messages <= usize::from(info.status != Status::Running), "{info:?}");
            assert!(before == 0 || info.messages == 0, "what it has received waits");
        })
    };
    let worker = world.worker();
    world.deliver(p, Region::build(|h| h.nil()));
    worker.run(p, 8);
    world.deliver(other, Region::build(|h| h.nil()));
    let given = world.info(other).unwrap();
    assert_eq!((given.status, given.messages, given.details), (Status::Runnable, 1, None), "nobody runs it yet");
    worker.run(other, 8);
    drop(worker);
    asks.join().unwrap();
    assert_eq!(world.info(p).map(|info| (info.status, info.messages)), Some((Status::Idle, 0)));
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
    explore("mailbox", None, mailbox);
    caught("mailbox", PushRelaxed, None, mailbox);
    caught("mailbox", DrainRelaxed, None, mailbox);
}

#[test]
fn push_against_run() {
    explore("push_and_run", Some(3), push_and_run);
    caught("push_and_run", NotifyBeforePush, Some(3), push_and_run);
    caught("push_and_run", PushNoAcquire, Some(3), push_and_run);
}

#[test]
fn two_pushes_against_run() {
    explore("push_two_and_run", Some(3), push_two_and_run);
    caught("push_two_and_run", PushNoAcquire, Some(3), push_two_and_run);
    caught("push_two_and_run", DrainSkips, Some(3), push_two_and_run);
}

#[test]
fn giving_against_giving_and_pushing() {
    explore("give_and_give", Some(3), give_and_give);
    caught("give_and_give", GiveUnasked, Some(3), give_and_give);
    caught("give_and_give", GiveRelaxed, Some(3), give_and_give);
    explore("give_and_push", Some(3), give_and_push);
    caught("give_and_push", GiveUnasked, Some(3), give_and_push);
    caught("give_and_push", PushNoAcquire, Some(3), give_and_push);
}

#[test]
fn giving_against_looking() {
    explore("give_and_look", Some(3), give_and_look);
    caught("give_and_look", GiveIgnoresHold, Some(3), give_and_look);
}

#[test]
fn giving_against_asking() {
    explore("give_and_ask", Some(3), give_and_ask);
    caught("give_and_ask", InfoLooksOnce, Some(3), give_and_ask);
}

#[test]
fn push_against_the_end() {
    explore("push_and_end", Some(3), push_and_end);
    caught("push_and_end", CloseWithoutSentinel, Some(3), push_and_end);
}
