# shellcheck shell=bash
# Shared by run.sh, test.sh and bench.sh, which source it: paths, and the setup of a fresh
# machine. It installs only what is missing. Its messages go to stderr.

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
target=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}
has() { command -v "$1" >/dev/null; }

# Prints a Python that can make a virtual environment. The first python3 in PATH may be a shim
# or incomplete, even if the system's own works.
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

# The browser for the tests of the page.
export TODO_TEST_CHROMIUM=${TODO_TEST_CHROMIUM:-/usr/bin/chromium}

# Prints the Debian packages that are missing for `run`, `tests` or `bench`.
missing() {
    has cmake || echo cmake
    has make || echo make # cmake only recommends it
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

# Makes the environment of the Python programs, again whenever its requirements change.
make_venv() {
    venv=$target/venv
    if cmp -s "$root/tests/interop/requirements.txt" "$venv/made-from.txt" &&
        [ -x "$venv/bin/python" ]; then
        return
    fi
    say "Making the Python environment in $venv"
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --only-binary=:all: --requirement "$root/tests/interop/requirements.txt"
    cp "$root/tests/interop/requirements.txt" "$venv/made-from.txt" # last: marks it complete
}

# Installs the packages that drive the browser, again whenever their lock file changes.
install_page_tests() {
    local dir=$root/tests/page
    if ! cmp -s "$dir/package-lock.json" "$dir/node_modules/made-from.json"; then
        say "Installing the packages for the page's tests in $dir/node_modules"
        (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --silent) >&2
        cp "$dir/package-lock.json" "$dir/node_modules/made-from.json" # last: marks it complete
    fi
}

# `set_up run` installs what a build needs, `set_up tests` and `set_up bench` also what the tests
# or the benchmarks need.
set_up() {
    local packages version
    has cargo || PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
    has cargo || fail "cargo is missing: install Rust from https://rustup.rs, then run this again."

    mapfile -t packages < <(missing "$1")
    if [ ${#packages[@]} -gt 0 ]; then
        has apt-get || fail "Packages are missing. Install the equivalent of these Debian packages: ${packages[*]}"
        [ "$(id -u)" -eq 0 ] || fail "Packages are missing. Install them, then run this again:
  sudo apt-get update && sudo apt-get install -y ${packages[*]}"
        say "Installing ${packages[*]}"
        apt-get update -q </dev/null >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q "${packages[@]}" </dev/null >&2
    fi

    # The C core takes many minutes to compile, so ccache keeps the results.
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    # The C core is older than current tools: gcc 13 no longer includes cstdint implicitly, and
    # CMake 4 refuses the policy version of its CMakeLists.
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
        say "The first build compiles the gRPC C core, which takes about 20 minutes on two cores."
    fi
}
