#!/bin/sh
# run.sh CLIENT MODE ARGUMENTS... -- SERVER...: starts the server, waits for the port it prints, starts the client with
# its mode, the port and its other arguments, and fails if either does. Both run on one CPU and the server in the batch
# class, which does not preempt: so it sleeps until the client has sent a whole round, and one wait finds all connections
# ready.
# BENCH_COUNT=COMMAND is put before the server: valgrind, strace. BENCH_CLIENT_CPU=N gives the client another CPU.
set -eu

client=$1
mode=$2
shift 2
client_arguments=
while [ "$1" != -- ]; do
    client_arguments="$client_arguments $1"
    shift
done
shift

pin=
pin_client=
batch=
if taskset -cp $$ >/dev/null 2>&1; then
    pin="taskset -c $(taskset -cp $$ | sed 's/.*: *//; s/[,-].*//')"
    pin_client=$pin
    [ -z "${BENCH_CLIENT_CPU:-}" ] || pin_client="taskset -c $BENCH_CLIENT_CPU"
fi
if chrt --batch 0 true 2>/dev/null; then
    batch="chrt --batch 0"
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
# shellcheck disable=SC2086
$pin $batch ${BENCH_COUNT:-} "$@" >"$output" &
server=$!
port=
while [ -z "$port" ]; do
    kill -0 $server 2>/dev/null || {
        wait $server && status=0 || status=$?
        [ "$status" -eq 77 ] || echo "run.sh: the server did not start" >&2
        exit "$status"
    }
    sleep 0.05
    port=$(sed -n 's/^port //p' "$output")
done
# shellcheck disable=SC2086
$pin_client "$client" "$mode" "$port" $client_arguments || { kill $server 2>/dev/null || true; exit 1; }
wait $server
grep -v '^port ' "$output"
