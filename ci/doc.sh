#!/usr/bin/env bash
# The documentation builds without a warning: no broken link, nothing public undocumented. Each public item has an example
# that runs (`examples.py`).
#
# The second needs the nightly toolchain, whose rustdoc writes what it knows as JSON, and Python; where one of them is missing
# it is skipped, and says so. That the examples do run is for `cargo test --doc`.
set -eu
cd "$(dirname "$0")/.."
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
RUSTDOCFLAGS="-D warnings" cargo doc --no-default-features --no-deps

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "examples: skipped, no nightly toolchain"
    exit 0
fi
if ! command -v python3 >/dev/null; then
    echo "examples: skipped, no python3"
    exit 0
fi
target="${CARGO_TARGET_DIR:-target}/doc-json"
cargo +nightly rustdoc --quiet --lib --all-features --target-dir "$target" -- -Z unstable-options --output-format json
python3 ci/examples.py "$target/doc/shared_term.json"
