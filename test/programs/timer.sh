#!/bin/sh
# timer.sh PROGRAM: what the example prints.
set -eu
[ "$("$1" | tr -d '\r')" = "tick 1
tick 2
tick 3" ]
