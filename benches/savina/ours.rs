//! Processes of this library. What a process knows of others is in its state where Erlang would have it there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use shared_term::prelude::*;

use crate::work::{
    COST, CREATED, HOPS, ITEMS, PEERS, PINGS, PRODUCERS, Program, QUESTIONS, RING, ROOM, TASKS, Tally, WORKERS, compute,
};
use crate::{Contender, threads};

const END: Atom = Atom::inline("end");
const PONG: Atom = Atom::inline("pong");
const DONE: Atom = Atom::inline("done");
const PRODUCE: Atom = Atom::inline("produce");

pub(crate) struct SharedTerm(Runtime);

impl Contender for SharedTerm {
    const NAME: &'static str = "shared-term";

    fn new() -> Self {
        Self(Runtime::builder().workers(threads()).build().expect("threads can be had"))
    }

    fn start(&self, program: Program, result: Sender<u64>) {
        let started = match program {
            Program::PingPong => self.0.spawn(Start(Some(result), ping_pong)),
            Program::ThreadRing => self.0.spawn(Start(Some(result), thread_ring)),
            Program::ForkJoinCreate => self.0.spawn(Create { next: 0, tally: Tally::new(CREATED, result) }),
            Program::ForkJoinThroughput => self.0.spawn(Throughput { sent: 0, workers: Vec::new(), result }),
            Program::Big => self.0.spawn(Start(Some(result), big)),
            Program::BoundedBuffer => self.0.spawn(Start(Some(result), bounded_buffer)),
        };
        started.expect("there is room");
    }
}

/// Starts the processes of a program, in one turn.
struct Start(Option<Sender<u64>>, for<'h> fn(Cx<'h>, Sender<u64>) -> Result<(), Exit>);

impl Process for Start {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        if let Some(result) = self.0.take() {
            (self.1)(cx, result)?;
        }
        Err(Exit::NORMAL)
    }

    fn receive<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Err(Exit::NORMAL)
    }
}

fn number(cx: Cx<'_>, n: u64) -> Term<'_> {
    cx.int(n as i64)
}

// pingpong

fn ping_pong(cx: Cx<'_>, result: Sender<u64>) -> Result<(), Exit> {
    // Its state is its partner.
    let pong = cx.spawn_fn(
        |cx| cx.nil(),
        |cx, partner, message| {
            if let Some(partner) = message.as_pid() {
                return Ok(Next(cx.pid(partner)));
            }
            if message == END {
                return Ok(Stop(Exit::NORMAL));
            }
            cx.send(partner.get()?, message);
            Ok(Next(partner))
        },
    )?;
    cx.spawn(Ping { pong, sum: 0, result })?;
    Ok(())
}

struct Ping {
    pong: Pid,
    sum: u64,
    result: Sender<u64>,
}

impl Process for Ping {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        cx.send(self.pong, cx.pid(cx.me()));
        cx.send(self.pong, cx.int(1));
        Ok(cx.nil())
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let n = message.get::<u64>()?;
        self.sum += n;
        if n < PINGS {
            cx.send(self.pong, number(cx, n + 1));
            return Ok(Next(state));
        }
        cx.send(self.pong, cx.atom(END));
        self.result.send(self.sum)?;
        Ok(Stop(Exit::NORMAL))
    }
}

// threadring

/// Its state is the next one.
struct Member {
    index: u64,
    last: bool,
    result: Sender<u64>,
}

impl Process for Member {
    fn receive<'h>(&mut self, cx: Cx<'h>, next: Term<'h>, message: Term<'h>) -> Turn<'h> {
        if let Some(next) = message.as_pid() {
            return Ok(Next(cx.pid(next)));
        }
        match message.as_int() {
            Some(0) => {
                self.last = true;
                cx.send(next.get()?, cx.atom(END));
            }
            Some(left) => cx.send(next.get()?, cx.int(left - 1)),
            // Once round, so that all have ended.
            None if self.last => {
                self.result.send(self.index)?;
                return Ok(Stop(Exit::NORMAL));
            }
            None => {
                cx.send(next.get()?, cx.atom(END));
                return Ok(Stop(Exit::NORMAL));
            }
        }
        Ok(Next(next))
    }
}

fn thread_ring(cx: Cx<'_>, result: Sender<u64>) -> Result<(), Exit> {
    let member = move |index| cx.spawn(Member { index, last: false, result: result.clone() });
    let members = (0..RING).map(member).collect::<Result<Vec<_>, _>>()?;
    for (i, &member) in members.iter().enumerate() {
        cx.send(member, cx.pid(members[(i + 1) % members.len()]));
    }
    cx.send(members[0], number(cx, HOPS));
    Ok(())
}

// fjcreate, fjthrput

struct Create {
    next: u64,
    tally: Arc<Tally>,
}

impl Process for Create {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        cx.send(cx.me(), cx.nil());
        Ok(cx.nil())
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        while self.next < CREATED {
            let tally = Arc::clone(&self.tally);
            let child = cx.spawn_fn(
                |cx| cx.nil(),
                move |_, _, i| {
                    tally.add(compute(i.get()?, 1))?;
                    Ok(Stop(Exit::NORMAL))
                },
            )?;
            cx.send(child, number(cx, self.next));
            self.next += 1;
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        Ok(Stop(Exit::NORMAL))
    }
}

struct Throughput {
    sent: u64,
    workers: Vec<Pid>,
    result: Sender<u64>,
}

impl Process for Throughput {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        let tally = Tally::new(WORKERS, self.result.clone());
        for _ in 0..WORKERS {
            self.workers.push(cx.spawn(Worker { left: TASKS, sum: 0, tally: Arc::clone(&tally) })?);
        }
        cx.send(cx.me(), cx.nil());
        Ok(cx.nil())
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.resume(cx, state)
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        while self.sent < WORKERS * TASKS {
            let worker = self.workers[(self.sent % WORKERS) as usize];
            cx.send(worker, number(cx, self.sent / WORKERS));
            self.sent += 1;
            if cx.should_yield() {
                return Ok(Again(state));
            }
        }
        Ok(Stop(Exit::NORMAL))
    }
}

struct Worker {
    left: u64,
    sum: u64,
    tally: Arc<Tally>,
}

impl Process for Worker {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, task: Term<'h>) -> Turn<'h> {
        self.sum += compute(task.get()?, 1);
        self.left -= 1;
        if self.left > 0 {
            return Ok(Next(state));
        }
        self.tally.add(self.sum)?;
        Ok(Stop(Exit::NORMAL))
    }
}

// big: a question is the pid of who asks.

/// Its state is a tuple of all.
struct Peer {
    chance: u64,
    left: u64,
    answered: u64,
    sink: Pid,
}

impl Peer {
    /// Asks somebody, or says that nothing is left to ask.
    fn ask<'h>(&mut self, cx: Cx<'h>, peers: Term<'h>) -> Result<(), Exit> {
        if self.left == 0 {
            cx.send(self.sink, cx.atom(DONE));
            return Ok(());
        }
        self.left -= 1;
        self.chance = compute(self.chance, 1);
        // The low bits of such a generator are no chance.
        let other = (self.chance >> 12) % PEERS;
        let other = peers.as_tuple().and_then(|peers| peers.get(other as usize)).ok_or(Exit::msg("no peers"))?;
        cx.send(other.get()?, cx.pid(cx.me()));
        Ok(())
    }
}

impl Process for Peer {
    fn receive<'h>(&mut self, cx: Cx<'h>, peers: Term<'h>, message: Term<'h>) -> Turn<'h> {
        if let Some(asker) = message.as_pid() {
            self.answered += 1;
            cx.send(asker, cx.atom(PONG));
        } else if message == PONG {
            self.ask(cx, peers)?;
        } else if message == END {
            cx.send(self.sink, number(cx, self.answered));
            return Ok(Stop(Exit::NORMAL));
        } else {
            self.ask(cx, message)?;
            return Ok(Next(message));
        }
        Ok(Next(peers))
    }
}

/// Its state is a tuple of all.
struct Sink {
    done: u64,
    ended: u64,
    answered: u64,
    result: Sender<u64>,
}

impl Process for Sink {
    fn receive<'h>(&mut self, cx: Cx<'h>, peers: Term<'h>, message: Term<'h>) -> Turn<'h> {
        if message == DONE {
            self.done += 1;
            if self.done == PEERS {
                for peer in peers.as_tuple().unwrap_or_default() {
                    cx.send(peer.get()?, cx.atom(END));
                }
            }
        } else if message.as_int().is_some() {
            self.answered += message.get::<u64>()?;
            self.ended += 1;
            if self.ended == PEERS {
                self.result.send(self.answered)?;
                return Ok(Stop(Exit::NORMAL));
            }
        } else {
            return Ok(Next(message));
        }
        Ok(Next(peers))
    }
}

fn big(cx: Cx<'_>, result: Sender<u64>) -> Result<(), Exit> {
    let sink = cx.spawn(Sink { done: 0, ended: 0, answered: 0, result })?;
    let peer = |chance| cx.spawn(Peer { chance, left: QUESTIONS, answered: 0, sink }).map(|pid| cx.pid(pid));
    let peers = (0..PEERS).map(peer).collect::<Result<Vec<_>, _>>()?;
    let all = cx.tuple(&peers);
    cx.send(sink, all);
    for peer in peers {
        cx.send(peer.get()?, all);
    }
    Ok(())
}

// bndbuffer. To the manager: `{Producers, Consumers}`; `{Producer, Item}`; a consumer that is free; `done`, of a producer
// that has made all that it had to make; and what a consumer has seen, an integer.

struct Manager {
    items: VecDeque<i64>,
    producers: Vec<Pid>,
    consumers: Vec<Pid>,
    all_consumers: Vec<Pid>,
    ended: u64,
    heard: u64,
    sum: u64,
    result: Sender<u64>,
}

impl Manager {
    fn data(&mut self, cx: Cx<'_>, producer: Pid, item: i64) {
        match self.consumers.pop() {
            Some(consumer) => cx.send(consumer, cx.int(item)),
            None => self.items.push_back(item),
        }
        if self.items.len() as u64 >= ROOM {
            self.producers.push(producer);
        } else {
            cx.send(producer, cx.atom(PRODUCE));
        }
    }

    fn free(&mut self, cx: Cx<'_>, consumer: Pid) {
        let Some(item) = self.items.pop_front() else {
            return self.consumers.push(consumer);
        };
        cx.send(consumer, cx.int(item));
        if let Some(producer) = self.producers.pop() {
            cx.send(producer, cx.atom(PRODUCE));
        }
    }
}

impl Process for Manager {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        if let Ok((producer, item)) = message.get() {
            self.data(cx, producer, item);
        } else if let Some(consumer) = message.as_pid() {
            self.free(cx, consumer);
        } else if message == DONE {
            self.ended += 1;
        } else if message.as_int().is_some() {
            self.sum += message.get::<u64>()?;
            self.heard += 1;
            if self.heard == PRODUCERS {
                self.result.send(self.sum)?;
                return Ok(Stop(Exit::NORMAL));
            }
        } else {
            let (producers, consumers): (Vec<Pid>, Vec<Pid>) = message.get()?;
            self.consumers.clone_from(&consumers);
            self.all_consumers = consumers;
            for producer in producers {
                cx.send(producer, cx.atom(PRODUCE));
            }
        }
        if self.ended == PRODUCERS && self.consumers.len() as u64 == PRODUCERS {
            self.consumers.clear();
            for &consumer in &self.all_consumers {
                cx.send(consumer, cx.atom(END));
            }
        }
        Ok(Next(state))
    }
}

struct Producer {
    next: u64,
    end: u64,
    manager: Pid,
}

impl Process for Producer {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        if self.next == self.end {
            cx.send(self.manager, cx.atom(DONE));
            return Ok(Stop(Exit::NORMAL));
        }
        let item = compute(self.next, COST);
        self.next += 1;
        cx.send(self.manager, cx.tuple(&[cx.pid(cx.me()), number(cx, item)]));
        Ok(Next(state))
    }
}

struct Consumer {
    sum: u64,
    manager: Pid,
}

impl Process for Consumer {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        if message == END {
            cx.send(self.manager, number(cx, self.sum));
            return Ok(Stop(Exit::NORMAL));
        }
        self.sum += compute(message.get()?, COST);
        cx.send(self.manager, cx.pid(cx.me()));
        Ok(Next(state))
    }
}

fn bounded_buffer(cx: Cx<'_>, result: Sender<u64>) -> Result<(), Exit> {
    let manager = cx.spawn(Manager {
        items: VecDeque::new(),
        producers: Vec::new(),
        consumers: Vec::new(),
        all_consumers: Vec::new(),
        ended: 0,
        heard: 0,
        sum: 0,
        result,
    })?;
    let producer = |i| cx.spawn(Producer { next: i * ITEMS, end: (i + 1) * ITEMS, manager }).map(|pid| cx.pid(pid));
    let producers = (0..PRODUCERS).map(producer).collect::<Result<Vec<_>, _>>()?;
    let consumer = |_| cx.spawn(Consumer { sum: 0, manager }).map(|pid| cx.pid(pid));
    let consumers = (0..PRODUCERS).map(consumer).collect::<Result<Vec<_>, _>>()?;
    cx.send(manager, cx.tuple(&[cx.list(producers), cx.list(consumers)]));
    Ok(())
}
