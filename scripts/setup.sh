# shellcheck shell=bash
# What run.sh, test.sh and bench.sh share: where things are, and the set-up of a fresh machine.
# Sourced. Its messages go to stderr; what is there already is not installed again.

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
target=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}
has() { command -v "$1" >/dev/null; }

# Prints a Python that can make a virtual environment. The first python3 in PATH
# may be a shim, or lack a part, where the system's own works.
find_python() {
    local python check='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))'
    for python in python3 /usr/bin/python3; do
        if "$python" -c "$check" </dev/null >/dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
    return 1
}

# The browser of the page's tests.
export TODO_TEST_CHROMIUM=${TODO_TEST_CHROMIUM:-/usr/bin/chromium}

# Prints the Debian packages that are missing for `run`, `tests` or `bench`.
missing() {
    has cmake || echo cmake
    has make || echo make # which cmake only recommends
    has c++ || echo g++
    has pkg-config || echo pkg-config
    pkg-config --exists openssl 2>/dev/null || dpkg -s libssl-dev >/dev/null 2>&1 || echo libssl-dev
    has ccache || echo ccache
    [ "$1" = run ] || find_python >/dev/null || printf '%s\n' python3 python3-venv
    [ "$1" != tests ] || has curl || echo curl
    [ "$1" != tests ] || { has node && has npm; } || printf '%s\n' nodejs npm
    [ "$1" != tests ] || [ -x "$TODO_TEST_CHROMIUM" ] || echo chromium
    [ "$1" != bench ] || has h2load || echo nghttp2-client
}

# The environment of the Python programs, made anew when its requirements change.
make_venv() {
    venv=$target/venv
    if cmp -s "$root/tests/neutral/requirements.txt" "$venv/made-from.txt" &&
        [ -x "$venv/bin/python" ]; then
        return
    fi
    say "Making the Python environment in $venv"
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --only-binary=:all: --requirement "$root/tests/neutral/requirements.txt"
    cp "$root/tests/neutral/requirements.txt" "$venv/made-from.txt" # last: marks it complete
}

# What drives the browser in the page's tests, installed anew when its lock file changes.
install_page_tests() {
    local dir=$root/tests/page
    if ! cmp -s "$dir/package-lock.json" "$dir/node_modules/made-from.json"; then
        say "Installing what the page's tests need in $dir/node_modules"
        (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --silent) >&2
        cp "$dir/package-lock.json" "$dir/node_modules/made-from.json" # last: marks it complete
    fi
}

# `set_up run`: what a build needs. `set_up tests`, `set_up bench`: what those need, too.
set_up() {
    local packages version
    has cargo || PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
    has cargo || fail "cargo is missing: install Rust from https://rustup.rs, then run this again."

    mapfile -t packages < <(missing "$1")
    if [ ${#packages[@]} -gt 0 ]; then
        has apt-get || fail "To build todo, install what Debian calls: ${packages[*]}"
        [ "$(id -u)" -eq 0 ] || fail "Packages are missing. Install them, then run this again:
  sudo apt-get update && sudo apt-get install -y ${packages[*]}"
        say "Installing ${packages[*]}"
        apt-get update -q </dev/null >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q "${packages[@]}" </dev/null >&2
    fi

    # The C core takes many minutes to compile: never the same file twice.
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    # It is older than these: gcc 13 no longer includes cstdint by the way, and
    # CMake 4 refuses the policies of its CMakeLists.
    version=$(c++ -dumpversion)
    if [ "${version%%.*}" -ge 13 ] && [[ ${CXXFLAGS-} != *cstdint* ]]; then
        export CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }-include cstdint"
    fi
    version=$(cmake --version)
    version=${version#cmake version }
    if [ "${version%%.*}" -ge 4 ]; then
        export CMAKE_POLICY_VERSION_MINIMUM=3.5
    fi
    if ! compgen -G "$target/release/build/grpcio-sys-*/out" >/dev/null; then
        say "The first build compiles the gRPC C core: that takes about 20 minutes on two cores."
    fi
}
