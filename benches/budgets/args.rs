//! The command line.

use crate::rows::ROWS;

pub(crate) const USAGE: &str = "\
Usage: cargo bench --bench budgets [-- OPTIONS]

  --json            one JSON object per row on stdout, everything else on stderr
  --quick           fewer and shorter runs: ends within a minute
  --only ROW[,ROW]  only these rows
  --help            this text
";

pub(crate) struct Args {
    pub(crate) json: bool,
    pub(crate) quick: bool,
    /// Empty: all rows.
    pub(crate) only: Vec<&'static str>,
}

pub(crate) enum Command {
    Measure(Args),
    /// A child of a measuring run: see [`crate::child`].
    Child {
        work: String,
        n: u64,
    },
    Help,
    /// `cargo test --benches` starts a bench without any argument, and wants no measurement.
    Nothing,
}

pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut args = args.peekable();
    if args.peek().is_none() {
        return Ok(Command::Nothing);
    }
    let mut parsed = Args { json: false, quick: false, only: Vec::new() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => {} // from cargo
            "--json" => parsed.json = true,
            "--quick" => parsed.quick = true,
            "--only" => parsed.only.extend(rows(&args.next().ok_or("--only needs a row")?)?),
            "--help" | "-h" => return Ok(Command::Help),
            "--child" => {
                let work = args.next().ok_or("--child needs its work")?;
                let n = args.next().and_then(|n| n.parse().ok()).ok_or("--child needs a number")?;
                return Ok(Command::Child { work, n });
            }
            other => match other.strip_prefix("--only=") {
                Some(names) => parsed.only.extend(rows(names)?),
                None => return Err(format!("unknown argument `{other}`")),
            },
        }
    }
    Ok(Command::Measure(parsed))
}

fn rows(names: &str) -> Result<Vec<&'static str>, String> {
    names
        .split(',')
        .map(|name| {
            ROWS.iter().map(|row| row.name).find(|&known| known == name).ok_or_else(|| {
                let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
                format!("no row `{name}`; there are {}", known.join(", "))
            })
        })
        .collect()
}
