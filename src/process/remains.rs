//! What is left of processes until nobody can look at them any more. Linked through words of their own, which nobody reads then:
//! an end takes no memory (invariant 10).

use super::cell::Task;
use super::hands;
use super::node::Node;
use crate::persistent::{Chain, Domain, Link};
use crate::sync::mutation::{Mutation, mutated};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// Ended processes of one node that wait for their grace period, to be freed and to give their slots back.
#[derive(Default)]
pub(crate) struct Remains {
    tasks: Chain,
    /// What the processes do not hold by themselves; none without processes.
    node: Option<Arc<Node>>,
}

// SAFETY: who has them owns the processes, as with a `Task`.
unsafe impl Send for Remains {}

impl Remains {
    /// As [`push`](Self::push), of one.
    pub(crate) fn of(task: Task) -> Self {
        let mut remains = Self::default();
        remains.push(task);
        remains
    }

    /// The process must have ended, be out of its slot, and be the caller's.
    pub(crate) fn push(&mut self, task: Task) {
        self.node.get_or_insert_with(|| Arc::clone(&task.header().node));
        // SAFETY: the caller's promise: nobody else links it, and it stays until it is freed.
        unsafe { self.tasks.push(task.bury(Link::new(end))) };
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Takes those of another over, of the same node.
    pub(crate) fn append(&mut self, other: Self) {
        let mut other = ManuallyDrop::new(other);
        let node = other.node.take();
        self.node = self.node.take().or(node);
        // SAFETY: they are no longer on the other list.
        unsafe { self.tasks.append(std::mem::take(&mut other.tasks)) };
    }

    /// Leaves them to the domain, to be freed a grace period from now. Each keeps the node.
    pub(crate) fn into_limbo(self, domain: &Domain) {
        let mut this = ManuallyDrop::new(self);
        let Some(node) = this.node.take() else { return };
        for _ in 0..this.tasks.len() {
            std::mem::forget(Arc::clone(&node)); // taken over in `end`
        }
        // SAFETY: they are linked in words of their own, and end as the link says.
        unsafe { domain.limbo.put_all(&domain.quiescence, std::mem::take(&mut this.tasks)) };
    }
}

/// Ends one that was left to the domain.
///
/// # Safety
///
/// The link must be that of a process that [`Remains::into_limbo`] was called for, a grace period ago.
unsafe fn end(link: NonNull<Link>) {
    // SAFETY: the caller's promise; what the process leads to is counted once for it.
    unsafe {
        let task = Task::buried(link);
        let node = Arc::from_raw(Arc::as_ptr(&task.header().node));
        if !mutated(Mutation::SlotBackAtOnce) {
            hands::give(&node, std::iter::once(task));
        }
        task.free();
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let Some(node) = &self.node else { return };
        if !mutated(Mutation::SlotBackAtOnce) {
            // SAFETY: whoever drops this has waited for the grace period, here and below.
            hands::give(node, self.tasks.iter().map(|link| unsafe { Task::buried(link) }));
        }
        while let Some(link) = self.tasks.pop() {
            // SAFETY: as above.
            unsafe { Task::buried(link).free() };
        }
    }
}
