//! Taking what has come: messages go to the inbox as they are, signals are looked at, so many in one run.
//!
//! Whoever sends signals without end must not hold a worker: a run looks at a number of them, and what is left then, and
//! all that comes behind it, is *unseen* until it goes on, in this run or the next. It stays in the order of its arrival, counts among what waits,
//! and is as private as the messages: a collection finds what it points into, and the end of the process answers it.

use super::cell::{Flags, Owned, Task};
use super::end::Pieces;
use super::mailbox::{Load, Queue};
use super::{Exit, signals};
use crate::heap::Region;
use crate::persistent::Participant;

/// How many signals a run of a process looks at for each turn that it may run.
pub(super) const SIGNALS_PER_TURN: u32 = 8;

/// Takes the messages out of the mailbox, and sees to the signals among them while `budget` lasts; one of those may end
/// the process. The caller owns it, between two turns, is online as `participant`, and looks at nothing else: of very many
/// messages it passes a boundary now and then.
#[inline]
pub(super) fn drain(task: Task, participant: &Participant, budget: &mut u32) -> Result<(), Exit> {
    let header = task.header();
    let mut new = Queue::new();
    let mut pieces = Pieces::new(header.node.domain(), Some(participant));
    let filter_and_marks = header.recipient.mailbox().drain(&mut new, &header.node.surveys, || pieces.boundary());
    // SAFETY: the caller owns the process; the borrow ends before anybody else may have one.
    let owned = unsafe { task.owned() };
    let filter = filter_and_marks & !0xff;
    let has_signals = owned.flags.has(Flags::UNSEEN) || filter_and_marks != filter;
    if has_signals || !new.is_empty() {
        owned.messages_filter = filter | if has_messages(owned) { owned.messages_filter } else { 0 };
        if has_signals {
            return see_to(task, new, budget);
        }
        owned.inbox.append(&mut new);
    }
    Ok(())
}

fn has_messages(owned: &Owned) -> bool {
    owned.flags.has(Flags::UNSEEN) || !owned.inbox.is_empty() || !owned.deferred.is_empty()
}

/// Sees to what has come, signals among it.
#[inline(never)]
fn see_to(task: Task, mut new: Queue, budget: &mut u32) -> Result<(), Exit> {
    // SAFETY: the caller owns the process.
    let mut all = unsafe { task.take_unseen() };
    all.append(&mut new);
    // SAFETY: as above.
    let seen = unsafe { signals::handle(task, &mut all, budget) };
    // SAFETY: as above.
    let left = unsafe { task.leave_unseen(all) };
    seen.and(left)
}

/// What has come and was not looked at yet, if there is any.
///
/// # Safety
///
/// The caller must own the process, whose flags these are, and run no turn of it while the borrow lasts.
pub(super) unsafe fn unseen<'a>(task: Task, flags: Flags) -> Option<&'a mut Queue> {
    // SAFETY: the caller's promise.
    let relations = if flags.has(Flags::UNSEEN) { unsafe { task.relations_if_any() } } else { None };
    relations.map(|relations| &mut relations.unseen)
}

impl Task {
    /// Puts a message where the process, which waits for one, takes it from first.
    ///
    /// # Safety
    ///
    /// The caller must own the process, and have taken it over when it was idle.
    #[inline]
    pub(super) unsafe fn give(self, message: Region) {
        #[cfg(all(loom, feature = "loom"))]
        crate::model::looks();
        // SAFETY: the caller's promise; the borrow ends before anybody else may have one.
        let owned = unsafe { self.owned() };
        debug_assert!(message.mark() == 0 && owned.inbox.is_empty() && !owned.flags.has(Flags::UNSEEN));
        owned.messages_filter = message.filter() | if owned.deferred.is_empty() { 0 } else { owned.messages_filter };
        owned.inbox.push(message);
    }

    /// Takes what has come and was not looked at yet.
    ///
    /// # Safety
    ///
    /// The caller must own the process.
    pub(super) unsafe fn take_unseen(self) -> Queue {
        // SAFETY: the caller's promise; the borrow ends with the statement.
        if !unsafe { self.owned() }.flags.set(Flags::UNSEEN, false) {
            return Queue::new();
        }
        // SAFETY: as above.
        unsafe { self.relations_if_any() }.map(|relations| std::mem::take(&mut relations.unseen)).unwrap_or_default()
    }

    /// Leaves what was not looked at for later. Without a place for it that ends the process, which answers it.
    ///
    /// # Safety
    ///
    /// The caller must own the process, of which nothing must be unseen.
    unsafe fn leave_unseen(self, mut unseen: Queue) -> Result<(), Exit> {
        if unseen.is_empty() {
            return Ok(()); // without a place for it: most processes never have one
        }
        // SAFETY: the caller's promise, here and below; each borrow ends with its statement.
        match unsafe { self.relations() } {
            Ok(relations) => relations.unseen = unseen,
            Err(error) => {
                // SAFETY: as above.
                unsafe { self.owned() }.inbox.append(&mut unseen);
                return Err(Exit::heap(error));
            }
        }
        // SAFETY: as above.
        unsafe { self.owned() }.flags.set(Flags::UNSEEN, true);
        Ok(())
    }

    /// Messages, events and signals that are out of the mailbox.
    ///
    /// # Safety
    ///
    /// The caller must own the process, or have hold of it.
    pub(super) unsafe fn private_load(self) -> Load {
        // SAFETY: the caller's promise; nothing is changed.
        let (owned, relations) = unsafe { (&*self.owned_ptr(), self.known_relations()) };
        let unseen = relations.map(|relations| relations.unseen.load()).unwrap_or_default();
        owned.inbox.load() + owned.deferred.load() + unseen
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;
    use crate::persistent::{Role, TurnMark};
    use crate::prelude::*;
    use crate::process::kept::{Idle, Kept};
    use crate::process::mailbox::PIECE;
    use crate::process::node::Node;
    use crate::process::{Remains, Settings, Timers, end};
    use std::sync::Arc;

    /// Each grace period that begins before very many messages are taken out is over before all of them are in their order.
    #[test]
    fn nobody_waits_until_very_many_messages_are_in_their_order() {
        let kept = Kept::default();
        let (store, ready, settings) = (PersistentTerms::new(), Box::new(kept.clone()), Settings::DEFAULT);
        let node = Arc::new(Node::new(store, ready, 0, settings, usize::MAX, None, Timers::virtual_time()));
        let quiescence = &node.domain().quiescence;
        let pid = node.spawn(Idle, &node.defaults, None, None, false).unwrap();
        let task = kept.0.lock().pop().unwrap();
        assert!(task.card().seize());
        let participant = quiescence.join(Role::Worker);
        quiescence.enter(participant);
        for (many, passes) in [(1, false), (PIECE, false), (PIECE + 1, true), (3 * PIECE, true)] {
            for i in 0..many {
                node.send_region(pid, Region::build(|h| h.int(u64::from(i)))).unwrap();
            }
            let epoch = quiescence.advance();
            assert!(!quiescence.has_passed(epoch));
            drain(task, participant, &mut 0).unwrap();
            assert_eq!(quiescence.has_passed(epoch), passes, "of {many}");
            quiescence.boundary(participant);
        }
        end(task, Exit::NORMAL, &mut Pieces::new(node.domain(), Some(participant)), &TurnMark::new());
        quiescence.leave(participant);
        quiescence.retire(participant);
        // Nobody else is there to look at it.
        drop(Remains::of(task));
    }
}
