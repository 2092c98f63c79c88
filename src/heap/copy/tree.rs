//! Copying what is a tree, which most terms are: nothing is looked up, each object is marked, and a mark that is there
//! already ends it.
//!
//! Depth first: an object's words are looked at while it is copied, and those that still point to the source go on a
//! stack; the last of them is next. Most terms were built so that this reads them in one direction. Breadth first, which
//! needs no stack, reads a large term once for each of its levels. The loop keeps its state in registers; what happens now
//! and then (another page, another chunk, an object that is no small tuple) happens in functions of its own.
//!
//! A pointer's word is pushed by a branch: without one, the next address would wait for all the words before it, where so
//! it is guessed.

use super::{Copier, Literals, Stop};
use crate::heap::HeapError;
use crate::heap::marks::{self, Marks};
use crate::heap::pages::reserve;
use crate::heap::raw::Bump;
use crate::sync::MODELLED;
use crate::term::word::{self, Object, Word};
use std::ptr;

/// Most words of an object that the loop itself copies.
const SMALL: usize = 8;
/// Words that the stack has room for at least when there was none.
const ROOM: usize = 1 << 8;
/// Most words of one that it copies without another look at where there is room.
const SMALLEST: usize = 4;
const TUPLE_1: Word = word::header(Object::Tuple, 0, 1);
const TUPLE_2: Word = word::header(Object::Tuple, 0, 2);
const TUPLE_3: Word = word::header(Object::Tuple, 0, 3);
const _: () = assert!(TUPLE_1 | TUPLE_2 == TUPLE_3, "a header with no other bits is one of these");
/// Words that a kept stack has room for.
const KEPT: usize = 1 << 12;

/// The headers of tuples, and no others, have nothing in these bits.
const NO_TUPLE: Word = word::header(Object::Tuple, 0, 1) - 1;

/// Words of the copy that are still pointers of the source. At most one for each word of the copy.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// Room, of which the loop has the bounds in registers.
    room: Vec<*mut Word>,
}

/// The bounds of a [`Stack`].
#[derive(Clone, Copy)]
struct Bounds {
    bottom: *mut *mut Word,
    top: *mut *mut Word,
    /// Before this, `top` has room for a small object's words.
    limit: *mut *mut Word,
}

impl Stack {
    /// An empty stack.
    fn begin(&mut self) -> Result<Bounds, HeapError> {
        let bottom = self.room.as_mut_ptr();
        // SAFETY: nothing is on it.
        unsafe { self.make_room(Bounds { bottom, top: bottom, limit: bottom }, 0) }
    }

    /// Makes room for a small object and `n` more; the stack moves.
    ///
    /// # Safety
    ///
    /// The bounds must be those of this stack now.
    #[cold]
    #[inline(never)]
    unsafe fn make_room(&mut self, bounds: Bounds, n: usize) -> Result<Bounds, HeapError> {
        // SAFETY: the caller's promise: the words up to `top` lie in the room, and are written.
        unsafe {
            let used = bounds.top.offset_from_unsigned(bounds.bottom);
            self.room.set_len(used);
            let result = reserve(&mut self.room, n + ROOM);
            self.room.set_len(0);
            result?;
            let bottom = self.room.as_mut_ptr();
            let limit = bottom.add(self.room.capacity() - SMALL);
            Ok(Bounds { bottom, top: bottom.add(used), limit })
        }
    }

    /// Pushes those of the `n` words at `p` that are pointers.
    ///
    /// # Safety
    ///
    /// As for [`make_room`](Self::make_room); the words must be written.
    #[inline(never)]
    unsafe fn push_all(&mut self, bounds: Bounds, p: *mut Word, n: usize) -> Result<Bounds, HeapError> {
        // SAFETY: the caller's promise; there is room for all.
        unsafe {
            let mut bounds = self.make_room(bounds, n)?;
            for p in (0..n).map(|i| p.add(i)) {
                if word::is_pointer(*p) {
                    bounds.top.write(p);
                    bounds.top = bounds.top.add(1);
                }
            }
            Ok(bounds)
        }
    }

    /// One large copy does not keep its memory for ever.
    fn trim(&mut self) {
        if self.room.capacity() > KEPT {
            self.room = Vec::new();
        }
    }
}

/// The page that objects are marked in.
#[derive(Clone, Copy)]
struct Page {
    base: Word,
    line: *mut u8,
    mark: u8,
}

impl Page {
    /// Does `w` point to an object of this page?
    #[inline(always)]
    fn has(self, w: Word) -> bool {
        w.wrapping_sub(self.base) < marks::PAGE as Word
    }

    /// Does `w` point to an object of this page that is no literal?
    #[inline(always)]
    fn has_plain(self, w: Word) -> bool {
        // The page is aligned: the difference has the tag.
        w.wrapping_sub(self.base) & (!(marks::PAGE as Word - 1) | word::FROZEN) == 0
    }

    /// Marks the object that `w` points to; was it not marked yet?
    ///
    /// # Safety
    ///
    /// The page must have it.
    #[inline(always)]
    unsafe fn mark(self, w: Word) -> bool {
        // SAFETY: the caller's promise: the line has a byte for each pair of words of the page.
        unsafe {
            let mark = self.line.add(marks::index((w - self.base) as usize));
            let new = *mark != self.mark;
            *mark = self.mark;
            new
        }
    }
}

impl Copier<'_> {
    /// On an error the heap's own top is old: the caller rolls back. `TAG` is 0, or [`word::FROZEN`] for a literal.
    ///
    /// # Safety
    ///
    /// As for [`copy`](super::copy).
    pub(super) unsafe fn tree<const TAG: Word>(
        &mut self,
        mut root: Word,
        marks: &mut Marks,
        stack: &mut Stack,
    ) -> Result<Word, Stop> {
        // SAFETY: the caller's promise.
        let result = unsafe { self.run::<TAG>(&raw mut root, marks, stack) };
        stack.trim();
        result.map(|()| root)
    }

    /// Copies what the word at `root` points to, and makes it point there.
    ///
    /// # Safety
    ///
    /// As for [`tree`](Self::tree).
    #[inline(never)]
    unsafe fn run<const TAG: Word>(
        &mut self,
        root: *mut Word,
        marks: &mut Marks,
        stack: &mut Stack,
    ) -> Result<(), Stop> {
        // Are literals copied whatever they are? (Under loom each is asked for: that is how it sees the reads.)
        let flatten = matches!(self.literals, Literals::Flatten) && !MODELLED;
        let Bump { mut top, mut end, mut chunk } = self.dest.lend();
        let mut page = Page { base: 0, line: ptr::null_mut(), mark: marks.round() };
        let Bounds { mut bottom, top: mut last, mut limit } = stack.begin()?;
        let mut safe = until(top, end, last, limit);
        // SAFETY: the caller's promise; the words of each object of the copy are written before it is left, and those that
        // are pointers are on the stack, each once, or `p`. There is room for what is written: `end` and `limit` are looked at before.
        unsafe {
            let (mut p, mut w) = (root, *root);
            loop {
                if page.has_plain(w) && top < safe {
                    (p, w, top, last) = small::<TAG>((p, w, top, last), bottom, safe, page);
                    if p.is_null() {
                        break;
                    }
                    if top.is_null() {
                        return Err(Stop::Shared);
                    }
                }
                if w & word::FROZEN != 0 && self.keep(w) {
                    if last == bottom {
                        break;
                    }
                    (p, w) = pop(&mut last);
                    continue;
                }
                if !page.has(w) {
                    page.base = w & !(marks::PAGE as Word - 1);
                    page.line = marks.line(page.base as usize)?;
                }
                if !page.mark(w) {
                    return Err(Stop::Shared);
                }
                if top >= safe {
                    if last >= limit {
                        Bounds { bottom, top: last, limit } =
                            stack.make_room(Bounds { bottom, top: last, limit }, 0)?;
                    }
                    safe = until(top, end, last, limit);
                }
                let from = word::address(w);
                if w & word::LIST == 0 {
                    let header = *from;
                    let size = 1 + word::header_size(header);
                    if header & NO_TUPLE == 0 && size <= SMALL && top.wrapping_add(size) <= end {
                        let to = top;
                        top = to.add(size);
                        to.write(header);
                        p.write(word::pointer(to, word::BOXED | TAG));
                        for i in 1..size - 1 {
                            last = word_at(from.add(i), to.add(i), last);
                        }
                        p = top.sub(1);
                        w = *from.add(size - 1);
                        p.write(w);
                        if word::is_pointer(w) {
                            continue;
                        }
                    } else {
                        let (to, bump) = self.other(from, Bump { top, end, chunk })?;
                        (top, end, chunk) = (bump.top, bump.end, bump.chunk);
                        p.write(word::pointer(to, word::BOXED | TAG));
                        if !word::header_is_opaque(header) {
                            let bounds = Bounds { bottom, top: last, limit };
                            Bounds { bottom, top: last, limit } = stack.push_all(bounds, to.add(1), size - 1)?;
                        }
                        safe = until(top, end, last, limit);
                    }
                } else {
                    if top.wrapping_add(2) > end {
                        let bump = self.room(Bump { top, end, chunk })?;
                        (top, end, chunk) = (bump.top, bump.end, bump.chunk);
                        safe = until(top, end, last, limit);
                    }
                    p.write(word::pointer(top, word::LIST | TAG));
                    p = match (w & word::FROZEN != 0, flatten) {
                        (false, _) => spine::<TAG, { word::LIST }>(from, top, end, page),
                        (true, true) => spine::<TAG, { word::LIST | word::FROZEN }>(from, top, end, page),
                        (true, false) => spine::<TAG, 0>(from, top, end, page),
                    };
                    if p.is_null() {
                        return Err(Stop::Shared);
                    }
                    top = p.add(2);
                    // The head is next, so that of a long list nothing but its tail waits.
                    w = *p.add(1);
                    if word::is_pointer(w) {
                        last.write(p.add(1));
                        last = last.add(1);
                    }
                    w = *p;
                    if word::is_pointer(w) {
                        continue;
                    }
                }
                if last == bottom {
                    break;
                }
                (p, w) = pop(&mut last);
            }
        }
        self.dest.restore(Bump { top, end, chunk });
        Ok(())
    }

    /// Copies an object that is no small tuple, or one for which there may be no room.
    ///
    /// # Safety
    ///
    /// As for [`object`](Self::object).
    #[inline(never)]
    unsafe fn other(&mut self, from: *const Word, mut bump: Bump) -> Result<(*mut Word, Bump), HeapError> {
        // SAFETY: the caller's promise.
        let to = unsafe { self.object(from, &mut bump) }?;
        Ok((to, bump))
    }

    /// Makes room for a cell.
    #[cold]
    #[inline(never)]
    fn room(&mut self, bump: Bump) -> Result<Bump, HeapError> {
        bump.with_room(self.dest, 2)
    }
}

/// Where a copy stands: a word of it that is still a pointer of the source, that word, where the next object goes, and the
/// top of the stack.
type At = (*mut Word, Word, *mut Word, *mut *mut Word);

/// Goes on with a copy for as long as there are tuples of up to three elements and cells, no literals, on one page and with
/// room: by itself, so that all of its state is in registers. A list of immediates is left to [`spine`]. Where `p` is
/// null, nothing is left to be copied; where `top` is, an object was marked already.
///
/// # Safety
///
/// As for [`Copier::tree`]; `bottom` must be that of the stack, and `safe` and `page` as they say.
#[inline(never)]
unsafe fn small<const TAG: Word>(
    (mut p, mut w, mut top, mut last): At,
    bottom: *mut *mut Word,
    safe: *mut Word,
    page: Page,
) -> At {
    // SAFETY: the caller's promise: `w` points to an object of the source, and there is room for it.
    unsafe {
        while page.has_plain(w) && top < safe {
            let to = top;
            // Subtractions, which become part of the addresses.
            if w & word::LIST == 0 {
                let from: *const Word = ptr::with_exposed_provenance((w - word::BOXED) as usize);
                let header = *from;
                // Looked at before it is marked, as what is not copied here is marked elsewhere.
                if header & !(TUPLE_1 | TUPLE_2) != 0 {
                    break;
                }
                if !page.mark(w) {
                    return (p, w, ptr::null_mut(), last);
                }
                to.write(header);
                p.write(word::pointer(to, word::BOXED | TAG));
                // One by one, so that sizes and places are constants.
                (p, w, top, last) = match header {
                    TUPLE_3 => rest::<4>(from, to, last),
                    TUPLE_2 => rest::<3>(from, to, last),
                    _ => rest::<2>(from, to, last),
                };
            } else {
                let from: *const Word = ptr::with_exposed_provenance((w - word::LIST) as usize);
                let (head, tail) = (*from, *from.add(1));
                if !word::is_pointer(head) && word::is_list(tail) {
                    break;
                }
                if !page.mark(w) {
                    return (p, w, ptr::null_mut(), last);
                }
                p.write(word::pointer(to, word::LIST | TAG));
                to.write(head);
                last = word_at(from.add(1), to.add(1), last);
                top = to.add(2);
                // The head is next, so that of a long list nothing but its tail waits.
                (p, w) = (to, head);
            }
            if !word::is_pointer(w) {
                if last == bottom {
                    return (ptr::null_mut(), w, top, last);
                }
                (p, w) = pop(&mut last);
            }
        }
        (p, w, top, last)
    }
}

/// While `top` is before this, there is room for one of the [`SMALLEST`] objects, and on the stack for the words of a
/// [`SMALL`] one: what is copied pushes no more words than it has. Null when there is no such room now.
#[inline(always)]
fn until(top: *mut Word, end: *mut Word, last: *mut *mut Word, limit: *mut *mut Word) -> *mut Word {
    let room = (end.addr() - top.addr()) / size_of::<Word>();
    if room < SMALLEST || last >= limit {
        return ptr::null_mut();
    }
    let pushes = (limit.addr() - last.addr()) / size_of::<*mut Word>();
    top.wrapping_add((room - (SMALLEST - 1)).min(pushes))
}

/// Copies the words of a tuple of so many behind its header, and pushes those that are pointers; but the last is next, if it
/// is one: it need not wait.
///
/// # Safety
///
/// There must be room, and `from` such a tuple.
#[inline(always)]
unsafe fn rest<const SIZE: usize>(from: *const Word, to: *mut Word, last: *mut *mut Word) -> At {
    // SAFETY: the caller's promise.
    unsafe {
        let last = match SIZE {
            2 => last,
            3 => word_at(from.add(1), to.add(1), last),
            _ => word_at(from.add(2), to.add(2), word_at(from.add(1), to.add(1), last)),
        };
        let w = *from.add(SIZE - 1);
        to.add(SIZE - 1).write(w);
        (to.add(SIZE - 1), w, to.add(SIZE), last)
    }
}

/// Takes a word off the stack that ends at `last`, and what it holds.
///
/// # Safety
///
/// There must be one.
#[inline(always)]
unsafe fn pop(last: &mut *mut *mut Word) -> (*mut Word, Word) {
    // SAFETY: the caller's promise.
    unsafe {
        *last = last.sub(1);
        let p = **last;
        (p, *p)
    }
}

/// Copies one word, and pushes it if it is a pointer. `last` is the top of the stack, and so is what is returned.
///
/// # Safety
///
/// There must be room, and a word at `from`.
#[inline(always)]
unsafe fn word_at(from: *const Word, to: *mut Word, last: *mut *mut Word) -> *mut *mut Word {
    // SAFETY: the caller's promise.
    unsafe {
        let w = *from;
        to.write(w);
        if !word::is_pointer(w) {
            return last;
        }
        last.write(to);
        last.add(1)
    }
}

/// Bytes of a cell.
const CELL: Word = 2 * size_of::<Word>() as Word;

/// Copies the cell at `from` to the two words at `to`, and further cells behind it for as long as heads are no pointers
/// and tails are, with the tag `SRC`: a list of immediates to its end. Returns the last cell that was written, whose
/// words are those of the source; null when a cell was marked already.
///
/// # Safety
///
/// The cells must be of the source, the first marked; there must be room for two words at `to`, and `end` must be the
/// end of the room.
#[inline(never)]
unsafe fn spine<const TAG: Word, const SRC: Word>(
    mut from: *const Word,
    mut to: *mut Word,
    end: *mut Word,
    page: Page,
) -> *mut Word {
    // SAFETY: the caller's promise: a tail with the tag points to a cell.
    unsafe {
        // The word of the cell at `from`, where it is known.
        let mut cell = Word::MAX;
        loop {
            let (head, tail) = (*from, *from.add(1));
            to.write(head);
            let next = to.add(2);
            if word::is_pointer(head) || tail & word::TAG_BITS != SRC || !page.has(tail) || next.wrapping_add(2) > end {
                to.add(1).write(tail);
                return to;
            }
            if !page.mark(tail) {
                return ptr::null_mut();
            }
            to.add(1).write(word::pointer(next, word::LIST | TAG));
            // A subtraction, which becomes part of the address, where a mask would come before it.
            from = ptr::with_exposed_provenance((tail - SRC) as usize);
            to = next;
            let step = tail.wrapping_sub(std::mem::replace(&mut cell, tail));
            if step == CELL {
                (from, to) = row::<TAG, 1>(from, to, cell, end, page);
            } else if step == CELL.wrapping_neg() {
                (from, to) = row::<TAG, -1>(from, to, cell, end, page);
            } else {
                continue;
            }
            if to.is_null() {
                return to;
            }
            cell = Word::MAX;
        }
    }
}

/// Goes on with a list whose cells touch, each behind the one before or (`STEP` is -1) before it, as lists lie that were
/// made in one go. Where the next cell lies is known before the tail is read, and page and room are looked at once.
///
/// The cell at `from`, whose word is `w`, is marked and not copied yet, and so is the one that is returned, with the place
/// where it goes; that is null when a cell was marked already.
///
/// # Safety
///
/// As for [`spine`].
#[inline(always)]
unsafe fn row<const TAG: Word, const STEP: isize>(
    from: *const Word,
    to: *mut Word,
    w: Word,
    end: *mut Word,
    page: Page,
) -> (*const Word, *mut Word) {
    let offset = w - page.base;
    let ahead = if STEP == 1 { marks::PAGE as Word - 1 - offset } else { offset } / CELL;
    let room = (end.addr() - to.addr()) as Word / CELL - 1;
    let most = ahead.min(room) as isize;
    // SAFETY: the caller's promise. No more cells are gone to than lie on the page, nor than there is room for. Where a
    // tail points to is a cell; chunks begin with a header, so that cells that touch lie in the same one.
    unsafe {
        let mark = page.line.add(marks::index(offset as usize));
        let (mut next, mut tail) = (w, word::pointer(to, word::LIST | TAG));
        let mut i = 0;
        while i < most {
            let cell = from.offset(2 * STEP * i);
            next = next.wrapping_add((STEP as Word).wrapping_mul(CELL));
            let head = *cell;
            if *cell.add(1) != next || word::is_pointer(head) {
                break;
            }
            let mark = mark.offset(STEP * (i + 1));
            if *mark == page.mark {
                return (from, ptr::null_mut());
            }
            *mark = page.mark;
            tail += CELL;
            to.offset(2 * i).write(head);
            to.offset(2 * i + 1).write(tail);
            i += 1;
        }
        (from.offset(2 * STEP * i), to.offset(2 * i))
    }
}
