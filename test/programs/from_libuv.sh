#!/bin/sh
# from_libuv.sh PROGRAM: what the example prints.
set -eu
[ "$("$1" | tr -d '\r')" = "server: hello
server: end of file
3 ticks, 3 messages" ]
