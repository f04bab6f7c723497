#!/bin/sh
# demo.sh [--wine] HTTP-PROGRAM: what ./dev demo shows. Exits non-zero on any socket error, non-2xx answer or lost request.
# With --wine the program is one for Windows.
set -eu
. "$(dirname "$0")/server.sh"
signal=TERM seconds=5 wine=
if [ "$1" = --wine ]; then
    shift
    export LOOP_STOP_SIGNAL=INT
    signal=INT seconds=3 wine=yes
    set -- "$(dirname "$0")/wine.sh" "$1"
fi

# load SECONDS FILE: wrk at 64 connections; fails if a request went wrong.
load() {
    wrk -t2 -c64 -d"$1s" --latency "$where" >"$2" || fail "wrk failed"
    if grep -E 'Socket errors|Non-2xx' "$2" >&2; then
        fail "requests went wrong"
    fi
}

requests() {
    sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$1"
}

slow_request_in_flight() {
    curl -sSf --max-time 5 "${where}stats" | grep -q '^in_flight 2$' # the slow one, and this one
}

echo "== a page"
start_server "$@" --port 0
curl -sSf --max-time 10 "$where" | tee "$work/page"
grep -q loop "$work/page" || fail "that is not the page"
[ "$(curl -sSf --max-time 20 "${where}bytes?n=3000000" | wc -c)" -eq 3000000 ] || fail "3000000 bytes did not come whole"
[ "$(curl -sS --max-time 10 -o "$work/none" -w '%{http_code}' "${where}none")" = 404 ] || fail "there is a page /none"
echo "3000000 bytes came whole; what is not there was answered 404"

echo
echo "== load: wrk, 64 connections, $seconds seconds"
load "$seconds" "$work/load"
[ "$(requests "$work/load")" -gt 0 ] || fail "no request was answered"
sed -n '/Latency Distribution/,/99%/p; /requests in/p; /Requests\/sec/p' "$work/load"

echo
echo "== a graceful stop: SIG$signal while a slow request is in flight"
curl -sS --max-time 20 -o "$work/slow" -w '%{http_code}' "${where}slow?ms=1500" >"$work/code" &
slow=$!
await "the slow request arrives" slow_request_in_flight
stop_server "$server"
wait "$slow" || fail "the slow request was lost"
[ "$(cat "$work/code")" = 200 ] || fail "the slow request was answered $(cat "$work/code")"
echo "the slow request was answered 200, the server exited 0"
[ -z "$wine" ] || exit 0

echo
echo "== system calls: strace -f -c, 64 connections, 2 seconds"
start_server strace -f -qq -c -o "$work/calls" "$@" --port 0
load 2 "$work/load"
# The server is the child of strace.
stop_server "$(cat "/proc/$server/task/$server/children")"
head -n 12 "$work/calls"
awk -v requests="$(requests "$work/load")" '$NF == "total" {
    for (i = 3; i <= 4; i++) if ($i > calls) calls = $i
    printf "%d calls for %d requests: %.2f system calls per request\n", calls, requests, calls / requests }' "$work/calls"
