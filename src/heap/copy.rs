//! Deep copy with sharing kept (invariant 11), without recursion (invariant 5), without a write to the source.
//!
//! Most terms are trees, so the copier bets on that ([`tree`]): it only marks each object that it copies, and when it meets
//! one that is marked it takes the copy back and starts again ([`graph`]), now with a table of where each object went. No
//! more than twice the reachable words are visited.

mod graph;
mod reach;
mod tree;

#[cfg_attr(
    not(feature = "persistent"),
    allow(unused_imports, reason = "without that floor nobody makes a literal")
)]
pub(crate) use reach::words_to_copy;
pub(crate) use reach::{flat_size_words, reaches, size_words};

use super::HeapError;
use super::binary;
use super::forwards::Forwards;
use super::literal::{self, Area};
use super::marks::Marks;
use super::off_heap;
use super::pages::{reserve, try_box};
use super::raw::{Bump, RawHeap};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::word::{self, Object, Word};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use tree::Stack;

/// What becomes of the literals that a copied term points into.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Literals {
    /// They are copied like any other data: the copy is self-contained.
    Flatten,
    /// They are kept by pointer, and noted in the filter of the copy; but those of a retired area are copied (R4).
    /// `retired` has the bits of the areas that are retired now, so that one test spares looking at the area.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes send"))]
    Keep { retired: u64 },
}

impl Literals {
    /// Is the literal word `w` kept by pointer?
    #[inline]
    pub(crate) fn keeps(self, w: Word) -> bool {
        let Self::Keep { retired } = self else { return false };
        let entry = literal::entry(w);
        if entry.bit() & retired == 0 || mutated(Mutation::CopierIgnoresMark) {
            return true;
        }
        // SAFETY: the area lives: a word that points into it is at hand (invariant 4).
        !unsafe { entry.area().as_ref() }.is_retired()
    }
}

/// What a copy keeps books in.
#[derive(Debug, Default)]
struct Tables {
    marks: Marks,
    stack: Stack,
    forwards: Forwards,
}

thread_local! {
    /// Tables to work with, kept from copy to copy. (Plain `std`: taken and put back, never shared.)
    static TABLES: Cell<Option<Box<Tables>>> = const { Cell::new(None) };
}

/// Runs `f` with tables that are empty, or says that there is no memory for any.
fn with_tables<R, E: From<HeapError>>(f: impl FnOnce(&mut Tables) -> Result<R, E>) -> Result<R, E> {
    // A destructor of another thread local may copy when this one is gone already.
    let kept = TABLES.try_with(Cell::take).ok().flatten();
    let mut tables = kept.map_or_else(|| try_box(Tables::default()), Ok)?;
    tables.marks.begin();
    let result = f(&mut tables);
    let _ = TABLES.try_with(|kept| kept.set(Some(tables)));
    result
}

/// Copies the term of word `w` into `dest`, and returns its word there. `tag` is 0, or [`word::FROZEN`] for the copy that
/// becomes a literal. With `deps`, the areas that the copy points into are collected, each once.
///
/// On an error `dest` is as it was.
///
/// # Safety
///
/// `w` must be the word of a term that is alive during the call, and `dest` another heap than the source's or the same;
/// with [`Literals::Keep`], the literals must be of the domain that `dest` belongs to.
pub(crate) unsafe fn copy(
    dest: &mut RawHeap,
    tag: Word,
    w: Word,
    literals: Literals,
    deps: Option<&mut Vec<NonNull<Area>>>,
) -> Result<Word, HeapError> {
    if word::is_immediate(w) {
        return Ok(w);
    }
    let mark = dest.mark();
    let mut copier = Copier { dest, literals, deps, failed: None };
    // SAFETY: the caller's promise, in each branch; what is rolled back was made here and handed to nobody.
    unsafe {
        let result = with_tables(|tables| {
            let (marks, stack) = (&mut tables.marks, &mut tables.stack);
            let copied = match tag {
                0 => copier.tree::<0>(w, marks, stack),
                _ => copier.tree::<{ word::FROZEN }>(w, marks, stack),
            };
            match copied {
                Err(Stop::Shared) => {
                    copier.dest.roll_back(&mark);
                    let result = copier.graph(tag, w, &mut tables.forwards);
                    tables.forwards.clear();
                    result
                }
                Err(Stop::Heap(error)) => Err(error),
                Ok(copy) => Ok(copy),
            }
        });
        let result = result.and_then(|copy| copier.failed.map_or(Ok(copy), Err));
        if result.is_err() {
            copier.dest.roll_back(&mark);
        }
        result
    }
}

/// Why a copy went no further.
enum Stop {
    Heap(HeapError),
    /// An object was met a second time.
    Shared,
}

impl From<HeapError> for Stop {
    fn from(error: HeapError) -> Self {
        Self::Heap(error)
    }
}

struct Copier<'a> {
    dest: &'a mut RawHeap,
    literals: Literals,
    deps: Option<&'a mut Vec<NonNull<Area>>>,
    /// What an area could not be noted for.
    failed: Option<HeapError>,
}

impl Copier<'_> {
    /// Is the literal `w` kept by pointer? Then it is noted.
    #[inline(never)]
    fn keep(&mut self, w: Word) -> bool {
        if self.literals.keeps(w) {
            self.dest.note(w);
            if let Some(deps) = &mut self.deps {
                let area = literal::entry(w).area();
                if !deps.contains(&area) {
                    match reserve(deps, 1) {
                        Ok(()) => deps.push(area),
                        Err(error) => self.failed = Some(error),
                    }
                }
            }
            return true;
        }
        // SAFETY: the area lives: a word that points into it is at hand (invariant 4).
        unsafe { literal::entry(w).area().as_ref() }.note_read();
        false
    }

    /// The copy, without its tag, of an object that has a header.
    ///
    /// # Safety
    ///
    /// `from` must be such an object of the source; the copy is complete before anything else is allocated.
    #[inline(always)]
    unsafe fn object(&mut self, from: *const Word, bump: &mut Bump) -> Result<*mut Word, HeapError> {
        // SAFETY: the caller's promise.
        unsafe {
            let header = *from;
            let size = 1 + word::header_size(header);
            let to = bump.alloc(self.dest, size)?;
            if word::header_is_off_heap(header) {
                duplicate(from, to, self.dest);
            } else {
                copy_words(from, to, size);
            }
            Ok(to)
        }
    }
}

/// Out of the loops: it calls, and what calls has no registers left.
///
/// # Safety
///
/// As for [`off_heap::duplicate`].
#[cold]
#[inline(never)]
unsafe fn duplicate(from: *const Word, to: *mut Word, dest: &mut RawHeap) {
    // SAFETY: the caller's promise.
    unsafe {
        off_heap::duplicate(from, to, &mut dest.off_heap);
        if word::header_kind(*to) == Object::Bytes {
            dest.receive(binary::extent(to).bytes);
        }
    }
}

/// As `ptr::copy_nonoverlapping`, and untyped like it (a payload has pointers in it, not integers); most objects have
/// fewer words than a call takes.
///
/// # Safety
///
/// As there, and `n > 0`.
#[inline(always)]
pub(crate) unsafe fn copy_words(from: *const Word, to: *mut Word, n: usize) {
    type Pair = MaybeUninit<u128>;
    // SAFETY: the caller's promise: a pair begins no later than two words before the end. Those that overlap are all read
    // before one is written.
    unsafe {
        let read = |i: usize| from.add(i).cast::<Pair>().read_unaligned();
        let write = |i: usize, pair: Pair| to.add(i).cast::<Pair>().write_unaligned(pair);
        match n {
            2 => write(0, read(0)),
            3 => {
                // Not two pairs that overlap: the scan reads each word back, and would wait for both stores.
                write(0, read(0));
                to.add(2).cast::<MaybeUninit<Word>>().write(from.add(2).cast::<MaybeUninit<Word>>().read());
            }
            4 => {
                write(0, read(0));
                write(2, read(2));
            }
            5..=8 => {
                let (a, b, c, d) = (read(0), read(2), read(n - 4), read(n - 2));
                write(0, a);
                write(2, b);
                write(n - 4, c);
                write(n - 2, d);
            }
            _ => ptr::copy_nonoverlapping(from, to, n),
        }
    }
}
