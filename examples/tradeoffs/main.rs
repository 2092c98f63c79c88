//! What does it cost to give many processes one table, under each way of handing it over?
//!
//! A JSON document becomes the table; processes look keys up in it. Each row does the same work another way, proves by its
//! sums that it did, and says what it cost. Run with `--help` for the arguments.

mod alloc;
mod arc_tree;
mod args;
mod checksum;
mod crew;
mod document;
mod encoded;
mod lending;
mod measure;
mod mini_runtime;
mod progress;
mod pulse;
mod report;
mod rows;
mod shared_heap;
mod table;
mod term_table;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use args::{Args, Request};
use document::Document;
use measure::Plan;
use progress::Progress;
use rows::{Bench, Failed};
use workload::{Depth, Workload};

/// A row failed its checks, or couldn't run.
const FAILED: u8 = 1;
/// The arguments or the document are no good.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Run(args)) => args,
        Ok(Request::Help) => {
            print(args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(what) => return end(REFUSED, &format!("{what}; --help lists the arguments")),
    };
    let document = match &args.table {
        Some(path) => Document::load(path),
        None => Document::shipped(),
    };
    match document {
        Ok(document) => match run(&args, document) {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failed { row, why }) => end(FAILED, &format!("{row}: {why}")),
        },
        Err(refused) => end(REFUSED, &refused.to_string()),
    }
}

fn end(code: u8, message: &str) -> ExitCode {
    eprintln!("tradeoffs: {message}");
    code.into()
}

fn run(args: &Args, document: Document) -> Result<(), Failed> {
    let plan = if args.quick { Plan::QUICK } else { Plan::FULL };
    let work = Workload::new(&document);
    let bench = Bench { document, work, plan, progress: Progress::new(rows::COUNT) };
    let measured = rows::measure(&bench, |object| {
        if args.json {
            print(&format!("{object}\n"));
        }
    })?;
    if let Some(dir) = &args.report {
        let written = report::write(dir, &bench.document, &measured);
        let path = written.map_err(|why| Failed { row: "--report", why })?;
        if !args.json {
            print(&format!("{}\n\n", path.display()));
        }
    }
    if args.json {
        return Ok(());
    }
    let Bench { document, work, progress, .. } = bench;
    // The line on stderr makes way for the table.
    drop(progress);
    print(&format!(
        "{}: {} bytes, {} values, {} keys; {} lookups per pass; sums {:#018x} (reads), {:#018x} (walks)\n\n{}\n{}\n{}\n{}\n{}",
        document.name,
        document.bytes,
        document.values,
        document.table.len(),
        work.keys.len(),
        work.expected(Depth::Glance),
        work.expected(Depth::Walk),
        table::human(&measured.tables),
        table::human(&measured.sends),
        table::human(&measured.counters),
        table::human(&measured.latencies),
        table::human(&measured.further),
    ));
    Ok(())
}

/// To stdout. A reader that went away, such as `head`, has seen enough: that is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
