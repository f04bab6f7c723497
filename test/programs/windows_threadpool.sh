#!/bin/sh
# windows_threadpool.sh PROGRAM: what the example prints.
set -eu
[ "$("$1" | tr -d '\r')" = "the pool received: 6 7
the loop was told: 42
closed" ]
