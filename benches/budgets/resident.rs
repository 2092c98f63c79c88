//! Bytes of resident memory per process.
//!
//! What an allocator keeps after earlier rows would hide what a population needs, so each run is a [`child`].

use std::fs;

use crate::child;
use crate::rows::Sampler;
use crate::timing::per;

/// Each sample starts a child that makes so many processes, and measures them.
pub(crate) fn sampler(work: &'static str, processes: u64) -> Result<Sampler, String> {
    resident_bytes()?;
    child::sampler(work, processes, false)
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
