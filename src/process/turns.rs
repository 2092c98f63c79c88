//! Turns, one behind the other, and what follows each of them.

use super::cell::{Flags, NextTurn, Owned, Task};
use super::context::{Cx, TurnState};
use super::mailbox::Load;
use super::run::collect;
use super::signals::Kind;
use super::timeout;
use super::{Event, Exit, Flow, Process, Turn, caught};
use crate::heap::Region;
use crate::heap::raw::Mark;
use crate::persistent::{Lease, Participant, Pressing};
use crate::term::Term;
use crate::term::word::{self, Word};
use std::mem;

/// The turns of a run, and what there is to see to behind them.
pub(super) struct Turns {
    /// How many there may still be.
    pub(super) left: u32,
    /// Is there any of what follows? One look tells behind most turns.
    pub(super) urgent: bool,
    /// The epoch has changed, and somebody may be waiting for this.
    pub(super) passed: bool,
    pub(super) pressing: Pressing,
    /// Why the process ends, if it does. Not a result of what is called one in the other: that is copied from frame to frame
    /// in pieces of another size than it was written in, and each copy waits for the one before to leave the processor.
    pub(super) end: Option<Exit>,
}

impl Turns {
    #[inline]
    pub(super) fn new(left: u32) -> Self {
        Self { left, urgent: false, passed: false, pressing: Pressing::default(), end: None }
    }

    /// The process ends.
    fn end(&mut self, exit: Exit) {
        self.urgent = true;
        self.end = Some(exit);
    }
}

pub(super) fn has_turn(owned: &Owned) -> bool {
    owned.next != NextTurn::Receive || !owned.inbox.is_empty()
}

/// Runs so many turns, or fewer: until there is none, or the process yields or ends, or there is something to see to. An error
/// ends the process (invariant 9). The caller owns it, which has a turn, and is online as `participant`.
#[inline(always)]
pub(super) fn run_turns(task: Task, participant: &Participant, turns: &mut Turns) {
    // Caught once for all of them, since none follows one that unwinds. The message of that one stays out here: if it were
    // dropped while another destructor unwinds, and unwound too, the program would abort.
    let mut message = None;
    if let Err(exit) = caught(|| one_by_one(task, participant, turns, &mut message)) {
        turns.end(exit);
    }
    if let Some(message) = message {
        drop_by_itself(message, turns);
    }
}

/// Drops the message of a turn that has unwound, or the process's last.
#[inline(never)]
fn drop_by_itself(message: Region, turns: &mut Turns) {
    if let Err(exit) = caught(|| drop(message))
        && turns.end.is_none()
    {
        turns.end(exit);
    }
}

/// As [`run_turns`], but unwinds with what a turn, or a destructor behind it, unwinds with. `message` is then what it was
/// about, if nobody else has that.
fn one_by_one(task: Task, participant: &Participant, turns: &mut Turns, message: &mut Option<Region>) {
    let header = task.header();
    let quiescence = &header.node.domain().quiescence;
    let counts = header.recipient.bound.is_some();
    // SAFETY: the caller owns the process. Here and below: the borrow ends before the behaviour runs.
    let mut mark = unsafe { task.owned() }.heap.mark();
    loop {
        turns.left -= 1;
        // SAFETY: as above.
        let owned = unsafe { task.owned() };
        let (kind, state) = (owned.next, owned.state);
        if kind == NextTurn::Receive {
            debug_assert!(message.is_none(), "so that nothing is to be dropped");
            mem::forget(mem::replace(message, owned.inbox.pop()));
        }
        let went = match message {
            Some(plain) if plain.mark() == 0 && !counts && !owned.flags.has(Flags::TIMEOUT) => {
                owned.turns.begin();
                let root = plain.root_word();
                // SAFETY: the state is the process's, and the message stays out here.
                call(task, &mut turns.end, |behaviour, cx| unsafe {
                    behaviour.receive(cx, Term::from_word(state), Term::from_word(root))
                })
            }
            _ => other_turn(task, kind, message, &mut turns.end),
        };
        let Some(went) = went else {
            turns.urgent = true;
            return;
        };
        // SAFETY: the turn is over, and with it every borrow of it.
        let owned = unsafe { task.owned() };
        match went {
            // The most frequent of all, by itself: the turn has left the heap alone, and the state is what it was, or needs
            // no heap now as then.
            Went::Next(new) if leaves_no_trace(owned, &mark, new) => owned.state = new,
            went => {
                if let Err(exit) = settle(task, participant, mark, state, went, message) {
                    return turns.end(exit);
                }
                // SAFETY: as above.
                let owned = unsafe { task.owned() };
                if owned.next == NextTurn::Resume {
                    turns.left = 0;
                }
                mark = owned.heap.mark();
            }
        }
        drop(message.take());
        // What this turn has read is out of its hands.
        let passed = quiescence.boundary(participant);
        if passed || task.card().is_pressed() {
            (turns.urgent, turns.passed, turns.pressing) = (true, passed, task.card().pressing());
            return;
        }
        // SAFETY: as above.
        let owned = unsafe { task.owned() };
        if turns.left == 0 || owned.next != NextTurn::Receive || owned.inbox.is_empty() {
            return;
        }
    }
}

/// A turn that is about no message, or about an event, or of a process with a timeout or a limit on its mailbox.
#[inline(never)]
fn other_turn(task: Task, kind: NextTurn, message: &mut Option<Region>, end: &mut Option<Exit>) -> Option<Went> {
    let bound = task.header().recipient.bound.as_deref();
    // SAFETY: the caller owns the process, between two turns. The borrow ends before the behaviour runs.
    let owned = unsafe { task.owned() };
    let (state, mut timeout) = (owned.state, None);
    if let Some(taken) = message.take() {
        // SAFETY: as above.
        *message = unsafe { timeout::unless_void(task, owned, taken) };
        if message.is_none() {
            return Some(Went::Next(state));
        }
        // SAFETY: as above.
        timeout = unsafe { timeout::running(task, owned) };
    }
    owned.next = NextTurn::Receive;
    owned.turns.begin();
    // Events are not counted by a mailbox with a limit.
    let plain = message.as_ref().filter(|message| message.mark() == 0);
    let counted = bound.and(plain).map(Load::bytes_of);
    // SAFETY: the state is the process's, the message is the caller's.
    let went = call(task, end, |behaviour, cx| unsafe {
        let state = Term::from_word(state);
        match (kind, message.as_ref()) {
            (NextTurn::Init, _) => behaviour.init(cx).map(Flow::Next),
            (NextTurn::Resume, _) => behaviour.resume(cx, state),
            (NextTurn::Receive, None) => behaviour.receive(cx, state, cx.nil()),
            (NextTurn::Receive, Some(message)) => match Event::of(Kind::of(message), message) {
                None => behaviour.receive(cx, state, Term::from_word(message.root_word())),
                Some(event) => behaviour.event(cx, state, event),
            },
        }
    });
    if !matches!(went, Some(Went::Defer)) {
        if let (Some(bound), Some(bytes)) = (bound, counted) {
            bound.leaves(bytes);
        }
        if let Some(timeout) = timeout {
            // SAFETY: the caller owns the process and is online, and the turn is over.
            unsafe { timeout::message_taken(task, timeout) };
        }
    }
    went
}

/// Is there nothing to put in order behind a turn that makes `new` the state?
#[inline(always)]
fn leaves_no_trace(owned: &Owned, mark: &Mark, new: Word) -> bool {
    let same = new == owned.state || word::is_immediate(new) && word::is_immediate(owned.state);
    same && owned.heap.is_at(mark) && !cfg!(shared_term_stress)
}

/// Puts heap and messages in order behind a turn. What it leaves of the message is not needed any more. (The mark by value:
/// the caller compares its parts, and keeps them in another place if it is lent besides.)
#[inline(never)]
fn settle(
    task: Task,
    participant: &Participant,
    mark: Mark,
    state: Word,
    went: Went,
    message: &mut Option<Region>,
) -> Result<(), Exit> {
    // SAFETY: the turn is over, and with it every term and borrow of it.
    let owned = unsafe { task.owned() };
    let due = match went {
        Went::Next(new) => keep(owned, &mark, state, new, message),
        Went::Reoffer(new) => {
            owned.inbox.prepend(&mut owned.deferred);
            keep(owned, &mark, state, new, message)
        }
        Went::Again(new) => {
            owned.next = NextTurn::Resume;
            keep(owned, &mark, state, new, message)
        }
        Went::Defer => {
            // SAFETY: nothing of the turn is kept (H24).
            unsafe { owned.heap.roll_back(&mark) };
            if let Some(message) = message.take() {
                owned.deferred.push(message);
            }
            None
        }
        Went::Forward(to) => {
            // SAFETY: as above: so nothing points into the message that goes.
            unsafe { owned.heap.roll_back(&mark) };
            let message = message.take().map(|mut message| {
                message.set_mark(0);
                // SAFETY: the turn that forwards is one of this node, and its worker has not passed a boundary since.
                unsafe { task.header().node.send_region_in_turn(to, message) }
            });
            if let Some(Err(unsent)) = message {
                unsent.drop_unseen().map_err(Exit::heap)?;
            }
            None
        }
    };
    // The borrow has ended: a collection takes one of its own.
    due.map_or(Ok(()), |adopted| collect(task, participant, adopted))
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

/// Calls the behaviour. `None`: it says why the process ends. The caller owns that and is online.
#[inline(always)]
fn call(
    task: Task,
    end: &mut Option<Exit>,
    how: impl for<'h> FnOnce(&mut dyn Process, Cx<'h>) -> Turn<'h>,
) -> Option<Went> {
    let turn = TurnState::new(task);
    // SAFETY: the caller owns the process and is online. The brand is the lifetime of `turn`, which lives for this
    // call alone; `how` takes any `'h`, so that it can tell it from no other (invariant 1).
    let flow = unsafe { how(task.behaviour(), Cx::new(&turn)) };
    match flow {
        Ok(Flow::Next(state)) => Some(Went::Next(state.word())),
        other => went_otherwise(other, end),
    }
}

/// By itself, so that what most turns end with is told by a comparison, and not looked up in a table of all.
#[inline(never)]
fn went_otherwise(flow: Turn<'_>, end: &mut Option<Exit>) -> Option<Went> {
    match flow {
        Ok(Flow::Next(state)) => Some(Went::Next(state.word())),
        Ok(Flow::NextReoffer(state)) => Some(Went::Reoffer(state.word())),
        Ok(Flow::Again(state)) => Some(Went::Again(state.word())),
        Ok(Flow::Defer) => Some(Went::Defer),
        Ok(Flow::Forward(to)) => Some(Went::Forward(to)),
        Ok(Flow::Stop(exit)) | Err(exit) => {
            *end = Some(exit);
            None
        }
    }
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
