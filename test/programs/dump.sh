#!/bin/sh
# dump.sh PROGRAM: it describes its loop at SIGUSR1, which it sends itself, and ends.
set -eu
output=$("$1" 1)
echo "$output" | grep -qE '^loop (epoll|kqueue) 0x'
echo "$output" | grep -q '^handle signal 0x.* active=1 ref=0'
echo "$output" | grep -q '^timer handle 0x'
