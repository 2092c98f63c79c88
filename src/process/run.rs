//! Running a process: turns, what follows a turn, the answer to a global collection, the end.

use super::cell::{NextTurn, Owned, Task};
use super::context::{Cx, TurnState};
use super::mailbox::Queue;
use super::node::rebuild;
use super::{Exit, Flow, Unsent};
use crate::heap::copy::Literals;
use crate::heap::raw::Mark;
use crate::heap::{HeapError, Region, collect, points_into};
use crate::persistent::{Between, Participant, TurnMark};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::Term;
use crate::term::word::{self, Word};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A collection of more words than this goes on outside the grace periods: nobody waits for it.
const LONG_COLLECTION: usize = 1 << 16;

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

/// What a turn led to.
enum After {
    Going,
    End(Exit),
}

/// Runs a scheduled process for at most `turns` turns. The caller is online as `participant`.
pub(crate) fn run(task: Task, participant: &Participant, mut turns: u32) -> Ran {
    let header = task.header();
    let domain = header.node.domain();
    let card = task.card();
    card.claim();
    // SAFETY: claimed: the process is ours until it goes idle, is requeued or ends; no borrow outlives a statement.
    let owned = || unsafe { task.owned() };
    drain(&task);
    loop {
        if turns > 0 && has_turn(owned()) {
            turns -= 1;
            let after = {
                let _mark = TurnMark::new();
                one_turn(task, participant)
            };
            // What this turn has read is out of its hands.
            domain.quiescence.boundary(participant);
            if let After::End(exit) = after {
                end(task, exit);
                return Ran::Ended;
            }
            if card.is_asked() {
                if let Err(error) = evacuate(&task) {
                    end(task, Exit::heap(error));
                    return Ran::Ended;
                }
            }
            continue;
        }
        if has_turn(owned()) {
            card.requeue();
            return Ran::Ready;
        }
        match card.between(filter(owned())) {
            Between::Idle => return Ran::Idle,
            Between::Noted => drain(&task),
            Between::Asked => {
                if let Err(error) = evacuate(&task) {
                    end(task, Exit::heap(error));
                    return Ran::Ended;
                }
            }
        }
    }
}

fn has_turn(owned: &Owned) -> bool {
    owned.next != NextTurn::Receive || !owned.inbox.is_empty()
}

/// A bit for every area that anything of this process may point into.
fn filter(owned: &Owned) -> u64 {
    let none = owned.inbox.is_empty() && owned.deferred.is_empty() || mutated(Mutation::QueueNotInFilter);
    owned.heap.filter | if none { 0 } else { owned.messages_filter }
}

/// Takes the messages out of the mailbox.
fn drain(task: &Task) {
    let mut new = Queue::new();
    let filter = task.header().recipient.mailbox.drain(&mut new);
    if new.is_empty() {
        return;
    }
    // SAFETY: the caller owns the process.
    let owned = unsafe { task.owned() };
    if owned.inbox.is_empty() && owned.deferred.is_empty() {
        owned.messages_filter = 0;
    }
    owned.messages_filter |= filter;
    std::mem::swap(&mut owned.inbox, &mut new);
    owned.inbox.prepend(&mut new);
}

/// Runs one turn, and puts heap and messages in order behind it.
fn one_turn(task: Task, participant: &Participant) -> After {
    // SAFETY: the caller owns the process. The borrow ends before the behaviour runs.
    let (kind, mark, state, message) = unsafe {
        let owned = task.owned();
        let kind = owned.next;
        let message = if kind == NextTurn::Receive { owned.inbox.pop() } else { None };
        owned.next = NextTurn::Receive;
        (kind, owned.heap.mark(), owned.state, message)
    };
    let flow = call(task, kind, state, message.as_ref());
    // SAFETY: the turn is over, and with it every term and borrow of it.
    let owned = unsafe { task.owned() };
    match flow {
        Ok(Went::Next(new)) => keep(owned, &task, participant, &mark, state, new, message),
        Ok(Went::Reoffer(new)) => {
            owned.inbox.prepend(&mut owned.deferred);
            keep(owned, &task, participant, &mark, state, new, message)
        }
        Ok(Went::Again(new)) => {
            owned.next = NextTurn::Resume;
            keep(owned, &task, participant, &mark, state, new, message)
        }
        Ok(Went::Defer) => {
            // SAFETY: nothing of the turn is kept (H24).
            unsafe { owned.heap.roll_back(&mark) };
            if let Some(message) = message {
                owned.deferred.push(message);
            }
            After::Going
        }
        Ok(Went::Forward(to)) => {
            // SAFETY: as above: so nothing points into the message that goes.
            unsafe { owned.heap.roll_back(&mark) };
            match message.map(|message| task.header().node.send_region(to, message)) {
                Some(Err(Unsent::Heap(error))) => After::End(Exit::heap(error)),
                _ => After::Going,
            }
        }
        Err(exit) => {
            drop(message);
            After::End(exit)
        }
    }
}

/// A [`Flow`] without its brand.
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
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller owns the process and is online. The brand is the lifetime of `turn`, which lives for this
        // call alone; the behaviour's methods take any `'h`, so that they can tell it from no other (invariant 1).
        unsafe {
            let cx = Cx::new(turn);
            let behaviour = task.behaviour();
            let flow = match kind {
                NextTurn::Init => behaviour.init(cx).map(Flow::Next),
                NextTurn::Resume => behaviour.resume(cx, Term::from_word(state)),
                NextTurn::Receive => {
                    let message = message.map_or(word::NIL, Region::root_word);
                    behaviour.receive(cx, Term::from_word(state), Term::from_word(message))
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
    }));
    result.unwrap_or_else(|payload| Err(Exit::unwound(payload)))
}

/// Makes `new` the state, and lets go of what it cannot reach as cheaply as that can be told.
fn keep(
    owned: &mut Owned,
    task: &Task,
    participant: &Participant,
    mark: &Mark,
    old: Word,
    new: Word,
    message: Option<Region>,
) -> After {
    if word::is_immediate(new) {
        // Nothing is reachable: everything goes, untraced. Most turns with such a state make nothing.
        if owned.heap.used() > 0 {
            owned.heap.clear();
        }
        owned.heap.filter = 0;
        owned.heap.limit = owned.limit;
        owned.state = new;
        return After::Going;
    }
    if new == old {
        // Terms only point to older ones (invariant 2), so the old state reaches nothing of this turn.
        // SAFETY: as just said.
        unsafe { owned.heap.roll_back(mark) };
        return After::Going;
    }
    if let Some(message) = message {
        owned.heap.adopt(message);
    }
    owned.heap.note(new);
    owned.state = new;
    if owned.heap.used() <= owned.threshold {
        return After::Going;
    }
    // A long collection must not hold up the grace periods of others. The process runs, so it is asked whatever its
    // card's filter says, and what its heap points into stays until it has answered.
    let quiescence = &task.header().node.domain().quiescence;
    let long = owned.heap.used() > LONG_COLLECTION;
    if long {
        quiescence.leave(participant);
    }
    // SAFETY: between turns: the state is the only root.
    let result = unsafe { collect(&mut owned.heap, &mut owned.state, 0) };
    if long {
        quiescence.enter(participant);
    }
    match result {
        Ok(stats) => {
            owned.threshold = (stats.live_words * 2).max(owned.min_heap_words as usize);
            owned.heap.limit = owned.limit;
            if stats.live_words > owned.limit {
                return After::End(Exit::heap(HeapError::Limit { words: stats.live_words, limit: owned.limit }));
            }
            After::Going
        }
        Err(error) => After::End(Exit::heap(error)),
    }
}

/// The answer to a global collection (R6): afterwards nothing of this process points into a retired area.
fn evacuate(task: &Task) -> Result<(), HeapError> {
    let collector = &task.header().node.domain().collector;
    if !mutated(Mutation::EvacuateNoDrain) {
        drain(task);
    }
    // SAFETY: the caller owns the process, between two turns.
    let owned = unsafe { task.owned() };
    let retired = collector.retired();
    let (mut holds, mut words) = (false, 0);
    if points_into(&owned.heap, owned.state, retired) {
        // SAFETY: between turns: the state is the only root. The areas live until this process has answered.
        let stats = unsafe { collect(&mut owned.heap, &mut owned.state, retired) }?;
        holds = true;
        words = stats.evacuated_words;
        // The process did nothing wrong: what it was made to copy does not count against its limit until its next
        // collection of its own (H20).
        owned.heap.limit = owned.limit.saturating_add(words);
        owned.threshold = owned.threshold.max(stats.live_words * 2);
    }
    if owned.messages_filter & retired != 0 && !mutated(Mutation::EvacuateForgetsMessages) {
        let mut filter = 0;
        for queue in [&mut owned.inbox, &mut owned.deferred] {
            let mut old = std::mem::replace(queue, Queue::new());
            while let Some(message) = old.pop() {
                let message = if message.filter() & retired == 0 {
                    message
                } else {
                    let new = rebuild(&message, Literals::Keep { retired })?;
                    if new.filter() != message.filter() {
                        holds = true;
                        words += new.words().saturating_sub(message.words());
                    }
                    new
                };
                filter |= message.filter();
                queue.push(message);
            }
        }
        owned.messages_filter = filter;
    }
    if holds {
        collector.evacuated(words);
    }
    task.card().answer(collector);
    Ok(())
}

/// Ends a process (R7): its behaviour, heap and messages go first, then its slot; the swap of the card answers a
/// collection that asks. The caller owns it.
pub(crate) fn end(task: Task, exit: Exit) {
    let node = std::sync::Arc::clone(&task.header().node);
    let domain = node.domain();
    // SAFETY: the caller owns the process, and it runs no more.
    unsafe { task.end_behaviour(&exit) };
    let drop_contents = || {
        // SAFETY: as above.
        let owned = unsafe { task.owned() };
        // Dropping a resource runs user code, which may unwind; what follows it is dropped all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| task.header().recipient.mailbox.close(&mut owned.inbox)));
        for queue in [&mut owned.inbox, &mut owned.deferred] {
            while catch_unwind(AssertUnwindSafe(|| queue.pop().is_some())).unwrap_or(true) {}
        }
        let _ = catch_unwind(AssertUnwindSafe(|| owned.heap.clear()));
    };
    if !mutated(Mutation::DeadBeforeDrop) {
        drop_contents();
    }
    domain.slots.vacate(task.pid());
    task.card().die(&domain.collector);
    if mutated(Mutation::DeadBeforeDrop) {
        drop_contents();
    }
    node.ended(task.pid(), exit);
}
