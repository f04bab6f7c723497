#!/bin/sh
# compare-suites.sh EPOLL-BUILD OTHER-BUILD: fails unless both run the same rows, which pass. Prints how many, and what is skipped.
# Both are builds of the tests that have been made; the other is of kqueue or, for Windows, of iocp.
#
# kqueue: all rows but those about one backend alone. Both execute the same number of assertions within 1 %, but for rows that
# go on for a time.
# iocp:   the rows labelled shared (cmake/tests.cmake). Of those at most MOST_SKIPPED are skipped there and not with epoll. They are
#         not run again: what counts is the last run in each build.
set -eu
cd "$(dirname "$0")/.."
MOST_SKIPPED=8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# How often these go round is a matter of time, not of the backend.
timed='under_fire|test_race[a-z_]*\.|test_shutdown\.|test_timer\.any_sequence|\.a_deadline_that_races|\.a_loop_with_work_in_flight'

# Rows about one backend, or none, about the tests' own kqueue, and scripts that build the project anew.
alone='^(epoll[a-z_]*|kqueue[a-z_]*|machport_kqueue|kqshim[a-z_]*|interleave|spin|bench|programs)\.|^install'

fail() {
    echo "compare-suites: $*" >&2
    exit 1
}

is_for_windows() { # BUILD
    grep -qs 'set(CMAKE_SYSTEM_NAME "Windows")' "$1"/CMakeFiles/*/CMakeSystem.cmake
}

# run BUILD NAME CTEST-ARGUMENT...: runs the rows that ctest selects by the arguments. Their names go to NAME.rows, those of them
# that are skipped to NAME.skipped.
run() {
    tree=$1 name=$2
    shift 2
    ctest --test-dir "$tree" "$@" -N | sed -n 's/^ *Test *#\([0-9]*\): */\1 /p' >"$work/$name.numbers"
    sed 's/^[0-9]* //' "$work/$name.numbers" | sort >"$work/$name.rows"
    [ -s "$work/$name.rows" ] || fail "$tree has no such rows; ./dev test makes them."
    ctest --test-dir "$tree" "$@" -j "$(($(getconf _NPROCESSORS_ONLN) * 2))" -V >"$work/$name.log" 2>&1 || {
        grep -E 'tests passed|\(Failed|\(Timeout|\(Not Run' "$work/$name.log" >&2
        fail "$tree: not all rows pass"
    }
    # cmocka says so of a function; which program that was, the number before the line tells.
    tr -d '\r' <"$work/$name.log" | sed -nE 's/^([0-9]+): \[  SKIPPED \] [a-z_0-9]+$/\1/p' | sort -u |
        awk 'NR == FNR { skipped[$1] = 1; next } $1 in skipped { print $2 }' - "$work/$name.numbers" |
        sort >"$work/$name.skipped"
}

report() { # NAME WHAT
    echo "$1: $2, skipped:"
    sed 's/^/    /' "$work/$1.skipped"
}

same_rows() { # NAME
    diff "$work/epoll.rows" "$work/$1.rows" || fail "the rows are not the same"
}

# ---------------------------------------------------------------------------------------------------------------- kqueue

counted() { # BUILD NAME
    : >"$work/$2.counts"
    LOOP_ASSERTIONS=$work/$2.counts LOOP_TEST_LAUNCHER="env LD_PRELOAD=$work/assertions.so" run "$1" "$2" -E "$alone"
    grep -vE "$timed" "$work/$2.counts" | awk '{ n += $1 } END { printf "%d\n", n }' >"$work/$2.sum"
    report "$2" "$(wc -l <"$work/$2.rows") rows, $(cat "$work/$2.sum") assertions"
}

compare_with_kqueue() {
    cc -shared -fPIC -O1 -o "$work/assertions.so" tools/assertions.c -ldl
    counted "$1" epoll
    counted "$2" kqueue
    same_rows kqueue
    awk -v a="$(cat "$work/epoll.sum")" -v b="$(cat "$work/kqueue.sum")" 'BEGIN {
        printf "assertions of kqueue / epoll: %.4f\n", b / a
        exit !(b > 0.99 * a && b < 1.01 * a) }' || fail "more than 1 % apart"
}

# ------------------------------------------------------------------------------------------------------------------ iocp

# last BUILD NAME: the same two files as run() gives, of the rows labelled shared, from what ctest noted of its last run there.
last() {
    log=$1/Testing/Temporary/LastTest.log
    cp "$log" "$work/$2.last" || fail "$1: nothing was run; ./dev test does."
    ctest --test-dir "$1" -L '^shared$' -N | sed -n 's/^ *Test *#[0-9]*: *//p' | sort >"$work/$2.rows"
    cp "$work/$2.last" "$log" # which listing has overwritten
    [ -s "$work/$2.rows" ] || fail "$1 has no such rows; ./dev test makes them."
    tr -d '\r' <"$work/$2.last" | awk -v passed="$work/$2.passed" -v skipped="$work/$2.said" '
        BEGIN { printf "" >passed; printf "" >skipped }
        /^[0-9]+\/[0-9]+ Test: / { program = $3; rows = "" }
        /^\[ +(OK|SKIPPED) \] [a-z_0-9]+$/ {
            row = program
            if (sub(/\.all$/, "", row)) # of a program that was run as a whole
                row = row "." $4
            rows = rows row "\n"
            if ($2 == "SKIPPED")
                print row >skipped
        }
        /^Test Passed\.$/ { printf "%s", rows >passed }'
    sort -u "$work/$2.passed" | comm -23 "$work/$2.rows" - >"$work/$2.missing"
    [ ! -s "$work/$2.missing" ] || fail "$1: not all rows were run last, or passed: $(head -n 1 "$work/$2.missing")"
    sort -u "$work/$2.said" | comm -12 "$work/$2.rows" - >"$work/$2.skipped"
}

executed() { # NAME
    echo "$(($(wc -l <"$work/$1.rows") - $(wc -l <"$work/$1.skipped"))) of $(wc -l <"$work/$1.rows") shared rows executed"
}

compare_with_iocp() {
    last "$1" epoll
    report epoll "$(executed epoll)"
    last "$2" iocp
    report iocp "$(executed iocp)"
    same_rows iocp
    comm -13 "$work/epoll.skipped" "$work/iocp.skipped" >"$work/only"
    echo "skipped with iocp and executed with epoll: $(wc -l <"$work/only"), at most $MOST_SKIPPED"
    [ "$(wc -l <"$work/only")" -le "$MOST_SKIPPED" ] || fail "too many"
}

if is_for_windows "$2"; then
    compare_with_iocp "$1" "$2"
else
    compare_with_kqueue "$1" "$2"
fi
