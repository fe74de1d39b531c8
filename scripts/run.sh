#!/usr/bin/env bash
# Builds todo, starts a todod with a data directory of its own, and opens the REPL
# on it; the server stops with the REPL. If a server answers already, only opens a REPL.
#
#   TODO_RUN_DIR     the data directory (default: todo-run in the user's data directory)
#   TODO_RUN_LISTEN  the address (default: 127.0.0.1:50051)
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"

start_seconds_max=60

if [ $# -gt 0 ]; then
    say "usage: scripts/run.sh (no arguments; the REPL's commands come from standard input)"
    exit 2
fi

[ -e /dev/fd/0 ] || exec </dev/null # started with standard input closed

dir=$(realpath -m "${TODO_RUN_DIR:-${XDG_DATA_HOME:-${HOME:?}/.local/share}/todo-run}")
address=${TODO_RUN_LISTEN:-127.0.0.1:50051}
log=$dir/todod.log
server='' # the process ids of what this script started
repl=''
terminal=$(stty -g 2>/dev/null) || terminal=''

answers() {
    local status=0
    "$target/release/todo" --server "$address" --timeout 2s show 1 </dev/null >/dev/null 2>&1 ||
        status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 3 ] # 3: it answers that there is no task 1
}

# Sets $server and $address, or returns 1 if todod ended instead.
start() {
    local pipe ready line failed=0
    pipe=$(mktemp -d)
    mkfifo "$pipe/stdout"
    # In a session of its own, Ctrl-C at the REPL and a closed terminal pass it by.
    setsid "$target/release/todod" --listen "$address" --data-dir "$dir" \
        </dev/null >"$pipe/stdout" 2>>"$log" {lock}>&- &
    server=$!
    exec {ready}<"$pipe/stdout"
    rm -r "$pipe"
    while IFS= read -r -t "$start_seconds_max" -u "$ready" line || { failed=$? && false; }; do
        if [[ $line == 'listening on '* ]]; then
            address=${line#listening on } # $ready stays open: todod's stdout must not break
            return
        fi
    done
    if [ "$failed" -gt 128 ]; then # the time is up; else it is the end of todod's output
        fail "todod was not ready after $start_seconds_max seconds; see $log"
    fi
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    server=''
    return 1
}

# Stops what this script started, and nothing else.
# shellcheck disable=SC2317 # the EXIT trap calls it
stop() {
    trap '' HUP TERM
    trap - INT # a second Ctrl-C stops the waiting; todod ends all the same
    if [ -n "$repl" ] && kill "$repl" 2>/dev/null; then
        wait "$repl" || true
        [ -z "$terminal" ] || stty "$terminal" 2>/dev/null || true
    fi
    if [ -n "$server" ] && kill "$server" 2>/dev/null; then
        wait "$server" || true
    fi
}

set_up run
(cd "$root" && cargo build --release --bins --locked) </dev/null >&2
(umask 077 && mkdir -p "$dir")
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# One at a time, so that the second run.sh finds the first one's server ready.
exec {lock}>"$dir/run.lock"
flock "$lock"
if answers; then
    say "Using the server that runs on $address."
elif start; then
    say "todod runs on $address until you leave; tasks and log are in $dir."
elif answers; then
    say "Using the server that runs on $address."
else
    tail -n 10 "$log" >&2
    fail "todod did not start; the above are the last lines of $log"
fi
exec {lock}>&-

# The REPL stays in the terminal's foreground, but the shell does not: it would
# hold back a SIGTERM until the REPL ends. Hence `&`, which needs stdin and
# Ctrl-C's default restored. Ctrl-C is the REPL's: the shell just waits again.
env --default-signal=INT,QUIT "$target/release/todo" --server "$address" <&0 {lock}>&- &
repl=$!
interrupted=yes
trap 'interrupted=yes' INT
while [ -n "$interrupted" ]; do
    interrupted=''
    status=0
    wait "$repl" || status=$?
done
repl=''
exit "$status"
