//! The copy put off until the owner ends (see [`lending`](crate::lending)).
//!
//! * A *send* passes a pointer into the owner's heap, and the owner notes the borrower.
//! * A *read* follows a pointer, as in the rows that copy: the terms are the same.
//! * A *replacement* ends the process that owns the old table. Who still holds it is stopped, and gets a copy; the old heap
//!   is freed when the last of them has it. Nobody else is visited. The new table is built off the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alloc::weigh;
use crate::lending::{Death, Held, Holder, Owner, Part};
use crate::measure::{PATIENCE, median, repeated};
use crate::mini_runtime::{Letter, MiniRuntime, spawn};
use crate::rows::minis::{RECEIVERS, Stage, WEIGHED, ask, check_term, read_term, reads, replacements, sends};
use crate::rows::{Bench, Clock};
use crate::table::{Figure, KEEPERS, Row};
use crate::term_table::{self, version};

pub(crate) const NAME: &str = "lent, copied at death";

type Runtime = MiniRuntime<Held>;

pub(crate) fn run(bench: &Bench) -> Result<Row, String> {
    let owner = owner(bench, 0)?;
    let runtime = Runtime::new(2);
    let readers = spawn(2);
    lend(&runtime, &owner, &readers)?;
    let (ns_read, ns_walk) = reads(bench, &runtime, &readers, |held: &Held, reader| {
        if let Some(table) = held.first() {
            read_term(table.root(), reader);
        }
    })?;
    let lend = |to: &Arc<Holder>| owner.lend(to).into_iter().collect();
    let ns_send = sends(bench, &spawn(RECEIVERS), lend)?;
    bench.progress.step("bytes per process");
    let bytes_per_process = Figure::Is(bytes_per_process(&owner)?);
    let bytes_kept = Figure::Is(bytes_kept(bench)?);
    bench.progress.step("A lends to B, B to C, B ends");
    let note = scene(bench)?;
    let (replace_us, pause_us) = replacements::<World>(bench)?;
    let words = term_table::region(&bench.document, 0)?.words();
    let words = Figure::count(words);
    Ok(Row {
        name: NAME,
        words,
        bytes_per_process,
        bytes_kept,
        ns_read,
        ns_walk,
        ns_send,
        replace_us,
        pause_us,
        collections: Figure::count(0),
        note,
    })
}

fn owner(bench: &Bench, version: u64) -> Result<Arc<Owner>, String> {
    term_table::region(&bench.document, version).map(Owner::new)
}

fn lend(runtime: &Runtime, owner: &Arc<Owner>, to: &[Arc<Holder>]) -> Result<(), String> {
    for holder in to {
        let part = owner.lend(holder).ok_or("the owner has ended")?;
        runtime.send(holder, Letter::Hold(vec![part]));
    }
    Ok(())
}

/// A record of each holder is part of what it costs.
fn bytes_per_process(owner: &Arc<Owner>) -> Result<f64, String> {
    let runtime = Runtime::new(0);
    let (lent, bytes) = weigh(|| {
        let holders = spawn(WEIGHED);
        lend(&runtime, owner, &holders)?;
        runtime.run_until_idle();
        Ok::<_, String>(holders)
    });
    Ok(bytes as f64 / lent?.len() as f64)
}

fn bytes_kept(bench: &Bench) -> Result<f64, String> {
    let (runtime, holders) = (Runtime::new(0), spawn(KEEPERS));
    let (ended, bytes) = weigh(|| {
        let owner = owner(bench, 0)?;
        lend(&runtime, &owner, &holders)?;
        runtime.run_until_idle();
        ended(&owner, KEEPERS)
    });
    ended.map(|_| bytes as f64)
}

/// Ends an owner whose value so many hold.
fn ended(owner: &Arc<Owner>, copies: usize) -> Result<(Death, Instant), String> {
    let death = owner.die();
    match death.freed {
        Some(freed) if death.copies == copies => Ok((death, freed)),
        _ => Err(format!("{copies} copies had to be made, and the value freed, and were not: {death:?}")),
    }
}

/// A has a table and lends it to B. B makes a table of its own, and sends both to C: C now borrows from A, whom it has
/// never heard of, and from B. Then B ends, first of the three.
fn scene(bench: &Bench) -> Result<String, String> {
    let runtime = Runtime::new(2);
    let (mut records, mut pauses) = ([[0; 3]; 2], Vec::new());
    let words = repeated(&bench.plan, bench.plan.rounds, || {
        let [b_holds, c] = <[_; 2]>::try_from(spawn(2)).unwrap_or_else(|_| unreachable!("two were asked for"));
        let (a, b) = (owner(bench, 1)?, owner(bench, 2)?);
        let parties = std::slice::from_ref(&c);
        lend(&runtime, &a, std::slice::from_ref(&b_holds))?;
        let (owner_b, to) = (Arc::clone(&b), Arc::clone(&c));
        let sent = ask(&runtime, &[Arc::clone(&b_holds)], move |held: &Held| {
            let [Part::Lent(from_a)] = &held[..] else { return None };
            Some(vec![from_a.lend_on(&to)?, owner_b.lend(&to)?])
        })?;
        let sent = sent.into_iter().next().flatten().ok_or("B could not lend on what it has")?;
        runtime.send(&c, Letter::Hold(sent));
        let held = || {
            ask(&runtime, parties, |held: &Held| {
                held.iter().map(|part| (version(part.root()), part.is_lent())).collect()
            })
        };
        let before: Vec<Vec<_>> = held()?;
        records[0] = [a.records(), b.records(), a.ledger_bytes() + b.ledger_bytes()];
        runtime.send(&b_holds, Letter::Forget);
        let (death, _) = ended(&b, 1)?;
        let after = held()?;
        // B gives back what it had of A in a turn of its own.
        let until = Instant::now() + PATIENCE;
        while a.records() > 1 && Instant::now() < until {
            std::thread::yield_now();
        }
        records[1] = [a.records(), b.records(), a.ledger_bytes() + b.ledger_bytes()];
        let must = |lent| vec![vec![(Some(1), true), (Some(2), lent)]];
        if before != must(true) || after != must(false) {
            return Err(format!("C holds {before:?} before B's end and {after:?} after it"));
        }
        let sums = bench.work.clone();
        let read = ask(&runtime, parties, move |held: &Held| {
            held.iter().map(|part| crate::rows::terms::sums(&sums, part.root())).collect::<Vec<_>>()
        })?;
        read.into_iter().flatten().try_for_each(|sums| crate::rows::terms::check_sums(bench, sums))?;
        pauses.push(death.longest_pause.as_secs_f64() * 1e6);
        Ok(death.words as f64)
    })?;
    let [[a0, b0, bytes0], [a1, b1, _]] = records;
    Ok(format!(
        "A lends its table to B; B makes one too and sends both to C: tracking records A {a0}, B {b0} ({bytes0} bytes). B \
         ends first: C is stopped for {} us while {} words are copied for it; records A {a1}, B {b1}. That C did not ask \
         for, and can not foresee. The memory that is left when the owner has ended is a copy for every holder.",
        median(pauses).map_or_else(|| "-".into(), |us| format!("{us:.0}")),
        Figure::measured(words).human(),
    ))
}

struct World {
    runtime: Runtime,
    holders: Vec<Arc<Holder>>,
    _bystanders: Vec<Arc<Holder>>,
    current: Arc<Owner>,
}

impl Stage for World {
    type Held = Held;

    fn new(bench: &Bench, idle: usize, holders: usize) -> Result<Self, String> {
        let (runtime, holders) = (Runtime::new(2), spawn(holders));
        Ok(Self { runtime, holders, _bystanders: spawn(idle), current: owner(bench, 0)? })
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn bystander(&self) -> (Arc<Holder>, Held) {
        (Arc::default(), Vec::new())
    }

    fn replace(&mut self, bench: &Bench, version: u64, clock: &Clock) -> Result<Duration, String> {
        lend(&self.runtime, &self.current, &self.holders)?;
        ask(&self.runtime, &self.holders, |_| ())?;
        let new = owner(bench, version)?;
        let took = clock.time(|| {
            let start = Instant::now();
            let old = std::mem::replace(&mut self.current, new);
            let (_, freed) = ended(&old, self.holders.len())?;
            Ok(freed.duration_since(start))
        })?;
        let is_old = move |held: &Held| {
            held.iter().all(|part| !part.is_lent() && crate::term_table::version(part.root()) == Some(version - 1))
        };
        if ask(&self.runtime, &self.holders, is_old)?.contains(&false) {
            return Err(format!("a process does not have version {} for itself", version - 1));
        }
        // The copies go off the clock.
        self.holders.iter().for_each(|holder| self.runtime.send(holder, Letter::Hold(Vec::new())));
        ask(&self.runtime, &self.holders, |_| ())?;
        Ok(took)
    }

    fn check(&self, bench: &Bench) -> Result<(), String> {
        let reader = spawn(1);
        lend(&self.runtime, &self.current, &reader)?;
        ask(&self.runtime, &reader, |_| ())?;
        let held = reader[0].stopped();
        let table = held.iter().flatten().next().ok_or("the reader has no table")?;
        check_term(bench, table.root())
    }
}
