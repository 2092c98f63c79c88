//! A heap without a process.

use super::raw::RawHeap;
use super::{CollectStats, Heap, HeapError, HeapInfo, Parents, collect_major, collect_minor, compact, unwind, verify};
use crate::term::word::Word;
use crate::term::{Term, TermRef};

/// A heap and a root that live as long as a Rust value, and are collected when told: for tests, interpreters, fuzzing.
///
/// ```
/// use shared_term::{heap::OwnedHeap, term};
/// let mut heap = OwnedHeap::new(|h| h.nil());
/// for i in 0..100 {
///     heap.turn(|h, list| (h.cons(h.int(i), list), ()));
/// }
/// heap.turn(|h, list| (h.int(list.list().count() as u64), ()));
/// assert_eq!(heap.root().as_int(), Some(100));
/// let stats = heap.collect_major().unwrap();
/// assert_eq!((stats.before_words, stats.moved_words), (200, 0));
/// ```
#[derive(Debug)]
pub struct OwnedHeap {
    raw: RawHeap,
    root: Word,
    parents: Parents,
}

impl OwnedHeap {
    /// A heap with the root that `init` builds.
    ///
    /// # Panics
    ///
    /// As `init`, and when memory runs out.
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let heap = OwnedHeap::new(|h| h.list(["a", "b"]));
    /// assert_eq!(heap.root().list().count(), 2);
    /// ```
    pub fn new(init: impl for<'h> FnOnce(Heap<'h>) -> Term<'h>) -> Self {
        Self::with_limit(usize::MAX, init)
    }

    /// As [`new`](Self::new), with a limit in words: allocation beyond it panics (without a panic hook).
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    /// let mut heap = OwnedHeap::with_limit(100, |h| h.list(0..10));
    /// let turn = AssertUnwindSafe(|| heap.turn(|h, _| (h.list(0..1000), ())));
    /// assert!(catch_unwind(turn).is_err());
    /// assert_eq!(heap.root().list().count(), 10, "the root is what it was");
    /// ```
    pub fn with_limit(words: usize, init: impl for<'h> FnOnce(Heap<'h>) -> Term<'h>) -> Self {
        let mut this = Self { raw: RawHeap::new(words), root: crate::term::word::NIL, parents: Parents::default() };
        this.turn(|h, _| (init(h), ()));
        this
    }

    /// Runs one turn: from the old root to a new one, and a Rust value beside it. Terms cannot leave it. What it leaves
    /// behind is garbage until a collection.
    ///
    /// # Panics
    ///
    /// As `f`; and when memory runs out or the limit is passed. The root is then what it was.
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.nil());
    /// let length = heap.turn(|h, list| {
    ///     let longer = h.cons(h.binary("entry"), list);
    ///     (longer, longer.list().count())
    /// });
    /// assert_eq!((length, heap.root().list().count()), (1, 1));
    /// ```
    pub fn turn<R>(&mut self, f: impl for<'h> FnOnce(Heap<'h>, Term<'h>) -> (Term<'h>, R)) -> R {
        // SAFETY: invariant 1: the brand is made up by the closure's `for<'h>`; the heap stands still while it runs, and
        // `&mut self` keeps every other access away.
        let (root, result) = unsafe { f(Heap::from_raw(&raw mut self.raw), Term::from_word(self.root)) };
        self.root = root.word();
        self.raw.note(self.root);
        result
    }

    /// The root, lent.
    ///
    /// ```
    /// use shared_term::{Region, heap::OwnedHeap, term};
    /// let heap = OwnedHeap::new(|h| term!(h, {:ok, 1}));
    /// let copy = Region::copy_of(heap.root());
    /// drop(heap);
    /// assert_eq!(copy.root().to_string(), "{ok,1}");
    /// ```
    pub fn root(&self) -> TermRef<'_> {
        // SAFETY: invariants 1 and 2, and `&self` keeps turns and collections away.
        unsafe { TermRef::from_word(self.root) }
    }

    /// A minor collection: frees what has died among the objects that were made since the last collection, or lived
    /// through one. Those that live through a second one, or were adopted and live through one, go to the old generation,
    /// which is not looked at. O(words that it moves).
    ///
    /// # Errors
    ///
    /// When there is no memory to move to; the heap is then empty, and its root is nil.
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.list(0..10));
    /// heap.collect_minor()?;
    /// heap.turn(|h, old| (h.cons(h.int(1), old), ()));
    /// let stats = heap.collect_minor()?;
    /// assert_eq!((stats.moved_words, heap.info().young_words, heap.info().old_words), (22, 2, 20));
    /// assert_eq!(heap.collect_minor()?.moved_words, 2);
    /// assert_eq!(heap.collect_minor()?.moved_words, 0);
    /// # Ok::<(), shared_term::HeapError>(())
    /// ```
    pub fn collect_minor(&mut self) -> Result<CollectStats, HeapError> {
        // SAFETY: no turn is running, so the root is the only term.
        unsafe { collect_minor(&mut self.raw, &mut self.root) }
    }

    /// A major collection: moves what the root reaches into a new old generation, and frees everything else. O(words that
    /// live).
    ///
    /// # Errors
    ///
    /// As [`collect_minor`](Self::collect_minor).
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.list(0..100));
    /// heap.turn(|_, list| (list.list().skip(90).collect::<Vec<_>>()[0], ()));
    /// let stats = heap.collect_major()?;
    /// assert_eq!((stats.before_words, stats.after_words), (200, 0));
    /// # Ok::<(), shared_term::HeapError>(())
    /// ```
    pub fn collect_major(&mut self) -> Result<CollectStats, HeapError> {
        // SAFETY: as above.
        unsafe { collect_major(&mut self.raw, &mut self.root, 0, self.parents) }
    }

    /// A major collection into memory with room for what lives, and for nothing else: moves it twice. Without the memory for
    /// the second time it is as [`collect_major`](Self::collect_major).
    ///
    /// # Errors
    ///
    /// As [`collect_minor`](Self::collect_minor).
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.list(0..1000));
    /// heap.compact()?;
    /// assert_eq!((heap.used_words(), heap.info().chunk_bytes), (2000, 16_000 + 24));
    /// # Ok::<(), shared_term::HeapError>(())
    /// ```
    pub fn compact(&mut self) -> Result<CollectStats, HeapError> {
        // SAFETY: as above.
        unsafe { compact(&mut self.raw, &mut self.root, 0, self.parents) }
    }

    /// What is in the heap, and what its collections did. O(pieces of memory), and O(n log n) for n binaries outside.
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.binary(vec![0; 100_000]));
    /// assert_eq!(heap.info().off_heap_bytes, 100_000);
    /// heap.turn(|h, _| (h.nil(), ()));
    /// heap.collect_major()?;
    /// assert_eq!((heap.info().off_heap_bytes, heap.info().major_collections), (0, 1));
    /// # Ok::<(), shared_term::HeapError>(())
    /// ```
    pub fn info(&self) -> HeapInfo {
        self.raw.info()
    }

    /// Shall slices of binaries be left as they are, however much they keep alive? By default a major collection copies
    /// them out; see [`Heap::slice`].
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.slice(h.binary(vec![0; 100_000]), 0..100).unwrap());
    /// heap.keep_parents(true);
    /// heap.collect_major()?;
    /// assert_eq!(heap.info().off_heap_bytes, 100_000);
    /// heap.keep_parents(false);
    /// heap.collect_major()?;
    /// assert_eq!(heap.info().off_heap_bytes, 100);
    /// # Ok::<(), shared_term::HeapError>(())
    /// ```
    pub fn keep_parents(&mut self, keep: bool) {
        self.parents = if keep { Parents::Keep } else { Parents::CopyOut };
    }

    /// Words in use, garbage included.
    ///
    /// ```
    /// use shared_term::{heap::OwnedHeap, term};
    /// let mut heap = OwnedHeap::new(|h| term!(h, {1, 2}));
    /// heap.turn(|h, _| (term!(h, [1]), ()));
    /// assert_eq!(heap.used_words(), 3 + 2, "the tuple is garbage, and still there");
    /// ```
    pub fn used_words(&self) -> usize {
        self.raw.used()
    }

    /// Checks every word of the heap: headers, pointers, the order of keys, the off-heap lists, and that nothing
    /// points from an older generation to a younger. For tests: O(n log n) for n objects, of which it makes a list.
    ///
    /// # Errors
    ///
    /// A description of the first word that is wrong: a bug of this crate.
    ///
    /// ```
    /// use shared_term::heap::OwnedHeap;
    /// let mut heap = OwnedHeap::new(|h| h.map((0..100).map(|i| (i, i))));
    /// heap.collect_minor().unwrap();
    /// heap.verify().unwrap();
    /// ```
    pub fn verify(&self) -> Result<(), String> {
        verify(&self.raw, self.root)
    }
}

impl Clone for OwnedHeap {
    /// A copy of what the root reaches.
    fn clone(&self) -> Self {
        let mut raw = RawHeap::new(self.raw.limit);
        // SAFETY: the root is alive while `self` is borrowed.
        let root = unsafe { super::copy::copy(&mut raw, 0, self.root, super::copy::Literals::Flatten, None) }
            .unwrap_or_else(|error| unwind(error));
        Self { raw, root, parents: self.parents }
    }
}

#[cfg(test)]
mod tests {
    use super::OwnedHeap;
    use crate::heap::Region;
    use bytes::Bytes;

    /// What a process is collected for: at least what its binaries keep alive, and exactly that after a major collection.
    #[test]
    fn what_binaries_keep_alive_is_counted_when_it_comes_and_kept_by_collections() {
        let large = |n: usize| Bytes::from(vec![0; n]);
        let counted = |heap: &OwnedHeap| (heap.raw.received, heap.raw.old.as_ref().map_or(0, |old| old.pinned));
        let mut heap = OwnedHeap::new(|h| h.list([h.bytes(large(1000))]));
        assert_eq!(counted(&heap), (1000, 0));
        heap.collect_minor().unwrap();
        assert_eq!(counted(&heap), (1000, 0), "after a minor collection");
        let (other, moved) = (Region::build(|h| h.bytes(large(500))), Region::build(|h| h.bytes(large(300))));
        heap.turn(|h, old| (h.cons(h.copy(other.root()), h.cons(h.adopt(moved), old)), ()));
        assert_eq!(counted(&heap), (1800, 0), "copied and adopted");
        heap.turn(|h, old| ((h.bytes(large(4000)), old).1, ()));
        assert_eq!(counted(&heap), (5800, 0), "with garbage");
        heap.collect_major().unwrap();
        assert_eq!(counted(&heap), (1800, 1800), "after a major collection");
    }
}
