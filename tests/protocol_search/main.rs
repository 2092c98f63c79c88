//! An exhaustive search of the protocol of the global collection: every interleaving of two processes on two workers, a
//! thread outside with a guard and a lease, and the collector, over two areas of which one leans on the other.
//!
//! The model is of the protocol, not of the code: one atomic operation is one step, memory is sequentially consistent
//! but for the marks of areas, which a thread may miss until its next boundary. (Orderings are what `loom-tests/` is
//! for, on the production code.) It searches further than any run of the code can, and it has to find each fault of
//! [`Fault`] that is planted in it.
//!
//! Small bounds run with the tests. All of it, in some minutes and gigabytes, with the number of states and with traces:
//!
//! ```text
//! cargo test --profile loom --test protocol_search -- --ignored --nocapture
//! ```

mod state;
mod steps;

use state::State;
use std::fmt::Write;
use steps::{Bounds, Fault, Protocol, start, wrong, wrong_end};

/// States by number, each with the one that led to it; found by value through a table of numbers.
#[derive(Default)]
struct Found {
    states: Vec<(u64, u64, u32)>,
    table: Vec<u32>,
}

impl Found {
    /// Keeps a state that is new; was it?
    fn insert(&mut self, state: u128, from: u32) -> bool {
        if self.states.len() * 2 >= self.table.len() {
            self.grow();
        }
        let slot = self.slot(state);
        if self.table[slot] != u32::MAX {
            return false;
        }
        self.table[slot] = self.states.len() as u32;
        self.states.push((state as u64, (state >> 64) as u64, from));
        true
    }

    fn state(&self, number: usize) -> u128 {
        let (low, high, _) = self.states[number];
        u128::from(high) << 64 | u128::from(low)
    }

    fn slot(&self, state: u128) -> usize {
        let mask = self.table.len() - 1;
        let mixed = (state as u64 ^ ((state >> 64) as u64).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut slot = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as usize >> 20 & mask;
        while self.table[slot] != u32::MAX && self.state(self.table[slot] as usize) != state {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.table = vec![u32::MAX; (self.table.len() * 2).max(1 << 16)];
        for number in 0..self.states.len() {
            let slot = self.slot(self.state(number));
            self.table[slot] = number as u32;
        }
    }

    /// How a state came about, step by step.
    fn trace(&self, protocol: Protocol, mut number: usize) -> String {
        let mut steps = Vec::new();
        while number > 0 {
            let (_, _, from) = self.states[number];
            let after = self.state(number);
            let mut name = String::new();
            protocol.steps(&State::unpack(self.state(from as usize)), &mut |step, state| {
                if state.pack() == after && name.is_empty() {
                    name = step.to_string();
                }
            });
            steps.push(name);
            number = from as usize;
        }
        steps.iter().rev().enumerate().fold(String::new(), |mut text, (i, step)| {
            let _ = write!(text, "\n  {:2}. {step}", i + 1);
            text
        })
    }
}

struct Searched {
    states: usize,
    ends: usize,
    wrong: Option<String>,
}

/// Looks at every state that can be reached, nearest first, until one is wrong.
fn search(protocol: Protocol, bounds: Bounds) -> Searched {
    let mut found = Found::default();
    found.insert(start(protocol, bounds).pack(), 0);
    let (mut at, mut ends) = (0, 0);
    while at < found.states.len() {
        let state = State::unpack(found.state(at));
        let mut last = true;
        let mut fault = wrong(protocol, &state);
        if fault.is_none() {
            protocol.steps(&state, &mut |_, next| {
                last = false;
                found.insert(next.pack(), at as u32);
            });
            if last {
                ends += 1;
                fault = wrong_end(&state);
            }
        }
        if let Some(fault) = fault {
            let wrong = Some(format!("{fault}:{}", found.trace(protocol, at)));
            return Searched { states: found.states.len(), ends, wrong };
        }
        at += 1;
    }
    Searched { states: found.states.len(), ends, wrong: None }
}

/// The ways in which the collection can go about it.
const EAGER: Protocol = Protocol { fault: None, lazy: false, inspect: false, apart: false };
const LOOK: Protocol = Protocol { inspect: true, ..EAGER };
const LAZY: Protocol = Protocol { lazy: true, ..LOOK };
const APART: Protocol = Protocol { apart: true, ..LAZY };
const WAYS: [(&str, Protocol); 4] = [
    ("eager", EAGER),
    ("eager, with a look before a question", LOOK),
    ("lazy", LAZY),
    ("lazy, two areas that have nothing to do with each other", APART),
];

fn holds(bounds: Bounds) {
    for (name, protocol) in WAYS {
        let found = search(protocol, bounds);
        println!("{name}, bounds {bounds:?}: {} states, {} ends", found.states, found.ends);
        if let Some(wrong) = found.wrong {
            panic!("{name}: {wrong}");
        }
        assert!(found.ends > 1, "{name}: a search without an end shows nothing");
    }
}

#[test]
fn the_protocol_holds_within_small_bounds() {
    holds([1, 1, 2]);
    holds([0, 1, 4]);
}

#[test]
#[ignore = "some minutes and gigabytes: by hand"]
fn the_protocol_holds_within_wide_bounds() {
    for bounds in [[3, 2, 2], [2, 2, 3], [2, 1, 5], [4, 2, 1]] {
        holds(bounds);
    }
    is_found(DEEP);
}

/// The faults, with the way of going about it in which they hurt, and bounds within which.
const FAULTS: [(Fault, Protocol, Bounds); 28] = [
    (Fault::NoGrace, EAGER, [0, 0, 3]),
    (Fault::ForeignNotInGrace, EAGER, [0, 0, 3]),
    (Fault::AskBeforeGrace, EAGER, [0, 0, 4]),
    (Fault::ScanFilterOnly, EAGER, [0, 0, 4]),
    (Fault::NoCountAtMark, EAGER, [2, 0, 4]),
    (Fault::NoCountAfterGrace, EAGER, [0, 0, 4]),
    (Fault::CountOnlyAfterGrace, EAGER, [2, 0, 4]),
    (Fault::OldFilterAtIdle, EAGER, [0, 0, 4]),
    (Fault::MessagesNotInFilter, EAGER, [0, 0, 4]),
    (Fault::EvacuateNoDrain, EAGER, [0, 0, 5]),
    (Fault::EvacuateForgetsMessages, EAGER, [0, 0, 4]),
    (Fault::EvacuateForgetsFilter, EAGER, [2, 0, 2]),
    (Fault::SendIgnoresMark, EAGER, [0, 1, 4]),
    (Fault::ForwardIgnoresMark, EAGER, [0, 1, 4]),
    (Fault::LeaseNotCounted, EAGER, [0, 0, 4]),
    (Fault::PutIgnoresMark, EAGER, [3, 0, 1]),
    (Fault::DependencyNotCounted, EAGER, [0, 0, 1]),
    (Fault::NoQueuedFlag, EAGER, [0, 0, 4]),
    (Fault::LastDropOutsideLock, EAGER, [2, 0, 2]),
    (Fault::NoteBeforePush, EAGER, [0, 0, 3]),
    (Fault::ClaimWithoutDrain, EAGER, [2, 0, 3]),
    (Fault::ExitNoAnswer, EAGER, [1, 0, 1]),
    (Fault::ExitAnswersTwice, EAGER, [1, 0, 1]),
    (Fault::DeadBeforeDrop, EAGER, [0, 1, 4]),
    (Fault::ParksOnline, EAGER, [0, 0, 1]),
    (Fault::InspectSkipsMessages, LOOK, [0, 0, 4]),
    (Fault::JoinsWithoutGrace, APART, [3, 0, 2]),
    (Fault::SparedForEver, LAZY, [0, 0, 1]),
];

/// Found only after some millions of states.
const DEEP: (Fault, Protocol, Bounds) = (Fault::InspectForgetsNote, LOOK, [3, 3, 1]);

fn is_found((fault, protocol, bounds): (Fault, Protocol, Bounds)) {
    let found = search(Protocol { fault: Some(fault), ..protocol }, bounds);
    let Some(wrong) = found.wrong else { panic!("{fault:?} is not found in {} states", found.states) };
    println!("{fault:?}, {} states: {wrong}\n", found.states);
}

#[test]
fn every_step_that_is_left_out_is_found() {
    FAULTS.into_iter().for_each(is_found);
}
