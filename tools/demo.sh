#!/bin/sh
# demo.sh HTTP-PROGRAM: what ./dev demo shows. Exits non-zero on any socket error, non-2xx answer or lost request.
set -eu

program=$1
work=$(mktemp -d)
server=

cleanup() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "demo: $*" >&2
    exit 1
}

# Starts the server under the given command words, and sets server and url.
start() {
    : >"$work/out"
    "$@" "$program" --port 0 >"$work/out" 2>"$work/err" &
    server=$!
    tries=0
    while ! grep -q '^listening on ' "$work/out"; do
        kill -0 "$server" 2>/dev/null || { cat "$work/err" >&2; fail "the server did not start"; }
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "the server does not listen"
        sleep 0.05
    done
    url=$(sed -n 's/^listening on //p' "$work/out")
}

finish() {
    kill -TERM "$1"
    status=0
    wait "$server" || status=$?
    server=
    [ "$status" -eq 0 ] || { cat "$work/err" >&2; fail "the server ended with status $status"; }
}

# load SECONDS FILE: wrk at 64 connections; fails if a request went wrong.
load() {
    wrk -t2 -c64 -d"$1s" --latency "$url" >"$2" || fail "wrk failed"
    if grep -E 'Socket errors|Non-2xx' "$2" >&2; then
        fail "requests went wrong"
    fi
}

requests() {
    sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$1"
}

echo "== a page"
start env
curl -sSf --max-time 10 "$url" | tee "$work/page"
grep -q loop "$work/page" || fail "that is not the page"

echo
echo "== load: wrk, 64 connections, 5 seconds"
load 5 "$work/load"
sed -n '/Latency Distribution/,/99%/p; /requests in/p; /Requests\/sec/p' "$work/load"

echo
echo "== a graceful stop: SIGTERM while a slow request is in flight"
curl -sS --max-time 20 -o "$work/slow" -w '%{http_code}' "${url}slow?ms=1500" >"$work/code" &
slow=$!
tries=0
until curl -sSf --max-time 5 "${url}stats" | grep -q '^in_flight 2$'; do # the slow one, and this one
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the slow request does not arrive"
    sleep 0.02
done
finish "$server"
wait "$slow" || fail "the slow request was lost"
[ "$(cat "$work/code")" = 200 ] || fail "the slow request was answered $(cat "$work/code")"
echo "the slow request was answered 200, the server exited 0"

echo
echo "== system calls: strace -f -c, 64 connections, 2 seconds"
start strace -f -qq -c -o "$work/calls"
load 2 "$work/load"
# The server is the child of strace.
finish "$(cat "/proc/$server/task/$server/children")"
head -n 12 "$work/calls"
awk -v requests="$(requests "$work/load")" '$NF == "total" {
    for (i = 3; i <= 4; i++) if ($i > calls) calls = $i
    printf "%d calls for %d requests: %.2f system calls per request\n", calls, requests, calls / requests }' "$work/calls"
