//! The table under reference counts: every cell has its own.
//!
//! This is what a runtime does that counts instead of copying. A scalar lies in the reference itself; text, a list cell
//! and a map are one allocation each with a strong and a weak count in front ([`Arc`]). A map is a sorted array that is
//! searched by halves and costs one pointer per probe. Nothing is interned, and equal texts are separate cells, as in the
//! other rows.
//!
//! What is counted and what is lent is the whole question, so it is spelled out:
//!
//! * a *lookup* lends every key that it compares, and counts the value that it returns: one up, one down later;
//! * a *counted walk* holds a counted reference to each cell while it reads it, as a runtime does in which a reference
//!   taken out of a structure is owned by whoever took it;
//! * a *lent walk* touches no counter. That is what a compiler reaches which proves that each borrow is outlived by its
//!   owner, and the best that this representation can do.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use crate::checksum;
use crate::document::{Doc, Document, Key};

/// A reference to a value: three words, because a pointer to an array carries its length.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<[u8]>),
    List(Option<Arc<Cons>>),
    /// Sorted by key.
    Map(Arc<[(Value, Value)]>),
}

/// A list cell.
#[derive(Debug)]
pub(crate) struct Cons {
    head: Value,
    tail: Option<Arc<Cons>>,
}

impl Drop for Cons {
    /// By a loop: the length of a list is the document's choice, and the stack is not. (Its depth is bounded.)
    fn drop(&mut self) {
        let mut rest = self.tail.take();
        while let Some(mut cell) = rest.and_then(Arc::into_inner) {
            rest = cell.tail.take();
        }
    }
}

/// The root: a version of the table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) version: u64,
    entries: Value,
    /// After `entries`, and therefore dropped after them.
    _ended: Ended,
}

/// Tells when a table was freed, down to its last cell.
#[derive(Debug)]
struct Ended(Option<Box<Sender<Instant>>>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            // Nobody waits for the last version of a run.
            let _ = tell.send(Instant::now());
        }
    }
}

/// What a table takes in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Allocations, each with its counts.
    pub(crate) cells: usize,
    /// As laid out here.
    pub(crate) words: usize,
    /// What the leanest counting runtime would need: one word per reference, one count and one length per cell.
    pub(crate) lean_words: usize,
}

impl Table {
    /// `ended` hears when the last holder let go.
    pub(crate) fn new(document: &Document, version: u64, ended: Option<Sender<Instant>>) -> Arc<Self> {
        let entries = document.table.iter().map(|(key, value)| (Value::of_key(key), Value::of_doc(value)));
        Arc::new(Self { version, entries: Value::Map(entries.collect()), _ended: Ended(ended.map(Box::new)) })
    }

    /// A counted reference to the value of `key`.
    #[inline]
    pub(crate) fn lookup(&self, key: &Key) -> Option<Value> {
        self.lend(key).cloned()
    }

    /// The value of `key`, uncounted.
    #[inline]
    pub(crate) fn lend(&self, key: &Key) -> Option<&Value> {
        let Value::Map(entries) = &self.entries else { return None };
        let at = entries.binary_search_by(|(candidate, _)| candidate.cmp_key(key)).ok()?;
        Some(&entries[at].1)
    }

    pub(crate) fn size(&self) -> Size {
        let root = Size { cells: 1, words: COUNTS + words_of::<Self>(), lean_words: 1 + 2 };
        self.entries.size(root)
    }
}

/// Words of the strong and the weak count.
const COUNTS: usize = 2;

const fn words_of<T>() -> usize {
    size_of::<T>().div_ceil(8)
}

impl Value {
    fn of_key(key: &Key) -> Self {
        match key {
            Key::Index(at) => Self::Int(*at),
            Key::Text(text) => Self::Text(text.as_bytes().into()),
        }
    }

    pub(crate) fn of_doc(doc: &Doc) -> Self {
        match doc {
            Doc::Null => Self::Null,
            Doc::Bool(value) => Self::Bool(*value),
            Doc::Int(value) => Self::Int(*value),
            Doc::Float(value) => Self::Float(*value),
            Doc::Text(text) => Self::Text(text.as_bytes().into()),
            Doc::List(values) => Self::List(
                values.iter().rev().fold(None, |tail, value| Some(Arc::new(Cons { head: Self::of_doc(value), tail }))),
            ),
            Doc::Map(entries) => Self::Map(
                entries.iter().map(|(key, value)| (Self::Text(key.as_bytes().into()), Self::of_doc(value))).collect(),
            ),
        }
    }

    #[inline]
    fn cmp_key(&self, key: &Key) -> Ordering {
        match (self, key) {
            (Self::Text(text), Key::Text(key)) => (**text).cmp(key.as_bytes()),
            (Self::Int(at), Key::Index(key)) => at.cmp(key),
            // A table has keys of one kind: a workload's key of the other kind would be in none of its places.
            (Self::Int(_), Key::Text(_)) => Ordering::Less,
            _ => Ordering::Greater,
        }
    }

    #[inline]
    pub(crate) fn glance(&self) -> u64 {
        match self {
            Self::Null => checksum::glance::null(),
            Self::Bool(value) => checksum::glance::boolean(*value),
            Self::Int(value) => checksum::glance::int(*value),
            Self::Float(value) => checksum::glance::float(*value),
            Self::Text(text) => checksum::glance::text(text.len()),
            Self::List(first) => checksum::glance::list(first.is_none()),
            Self::Map(entries) => checksum::glance::map(entries.len()),
        }
    }

    /// Visits every cell with a counted reference to each; ends the one it was given.
    pub(crate) fn counted_walk(self) -> u64 {
        match &self {
            Self::List(first) => {
                let mut rest = first.clone();
                checksum::list(std::iter::from_fn(|| {
                    let cell = rest.take()?;
                    let sum = cell.head.clone().counted_walk();
                    rest.clone_from(&cell.tail);
                    Some(sum)
                }))
            }
            Self::Map(entries) => checksum::map(
                entries.iter().map(|(key, value)| (key.clone().counted_walk(), value.clone().counted_walk())),
            ),
            leaf => leaf.leaf(),
        }
    }

    /// Visits every cell and touches no counter.
    pub(crate) fn lent_walk(&self) -> u64 {
        match self {
            Self::List(first) => {
                let cells = std::iter::successors(first.as_deref(), |cell| cell.tail.as_deref());
                checksum::list(cells.map(|cell| cell.head.lent_walk()))
            }
            Self::Map(entries) => {
                checksum::map(entries.iter().map(|(key, value)| (key.lent_walk(), value.lent_walk())))
            }
            leaf => leaf.leaf(),
        }
    }

    /// The sum of a value without others in it.
    fn leaf(&self) -> u64 {
        match self {
            Self::Null | Self::List(_) | Self::Map(_) => checksum::null(),
            Self::Bool(value) => checksum::boolean(*value),
            Self::Int(value) => checksum::int(*value),
            Self::Float(value) => checksum::float(*value),
            Self::Text(text) => checksum::text(text),
        }
    }

    /// `size` and what is below this reference. (The reference itself is part of the cell it lies in.)
    pub(crate) fn size(&self, mut size: Size) -> Size {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::List(None) => {}
            Self::Text(text) => {
                size.cells += 1;
                size.words += COUNTS + text.len().div_ceil(8);
                size.lean_words += 1 + 1 + text.len().div_ceil(8);
            }
            Self::List(Some(first)) => {
                for cell in std::iter::successors(Some(first), |cell| cell.tail.as_ref()) {
                    size.cells += 1;
                    size.words += COUNTS + words_of::<Cons>();
                    size.lean_words += 1 + 2;
                    size = cell.head.size(size);
                }
            }
            Self::Map(entries) => {
                size.cells += 1;
                size.words += COUNTS + entries.len() * words_of::<(Self, Self)>();
                size.lean_words += 1 + 1 + 2 * entries.len();
                for (key, value) in entries.iter() {
                    size = value.size(key.size(size));
                }
            }
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::workload::{Depth, Workload};

    fn text(text: &str) -> Doc {
        Doc::Text(text.into())
    }

    #[test]
    fn every_way_to_read_agrees_with_the_document() {
        let shipped = Document::shipped().unwrap();
        let table = Table::new(&shipped, 1, None);
        let work = Workload::new(&shipped);
        let miss = checksum::MISS;
        assert_eq!(work.pass(|key| table.lookup(key).map_or(miss, |v| v.glance())), work.expected(Depth::Glance));
        assert_eq!(work.pass(|key| table.lookup(key).map_or(miss, Value::counted_walk)), work.expected(Depth::Walk));
        assert_eq!(work.pass(|key| table.lend(key).map_or(miss, Value::lent_walk)), work.expected(Depth::Walk));
    }

    #[test]
    fn every_kind_has_the_sums_of_the_document() {
        let document = Document::of_values(Doc::every_kind());
        let table = Table::new(&document, 1, None);
        for (key, doc) in &document.table {
            let value = table.lookup(key).unwrap();
            assert_eq!(value.glance(), doc.glance(), "{doc:?}");
            assert_eq!(value.lent_walk(), doc.walk(), "{doc:?}");
            assert_eq!(value.counted_walk(), doc.walk(), "{doc:?}");
        }
    }

    #[test]
    fn a_lookup_counts_once_and_a_lent_value_never() {
        let document = Document::of_values(vec![text("a")]);
        let table = Table::new(&document, 1, None);
        let Some(Value::Text(lent)) = table.lend(&Key::Index(0)) else { panic!("no text") };
        assert_eq!(Arc::strong_count(lent), 1);
        let held = table.lookup(&Key::Index(0));
        assert_eq!(Arc::strong_count(lent), 2);
        drop(held);
        assert_eq!(Arc::strong_count(lent), 1);
    }

    #[test]
    fn words_are_counts_and_payload() {
        assert_eq!(words_of::<Value>(), 3);
        let empty = Table::new(&Document::of_values(vec![]), 1, None).size();
        let size = |doc| {
            let all = Table::new(&Document::of_values(vec![doc]), 1, None).size();
            // The entry itself: a key and a value.
            Size {
                cells: all.cells - empty.cells,
                words: all.words - empty.words - 6,
                lean_words: all.lean_words - empty.lean_words - 2,
            }
        };
        assert_eq!(size(Doc::Int(1)), Size::default());
        assert_eq!(size(text("12345678")), Size { cells: 1, words: 3, lean_words: 3 });
        assert_eq!(size(text("123456789")), Size { cells: 1, words: 4, lean_words: 4 });
        // A cell: two counts, a head of three words, a tail of one.
        assert_eq!(size(Doc::List(vec![Doc::Null, Doc::Null])), Size { cells: 2, words: 12, lean_words: 6 });
    }

    #[test]
    fn a_long_list_is_dropped_without_a_deep_stack() {
        let values = Document::of_values(vec![Doc::List(vec![Doc::Int(1); 1_000_000])]);
        let (tell, ended) = mpsc::channel();
        drop(Table::new(&values, 1, Some(tell)));
        assert!(ended.try_recv().is_ok());
    }

    #[test]
    fn a_table_ends_with_its_last_holder() {
        let (tell, ended) = mpsc::channel();
        let table = Table::new(&Document::of_values(vec![Doc::Null]), 1, Some(tell));
        let holder = Arc::clone(&table);
        drop(table);
        assert!(ended.try_recv().is_err());
        drop(holder);
        assert!(ended.try_recv().is_ok());
    }
}
