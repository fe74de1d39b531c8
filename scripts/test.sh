#!/usr/bin/env bash
# Installs what the checks need, then checks the format and the lints and runs all tests.
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"
exec </dev/null
cd "$root"

set_up tests
if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    rustup component add rustfmt clippy
fi

make_venv # for the clients in Python
export TODO_TEST_PYTHON=$venv/bin/python
install_page_tests

cargo fmt --check
cargo clippy --release --all-targets --locked -- -D warnings
cargo build --release --bins --locked
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --release --locked --no-fail-fast
    cargo test --release --locked --doc # nextest does not run these
else
    cargo test --release --locked
fi
CARGO_TARGET_DIR=$target node --test --test-reporter=spec tests/page/*.test.mjs
