//! What is done, how much of it, and what must come out. Every contender has these figures; the Erlang module is
//! compiled with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SendError, Sender};

/// Messages that one process sends another and gets back.
pub(crate) const PINGS: u64 = 5_000;
/// Members of the ring.
pub(crate) const RING: u64 = 100;
/// Hops of the token.
pub(crate) const HOPS: u64 = 10_000;
/// Processes that do one thing each.
pub(crate) const CREATED: u64 = 5_000;
/// Processes that do many things each,
pub(crate) const WORKERS: u64 = 60;
/// and how many.
pub(crate) const TASKS: u64 = 500;
/// Processes that each have questions for others,
pub(crate) const PEERS: u64 = 60;
/// and how many.
pub(crate) const QUESTIONS: u64 = 200;
/// Those who put something into the buffer; as many take it out.
pub(crate) const PRODUCERS: u64 = 20;
/// What each of them puts there.
pub(crate) const ITEMS: u64 = 100;
/// What waits in the buffer before producers have to, beside one item of each producer.
pub(crate) const ROOM: u64 = 30;
/// Steps of computation that an item costs its producer, and its consumer.
pub(crate) const COST: u64 = 100;

pub(crate) const PARAMETERS: &[(&str, u64)] = &[
    ("PINGS", PINGS),
    ("RING", RING),
    ("HOPS", HOPS),
    ("CREATED", CREATED),
    ("WORKERS", WORKERS),
    ("TASKS", TASKS),
    ("PEERS", PEERS),
    ("QUESTIONS", QUESTIONS),
    ("PRODUCERS", PRODUCERS),
    ("ITEMS", ITEMS),
    ("ROOM", ROOM),
    ("COST", COST),
];

/// Something to compute, on integers that no contender has to box: steps of a linear congruential generator.
#[inline]
pub(crate) fn compute(seed: u64, steps: u64) -> u64 {
    (0..steps).fold(seed, |x, _| (x * 1_103_515_245 + 12_345) % (1 << 27))
}

/// One of Savina's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    PingPong,
    ThreadRing,
    ForkJoinCreate,
    ForkJoinThroughput,
    Big,
    BoundedBuffer,
}

impl Program {
    pub(crate) const ALL: [Program; 6] = [
        Program::PingPong,
        Program::ThreadRing,
        Program::ForkJoinCreate,
        Program::ForkJoinThroughput,
        Program::Big,
        Program::BoundedBuffer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::PingPong => "pingpong",
            Program::ThreadRing => "threadring",
            Program::ForkJoinCreate => "fjcreate",
            Program::ForkJoinThroughput => "fjthrput",
            Program::Big => "big",
            Program::BoundedBuffer => "bndbuffer",
        }
    }

    /// Messages that a run sends, those of its beginning and end left out; processes where there is one message each.
    pub(crate) fn messages(self) -> u64 {
        match self {
            Program::PingPong => 2 * PINGS,
            Program::ThreadRing => HOPS,
            Program::ForkJoinCreate => CREATED,
            Program::ForkJoinThroughput => WORKERS * TASKS,
            Program::Big => 2 * PEERS * QUESTIONS,
            // To produce, what was produced, the same for a consumer, who is free again.
            Program::BoundedBuffer => 4 * PRODUCERS * ITEMS,
        }
    }

    /// What a run must give.
    pub(crate) fn result(self) -> u64 {
        match self {
            // What the first gets back, added up.
            Program::PingPong => PINGS * (PINGS + 1) / 2,
            // The member that the token ends at.
            Program::ThreadRing => HOPS % RING,
            Program::ForkJoinCreate => (0..CREATED).map(|i| compute(i, 1)).sum(),
            Program::ForkJoinThroughput => WORKERS * (0..TASKS).map(|i| compute(i, 1)).sum::<u64>(),
            // Questions that were answered.
            Program::Big => PEERS * QUESTIONS,
            Program::BoundedBuffer => {
                let items = (0..PRODUCERS * ITEMS).map(|i| compute(i, COST));
                items.map(|item| compute(item, COST)).sum()
            }
        }
    }
}

/// A sum to which each of so many adds once; the last one tells.
pub(crate) struct Tally {
    sum: AtomicU64,
    left: AtomicU64,
    result: Sender<u64>,
}

impl Tally {
    pub(crate) fn new(parts: u64, result: Sender<u64>) -> Arc<Self> {
        Arc::new(Self { sum: AtomicU64::new(0), left: AtomicU64::new(parts), result })
    }

    pub(crate) fn add(&self, part: u64) -> Result<(), SendError<u64>> {
        self.sum.fetch_add(part, Ordering::AcqRel);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.result.send(self.sum.load(Ordering::Acquire))?;
        }
        Ok(())
    }
}
