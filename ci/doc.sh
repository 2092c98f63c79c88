#!/usr/bin/env bash
# The documentation builds without a warning: no broken link, nothing public undocumented.
set -eu
cd "$(dirname "$0")/.."
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
RUSTDOCFLAGS="-D warnings" cargo doc --no-default-features --no-deps
