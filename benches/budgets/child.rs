//! Samples that want an operating system process of their own: this program again, told to make one and print it.

use std::env;
use std::process::{Command, ExitCode, Stdio};

use crate::rows::Sampler;
use crate::{isolation, ours, rust_refs};

/// What goes before the program to have it run in front of all that the machine does otherwise.
const AHEAD: [&str; 3] = ["chrt", "-f", "1"];

/// Each sample starts a child that does `work` to the size of `n`. With `ahead`, the scheduler of the operating system does
/// not take its threads off for those of others, where that may be asked for.
pub(crate) fn sampler(work: &'static str, n: u64, ahead: bool) -> Result<Sampler, String> {
    let program = env::current_exe().map_err(|e| format!("no path to this program: {e}"))?;
    let ahead = ahead && may_run_ahead();
    Ok(Box::new(move || {
        let mut command = Command::new(if ahead { AHEAD[0].as_ref() } else { program.as_path() });
        if ahead {
            command.args(&AHEAD[1..]).arg(&program);
        }
        let output = command
            .args(["--child", work, &n.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().map_err(|_| format!("the measuring child failed: {}", output.status))
    }))
}

fn may_run_ahead() -> bool {
    let tried = Command::new(AHEAD[0]).args(&AHEAD[1..]).arg("true").stderr(Stdio::null()).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("budgets: `{}` is not allowed here: other programs are in the figures", AHEAD.join(" "));
    }
    may
}

/// The child's whole work.
pub(crate) fn run(work: &str, n: u64) -> ExitCode {
    let sample = match work {
        "resident-ours" => ours::resident(n),
        "resident-rust" => rust_refs::resident(n),
        "gaps-collecting" => isolation::gap(n, true),
        "gaps-idle" => isolation::gap(n, false),
        _ => Err(format!("no such work as `{work}`")),
    };
    match sample {
        Ok(sample) => {
            println!("{sample}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("budgets: {why}");
            ExitCode::FAILURE
        }
    }
}
