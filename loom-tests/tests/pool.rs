//! Pools of small blocks: what one thread frees another allocates, whole, and nobody else has it.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use loom_tests::{caught, explore};
use shared_term::model::{Cache, Depot};
use shared_term::sync::mutation::Mutation::{PoolKeepsBatch, PoolTakesTwice};
use std::ptr::NonNull;
use std::sync::Arc;

const _: () = assert!(shared_term::IS_LOOM);

type Block = UnsafeCell<u32>;

/// Who takes a block may write to it: loom sees if another does so too, or has done so and was not waited for.
fn write(block: NonNull<Block>) {
    // SAFETY: the model frees its blocks at its end.
    unsafe { block.as_ref() }.with_mut(|p| unsafe { *p += 1 });
}

fn write_all(cache: &Cache, depot: &Depot) {
    let all: Vec<_> = (0..Cache::BATCH).map_while(|_| cache.take::<Block>(depot)).collect();
    all.into_iter().for_each(write);
}

/// The first thread frees more blocks than it keeps, and goes on with those that it has; two others take what it gave.
fn hand_over() {
    let depot = Arc::new(Depot::new(2));
    let blocks: Vec<_> =
        (0..=2 * Cache::BATCH).map(|_| NonNull::from(Box::leak(Box::new(UnsafeCell::new(0))))).collect();
    let takers = [(); 2].map(|()| {
        let depot = Arc::clone(&depot);
        thread::spawn(move || write_all(&Cache::new(), &depot))
    });
    let cache = Cache::new();
    for &block in &blocks {
        write(block);
        assert!(cache.give(block, &depot));
    }
    (0..2).for_each(|_| write_all(&cache, &depot));
    for taker in takers {
        taker.join().unwrap();
    }
    for block in blocks {
        // SAFETY: leaked above, and nobody writes any more.
        let block = unsafe { Box::from_raw(block.as_ptr()) };
        // SAFETY: as above.
        assert!(block.with(|p| unsafe { *p }) <= 2, "a block was given once, and taken more than once");
    }
}

#[test]
fn blocks_change_hands() {
    explore("pool", None, hand_over);
    caught("pool", PoolKeepsBatch, None, hand_over);
    caught("pool", PoolTakesTwice, Some(2), hand_over);
}
