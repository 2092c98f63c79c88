//! The key table: readers probe an array of pointers to entries and write nothing.
//!
//! Open addressing with linear probing. An entry never moves and is freed a grace period after it was unlinked; so is an
//! array that was replaced by a larger one. A value is one word: an immediate, or a pointer into a literal area; zero for
//! an entry that was erased.
//!
//! Writers of one key exclude each other by a lock that the hash of the key picks; the array itself is changed under a
//! lock of its own, for a few stores, or for a copy of its pointers when it grows. Building and comparing values happens
//! outside both.

use super::limbo::Limbo;
use super::quiescence::Quiescence;
use crate::heap::Region;
use crate::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::term::word::Word;
use crate::term::{Key, TermRef};
use std::ptr;

/// Locks for writers; a power of two.
const STRIPES: usize = if crate::IS_LOOM { 1 } else { 64 };
const FIRST_CAPACITY: usize = if crate::IS_LOOM { 4 } else { 64 };

/// One key and its value, on a cache line of its own.
#[repr(align(64))]
pub(crate) struct Entry {
    hash: u64,
    /// An immediate, or a pointer into `memory`.
    key: Word,
    value: AtomicU64,
    /// What the key lies in. It is lent, never linked, so that it is freed with the entry.
    _memory: Option<Region>,
}

impl Entry {
    /// The entry of a key without a value; the key lies in `memory`, or nowhere.
    #[allow(clippy::unnecessary_box_returns, reason = "an entry is linked by its address")]
    pub(crate) fn new(hash: u64, key: Word, memory: Option<Region>) -> Box<Self> {
        Box::new(Self { hash, key, value: AtomicU64::new(0), _memory: memory })
    }

    /// The value's word, or `None` when it was erased.
    #[inline(always)]
    pub(crate) fn value(&self) -> Option<Word> {
        // Acquire: pairs with the release in `replace`: the words of the value are there.
        match self.value.load(Ordering::Acquire) {
            0 => None,
            w => Some(w),
        }
    }

    /// The value's word is `w` from here on; zero for none. The old one.
    pub(crate) fn replace(&self, w: Word) -> Option<Word> {
        // AcqRel: the release publishes the new words; the acquire is for the old ones, whose reference the caller drops.
        match self.value.swap(w, Ordering::AcqRel) {
            0 => None,
            w => Some(w),
        }
    }
}

struct Array {
    mask: usize,
    /// Low bits of the pointers are bits of the hash, so that a probe seldom looks at an entry of another key.
    slots: Box<[AtomicPtr<Entry>]>,
}

impl Array {
    fn new(capacity: usize) -> *mut Self {
        let slots = (0..capacity).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Box::into_raw(Box::new(Self { mask: capacity - 1, slots }))
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
}

pub(crate) struct Table {
    array: AtomicPtr<Array>,
    shape: Mutex<Shape>,
    stripes: [Mutex<()>; STRIPES],
    live: AtomicUsize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            array: AtomicPtr::new(Array::new(FIRST_CAPACITY)),
            shape: Mutex::new(Shape { used: 0 }),
            stripes: std::array::from_fn(|_| Mutex::new(())),
            live: AtomicUsize::new(0),
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure to look at.
        self.live.load(Ordering::Relaxed)
    }

    /// Excludes the other writers of the keys with this hash.
    pub(crate) fn lock(&self, hash: u64) -> MutexGuard<'_, ()> {
        self.stripes[hash as usize & (STRIPES - 1)].lock()
    }

    /// The entry of a key. Wait-free: at most one look at each slot. The caller must be online; the entry is valid until
    /// its next boundary.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: impl Key) -> Option<&Entry> {
        let immediate = key.immediate();
        // Acquire: pairs with the release in `grow`.
        // SAFETY: an array is freed a grace period after it was replaced.
        let array = unsafe { &*self.array.load(Ordering::Acquire) };
        let (mut i, tag) = (hash as usize & array.mask, tag(hash));
        // One slot is always null, so this ends.
        loop {
            // Acquire: pairs with the release in `insert`.
            let p = array.slots[i].load(Ordering::Acquire);
            if p.is_null() {
                return None;
            }
            if p.addr() & TAG == tag && p != tombstone() {
                // SAFETY: an entry is freed a grace period after it was unlinked.
                let entry = unsafe { &*untagged(p) };
                let found = match immediate {
                    Some(w) => entry.key == w,
                    // SAFETY: the key's memory lives as long as the entry.
                    None => entry.hash == hash && key.matches(unsafe { TermRef::from_word(entry.key) }),
                };
                if found {
                    return Some(entry);
                }
            }
            i = (i + 1) & array.mask;
        }
    }

    /// Links a new entry. The caller holds the lock of its hash and has found no entry of its key.
    pub(crate) fn insert(&self, entry: Box<Entry>, quiescence: &Quiescence, limbo: &Limbo) {
        let mut shape = self.shape.lock();
        // Relaxed: changed under the lock alone.
        // SAFETY: the current array is freed after it was replaced.
        let mut array = unsafe { &*self.array.load(Ordering::Relaxed) };
        if (shape.used + 1) * 2 > array.slots.len() {
            array = self.grow(&mut shape, quiescence, limbo);
        }
        let mut i = entry.hash as usize & array.mask;
        loop {
            let p = array.slots[i].load(Ordering::Relaxed);
            if p.is_null() {
                shape.used += 1;
            }
            if p.is_null() || p == tombstone() {
                break;
            }
            i = (i + 1) & array.mask;
        }
        let tag = tag(entry.hash);
        // Release: pairs with the acquire in `find`.
        array.slots[i].store(Box::into_raw(entry).map_addr(|a| a | tag), Ordering::Release);
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// Replaces the array by one with room, without tombstones. Waits for nobody; O(keys).
    fn grow(&self, shape: &mut Shape, quiescence: &Quiescence, limbo: &Limbo) -> &Array {
        let capacity = ((self.len() + 1) * 3).next_power_of_two().max(FIRST_CAPACITY);
        let old = self.array.load(Ordering::Relaxed);
        let new = Array::new(capacity);
        // SAFETY: the old array is current, the new one nobody has seen.
        let (from, to) = unsafe { (&*old, &*new) };
        shape.used = 0;
        for p in from.slots.iter().map(|slot| slot.load(Ordering::Relaxed)) {
            if p.is_null() || p == tombstone() {
                continue;
            }
            // SAFETY: a linked entry.
            let mut i = unsafe { (*untagged(p)).hash } as usize & to.mask;
            while !to.slots[i].load(Ordering::Relaxed).is_null() {
                i = (i + 1) & to.mask;
            }
            to.slots[i].store(p, Ordering::Relaxed);
            shape.used += 1;
        }
        // Release: pairs with the acquire in `find`.
        self.array.store(new, Ordering::Release);
        // SAFETY: made by `Box`, unlinked just now.
        limbo.put(quiescence, unsafe { Box::from_raw(old) });
        to
    }

    /// Unlinks an entry. O(1) expected. The caller holds the lock of its hash and has taken its value.
    pub(crate) fn remove(&self, entry: &Entry, quiescence: &Quiescence, limbo: &Limbo) {
        let shape = self.shape.lock();
        // Relaxed: changed under the lock alone.
        // SAFETY: the current array is freed after it was replaced.
        let array = unsafe { &*self.array.load(Ordering::Relaxed) };
        let mut i = entry.hash as usize & array.mask;
        let target = ptr::from_ref(entry).cast_mut();
        while untagged(array.slots[i].load(Ordering::Relaxed)) != target {
            i = (i + 1) & array.mask;
        }
        // Relaxed: a reader that still finds the entry finds it without a value.
        array.slots[i].store(tombstone(), Ordering::Relaxed);
        drop(shape);
        self.live.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: made by `Box`, unlinked just now.
        limbo.put(quiescence, unsafe { Box::from_raw(target) });
    }

    /// The entries of one moment's array. The caller must be online.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        // Acquire: pairs with the release in `grow`.
        // SAFETY: an array is freed a grace period after it was replaced.
        let array = unsafe { &*self.array.load(Ordering::Acquire) };
        array.slots.iter().filter_map(|slot| {
            // Acquire: pairs with the release in `insert`.
            let p = slot.load(Ordering::Acquire);
            // SAFETY: an entry is freed a grace period after it was unlinked.
            if p.is_null() || p == tombstone() { None } else { Some(unsafe { &*untagged(p) }) }
        })
    }
}

impl Entry {
    /// The key, lent for as long as the entry may be read.
    pub(crate) fn key(&self) -> TermRef<'_> {
        // SAFETY: the key's memory lives as long as the entry.
        unsafe { TermRef::from_word(self.key) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let array = self.array.load(Ordering::Relaxed);
        // SAFETY: nobody reads the table any more; what is linked was made by `Box`.
        unsafe {
            for slot in &(*array).slots {
                let p = slot.load(Ordering::Relaxed);
                if !p.is_null() && p != tombstone() {
                    drop(Box::from_raw(untagged(p)));
                }
            }
            drop(Box::from_raw(array));
        }
    }
}
