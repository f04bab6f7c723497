#!/bin/sh
# compare-suites.sh EPOLL-BUILD KQUEUE-BUILD: fails unless both run the same rows, but for those about one backend alone, and
# execute the same number of assertions within 1 %, but for rows that go on for a time. Prints what is skipped. Both are builds of the tests that have been made.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# How often these go round is a matter of time, not of the backend.
timed='under_fire|test_race\.|test_shutdown\.|test_timer\.any_sequence'

# Rows about one backend, about the tests' own kqueue, and scripts that build the project anew.
alone='^(epoll|kqueue[a-z_]*|machport_kqueue|kqshim[a-z_]*)\.|^(install|spin|bench\.|programs\.)'

cc -shared -fPIC -O1 -o "$work/assertions.so" tools/assertions.c -ldl

rows() { # BUILD
    ctest --test-dir "$1" -N | sed -n 's/^ *Test *#[0-9]*: *//p' | grep -vE "$alone" | sort
}

run() { # BUILD NAME
    rows "$1" >"$work/$2.rows"
    : >"$work/$2.counts"
    LOOP_ASSERTIONS=$work/$2.counts LOOP_TEST_LAUNCHER="env LD_PRELOAD=$work/assertions.so" \
        ctest --test-dir "$1" -j "$(getconf _NPROCESSORS_ONLN)" -E "$alone" -V >"$work/$2.log" 2>&1 ||
        { grep -E 'tests passed|\(Failed|\(Timeout' "$work/$2.log" >&2; exit 1; }
    grep -vE "$timed" "$work/$2.counts" | awk '{ n += $1 } END { printf "%d\n", n }' >"$work/$2.sum"
    grep -oE '\[  SKIPPED \] [a-z_]+$' "$work/$2.log" | sort -u >"$work/$2.skipped" || true
    echo "$2: $(wc -l <"$work/$2.rows") rows, $(cat "$work/$2.sum") assertions, skipped:"
    sed 's/^\[  SKIPPED \]/   /' "$work/$2.skipped"
}

run "$1" epoll
run "$2" kqueue
diff "$work/epoll.rows" "$work/kqueue.rows" || { echo "compare-suites: the rows are not the same" >&2; exit 1; }
awk -v a="$(cat "$work/epoll.sum")" -v b="$(cat "$work/kqueue.sum")" 'BEGIN {
    printf "assertions of kqueue / epoll: %.4f\n", b / a
    exit !(b > 0.99 * a && b < 1.01 * a) }' || { echo "compare-suites: more than 1 % apart" >&2; exit 1; }
