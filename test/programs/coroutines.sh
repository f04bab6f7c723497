#!/bin/sh
# coroutines.sh PROGRAM CLIENT: the echo server of coroutines, on one thread and on several: what it echoes (see echo.sh), and
# whom it disconnects.
set -eu
. "$(dirname "$0")/echo.sh"

ends_silent_peers() { # OPTION...
    start_server "$program" --port 0 --silence 300 "$@"
    "$client" -s 300 "$where" </dev/null || fail "a client that said nothing was not served right"
    [ "$(echo hello | "$client" -s 300 "$where")" = hello ] || fail "a client that fell silent was not served right"
    stop_server "$server"
}

# A client whose output goes nowhere reads no more at some time, and the server cannot write to it.
stops_with_a_peer_that_does_not_read() { # OPTION...
    start_server "$program" --port 0 --silence 300 "$@"
    rm -f "$work/full"
    mkfifo "$work/full"
    exec 4<>"$work/full"
    "$client" "$where" <"$work/sent" >"$work/full" 2>/dev/null 4>&- &
    greedy=$!
    head -c 1000 <&4 >/dev/null
    stop_server "$server"
    exec 4>&-
    wait "$greedy" || true
}

echo_serves
echo_serves --threads 3
echo_serves --threads 3 --move 5
ends_silent_peers
ends_silent_peers --threads 3 --move 1
stops_with_a_peer_that_does_not_read --threads 2

! "$program" --threads 0 2>"$work/err" || fail "no threads at all were accepted"
