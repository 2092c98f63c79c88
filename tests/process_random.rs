//! Processes that link, monitor, name, kill, panic and end at random, set timers and wait, some with mailboxes that are soon
//! full, under many seeded schedules: in the end the tables, the names, the links, the timers, the figures of the mailboxes
//! and the memory are right.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use shared_term::process::{MailboxLimit, ProcessInfo, SpawnOptions, Unsent, from_fns};
use shared_term::runtime::Handle;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Ledger, OnDrop, Random};

const SCHEDULES: u64 = if cfg!(miri) { 20 } else { 10_000 };
/// How many signals one step looks at, at most.
const SIGNALS: usize = 8;
const LITERAL: Atom = Atom::inline("literal");

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 32) as usize % n
    }
}

/// What became of the monitors of all processes, what went wrong, and which turns there were.
#[derive(Default)]
struct Book {
    /// Of every turn whose it was and what it was about: two schedules with the same trace are the same.
    trace: DefaultHasher,
    seen: Vec<Pid>,
    monitors: BTreeMap<Reference, Monitored>,
    timers: BTreeMap<Reference, TimerIs>,
    wrong: Vec<String>,
    children: Vec<Pid>,
}

#[derive(Debug, PartialEq, Eq)]
enum TimerIs {
    Running,
    Seen,
    Ended,
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
    timers: Vec<Reference>,
    waits: Waits,
}

/// Does the process have a timeout?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    ForEver,
    Since(u64),
}

impl Actor {
    fn new(book: &Arc<Mutex<Book>>, ledger: &Ledger) -> Self {
        let (mine, timers) = (Vec::new(), Vec::new());
        Self { book: book.clone(), ledger: ledger.clone(), mine, timers, waits: Waits::ForEver }
    }

    /// By the order in which they have had their first turns: their pids are others in each run.
    fn note(&self, cx: Cx<'_>, what: &str, op: Option<i64>) {
        let mut book = self.book.lock().unwrap();
        let me = book.seen.iter().position(|&seen| seen == cx.me()).unwrap_or(book.seen.len());
        if me == book.seen.len() {
            book.seen.push(cx.me());
        }
        (me, what, op).hash(&mut book.trace);
    }

    fn monitored(&mut self, monitor: Reference, whom: Pid) {
        self.mine.push(monitor);
        self.book.lock().unwrap().monitors.insert(monitor, Monitored::Active(whom));
    }
}

const OPS: usize = 32;
/// As many live at any time, at least.
const POPULATION: usize = 5;

fn name(n: i64) -> Atom {
    [Atom::inline("a"), Atom::inline("b"), Atom::inline("c")][n as usize % 3]
}

/// Sends more signals than one look of the peer has room for, in the midst of which it may do the same, or end.
fn floods(cx: Cx<'_>, peer: Pid, n: i64) {
    match n % 3 {
        0 => (0..3 * SIGNALS).for_each(|_| cx.exit(peer, cx.atom(Atom::inline("normal")))),
        1 => {
            for _ in 0..SIGNALS {
                cx.link(peer);
                cx.unlink(peer);
            }
            cx.link(peer);
        }
        _ => {
            (0..SIGNALS).for_each(|_| _ = cx.demonitor(cx.monitor(peer)));
            cx.exit(peer, cx.get(LITERAL).unwrap_or(cx.nil()));
        }
    }
}

impl Process for Actor {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        Ok(term!(cx, [self.ledger.resource(*cx)]))
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let op = message.tuple_of::<4>().and_then(|command| command[0].as_int());
        self.note(cx, "receive", op);
        let turn = cx.info(cx.me()).unwrap().details.unwrap().turns;
        let flow = self.obey(cx, state, message, turn)?;
        // A message that was taken ends the timeout, unless this turn has set it.
        if !matches!(flow, Defer) && self.waits != Waits::Since(turn) {
            self.waits = Waits::ForEver;
        }
        Ok(flow)
    }

    fn event<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, event: Event<'h>) -> Turn<'h> {
        let waits = std::mem::replace(&mut self.waits, Waits::ForEver);
        let kind = match event {
            Event::Down { .. } => "down",
            Event::Exit { .. } => "exit",
            _ => "timeout",
        };
        self.note(cx, kind, None);
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
            Event::Timeout => {
                if waits == Waits::ForEver {
                    self.book.lock().unwrap().wrong.push(format!("{} has a timeout and does not wait", cx.me()));
                }
                Ok(Next(state))
            }
            _ => Ok(Defer),
        }
    }
}

impl Actor {
    fn obey<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>, turn: u64) -> Turn<'h> {
        if let Some(&[_, timer, _]) = message.tuple_of::<3>() {
            let timer: Reference = timer.get()?;
            let mut book = self.book.lock().unwrap();
            let was = book.timers.insert(timer, TimerIs::Seen);
            if was != Some(TimerIs::Running) {
                book.wrong.push(format!("{timer} is seen after it had been {was:?}"));
            }
            return Ok(Next(cx.list([message]))); // not as it is: what is sent on must be no timer's
        }
        let Some(&[op, peer, n, _]) = message.tuple_of::<4>() else { return Ok(Next(message)) };
        let (op, peer, n): (i64, Pid, i64) = (op.get()?, peer.get()?, n.get()?);
        match op {
            0 | 1 => cx.link(peer),
            2 if n % 2 == 0 => cx.unlink(peer),
            2 => cx.unlink_flush(peer),
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
                cx.send_named(name(n), cx.list([state])); // no command: it would go round for ever
                let monitor = cx.monitor_name(name(n));
                if let Some(pid) = cx.whereis(name(n)) {
                    self.monitored(monitor, pid);
                }
            }
            18 => return Ok(Defer),
            19 => return Ok(NextReoffer(term!(cx, [message, cx.get(LITERAL).unwrap_or(cx.nil())]))),
            20 => return Ok(Again(cx.list([state]))),
            21 | 22 => {
                cx.set_timeout(Duration::from_millis(n as u64 / 2));
                self.waits = Waits::Since(turn);
            }
            23 => {
                if cx.clear_timeout() && self.waits == Waits::ForEver {
                    self.book.lock().unwrap().wrong.push(format!("{} had a timeout, and did not wait", cx.me()));
                }
                self.waits = Waits::ForEver;
            }
            24 | 25 => {
                let mut book = self.book.lock().unwrap();
                let timer = cx.start_timer(Duration::from_millis(n as u64), peer, cx.list([state]));
                self.timers.push(timer);
                book.timers.insert(timer, TimerIs::Running);
            }
            26 => {
                if let Some(timer) = self.timers.pop()
                    && cx.cancel_timer(timer).is_some()
                {
                    let mut book = self.book.lock().unwrap();
                    let was = book.timers.insert(timer, TimerIs::Ended);
                    if was != Some(TimerIs::Running) {
                        book.wrong.push(format!("{timer} was running after it had been {was:?}"));
                    }
                }
            }
            27 => cx.hibernate(),
            28..=30 => floods(cx, peer, n),
            _ => cx.exit(cx.me(), message),
        }
        Ok(Next(message))
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

/// A mailbox with a limit, in which nothing waits, takes as much as its limit says, and no more.
fn has_room(rt: &Handle, pid: Pid, limit: MailboxLimit, seed: u64) {
    if rt.info(pid).is_none_or(|info| info.messages > 0) {
        return;
    }
    let takes = || match rt.send_new(pid, |h| h.list(0..100)) {
        Ok(()) => true,
        Err(Unsent::Full(Some(_))) => false,
        Err(other) => panic!("seed {seed}: {other}"),
    };
    let most = match limit {
        MailboxLimit::Messages(n) => n,
        _ => 1, // which is larger than the limit, and is let in because nothing else is there
    };
    assert_eq!((0..most + 2).filter(|_| takes()).count(), most, "seed {seed}: {pid} counts what is not there");
}

/// Runs a program, the one of this number, in the schedule of a seed. The trace of its turns.
fn schedule(program: u64, seed: u64) -> u64 {
    let mut random = Random(program);
    let mut rt = Runtime::deterministic(seed);
    let ledger = Ledger::default();
    let book = Arc::new(Mutex::new(Book::default()));
    let store = rt.persistent().clone();
    store.put(LITERAL, Region::build(|h| h.list(0..20))).unwrap();
    let (mut pids, mut limited) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        pids.append(&mut book.lock().unwrap().children);
        let mut living: Vec<_> = pids.iter().copied().filter(|&pid| rt.is_alive(pid)).collect();
        while living.len() < POPULATION {
            let limit = [None, None, Some(MailboxLimit::Messages(2)), Some(MailboxLimit::Bytes(1500))][random.below(4)];
            let options = limit.into_iter().fold(SpawnOptions::new(), SpawnOptions::mailbox);
            let pid = rt.spawn_with(options, Actor::new(&book, &ledger)).unwrap();
            limited.extend(limit.map(|limit| (pid, limit)));
            pids.push(pid);
            living.push(pid);
        }
        // Now and then the dead are asked too.
        let mut any =
            || if random.below(8) == 0 { pids[random.below(pids.len())] } else { living[random.below(living.len())] };
        let (to, peer) = (any(), any());
        let (op, n) = (random.below(OPS), random.below(8));
        let _ = rt.send_new(to, |h| term!(h, {op, peer, n, ledger.resource(h)}));
        match random.below(40) {
            0 => _ = rt.kill(to).unwrap(),
            1 => _ = rt.exit(to, &Exit::msg("from outside").to_region()).unwrap(),
            2 => _ = rt.register(name(n as i64), to),
            3 => _ = rt.unregister(name(n as i64)),
            4 | 7 | 8 => _ = store.put(LITERAL, Region::build(|h| h.list(0..n as i64 + 20))).unwrap(),
            5 => {
                // What comes back from the dead panics here.
                let send = || drop(rt.send_new(to, |h| term!(h, {op, peer, n, h.resource(OnDrop::panics())})));
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(send));
            }
            _ => {}
        }
        (0..random.below(4)).for_each(|_| _ = rt.step());
        if random.below(6) == 0 {
            rt.advance(Duration::from_millis(random.below(4) as u64));
            check(&rt, &book.lock().unwrap(), seed);
        }
        if random.below(8) == 0 {
            rt.run_until_idle();
            check(&rt, &book.lock().unwrap(), seed);
        }
    }
    rt.run_until_idle();
    check(&rt, &book.lock().unwrap(), seed);
    for (pid, limit) in limited {
        has_room(&rt, pid, limit, seed);
    }
    if seed.is_multiple_of(2) {
        // What is not due yet goes with the processes, or fires.
        rt.advance(Duration::from_millis(100));
        check(&rt, &book.lock().unwrap(), seed);
        assert_eq!(rt.timers(), 0, "seed {seed}: all were due");
    }
    for pid in rt.pids() {
        rt.kill(pid).unwrap();
    }
    rt.run_until_idle();
    check(&rt, &book.lock().unwrap(), seed);
    let left = (rt.processes(), rt.pids().len(), rt.registered().len(), rt.timers());
    assert_eq!(left, (0, 0, 0, 0), "seed {seed}");
    assert_eq!(ledger.made(), ledger.dropped(), "seed {seed}");
    store.erase(LITERAL);
    rt.run_until_idle();
    assert_eq!(store.info().retained_bytes, 0, "seed {seed}");
    book.lock().unwrap().trace.finish()
}

/// A program for each schedule; no two have the same turns.
#[test]
fn random_schedules_leave_everything_right() {
    let different: BTreeSet<_> = (0..SCHEDULES).map(|seed| schedule(seed, seed)).collect();
    assert_eq!(different.len() as u64, SCHEDULES);
}

/// Of one program a seed makes one schedule, and another seed another, as far as there is more than one.
#[test]
#[cfg_attr(miri, ignore = "too few of them")]
fn a_seed_makes_a_schedule() {
    const SEEDS: u64 = 20;
    let different = |program| (0..SEEDS).map(|seed| schedule(program, seed)).collect::<BTreeSet<_>>().len();
    let different: Vec<_> = (0..20).map(different).collect();
    assert!(different.iter().filter(|&&n| n as u64 == SEEDS).count() > 10, "{different:?}");
}

/// The traces of some schedules.
fn traces() -> Vec<u64> {
    (0..200).map(|seed| schedule(seed, seed)).collect()
}

const TRACES: &str = "traces: ";

#[test]
#[ignore = "run by `the_same_seed_is_the_same_schedule_in_another_program`"]
fn prints_its_traces() {
    println!("{TRACES}{:?}", traces());
}

/// Whatever differs from one run of a program to the next, and in one of them from one time to the next: where memory lies,
/// secrets of hash tables, what pids and references are.
#[test]
#[cfg_attr(miri, ignore = "starts a program")]
fn the_same_seed_is_the_same_schedule_in_another_program() {
    let here = format!("{:?}", traces());
    let mut program = Command::new(std::env::current_exe().unwrap());
    let printed = program.args(["--exact", "prints_its_traces", "--ignored", "--nocapture"]).output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    let there = printed.lines().find_map(|line| Some(line.split_once(TRACES)?.1)).expect("its traces");
    assert_eq!(here, there);
    assert_eq!(here, format!("{:?}", traces()));
}

/// Who is linked to many, or monitored by many, tells them in the same order in each run, whatever their pids are.
#[test]
fn the_same_seed_is_the_same_order_of_many() {
    let order = |links: bool| {
        let mut rt = Runtime::deterministic(5);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let hub = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
        for i in 0..100 {
            let told = from_fns(
                move |cx| {
                    cx.trap_exits(true);
                    if links {
                        cx.link(hub);
                    } else {
                        _ = cx.monitor(hub);
                    }
                    cx.nil()
                },
                |_, s, _| Ok(Next(s)),
                move |cx, s, _| {
                    cx.send(me, cx.int(i));
                    Ok(Next(s))
                },
            );
            rt.spawn(told).unwrap();
        }
        rt.run_until_idle();
        rt.kill(hub).unwrap();
        rt.run_until_idle();
        std::iter::from_fn(|| port.try_recv()).map(|m| m.root().as_int().unwrap()).collect::<Vec<i64>>()
    };
    for links in [true, false] {
        let first = order(links);
        assert_eq!(first.len(), 100);
        (0..5).for_each(|_| assert_eq!(order(links), first));
    }
}
