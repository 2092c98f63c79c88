//! What a runtime does for its processes: fairness, the observer, and two of them in one program.

use crate::helpers::{GO, atom, does, go, waits, why};
use shared_term::persistent::Report;
use shared_term::prelude::*;
use shared_term::process::{Collected, Observer, ProcessInfo, SpawnOptions, Unsent};
use shared_term::runtime::Handle;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A process that never waits starves none of a hundred others: of any schedule, each has its turn long before the busy one
/// has had a hundred times as many.
#[test]
fn a_busy_process_starves_nobody() {
    struct Busy(Arc<AtomicUsize>);
    impl Process for Busy {
        fn receive<'h>(&mut self, _: Cx<'h>, s: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Again(s))
        }
        fn resume<'h>(&mut self, _: Cx<'h>, s: Term<'h>) -> Turn<'h> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Again(s))
        }
    }
    for seed in 0..20 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let (me, turns) = (port.pid(), Arc::new(AtomicUsize::new(0)));
        let busy = rt.spawn(Busy(turns.clone())).unwrap();
        go(&rt, busy);
        (0..50).for_each(|_| _ = rt.step());
        let others: Vec<_> = (0..100)
            .map(|_| {
                does(&rt, move |cx, _| {
                    cx.send(me, cx.pid(cx.me()));
                    Ok(())
                })
            })
            .collect();
        for p in others {
            go(&rt, p);
        }
        let before = turns.load(Ordering::Relaxed);
        let mut heard = 0;
        while heard < 100 {
            assert!(rt.step());
            heard += usize::from(port.try_recv().is_some());
            assert!(turns.load(Ordering::Relaxed) - before < 10_000, "seed {seed}: {heard} of 100");
        }
    }
}

/// Has so many closures run as processes of one worker, each called once a turn until it says that this was the last: all
/// others are on the run queue from before the first one's first turn. The names of all turns, in their order.
fn on_one_worker<const N: usize>(
    again: impl FnMut(&mut Vec<u8>, Cx<'_>) -> Option<bool> + Clone + Send + 'static,
) -> Vec<u8> {
    struct Loops<F>(F, Arc<Mutex<Vec<u8>>>, Sender<()>);
    impl<F: FnMut(&mut Vec<u8>, Cx<'_>) -> Option<bool> + Send + 'static> Process for Loops<F> {
        fn receive<'h>(&mut self, cx: Cx<'h>, s: Term<'h>, _: Term<'h>) -> Turn<'h> {
            self.resume(cx, s)
        }
        fn resume<'h>(&mut self, cx: Cx<'h>, s: Term<'h>) -> Turn<'h> {
            Ok(match (self.0)(&mut self.1.lock().unwrap(), cx) {
                Some(true) => Again(s),
                Some(false) => Next(s),
                None => {
                    self.2.send(())?;
                    Stop(Exit::NORMAL)
                }
            })
        }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let (log, (done, ended)) = (Arc::new(Mutex::new(Vec::new())), mpsc::channel());
    let its_log = log.clone();
    rt.spawn_fn(
        move |cx| {
            let pids = [(); N].map(|()| cx.spawn(Loops(again.clone(), its_log.clone(), done.clone())).unwrap());
            for pid in pids {
                cx.send(pid, cx.atom(GO));
            }
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    )
    .unwrap();
    (0..N).for_each(|_| ended.recv_timeout(Duration::from_secs(60)).unwrap());
    let log = log.lock().unwrap();
    log.clone()
}

/// As many turns of each, in which it yields.
const YIELDS: usize = 50;

fn who_yield_on_one_worker<const N: usize>() -> Vec<u8> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut me = None;
    let mut left = YIELDS;
    on_one_worker::<N>(move |log, _| {
        log.push(*me.get_or_insert_with(|| next.fetch_add(1, Ordering::Relaxed) as u8));
        left -= 1;
        (left > 0).then_some(true)
    })
}

/// `Again` is a yield: whoever else can run does so in between, on the same worker too.
#[test]
fn two_that_yield_take_turns_on_one_worker() {
    assert_eq!(who_yield_on_one_worker::<2>(), [0, 1].repeat(YIELDS));
}

/// And so do a hundred others, of whom more wait than the worker's own queue has room for: between two turns of one each other
/// has one, or two where these are taken up in another order.
#[test]
fn a_hundred_and_one_that_yield_take_turns_on_one_worker() {
    const N: usize = 101;
    let log = who_yield_on_one_worker::<N>();
    for who in 0..N as u8 {
        let turns: Vec<_> = (0..log.len()).filter(|&at| log[at] == who).collect();
        assert_eq!(turns.len(), YIELDS);
        assert!(turns.windows(2).all(|two| two[1] - two[0] < 2 * N), "{who}: {turns:?}");
    }
}

/// Who always has another message gives way after a while: long before a million turns.
#[test]
fn one_with_messages_without_end_gives_way_on_one_worker() {
    let next = Arc::new(AtomicUsize::new(0));
    let mut me = None;
    let log = on_one_worker::<2>(move |log, cx| {
        let me = *me.get_or_insert_with(|| next.fetch_add(1, Ordering::Relaxed) as u8);
        log.push(me);
        let second_was_there = log.iter().rev().take(2).any(|&who| who == 1);
        cx.send(cx.me(), cx.nil());
        (!second_was_there && log.len() < 1_000_000).then_some(false)
    });
    assert!(log.len() < 1_000_000);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Log {
    fn spawned(&self, pid: Pid) {
        self.say(format!("spawned {pid}"));
    }
    fn exited(&self, pid: Pid, why: &Exit, last: &ProcessInfo) {
        let details = last.details.as_ref().unwrap();
        self.say(format!("exited {pid} {why} {} {} {:?}", details.turns, last.messages, last.name));
        std::panic::resume_unwind(Box::new("an observer's panic is its own"));
    }
    fn collected(&self, pid: Pid, collection: &Collected) {
        assert!(collection.after.minor_collections + collection.after.major_collections > 0);
        assert!(collection.before.young_words > collection.after.young_words);
        self.say(format!("collected {pid}"));
    }
    fn slow_turn(&self, pid: Pid, took: Duration) {
        self.say(format!("slow {pid} {}", took >= Duration::from_millis(20)));
    }
    fn global_collection(&self, report: &Report) {
        self.say(format!("global {}", report.areas));
    }
}

#[test]
fn an_observer_is_told_of_everything() {
    let log = Log::default();
    let mut rt = Runtime::builder().observer(log.clone()).slow_turns(Duration::from_millis(20)).deterministic(1);
    let p = rt
        .spawn_fn_with(
            SpawnOptions::new().name(GO).min_heap_words(10),
            |cx| cx.nil(),
            |cx, s, m| match m.as_int() {
                Some(0) => {
                    std::thread::sleep(Duration::from_millis(21));
                    Ok(Next(s))
                }
                Some(1) => {
                    cx.list(0..1000);
                    Ok(Next(cx.cons(m, s)))
                }
                _ => Err(Exit::msg("why")),
            },
        )
        .unwrap();
    assert_eq!(log.take(), [format!("spawned {p}")]);
    for (n, told) in [(0, format!("slow {p} true")), (1, format!("collected {p}"))] {
        rt.send_new(p, |h| h.int(n)).unwrap();
        rt.run_until_idle();
        assert_eq!(log.take(), [told]);
    }
    let store = rt.persistent().clone();
    store.put(GO, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(GO);
    rt.run_until_idle();
    assert_eq!(log.take(), ["global 1"]);
    (2..5).for_each(|n| rt.send_new(p, |h| h.int(n)).unwrap());
    rt.run_until_idle();
    assert_eq!(log.take(), [format!("exited {p} why 4 2 Some(:go)")]);
    drop(rt);
    store.put(GO, Region::build(|h| h.list(0..10))).unwrap();
    store.erase(GO);
    assert!(log.take().is_empty(), "the observer went with its runtime");
}

/// A pid of one domain names nobody in another, also when the first is gone.
#[test]
fn two_runtimes_in_one_program() {
    let (mut a, mut b) = (Runtime::deterministic(1), Runtime::deterministic(2));
    let mut port = b.port().unwrap();
    let me = port.pid();
    let (of_a, of_b): (Vec<_>, Vec<_>) = (0..5).map(|_| (waits(&a), waits(&b))).unzip();
    for (p, q) in of_a.iter().zip(&of_b) {
        assert_ne!(p, q);
        assert!(a.is_alive(*p) && !b.is_alive(*p) && !a.is_alive(*q));
        assert!(matches!(b.send(*p, atom("x")), Err(Unsent::NoProcess(Some(_)))));
        assert!(!b.kill(*p).unwrap() && b.info(*p).is_none());
        assert!(b.register(GO, *p).is_err());
    }
    // From a turn of one to a process of the other: by a handle, and what was a literal is copied.
    a.persistent().put(GO, Region::build(|h| h.list(0..50))).unwrap();
    let to_b = Handle::clone(&b);
    let stranger = of_b[0];
    let p = does(&a, move |cx, _| {
        cx.send(stranger, cx.nil());
        assert!(matches!(cx.try_send(stranger, cx.nil()), Err(Unsent::NoProcess(_))));
        cx.link(stranger);
        to_b.send(me, cx.region(cx.get(GO).unwrap()))?;
        Ok(())
    });
    let why = why(&mut a, p, |a| go(a, p));
    assert_eq!(why.as_deref(), Some("noproc"));
    a.persistent().erase(GO);
    a.run_until_idle();
    assert_eq!(a.persistent().info().retained_bytes, 0);
    b.run_until_idle();
    assert_eq!(port.try_recv().unwrap().root().list().count(), 50);
    assert_eq!(b.info(of_b[0]).unwrap().details.unwrap().turns, 1, "only its init");
    drop(a);
    // More runtimes than there are numbers for domains: a pid of one that is gone stays nobody's.
    for _ in 0..600 {
        let c = Runtime::deterministic(3);
        let fresh: Vec<_> = (0..5).map(|_| waits(&c)).collect();
        assert!(of_a.iter().all(|old| !fresh.contains(old) && !c.is_alive(*old)));
    }
}
