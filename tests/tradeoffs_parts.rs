//! Runs the unit tests that lie in the modules of the example `tradeoffs`.
//!
//! An example that is itself marked as a test is not built as a program by `cargo test`, and `tradeoffs_cli` needs the
//! program. So the modules are mounted here, as in the example's `main.rs`.

#![expect(dead_code, reason = "what only `main` calls")]

#[path = "../examples/tradeoffs/alloc.rs"]
mod alloc;
#[path = "../examples/tradeoffs/arc_tree.rs"]
mod arc_tree;
#[path = "../examples/tradeoffs/args.rs"]
mod args;
#[path = "../examples/tradeoffs/checksum.rs"]
mod checksum;
#[path = "../examples/tradeoffs/crew.rs"]
mod crew;
#[path = "../examples/tradeoffs/document.rs"]
mod document;
#[path = "../examples/tradeoffs/encoded.rs"]
mod encoded;
#[path = "../examples/tradeoffs/lending.rs"]
mod lending;
#[path = "../examples/tradeoffs/measure.rs"]
mod measure;
#[path = "../examples/tradeoffs/mini_runtime.rs"]
mod mini_runtime;
#[path = "../examples/tradeoffs/progress.rs"]
mod progress;
#[path = "../examples/tradeoffs/pulse.rs"]
mod pulse;
#[path = "../examples/tradeoffs/report/mod.rs"]
mod report;
#[path = "../examples/tradeoffs/rows/mod.rs"]
mod rows;
#[path = "../examples/tradeoffs/shared_heap.rs"]
mod shared_heap;
#[path = "../examples/tradeoffs/table.rs"]
mod table;
#[path = "../examples/tradeoffs/term_table.rs"]
mod term_table;
#[path = "../examples/tradeoffs/workload.rs"]
mod workload;
