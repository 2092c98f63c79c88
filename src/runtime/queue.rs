//! Run queues that never ask for memory: each worker's own, and a common one.
//!
//! A worker's own queue is a deque that others steal from, as large as it was made: it is never pushed to when it is full.
//! The common queue is a list that goes through the processes themselves, with a stack before it, on which anybody pushes
//! without a lock; who takes from the list turns the stack over onto its end. A worker whose own queue was full puts what it
//! schedules into the common one until that is empty: so whoever waits there waits no longer than who came behind.

use crate::persistent::Domain;
use crate::process::{NOBODY, Task};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::mutation::{Mutation, mutated, ordering};
use crossbeam_deque::{Stealer, Worker};
use std::cell::Cell;

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
    pub(super) fn take(&self, common: &Common, domain: &Domain) -> Option<Task> {
        if common.is_empty() {
            self.was_full.set(false);
            return None;
        }
        let room = |behind: usize| (behind / 2).min(BATCH).min(CAPACITY - self.deque.len());
        common.take(domain, room, |task| self.deque.push(task))
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
#[derive(Debug)]
pub(crate) struct Common {
    /// The slot of the newest of those that are not on the list yet, each of which leads to the one before.
    stack: AtomicU32,
    list: Mutex<List>,
    /// As long as the list, or longer than nothing while that is about to be; a hint.
    len: AtomicUsize,
}

/// Linked through the processes: each of them is scheduled, and on one queue.
#[derive(Debug)]
struct List {
    /// The slot of the first.
    first: u32,
    len: usize,
}

impl List {
    /// A stack the other way round, from the oldest on.
    fn of(newest: u32, domain: &Domain) -> Self {
        let (mut first, mut len, mut slot) = (NOBODY, 0, newest);
        while let Some(task) = Task::in_slot(domain, slot) {
            let before = task.next();
            task.set_next(first);
            (first, slot) = (slot, before);
            len += 1;
        }
        Self { first, len }
    }

    fn pop(&mut self, domain: &Domain) -> Option<Task> {
        let first = Task::in_slot(domain, self.first)?;
        self.first = first.next();
        self.len -= 1;
        Some(first)
    }
}

impl Common {
    pub(crate) fn new() -> Self {
        let list = Mutex::new(List { first: NOBODY, len: 0 });
        Self { stack: AtomicU32::new(NOBODY), list, len: AtomicUsize::new(0) }
    }

    /// Is there nobody? A hint: whoever must not miss anybody makes a fence before.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: pairs with the release of the swap in `turn_over`: who sees the stack empty because of that sees that the
        // list is not. Relaxed: the lock orders what follows.
        self.stack.load(Ordering::Acquire) == NOBODY && self.len.load(Ordering::Relaxed) == 0
    }

    /// Lock-free: an exchange.
    pub(crate) fn push(&self, task: Task) {
        let slot = task.pid().slot();
        // Relaxed: decides nothing; the exchange does.
        let mut newest = self.stack.load(Ordering::Relaxed);
        loop {
            task.set_next(newest);
            // Release: pairs with the acquire of the swap in `turn_over`: the link is written, and the process in its slot.
            // Pushes by others in between are exchanges, and so belong to the release sequence of each push before them.
            let order = ordering(Mutation::StackRelaxed, Ordering::Release);
            match self.stack.compare_exchange_weak(newest, slot, order, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => newest = now,
            }
        }
    }

    /// All of the stack, as a list.
    fn turn_over(&self, domain: &Domain) -> List {
        // Before the stack is empty, so that at each moment something says that there is somebody.
        if !mutated(Mutation::TurnedOverUntold) {
            self.len.store(1, Ordering::Relaxed);
        }
        // Acquire: pairs with the release in `push`. Release: with the acquire in `is_empty`.
        let newest = self.stack.swap(NOBODY, Ordering::AcqRel);
        List::of(newest, domain)
    }

    /// The first, and as many of those behind it as `room` says of what there is, which go to `rest`.
    pub(crate) fn take(
        &self,
        domain: &Domain,
        room: impl FnOnce(usize) -> usize,
        rest: impl FnMut(Task),
    ) -> Option<Task> {
        let mut list = self.list.lock();
        if list.len == 0 {
            *list = self.turn_over(domain);
        }
        let first = list.pop(domain);
        (0..room(list.len)).map_while(|_| list.pop(domain)).for_each(rest);
        self.len.store(list.len, Ordering::Relaxed);
        first
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
    use crate::process::kept::{Idle, Kept};
    use crate::process::{Node, Settings, Timers};
    use std::sync::Arc;

    /// So many processes that are scheduled.
    fn scheduled(n: usize, f: impl FnOnce(&Domain, &[Task])) {
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
        f(node.domain(), &kept.0.lock());
        node.close();
        crate::runtime::end_all(&node);
    }

    #[test]
    fn the_common_queue_is_first_in_first_out() {
        scheduled(10, |domain, tasks| {
            let common = Common::new();
            let take = || common.take(domain, |_| 0, |_| ());
            assert_eq!((take(), common.is_empty()), (None, true));
            tasks[..7].iter().for_each(|&task| common.push(task));
            assert_eq!([(); 5].map(|()| take().unwrap()), tasks[..5]);
            tasks[7..].iter().for_each(|&task| common.push(task));
            assert!(!common.is_empty());
            assert_eq!([(); 5].map(|()| take().unwrap()), tasks[5..]);
            assert_eq!((take(), common.is_empty()), (None, true));
        });
    }

    #[test]
    fn of_what_threads_push_and_take_at_once_each_is_taken_once() {
        const THREADS: usize = 4;
        scheduled(1000, |domain, tasks| {
            let (common, left) = (&Common::new(), &AtomicUsize::new(tasks.len()));
            let taken = std::thread::scope(|scope| {
                let work = |mine: Vec<Task>| {
                    move || {
                        for &task in &mine {
                            common.push(task);
                        }
                        let mut taken = Vec::new();
                        while left.load(Ordering::Relaxed) > 0 {
                            let before = taken.len();
                            let first = common.take(domain, |behind| behind / 2, |task| taken.push(task));
                            taken.extend(first);
                            left.fetch_sub(taken.len() - before, Ordering::Relaxed);
                        }
                        taken
                    }
                };
                let threads: Vec<_> =
                    tasks.chunks(tasks.len() / THREADS).map(|mine| scope.spawn(work(mine.to_vec()))).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            let sorted = |tasks: &[Task]| {
                let mut pids: Vec<_> = tasks.iter().map(|task| task.pid()).collect();
                pids.sort();
                pids
            };
            assert_eq!(sorted(&taken), sorted(tasks));
            assert!(common.is_empty());
        });
    }

    #[test]
    fn a_queue_takes_no_more_than_it_has_room_for_and_keeps_the_order() {
        scheduled(500, |domain, tasks| {
            let (own, common) = (Own::new(), Common::new());
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
            while let Some(task) = own.pop().or_else(|| own.take(&common, domain)) {
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
            assert_eq!(own.take(&common, domain), Some(tasks[CAPACITY]));
            assert_eq!(own.len(), CAPACITY);
        });
    }
}
