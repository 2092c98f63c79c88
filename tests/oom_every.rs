//! Whole scenarios in which one allocation is refused, or all from one on, of any size: the next one in the next run, until
//! none was. The program goes on, nothing is lost that was there, and in the end nothing is left.

#![cfg(feature = "runtime")]

mod common;

use bytes::Bytes;
use common::{Balance, Tracker, mixed, with_allocations, with_room_for_thread_locals};
use shared_term::heap::{CollectWhen, pooled_bytes};
use shared_term::prelude::*;
use shared_term::process::{Event, SpawnOptions, from_fns};
use shared_term::runtime::{Deterministic, Port};
use shared_term::{Counters, HeapError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const KEY: Atom = Atom::inline("key");
const OTHER: Atom = Atom::inline("other");
const NAME: Atom = Atom::inline("name");

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One at a time, so that what the pool keeps changes by what one does.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `f` in a world of its own with memory for none, one, two allocations and so on, each time on a thread that has no
/// tables yet. How often that was too little.
fn every<W>(world: impl Fn() -> W + Sync, f: impl Fn(&mut W) + Sync, after: impl Fn(W) + Sync) -> usize {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Whether some was refused, and the bytes that are there longer than the thread.
    let run = |n: usize, once: bool| {
        let (balance, pooled) = (Balance::default(), pooled_bytes().cast_signed());
        let run = || {
            balance.is_of_this_thread();
            with_room_for_thread_locals();
            let mut world = world();
            let ((), refused) = with_allocations(n, once, || f(&mut world));
            after(world);
            refused > 0
        };
        let refused = std::thread::scope(|scope| scope.spawn(run).join().unwrap());
        (refused, balance.bytes() - (pooled_bytes().cast_signed() - pooled))
    };
    // What is made once for the program is made by the first.
    run(usize::MAX, false);
    let (_, threads_own) = run(usize::MAX, false);
    let refused = |&n: &usize| {
        let both = [false, true].map(|once| {
            let (refused, left) = run(n, once);
            assert_eq!(left, threads_own, "bytes that nobody has any more, after {n} allocations");
            refused
        });
        both.contains(&true)
    };
    (0..5000).take_while(refused).count()
}

/// A runtime of one thread whose queue has room, and what counts what is in it.
struct World {
    rt: Deterministic,
    tracker: Tracker,
    port: Port,
    /// Processes that keep what they are sent, for which they need memory.
    keep: Vec<Pid>,
    /// Others, to which nothing happens.
    bystanders: Vec<Pid>,
}

/// Each time that it goes idle its heap is collected.
fn keeps() -> impl Process {
    from_fns(
        |cx| (cx.trap_exits(true), cx.nil()).1,
        |cx, _, message| Ok(Next(cx.tuple(&[message]))),
        |_, state, _| Ok(Next(state)),
    )
}

fn world() -> World {
    let tracker = Tracker::default();
    let mut rt = Runtime::deterministic(1);
    let port = rt.port().unwrap();
    let idle = SpawnOptions::new().collect_when(CollectWhen::Idle);
    let keep: Vec<_> = (0..8).map(|_| rt.spawn_with(idle, keeps()).unwrap()).collect();
    let bystanders = (0..8).map(|_| rt.spawn(keeps()).unwrap()).collect();
    rt.run_until_idle();
    World { rt, tracker, port, keep, bystanders }
}

impl World {
    /// What was there lives, and can be used; and then all of it goes.
    fn ends(mut self) {
        self.rt.run_until_idle();
        for &p in &self.bystanders {
            self.rt.send_new(p, |h| term!(h, {1, [2]})).unwrap();
        }
        self.rt.run_until_idle();
        assert!(self.bystanders.iter().all(|p| self.rt.info(*p).unwrap().details.unwrap().turns == 2));
        for p in self.rt.pids() {
            self.rt.kill(p).unwrap();
        }
        self.rt.run_until_idle();
        assert_eq!(self.rt.processes(), 0);
        while self.port.try_recv().is_some() {}
        let store = self.rt.persistent().clone();
        store.erase_all().unwrap();
        store.collect();
        self.rt.run_until_idle();
        assert_eq!((store.info().words, store.info().retained_bytes), (0, 0));
        drop(self.port);
        drop(self.rt);
        drop(store);
        assert_eq!(self.tracker.dropped(), self.tracker.made(), "dropped, and made");
    }
}

/// How often there was too little for `run`, which is given what `prepare` has made in a world while there was memory.
fn failures_of<X>(prepare: impl Fn(&mut World) -> X + Sync, run: impl Fn(&mut World, &X) + Sync) -> usize {
    let prepared = || {
        let mut world = world();
        let x = prepare(&mut world);
        world.rt.run_until_idle();
        (world, x)
    };
    every(prepared, |(world, x)| run(world, x), |(world, _)| world.ends())
}

/// A process that does something with each message, and keeps what comes of it. Without the memory for it, it ends.
fn acts(f: impl for<'h> FnMut(Cx<'h>, Term<'h>, Term<'h>) -> Term<'h> + Send + 'static) -> impl Process {
    let mut f = f;
    from_fns(|cx| cx.nil(), move |cx, s, message| Ok(Next(f(cx, s, message))), |_, s, _| Ok(Next(s)))
}

fn go(world: &mut World, p: Pid) {
    let _ = world.rt.send_new(p, |h| h.nil());
    world.rt.run_until_idle();
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn processes_are_spawned_and_sent_to_and_end() {
    let failures = failures_of(
        |_| (),
        |World { rt, port, keep, .. }, ()| {
            let me = port.pid();
            let answers = acts(move |cx, s, message| (cx.send(me, cx.tuple(&[cx.int(1), message])), s).1);
            let Ok((p, first)) = port.spawn_monitored(SpawnOptions::new().name(NAME), answers) else { return };
            let (monitor, by_name) = (port.monitor(p), port.monitor_name(NAME));
            let of_nobody = port.monitor_name(KEY);
            for &q in keep.iter() {
                let _ = rt.send_new(q, |h| h.list((0..100).map(|i| h.tuple(&[h.int(i), h.int(i64::MAX)]))));
            }
            let _ = rt.send_new(p, |h| term!(h, [1, 2, 3]));
            rt.run_until_idle();
            let _ = rt.kill(p);
            rt.run_until_idle();
            while port.try_recv().is_some() {}
            for monitor in [Ok(first), monitor, by_name, of_nobody].into_iter().flatten() {
                port.demonitor(monitor);
            }
            drop(rt.port());
        },
    );
    assert!(failures > 20, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn timers_are_set_ended_and_fire() {
    let failures = failures_of(
        |world| {
            let [mut in_turn, outside] = [(); 2].map(|()| {
                let message = |_| Region::build(|h| term!(h, {(h.resource(world.tracker.value())), [1, 2]}));
                (0..40).map(message).collect::<Vec<_>>()
            });
            let to = world.keep[0];
            let sets = acts(move |cx, s, _| {
                let Some(message) = in_turn.pop() else { return s };
                cx.start_timer(ms(1), to, message);
                cx.start_timer_named(ms(1), NAME, cx.list([1, 2, 3]));
                s
            });
            world.rt.register(NAME, world.keep[1]).unwrap();
            (world.rt.spawn(sets).unwrap(), Mutex::new(outside))
        },
        |world, (sets, outside)| {
            let messages = std::mem::take(&mut *outside.lock().unwrap());
            let (rt, to) = (&mut world.rt, &world.keep[2..]);
            for (i, message) in messages.into_iter().enumerate() {
                let (after, to) = (ms(i as u64 % 7), to[i % to.len()]);
                let set = match i % 4 {
                    0 => rt.send_after(after, to, message),
                    1 => rt.start_timer(after, to, message),
                    2 => rt.send_after_named(after, NAME, message),
                    _ => rt.start_timer_named(after, NAME, message),
                };
                if let (0, Ok(timer)) = (i % 5, set) {
                    rt.cancel_timer(timer);
                }
            }
            for _ in 0..10 {
                go(world, *sets);
            }
            world.rt.advance(ms(10));
        },
    );
    assert!(failures > 50, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn large_binaries_and_resources_are_sent_and_collected() {
    let failures = failures_of(
        |world| {
            let (a, b, tracker) = (world.keep[0], world.keep[1], world.tracker.clone());
            let (counters, resource) = (Counters::new(3), tracker.value());
            // Of a `Vec`, whose `Bytes` allocate when they are cloned first; nobody has cloned these yet.
            let mut bytes = (0..2).map(|_| Bytes::from(vec![7; 1000])).collect::<Vec<_>>();
            let p = world.rt.spawn(acts(move |cx, s, _| {
                let Some(bytes) = bytes.pop() else { return s };
                let whole = cx.bytes(bytes);
                let part = cx.slice(whole, 100..600).unwrap_or(whole);
                let longer = cx.append(part, [1; 200]).unwrap_or(part);
                let longer = cx.append(longer, [2; 200]).unwrap_or(longer);
                let all = cx.tuple(&[whole, part, longer, cx.resource(resource.clone()), cx.binary([3; 500])]);
                let all = cx.tuple(&[all, term!(cx, (&counters)), cx.map([(part, longer)])]);
                cx.send(a, all);
                cx.send(b, cx.list([all, longer, s]));
                all
            }));
            p.unwrap()
        },
        |world, &p| {
            go(world, p);
            go(world, p);
        },
    );
    assert!(failures > 20, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn links_and_monitors_hear_of_every_kind_of_end() {
    let failures = failures_of(
        |world| {
            let mut ended = Vec::new();
            for i in 0..6 {
                let p = world.rt.spawn(from_fns(
                    |cx| cx.nil(),
                    move |cx, s, _| match i {
                        0 => Ok(Stop(Exit::NORMAL)),
                        1 => Ok(Stop(Exit::msg(format_args!("{} in {s}", "words")))),
                        2 => Err(std::fmt::Error)?,
                        3 => std::panic::resume_unwind(Box::new(())),
                        4 => Ok(Stop(Exit::build(|h| h.list((0..50).map(|i| h.tuple(&[h.int(i)])))))),
                        _ => (cx.exit(cx.me(), cx.atom(Atom::inline("kill"))), Ok(Next(s))).1,
                    },
                    |_, s, _| Ok(Next(s)),
                ));
                ended.push(p.unwrap());
            }
            let watches = ended.clone();
            let p = world.rt.spawn(from_fns(
                |cx| (cx.trap_exits(true), cx.nil()).1,
                move |cx, s, _| {
                    for &p in &watches {
                        cx.link(p);
                        cx.monitor(p);
                    }
                    Ok(Next(s))
                },
                |_, s, _: Event<'_>| Ok(Next(s)),
            ));
            (p.unwrap(), ended)
        },
        |world, (p, ended)| {
            go(world, *p);
            for &p in ended {
                let _ = world.port.monitor(p);
                go(world, p);
            }
            for &p in ended {
                let _ = world.rt.kill(p);
            }
            world.rt.run_until_idle();
        },
    );
    assert!(failures > 50, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn persistent_terms_are_put_batched_read_and_erased() {
    let failures = failures_of(
        |world| {
            let store = world.rt.persistent();
            store.put(KEY, mixed(&world.tracker)).unwrap();
            for i in 0..20 {
                store.put(("old", i), Region::build(|h| h.list(0..i))).unwrap();
            }
        },
        |world, ()| {
            let store = world.rt.persistent();
            let list = |n: i64| Region::try_build::<HeapError>(|h| Ok(h.list(0..n)));
            if let Ok(value) = list(10) {
                let _ = store.put(OTHER, value);
            }
            // Enough for the table to grow.
            let mut batch = store.batch();
            for i in 0..60 {
                if let Ok(value) = list(i) {
                    let _ = batch.put(("a key that is no immediate", i), value);
                }
                let _ = batch.erase(("old", i));
            }
            batch.commit();
            drop(store.batch().erase(KEY));
            let _ = store.update(OTHER, |h, old| h.cons(h.int(1), old.unwrap_or(h.nil())));
            let literal = store.literal(|h| h.list((0..2000).map(|i| h.tuple(&[h.int(i)]))));
            if let Ok(literal) = &literal {
                let _ = store.put("literal", literal);
                let _ = store.update("literal", |h, old| h.list([old.unwrap_or(h.nil())]));
            }
            drop(literal);
            drop(store.slot(("slot", 1)));
            // More than there is room for from the beginning.
            let guards = [(); 20].map(|()| store.pin());
            assert!(guards.iter().all(|guard| guard.get(KEY).is_some()));
            drop(guards);
            let before = store.pin();
            let erased = store.erase_all().is_ok();
            assert!(before.get(KEY).is_some());
            drop(before);
            assert_eq!(store.pin().get(KEY).is_none(), erased);
            world.rt.run_until_idle();
        },
    );
    assert!(failures > 100, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn literals_in_heaps_and_queues_are_evacuated() {
    let failures = failures_of(
        |world| {
            let store = world.rt.persistent();
            store.put(KEY, mixed(&world.tracker)).unwrap();
            store.put(OTHER, Region::build(|h| h.list((0..3000).map(|i| h.tuple(&[h.int(i)]))))).unwrap();
            // Holds what it has got, and defers what it is sent: two messages that point there, and one, in two others.
            let defers = |n| {
                from_fns(
                    |cx| cx.get(KEY).unwrap_or(cx.nil()),
                    move |cx, s, message| {
                        if !message.is_nil() {
                            return Ok(Defer);
                        }
                        for i in 0..n {
                            cx.send(cx.me(), cx.tuple(&[cx.int(i), s, cx.get(OTHER).unwrap_or(s)]));
                        }
                        Ok(Next(s))
                    },
                    |_, s, _| Ok(Next(s)),
                )
            };
            for n in [0, 1, 2, 5] {
                let p = world.rt.spawn(defers(n)).unwrap();
                go(world, p);
            }
        },
        |world, ()| {
            let store = world.rt.persistent();
            store.erase(KEY);
            store.erase(OTHER);
            world.rt.run_until_idle();
        },
    );
    assert!(failures > 20, "{failures}");
}
