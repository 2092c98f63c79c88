#!/usr/bin/env bash
# What is too large for loom, under schedules drawn at random, with the faults that it must find. Arguments go to the test
# binaries: a name, --nocapture. SCHEDULES=N tries N of each scenario, and SEED=N draws others than those of every run.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="--cfg loom --cfg shuttle" cargo test -p shuttle-tests --profile loom --target-dir target/shuttle -- "$@"
