#!/bin/sh
# http.sh PROGRAM CLIENT: the answers of the HTTP example, byte by byte where it matters, and its graceful stop.
set -eu
. "$(dirname "$0")/../../tools/server.sh"
client=$2
cr=$(printf '\r')

# ask FORMAT: sends the text in printf's notation, and prints the answer without carriage returns.
ask() {
    # shellcheck disable=SC2059
    printf "$1" | "$client" "$address" | tr -d "$cr"
}

# expect WHAT PATTERN TEXT: a line of the text matches the pattern.
expect() {
    echo "$3" | grep -qE "$2" || fail "$1: no line matches $2 in: $3"
}

expect_refusal() { # STATUS REQUEST
    answer=$(ask "$2")
    expect "refusal" "^HTTP/1.1 $1 " "$answer"
    expect "refusal" "^Connection: close$" "$answer"
}

start_server "$1" --port 0
address=${where#http://}
address=${address%/}
close='Host: x\r\nConnection: close\r\n\r\n'

answer=$(ask "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n$close")
[ "$(echo "$answer" | grep -c '^HTTP/1.1 200 OK$')" = 2 ] || fail "three requests sent at once: $answer"
[ "$(echo "$answer" | grep '^HTTP/1.1' | sed -n 2p)" = "HTTP/1.1 404 Not Found" ] || fail "answers are out of order: $answer"
[ "$(echo "$answer" | grep -c '^Connection: close$')" = 1 ] || fail "a connection that stays says so: $answer"
expect "page" "^Hello from loop\.$" "$answer"

answer=$(ask "HEAD / HTTP/1.1\r\n$close")
expect "HEAD" "^Content-Length: 17$" "$answer"
[ "$(echo "$answer" | tail -n 1)" = "Connection: close" ] || fail "HEAD has no body: $answer"

answer=$(ask "POST / HTTP/1.1\r\nContent-Length: 3\r\nHost: x\r\n\r\nabcGET / HTTP/1.1\r\n$close")
expect "POST" "^HTTP/1.1 405 " "$answer"
expect "POST" "^Allow: GET, HEAD$" "$answer"
expect "request after a body" "^HTTP/1.1 200 OK$" "$answer"

expect "HTTP/1.0" "^HTTP/1.1 200 OK$" "$(ask 'GET / HTTP/1.0\r\n\r\n')"
[ "$(ask "GET /bytes?n=3000000 HTTP/1.1\r\n$close" | sed '1,/^$/d' | tr -cd x | wc -c)" -eq 3000000 ] || fail "/bytes is incomplete"

expect_refusal 400 'nonsense\r\n\r\n'
expect_refusal 400 'GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n'
expect_refusal 400 'GET / HTTP/1.1\r\nHost: x\r\nbad name: y\r\n\r\n'
expect_refusal 400 'GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n'
expect_refusal 400 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'
expect_refusal 413 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n'
expect_refusal 431 "GET / HTTP/1.1\r\nX: $(head -c 20000 /dev/zero | tr '\0' x)\r\n\r\n"
expect_refusal 501 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'

# A slow request is in flight when the server is asked to end: it is answered, idle connections end, so does the server. On a
# busy machine it may have been answered before anybody looked; the next one is slower.
ms=400
ask_slowly() {
    : >"$work/slow"
    printf 'GET /slow?ms=%s HTTP/1.1\r\nHost: x\r\n\r\n' "$ms" | "$client" "$address" >"$work/slow" &
    slow=$!
    ms=$((ms * 2))
}
slow_request_in_flight() {
    [ ! -s "$work/slow" ] || ask_slowly
    ask "GET /stats HTTP/1.1\r\n$close" | grep -q '^in_flight 2$'
}
ask_slowly
await "the slow request arrives" slow_request_in_flight
stop_server "$server"
wait "$slow" || fail "the slow request was lost"
expect "slow request" "^HTTP/1.1 200 OK" "$(cat "$work/slow")"
