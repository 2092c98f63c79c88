#!/usr/bin/env bash
# Every feature alone, none, and all; and what the two keys of loom do.
set -eu
cd "$(dirname "$0")/.."

say() { echo "-- $*"; }

say "nothing on"
cargo check -q --no-default-features
for feature in $(sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z-]*\) = .*/\1/p' Cargo.toml); do
    say "$feature alone"
    cargo check -q --no-default-features --features "$feature"
done
say "all of them: the feature loom without its cfg is inert"
cargo check -q --workspace --all-features

say "the examples of the docs, for whom has nothing on, or stops at a lower floor"
for features in "" term persistent; do
    cargo test -q --no-default-features --features "$features" --doc
done

say "nothing on, nothing pulled in but macros"
tree=$(cargo tree --no-default-features -e normal --prefix none --format "{lib}" | sort -u | paste -sd " ")
[ "$tree" = "shared_term static_assertions" ] || { echo "dependencies without features: $tree"; exit 1; }

export CARGO_TARGET_DIR=target/loom
say "the cfg loom without its feature is inert"
RUSTFLAGS="--cfg loom" cargo check -q --features arc-swap,epoch,hyaline
say "both keys of loom"
RUSTFLAGS="--cfg loom" cargo check -q --no-default-features --features loom
RUSTFLAGS="--cfg loom --cfg crossbeam_loom" cargo check -q --no-default-features --features loom,epoch,hyaline
say "the key of shuttle beside them, and without its feature"
RUSTFLAGS="--cfg loom --cfg shuttle" cargo check -q --no-default-features --features shuttle
RUSTFLAGS="--cfg loom --cfg shuttle" cargo check -q --no-default-features --features loom
say "both keys of loom, with epoch but without its cfg, do not compile"
if errors=$(RUSTFLAGS="--cfg loom" cargo check -q --no-default-features --features loom,epoch 2>&1); then
    echo "it compiled: models of the epoch would pass after one execution"
    exit 1
fi
case $errors in
    *"RUSTFLAGS needs \`--cfg loom --cfg crossbeam_loom\`"*) ;;
    *) echo "$errors"; exit 1 ;;
esac
