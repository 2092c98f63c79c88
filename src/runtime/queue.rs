//! Run queues that never ask for memory: each worker's own, and a common one.
//!
//! A worker's own queue is a deque that others steal from, as large as it was made: it is never pushed to when it is full.
//! The common queue is a list that goes through the processes themselves. A worker whose own queue was full puts what it
//! schedules into the common one until that is empty: so whoever waits there waits no longer than who came behind.

use crate::process::Task;
use crate::sync::Mutex;
use crossbeam_deque::{Stealer, Worker};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many as a deque has room for when it is made.
const CAPACITY: usize = 64;
/// How many go from the common queue to one of a worker at once.
const BATCH: usize = 32;

/// The queue of a worker.
pub(super) struct Own {
    deque: Worker<Task>,
    /// Was it full, and the common queue not empty since?
    was_full: Cell<bool>,
}

impl Own {
    pub(super) fn new() -> Self {
        Self { deque: Worker::new_fifo(), was_full: Cell::new(false) }
    }

    /// For those who take from it when they have nothing else.
    pub(super) fn stealer(&self) -> Stealer<Task> {
        self.deque.stealer()
    }

    /// How many wait here.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.deque.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deque.is_empty()
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<Task> {
        self.deque.pop()
    }

    /// Does a process that is scheduled now, with so many here, go to the common queue?
    #[inline]
    pub(super) fn is_full(&self, len: usize) -> bool {
        len >= CAPACITY || self.was_full.get()
    }

    /// Puts it behind those that wait here, which must not [be full](Self::is_full).
    #[inline]
    pub(super) fn push(&self, task: Task) {
        debug_assert!(self.deque.len() < CAPACITY, "it would ask for memory");
        self.deque.push(task);
    }

    /// Puts it into the common queue, as everything from here on until that is empty.
    #[cold]
    pub(super) fn push_over(&self, task: Task, common: &Common) {
        self.was_full.set(true);
        common.push(task);
    }

    /// Takes the first of the common queue, and half of those behind it here, as far as there is room.
    pub(super) fn take(&self, common: &Common) -> Option<Task> {
        if common.is_empty() {
            self.was_full.set(false);
            return None;
        }
        let mut list = common.list.lock();
        let first = list.pop();
        let batch = (list.len / 2).min(BATCH).min(CAPACITY - self.deque.len());
        (0..batch).map_while(|_| list.pop()).for_each(|task| self.deque.push(task));
        common.len.store(list.len, Ordering::Relaxed);
        first
    }

    /// Steals for a worker that has nothing here.
    pub(super) fn steal(&self, from: &Stealer<Task>) -> Option<Task> {
        debug_assert!(self.is_empty(), "there is room for a batch");
        std::iter::repeat_with(|| from.steal_batch_with_limit_and_pop(&self.deque, BATCH))
            .find(|stolen| !stolen.is_retry())?
            .success()
    }
}

/// What is scheduled by threads that are no workers, or did not go into the queue of one.
#[derive(Default)]
pub(super) struct Common {
    list: Mutex<List>,
    /// As long as the list; a hint.
    len: AtomicUsize,
}

/// Linked through the processes: each of them is scheduled, and on one queue.
#[derive(Default)]
struct List {
    /// The first and the last.
    ends: Option<(Task, Task)>,
    len: usize,
}

impl List {
    fn push(&mut self, task: Task) {
        task.set_next(None);
        match &mut self.ends {
            None => self.ends = Some((task, task)),
            Some((_, last)) => {
                last.set_next(Some(task));
                *last = task;
            }
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Task> {
        let (first, last) = self.ends?;
        self.ends = first.next().map(|next| (next, last));
        self.len -= 1;
        Some(first)
    }
}

impl Common {
    /// Is there nobody? A hint: whoever must not miss anybody makes a fence before.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: the lock orders what follows.
        self.len.load(Ordering::Relaxed) == 0
    }

    pub(super) fn push(&self, task: Task) {
        let mut list = self.list.lock();
        list.push(task);
        self.len.store(list.len, Ordering::Relaxed);
    }

    /// Takes over some of what waits for a worker that is in a long turn. `true`: there was somebody.
    pub(super) fn take_from(&self, worker: &Stealer<Task>) -> bool {
        // If another is faster, or in the way, there is the next time.
        let stolen = || worker.steal().success();
        std::iter::from_fn(stolen).take(BATCH).map(|task| self.push(task)).count() > 0
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;
    use crate::prelude::*;
    use crate::process::{Node, Ready, Settings, Timers};
    use std::sync::Arc;

    /// Keeps what it is given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Task>>>);

    impl Ready for Kept {
        fn ready(&self, task: Task) {
            self.0.lock().push(task);
        }
    }

    struct Idle;

    impl Process for Idle {
        fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
            Ok(Next(state))
        }
    }

    /// So many processes that are scheduled.
    fn scheduled(n: usize, f: impl FnOnce(&[Task])) {
        let kept = Kept::default();
        let node = Node::new(
            PersistentTerms::new(),
            Box::new(kept.clone()),
            0,
            Settings::DEFAULT,
            usize::MAX,
            None,
            Timers::virtual_time(),
        );
        let node = Arc::new(node);
        for _ in 0..n {
            node.spawn(Idle, &node.defaults, None, None, false).unwrap();
        }
        f(&kept.0.lock());
        node.close();
        crate::runtime::end_all(&node);
    }

    #[test]
    fn the_common_queue_is_first_in_first_out() {
        scheduled(10, |tasks| {
            let mut list = List::default();
            assert_eq!(list.pop(), None);
            tasks[..7].iter().for_each(|&task| list.push(task));
            assert_eq!([(); 5].map(|()| list.pop().unwrap()), tasks[..5]);
            tasks[7..].iter().for_each(|&task| list.push(task));
            assert_eq!([(); 5].map(|()| list.pop().unwrap()), tasks[5..]);
            assert_eq!((list.pop(), list.len), (None, 0));
        });
    }

    #[test]
    fn a_queue_takes_no_more_than_it_has_room_for_and_keeps_the_order() {
        scheduled(500, |tasks| {
            let (own, common) = (Own::new(), Common::default());
            for &task in tasks {
                if own.is_full(own.len()) {
                    own.push_over(task, &common);
                } else {
                    own.push(task);
                }
                assert!(own.len() <= CAPACITY);
            }
            // One that is scheduled meanwhile comes behind all of them, though there is room.
            let (mut seen, mut again) = (Vec::new(), Some(tasks[0]));
            while let Some(task) = own.pop().or_else(|| own.take(&common)) {
                seen.push(task);
                if seen.len() == 10
                    && let Some(task) = again.take()
                {
                    assert!(own.is_full(own.len()));
                    own.push_over(task, &common);
                }
            }
            assert_eq!(seen[..500], *tasks);
            assert_eq!((seen[500..].to_vec(), own.is_full(own.len())), (vec![tasks[0]], false));
            // A look at the common queue when the own is not empty.
            tasks[..CAPACITY - 1].iter().for_each(|&task| own.push(task));
            tasks[CAPACITY..].iter().for_each(|&task| common.push(task));
            assert_eq!(own.take(&common), Some(tasks[CAPACITY]));
            assert_eq!(own.len(), CAPACITY);
        });
    }
}
