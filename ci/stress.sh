#!/usr/bin/env bash
# The whole suite in a build that collects after every turn (two minor collections, a major one, and so on), so that
# everything moves all the time, and that makes unusable what was left or rolled back.
#
# With the nightly toolchain under AddressSanitizer and LeakSanitizer, which then report each use of such memory, and what
# is left behind. Without it what was left is filled with ones, which are no term.
#
# Left out is what has no heap, and so cannot differ: atomics, counters, published cells; compile errors (`ui`); and the
# examples of the documentation, which are short forms of what the tests do.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/stress"
export RUSTFLAGS="--cfg shared_term_stress --cfg shared_term_no_pool"
tests=(--features num-bigint --lib)
for file in tests/*.rs tests/*/main.rs; do
    name=$(basename "${file%/main.rs}" .rs)
    case $name in
    # The search is of a model of the protocol. The last runs a program that this would build a second time; what it is
    # made of, `tradeoffs_parts`, is here.
    atomics | counters | counting_allocator | published | ui | protocol_search | tradeoffs_cli) ;;
    *) tests+=(--test "$name") ;;
    esac
done
# What panics while it is dropped, in what a panic was thrown with, is leaked on purpose there.
leaks_on_purpose=(--test callbacks)

target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu)
    if cargo +nightly --version >/dev/null 2>&1; then
        RUSTFLAGS+=" -Zsanitizer=address --cfg shared_term_asan"
        export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"
        for i in "${!tests[@]}"; do
            [[ ${tests[i]} == callbacks ]] && unset "tests[i]" "tests[i-1]"
        done
        cargo +nightly test --quiet --target "$target" "${tests[@]}"
        ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1" \
            cargo +nightly test --quiet --target "$target" --features num-bigint "${leaks_on_purpose[@]}"
        exit
    fi
    ;;
esac
echo "stress: no nightly toolchain, so without AddressSanitizer"
cargo test --quiet "${tests[@]}"
