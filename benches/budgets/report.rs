//! What is printed: a table for people, or one JSON object per row.

use serde_json::{Value, json};

use crate::rows::{Goal, Measured, Outcome, Reference, Row, Unit};
use crate::timing::Summary;

pub(crate) struct Report {
    json: bool,
    quick: bool,
    missed: Vec<&'static str>,
    held: usize,
    untold: usize,
}

impl Report {
    pub(crate) fn new(json: bool, quick: bool) -> Report {
        Report { json, quick, missed: Vec::new(), held: 0, untold: 0 }
    }

    /// Facts around the rows: on stdout for people, out of the way of whoever parses the rows.
    fn say(&self, line: &str) {
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    pub(crate) fn opening(&self, machine: &str, erlang: &str) {
        self.say(&format!("machine    {machine}"));
        self.say(&format!("erlang     {erlang}"));
        self.say(if self.quick {
            "figures    medians of up to 3 short runs (--quick), min..max behind them"
        } else {
            "figures    medians of 7 runs, min..max behind them"
        });
        if !self.json {
            println!();
            println!(
                "{:<32}{:<26}{:<26}{:>9}  {:<17}{:<8}against",
                "row", "ours", "reference", "ratio", "goal", "verdict"
            );
        }
    }

    pub(crate) fn row(&mut self, row: &Row, measured: &Measured) {
        let sample = measured.ours.as_ref().ok().map(|ours| ours.median);
        let holds = row.goal.holds(sample, measured.ratio());
        match holds {
            Some(true) => self.held += 1,
            Some(false) => self.missed.push(row.name),
            None => self.untold += 1,
        }
        if self.json {
            println!("{}", object(row, measured, holds));
        } else {
            print_row(row, measured, holds);
        }
    }

    pub(crate) fn closing(&self, usage: &str) {
        if !self.json {
            println!();
        }
        let missed = if self.missed.is_empty() { String::new() } else { format!(" ({})", self.missed.join(", ")) };
        self.say(&format!(
            "{} goals hold, {} do not{missed}, {} cannot be told from this run",
            self.held,
            self.missed.len(),
            self.untold
        ));
        if !usage.is_empty() {
            self.say(usage);
        }
    }
}

fn print_row(row: &Row, measured: &Measured, holds: Option<bool>) {
    let verdict = match holds {
        Some(true) => "holds",
        Some(false) => "MISSED",
        None => "-",
    };
    println!(
        "{:<32}{:<26}{:<26}{:>9}  {:<17}{verdict:<8}{}",
        row.name,
        cell(row.unit, &measured.ours),
        cell(row.unit, &measured.reference),
        measured.ratio().map_or("-".to_string(), |ratio| format!("{}x", digits(ratio))),
        goal_text(row.goal, row.unit),
        reference_name(row),
    );
    // What Rust takes for it stands below OTP, in the same columns.
    if let (Some((name, _)), Some(rust)) = (row.rust, &measured.rust) {
        println!("{:<58}{:<62}{name}", "", cell(row.unit, rust));
    }
    if let Some(why) = why(measured) {
        println!("    {why}");
    }
}

fn cell(unit: Unit, outcome: &Outcome) -> String {
    match outcome {
        Ok(Summary { median, min, max }) => {
            let [median, min, max] = [median, min, max].map(|&sample| digits(unit.scale(sample)));
            format!("{median} {} ({min}..{max})", unit.name())
        }
        Err(_) => "-".to_string(),
    }
}

/// Three digits that say something, and no exponent.
fn digits(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        m if m >= 99.95 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.995 => 2,
        m if m >= 0.0995 => 3,
        m if m >= 0.00995 => 4,
        _ => 5,
    };
    format!("{value:.decimals$}")
}

fn goal_text(goal: Goal, unit: Unit) -> String {
    let sample = goal.sample.map(|sample| format!("<= {} {}", unit.scale(sample), unit.name()));
    let ratio = goal.ratio.map(|ratio| format!("<= {ratio}x"));
    [sample, ratio].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn reference_name(row: &Row) -> &'static str {
    match row.reference {
        Reference::Otp(_) => "OTP",
        Reference::Local(name, _) => name,
    }
}

fn why(measured: &Measured) -> Option<String> {
    let contenders =
        [("ours", Some(&measured.ours)), ("reference", Some(&measured.reference)), ("in Rust", measured.rust.as_ref())];
    let reasons: Vec<_> = contenders
        .into_iter()
        .filter_map(|(who, outcome)| Some(format!("{who}: {}", outcome?.as_ref().err()?)))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn object(row: &Row, measured: &Measured, holds: Option<bool>) -> Value {
    let of = |outcome: Option<&Outcome>, pick: fn(&Summary) -> f64| {
        outcome.and_then(|outcome| outcome.as_ref().ok()).map(|summary| row.unit.scale(pick(summary)))
    };
    let spread = |outcome: Option<&Outcome>| of(outcome, |s| s.min).zip(of(outcome, |s| s.max)).map(|(a, b)| [a, b]);
    let (ours, reference, rust) = (Some(&measured.ours), Some(&measured.reference), measured.rust.as_ref());
    let mut object = json!({
        "row": row.name,
        "ours": of(ours, |s| s.median),
        "reference": of(reference, |s| s.median),
        "reference_name": reference_name(row),
        "unit": row.unit.name(),
        "ratio": measured.ratio(),
        "goal": goal_text(row.goal, row.unit),
        "holds": holds,
        "ours_spread": spread(ours),
        "reference_spread": spread(reference),
        "rust": of(rust, |s| s.median),
        "rust_name": row.rust.map(|(name, _)| name),
        "rust_spread": spread(rust),
    });
    if let Some(why) = why(measured) {
        object["why"] = json!(why);
    }
    object
}
