//! Measures what the library costs against what it must cost: one row for each budget, each beside its reference, in
//! one run on one machine.
//!
//! `benches/README.md` says how each row is measured.

mod args;
#[path = "../support/by_hand.rs"]
mod by_hand;
mod child;
#[expect(clippy::unnecessary_wraps, reason = "a turn has the type of turns")]
mod isolation;
mod machine;
mod otp;
#[expect(clippy::unnecessary_wraps, reason = "every row has the type `Prepare`, every turn that of a turn")]
mod ours;
mod report;
mod resident;
mod rows;
#[expect(clippy::unnecessary_wraps, reason = "every contender has the type `Prepare`")]
mod rust_refs;
mod timing;
#[path = "../support/vm.rs"]
mod vm;

use std::process::ExitCode;

use args::{Args, Command};
use otp::Erlang;
use report::Report;
use rows::ROWS;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(Command::Measure(args)) => measure(&args),
        Ok(Command::Child { work, n }) => child::run(&work, n),
        Ok(Command::Help) => {
            print!("{}", args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Nothing) => {
            eprintln!("budgets: nothing to test here; `cargo bench --bench budgets` measures");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("budgets: {wrong}\n\n{}", args::USAGE);
            ExitCode::from(2)
        }
    }
}

fn measure(args: &Args) -> ExitCode {
    let mut erlang = Erlang::find();
    let usage = machine::Usage::now();
    let mut report = Report::new(args.json, args.quick);
    report.opening(&machine::describe(), &erlang.describe());
    let wanted: Vec<_> = ROWS.iter().filter(|row| args.only.is_empty() || args.only.contains(&row.name)).collect();
    for (i, row) in wanted.iter().enumerate() {
        eprintln!("[{}/{}] {}", i + 1, wanted.len(), row.name);
        let measured = row.measure(args.quick, &mut erlang);
        report.row(row, &measured);
    }
    report.closing(&usage.since());
    ExitCode::SUCCESS
}
