//! A JSON document, checked and turned into the table that the processes need.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::checksum;

/// Larger documents are refused: a table is copied into many processes here.
const MAX_BYTES: usize = 64 << 20;
/// As many values as every representation can hold several times over in a few GiB.
const MAX_VALUES: usize = 2_000_000;
/// Everything in this example that follows a value down may recurse because of this bound.
const MAX_DEPTH: usize = 100;

const SHIPPED: &[u8] = include_bytes!("../data/mime-db.json");
const SHIPPED_NAME: &str = "examples/data/mime-db.json";

/// A JSON value in no particular representation: what every row builds its own table from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Doc {
    Null,
    Bool(bool),
    Int(i64),
    /// Also whole numbers beyond `i64`.
    Float(f64),
    Text(Box<str>),
    List(Vec<Doc>),
    /// Sorted by key, no key twice.
    Map(Vec<(Box<str>, Doc)>),
}

/// A key of the table: the name in an object, the position in an array. One table has keys of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Index(i64),
    Text(Box<str>),
}

#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) bytes: usize,
    /// How many JSON values it has, the table itself included.
    pub(crate) values: usize,
    /// Sorted by key, no key twice, not empty.
    pub(crate) table: Vec<(Key, Doc)>,
}

/// Why a document can't be used, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    file: String,
    /// Line and column, from 1.
    at: Option<(usize, Option<usize>)>,
    what: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        match self.at {
            Some((line, Some(column))) => write!(f, "line {line}, column {column}: ")?,
            Some((line, None)) => write!(f, "line {line}: ")?,
            None => {}
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refused {}

impl Document {
    /// The document that comes with the example. It lies in the program, so that it runs from any directory.
    pub(crate) fn shipped() -> Result<Self, Refused> {
        Self::parse(SHIPPED_NAME, SHIPPED)
    }

    /// The user's own.
    pub(crate) fn load(path: &Path) -> Result<Self, Refused> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        // Not by the file's length: a pipe has none, and a file can grow.
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return Err(Refused { file: name, at: None, what: format!("can't be read: {error}") });
        }
        Self::parse(&name, &bytes)
    }

    fn parse(name: &str, bytes: &[u8]) -> Result<Self, Refused> {
        let refuse = |at, what| Err(Refused { file: name.to_owned(), at: Some(at), what });
        if bytes.len() > MAX_BYTES {
            let what = format!(
                "here the document passes {} MiB, the most that this example takes; keep the entries that the \
                 processes need, or split it into several documents and run each",
                MAX_BYTES >> 20
            );
            return refuse((line_at(&bytes[..MAX_BYTES]), None), what);
        }
        // Editors of one system put a byte order mark in front; JSON allows a reader to pass over it.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let Some(start) = text.iter().position(|byte| !byte.is_ascii_whitespace()) else {
            return refuse((line_at(text), None), "the document is empty".into());
        };
        let values = Cell::new(0);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let parsed = Seed { values: &values, depth: 0 }.deserialize(&mut reader).and_then(|doc| {
            reader.end()?;
            Ok(doc)
        });
        let doc = match parsed {
            Ok(doc) => doc,
            Err(error) => {
                let what = error.to_string();
                // The place is said once, in front.
                let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
                return refuse((error.line(), Some(error.column().max(1))), what.to_owned());
            }
        };
        let table: Vec<_> = match doc {
            Doc::Map(entries) => entries.into_iter().map(|(key, value)| (Key::Text(key), value)).collect(),
            Doc::List(values) => (0..).map(Key::Index).zip(values).collect(),
            other => {
                let what = format!(
                    "the top level is {}; a table is an object or an array with at least one entry",
                    other.kind()
                );
                return refuse((line_at(&text[..start]), None), what);
            }
        };
        if table.is_empty() {
            let what = "the top level has no entries; a table is an object or an array with at least one entry".into();
            return refuse((line_at(&text[..start]), None), what);
        }
        Ok(Self { name: name.to_owned(), bytes: bytes.len(), values: values.get(), table })
    }

    /// One that comes from nowhere. Keys must be sorted, none twice.
    pub(crate) fn of_table(table: Vec<(Key, Doc)>) -> Self {
        Self { name: String::new(), bytes: 0, values: 0, table }
    }

    /// The values at the positions 0, 1, ...
    #[cfg(test)]
    pub(crate) fn of_values(values: Vec<Doc>) -> Self {
        Self::of_table((0..).map(Key::Index).zip(values).collect())
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Doc> {
        let at = self.table.binary_search_by(|(candidate, _)| candidate.cmp(key)).ok()?;
        Some(&self.table[at].1)
    }
}

impl Doc {
    /// Each kind, empty, short and long: what a representation must get right.
    #[cfg(test)]
    pub(crate) fn every_kind() -> Vec<Self> {
        let text = |text: &str| Self::Text(text.into());
        let nested = Self::List(vec![Self::Null, Self::Bool(true)]);
        vec![
            Self::Null,
            Self::Bool(false),
            Self::Bool(true),
            Self::Int(-1),
            Self::Int(i64::MIN),
            Self::Float(0.5),
            text(""),
            text("abc"),
            text(&"long".repeat(100)),
            Self::List(vec![]),
            Self::Map(vec![]),
            Self::Map(vec![("a".into(), text("b")), ("k".into(), nested)]),
        ]
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Map(_) => "an object",
        }
    }

    pub(crate) fn glance(&self) -> u64 {
        match self {
            Self::Null => checksum::glance::null(),
            Self::Bool(value) => checksum::glance::boolean(*value),
            Self::Int(value) => checksum::glance::int(*value),
            Self::Float(value) => checksum::glance::float(*value),
            Self::Text(text) => checksum::glance::text(text.len()),
            Self::List(values) => checksum::glance::list(values.is_empty()),
            Self::Map(entries) => checksum::glance::map(entries.len()),
        }
    }

    pub(crate) fn walk(&self) -> u64 {
        match self {
            Self::Null => checksum::null(),
            Self::Bool(value) => checksum::boolean(*value),
            Self::Int(value) => checksum::int(*value),
            Self::Float(value) => checksum::float(*value),
            Self::Text(text) => checksum::text(text.as_bytes()),
            Self::List(values) => checksum::list(values.iter().map(Self::walk)),
            Self::Map(entries) => {
                checksum::map(entries.iter().map(|(key, value)| (checksum::text(key.as_bytes()), value.walk())))
            }
        }
    }
}

/// The line, from 1, that follows these bytes.
fn line_at(bytes: &[u8]) -> usize {
    bytes.split(|&byte| byte == b'\n').count()
}

/// Reads one value, bounded in depth and in the number of values of the whole document. The parser adds line and column
/// to the errors made here.
struct Seed<'a> {
    values: &'a Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn inner<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { values: self.values, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Doc;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Doc, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(D::Error::custom(format_args!(
                "more than {MAX_VALUES} values; keep the entries that the processes need, or split the document"
            )));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Doc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Doc, E> {
        Ok(Doc::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Doc, E> {
        Ok(Doc::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Doc, E> {
        Ok(Doc::Int(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond i64 a JSON number is a float, as most readers have it")]
    fn visit_u64<E>(self, value: u64) -> Result<Doc, E> {
        Ok(i64::try_from(value).map_or(Doc::Float(value as f64), Doc::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Doc, E> {
        Ok(Doc::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Doc, E> {
        Ok(Doc::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Doc, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Doc::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Doc, A::Error> {
        let mut entries: Vec<(Box<str>, Doc)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key.into(), map.next_value_seed(self.inner()?)?));
        }
        // A key that comes twice has the value that came last, as in most readers: reversed, the stable sort keeps it
        // in front of the others, and they are what `dedup` drops.
        entries.reverse();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|(a, _), (b, _)| a == b);
        Ok(Doc::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse("t.json", text.as_bytes()).map_err(|refused| refused.to_string())
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err("must be refused")
    }

    #[test]
    fn the_shipped_document_is_a_table() {
        let document = Document::shipped().unwrap();
        assert_eq!(document.table.len(), 2_522);
        let Some(Doc::Map(html)) = document.get(&Key::Text("text/html".into())) else { panic!("no text/html") };
        let extensions = html.iter().find(|(key, _)| &**key == "extensions").map(|(_, value)| value);
        assert_eq!(extensions, Some(&Doc::List(["html", "htm", "shtml"].map(|e| Doc::Text(e.into())).into())));
    }

    #[test]
    fn every_kind_is_read() {
        let all = r#"{"e":[], "b":true, "a":null, "c":-3, "d":1.5, "f":{}, "g":"\u00e9", "h":18446744073709551615}"#;
        let document = parse(all).unwrap();
        let values: Vec<_> = document.table.iter().map(|(_, value)| value.clone()).collect();
        let expected = [
            Doc::Null,
            Doc::Bool(true),
            Doc::Int(-3),
            Doc::Float(1.5),
            Doc::List(vec![]),
            Doc::Map(vec![]),
            Doc::Text("é".into()),
            Doc::Float(18_446_744_073_709_551_615.0),
        ];
        assert_eq!(values, expected);
        assert_eq!(document.values, 9);
    }

    #[test]
    fn an_array_is_a_table_by_position() {
        let document = parse(r#"["a", "b"]"#).unwrap();
        assert_eq!(document.get(&Key::Index(1)), Some(&Doc::Text("b".into())));
        assert_eq!(document.get(&Key::Index(2)), None);
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        let document = parse(r#"{"a":1, "b":2, "a":3, "a":4}"#).unwrap();
        assert_eq!(document.table.len(), 2);
        assert_eq!(document.get(&Key::Text("a".into())), Some(&Doc::Int(4)));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(parse("\u{feff}[1]").unwrap().table.len(), 1);
    }

    #[test]
    fn malformed_documents_name_the_place() {
        assert_eq!(refused("{\n  \"a\": 1,\n  \"b\" 2\n}"), "t.json: line 3, column 7: expected `:`");
        assert_eq!(refused("[1, 2"), "t.json: line 1, column 5: EOF while parsing a list");
        assert_eq!(refused("[1]\n[2]"), "t.json: line 2, column 1: trailing characters");
        assert_eq!(refused("[1e999]"), "t.json: line 1, column 6: number out of range");
        assert!(Document::parse("t.json", b"[\n\"\xff\"]").is_err_and(|e| e.to_string().contains("line 2")));
    }

    #[test]
    fn empty_documents_and_scalars_say_what_a_table_is() {
        assert_eq!(refused(""), "t.json: line 1: the document is empty");
        assert_eq!(refused(" \n\n "), "t.json: line 3: the document is empty");
        let table = "a table is an object or an array with at least one entry";
        assert_eq!(refused("\n{}"), format!("t.json: line 2: the top level has no entries; {table}"));
        assert_eq!(refused("[]"), format!("t.json: line 1: the top level has no entries; {table}"));
        assert_eq!(refused("\n\n \"x\""), format!("t.json: line 3: the top level is a string; {table}"));
    }

    #[test]
    fn depth_is_an_error_and_not_a_stack_overflow() {
        let nested = |depth: usize| "[".repeat(depth) + "1" + &"]".repeat(depth);
        assert_eq!(parse(&nested(MAX_DEPTH)).unwrap().table.len(), 1);
        assert!(refused(&nested(MAX_DEPTH + 1)).contains("line 1, column 101: nested deeper than 100 levels"));
        let objects = format!("\n{}", "{\"a\":".repeat(1_000_000));
        assert!(refused(&objects).contains("line 2, column 50"));
    }

    #[test]
    fn too_many_values_name_the_line_at_which_they_are() {
        let text = format!("[\n{}0]", "0,\n".repeat(MAX_VALUES - 1));
        // The array is a value too: with one per line, the last of them is one too many.
        let place = format!("t.json: line {}, column 1: more than 2000000 values", MAX_VALUES + 1);
        assert!(refused(&text).starts_with(&place), "{}", refused(&text));
    }

    #[test]
    fn too_many_bytes_name_the_line_at_which_they_are() {
        let text = vec![b'\n'; MAX_BYTES + 1];
        let error = Document::parse("t.json", &text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("t.json: line {}: here the document passes 64 MiB", MAX_BYTES + 1)),
            "{error}"
        );
    }
}
