//! The global collection on the production code, a model per lemma, each with the faults that it must find.
//!
//! The models are those of the proof: *glance*, *glimpse* and *get* (a reader), *boundary* (two turns of one worker), *pass*,
//! *defer*, *pieces* and *busy* (a literal on its way while the collector looks), *foreign* (a guard), *republish* (an old turn puts
//! a retired value back), *burst* (messages that are made to share a copy), *lease* and *leases* (a handle outside of every process), *exit* (a holder ends while it is
//! asked), *put off* (three holders are woken one by one), *lazy*, *joins* and *budget* (the policies).
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;
use loom_tests::{Preemptions, caught, explore};
use shared_term::model::{Worker, World, is_literal, touch};
use shared_term::persistent::Policy;
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{
    self, AckRelaxed, AskBeforeGrace, BoundaryRelaxed, CopierIgnoresMark, DeadBeforeDrop, EnterNoFence, EnterRelaxed,
    EpochRelaxed, EvacuateForgetsMessages, EvacuateNoDrain, ExitDoubleAck, ExitNoAck, FilterAfterIdle,
    ForeignNotInGrace, IdleRelaxed, InspectForgetsMessages, InspectForgetsNote, JoinsWithoutGrace, LastDropUnlocked,
    LeaveRelaxed, NoGrace, NoQueuedFlag, NoRefsCheck, QueueNotInFilter, RefsBeforeGrace, RefsZeroOnly, ReleaseRelaxed,
    ScanIgnoresRunning, ShareNotHeld, ShareNotNoted, SparedForEver, SplitWords, WakesNoOther,
};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

const _: () = assert!(shared_term::IS_LOOM);

const X: Atom = Atom::inline("x");
const Y: Atom = Atom::inline("y");
const KEEP: Atom = Atom::inline("keep");
const PASS: Atom = Atom::inline("pass");
const LOOK: Atom = Atom::inline("look");

/// A world with a value at `X`.
fn world() -> World {
    let world = World::new();
    world.store().put(X, value()).unwrap();
    world
}

fn value() -> Region {
    Region::build(|h| term!(h, {1, 2}))
}

fn message(what: Atom) -> Region {
    Region::build(|h| h.atom(what))
}

/// A process that keeps `X` when told, passes it on to `to`, and looks at what it has at each turn.
fn process(world: &World, to: Option<Pid>) -> Pid {
    world.spawn(move |cx, state, message| {
        touch(state);
        touch(message);
        match message.as_atom() {
            Some(KEEP) => Ok(Next(cx.get(X).unwrap_or(cx.nil()))),
            Some(PASS) => {
                if let Some(to) = to {
                    cx.send(to, state);
                }
                Ok(Next(cx.nil()))
            }
            Some(_) => Ok(Next(state)),
            // Whatever else comes is kept: the value that was passed on.
            None => Ok(Next(message)),
        }
    })
}

/// A holder of `X`, which is erased already but not collected: its card has a message to act on.
fn holder(world: &World, to: Option<Pid>, then: Atom) -> Pid {
    let p = process(world, to);
    world.send(p, message(KEEP));
    assert!(world.worker().run(p, 8));
    world.send(p, message(then));
    p
}

/// Erases `X` and collects, as the thread of a writer and the driver together do.
fn erase_and_collect(world: &World) {
    world.store().erase(X);
    world.collect();
}

/// Lets everything come to rest; whoever still has a value looks at it, and all that was retired is freed.
fn settle(world: World, processes: &[Pid]) {
    for _ in 0..2 {
        for &p in processes {
            world.send(p, message(LOOK));
        }
        world.settle();
    }
    assert_eq!(world.store().info().retained_bytes, 0, "a retired area is never freed");
    world.end();
}

/// A guard looks twice, in two online spans, and keeps nothing.
fn glance() {
    let world = world();
    let reader = world.clone();
    let thread = thread::spawn(move || {
        for _ in 0..2 {
            let guard = reader.store().pin();
            if let Some(value) = guard.get(X) {
                touch(value);
            }
        }
    });
    erase_and_collect(&world);
    thread.join().unwrap();
    settle(world, &[]);
}

/// As [`glance`], by a worker, whose going offline has no fence behind it.
fn glimpse() {
    let world = world();
    let reader = world.clone();
    let thread = thread::spawn(move || {
        for _ in 0..2 {
            let _online = reader.worker();
            if let Some(value) = reader.hand(X) {
                value.touch();
            }
        }
    });
    world.unpublish(X);
    world.collect();
    thread.join().unwrap();
    settle(world, &[]);
}

/// A turn takes the value and keeps it.
fn get() {
    let world = world();
    let p = process(&world, None);
    world.send(p, message(KEEP));
    let worker = world.clone();
    let thread = thread::spawn(move || {
        worker.worker().run(p, 8);
    });
    erase_and_collect(&world);
    thread.join().unwrap();
    settle(world, &[p]);
}

/// One worker, two turns with a boundary between them; in the second a holder passes the value to an idle process.
fn boundary() {
    let world = world();
    let q = process(&world, None);
    let p = holder(&world, Some(q), PASS);
    world.unpublish(X);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            let worker = world.worker();
            worker.boundary();
            worker.run(p, 8);
        })
    };
    world.collect();
    thread.join().unwrap();
    settle(world, &[p, q]);
}

/// A holder passes the value to an idle process, which another worker runs.
fn pass() {
    let world = world();
    let q = process(&world, None);
    let p = holder(&world, Some(q), PASS);
    world.unpublish(X);
    let [sender, receiver] = [world.clone(), world.clone()];
    let sender = thread::spawn(move || {
        sender.worker().run(p, 8);
    });
    let receiver = thread::spawn(move || {
        receiver.worker().run(q, 8);
    });
    world.collect();
    sender.join().unwrap();
    receiver.join().unwrap();
    settle(world, &[p, q]);
}

/// A process that leaves in its mailbox whatever is not an atom, until it is told to look.
fn deferrer(world: &World) -> Pid {
    world.spawn(|_, state, message| {
        touch(message);
        match message.as_atom() {
            Some(LOOK) => Ok(NextReoffer(state)),
            Some(_) => Ok(Next(state)),
            None => Ok(Defer),
        }
    })
}

/// The value lies in a deferred message of a process that is idle.
fn defer() {
    let world = world();
    let q = deferrer(&world);
    let p = holder(&world, Some(q), PASS);
    world.unpublish(X);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            let worker = world.worker();
            worker.run(p, 8);
            worker.boundary();
            worker.run(q, 8);
        })
    };
    world.collect();
    thread.join().unwrap();
    settle(world, &[p, q]);
}

/// Of three messages, which are more than are put in their order in one piece, one is the value: between two pieces, when it
/// is in no mailbox and no queue, a boundary is passed, and the collector goes on.
fn pieces() {
    let world = world();
    let q = process(&world, None);
    world.send(q, message(LOOK));
    {
        let _turn = world.worker();
        world.deliver(q, world.letter(X).expect("it is there"));
    }
    world.send(q, message(LOOK));
    world.unpublish(X);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(q, 8);
        })
    };
    world.collect();
    thread.join().unwrap();
    settle(world, &[q]);
}

/// The value lies in two messages of a process, which are made to share a copy. It hands on the first, and keeps the second;
/// the copy, of whose leases half are gone when one of the two was received, goes while the other is.
fn burst() {
    let world = world();
    let look = |term: Term<'_>| {
        if let Some([value]) = term.tuple_of() {
            touch(*value);
        }
    };
    let r = world.spawn(move |_, state, message| {
        look(state);
        look(message);
        Ok(Next(if message.as_atom().is_some() { state } else { message }))
    });
    let q = {
        let (mut open, mut first) = (false, true);
        world.spawn(move |_, state, message| {
            look(state);
            look(message);
            match message.as_atom() {
                Some(PASS) => {
                    open = true;
                    Ok(NextReoffer(state))
                }
                Some(_) => Ok(Next(state)),
                None if !open => Ok(Defer),
                None if std::mem::take(&mut first) => Ok(Forward(r)),
                None => Ok(Next(message)),
            }
        })
    };
    let p = world.spawn(move |cx, state, _| {
        for _ in 0..2 {
            cx.send(q, cx.tuple(&[cx.get(X).unwrap_or(cx.nil())]));
        }
        Ok(Next(state))
    });
    world.send(p, message(LOOK));
    assert!(world.worker().run(p, 8) && world.worker().run(q, 8));
    world.unpublish(X);
    world.settle();
    assert_eq!(world.store().info().areas, 1, "no copy is shared");
    world.send(q, message(PASS));
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(q, 8);
        })
    };
    world.worker().run(r, 8);
    world.collect();
    thread.join().unwrap();
    settle(world, &[q, r]);
}

/// A worker is in a turn of the receiver, which began after the mark, when a worker in an older span sends the value. Both
/// workers' steps are those of one thread, in this order, so that the collector's can fall between any two.
fn busy() {
    let world = world();
    let older = Arc::new(Mutex::new(None));
    let probe = Arc::new(AtomicBool::new(false));
    let q = {
        let (world, older, probe) = (world.clone(), Arc::clone(&older), Arc::clone(&probe));
        world.clone().spawn(move |cx, state, message| {
            touch(state);
            touch(message);
            if let Some((worker, letter)) = older.lock().unwrap().take() {
                if let Some(letter) = letter {
                    world.deliver(cx.me(), letter);
                }
                drop::<Worker>(worker);
                // Makes loom try the collector's steps here, whose loads it forgets otherwise.
                probe.load(Relaxed);
            }
            if message.as_atom().is_some() { Ok(Next(state)) } else { Ok(Next(message)) }
        })
    };
    world.send(q, message(LOOK));
    let collector = {
        let (world, probe) = (world.clone(), Arc::clone(&probe));
        thread::spawn(move || {
            world.unpublish(X);
            world.collect();
            probe.store(true, Relaxed);
        })
    };
    let worker = world.worker();
    let letter = world.letter(X);
    *older.lock().unwrap() = Some((worker, letter));
    world.worker().run(q, 1);
    collector.join().unwrap();
    settle(world, &[q]);
}

/// A process has let go of the value, and its filter does not know, because another message still waits; while the
/// collection looks at it somebody sends to it, and a worker runs it. It has each message, without one more that wakes it.
fn look() {
    look_and(|world, q| world.send(q, message(KEEP)));
}

/// As [`look`], by a turn, which gives the message if it finds the process idle.
fn look_given() {
    look_and(|world, q| {
        let _turn = world.worker();
        world.deliver(q, message(KEEP));
    });
}

fn look_and(send: fn(&World, Pid)) {
    let world = world();
    let received = Arc::new(AtomicUsize::new(0));
    let q = {
        let (received, mut open) = (Arc::clone(&received), false);
        world.spawn(move |_, state, message| match message.as_atom() {
            Some(PASS) => Ok(Defer),
            None if !open => Ok(Defer),
            Some(LOOK) => {
                open = true;
                Ok(NextReoffer(state))
            }
            _ => {
                received.fetch_add(1, Relaxed);
                Ok(Next(state))
            }
        })
    };
    {
        let _online = world.worker();
        world.deliver(q, world.letter(X).unwrap());
    }
    for what in [PASS, LOOK] {
        world.send(q, message(what));
        assert!(world.worker().run(q, 8));
    }
    world.unpublish(X);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            send(&world, q);
            world.worker().run(q, 8);
        })
    };
    world.collect();
    thread.join().unwrap();
    world.settle();
    assert_eq!(received.load(Relaxed), 2, "a message waits, and nobody knows");
    settle(world, &[q]);
}

/// A foreign thread copies the value under a guard and sends the copy.
fn foreign() {
    let world = world();
    let q = process(&world, None);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            let guard = world.store().pin();
            if let Some(value) = guard.get(X) {
                let copy = Region::copy_of(value);
                touch(value);
                world.send(q, copy);
            }
        })
    };
    erase_and_collect(&world);
    thread.join().unwrap();
    settle(world, &[q]);
}

/// An old turn puts the value back under another key, a later reader takes it from there, and that key is erased again.
fn republish() {
    let world = world();
    let p = world.spawn(|cx, state, message| match message.as_atom() {
        Some(KEEP) => Ok(Next(cx.get(X).unwrap_or(cx.nil()))),
        Some(PASS) => {
            if is_literal(state) {
                cx.put(Y, state)?;
            }
            Ok(Next(cx.nil()))
        }
        _ => Ok(Next(state)),
    });
    world.send(p, message(KEEP));
    assert!(world.worker().run(p, 8));
    world.send(p, message(PASS));
    world.unpublish(X);
    let collector = {
        let world = world.clone();
        thread::spawn(move || world.collect())
    };
    world.worker().run(p, 8);
    let guard = world.store().pin();
    let got = guard.get(Y);
    world.store().erase(Y);
    if let Some(value) = got {
        touch(value);
    }
    drop(guard);
    collector.join().unwrap();
    settle(world, &[p]);
}

/// A span takes a lease, which is read and dropped outside of it; meanwhile the key is erased.
fn lease() {
    let world = world();
    let holder = world.clone();
    let thread = thread::spawn(move || {
        let lease = {
            let _online = holder.worker();
            holder.hand(X).and_then(|hand| holder.lease(hand))
        };
        if let Some(lease) = lease {
            lease.touch();
        }
    });
    erase_and_collect(&world);
    thread.join().unwrap();
    world.collect();
    settle(world, &[]);
}

/// Somebody drops what seems to be the last reference, while an older span takes another one, drops it, and ends; then
/// it collects.
fn two_leases() {
    let world = world();
    let online = world.worker();
    let hand = world.hand(X).unwrap();
    let first = world.lease(hand).unwrap();
    world.unpublish(X);
    let thread = {
        let first = Mutex::new(Some(first));
        thread::spawn(move || drop(first.lock().unwrap().take()))
    };
    drop(world.lease(hand));
    drop(online);
    world.collect();
    thread.join().unwrap();
    world.collect();
    settle(world, &[]);
}

/// Three holders, of whom one is woken at a time: the next by the answer of the one before, unless a message does first.
fn put_off() {
    let world = world();
    let [p, q, r] = [(); 3].map(|()| {
        let p = process(&world, None);
        world.send(p, message(KEEP));
        assert!(world.worker().run(p, 8));
        p
    });
    world.unpublish(X);
    world.collect();
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(p, 8);
        })
    };
    world.send(q, message(LOOK));
    world.worker().run(q, 8);
    thread.join().unwrap();
    world.settle();
    settle(world, &[p, q, r]);
}

fn world_with(policy: Policy) -> World {
    let world = World::on(PersistentTerms::builder().policy(policy).build());
    for key in [X, Y] {
        world.store().put(key, value()).unwrap();
    }
    world
}

/// The holder of a value that is left to it passes it on, and lets go, while the collection looks whether it has; whoever
/// gets it has a copy, and another value goes meanwhile.
fn lazy() {
    let world = world_with(Policy::Lazy);
    let q = process(&world, None);
    let p = holder(&world, Some(q), PASS);
    world.unpublish(X);
    world.collect();
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(p, 8);
        })
    };
    world.step();
    world.store().erase(Y);
    world.step();
    thread.join().unwrap();
    settle(world, &[p, q]);
}

/// What joins a batch that is left to its holders is read by a span that began before.
fn joins() {
    let world = world_with(Policy::Lazy);
    let p = holder(&world, None, PASS);
    world.unpublish(X);
    world.collect();
    let reader = {
        let world = world.clone();
        thread::spawn(move || {
            let _online = world.worker();
            if let Some(value) = world.hand(Y) {
                value.touch();
            }
        })
    };
    world.unpublish(Y);
    world.collect();
    world.worker().run(p, 8);
    world.step();
    world.step();
    reader.join().unwrap();
    settle(world, &[p]);
}

/// More waits than may: the holder is asked, while it lets go by itself.
fn budget() {
    let world = world_with(Policy::Budget { bytes: 1 });
    let p = holder(&world, None, LOOK);
    world.unpublish(X);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(p, 8);
        })
    };
    world.collect();
    thread.join().unwrap();
    world.settle();
    settle(world, &[p]);
}

/// A holder ends while it is asked; its last look at the value is its reason.
fn exit() {
    let world = world();
    let p = world.spawn(|cx, state, message| {
        touch(state);
        match message.as_atom() {
            Some(KEEP) => Ok(Next(cx.get(X).unwrap_or(cx.nil()))),
            _ => Ok(Stop(Exit::NORMAL)),
        }
    });
    world.send(p, message(KEEP));
    assert!(world.worker().run(p, 8));
    world.send(p, message(LOOK));
    world.unpublish(X);
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            world.worker().run(p, 8);
        })
    };
    world.collect();
    thread.join().unwrap();
    settle(world, &[]);
}

fn model(name: &str, preemptions: Preemptions, faults: &[Mutation], model: fn()) {
    explore(name, preemptions, model);
    for &fault in faults {
        caught(name, fault, preemptions, model);
    }
}

#[test]
fn glance_holds() {
    model("glance", Some(3), &[NoGrace, EnterNoFence, LeaveRelaxed, ForeignNotInGrace], glance);
}

#[test]
fn glimpse_holds() {
    model("glimpse", Some(3), &[NoGrace, EnterNoFence, EnterRelaxed, LeaveRelaxed], glimpse);
}

#[test]
fn get_holds() {
    model("get", Some(3), &[ScanIgnoresRunning, FilterAfterIdle], get);
}

#[test]
fn boundary_holds() {
    let faults = [BoundaryRelaxed, EpochRelaxed, CopierIgnoresMark, AskBeforeGrace, AckRelaxed];
    model("boundary", None, &faults, boundary);
}

#[test]
fn pass_holds() {
    model("pass", Some(2), &[IdleRelaxed, SplitWords], pass);
}

#[test]
fn defer_holds() {
    model("defer", Some(4), &[QueueNotInFilter, EvacuateForgetsMessages, InspectForgetsMessages], defer);
}

#[test]
fn pieces_hold() {
    model("pieces", None, &[ScanIgnoresRunning, EvacuateForgetsMessages], pieces);
}

#[test]
fn burst_holds() {
    model("burst", Some(3), &[ShareNotHeld, ShareNotNoted], burst);
}

#[test]
fn look_holds() {
    model("look", Some(3), &[InspectForgetsNote], look);
    model("look_given", Some(3), &[InspectForgetsNote], look_given);
}

#[test]
fn busy_holds() {
    model("busy", Some(3), &[ScanIgnoresRunning, EvacuateNoDrain], busy);
}

#[test]
fn foreign_holds() {
    model("foreign", Some(3), &[ForeignNotInGrace], foreign);
}

#[test]
fn republish_holds() {
    model("republish", Some(3), &[RefsZeroOnly], republish);
}

#[test]
fn put_off_holds() {
    model("put_off", Some(2), &[WakesNoOther], put_off);
}

#[test]
fn lazy_holds() {
    model("lazy", Some(2), &[CopierIgnoresMark, SparedForEver], lazy);
}

#[test]
fn joins_holds() {
    model("joins", Some(2), &[JoinsWithoutGrace], joins);
}

#[test]
fn budget_holds() {
    model("budget", Some(2), &[SparedForEver], budget);
}

#[test]
fn exit_holds() {
    model("exit", None, &[ExitNoAck, ExitDoubleAck, DeadBeforeDrop], exit);
}

#[test]
fn lease_holds() {
    model("lease", Some(3), &[NoRefsCheck, RefsBeforeGrace, NoQueuedFlag, ReleaseRelaxed], lease);
}

#[test]
fn two_leases_hold() {
    model("two_leases", Some(3), &[LastDropUnlocked], two_leases);
}
