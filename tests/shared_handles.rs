//! `Atomics` and `Counters` inside terms: processes share them, and the last handle, wherever it is, frees them once.

#![cfg(feature = "runtime")]

mod support;

use shared_term::heap::{OwnedHeap, ToTerm};
use shared_term::prelude::*;
use shared_term::process::SpawnOptions;
use shared_term::runtime::Deterministic;
use shared_term::sync::atomic::Ordering::Relaxed;
use shared_term::{Atomics, Counters};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicUsize;
use support::LONG;

/// Counts the allocations of some sizes, each of which belongs to one array.
struct Watching;

#[derive(Default)]
struct Slot {
    bytes: AtomicUsize,
    made: AtomicUsize,
    freed: AtomicUsize,
}

static SLOTS: [Slot; 64] =
    [const { Slot { bytes: AtomicUsize::new(0), made: AtomicUsize::new(0), freed: AtomicUsize::new(0) } }; 64];
/// Larger than anything else that these tests allocate, and all different.
const WATCHED: usize = 1 << 20;

fn slot(bytes: usize) -> Option<&'static Slot> {
    if bytes < WATCHED { None } else { SLOTS.iter().find(|slot| slot.bytes.load(Relaxed) == bytes) }
}

// SAFETY: the system's, with a look on the way.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(slot) = slot(layout.size()) {
            slot.made.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(slot) = slot(layout.size()) {
            slot.freed.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// The memory of one array.
#[derive(Clone, Copy)]
struct Watched(&'static Slot);

impl Watched {
    /// A length of cells, of so many bytes each, that no other array has.
    fn new(bytes_per_cell: usize) -> (usize, Self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Relaxed);
        let bytes = WATCHED + n * 1024;
        SLOTS[n].bytes.store(bytes, Relaxed);
        (bytes / bytes_per_cell, Self(&SLOTS[n]))
    }

    fn is_alive(self) -> bool {
        assert_eq!(self.0.made.load(Relaxed), 1);
        self.0.freed.load(Relaxed) == 0
    }

    fn is_freed_once(self) -> bool {
        (self.0.made.load(Relaxed), self.0.freed.load(Relaxed)) == (1, 1)
    }
}

/// Builds a term out of the last handle on an array.
type Last = Box<dyn for<'h> FnOnce(Heap<'h>) -> Term<'h> + Send>;

/// Runs `place` for the three kinds of handles. The array must be freed when it returns.
fn each_kind(place: impl Fn(Last, Watched)) {
    let (cells, watched) = Watched::new(8);
    let signed = Atomics::<i64>::new(cells);
    place(Box::new(move |h| signed.to_term(h)), watched);
    assert!(watched.is_freed_once(), "Atomics<i64>");

    let (cells, watched) = Watched::new(8);
    let unsigned = Atomics::<u64>::new(cells);
    place(Box::new(move |h| unsigned.to_term(h)), watched);
    assert!(watched.is_freed_once(), "Atomics<u64>");

    // The base of each counter takes 16 bytes.
    let (cells, watched) = Watched::new(16);
    let counters = Counters::new(cells);
    place(Box::new(move |h| counters.to_term(h)), watched);
    assert!(watched.is_freed_once(), "Counters");
}

const DROP: Atom = Atom::inline("drop");
const PANIC: Atom = Atom::inline("panic");
const ERROR: Atom = Atom::inline("error");
const GROW: Atom = Atom::inline("grow");

/// Keeps in its state what it is sent, until it is told to end, one way or another.
fn keep<'h>(cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
    match message.as_atom() {
        Some(DROP) => Ok(Next(cx.nil())),
        Some(PANIC) => std::panic::resume_unwind(Box::new("told to")),
        Some(ERROR) => Err(Exit::msg("told to")),
        Some(GROW) => loop {
            cx.list(0..1_000);
        },
        None => Ok(Next(term!(cx, [message, ..state]))),
        Some(_) => Ok(Stop(Exit::NORMAL)),
    }
}

fn keeper(rt: &Deterministic) -> Pid {
    rt.spawn_fn_with(SpawnOptions::new().max_heap_words(100_000), |cx| cx.nil(), keep).unwrap()
}

#[test]
fn processes_add_to_one_array() {
    const PROCESSES: usize = 8;
    const MESSAGES: i64 = 500;
    let rt = Runtime::builder().workers(3).build().unwrap();
    let (hits, signed, unsigned) = (Counters::new(2), Atomics::<i64>::new(1), Atomics::<u64>::padded(1));
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| {
            rt.spawn_fn(
                |cx| cx.nil(),
                move |cx, state, message| {
                    if state.as_tuple().is_none() {
                        return Ok(Next(message)); // the handles
                    }
                    let (hits, signed, unsigned): (&Counters, &Atomics<i64>, &Atomics<u64>) = state.get()?;
                    let n: i64 = message.get()?;
                    hits.inc(0);
                    hits.add(1, n);
                    signed[0].fetch_sub(n, Relaxed);
                    unsigned[0].fetch_max(n as u64, Relaxed);
                    if n == MESSAGES {
                        cx.send(me, state);
                    }
                    Ok(Next(state))
                },
            )
            .unwrap()
        })
        .collect();
    for &p in &processes {
        rt.send_new(p, |h| term!(h, {&hits, &signed, &unsigned})).unwrap();
        for n in 1..=MESSAGES {
            rt.send_new(p, |h| h.int(n)).unwrap();
        }
    }
    for _ in &processes {
        let back = port.recv_timeout(LONG).unwrap();
        let (theirs, ..): (Counters, Atomics<i64>, Atomics<u64>) = back.root().get().unwrap();
        assert!(Counters::ptr_eq(&theirs, &hits));
    }
    let total = PROCESSES as i64 * (1..=MESSAGES).sum::<i64>();
    assert_eq!(hits.take_all(), [PROCESSES as i64 * MESSAGES, total]);
    assert_eq!((signed[0].load(Relaxed), unsigned[0].load(Relaxed)), (-total, MESSAGES as u64));
}

/// A handle equals every handle on its array, and nothing else, as OTP's reference does.
#[test]
fn a_handle_is_known_by_its_array() {
    let (a, b) = (Counters::new(1), Counters::new(1));
    let cells = Atomics::<i64>::new(1);
    let region = Region::build(|h| term!(h, [&a, a.clone(), &b, &cells, cells.clone(), Atomics::<u64>::new(1)]));
    let copy = Region::copy_of(region.root());
    let store = PersistentTerms::new();
    store.put(1, Region::copy_of(region.root())).unwrap();
    let guard = store.pin();
    let array = [0, 0, 1, 2, 2, 3];
    let (hasher, places) = (RandomState::new(), [region.root(), copy.root(), guard.get(1).unwrap()]);
    for x in places {
        for y in places {
            for (i, x) in x.list().enumerate() {
                for (j, y) in y.list().enumerate() {
                    assert_eq!(x == y, array[i] == array[j], "{i} {j}");
                    assert_eq!(x.cmp(&y).is_eq(), array[i] == array[j]);
                    assert!(x != y || hasher.hash_one(x) == hasher.hash_one(y));
                }
            }
        }
    }
    let by_array: HashMap<_, _> = region.root().list().enumerate().map(|(i, handle)| (handle, i)).collect();
    assert_eq!(by_array.len(), 4);
    assert_eq!(Region::build(|h| h.map([(&a, 1), (&b, 2), (&a, 3)])).root().as_map().unwrap().len(), 2);
}

#[test]
fn another_shape_is_a_mismatch() {
    let region = Region::build(|h| term!(h, {1, Atomics::<u64>::new(1), Counters::new(1)}));
    let [int, unsigned, counters] = region.root().tuple_of().unwrap();
    assert_eq!(int.get::<Counters>().unwrap_err().to_string(), "expected a `Counters`, found Int");
    assert_eq!(unsigned.get::<&Atomics<i64>>().unwrap_err().expected, "an `Atomics<i64>`");
    assert!(counters.get::<&Atomics<u64>>().is_err() && unsigned.get::<&Counters>().is_err());
    assert!(unsigned.get::<Atomics<u64>>().is_ok() && counters.get::<&Counters>().is_ok());
}

#[test]
fn the_last_of_regions_and_heaps_and_handles_frees() {
    each_kind(|last, array| {
        let region = Region::build(last);
        let copy = Region::copy_of(region.root());
        drop(region);
        let mut heap = OwnedHeap::new(|h| h.adopt(copy));
        heap.turn(|h, root| (h.tuple(&[root, root, h.copy(root)]), ()));
        for _ in 0..3 {
            heap.collect_major().unwrap();
            assert!(array.is_alive());
        }
        let mut other = heap.clone();
        heap.turn(|h, _| (h.nil(), ()));
        heap.collect_major().unwrap();
        assert!(array.is_alive(), "the clone has it");
        let outside = other.turn(|h, root| {
            let handle = root.tuple_of::<3>().unwrap()[0];
            let outside: Box<dyn Send> = if let Ok(counters) = handle.get::<Counters>() {
                Box::new(counters)
            } else if let Ok(signed) = handle.get::<Atomics<i64>>() {
                Box::new(signed)
            } else {
                Box::new(handle.get::<Atomics<u64>>().unwrap())
            };
            (h.nil(), outside)
        });
        drop(other);
        assert!(array.is_alive(), "a handle of one's own outlives the terms");
        std::thread::spawn(move || drop(outside)).join().unwrap();
    });
}

#[test]
fn the_last_of_literals_and_their_holders_frees() {
    for replace in [false, true] {
        each_kind(|last, array| {
            let mut rt = Runtime::deterministic(1);
            let store = rt.persistent().clone();
            store.put(1, Region::build(|h| term!(h, {:shared, last(h)}))).unwrap();
            let holders = [keeper(&rt), keeper(&rt)];
            let reader = rt.spawn_fn(|cx| cx.nil(), |cx, _, _| Ok(Next(cx.get(1).unwrap_or(cx.nil())))).unwrap();
            rt.send_new(reader, |h| h.nil()).unwrap();
            for holder in holders {
                let value = store.read(1, |value| Region::copy_of(value.unwrap()));
                rt.send(holder, value).unwrap();
            }
            rt.run_until_idle();
            if replace {
                store.put(1, Region::build(|h| h.int(1))).unwrap();
            } else {
                store.erase(1);
            }
            rt.run_until_idle();
            assert_eq!(store.info().retained_bytes, 0);
            assert!(array.is_alive(), "three processes have it");
            for holder in holders {
                rt.send_new(holder, |h| h.atom(DROP)).unwrap();
                rt.run_until_idle();
                assert!(array.is_alive());
            }
            rt.send_new(reader, |h| h.nil()).unwrap(); // reads what there is now
            rt.run_until_idle();
        });
    }
}

#[test]
fn a_literal_that_nobody_holds_frees() {
    each_kind(|last, array| {
        let store = PersistentTerms::new();
        store.put(1, Region::build(last)).unwrap();
        let guard = store.pin();
        store.erase(1);
        assert!(array.is_alive() && !store.wait_idle(std::time::Duration::ZERO), "a guard may still read it");
        drop(guard);
        assert!(store.wait_idle(LONG));
    });
}

#[test]
fn processes_that_end_give_up_their_handles() {
    // None: killed.
    for end in [Some(PANIC), Some(ERROR), Some(GROW), Some(Atom::inline("stop")), None] {
        each_kind(|last, array| {
            let mut rt = Runtime::deterministic(1);
            let (first, second) = (keeper(&rt), keeper(&rt));
            let handle = Region::build(last);
            rt.send(first, Region::copy_of(handle.root())).unwrap();
            rt.send(second, handle).unwrap();
            rt.run_until_idle();
            let mut end = |p| {
                match end {
                    Some(end) => rt.send_new(p, |h| h.atom(end)).unwrap(),
                    None => assert!(rt.kill(p).unwrap()),
                }
                rt.run_until_idle();
                assert!(!rt.is_alive(p));
            };
            end(first);
            assert!(array.is_alive(), "the second has it");
            end(second);
        });
    }
}

#[test]
fn a_reason_to_exit_keeps_its_handle_for_who_asks() {
    each_kind(|last, array| {
        let mut rt = Runtime::deterministic(1);
        let ends = rt
            .spawn_fn(
                |cx| cx.nil(),
                |cx, _, message| Ok(Stop(Exit::term(cx.region(cx.tuple(&[cx.atom(ERROR), message]))))),
            )
            .unwrap();
        let exited = rt.exited(ends);
        rt.send_new(ends, last).unwrap();
        rt.run_until_idle();
        let reason = exited.try_wait().expect("it ended");
        assert_eq!(reason.as_term().unwrap().tagged().unwrap().0, ERROR);
        assert!(array.is_alive());
        drop(reason);
        drop(exited);
        drop(rt);
    });
}

#[test]
fn messages_that_nobody_receives_give_up_their_handles() {
    // To a process that is gone.
    each_kind(|last, _| {
        let mut rt = Runtime::deterministic(1);
        let gone = keeper(&rt);
        rt.send_new(gone, |h| h.atom(PANIC)).unwrap();
        rt.run_until_idle();
        let handle = Region::build(last);
        drop(rt.send(gone, handle)); // as an error, or not at all
        rt.run_until_idle();
    });
    // In the queue of one that defers everything, and in a port, when the runtime ends.
    each_kind(|last, array| {
        let mut rt = Runtime::deterministic(1);
        let defers = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Defer)).unwrap();
        let port = rt.port().unwrap();
        let handle = Region::build(last);
        rt.send(port.pid(), Region::copy_of(handle.root())).unwrap();
        rt.send(defers, handle).unwrap();
        rt.run_until_idle();
        drop(port);
        assert!(array.is_alive());
        drop(rt);
    });
}
