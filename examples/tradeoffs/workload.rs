//! The work that every row does: which keys are looked up, and what has to come out.

use std::sync::Arc;

use crate::checksum::{self, mix};
use crate::document::{Doc, Document, Key};

const FEWEST_LOOKUPS: usize = 1_024;
const MOST_LOOKUPS: usize = 16_384;
/// One lookup in so many is for a key that isn't there.
const MISS_EVERY: usize = 8;

/// How far a read follows what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Look the key up and see the kind and the size of its value.
    Glance,
    /// Visit every cell of the value as well.
    Walk,
}

/// One pass: a fixed sequence of lookups and the sums that any right answer gives.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) keys: Vec<Key>,
    glances: u64,
    walks: u64,
}

impl Workload {
    /// Each key of the table once in an order without pattern (a large table: some of its keys, a small one: each key
    /// several times), with misses between them. The same document gives the same sequence.
    pub(crate) fn new(document: &Document) -> Arc<Self> {
        let table = &document.table;
        let mut order: Vec<usize> = (0..table.len()).collect();
        let mut random = SplitMix(0x5eed);
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i + 1));
        }
        let lookups = table.len().clamp(FEWEST_LOOKUPS, MOST_LOOKUPS);
        let mut hits = order.iter().cycle().map(|&at| table[at].0.clone());
        let keys: Vec<_> = (1..=lookups)
            .filter_map(|nth| hits.next().map(|key| if nth % MISS_EVERY == 0 { absent(document, key) } else { key }))
            .collect();
        let fold = |read: fn(&Doc) -> u64| {
            keys.iter().fold(0, |sum, key| mix(sum, document.get(key).map_or(checksum::MISS, read)))
        };
        Arc::new(Self { glances: fold(Doc::glance), walks: fold(Doc::walk), keys })
    }

    /// Looks every key up with `read` and gives the sum of the answers.
    #[inline]
    pub(crate) fn pass(&self, mut read: impl FnMut(&Key) -> u64) -> u64 {
        self.keys.iter().fold(0, |sum, key| mix(sum, read(key)))
    }

    /// What [`pass`](Self::pass) must give.
    pub(crate) fn expected(&self, depth: Depth) -> u64 {
        match depth {
            Depth::Glance => self.glances,
            Depth::Walk => self.walks,
        }
    }
}

/// A key like `key` that the document doesn't have.
fn absent(document: &Document, mut key: Key) -> Key {
    while document.get(&key).is_some() {
        key = match key {
            Key::Index(at) => Key::Index(at + document.table.len() as i64),
            Key::Text(text) => Key::Text(format!("{text}~").into()),
        };
    }
    key
}

/// Steele, Lea and Flood's generator: small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_fixed_covers_the_table_and_misses() {
        let document = Document::shipped().unwrap();
        let (one, other) = (Workload::new(&document), Workload::new(&document));
        assert_eq!(one.keys, other.keys);
        assert_eq!(one.keys.len(), document.table.len());
        let misses = one.keys.iter().filter(|key| document.get(key).is_none()).count();
        assert_eq!(misses, one.keys.len() / MISS_EVERY);
        let mut distinct = one.keys.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), one.keys.len());
        assert!(!one.keys.is_sorted());
    }

    #[test]
    fn a_pass_over_the_document_gives_the_expected_sums() {
        let document = Document::shipped().unwrap();
        let work = Workload::new(&document);
        let glances = work.pass(|key| document.get(key).map_or(checksum::MISS, Doc::glance));
        let walks = work.pass(|key| document.get(key).map_or(checksum::MISS, Doc::walk));
        assert_eq!(glances, work.expected(Depth::Glance));
        assert_eq!(walks, work.expected(Depth::Walk));
        assert_ne!(glances, walks);
    }

    #[test]
    fn random_numbers_are_the_published_ones() {
        let mut random = SplitMix(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert!((0..1_000).all(|_| random.below(3) < 3));
    }
}
