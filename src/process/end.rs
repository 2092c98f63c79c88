//! The end of a process, in pieces: others wait for a grace period, and not for a million messages or links.

use super::cell::Task;
use super::observer::Observed;
use super::run::{LONG_COLLECTION, Offline};
use super::{Exit, Queue, caught, signals};
use crate::heap::literal;
use crate::persistent::{Domain, Participant, TurnMark};
use crate::sync::mutation::{Mutation, mutated};

/// Messages, signals or timers between two boundaries.
const PIECE: u32 = 256;

/// Passes a boundary now and then. What ends a process looks at nothing but what is its owner's from one message to the next,
/// and from one signal to the next. Before it has answered a collection that asks, what its messages point into stays.
#[derive(Debug)]
pub(crate) struct Pieces<'d> {
    domain: &'d Domain,
    /// `None`: whoever is online may look at something else besides.
    participant: Option<&'d Participant>,
    left: u32,
}

impl<'d> Pieces<'d> {
    pub(crate) fn new(domain: &'d Domain, participant: Option<&'d Participant>) -> Self {
        Self { domain, participant, left: PIECE }
    }

    /// One message, signal or timer has been seen to.
    #[inline]
    pub(crate) fn one(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.boundary();
        }
    }

    /// Passes a boundary.
    #[cold]
    pub(super) fn boundary(&mut self) {
        self.left = PIECE;
        if let Some(participant) = self.participant
            && self.domain.quiescence.boundary(participant)
        {
            self.domain.passed();
        }
    }

    /// Offline, for something long in one piece.
    fn offline(&self, long: bool) -> Option<Offline<'d>> {
        self.participant.filter(|_| long).map(|participant| Offline::new(self.domain, participant))
    }
}

/// Ends a process (R7): its behaviour, heap and messages go first, then its slot; the swap of the card answers a
/// collection that asks. The caller owns it, and is online as the participant of `pieces`, if there is one, or as another, and
/// has marked its thread, for which the destructors must not wait.
pub(crate) fn end(task: Task, exit: Exit, pieces: &mut Pieces<'_>, _mark: &TurnMark) {
    // The process is the caller's to bury, so its header, which leads to the node, stays.
    let node = &task.header().node;
    let domain = node.domain();
    // SAFETY: the caller owns the process, and it runs no more.
    let last = node.observed.as_ref().map(|observed| (observed, unsafe { Observed::last_figures(task) }));
    // SAFETY: as above.
    unsafe { task.end_behaviour(&exit) };
    // SAFETY: as above.
    let mut rest = unsafe { task.take_unseen() };
    // SAFETY: as above.
    let owned = unsafe { task.owned() };
    if mutated(Mutation::DeadBeforeDrop) {
        task.card().die(&domain.collector);
    }
    task.header().recipient.mailbox().close(&mut rest, &node.surveys, || pieces.boundary());
    if !(owned.inbox.is_empty() && rest.is_empty() && owned.deferred.is_empty()) {
        // SAFETY: as above.
        unsafe { drop_messages(task, [&mut owned.inbox, &mut rest, &mut owned.deferred], pieces) };
    }
    // The last use of what the heap points into, as far as a model is concerned.
    literal::note_use(owned.state);
    if owned.heap.has_memory() {
        let _offline = pieces.offline(owned.heap.used() > LONG_COLLECTION);
        let _ = caught(|| owned.heap.clear());
    }
    // SAFETY: as above. Most know of nobody, and nobody knows of them.
    let known = unsafe { task.known_relations() }.is_some();
    if known {
        // SAFETY: as above.
        unsafe { signals::give_name_back(task) };
    }
    task.header().recipient.door.vacate();
    if !mutated(Mutation::DeadBeforeDrop) {
        domain.collector.after(task.card().die(&domain.collector), domain);
    }
    if known {
        // SAFETY: as above.
        unsafe { signals::farewell(task, &exit, pieces) };
    }
    if mutated(Mutation::SlotBackAtOnce) {
        domain.slots.give([task.pid()]);
    }
    if let Some((observed, last)) = last {
        observed.exited(task.pid(), &exit, &last);
    }
    node.ended(task.pid(), exit, pieces);
}

/// Answers and drops what nobody will receive any more.
///
/// # Safety
///
/// The caller must own the process, which has ended.
#[inline(never)]
unsafe fn drop_messages(task: Task, queues: [&mut Queue; 3], pieces: &mut Pieces<'_>) {
    for queue in queues {
        while let Some(message) = queue.pop() {
            if !mutated(Mutation::EndForgetsSignals) {
                // SAFETY: the caller's promise.
                unsafe { signals::too_late(task, &message) };
            }
            // Dropping a resource runs user code, which may unwind; what follows it is dropped all the same.
            let _ = caught(|| drop(message));
            pieces.one();
        }
    }
}
