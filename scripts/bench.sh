#!/usr/bin/env bash
# Builds todod and the servers to compare with, measures them, and prints tables as Markdown.
# BENCHMARKS.md explains the rows and the method.
#
#   scripts/bench.sh [--rounds N] [--quick] [ROW...]
#
#   TODO_BENCH_BIN   the directory of todod (default: builds it into target/release)
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"
exec </dev/null
cd "$root"

load_core=1          # the server has core 0
open_files_min=12000 # 10,000 connections, for the server and for the load

set_up bench
[ "$(nproc)" -ge 2 ] || fail "This machine has one core: the server and the load need one each."
mkdir -p "$target"
[ "$(stat -f -c %T "$target")" != tmpfs ] ||
    fail "$target is in memory, where a sync costs nothing: set CARGO_TARGET_DIR to a disk."
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge "$open_files_min" ] ||
    fail "The limit of open files is $(ulimit -n): raise it to $open_files_min with ulimit -n."

export CARGO_TARGET_DIR=$target
bin=${TODO_BENCH_BIN:-}
if [ -z "$bin" ]; then
    bin=$target/release
    cargo build --release --bins --locked
fi
cp Cargo.lock benches/peers/control/Cargo.lock # the same version of the transport
cargo build --release --manifest-path benches/peers/control/Cargo.toml
cargo build --release --locked --manifest-path benches/Cargo.toml

seed=../shared/seed/server.py
if [ -f "$seed" ]; then
    make_venv
    export TODO_BENCH_SEED=$seed TODO_BENCH_SEED_RUNNER=benches/peers/seed.py
    export TODO_BENCH_PYTHON=$venv/bin/python
else
    say "$seed is missing: the row 'seed' is not measured."
fi
export TODO_BENCH_TODOD=$bin/todod
export TODO_BENCH_CONTROL=$target/release/bench-control
export TODO_BENCH_TONIC=$target/release/bench-tonic
export TODO_BENCH_SCRATCH=$target/bench-scratch
rm -rf "$TODO_BENCH_SCRATCH"
exec taskset -c "$load_core" "$target/release/bench-speed" "$@"
