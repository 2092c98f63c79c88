#!/usr/bin/env bash
# The models, each with the faults that it must find. Arguments go to the test binaries: a name, --nocapture.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="--cfg loom" cargo test -p loom-tests --profile loom --target-dir target/loom -- "$@"
