//! Processes.

use super::*;
use shared_term::prelude::*;
use shared_term::process::{SpawnError, from_fns};
use shared_term::runtime::{Deterministic, Exited, Port};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for what must come before the test has failed.
const LONG: Duration = Duration::from_secs(60);

/// Larger than what the allocator of these tests gives in any case.
struct Large {
    ones: [u64; 64],
    _tracked: Arc<common::Tracked>,
}

impl Process for Large {
    fn receive<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Next(cx.int(self.ones.iter().sum::<u64>())))
    }
}

/// A runtime of one thread with processes that wait, and one more that has got a message.
struct World {
    rt: Deterministic,
    waiting: Vec<Pid>,
    exited: Exited,
}

fn world(f: Turned) -> World {
    let mut rt = Runtime::deterministic(1);
    let waiting: Vec<_> = (0..40).map(|_| rt.spawn(waits()).unwrap()).collect();
    let others = waiting.clone();
    let turn = move |cx: Cx<'_>| f(cx, &others);
    let p = rt.spawn(from_fns(|cx| cx.nil(), move |cx, s, _| turn(cx).map(|()| Next(s)), |_, s, _| Ok(Next(s))));
    let p = p.unwrap();
    rt.run_until_idle();
    rt.send_new(p, |h| h.nil()).unwrap();
    World { exited: rt.exited(p), rt, waiting }
}

/// A process that outlives those it is linked to.
fn waits() -> impl Process {
    from_fns(|cx| (cx.trap_exits(true), cx.nil()).1, |_, s, _| Ok(Next(s)), |_, s, _| Ok(Next(s)))
}

/// What is done in a turn.
type Turned = fn(Cx<'_>, &[Pid]) -> Result<(), Exit>;

/// Does something in a turn, first without memory, and then with some. Too little ends that process, and no other.
fn failures_of(f: Turned) -> usize {
    let run = |world: &mut World| {
        world.rt.run_until_idle();
        match world.exited.try_wait() {
            None => Ok(()),
            Some(exit) => {
                assert!(exit.to_string().contains("no memory"), "{exit}");
                Err(HeapError::OutOfMemory { words: 0 })
            }
        }
    };
    failures_in(
        || world(f),
        run,
        |mut world, done| {
            assert!(world.waiting.iter().all(|p| world.rt.is_alive(*p)));
            for p in &world.waiting {
                world.rt.kill(*p).unwrap();
            }
            world.rt.run_until_idle();
            assert!(!world.waiting.iter().any(|p| world.rt.is_alive(*p)));
            // The timeout of who had memory.
            assert!(world.rt.timers() <= usize::from(done.is_some()));
        },
    )
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn links_without_memory_end_the_process_that_makes_them() {
    let failures = failures_of(|cx, others| {
        cx.trap_exits(true);
        for p in others {
            cx.link(*p);
        }
        Ok(())
    });
    assert!(failures > 1, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn monitors_without_memory_end_the_process_that_makes_them() {
    let failures = failures_of(|cx, others| {
        for p in others {
            cx.monitor(*p);
        }
        Ok(())
    });
    assert!(failures > 1, "{failures}");
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn timers_without_memory_end_the_process_that_sets_them() {
    #[expect(clippy::unnecessary_wraps, reason = "it is called as what a turn does")]
    fn set(cx: Cx<'_>, others: &[Pid], unit: Duration) -> Result<(), Exit> {
        for (i, p) in (1..).zip(others.iter().cycle().take(200)) {
            cx.send_after(i * unit, *p, cx.int(i64::from(i)));
        }
        cx.set_timeout(unit);
        Ok(())
    }
    let soon = failures_of(|cx, others| set(cx, others, Duration::from_millis(1)));
    let late = failures_of(|cx, others| set(cx, others, Duration::from_secs(86400)));
    assert!(soon > 3 && late == soon, "{soon} {late}");
}

/// More than a queue has room for, from a turn and from outside.
#[test]
fn who_is_scheduled_waits_without_memory_for_that() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    let receivers: Vec<_> = std::iter::repeat_with(|| {
        let told = told.clone();
        rt.spawn_fn(
            |cx| cx.nil(),
            move |_, state, _| {
                told.send(()).map_err(Exit::msg)?;
                Ok(Next(state))
            },
        )
        .unwrap()
    })
    .take(1000)
    .collect();
    let letters = || receivers.iter().map(|&p| (p, Region::build(|h| h.int(1)))).collect::<Vec<_>>();
    let all_receive = || (0..receivers.len()).for_each(|_| tells.recv_timeout(LONG).unwrap());
    let (mut in_turn, (done, made)) = (letters(), std::sync::mpsc::channel());
    let sender = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            let ((), made) = count_allocations(|| in_turn.drain(..).for_each(|(p, letter)| cx.send(p, letter)));
            done.send(made).map_err(Exit::msg)?;
            Ok(Next(state))
        },
    );
    rt.send_new(sender.unwrap(), |h| h.nil()).unwrap();
    assert_eq!(made.recv_timeout(LONG).unwrap(), 0);
    all_receive();
    let outside = letters();
    let ((), made) = count_allocations(|| outside.into_iter().for_each(|(p, letter)| rt.send(p, letter).unwrap()));
    assert_eq!(made, 0);
    all_receive();
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn names_without_memory_are_error_values() {
    let failures = failures_of(|cx, others| {
        for (i, p) in others.iter().enumerate() {
            cx.register(Atom::new(&format!("n{i}"))?, *p)?;
        }
        Ok(())
    });
    assert!(failures > 1, "{failures}");
}

/// Whether the process ends for want of memory, while what came for it is looked at, or is killed behind that.
fn forty_are_told_of_its_end(world: impl Fn() -> (Deterministic, Pid, Port) + Sync) {
    let run = |(rt, p, _): &mut (Deterministic, Pid, Port)| {
        rt.run_until_idle();
        if rt.is_alive(*p) { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
    };
    let failures = failures_in(world, run, |(mut rt, p, mut port), _| {
        let _ = rt.kill(p);
        rt.run_until_idle();
        assert_eq!(std::iter::from_fn(|| port.try_recv()).count(), 40);
    });
    assert!(failures > 0);
}

/// Who cannot be noted is told at once, and the others at the end.
#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn who_monitors_a_process_without_memory_is_told_of_its_end() {
    let world = || {
        let rt = Runtime::deterministic(1);
        let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
        let mut port = rt.port().unwrap();
        for _ in 0..40 {
            port.monitor(p).unwrap();
        }
        (rt, p, port)
    };
    forty_are_told_of_its_end(world);
}

#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn who_links_to_a_process_without_memory_is_told_of_its_end() {
    let world = || {
        let mut rt = Runtime::deterministic(1);
        let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let links = || {
            let receive = move |cx: Cx<'_>| cx.link(p);
            from_fns(
                |cx| (cx.trap_exits(true), cx.nil()).1,
                move |cx, s, _| Ok((receive(cx), Next(s)).1),
                move |cx, s, _| Ok((cx.send(me, cx.nil()), Next(s)).1),
            )
        };
        let linked: Vec<_> = (0..40).map(|_| rt.spawn(links()).unwrap()).collect();
        rt.run_until_idle();
        for p in &linked {
            rt.send_new(*p, |h| h.nil()).unwrap();
        }
        assert!(port.try_recv().is_none());
        (rt, p, port)
    };
    forty_are_told_of_its_end(world);
}

/// Whether it hears of the name while it lives, which ends it, or has ended before.
#[test]
fn a_name_that_a_process_has_no_memory_to_note_is_given_back() {
    const NAME: Atom = Atom::inline("name");
    for late in [false, true] {
        let mut rt = Runtime::deterministic(1);
        let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
        rt.run_until_idle();
        if late {
            rt.kill(p).unwrap();
        }
        rt.register(NAME, p).unwrap();
        // What a process knows of others takes more.
        without_allocations_from(128, || rt.run_until_idle());
        assert!(!rt.is_alive(p));
        assert_eq!((rt.whereis(NAME), rt.registered()), (None, vec![]), "late: {late}");
    }
}

/// A process that holds what is replaced has to copy it.
#[test]
#[cfg_attr(shared_term_stress, ignore = "to verify a heap takes memory")]
fn a_holder_without_memory_for_what_it_holds_ends_and_holds_up_nothing() {
    const KEY: Atom = Atom::inline("key");
    let world = || {
        let mut rt = Runtime::deterministic(1);
        let tracker = Tracker::default();
        rt.persistent().put(KEY, mixed(&tracker)).unwrap();
        let holds = rt.spawn_fn(|cx| cx.get(KEY).unwrap(), |_, s, _| Ok(Next(s))).unwrap();
        rt.run_until_idle();
        rt.persistent().erase(KEY);
        (rt, holds, tracker)
    };
    let run = |(rt, holds, _): &mut (Deterministic, Pid, Tracker)| {
        rt.run_until_idle();
        if rt.is_alive(*holds) { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
    };
    let failures = failures_in(world, run, |(mut rt, holds, tracker), done| {
        assert_eq!((rt.persistent().info().words, rt.persistent().info().retained_bytes), (0, 0));
        assert_eq!(tracker.made() - tracker.dropped(), if done.is_some() { 20 } else { 0 });
        let _ = rt.kill(holds);
        rt.run_until_idle();
        assert_eq!(tracker.dropped(), tracker.made());
    });
    assert!(failures > 3, "{failures}");
}

#[test]
fn a_process_without_memory_is_an_error_value() {
    let tracker = Tracker::default();
    let mut rt = Runtime::deterministic(1);
    let large = || Large { ones: [1; 64], _tracked: tracker.value() };
    rt.spawn(large()).unwrap();
    let spawned = with_large_allocations(0, || rt.spawn(large()));
    assert!(matches!(spawned, Err(SpawnError::Heap(HeapError::OutOfMemory { .. }))), "{spawned:?}");
    assert_eq!(tracker.dropped(), 1);
    let p = rt.spawn(large()).unwrap();
    rt.run_until_idle();
    assert!(rt.is_alive(p));
}

/// A process whose heap and messages are made to share what they hold, without the memory for it: it goes on, or ends by that
/// alone, and what it held is freed.
#[test]
fn messages_that_are_to_share_without_memory_share_all_or_end_with_their_process() {
    const KEY: Atom = Atom::inline("key");
    let world = || {
        let tracker = Tracker::default();
        let mut rt = Runtime::deterministic(1);
        rt.persistent().put(KEY, mixed(&tracker)).unwrap();
        let mut sent = false;
        let p = rt.spawn_fn(
            |cx| cx.get(KEY).unwrap_or(cx.nil()),
            move |cx, state, message| {
                if !std::mem::replace(&mut sent, true) {
                    (0..3).for_each(|i| cx.send(cx.me(), cx.tuple(&[cx.int(i), state])));
                    return Ok(Next(state));
                }
                if message.is_nil() { Ok(NextReoffer(state)) } else { Ok(Defer) }
            },
        );
        let p = p.unwrap();
        rt.send_new(p, |h| h.nil()).unwrap();
        rt.run_until_idle();
        assert_eq!(rt.info(p).unwrap().messages, 3);
        (tracker, rt, p)
    };
    let collect = |(_, rt, p): &mut (Tracker, Deterministic, Pid)| {
        rt.persistent().erase(KEY);
        rt.run_until_idle();
        if rt.is_alive(*p) { Ok(()) } else { Err(HeapError::OutOfMemory { words: 0 }) }
    };
    let after = |(tracker, mut rt, p): (Tracker, Deterministic, Pid), lives: Option<()>| {
        rt.run_until_idle();
        let info = rt.persistent().info();
        assert_eq!((info.retained_bytes, info.areas), (0, usize::from(lives.is_some())));
        if lives.is_some() {
            assert_eq!(rt.info(p).unwrap().messages, 3);
        }
        drop(rt);
        assert_eq!(tracker.dropped(), tracker.made());
    };
    let failures = failures_in(world, collect, after);
    assert!(failures > 0, "{failures}");
}

/// Each is spawned when no other waits, so that the queue never had more than one; then all are sent to at once.
#[test]
fn all_processes_of_a_deterministic_runtime_are_scheduled_without_memory() {
    const MANY: usize = 3000;
    let mut rt = Runtime::deterministic(1);
    let mut all = Vec::with_capacity(MANY);
    for i in 0..MANY {
        all.push(rt.spawn(waits()).unwrap());
        rt.run_until_idle();
        if i % 3 == 0 {
            rt.kill(all.swap_remove(i / 2 % all.len())).unwrap();
            rt.run_until_idle();
        }
    }
    let messages: Vec<_> = all.iter().map(|_| Region::build(|h| h.nil())).collect();
    without_allocations_from(0, || {
        for (&p, message) in all.iter().zip(messages) {
            rt.send(p, message).unwrap();
        }
    });
    rt.run_until_idle();
    for p in all {
        assert_eq!(rt.info(p).unwrap().details.unwrap().turns, 2);
    }
}

/// Who spawns finds out that there is no room in the queue.
#[test]
fn a_spawn_without_room_in_the_queue_is_an_error_value() {
    let rt = || {
        let rt = Runtime::deterministic(1);
        // As many as are there when the next one is one more than there was room for.
        (0..1024).for_each(|_| _ = rt.spawn(waits()).unwrap());
        rt
    };
    let spawn = |rt: &mut Deterministic| match rt.spawn(waits()) {
        Ok(_) => Ok(()),
        Err(SpawnError::Heap(error)) => Err(error),
        Err(other) => panic!("{other}"),
    };
    let failures = failures_in(rt, spawn, |mut rt, done| {
        rt.run_until_idle();
        assert_eq!(rt.processes(), 1024 + usize::from(done.is_some()));
        assert!(rt.spawn(waits()).is_ok());
    });
    assert!(failures > 0);
}
