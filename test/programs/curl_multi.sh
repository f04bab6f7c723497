#!/bin/sh
# curl_multi.sh PROGRAM CLIENT HTTP: libcurl, driven by a loop, makes ten transfers from the HTTP example at the same time. One
# times out, one is removed in the middle, the others are complete.
set -eu
. "$(dirname "$0")/../../tools/server.sh"
program=$1
unset http_proxy all_proxy HTTP_PROXY ALL_PROXY

# expect COUNT TEXT: so many lines of the output end with the text.
expect() {
    found=$(grep -cF "$2" "$work/got" || true)
    [ "$found" -eq "$1" ] || fail "$found lines, not $1, say '$2': $(cat "$work/got")"
}

start_server "$3" --port 0
status=0
"$program" --timeout 2000 --limit 5000000 \
    "${where}slow?ms=500" "${where}bytes?n=3000000" "${where}slow?ms=600" "${where}" "${where}bytes?n=1000000000" \
    "${where}slow?ms=5000" "${where}slow?ms=400" "${where}bytes?n=1000000" "${where}slow?ms=500" "${where}slow?ms=300" \
    >"$work/got" 2>"$work/err" || status=$?

[ "$status" -eq 1 ] || fail "the status is $status"
expect 6 ": status 200, 17 bytes"
expect 1 "bytes?n=3000000: status 200, 3000000 bytes"
expect 1 "bytes?n=1000000: status 200, 1000000 bytes"
expect 1 "slow?ms=5000: timed out after 0 bytes"
expect 1 "bytes?n=1000000000: removed after more than 5000000 bytes"
expect 1 "at most 10 sockets at a time"

# One after the other on what is no server any more, and one that works.
stop_server "$server"
gone=$where
start_server "$3" --port 0
"$program" "$where" >"$work/got" || fail "a single transfer failed"
expect 1 ": status 200, 17 bytes"
status=0
"$program" "$gone" "${where}none" >"$work/got" || status=$?
[ "$status" -eq 1 ] || fail "the status is $status"
expect 1 ": failed after 0 bytes"
expect 1 "none: status 404, 0 bytes"
stop_server "$server"
