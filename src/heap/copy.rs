//! Deep copy with sharing kept (invariant 11), without recursion (invariant 5), without a write to the source.
//!
//! The copy is breadth first: an object is copied as it is, and the words of the copy that still point to the source are
//! relocated when the scan reaches them. Most terms are trees, so the copier bets on that: it only sets a bit for each
//! object it copies, and when it meets a bit that is set it takes the copy back and starts again, now with a first pass
//! that finds the *shared* objects and a table for those alone. No more than three times the reachable words are visited.

use super::HeapError;
use super::address::AddressMap;
use super::bits::{Bits, Marker, bit, group};
use super::literal::{self, Area};
use super::off_heap;
use super::raw::{Bump, RawHeap};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::word::{self, Word};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// What becomes of the literals that a copied term points into.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Literals {
    /// They are copied like any other data: the copy is self-contained.
    Flatten,
    /// They are kept by pointer, and noted in the filter of the copy; but those of a retired area are copied (R4).
    /// `retired` has the bits of the areas that are retired now, so that one test spares looking at the area.
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

thread_local! {
    /// Two sets to work with, kept from copy to copy. (Plain `std`: taken and put back, never shared.)
    static SCRATCH: Cell<Option<Box<(Bits, Bits)>>> = const { Cell::new(None) };
}

fn with_scratch<R>(f: impl FnOnce(&mut Bits, &mut Bits) -> R) -> R {
    // A destructor of another thread local may copy when this one is gone already.
    let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = f(&mut scratch.0, &mut scratch.1);
    scratch.0.clear();
    scratch.1.clear();
    let _ = SCRATCH.try_with(|kept| kept.set(Some(scratch)));
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
    let mut copier = Copier { dest, tag, literals, deps };
    // SAFETY: the caller's promise, in each branch; what is rolled back was made here and handed to nobody.
    unsafe {
        let result = with_scratch(|seen, shared| match copier.run(w, Trees { seen: seen.marker() }) {
            Err(Stop::Shared) => {
                copier.dest.roll_back(&mark);
                seen.clear();
                find_shared(w, literals, seen, shared);
                copier.run(w, Graph { shared, table: AddressMap::default() })
            }
            result => result,
        });
        result.map_err(|stop| {
            copier.dest.roll_back(&mark);
            match stop {
                Stop::Heap(error) => error,
                Stop::Shared => unreachable!("the table takes what is shared"),
            }
        })
    }
}

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

/// What a copier does about objects that it may meet again.
trait Sharing<'a> {
    /// The copy of the object at `from`, if there is one.
    fn meet(&mut self, from: usize) -> Result<Option<Word>, Stop>;
    /// `to` is the copy of the object at `from`.
    fn copied(&mut self, from: usize, to: Word);
    /// What was met, where that is all there is to know.
    fn bets(&mut self) -> Option<&mut Marker<'a>>;
}

/// Bets that there are none.
struct Trees<'a> {
    seen: Marker<'a>,
}

impl<'a> Sharing<'a> for Trees<'a> {
    #[inline(always)]
    fn meet(&mut self, from: usize) -> Result<Option<Word>, Stop> {
        let word = self.seen.word(from);
        if *word & bit(from) != 0 {
            return Err(Stop::Shared);
        }
        *word |= bit(from);
        Ok(None)
    }

    #[inline(always)]
    fn copied(&mut self, _: usize, _: Word) {}

    #[inline(always)]
    fn bets(&mut self) -> Option<&mut Marker<'a>> {
        Some(&mut self.seen)
    }
}

/// Knows which they are.
struct Graph<'a> {
    shared: &'a mut Bits,
    table: AddressMap,
}

impl<'a> Sharing<'a> for Graph<'a> {
    fn meet(&mut self, from: usize) -> Result<Option<Word>, Stop> {
        Ok(if self.shared.contains(from) { self.table.get(&from).copied() } else { None })
    }

    fn copied(&mut self, from: usize, to: Word) {
        if self.shared.contains(from) {
            self.table.insert(from, to);
        }
    }

    fn bets(&mut self) -> Option<&mut Marker<'a>> {
        None
    }
}

struct Copier<'a> {
    dest: &'a mut RawHeap,
    tag: Word,
    literals: Literals,
    deps: Option<&'a mut Vec<NonNull<Area>>>,
}

impl Copier<'_> {
    /// On an error the heap's own top is old: the caller rolls back.
    ///
    /// # Safety
    ///
    /// As for [`copy`].
    #[inline(never)]
    unsafe fn run<'a>(&mut self, root: Word, mut sharing: impl Sharing<'a>) -> Result<Word, Stop> {
        let (mut scan, mut bump) = (self.dest.scan(), self.dest.lend());
        // SAFETY: the caller's promise; objects of the copy are complete when they are allocated, and their words are
        // relocated one by one, each once.
        unsafe {
            let root = if word::is_literal(root) && self.keep(root) {
                root
            } else if word::is_list(root) {
                self.cell(root, &mut bump, &mut sharing)?
            } else {
                self.boxed(root, &mut bump, &mut sharing)?
            };
            while let Some(p) = scan.next(self.dest, &bump) {
                let w = *p;
                if word::is_literal(w) && self.keep(w) {
                    continue;
                }
                if !word::is_list(w) {
                    *p = self.boxed(w, &mut bump, &mut sharing)?;
                } else if p.add(1) == bump.top
                    && let Some(seen) = sharing.bets()
                {
                    let at;
                    (at, bump) = self.spine(p, bump, seen)?;
                    scan.resume(at, &bump);
                } else {
                    *p = self.cell(w, &mut bump, &mut sharing)?;
                }
            }
            self.dest.restore(bump);
            Ok(root)
        }
    }

    /// The copy of a cell.
    ///
    /// # Safety
    ///
    /// `w` must be a pointer to a cell of the source.
    #[inline(always)]
    unsafe fn cell<'a>(&mut self, w: Word, bump: &mut Bump, sharing: &mut impl Sharing<'a>) -> Result<Word, Stop> {
        let from = word::address(w);
        if let Some(copy) = sharing.meet(from.addr())? {
            return Ok(copy);
        }
        let to = bump.alloc(self.dest, 2)?;
        // SAFETY: two words of a living object, and two of the copy.
        unsafe { copy_words(from, to, 2) };
        let copy = word::pointer(to, word::LIST | self.tag);
        sharing.copied(from.addr(), copy);
        Ok(copy)
    }

    /// The copy of an object with a header.
    ///
    /// # Safety
    ///
    /// `w` must be a pointer to such an object of the source.
    #[inline(always)]
    unsafe fn boxed<'a>(&mut self, w: Word, bump: &mut Bump, sharing: &mut impl Sharing<'a>) -> Result<Word, Stop> {
        let from = word::address(w);
        if let Some(copy) = sharing.meet(from.addr())? {
            return Ok(copy);
        }
        // SAFETY: a living object; its copy is complete before anything else is allocated.
        let to = unsafe {
            let header = *from;
            let size = 1 + word::header_size(header);
            let to = bump.alloc(self.dest, size)?;
            if word::header_is_off_heap(header) {
                off_heap::duplicate(from, to, &mut self.dest.off_heap);
            } else {
                copy_words(from, to, size);
            }
            to
        };
        let copy = word::pointer(to, word::BOXED | self.tag);
        sharing.copied(from.addr(), copy);
        Ok(copy)
    }

    /// Copies cells one behind the other for as long as nothing else is to be scanned between them, which for a list of
    /// immediates is to its end: without going back to each copy for its tail. Returns where the scan goes on.
    ///
    /// # Safety
    ///
    /// `p` must be the last word of the destination, all others being scanned, and its contents a pointer to a cell of
    /// the source that is to be copied.
    #[inline(never)]
    unsafe fn spine(
        &mut self,
        mut p: *mut Word,
        mut bump: Bump,
        seen: &mut Marker<'_>,
    ) -> Result<(*mut Word, Bump), Stop> {
        // SAFETY: the caller's promise.
        let mut from = word::address(unsafe { *p });
        // The word of bits that the cells come from, in a register: consecutive cells would wait for each other's stores.
        let mut bits = *seen.word(from.addr());
        let result = loop {
            if bits & bit(from.addr()) != 0 {
                break Err(Stop::Shared);
            }
            bits |= bit(from.addr());
            let to = match bump.alloc(self.dest, 2) {
                Ok(to) => to,
                Err(error) => break Err(error.into()),
            };
            // SAFETY: a cell of the source by the caller's promise or the test below; two words of the copy; and the word
            // that is to lead there.
            let tail = unsafe {
                let (head, tail) = (*from, *from.add(1));
                p.write(word::pointer(to, word::LIST | self.tag));
                to.write(head);
                p = to.add(1);
                p.write(tail);
                if word::is_pointer(head) || !word::is_list(tail) || word::is_literal(tail) && self.keep(tail) {
                    // What was passed by is an immediate or a literal: the general scan starts at the head.
                    break Ok((to, bump));
                }
                tail
            };
            let next = word::address(tail);
            if group(next.addr()) != group(from.addr()) {
                *seen.word(from.addr()) = bits;
                bits = *seen.word(next.addr());
            }
            from = next;
        };
        *seen.word(from.addr()) = bits;
        result
    }

    /// Is the literal `w` kept by pointer? Then it is noted.
    #[inline(never)]
    fn keep(&mut self, w: Word) -> bool {
        if self.literals.keeps(w) {
            self.dest.note(w);
            if let Some(deps) = &mut self.deps {
                let area = literal::entry(w).area();
                if !deps.contains(&area) {
                    deps.push(area);
                }
            }
            return true;
        }
        // SAFETY: the area lives: a word that points into it is at hand (invariant 4).
        unsafe { literal::entry(w).area().as_ref() }.note_read();
        false
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

/// The words that a pointer's object holds, for walking.
///
/// # Safety
///
/// `w` must be a pointer word of a living term.
unsafe fn children(w: Word) -> (*const Word, usize) {
    let p = word::address(w);
    if word::is_list(w) {
        return (p, 2);
    }
    // SAFETY: a boxed word points to a header.
    let header = unsafe { *p };
    let n = if word::header_is_opaque(header) { 0 } else { word::header_size(header) };
    (p.wrapping_add(1), n)
}

/// Puts the objects that `root` reaches by more than one path into `shared`.
///
/// # Safety
///
/// As for [`copy`].
unsafe fn find_shared(root: Word, literals: Literals, seen: &mut Bits, shared: &mut Bits) {
    let mut work = vec![root];
    while let Some(w) = work.pop() {
        if !word::is_pointer(w) || word::is_literal(w) && literals.keeps(w) {
            continue;
        }
        let address = word::address(w).addr();
        if seen.insert(address) {
            shared.insert(address);
            continue;
        }
        // SAFETY: a living object.
        let (p, n) = unsafe { children(w) };
        // SAFETY: its words.
        work.extend((0..n).rev().map(|i| unsafe { *p.add(i) }));
    }
}

/// Does the term reach `n` distinct objects? O(n), and no more than O(words that it reaches).
///
/// # Safety
///
/// `root` must be the word of a term that is alive during the call.
pub(crate) unsafe fn reaches(root: Word, n: usize) -> bool {
    with_scratch(|seen, _| {
        let (mut objects, mut work) = (0, vec![(&raw const root, 1)]);
        while let Some((p, left)) = work.pop() {
            if left > 1 {
                work.push((p.wrapping_add(1), left - 1));
            }
            // SAFETY: the root, or a word of a living object.
            let w = unsafe { *p };
            if !word::is_pointer(w) || seen.insert(word::address(w).addr()) {
                continue;
            }
            objects += 1;
            if objects == n {
                return true;
            }
            // SAFETY: a living object.
            let (p, size) = unsafe { children(w) };
            if size > 0 {
                work.push((p, size));
            }
        }
        false
    })
}

/// The distinct words that a term reaches, those of literals included.
///
/// # Safety
///
/// `root` must be the word of a term that is alive during the call.
pub(crate) unsafe fn size_words(root: Word) -> usize {
    with_scratch(|seen, _| {
        let (mut words, mut work) = (0, vec![root]);
        while let Some(w) = work.pop() {
            if !word::is_pointer(w) || seen.insert(word::address(w).addr()) {
                continue;
            }
            // SAFETY: a living object: a cell, or a header and what it says.
            unsafe {
                words += if word::is_list(w) { 2 } else { 1 + word::header_size(*word::address(w)) };
                let (p, n) = children(w);
                work.extend((0..n).rev().map(|i| *p.add(i)));
            }
        }
        words
    })
}
