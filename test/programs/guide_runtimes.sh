#!/bin/sh
# guide_runtimes.sh PROGRAM: what the example prints.
set -eu
[ "$("$1" | tr -d '\r')" = "sent: success, 5 bytes
received: success, 5 bytes
nobody sent: timed out, 0 bytes
too late: timed out, 0 bytes
cleared: success, 4 bytes
its own: timed out, 0 bytes
cancelled: operation canceled, 0 bytes
datagram: success, 3 bytes
datagram: success, 5 bytes
the end: operation canceled, 0 bytes
answer: 42
laps: 300" ]
