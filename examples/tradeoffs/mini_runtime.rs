//! Processes for the rows that are there for comparison: as small as they can be and still be processes.
//!
//! A process is a mailbox and the one thing it holds. A few worker threads share one queue of processes that have
//! something to do. That is all the library's runtime does for the work measured here, less heaps, exits, links and
//! stealing, so that a row pays for its way of sharing and for little else.
//!
//! The world can be *stopped*: what one shared heap needs, in which a collection moves what everybody reads.

use std::collections::{LinkedList, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

/// Something to do with what a process holds.
pub(crate) type Job<T> = Box<dyn FnOnce(&T) + Send>;

/// What a process is sent.
pub(crate) enum Letter<T> {
    /// Hold this, and let go of what was held before.
    Hold(T),
    Forget,
    /// Answered only by a process that holds something.
    Run(Job<T>),
    /// As a turn of its own until it says no.
    Repeat(Box<dyn FnMut(&T) -> bool + Send>),
}

pub(crate) struct Process<T> {
    inbox: Mutex<Inbox<T>>,
    /// Locked for the length of a turn.
    holds: Mutex<Option<T>>,
}

struct Inbox<T> {
    #[expect(
        clippy::linkedlist,
        reason = "an idle process keeps no buffer: a letter is an allocation, gone when read"
    )]
    letters: LinkedList<Letter<T>>,
    /// In the queue, or in a worker's hands.
    scheduled: bool,
}

impl<T> Default for Process<T> {
    fn default() -> Self {
        Self { inbox: Mutex::new(Inbox { letters: LinkedList::new(), scheduled: false }), holds: Mutex::new(None) }
    }
}

impl<T> Process<T> {
    /// Keeps the process from running, and gives what it holds. Waits for the end of its turn.
    pub(crate) fn stopped(&self) -> MutexGuard<'_, Option<T>> {
        lock(&self.holds)
    }

    /// Calls `f` with everything that is on its way to the process.
    pub(crate) fn waiting(&self, mut f: impl FnMut(&mut T)) {
        for letter in &mut lock(&self.inbox).letters {
            if let Letter::Hold(held) = letter {
                f(held);
            }
        }
    }
}

struct Queue<T> {
    ready: VecDeque<Arc<Process<T>>>,
    /// Workers that wait. Waking is a system call, which a sender makes only where somebody sleeps.
    sleeping: usize,
    stop: bool,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
    /// Read by each turn of a world that can be stopped.
    running: Option<RwLock<()>>,
}

/// With no workers the processes run when told to, on the caller's thread.
pub(crate) struct MiniRuntime<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
}

/// A panic in a job ends its worker with the lock free and the queue whole; the row then reports that no answer came.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn spawn<T>(count: usize) -> Vec<Arc<Process<T>>> {
    (0..count).map(|_| Arc::default()).collect()
}

impl<T: Send + 'static> MiniRuntime<T> {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with(workers, None)
    }

    /// One in which [`stop`](Self::stop) works, which each turn pays for.
    pub(crate) fn stoppable(workers: usize) -> Self {
        Self::with(workers, Some(RwLock::new(())))
    }

    fn with(workers: usize, running: Option<RwLock<()>>) -> Self {
        let queue = Queue { ready: VecDeque::new(), sleeping: 0, stop: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake: Condvar::new(), running });
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

    pub(crate) fn send(&self, to: &Arc<Process<T>>, letter: Letter<T>) {
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

    /// Runs `f` while no process runs: waits for every turn under way, and keeps all others waiting.
    pub(crate) fn stop<R>(&self, f: impl FnOnce() -> R) -> R {
        let _stopped =
            self.shared.running.as_ref().map(|running| running.write().unwrap_or_else(PoisonError::into_inner));
        f()
    }
}

impl<T> Drop for MiniRuntime<T> {
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on stderr, and its job's answer is missing.
            let _ = worker.join();
        }
    }
}

impl<T> Shared<T> {
    fn schedule(&self, process: Arc<Process<T>>) {
        let mut queue = lock(&self.queue);
        queue.ready.push_back(process);
        let asleep = queue.sleeping > 0;
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// `None` once the runtime is dropped.
    fn next_or_wait(&self) -> Option<Arc<Process<T>>> {
        let mut queue = lock(&self.queue);
        while queue.ready.is_empty() && !queue.stop {
            queue.sleeping += 1;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.sleeping -= 1;
        }
        if queue.stop { None } else { queue.ready.pop_front() }
    }

    /// One letter.
    fn turn(&self, process: Arc<Process<T>>) {
        let running = self.running.as_ref().map(|running| running.read().unwrap_or_else(PoisonError::into_inner));
        let letter = lock(&process.inbox).letters.pop_front();
        match letter {
            // What was held may end here, which takes its time: not under the lock.
            Some(Letter::Hold(new)) => drop({
                let mut holds = lock(&process.holds);
                holds.replace(new)
            }),
            Some(Letter::Forget) => drop({
                let mut holds = lock(&process.holds);
                holds.take()
            }),
            Some(Letter::Run(job)) => {
                if let Some(held) = &*lock(&process.holds) {
                    job(held);
                }
            }
            Some(Letter::Repeat(mut job)) => {
                let again = lock(&process.holds).as_ref().is_some_and(&mut job);
                if again {
                    lock(&process.inbox).letters.push_back(Letter::Repeat(job));
                }
            }
            None => {}
        }
        drop(running);
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

    #[test]
    fn letters_are_read_in_order_by_one_worker_at_a_time() {
        let runtime = MiniRuntime::new(2);
        let (tell, told) = mpsc::channel();
        let process = Arc::<Process<u64>>::default();
        runtime.send(&process, Letter::Hold(7));
        for nth in 0..1_000_u64 {
            let tell = tell.clone();
            runtime.send(&process, Letter::Run(Box::new(move |held| tell.send(nth + held).unwrap())));
        }
        drop(tell);
        assert!(told.iter().eq(7..1_007));
    }

    #[test]
    fn without_workers_nothing_runs_until_told() {
        let runtime = MiniRuntime::new(0);
        let old = Arc::new(());
        let processes = spawn(3);
        for process in &processes {
            runtime.send(process, Letter::Hold(Arc::clone(&old)));
        }
        assert_eq!(Arc::strong_count(&old), 4);
        runtime.run_until_idle();
        for process in &processes {
            runtime.send(process, Letter::Hold(Arc::new(())));
        }
        assert_eq!(Arc::strong_count(&old), 4);
        runtime.run_until_idle();
        assert_eq!(Arc::strong_count(&old), 1);
        let new = Arc::new(());
        runtime.send(&processes[0], Letter::Hold(Arc::clone(&new)));
        let mut waiting = 0;
        processes[0].waiting(|_| waiting += 1);
        runtime.send(&processes[0], Letter::Forget);
        runtime.run_until_idle();
        assert_eq!((waiting, Arc::strong_count(&new)), (1, 1));
        assert!(processes[0].stopped().is_none());
    }

    #[test]
    fn a_stop_waits_for_the_turn_under_way_and_keeps_the_next_one_waiting() {
        let runtime = MiniRuntime::stoppable(2);
        let processes = spawn(2);
        for process in &processes {
            runtime.send(process, Letter::Hold(()));
        }
        let (say, said) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let first = say.clone();
        let job = move |(): &()| {
            first.send("it began").unwrap();
            ends.recv().unwrap();
            first.send("it ended").unwrap();
        };
        runtime.send(&processes[0], Letter::Run(Box::new(job)));
        assert_eq!(said.recv(), Ok("it began"));
        let (runtime, processes) = (&runtime, &processes);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                runtime.stop(|| {
                    let next = say.clone();
                    let job = move |(): &()| next.send("the next").unwrap();
                    runtime.send(&processes[1], Letter::Run(Box::new(job)));
                    // Long enough for a worker that is not kept waiting, now that it has something to do.
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    say.send("the stop").unwrap();
                });
            });
            end.send(()).unwrap();
        });
        assert_eq!([said.recv(), said.recv(), said.recv()], [Ok("it ended"), Ok("the stop"), Ok("the next")]);
    }
}
