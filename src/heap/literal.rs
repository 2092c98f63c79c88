//! Literal memory: aligned blocks, so that a pointer into an area finds the area without a search.
//!
//! A word with the frozen bit says "leave me alone", and collectors ask no more. Whoever *stores* a literal must know
//! which area it points into (invariant 4). Areas therefore lie in blocks aligned to 64 KiB whose first words map each
//! slot of the block to its area: `w & !0xffff` is the block, and
//!
//! ```text
//! block:  shift | live slots | entry of slot 0 | entry of slot 1 | ...        a slot is 1 << shift bytes
//! entry:  address of the Area (aligned to 64), its filter bit (0 to 55) in the low six bits
//! ```
//!
//! A small area is a slot of a block shared by areas of its size class; a larger one has blocks of its own, with one
//! entry. Objects start in the first 64 KiB of their block; one that is larger runs past the end of it.

use super::chunk::{CHUNK_WORDS, Chunk, Memory};
use super::filter_bits::FilterBits;
use super::lineage::Kept;
use super::pages::{reserve, try_box};
use super::{HeapError, off_heap, poison, spare};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::term::word::Word;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};
use std::sync::atomic as plain;

/// Size and alignment of a block.
pub(crate) const BLOCK_BYTES: usize = 1 << 16;
/// Bits of the filter that a card has room for.
pub(crate) const FILTER_BITS: u64 = 56;
/// Where the filter begins in a card; filters are kept shifted.
pub(crate) const FILTER_SHIFT: u64 = 8;

const WHOLE_BLOCK_SHIFT: u64 = BLOCK_BYTES.trailing_zeros() as u64;
/// Slots of 256 bytes to 8 KiB; what is larger gets blocks of its own.
const SMALLEST_SHIFT: usize = 8;
const LARGEST_SHIFT: usize = 13;
/// An area of more words has a block of its own.
pub(crate) const LARGEST_SHARED_WORDS: usize = (1 << LARGEST_SHIFT) / size_of::<Word>() - CHUNK_WORDS;
/// Areas whose memory is kept when they are freed. (A sanitizer is to see each use of what was freed.)
const SPARE: usize = if cfg!(any(miri, shared_term_no_pool)) { 0 } else { 16 };
const CLASSES: usize = LARGEST_SHIFT - SMALLEST_SHIFT + 1;

#[repr(C)]
struct Block {
    shift: u64,
    /// Slots in use; under the lock of the space.
    live: u64,
    /// One per slot.
    entries: [Entry; 1],
}

/// The bytes before the chunk in a block with one area.
pub(crate) const DEDICATED_HEADER_BYTES: usize = size_of::<Block>();

/// Which area a slot belongs to, and that area's filter bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Entry(u64);

impl Entry {
    /// The bit that stands for the area in filters and cards.
    #[inline(always)]
    pub(crate) fn bit(self) -> u64 {
        1 << (FILTER_SHIFT + (self.0 & 63))
    }

    /// The area.
    #[inline(always)]
    pub(crate) fn area(self) -> NonNull<Area> {
        let p = ptr::with_exposed_provenance_mut::<Area>((self.0 & !63) as usize);
        // SAFETY: an entry is made from the address of an area.
        unsafe { NonNull::new_unchecked(p) }
    }

    /// No area.
    pub(crate) const NULL: Self = Self(0);

    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }
}

/// The entry of the area that a literal word points into. Reads one line that never changes while the area lives.
#[inline(always)]
pub(crate) fn entry(w: Word) -> Entry {
    let address = w as usize;
    let block = ptr::with_exposed_provenance::<Block>(address & !(BLOCK_BYTES - 1));
    // SAFETY: invariant 4: a word with the frozen bit points into the first 64 KiB of a block, whose header was written
    // before the word was published, and whose entry for this slot stands until the area is freed.
    unsafe {
        let slot = (address & (BLOCK_BYTES - 1)) >> (*block).shift;
        *(&raw const (*block).entries).cast::<Entry>().add(slot)
    }
}

/// Bytes around a literal that are all of its area: a slot, or the first 64 KiB of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// An address there, and how many of the low bits of others differ from it.
    address: usize,
    shift: u32,
}

impl Extent {
    /// No literal lies there.
    pub(crate) const NOTHING: Self = Self { address: 0, shift: WHOLE_BLOCK_SHIFT as u32 };

    /// Does the literal `w` lie there?
    #[inline(always)]
    pub(crate) fn contains(self, w: Word) -> bool {
        (w as usize ^ self.address) >> self.shift == 0
    }
}

/// Where the objects begin that are of the same area as the literal `w` and in its block.
pub(crate) fn extent(w: Word) -> Extent {
    let block = ptr::with_exposed_provenance::<Block>(w as usize & !(BLOCK_BYTES - 1));
    // SAFETY: as in `entry`.
    Extent { address: w as usize, shift: unsafe { (*block).shift } as u32 }
}

/// The memory of one frozen region, and what keeps it alive.
///
/// `refs` counts the table slots, the dependent areas and the leases that point here (invariant 4 and the collection's
/// R4 and R5): the count in the low half, the number of increments in the high half.
#[repr(align(64))]
pub(crate) struct Area {
    pub(crate) refs: AtomicU64,
    /// Set by the collector: whoever hands a literal of this area to another owner copies it as ordinary data.
    pub(crate) retired: AtomicBool,
    /// Is the area on the pending list? Read and written under that list's lock.
    pub(crate) queued: AtomicBool,
    /// Words in use.
    pub(crate) words: usize,
    /// Bytes of memory, off-heap contents not included.
    pub(crate) bytes: usize,
    /// Bytes of the binaries outside that the area keeps alive.
    pub(crate) off_heap_bytes: usize,
    /// Words in use here and in all areas that this one keeps alive, at most.
    pub(crate) closure_words: usize,
    kept: Kept,
    bit: u64,
    /// Areas that this one points into; each holds a reference there.
    pub(crate) deps: Vec<NonNull<Area>>,
    pub(crate) off_heap: *mut Word,
    chunks: *mut Chunk,
    slot: Option<Slot>,
    /// The next of a list of the collector's, the area itself at its end; under the lock of that list.
    pub(crate) next: Cell<Option<NonNull<Area>>>,
    /// `refs` when the area joined that list; as above.
    pub(crate) at_mark: Cell<u64>,
    /// Lets loom see reads of the contents against their end.
    contents: Contents,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    block: NonNull<Block>,
    index: usize,
    shift: usize,
}

// SAFETY: the contents are immutable (invariant 2) and hold only `Send + Sync` objects; the rest is atomic, or written
// before the area is published, or under the locks that the fields name.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

/// One more reference: an increment, and one on the count.
pub(crate) const ONE_REF: u64 = 1 << 32 | 1;

/// The count of references in `refs`.
pub(crate) const fn count(refs: u64) -> u32 {
    refs as u32
}

impl Area {
    /// Takes a reference. The caller must know that the area lives: it is online and found it live, or holds another.
    pub(crate) fn retain(&self) {
        // Relaxed: as with any reference count, a new reference needs no ordering; giving one up does.
        self.refs.fetch_add(ONE_REF, Ordering::Relaxed);
    }

    /// All bytes that the area keeps from being used otherwise.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes + self.off_heap_bytes
    }

    /// Is the area in the batch that is being collected?
    #[inline(always)]
    pub(crate) fn is_retired(&self) -> bool {
        // Relaxed: the collection's grace period orders the mark before every span that must see it (L2).
        self.retired.load(Ordering::Relaxed)
    }

    /// Says to loom that the contents are read here.
    #[inline(always)]
    pub(crate) fn note_read(&self) {
        self.contents.note_read();
    }
}

/// Says to loom that what the word points to is read here, if it is a literal.
#[inline(always)]
#[cfg(feature = "runtime")]
pub(crate) fn note_use(w: Word) {
    if crate::sync::MODELLED && crate::term::word::is_literal(w) {
        // SAFETY: under loom areas stay in memory until the model ends.
        unsafe { entry(w).area().as_ref() }.note_read();
    }
}

/// The bit that stands for the area in filters and cards.
pub(crate) fn bit_of(area: &Area) -> u64 {
    area.bit
}

/// Literal memory of one domain.
pub(crate) struct Space {
    inner: Mutex<Inner>,
    pub(crate) figures: Figures,
}

/// Sums over the areas that are not freed. Not modelled: nothing is decided by them.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) areas: plain::AtomicUsize,
    pub(crate) words: plain::AtomicUsize,
    pub(crate) bytes: plain::AtomicUsize,
    pub(crate) off_heap_bytes: plain::AtomicUsize,
}

impl Figures {
    fn each(&self, area: &Area, change: impl Fn(&plain::AtomicUsize, usize)) {
        change(&self.areas, 1);
        change(&self.words, area.words);
        change(&self.bytes, area.bytes);
        change(&self.off_heap_bytes, area.off_heap_bytes);
    }
}

#[derive(Default)]
struct Inner {
    bits: FilterBits,
    free: [Vec<Slot>; CLASSES],
    /// Memory of areas that were freed: an allocator is slow at such alignments.
    #[allow(clippy::vec_box, reason = "what is kept is the memory")]
    spare: Vec<Box<MaybeUninit<Area>>>,
    /// Under loom: areas that were freed during this execution. Boxed: literal words lead to their addresses.
    #[allow(clippy::vec_box, reason = "entries hold the addresses of areas")]
    quarantine: Vec<Box<Area>>,
}

// SAFETY: the blocks belong to the space and are touched under its lock only.
unsafe impl Send for Inner {}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

/// The size class for `bytes`, or `None` when they need blocks of their own.
fn class(bytes: usize) -> Option<usize> {
    let shift = (bytes.max(1).next_power_of_two().trailing_zeros() as usize).max(SMALLEST_SHIFT);
    (shift <= LARGEST_SHIFT).then_some(shift)
}

fn shared_header_bytes(shift: usize) -> usize {
    size_of::<Block>() + (BLOCK_BYTES >> shift) * size_of::<Entry>()
}

fn block_layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(BLOCK_BYTES), BLOCK_BYTES).ok()
}

impl Space {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner::default()), figures: Figures::default() }
    }

    /// An empty area that will hold about `words`, and its first chunk, or `None` when there is no memory.
    pub(crate) fn reserve(&self, words: usize) -> Option<(Box<Area>, *mut Chunk)> {
        let bytes = (CHUNK_WORDS.checked_add(words)?).checked_mul(size_of::<Word>())?;
        let mut inner = self.inner.lock();
        let mut area = inner.area(Area {
            refs: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            words: 0,
            bytes: 0,
            off_heap_bytes: 0,
            closure_words: 0,
            kept: Kept::default(),
            bit: 0,
            deps: Vec::new(),
            off_heap: ptr::null_mut(),
            chunks: ptr::null_mut(),
            slot: None,
            next: Cell::new(None),
            at_mark: Cell::new(0),
            contents: Contents::default(),
        })?;
        let bit = inner.bits.take();
        let entry = Entry((&raw mut *area).expose_provenance() as u64 | bit);
        area.bit = entry.bit();
        let chunk = match class(bytes) {
            None => {
                drop(inner);
                dedicated(entry, 0)
            }
            Some(shift) => {
                let Some(slot) = inner.take_slot(shift) else {
                    inner.bits.give(bit);
                    return None;
                };
                area.slot = Some(slot);
                // SAFETY: the slot is ours: its entry, and its bytes for a chunk.
                unsafe {
                    (&raw mut (*slot.block.as_ptr()).entries).cast::<Entry>().add(slot.index).write(entry);
                    let start = slot.block.as_ptr().byte_add(slot.index << shift);
                    Chunk::init(start.cast(), start.byte_add(1 << shift).cast(), Memory::Slot);
                    start.cast()
                }
            }
        };
        if chunk.is_null() {
            self.inner.lock().bits.give(bit);
            return None;
        }
        Some((area, chunk))
    }

    /// Gives up an area whose memory is freed otherwise.
    pub(crate) fn give_back(&self, area: &Area) {
        debug_assert!(area.slot.is_none(), "the memory is the area's");
        self.inner.lock().bits.give(u64::from(area.bit.trailing_zeros()) - FILTER_SHIFT);
    }

    /// Ends the building of an area: `chunks` and `off_heap` are its own from here on. An error, when there is no memory to
    /// note what it keeps alive: then it is to be freed.
    #[allow(clippy::unnecessary_box_returns, reason = "entries hold the addresses of areas")]
    pub(crate) fn commit(
        &self,
        mut area: Box<Area>,
        chunks: *mut Chunk,
        off_heap: *mut Word,
        deps: Vec<NonNull<Area>>,
    ) -> (Box<Area>, Result<(), HeapError>) {
        let (mut p, mut words, mut bytes) = (chunks, 0, 0);
        while !p.is_null() {
            // SAFETY: the chunks of the area, each closed.
            unsafe {
                words += Chunk::used(p);
                bytes += Chunk::end(p).addr() - p.addr();
                p = (*p).next;
            }
        }
        // SAFETY: the area holds a reference on each.
        let kept = Kept::of(words, deps.iter().map(|dep| unsafe { &dep.as_ref().kept }));
        let noted = kept.map(|kept| area.kept = kept);
        area.closure_words = area.kept.words();
        (area.words, area.bytes, area.chunks, area.off_heap, area.deps) = (words, bytes, chunks, off_heap, deps);
        area.off_heap_bytes = super::binary::pinned(&[off_heap]);
        self.figures.each(&area, |sum, n| _ = sum.fetch_add(n, plain::Ordering::Relaxed));
        (area, noted)
    }

    /// Frees the memory of an area, and releases what its off-heap objects hold. Runs user code (`Drop` of resources).
    ///
    /// # Safety
    ///
    /// Nothing may point into the area any more (L3 to L5 of the collection), and its references to other areas must
    /// have been dropped.
    pub(crate) unsafe fn free(&self, area: Box<Area>) {
        // A model fails here when the area has been freed before: it must not be dropped once more for that.
        let area = ManuallyDrop::new(area);
        area.contents.note_end();
        let area = ManuallyDrop::into_inner(area);
        self.figures.each(&area, |sum, n| _ = sum.fetch_sub(n, plain::Ordering::Relaxed));
        let bit = u64::from(area.bit.trailing_zeros()) - FILTER_SHIFT;
        if crate::sync::MODELLED {
            // A model that reads what was freed must fail in its own words: the memory stays until the model ends.
            let mut inner = self.inner.lock();
            inner.bits.give(bit);
            inner.quarantine.push(area);
        } else {
            // SAFETY: the caller's promise.
            let (slot, memory) = unsafe { release(area) };
            let mut inner = self.inner.lock();
            inner.bits.give(bit);
            if let Some(slot) = slot {
                inner.give_slot(slot);
            }
            if inner.spare.len() < SPARE && inner.spare.try_reserve(1).is_ok() {
                inner.spare.push(memory);
            }
        }
    }
}

/// Frees all of an area but its slot, and the memory that it lay in.
///
/// # Safety
///
/// As for [`Space::free`].
unsafe fn release(mut area: Box<Area>) -> (Option<Slot>, Box<MaybeUninit<Area>>) {
    // The panic of a destructor ends here: it is nobody's who is running now.
    // SAFETY: nobody reads the area's objects any more.
    unsafe { off_heap::drop_until(&mut area.off_heap, ptr::null_mut()) }.end();
    let mut chunk = area.chunks;
    while !chunk.is_null() {
        // SAFETY: the chunks of the area, each freed once.
        unsafe {
            let next = (*chunk).next;
            poison::kill(Chunk::start(chunk), (*chunk).top);
            Chunk::free(chunk);
            chunk = next;
        }
    }
    let (slot, area) = (area.slot, Box::into_raw(area));
    // SAFETY: the area is dropped once; its memory may hold anything then.
    unsafe {
        area.drop_in_place();
        (slot, Box::from_raw(area.cast()))
    }
}

/// A block for the area that `entry` names, in which an object of `words` fits, or null when there is no memory.
///
/// An object larger than a block gets one that is longer by just what it needs, so that no second object can start
/// behind it, out of reach of the block's header.
pub(crate) fn dedicated(entry: Entry, words: usize) -> *mut Chunk {
    let header = DEDICATED_HEADER_BYTES + size_of::<Chunk>();
    let bytes = words.checked_mul(size_of::<Word>()).and_then(|bytes| bytes.checked_add(header));
    let Some(layout) = bytes.and_then(block_layout) else { return ptr::null_mut() };
    // SAFETY: the layout is not empty; the header and the chunk header fit in it.
    unsafe {
        let kept = if layout.size() == BLOCK_BYTES { spare::take_block() } else { None };
        let block = kept.unwrap_or_else(|| alloc(layout)).cast::<Block>();
        if block.is_null() {
            return ptr::null_mut();
        }
        block.write(Block { shift: WHOLE_BLOCK_SHIFT, live: 1, entries: [entry] });
        let chunk = block.byte_add(DEDICATED_HEADER_BYTES).cast::<Chunk>();
        Chunk::init(chunk, block.byte_add(layout.size()).cast(), Memory::Block);
        chunk
    }
}

/// The entry of the area that is being built in the chunk of [`Space::reserve`].
pub(crate) fn entry_of_chunk(chunk: *mut Chunk) -> Entry {
    entry(chunk.expose_provenance() as Word)
}

impl Inner {
    /// Puts an area in a box, or `None` when there is no memory.
    fn area(&mut self, area: Area) -> Option<Box<Area>> {
        match self.spare.pop() {
            Some(memory) => Some(Box::write(memory, area)),
            None => try_box(area).ok(),
        }
    }

    fn take_slot(&mut self, shift: usize) -> Option<Slot> {
        let free = &mut self.free[shift - SMALLEST_SHIFT];
        if free.is_empty() {
            reserve(free, BLOCK_BYTES >> shift).ok()?;
            // SAFETY: the layout is not empty. Entries are zeroed: a slot without an area has none.
            unsafe {
                let layout = block_layout(BLOCK_BYTES)?;
                let block = NonNull::new(spare::take_block().unwrap_or_else(|| alloc(layout)).cast::<Block>())?;
                block.as_ptr().write(Block { shift: shift as u64, live: 0, entries: [Entry::NULL] });
                let slots = BLOCK_BYTES >> shift;
                ptr::write_bytes((&raw mut (*block.as_ptr()).entries).cast::<Entry>(), 0, slots);
                let first = shared_header_bytes(shift).div_ceil(1 << shift);
                free.extend((first..slots).rev().map(|index| Slot { block, index, shift }));
            }
        }
        let slot = free.pop()?;
        // SAFETY: a block of this space, under its lock.
        unsafe { (*slot.block.as_ptr()).live += 1 };
        Some(slot)
    }

    fn give_slot(&mut self, slot: Slot) {
        let free = &mut self.free[slot.shift - SMALLEST_SHIFT];
        // Without room for a note of it, the slot rests until its block is free.
        if reserve(free, 1).is_ok() {
            free.push(slot);
        }
        // SAFETY: a block of this space, under its lock; without a live slot nobody else knows it.
        unsafe {
            (*slot.block.as_ptr()).live -= 1;
            if (*slot.block.as_ptr()).live == 0 {
                free.retain(|s| s.block != slot.block);
                free_shared(slot.block);
            }
        }
    }
}

/// Frees a block that areas have shared.
///
/// # Safety
///
/// No slot of the block may be in use.
unsafe fn free_shared(block: NonNull<Block>) {
    let start = block.as_ptr().cast::<Word>();
    poison::unlock(start, start.wrapping_byte_add(BLOCK_BYTES));
    // SAFETY: the caller's promise; the layout is the one that it was made with.
    unsafe {
        if !spare::give_block(start.cast()) {
            dealloc(start.cast(), Layout::from_size_align_unchecked(BLOCK_BYTES, BLOCK_BYTES));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for area in std::mem::take(&mut self.quarantine) {
            // SAFETY: it was freed as far as the model is concerned.
            if let (Some(slot), _) = unsafe { release(area) } {
                self.give_slot(slot);
            }
        }
        for free in &mut self.free {
            free.sort_unstable_by_key(|slot| slot.block);
            free.dedup_by_key(|slot| slot.block);
            for slot in free {
                // SAFETY: the domain frees its areas before its space, so the blocks have no live slot.
                unsafe { free_shared(slot.block) };
            }
        }
    }
}

/// Under loom, a cell whose accesses stand for those of the contents of an area; otherwise nothing.
#[derive(Default)]
struct Contents {
    #[cfg(all(loom, feature = "loom"))]
    ended: crate::sync::UnsafeCell<bool>,
}

#[cfg(not(all(loom, feature = "loom")))]
#[allow(clippy::unused_self, reason = "the twins below use it")]
impl Contents {
    #[inline(always)]
    fn note_read(&self) {}

    #[inline(always)]
    fn note_end(&self) {}
}

#[cfg(all(loom, feature = "loom"))]
impl Contents {
    fn note_read(&self) {
        // A fault that was found unwinds; what its handles do on their way says nothing more, and must not panic too.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: loom reports a write that is not ordered before this read.
        assert!(!self.ended.with(|ended| unsafe { *ended }), "a literal was read after its area was freed");
    }

    fn note_end(&self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: loom reports an access that is not ordered before this write.
        let before = self.ended.with_mut(|ended| unsafe { std::mem::replace(&mut *ended, true) });
        assert!(!before, "an area was freed twice");
    }
}
