//! Processes that link, monitor, name, kill, panic and end at random, under many seeded schedules: in the end the tables,
//! the names, the links and the memory are right.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use shared_term::process::{ProcessInfo, SpawnOptions};
use shared_term::runtime::{Deterministic, Handle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use support::{Ledger, OnDrop};

const SCHEDULES: u64 = if cfg!(miri) { 20 } else { 10_000 };
const LITERAL: Atom = Atom::inline("literal");

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 32) as usize % n
    }
}

/// What became of the monitors of all processes, and what went wrong.
#[derive(Default)]
struct Book {
    monitors: BTreeMap<Reference, Monitored>,
    wrong: Vec<String>,
    children: Vec<Pid>,
}

#[derive(Debug, PartialEq, Eq)]
enum Monitored {
    Active(Pid),
    Fired,
    Ended,
}

struct Actor {
    book: Arc<Mutex<Book>>,
    ledger: Ledger,
    mine: Vec<Reference>,
}

impl Actor {
    fn new(book: &Arc<Mutex<Book>>, ledger: &Ledger) -> Self {
        Self { book: book.clone(), ledger: ledger.clone(), mine: Vec::new() }
    }

    fn monitored(&mut self, monitor: Reference, whom: Pid) {
        self.mine.push(monitor);
        self.book.lock().unwrap().monitors.insert(monitor, Monitored::Active(whom));
    }
}

const OPS: usize = 22;

fn name(n: i64) -> Atom {
    [Atom::inline("a"), Atom::inline("b"), Atom::inline("c")][n as usize % 3]
}

impl Process for Actor {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        Ok(term!(cx, [self.ledger.resource(*cx)]))
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let Some(&[op, peer, n, _]) = message.tuple_of::<4>() else { return Ok(Next(message)) };
        let (op, peer, n): (i64, Pid, i64) = (op.get()?, peer.get()?, n.get()?);
        match op {
            0 | 1 => cx.link(peer),
            2 => cx.unlink(peer),
            3 | 4 => {
                let monitor = cx.monitor(peer);
                self.monitored(monitor, peer);
            }
            5 => {
                let at = n as usize % self.mine.len().max(1);
                if at < self.mine.len() {
                    let monitor = self.mine.swap_remove(at);
                    // An event that came before may still be seen when it is not flushed.
                    let active = cx.demonitor_flush(monitor);
                    let mut book = self.book.lock().unwrap();
                    let was = book.monitors.insert(monitor, Monitored::Ended);
                    if active && !matches!(was, Some(Monitored::Active(_))) {
                        book.wrong.push(format!("{monitor} was active after it had been {was:?}"));
                    }
                }
            }
            6 => _ = cx.trap_exits(n % 2 == 0),
            7 => cx.exit(peer, cx.atom(Atom::inline("normal"))),
            8 => cx.exit(peer, cx.list([message, state])),
            9 => cx.kill(peer),
            10 => std::panic::resume_unwind(Box::new("at random")),
            11 => return Err(Exit::msg("an error")),
            12 => return Ok(Stop(if n % 2 == 0 { Exit::NORMAL } else { Exit::term(cx.region(state)) })),
            13 => {
                let child = Self::new(&self.book, &self.ledger);
                let options = if n % 2 == 0 { SpawnOptions::new().link() } else { SpawnOptions::new().name(name(n)) };
                if let Ok((pid, monitor)) = cx.spawn_monitored(options, child) {
                    self.monitored(monitor, pid);
                    self.book.lock().unwrap().children.push(pid);
                }
            }
            14 => {
                let pid = cx.spawn_linked(Self::new(&self.book, &self.ledger))?;
                self.book.lock().unwrap().children.push(pid);
            }
            15 => _ = cx.register(name(n), if n % 2 == 0 { cx.me() } else { peer }),
            16 => _ = cx.unregister(name(n)),
            17 => {
                cx.send_named(name(n), state); // no command: it would go round for ever
                let monitor = cx.monitor_name(name(n));
                if let Some(pid) = cx.whereis(name(n)) {
                    self.monitored(monitor, pid);
                }
            }
            18 => return Ok(Defer),
            19 => return Ok(NextReoffer(term!(cx, [message, cx.get(LITERAL).unwrap_or(cx.nil())]))),
            20 => return Ok(Again(cx.list([state]))),
            _ => cx.exit(cx.me(), message),
        }
        Ok(Next(message))
    }

    fn event<'h>(&mut self, cx: Cx<'h>, _: Term<'h>, event: Event<'h>) -> Turn<'h> {
        match event {
            Event::Down { monitor, reason, .. } => {
                let mut book = self.book.lock().unwrap();
                let was = book.monitors.insert(monitor, Monitored::Fired);
                if matches!(was, Some(Monitored::Fired | Monitored::Ended)) {
                    book.wrong.push(format!("{monitor} fired after it had been {was:?}"));
                }
                self.mine.retain(|mine| *mine != monitor);
                Ok(Next(reason))
            }
            Event::Exit { reason, .. } => Ok(Next(cx.list([reason]))),
            _ => Ok(Defer),
        }
    }
}

/// Everything that processes know of each other is known to both.
fn check(rt: &Handle, book: &Book, seed: u64) {
    assert!(book.wrong.is_empty(), "seed {seed}: {:?}", book.wrong);
    let infos: BTreeMap<Pid, ProcessInfo> = rt.pids().into_iter().map(|pid| (pid, rt.info(pid).unwrap())).collect();
    assert_eq!(rt.processes(), infos.len(), "seed {seed}");
    let details =
        |pid: &Pid| infos.get(pid).unwrap_or_else(|| panic!("seed {seed}: {pid} is dead")).details.as_ref().unwrap();
    let (mut watching, mut watched) = (BTreeMap::new(), BTreeMap::new());
    for (pid, info) in &infos {
        let of = details(pid);
        for peer in &of.links {
            assert!(details(peer).links.contains(pid), "seed {seed}: {pid} is linked to {peer}, which is not");
        }
        let links: BTreeSet<_> = of.links.iter().collect();
        assert_eq!(links.len(), of.links.len(), "seed {seed}");
        for (monitor, target) in &of.monitors {
            *watching.entry((*pid, *target)).or_insert(0) += 1;
            // One that was set by a name that nobody had is not in the book.
            let was = book.monitors.get(monitor);
            assert!(matches!(was, None | Some(Monitored::Active(_))), "seed {seed}: {monitor} is {was:?}");
        }
        of.watchers.iter().for_each(|watcher| *watched.entry((*watcher, *pid)).or_insert(0) += 1);
        assert_eq!(info.name.and_then(|name| rt.whereis(name)), info.name.map(|_| *pid), "seed {seed}");
        assert_eq!(info.messages, of.deferred, "seed {seed}: nothing else waits");
    }
    assert_eq!(watching, watched, "seed {seed}");
    for (_, pid) in rt.registered() {
        assert!(infos.contains_key(&pid), "seed {seed}: a dead process has a name");
    }
}

fn schedule(seed: u64) -> Deterministic {
    let mut random = Random(seed);
    let mut rt = Runtime::deterministic(seed);
    let ledger = Ledger::default();
    let book = Arc::new(Mutex::new(Book::default()));
    let store = rt.persistent().clone();
    store.put(LITERAL, Region::build(|h| h.list(0..20))).unwrap();
    let mut pids: Vec<_> = (0..4).map(|_| rt.spawn(Actor::new(&book, &ledger)).unwrap()).collect();
    for _ in 0..30 {
        pids.append(&mut book.lock().unwrap().children);
        let (to, peer) = (pids[random.below(pids.len())], pids[random.below(pids.len())]);
        let (op, n) = (random.below(OPS), random.below(8));
        // The dead are asked too.
        let _ = rt.send_new(to, |h| term!(h, {op, peer, n, ledger.resource(h)}));
        match random.below(40) {
            0 => _ = rt.kill(to).unwrap(),
            1 => _ = rt.exit(to, &Exit::msg("from outside").to_region()).unwrap(),
            2 => _ = rt.register(name(n as i64), to),
            3 => _ = rt.unregister(name(n as i64)),
            4 => _ = store.put(LITERAL, Region::build(|h| h.list(0..n as i64 + 20))).unwrap(),
            5 => pids.push(rt.spawn(Actor::new(&book, &ledger)).unwrap()),
            6 => {
                // What comes back from the dead panics here.
                let send = || drop(rt.send_new(to, |h| term!(h, {op, peer, n, h.resource(OnDrop::panics())})));
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(send));
            }
            _ => {}
        }
        (0..random.below(4)).for_each(|_| _ = rt.step());
        if random.below(8) == 0 {
            rt.run_until_idle();
            check(&rt, &book.lock().unwrap(), seed);
        }
    }
    rt.run_until_idle();
    check(&rt, &book.lock().unwrap(), seed);
    for pid in rt.pids() {
        rt.kill(pid).unwrap();
    }
    rt.run_until_idle();
    check(&rt, &book.lock().unwrap(), seed);
    assert_eq!((rt.processes(), rt.pids().len(), rt.registered().len()), (0, 0, 0), "seed {seed}");
    assert_eq!(ledger.made(), ledger.dropped(), "seed {seed}");
    store.erase(LITERAL);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0, "seed {seed}");
    rt
}

#[test]
fn random_schedules_leave_everything_right() {
    for seed in 0..SCHEDULES {
        drop(schedule(seed));
    }
}
