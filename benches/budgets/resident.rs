//! Bytes of resident memory per process.
//!
//! What an allocator keeps after earlier rows would hide what a population needs, so each run has a fresh operating
//! system process: this program again, told to make the population and print one number.

use std::fs;
use std::process::{self, ExitCode};

use crate::rows::Sampler;
use crate::timing::per;
use crate::{ours, rust_refs};

/// Each sample starts a child that makes `processes` of `side` and measures them.
pub(crate) fn sampler(side: &'static str, processes: u64) -> Result<Sampler, String> {
    resident_bytes()?;
    let program = std::env::current_exe().map_err(|e| format!("no path to this program: {e}"))?;
    Ok(Box::new(move || {
        let output = process::Command::new(&program)
            .args(["--resident", side, &processes.to_string()])
            .stderr(process::Stdio::inherit())
            .output()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().map_err(|_| format!("the measuring child failed: {}", output.status))
    }))
}

/// The child's whole work.
pub(crate) fn child(side: &str, processes: u64) -> ExitCode {
    let bytes = match side {
        "ours" => ours::resident(processes),
        "rust" => rust_refs::resident(processes),
        _ => Err(format!("no side `{side}`")),
    };
    match bytes {
        Ok(bytes) => {
            println!("{bytes}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("budgets: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Resident bytes that `populate` adds, per process. What it makes is never dropped: the child ends next.
pub(crate) fn bytes_each<P>(processes: u64, populate: impl FnOnce() -> P) -> Result<f64, String> {
    let before = resident_bytes()?;
    let population = populate();
    let after = resident_bytes()?;
    std::mem::forget(population);
    #[expect(clippy::cast_precision_loss, reason = "resident memory is far below 2^53 bytes")]
    let added = after.saturating_sub(before) as f64;
    Ok(per(added, processes))
}

fn resident_bytes() -> Result<u64, String> {
    // Not `statm`, which counts in pages of a size that std cannot tell.
    kilobytes("/proc/self/status", "VmRSS:").map(|kib| kib * 1024)
}

/// What processes can still get without driving others out.
pub(crate) fn available_kilobytes() -> Result<u64, String> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

fn kilobytes(file: &str, name: &str) -> Result<u64, String> {
    let text = fs::read_to_string(file).map_err(|_| "the use of memory is read from /proc, not here")?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
        .ok_or_else(|| format!("{file} has no {name}"))
}
