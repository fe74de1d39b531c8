#!/usr/bin/env bash
# Builds todo, starts todod and todo-web, and opens the REPL. The servers stop with the REPL.
# If a todod answers at the address already, the script uses that one.
#
#   TODO_RUN_DIR         the data directory (default: todo-run in the user's data directory)
#   TODO_RUN_LISTEN      the address of todod (default: 127.0.0.1:50051)
#   TODO_RUN_WEB_LISTEN  the address of the page (default: 127.0.0.1:8080)
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"

start_seconds_max=60

if [ $# -gt 0 ]; then
    say "usage: scripts/run.sh (it takes no arguments; the REPL reads commands from standard input)"
    exit 2
fi

[ -e /dev/fd/0 ] || exec </dev/null # started with standard input closed

dir=$(realpath -m "${TODO_RUN_DIR:-${XDG_DATA_HOME:-${HOME:?}/.local/share}/todo-run}")
address=${TODO_RUN_LISTEN:-127.0.0.1:50051}
web_address=${TODO_RUN_WEB_LISTEN:-127.0.0.1:8080}
log=$dir/todod.log
web_log=$dir/todo-web.log
server='' # the process ids of the programs that this script started
web=''
repl=''
terminal=$(stty -g 2>/dev/null) || terminal=''

answers() {
    local status=0
    "$target/release/todo" --server "$address" --timeout 2s show 1 </dev/null >/dev/null 2>&1 ||
        status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 3 ] # 3: task 1 does not exist, so the server answers
}

# `launch LOG PROGRAM...` starts a program and sets $pid, and $said to the address that it
# listens on. Returns 1 if the program ended instead.
launch() {
    local pipe ready line program_log=$1 failed=0
    shift
    pipe=$(mktemp -d)
    mkfifo "$pipe/stdout"
    # In its own session, the program does not receive Ctrl-C at the REPL or a hangup.
    setsid "$@" </dev/null >"$pipe/stdout" 2>>"$program_log" {lock}>&- &
    pid=$!
    exec {ready}<"$pipe/stdout"
    rm -r "$pipe"
    while IFS= read -r -t "$start_seconds_max" -u "$ready" line || { failed=$? && false; }; do
        if [[ $line == 'listening on '* ]]; then
            said=${line#listening on } # $ready stays open: closing it would break its stdout
            return
        fi
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
    if [ "$failed" -gt 128 ]; then # a timeout; otherwise its output ended
        fail "${1##*/} was not ready after $start_seconds_max seconds; see $program_log"
    fi
    return 1
}

# Starts todod and sets $server and $address, or returns 1.
start() {
    launch "$log" "$target/release/todod" --listen "$address" --data-dir "$dir" || return
    server=$pid
    address=$said
}

# `start_web ADDR` starts todo-web and sets $web and $page, or returns 1.
start_web() {
    launch "$web_log" "$target/release/todo-web" --listen "$1" --server "$address" || return
    web=$pid
    page=$said
}

# Stops the programs that this script started.
# shellcheck disable=SC2317 # the EXIT trap calls it
stop() {
    trap '' HUP TERM
    trap - INT # a second Ctrl-C ends the wait; the servers stop anyway
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

# A lock, so that a second run.sh finds the server of the first one ready.
exec {lock}>"$dir/run.lock"
flock "$lock"
if answers; then
    say "Using the todod that runs on $address."
elif start; then
    say "todod runs on $address until you leave the REPL. Its tasks and log are in $dir."
elif answers; then
    say "Using the todod that runs on $address."
else
    tail -n 10 "$log" >&2
    fail "todod did not start: see the last lines of $log above"
fi
if start_web "$web_address"; then
    say "The page is at $page: open it in a browser."
elif start_web "${web_address%:*}:0"; then
    say "$web_address is taken, so the page is at $page: open it in a browser."
else
    tail -n 10 "$web_log" >&2
    say "The page is not available, because todo-web did not start: see the last lines of $web_log above"
fi
exec {lock}>&-

# A shell that waits for a foreground program handles SIGTERM only after the program ends.
# So the REPL is started with `&`, which requires that stdin and the default action of Ctrl-C
# are restored. Ctrl-C belongs to the REPL: the shell waits again.
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
