//! The table as one binary: what a program sends that wants nothing copied, and has only bytes to share.
//!
//! A version, a count, an index of offsets sorted by key, and behind it the keys and values one after the other. Nothing
//! points anywhere, so every read decodes: a lookup searches the index, and a walk goes over the bytes of the value.

use std::cmp::Ordering;

use crate::checksum;
use crate::document::{Doc, Document, Key};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const MAP: u8 = 7;

/// The version and the number of entries.
const HEAD: usize = 8 + 8;
/// Where a key and its value begin.
const ENTRY: usize = 4 + 4;

/// `None` for a table beyond 4 GiB.
pub(crate) fn encode(document: &Document, version: u64) -> Option<Vec<u8>> {
    let entries = &document.table;
    let mut out = vec![0; HEAD + entries.len() * ENTRY];
    out[..8].copy_from_slice(&version.to_le_bytes());
    out[8..HEAD].copy_from_slice(&(entries.len() as u64).to_le_bytes());
    for (nth, (key, value)) in entries.iter().enumerate() {
        let at = HEAD + nth * ENTRY;
        let here = u32::try_from(out.len()).ok()?;
        out[at..at + 4].copy_from_slice(&here.to_le_bytes());
        match key {
            Key::Index(index) => put(&mut out, INT, &index.to_le_bytes()),
            Key::Text(text) => put_text(&mut out, text)?,
        }
        let here = u32::try_from(out.len()).ok()?;
        out[at + 4..at + ENTRY].copy_from_slice(&here.to_le_bytes());
        put_doc(&mut out, value)?;
    }
    out.shrink_to_fit();
    Some(out)
}

fn put(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.push(tag);
    out.extend_from_slice(payload);
}

fn put_count(out: &mut Vec<u8>, tag: u8, count: usize) -> Option<()> {
    put(out, tag, &u32::try_from(count).ok()?.to_le_bytes());
    Some(())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    put_count(out, TEXT, text.len())?;
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Recurses: the depth of a document is bounded.
fn put_doc(out: &mut Vec<u8>, doc: &Doc) -> Option<()> {
    match doc {
        Doc::Null => put(out, NULL, &[]),
        Doc::Bool(value) => put(out, if *value { TRUE } else { FALSE }, &[]),
        Doc::Int(value) => put(out, INT, &value.to_le_bytes()),
        Doc::Float(value) => put(out, FLOAT, &value.to_le_bytes()),
        Doc::Text(text) => put_text(out, text)?,
        Doc::List(values) => {
            put_count(out, LIST, values.len())?;
            values.iter().try_for_each(|value| put_doc(out, value))?;
        }
        Doc::Map(entries) => {
            put_count(out, MAP, entries.len())?;
            for (key, value) in entries {
                put_text(out, key)?;
                put_doc(out, value)?;
            }
        }
    }
    Some(())
}

/// What is left of a table's bytes; every step checks that it is there.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline]
    fn tag(&mut self) -> Option<u8> {
        self.take::<1>().map(|[tag]| tag)
    }

    #[inline]
    fn count(&mut self) -> Option<usize> {
        self.take().map(|count| u32::from_le_bytes(count) as usize)
    }

    #[inline]
    fn int(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (text, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(text)
    }
}

/// The version of a table; `None` for bytes that are none.
pub(crate) fn version(table: &[u8]) -> Option<u64> {
    Reader(table).take().map(u64::from_le_bytes)
}

/// The bytes from the value of `key` on.
#[inline]
pub(crate) fn lookup<'a>(table: &'a [u8], key: &Key) -> Option<&'a [u8]> {
    let index = table.get(HEAD..)?;
    let (mut low, mut high) = (0, u64::from_le_bytes(*table.get(8..)?.first_chunk()?) as usize);
    while low < high {
        let middle = usize::midpoint(low, high);
        let mut entry = Reader(index.get(middle * ENTRY..)?);
        let (at, value) = (entry.count()?, entry.count()?);
        let mut found = Reader(table.get(at..)?);
        let order = match (found.tag()?, key) {
            (INT, Key::Index(key)) => found.int()?.cmp(key),
            (TEXT, Key::Text(key)) => found.text()?.cmp(key.as_bytes()),
            // A table has keys of one kind.
            _ => return None,
        };
        match order {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return table.get(value..),
        }
    }
    None
}

#[inline]
pub(crate) fn glance(found: Option<&[u8]>) -> u64 {
    use checksum::glance;
    let Some(found) = found else { return checksum::MISS };
    let mut value = Reader(found);
    let sum = value.tag().and_then(|tag| {
        Some(match tag {
            NULL => glance::null(),
            FALSE => glance::boolean(false),
            TRUE => glance::boolean(true),
            INT => glance::int(value.int()?),
            FLOAT => glance::float(f64::from_le_bytes(value.take()?)),
            TEXT => glance::text(value.count()?),
            LIST => glance::list(value.count()? == 0),
            MAP => glance::map(value.count()?),
            _ => return None,
        })
    });
    sum.unwrap_or_else(broken)
}

#[inline]
pub(crate) fn walk(found: Option<&[u8]>) -> u64 {
    found.map_or(checksum::MISS, |found| walk_all(&mut Reader(found)).unwrap_or_else(broken))
}

/// Recurses: the depth of a document is bounded.
fn walk_all(value: &mut Reader<'_>) -> Option<u64> {
    Some(match value.tag()? {
        NULL => checksum::null(),
        FALSE => checksum::boolean(false),
        TRUE => checksum::boolean(true),
        INT => checksum::int(value.int()?),
        FLOAT => checksum::float(f64::from_le_bytes(value.take()?)),
        TEXT => checksum::text(value.text()?),
        LIST => {
            let count = value.count()?;
            checksum::list((0..count).map(|_| walk_all(value).unwrap_or_else(broken)))
        }
        MAP => {
            let count = value.count()?;
            let entries = (0..count).map(|_| {
                let key = walk_all(value).unwrap_or_else(broken);
                (key, walk_all(value).unwrap_or_else(broken))
            });
            checksum::map(entries)
        }
        _ => return None,
    })
}

/// A sum that is right nowhere, for bytes that no table has.
#[cold]
fn broken() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Depth, Workload};

    #[test]
    fn a_table_agrees_with_the_document() {
        let document = Document::shipped().unwrap();
        let work = Workload::new(&document);
        let table = encode(&document, 7).unwrap();
        assert_eq!(version(&table), Some(7));
        assert_eq!(work.pass(|key| glance(lookup(&table, key))), work.expected(Depth::Glance));
        assert_eq!(work.pass(|key| walk(lookup(&table, key))), work.expected(Depth::Walk));
    }

    #[test]
    fn every_kind_has_the_sums_of_the_document() {
        let document = Document::of_values(Doc::every_kind());
        let table = encode(&document, 0).unwrap();
        for (key, doc) in &document.table {
            assert_eq!(glance(lookup(&table, key)), doc.glance(), "{doc:?}");
            assert_eq!(walk(lookup(&table, key)), doc.walk(), "{doc:?}");
        }
        assert_eq!(lookup(&table, &Key::Index(99)), None);
    }

    #[test]
    fn bytes_cut_short_are_right_nowhere() {
        let document = Document::shipped().unwrap();
        let (key, doc) = &document.table[0];
        let table = encode(&document, 0).unwrap();
        let whole = lookup(&table, key).unwrap();
        assert_ne!(walk(Some(&whole[..4])), doc.walk());
        assert_eq!(glance(Some(&[])), u64::MAX);
        assert_eq!((version(&[]), lookup(&[], key), lookup(&table[..HEAD], key)), (None, None, None));
    }
}
