#!/usr/bin/env bash
# The tests of what the default features leave out: the counted and the epoch cells.
set -eu
cd "$(dirname "$0")/.."
cargo test --no-default-features --features arc-swap,epoch --test published
cargo test --no-default-features --features arc-swap,epoch --doc published
