#!/bin/sh
# gdb.sh GDB COMMANDS PROGRAM: what gdb shows of a process that it stopped, and of its core file, is what loop_dump()
# prints.
set -eu
gdb=$1
commands=$2
program=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The program describes itself at SIGUSR1, which it sends itself: right before that gdb does.
"$gdb" -batch -nx -x "$commands" -ex 'handle SIGUSR1 nostop noprint pass' -ex 'break loop_dump' -ex run -ex loop-dump \
    -ex "generate-core-file $work/core" -ex continue --args "$program" 1 >"$work/live" 2>&1 || true
grep -q '^Breakpoint 1, ' "$work/live" || { cat "$work/live"; exit 77; } # it may not trace here
"$gdb" -batch -nx -x "$commands" -ex loop-dump "$program" "$work/core" >"$work/dead" 2>&1

lines() { # without times
    grep -E '^(loop|handle|timer) ' "$1" | sed 's/ due_in=.*//'
}
cat "$work/live" "$work/dead"
lines "$work/live" | tail -n 4 >"$work/expected"
grep -q '^timer handle 0x' "$work/expected"
lines "$work/live" | head -n 4 | diff "$work/expected" -
lines "$work/dead" | diff "$work/expected" -
