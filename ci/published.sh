#!/usr/bin/env bash
# The tests of what the default features leave out: cells over epochs and over Hyaline. And each way without the others.
set -eu
cd "$(dirname "$0")/.."
cargo test --no-default-features --features arc-swap,epoch,hyaline --test published
cargo test --no-default-features --features arc-swap,epoch,hyaline --doc published
for features in "" arc-swap epoch hyaline; do
    cargo check -q --no-default-features --features "$features" --test published
done
