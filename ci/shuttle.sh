#!/usr/bin/env bash
# What is too large for loom, under schedules drawn at random, with the faults that it must find. `--test FILE`, first, for
# those of a file; further arguments go to the test binaries: a name, --nocapture. Without a scenario of that name it fails.
# SCHEDULES=N tries N of each scenario, and SEED=N draws others than those of every run.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/models.bash
RUSTFLAGS="--cfg loom --cfg shuttle" run_models shuttle-tests target/shuttle "$@"
