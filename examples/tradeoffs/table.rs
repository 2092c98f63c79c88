//! Rows and how they are printed.

use std::borrow::Cow;
use std::fmt::Write;

/// A figure, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Figure {
    Is(f64),
    None(Cow<'static, str>),
}

impl Figure {
    pub(crate) fn none(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::None(reason.into())
    }

    /// A measured figure; there is none where nothing was measured.
    pub(crate) fn measured(figure: Option<f64>) -> Self {
        match figure {
            Some(figure) if figure.is_finite() => Self::Is(figure),
            _ => Self::none("nothing was measured"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes of this example stay below 2^52")]
    pub(crate) fn count(count: usize) -> Self {
        Self::Is(count as f64)
    }

    pub(crate) fn human(&self) -> String {
        match self {
            Self::None(_) => "-".into(),
            Self::Is(figure) if *figure >= 1_000.0 || figure.fract() == 0.0 => thousands(figure.round()),
            Self::Is(figure) if *figure >= 100.0 => format!("{figure:.0}"),
            Self::Is(figure) if *figure >= 10.0 => format!("{figure:.1}"),
            Self::Is(figure) => format!("{figure:.2}"),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::None(_) => "null".into(),
            Self::Is(figure) if figure.fract() == 0.0 => format!("{figure:.0}"),
            Self::Is(figure) => format!("{figure:.3}"),
        }
    }
}

fn thousands(whole: f64) -> String {
    let digits = format!("{whole:.0}");
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How many processes there are while a table is replaced: idle ones that don't hold it, or holders.
pub(crate) const IDLE: [usize; 3] = [0, 1_000, 100_000];
pub(crate) const HOLDERS: usize = 1_000;

/// One way to give many processes a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Of one table.
    pub(crate) words: Figure,
    /// Of one more process that can read the table, itself and its mailbox included.
    pub(crate) bytes_per_process: Figure,
    /// Look a key up and see the kind and size of its value: alone, and two readers at once.
    pub(crate) ns_read: [Figure; 2],
    /// The same, and visit every cell of the value.
    pub(crate) ns_walk: [Figure; 2],
    /// The sender's side of sending the table to a process that isn't running.
    pub(crate) ns_send: Figure,
    /// Until the old table is freed: with each number of idle processes, then with holders.
    pub(crate) replace_us: [Figure; IDLE.len() + 1],
    pub(crate) note: String,
}

/// One way to count requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CountRow {
    pub(crate) name: &'static str,
    pub(crate) bytes: Figure,
    /// One thread, and two at once.
    pub(crate) ns_add: [Figure; 2],
    /// To read the total.
    pub(crate) ns_total: Figure,
    pub(crate) note: String,
}

pub(crate) struct Column<'a> {
    key: &'static str,
    heading: [&'static str; 2],
    /// The heading, in a sentence.
    name: &'static str,
    figure: &'a Figure,
}

const fn column<'a>(
    key: &'static str,
    heading: [&'static str; 2],
    name: &'static str,
    figure: &'a Figure,
) -> Column<'a> {
    Column { key, heading, name, figure }
}

/// What both kinds of row have: a name, columns, a note.
pub(crate) trait Print {
    const SECTION: &'static str;
    const TITLE: &'static str;
    /// What the columns are about.
    const LEGEND: &'static str;

    fn name(&self) -> &'static str;
    fn note(&self) -> &str;
    fn columns(&self) -> Vec<Column<'_>>;
}

impl Print for Row {
    const SECTION: &'static str = "table";
    const TITLE: &'static str = "one table for many processes";
    const LEGEND: &'static str = "\
        A read looks a key up and sees the kind and size of its value; a walk visits all of the value as well. A send is \
        the sender's side of giving the table to a process that isn't running. A replacement lasts from the moment at \
        which the new version is built until the memory of the old one is freed; idle processes wait, and may read the \
        table when they run again; holders have it in their state. A dash has its reason below.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let [read, read_2] = &self.ns_read;
        let [walk, walk_2] = &self.ns_walk;
        let [idle_0, idle_1k, idle_100k, holders] = &self.replace_us;
        vec![
            column("words", ["", "words"], "words", &self.words),
            column("bytes_per_process", ["bytes per", "process"], "bytes per process", &self.bytes_per_process),
            column("ns_read", ["ns per", "read"], "ns per read", read),
            column("ns_read_2_threads", ["two", "readers"], "ns per read, two readers", read_2),
            column("ns_walk", ["ns per", "walk"], "ns per walk", walk),
            column("ns_walk_2_threads", ["two", "walkers"], "ns per walk, two walkers", walk_2),
            column("ns_send", ["ns per", "send"], "ns per send", &self.ns_send),
            column("replace_us_idle_0", ["us to replace,", "0 idle"], "replacing, 0 idle processes", idle_0),
            column("replace_us_idle_1000", ["", "1,000 idle"], "replacing, 1,000 idle processes", idle_1k),
            column("replace_us_idle_100000", ["", "100,000 idle"], "replacing, 100,000 idle processes", idle_100k),
            column("replace_us_holders_1000", ["1,000", "holders"], "replacing, 1,000 holders", holders),
        ]
    }
}

impl Print for CountRow {
    const SECTION: &'static str = "counting";
    const TITLE: &'static str = "counting requests";
    const LEGEND: &'static str = "\
        An add counts one request; two threads count into the same counter. A total reads what all of them counted.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let [add, add_2] = &self.ns_add;
        vec![
            column("bytes", ["", "bytes"], "bytes", &self.bytes),
            column("ns_add", ["ns per", "add"], "ns per add", add),
            column("ns_add_2_threads", ["two", "threads"], "ns per add, two threads", add_2),
            column("ns_total", ["ns per", "total"], "ns per total", &self.ns_total),
        ]
    }
}

/// An aligned table with what has to be said about its rows below it. Nothing for no rows.
pub(crate) fn human<R: Print>(rows: &[R]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let headings: Vec<_> = first.columns().iter().map(|column| column.heading).collect();
    let cells: Vec<Vec<_>> =
        rows.iter().map(|row| row.columns().iter().map(|column| column.figure.human()).collect()).collect();
    let name_width = rows.iter().map(|row| row.name().len()).max().unwrap_or(0);
    let widths: Vec<_> = headings
        .iter()
        .enumerate()
        .map(|(at, heading)| {
            let longest_cell = cells.iter().map(|row| row[at].len()).max().unwrap_or(0);
            longest_cell.max(heading[0].len()).max(heading[1].len())
        })
        .collect();
    let mut out = format!("{}\n\n", R::TITLE);
    wrap(&mut out, R::LEGEND, "");
    out.push('\n');
    let mut line = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
        let mut text = format!("{name:name_width$}");
        for (cell, width) in cells.zip(&widths) {
            // Writing to a string doesn't fail.
            let _ = write!(text, "  {cell:>width$}");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line("", &mut headings.iter().map(|heading| heading[0]));
    line("", &mut headings.iter().map(|heading| heading[1]));
    for (row, cells) in rows.iter().zip(&cells) {
        line(row.name(), &mut cells.iter().map(String::as_str));
    }
    for row in rows {
        let gaps = gaps(row);
        if row.note().is_empty() && gaps.is_empty() {
            continue;
        }
        out.push('\n');
        wrap(&mut out, &format!("{}: {}", row.name(), row.note()), INDENT);
        for (column, reason) in gaps {
            wrap(&mut out, &format!("    {}: {reason}", column.name), INDENT);
        }
    }
    out
}

/// Of what is said about a row.
const INDENT: &str = "    ";

/// Adds `text` in lines of bounded width, with `indent` before the second and later ones.
fn wrap(out: &mut String, text: &str, indent: &str) {
    const WIDTH: usize = 110;
    let mut column = 0;
    for word in text.split_inclusive(' ') {
        let length = word.chars().count();
        if column > 0 && column + length > WIDTH {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        }
        out.push_str(word);
        column += length;
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
}

/// One object on one line.
pub(crate) fn json<R: Print>(row: &R) -> String {
    let mut out = format!("{{\"section\":{},\"row\":{}", quoted(R::SECTION), quoted(row.name()));
    for column in row.columns() {
        let _ = write!(out, ",{}:{}", quoted(column.key), column.figure.json());
    }
    let reasons: Vec<_> =
        gaps(row).iter().map(|(column, reason)| format!("{}:{}", quoted(column.key), quoted(reason))).collect();
    let _ = write!(out, ",\"reasons\":{{{}}},\"note\":{}}}", reasons.join(","), quoted(row.note()));
    out
}

/// The columns without a figure, each with its reason.
fn gaps<R: Print>(row: &R) -> Vec<(Column<'_>, &str)> {
    let columns = row.columns().into_iter();
    columns
        .filter_map(|column| match column.figure {
            Figure::None(reason) => Some((column, &**reason)),
            Figure::Is(_) => None,
        })
        .collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ns_add: [Figure; 2]) -> CountRow {
        let (bytes, ns_total) = (Figure::count(8), Figure::measured(Some(0.514)));
        CountRow { name: "a \"cell\"", bytes, ns_add, ns_total, note: "in one line".into() }
    }

    #[test]
    fn figures_are_as_long_as_they_are_precise() {
        let human = [0.514, 12.345, 123.4, 1_234.4, 1_234_567.0, 3.0].map(|figure| Figure::Is(figure).human());
        assert_eq!(human, ["0.51", "12.3", "123", "1,234", "1,234,567", "3"]);
        assert_eq!(Figure::Is(1_234.56).json(), "1234.560");
        assert_eq!(Figure::count(7).json(), "7");
        assert_eq!(Figure::measured(Some(f64::NAN)), Figure::none("nothing was measured"));
    }

    #[test]
    fn a_table_is_aligned_and_explains_its_gaps() {
        let rows = [row([Figure::Is(2.0), Figure::none("one core")]), row([Figure::Is(1_000.0), Figure::Is(5.25)])];
        let expected = "\
counting requests

An add counts one request; two threads count into the same counter. A total reads what all of them counted.

                 ns per      two  ns per
          bytes     add  threads   total
a \"cell\"      8       2        -    0.51
a \"cell\"      8   1,000     5.25    0.51

a \"cell\": in one line
    ns per add, two threads: one core

a \"cell\": in one line
";
        assert_eq!(human(&rows), expected);
        assert_eq!(human::<CountRow>(&[]), "");
    }

    #[test]
    fn long_notes_are_wrapped() {
        let mut out = String::new();
        wrap(&mut out, &"word ".repeat(50), INDENT);
        assert!(out.lines().all(|line| line.len() <= 110 && line == line.trim_end()));
        assert_eq!(out.lines().count(), 3);
        assert_eq!(out.split_whitespace().count(), 50);
    }

    #[test]
    fn an_object_per_row_with_null_and_reason() {
        let line = json(&row([Figure::Is(2.5), Figure::none("one core")]));
        assert!(!line.contains('\n'));
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["section"], "counting");
        assert_eq!(object["row"], "a \"cell\"");
        assert_eq!(object["ns_add"], 2.5);
        assert_eq!(object["ns_add_2_threads"], serde_json::Value::Null);
        assert_eq!(object["reasons"]["ns_add_2_threads"], "one core");
        assert_eq!(object["note"], "in one line");
    }
}
