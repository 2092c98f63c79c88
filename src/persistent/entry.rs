//! One key and its value, in one cache line; and what a value is while a batch is young.
//!
//! ```text
//! value | key | version | hash, pins | the key's object, or what it lies in          64 bytes
//! ```
//!
//! A key that is one object of up to four words (a pair, a triple, a float, a short binary) lies in its entry, so that a
//! lookup reads the line of the array and this one, and no other.
//!
//! The value is one word: an immediate, or a pointer into a literal area. Its two low bits tell these from the two things
//! that are no term: zero, where there is no value, and the address of a [`Change`].

use crate::heap::{HeapError, Region, try_box};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::mutation::{Mutation, ordering};
use crate::term::word::{self, Word};
use crate::term::{Key, PAIR, TRIPLE, TermRef};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Words of a key that fit in its entry; [`same_words`] looks at so many.
const ROOM: usize = 4;

/// See the [module](self).
#[repr(C, align(64))]
pub(crate) struct Entry {
    value: AtomicU64,
    /// An immediate, a pointer into the region of `room`, or zero: the key is the object in `room`.
    key: Word,
    /// Of the value; written and read under the lock of the key. When the entry is out of the table, the next that waits.
    version: AtomicU64,
    pub(super) hash: u32,
    /// What holds the entry in the table, with a value or without: slots, and changes of young batches. Under the lock of
    /// the key.
    pins: AtomicU32,
    room: Room,
}

union Room {
    none: (),
    object: [Word; ROOM],
    /// The key is lent, never linked, so that its memory is freed with the entry.
    region: ManuallyDrop<Region>,
}

const _: () = assert!(crate::sync::MODELLED || size_of::<Entry>() == 64);

/// What a batch does to one key. The entry's value leads here from just before the batch is committed to a grace period
/// behind it, so that each span sees the whole batch or none of it: a reader takes `new` if the batch had been committed
/// when its span began, and `old` otherwise.
pub(crate) struct Change {
    number: u64,
    /// What the entry's value was: zero, a term, or the change of another young batch.
    old: AtomicU64,
    /// A term, or zero.
    new: Word,
}

/// The snapshot of somebody who sees every batch that is in place, committed or not.
const NEWEST: u64 = u64::MAX;

/// Is it a term, and not zero or the address of a change?
#[inline(always)]
fn is_term(w: Word) -> bool {
    w & 0b11 != 0
}

/// The term that `w`, which is none itself, stands for in a span whose snapshot is this; zero for none.
///
/// # Safety
///
/// `w` must be the value of an entry, loaded with acquire in the caller's online span or under the lock of its key.
#[cold]
unsafe fn resolve(mut w: Word, snapshot: u64) -> Word {
    while !is_term(w) && w != 0 {
        // SAFETY: a change is freed a grace period after it is out of its entry; the pointer was exposed.
        let change = unsafe { &*ptr::with_exposed_provenance::<Change>(w as usize) };
        // Acquire: pairs with the releases in `swap` and `forget`: what the word leads to is there.
        w = if change.number <= snapshot { change.new } else { change.old.load(Ordering::Acquire) };
    }
    w
}

/// As [`resolve`], out of the way of whoever has not had to load the snapshot.
///
/// # Safety
///
/// As for [`resolve`].
#[cold]
#[inline(never)]
unsafe fn resolve_at(w: Word, snapshot: impl FnOnce() -> u64) -> Word {
    // SAFETY: the caller's promise.
    unsafe { resolve(w, snapshot()) }
}

impl Entry {
    /// The entry of a key, without a value.
    pub(crate) fn new(hash: u64, key: impl Key) -> Result<Box<Self>, HeapError> {
        let (key, room) = match key.immediate() {
            Some(w) => (w, Room { none: () }),
            None => Self::keep(key)?,
        };
        let (value, version, pins) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU32::new(0));
        try_box(Self { value, key, version, hash: hash as u32, pins, room })
    }

    fn keep(key: impl Key) -> Result<(Word, Room), HeapError> {
        // A key is flattened (H11): what is built here has no literals.
        let region = Region::try_build::<HeapError>(|h| Ok(key.build(h)))?;
        let w = region.root_word();
        // SAFETY: a term of the region.
        if let Some(object) = unsafe { one_object(w) } {
            return Ok((0, Room { object }));
        }
        // SAFETY: the region lives during the calls. A copy fits its memory.
        let region = unsafe {
            let words = crate::heap::copy::size_words(w)?;
            Region::copy_sized(w, words, crate::heap::copy::Literals::Flatten)?
        };
        Ok((region.root_word(), Room { region: ManuallyDrop::new(region) }))
    }

    /// The key, lent for as long as the entry may be read.
    #[inline(always)]
    pub(crate) fn key(&self) -> TermRef<'_> {
        let w = match self.key {
            0 => word::pointer((&raw const self.room).cast::<Word>().cast_mut(), word::BOXED),
            w => w,
        };
        // SAFETY: the key's memory lives as long as the entry.
        unsafe { TermRef::from_word(w) }
    }

    /// Is this the entry of `key`?
    #[inline(always)]
    pub(super) fn is(&self, hash: u64, key: impl Key) -> bool {
        if self.hash != hash as u32 {
            return false;
        }
        match key.object() {
            // SAFETY: zero: the key is the object of the room. The other is that of a living term.
            Some(object) if self.key == 0 && unsafe { same_words(self.room.object.as_ptr(), object) } => true,
            _ => key.matches(self.key()),
        }
    }

    /// Is this the entry of the key with this word, which needs no heap?
    #[inline(always)]
    pub(super) fn is_immediate(&self, w: Word) -> bool {
        self.key == w
    }

    /// Is this the entry of the pair of these immediates? It fits in an entry, and is written in one way.
    #[inline(always)]
    pub(super) fn is_pair(&self, a: Word, b: Word) -> bool {
        // SAFETY: zero: the key is the object of the room.
        self.key == 0 && matches!(unsafe { self.room.object }, [PAIR, x, y, _] if x == a && y == b)
    }

    /// As [`is_pair`](Self::is_pair), of three.
    #[inline(always)]
    pub(super) fn is_triple(&self, a: Word, b: Word, c: Word) -> bool {
        // SAFETY: zero: the key is the object of the room.
        self.key == 0 && matches!(unsafe { self.room.object }, [TRIPLE, x, y, z] if x == a && y == b && z == c)
    }

    /// The value's word as the span with this snapshot sees it, or `None` when there is none. The caller must be online.
    #[inline(always)]
    pub(crate) fn value(&self, snapshot: u64) -> Option<Word> {
        self.value_at(move || snapshot)
    }

    /// As [`value`](Self::value). The snapshot is not asked for in the common case: one load and one branch.
    #[inline(always)]
    pub(crate) fn value_at(&self, snapshot: impl FnOnce() -> u64) -> Option<Word> {
        // Acquire: pairs with the release in `swap`: the words of the value are there.
        let w = self.value.load(Ordering::Acquire);
        // One branch for all that is not the common case; and what that gives is one word, so that nothing is left to be told
        // apart where the two meet.
        // SAFETY: the caller is online.
        let w = if is_term(w) { w } else { unsafe { resolve_at(w, snapshot) } };
        (w != 0).then_some(w)
    }

    /// The newest value. The caller holds the lock of the key.
    pub(crate) fn newest(&self) -> Option<Word> {
        self.value(NEWEST)
    }

    /// Sets what readers load, and returns what they did. The caller holds the lock of the key.
    fn swap(&self, w: Word) -> Word {
        // AcqRel: the release publishes the new words; the acquire is for the old ones, whose reference the caller drops.
        self.value.swap(w, Ordering::AcqRel)
    }

    /// The value is `w` from here on; zero for none. The newest before. The caller holds the lock of the key.
    pub(crate) fn replace(&self, w: Word) -> Option<Word> {
        let before = self.swap(w);
        // SAFETY: under the lock of the key.
        let before = if is_term(before) { before } else { unsafe { resolve(before, NEWEST) } };
        (before != 0).then_some(before)
    }

    /// Puts a change in the place of the value. The caller holds the lock of the key.
    ///
    /// # Safety
    ///
    /// The change must live until a grace period after [`forget`](Self::forget).
    pub(super) unsafe fn change(&self, change: NonNull<Change>) {
        // SAFETY: the caller's promise. Relaxed: published by the swap; nobody else writes under the lock.
        unsafe { change.as_ref() }.old.store(self.value.load(Ordering::Acquire), Ordering::Relaxed);
        self.swap(Change::word(change));
    }

    /// Takes a change out that everybody sees as done. The caller holds the lock of the key, and has taken out the
    /// changes of all batches before.
    pub(super) fn forget(&self, change: &Change) {
        let target = ptr::from_ref(change).addr() as Word;
        let mut place = &self.value;
        loop {
            // Acquire: as in `value`; nothing but the lock's other holders writes here.
            let w = place.load(Ordering::Acquire);
            if w == target {
                // Release: hands the words of the value on to those who load it from here.
                return place.store(change.new, Ordering::Release);
            }
            if is_term(w) || w == 0 {
                return; // overwritten since
            }
            // SAFETY: the change of a later batch, which is in its entry.
            place = unsafe { &(*ptr::with_exposed_provenance::<Change>(w as usize)).old };
        }
    }

    /// The version of the value. The caller holds the lock of the key.
    pub(crate) fn version(&self) -> u64 {
        // Relaxed, here and below: under the lock.
        self.version.load(Ordering::Relaxed)
    }

    pub(crate) fn set_version(&self, version: u64) {
        self.version.store(version, Ordering::Relaxed);
    }

    /// The next of the entries that are out of the table and wait for a grace period; under the lock of their list.
    pub(super) fn link(&self) -> Option<NonNull<Self>> {
        // Relaxed: as above.
        NonNull::new(ptr::with_exposed_provenance_mut(self.version.load(Ordering::Relaxed) as usize))
    }

    pub(super) fn set_link(&self, next: Option<NonNull<Self>>) {
        let next = next.map_or(0, |next| next.as_ptr().expose_provenance());
        self.version.store(next as u64, Ordering::Relaxed);
    }

    /// Keeps the entry in the table. The caller holds the lock of the key.
    pub(crate) fn pin(&self) {
        // Relaxed, here and below: under the lock.
        let pins = self.pins.load(Ordering::Relaxed);
        self.pins.store(pins.checked_add(1).expect("a key has fewer slots than memory has"), Ordering::Relaxed);
    }

    pub(crate) fn unpin(&self) {
        self.pins.store(self.pins.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// May the entry leave the table? The caller holds the lock of the key.
    pub(super) fn is_idle(&self) -> bool {
        self.pins.load(Ordering::Relaxed) == 0 && self.newest().is_none()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if word::is_pointer(self.key) {
            // SAFETY: a key that is a pointer lies in the region of the room, which is dropped once.
            unsafe { ManuallyDrop::drop(&mut self.room.region) };
        }
    }
}

impl Change {
    /// A change that is in no entry yet.
    pub(super) fn new(number: u64, new: Word) -> Self {
        Self { number, old: AtomicU64::new(0), new }
    }

    /// The word that stands for the change in its entry.
    pub(super) fn word(this: NonNull<Self>) -> Word {
        this.as_ptr().expose_provenance() as Word
    }
}

/// The snapshot that sees what is committed now. What is seen by it stays so in the span that asked.
pub(super) fn load_snapshot(commits: &AtomicU64) -> u64 {
    // Acquire: pairs with the release of the commit: who sees a batch's number sees all its changes.
    commits.load(ordering(Mutation::SnapshotRelaxed, Ordering::Acquire))
}

/// Are these the same objects, word for word? Then they are equal; otherwise they may be.
///
/// # Safety
///
/// Both must be headers of living objects, the first of no more than [`ROOM`] words.
#[inline(always)]
unsafe fn same_words(a: *const Word, b: *const Word) -> bool {
    // SAFETY: the caller's promise; with the same header, they have as many words, of which there are no more than these.
    unsafe {
        let n = if *a == *b { word::header_size(*a) } else { return false };
        (n < 1 || *a.add(1) == *b.add(1)) && (n < 2 || *a.add(2) == *b.add(2)) && (n < 3 || *a.add(3) == *b.add(3))
    }
}

/// The words of a term that is a single object which fits in an entry.
///
/// # Safety
///
/// `w` must be the word of a living term that is a pointer.
unsafe fn one_object(w: Word) -> Option<[Word; ROOM]> {
    if !word::is_boxed(w) {
        return None;
    }
    let p = word::address(w);
    // SAFETY: a boxed word points to a header, and as many words behind it as that says.
    unsafe {
        let header = *p;
        let n = 1 + word::header_size(header);
        let opaque = word::header_is_opaque(header);
        if n > ROOM || word::header_is_off_heap(header) || !opaque && (1..n).any(|i| word::is_pointer(*p.add(i))) {
            return None;
        }
        let mut object = [0; ROOM];
        ptr::copy_nonoverlapping(p, object.as_mut_ptr(), n);
        Some(object)
    }
}
