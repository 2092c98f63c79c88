//! Structural hash: equal for equal terms, whatever heap, region or literal area they lie in.
//!
//! The hash of an object is a function of the hashes of its parts, so that on a term with much sharing the hash of a
//! shared part can be remembered (invariant 11), and nothing recurses on depth (invariant 5). Remembering begins once
//! more objects were visited than the term has; that is tested each time their number has doubled.
//!
//! There is no secret key in it. The same program gives the same maps in the same order in each run, so that what a
//! deterministic runtime has found can be run again, and equal maps are equal node by node in whatever heap they
//! lie. Who chooses keys can choose some that hash alike; then a map is as dear as its collision nodes are, which are sorted:
//! a lookup still takes O(log n) comparisons, building from pairs O(n log n), and an insertion copies the pairs of one
//! hash, O(n) words. `max_heap_words` bounds what a turn can be made to pay.

use super::number::Number;
use super::view::{Kind, TermRef};
use super::word::{self, Object, Word};
use crate::heap::{make_place, make_room, unwind};
use std::collections::HashMap;

/// Objects visited before it is asked whether that is too many.
const PATIENCE: usize = 4096;

const LIST: u64 = 0x9e37_79b9_7f4a_7c15;
const TUPLE: u64 = 0xbf58_476d_1ce4_e5b9;
const MAP: u64 = 0x94d0_49bb_1331_11eb;
const BINARY: u64 = 0xd6e8_feb8_6659_fd93;
const PID: u64 = 0xe703_7ed1_a0b4_28db;
const NUMBER: u64 = 0xa076_1d64_78bd_642f;

/// Folded multiplication: every bit of the result depends on every bit of both. Both go in once more, so that the one
/// word that makes the product zero does not make whatever stood before it hash alike.
#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(b ^ 0x8bb8_4b93_962e_acc9);
    (product >> 64) as u64 ^ product as u64 ^ a ^ b.rotate_left(32)
}

/// The hash of an immediate.
#[inline(always)]
pub(crate) fn hash_word(w: Word) -> u64 {
    mix(w, NUMBER)
}

pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return hash_word(word::EMPTY_BINARY);
    }
    let mut h = BINARY ^ bytes.len() as u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for &chunk in chunks {
        h = mix(h, u64::from_le_bytes(chunk));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(h, u64::from_le_bytes(last))
}

pub(crate) fn hash_big(negative: bool, limbs: &[u64]) -> u64 {
    limbs.iter().fold(mix(NUMBER, u64::from(negative)), |h, &limb| mix(h, limb))
}

/// The hash of a tuple, from those of its elements; that of an immediate there is its word.
#[inline]
pub(crate) fn hash_tuple(elements: impl ExactSizeIterator<Item = u64>) -> u64 {
    let seed = TUPLE ^ elements.len() as u64;
    elements.fold(seed, mix)
}

/// An object that is being hashed: the words still to come, and the hash of those before.
struct Pending {
    object: usize,
    next: *const Word,
    left: usize,
    hash: u64,
}

/// The structural hash of a term.
///
/// # Safety
///
/// `w` must be the word of a term that is alive during the call.
#[inline]
pub(crate) unsafe fn hash(w: Word) -> u64 {
    if word::is_immediate(w) {
        return hash_word(w);
    }
    // SAFETY: the caller's promise.
    unsafe {
        match few(w) {
            Some(Few::Two(a, b)) => hash_pair(a, b),
            Some(Few::Three(a, b, c)) => hash_triple(a, b, c),
            None => hash_other(w),
        }
    }
}

/// As [`hash`], of a pointer that leads to no [`Few`].
///
/// # Safety
///
/// As for [`hash`].
#[inline]
pub(crate) unsafe fn hash_other(w: Word) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { flat(w).unwrap_or_else(|| deep(w)) }
}

/// The header of a tuple of two.
pub(crate) const PAIR: Word = word::header(Object::Tuple, 0, 2);
/// The header of a tuple of three.
pub(crate) const TRIPLE: Word = word::header(Object::Tuple, 0, 3);

/// A tuple of few immediates, which is what most keys are.
#[derive(Clone, Copy)]
pub(crate) enum Few {
    Two(Word, Word),
    Three(Word, Word, Word),
}

/// The immediates that `w` is a tuple of, if it is one of two or three.
///
/// # Safety
///
/// As for [`hash`]; `w` must be a pointer.
#[inline(always)]
pub(crate) unsafe fn few(w: Word) -> Option<Few> {
    if word::is_list(w) {
        return None;
    }
    // SAFETY: a boxed word points to a header, and as many words behind it as that says.
    unsafe {
        let p = word::address(w);
        match *p {
            PAIR => {
                let (a, b) = (*p.add(1), *p.add(2));
                (word::is_immediate(a) & word::is_immediate(b)).then_some(Few::Two(a, b))
            }
            TRIPLE => {
                let (a, b, c) = (*p.add(1), *p.add(2), *p.add(3));
                let immediates = word::is_immediate(a) & word::is_immediate(b) & word::is_immediate(c);
                immediates.then_some(Few::Three(a, b, c))
            }
            _ => None,
        }
    }
}

/// The hash of a pair of immediates.
#[inline(always)]
pub(crate) fn hash_pair(a: Word, b: Word) -> u64 {
    mix(mix(TUPLE ^ 2, a), b)
}

/// The hash of a triple of immediates.
#[inline(always)]
pub(crate) fn hash_triple(a: Word, b: Word, c: Word) -> u64 {
    mix(mix(mix(TUPLE ^ 3, a), b), c)
}

/// Tuples longer than this are left to [`deep`].
const FLAT: usize = 8;

/// The hash of a short tuple of immediates: no list of what is still to come.
///
/// # Safety
///
/// As for [`hash`]; `w` must be a pointer.
#[inline]
unsafe fn flat(w: Word) -> Option<u64> {
    if word::is_list(w) {
        return None;
    }
    // SAFETY: a boxed word points to a header, and as many words behind it as that says.
    unsafe {
        let p = word::address(w);
        let n = word::header_size(*p);
        if *p != word::header(Object::Tuple, 0, n) || n > FLAT {
            return None;
        }
        let mut hash = TUPLE ^ n as u64;
        for i in 1..=n {
            let element = *p.add(i);
            if !word::is_immediate(element) {
                return None;
            }
            hash = mix(hash, element);
        }
        Some(hash)
    }
}

/// The hash of any term.
///
/// # Safety
///
/// As for [`hash`].
#[inline(never)]
unsafe fn deep(w: Word) -> u64 {
    let mut stack: Vec<Pending> = Vec::new();
    let mut patience = PATIENCE;
    let mut visited = 0;
    let mut known: Option<HashMap<usize, u64>> = None;
    let mut current = w;
    loop {
        // SAFETY: the root is alive by the caller's promise, and with it everything it reaches.
        let mut done = match unsafe { leaf(current) } {
            Ok(h) => h,
            Err(object) => match known.as_ref().and_then(|known| known.get(&object.object)) {
                Some(&h) => h,
                None if object.left == 0 => object.hash,
                None => {
                    // SAFETY: `left > 0` words of a living object.
                    current = unsafe { *object.next };
                    make_room(&mut stack, 1);
                    stack.push(object);
                    visited += 1;
                    if visited == patience {
                        // SAFETY: the caller's promise: the root is alive.
                        if unsafe { crate::heap::copy::reaches(w, visited) }.unwrap_or_else(|error| unwind(error)) {
                            patience *= 2;
                        } else {
                            known = Some(HashMap::new());
                        }
                    }
                    continue;
                }
            },
        };
        // Hand the finished hash to the objects that wait for it.
        loop {
            let Some(top) = stack.last_mut() else { return done };
            top.hash = mix(top.hash, done);
            top.left -= 1;
            if top.left > 0 {
                // SAFETY: there are further words in the object.
                unsafe {
                    top.next = top.next.add(1);
                    current = *top.next;
                }
                break;
            }
            done = top.hash;
            if let Some(known) = &mut known {
                make_place(known);
                known.insert(top.object, done);
            }
            stack.pop();
        }
    }
}

/// What a term without parts gives to the hash of what it is a part of, or the parts of one with them. An immediate gives
/// its word: to hash it by itself, and then again with the rest, would only take time.
///
/// # Safety
///
/// As for [`hash`].
unsafe fn leaf(w: Word) -> Result<u64, Pending> {
    if word::is_immediate(w) {
        return Ok(w);
    }
    let object = word::address(w).addr();
    if word::is_list(w) {
        return Err(Pending { object, next: word::address(w), left: 2, hash: LIST });
    }
    // SAFETY: a boxed word points to a header.
    let header = unsafe { *word::address(w) };
    if !word::header_is_opaque(header) {
        // Of a map all words count, those of its nodes too: equal maps are of one form. (A flat one has its keys in a tuple of
        // their own, which is a part like others.)
        let seed = match word::header_kind(header) {
            Object::Tuple => TUPLE,
            _ => MAP,
        };
        let left = word::header_size(header);
        // SAFETY: the words follow the header.
        return Err(Pending { object, next: unsafe { word::address(w).add(1) }, left, hash: seed ^ left as u64 });
    }
    // SAFETY: the caller's promise.
    let term: TermRef<'_> = unsafe { TermRef::from_word(w) };
    match term.kind() {
        // SAFETY: a living number.
        Kind::Int | Kind::Float => Ok(match unsafe { Number::of(w) } {
            Number::Big { negative, limbs } => hash_big(negative, limbs),
            Number::Float(f) => mix(f.to_bits(), LIST),
            Number::Small(i) => hash_word(i as u64),
        }),
        Kind::Binary => Ok(hash_bytes(term.as_bytes().unwrap_or_default())),
        // SAFETY: three words follow the header.
        Kind::RemotePid => Ok((1..=3).fold(PID, |h, i| mix(h, unsafe { *word::address(w).add(i) }))),
        _ => Ok(hash_word(term.as_resource().map_or(0, super::Resource::address) as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_makes_what_stood_before_it_hash_alike() {
        let end = 0x8bb8_4b93_962e_acc9_u64.to_le_bytes();
        let mut hashes: Vec<_> = (0..1000_u64).map(|i| hash_bytes(&[i.to_le_bytes(), end].concat())).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 1000);
    }
}
