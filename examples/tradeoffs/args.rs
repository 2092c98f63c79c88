//! The command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
tradeoffs: what does it cost to give many processes one table, under each way of handing it over?

usage: cargo run --release --example tradeoffs -- [--table FILE] [--quick] [--json] [--report DIR]

  --table FILE  use this JSON document as the table (an object, or an array whose positions become the keys);
                without it, the shipped media type database is used
  --quick       shorter measurements: the whole run ends within 20 seconds on two cores with the shipped document
  --json        print one JSON object per row instead of the table
  --report DIR  write one HTML page with plots to DIR/index.html as well; DIR is made where there is none
  --help        print this text

exit codes: 0 measured, 1 a row failed its checks or could not run, 2 bad arguments or a bad document
";

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) table: Option<PathBuf>,
    pub(crate) quick: bool,
    pub(crate) json: bool,
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Run(Args),
    Help,
}

/// What the arguments (without the program's name) ask for, or what is wrong with them.
pub(crate) fn parse(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Request, String> {
    let mut parsed = Args::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        // A path need not be UTF-8; a flag is.
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--quick") => parsed.quick = true,
            Some("--json") => parsed.json = true,
            Some("--table") => parsed.table = Some(path("--table", args.next())?),
            Some("--report") => parsed.report = Some(path("--report", args.next())?),
            Some(flag) if flag.starts_with("--table=") => parsed.table = Some(path("--table", after(flag))?),
            Some(flag) if flag.starts_with("--report=") => parsed.report = Some(path("--report", after(flag))?),
            _ => return Err(format!("unknown argument {}", arg.to_string_lossy())),
        }
    }
    Ok(Request::Run(parsed))
}

/// What follows the `=` of a flag.
fn after(flag: &str) -> Option<std::ffi::OsString> {
    flag.split_once('=').map(|(_, value)| value.into())
}

fn path(flag: &str, value: Option<std::ffi::OsString>) -> Result<PathBuf, String> {
    let value = value.filter(|value| !value.is_empty());
    value.map(PathBuf::from).ok_or_else(|| format!("{flag} needs the name of a file or directory after it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_strs(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(Into::into))
    }

    #[test]
    fn every_flag_in_any_order() {
        let all = Args { table: Some("t.json".into()), quick: true, json: true, report: Some("out".into()) };
        assert_eq!(parse_strs(&["--json", "--table", "t.json", "--quick", "--report=out"]), Ok(Request::Run(all)));
        let table = Args { table: Some("a=b.json".into()), ..Args::default() };
        assert_eq!(parse_strs(&["--table=a=b.json"]), Ok(Request::Run(table)));
        assert_eq!(parse_strs(&[]), Ok(Request::Run(Args::default())));
        assert_eq!(parse_strs(&["--quick", "--help"]), Ok(Request::Help));
    }

    #[test]
    fn bad_arguments_are_named() {
        assert!(parse_strs(&["--tabel"]).is_err_and(|e| e.contains("--tabel")));
        assert!(parse_strs(&["table.json"]).is_err_and(|e| e.contains("table.json")));
        assert!(parse_strs(&["--table"]).is_err_and(|e| e.contains("needs the name")));
        assert!(parse_strs(&["--table", ""]).is_err_and(|e| e.contains("needs the name")));
        assert!(parse_strs(&["--report"]).is_err_and(|e| e.contains("--report needs the name")));
        assert!(parse_strs(&["--table="]).is_err_and(|e| e.contains("needs the name")));
    }
}
