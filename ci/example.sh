#!/usr/bin/env bash
# The main job, on the document that is shipped. Arguments go to it.
set -eu
cd "$(dirname "$0")/.."
cargo run --release --example tradeoffs -- --quick "$@"
