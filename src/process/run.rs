//! Running a process: turns, what follows a turn, the answer to a global collection, the end.

use super::cell::{Flags, NextTurn, Owned, Task};
use super::context::{Cx, TurnState};
use super::end::{Pieces, end};
use super::evacuate::evacuate;
use super::incoming::{SIGNALS_PER_TURN, drain};
use super::mailbox::Load;
use super::signals::Kind;
use super::timer;
use super::{Event, Exit, Flow, Unsent, caught};
use crate::heap::raw::Mark;
use crate::heap::{HeapError, Region};
use crate::persistent::{Between, Domain, Lease, Participant, TurnMark};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::Term;
use crate::term::word::{self, Word};

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

/// What a turn led to.
enum After {
    Going,
    End(Exit),
}

/// Runs a scheduled process for `turns` turns, or until it yields, and as many signals as go with them; and then again for
/// as long as `goes_on`. The caller is online as `participant`.
pub(crate) fn run(task: Task, participant: &Participant, turns: u32, goes_on: impl FnMut(Pause) -> bool) -> Ran {
    // For all of it, not for the turns alone: collecting a heap runs destructors, which must not wait for this thread.
    let _mark = TurnMark::new();
    match run_on(task, participant, turns, goes_on) {
        Ok(ran) => ran,
        Err(exit) => {
            let domain = task.header().node.domain();
            end(task, exit, &mut Pieces::new(domain, Some(participant)));
            Ran::Ended
        }
    }
}

/// As [`run`]; an error ends the process.
fn run_on(
    task: Task,
    participant: &Participant,
    turns: u32,
    mut goes_on: impl FnMut(Pause) -> bool,
) -> Result<Ran, Exit> {
    let header = task.header();
    let domain = header.node.domain();
    let card = task.card();
    card.claim();
    participant.runs(task.pid());
    // SAFETY: claimed: the process is ours until it goes idle, is requeued or ends; no borrow outlives a statement.
    let owned = || unsafe { task.owned() };
    let observed = header.node.observed.as_ref();
    let mut signals = turns.saturating_mul(SIGNALS_PER_TURN);
    let mut left = turns;
    drain(task, &mut signals)?;
    loop {
        if left > 0 && has_turn(owned()) {
            left -= 1;
            let after = match observed {
                None => one_turn(task, participant),
                Some(observed) => observed.turn(task.pid(), || one_turn(task, participant)),
            };
            // What this turn has read is out of its hands.
            if domain.quiescence.boundary(participant) {
                domain.passed();
            }
            if let After::End(exit) = after {
                return Err(exit);
            }
            let pressing = card.pressing();
            if pressing.signal {
                drain(task, &mut signals)?;
            }
            if pressing.asked {
                evacuate(task, &mut signals)?;
            }
            if owned().next == NextTurn::Resume {
                left = 0;
            }
            continue;
        }
        if has_turn(owned()) {
            let pause = if owned().next == NextTurn::Resume { Pause::Yields } else { Pause::Turns };
            if goes_on(pause) {
                (left, signals) = (turns, turns.saturating_mul(SIGNALS_PER_TURN));
                if owned().flags.has(Flags::UNSEEN) {
                    drain(task, &mut signals)?;
                }
                continue;
            }
            card.requeue();
            return Ok(Ran::Ready);
        }
        if owned().flags.has(Flags::UNSEEN) {
            // While signals come as fast as they are looked at there is neither a turn to answer behind, nor an idle moment.
            if card.is_asked() {
                evacuate(task, &mut signals)?;
            }
            card.requeue();
            return Ok(Ran::Ready);
        }
        // Without a look at the card: the note on it stays, and spares senders another.
        if header.recipient.mailbox().has_mail() {
            drain(task, &mut signals)?;
            continue;
        }
        if owned().is_untidy() {
            caught(|| tidy(task, participant))??;
        }
        match card.between(filter(owned())) {
            Between::Idle => return Ok(Ran::Idle),
            Between::Noted => drain(task, &mut signals)?,
            Between::Asked => evacuate(task, &mut signals)?,
        }
    }
}

fn has_turn(owned: &Owned) -> bool {
    owned.next != NextTurn::Receive || !owned.inbox.is_empty()
}

/// A bit for every area that anything of this process may point into.
pub(super) fn filter(owned: &Owned) -> u64 {
    let none = owned.inbox.is_empty() && owned.deferred.is_empty() || mutated(Mutation::QueueNotInFilter);
    owned.heap.filter | if none { 0 } else { owned.messages_filter }
}

/// Runs one turn, and puts heap and messages in order behind it.
fn one_turn(task: Task, participant: &Participant) -> After {
    let bound = task.header().recipient.bound.as_deref();
    // SAFETY: the caller owns the process. The borrow ends before the behaviour runs.
    let (kind, mark, state, mut message, timeout) = unsafe {
        let owned = task.owned();
        let kind = owned.next;
        let (mut message, mut timeout) = (None, None);
        if kind == NextTurn::Receive {
            let Some(next) = timer::next_message(task, owned) else {
                return After::Going; // what was there was void
            };
            (message, timeout) = (Some(next.0), next.1);
        }
        owned.next = NextTurn::Receive;
        owned.turns.begin();
        (kind, owned.heap.mark(), owned.state, message, timeout)
    };
    // Events are not counted by a mailbox with a limit.
    let counted = message.as_ref().filter(|message| bound.is_some() && message.mark() == 0).map(Load::bytes_of);
    let result = call(task, kind, state, message.as_ref());
    if let (Some(bound), Some(bytes)) = (bound, counted)
        && !matches!(result, Ok(Went::Defer))
    {
        bound.leaves(bytes);
    }
    if let Some(timeout) = timeout
        && !matches!(result, Ok(Went::Defer))
    {
        // SAFETY: the caller owns the process and is online, and the turn is over.
        unsafe { timer::message_taken(task, timeout) };
    }
    // SAFETY: the caller owns the process, and the turn is over.
    if !unsafe { task.owned() }.heap.has_off_heap() && !message.as_ref().is_some_and(Region::has_off_heap) {
        // No code of the user's runs.
        return match result {
            Ok(Went::Next(new)) if word::is_immediate(new) => {
                // The most frequent of all, by itself.
                // SAFETY: as above.
                keep_immediate(unsafe { task.owned() }, new);
                After::Going
            }
            Ok(went) => settle(task, participant, &mark, state, went, &mut message),
            Err(exit) => After::End(exit),
        };
    }
    let after = match result {
        // Letting go of what the turn made and held runs destructors.
        Ok(went) => caught(|| settle(task, participant, &mark, state, went, &mut message)).unwrap_or_else(After::End),
        Err(exit) => After::End(exit),
    };
    // By itself: if it were dropped while another destructor unwinds, and unwound too, the program would abort.
    match (caught(|| drop(message)), after) {
        (Err(exit), After::Going) => After::End(exit),
        (_, after) => after,
    }
}

/// Puts heap and messages in order behind a turn. What it leaves of the message is not needed any more.
fn settle(
    task: Task,
    participant: &Participant,
    mark: &Mark,
    state: Word,
    went: Went,
    message: &mut Option<Region>,
) -> After {
    // SAFETY: the turn is over, and with it every term and borrow of it.
    let owned = unsafe { task.owned() };
    let due = match went {
        Went::Next(new) => keep(owned, mark, state, new, message),
        Went::Reoffer(new) => {
            owned.inbox.prepend(&mut owned.deferred);
            keep(owned, mark, state, new, message)
        }
        Went::Again(new) => {
            owned.next = NextTurn::Resume;
            keep(owned, mark, state, new, message)
        }
        Went::Defer => {
            // SAFETY: nothing of the turn is kept (H24).
            unsafe { owned.heap.roll_back(mark) };
            if let Some(message) = message.take() {
                owned.deferred.push(message);
            }
            None
        }
        Went::Forward(to) => {
            // SAFETY: as above: so nothing points into the message that goes.
            unsafe { owned.heap.roll_back(mark) };
            let message = message.take().map(|mut message| {
                message.set_mark(0);
                task.header().node.send_region(to, message)
            });
            if let Some(Err(Unsent::Heap(error))) = message {
                return After::End(Exit::heap(error));
            }
            None
        }
    };
    // The borrow has ended: a collection takes one of its own.
    match due.map(|adopted| collect(task, participant, adopted)) {
        Some(Err(exit)) => After::End(exit),
        Some(Ok(())) | None => After::Going,
    }
}

/// A [`Flow`] without its brand.
#[derive(Clone, Copy)]
enum Went {
    Next(Word),
    Reoffer(Word),
    Again(Word),
    Defer,
    Forward(crate::Pid),
}

/// Calls the behaviour, and catches what it unwinds with (invariant 9).
fn call(task: Task, kind: NextTurn, state: Word, message: Option<&Region>) -> Result<Went, Exit> {
    let turn = TurnState::new(task);
    let turn = &turn;
    let result = caught(|| {
        // SAFETY: the caller owns the process and is online. The brand is the lifetime of `turn`, which lives for this
        // call alone; the behaviour's methods take any `'h`, so that they can tell it from no other (invariant 1).
        unsafe {
            let cx = Cx::new(turn);
            let behaviour = task.behaviour();
            let flow = match kind {
                NextTurn::Init => behaviour.init(cx).map(Flow::Next),
                NextTurn::Resume => behaviour.resume(cx, Term::from_word(state)),
                NextTurn::Receive => {
                    let state = Term::from_word(state);
                    let marked = message.filter(|message| message.mark() != 0); // most are messages, which have none
                    match marked.and_then(|message| Event::of(Kind::of(message), message)) {
                        None => {
                            let message = message.map_or(word::NIL, Region::root_word);
                            behaviour.receive(cx, state, Term::from_word(message))
                        }
                        Some(event) => behaviour.event(cx, state, event),
                    }
                }
            };
            match flow? {
                Flow::Next(state) => Ok(Went::Next(state.word())),
                Flow::NextReoffer(state) => Ok(Went::Reoffer(state.word())),
                Flow::Again(state) => Ok(Went::Again(state.word())),
                Flow::Defer => Ok(Went::Defer),
                Flow::Forward(to) => Ok(Went::Forward(to)),
                Flow::Stop(exit) => Err(exit),
            }
        }
    });
    result.unwrap_or_else(Err)
}

/// Makes `new` the state, and lets go of what it cannot reach as cheaply as that can be told. If a collection is due: how
/// many words were adopted.
fn keep(owned: &mut Owned, mark: &Mark, old: Word, new: Word, message: &mut Option<Region>) -> Option<usize> {
    if word::is_immediate(new) {
        keep_immediate(owned, new);
        return None;
    }
    if new == old {
        // Terms only point to older ones (invariant 2), so the old state reaches nothing of this turn.
        // SAFETY: as just said.
        unsafe { owned.heap.roll_back(mark) };
        return cfg!(shared_term_stress).then_some(0);
    }
    let mut adopted = 0;
    if let Some(message) = message.take() {
        adopted = message.words();
        // What was moved in is not copied for having come: it counts as if it had lived through a collection. Twice as
        // much does not, so that of many messages those are collected that the state has let go of.
        owned.threshold = owned.threshold.max(adopted * 2);
        if message.has_off_heap() {
            received(&message);
        }
        owned.heap.adopt(message);
    }
    owned.heap.note(new);
    owned.state = new;
    // Adopting asks for no room: what was sent must not carry a heap past its limit either.
    owned.is_under_pressure().then_some(adopted)
}

/// What a message kept while it waited is the heap's that takes it over.
#[cold]
fn received(message: &Region) {
    message.each_resource(|kept| {
        if let Some(lease) = kept.downcast_ref::<Lease>() {
            lease.give_up();
        }
    });
}

/// Makes an immediate the state. Nothing is reachable: everything goes, untraced. Most turns with such a state make nothing.
#[inline]
fn keep_immediate(owned: &mut Owned, new: Word) {
    owned.heap.end_allowance();
    if owned.heap.has_memory() {
        owned.heap.clear();
    }
    owned.heap.filter = 0;
    owned.threshold = owned.min_heap_words as usize;
    owned.state = new;
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
fn collect(task: Task, participant: &Participant, adopted: usize) -> Result<(), Exit> {
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
