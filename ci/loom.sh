#!/usr/bin/env bash
# The models, each with the faults that it must find. `--test FILE`, first, for those of a file; further arguments go to the
# test binaries: a name, --nocapture. Without a model of that name it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/models.bash
RUSTFLAGS="--cfg loom" run_models loom-tests target/loom "$@"
