#!/bin/sh
# measure.sh DIRECTORY [SUBJECT...]: what an event costs, by counting two runs of different length and dividing the difference:
# user instructions (valgrind's callgrind) and system calls (strace -f). DIRECTORY holds the programs of a release build.
# Subjects: echo timers wake start close; all unless told.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
programs=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# All on one CPU: what two threads do then depends less on chance.
if taskset -cp $$ >/dev/null 2>&1; then
    taskset -cp "$(taskset -cp $$ | sed 's/.*: *//; s/[,-].*//')" $$ >/dev/null
fi

fail() {
    echo "measure: $*" >&2
    exit 1
}

# ------------------------------------------------------------------------------------------------------------- counting

# run COUNTER PROGRAM ARGUMENT...: runs it under the command COUNTER. echo and close run with the client, whose arguments
# stand in $client.
client=
run() {
    counter=$1
    shift
    if [ -n "$client" ]; then
        # shellcheck disable=SC2086
        BENCH_COUNT=$counter "$here/run.sh" "$programs/client" echo $client -- "$@"
    else
        # shellcheck disable=SC2086
        $counter "$@"
    fi >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "$* failed"; }
}

instructions() { # instructions PROGRAM ARGUMENT...
    run "valgrind --tool=callgrind --fair-sched=try --callgrind-out-file=/dev/null --log-file=$work/callgrind" "$@"
    sed -n 's/.*Collected : *//p' "$work/callgrind"
}

calls() { # calls PROGRAM ARGUMENT...
    run "strace -f -c -o $work/strace" "$@"
    awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { sum += $4 } END { print sum }' "$work/strace"
}

# Two runs, then the row of their difference.
shorter() { # shorter PROGRAM ARGUMENT...
    short_instructions=$(instructions "$@")
    short_calls=$(calls "$@")
}
longer() { # longer PROGRAM ARGUMENT...
    long_instructions=$(instructions "$@")
    long_calls=$(calls "$@")
}
difference() { # difference NAME EVENTS
    awk -v name="$1" -v events="$2" -v a="$short_instructions" -v b="$long_instructions" -v c="$short_calls" -v d="$long_calls" '
        BEGIN {
            if (a == "" || b == "" || c == "" || d == "") exit 1
            printf "| %-24s | %12.0f | %12.2f |\n", name, (b - a) / events, (d - c) / events
        }' || fail "nothing was counted"
}

title() {
    printf '\n%s\n\n| %-24s | %12s | %12s |\n' "$1" "" instructions "system calls"
    printf '|--------------------------|-------------:|-------------:|\n'
}

has() { # has SUBJECT CONTENDER: a peer that was not found is left out, loop is not
    [ -x "$programs/$1_$2" ] && return 0
    [ "$2" != loop ] || fail "there is no $programs/$1_loop; see ./dev bench"
    return 1
}

# ------------------------------------------------------------------------------------------------------------- subjects

echo_row() { # echo_row CONNECTIONS SHORT LONG CONTENDER MODE
    has echo "$4" || return 0
    client="$1 $2"
    shorter "$programs/echo_$4" "$5" "$1" "$2"
    client="$1 $3"
    longer "$programs/echo_$4" "$5" "$1" "$3"
    client=
    difference "$4 $5" $((($3 - $2) * $1))
}

measure_echo() {
    for size in "1 1000 11000" "50 100 500"; do
        title "echo: one 64-byte round trip, ${size%% *} at a time"
        for contender in "epoll try" "io_uring try" "libev try" "libevent try" "libuv try" "libuv write" "loop try" "loop deadline" \
            "loop write" "loop ops" "loop wait"; do
            # shellcheck disable=SC2086 # both are lists
            echo_row $size $contender
        done
    done
}

measure_timers() {
    count=1000000
    title "timers: one operation on one of $count"
    for contender in libev libuv libevent loop; do
        has timers $contender || continue
        shorter "$programs/timers_$contender" $count
        longer "$programs/timers_$contender" $count start
        difference "$contender start" $count
        short_instructions=$long_instructions short_calls=$long_calls
        for phase in later random stop fire; do
            longer "$programs/timers_$contender" $count start $phase
            difference "$contender $phase" $count
        done
    done
}

measure_wake() {
    title "wake: one round trip between two threads"
    for contender in "libev async" "libuv async" "libevent async" "loop async" "loop post"; do
        has wake "${contender% *}" || continue
        shorter "$programs/wake_${contender% *}" "${contender#* }" 1000
        longer "$programs/wake_${contender% *}" "${contender#* }" 11000
        difference "$contender" 10000
    done
}

measure_start() {
    title "start: one loop made and freed"
    for contender in libev libuv libevent loop; do
        has start $contender || continue
        shorter "$programs/start_$contender" 100
        longer "$programs/start_$contender" 1100
        difference $contender 1000
    done
}

measure_close() {
    title "close: one connection of so many that are closed in one turn"
    for contender in libev libuv libevent loop; do
        has close $contender || continue
        for number in 1000 10000; do
            client="$number 0"
            shorter "$programs/close_$contender" $number keep
            longer "$programs/close_$contender" $number
            difference "$contender $number" $number
        done
        client=
    done
}

# ----------------------------------------------------------------------------------------------------------------- main

[ $# -gt 0 ] || set -- echo timers wake start close
for subject; do
    case $subject in
    echo | timers | wake | start | close) ;;
    *) fail "there is no subject '$subject'; there are echo, timers, wake, start and close" ;;
    esac
done

echo "machine: $(uname -sr), $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), $(getconf _NPROCESSORS_ONLN) CPUs"
echo "compiler: $(cat "$programs/compiler" 2>/dev/null || echo unknown)"
echo "counted by: $(valgrind --version), $(strace --version | head -n 1)"
for subject; do
    "measure_$subject"
done
