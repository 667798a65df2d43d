#!/usr/bin/env bash
# Builds everything and measures DougDB beside etcd and a bare gRPC echo, in
# one run; prints tables.
#
#   bench/run.sh                          # about 20 minutes once built
#   bench/run.sh --seconds 3 --rounds 1   # a first impression, 3 minutes
#   DOUG=target/release/doug bench/run.sh # with a program built otherwise, without LTO
#
# Options are those of `doug-bench-peers compare --help`. Everything it starts
# ends with it, and its data with them. Needs Rust, and Go for etcd.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD

command -v go >/dev/null || {
    echo "bench/run.sh: Go is missing, from whose modules etcd is built: install Go 1.26 or newer" >&2
    exit 1
}
mkdir -p target/etcd target/data

echo "building etcd and its load tool" >&2
(cd etcd && CGO_ENABLED=0 go build -trimpath -o ../target/etcd/ ./member)
# A module of its own: the tool was never published for 3.7, and does not
# compile against its packages. It speaks the same protocol.
(cd etcd/load && CGO_ENABLED=0 go build -trimpath -o ../../target/etcd/ .)

echo "building the benchmark, and doug with LTO like it" >&2
cargo build --release --locked
if [[ -z ${DOUG:-} ]]; then
    # What is measured is what a distribution would build. The workspace's own
    # release profile has no LTO, for the sake of everyone who builds it.
    (cd .. && cargo build --profile dist --locked -p doug --target-dir "$here/target/doug")
    DOUG=$here/target/doug/dist/doug
else
    DOUG=$(cd "$OLDPWD" && realpath "$DOUG")
fi

# Not exec: the trap removes what a killed run left behind.
trap 'rm -rf "$here"/target/data/doug-bench-*' EXIT
target/release/doug-bench-peers compare \
    --doug "$DOUG" \
    --etcd target/etcd/member \
    --etcd-load target/etcd/load \
    --data target/data \
    "$@"
