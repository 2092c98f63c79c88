//! Maps of more than 32 pairs: a hash trie of 16 ways (a HAMT, with the pairs of a node in the node itself, as CHAMP has
//! them).
//!
//! ```text
//! root        header | pairs in all | bitmap | key value ... | child ...
//! node        header |                bitmap | key value ... | child ...
//! collisions  header |                         key value ...               keys of one hash, sorted
//! ```
//!
//! Level `n` is indexed by the n-th four bits of the key's hash, from the top. The low 16 bits of the bitmap say which
//! slots have a pair here, the next 16 which have a child; both come in the order of their slots. From bit 32 on it says how
//! many pairs there are, which spares counting bits on each level of a lookup. Below the sixteenth
//! level the hash is used up: what is left are keys of one hash.
//!
//! The form is canonical: a subtree of one pair is that pair, in its parent, so that equal maps have equal nodes however
//! they came about. Counts and bitmaps are integers, so that whoever walks objects needs to know of none of this.

use super::super::word::{self, Word};

/// Levels that are indexed by the hash.
pub(crate) const LEVELS: usize = 16;
/// Ways of a node.
pub(crate) const WAYS: usize = 16;

/// The slot of a hash at a level, as a bit.
#[inline(always)]
pub(crate) const fn slot(hash: u64, level: usize) -> u32 {
    1 << (hash >> (60 - 4 * level) & 15)
}

/// What a key is placed by.
#[inline(always)]
pub(crate) fn place(hash: u64) -> u64 {
    #[cfg(test)]
    let hash = hash & COLLIDE.get();
    hash
}

#[cfg(test)]
thread_local! {
    /// The bits of hashes that count: with fewer, keys collide.
    pub(crate) static COLLIDE: std::cell::Cell<u64> = const { std::cell::Cell::new(u64::MAX) };
}

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The map itself.
    Root,
    Inner,
    /// Below the last level.
    Collisions,
}

/// A node, as far as its header and bitmap tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// The pairs, and behind them the children.
    pub(crate) words: *const Word,
    /// Slots with a pair.
    pub(crate) data: u32,
    /// Slots with a child.
    pub(crate) nodes: u32,
    pairs: u32,
}

/// What a node has for a slot, and where: the number of the pair, or of the child.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Nothing,
    Pair(usize),
    Child(usize),
}

impl Node {
    /// The node of the object at `p`.
    ///
    /// # Safety
    ///
    /// `p` must be a living node of that form, which stays so while the result is used.
    #[inline(always)]
    pub(crate) unsafe fn at(p: *const Word, form: Form) -> Self {
        // SAFETY: the caller's promise: the words of each form follow the header.
        unsafe {
            let skip = match form {
                Form::Root => 2,
                Form::Inner => 1,
                Form::Collisions => {
                    let pairs = word::header_size(*p) as u32 / 2;
                    return Self { words: p.add(1), data: 0, nodes: 0, pairs };
                }
            };
            let bitmap = word::small_value(*p.add(skip)) as u64;
            let (low, pairs) = (bitmap as u32, (bitmap >> 32) as u32);
            Self { words: p.add(1 + skip), data: low & 0xffff, nodes: low >> 16, pairs }
        }
    }

    #[inline(always)]
    pub(crate) fn pairs(&self) -> usize {
        self.pairs as usize
    }

    #[inline(always)]
    pub(crate) fn children(&self) -> usize {
        self.nodes.count_ones() as usize
    }

    /// Where the pair of this slot is among the pairs, or would be.
    #[inline(always)]
    pub(crate) fn pair_rank(&self, slot: u32) -> usize {
        (self.data & (slot - 1)).count_ones() as usize
    }

    /// Where the child of this slot is among the children, or would be.
    #[inline(always)]
    pub(crate) fn child_rank(&self, slot: u32) -> usize {
        (self.nodes & (slot - 1)).count_ones() as usize
    }

    #[inline(always)]
    pub(crate) fn find(&self, slot: u32) -> Found {
        if self.nodes & slot != 0 {
            Found::Child(self.child_rank(slot))
        } else if self.data & slot != 0 {
            Found::Pair(self.pair_rank(slot))
        } else {
            Found::Nothing
        }
    }

    /// The key of pair `i`; its value follows it.
    #[inline(always)]
    pub(crate) fn pair(&self, i: usize) -> *const Word {
        debug_assert!(i < self.pairs());
        self.words.wrapping_add(2 * i)
    }

    /// The word that leads to child `i`.
    #[inline(always)]
    pub(crate) fn child(&self, i: usize) -> *const Word {
        debug_assert!(i < self.children());
        self.words.wrapping_add(2 * self.pairs() + i)
    }

    /// All words of pairs and children.
    ///
    /// # Safety
    ///
    /// As for [`at`](Self::at), for `'a`.
    pub(crate) unsafe fn contents<'a>(&self) -> &'a [Word] {
        // SAFETY: the caller's promise: that many words lie there.
        unsafe { std::slice::from_raw_parts(self.words, 2 * self.pairs() + self.children()) }
    }
}

/// The form of the nodes on a level below the root's.
#[inline(always)]
pub(crate) const fn form(level: usize) -> Form {
    match level {
        0 => Form::Root,
        LEVELS => Form::Collisions,
        _ => Form::Inner,
    }
}

/// The value at the key with this hash.
///
/// # Safety
///
/// `root` must be the object of a living map of more than 32 pairs.
#[inline]
pub(crate) unsafe fn lookup(
    root: *const Word,
    hash: u64,
    matches: impl Fn(Word) -> bool,
    position: impl Fn(&Node) -> Result<usize, usize>,
) -> Option<*const Word> {
    let (mut p, mut level) = (root, 0);
    loop {
        // SAFETY: a node of the map, of the form of its level.
        let node = unsafe { Node::at(p, form(level)) };
        if level == LEVELS {
            return position(&node).ok().map(|i| node.pair(i).wrapping_add(1));
        }
        match node.find(slot(hash, level)) {
            Found::Nothing => return None,
            Found::Pair(i) => {
                let pair = node.pair(i);
                // SAFETY: a key, and its value behind it.
                return matches(unsafe { *pair }).then_some(pair.wrapping_add(1));
            }
            // SAFETY: a child's word.
            Found::Child(i) => p = word::address(unsafe { *node.child(i) }),
        }
        level += 1;
    }
}

/// A walk over the pairs of a large map: those of a node, then those below it. On the stack, whatever the size of the map.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    /// Children still to be entered, by level: the first of them, and how many.
    above: [(*const Word, usize); LEVELS],
    level: usize,
    pair: *const Word,
    pairs: usize,
}

impl Walk {
    /// # Safety
    ///
    /// `root` must be the object of a living map of more than 32 pairs, which stays so while the walk is used.
    pub(crate) unsafe fn new(root: *const Word) -> Self {
        let mut walk = Self { above: [(std::ptr::null(), 0); LEVELS], level: 0, pair: root, pairs: 0 };
        // SAFETY: the caller's promise.
        unsafe { walk.enter(root, 0) };
        walk
    }

    /// # Safety
    ///
    /// `p` must be a node of the map, on that level.
    #[inline]
    unsafe fn enter(&mut self, p: *const Word, level: usize) {
        // SAFETY: the caller's promise.
        let node = unsafe { Node::at(p, form(level)) };
        (self.pair, self.pairs) = (node.words, node.pairs());
        self.level = level;
        if level < LEVELS {
            self.above[level] = (node.words.wrapping_add(2 * node.pairs()), node.children());
        }
    }

    /// The next key; its value follows it.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<*const Word> {
        loop {
            if self.pairs > 0 {
                let pair = self.pair;
                self.pairs -= 1;
                self.pair = pair.wrapping_add(2);
                return Some(pair);
            }
            let mut level = self.level.min(LEVELS - 1);
            while self.above[level].1 == 0 {
                self.level = level;
                level = level.checked_sub(1)?;
            }
            let (child, left) = self.above[level];
            self.above[level] = (child.wrapping_add(1), left - 1);
            // SAFETY: `new`: the map is alive, and this is a child of one of its nodes.
            unsafe { self.enter(word::address(*child), level + 1) };
        }
    }
}
