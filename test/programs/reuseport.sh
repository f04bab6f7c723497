#!/bin/sh
# reuseport.sh PROGRAM CLIENT: see echo.sh.
set -eu
. "$(dirname "$0")/echo.sh"
echo_serves --host 127.0.0.1
