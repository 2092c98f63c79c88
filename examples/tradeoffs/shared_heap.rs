//! One heap for all processes: a send passes a handle, and a collection stops everybody.
//!
//! What a process holds, and what is on its way to it, is a *handle*: a slot of one table through which the collector finds
//! and moves what the slot stands for, as the handles of virtual machines do. New values come in blocks of their own, like
//! the allocation buffers of a shared nursery. A collection stops the world, visits every process and its mailbox for the
//! handles in use, and copies all that they reach, whoever it belongs to, into one new block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use shared_term::{Region, TermRef};

use crate::mini_runtime::{MiniRuntime, Process};

/// A slot of the heap. Plain data: nothing is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle(usize);

enum Slot {
    Free,
    /// The element of the old block's root at this place.
    Old(usize),
    Fresh(Region),
}

#[derive(Default)]
struct Space {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// A tuple of all values that the last collection found.
    old: Option<Region>,
}

impl Space {
    fn value(&self, Handle(at): Handle) -> Option<TermRef<'_>> {
        match self.slots.get(at)? {
            Slot::Free => None,
            Slot::Old(nth) => self.old.as_ref()?.root().as_tuple()?.get(*nth).copied(),
            Slot::Fresh(region) => Some(region.root()),
        }
    }
}

/// What a collection did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Processes that were looked at, all of them stopped.
    pub(crate) visited: usize,
    /// Live words, copied.
    pub(crate) words: usize,
    /// Values that nobody had a handle to.
    pub(crate) freed: usize,
}

#[derive(Default)]
pub(crate) struct SharedHeap {
    space: RwLock<Space>,
    everyone: Mutex<Vec<Arc<Process<Handle>>>>,
}

impl SharedHeap {
    /// Processes that the collector knows.
    pub(crate) fn spawn(&self, count: usize) -> Vec<Arc<Process<Handle>>> {
        let new = crate::mini_runtime::spawn(count);
        self.everyone().extend(new.iter().cloned());
        new
    }

    fn everyone(&self) -> MutexGuard<'_, Vec<Arc<Process<Handle>>>> {
        self.everyone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a value in, O(1).
    pub(crate) fn adopt(&self, value: Region) -> Handle {
        let mut space = self.space.write().unwrap_or_else(PoisonError::into_inner);
        let at = space.free.pop().unwrap_or_else(|| {
            space.slots.push(Slot::Free);
            space.slots.len() - 1
        });
        space.slots[at] = Slot::Fresh(value);
        Handle(at)
    }

    /// Reads a value in place. A lock is held meanwhile, in this small implementation; a turn is all of one reading.
    pub(crate) fn read<R>(&self, handle: Handle, f: impl FnOnce(TermRef<'_>) -> R) -> Option<R> {
        let space = self.space.read().unwrap_or_else(PoisonError::into_inner);
        space.value(handle).map(f)
    }

    /// Stops every process of `runtime`, moves what they can reach (and what `global` stands for), and frees the rest.
    pub(crate) fn collect(&self, runtime: &MiniRuntime<Handle>, global: Option<Handle>) -> Result<Collected, String> {
        runtime.stop(|| {
            let mut space = self.space.write().unwrap_or_else(PoisonError::into_inner);
            let mut live = vec![false; space.slots.len()];
            let mut mark = |Handle(at): Handle| live[at] = true;
            global.into_iter().for_each(&mut mark);
            let everyone = self.everyone();
            for process in everyone.iter() {
                process.stopped().iter().copied().for_each(&mut mark);
                process.waiting(|&mut handle| mark(handle));
            }
            let kept: Vec<_> = (0..live.len()).filter(|&at| live[at]).map(Handle).collect();
            let values: Option<Vec<_>> = kept.iter().map(|&handle| space.value(handle)).collect();
            let values = values.ok_or("a handle in use stands for nothing")?;
            let copy = Region::build(|h| {
                let copies: Vec<_> = values.iter().map(|&value| h.copy(value)).collect();
                h.tuple(&copies)
            });
            let words = copy.words();
            let mut freed = 0;
            for at in (0..live.len()).filter(|&at| !live[at]) {
                if !matches!(std::mem::replace(&mut space.slots[at], Slot::Free), Slot::Free) {
                    space.free.push(at);
                    freed += 1;
                }
            }
            for (nth, &Handle(at)) in kept.iter().enumerate() {
                space.slots[at] = Slot::Old(nth);
            }
            space.old = Some(copy);
            Ok(Collected { visited: everyone.len(), words, freed })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini_runtime::Letter;

    fn number(heap: &SharedHeap, handle: Handle) -> Option<i64> {
        heap.read(handle, |value| value.tuple_of().and_then(|[n]| n.as_int())).flatten()
    }

    #[test]
    fn what_is_held_waits_or_is_global_survives_and_the_rest_does_not() {
        let heap = SharedHeap::default();
        let runtime = MiniRuntime::stoppable(0);
        let processes = heap.spawn(2);
        let [global, held, waiting, garbage] =
            [0, 1, 2, 3].map(|n| heap.adopt(Region::build(|h| h.tuple(&[h.int(n)]))));
        runtime.send(&processes[0], Letter::Hold(held));
        runtime.run_until_idle();
        runtime.send(&processes[1], Letter::Hold(waiting));
        let collected = heap.collect(&runtime, Some(global));
        // Three tuples, and the one of the roots.
        assert_eq!(collected, Ok(Collected { visited: 2, words: 3 * 2 + 4, freed: 1 }));
        assert_eq!([global, held, waiting].map(|handle| number(&heap, handle)), [Some(0), Some(1), Some(2)]);
        assert_eq!(number(&heap, garbage), None);
        // Once more, from the block that the first collection made; a free slot is used again.
        let new = heap.adopt(Region::build(|h| h.tuple(&[h.int(4)])));
        assert_eq!(new, garbage);
        runtime.run_until_idle();
        assert_eq!(heap.collect(&runtime, Some(new)).unwrap().freed, 1);
        assert_eq!([new, held, waiting].map(|handle| number(&heap, handle)), [Some(4), Some(1), Some(2)]);
        assert_eq!(number(&heap, global), None);
    }
}
