//! A writer that ends in the middle, wherever that is: others write the same keys afterwards, what it had begun is not
//! there or is there whole, and nothing is left behind. (In OTP, a process that is killed while it updates the table blocks
//! all later updates.)

#![cfg(feature = "runtime")]

mod support;

use shared_term::persistent::StoreError;
use shared_term::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use support::{LONG, Ledger, OnDrop};

const KEYS: i64 = 80;

fn end() -> ! {
    resume_unwind(Box::new("the writer ends here"))
}

/// Counts down to the moment at which the writer ends.
#[derive(Clone)]
struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    fn burn(&self) {
        if self.0.fetch_sub(1, Relaxed) == 1 {
            end();
        }
    }
}

fn value<'h>(h: Heap<'h>, ledger: &Ledger, fuse: &Fuse, n: i64) -> Term<'h> {
    fuse.burn();
    let half = h.list(0..n);
    fuse.burn();
    let all = h.tuple(&[half, ledger.resource(h), half]);
    fuse.burn();
    all
}

/// What a thread does, that ends at some call of the code that it gives to the store.
fn writes(store: &PersistentTerms, ledger: &Ledger, fuse: &Fuse) -> Result<(), StoreError> {
    let region = |n| Region::build(|h| value(h, ledger, fuse, n));
    store.put(1, region(10))?;
    store.put_built(2, |h| value(h, ledger, fuse, 2000))?;
    store.update(1, |h, _| value(h, ledger, fuse, 11))?;
    store.pin().get_or_insert_with(3, |h| value(h, ledger, fuse, 12))?;
    let version = store.pin().get_with_version(1).map(|(_, version)| version);
    store.compare_and_put(1, version, region(13)).unwrap();
    store.put_many((0..5).map(|key| (key, region(key + 20))))?;
    let mut batch = store.batch();
    batch.put(70, region(30))?;
    fuse.burn();
    batch.erase(1).unwrap();
    fuse.burn();
    batch.put(71, region(31))?;
    fuse.burn();
    batch.commit();
    store.erase_many((0..3).inspect(|_| fuse.burn()))?;
    let literal = store.freeze(region(40))?;
    store.put(72, &literal)?;
    let slot = store.slot(72)?;
    fuse.burn();
    drop((slot, literal));
    let subscription = store.on_collection({
        let fuse = fuse.clone();
        move |_| fuse.burn()
    });
    store.put(72, region(41))?;
    store.erase_all().unwrap();
    drop(subscription);
    Ok(())
}

/// Every key is written, by other threads at once, and nothing is left of it.
fn is_usable(store: &PersistentTerms) {
    std::thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                for key in (part..KEYS).step_by(2) {
                    store.put(key, Region::build(|h| h.list(0..=key))).unwrap();
                    store.update(key, |h, old| h.cons(h.nil(), h.copy(old.unwrap()))).unwrap();
                }
            });
        }
    });
    store.put_many((0..KEYS).map(|key| (key, Region::build(|h| h.list([key]))))).unwrap();
    let guard = store.pin();
    assert!((0..KEYS).all(|key| guard.get(key).unwrap().list().next().unwrap().as_int() == Some(key)));
    drop(guard);
    assert_eq!(store.erase_all().unwrap() as i64, KEYS);
    assert!(store.wait_idle(LONG));
    let info = store.info();
    assert_eq!((info.areas, info.retained_bytes, info.literals, info.guards_behind), (0, 0, 0, 0));
}

#[test]
fn a_thread_that_ends_in_the_middle_of_a_write_blocks_nobody() {
    let mut points = 0;
    loop {
        let (store, ledger) = (PersistentTerms::new(), Ledger::default());
        let fuse = Fuse(Arc::new(AtomicUsize::new(points + 1)));
        let ended = {
            let (store, ledger, fuse) = (store.clone(), ledger.clone(), fuse.clone());
            std::thread::spawn(move || catch_unwind(AssertUnwindSafe(|| writes(&store, &ledger, &fuse))).is_err())
                .join()
        };
        is_usable(&store);
        assert_eq!(ledger.made(), ledger.dropped(), "point {points}");
        if fuse.0.load(Relaxed) > 0 && fuse.0.load(Relaxed) <= points + 1 {
            assert!(!ended.unwrap());
            break;
        }
        points += 1;
    }
    assert!(points > 40, "{points} points");
}

#[test]
fn a_turn_that_ends_in_the_middle_of_a_write_blocks_nobody() {
    let mut points = 0;
    loop {
        let mut rt = Runtime::deterministic(points as u64);
        let (store, ledger) = (rt.persistent().clone(), Ledger::default());
        let fuse = Fuse(Arc::new(AtomicUsize::new(points + 1)));
        let writer = {
            let (ledger, fuse) = (ledger.clone(), fuse.clone());
            rt.spawn_fn(
                |cx| cx.nil(),
                move |cx, state, _| {
                    let value = |n| value(*cx, &ledger, &fuse, n);
                    cx.put(1, value(10))?;
                    cx.update(1, |old| cx.tuple(&[old.unwrap_or(cx.nil()), value(3)]))?;
                    cx.get_or_insert_with(2, || value(4))?;
                    cx.put_many((0..4).map(|key| (key, value(key))))?;
                    let kept = cx.get(3).unwrap();
                    cx.persistent().erase(3);
                    value(1);
                    Ok(Next(cx.cons(kept, state)))
                },
            )
        };
        let writer = writer.unwrap();
        rt.send_new(writer, |h| h.nil()).unwrap();
        rt.send_new(writer, |h| h.nil()).unwrap();
        rt.run_until_idle();
        let left = fuse.0.load(Relaxed);
        if rt.is_alive(writer) {
            rt.kill(writer).unwrap();
            rt.run_until_idle();
        }
        is_usable(&store);
        drop(rt);
        assert_eq!(ledger.made(), ledger.dropped(), "point {points}");
        if left > 0 && left <= points + 1 {
            break;
        }
        points += 1;
    }
    assert!(points > 20, "{points} points");
}

/// The destructor of what is replaced is the last thing that a writer may meet.
#[test]
fn a_writer_on_which_destructors_unwind_blocks_nobody() {
    for erase in [false, true] {
        let store = PersistentTerms::new();
        for key in 0..4 {
            store.put(key, Region::build(|h| h.tuple(&[h.resource(OnDrop::panics()), h.nil()]))).unwrap();
        }
        let writer = store.clone();
        let _ = std::thread::spawn(move || {
            if erase {
                writer.erase_many(0..4).unwrap();
            } else {
                for key in 0..4 {
                    writer.put(key, Region::build(|h| h.int(1))).unwrap();
                }
            }
        })
        .join();
        is_usable(&store);
    }
}
