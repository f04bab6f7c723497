#!/bin/sh
# operations.sh PROGRAM: what the example prints.
set -eu
[ "$("$1" | tr -d '\r')" = "write: 5 bytes, status 0
first read: 5 bytes: hello
second read: ECANCELED" ]
