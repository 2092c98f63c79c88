//! Regions: sealed runs of chunks with one root, owned by one place at a time.

use super::chunk::{Chunk, Memory, words_layout};
use super::copy::{Literals, copy};
use super::literal::Entry;
use super::off_heap;
use super::raw::{Parts, RawHeap};
use super::{Heap, HeapError, ending, pool, unwind};
use crate::term::word::{self, Word};
use crate::term::{Place, Term, TermRef};
use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Head of a region; its first chunk lies in the same allocation. This is the node of a mailbox, so that a message costs
/// one allocation.
///
/// A region whose root is an immediate has no words, and of its head the first [`IMMEDIATE`](Self::IMMEDIATE) bytes: what
/// is handed round is a pointer to a head, and not a reference.
#[repr(C)]
pub(crate) struct RegionHead {
    /// For the list that the region is on; its owner's.
    pub(crate) next: *mut RegionHead,
    root: Word,
    /// Bits 8 to 63: a bit for each area that the region points into. The low byte: as what it is in a mailbox; see
    /// [`Region::mark`].
    filter: u64,
    /// Lets loom see reads of the contents against their writing and their end.
    #[cfg(all(loom, feature = "loom"))]
    contents: crate::sync::UnsafeCell<()>,
    off_heap: *mut Word,
    words: usize,
    last: *mut Chunk,
    inline: Chunk,
}

/// The byte of [`RegionHead::filter`] that is no filter.
pub(crate) const MARK: u64 = 0xff;

impl RegionHead {
    /// The memory of a head whose root is an immediate.
    const IMMEDIATE: Layout = match Layout::from_size_align(std::mem::offset_of!(Self, off_heap), align_of::<Self>()) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    };

    /// A bit for each area that the region points into, and in the low byte its mark.
    ///
    /// # Safety
    ///
    /// `this` must be the head of a region, and nobody may write to it meanwhile.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have mailboxes"))]
    pub(crate) unsafe fn filter_and_mark(this: *const Self) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { (*this).filter }
    }

    /// Bytes of the region: its head and the words in use.
    ///
    /// # Safety
    ///
    /// `this` must be the head of a region.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have mailboxes"))]
    pub(crate) unsafe fn bytes(this: *const Self) -> usize {
        // SAFETY: the caller's promise; the head is whole unless the root is an immediate.
        unsafe {
            if word::is_immediate((*this).root) {
                return Self::IMMEDIATE.size();
            }
            size_of::<Self>() + (*this).words * size_of::<Word>()
        }
    }

    /// The head whose inline chunk this is.
    pub(crate) fn of_inline(chunk: *mut Chunk) -> *mut Self {
        chunk.wrapping_byte_sub(std::mem::offset_of!(Self, inline)).cast()
    }

    /// An empty head with room for `words`, or null when there is no memory.
    fn allocate(words: usize) -> *mut Self {
        let Some(layout) = words_layout::<Self>(words) else { return ptr::null_mut() };
        let head = pool::allocate(layout).cast::<Self>();
        // SAFETY: the head and the header of its chunk fit in the layout.
        unsafe {
            if !head.is_null() {
                let inline = &raw mut (*head).inline;
                Chunk::init(inline, head.byte_add(layout.size()).cast(), Memory::RegionHead);
            }
            head
        }
    }
}

/// A sealed piece of heap with one root: a message on its way, or the value of a persistent term to be.
///
/// A region is self-contained: what is built or copied into it through the public interface holds no literal, so that it
/// can be kept anywhere, for any time. It is `Send`, it is owned by one place at a time, and handing it on is O(1)
/// whatever its size. (A message between two processes may point into persistent terms; such a region never reaches the
/// hands of a user.)
///
/// ```
/// use shared_term::{Region, term};
/// let r = Region::build(|h| term!(h, {:point, 1, 2}));
/// assert_eq!(r.root().to_string(), "{point,1,2}");
/// std::thread::spawn(move || assert_eq!(r.words(), 4)).join().unwrap();
/// ```
pub struct Region {
    head: NonNull<RegionHead>,
}

// SAFETY: a region owns its memory; its words are immutable (invariant 2) and its off-heap objects `Send + Sync`.
unsafe impl Send for Region {}
// SAFETY: as above: a shared region is only read.
unsafe impl Sync for Region {}

/// The words of a tuple of immediates, the header first: what most messages are that are no immediates. It needs none of the
/// books that a copy of more keeps. `None`: it is something else, a literal, or longer than is worth a look.
///
/// # Safety
///
/// `w` must be the word of a term that is alive for `'a`.
#[inline]
unsafe fn flat_tuple<'a>(w: Word) -> Option<&'a [Word]> {
    const LONGEST: usize = 8;
    if !word::is_boxed(w) || word::is_literal(w) {
        return None;
    }
    // SAFETY: the caller's promise: a boxed word leads to a header, and so many words follow it.
    unsafe {
        let object = word::address(w);
        let size = word::header_size(*object);
        if word::header_kind(*object) != word::Object::Tuple || size > LONGEST {
            return None;
        }
        let words = std::slice::from_raw_parts(object, 1 + size);
        words[1..].iter().all(|&w| word::is_immediate(w)).then_some(words)
    }
}

/// Writes a tuple of these words.
///
/// # Safety
///
/// There must be room for it at `tuple`.
#[cfg(feature = "runtime")]
unsafe fn write_tuple(tuple: *mut Word, front: &[Word], last: Word) {
    // SAFETY: the caller's promise: a header, the front and one word more.
    unsafe {
        tuple.write(word::header(word::Object::Tuple, 0, front.len() + 1));
        ptr::copy_nonoverlapping(front.as_ptr(), tuple.add(1), front.len());
        tuple.add(1 + front.len()).write(last);
    }
}

/// Room that a region is made with when its size is not known.
const GUESS: usize = 16;

impl Region {
    /// Builds a region in place.
    ///
    /// # Panics
    ///
    /// When memory runs out: outside a turn as a panic, inside one as the end of the process, like every allocation
    /// there. [`try_build`](Self::try_build) gives an error instead.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.list(0..3));
    /// assert_eq!(r.root().to_string(), "[0,1,2]");
    /// ```
    #[must_use]
    pub fn build(f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) -> Self {
        let mut builder = Builder::new(GUESS).unwrap_or_else(|error| unwind(error));
        let root = f(builder.heap()).word();
        builder.seal(root).unwrap_or_else(|error| unwind(error))
    }

    /// Builds a region in place, or nothing: the closure's error is passed on, and so is the lack of memory.
    ///
    /// # Errors
    ///
    /// The closure's, or a [`HeapError`].
    ///
    /// ```
    /// # use shared_term::{Region, heap::HeapError};
    /// # type Error = Box<dyn std::error::Error>;
    /// fn parse(s: &str) -> Result<Region, Error> {
    ///     Region::try_build(|h| {
    ///         let n: i64 = s.parse()?;
    ///         Ok(h.int(n))
    ///     })
    /// }
    /// assert_eq!(parse("42").unwrap().root().as_int(), Some(42));
    /// assert!(parse("x").is_err());
    /// ```
    pub fn try_build<E: From<HeapError>>(f: impl for<'r> FnOnce(Heap<'r>) -> Result<Term<'r>, E>) -> Result<Self, E> {
        let mut builder = Builder::new(GUESS)?;
        let heap = builder.heap();
        match super::catch_limit(heap, |heap| f(heap).map(Term::word))? {
            Ok(root) => Ok(builder.seal(root)?),
            Err(error) => Err(off_heap::error_of(builder, error)),
        }
    }

    /// A region with a copy of `term`, sharing kept, literals copied in. O(words).
    ///
    /// # Panics
    ///
    /// As [`build`](Self::build).
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let a = Region::build(|h| term!(h, {1, [2]}));
    /// let b = Region::copy_of(a.root());
    /// assert_eq!(a.root(), b.root());
    /// ```
    #[must_use]
    pub fn copy_of<P: Place>(term: Term<'_, P>) -> Self {
        // SAFETY: the term is alive during the call.
        unsafe { Self::copy_word(term.word(), Literals::Flatten) }.unwrap_or_else(|error| unwind(error))
    }

    /// # Safety
    ///
    /// `w` must be the word of a term that is alive during the call.
    #[inline]
    pub(crate) unsafe fn copy_word(w: Word, literals: Literals) -> Result<Self, HeapError> {
        if word::is_immediate(w) {
            return Self::of_immediate(w);
        }
        // SAFETY: the caller's promise.
        unsafe {
            match flat_tuple(w) {
                Some(words) => Self::of_flat_tuple(words),
                None => Self::copy_sized(w, GUESS, literals),
            }
        }
    }

    /// A region with a tuple of immediates, whose words are those, the header first.
    fn of_flat_tuple(words: &[Word]) -> Result<Self, HeapError> {
        let mut builder = Builder::new(words.len())?;
        let tuple = builder.heap.alloc(words.len())?;
        // SAFETY: there is room for all of them; no other thread knows it.
        unsafe { ptr::copy_nonoverlapping(words.as_ptr(), tuple, words.len()) };
        builder.seal(word::pointer(tuple, word::BOXED))
    }

    /// A region whose root is an immediate: nothing but the beginning of a head. Most messages are.
    #[inline]
    pub(crate) fn of_immediate(root: Word) -> Result<Self, HeapError> {
        debug_assert!(word::is_immediate(root));
        let head = pool::allocate(RegionHead::IMMEDIATE).cast::<RegionHead>();
        if head.is_null() {
            return Err(HeapError::OutOfMemory { words: 0 });
        }
        // SAFETY: the head is ours, with these fields.
        Ok(unsafe { Self::begin(head, root, 0) })
    }

    /// Writes what every head has. The region exists from then on: what else it has must have been written (invariant 8).
    ///
    /// # Safety
    ///
    /// The head must be the caller's.
    #[inline(always)]
    unsafe fn begin(head: *mut RegionHead, root: Word, filter: u64) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            (&raw mut (*head).next).write(ptr::null_mut());
            (&raw mut (*head).root).write(root);
            (&raw mut (*head).filter).write(filter);
            #[cfg(all(loom, feature = "loom"))]
            {
                (&raw mut (*head).contents).write(crate::sync::UnsafeCell::new(()));
                (*head).contents.with_mut(|_| ());
            }
            Self { head: NonNull::new_unchecked(head) }
        }
    }

    /// As [`copy_word`](Self::copy_word), with room for `words` from the start.
    ///
    /// # Safety
    ///
    /// As for [`copy_word`](Self::copy_word).
    pub(crate) unsafe fn copy_sized(w: Word, words: usize, literals: Literals) -> Result<Self, HeapError> {
        let mut builder = Builder::new(words)?;
        // SAFETY: the caller's promise; the copy goes to a heap of its own.
        let root = unsafe { copy(&mut builder.heap, 0, w, literals, None) }?;
        builder.seal(root)
    }

    /// A region with a tuple: the immediates of `front`, and behind them a copy of a term.
    ///
    /// # Safety
    ///
    /// As for [`copy_word`](Self::copy_word); all of `front` must be immediates.
    #[cfg(feature = "runtime")]
    pub(crate) unsafe fn tuple_with_copy(front: &[Word], w: Word, literals: Literals) -> Result<Self, HeapError> {
        let mut builder = Builder::new(GUESS)?;
        let heap = &mut builder.heap;
        // SAFETY: the caller's promise; the copy goes to a heap of its own.
        let last = if word::is_immediate(w) { w } else { unsafe { copy(heap, 0, w, literals, None) }? };
        let tuple = heap.alloc(front.len() + 2)?;
        heap.note(last);
        // SAFETY: there is room for the header, the front and one word more.
        unsafe { write_tuple(tuple, front, last) };
        builder.seal(word::pointer(tuple, word::BOXED))
    }

    /// As [`tuple_with_copy`](Self::tuple_with_copy), with the root of a region, which is moved: O(1), whatever its size. All of
    /// `front` must be immediates.
    #[cfg(feature = "runtime")]
    pub(crate) fn tuple_with(front: &[Word], last: Self) -> Result<Self, HeapError> {
        debug_assert!(front.iter().all(|&w| word::is_immediate(w)));
        let words = front.len() + 2;
        // The memory first: what the region owns may be the user's, and is dropped where nothing unwinds.
        let room = Builder::new(words).and_then(|mut builder| Ok((builder.heap.alloc(words)?, builder)));
        let (tuple, mut builder) = match room {
            Ok(room) => room,
            Err(error) => return Err(off_heap::error_of(last, error)),
        };
        let last = builder.heap.adopt(last);
        // SAFETY: there is room for the header, the front and one word more.
        unsafe { write_tuple(tuple, front, last) };
        builder.seal(word::pointer(tuple, word::BOXED))
    }

    /// The root, lent for as long as the region.
    ///
    /// ```
    /// # use shared_term::{Region, TermRef, term};
    /// let r = Region::build(|h| term!(h, {:point, 1, 2}));
    /// let Some([_, x, y]) = r.root().tuple_of() else { panic!() };
    /// let add = |a: &TermRef<'_>, b: &TermRef<'_>| a.as_int()? .checked_add(b.as_int()?);
    /// assert_eq!(std::thread::scope(|scope| scope.spawn(|| add(x, y)).join().unwrap()), Some(3));
    /// ```
    pub fn root(&self) -> TermRef<'_> {
        // SAFETY: invariants 1 and 2: the region owns the words and does not change them.
        unsafe { TermRef::from_word(self.root_word()) }
    }

    /// Words in use, garbage of the building included.
    ///
    /// ```
    /// # use shared_term::Region;
    /// assert_eq!(Region::build(|h| h.int(1)).words(), 0);
    /// assert_eq!(Region::build(|h| h.list([1, 2])).words(), 4);
    /// ```
    pub fn words(&self) -> usize {
        // SAFETY: the region owns its head, which is whole unless the root is an immediate.
        unsafe { if self.is_immediate() { 0 } else { (*self.head.as_ptr()).words } }
    }

    /// Are there off-heap objects, whose destructors are code of the user's?
    #[cfg(feature = "runtime")]
    pub(crate) fn has_off_heap(&self) -> bool {
        // SAFETY: the region owns its head, which is whole unless the root is an immediate.
        unsafe { !self.is_immediate() && !(*self.head.as_ptr()).off_heap.is_null() }
    }

    #[inline(always)]
    fn is_immediate(&self) -> bool {
        // SAFETY: the region owns its head.
        word::is_immediate(unsafe { (*self.head.as_ptr()).root })
    }

    pub(crate) fn root_word(&self) -> Word {
        let head = self.head.as_ptr();
        // SAFETY: the region owns its head.
        unsafe {
            #[cfg(all(loom, feature = "loom"))]
            (*head).contents.with(|_| ());
            (*head).root
        }
    }

    /// A bit for each area that the region points into.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have mailboxes"))]
    pub(crate) fn filter(&self) -> u64 {
        // SAFETY: the region owns its head.
        unsafe { (*self.head.as_ptr()).filter & !MARK }
    }

    /// As what the region is in a mailbox. Zero, which every new region has, is a message; the rest is for the floor of
    /// processes to say.
    #[inline(always)]
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have mailboxes"))]
    pub(crate) fn mark(&self) -> u8 {
        // SAFETY: the region owns its head.
        unsafe { (*self.head.as_ptr()).filter as u8 }
    }

    /// Sets the [`mark`](Self::mark).
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have mailboxes"))]
    pub(crate) fn set_mark(&mut self, mark: u8) {
        // SAFETY: the region owns its head.
        let filter = unsafe { &mut (*self.head.as_ptr()).filter };
        *filter = *filter & !MARK | u64::from(mark);
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn as_raw(&self) -> *const RegionHead {
        self.head.as_ptr()
    }

    pub(crate) fn into_raw(self) -> NonNull<RegionHead> {
        let head = self.head;
        std::mem::forget(self);
        head
    }

    /// # Safety
    ///
    /// `head` must come from [`into_raw`](Self::into_raw), and be taken back once.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have mailboxes"))]
    pub(crate) unsafe fn from_raw(head: NonNull<RegionHead>) -> Self {
        Self { head }
    }

    /// The memory of a region whose root is no immediate, without an owner.
    pub(crate) fn into_parts(self) -> Parts {
        debug_assert!(!self.is_immediate());
        let head = self.into_raw().as_ptr();
        // SAFETY: the head was ours; its inline chunk is the first of the region.
        unsafe {
            Parts {
                first: &raw mut (*head).inline,
                last: (*head).last,
                off_heap: (*head).off_heap,
                filter: (*head).filter & !MARK,
                words: (*head).words,
            }
        }
    }

    /// Checks every word; see [`OwnedHeap::verify`](super::OwnedHeap::verify).
    ///
    /// # Errors
    ///
    /// A description of the first word that is wrong.
    ///
    /// ```
    /// # use shared_term::Region;
    /// Region::build(|h| h.list(0..3)).verify().unwrap();
    /// ```
    pub fn verify(&self) -> Result<(), String> {
        self.as_heap(|heap| super::verify::verify(heap, self.root_word()))
    }

    /// The region as a heap, for walking its words.
    pub(crate) fn as_heap<R>(&self, f: impl FnOnce(&RawHeap) -> R) -> R {
        if self.is_immediate() {
            return f(&RawHeap::new(0));
        }
        // SAFETY: the heap is only read, and forgotten again: the memory stays the region's.
        let heap = unsafe { self.borrowed() };
        f(&heap)
    }

    /// The region as a heap with its root, to be changed.
    #[cfg(feature = "runtime")]
    pub(crate) fn as_mut_heap<R>(&mut self, f: impl FnOnce(&mut RawHeap, &mut Word) -> R) -> R {
        if self.is_immediate() {
            return f(&mut RawHeap::new(0), &mut self.root_word());
        }
        let head = self.head.as_ptr();
        // SAFETY: the region owns its head, and the memory is its again below. If `f` unwound, it would be the region's as it
        // was, with chunks behind it that it frees, too.
        unsafe {
            #[cfg(all(loom, feature = "loom"))]
            (*head).contents.with_mut(|_| ());
            let (mut heap, mut root) = (self.borrowed(), (*head).root);
            let result = f(&mut heap, &mut root);
            let parts = ManuallyDrop::into_inner(heap).into_parts();
            (*head).off_heap = parts.off_heap;
            (*head).words = parts.words;
            (*head).last = parts.last;
            (*head).root = root;
            (*head).filter = parts.filter | (*head).filter & MARK;
            result
        }
    }

    /// # Safety
    ///
    /// The region must be whole, and not used while the heap is.
    unsafe fn borrowed(&self) -> ManuallyDrop<RawHeap> {
        // SAFETY: the region owns its head, which is whole.
        unsafe {
            let head = self.head.as_ptr();
            let parts = Parts {
                first: &raw mut (*head).inline,
                last: (*head).last,
                off_heap: (*head).off_heap,
                filter: (*head).filter & !MARK,
                words: (*head).words,
            };
            ManuallyDrop::new(RawHeap::from_parts(parts))
        }
    }
}

impl Drop for Region {
    #[inline]
    fn drop(&mut self) {
        let head = self.head.as_ptr();
        #[cfg(all(loom, feature = "loom"))]
        if !std::thread::panicking() {
            // SAFETY: the region owns its head.
            unsafe { (*head).contents.with_mut(|_| ()) };
        }
        if self.is_immediate() {
            // SAFETY: the region owns its memory, which was allocated for this, and nothing points into it any more.
            return unsafe { pool::free(head.cast(), RegionHead::IMMEDIATE) };
        }
        // SAFETY: as above; the head is whole.
        unsafe { Self::end(head) };
    }
}

impl Region {
    /// The end of a region whose root is no immediate, by itself, so that the other end is short.
    ///
    /// # Safety
    ///
    /// The head must be whole, and the caller's; it is gone afterwards.
    #[inline(never)]
    unsafe fn end(head: *mut RegionHead) {
        // SAFETY: the caller's promise.
        unsafe { ending::end((*head).off_heap, [&raw mut (*head).inline]) }.pass_on();
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Region").field(&self.root()).finish()
    }
}

/// A region that is being built.
pub(crate) struct Builder {
    pub(crate) heap: RawHeap,
    head: *mut RegionHead,
}

impl Builder {
    pub(crate) fn new(words: usize) -> Result<Self, HeapError> {
        let head = RegionHead::allocate(words);
        if head.is_null() {
            return Err(HeapError::OutOfMemory { words });
        }
        // SAFETY: the inline chunk is empty and ours; the heap frees it, and with it the head, if the building ends here.
        let heap = unsafe { RawHeap::in_chunk(&raw mut (*head).inline, Entry::NULL) };
        Ok(Self { heap, head })
    }

    pub(crate) fn heap<'r>(&mut self) -> Heap<'r> {
        // SAFETY: the brand is made up by the caller's `for<'r>` closure, and the builder outlives the closure.
        unsafe { Heap::from_raw(&raw mut self.heap) }
    }

    /// Ends the building; `root` is of the built heap. With an immediate for a root all that was built is garbage, and goes.
    ///
    /// # Errors
    ///
    /// When there is no memory for the head.
    pub(crate) fn seal(mut self, root: Word) -> Result<Region, HeapError> {
        if word::is_immediate(root) {
            drop(self.heap);
            return Region::of_immediate(root);
        }
        self.heap.note(root);
        let head = self.head;
        // The inline chunk is the first: a builder's heap is never empty.
        let parts = self.heap.into_parts();
        // SAFETY: the chunks and the head are ours.
        unsafe {
            (&raw mut (*head).off_heap).write(parts.off_heap);
            (&raw mut (*head).words).write(parts.words);
            (&raw mut (*head).last).write(parts.last);
            Ok(Region::begin(head, root, parts.filter))
        }
    }
}

static_assertions::assert_impl_all!(Region: Send, Sync);
