//! What the figures say, in words. Every number and every comparison is computed.

use crate::table::{CountRow, Figure, HOLDERS, IDLE, LatencyRow, PAYLOADS, Row, SendRow};

use super::plots::crossover;

pub(super) fn value(figure: &Figure) -> Option<f64> {
    match figure {
        Figure::Is(value) => Some(*value),
        Figure::None(_) => None,
    }
}

/// With a unit that suits it.
pub(super) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "us"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    if value >= 100.0 { format!("{value:.0} {unit}") } else { format!("{value:.2} {unit}") }
}

pub(super) fn bytes(bytes: f64) -> String {
    let (value, unit) = match bytes {
        bytes if bytes < 1024.0 => (bytes, "B"),
        bytes if bytes < 1_048_576.0 => (bytes / 1024.0, "KiB"),
        bytes => (bytes / 1_048_576.0, "MiB"),
    };
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

fn measured(figure: Option<f64>) -> String {
    figure.map_or_else(|| "an unknown time".into(), time)
}

pub(super) fn payload_points(row: &SendRow) -> Vec<(f64, f64)> {
    let sizes = PAYLOADS.iter().map(|&bytes| bytes as f64);
    sizes.zip(&row.ns_send).filter_map(|(bytes, ns)| Some((bytes, value(ns)?))).collect()
}

/// From how many bytes on the first row costs more than each of the others, where that is so.
pub(super) fn crossovers(sends: &[SendRow]) -> Vec<(&'static str, (f64, f64))> {
    let Some((copy, others)) = sends.split_first() else { return Vec::new() };
    let copy = payload_points(copy);
    others.iter().filter_map(|row| Some((row.name, crossover(&copy, &payload_points(row))?))).collect()
}

/// From which size on the first row costs more than another.
pub(super) fn cheaper(sends: &[SendRow], name: &str) -> String {
    let crossed = crossovers(sends).into_iter().find(|(other, _)| *other == name);
    let first = |row: &SendRow| value(&row.ns_send[0]);
    let other = sends.iter().find(|row| row.name == name).and_then(first);
    match (crossed, sends.first().and_then(first), other) {
        (Some((_, (at, _))), ..) => format!("cheaper from {}", bytes(at)),
        (None, Some(copy), Some(other)) if other < copy => "cheaper at every size".into(),
        _ => "cheaper at no size".into(),
    }
}

pub(super) fn sends(sends: &[SendRow]) -> String {
    let Some(copy) = sends.first() else { return "Nothing was sent.".into() };
    let points = payload_points(copy);
    let ends = points.first().zip(points.last());
    let grows = ends.map_or_else(String::new, |(small, large)| {
        let others = sends[1..].iter().filter_map(|row| {
            let points = payload_points(row);
            Some((row.name, points.last()?.1 / points.first()?.1))
        });
        let most = others.max_by(|a, b| a.1.total_cmp(&b.1));
        let most = most.map_or_else(String::new, |(name, times)| {
            format!("; of the other ways the one that grows most grows {} times ({name})", Figure::Is(times).human())
        });
        format!(
            "A copy of {} costs {}, one of {} costs {}, {} times as much{most}. ",
            bytes(small.0),
            time(small.1),
            bytes(large.0),
            time(large.1),
            Figure::Is(large.1 / small.1).human()
        )
    });
    let crossed: Vec<_> =
        crossovers(sends).iter().map(|(name, (at, _))| format!("{name} from {}", bytes(*at))).collect();
    if crossed.is_empty() {
        return format!("{grows}No other way becomes cheaper than the copy at any size between those measured.");
    }
    format!("{grows}It costs more than these (rings): {}.", crossed.join("; "))
}

pub(super) fn updates(rows: &[Row]) -> String {
    let at = |row: &Row, nth: usize| value(&row.replace_us[nth]).map(|us| us * 1e3);
    let Some(got) = rows.iter().find(|row| row.name == "persistent term") else { return String::new() };
    let [none, _, many] = [0, 1, 2].map(|nth| measured(at(got, nth)));
    let copy = rows.first().map_or_else(String::new, |copy| {
        format!(" A copy for each of {} processes takes {}.", IDLE[1], measured(at(copy, 1)))
    });
    format!(
        "Replacing a persistent term takes {none} with no process, and {many} beside {} idle ones that hold nothing: they are \
         passed over, not visited.{copy}",
        Figure::count(IDLE[2]).human()
    )
}

pub(super) fn holders(rows: &[Row]) -> String {
    let at = |name, nth: usize| {
        let row = rows.iter().find(|row| row.name == name);
        measured(row.and_then(|row| value(&row.replace_us[IDLE.len() + nth])).map(|us| us * 1e3))
    };
    format!(
        "With {} holders that are told nothing a replacement takes {}, because each of them copies what it still reaches; where \
         they are told to change over first, {}. Where the copy waits for the owner's end: {}.",
        Figure::count(HOLDERS[1]).human(),
        at("persistent term", 1),
        at("persistent term, kept", 1),
        at("lent, copied at death", 1)
    )
}

pub(super) fn counters(rows: &[CountRow]) -> String {
    let of = |name| rows.iter().find(|row: &&CountRow| row.name == name).map(|row| &row.ns_add);
    let ratio = |name| {
        let [alone, two, _] = of(name)?;
        Some((value(alone)?, value(two)?))
    };
    match (ratio("std: one AtomicU64"), ratio("Counters: writer().add")) {
        (Some((one, two)), Some((row_1, row_2))) => format!(
            "One atomic that two threads add to costs each {} an add instead of {} ({:.1} times); rows of their own cost {} \
             instead of {} ({:.1} times).",
            time(two),
            time(one),
            two / one,
            time(row_2),
            time(row_1),
            row_2 / row_1
        ),
        _ => "Not every row was measured.".into(),
    }
}

pub(super) fn latencies(rows: &[LatencyRow]) -> String {
    let at = |nth: usize| rows.get(nth).and_then(|row: &LatencyRow| value(&row.quantiles.p999)).map(|us| us * 1e3);
    match (at(0), at(1), at(2)) {
        (Some(alone), Some(isolated), Some(shared)) => format!(
            "One moment in a thousand lies in a gap of more than {} where nobody else runs, of {} where another process \
             collects 100 MB in a heap of its own ({:.1} times), and of {} where all share one heap ({:.1} times).",
            time(alone),
            time(isolated),
            isolated / alone,
            time(shared),
            shared / alone
        ),
        _ => "Not every row was measured.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_suit_the_figure() {
        assert_eq!([0.5, 999.0, 1_500.0, 2e6, 3e9].map(time), ["0.50 ns", "999 ns", "1.50 us", "2.00 ms", "3.00 s"]);
        assert_eq!([8.0, 1_536.0, 1_048_576.0].map(bytes), ["8 B", "1.5 KiB", "1 MiB"]);
    }

    fn row(name: &'static str, ns: impl Fn(f64) -> f64) -> SendRow {
        SendRow { name, ns_send: PAYLOADS.map(|bytes| Figure::Is(ns(bytes as f64))), note: String::new() }
    }

    #[test]
    fn the_price_of_a_copy_crosses_what_does_not_grow() {
        let rows = [row("copy", |bytes| bytes), row("pointer", |_| 100.0), row("dear", |_| 1e9)];
        let [(name, (at, ns))] = crossovers(&rows)[..] else { panic!("one line is crossed") };
        assert_eq!(name, "pointer");
        assert!((at - 100.0).abs() < 1e-6 && (ns - 100.0).abs() < 1e-6);
        assert_eq!(cheaper(&rows, "pointer"), "cheaper from 100 B");
        assert_eq!(cheaper(&rows, "dear"), "cheaper at no size");
        assert_eq!(cheaper(&[row("copy", |bytes| bytes), row("free", |_| 1.0)], "free"), "cheaper at every size");
        assert_eq!(
            sends(&rows),
            "A copy of 8 B costs 8.00 ns, one of 1 MiB costs 1.05 ms, 131,072 times as much; of the other ways the one that \
             grows most grows 1 times (dear). It costs more than these (rings): pointer from 100 B."
        );
    }

    #[test]
    fn nothing_measured_is_no_panic() {
        assert_eq!(sends(&[]), "Nothing was sent.");
        assert_eq!(latencies(&[]), counters(&[]));
        assert_eq!(updates(&[]), "");
        assert!(holders(&[]).contains("an unknown time"));
    }
}
