//! Processes for the row that counts references: as small as they can be and still be processes.
//!
//! A process is a mailbox and the one thing it holds, a counted reference to the table. A few worker threads share one
//! queue of processes that have something to do. That is all the library's runtime does for the work measured here, less
//! heaps, exits, links and stealing, so that the row pays for its counters and for little else.

use std::collections::{LinkedList, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::arc_tree::Table;

/// Something to do with what a process holds.
pub(crate) type Job = Box<dyn FnOnce(&Arc<Table>) + Send>;

/// What a process is sent.
pub(crate) enum Letter {
    /// Hold this table, and let go of the one held before.
    Hold(Arc<Table>),
    /// Answered only by a process that holds a table.
    Run(Job),
}

#[derive(Default)]
pub(crate) struct Process {
    inbox: Mutex<Inbox>,
    holds: Mutex<Option<Arc<Table>>>,
}

#[derive(Default)]
struct Inbox {
    #[expect(
        clippy::linkedlist,
        reason = "an idle process keeps no buffer: a letter is an allocation, gone when read"
    )]
    letters: LinkedList<Letter>,
    /// In the queue, or in a worker's hands.
    scheduled: bool,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Arc<Process>>,
    /// Workers that wait. Waking is a system call, which a sender makes only where somebody sleeps.
    sleeping: usize,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// With no workers the processes run when told to, on the caller's thread.
pub(crate) struct ArcRuntime {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// A panic in a job ends its worker with the lock free and the queue whole; the row then reports that no answer came.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ArcRuntime {
    pub(crate) fn new(workers: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let work = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                while let Some(process) = shared.next_or_wait() {
                    shared.turn(process);
                }
            })
        };
        let workers = (0..workers).map(work).collect();
        Self { shared, workers }
    }

    pub(crate) fn send(&self, to: &Arc<Process>, letter: Letter) {
        let mut inbox = lock(&to.inbox);
        inbox.letters.push_back(letter);
        if !std::mem::replace(&mut inbox.scheduled, true) {
            drop(inbox);
            self.shared.schedule(Arc::clone(to));
        }
    }

    pub(crate) fn run_until_idle(&self) {
        loop {
            let Some(process) = lock(&self.shared.queue).ready.pop_front() else { return };
            self.shared.turn(process);
        }
    }
}

impl Drop for ArcRuntime {
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on stderr, and its job's answer is missing.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn schedule(&self, process: Arc<Process>) {
        let mut queue = lock(&self.queue);
        queue.ready.push_back(process);
        let asleep = queue.sleeping > 0;
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// `None` once the runtime is dropped.
    fn next_or_wait(&self) -> Option<Arc<Process>> {
        let mut queue = lock(&self.queue);
        while queue.ready.is_empty() && !queue.stop {
            queue.sleeping += 1;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.sleeping -= 1;
        }
        if queue.stop { None } else { queue.ready.pop_front() }
    }

    /// One letter.
    fn turn(&self, process: Arc<Process>) {
        let letter = lock(&process.inbox).letters.pop_front();
        match letter {
            // The old table may end here, which takes its time: not under the lock.
            Some(Letter::Hold(table)) => drop({
                let mut holds = lock(&process.holds);
                holds.replace(table)
            }),
            Some(Letter::Run(job)) => {
                let held = lock(&process.holds).clone();
                if let Some(table) = held {
                    job(&table);
                }
            }
            None => {}
        }
        let mut inbox = lock(&process.inbox);
        if inbox.letters.is_empty() {
            inbox.scheduled = false;
        } else {
            drop(inbox);
            self.schedule(process);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::document::Document;

    #[test]
    fn letters_are_read_in_order_by_one_worker_at_a_time() {
        let runtime = ArcRuntime::new(2);
        let (tell, told) = mpsc::channel();
        let process = Arc::<Process>::default();
        runtime.send(&process, Letter::Hold(Table::new(&Document::shipped().unwrap(), 7, None)));
        for nth in 0..1_000_u64 {
            let tell = tell.clone();
            runtime.send(&process, Letter::Run(Box::new(move |table| tell.send(nth + table.version).unwrap())));
        }
        drop(tell);
        assert!(told.iter().eq(7..1_007));
    }

    #[test]
    fn without_workers_nothing_runs_until_told() {
        let runtime = ArcRuntime::new(0);
        let (tell, ended) = mpsc::channel();
        let document = Document::shipped().unwrap();
        let processes: Vec<_> = (0..3).map(|_| Arc::<Process>::default()).collect();
        let old = Table::new(&document, 1, Some(tell));
        for process in &processes {
            runtime.send(process, Letter::Hold(Arc::clone(&old)));
        }
        drop(old);
        runtime.run_until_idle();
        let new = Table::new(&document, 2, None);
        for process in &processes {
            runtime.send(process, Letter::Hold(Arc::clone(&new)));
        }
        assert!(ended.try_recv().is_err());
        runtime.run_until_idle();
        assert!(ended.try_recv().is_ok());
    }
}
