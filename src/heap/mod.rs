//! Heaps: where terms are built, copied and collected.
//!
//! A [`Heap<'h>`](Heap) is a handle to allocate with, valid for one turn or one builder closure. Allocation is a bump of
//! a pointer; chunks grow and never move during a turn (invariant 3), so that terms and the slices they lend stay where
//! they are. Garbage goes between turns: a state that is an immediate frees everything without tracing, otherwise a
//! copying collection moves what the state reaches.
//!
//! A [`Region`] is a sealed piece of heap with one root: a message, or a persistent term to be. An [`OwnedHeap`] is a
//! heap without a process.
//!
//! ```
//! use shared_term::{Region, heap::OwnedHeap, term};
//!
//! let mut table = OwnedHeap::new(|h| term!(h, #{}));
//! for (name, port) in [("http", 80), ("https", 443), ("http", 8080)] {
//!     table.turn(|h, old| (h.insert(old, h.binary(name), h.int(port)).unwrap(), ()));
//! }
//! let message: Region = Region::copy_of(table.root()); // sealed, to be sent anywhere
//! assert_eq!(message.root().to_string(), r#"#{<<"http">> => 8080,<<"https">> => 443}"#);
//! let stats = table.collect_major()?;
//! assert!(stats.after_words < stats.before_words, "the older versions are gone");
//! # Ok::<(), shared_term::HeapError>(())
//! ```
//!
//! # Limits
//!
//! Constructors give terms, not `Result`s. Where a heap passes its limit, or memory runs out, they unwind with a private
//! payload that no panic hook sees: the runtime turns it into the end of that one process, and
//! [`Region::try_build`] into an error value. A limit is that of one heap: it goes through every builder of another.
//!
//! So do walks over a term (comparing, hashing, measuring, printing), for what they work with, and the tables of processes
//! and stores (links, monitors, names, timers, keys, atoms) before they are changed. A process that ends so is like any
//! other that ends: whom it was linked to, or who monitors it, is told, those too whom it had no memory to note; with the
//! reason `error` if there is none for a copy of the true one.
//!
//! What cannot fail takes no memory: to copy, cut or send a large binary, a resource or a handle on an array, but for the words
//! of the term; to commit a batch, to erase a key, to go through a grace period, to let go of anything; the end of a process, of
//! a port, of a runtime. What waits is linked through itself, and what will be needed is reserved by whoever may still fail.
//! `tests/oom_every.rs` refuses each allocation of whole scenarios, one by one, and all from one on.
//!
//! What is left is outside this crate's reach, or what its caller asked `std` for:
//!
//! * To unwind, `std` allocates some 60 bytes on its own, which nobody can reserve; the first panic of a thread, and the first
//!   use of its thread-locals, some more. Where there is not even memory for that, the program ends, as every Rust program does.
//! * What users are answered with in types of `std` and `bytes`: lists, channels, an `Arc`, a `Bytes`
//!   ([`Term::to_bytes`](crate::Term::to_bytes)), collections by [`Term::get`](crate::Term::get); and the closures that they
//!   register. It is said there.
//! * A store, a runtime, a cell or a thread's first number of [`Counters`](crate::Counters) is made like any value of `std`.
//! * What user code allocates.
//!
//! A turn holds on to everything that it makes: what is garbage already goes when the turn has ended. A turn that makes a
//! lot on the way to little does so in [`Heap::scratch`], which frees it at once, or lets itself be called again
//! (`Flow::Again`), between two of which its heap is collected.

mod big;
pub(crate) mod binary;
#[cfg(feature = "persistent")]
pub(crate) mod built;
mod chunk;
mod collect;
mod compact;
pub(crate) mod copy;
mod ending;
mod evacuation;
mod failure;
#[cfg_attr(not(feature = "persistent"), allow(dead_code, reason = "without that floor nobody makes a literal"))]
mod filter_bits;
mod forwards;
mod generations;
mod handles;
mod info;
#[cfg_attr(not(feature = "persistent"), allow(dead_code, reason = "without that floor nobody makes a literal"))]
mod lineage;
#[cfg_attr(not(feature = "persistent"), allow(dead_code, reason = "without that floor nobody makes a literal"))]
pub(crate) mod literal;
mod map;
#[cfg(test)]
mod map_tests;
mod marks;
pub(crate) mod off_heap;
mod owned;
mod pages;
mod poison;
#[cfg_attr(
    any(all(loom, feature = "loom"), miri, shared_term_no_pool),
    allow(dead_code, reason = "such a build allocates without pools, and a model makes its own")
)]
pub(crate) mod pool;
pub(crate) mod raw;
pub(crate) mod region;
pub(crate) mod resource;
#[cfg(feature = "runtime")]
mod rewrite;
mod scratch;
pub(crate) mod shared;
mod spare;
mod to_term;
mod verify;
mod verify_map;
mod walk;

pub use big::IntTooLarge;
pub use binary::COPY_OUT;
pub use collect::CollectStats;
pub use failure::HeapError;
pub use info::HeapInfo;
pub use owned::OwnedHeap;
pub use pool::{pooled_bytes, thread_pooled_bytes};
pub use region::Region;
pub use scratch::Scratch;
pub use to_term::{Segment, ToTerm, heap_of};

#[cfg(feature = "runtime")]
pub(crate) use collect::{Literals, literals_of};
pub(crate) use collect::{Parents, collect_major, collect_minor};
pub(crate) use compact::compact;
#[cfg(feature = "persistent")]
pub(crate) use failure::catch_error;
#[cfg(feature = "runtime")]
pub(crate) use failure::heap_error;
pub(crate) use failure::{catch_limit, make_box, make_place, make_room, unwind};
#[cfg(feature = "runtime")]
pub(crate) use pages::reserve_place;
#[cfg(feature = "persistent")]
pub(crate) use pages::{reserve, try_box};
#[cfg(feature = "runtime")]
pub(crate) use rewrite::Gathered;
pub(crate) use verify::verify;

use crate::term::word::{self, Object, Word};
use crate::term::{Atom, Pid, Place, Reference, RemotePid, Term};
use raw::RawHeap;
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// When a process collects its heap, between two turns.
///
#[cfg_attr(feature = "runtime", doc = "```")]
#[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
/// use shared_term::{heap::CollectWhen, prelude::*, process::SpawnOptions};
/// let mut rt = Runtime::deterministic(1);
/// let words_left_by = |rt: &mut shared_term::runtime::Deterministic, when| {
///     let options = SpawnOptions::new().collect_when(when);
///     let p = rt.spawn_fn_with(options, |cx| cx.list([0]), |cx, _, n| Ok(Next(cx.list([n.get::<i64>()?]))))?;
///     rt.send_new(p, |h| h.int(1))?;
///     rt.run_until_idle();
///     let heap = rt.info(p).unwrap().details.unwrap().heap;
///     Ok::<_, Box<dyn std::error::Error>>(heap.young_words + heap.old_words)
/// };
/// assert_eq!(words_left_by(&mut rt, CollectWhen::Pressure)?, 4, "the old state is garbage");
/// assert_eq!(words_left_by(&mut rt, CollectWhen::Idle)?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CollectWhen {
    /// When the heap has grown past its threshold: twice the words that the last collection left, and at least
    /// `min_heap_words`.
    #[default]
    Pressure,
    /// Then, and whenever the mailbox is empty and something was made since the last collection: a process that waits
    /// holds no young garbage. Costs a collection (most are minor) for each time it goes idle.
    Idle,
}

/// Longest binary that lies in the heap itself; longer ones are a shared [`Bytes`](bytes::Bytes) outside.
///
/// ```
/// use shared_term::heap::{MAX_HEAP_BINARY, OwnedHeap};
/// let outside = |bytes| OwnedHeap::new(|h| h.binary(vec![0; bytes])).info().off_heap_bytes;
/// assert_eq!((outside(MAX_HEAP_BINARY), outside(MAX_HEAP_BINARY + 1)), (0, 65));
/// ```
pub const MAX_HEAP_BINARY: usize = 64;

/// A handle to allocate with. `Copy`, valid for one turn or one builder closure.
///
/// Every constructor is O(words that it writes). See the [module](self) for what happens when memory runs out.
///
/// ```
/// use shared_term::{Atom, Heap, Region, Term, term};
/// fn node<'h>(h: Heap<'h>, left: Term<'h>, key: i64, right: Term<'h>) -> Term<'h> {
///     h.tuple(&[left, h.int(key), right])
/// }
/// let tree = Region::build(|h| {
///     let leaf = h.atom(Atom::inline("leaf"));
///     node(h, node(h, leaf, 1, leaf), 2, node(h, leaf, 3, leaf))
/// });
/// assert_eq!(tree.root().to_string(), "{{leaf,1,leaf},2,{leaf,3,leaf}}");
/// assert_eq!(tree.root(), Region::build(|h| term!(h, {{:leaf, 1, :leaf}, 2, {:leaf, 3, :leaf}})).root());
/// ```
#[derive(Clone, Copy)]
pub struct Heap<'h> {
    raw: NonNull<RawHeap>,
    brand: PhantomData<fn(&'h ()) -> &'h ()>,
}

impl fmt::Debug for Heap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("used_words", &self.used_words()).finish_non_exhaustive()
    }
}

/// Rounds bytes up to words.
const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<Word>())
}

impl<'h> Heap<'h> {
    /// # Safety
    ///
    /// `raw` must live, in one place, for `'h`, and be used through this handle and its copies alone; `'h` must be made
    /// up by a `for<'h>` closure (invariant 1).
    pub(crate) unsafe fn from_raw(raw: *mut RawHeap) -> Self {
        // SAFETY: the caller's promise: not null.
        Self { raw: unsafe { NonNull::new_unchecked(raw) }, brand: PhantomData }
    }

    /// The heap, for one access. Two of these must not overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "private, and each caller ends the borrow before it runs other code")]
    fn raw(&self) -> &mut RawHeap {
        // SAFETY: `from_raw`: the heap lives for `'h`, is used by this thread alone (a `Heap` is not `Send`), and no
        // method keeps the reference while code of the user's runs.
        unsafe { &mut *self.raw.as_ptr() }
    }

    #[inline(always)]
    #[allow(clippy::unused_self, reason = "the term is of this heap: its brand comes from here")]
    fn term(self, w: Word) -> Term<'h> {
        // SAFETY: callers pass an immediate, or an object of this heap that is complete.
        unsafe { Term::from_word(w) }
    }

    #[inline(always)]
    fn alloc(self, n: usize) -> *mut Word {
        match self.raw().alloc(n) {
            Ok(p) => p,
            Err(error) => self.unwind(error),
        }
    }

    /// As [`alloc`](Self::alloc), for an object that is to own `value`. If there is no room, the value's destructor runs
    /// before the unwinding: one that panics during it would abort the program.
    #[inline]
    fn alloc_for<T>(self, n: usize, value: T) -> (*mut Word, T) {
        match self.raw().alloc(n) {
            Ok(p) => (p, value),
            Err(error) => {
                let mut panicked = off_heap::Panicked::default();
                panicked.during(|| drop(value));
                panicked.end();
                self.unwind(error)
            }
        }
    }

    /// The empty list.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.nil());
    /// assert!(r.root().is_nil() && r.root().list().next().is_none());
    /// ```
    #[inline]
    pub fn nil(self) -> Term<'h> {
        self.term(word::NIL)
    }

    /// An integer. No memory up to 60 bits; two or three words beyond.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.tuple(&[h.int(1), h.int(u64::MAX), h.int(-1_i128 << 100)]));
    /// assert_eq!(r.root().to_string(), "{1,18446744073709551615,-1267650600228229401496703205376}");
    /// ```
    #[inline]
    pub fn int(self, i: impl Into<i128>) -> Term<'h> {
        let i = i.into();
        match i64::try_from(i).ok().and_then(word::small) {
            Some(w) => self.term(w),
            None => self.wide(i),
        }
    }

    #[cold]
    fn wide(self, i: i128) -> Term<'h> {
        let (limbs, n) = crate::term::limbs(i);
        let p = self.alloc(1 + n);
        // SAFETY: `1 + n` words were just allocated.
        unsafe {
            p.write(word::header(Object::Big, u8::from(i < 0), n));
            p.add(1).copy_from_nonoverlapping(limbs.as_ptr(), n);
        }
        self.term(word::pointer(p, word::BOXED))
    }

    /// A float, or `None` for NaN and the infinities, which terms do not have. Two words.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| {
    ///     assert!(h.float(f64::NAN).is_none() && h.float(f64::INFINITY).is_none());
    ///     h.float(2.5).unwrap()
    /// });
    /// assert_eq!(r.root().as_float(), Some(2.5));
    /// ```
    pub fn float(self, x: f64) -> Option<Term<'h>> {
        if !x.is_finite() {
            return None;
        }
        let p = self.alloc(2);
        // SAFETY: two words were just allocated.
        unsafe {
            p.write(word::header(Object::Float, 0, 1));
            p.add(1).write(x.to_bits());
        }
        Some(self.term(word::pointer(p, word::BOXED)))
    }

    /// An atom. No memory.
    ///
    /// ```
    /// # use shared_term::{Atom, Region};
    /// let r = Region::build(|h| h.atom(Atom::OK));
    /// assert_eq!((r.root().as_atom(), r.words()), (Some(Atom::OK), 0));
    /// ```
    #[inline]
    pub fn atom(self, a: Atom) -> Term<'h> {
        self.term(a.word())
    }

    /// A pid. No memory.
    ///
    #[cfg_attr(feature = "runtime", doc = "```")]
    #[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// let r = Region::build(|h| h.pid(p));
    /// assert_eq!((r.root().as_pid(), r.words()), (Some(p), 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn pid(self, p: Pid) -> Term<'h> {
        self.term(p.word())
    }

    /// The pid of a process of another node. Four words.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term::RemotePid};
    /// let there = RemotePid { node: Atom::inline("a@b"), id: 7, serial: 0, creation: 1 };
    /// let r = Region::build(|h| h.remote_pid(there));
    /// assert_eq!((r.root().as_remote_pid(), r.words()), (Some(there), 4));
    /// ```
    pub fn remote_pid(self, p: RemotePid) -> Term<'h> {
        let at = self.alloc(4);
        // SAFETY: as many words were just allocated.
        unsafe {
            at.write(word::header(Object::RemotePid, 0, 3));
            at.add(1).copy_from_nonoverlapping(p.words().as_ptr(), 3);
        }
        self.term(word::pointer(at, word::BOXED))
    }

    /// A reference. No memory.
    ///
    /// ```
    /// # use shared_term::{Region, term::References};
    /// let request = References::new().make();
    /// let r = Region::build(|h| h.reference(request));
    /// assert_eq!((r.root().as_reference(), r.words()), (Some(request), 0));
    /// ```
    #[inline]
    pub fn reference(self, r: Reference) -> Term<'h> {
        self.term(r.word())
    }

    /// A tuple: one word, and one per element; no memory for `{}`.
    ///
    /// ```
    /// # use shared_term::{Atom, Region};
    /// let r = Region::build(|h| h.tuple(&[h.atom(Atom::OK), h.tuple(&[])]));
    /// assert_eq!((r.root().to_string().as_str(), r.words()), ("{ok,{}}", 3));
    /// ```
    #[inline]
    pub fn tuple(self, elements: &[Term<'h>]) -> Term<'h> {
        if elements.is_empty() {
            return self.term(word::EMPTY_TUPLE);
        }
        let p = self.alloc(1 + elements.len());
        // SAFETY: as many words were just allocated.
        unsafe {
            p.write(word::header(Object::Tuple, 0, elements.len()));
            self.store_all(p.add(1), elements);
        }
        self.term(word::pointer(p, word::BOXED))
    }

    /// Writes terms into fresh words, noting the literals among them (invariant 4). All writes of terms go through here
    /// or through [`store`](Self::store).
    ///
    /// # Safety
    ///
    /// `p` must be valid for `terms.len()` words, just allocated.
    #[inline(always)]
    unsafe fn store_all(self, p: *mut Word, terms: &[Term<'h>]) {
        for (i, t) in terms.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.store(p.add(i), *t) };
        }
    }

    /// # Safety
    ///
    /// `p` must be valid for a word, just allocated.
    #[inline(always)]
    unsafe fn store(self, p: *mut Word, t: Term<'h>) {
        self.raw().note(t.word());
        // SAFETY: the caller's promise.
        unsafe { p.write(t.word()) };
    }

    /// A list cell: two words.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.cons(h.int(1), h.cons(h.int(2), h.nil())));
    /// assert_eq!((r.root().to_string().as_str(), r.words()), ("[1,2]", 4));
    /// ```
    #[inline]
    pub fn cons(self, head: Term<'h>, tail: Term<'h>) -> Term<'h> {
        let p = self.alloc(2);
        // SAFETY: two words were just allocated.
        unsafe {
            self.store(p, head);
            self.store(p.add(1), tail);
        }
        self.term(word::pointer(p, word::LIST))
    }

    /// A list of the items. Two words each; no buffer: the cells are linked forwards while the list is private.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.list(["a", "b"]));
    /// assert_eq!(r.root().to_string(), r#"[<<"a">>,<<"b">>]"#);
    /// ```
    pub fn list<T: ToTerm<'h>>(self, items: impl IntoIterator<Item = T>) -> Term<'h> {
        self.list_with_tail(items, self.nil())
    }

    /// A list of the items that ends in `tail`.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| {
    ///     let old = term!(h, [3, 4]);
    ///     let longer = h.list_with_tail([1, 2], old);
    ///     term!(h, {longer, old})
    /// });
    /// assert_eq!(r.root().to_string(), "{[1,2,3,4],[3,4]}");
    /// assert_eq!(r.words(), 3 + 8, "the tail is shared");
    /// ```
    pub fn list_with_tail<T: ToTerm<'h>>(self, items: impl IntoIterator<Item = T>, tail: Term<'h>) -> Term<'h> {
        let mut first = tail;
        let mut last: *mut Word = std::ptr::null_mut();
        for item in items {
            let cell = self.cons(item.to_term(self), tail);
            let p = word::address(cell.word());
            if last.is_null() {
                first = cell;
            } else {
                // SAFETY: the tail of the cell before: nobody has seen the list yet, and both cells are of this heap.
                unsafe { last.add(1).write(cell.word()) };
            }
            last = p;
        }
        first
    }

    /// `tuple` with another element at `i`, or `None` when it is no tuple or has none there. O(n) words.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| {
    ///     let old = term!(h, {:counter, 1, "name"});
    ///     assert!(h.with_element(old, 3, h.nil()).is_none());
    ///     h.with_element(old, 1, h.int(2)).unwrap()
    /// });
    /// assert_eq!(r.root().to_string(), r#"{counter,2,<<"name">>}"#);
    /// ```
    pub fn with_element(self, tuple: Term<'h>, i: usize, value: Term<'h>) -> Option<Term<'h>> {
        let elements = tuple.as_tuple()?;
        let (before, behind) = (elements.get(..i)?, elements.get(i + 1..)?);
        let p = self.alloc(1 + elements.len());
        // SAFETY: as many words were just allocated.
        unsafe {
            p.write(word::header(Object::Tuple, 0, elements.len()));
            self.store_all(p.add(1), before);
            self.store(p.add(1 + i), value);
            self.store_all(p.add(2 + i), behind);
        }
        Some(self.term(word::pointer(p, word::BOXED)))
    }

    /// A term that is a handle on a Rust value that threads may share. Copies of the term share the value; the last one
    /// drops it, once.
    ///
    /// A resource is equal to its own copies alone, those of other processes included; a handle on an array, to every
    /// handle on it. In a persistent term, its destructor runs when the term's
    /// memory is freed, on the thread that frees it.
    ///
    /// ```
    /// # use shared_term::Region;
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// let hits = Arc::new(AtomicU64::new(0));
    /// let r = Region::build(|h| h.resource(hits.clone()));
    /// r.root().resource::<AtomicU64>().unwrap().fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(hits.load(Ordering::Relaxed), 1);
    /// ```
    ///
    /// An [`Atomics`](crate::Atomics) or a [`Counters`](crate::Counters) is [`ToTerm`], and is read back by
    /// [`Term::get`]: lent, as `&Counters`, or as a handle of one's own.
    ///
    /// ```
    /// # use shared_term::{Counters, Region, term};
    /// let hits = Counters::new(2);
    /// let r = Region::build(|h| term!(h, {:hits, &hits, 1}));
    /// let (_, theirs, i): (shared_term::Atom, &Counters, u64) = r.root().get()?;
    /// theirs.inc(i as usize);
    /// assert_eq!(hits.read_all(), [0, 1]);
    /// # Ok::<(), shared_term::term::Mismatch>(())
    /// ```
    pub fn resource<T: Any + Send + Sync>(self, value: Arc<T>) -> Term<'h> {
        self.another_resource::<Arc<resource::Anything>>(value)
    }

    fn another_resource<T: resource::Payload>(self, value: T) -> Term<'h> {
        let (p, value) = self.alloc_for(1 + resource::SIZE, value);
        // SAFETY: the words were just allocated in the heap that the list belongs to.
        unsafe { off_heap::write(p, value, &mut self.raw().off_heap) };
        self.term(word::pointer(p, word::BOXED))
    }

    /// A resource of which there are no copies: nothing may copy the term. For what this crate sends itself.
    #[cfg(feature = "runtime")]
    pub(crate) fn own_resource(self, value: Box<resource::Anything>) -> Term<'h> {
        self.another_resource(value)
    }

    /// A deep copy of a term from anywhere, sharing kept, literals copied in. O(words), whatever the paths.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let config = Region::build(|h| term!(h, {:limit, 10}));
    /// let r = Region::build(|h| h.list([h.copy(config.root()), h.nil()]));
    /// drop(config);
    /// assert_eq!(r.root().to_string(), "[{limit,10},[]]");
    /// ```
    pub fn copy<P: Place>(self, term: Term<'_, P>) -> Term<'h> {
        // SAFETY: the source is alive during the call.
        let copied = unsafe { copy::copy(self.raw(), 0, term.word(), copy::Literals::Flatten, None) };
        match copied {
            Ok(w) => self.term(w),
            Err(error) => self.unwind(error),
        }
    }

    /// The region's term, its memory now this heap's. O(1), whatever its size. It counts towards the heap's limit.
    ///
    /// ```
    /// # use shared_term::{Region, heap::OwnedHeap};
    /// let big = Region::build(|h| h.list(0..1000));
    /// let heap = OwnedHeap::new(|h| h.adopt(big));
    /// assert_eq!(heap.root().list().count(), 1000);
    /// ```
    pub fn adopt(self, region: Region) -> Term<'h> {
        let raw = self.raw();
        let words = raw.used().saturating_add(region.words());
        if words > raw.limit {
            self.unwind(HeapError::Limit { asked: region.words(), words, limit: raw.limit });
        }
        let w = raw.adopt(region);
        self.term(w)
    }

    /// Words in use, garbage included.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// Region::build(|h| {
    ///     let before = h.used_words();
    ///     let list = term!(h, [1, 2, 3]);
    ///     assert_eq!(h.used_words() - before, 6);
    ///     list
    /// });
    /// ```
    pub fn used_words(self) -> usize {
        self.raw().used()
    }
}

static_assertions::assert_not_impl_any!(Heap<'static>: Send, Sync);
