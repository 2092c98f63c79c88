//! Chunks that a thread has freed and keeps for its next collection.
//!
//! A collection asks for as much memory as lives, and then frees what there was before. An allocator gives memory of that
//! size back to the system, and the next collection pays for each page anew: more than for moving what goes there. So a
//! thread keeps some of it, in sizes that are powers of two. Copies and heaps that grow go through the smaller ones, which
//! an allocator joins with what is free beside them, and cuts out again: dearer, the more pieces its memory is in. And a
//! thread keeps a block or two of literal memory: whoever updates a persistent term builds the new value in one, and frees
//! it when the value is small and was copied.

/// The smallest chunk that is kept, and the largest, in bytes with their headers.
const SMALLEST_SHIFT: u32 = 9;
const LARGEST_SHIFT: u32 = 18;

/// The largest size that is kept and not above `bytes`, if there is one.
pub(super) const fn size_within(bytes: usize) -> Option<usize> {
    if bytes < 1 << SMALLEST_SHIFT {
        return None;
    }
    let shift = if bytes.ilog2() > LARGEST_SHIFT { LARGEST_SHIFT } else { bytes.ilog2() };
    Some(1 << shift)
}

pub(super) use kept::{bytes, give, give_block, take, take_block};

#[cfg(not(any(all(loom, feature = "loom"), miri, shared_term_no_pool)))]
mod kept {
    use super::{LARGEST_SHIFT, SMALLEST_SHIFT};
    use crate::heap::literal::BLOCK_BYTES;
    use std::alloc::{Layout, dealloc};
    use std::cell::Cell;
    use std::ptr;

    /// Bytes that one thread keeps.
    const ROOM: usize = 1 << 20;
    const CLASSES: usize = (LARGEST_SHIFT - SMALLEST_SHIFT + 1) as usize;
    /// Chunks of sizes below a page that one thread keeps, of each. Who is sent much and copies little frees more of them
    /// than it will ever take, and needs the room for its collections.
    const SMALL: u32 = 32;
    const SMALL_CLASSES: usize = (12 - SMALLEST_SHIFT) as usize;
    /// Blocks that one thread keeps beside those.
    const BLOCKS: usize = 2;

    /// For each size a list, linked through the first word of the blocks.
    struct Spare {
        lists: [Cell<*mut u8>; CLASSES],
        small: [Cell<u32>; SMALL_CLASSES],
        bytes: Cell<usize>,
        blocks: [Cell<*mut u8>; BLOCKS],
    }

    thread_local! {
        static SPARE: Spare = const { Spare {
            lists: [const { Cell::new(ptr::null_mut()) }; CLASSES],
            small: [const { Cell::new(0) }; SMALL_CLASSES],
            bytes: Cell::new(0),
            blocks: [const { Cell::new(ptr::null_mut()) }; BLOCKS],
        } };
    }

    const fn block_layout() -> Layout {
        match Layout::from_size_align(BLOCK_BYTES, BLOCK_BYTES) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    }

    /// A block of literal memory, if one is kept.
    pub(in super::super) fn take_block() -> Option<*mut u8> {
        let take = |spare: &Spare| {
            let place = spare.blocks.iter().find(|place| !place.get().is_null())?;
            Some(place.replace(ptr::null_mut()))
        };
        SPARE.try_with(take).ok().flatten()
    }

    /// Keeps a block of literal memory, or says that it does not.
    ///
    /// # Safety
    ///
    /// `block` must be an allocation of [`BLOCK_BYTES`], aligned to as many, that nobody uses any more.
    pub(in super::super) unsafe fn give_block(block: *mut u8) -> bool {
        let give = |spare: &Spare| {
            let place = spare.blocks.iter().find(|place| place.get().is_null());
            place.map(|place| place.set(block)).is_some()
        };
        SPARE.try_with(give).unwrap_or(false)
    }

    fn class(bytes: usize) -> Option<usize> {
        let kept = bytes.is_power_of_two() && (SMALLEST_SHIFT..=LARGEST_SHIFT).contains(&bytes.ilog2());
        kept.then(|| (bytes.ilog2() - SMALLEST_SHIFT) as usize)
    }

    /// A block of so many bytes, aligned to 8, if one is kept.
    pub(in super::super) fn take(bytes: usize) -> Option<*mut u8> {
        let class = class(bytes)?;
        // A thread that ends has none any more.
        SPARE
            .try_with(|spare| {
                let block = spare.lists[class].get();
                if block.is_null() {
                    return None;
                }
                // SAFETY: a block on a list has the next one in its first word, and is nobody else's.
                spare.lists[class].set(unsafe { block.cast::<*mut u8>().read() });
                spare.bytes.set(spare.bytes.get() - bytes);
                if let Some(small) = spare.small.get(class) {
                    small.set(small.get() - 1);
                }
                Some(block)
            })
            .ok()
            .flatten()
    }

    /// Keeps a block, or says that it does not.
    ///
    /// # Safety
    ///
    /// `block` must be an allocation of so many bytes, aligned to 8, that nobody uses any more.
    pub(in super::super) unsafe fn give(block: *mut u8, bytes: usize) -> bool {
        let Some(class) = class(bytes) else { return false };
        SPARE
            .try_with(|spare| {
                let total = spare.bytes.get() + bytes;
                if total > ROOM {
                    return false;
                }
                if let Some(small) = spare.small.get(class) {
                    if small.get() == SMALL {
                        return false;
                    }
                    small.set(small.get() + 1);
                }
                // SAFETY: the caller's promise: the block is ours, and long enough for a link.
                unsafe { block.cast::<*mut u8>().write(spare.lists[class].get()) };
                spare.lists[class].set(block);
                spare.bytes.set(total);
                true
            })
            .unwrap_or(false)
    }

    /// Bytes that this thread keeps.
    pub(in super::super) fn bytes() -> usize {
        let blocks = |spare: &Spare| spare.blocks.iter().filter(|place| !place.get().is_null()).count();
        SPARE.try_with(|spare| spare.bytes.get() + BLOCK_BYTES * blocks(spare)).unwrap_or(0)
    }

    impl Drop for Spare {
        fn drop(&mut self) {
            for block in self.blocks.iter().map(Cell::get).filter(|block| !block.is_null()) {
                // SAFETY: given with this layout, and nobody else's.
                unsafe { dealloc(block, block_layout()) };
            }
            for (class, list) in self.lists.iter().enumerate() {
                let mut block = list.get();
                while !block.is_null() {
                    // SAFETY: as in `take`; each was allocated with this size and alignment.
                    unsafe {
                        let next = block.cast::<*mut u8>().read();
                        let size = 1 << (class as u32 + SMALLEST_SHIFT);
                        dealloc(block, Layout::from_size_align_unchecked(size, 8));
                        block = next;
                    }
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::alloc::alloc;

        #[test]
        fn a_block_or_two_are_kept_and_come_back() {
            std::thread::spawn(|| {
                // SAFETY: the layout is not empty.
                let blocks: Vec<_> = (0..=BLOCKS).map(|_| unsafe { alloc(block_layout()) }).collect();
                // SAFETY: allocated with that layout.
                let kept: Vec<_> = blocks.iter().map(|&block| unsafe { give_block(block) }).collect();
                assert_eq!(kept.iter().filter(|kept| **kept).count(), BLOCKS);
                assert!(!kept[BLOCKS]);
                // SAFETY: as above: it was not kept.
                unsafe { dealloc(blocks[BLOCKS], block_layout()) };
                for _ in 0..BLOCKS {
                    let block = take_block().unwrap();
                    assert!(blocks[..BLOCKS].contains(&block));
                    // SAFETY: as above.
                    unsafe { dealloc(block, block_layout()) };
                }
                assert!(take_block().is_none());
            })
            .join()
            .unwrap();
        }

        #[test]
        fn small_chunks_leave_room_for_large_ones() {
            std::thread::spawn(|| {
                let (size, layout) = (1 << SMALLEST_SHIFT, Layout::from_size_align(1 << SMALLEST_SHIFT, 8).unwrap());
                // One that is taken can be given again.
                for kept in [SMALL as usize, 1] {
                    // SAFETY: the layout is not empty.
                    let chunks: Vec<_> = (0..100).map(|_| unsafe { alloc(layout) }).collect();
                    // SAFETY: allocated with that layout; what is not kept is freed.
                    let given = chunks.iter().filter(|&&chunk| unsafe {
                        let kept = give(chunk, size);
                        if !kept {
                            dealloc(chunk, layout);
                        }
                        kept
                    });
                    assert_eq!(given.count(), kept);
                    assert_eq!(bytes(), SMALL as usize * size);
                    // SAFETY: kept, and so allocated with that layout.
                    unsafe { dealloc(take(size).unwrap(), layout) };
                }
            })
            .join()
            .unwrap();
        }

        #[test]
        fn what_is_kept_is_bounded_and_comes_back() {
            // By itself: a thread of its own has nothing yet.
            std::thread::spawn(|| {
                let (size, layout) = (1 << LARGEST_SHIFT, Layout::from_size_align(1 << LARGEST_SHIFT, 8).unwrap());
                // SAFETY: the layout is not empty.
                let blocks: Vec<_> = (0..8).map(|_| unsafe { alloc(layout) }).collect();
                // SAFETY: allocated with that layout; what is not kept is freed.
                let kept = blocks.iter().filter(|&&block| unsafe {
                    let kept = give(block, size);
                    if !kept {
                        dealloc(block, layout);
                    }
                    kept
                });
                assert_eq!(kept.count(), ROOM / size);
                assert!(take(size / 2).is_none());
                let again = take(size).unwrap();
                assert!(blocks.contains(&again));
                // SAFETY: as above.
                assert!(unsafe { give(again, size) });
                assert!(take(size + 8).is_none() && take(0).is_none());
            })
            .join()
            .unwrap();
        }
    }
}

/// Nothing is kept: every block goes to the allocator.
#[cfg(any(all(loom, feature = "loom"), miri, shared_term_no_pool))]
mod kept {
    pub(in super::super) fn take(_: usize) -> Option<*mut u8> {
        None
    }

    pub(in super::super) fn take_block() -> Option<*mut u8> {
        None
    }

    pub(in super::super) fn bytes() -> usize {
        0
    }

    /// # Safety
    ///
    /// None.
    pub(in super::super) unsafe fn give_block(_: *mut u8) -> bool {
        false
    }

    /// # Safety
    ///
    /// None.
    pub(in super::super) unsafe fn give(_: *mut u8, _: usize) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::size_within;

    #[test]
    fn sizes_are_powers_of_two_within_bounds() {
        assert_eq!([511, 512, 8191, 8192].map(size_within), [None, Some(512), Some(4096), Some(8192)]);
        assert_eq!([1 << 18, 1 << 30].map(size_within), [Some(1 << 18), Some(1 << 18)]);
    }
}
