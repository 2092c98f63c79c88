//! The key table: readers probe an array of pointers to entries and write nothing.
//!
//! Open addressing with linear probing. An entry never moves and is freed a grace period after it was unlinked; so is an
//! array that was replaced by a larger one. An entry without a value is unlinked, unless it is pinned: by a slot, which
//! reads it without a lookup, or by a batch that is not done with it.
//!
//! Writers of one key exclude each other by a lock that the hash of the key picks; the array itself is changed under a
//! lock of its own, for a few stores, or for a copy of its pointers when it grows. Building and comparing values happens
//! outside both.

use super::entry::{Entry, load_snapshot};
use super::limbo::{Limbo, Link};
use super::quiescence::Quiescence;
use crate::heap::HeapError;
use crate::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::term::{Form, Key, hash_pair, hash_triple, hash_word};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Locks for writers; a power of two.
const STRIPES: usize = if crate::sync::MODELLED { 2 } else { 64 };
/// Of each stripe, whether it is meant.
pub(super) type Stripes = [bool; STRIPES];
pub(super) const NO_STRIPES: Stripes = [false; STRIPES];
const FIRST_CAPACITY: usize = if crate::sync::MODELLED { 4 } else { 64 };

/// The head of an array; its slots follow. Reached by raw pointers, which stand for all of the allocation.
#[repr(C)]
struct Array {
    /// For when it has been replaced.
    link: Link,
    mask: usize,
    /// Low bits of the pointers are bits of the hash, so that a probe seldom looks at an entry of another key.
    slots: [AtomicPtr<Entry>; 0],
}

impl Array {
    fn layout(capacity: usize) -> Layout {
        let slots = Layout::array::<AtomicPtr<Entry>>(capacity).expect("a table has fewer slots than memory has");
        Layout::new::<Self>().extend(slots).expect("a table has fewer slots than memory has").0.pad_to_align()
    }

    fn new(capacity: usize) -> Option<*mut Self> {
        let layout = Self::layout(capacity);
        // SAFETY: the layout is not empty; the mask and every slot are written before the array is used.
        unsafe {
            let this = alloc(layout).cast::<Self>();
            if this.is_null() {
                return None;
            }
            (&raw mut (*this).link).write(Link::new(|link| Self::free(link.as_ptr().cast())));
            (&raw mut (*this).mask).write(capacity - 1);
            let slots = (&raw mut (*this).slots).cast::<AtomicPtr<Entry>>();
            (0..capacity).for_each(|i| slots.add(i).write(AtomicPtr::new(ptr::null_mut())));
            Some(this)
        }
    }

    /// # Safety
    ///
    /// `this` must be a live array, for `'a`.
    #[inline(always)]
    unsafe fn slot<'a>(this: *const Self, i: usize) -> &'a AtomicPtr<Entry> {
        // SAFETY: the caller's promise; the mask keeps it within the slots, which `new` has written.
        unsafe { &*(&raw const (*this).slots).cast::<AtomicPtr<Entry>>().add(i & (*this).mask) }
    }

    /// # Safety
    ///
    /// `this` must be made by [`new`](Self::new), and nobody may read it any more.
    unsafe fn free(this: *mut Self) {
        // SAFETY: the caller's promise. The slots' own drop does nothing but in models.
        unsafe {
            let capacity = (*this).mask + 1;
            let slots = (&raw mut (*this).slots).cast::<AtomicPtr<Entry>>();
            (0..capacity).for_each(|i| ptr::drop_in_place(slots.add(i)));
            dealloc(this.cast(), Self::layout(capacity));
        }
    }

    /// # Safety
    ///
    /// As for [`slot`](Self::slot).
    unsafe fn slots<'a>(this: *const Self) -> &'a [AtomicPtr<Entry>] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts((&raw const (*this).slots).cast(), (*this).mask + 1) }
    }
}

/// The bits of a pointer that its alignment leaves free.
const TAG: usize = align_of::<Entry>() - 1;

/// Bits of a hash that do not pick the slot.
#[inline(always)]
fn tag(hash: u64) -> usize {
    (hash >> 32) as usize & TAG
}

#[inline(always)]
fn untagged(p: *mut Entry) -> *mut Entry {
    p.map_addr(|a| a & !TAG)
}

/// Where an entry was: probing goes on behind it.
fn tombstone() -> *mut Entry {
    ptr::without_provenance_mut(align_of::<Entry>())
}

struct Shape {
    /// Slots that are not null, tombstones included.
    used: usize,
    /// Entries.
    entries: usize,
}

#[repr(C)]
pub(crate) struct Table {
    // What readers load, on a line that writers of new keys alone write, and batches.
    array: AtomicPtr<Array>,
    /// The number of the last batch that is committed.
    commits: AtomicU64,
    /// Keys with a value.
    live: AtomicUsize,
    versions: AtomicU64,
    shape: Mutex<Shape>,
    stripes: [Mutex<()>; STRIPES],
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            array: AtomicPtr::new(
                Array::new(FIRST_CAPACITY).unwrap_or_else(|| handle_alloc_error(Array::layout(FIRST_CAPACITY))),
            ),
            commits: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            versions: AtomicU64::new(0),
            shape: Mutex::new(Shape { used: 0, entries: 0 }),
            stripes: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure to look at.
        self.live.load(Ordering::Relaxed)
    }

    /// Counts keys that have got a value, or lost theirs.
    pub(crate) fn count(&self, got: usize, lost: usize) {
        // Relaxed: a figure to look at. Up first, so that it never is below zero.
        self.live.fetch_add(got, Ordering::Relaxed);
        self.live.fetch_sub(lost, Ordering::Relaxed);
    }

    /// Which batches a span that begins here sees. The caller must be online.
    #[inline]
    pub(crate) fn snapshot(&self) -> u64 {
        load_snapshot(&self.commits)
    }

    /// The counter of batches.
    pub(super) fn commits(&self) -> &AtomicU64 {
        &self.commits
    }

    /// A version that no value has had (H22).
    pub(crate) fn next_version(&self) -> u64 {
        // Relaxed: a number is given out once, whatever else happens.
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Excludes the other writers of the keys with this hash.
    pub(crate) fn lock(&self, hash: u64) -> MutexGuard<'_, ()> {
        self.stripes[Self::stripe(hash)].lock()
    }

    pub(super) fn stripe(hash: u64) -> usize {
        hash as usize & (STRIPES - 1)
    }

    /// Excludes the other writers of the keys in these stripes.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "models have two")]
    pub(super) fn lock_stripes(&self, stripes: &Stripes) -> [Option<MutexGuard<'_, ()>>; STRIPES] {
        // In order, so that no two wait for each other.
        std::array::from_fn(|stripe| stripes[stripe].then(|| self.stripes[stripe].lock()))
    }

    /// Excludes all writers.
    pub(super) fn lock_all(&self) -> [Option<MutexGuard<'_, ()>>; STRIPES] {
        self.lock_stripes(&[true; STRIPES])
    }

    /// The entry of a key of this form whose hash is its structural one. Wait-free: at most one look at each slot. The caller
    /// must be online; the entry is valid until its next boundary.
    #[inline(always)]
    pub(crate) fn get(&self, form: Form, key: impl Key) -> Option<&Entry> {
        match form {
            Form::Immediate(w) => self.probe(hash_word(w), |entry| entry.is_immediate(w)),
            Form::Pair(a, b) => self.probe(hash_pair(a, b), |entry| entry.is_pair(a, b)),
            Form::Triple(a, b, c) => self.probe(hash_triple(a, b, c), |entry| entry.is_triple(a, b, c)),
            Form::Other => {
                let hash = key.hash_other();
                self.probe(hash, |entry| entry.is(hash, key))
            }
        }
    }

    /// As [`get`](Self::get), where the hash is at hand, or another than the structural one.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: impl Key) -> Option<&Entry> {
        match key.form() {
            Form::Immediate(w) => self.probe(hash, |entry| entry.is_immediate(w)),
            Form::Pair(a, b) => self.probe(hash, |entry| entry.is_pair(a, b)),
            Form::Triple(a, b, c) => self.probe(hash, |entry| entry.is_triple(a, b, c)),
            Form::Other => self.probe(hash, |entry| entry.is(hash, key)),
        }
    }

    /// The first entry with this hash that is the one.
    #[inline(always)]
    fn probe(&self, hash: u64, is: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        // Acquire: pairs with the release in `grow`.
        let array = self.array.load(Ordering::Acquire);
        let (mut i, tag) = (hash as u32 as usize, tag(hash));
        // One slot is always null, so this ends.
        loop {
            // Acquire: pairs with the release in `insert`.
            // SAFETY: an array is freed a grace period after it was replaced.
            let p = unsafe { Array::slot(array, i) }.load(Ordering::Acquire);
            if p.addr() & TAG == tag && p.addr() > align_of::<Entry>() + TAG {
                // SAFETY: an entry is freed a grace period after it was unlinked.
                let entry = unsafe { &*untagged(p) };
                if is(entry) {
                    return Some(entry);
                }
            } else if p.is_null() {
                return None;
            }
            i = i.wrapping_add(1);
        }
    }

    /// Makes a place for one more entry, which nobody else may take. Only where no other key is being inserted.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "names have one writer at a time"))]
    pub(crate) fn reserve(&self, quiescence: &Quiescence, limbo: &Limbo) -> Result<(), HeapError> {
        self.make_place(&mut self.shape.lock(), quiescence, limbo).map(drop)
    }

    /// The array that has a place for one more.
    fn make_place(&self, shape: &mut Shape, quiescence: &Quiescence, limbo: &Limbo) -> Result<*mut Array, HeapError> {
        // Relaxed: changed under the lock alone.
        let array = self.array.load(Ordering::Relaxed);
        // SAFETY: the current array is freed after it was replaced.
        let capacity = unsafe { (*array).mask + 1 };
        if (shape.used + 1) * 2 <= capacity {
            return Ok(array);
        }
        match self.grow(shape, quiescence, limbo) {
            Some(grown) => Ok(grown),
            // Without memory for a larger one it becomes fuller than it should, and the next key tries again. One slot
            // stays null: where probing ends.
            None if shape.used + 2 <= capacity => Ok(array),
            None => Err(HeapError::OutOfMemory { words: 2 * capacity }),
        }
    }

    /// Links a new entry. The caller holds the lock of its hash and has found no entry of its key.
    ///
    /// # Errors
    ///
    /// When there is no memory, with the entry, whose key may own things of the user's: not to be dropped under a lock.
    pub(crate) fn insert(
        &self,
        entry: Box<Entry>,
        hash: u64,
        quiescence: &Quiescence,
        limbo: &Limbo,
    ) -> Result<&Entry, (HeapError, Box<Entry>)> {
        let mut shape = self.shape.lock();
        let array = match self.make_place(&mut shape, quiescence, limbo) {
            Ok(array) => array,
            Err(error) => return Err((error, entry)),
        };
        let mut i = hash as u32 as usize;
        let slot = loop {
            // SAFETY: the current array is freed after it was replaced.
            let slot = unsafe { Array::slot(array, i) };
            let p = slot.load(Ordering::Relaxed);
            if p.is_null() {
                shape.used += 1;
            }
            if p.is_null() || p == tombstone() {
                break slot;
            }
            i = i.wrapping_add(1);
        };
        shape.entries += 1;
        let entry = Box::into_raw(entry);
        // Release: pairs with the acquire in `find`.
        slot.store(entry.map_addr(|a| a | tag(hash)), Ordering::Release);
        // SAFETY: the caller holds the lock without which the entry is not unlinked.
        Ok(unsafe { &*entry })
    }

    /// Replaces the array by one with room, without tombstones, if there is memory for it. Waits for nobody; O(keys).
    fn grow(&self, shape: &mut Shape, quiescence: &Quiescence, limbo: &Limbo) -> Option<*mut Array> {
        let capacity = ((shape.entries + 1) * 3).next_power_of_two().max(FIRST_CAPACITY);
        let old = self.array.load(Ordering::Relaxed);
        let new = Array::new(capacity)?;
        shape.used = 0;
        // SAFETY: the old array is current, the new one nobody has seen; what they lead to are linked entries.
        unsafe {
            for p in Array::slots(old).iter().map(|slot| slot.load(Ordering::Relaxed)) {
                if p.is_null() || p == tombstone() {
                    continue;
                }
                let mut i = (*untagged(p)).hash as usize;
                while !Array::slot(new, i).load(Ordering::Relaxed).is_null() {
                    i = i.wrapping_add(1);
                }
                Array::slot(new, i).store(p, Ordering::Relaxed);
                shape.used += 1;
            }
        }
        // Release: pairs with the acquire in `find`.
        self.array.store(new, Ordering::Release);
        // SAFETY: an array is not null; it has its link first, which says how it ends.
        unsafe { limbo.put_one(quiescence, NonNull::new_unchecked(old).cast()) };
        Some(new)
    }

    /// Unlinks an entry, if it has no value and nothing pins it. O(1) expected. The caller holds the lock of its hash, and
    /// does not use the entry any more.
    pub(crate) fn unlink_idle(&self, entry: &Entry, quiescence: &Quiescence, limbo: &Limbo) {
        if !entry.is_idle() {
            return;
        }
        let mut shape = self.shape.lock();
        // Relaxed: changed under the lock alone.
        let array = self.array.load(Ordering::Relaxed);
        let mut i = entry.hash as usize;
        let target = ptr::from_ref(entry).cast_mut();
        let (slot, linked) = loop {
            // SAFETY: the current array is freed after it was replaced; the entry is in it.
            let slot = unsafe { Array::slot(array, i) };
            let p = slot.load(Ordering::Relaxed);
            if ptr::eq(untagged(p), target) {
                break (slot, untagged(p));
            }
            i = i.wrapping_add(1);
        };
        // Relaxed: a reader that still finds the entry finds it without a value.
        slot.store(tombstone(), Ordering::Relaxed);
        shape.entries -= 1;
        drop(shape);
        // SAFETY: made by `Box`, unlinked just now.
        limbo.put_entry(quiescence, unsafe { Box::from_raw(linked) });
    }

    /// The entries of one moment's array. The caller must be online.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        // Acquire: pairs with the release in `grow`.
        // SAFETY: an array is freed a grace period after it was replaced.
        let slots = unsafe { Array::slots(self.array.load(Ordering::Acquire)) };
        slots.iter().filter_map(|slot| {
            // Acquire: pairs with the release in `insert`.
            let p = slot.load(Ordering::Acquire);
            // SAFETY: an entry is freed a grace period after it was unlinked.
            if p.is_null() || p == tombstone() { None } else { Some(unsafe { &*untagged(p) }) }
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let array = self.array.load(Ordering::Relaxed);
        // SAFETY: nobody reads the table any more; what is linked was made by `Box`.
        unsafe {
            for slot in Array::slots(array) {
                let p = slot.load(Ordering::Relaxed);
                if !p.is_null() && p != tombstone() {
                    drop(Box::from_raw(untagged(p)));
                }
            }
            Array::free(array);
        }
    }
}
