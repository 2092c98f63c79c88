//! The same work in Rust without the library: the references of rows that are held against the hardware, and what
//! stands beside OTP in the others.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::hint::black_box;
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, RwLock, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::by_hand;
use crate::resident;
use crate::rows::{Plan, Sampler};
use crate::timing::{Batch, per, timed};

// One cell of memory.

/// The cheapest read that sees another thread's writes.
pub(crate) fn relaxed_load(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, cell) = (Batch::new(plan.batch), AtomicU64::new(1));
    Ok(Box::new(move || Ok(batch.gross(|_| black_box(&cell).load(Ordering::Relaxed)))))
}

/// The least that a handle can do which leads to a value that others replace: a load of where that is, and a branch for
/// none.
pub(crate) fn handle_read(plan: Plan) -> Result<Sampler, String> {
    static VALUE: u64 = 1;
    let place = Box::new(AtomicPtr::new((&raw const VALUE).cast_mut()));
    let mut batch = Batch::new(plan.batch);
    Ok(Box::new(move || Ok(batch.gross(|_| NonNull::new(black_box(&place).load(Ordering::Acquire))))))
}

pub(crate) fn fetch_add(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, cell) = (Batch::new(plan.batch), AtomicI64::new(0));
    Ok(Box::new(move || Ok(batch.gross(|_| cell.fetch_add(1, Ordering::SeqCst)))))
}

pub(crate) fn fetch_add_net(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, cell) = (Batch::new(plan.batch), AtomicI64::new(0));
    Ok(Box::new(move || Ok(batch.net(|_| cell.fetch_add(1, Ordering::SeqCst)))))
}

/// What an add costs on a cell that only one thread writes.
pub(crate) fn owned_add(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, cell) = (Batch::new(plan.batch), AtomicI64::new(0));
    Ok(Box::new(move || {
        Ok(batch.gross(|_| cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed)))
    }))
}

// A table of shared values, as a program would have it that knows nothing better than a lock and a count.

const COLD_KEYS: u64 = 10_000;
const KEY: (u64, u64) = (1, 2);

type Value = (u64, List<i64>);

struct Table<K, V>(RwLock<HashMap<K, Arc<V>>>);

impl<K: Eq + Hash, V> Table<K, V> {
    fn new() -> Table<K, V> {
        Table(RwLock::new(HashMap::new()))
    }

    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.read().ok()?.get(key).cloned()
    }

    /// The old value is dropped outside the lock.
    fn put(&self, key: K, value: V) {
        let value = Arc::new(value);
        let old = self.0.write().map(|mut map| map.insert(key, value));
        drop(old);
    }
}

fn value(serial: u64) -> Value {
    (serial, List::of(1..=100))
}

pub(crate) fn map_get(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, table) = (Batch::new(plan.batch), Table::new());
    table.put(KEY, value(0));
    Ok(Box::new(move || Ok(batch.net(|_| table.get(black_box(&KEY))))))
}

pub(crate) fn map_get_cold(plan: Plan) -> Result<Sampler, String> {
    let table = Table::new();
    for i in 0..COLD_KEYS {
        table.put((KEY.0, i), value(i));
    }
    let mut chance = Xorshift::new();
    let keys = List::of((0..plan.n).map(|_| (KEY.0, chance.below(2 * COLD_KEYS))));
    Ok(Box::new(move || {
        let walk = timed(|| keys.iter().for_each(|key| _ = black_box(key)));
        let gets = timed(|| keys.iter().for_each(|key| _ = black_box(table.get(key))));
        Ok(per(gets - walk, plan.n))
    }))
}

/// Nobody holds the old value, so it ends with the put, whatever else the program has.
pub(crate) fn map_replace(_: Plan) -> Result<Sampler, String> {
    let table = Table::new();
    let mut serial = 0;
    table.put(KEY, value(serial));
    Ok(Box::new(move || {
        serial += 1;
        let new = value(serial);
        Ok(timed(|| table.put(KEY, new.clone())))
    }))
}

/// Each of `n` holders makes a copy of its own in the end, as a process does that must let go of a retired area.
pub(crate) fn map_replace_held(plan: Plan) -> Result<Sampler, String> {
    let table = Table::new();
    let mut serial = 0;
    table.put(KEY, value(serial));
    Ok(Box::new(move || {
        let mut holders: Vec<_> = (0..plan.n).filter_map(|_| table.get(&KEY)).collect();
        let old = holders.first().map(Arc::downgrade).ok_or("no holder")?;
        serial += 1;
        let new = value(serial);
        let took = timed(|| {
            table.put(KEY, new.clone());
            for holder in &mut holders {
                *holder = Arc::new(Value::clone(holder));
            }
        });
        if old.strong_count() == 0 { Ok(took) } else { Err("the old value is still held".to_string()) }
    }))
}

pub(crate) fn map_put_loop(plan: Plan) -> Result<Sampler, String> {
    let table = Table::new();
    let mut serial = 0_u64;
    Ok(Box::new(move || {
        let took = timed(|| {
            for _ in 0..plan.n {
                serial += 1;
                table.put(KEY, (serial, "budget"));
            }
        });
        Ok(per(took, plan.n))
    }))
}

// Messages and processes. A thread and a channel are the nearest things that std has.

const SENDS_PER_RECEIVER: u64 = 300;

pub(crate) fn send_unreceived(plan: Plan) -> Result<Sampler, String> {
    Ok(Box::new(move || {
        let (mut sent, mut took) = (0, 0.0);
        while sent < plan.n {
            let (sender, receiver) = mpsc::channel();
            let empty = timed(|| (0..SENDS_PER_RECEIVER).for_each(|i| _ = black_box(i)));
            let sends = timed(|| (0..SENDS_PER_RECEIVER).try_for_each(|i| sender.send(i)));
            drop(receiver);
            took += sends - empty;
            sent += SENDS_PER_RECEIVER;
        }
        Ok(per(took, sent))
    }))
}

pub(crate) fn send_received(plan: Plan) -> Result<Sampler, String> {
    Ok(Box::new(move || {
        let (sender, receiver) = mpsc::channel();
        let (to_done, done) = mpsc::channel();
        let drain = thread::spawn(move || {
            let last = receiver.iter().take(plan.n as usize).last();
            to_done.send(last)
        });
        let took = timed(|| {
            (0..plan.n).for_each(|i| _ = sender.send(i));
            done.recv()
        });
        drain.join().map_err(|_| "the receiver panicked")?.map_err(|e| e.to_string())?;
        Ok(per(took, plan.n))
    }))
}

/// Both threads sleep and are woken in each round, so a tenth of the rounds is time enough.
pub(crate) fn round_trip(plan: Plan) -> Result<Sampler, String> {
    round_trips(plan, |from_peer| from_peer.recv().is_ok())
}

/// As [`round_trip`], where the one that counts waits with a timeout.
pub(crate) fn round_trip_timeout(plan: Plan) -> Result<Sampler, String> {
    round_trips(plan, |from_peer| from_peer.recv_timeout(AFTER).is_ok())
}

fn round_trips(plan: Plan, receive: fn(&mpsc::Receiver<u64>) -> bool) -> Result<Sampler, String> {
    let rounds = plan.n / 10;
    Ok(Box::new(move || {
        let (to_peer, from_me) = mpsc::channel();
        let (to_me, from_peer) = mpsc::channel();
        let peer = thread::spawn(move || from_me.iter().try_for_each(|message: u64| to_me.send(message)));
        let took = timed(|| {
            for i in 0..rounds {
                if to_peer.send(i).is_err() || !receive(&from_peer) {
                    break;
                }
            }
        });
        drop(to_peer);
        peer.join().map_err(|_| "the peer panicked")?.map_err(|e| e.to_string())?;
        Ok(per(took, rounds))
    }))
}

/// Longer than a run takes.
const AFTER: Duration = Duration::from_secs(3600);

/// A timer of tokio's is set when it is polled first, and ended when it is dropped.
pub(crate) fn sleep_dropped(plan: Plan) -> Result<Sampler, String> {
    sleeps_dropped(plan, 1)
}

/// As [`sleep_dropped`], by two tasks at once, `n` each: per `n`.
pub(crate) fn sleeps_dropped_two(plan: Plan) -> Result<Sampler, String> {
    sleeps_dropped(plan, 2)
}

fn sleeps_dropped(plan: Plan, at_once: usize) -> Result<Sampler, String> {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let rt = rt.map_err(|e| e.to_string())?;
    Ok(Box::new(move || {
        let work = move || async move {
            for _ in 0..plan.n {
                let mut sleep = pin!(tokio::time::sleep(AFTER));
                poll_fn(|cx| Poll::Ready(black_box(sleep.as_mut().poll(cx).is_ready()))).await;
            }
        };
        let took = timed(|| {
            let tasks: Vec<_> = (0..at_once).map(|_| rt.spawn(work())).collect();
            rt.block_on(async {
                for task in tasks {
                    task.await.map_err(|e| e.to_string())?;
                }
                Ok::<_, String>(())
            })
        });
        Ok(per(took, plan.n))
    }))
}

/// Not a process, only what it does: made here, sent to a thread that runs and frees it.
pub(crate) fn run_closures(plan: Plan) -> Result<Sampler, String> {
    type Job = Box<dyn FnOnce() -> u64 + Send>;
    Ok(Box::new(move || {
        let (sender, jobs) = mpsc::channel::<Job>();
        let worker = thread::spawn(move || jobs.iter().fold(0_u64, |sum, job| sum.wrapping_add(job())));
        let took = timed(move || {
            (0..plan.n).for_each(|i| _ = sender.send(Box::new(move || i)));
            drop(sender);
            worker.join()
        });
        Ok(per(took, plan.n))
    }))
}

pub(crate) fn idle_bytes(plan: Plan) -> Result<Sampler, String> {
    resident::sampler("resident-rust", plan.n)
}

/// What `n` sleeping actors need that somebody else's threads would run: a mailbox, and a boxed body with its state.
pub(crate) fn resident(n: u64) -> Result<f64, String> {
    resident::bytes_each(n, || {
        let actors = (0..n).map(|state| {
            let (sender, receiver) = mpsc::channel::<u64>();
            let state = Cell::new(state);
            let body: Box<dyn Fn() -> bool> =
                Box::new(move || receiver.try_recv().is_ok_and(|message| state.replace(message) != message));
            (sender, body)
        });
        actors.collect::<Vec<_>>()
    })
}

// Trees of boxes: what a deep copy costs where there is one owner for each node.

pub(crate) fn copy_list(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, list) = (Batch::new(plan.batch), List::of(1..=1000_i64));
    Ok(Box::new(move || Ok(batch.net(|_| list.clone()))))
}

pub(crate) fn copy_tree(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, tree) = (Batch::new(plan.batch), Tree::of_depth(10));
    Ok(Box::new(move || Ok(batch.net(|_| tree.clone()))))
}

/// The term of [`crate::ours::copy_dag_18`] where each node has one owner: all 262,143 of them.
pub(crate) fn copy_dag(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, tree) = (Batch::new(plan.batch), Tree::of_depth(18));
    Ok(Box::new(move || Ok(batch.net(|_| tree.clone()))))
}

/// The tree of [`crate::ours::copy_tree_1023`] in words, copied by what knows nothing else, and loses sharing.
pub(crate) fn copy_tree_by_hand(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, mut tree) = (Batch::new(plan.batch), by_hand::Tree::new(10));
    Ok(Box::new(move || Ok(batch.net(|_| _ = black_box(tree.copy())))))
}

/// As [`copy_tree_by_hand`], the list of [`crate::ours::copy_list_1000`].
pub(crate) fn copy_list_by_hand(plan: Plan) -> Result<Sampler, String> {
    let (mut batch, mut list) = (Batch::new(plan.batch), by_hand::List::new(1000));
    Ok(Box::new(move || Ok(batch.net(|_| _ = black_box(list.copy())))))
}

/// A list of boxed pairs, counted as the five words a cell that it is in Erlang.
pub(crate) fn copy_live(plan: Plan) -> Result<Sampler, String> {
    const CELLS: i64 = 10_000;
    const WORDS: u64 = 5 * CELLS as u64;
    let (mut batch, list) = (Batch::new(plan.batch), List::of((0..CELLS).map(|i| Box::new((i, i)))));
    Ok(Box::new(move || Ok(per(batch.net(|_| list.clone()), WORDS))))
}

struct List<T>(Option<Box<Node<T>>>);

struct Node<T> {
    head: T,
    tail: List<T>,
}

impl<T> List<T> {
    fn of(items: impl IntoIterator<Item = T>) -> List<T> {
        let mut list = List(None);
        let mut end = &mut list;
        for head in items {
            end = &mut end.0.insert(Box::new(Node { head, tail: List(None) })).tail;
        }
        list
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let node = rest.0.as_ref()?;
            rest = &node.tail;
            Some(&node.head)
        })
    }
}

impl<T: Clone> Clone for List<T> {
    fn clone(&self) -> List<T> {
        List::of(self.iter().cloned())
    }
}

impl<T> Drop for List<T> {
    /// The derived drop would recurse once for each cell.
    fn drop(&mut self) {
        let mut rest = self.0.take();
        while let Some(mut node) = rest {
            rest = node.tail.0.take();
        }
    }
}

#[derive(Clone)]
#[expect(dead_code, reason = "cloned, never looked at")]
struct Tree(Option<Box<Branch>>);

#[derive(Clone)]
#[expect(dead_code, reason = "cloned, never looked at")]
struct Branch {
    left: Tree,
    depth: i64,
    right: Tree,
}

impl Tree {
    fn of_depth(depth: i64) -> Tree {
        Tree(
            (depth > 0)
                .then(|| Box::new(Branch { left: Tree::of_depth(depth - 1), depth, right: Tree::of_depth(depth - 1) })),
        )
    }
}

/// Marsaglia's generator: the same keys in each run.
pub(crate) struct Xorshift(u64);

impl Xorshift {
    pub(crate) fn new() -> Xorshift {
        Xorshift(42)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
