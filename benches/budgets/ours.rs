//! The library's side: one function for each row.
//!
//! A function makes what all runs of its row share (a runtime, a population) and gives back the closure that does one
//! run. The closure owns what was made and drops it with itself, when the row is done.

use crate::resident;
use crate::rows::{Plan, Sampler};

const NOT_BUILT: &str = "not built yet";

fn not_built() -> Result<Sampler, String> {
    Err(NOT_BUILT.to_string())
}

/// `get` of an atom key in a turn, in a calibrated loop, net of the loop.
pub(crate) fn persistent_get_atom(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`persistent_get_atom`] with a key `{budget, pair}` that lies in the process's heap.
pub(crate) fn persistent_get_pair(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` gets of keys `{cold, I}` from a list in the process's heap, `I` at random from twice as many as the 10,000 that
/// are stored; the same walk without the gets is subtracted.
pub(crate) fn persistent_get_cold(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// A read through a resolved slot, with its loop, as its reference is.
pub(crate) fn persistent_slot_read(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// One `put` of a value that differs each time, `{Serial, [1..=100]}`, beside `n` idle processes: from the call until
/// the old area is freed.
pub(crate) fn persistent_replace_idle(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`persistent_replace_idle`], where each of the `n` processes keeps 8 of 200 other terms in its state.
pub(crate) fn persistent_replace_mixed(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`persistent_replace_idle`], where each of the `n` processes has the old value in its state. They take it before
/// the run, which is not timed.
pub(crate) fn persistent_replace_holders(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` puts of `{Serial, budget}` under one key, one after the other: nanoseconds per put. A run fails if the bytes
/// retained meanwhile were not bounded.
pub(crate) fn persistent_put_loop(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `fetch_add` on one cell, with its loop, as its reference is.
pub(crate) fn atomics_add(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `writer().add`, with its loop, as its reference is.
pub(crate) fn counters_writer_add(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `add` of a write-concurrent array, with its loop, as its reference is.
pub(crate) fn counters_add(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`counters_add`], net of the loop, as OTP's side is.
pub(crate) fn counters_add_vs_otp(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` sends of an atom from a turn to processes that do not run, 300 to each: the sender's time per send.
pub(crate) fn send_atom_suspended(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` sends of an atom from a turn to a process on another worker, until it has taken the last: per send.
pub(crate) fn send_atom(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` round trips of an atom between two processes: per round trip.
pub(crate) fn round_trip(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// A deep copy of a list of 1,000 integers with sharing kept, and the end of the copy.
pub(crate) fn copy_list_1000(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`copy_list_1000`], of a full binary tree of 1,023 nodes `{Left, Depth, Right}` with empty lists as leaves.
pub(crate) fn copy_tree_1023(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`send_atom_suspended`] with a region of 1 MiB each time: the sender's side. What frees it is not timed.
pub(crate) fn move_region(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` minor collections of a heap whose only live data is a list of 10,000 pairs of integers, just built: the median,
/// per live word.
pub(crate) fn collect_minor(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` major collections of the same data, after two that are not timed: per live word.
pub(crate) fn collect_major(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// `n` processes spawned from a turn, each ending in its first turn, until all are gone: per process.
pub(crate) fn spawn_exit(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// See [`resident`].
pub(crate) fn idle_process_bytes(plan: Plan) -> Result<Sampler, String> {
    // One small population tells whether the child can do it, before a million is tried.
    resident(1)?;
    resident::sampler("ours", plan.n)
}

/// In a child of its own: resident bytes per process that a runtime with `n` idle processes adds, by
/// [`resident::bytes_each`].
pub(crate) fn resident(_n: u64) -> Result<f64, String> {
    Err(NOT_BUILT.to_string())
}

/// The 99.9th percentile of a process's turn latency while another process, on a second worker, collects 100 MB.
pub(crate) fn isolation_p999(_: Plan) -> Result<Sampler, String> {
    not_built()
}

/// As [`isolation_p999`] with the other process idle.
pub(crate) fn isolation_idle(_: Plan) -> Result<Sampler, String> {
    not_built()
}
