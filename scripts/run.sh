#!/usr/bin/env bash
# Builds todo, starts a todod with a data directory of its own and a todo-web, and opens
# the REPL; the servers stop with the REPL. If a todod answers already, it is used.
#
#   TODO_RUN_DIR         the data directory (default: todo-run in the user's data directory)
#   TODO_RUN_LISTEN      the address (default: 127.0.0.1:50051)
#   TODO_RUN_WEB_LISTEN  the page's address (default: 127.0.0.1:8080)
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
web_address=${TODO_RUN_WEB_LISTEN:-127.0.0.1:8080}
log=$dir/todod.log
web_log=$dir/todo-web.log
server='' # the process ids of what this script started
web=''
repl=''
terminal=$(stty -g 2>/dev/null) || terminal=''

answers() {
    local status=0
    "$target/release/todo" --server "$address" --timeout 2s show 1 </dev/null >/dev/null 2>&1 ||
        status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 3 ] # 3: it answers that there is no task 1
}

# `launch LOG PROGRAM...` sets $pid and $said, where it listens, or returns 1 if the
# program ended instead.
launch() {
    local pipe ready line program_log=$1 failed=0
    shift
    pipe=$(mktemp -d)
    mkfifo "$pipe/stdout"
    # In a session of its own, Ctrl-C at the REPL and a closed terminal pass it by.
    setsid "$@" </dev/null >"$pipe/stdout" 2>>"$program_log" {lock}>&- &
    pid=$!
    exec {ready}<"$pipe/stdout"
    rm -r "$pipe"
    while IFS= read -r -t "$start_seconds_max" -u "$ready" line || { failed=$? && false; }; do
        if [[ $line == 'listening on '* ]]; then
            said=${line#listening on } # $ready stays open: its stdout must not break
            return
        fi
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
    if [ "$failed" -gt 128 ]; then # the time is up; else it is the end of its output
        fail "${1##*/} was not ready after $start_seconds_max seconds; see $program_log"
    fi
    return 1
}

# Sets $server and $address, or returns 1.
start() {
    launch "$log" "$target/release/todod" --listen "$address" --data-dir "$dir" || return
    server=$pid
    address=$said
}

# Sets $web and $page, or returns 1.
start_web() {
    launch "$web_log" "$target/release/todo-web" --listen "$1" --server "$address" || return
    web=$pid
    page=$said
}

# Stops what this script started, and nothing else.
# shellcheck disable=SC2317 # the EXIT trap calls it
stop() {
    trap '' HUP TERM
    trap - INT # a second Ctrl-C stops the waiting; the servers end all the same
    if [ -n "$repl" ] && kill "$repl" 2>/dev/null; then
        wait "$repl" || true
        [ -z "$terminal" ] || stty "$terminal" 2>/dev/null || true
    fi
    if [ -n "$web" ] && kill "$web" 2>/dev/null; then
        wait "$web" || true
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
if start_web "$web_address"; then
    say "The page is at $page: open it in a browser."
elif start_web "${web_address%:*}:0"; then
    say "$web_address is taken, so the page is at $page: open it in a browser."
else
    tail -n 10 "$web_log" >&2
    say "There is no page: todo-web did not start. The above are the last lines of $web_log"
fi
exec {lock}>&-

# The REPL stays in the terminal's foreground, but the shell does not: it would
# hold back a SIGTERM until the REPL ends. Hence `&`, which needs stdin and
# Ctrl-C's default restored. Ctrl-C is the REPL's: the shell just waits again.
env --default-signal=INT,QUIT ${page:+TODO_WEB="$page"} "$target/release/todo" --server "$address" <&0 {lock}>&- &
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
