//! Binaries outside the heap: shared bytes, slices of them, and buffers that are appended to in place.
//!
//! ```text
//! header | link | Shared<Source> | first byte | length | base | extent
//! ```
//!
//! A *source* owns the bytes: a handle that came from outside, or a buffer of ours. Objects share it by a count of our own,
//! so that to copy or cut a binary takes no memory but the words of the object, whatever a `Bytes` does when it is cloned.
//! The `aux` of a header is 1 where the object may be appended to in place.
//!
//! *Base* and *extent* are the address and the length of the memory that the object keeps alive, as far as this crate
//! knows: a slice has those of what it was cut from. (Of a `Bytes` that comes from outside it knows those bytes alone.)
//!
//! The one atomic here says how much of a buffer is given away; it orders nothing.

use super::off_heap::{self, Panicked, error_of};
use super::raw::RawHeap;
use super::shared::Shared;
use super::{Heap, HeapError, MAX_HEAP_BINARY, words_for};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::term::Term;
use crate::term::word::{self, Object, Word};
use bytes::Bytes;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};

impl<'h> Heap<'h> {
    /// A binary with a copy of the bytes: in the heap up to [`MAX_HEAP_BINARY`] bytes, outside beyond.
    ///
    /// ```
    /// # use shared_term::{Region, heap::MAX_HEAP_BINARY};
    /// let long = [b'x'; MAX_HEAP_BINARY + 1];
    /// let r = Region::build(|h| h.list([h.binary("text"), h.binary([0, 255]), h.binary(long)]));
    /// let lengths: Vec<_> = r.root().list().map(|b| b.as_bytes().unwrap().len()).collect();
    /// assert_eq!(lengths, [4, 2, 65]);
    /// ```
    pub fn binary(self, bytes: impl AsRef<[u8]>) -> Term<'h> {
        let bytes = bytes.as_ref();
        if bytes.len() <= MAX_HEAP_BINARY {
            self.small_binary([bytes, &[]])
        } else {
            self.outside(Payload::copy_of(bytes).unwrap_or_else(|error| self.unwind(error)))
        }
    }

    /// A binary of the bytes, without a copy when they are more than [`MAX_HEAP_BINARY`]: the heap holds a handle on
    /// them until it is collected or dropped. [`Term::to_bytes`] is the way out again.
    ///
    /// What else the handle keeps alive, because it is a slice of something larger, is not known here: give the larger one,
    /// and [`slice`](Self::slice) it, and a collection can let go of it.
    ///
    /// ```
    /// # use shared_term::Region;
    /// use bytes::Bytes;
    /// let body = Bytes::from(vec![7; 1 << 20]);
    /// let r = Region::build(|h| h.bytes(body.clone()));
    /// assert_eq!(r.root().as_bytes().unwrap().as_ptr(), body.as_ptr(), "shared");
    /// assert_eq!(r.root().to_bytes(), Some(body));
    /// ```
    pub fn bytes(self, bytes: Bytes) -> Term<'h> {
        if bytes.len() <= MAX_HEAP_BINARY {
            return self.small_binary([&bytes, &[]]);
        }
        self.outside(Payload::of_bytes(bytes).unwrap_or_else(|(error, bytes)| self.unwind(error_of(bytes, error))))
    }

    /// As [`bytes`](Self::bytes), of a vector's.
    pub(super) fn own_bytes(self, bytes: Vec<u8>) -> Term<'h> {
        if bytes.len() <= MAX_HEAP_BINARY {
            return self.small_binary([&bytes, &[]]);
        }
        self.outside(Payload::of_vec(bytes).unwrap_or_else(|error| self.unwind(error)))
    }

    /// A binary in the heap, of the bytes of both.
    fn small_binary(self, [first, second]: [&[u8]; 2]) -> Term<'h> {
        let length = first.len() + second.len();
        if length == 0 {
            return self.term(word::EMPTY_BINARY);
        }
        let n = words_for(length);
        let p = self.alloc(1 + n);
        // SAFETY: `1 + n` words were just allocated; the last is zeroed first, for its padding.
        unsafe {
            p.write(word::header(Object::Binary, (n * 8 - length) as u8, n));
            p.add(n).write(0);
            let to = p.add(1).cast::<u8>();
            to.copy_from_nonoverlapping(first.as_ptr(), first.len());
            to.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        self.term(word::pointer(p, word::BOXED))
    }

    /// A binary outside the heap.
    fn outside(self, payload: Payload) -> Term<'h> {
        let bytes = payload.extent.bytes;
        self.another(payload, bytes)
    }

    /// A binary outside the heap, which keeps so many bytes alive that nothing else of the heap does.
    fn another(self, payload: Payload, bytes: usize) -> Term<'h> {
        let (p, payload) = self.alloc_for(1 + SIZE, payload);
        let raw = self.raw();
        // SAFETY: the words were just allocated in the heap that the list belongs to.
        unsafe { payload.write(p, &mut raw.off_heap) };
        raw.receive(bytes);
        self.term(word::pointer(p, word::BOXED))
    }

    /// A part of a binary: shares the bytes of a large one where the part is large too, copies a small one. `None` when
    /// `binary` is none, or the range does not lie in it.
    ///
    /// A part that shares keeps all of the large binary alive, until a major collection of this heap finds that what lives
    /// of it here is, in all, at most one [`COPY_OUT`]th of its bytes: then the parts are copied out.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.slice(h.binary("hello"), 1..3).unwrap());
    /// assert_eq!(r.root().as_str(), Some("el"));
    /// ```
    pub fn slice(self, binary: Term<'h>, range: Range<usize>) -> Option<Term<'h>> {
        let part = binary.as_bytes()?.get(range.clone())?;
        if part.len() <= MAX_HEAP_BINARY {
            return Some(self.small_binary([part, &[]]));
        }
        let p = binary.outside()?;
        // SAFETY: such an object, and the range lies in it.
        let payload = unsafe { Payload::slice(p, range) };
        // Of this heap, it keeps alive what `binary` does already.
        Some(if word::is_literal(binary.word()) { self.outside(payload) } else { self.another(payload, 0) })
    }

    /// The binary with more bytes behind it; `None` when it is none. The old term is what it was.
    ///
    /// In place where the bytes lie in a buffer, which those of every result have that is longer than
    /// [`MAX_HEAP_BINARY`], and nothing was put behind them yet: then O(bytes that are appended), amortised, as the buffers
    /// double. Otherwise (the first time, or when something else was appended to the same term already) all bytes are copied
    /// to a new buffer. A copy of the term in another heap shares the buffer, but is copied before it is appended to.
    ///
    /// OTP does the same for `<<B/binary, ...>>`.
    ///
    /// # Panics
    ///
    /// When memory runs out, as every allocation of a turn.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| {
    ///     let line = (0..100).fold(h.binary(""), |line, _| h.append(line, "word ").unwrap());
    ///     let (a, b) = (h.append(line, "and").unwrap(), h.append(line, "or").unwrap());
    ///     h.list([a, b])
    /// });
    /// let ends: Vec<_> = r.root().list().map(|b| b.as_str().unwrap()[490..].to_owned()).collect();
    /// assert_eq!(ends, ["word word and", "word word or"]);
    /// ```
    pub fn append(self, binary: Term<'h>, more: impl AsRef<[u8]>) -> Option<Term<'h>> {
        let (old, more) = (binary.as_bytes()?, more.as_ref());
        if more.is_empty() {
            return Some(binary);
        }
        if old.len().saturating_add(more.len()) <= MAX_HEAP_BINARY {
            return Some(self.small_binary([old, more]));
        }
        // SAFETY: an object of a living term.
        let (payload, in_place) =
            unsafe { appended(binary.outside(), old, more) }.unwrap_or_else(|error| self.unwind(error));
        // As for a slice: of a literal, this heap kept nothing alive yet.
        let counted = in_place && !word::is_literal(binary.word());
        Some(if counted { self.another(payload, 0) } else { self.outside(payload) })
    }
}

impl RawHeap {
    /// Notes that so many bytes outside are kept alive that were not.
    #[inline]
    pub(crate) fn receive(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
    }

    /// Bytes outside the heap that its binaries keep alive, each once.
    pub(crate) fn pinned_bytes(&self) -> usize {
        pinned(&[self.off_heap, self.old.as_ref().map_or(ptr::null_mut(), |old| old.space.off_heap)])
    }

    /// Do the heap's binaries keep more alive than they may without a major collection? That is
    /// max([`BYTES_FREE`], twice what they kept alive after the last one).
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process is under pressure"))]
    pub(crate) fn holds_many_bytes(&mut self) -> bool {
        let most = self.old.as_ref().map_or(0, |old| old.pinned).saturating_mul(2).max(BYTES_FREE);
        // What came more than once was counted more than once, so it is counted anew: each time as much has come as may be.
        if self.received <= most.saturating_mul(2) {
            return false;
        }
        self.received = self.pinned_bytes();
        self.received > most
    }
}

/// Bytes outside a heap for which it is not collected.
pub(crate) const BYTES_FREE: usize = 1 << 19;

const _: () = assert!(size_of::<Part>() == 24 && align_of::<Part>() == 8, "a payload of three words");

/// Words that follow the header.
pub(crate) const SIZE: usize = 1 + size_of::<Part>() / 8 + 2;
/// The header of an object that is copied before it is appended to.
const SHARED: Word = word::header(Object::Bytes, 0, SIZE);
/// The header of one that may be appended to in place: its source is a [`Buffer`].
const APPENDABLE: Word = word::header(Object::Bytes, 1, SIZE);

/// A collection copies the slices of a binary out of it when all of them that live are, together, no more than one in so
/// many of its bytes.
///
/// ```
/// use shared_term::{heap::{COPY_OUT, OwnedHeap}, term};
/// let mut heap = OwnedHeap::new(|h| h.binary(vec![0; 8000]));
/// heap.turn(|h, file| (term!(h, [h.slice(file, 0..500).unwrap(), h.slice(file, 500..1001).unwrap()]), ()));
/// heap.collect_major()?;
/// assert_eq!(heap.info().off_heap_bytes, 8000, "1001 bytes live, which is more than an eighth");
/// heap.turn(|h, parts| (term!(h, [parts.list().next().unwrap()]), ()));
/// heap.collect_major()?;
/// assert_eq!((heap.info().off_heap_bytes, 8000 / COPY_OUT), (500, 1000));
/// # Ok::<(), shared_term::HeapError>(())
/// ```
pub const COPY_OUT: usize = 8;

/// The memory that an object keeps alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    base: usize,
    pub(crate) bytes: usize,
}

impl Extent {
    fn of(bytes: &[u8]) -> Self {
        Self { base: bytes.as_ptr().addr(), bytes: bytes.len() }
    }

    fn of_buffer(buffer: &Buffer) -> Self {
        Self { base: buffer.start.addr().get(), bytes: buffer.capacity }
    }
}

/// Memory that grows at its end, while nobody else has appended to the same bytes.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    capacity: usize,
    /// Bytes that were given away. Who moves this on from `n` owns those from `n` to where it moved it; they are written
    /// once, before anybody else knows of them.
    used: AtomicUsize,
}

// SAFETY: bytes that were given away are written by who got them, and only read afterwards.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl From<Vec<u8>> for Buffer {
    fn from(memory: Vec<u8>) -> Self {
        let mut memory = ManuallyDrop::new(memory);
        // SAFETY: a vector's address is not null.
        let start = unsafe { NonNull::new_unchecked(memory.as_mut_ptr()) };
        Self { start, capacity: memory.capacity(), used: AtomicUsize::new(memory.len()) }
    }
}

impl Buffer {
    /// Puts `bytes` behind the first `used`, if those are the last and there is room.
    fn append(&self, used: usize, bytes: &[u8]) -> bool {
        let Some(end) = used.checked_add(bytes.len()).filter(|&end| end <= self.capacity) else { return false };
        // Relaxed: this only says whose the bytes are. They reach another thread with the term that covers them.
        if self.used.compare_exchange(used, end, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: they lie in the buffer, and are ours alone.
        unsafe { self.start.as_ptr().add(used).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: what the vector was made of.
        drop(unsafe { Vec::from_raw_parts(self.start.as_ptr(), 0, self.capacity) });
    }
}

/// Who owns bytes.
enum Source {
    /// As they came from outside.
    Bytes(Bytes),
    Buffer(Buffer),
}

/// Bytes of a source: from the first of a binary to its last.
struct Part {
    source: Shared<Source>,
    first: *const u8,
    length: usize,
}

// SAFETY: the bytes are those of the source, and only read.
unsafe impl Send for Part {}

impl Part {
    /// Others of the same source.
    fn with(&self, first: *const u8, length: usize) -> Self {
        Self { source: self.source.clone(), first, length }
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: they are of the source, which lives as long as `self`, and were written before this was made.
        unsafe { std::slice::from_raw_parts(self.first, self.length) }
    }
}

/// Bytes with room for so many, or an error value.
fn with_capacity(n: usize) -> Result<Vec<u8>, HeapError> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(n).map_err(|_| HeapError::OutOfMemory { words: n.div_ceil(size_of::<Word>()) })?;
    Ok(memory)
}

/// What becomes the payload of an object, and its header.
pub(crate) struct Payload {
    header: Word,
    part: Part,
    pub(crate) extent: Extent,
}

/// The payload of a binary that has `more` behind the bytes of another, which are `old`, and which is the object at `p` if
/// it lies outside the heap. In place, amortised O(`more`), if that object ends where its buffer was used last.
///
/// # Safety
///
/// `p` must be a living object with a binary outside the heap.
pub(crate) unsafe fn appended(p: Option<*const Word>, old: &[u8], more: &[u8]) -> Result<(Payload, bool), HeapError> {
    // SAFETY: the caller's promise.
    if let Some((part, buffer)) = p.and_then(|p| unsafe { appendable(p) }) {
        let used = part.first.addr() - buffer.start.addr().get() + part.length;
        if buffer.append(used, more) {
            let grown = part.with(part.first, part.length + more.len());
            return Ok((Payload { header: APPENDABLE, part: grown, extent: Extent::of_buffer(buffer) }, true));
        }
    }
    let length = old.len().saturating_add(more.len());
    let mut memory = with_capacity(length.saturating_mul(2).max(SMALLEST))?;
    memory.extend_from_slice(old);
    memory.extend_from_slice(more);
    Ok((Payload { header: APPENDABLE, ..Payload::of_vec(memory)? }, false))
}

/// Least bytes of a buffer.
const SMALLEST: usize = 256;

impl Payload {
    /// All of what came from outside, which comes back without memory for it.
    fn of_bytes(bytes: Bytes) -> Result<Self, (HeapError, Bytes)> {
        let (first, extent) = (bytes.as_ptr(), Extent::of(&bytes));
        match Shared::try_new(Source::Bytes(bytes)) {
            Ok(source) => Ok(Self { header: SHARED, part: Part { source, first, length: extent.bytes }, extent }),
            Err((error, Source::Bytes(bytes))) => Err((error, bytes)),
            Err((_, Source::Buffer(_))) => unreachable!("it came from outside"),
        }
    }

    /// All of a vector.
    fn of_vec(bytes: Vec<u8>) -> Result<Self, HeapError> {
        let (length, buffer) = (bytes.len(), Buffer::from(bytes));
        let (first, extent) = (buffer.start.as_ptr().cast_const(), Extent::of_buffer(&buffer));
        let source = Shared::try_new(Source::Buffer(buffer)).map_err(|(error, _)| error)?;
        Ok(Self { header: SHARED, part: Part { source, first, length }, extent })
    }

    /// A copy of the bytes.
    fn copy_of(bytes: &[u8]) -> Result<Self, HeapError> {
        let mut copy = with_capacity(bytes.len())?;
        copy.extend_from_slice(bytes);
        Self::of_vec(copy)
    }

    /// A part of the binary at `p`, which keeps all of that one's memory alive.
    ///
    /// # Safety
    ///
    /// `p` must be such an object, and the range lie in it.
    pub(crate) unsafe fn slice(p: *const Word, range: Range<usize>) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let part = part(p);
            Self { header: SHARED, part: part.with(part.first.add(range.start), range.len()), extent: extent(p) }
        }
    }

    /// Writes the object at `p`, and puts it at the head of `list`.
    ///
    /// # Safety
    ///
    /// `p` must be valid for the words of the object, in the heap that `list` belongs to.
    pub(crate) unsafe fn write(self, p: *mut Word, list: &mut *mut Word) {
        // SAFETY: the caller's promise; the object is complete before it is linked (invariant 8).
        unsafe {
            self.put(p);
            off_heap::link(p, list);
        }
    }

    /// # Safety
    ///
    /// As for [`write`](Self::write).
    unsafe fn put(self, p: *mut Word) {
        // SAFETY: the caller's promise.
        unsafe {
            p.write(self.header);
            p.add(2).cast::<Part>().write(self.part);
            p.add(SIZE - 1).write(self.extent.base as Word);
            p.add(SIZE).write(self.extent.bytes as Word);
        }
    }
}

/// The payload of the object at `p`.
///
/// # Safety
///
/// `p` must be an object with a binary outside the heap, which lives and stands still for `'a`.
#[inline(always)]
unsafe fn part<'a>(p: *const Word) -> &'a Part {
    // SAFETY: the caller's promise.
    unsafe { &*off_heap::payload(p) }
}

/// The payload of the object at `p`, and its buffer, if it may be appended to in place.
///
/// # Safety
///
/// As for [`part`].
unsafe fn appendable<'a>(p: *const Word) -> Option<(&'a Part, &'a Buffer)> {
    // SAFETY: the caller's promise.
    let part = unsafe { (*p == APPENDABLE).then(|| part(p)) }?;
    match &*part.source {
        Source::Buffer(buffer) => Some((part, buffer)),
        Source::Bytes(_) => None,
    }
}

/// The bytes of the object at `p`.
///
/// # Safety
///
/// As for [`part`].
#[inline]
pub(crate) unsafe fn as_bytes<'a>(p: *const Word) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { part(p) }.as_ref()
}

/// A handle on the bytes of the object at `p`: one more on what came from outside, and an allocation if it is ours. For
/// users alone: a `Bytes` has no way to say that there is no memory.
///
/// # Safety
///
/// As for [`part`].
pub(crate) unsafe fn to_bytes(p: *const Word) -> Bytes {
    // SAFETY: the caller's promise.
    let part = unsafe { part(p) };
    match &*part.source {
        Source::Bytes(bytes) if bytes.len() == part.length => bytes.clone(),
        Source::Bytes(bytes) => bytes.slice_ref(part.as_ref()),
        Source::Buffer(_) => Bytes::from_owner(part.with(part.first, part.length)),
    }
}

/// # Safety
///
/// As for [`part`].
pub(crate) unsafe fn extent(p: *const Word) -> Extent {
    // SAFETY: the caller's promise: the last two words of the object.
    unsafe { Extent { base: *p.add(SIZE - 1) as usize, bytes: *p.add(SIZE) as usize } }
}

/// Writes a second object for the bytes of the one at `from`. It cannot be appended to in place: its owner may be another.
///
/// # Safety
///
/// `from` as for [`part`], the rest as for [`Payload::write`].
pub(crate) unsafe fn duplicate(from: *const Word, to: *mut Word, list: &mut *mut Word) {
    // SAFETY: the caller's promise.
    unsafe {
        let part = part(from);
        Payload { header: SHARED, part: part.with(part.first, part.length), extent: extent(from) }.write(to, list);
    }
}

/// Drops the payload at `p`.
///
/// # Safety
///
/// The object must own it and not be used again.
pub(crate) unsafe fn drop_payload(p: *mut Word) {
    // SAFETY: the caller's promise.
    unsafe { ptr::drop_in_place(off_heap::payload::<Part>(p).cast_mut()) };
}

/// The binaries of the lists: what memory each keeps alive, and where it is. In the order of the memory.
fn binaries(lists: &[*mut Word]) -> Option<Vec<(Extent, *mut Word)>> {
    let mut all = Vec::new();
    for list in lists {
        let mut p = *list;
        while !p.is_null() {
            // SAFETY: an object on a list is complete, and its header tells which payload it has.
            unsafe {
                if word::header_kind(*p) == Object::Bytes {
                    all.try_reserve(1).ok()?;
                    all.push((extent(p), p));
                }
            }
            p = off_heap::next(p);
        }
    }
    all.sort_unstable_by_key(|(extent, _)| (extent.base, std::cmp::Reverse(extent.bytes)));
    Some(all)
}

/// Those that keep the same memory alive.
fn same_memory(a: &(Extent, *mut Word), b: &(Extent, *mut Word)) -> bool {
    a.0.base == b.0.base
}

/// Bytes of the memory that the binaries on the lists keep alive, each once. O(n log n). (Where there is no memory to
/// find out which are the same, each object counts.)
pub(crate) fn pinned(lists: &[*mut Word]) -> usize {
    match binaries(lists) {
        Some(all) => all.chunk_by(same_memory).map(|same| same[0].0.bytes).sum(),
        None => lists.iter().map(|&list| received(list)).fold(0, usize::saturating_add),
    }
}

/// As [`pinned`], each as often as there is an object for it. O(n).
pub(crate) fn received(list: *mut Word) -> usize {
    let (mut p, mut bytes) = (list, 0_usize);
    while !p.is_null() {
        // SAFETY: as in `binaries`.
        unsafe {
            if word::header_kind(*p) == Object::Bytes {
                bytes = bytes.saturating_add(extent(p).bytes);
            }
        }
        p = off_heap::next(p);
    }
    bytes
}

/// Copies slices out of binaries that nothing else of this heap holds on to: where all that lives of one is together at
/// most one [`COPY_OUT`]th of its bytes. What they were cut from is let go of, which runs destructors.
///
/// # Safety
///
/// All objects on the list must be alive, and nobody may borrow from them.
pub(crate) unsafe fn copy_out(list: *mut Word) -> Panicked {
    let mut panicked = Panicked::default();
    let Some(all) = binaries(&[list]) else { return panicked };
    for same in all.chunk_by(same_memory) {
        // SAFETY: the caller's promise.
        let live = same.iter().map(|&(_, p)| unsafe { as_bytes(p) }.len()).fold(0, usize::saturating_add);
        if live > same[0].0.bytes / COPY_OUT {
            continue;
        }
        for &(_, p) in same {
            // SAFETY: the caller's promise.
            let bytes = unsafe { as_bytes(p) };
            // Without memory, the slice stays what it is.
            let Ok(copy) = Payload::copy_of(bytes) else { continue };
            // SAFETY: the old payload moves out, and the new one in; the link stays.
            let old = unsafe {
                let old = ptr::read(part(p));
                copy.put(p);
                old
            };
            panicked.during(|| drop(old));
        }
    }
    panicked
}
