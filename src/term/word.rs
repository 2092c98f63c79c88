//! The tagged 64-bit word, and the headers of objects.
//!
//! ```text
//! bits 0-1   00 header     01 list cell     10 boxed object     11 immediate
//! bit  2     of a pointer: the object is a literal (the frozen bit)
//! ```
//!
//! | low byte of an immediate | kind | payload |
//! |---|---|---|
//! | `iiii_0011` | integer | 60 bits, two's complement, from bit 4 |
//! | `n lll 0111` | atom | `n` = 0: the name itself, `lll` bytes from bit 8; `n` = 1: index in the atom table from bit 8 |
//! | `ssss_1011` | local pid | slot (26 bits) from bit 4, generation (26 bits) from bit 30, domain from bit 56 |
//! | `0000_1111` | special | nil, `{}`, `#{}`, `<<>>` from bit 8 |
//! | `rrr1_1111` | reference | number (59 bits) from bit 5 |
//!
//! A header is `size << 10 | aux << 6 | kind << 2`, where `size` counts the words that follow it. Every object can be
//! walked from its first word: a header is followed by `size` words, and a word that is no header starts a list cell of
//! two words. A word of a heap is never zero except in the payload of an opaque object.

/// One word of a heap: a term, a header, or the raw contents of an opaque object.
pub(crate) type Word = u64;

const TAG_MASK: Word = 0b11;
const HEADER: Word = 0b00;
/// Tag of a pointer to a list cell.
pub(crate) const LIST: Word = 0b01;
/// Tag of a pointer to an object with a header.
pub(crate) const BOXED: Word = 0b10;
const IMMEDIATE: Word = 0b11;
/// The bit of a pointer that says: a literal, leave it alone (invariant 4).
pub(crate) const FROZEN: Word = 0b100;
/// The bits of a pointer that are no part of the address.
pub(crate) const TAG_BITS: Word = 0b111;
const POINTER_MASK: Word = !TAG_BITS;

const SUB_MASK: Word = 0b1111;
const INTEGER: Word = 0b0011;
const ATOM: Word = 0b0111;
const PID: Word = 0b1011;
const SPECIAL: Word = 0b1111;

/// The empty list.
pub(crate) const NIL: Word = SPECIAL;
/// The tuple without elements.
pub(crate) const EMPTY_TUPLE: Word = SPECIAL | 1 << 8;
/// The map without pairs.
pub(crate) const EMPTY_MAP: Word = SPECIAL | 2 << 8;
/// The binary without bytes.
pub(crate) const EMPTY_BINARY: Word = SPECIAL | 3 << 8;

/// What a header says an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Object {
    /// Elements, in order.
    Tuple = 0,
    /// A map of up to 32 pairs: a tuple of sorted keys (one word), then the values in the order of the keys.
    Map = 1,
    /// A larger map: how many pairs (an integer), then what a [`Node`](Self::Node) has.
    Hamt = 2,
    /// An inner node of a larger map: a bitmap (an integer), pairs, children; with `aux` 1, pairs alone. No term leads here
    /// but those of the map's own nodes.
    Node = 3,
    /// Opaque: an `f64`.
    Float = 4,
    /// Opaque: limbs of the magnitude, least significant first; `aux` 1 is negative.
    Big = 5,
    /// Opaque: bytes, padded to words; `aux` counts the padding.
    Binary = 6,
    /// Opaque: the node's atom, the pid's two numbers, the node's creation.
    RemotePid = 7,
    /// Opaque: on the off-heap list; a `Bytes`.
    Bytes = 8,
    /// Opaque: on the off-heap list; an `Arc` of a user's value.
    Resource = 9,
}

const KINDS: [Object; 10] = [
    Object::Tuple,
    Object::Map,
    Object::Hamt,
    Object::Node,
    Object::Float,
    Object::Big,
    Object::Binary,
    Object::RemotePid,
    Object::Bytes,
    Object::Resource,
];

impl Object {
    /// Do the words after the header hold raw contents instead of terms?
    #[inline(always)]
    pub(crate) const fn is_opaque(self) -> bool {
        !matches!(self, Self::Tuple | Self::Map | Self::Hamt | Self::Node)
    }

    /// Is an object of this kind on its heap's off-heap list?
    #[inline(always)]
    pub(crate) const fn is_off_heap(self) -> bool {
        matches!(self, Self::Bytes | Self::Resource)
    }
}

/// A header of `kind` with `size` words after it.
#[inline(always)]
pub(crate) const fn header(kind: Object, aux: u8, size: usize) -> Word {
    (size as Word) << 10 | (aux as Word) << 6 | (kind as Word) << 2
}

const KIND_MASK: Word = 0b1111 << 2;

/// The kind that a header names, or `None` for bits that no header has.
#[inline(always)]
pub(crate) const fn try_header_kind(w: Word) -> Option<Object> {
    let kind = (w >> 2 & 0b1111) as usize;
    if kind < KINDS.len() { Some(KINDS[kind]) } else { None }
}

/// The kind that a header names.
#[inline(always)]
pub(crate) const fn header_kind(w: Word) -> Object {
    match try_header_kind(w) {
        Some(kind) => kind,
        None => panic!("not a header"),
    }
}

/// Do raw contents follow this header? As [`Object::is_opaque`], without naming the kind: for walking and copying.
#[inline(always)]
pub(crate) const fn header_is_opaque(w: Word) -> bool {
    w & KIND_MASK > (Object::Node as Word) << 2
}

/// Is the object of this header on its heap's off-heap list? As [`Object::is_off_heap`], without naming the kind.
#[inline(always)]
pub(crate) const fn header_is_off_heap(w: Word) -> bool {
    w & KIND_MASK >= (Object::Bytes as Word) << 2
}

#[inline(always)]
pub(crate) const fn header_aux(w: Word) -> u8 {
    (w >> 6 & 0b1111) as u8
}

/// The words that follow the header.
#[inline(always)]
pub(crate) const fn header_size(w: Word) -> usize {
    (w >> 10) as usize
}

#[inline(always)]
pub(crate) const fn is_header(w: Word) -> bool {
    w & TAG_MASK == HEADER
}

#[inline(always)]
pub(crate) const fn is_immediate(w: Word) -> bool {
    w & TAG_MASK == IMMEDIATE
}

#[inline(always)]
pub(crate) const fn is_list(w: Word) -> bool {
    w & TAG_MASK == LIST
}

#[inline(always)]
pub(crate) const fn is_boxed(w: Word) -> bool {
    w & TAG_MASK == BOXED
}

/// A pointer, frozen or not.
#[inline(always)]
pub(crate) const fn is_pointer(w: Word) -> bool {
    // 01 and 10 become 10 and 11, 00 and 11 become 01 and 00.
    w.wrapping_add(1) & 0b10 != 0
}

/// A pointer to a literal. One test: the low three bits are 101 or 110.
#[inline(always)]
pub(crate) const fn is_literal(w: Word) -> bool {
    w.wrapping_add(3) & 0b110 == 0
}

/// Where a pointer points, without its tag.
#[inline(always)]
pub(crate) fn address(w: Word) -> *mut Word {
    std::ptr::with_exposed_provenance_mut((w & POINTER_MASK) as usize)
}

/// A pointer word to `p` with the tag (and the frozen bit) of `tag`.
#[inline(always)]
pub(crate) fn pointer(p: *mut Word, tag: Word) -> Word {
    p.expose_provenance() as Word | tag
}

/// The smallest integer that fits the word.
pub(crate) const SMALL_MIN: i64 = -(1 << 59);
/// The largest integer that fits the word.
pub(crate) const SMALL_MAX: i64 = (1 << 59) - 1;

#[inline(always)]
pub(crate) const fn small(i: i64) -> Option<Word> {
    if i >= SMALL_MIN && i <= SMALL_MAX { Some((i as Word) << 4 | INTEGER) } else { None }
}

#[inline(always)]
pub(crate) const fn is_small(w: Word) -> bool {
    w & SUB_MASK == INTEGER
}

/// The value of a word for which [`is_small`] holds.
#[inline(always)]
pub(crate) const fn small_value(w: Word) -> i64 {
    (w as i64) >> 4
}

#[inline(always)]
pub(crate) const fn is_atom(w: Word) -> bool {
    w & SUB_MASK == ATOM
}

/// Longest name that lies in the word itself.
pub(crate) const INLINE_ATOM: usize = 7;

/// The word of an atom whose name lies in it, or `None` when it is too long.
pub(crate) const fn inline_atom(name: &str) -> Option<Word> {
    let bytes = name.as_bytes();
    if bytes.len() > INLINE_ATOM {
        return None;
    }
    let mut w = ATOM | (bytes.len() as Word) << 4;
    let mut i = 0;
    while i < bytes.len() {
        w |= (bytes[i] as Word) << (8 + 8 * i);
        i += 1;
    }
    Some(w)
}

/// The word of the atom at `index` of the table.
pub(crate) const fn interned_atom(index: u32) -> Word {
    (index as Word) << 8 | 1 << 7 | ATOM
}

/// The table index of an atom, or `None` when the name lies in the word.
pub(crate) const fn atom_index(w: Word) -> Option<u32> {
    if w & 1 << 7 == 0 { None } else { Some((w >> 8) as u32) }
}

/// Length and bytes (padded with zeros) of a name that lies in the word.
pub(crate) const fn inline_atom_bytes(w: Word) -> (usize, [u8; 8]) {
    ((w >> 4 & 0b111) as usize, (w >> 8).to_le_bytes())
}

/// Bits of a pid's slot number.
pub(crate) const SLOT_BITS: u32 = 26;
/// How many generations a slot can have.
pub(crate) const GENERATIONS: u32 = 1 << 26;
/// How many domains can have processes at once.
#[cfg(feature = "runtime")]
pub(crate) const TAGS: u32 = 1 << 8;

#[inline(always)]
#[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have a pid"))]
pub(crate) const fn pid(tag: u8, slot: u32, generation: u32) -> Word {
    (tag as Word) << 56 | (generation as Word) << 30 | (slot as Word) << 4 | PID
}

#[inline(always)]
pub(crate) const fn is_pid(w: Word) -> bool {
    w & SUB_MASK == PID
}

#[inline(always)]
pub(crate) const fn pid_slot(w: Word) -> u32 {
    (w >> 4) as u32 & ((1 << SLOT_BITS) - 1)
}

#[inline(always)]
pub(crate) const fn pid_generation(w: Word) -> u32 {
    (w >> 30) as u32 & (GENERATIONS - 1)
}

#[inline(always)]
pub(crate) const fn pid_tag(w: Word) -> u8 {
    (w >> 56) as u8
}

const REFERENCE_MASK: Word = 0b1_1111;
/// How many references there are.
pub(crate) const REFERENCES: u64 = 1 << 59;

#[inline(always)]
pub(crate) const fn reference(number: u64) -> Option<Word> {
    if number < REFERENCES { Some(number << 5 | REFERENCE_MASK) } else { None }
}

#[inline(always)]
pub(crate) const fn is_reference(w: Word) -> bool {
    w & REFERENCE_MASK == REFERENCE_MASK
}

#[inline(always)]
pub(crate) const fn reference_number(w: Word) -> u64 {
    w >> 5
}

const _: () = assert!(size_of::<usize>() == 8, "terms are 64-bit words: a 64-bit target is needed");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_literal_is_told_by_one_test() {
        for low in 0..8 {
            let expected = low == (FROZEN | LIST) || low == (FROZEN | BOXED);
            assert_eq!(is_literal(0x7fff_0000 | low), expected, "{low:03b}");
        }
    }

    #[test]
    fn a_pointer_is_told_by_one_test() {
        for low in 0..8 {
            assert_eq!(is_pointer(0x7fff_0000 | low), is_list(low) || is_boxed(low), "{low:03b}");
        }
    }

    #[test]
    fn the_quick_tests_of_headers_agree_with_the_kinds() {
        for kind in KINDS {
            let w = header(kind, 0b1111, 7);
            assert_eq!(
                (header_is_opaque(w), header_is_off_heap(w)),
                (kind.is_opaque(), kind.is_off_heap()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn specials_differ_and_are_immediate() {
        let all = [NIL, EMPTY_TUPLE, EMPTY_MAP, EMPTY_BINARY];
        for (i, a) in all.iter().enumerate() {
            assert!(is_immediate(*a) && !is_literal(*a) && !is_small(*a) && !is_atom(*a) && !is_pid(*a));
            assert!(!is_reference(*a));
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }

    proptest! {
        #[test]
        fn integers_survive_the_word(i in SMALL_MIN..=SMALL_MAX) {
            let w = small(i).unwrap();
            prop_assert!(is_small(w) && is_immediate(w) && !is_literal(w));
            prop_assert_eq!(small_value(w), i);
        }

        #[test]
        fn pids_survive_the_word(tag: u8, slot in 0..1u32 << SLOT_BITS, generation in 0..GENERATIONS) {
            let w = pid(tag, slot, generation);
            prop_assert!(is_pid(w) && is_immediate(w) && !is_literal(w));
            prop_assert_eq!((pid_tag(w), pid_slot(w), pid_generation(w)), (tag, slot, generation));
        }

        #[test]
        fn references_survive_the_word(number in 0..REFERENCES) {
            let w = reference(number).unwrap();
            prop_assert!(is_reference(w) && is_immediate(w) && !is_literal(w) && !is_small(w) && !is_atom(w) && !is_pid(w));
            prop_assert_eq!(reference_number(w), number);
        }

        #[test]
        fn headers_survive_the_word(kind in 0usize..KINDS.len(), aux in 0u8..16, size in 0usize..1 << 50) {
            let w = header(KINDS[kind], aux, size);
            prop_assert!(is_header(w));
            prop_assert_eq!((header_kind(w), header_aux(w), header_size(w)), (KINDS[kind], aux, size));
        }
    }

    #[test]
    fn integers_outside_the_word_are_refused() {
        assert_eq!(small(SMALL_MIN - 1), None);
        assert_eq!(small(SMALL_MAX + 1), None);
    }
}
