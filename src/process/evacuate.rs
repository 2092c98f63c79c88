//! What a global collection wants of a process: the look at an idle one, and the answer of one that was asked (R6).

use super::bound::Bound;
use super::cell::{Owned, Task};
use super::incoming::{drain, unseen};
use super::mailbox::{Load, Queue};
use super::node::rebuild;
use super::run::filter;
use super::{Exit, caught};
use crate::heap::copy::Literals;
use crate::heap::{Gathered, Literals as Found, Region, collect_major, literals_of};
use crate::persistent::{Occupant, Participant, Share};
use crate::sync::mutation::{Mutation, mutated};
use std::ptr::NonNull;

/// A heap of more words than this is looked at by its own process, not by the collection on the way.
const SHORT_LOOK: usize = 1 << 12;

/// More messages than these, as above.
const FEW_MESSAGES: usize = 1 << 10;

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
    if messages_may(task, owned, retired, FEW_MESSAGES) && !mutated(Mutation::InspectForgetsMessages) {
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

/// May a private message have one of the bits in its filter? Forgets those of messages that are gone, unless there are more than
/// `few` that it would have to look at.
fn messages_may(task: Task, owned: &mut Owned, retired: u64, few: usize) -> bool {
    if owned.messages_filter & retired != 0
        && let Some(filter) = filter_of_messages(task, owned, few)
    {
        owned.messages_filter = filter;
    }
    owned.messages_filter & retired != 0
}

/// The bits of the messages and signals that are out of the mailbox, if there are no more than `few`. The caller must own the
/// process.
fn filter_of_messages(task: Task, owned: &Owned, mut few: usize) -> Option<u64> {
    // SAFETY: the caller's promise; the borrow ends with the statement.
    let unseen = unsafe { unseen(task, owned.flags) }.map_or(Some(0), |unseen| unseen.filter(&mut few))?;
    Some(owned.inbox.filter(&mut few)? | owned.deferred.filter(&mut few)? | unseen)
}

/// The answer to a global collection: afterwards nothing of this process points into a retired area. As for [`drain`].
pub(super) fn evacuate(task: Task, participant: &Participant, signals: &mut u32) -> Result<(), Exit> {
    let collector = &task.header().node.domain().collector;
    if !mutated(Mutation::EvacuateNoDrain) {
        drain(task, participant, signals)?;
    }
    // SAFETY: the caller owns the process, between two turns.
    let owned = unsafe { task.owned() };
    let retired = collector.retired();
    let may = messages_may(task, owned, retired, usize::MAX) && !mutated(Mutation::EvacuateForgetsMessages);
    let mut messages = 0;
    if may {
        each_message(task, owned, |message| messages += usize::from(message.points_into(retired)));
    }
    let (mut holds, mut words) = (messages > 0, 0);
    match literals_of(&owned.heap, owned.state, retired) {
        // No heap is collected for the bit of another area (H17); nor does it keep bits that it has no more use for.
        Found::Of(bits) => owned.heap.narrow(bits),
        Found::Retired => {
            let parents = owned.parents();
            // With messages it goes on pointing there, to be seen to together with them; what is garbage goes first. But one
            // message alone must not keep what the heap had.
            let copied = if messages < 2 { retired } else { 0 };
            // SAFETY: between turns: the state is the only root. The areas live until this process has answered.
            let stats = caught(|| unsafe { collect_major(&mut owned.heap, &mut owned.state, copied, parents) })?
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
    if messages > 0 {
        words += if messages == 1 {
            evacuate_message(task, owned, retired)?
        } else {
            caught(|| evacuate_together(task, owned, retired, messages))??
        };
    }
    if may && let Some(filter) = filter_of_messages(task, owned, usize::MAX) {
        owned.messages_filter = filter;
    }
    if holds {
        collector.evacuated(words);
    }
    collector.after(task.card().answer(collector), task.header().node.domain());
    Ok(())
}

/// The messages and signals that are out of the mailbox. The caller must own the process.
fn queues(task: Task, owned: &mut Owned) -> impl Iterator<Item = &mut Queue> {
    // SAFETY: the caller's promise; no turn runs meanwhile.
    let unseen = unsafe { unseen(task, owned.flags) };
    [&mut owned.inbox, &mut owned.deferred].into_iter().chain(unseen)
}

/// Calls `f` with each of those, which it must leave where it is. The caller must own the process.
fn each_message(task: Task, owned: &mut Owned, mut f: impl FnMut(&mut Region)) {
    // SAFETY: the callers' closures change messages, and replace none.
    queues(task, owned).for_each(|queue| unsafe { queue.each(&mut f) });
}

/// A change of the size of a message. Events are not counted by a mailbox with a limit.
fn resized(bound: Option<&Bound>, message: &Region, before: usize) {
    if let Some(bound) = bound.filter(|_| message.mark() == 0) {
        bound.resized(before, Load::bytes_of(message));
    }
}

/// Builds the one message anew that points into a retired area. How many words that has copied.
fn evacuate_message(task: Task, owned: &mut Owned, retired: u64) -> Result<usize, Exit> {
    let bound = task.header().recipient.bound.as_deref();
    let mut copied = 0;
    for queue in queues(task, owned) {
        let mut old = std::mem::take(queue);
        while let Some(message) = old.pop() {
            if !message.points_into(retired) {
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
            resized(bound, &new, Load::bytes_of(&message));
            copied = new.words().saturating_sub(message.words());
            // What only its garbage held goes with it; the message itself has lost nothing.
            let _ = caught(|| drop(message));
            queue.push(new);
        }
    }
    Ok(copied)
}

/// Copies what the heap and `messages` messages reach in retired areas, once, into an area that these messages keep, and has
/// all of them point there (H20). How many words it has copied.
fn evacuate_together(task: Task, owned: &mut Owned, retired: u64, messages: usize) -> Result<usize, Exit> {
    let header = task.header();
    let bound = header.recipient.bound.as_deref();
    let share = Share::new(header.node.store(), messages).map_err(Exit::heap)?;
    let (mut found, mut failed) = (Gathered::new(retired), None);
    // SAFETY: between turns, and the caller owns the process: nobody else reads its heap and messages, and the areas live
    // until it has answered. Here and below.
    unsafe { owned.heap.each_literal(&mut owned.state, |w| found.show(*w)) };
    each_message(task, owned, |message| {
        if !message.points_into(retired) {
            return;
        }
        // SAFETY: as above.
        unsafe { message.each_literal(|w| found.show(*w)) };
        let before = Load::bytes_of(message);
        match Share::lease(&share).and_then(|lease| message.keep(lease)) {
            Ok(()) => resized(bound, message, before),
            Err(error) => failed = Some(error),
        }
    });
    failed.map_or(Ok(()), Err).map_err(Exit::heap)?;
    let tuple = found.tuple().map_err(Exit::heap)?;
    // SAFETY: the tuple lives until `found` is dropped, and its literals as said; the worker is online all the time (R4).
    let frozen = unsafe { header.node.domain().freeze(tuple, Literals::Keep { retired }) }.map_err(Exit::heap)?;
    // Nothing fails from here on: either all of them point there, or none.
    let copy = frozen.into_word();
    share.set(copy);
    // SAFETY: a copy of the tuple, which the leases keep.
    let mut replace = unsafe { found.replacing(copy) };
    // SAFETY: as above; in the order in which they were shown.
    unsafe { owned.heap.each_literal(&mut owned.state, &mut replace) };
    each_message(task, owned, |message| {
        if message.points_into(retired) {
            // SAFETY: as above.
            unsafe { message.each_literal(&mut replace) };
        }
    });
    owned.check();
    Ok(share.words() - found.len())
}
