#!/usr/bin/env bash
# The tests of heaps and processes in a build that collects after every turn (two minor collections, a major one, and so
# on), so that everything moves all the time, and that makes unusable what was left or rolled back.
#
# With the nightly toolchain under AddressSanitizer, which then reports each use of such memory. Without it what was left
# is filled with ones, which are no term.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/stress"
export RUSTFLAGS="--cfg shared_term_stress --cfg shared_term_no_pool"
tests=(--test model --test generations --test global_collection --test processes --test otp_process --test collection_random)

target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu)
    if cargo +nightly --version >/dev/null 2>&1; then
        RUSTFLAGS+=" -Zsanitizer=address --cfg shared_term_asan"
        export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"
        cargo +nightly test --quiet --target "$target" "${tests[@]}"
        exit
    fi
    ;;
esac
echo "stress: no nightly toolchain, so without AddressSanitizer"
cargo test --quiet "${tests[@]}"
