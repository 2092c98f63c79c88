//! Running a process: what it does between its turns, the answer to a global collection, the end.

use super::cell::{Flags, NextTurn, Owned, Task};
use super::end::{Pieces, end};
use super::evacuate::evacuate;
use super::incoming::{SIGNALS_PER_TURN, drain};
use super::observer::Observed;
use super::turns::{Turns, has_turn, run_turns};
use super::{Exit, caught};
use crate::heap::HeapError;
use crate::persistent::{Between, Domain, Participant, TurnMark};
use crate::sync::mutation::{Mutation, mutated};
use std::mem;

/// A collection of more words than this goes on outside the grace periods: nobody waits for it.
pub(super) const LONG_COLLECTION: usize = 1 << 16;

/// How a run of a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It is idle, and no longer the caller's.
    Idle,
    /// It has more to do: the caller must put it on a run queue.
    Ready,
    /// It has ended, and is out of its slot; the caller frees it a grace period later.
    Ended,
}

/// Why a process that has more to do may have to let others have a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It has used up its turns.
    Turns,
    /// It asks for it: [`Flow::Again`].
    Yields,
}

/// Runs a scheduled process for `at_once` turns, or until it yields, and as many signals as go with them; and then again for
/// as long as `goes_on`. The caller is online as `participant`, and has marked its thread: for all of this, not for the turns
/// alone, because collecting a heap runs destructors, which must not wait for this thread.
///
/// A part of the loop that calls it: each worker has one such loop, and what it knows of itself stays at hand.
#[inline(always)]
pub(crate) fn run(
    task: Task,
    participant: &Participant,
    mark: &TurnMark,
    at_once: u16,
    goes_on: impl FnMut(Pause) -> bool,
) -> Ran {
    match run_on(task, participant, at_once, goes_on) {
        Ok(ran) => ran,
        Err(exit) => {
            let domain = task.header().node.domain();
            end(task, exit, &mut Pieces::new(domain, Some(participant)), mark);
            Ran::Ended
        }
    }
}

/// As [`run`]; an error ends the process.
#[inline(always)]
fn run_on(
    task: Task,
    participant: &Participant,
    at_once: u16,
    mut goes_on: impl FnMut(Pause) -> bool,
) -> Result<Ran, Exit> {
    let header = task.header();
    let card = task.card();
    let noted = card.claim();
    participant.runs(task.pid());
    // SAFETY: claimed: the process is ours until it goes idle, is requeued or ends; no borrow outlives a statement.
    let owned = || unsafe { task.owned() };
    let observed = header.node.observed.as_ref();
    let at_once = u32::from(at_once);
    let mut signals = at_once * SIGNALS_PER_TURN;
    let mut turns = Turns::new(at_once);
    if noted {
        drain(task, participant, &mut signals)?;
    }
    loop {
        if has_turn(owned()) {
            if turns.left > 0 {
                match observed {
                    None => run_turns(task, participant, &mut turns),
                    Some(observed) => observed_turn(observed, task, participant, &mut turns),
                }
                if turns.urgent {
                    see_to(task, participant, &mut turns, &mut signals)?;
                }
                continue;
            }
            let pause = if owned().next == NextTurn::Resume { Pause::Yields } else { Pause::Turns };
            if goes_on(pause) {
                (turns.left, signals) = (at_once, at_once * SIGNALS_PER_TURN);
                if owned().flags.has(Flags::UNSEEN) {
                    drain(task, participant, &mut signals)?;
                }
                continue;
            }
            card.requeue();
            return Ok(Ran::Ready);
        }
        if owned().flags.has(Flags::UNSEEN) {
            // While signals come as fast as they are looked at there is neither a turn to answer behind, nor an idle moment.
            if card.is_asked() {
                evacuate(task, participant, &mut signals)?;
            }
            card.requeue();
            return Ok(Ran::Ready);
        }
        // Without a look at the card: the note on it stays, and spares senders another.
        if header.recipient.mailbox().has_mail() {
            drain(task, participant, &mut signals)?;
            continue;
        }
        if owned().is_untidy() {
            caught(|| tidy(task, participant))??;
        }
        match card.between(filter(owned())) {
            Between::Idle => return Ok(Ran::Idle),
            Between::Noted => drain(task, participant, &mut signals)?,
            Between::Asked => evacuate(task, participant, &mut signals)?,
        }
    }
}

/// What follows turns behind which something is to be seen to.
#[inline(never)]
fn see_to(task: Task, participant: &Participant, turns: &mut Turns, signals: &mut u32) -> Result<(), Exit> {
    turns.urgent = false;
    let (passed, pressing) = (mem::take(&mut turns.passed), mem::take(&mut turns.pressing));
    if let Some(exit) = turns.end.take() {
        return Err(exit);
    }
    if passed {
        task.header().node.domain().passed();
    }
    if pressing.signal {
        drain(task, participant, signals)?;
    }
    if pressing.asked {
        evacuate(task, participant, signals)?;
    }
    Ok(())
}

/// Runs one of the turns.
#[inline(never)]
fn observed_turn(observed: &Observed, task: Task, participant: &Participant, turns: &mut Turns) {
    let rest = mem::replace(&mut turns.left, 1) - 1;
    observed.turn(task.pid(), || run_turns(task, participant, turns));
    // SAFETY: the caller owns the process; the borrow ends with the statement.
    let yields = unsafe { task.owned() }.next == NextTurn::Resume;
    turns.left = if yields { 0 } else { rest };
}

/// A bit for every area that anything of this process may point into.
pub(super) fn filter(owned: &Owned) -> u64 {
    let none = owned.inbox.is_empty() && owned.deferred.is_empty() || mutated(Mutation::QueueNotInFilter);
    owned.heap.filter | if none { 0 } else { owned.messages_filter }
}

/// Collects the heap of a process that is about to wait, and asked for that.
fn tidy(task: Task, participant: &Participant) -> Result<(), Exit> {
    // SAFETY: the caller owns the process, between two turns; the borrow ends with the statement, here and below.
    if !unsafe { task.owned() }.flags.set(Flags::HIBERNATES, false) {
        return collect(task, participant, 0);
    }
    // SAFETY: as above.
    if let Some(relations) = unsafe { task.relations_if_any() } {
        relations.shrink();
    }
    // SAFETY: as above.
    collect_by(task, participant, |domain| unsafe { task.owned().compact(domain) })
}

/// Collects the heap, between two turns, the last of which has adopted so many words.
pub(super) fn collect(task: Task, participant: &Participant, adopted: usize) -> Result<(), Exit> {
    // SAFETY: between turns: the state is the only root; the heap is borrowed anew.
    collect_by(task, participant, |domain| unsafe { task.owned().collect(adopted, domain) })
}

fn collect_by(
    task: Task,
    participant: &Participant,
    how: impl FnOnce(&Domain) -> Result<(), HeapError>,
) -> Result<(), Exit> {
    // SAFETY: the caller owns the process, between two turns; the borrow ends with the statement.
    let used = unsafe { task.owned() }.heap.used();
    // A long collection must not hold up the grace periods of others. The process runs, so it is asked whatever its
    // card's filter says, and what its heap points into stays until it has answered.
    let long = used > LONG_COLLECTION;
    let _offline = long.then(|| Offline::new(task.header().node.domain(), participant));
    let node = &task.header().node;
    match &node.observed {
        None => how(node.domain()),
        // SAFETY: the caller owns the process, between two turns.
        Some(observed) => unsafe { observed.collection(task, || how(node.domain())) },
    }
    .map_err(Exit::heap)
}

/// A worker that looks at nothing but the heap it works on; online again when this is dropped, also by a destructor of
/// the user's that unwinds.
pub(super) struct Offline<'d> {
    domain: &'d Domain,
    participant: &'d Participant,
}

impl<'d> Offline<'d> {
    pub(super) fn new(domain: &'d Domain, participant: &'d Participant) -> Self {
        domain.quiescence.leave(participant);
        domain.passed();
        Self { domain, participant }
    }
}

impl Drop for Offline<'_> {
    fn drop(&mut self) {
        self.domain.quiescence.enter(self.participant);
    }
}
