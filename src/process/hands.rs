//! What a worker has at hand for the processes that it spawns and that end with it: pids, and counts of its own. Neither
//! takes a lock then, nor writes a line that others write.
//!
//! A thread that is no worker, or spawns in another runtime than the one that it works for, goes to what all share.

use super::cell::Task;
use super::node::Node;
use crate::Pid;
use crate::heap::HeapError;
use crate::persistent::{Door, again};
use crate::sync::thread_local_unmodelled;
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

/// Pids that a worker has room for, and takes at once when it has none.
const ROOM: usize = 128;
const AT_ONCE: usize = 32;

struct Hands {
    /// Whose worker this thread is; null for none.
    node: Cell<*const Node>,
    /// Which of its workers.
    worker: Cell<usize>,
    /// A ring, of which `len` from `first` on are for slots that nobody else was given.
    places: [Cell<Option<(Pid, Door)>>; ROOM],
    first: Cell<usize>,
    len: Cell<usize>,
}

thread_local_unmodelled! {
    static HANDS: Hands = const { Hands {
        node: Cell::new(ptr::null()),
        worker: Cell::new(0),
        places: [const { Cell::new(None) }; ROOM],
        first: Cell::new(0),
        len: Cell::new(0),
    } };
}

// What is done with the hands of a thread is a function of its own each, so that `with` is small enough to be compiled into who
// asks: one that is shared calls another function to find the thread's.
impl Hands {
    #[inline(always)]
    fn are_of(&self, node: &Node) -> bool {
        ptr::eq(self.node.get(), node)
    }

    #[inline(always)]
    fn take(&self) -> Option<(Pid, Door)> {
        let len = self.len.get().checked_sub(1)?;
        self.len.set(len);
        let first = self.first.get();
        self.first.set((first + 1) % ROOM);
        self.places[first].get()
    }

    #[inline(always)]
    fn begin(&self, node: &Node) -> Option<(Pid, Door)> {
        let place = if self.are_of(node) { self.take() } else { None };
        if place.is_some() {
            node.processes.begin_at(self.worker.get());
        }
        place
    }

    /// Takes some pids, one at least, if there is any.
    #[inline(never)]
    fn fetch(&self, node: &Node) -> Result<(), HeapError> {
        let slots = &node.domain().slots;
        let fetched = slots.take_some(AT_ONCE, |pid| _ = self.put(pid, slots.door(pid.slot())));
        // One is enough.
        if self.len.get() == 0 { fetched } else { Ok(()) }
    }

    /// `false`: there is no room.
    #[inline]
    fn put(&self, pid: Pid, door: Door) -> bool {
        let len = self.len.get();
        if len == ROOM {
            return false;
        }
        self.places[(self.first.get() + len) % ROOM].set(Some((pid, door)));
        self.len.set(len + 1);
        true
    }

    #[inline(never)]
    fn give(&self, node: &Node, tasks: impl Iterator<Item = Task>) {
        let mine = self.are_of(node);
        // One whose generations are used up goes back too, so that it is known how far those of the tag are.
        let keep = |task: &Task| again(task.pid()).is_some_and(|pid| self.put(pid, task.header().recipient.door));
        let mut rest = tasks.skip_while(|task| mine && keep(task)).peekable();
        if rest.peek().is_some() {
            node.domain().slots.give(rest.map(|task| task.pid()));
        }
    }
}

/// A pid for a new process of the node, which is counted, and the door of its slot. `None`: there is no slot.
#[inline(always)]
pub(super) fn begin(node: &Node) -> Result<Option<(Pid, Door)>, HeapError> {
    // Of what is at hand two words tell, in registers. An answer with an error in it goes through memory, and is copied there
    // in pieces of another size than it was written in, which waits for each to leave the processor.
    match at_hand(node) {
        None => begin_slowly(node),
        place => Ok(place),
    }
}

fn at_hand(node: &Node) -> Option<(Pid, Door)> {
    HANDS.with(|hands| hands.begin(node))
}

/// As [`begin`], of a thread that is no worker of the node, or has nothing at hand.
#[inline(never)]
fn begin_slowly(node: &Node) -> Result<Option<(Pid, Door)>, HeapError> {
    if worker(node).is_some() {
        HANDS.with(|hands| hands.fetch(node))?;
        return Ok(at_hand(node));
    }
    let slots = &node.domain().slots;
    node.ready.reserve()?;
    let taken = slots.take();
    let Ok(Some(pid)) = taken else {
        node.ready.unreserve();
        return taken.map(|_| None);
    };
    node.processes.begin();
    Ok(Some((pid, slots.door(pid.slot()))))
}

/// Gives the slots of ended processes back, a grace period after they were vacated: to this worker, who uses them again, as
/// far as it has room.
pub(super) fn give(node: &Node, tasks: impl Iterator<Item = Task>) {
    HANDS.with(|hands| hands.give(node, tasks));
}

/// Counts the end of a process of the node.
pub(super) fn end(node: &Node) {
    match worker(node) {
        Some(worker) => node.processes.end_at(worker),
        None => node.processes.end(),
    }
}

/// Which worker of the node this thread is.
#[inline]
pub(super) fn worker(node: &Node) -> Option<usize> {
    HANDS.with(|hands| hands.are_of(node).then(|| hands.worker.get()))
}

/// Makes this thread, for as long as the guard lives, the worker of the node with this index, which no other thread is.
pub(crate) fn enter(node: &Arc<Node>, worker: usize) -> Entered {
    assert!(worker < node.processes.workers());
    HANDS.with(|hands| {
        hands.node.set(Arc::as_ptr(node));
        hands.worker.set(worker);
    });
    Entered(Arc::clone(node))
}

/// See [`enter`].
pub(crate) struct Entered(Arc<Node>);

impl Drop for Entered {
    fn drop(&mut self) {
        HANDS.with(|hands| {
            hands.node.set(ptr::null());
            self.0.domain().slots.give_unused(std::iter::from_fn(|| {
                hands.len.set(hands.len.get().checked_sub(1)?);
                hands.places[(hands.first.get() + hands.len.get()) % ROOM].get().map(|(pid, _)| pid)
            }));
        });
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;
    use crate::persistent::TurnMark;
    use crate::prelude::*;
    use crate::process::kept::{Idle, Kept};
    use crate::process::{Pieces, Remains, Settings, Timers, end as end_process};
    use crate::term::word::GENERATIONS;

    #[test]
    fn a_slot_whose_generations_are_used_up_in_hand_uses_up_those_of_the_tag() {
        let kept = Kept::default();
        let (store, ready, settings) = (PersistentTerms::new(), Box::new(kept.clone()), Settings::DEFAULT);
        let node = Arc::new(Node::new(store, ready, 1, settings, usize::MAX, None, Timers::virtual_time()));
        let slots = &node.domain().slots;
        let pid = slots.take().unwrap().unwrap();
        slots.give([Pid::new(pid.tag(), pid.slot(), GENERATIONS - 3)]);
        let entered = enter(&node, 0);
        let mut generations = Vec::new();
        for _ in 0..2 * AT_ONCE {
            let pid = node.spawn(Idle, &node.defaults, None, None, false).unwrap();
            generations.extend((pid.slot() == 0).then(|| pid.generation()));
            let task = kept.0.lock().pop().unwrap();
            assert!(task.card().seize());
            end_process(task, Exit::NORMAL, &mut Pieces::new(node.domain(), None), &TurnMark::new());
            // Nobody else is there to look at it.
            drop(Remains::of(task));
        }
        assert_eq!(generations, [GENERATIONS - 2, GENERATIONS - 1]);
        assert_eq!(slots.first_unused(), GENERATIONS, "a domain that had the tag next would give them again");
        drop(entered);
    }
}
