#!/usr/bin/env bash
# No warning, of the compiler or of clippy: with everything on, with nothing on, up to each floor, and in the models.
set -eu
cd "$(dirname "$0")/.."
cargo clippy --workspace --all-targets --all-features -- -D warnings
cargo clippy --no-default-features --lib --test atomics --test counters -- -D warnings
for floor in term persistent; do
    cargo clippy --no-default-features --features "$floor" --lib -- -D warnings
done
RUSTFLAGS="--cfg loom" cargo clippy -p loom-tests --all-targets --target-dir target/loom -- -D warnings
RUSTFLAGS="--cfg loom --cfg shuttle" cargo clippy -p shuttle-tests --all-targets --target-dir target/shuttle -- -D warnings
