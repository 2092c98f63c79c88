//! The programs as Rust actors, written once for each system that has a mailbox with an address.
//!
//! A message is moved, and an actor is a function on its state.

use std::collections::VecDeque;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::mpsc::{SendError, Sender};

use crate::work::{
    COST, CREATED, HOPS, ITEMS, PEERS, PINGS, PRODUCERS, Program, QUESTIONS, RING, ROOM, TASKS, Tally, WORKERS, compute,
};

/// What starts actors and brings them messages.
pub(crate) trait System: Sized + 'static {
    type To<M: Send + 'static>: Clone + Send + Sync + 'static;

    fn start<M: Send + 'static, S: Send + 'static>(
        state: S,
        receive: Receive<Self, M, S>,
    ) -> impl Future<Output = Self::To<M>> + Send;

    /// One that has ended gets nothing.
    fn send<M: Send + 'static>(to: &Self::To<M>, message: M);
}

/// What an actor does with a message: its own address, its state, the message. It ends when it says so.
pub(crate) type Receive<Y, M, S> = fn(&<Y as System>::To<M>, &mut S, M) -> ControlFlow<()>;

/// Starts a program, in a task of the system.
pub(crate) async fn run<Y: System>(program: Program, result: Sender<u64>) {
    match program {
        Program::PingPong => ping_pong::<Y>(result).await,
        Program::ThreadRing => thread_ring::<Y>(result).await,
        Program::ForkJoinCreate => fork_join_create::<Y>(result).await,
        Program::ForkJoinThroughput => fork_join_throughput::<Y>(result).await,
        Program::Big => big::<Y>(result).await,
        Program::BoundedBuffer => bounded_buffer::<Y>(result).await,
    }
}

fn tell(result: &Sender<u64>, sum: u64) {
    told(result.send(sum));
}

fn told(sent: Result<(), SendError<u64>>) {
    sent.expect("somebody waits for the result");
}

// pingpong

enum Ball<Y: System> {
    Play(Y::To<Ball<Y>>),
    At(u64),
    End,
}

struct Player<Y: System> {
    other: Option<Y::To<Ball<Y>>>,
    sum: u64,
    result: Sender<u64>,
}

async fn ping_pong<Y: System>(result: Sender<u64>) {
    let player = |result| Player::<Y> { other: None, sum: 0, result };
    let pong = Y::start(player(result.clone()), |_, me, ball| {
        match (ball, &me.other) {
            (Ball::Play(other), _) => me.other = Some(other),
            (Ball::At(n), Some(other)) => Y::send(other, Ball::At(n)),
            _ => return Break(()),
        }
        Continue(())
    })
    .await;
    let ping = Y::start(player(result), |to_me, me, ball| {
        let next = match ball {
            Ball::Play(other) => {
                Y::send(&other, Ball::Play(to_me.clone()));
                me.other = Some(other);
                1
            }
            Ball::At(n) => {
                me.sum += n;
                n + 1
            }
            Ball::End => return Break(()),
        };
        let Some(other) = &me.other else { return Break(()) };
        if next <= PINGS {
            Y::send(other, Ball::At(next));
            return Continue(());
        }
        Y::send(other, Ball::End);
        tell(&me.result, me.sum);
        Break(())
    })
    .await;
    Y::send(&ping, Ball::Play(pong));
}

// threadring

enum Token<Y: System> {
    Next(Y::To<Token<Y>>),
    Left(u64),
    End,
}

struct Member<Y: System> {
    index: u64,
    next: Option<Y::To<Token<Y>>>,
    last: bool,
    result: Sender<u64>,
}

async fn thread_ring<Y: System>(result: Sender<u64>) {
    let mut next = None;
    let mut closes = None;
    for index in (0..RING).rev() {
        let member = Member::<Y> { index, next: next.take(), last: false, result: result.clone() };
        let to = Y::start(member, |_, me, token| {
            let pass = match token {
                Token::Next(next) => {
                    me.next = Some(next);
                    return Continue(());
                }
                Token::Left(0) => {
                    me.last = true;
                    Token::End
                }
                Token::Left(left) => Token::Left(left - 1),
                // Once round, so that all have ended.
                Token::End if me.last => {
                    tell(&me.result, me.index);
                    return Break(());
                }
                Token::End => Token::End,
            };
            let ends = matches!(pass, Token::End) && !me.last;
            let Some(next) = &me.next else { return Break(()) };
            Y::send(next, pass);
            if ends { Break(()) } else { Continue(()) }
        })
        .await;
        closes.get_or_insert_with(|| to.clone());
        next = Some(to);
    }
    let (Some(first), Some(last)) = (next, closes) else { return };
    Y::send(&last, Token::Next(first.clone()));
    Y::send(&first, Token::Left(HOPS));
}

// fjcreate, fjthrput

async fn fork_join_create<Y: System>(result: Sender<u64>) {
    let tally = Tally::new(CREATED, result);
    for i in 0..CREATED {
        let to = Y::start(Arc::clone(&tally), |_, tally, i| {
            told(tally.add(compute(i, 1)));
            Break(())
        })
        .await;
        Y::send(&to, i);
    }
}

struct Worker {
    left: u64,
    sum: u64,
    tally: Arc<Tally>,
}

async fn fork_join_throughput<Y: System>(result: Sender<u64>) {
    let tally = Tally::new(WORKERS, result);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let worker = Worker { left: TASKS, sum: 0, tally: Arc::clone(&tally) };
        let to = Y::start(worker, |_, me, task| {
            me.sum += compute(task, 1);
            me.left -= 1;
            if me.left > 0 {
                return Continue(());
            }
            told(me.tally.add(me.sum));
            Break(())
        });
        workers.push(to.await);
    }
    for task in 0..TASKS {
        for worker in &workers {
            Y::send(worker, task);
        }
    }
}

// big

enum Question<Y: System> {
    Begin(Peers<Y>),
    Ping(Y::To<Question<Y>>),
    Pong,
    End,
}

type Peers<Y> = Arc<[<Y as System>::To<Question<Y>>]>;

struct Peer<Y: System> {
    chance: u64,
    left: u64,
    answered: u64,
    peers: Option<Peers<Y>>,
    sink: Y::To<Report<Y>>,
}

enum Report<Y: System> {
    Peers(Peers<Y>),
    Done,
    Answered(u64),
}

struct Sink<Y: System> {
    peers: Option<Peers<Y>>,
    done: u64,
    ended: u64,
    answered: u64,
    result: Sender<u64>,
}

impl<Y: System> Peer<Y> {
    /// Asks somebody, or says that nothing is left to ask.
    fn ask(&mut self, me: &Y::To<Question<Y>>) {
        if self.left == 0 {
            return Y::send(&self.sink, Report::Done);
        }
        self.left -= 1;
        self.chance = compute(self.chance, 1);
        // The low bits of such a generator are no chance.
        let other = (self.chance >> 12) % PEERS;
        if let Some(peers) = &self.peers {
            Y::send(&peers[other as usize], Question::Ping(me.clone()));
        }
    }
}

async fn big<Y: System>(result: Sender<u64>) {
    let sink = Sink::<Y> { peers: None, done: 0, ended: 0, answered: 0, result };
    let sink = Y::start(sink, |_, me, report| {
        match (report, &me.peers) {
            (Report::Peers(peers), _) => me.peers = Some(peers),
            (Report::Done, Some(peers)) => {
                me.done += 1;
                if me.done == PEERS {
                    peers.iter().for_each(|peer| Y::send(peer, Question::End));
                }
            }
            (Report::Answered(n), _) => {
                me.answered += n;
                me.ended += 1;
                if me.ended == PEERS {
                    tell(&me.result, me.answered);
                    return Break(());
                }
            }
            (Report::Done, None) => return Break(()),
        }
        Continue(())
    })
    .await;
    let mut peers = Vec::new();
    for chance in 0..PEERS {
        let peer = Peer::<Y> { chance, left: QUESTIONS, answered: 0, peers: None, sink: sink.clone() };
        let to = Y::start(peer, |to_me, me, question| {
            match question {
                Question::Begin(peers) => {
                    me.peers = Some(peers);
                    me.ask(to_me);
                }
                Question::Ping(from) => {
                    me.answered += 1;
                    Y::send(&from, Question::Pong);
                }
                Question::Pong => me.ask(to_me),
                Question::End => {
                    Y::send(&me.sink, Report::Answered(me.answered));
                    return Break(());
                }
            }
            Continue(())
        });
        peers.push(to.await);
    }
    let peers: Peers<Y> = peers.into();
    Y::send(&sink, Report::Peers(Arc::clone(&peers)));
    for peer in &*peers {
        Y::send(peer, Question::Begin(Arc::clone(&peers)));
    }
}

// bndbuffer

enum Store<Y: System> {
    Data(Y::To<Produce>, u64),
    Free(Y::To<Consume>),
    Producers(Vec<Y::To<Produce>>),
    Consumers(Vec<Y::To<Consume>>),
    /// A producer has made all that it had to make.
    Ended,
    /// What a consumer has seen.
    Seen(u64),
}

struct Produce;

enum Consume {
    Item(u64),
    End,
}

struct Manager<Y: System> {
    items: VecDeque<u64>,
    producers: Vec<Y::To<Produce>>,
    consumers: Vec<Y::To<Consume>>,
    all_consumers: Vec<Y::To<Consume>>,
    ended: u64,
    heard: u64,
    sum: u64,
    result: Sender<u64>,
}

impl<Y: System> Manager<Y> {
    fn receive(&mut self, message: Store<Y>) -> ControlFlow<()> {
        match message {
            Store::Consumers(all) => {
                self.consumers.clone_from(&all);
                self.all_consumers = all;
            }
            Store::Producers(all) => all.iter().for_each(|producer| Y::send(producer, Produce)),
            Store::Data(producer, item) => {
                match self.consumers.pop() {
                    Some(consumer) => Y::send(&consumer, Consume::Item(item)),
                    None => self.items.push_back(item),
                }
                if self.items.len() as u64 >= ROOM {
                    self.producers.push(producer);
                } else {
                    Y::send(&producer, Produce);
                }
            }
            Store::Free(consumer) => match self.items.pop_front() {
                Some(item) => {
                    Y::send(&consumer, Consume::Item(item));
                    if let Some(producer) = self.producers.pop() {
                        Y::send(&producer, Produce);
                    }
                }
                None => self.consumers.push(consumer),
            },
            Store::Ended => self.ended += 1,
            Store::Seen(sum) => {
                self.sum += sum;
                self.heard += 1;
                if self.heard == PRODUCERS {
                    tell(&self.result, self.sum);
                    return Break(());
                }
            }
        }
        if self.ended == PRODUCERS && self.consumers.len() as u64 == PRODUCERS {
            self.consumers.clear();
            self.all_consumers.iter().for_each(|consumer| Y::send(consumer, Consume::End));
        }
        Continue(())
    }
}

struct Producer<Y: System> {
    next: u64,
    end: u64,
    manager: Y::To<Store<Y>>,
}

struct Consumer<Y: System> {
    sum: u64,
    manager: Y::To<Store<Y>>,
}

async fn bounded_buffer<Y: System>(result: Sender<u64>) {
    let manager = Manager::<Y> {
        items: VecDeque::new(),
        producers: Vec::new(),
        consumers: Vec::new(),
        all_consumers: Vec::new(),
        ended: 0,
        heard: 0,
        sum: 0,
        result,
    };
    let manager = Y::start(manager, |_, me, message| me.receive(message)).await;
    let (mut producers, mut consumers) = (Vec::new(), Vec::new());
    for i in 0..PRODUCERS {
        let consumer = Consumer::<Y> { sum: 0, manager: manager.clone() };
        let to = Y::start(consumer, |to_me, me, message| match message {
            Consume::Item(item) => {
                me.sum += compute(item, COST);
                Y::send(&me.manager, Store::Free(to_me.clone()));
                Continue(())
            }
            Consume::End => {
                Y::send(&me.manager, Store::Seen(me.sum));
                Break(())
            }
        });
        consumers.push(to.await);
        let producer = Producer::<Y> { next: i * ITEMS, end: (i + 1) * ITEMS, manager: manager.clone() };
        let to = Y::start(producer, |to_me, me, Produce| {
            if me.next == me.end {
                Y::send(&me.manager, Store::Ended);
                return Break(());
            }
            let item = compute(me.next, COST);
            me.next += 1;
            Y::send(&me.manager, Store::Data(to_me.clone(), item));
            Continue(())
        });
        producers.push(to.await);
    }
    Y::send(&manager, Store::Consumers(consumers));
    Y::send(&manager, Store::Producers(producers));
}
