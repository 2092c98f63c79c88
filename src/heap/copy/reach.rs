//! Walking a term without copying it: each object once, whatever the paths to it.

use super::{Literals, with_tables};
use crate::heap::marks::Marks;
use crate::heap::pages::reserve;
use crate::heap::{HeapError, make_place, make_room};
use crate::term::word::{self, Object, Word};
use std::collections::HashMap;

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

/// How a walk goes on from an object.
enum Step {
    /// With what it holds.
    Enter,
    /// Past it.
    Pass,
    Stop,
}

/// Calls `visit` with the pointer to each object that `root` reaches, literals included, as it says.
///
/// # Safety
///
/// `root` must be the word of a term that is alive during the call.
unsafe fn walk(root: Word, mut visit: impl FnMut(Word) -> Step) -> Result<(), HeapError> {
    let mut go = |marks: &mut Marks| -> Result<(), HeapError> {
        // What is left of an object: its next word, and how many there are. No longer than the term is deep.
        let mut work: Vec<(*const Word, usize)> = Vec::new();
        let (mut p, mut left) = (&raw const root, 1);
        loop {
            if left == 0 {
                let Some(rest) = work.pop() else { return Ok(()) };
                (p, left) = rest;
            }
            // SAFETY: the root, or a word of a living object.
            let w = unsafe { *p };
            (p, left) = (p.wrapping_add(1), left - 1);
            if !word::is_pointer(w) || marks.insert(word::address(w).addr())? {
                continue;
            }
            match visit(w) {
                Step::Enter => {}
                Step::Pass => continue,
                Step::Stop => return Ok(()),
            }
            if left > 0 {
                reserve(&mut work, 1)?;
                work.push((p, left));
            }
            // SAFETY: a living object.
            (p, left) = unsafe { children(w) };
        }
    };
    with_tables(|tables| go(&mut tables.marks))
}

/// The words of a pointer's object.
///
/// # Safety
///
/// `w` must be a pointer word of a living term.
unsafe fn words_of(w: Word) -> usize {
    // SAFETY: a cell, or a header and what it says.
    if word::is_list(w) { 2 } else { 1 + word::header_size(unsafe { *word::address(w) }) }
}

/// Does the term reach `n` distinct objects? O(n), and no more than O(words that it reaches).
///
/// # Safety
///
/// `root` must be the word of a term that is alive during the call.
pub(crate) unsafe fn reaches(root: Word, n: usize) -> Result<bool, HeapError> {
    let mut objects = 0;
    // SAFETY: the caller's promise.
    unsafe {
        walk(root, |_| {
            objects += 1;
            if objects == n { Step::Stop } else { Step::Enter }
        })?;
    }
    Ok(objects == n)
}

/// The distinct words that a term reaches, those of literals included.
///
/// # Safety
///
/// `root` must be the word of a term that is alive during the call.
pub(crate) unsafe fn size_words(root: Word) -> Result<usize, HeapError> {
    let mut words = 0;
    // SAFETY: the caller's promise.
    unsafe {
        walk(root, |w| {
            words += words_of(w);
            Step::Enter
        })?;
    }
    Ok(words)
}

/// The words that a copy of the term takes, and how many the term reaches at least: those, and twice the pairs of the
/// largest of its maps that it leads to without a literal between. O(words of the copy).
///
/// # Safety
///
/// As for [`copy`](super::copy).
#[cfg_attr(not(feature = "persistent"), allow(dead_code, reason = "without that floor nobody makes a literal"))]
pub(crate) unsafe fn words_to_copy(root: Word, literals: Literals) -> Result<(usize, usize), HeapError> {
    let (mut words, mut pairs) = (0, 0);
    // SAFETY: the caller's promise; of a large map, the word behind its header is the number of its pairs.
    unsafe {
        walk(root, |w| {
            let p = word::address(w);
            if word::is_boxed(w) && word::header_kind(*p) == Object::Hamt {
                pairs = pairs.max(word::small_value(*p.add(1)) as usize);
            }
            if word::is_literal(w) && literals.keeps(w) {
                return Step::Pass;
            }
            words += words_of(w);
            Step::Enter
        })?;
    }
    Ok((words, words.max(2 * pairs)))
}

/// An object whose words are being added up: those still to come, and the sum of those before.
struct Pending {
    object: usize,
    next: *const Word,
    left: usize,
    sum: usize,
}

/// Objects visited before what they came to is remembered.
const PATIENCE: usize = 4096;

/// The words that a term reaches, those of a part once for each path to it; at most `usize::MAX`.
///
/// Unwinds when there is no memory to work with.
///
/// # Safety
///
/// `root` must be the word of a term that is alive during the call.
pub(crate) unsafe fn flat_size_words(root: Word) -> usize {
    let mut stack: Vec<Pending> = Vec::new();
    let mut known = HashMap::new();
    let (mut current, mut visited) = (root, 0);
    loop {
        let mut done = 0;
        if word::is_pointer(current) {
            let object = word::address(current).addr();
            if let Some(&sum) = known.get(&object) {
                done = sum;
            } else {
                visited += 1;
                // SAFETY: an object that the root reaches.
                let (sum, (next, left)) = unsafe { (words_of(current), children(current)) };
                if left > 0 {
                    // SAFETY: its first word.
                    current = unsafe { *next };
                    make_room(&mut stack, 1);
                    stack.push(Pending { object, next, left, sum });
                    continue;
                }
                done = sum;
            }
        }
        loop {
            let Some(top) = stack.last_mut() else { return done };
            top.sum = top.sum.saturating_add(done);
            top.left -= 1;
            if top.left > 0 {
                top.next = top.next.wrapping_add(1);
                // SAFETY: there are further words in the object.
                current = unsafe { *top.next };
                break;
            }
            done = top.sum;
            if visited > PATIENCE {
                // Forgotten, it would be added up again, for each path to it.
                make_place(&mut known);
                known.insert(top.object, done);
            }
            stack.pop();
        }
    }
}
