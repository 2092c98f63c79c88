//! The page: plots with a sentence each, what to use when, and every figure.

use std::fmt::Write;

use crate::document::Document;
use crate::rows::Measured;
use crate::table::{self, CountRow, Figure, HOLDERS, IDLE, Print, Row, THREADS};

use super::plots::{Axis, Line, Plot, SERIES, Spacing};
use super::sentences::{self, time, value};

const CSS: &str = include_str!("page.css");
/// Pixels of a plot: for wide windows, and for narrow ones.
const SIZES: [(&str, u32, u32); 2] = [("wide", 940, 460), ("narrow", 372, 380)];

pub(super) fn html(document: &Document, measured: &Measured) -> Result<String, String> {
    let mut page = String::new();
    let title = "What does it cost to give many processes one table?";
    // Writing to a string doesn't fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{CSS}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p>The table is <b>{}</b>: {} bytes of JSON, {} values, {} keys. Each way of handing it over did the same work and \
         gave the same sums. Medians, on this machine with {} cores, by <code>cargo run --release --example tradeoffs</code>.</p>\n",
        escaped(&document.name),
        Figure::count(document.bytes).human(),
        Figure::count(document.values).human(),
        Figure::count(document.table.len()).human(),
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    choose(&mut page, measured);
    for (heading, sentence, plot) in plots(measured) {
        let _ = write!(page, "<h2>{heading}</h2>\n<p>{}</p>\n<figure>\n", escaped(&sentence));
        for (class, width, height) in SIZES {
            let svg = plot.svg(width, height)?;
            let _ = writeln!(page, "<div class=\"{class}\">{}</div>", svg.trim());
        }
        page.push_str("<ul class=\"legend\">");
        for (nth, line) in plot.lines.iter().enumerate() {
            let nth = nth % SERIES;
            let _ = write!(page, "<li><i style=\"background:var(--series-{nth})\"></i>{}</li>", escaped(line.name));
        }
        page.push_str("</ul>\n</figure>\n");
    }
    page.push_str("<h2>Every figure</h2>\n");
    figures(&mut page, &measured.tables);
    figures(&mut page, &measured.sends);
    figures(&mut page, &measured.counters);
    figures(&mut page, &measured.latencies);
    figures(&mut page, &measured.further);
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn nanoseconds(ns: f64) -> String {
    if ns < 1.0 { format!("{:.0} ps", ns * 1e3) } else { time(ns).replace(".00", "") }
}

fn microseconds(us: f64) -> String {
    nanoseconds(us * 1e3)
}

fn bytes(bytes: f64) -> String {
    sentences::bytes(bytes)
}

fn idle(step: f64) -> String {
    IDLE.get(step as usize).map_or_else(String::new, |&n| Figure::count(n).human())
}

fn holding(step: f64) -> String {
    HOLDERS.get(step as usize).map_or_else(String::new, |&n| Figure::count(n).human())
}

fn threads(step: f64) -> String {
    THREADS.get(step as usize).map_or_else(String::new, ToString::to_string)
}

/// "1 in 1,000" for a share of a thousandth.
fn one_in(share: f64) -> String {
    if share > 0.99 { "all".into() } else { format!("1 in {}", Figure::Is((1.0 / share).round()).human()) }
}

/// Points at the positions 0, 1, ... where there is a figure.
fn positions(figures: &[Figure]) -> Vec<(f64, f64)> {
    figures.iter().enumerate().filter_map(|(at, figure)| Some((at as f64, value(figure)?))).collect()
}

fn plots(measured: &Measured) -> Vec<(&'static str, String, Plot)> {
    let Measured { tables, sends, counters, latencies, .. } = measured;
    let replacing = |from: usize, to: usize| {
        tables.iter().map(|row: &Row| Line { name: row.name, points: positions(&row.replace_us[from..to]) }).collect()
    };
    let us = || Axis { name: "until the old one is freed", label: microseconds, spacing: Spacing::Powers(10.0) };
    let ns = || Axis { name: "per operation", label: nanoseconds, spacing: Spacing::Powers(10.0) };
    vec![
        (
            "A send, by the size of what is sent",
            sentences::sends(sends),
            Plot {
                x: Axis { name: "bytes sent", label: bytes, spacing: Spacing::Powers(8.0) },
                y: ns(),
                lines: sends
                    .iter()
                    .map(|row| Line { name: row.name, points: sentences::payload_points(row) })
                    .collect(),
                marks: sentences::crossovers(sends).into_iter().map(|(_, at)| at).collect(),
            },
        ),
        (
            "An update, by the number of processes that exist",
            sentences::updates(tables),
            Plot {
                x: Axis { name: "idle processes", label: idle, spacing: Spacing::Positions(IDLE.len()) },
                y: us(),
                lines: replacing(0, IDLE.len()),
                marks: Vec::new(),
            },
        ),
        (
            "An update, by the number of processes that hold the table",
            sentences::holders(tables),
            Plot {
                x: Axis { name: "holders", label: holding, spacing: Spacing::Positions(HOLDERS.len()) },
                y: us(),
                lines: replacing(IDLE.len(), IDLE.len() + HOLDERS.len()),
                marks: Vec::new(),
            },
        ),
        (
            "Counting, by the number of threads that count",
            sentences::counters(counters),
            Plot {
                x: Axis { name: "threads", label: threads, spacing: Spacing::Positions(THREADS.len()) },
                y: ns(),
                lines: counters.iter().map(|row| Line { name: row.name, points: positions(&row.ns_add) }).collect(),
                marks: Vec::new(),
            },
        ),
        (
            "One process while another collects",
            sentences::latencies(latencies),
            Plot {
                x: Axis { name: "gap between two turns", label: microseconds, spacing: Spacing::Powers(10.0) },
                y: Axis { name: "moments in longer gaps", label: one_in, spacing: Spacing::Powers(10.0) },
                lines: latencies
                    .iter()
                    .map(|row| Line {
                        name: row.name,
                        points: row
                            .quantiles
                            .curve
                            .iter()
                            .map(|&(us, share)| (us, 1.0 - share))
                            .filter(|p| p.1 > 1e-5)
                            .collect(),
                    })
                    .collect(),
                marks: Vec::new(),
            },
        ),
    ]
}

/// "Which one should I use", with this machine's figures.
fn choose(page: &mut String, measured: &Measured) {
    let table = |name: &str| measured.tables.iter().find(|row| row.name == name);
    let ns = |figure: Option<&Figure>| figure.and_then(value).map_or_else(|| "-".into(), time);
    let us = |figure: Option<&Figure>| figure.and_then(value).map_or_else(|| "-".into(), |us| time(us * 1e3));
    let send =
        |name: &str, nth: usize| ns(measured.sends.iter().find(|row| row.name == name).map(|row| &row.ns_send[nth]));
    let read = |name: &str| ns(table(name).map(|row| &row.ns_read[0]));
    let replace = |name: &str, nth: usize| us(table(name).map(|row| &row.replace_us[nth]));
    let kept = |name: &str| table(name).and_then(|row| value(&row.bytes_kept)).map_or_else(|| "-".into(), bytes);
    let pause = |name: &str| us(table(name).map(|row| &row.pause_us));
    let counter = |name: &str, nth: usize| {
        ns(measured.counters.iter().find(|row: &&CountRow| row.name == name).map(|row| &row.ns_add[nth]))
    };
    let rows = [
        (
            "A message, small",
            "copy",
            format!(
                "{} for 64 bytes. The receiver owns it, and collects it alone.",
                send("copy: cx.send(pid, term)", 1)
            ),
        ),
        (
            "A message, large, that the sender does not need again",
            "a region, moved",
            format!(
                "{} for 1 MiB, where the copy takes {}; {}.",
                send("move: cx.send(pid, region)", 6),
                send("copy: cx.send(pid, term)", 6),
                sentences::cheaper(&measured.sends, "move: cx.send(pid, region)")
            ),
        ),
        (
            "Bytes that many look at",
            "one binary, counted",
            format!(
                "A send takes {} whatever the size, and each read decodes: {} a lookup. The bytes live as long as the slowest \
                 holder.",
                send("one binary, counted", 6),
                read("one binary, counted")
            ),
        ),
        (
            "A table that all read and few replace",
            "a persistent term",
            format!(
                "{} a lookup, got anew each time; a replacement is over in {} beside 100,000 idle processes. 8 readers keep {}.",
                read("persistent term"),
                replace("persistent term", 2),
                kept("persistent term")
            ),
        ),
        (
            "The same, kept in the state of many",
            "a persistent term, with a word to its holders first",
            format!(
                "With 1,000 holders: {} when they change over before the old one is erased, {} when they are told nothing \
                 (another process then waits up to {}).",
                replace("persistent term, kept", 4),
                replace("persistent term", 4),
                pause("persistent term")
            ),
        ),
        (
            "A table that is replaced all the time",
            "a process that owns it and answers",
            format!(
                "Every replacement is a collection ({} with nobody holding it). A message to an owner and back costs two sends.",
                replace("persistent term", 0)
            ),
        ),
        (
            "Counting",
            "Counters, by a writer",
            format!(
                "{} an add with two threads, where one atomic takes {}.",
                counter("Counters: writer().add", 1),
                counter("std: one AtomicU64", 1)
            ),
        ),
        (
            "A number that one thread sets and others compare",
            "Atomics",
            format!("{} an add, exact at every moment.", counter("Atomics: one cell", 0)),
        ),
        (
            "Nothing to isolate: plain threads",
            "a channel of Box or Arc, not this library",
            format!(
                "{} to move 1 MiB, {} to share it: no heap, no process, and nobody else's panic to survive.",
                send("std: channel of Box", 6),
                send("std: channel of Arc", 6)
            ),
        ),
    ];
    page.push_str("<h2>Which one should I use?</h2>\n<table class=\"choose\">\n<thead><tr><th>For</th><th>use</th><th>because, here</th></tr></thead>\n<tbody>\n");
    for (need, way, why) in rows {
        let _ = writeln!(page, "<tr><td>{need}</td><td>{way}</td><td>{}</td></tr>", escaped(&why));
    }
    page.push_str("</tbody>\n</table>\n");
}

/// A section's table, folded.
fn figures<R: Print>(page: &mut String, rows: &[R]) {
    let table::Grid { headings, lines } = table::grid(rows);
    let _ = write!(
        page,
        "<details>\n<summary>{}</summary>\n<p class=\"soft\">{}</p>\n<div class=\"scroll\"><table>\n<thead><tr><th></th>",
        escaped(R::TITLE),
        escaped(R::LEGEND)
    );
    for heading in headings {
        let _ = write!(page, "<th>{}</th>", escaped(&heading));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for line in lines {
        let _ = write!(page, "<tr><td>{}</td>", escaped(line.name));
        for cell in line.cells {
            let _ = write!(page, "<td>{}</td>", escaped(&cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
    for row in rows.iter().filter(|row| !row.note().is_empty()) {
        let _ = writeln!(page, "<p class=\"soft\"><b>{}</b>: {}</p>", escaped(row.name()), escaped(row.note()));
    }
    page.push_str("</details>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{LatencyRow, PAYLOADS, Quantiles, SendRow};

    fn measured() -> Measured {
        let is = |n: usize| Figure::Is(n as f64 + 1.0);
        let row = |name| Row {
            name,
            words: is(1),
            bytes_per_process: is(1),
            bytes_kept: is(1),
            ns_read: [is(1), is(2)],
            ns_walk: [is(1), is(2)],
            ns_send: is(1),
            replace_us: [is(1), is(2), Figure::none("<no> room"), is(4), is(5)],
            pause_us: is(7),
            collections: is(8),
            note: "a & b".into(),
        };
        let mut nth = 0;
        let ns_send = PAYLOADS.map(|_| {
            nth += 1;
            is(nth)
        });
        let ns_add = THREADS.map(is);
        Measured {
            tables: vec![row("copy for every process"), row("persistent term")],
            sends: vec![SendRow { name: "copy", ns_send, note: String::new() }],
            counters: vec![CountRow { name: "c", bytes: is(8), ns_add, ns_total: is(1), note: String::new() }],
            latencies: vec![LatencyRow {
                name: "l",
                quantiles: Quantiles::of(&[(10.0, 5), (1e6, 1)]),
                note: String::new(),
            }],
            further: Vec::new(),
        }
    }

    #[test]
    fn a_page_stands_alone() {
        let document = Document::shipped().unwrap();
        let page = html(&document, &measured()).unwrap();
        for far in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(far), "{far}");
        }
        assert_eq!(page.matches("<svg").count(), 5 * SIZES.len());
        assert_eq!(page.matches("<figure>").count(), 5);
        assert!(page.contains("a &amp; b"));
        // Each element that is opened is closed.
        for element in ["div", "table", "tr", "td", "ul", "li", "details", "figure", "p", "svg"] {
            let opened = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
            assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn shares_are_one_in_so_many() {
        assert_eq!([1.0, 0.1, 0.001].map(one_in), ["all", "1 in 10", "1 in 1,000"]);
    }
}
