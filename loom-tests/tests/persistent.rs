//! What users hold of persistent terms, on the production code: literals against the collection, batches against readers,
//! slots against writers; each with the faults that it must find.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;
use loom_tests::{Preemptions, caught, explore};
use shared_term::model::{World, crowded, touch};
use shared_term::prelude::*;
use shared_term::sync::mutation::Mutation::{
    self, CommitBeforeChanges, CrowdEntersUnannounced, CrowdLeavesFirst, CrowdPasses, FinishWithoutGrace,
    LeaseNotCounted, NoRefsCheck, ReleaseRelaxed, SlotNotPinned, SnapshotRelaxed,
};
use std::sync::Arc;

const _: () = assert!(shared_term::IS_LOOM);

const X: Atom = Atom::inline("x");
const Y: Atom = Atom::inline("y");

fn int(i: i64) -> Region {
    Region::build(|h| h.int(i))
}

fn value() -> Region {
    Region::build(|h| term!(h, {1, 2}))
}

/// Lets everything come to rest: nothing is left but what keys have.
fn settle(world: World, areas: usize) {
    world.settle();
    let info = world.store().info();
    assert_eq!((info.areas, info.retained_bytes), (areas, 0), "what was let go of is not freed");
    world.end();
}

/// A thread takes a literal under a guard and reads it when the guard is gone.
fn lease() {
    let world = World::new();
    world.store().put(X, value()).unwrap();
    let thread = {
        let world = world.clone();
        thread::spawn(move || {
            let guard = world.store().pin();
            let literal = guard.literal(X).unwrap();
            drop(guard);
            if let Some(literal) = literal {
                touch(literal.root());
            }
        })
    };
    world.store().erase(X);
    world.collect();
    thread.join().unwrap();
    settle(world, 0);
}

/// Two threads read under guards that are one participant: one has it open while the other comes, looks twice and goes.
fn crowd() {
    let _crowded = crowded();
    let world = World::new();
    world.store().put(X, value()).unwrap();
    let threads = [false, true].map(|twice| {
        let world = world.clone();
        thread::spawn(move || {
            let mut guard = world.store().pin();
            if twice {
                guard.repin();
            }
            if let Some(there) = guard.get(X) {
                touch(there);
            }
        })
    });
    world.store().erase(X);
    world.collect();
    for thread in threads {
        thread.join().unwrap();
    }
    settle(world, 0);
}

/// A guard and a worker are of one crowd: of one generation, or, where the epoch has changed since the worker was there, one
/// of each. The worker goes on behind a boundary, with whatever participant it is given then.
fn crowd_and_worker(apart: bool) {
    let _crowded = crowded();
    let world = World::new();
    world.store().put(X, value()).unwrap();
    let mut worker = world.worker();
    if apart {
        world.step_epoch();
    }
    let collector = {
        let world = world.clone();
        thread::spawn(move || {
            world.store().erase(X);
            world.collect();
        })
    };
    let works = {
        let world = world.clone();
        thread::spawn(move || {
            if let Some(there) = world.hand(X) {
                there.touch();
            }
            worker.go_over();
            if let Some(there) = world.hand(X) {
                there.touch();
            }
        })
    };
    let guard = world.store().pin();
    if let Some(there) = guard.get(X) {
        touch(there);
    }
    drop(guard);
    collector.join().unwrap();
    works.join().unwrap();
    settle(world, 0);
}

fn crowd_together() {
    crowd_and_worker(false);
}

fn crowd_apart() {
    crowd_and_worker(true);
}

/// A literal is dropped by one thread, its key erased by another: whoever is last frees what both have read.
fn last() {
    let world = World::new();
    world.store().put(X, value()).unwrap();
    let literal = world.store().pin().literal(X).unwrap().unwrap();
    let thread = thread::spawn(move || {
        touch(literal.root());
        drop(literal);
    });
    world.store().erase(X);
    world.collect();
    thread.join().unwrap();
    settle(world, 0);
}

/// A reader looks at two keys under one guard, twice at the first, by slots that are bound to it, while a batch changes both;
/// another guard was there before.
fn batch() {
    let world = World::new();
    for key in [X, Y] {
        world.store().put(key, int(1)).unwrap();
    }
    let slots = Arc::new([X, Y].map(|key| world.store().slot(key).unwrap()));
    let probe = Arc::new(AtomicBool::new(false));
    let reader = {
        let (world, probe, slots) = (world.clone(), Arc::clone(&probe), Arc::clone(&slots));
        thread::spawn(move || {
            let guard = world.store().pin();
            let [x, y] = slots.each_ref().map(|slot| guard.bind(slot).expect("of this store"));
            let seen = [x, y, x].map(|slot| {
                // Makes loom try the writer's steps here, whose loads of the same values it forgets otherwise.
                probe.load(Relaxed);
                slot.get().and_then(|value| value.as_int())
            });
            // Not under the guard, whose drop goes through locks that a panic has poisoned.
            drop(guard);
            assert!(seen.iter().all(|value| value.is_some() && *value == seen[0]), "a part of a batch: {seen:?}");
        })
    };
    let before = world.store().pin();
    // This thread stores: loom explores too little where that is not the first.
    assert_eq!(world.store().put_many([(X, int(2)), (Y, int(2))]).unwrap().replaced, 2);
    let seen = [X, Y].map(|key| before.get(key).and_then(|value| value.as_int()));
    // From here on new values take the place of the changes, while the reader may be looking.
    drop(before);
    probe.store(true, Relaxed);
    reader.join().unwrap();
    world.settle();
    let guard = world.store().pin();
    let now = [X, Y].map(|key| guard.get(key).and_then(|value| value.as_int()));
    drop((guard, slots));
    settle(world, 0);
    // When the world is gone, whose end goes through locks that a panic has poisoned.
    assert_eq!((seen, now), ([Some(1); 2], [Some(2); 2]), "what a guard began with");
}

/// A key is erased and put again while one slot of it reads, and another ends.
fn slot() {
    let world = World::new();
    world.store().put(X, int(1)).unwrap();
    let slot = world.store().slot(X).unwrap();
    let other = slot.clone();
    // Nothing is freed: where the fault is planted, the slot would read what is not there any more.
    let worker = world.worker();
    let writer = {
        let world = world.clone();
        thread::spawn(move || {
            let _worker = world.worker();
            assert!(world.store().erase(X));
            drop(other);
            world.store().put(X, int(2)).unwrap();
        })
    };
    let read = || {
        let guard = world.store().pin();
        let value = guard.bind(&slot).expect("of this store").get();
        value.and_then(|value| value.as_int())
    };
    assert!(matches!(read(), None | Some(1 | 2)));
    writer.join().unwrap();
    assert_eq!(read(), Some(2), "the slot is the key's");
    drop(slot);
    drop(worker);
    settle(world, 0);
}

fn model(name: &str, preemptions: Preemptions, faults: &[Mutation], model: fn()) {
    explore(name, preemptions, model);
    for &fault in faults {
        caught(name, fault, preemptions, model);
    }
}

#[test]
fn lease_holds() {
    model("lease", Some(2), &[LeaseNotCounted, NoRefsCheck], lease);
}

#[test]
fn crowd_holds() {
    model("crowd", Some(2), &[CrowdPasses, CrowdLeavesFirst], crowd);
    model("crowd_together", Some(2), &[CrowdPasses, CrowdLeavesFirst], crowd_together);
    model("crowd_apart", Some(2), &[CrowdEntersUnannounced], crowd_apart);
}

#[test]
fn last_holds() {
    model("last", Some(2), &[ReleaseRelaxed], last);
}

#[test]
fn batch_holds() {
    model("batch", Some(2), &[CommitBeforeChanges, FinishWithoutGrace, SnapshotRelaxed], batch);
}

#[test]
fn slot_holds() {
    model("slot", Some(2), &[SlotNotPinned], slot);
}
