#!/usr/bin/env bash
# What is too large for loom, under schedules drawn at random, with the faults that it must find. Arguments go to the test
# binaries: a name, --nocapture. SCHEDULES=N tries N of each scenario; a seed is drawn for each run and printed, and SEED=N
# draws those of an earlier one again.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="--cfg loom --cfg shuttle" cargo test -p shuttle-tests --profile loom --target-dir target/shuttle -- "$@"
