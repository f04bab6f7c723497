# Sourced by scripts that start servers of examples/: each prints "listening on WHERE" and ends at SIGTERM with status 0.
# LOOP_STOP_SIGNAL in the environment is another signal: under Wine INT, which is the only one that Wine makes an event of.
# shellcheck shell=sh

work=$(mktemp -d)
server=

fail() {
    echo "${0##*/}: $*" >&2
    [ ! -s "$work/err" ] || cat "$work/err" >&2
    exit 1
}

cleanup() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# await WHAT COMMAND...: repeats the command until it succeeds, for ten seconds.
await() {
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 500 ] || fail "waited too long: $what"
        sleep 0.02
    done
}

server_listens() {
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    grep -q '^listening on ' "$work/out"
}

# start_server COMMAND...: sets server, its process, and where, what it listens on.
start_server() {
    : >"$work/out"
    "$@" >"$work/out" 2>"$work/err" &
    server=$!
    await "the server listens" server_listens
    # shellcheck disable=SC2034 # for the scripts that source this
    where=$(tr -d '\r' <"$work/out" | sed -n 's/^listening on //p')
}

# stop_server PROCESS: asks the server, or the process that it runs under another, to end; it must end with 0.
stop_server() {
    kill -s "${LOOP_STOP_SIGNAL:-TERM}" "$1"
    status=0
    wait "$server" || status=$?
    server=
    [ "$status" -eq 0 ] || fail "the server ended with status $status"
}
