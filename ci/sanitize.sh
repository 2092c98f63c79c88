#!/usr/bin/env bash
# The tests of persistent terms, processes and published cells under AddressSanitizer and LeakSanitizer, collecting when
# they do in production: no use of freed memory, nothing left behind.
#
# What has no process is the same whether a build collects after each turn or not, so that terms, heaps and regions are left
# to `stress.sh`.
#
# Needs the nightly toolchain; where there is none the check is skipped, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: skipped, no nightly toolchain"
    exit 0
fi
case $target in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
*)
    echo "sanitize: skipped, no LeakSanitizer on $target"
    exit 0
    ;;
esac

# A target directory of its own: the flags would otherwise rebuild everything, twice.
# With `--target`, build scripts and macros stay without the sanitizer.
# Without the pools of small blocks: what is freed goes to the sanitizer.
export RUSTFLAGS="-Zsanitizer=address --cfg shared_term_no_pool" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"

cargo +nightly test --quiet --target "$target" --test binaries --test collection_random --test generations \
    --test global_collection --test late --test persistent --test processes --test shared_handles --test timers
# Everything at once, on real threads.
STRESS_SECONDS=24 cargo +nightly test --quiet --target "$target" --test stress -- --nocapture
# Readers that are forgotten leak on purpose there; the use of freed memory is the point.
ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1" cargo +nightly test --quiet --target "$target" \
    --no-default-features --features arc-swap,epoch,hyaline --test published
# What panics while it is dropped, in what a panic was thrown with, is leaked on purpose there.
ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1" cargo +nightly test --quiet --target "$target" --test callbacks
