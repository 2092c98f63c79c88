//! Signals and timers against the end of their receiver, and figures against their owner.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use loom_tests::{Preemptions, caught, explore};
use shared_term::model::{Mail, World, when_looked_at};
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{
    self, ClaimIgnoresHold, CloseWithoutSentinel, DrainIgnoresSurvey, EndForgetsSignals, EndNoFence, LetGoRelaxed,
    TimerLooksUnlocked, TimerNoFence, TimerNoLook, TimerNoWake,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const _: () = assert!(shared_term::IS_LOOM);

/// What the owner of something writes when it has it, and others read while they look at it; loom finds the two at once.
#[derive(Default)]
struct Witness(UnsafeCell<u32>);

// SAFETY: whether it is used well is what the models are there to check.
unsafe impl Sync for Witness {}

impl Witness {
    fn look(&self) {
        self.0.with(|_| {});
    }

    fn own(&self) {
        self.0.with_mut(|_| {});
    }
}

/// Watches a process when it is told its pid, and notes what it hears of it.
struct Watches(Arc<Mutex<Vec<String>>>);

impl Process for Watches {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        cx.trap_exits(true);
        let whom = message.get()?;
        cx.monitor(whom);
        cx.link(whom);
        Ok(Next(state))
    }

    fn event<'h>(&mut self, _: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
        self.0.lock().unwrap().push(match event {
            Event::Down { .. } => String::from("down"),
            Event::Exit { .. } => String::from("exit"),
            other => format!("{other:?}"),
        });
        Ok(Next(state))
    }
}

/// A process ends while another links and monitors it: whether these come in time, too late, or to nobody, the other hears
/// of each once.
fn watch_and_end() {
    let world = World::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ends = world.spawn(|_, _, _| Ok(Stop(Exit::NORMAL)));
    let watches = world.spawn_process(Watches(Arc::clone(&heard)));
    world.send(ends, Region::build(|h| h.nil()));
    world.send(watches, Region::build(|h| h.pid(ends)));
    let end = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(ends, 8);
        })
    };
    world.worker().run(watches, 8);
    end.join().unwrap();
    world.settle();
    let mut heard = std::mem::take(&mut *heard.lock().unwrap());
    heard.sort_unstable();
    assert_eq!(heard, ["down", "exit"], "of each once");
    world.end();
}

/// A timer is set for a process that ends: it goes with it, or is never there.
fn timer_and_end() {
    let world = World::new();
    let p = world.spawn(|_, _, _| Ok(Stop(Exit::NORMAL)));
    world.send(p, Region::build(|h| h.nil()));
    let end = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(p, 8);
        })
    };
    world.send_later(p, Region::build(|h| h.nil()));
    end.join().unwrap();
    assert_eq!(world.timers(), 0, "a timer outlives its process");
    world.end();
}

/// A timer is set while who fires timers looks at one table after the other and finds something to fire: it knows of the new
/// one when it is done, or is woken.
fn timer_and_sleeper() {
    let (world, sleeper) = World::with_sleeper();
    let p = world.spawn(|_, state, _| Ok(Next(state)));
    world.send_later(p, Region::build(|h| h.nil()));
    assert!(sleeper.is_woken() && sleeper.fire());
    world.go_on(Duration::from_secs(1));
    let sets = {
        let world = world.clone();
        thread::spawn(move || world.send_later(p, Region::build(|h| h.nil())))
    };
    let knows = sleeper.fire();
    sets.join().unwrap();
    assert_eq!(world.timers(), 1);
    assert!(knows || sleeper.is_woken() && sleeper.fire(), "it sleeps, and a timer runs");
    world.end();
}

/// Somebody reads the figures of a process, which a worker takes up meanwhile.
fn info_and_run() {
    let world = World::new();
    let witness = Arc::new(Witness::default());
    let received = Arc::new(AtomicUsize::new(0));
    let _watched = when_looked_at({
        let witness = Arc::clone(&witness);
        move || witness.look()
    });
    let p = {
        let (witness, received) = (Arc::clone(&witness), Arc::clone(&received));
        world.spawn(move |_, state, _| {
            witness.own();
            received.fetch_add(1, Relaxed);
            Ok(Next(state))
        })
    };
    world.send(p, Region::build(|h| h.nil()));
    let looks = {
        let world = world.clone();
        thread::spawn(move || assert!(world.info(p).unwrap().messages <= 1))
    };
    world.worker().run(p, 8);
    looks.join().unwrap();
    world.settle();
    assert_eq!(received.load(Relaxed), 1, "who looks takes nothing and wakes nobody");
    world.end();
}

/// The owner takes messages out of its mailbox, and frees them, while somebody counts them.
fn survey_and_drain() {
    let mail = Arc::new(Mail::new());
    let witness = Arc::new(Witness::default());
    let _watched = when_looked_at({
        let witness = Arc::clone(&witness);
        move || witness.look()
    });
    let push = |mail: &Mail| mail.push(Region::build(|h| h.nil())).unwrap();
    push(&mail);
    let counts = {
        let mail = Arc::clone(&mail);
        thread::spawn(move || mail.survey())
    };
    push(&mail);
    let taken = mail.drain();
    witness.own();
    assert_eq!(taken.len(), 2);
    drop(taken);
    assert!(counts.join().unwrap() <= 2);
    push(&mail);
    assert_eq!((mail.survey(), mail.drain().len()), (1, 1), "no mark is left behind");
}

fn model(name: &str, preemptions: Preemptions, faults: &[Mutation], model: fn()) {
    explore(name, preemptions, model);
    for &fault in faults {
        caught(name, fault, preemptions, model);
    }
}

#[test]
fn signals_against_the_end() {
    model("watch_and_end", Some(3), &[EndForgetsSignals, CloseWithoutSentinel], watch_and_end);
}

#[test]
fn timers_against_the_end() {
    model("timer_and_end", Some(3), &[TimerNoLook, TimerNoFence, EndNoFence], timer_and_end);
}

#[test]
fn timers_against_sleep() {
    model("timer_and_sleeper", Some(3), &[TimerLooksUnlocked, TimerNoWake], timer_and_sleeper);
}

#[test]
fn figures_against_the_owner() {
    model("info_and_run", Some(3), &[ClaimIgnoresHold, LetGoRelaxed], info_and_run);
}

#[test]
fn counting_against_draining() {
    model("survey_and_drain", None, &[DrainIgnoresSurvey], survey_and_drain);
}
