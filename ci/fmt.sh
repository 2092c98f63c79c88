#!/usr/bin/env bash
# The format is rustfmt's.
set -eu
cd "$(dirname "$0")/.."
cargo fmt --all --check
