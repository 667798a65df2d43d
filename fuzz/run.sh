#!/usr/bin/env bash
# Looks for inputs that break a target, with libFuzzer on stable Rust:
#
#   ./run.sh log 600          # ten minutes of one target
#   ./run.sh --minimise log   # keep of what was found the smallest set that reaches as much
#
# What it learns stays in target/found/TARGET; what breaks the target is written
# to target/broken/TARGET-…: fix it, and keep the input in corpus/TARGET under a
# name that tells what it was.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# What cargo-fuzz passes too; none of it needs a nightly compiler.
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares)
host=$(rustc -vV | sed -n 's/^host: //p')

build() {
    RUSTFLAGS="${coverage[*]}" CARGO_TARGET_DIR=target cargo build --quiet --locked --profile fuzz \
        --manifest-path engine/Cargo.toml --target "$host"
}

# An input of some kilobytes must not make anyone allocate much: lengths are claims.
limits=(-max_len=16384 -malloc_limit_mb=64 -rss_limit_mb=1024 -timeout=10)

fuzz() {
    FUZZ_TARGET=$1 "target/$host/fuzz/fuzz" "${limits[@]}" "${@:2}"
}

[[ -n ${SKIP_BUILD:-} ]] || build
if [[ $1 == --minimise ]]; then
    rm -rf "target/minimal/$2" && mkdir -p "target/minimal/$2" "target/found/$2"
    fuzz "$2" -merge=1 "target/minimal/$2" "corpus/$2" "target/found/$2"
else
    mkdir -p "target/found/$1" target/broken
    fuzz "$1" -artifact_prefix="target/broken/$1-" -max_total_time="${2:-60}" -print_final_stats=1 \
        "target/found/$1" "corpus/$1"
fi
