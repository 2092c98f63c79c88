//! Small blocks of memory, kept for the next who needs one of the same size.
//!
//! A message is allocated by its sender and freed by its receiver, a process by who spawned it and who ran it: on another
//! thread as a rule, which is what allocators are slowest at, and what their threads fight over. Here each thread keeps
//! what it frees, and allocates from that first. Who has too many hands half of them, as one batch, to a *depot*, and who
//! has none takes a batch from there: one lock for [`BATCH`] blocks. (Magazines, as in Bonwick and Adams, *Magazines and
//! Vmem*, 2001.)
//!
//! The blocks are allocations of their own: what is too much for the depot goes back to the allocator, and so does what
//! a thread has when it ends. `--cfg shared_term_no_pool` leaves all of it out, so that a sanitizer sees each use of
//! freed memory.

use crate::sync::Mutex;
use crate::sync::mutation::{Mutation, mutated};
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Blocks that a thread hands over or takes at once.
pub(crate) const BATCH: usize = if crate::sync::MODELLED { 2 } else { 64 };

/// A block of the size that its cache and depot are for.
pub(crate) type Block = *mut u8;

/// The blocks that one thread keeps.
#[derive(Debug)]
pub(crate) struct Cache {
    len: Cell<usize>,
    blocks: UnsafeCell<[Block; 2 * BATCH]>,
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Self { len: Cell::new(0), blocks: UnsafeCell::new([std::ptr::null_mut(); 2 * BATCH]) }
    }

    /// A block, from the depot if this thread has none.
    pub(crate) fn take<'d>(&self, depot: impl FnOnce() -> &'d Depot) -> Option<Block> {
        self.pop().or_else(|| self.refill(depot()))
    }

    /// One of the blocks that are here.
    #[inline(always)]
    fn pop(&self) -> Option<Block> {
        let rest = self.len.get().checked_sub(1)?;
        self.len.set(rest);
        // SAFETY: a cache is its thread's (it is not `Sync`), and nothing is borrowed across a call; `len` blocks were there.
        Some(unsafe { *self.blocks.get().cast::<Block>().add(rest) })
    }

    /// Keeps a block. What is too much goes to the depot, and what is too much for that to `free`.
    pub(crate) fn give<'d>(&self, block: Block, depot: impl FnOnce() -> &'d Depot, free: impl FnMut(Block)) {
        if self.len.get() == 2 * BATCH {
            self.hand_over(depot(), free);
        }
        let pushed = self.push(block);
        debug_assert!(pushed, "some have just gone");
    }

    /// Keeps a block, if there is room.
    #[inline(always)]
    fn push(&self, block: Block) -> bool {
        let len = self.len.get();
        let has_room = len < 2 * BATCH;
        if has_room {
            // SAFETY: as in `pop`; there is room.
            unsafe { *self.blocks.get().cast::<Block>().add(len) = block };
            self.len.set(len + 1);
        }
        has_room
    }

    #[cold]
    #[inline(never)]
    fn refill(&self, depot: &Depot) -> Option<Block> {
        // SAFETY: as in `take`.
        let batch = unsafe { &mut *self.blocks.get() }.first_chunk_mut().expect("as many as two batches");
        depot.take(batch).then(|| {
            self.len.set(BATCH - 1);
            batch[BATCH - 1]
        })
    }

    /// The older half goes: what was freed last is in this processor's cache.
    #[cold]
    #[inline(never)]
    fn hand_over(&self, depot: &Depot, free: impl FnMut(Block)) {
        // SAFETY: as in `take`.
        let blocks = unsafe { &mut *self.blocks.get() };
        let batch = blocks.first_chunk().expect("as many as two batches");
        if !depot.give(batch) {
            batch.iter().copied().for_each(free);
        }
        let gone = if mutated(Mutation::PoolKeepsBatch) { BATCH - 1 } else { BATCH };
        blocks.copy_within(gone.., 0);
        self.len.set(2 * BATCH - gone);
    }

    /// Gives up everything.
    pub(crate) fn drain(&self, free: impl FnMut(Block)) {
        let len = self.len.replace(0);
        // SAFETY: as in `take`.
        let blocks = unsafe { *self.blocks.get() };
        blocks[..len].iter().copied().for_each(free);
    }
}

/// Batches that no thread has.
#[derive(Debug)]
pub(crate) struct Depot {
    batches: Mutex<Vec<[Block; BATCH]>>,
    /// Bytes of a batch.
    size: usize,
    /// Batches that are kept whatever others keep.
    own: usize,
    room: &'static Room,
}

/// Bytes that depots may keep, all together, beside what each may by itself: most programs ask for few sizes, and for many
/// blocks of those. A plain count, which nothing is read by.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        // Relaxed, here and below: a count alone.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: the blocks are memory that belongs to nobody else.
unsafe impl Send for Depot {}
// SAFETY: as above; they are reached under the lock alone.
unsafe impl Sync for Depot {}

impl Depot {
    /// A depot of blocks of `size` bytes, which keeps `own` bytes of them whatever others keep.
    pub(crate) fn new(size: usize, own: usize, room: &'static Room) -> Self {
        Self { batches: Mutex::new(Vec::new()), size: BATCH * size, own: own / (BATCH * size), room }
    }

    /// Puts the blocks of a batch into `batch`, if there is one.
    fn take(&self, batch: &mut [Block; BATCH]) -> bool {
        let mut batches = self.batches.lock();
        let Some(last) = batches.last() else { return false };
        *batch = *last;
        if !mutated(Mutation::PoolTakesTwice) {
            batches.pop();
            if batches.len() >= self.own {
                self.room.give(self.size);
            }
        }
        true
    }

    /// Keeps a batch, if there is room, and memory to note it in.
    fn give(&self, batch: &[Block; BATCH]) -> bool {
        let mut batches = self.batches.lock();
        let keeps = batches.try_reserve(1).is_ok() && (batches.len() < self.own || self.room.take(self.size));
        if keeps {
            batches.push(*batch);
        }
        keeps
    }

    fn bytes(&self) -> usize {
        self.batches.lock().len() * self.size
    }
}

pub(crate) use global::{allocate, free};
pub use global::{pooled_bytes, thread_pooled_bytes};

/// One depot for each size, and a cache of each for every thread.
#[cfg(not(any(all(loom, feature = "loom"), miri, shared_term_no_pool)))]
mod global {
    use super::{Block, Cache, Depot, Room};
    use crate::heap::spare;
    use std::alloc::Layout;
    use std::sync::LazyLock;

    /// Sizes go up from the smallest by [`STEP`]: what allocators round up to anyway.
    const SMALLEST: usize = 24;
    const STEP: usize = 16;
    const CLASSES: usize = 16;
    const LARGEST: usize = SMALLEST + STEP * (CLASSES - 1);
    const ALIGN: usize = 16;
    /// Bytes that each depot keeps, and that they keep beside.
    const OWN: usize = 1 << 18;
    const ROOM: usize = 12 << 20;

    static DEPOTS: LazyLock<[Depot; CLASSES]> = LazyLock::new(|| {
        static SPARE: Room = Room::new(ROOM);
        std::array::from_fn(|class| Depot::new(size(class), OWN, &SPARE))
    });

    struct Caches([Cache; CLASSES]);

    impl Drop for Caches {
        fn drop(&mut self) {
            for (class, cache) in self.0.iter().enumerate() {
                // SAFETY: blocks of a class were allocated with its layout, and what a cache has is nobody else's.
                cache.drain(|block| unsafe { std::alloc::dealloc(block, layout(class)) });
            }
        }
    }

    thread_local! {
        static CACHES: Caches = const { Caches([const { Cache::new() }; CLASSES]) };
    }

    const fn size(class: usize) -> usize {
        SMALLEST + STEP * class
    }

    const fn layout(class: usize) -> Layout {
        match Layout::from_size_align(size(class), ALIGN) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    }

    /// The class that a layout belongs to, if it is small.
    #[inline(always)]
    fn class(layout: Layout) -> Option<usize> {
        let class = layout.size().saturating_sub(SMALLEST).div_ceil(STEP);
        (layout.size() <= LARGEST && layout.align() <= ALIGN).then_some(class)
    }

    /// Memory for `layout`, which is not empty, or null when there is none.
    ///
    /// Inlined, as [`free`] is: the class of most layouts is known when they are compiled.
    #[inline(always)]
    pub(crate) fn allocate(layout: Layout) -> Block {
        match class(layout) {
            Some(class) => take(class),
            // SAFETY: not empty, as the caller says.
            None => unsafe { std::alloc::alloc(layout) },
        }
    }

    /// What nearly every call does is inlined, and no more.
    #[inline(always)]
    fn take(class: usize) -> Block {
        match CACHES.try_with(|caches| caches.0[class].pop()) {
            Ok(Some(block)) => block,
            _ => take_elsewhere(class),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_elsewhere(class: usize) -> Block {
        // A thread that ends has no cache any more.
        let block = CACHES.try_with(|caches| caches.0[class].take(|| &DEPOTS[class])).ok().flatten();
        // SAFETY: the layout of a class is not empty.
        block.unwrap_or_else(|| unsafe { std::alloc::alloc(self::layout(class)) })
    }

    /// Frees what [`allocate`] gave.
    ///
    /// # Safety
    ///
    /// `block` must come from [`allocate`] with the same layout, and nobody may use it any more.
    #[inline(always)]
    pub(crate) unsafe fn free(block: Block, layout: Layout) {
        match class(layout) {
            // SAFETY: the caller's promise.
            Some(class) => unsafe { give(block, class) },
            // SAFETY: the caller's promise: such a layout went to the allocator as it is.
            None => unsafe { std::alloc::dealloc(block, layout) },
        }
    }

    /// As [`take`].
    ///
    /// # Safety
    ///
    /// `block` must be of the class, and nobody may use it any more.
    #[inline(always)]
    unsafe fn give(block: Block, class: usize) {
        if CACHES.try_with(|caches| caches.0[class].push(block)) != Ok(true) {
            // SAFETY: the caller's promise.
            unsafe { give_elsewhere(block, class) };
        }
    }

    /// # Safety
    ///
    /// As for [`give`].
    #[cold]
    #[inline(never)]
    unsafe fn give_elsewhere(block: Block, class: usize) {
        // SAFETY: every block of a class was allocated with its layout.
        let free = |block| unsafe { std::alloc::dealloc(block, self::layout(class)) };
        if CACHES.try_with(|caches| caches.0[class].give(block, || &DEPOTS[class], free)).is_err() {
            free(block);
        }
    }

    /// Bytes of small blocks that wait to be used again, beside what each thread keeps: messages, first chunks of heaps and
    /// processes that have been freed. O(1); takes some locks for a moment.
    ///
    /// At most 16 MiB, of sizes up to 264 bytes: 256 KiB of each of 16 sizes, and 12 MiB of those that are asked for. The notes
    /// of where they are, eight bytes a block, are not counted, and are kept. For what a thread keeps see [`thread_pooled_bytes`].
    ///
    /// ```
    /// assert!(shared_term::heap::pooled_bytes() <= 16 << 20);
    /// ```
    pub fn pooled_bytes() -> usize {
        DEPOTS.iter().map(Depot::bytes).sum()
    }

    /// Bytes that the thread that asks has freed and keeps, to be used again without a lock. O(1).
    ///
    /// At most 1.4 MiB, which go back to the allocator when the thread ends: 128 small blocks of each of the 16 sizes
    /// (288 KiB in all), 1 MiB of chunks from 512 bytes to 256 KiB, of those below 4 KiB no more than 32 of a size, and two
    /// blocks of literal memory of 64 KiB.
    ///
    /// ```
    /// # use shared_term::{Region, heap::thread_pooled_bytes};
    /// drop(Region::build(|h| h.list(0..1_000_000)));
    /// assert!(thread_pooled_bytes() <= 1_500_000);
    /// ```
    pub fn thread_pooled_bytes() -> usize {
        let small =
            |caches: &Caches| caches.0.iter().enumerate().map(|(class, cache)| cache.len.get() * size(class)).sum();
        CACHES.try_with(small).unwrap_or(0) + spare::bytes()
    }

    #[cfg(test)]
    mod tests {
        use super::super::BATCH;
        use super::*;

        #[test]
        fn a_block_is_large_enough_and_wastes_little() {
            for size in 1..=LARGEST {
                let class = class(Layout::from_size_align(size, 8).unwrap()).unwrap();
                assert!(size <= super::size(class) && (class == 0 || super::size(class - 1) < size), "{size}");
            }
            assert_eq!(class(Layout::from_size_align(LARGEST + 1, 8).unwrap()), None);
            assert_eq!(class(Layout::from_size_align(64, 32).unwrap()), None);
        }

        #[test]
        fn a_depot_keeps_its_own_and_what_there_is_room_for_and_gives_the_room_back() {
            let bytes = |batches: usize| batches * BATCH * 8;
            static SPARE: Room = Room::new(2 * BATCH * 8);
            let [a, b] = [(); 2].map(|()| Depot::new(8, bytes(1), &SPARE));
            let batch = &mut [std::ptr::null_mut(); BATCH];
            assert_eq!([(); 4].map(|()| a.give(batch)), [true, true, true, false]);
            assert_eq!([(); 2].map(|()| b.give(batch)), [true, false]);
            assert_eq!((a.bytes(), b.bytes()), (bytes(3), bytes(1)));
            assert!(a.take(batch) && b.give(batch) && !a.give(batch));
            assert_eq!([(); 3].map(|()| b.take(batch)), [true, true, false]);
            assert_eq!([(); 2].map(|()| a.give(batch)), [true, false]);
        }

        #[test]
        fn what_one_thread_frees_another_gets() {
            // A size that nothing else in this crate's tests asks for.
            let layout = Layout::from_size_align(LARGEST, ALIGN).unwrap();
            let blocks: Vec<_> = (0..4 * BATCH).map(|_| allocate(layout).expose_provenance()).collect();
            let freed = blocks.clone();
            std::thread::spawn(move || {
                for block in freed {
                    // SAFETY: allocated above with this layout, and given up there.
                    unsafe { free(std::ptr::with_exposed_provenance_mut(block), layout) };
                }
            })
            .join()
            .unwrap();
            let again: Vec<_> = (0..BATCH).map(|_| allocate(layout)).collect();
            assert!(again.iter().all(|block| blocks.contains(&block.addr())));
            for block in again {
                // SAFETY: allocated above.
                unsafe { free(block, layout) };
            }
        }
    }
}

/// Without pools: every block goes to the allocator.
#[cfg(any(all(loom, feature = "loom"), miri, shared_term_no_pool))]
mod global {
    use super::Block;
    use std::alloc::Layout;

    pub(crate) fn allocate(layout: Layout) -> Block {
        // SAFETY: not empty, as the caller says.
        unsafe { std::alloc::alloc(layout) }
    }

    /// # Safety
    ///
    /// `block` must come from [`allocate`] with the same layout, and nobody may use it any more.
    pub(crate) unsafe fn free(block: Block, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { std::alloc::dealloc(block, layout) };
    }

    /// Bytes of small blocks that wait to be used again: none, in this build.
    pub fn pooled_bytes() -> usize {
        0
    }

    /// Bytes that the thread that asks keeps: none, in this build.
    pub fn thread_pooled_bytes() -> usize {
        crate::heap::spare::bytes()
    }
}
