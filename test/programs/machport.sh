#!/bin/sh
# machport.sh PROGRAM: what the example prints.
set -eu
[ "$("$1")" = "message 1
message 2
message 3" ]
