//! A heap for a part of a turn.

use super::collect::move_out;
use super::failure::{Unwind, unwind_from};
use super::off_heap::Panicked;
use super::raw::RawHeap;
use super::{Heap, HeapError};
use crate::term::Term;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What the closure of [`Heap::scratch`] builds with: a [`Heap`] of its own, and the way in for terms of the outer one.
///
/// ```
/// use shared_term::{Region, heap::Scratch, term, term::Term};
/// fn total<'s>(s: Scratch<'s, '_>, numbers: impl Iterator<Item = i64>) -> Term<'s> {
///     numbers.fold(term!(s, {0, 0}), |sum, n| {
///         let (count, total): (i64, i64) = sum.get().unwrap();
///         term!(s, {count + 1, total + n}) // one more tuple each time
///     })
/// }
/// let r = Region::build(|h| h.scratch(|s| total(s, 1..=100)));
/// assert_eq!((r.root().to_string().as_str(), r.words()), ("{100,5050}", 3));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Scratch<'s, 'h> {
    heap: Heap<'s>,
    outer: PhantomData<fn(&'h ()) -> &'h ()>,
}

impl<'s> Deref for Scratch<'s, '_> {
    type Target = Heap<'s>;

    fn deref(&self) -> &Heap<'s> {
        &self.heap
    }
}

impl<'s, 'h> Scratch<'s, 'h> {
    /// A term of the outer heap, to read and to build with here. O(1): nothing is copied, neither now nor when it is part
    /// of the result.
    ///
    /// ```
    /// use shared_term::{Region, term};
    /// let r = Region::build(|h| {
    ///     let name = h.list(0..100);
    ///     let before = h.used_words();
    ///     let pair = h.scratch(|s| term!(s, {s.import(name), :x}));
    ///     assert_eq!(h.used_words() - before, 3, "the list was not copied");
    ///     pair
    /// });
    /// assert_eq!(r.words(), 203);
    /// ```
    pub fn import(self, term: Term<'h>) -> Term<'s> {
        // SAFETY: invariant 1: `'h` is the brand of the outer heap, which stands still and outlives this one. The words of
        // both are told apart by their addresses when the result moves out.
        unsafe { Term::from_word(term.word()) }
    }
}

impl<'h> Heap<'h> {
    /// Runs `f` with a heap of its own, frees that, and returns what `f` returns: the result's words are copied here, with
    /// their sharing, but for those that are of this heap already.
    ///
    /// A turn holds on to everything that it makes until it ends. What is made in here goes at once, so that a turn that
    /// makes a lot on the way to little (parses, sorts, folds over a large table) needs memory for the largest of its steps,
    /// not for their sum. The alternative for a long job is `Flow::Again`, after which the heap is
    /// collected and others get their turn. Costs what a collection of the result does; it is O(1) for an immediate.
    ///
    /// What is made here counts towards the limit of the outer heap for as long as it is there.
    ///
    /// # Panics
    ///
    /// When memory runs out or the limit is passed, as every allocation of this heap. A panic of `f` goes on. In both cases
    /// everything that was made in here is freed.
    ///
    /// ```
    /// use shared_term::{Region, term};
    /// let r = Region::build(|h| {
    ///     let names = term!(h, ["b", "c", "a"]);
    ///     let before = h.used_words();
    ///     let first = h.scratch(|s| {
    ///         let mut sorted: Vec<_> = s.import(names).list().collect();
    ///         sorted.sort();
    ///         let steps = s.list((0..1000).map(|_| s.list(sorted.iter().copied()))); // freed at the end
    ///         term!(s, {steps.list().count() as u64, sorted[0]})
    ///     });
    ///     assert_eq!(h.used_words() - before, 3); // the tuple; the name is that of the outer list
    ///     first
    /// });
    /// assert_eq!(r.root().to_string(), r#"{1000,<<"a">>}"#);
    /// ```
    pub fn scratch(self, f: impl for<'s> FnOnce(Scratch<'s, 'h>) -> Term<'s>) -> Term<'h> {
        let (used, limit) = (self.raw().used(), self.raw().limit);
        let mut inner = RawHeap::new(limit.saturating_sub(used));
        let raw = &raw mut inner;
        // SAFETY: invariant 1: the brand is made up by the closure's `for<'s>`; the heap stands still while it runs.
        let scratch = Scratch { heap: unsafe { Heap::from_raw(raw) }, outer: PhantomData };
        let root = match catch_unwind(AssertUnwindSafe(|| f(scratch).word())) {
            Ok(root) => root,
            Err(payload) => {
                // What the closure unwound with goes on. It must not be at hand while another panic unwinds: dropped then, it
                // could panic too, which would abort.
                let mut panicked = Panicked::default();
                panicked.during(|| drop(inner));
                panicked.end();
                match Unwind::of(payload) {
                    // To the outer heap, the limit is its own.
                    Ok(unwind) if unwind.owner == raw.addr() => self.unwind(in_all(unwind.error, used, limit)),
                    Ok(unwind) => unwind.start(),
                    Err(payload) => resume_unwind(payload),
                }
            }
        };
        // SAFETY: the closure has ended, and with it every term and borrow of its heap but the root.
        match unsafe { move_out(inner, root, self.raw()) } {
            Ok(root) => self.term(root),
            Err(error) => self.unwind(error),
        }
    }

    /// Ends whatever is built in this heap.
    #[cold]
    pub(super) fn unwind(self, error: HeapError) -> ! {
        unwind_from(self.raw, error)
    }
}

/// The error as one of a heap that has so many words, and so large a limit.
fn in_all(error: HeapError, used: usize, limit: usize) -> HeapError {
    match error {
        HeapError::Limit { asked, words, .. } => HeapError::Limit { asked, words: words.saturating_add(used), limit },
        other @ HeapError::OutOfMemory { .. } => other,
    }
}
