//! Collections between turns: minor, major, and evacuation from retired literal areas, which is a major one.
//!
//! Nothing borrows from a heap between turns, so here forwarding pointers may be written into the from-space: over the
//! header of a boxed object, and into the tail of a list cell whose head becomes zero. Areas are never written: see
//! `evacuation.rs`.
//!
//! A major collection moves everything that lives into a new old generation. A minor one moves what was made since the
//! last collection into a new young generation, and what has lived through one already, or was adopted, into the old one
//! behind what is there, which it neither moves nor looks at.

use super::HeapError;
use super::binary;
use super::copy::copy_words;
use super::evacuation::Evacuation;
use super::generations::{self, Ranges};
use super::literal;
use super::off_heap::{self, Panicked};
use super::raw::{Bump, RawHeap, Scan};
use crate::term::word::{self, Word};
use std::ptr;

/// What a collection did.
///
/// ```
/// use shared_term::heap::OwnedHeap;
/// let mut heap = OwnedHeap::new(|h| h.list(0..100));
/// heap.turn(|_, list| (list.list().nth(98).unwrap(), ())); // an integer: all cells are garbage now
/// heap.turn(|h, n| (h.list([n]), ()));
/// let stats = heap.collect_major()?;
/// assert_eq!((stats.before_words, stats.after_words, stats.moved_words), (202, 2, 2));
/// # Ok::<(), shared_term::HeapError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CollectStats {
    /// Words in use before it.
    pub before_words: usize,
    /// Words in use after it: all that live, and after a minor collection also what has died in the old generation.
    pub after_words: usize,
    /// Words that it moved.
    pub moved_words: usize,
    /// Words copied out of retired literal areas; part of `moved_words`.
    pub evacuated_words: usize,
}

/// Is `w` a literal of an area that is retired, given the bits of those that are?
///
/// # Safety
///
/// The areas that `w` may point into must live.
#[inline]
pub(crate) unsafe fn in_retired(w: Word, retired: u64) -> bool {
    if !word::is_literal(w) {
        return false;
    }
    let entry = literal::entry(w);
    // SAFETY: the caller's promise.
    entry.bit() & retired != 0 && unsafe { entry.area().as_ref() }.is_retired()
}

/// What the words of a heap point into.
#[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process is asked"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Literals {
    /// One, at least, into a retired area.
    Retired,
    /// Into areas with these bits, none of which is retired.
    Of(u64),
}

/// Does any word of the heap, garbage included, point into a retired area? Read only: bits of a filter can be those of
/// other areas, or of areas that the heap has let go of, and no heap is collected for a coincidence (H17).
#[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only a process is asked"))]
pub(crate) fn literals_of(heap: &RawHeap, root: Word, retired: u64) -> Literals {
    if heap.filter & retired == 0 {
        return Literals::Of(heap.filter);
    }
    let mut bits = 0;
    let mut is_retired = |w: Word| {
        let entry = literal::entry(w);
        bits |= entry.bit();
        // SAFETY: the areas that a heap points into live (invariant 4).
        entry.bit() & retired != 0 && unsafe { entry.area().as_ref() }.is_retired()
    };
    let found = word::is_literal(root) && is_retired(root)
        // SAFETY: the objects of a heap between turns are complete.
        || heap.all().any(|run| unsafe { run.any_literal(&mut is_retired) });
    if found { Literals::Retired } else { Literals::Of(bits) }
}

/// A minor collection: moves what `root` reaches in the young generation, and frees the rest of that. What was made since
/// the last collection stays young, all else goes to the old generation.
///
/// On an error the heap is empty, and the root nil: part of it had been moved.
///
/// # Safety
///
/// No term of the heap but the root may be used afterwards; the areas that the heap points into must live.
pub(crate) unsafe fn collect_minor(heap: &mut RawHeap, root: &mut Word) -> Result<CollectStats, HeapError> {
    let (before_words, old_words) = (heap.used(), heap.old_words());
    let alone = old_words == 0 && heap.only_eden();
    let eden = Ranges::new(heap.eden());
    let tenured = Ranges::new(heap.old_runs());
    let mut old = generations::take(heap);
    let mut to = RawHeap::new(usize::MAX);
    let moved = match (&mut old, &eden, &tenured) {
        // SAFETY: the caller's promise. Off-heap payloads move bit for bit with their objects; until the sweep the list
        // of the from-space is the truth about who owns them (invariant 8), so an error drops each of them once.
        (Ok(_), _, _) if alone => unsafe { Collector::new(&mut to, None).collect(*root, &Everything) },
        (Ok(old), Ok(eden), Ok(tenured)) => {
            let scan = old.space.scan();
            let moves = FromEden { eden, tenured };
            // SAFETY: as above; what goes to the old generation reaches nothing in eden.
            unsafe {
                Collector::new(&mut to, Some(&mut old.space)).collect(*root, &moves).and_then(|root| {
                    Collector::new(&mut old.space, None).run(scan, &FromYoung { tenured })?;
                    Ok(root)
                })
            }
        }
        (&mut Err(error), _, _) | (_, &Err(error), _) | (_, _, &Err(error)) => Err(error),
    };
    let (root_word, mut old) = match (moved, old) {
        (Ok(word), Ok(old)) => (word, old),
        (Err(error), old) => {
            heap.old = old.ok();
            // While `to` lives: the headers of what was moved are there.
            return Err(fail(heap, root, error));
        }
        (_, Err(error)) => return Err(fail(heap, root, error)),
    };
    let stayed = |p| alone || eden.as_ref().is_ok_and(|eden| eden.contains(p));
    // SAFETY: everything that lives has been moved, from eden to `to`, from elsewhere to the old generation.
    unsafe { off_heap::sweep(&mut heap.off_heap, stayed, &mut to.off_heap, &mut old.space.off_heap) };
    let moved_words = to.young_words() + old.space.young_words() - old_words;
    old.collected_minor(&to, moved_words);
    to.filter |= old.space.filter;
    to.received = heap.received;
    to.old = Some(old);
    to.set_limit(heap.limit);
    *root = root_word;
    let stats = CollectStats { before_words, after_words: to.used(), moved_words, evacuated_words: 0 };
    // Last, because it runs destructors of users, and these may panic.
    drop(std::mem::replace(heap, to));
    Ok(stats)
}

/// What becomes of slices that keep a large binary alive of which little is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Parents {
    #[default]
    CopyOut,
    Keep,
}

/// A major collection: moves what `root` reaches into a new old generation, and frees everything else. `retired` has the
/// bits of areas to evacuate: what is reached in a retired area among them is copied like data. The filter is exact
/// afterwards.
///
/// On an error the heap is empty, and the root nil: part of it had been moved.
///
/// # Safety
///
/// As for [`collect_minor`].
pub(crate) unsafe fn collect_major(
    heap: &mut RawHeap,
    root: &mut Word,
    retired: u64,
    parents: Parents,
) -> Result<CollectStats, HeapError> {
    // SAFETY: the caller's promise.
    unsafe { collect_major_to(RawHeap::new(usize::MAX), heap, root, retired, parents) }
}

/// As [`collect_major`], to an empty heap that may have room already.
///
/// # Safety
///
/// As for [`collect_minor`].
pub(super) unsafe fn collect_major_to(
    mut to: RawHeap,
    heap: &mut RawHeap,
    root: &mut Word,
    retired: u64,
    parents: Parents,
) -> Result<CollectStats, HeapError> {
    let before_words = heap.used();
    let mut old = match generations::take(heap) {
        Ok(old) => old,
        Err(error) => return Err(fail(heap, root, error)),
    };
    let mut collector = Collector { evacuation: Evacuation::of(retired), ..Collector::new(&mut to, None) };
    // SAFETY: as in `collect_minor`.
    let moved = unsafe { collector.collect(*root, &Everything) };
    let evacuated_words = collector.evacuation.words;
    drop(collector);
    let root_word = match moved {
        Ok(word) => word,
        Err(error) => {
            heap.old = Some(old);
            // While `to` lives: the headers of what was moved are there.
            return Err(fail(heap, root, error));
        }
    };
    let mut none = ptr::null_mut();
    // SAFETY: everything that lives has been moved to `to`.
    unsafe {
        off_heap::sweep(&mut heap.off_heap, |_| true, &mut to.off_heap, &mut none);
        off_heap::sweep(&mut old.space.off_heap, |_| true, &mut to.off_heap, &mut none);
    }
    let mut panicked = match parents {
        Parents::Keep => Panicked::default(),
        // SAFETY: what is on the list lives, and between turns nobody borrows from it.
        Parents::CopyOut => unsafe { binary::copy_out(to.off_heap) },
    };
    let moved_words = to.young_words();
    let mut young = RawHeap::new(heap.limit);
    young.filter = to.filter;
    young.received = binary::pinned(&[to.off_heap]);
    old.pinned = young.received;
    let dead_old = old.collected_major(to);
    young.old = Some(old);
    *root = root_word;
    // Last, because it runs destructors of users, and these may panic.
    let dead = (std::mem::replace(heap, young), dead_old);
    panicked.during(|| drop(dead));
    panicked.pass_on();
    Ok(CollectStats { before_words, after_words: moved_words, moved_words, evacuated_words })
}

/// Moves what `root` reaches in `from` to the heap `to`, behind what is there, and frees the rest of `from`. What it reaches
/// elsewhere stays where it is.
///
/// On an error `to` is as it was.
///
/// # Safety
///
/// No term of `from` but the root may be used afterwards. It may point into `to`, and the other way round not.
pub(super) unsafe fn move_out(mut from: RawHeap, root: Word, to: &mut RawHeap) -> Result<Word, HeapError> {
    let mark = to.mark();
    let moved = if word::is_literal(root) {
        Ok(root) // which is stored nowhere by that, and so not noted (R3): `to` is as it was
    } else {
        Ranges::new(from.all()).and_then(|ranges| {
            // SAFETY: the caller's promise; off-heap payloads as in `collect_minor`.
            unsafe { Collector::new(to, None).collect(root, &Within(&ranges)) }
        })
    };
    if let Ok(root) = moved {
        // SAFETY: what lives has been moved to `to`.
        unsafe { off_heap::sweep(&mut from.off_heap, |_| true, &mut to.off_heap, &mut ptr::null_mut()) };
        to.receive(from.received);
        return Ok(root);
    }
    // First, while what was moved has its headers where the old ones point to. A destructor that panics keeps nothing of
    // what was moved in `to`: its literals are in no filter yet (invariant 4).
    let mut panicked = release(&mut from);
    panicked.during(|| drop(from));
    // SAFETY: nobody knows what was moved.
    unsafe { to.roll_back(&mark) };
    panicked.pass_on();
    moved
}

/// What was moved cannot be told from what was not: the heap is given up.
#[cold]
fn fail(heap: &mut RawHeap, root: &mut Word, error: HeapError) -> HeapError {
    *root = word::NIL;
    let mut panicked = release(heap);
    panicked.during(|| heap.clear());
    panicked.pass_on();
    error
}

/// Drops the off-heap objects of a heap of which something was moved: now, as their headers may lie in chunks that are not
/// its own. With the heap they could have to [wait](super::ending), and would outlive those.
#[cold]
fn release(heap: &mut RawHeap) -> Panicked {
    // SAFETY: the heap is given up, and nobody reads its objects.
    unsafe {
        let mut panicked = off_heap::drop_until(&mut heap.off_heap, ptr::null_mut());
        if let Some(old) = &mut heap.old {
            panicked.join(off_heap::drop_until(&mut old.space.off_heap, ptr::null_mut()));
        }
        panicked
    }
}

/// Where an object goes that is no literal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    /// To the space that is being scanned.
    Here,
    /// To the other space.
    There,
    /// It stays where it is.
    Stay,
}

/// What a collection moves where.
trait Moves {
    fn of(&self, p: *mut Word) -> Move;
}

/// All there is.
struct Everything;

impl Moves for Everything {
    #[inline(always)]
    fn of(&self, _: *mut Word) -> Move {
        Move::Here
    }
}

/// What was made since the last collection; what is older, but not old yet, goes to the old generation.
struct FromEden<'a> {
    eden: &'a Ranges,
    tenured: &'a Ranges,
}

impl Moves for FromEden<'_> {
    #[inline(always)]
    fn of(&self, p: *mut Word) -> Move {
        if self.eden.contains(p) {
            Move::Here
        } else if self.tenured.contains(p) {
            Move::Stay
        } else {
            Move::There
        }
    }
}

/// Everything but the old generation.
struct FromYoung<'a> {
    tenured: &'a Ranges,
}

impl Moves for FromYoung<'_> {
    #[inline(always)]
    fn of(&self, p: *mut Word) -> Move {
        if self.tenured.contains(p) { Move::Stay } else { Move::Here }
    }
}

/// What lies in these runs; all else stays.
struct Within<'a>(&'a Ranges);

impl Moves for Within<'_> {
    #[inline(always)]
    fn of(&self, p: *mut Word) -> Move {
        if self.0.contains(p) { Move::Here } else { Move::Stay }
    }
}

struct Collector<'a> {
    /// Where things move, and are scanned.
    to: &'a mut RawHeap,
    /// Where other things move, and are scanned later.
    other: Option<&'a mut RawHeap>,
    evacuation: Evacuation,
}

impl<'a> Collector<'a> {
    fn new(to: &'a mut RawHeap, other: Option<&'a mut RawHeap>) -> Self {
        Self { to, other, evacuation: Evacuation::none() }
    }

    /// Moves what `root` reaches; where that is now. On an error the to-space's own top is old.
    ///
    /// # Safety
    ///
    /// As for [`collect_minor`], with a `moves` that tells the spaces of the heap apart.
    unsafe fn collect(&mut self, root: Word, moves: &impl Moves) -> Result<Word, HeapError> {
        let (scan, mut bump) = (self.to.scan(), self.to.lend());
        // SAFETY: the root is the only term, of a living object.
        let root = unsafe {
            if word::is_literal(root) {
                let moved;
                (moved, bump) = self.evacuation.literal(self.to, root, bump)?;
                moved
            } else if word::is_pointer(root) {
                match moves.of(word::address(root)) {
                    Move::Here if word::is_list(root) => cell(self.to, root, &mut bump)?,
                    Move::Here => boxed(self.to, root, &mut bump)?,
                    Move::There => self.there(root)?,
                    Move::Stay => root,
                }
            } else {
                root
            }
        };
        self.to.restore(bump);
        // SAFETY: the caller's promise.
        unsafe { self.run(scan, moves) }?;
        Ok(root)
    }

    /// Moves what the words from `scan` on reach.
    ///
    /// # Safety
    ///
    /// As for [`collect`](Self::collect); the scan must be of the to-space.
    #[inline(never)]
    unsafe fn run(&mut self, mut scan: Scan, moves: &impl Moves) -> Result<(), HeapError> {
        let mut bump = self.to.lend();
        // SAFETY: objects of the to-space are complete when they are allocated; each of their words is relocated once.
        unsafe {
            while let Some(p) = scan.next(self.to, &bump) {
                let w = *p;
                if word::is_literal(w) {
                    if self.evacuation.is_list_around(w) && scan.can_run_ahead(&bump) {
                        let (at, after) = self.evacuation.spine(self.to, bump, p)?;
                        scan.ran_ahead(&bump, at, &after);
                        bump = after;
                    } else {
                        (*p, bump) = self.evacuation.literal(self.to, w, bump)?;
                    }
                    continue;
                }
                match moves.of(word::address(w)) {
                    Move::Here => {}
                    Move::There => {
                        *p = self.there(w)?;
                        continue;
                    }
                    Move::Stay => continue,
                }
                if !word::is_list(w) {
                    *p = boxed(self.to, w, &mut bump)?;
                } else if scan.can_run_ahead(&bump) {
                    let (at, after) = spine(self.to, bump, p, moves)?;
                    scan.ran_ahead(&bump, at, &after);
                    bump = after;
                } else {
                    *p = cell(self.to, w, &mut bump)?;
                }
            }
        }
        self.to.restore(bump);
        Ok(())
    }

    /// Where an object is now that goes to the other space.
    ///
    /// # Safety
    ///
    /// `w` must be a pointer to an object of the from-space, moved or not.
    #[inline(never)]
    unsafe fn there(&mut self, w: Word) -> Result<Word, HeapError> {
        let Some(other) = &mut self.other else { unreachable!("everything moves to one space") };
        let mut bump = other.lend();
        // SAFETY: the caller's promise.
        let moved = unsafe { if word::is_list(w) { cell(other, w, &mut bump) } else { boxed(other, w, &mut bump) } }?;
        other.restore(bump);
        Ok(moved)
    }
}

/// Where a cell is now.
///
/// # Safety
///
/// `w` must be a pointer to a cell of the from-space, moved or not.
#[inline(always)]
unsafe fn cell(to_space: &mut RawHeap, w: Word, bump: &mut Bump) -> Result<Word, HeapError> {
    let from = word::address(w);
    // SAFETY: a cell of the from-space, or what was left when it moved.
    unsafe {
        let (head, tail) = (*from, *from.add(1));
        if head == 0 {
            return Ok(tail);
        }
        let to = bump.alloc(to_space, 2)?;
        to.write(head);
        to.add(1).write(tail);
        let copy = word::pointer(to, word::LIST);
        *from = 0;
        *from.add(1) = copy;
        Ok(copy)
    }
}

/// Where an object with a header is now.
///
/// # Safety
///
/// `w` must be a pointer to such an object of the from-space, moved or not.
#[inline(always)]
unsafe fn boxed(to_space: &mut RawHeap, w: Word, bump: &mut Bump) -> Result<Word, HeapError> {
    let from = word::address(w);
    // SAFETY: an object of the from-space, or what was left when it moved.
    unsafe {
        let header = *from;
        if !word::is_header(header) {
            return Ok(header);
        }
        let size = 1 + word::header_size(header);
        let to = bump.alloc(to_space, size)?;
        copy_words(from, to, size);
        let copy = word::pointer(to, word::BOXED);
        *from = copy;
        Ok(copy)
    }
}

/// Moves a list of cells one behind the other, each with what its head leads to if nothing in that is to be moved: a list of
/// numbers, floats, small binaries or tuples of those to its end, without looking again at what was moved. Returns from
/// where on there is something to be scanned.
///
/// # Safety
///
/// `p` must be a word of the to-space, and its contents a pointer to a cell of the from-space that moves here, or has.
#[inline(never)]
unsafe fn spine(
    heap: &mut RawHeap,
    mut bump: Bump,
    mut p: *mut Word,
    moves: &impl Moves,
) -> Result<(*mut Word, Bump), HeapError> {
    // SAFETY: the caller's promise.
    let mut w = unsafe { *p };
    loop {
        let from = word::address(w);
        // SAFETY: a cell of the from-space by the caller's promise or the test below; two words of the to-space; and
        // the word that is to lead there.
        unsafe {
            let (head, tail) = (*from, *from.add(1));
            if head == 0 {
                p.write(tail);
                return Ok((bump.top, bump));
            }
            let to = bump.alloc(heap, 2)?;
            let copy = word::pointer(to, word::LIST);
            *from = 0;
            *from.add(1) = copy;
            p.write(copy);
            to.write(head);
            p = to.add(1);
            p.write(tail);
            if word::is_pointer(head) {
                if !word::is_boxed(head) || word::is_literal(head) || moves.of(word::address(head)) != Move::Here {
                    return Ok((to, bump));
                }
                match flat(head, &mut bump) {
                    Flat::Moved(copy) => to.write(copy),
                    Flat::Not(copy) => {
                        to.write(copy);
                        return Ok((p, bump));
                    }
                    Flat::Large => return Ok((to, bump)),
                }
            }
            if !word::is_list(tail) || word::is_literal(tail) || moves.of(word::address(tail)) != Move::Here {
                return Ok((p, bump));
            }
            w = tail;
        }
    }
}

/// What became of an object at the head of a cell.
enum Flat {
    /// It is here now, and nothing in it is to be scanned.
    Moved(Word),
    /// It is here now, and to be scanned.
    Not(Word),
    /// It is where it was: too large to be looked at on the way, or for the chunk.
    Large,
}

/// Moves an object with a header, and looks at its words on the way.
///
/// # Safety
///
/// `w` must be a pointer to such an object of the from-space, moved or not.
#[inline(always)]
unsafe fn flat(w: Word, bump: &mut Bump) -> Flat {
    /// Words of the largest object that is looked at.
    const LARGE: usize = 8;
    let from = word::address(w);
    // SAFETY: an object of the from-space, or what was left when it moved; it has room in the to-space.
    unsafe {
        let header = *from;
        if !word::is_header(header) {
            return Flat::Moved(header);
        }
        let size = 1 + word::header_size(header);
        if size > LARGE || !bump.has_room(size) {
            return Flat::Large;
        }
        let to = bump.top;
        bump.top = to.add(size);
        let copy = word::pointer(to, word::BOXED);
        *from = copy;
        to.write(header);
        let mut pointers = false;
        for i in 1..size {
            let w = *from.add(i);
            to.add(i).write(w);
            pointers |= word::is_pointer(w);
        }
        if pointers && !word::header_is_opaque(header) { Flat::Not(copy) } else { Flat::Moved(copy) }
    }
}
