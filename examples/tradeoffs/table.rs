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
pub(crate) const HOLDERS: [usize; 2] = [10, 1_000];
/// How many hold the table when its owner has ended.
pub(crate) const KEEPERS: usize = 8;

/// One way to give many processes a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Of one table.
    pub(crate) words: Figure,
    /// Of one more process that can read the table, itself and its mailbox included.
    pub(crate) bytes_per_process: Figure,
    /// Of the tables that [`KEEPERS`] processes keep alive when the process that gave it to them has ended.
    pub(crate) bytes_kept: Figure,
    /// Look a key up and see the kind and size of its value: alone, and two readers at once.
    pub(crate) ns_read: [Figure; 2],
    /// The same, and visit every cell of the value.
    pub(crate) ns_walk: [Figure; 2],
    /// The sender's side of sending the table to a process that isn't running.
    pub(crate) ns_send: Figure,
    /// Until the old table is freed: with each number of idle processes, then of holders.
    pub(crate) replace_us: [Figure; IDLE.len() + HOLDERS.len()],
    /// The longest time for which a process that has nothing to do with it doesn't run meanwhile, with the most holders.
    pub(crate) pause_us: Figure,
    /// Of the heaps of those holders, or of the one heap of all, for one replacement.
    pub(crate) collections: Figure,
    pub(crate) note: String,
}

/// Bytes of what is sent.
pub(crate) const PAYLOADS: [usize; 7] = [8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20];

/// One way to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SendRow {
    pub(crate) name: &'static str,
    /// The sender's side, by payload.
    pub(crate) ns_send: [Figure; PAYLOADS.len()],
    pub(crate) note: String,
}

/// How long a process is kept from its next turn, in microseconds.
///
/// Of moments, not of turns: what comes at a random moment meets the long gaps more often than the short ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: Figure,
    pub(crate) p99: Figure,
    pub(crate) p999: Figure,
    pub(crate) longest: Figure,
    /// The whole of it: a gap in microseconds, and the share of moments in gaps no longer.
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Quantiles {
    /// From gaps in nanoseconds, short ones first, and how many there were of each.
    pub(crate) fn of(gaps: &[(f64, u64)]) -> Self {
        let total: f64 = gaps.iter().map(|&(ns, count)| ns * count as f64).sum();
        let mut sum = 0.0;
        let curve: Vec<_> = gaps
            .iter()
            .map(|&(ns, count)| {
                sum += ns * count as f64;
                (ns / 1e3, sum / total)
            })
            .collect();
        let at = |share: f64| {
            let reached = curve.iter().find(|&&(_, reached)| reached >= share).or(curve.last());
            Figure::measured(reached.map(|&(us, _)| us))
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), longest: at(1.0), curve }
    }
}

/// What one process notices of another's collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LatencyRow {
    pub(crate) name: &'static str,
    pub(crate) quantiles: Quantiles,
    pub(crate) note: String,
}

/// One further figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) figure: Figure,
    pub(crate) unit: &'static str,
    pub(crate) note: String,
}

/// How many threads count at once.
pub(crate) const THREADS: [usize; 3] = [1, 2, 4];

/// One way to count requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CountRow {
    pub(crate) name: &'static str,
    pub(crate) bytes: Figure,
    /// One thread, and more at once.
    pub(crate) ns_add: [Figure; THREADS.len()],
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

    /// Of the figures, where the headings don't say it.
    fn unit(&self) -> &'static str {
        ""
    }
}

impl Print for Row {
    const SECTION: &'static str = "table";
    const TITLE: &'static str = "one table for many processes";
    const LEGEND: &'static str = "\
        A read looks a key up and sees the kind and size of its value; a walk visits all of the value as well. A send is \
        the sender's side of giving the table to a process that isn't running. A replacement lasts from the moment at \
        which the new version is built until the memory of the old one is freed; idle processes wait, and may read the \
        table when they run again; holders have it in their state. The pause is the longest time for which a process \
        that has nothing to do with the table doesn't run while the table of 1,000 holders is replaced. Bytes kept are \
        those that 8 holders keep alive once the process that gave them the table has ended. A dash has its reason below.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let [read, read_2] = &self.ns_read;
        let [walk, walk_2] = &self.ns_walk;
        let [idle_0, idle_1k, idle_100k, holders_10, holders] = &self.replace_us;
        vec![
            column("words", ["", "words"], "words", &self.words),
            column("bytes_per_process", ["bytes per", "process"], "bytes per process", &self.bytes_per_process),
            column("bytes_kept_by_8", ["bytes kept", "by 8"], "bytes kept by 8", &self.bytes_kept),
            column("ns_read", ["ns per", "read"], "ns per read", read),
            column("ns_read_2_threads", ["two", "readers"], "ns per read, two readers", read_2),
            column("ns_walk", ["ns per", "walk"], "ns per walk", walk),
            column("ns_walk_2_threads", ["two", "walkers"], "ns per walk, two walkers", walk_2),
            column("ns_send", ["ns per", "send"], "ns per send", &self.ns_send),
            column("replace_us_idle_0", ["us to replace,", "0 idle"], "replacing, 0 idle processes", idle_0),
            column("replace_us_idle_1000", ["", "1,000 idle"], "replacing, 1,000 idle processes", idle_1k),
            column("replace_us_idle_100000", ["", "100,000 idle"], "replacing, 100,000 idle processes", idle_100k),
            column("replace_us_holders_10", ["10", "holders"], "replacing, 10 holders", holders_10),
            column("replace_us_holders_1000", ["1,000", "holders"], "replacing, 1,000 holders", holders),
            column("collections", ["collec-", "tions"], "collections of 1,000 holders", &self.collections),
            column("pause_us", ["another's", "pause, us"], "longest pause of another process", &self.pause_us),
        ]
    }
}

impl Print for SendRow {
    const SECTION: &'static str = "sends";
    const TITLE: &'static str = "ns per send, by the size of what is sent";
    const LEGEND: &'static str = "\
        The sender's side of a send to a process that isn't running. The payload is a list of small integers, 16 bytes \
        each (8 bytes: one integer), or as many bytes.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let [b8, b64, b512, k4, k32, k256, m1] = &self.ns_send;
        vec![
            column("ns_8", ["", "8 B"], "8 B", b8),
            column("ns_64", ["", "64 B"], "64 B", b64),
            column("ns_512", ["", "512 B"], "512 B", b512),
            column("ns_4096", ["", "4 KiB"], "4 KiB", k4),
            column("ns_32768", ["", "32 KiB"], "32 KiB", k32),
            column("ns_262144", ["", "256 KiB"], "256 KiB", k256),
            column("ns_1048576", ["", "1 MiB"], "1 MiB", m1),
        ]
    }
}

impl Print for LatencyRow {
    const SECTION: &'static str = "latency";
    const TITLE: &'static str = "microseconds from one turn of a small process to its next";
    const LEGEND: &'static str = "\
        A process that does next to nothing takes turn after turn on one worker while something else happens on the \
        other. The shares are of moments: half of all moments lie in gaps that are no longer than the first figure.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let Quantiles { p50, p99, p999, longest, .. } = &self.quantiles;
        vec![
            column("p50_us", ["", "half"], "half", p50),
            column("p99_us", ["", "99 %"], "99 %", p99),
            column("p999_us", ["", "99.9 %"], "99.9 %", p999),
            column("longest_us", ["", "longest"], "longest", longest),
        ]
    }
}

impl Print for Fact {
    const SECTION: &'static str = "further";
    const TITLE: &'static str = "further figures";
    const LEGEND: &'static str = "Each in its own unit.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        vec![column("figure", ["", "figure"], "figure", &self.figure)]
    }

    fn unit(&self) -> &'static str {
        self.unit
    }
}

impl Print for CountRow {
    const SECTION: &'static str = "counting";
    const TITLE: &'static str = "counting requests";
    const LEGEND: &'static str = "\
        An add counts one request; several threads count into the same counter, and the figure is what a thread waits for \
        an add of its own. A total reads what all of them counted.";

    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let [add, add_2, add_4] = &self.ns_add;
        vec![
            column("bytes", ["", "bytes"], "bytes", &self.bytes),
            column("ns_add", ["ns per", "add"], "ns per add", add),
            column("ns_add_2_threads", ["two", "threads"], "ns per add, two threads", add_2),
            column("ns_add_4_threads", ["four", "threads"], "ns per add, four threads", add_4),
            column("ns_total", ["ns per", "total"], "ns per total", &self.ns_total),
        ]
    }
}

/// What a table shows, cell by cell.
pub(crate) struct Grid {
    pub(crate) headings: Vec<String>,
    pub(crate) lines: Vec<GridLine>,
}

pub(crate) struct GridLine {
    pub(crate) name: &'static str,
    pub(crate) cells: Vec<String>,
}

/// The rows with their units; a heading in one piece.
pub(crate) fn grid<R: Print>(rows: &[R]) -> Grid {
    let headings = rows.first().map(|row| row.columns().into_iter().map(|column| column.name.to_owned()).collect());
    let line = |row: &R| {
        let unit = row.unit();
        let cells =
            row.columns().into_iter().map(|column| format!("{} {unit}", column.figure.human()).trim_end().to_owned());
        GridLine { name: row.name(), cells: cells.collect() }
    };
    Grid { headings: headings.unwrap_or_default(), lines: rows.iter().map(line).collect() }
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
    let mut line = |name: &str, cells: &mut dyn Iterator<Item = &str>, unit: &str| {
        let mut text = format!("{name:name_width$}");
        for (cell, width) in cells.zip(&widths) {
            // Writing to a string doesn't fail.
            let _ = write!(text, "  {cell:>width$}");
        }
        let _ = write!(text, " {unit}");
        out.push_str(text.trim_end());
        out.push('\n');
    };
    if headings.iter().any(|heading| !heading[0].is_empty()) {
        line("", &mut headings.iter().map(|heading| heading[0]), "");
    }
    line("", &mut headings.iter().map(|heading| heading[1]), "");
    for (row, cells) in rows.iter().zip(&cells) {
        line(row.name(), &mut cells.iter().map(String::as_str), row.unit());
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
    if !row.unit().is_empty() {
        let _ = write!(out, ",\"unit\":{}", quoted(row.unit()));
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

    fn row(ns_add: [Figure; THREADS.len()]) -> CountRow {
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
        let four = || Figure::Is(8.0);
        let rows = [
            row([Figure::Is(2.0), Figure::none("one core"), four()]),
            row([Figure::Is(1_000.0), Figure::Is(5.25), four()]),
        ];
        let expected = "\
counting requests

An add counts one request; several threads count into the same counter, and the figure is what a thread waits
for an add of its own. A total reads what all of them counted.

                 ns per      two     four  ns per
          bytes     add  threads  threads   total
a \"cell\"      8       2        -        8    0.51
a \"cell\"      8   1,000     5.25        8    0.51

a \"cell\": in one line
    ns per add, two threads: one core

a \"cell\": in one line
";
        assert_eq!(human(&rows), expected);
        assert_eq!(human::<CountRow>(&[]), "");
    }

    #[test]
    fn shares_are_of_moments() {
        // A millisecond in one gap, and a little more in many short ones.
        let quantiles = Quantiles::of(&[(1_000.0, 1_100), (10_000.0, 10), (1_000_000.0, 1)]);
        let Quantiles { p50, p99, p999, longest, curve } = quantiles;
        assert_eq!([p50, p99, p999, longest], [1.0, 1_000.0, 1_000.0, 1_000.0].map(Figure::Is));
        assert_eq!(curve.len(), 3);
        assert!((curve[0].1 - 1_100.0 / 2_200.0).abs() < 1e-9);
        assert_eq!(Quantiles::of(&[]).p50, Figure::none("nothing was measured"));
    }

    #[test]
    fn a_figure_has_its_unit() {
        let fact = Fact { name: "to wait", figure: Figure::Is(2.0), unit: "ms", note: String::new() };
        assert!(human(std::slice::from_ref(&fact)).contains("\nto wait       2 ms\n"));
        assert!(json(&fact).contains("\"unit\":\"ms\""));
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
        let line = json(&row([Figure::Is(2.5), Figure::none("one core"), Figure::Is(8.0)]));
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
