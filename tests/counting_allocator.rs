//! An allocator that counts with `Counters`, and so adds in the middle of their own allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::OnceLock;
use std::thread;

use shared_term::Counters;

struct Counting;

/// What is allocated here and nowhere else.
const MARKED: usize = 12_345;

static COUNTERS: OnceLock<Counters> = OnceLock::new();

const ALL: usize = 0;
const MARKS: usize = 1;

// SAFETY: the system's, with a look on the way that unwinds never and allocates only through the system.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(counters) = COUNTERS.get() {
            counters.inc(ALL);
            if layout.size() == MARKED {
                counters.writer().inc(MARKS);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(counters) = COUNTERS.get() {
            counters.sub(ALL, 1);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_allocator_can_count_its_own_work() {
    assert!(COUNTERS.set(Counters::new(2)).is_ok());
    let counters = COUNTERS.get().unwrap();
    // Enough at a time that every structure grows under the allocator's feet.
    let (rounds, threads) = if cfg!(miri) { (1, 4) } else { (10, 40) };
    for _ in 0..rounds {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..100 {
                        drop(black_box(Vec::<u8>::with_capacity(MARKED)));
                        // Another array, whose row is made in here.
                        Counters::new(1).inc(0);
                    }
                });
            }
        });
    }
    assert_eq!(counters.get(MARKS), rounds * threads * 100);
    assert!(counters.get(ALL) > -1000 * rounds * threads, "{counters:?}");
}
