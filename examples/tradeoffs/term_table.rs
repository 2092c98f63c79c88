//! The table as a term: `{Version, #{Key => Value}}`.
//!
//! Text is a binary, an object a map with binaries as keys, an array a list, `null` an atom. Nothing is shared inside one
//! table: equal texts are built again, as in the other rows.

use shared_term::heap::{HeapError, MAX_HEAP_BINARY, ToTerm};
use shared_term::term::{Place, View};
use shared_term::{Atom, Heap, Region, Term};

use crate::checksum;
use crate::document::{Doc, Document, Key};

const NULL: Atom = Atom::inline("null");

/// A version of the table in a region of its own.
pub(crate) fn region(document: &Document, version: u64) -> Result<Region, String> {
    let built = Region::try_build::<HeapError>(|h| {
        let entries = document.table.iter().map(|(key, value)| (of_key(h, key), of_doc(h, value)));
        Ok(h.tuple(&[h.int(version), h.map(entries)]))
    });
    built.map_err(|error| error.to_string())
}

fn of_key<'h>(heap: Heap<'h>, key: &Key) -> Term<'h> {
    match key {
        Key::Index(at) => heap.int(*at),
        Key::Text(text) => heap.binary(&**text),
    }
}

fn of_doc<'h>(heap: Heap<'h>, doc: &Doc) -> Term<'h> {
    match doc {
        Doc::Null => heap.atom(NULL),
        Doc::Bool(value) => heap.atom((*value).into()),
        Doc::Int(value) => heap.int(*value),
        // JSON has no NaN and no infinities either.
        Doc::Float(value) => value.to_term(heap),
        Doc::Text(text) => heap.binary(&**text),
        Doc::List(values) => heap.list(values.iter().map(|value| of_doc(heap, value))),
        Doc::Map(entries) => heap.map(entries.iter().map(|(key, value)| (heap.binary(&**key), of_doc(heap, value)))),
    }
}

/// The version of a table; `None` for anything else.
pub(crate) fn version<P: Place>(root: Term<'_, P>) -> Option<u64> {
    let [version, _] = root.tuple_of()?;
    version.get().ok()
}

#[inline]
pub(crate) fn lookup<'h, P: Place>(root: Term<'h, P>, key: &Key) -> Option<Term<'h, P>> {
    let [_, table] = root.tuple_of()?;
    match key {
        Key::Index(at) => table.lookup(*at),
        Key::Text(text) => table.lookup(&**text),
    }
}

#[inline]
pub(crate) fn glance<P: Place>(found: Option<Term<'_, P>>) -> u64 {
    use checksum::glance;
    let Some(value) = found else { return checksum::MISS };
    match value.view() {
        View::Atom(NULL) => glance::null(),
        View::Atom(value) => glance::boolean(value == Atom::TRUE),
        View::Int(value) => glance::int(value),
        View::Float(value) => glance::float(value),
        View::Binary(text) => glance::text(text.len()),
        View::Nil => glance::list(true),
        View::Cons(..) => glance::list(false),
        View::Map(map) => glance::map(map.len()),
        _ => other(),
    }
}

#[inline]
pub(crate) fn walk<P: Place>(found: Option<Term<'_, P>>) -> u64 {
    found.map_or(checksum::MISS, walk_all)
}

/// Recurses: the depth of a document is bounded.
fn walk_all<P: Place>(value: Term<'_, P>) -> u64 {
    match value.view() {
        View::Atom(NULL) => checksum::null(),
        View::Atom(value) => checksum::boolean(value == Atom::TRUE),
        View::Int(value) => checksum::int(value),
        View::Float(value) => checksum::float(value),
        View::Binary(text) => checksum::text(text),
        View::Nil | View::Cons(..) => checksum::list(value.list().map(walk_all)),
        View::Map(map) => checksum::map(map.iter().map(|(key, value)| (walk_all(key), walk_all(value)))),
        _ => other(),
    }
}

/// What no document has: a sum that is right nowhere.
#[cold]
fn other() -> u64 {
    u64::MAX
}

/// What a table takes in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// In a heap.
    pub(crate) words: usize,
    /// Binaries too large for a heap, and their bytes. All copies share them.
    pub(crate) outside: usize,
    pub(crate) outside_bytes: usize,
}

/// Without what a region has beside its words.
pub(crate) fn size(table: &Region) -> Size {
    let mut size = Size { words: table.root().size_words(), ..Size::default() };
    add_outside(table.root(), &mut size);
    size
}

fn add_outside<P: Place>(value: Term<'_, P>, size: &mut Size) {
    match value.view() {
        View::Binary(bytes) if bytes.len() > MAX_HEAP_BINARY => {
            size.outside += 1;
            size.outside_bytes += bytes.len();
        }
        View::Cons(..) => value.list().for_each(|element| add_outside(element, size)),
        View::Tuple(elements) => elements.iter().for_each(|element| add_outside(*element, size)),
        View::Map(map) => map.iter().for_each(|(key, value)| {
            add_outside(key, size);
            add_outside(value, size);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Depth, Workload};

    #[test]
    fn a_table_and_its_copy_agree_with_the_document() {
        let document = Document::shipped().unwrap();
        let work = Workload::new(&document);
        let table = region(&document, 7).unwrap();
        let copy = Region::copy_of(table.root());
        for table in [&table, &copy] {
            table.verify().unwrap();
            assert_eq!(version(table.root()), Some(7));
            assert_eq!(work.pass(|key| glance(lookup(table.root(), key))), work.expected(Depth::Glance));
            assert_eq!(work.pass(|key| walk(lookup(table.root(), key))), work.expected(Depth::Walk));
        }
        assert_eq!(size(&table), size(&copy));
        assert_eq!(size(&copy).words, copy.words());
    }

    #[test]
    fn every_kind_has_the_sums_of_the_document() {
        let document = Document::of_values(Doc::every_kind());
        let table = region(&document, 0).unwrap();
        for (key, doc) in &document.table {
            let value = lookup(table.root(), key);
            assert_eq!(glance(value), doc.glance(), "{doc:?}");
            assert_eq!(walk(value), doc.walk(), "{doc:?}");
        }
        assert_eq!(lookup(table.root(), &Key::Index(99)), None);
    }

    #[test]
    fn words_are_those_of_the_heap_and_long_texts_lie_outside() {
        let words = |doc| size(&region(&Document::of_values(vec![doc]), 0).unwrap());
        // The root, and a map of one pair with its tuple of keys.
        let rest = 3 + 3 + 2;
        assert_eq!(words(Doc::Int(1)), Size { words: rest, ..Size::default() });
        assert_eq!(words(Doc::Text("123456789".into())), Size { words: rest + 3, ..Size::default() });
        assert_eq!(words(Doc::List(vec![Doc::Null, Doc::Null])), Size { words: rest + 4, ..Size::default() });
        let long = words(Doc::Text("x".repeat(100).into()));
        assert_eq!((long.outside, long.outside_bytes), (1, 100));
    }

    #[test]
    fn what_is_no_table_has_no_version_and_no_keys() {
        let number = Region::build(|h| h.int(1));
        assert_eq!(version(number.root()), None);
        assert_eq!(lookup(number.root(), &Key::Index(0)), None);
        assert_eq!(glance(Some(Region::build(|h| h.tuple(&[h.nil()])).root())), u64::MAX);
    }
}
