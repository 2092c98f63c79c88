//! What a global collection wants of a process: the look at an idle one, and the answer of one that was asked (R6).

use super::bound::Bound;
use super::cell::{Owned, Task};
use super::incoming::{drain, unseen};
use super::mailbox::{Load, Queue};
use super::node::rebuild;
use super::run::filter;
use super::{Exit, caught};
use crate::heap::copy::Literals;
use crate::heap::{Literals as Found, Region, collect_major, literals_of};
use crate::persistent::Occupant;
use crate::sync::mutation::{Mutation, mutated};
use std::ptr::NonNull;

/// A heap of more words than this is looked at by its own process, not by the collection on the way.
const SHORT_LOOK: usize = 1 << 12;

/// What the collection does with an idle process whose filter is not clear, before it wakes anybody: does it really point
/// into an area that is retired? If not, a bit for each area that it does point into, and no bit of what it has let go of
/// since its filter was made.
///
/// # Safety
///
/// The caller must own the process, between two turns; the areas that it points into must live.
pub(crate) unsafe fn look(occupant: NonNull<Occupant>, retired: u64) -> Option<u64> {
    // SAFETY: an idle process, as the caller says; a port has no card that a collection could find idle.
    let task = unsafe { Task::of(occupant) }?;
    // SAFETY: the caller owns the process.
    let owned = unsafe { task.owned() };
    if owned.heap.used() > SHORT_LOOK {
        return None;
    }
    let Found::Of(bits) = literals_of(&owned.heap, owned.state, retired) else { return None };
    owned.heap.narrow(bits);
    if messages_may(task, owned, retired) && !mutated(Mutation::InspectForgetsMessages) {
        return None;
    }
    Some(filter(owned))
}

/// Has what [`look`] will read of an idle process brought near, or some of it.
///
/// # Safety
///
/// As for [`look`].
pub(crate) unsafe fn fetch(occupant: NonNull<Occupant>) {
    // SAFETY: the caller's promise.
    if let Some(task) = unsafe { Task::of(occupant) } {
        // SAFETY: the caller owns the process.
        unsafe { task.owned() }.heap.fetch();
    }
}

/// Does the filter of a private message have one of the bits? Forgets those of messages that are gone.
fn messages_may(task: Task, owned: &mut Owned, retired: u64) -> bool {
    if owned.messages_filter & retired != 0 {
        owned.messages_filter = filter_of_messages(task, owned);
    }
    owned.messages_filter & retired != 0
}

/// The bits of the messages and signals that are out of the mailbox. The caller must own the process.
fn filter_of_messages(task: Task, owned: &Owned) -> u64 {
    // SAFETY: the caller's promise; the borrow ends with the statement.
    let unseen = unsafe { unseen(task, owned.flags) }.map_or(0, |unseen| unseen.filter());
    owned.inbox.filter() | owned.deferred.filter() | unseen
}

/// The answer to a global collection: afterwards nothing of this process points into a retired area.
pub(super) fn evacuate(task: Task, signals: &mut u32) -> Result<(), Exit> {
    let collector = &task.header().node.domain().collector;
    if !mutated(Mutation::EvacuateNoDrain) {
        drain(task, signals)?;
    }
    // SAFETY: the caller owns the process, between two turns.
    let owned = unsafe { task.owned() };
    let retired = collector.retired();
    let (mut holds, mut words) = (false, 0);
    match literals_of(&owned.heap, owned.state, retired) {
        // No heap is collected for the bit of another area (H17); nor does it keep bits that it has no more use for.
        Found::Of(bits) => owned.heap.narrow(bits),
        Found::Retired => {
            let parents = owned.parents();
            // SAFETY: between turns: the state is the only root. The areas live until this process has answered.
            let stats = caught(|| unsafe { collect_major(&mut owned.heap, &mut owned.state, retired, parents) })?
                .map_err(Exit::heap)?;
            holds = true;
            words = stats.evacuated_words;
            // The process did nothing wrong: what it was made to copy does not count against its limit until its next
            // major collection of its own (H20).
            owned.heap.allow(words);
            owned.threshold = owned.threshold.max(stats.after_words * 2);
            owned.check();
        }
    }
    if messages_may(task, owned, retired) && !mutated(Mutation::EvacuateForgetsMessages) {
        let bound = task.header().recipient.bound.as_deref();
        // SAFETY: as above.
        let unseen = unsafe { unseen(task, owned.flags) };
        for queue in [&mut owned.inbox, &mut owned.deferred].into_iter().chain(unseen) {
            if let Some(copied) = evacuate_messages(queue, retired, bound)? {
                holds = true;
                words += copied;
            }
        }
        owned.messages_filter = filter_of_messages(task, owned);
    }
    if holds {
        collector.evacuated(words);
    }
    collector.after(task.card().answer(collector), task.header().node.domain());
    Ok(())
}

/// Builds those messages anew that point into a retired area. How many words that has copied, if there were any.
fn evacuate_messages(queue: &mut Queue, retired: u64, bound: Option<&Bound>) -> Result<Option<usize>, Exit> {
    let (mut old, mut copied) = (std::mem::take(queue), None);
    while let Some(message) = old.pop() {
        if message.filter() & retired == 0 || !points_into(&message, retired) {
            queue.push(message);
            continue;
        }
        let mut new = match rebuild(&message, Literals::Keep { retired }) {
            Ok(new) => new,
            Err(error) => {
                // The end of the process drops them one by one.
                old.push(message);
                queue.append(&mut old);
                return Err(Exit::heap(error));
            }
        };
        new.set_mark(message.mark());
        // Events are not counted by a mailbox with a limit.
        if let Some(bound) = bound.filter(|_| message.mark() == 0) {
            bound.resized(Load::bytes_of(&message), Load::bytes_of(&new));
        }
        copied = Some(copied.unwrap_or(0) + new.words().saturating_sub(message.words()));
        // What only its garbage held goes with it; the message itself has lost nothing.
        let _ = caught(|| drop(message));
        queue.push(new);
    }
    Ok(copied)
}

/// Does a word of the message point into a retired area, and not just into one with the same bit?
fn points_into(message: &Region, retired: u64) -> bool {
    message.as_heap(|heap| matches!(literals_of(heap, message.root_word(), retired), Found::Retired))
}
