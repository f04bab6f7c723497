#!/bin/sh
# run.sh PART: checks the model post.pml with spin. About a minute in all, at most 1 GB of memory each. The parts:
#   safety    it quotes the sources as they are, and what must never happen does not
#   tasks     every accepted task runs
#   asyncs    every async that was sent runs
#   mistakes  each mistake that it can be built with is found
set -eu
here=$(cd "$(dirname "$0")" && pwd)
model=$here/post.pml
source=$here/../../src
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "spin: $*" >&2
    exit 1
}

# The atomic operations on the words of the model.
quotes() {
    grep -hoE 'atomic_[a-z_]+\(&(loop->(posted|wake|posters)|task->queued|async->state)\>[^)]*\)' "$@" | grep -v ^atomic_init | sort -u
}

# build PROGRAM DEFINITION... [-- OPTION OF THE COMPILER...]
build() {
    program=$1
    shift
    definitions=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        definitions="$definitions -D$1"
        shift
    done
    [ $# -eq 0 ] || shift
    # shellcheck disable=SC2086
    spin $definitions -a "$model" >spin.log || { cat spin.log >&2; fail "the model does not compile with$definitions"; }
    gcc -w -DMEMLIM=2000 "$@" -o "$program" pan.c
}

# Partial order reduction does not know of processes that stand still for a signal handler.
options() {
    if [ "$1" = 3 ]; then echo -DSAFETY -DNOREDUCE; else echo -DSAFETY; fi
}

verify() { # verify WHAT PROGRAM OPTION...
    what=$1
    shift
    "$@" >log 2>&1 || true
    if ! grep -q 'errors: 0$' log || grep -qE 'search (not completed|depth too small)|max search depth' log; then
        cat log >&2
        [ ! -e post.pml.trail ] || spin -t -p -l "$model" >&2
        fail "$what: does not hold"
    fi
    echo "$what: holds,$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/ \1 states/p' log)"
}

safety() {
    # Every atomic operation on the words of the model stands in it, and it has no other.
    quotes "$source"/*.c >code
    grep -oE ' C: .*' "$model" | quotes - >quoted
    diff code quoted >differences || {
        cat differences >&2
        fail "< is an atomic operation of src/ that post.pml does not quote, > one that it quotes and src/ does not have"
    }
    for scenario in 1 2 3; do
        # shellcheck disable=SC2046
        build safe SCENARIO=$scenario -- -O1 $(options $scenario)
        verify "scenario $scenario" ./safe -m100000
    done
}

tasks() {
    build live SCENARIO=1 LIVENESS=0 -- -O1
    verify "scenario 1, every accepted task runs" ./live -a -f -m1000000
}

asyncs() {
    build live SCENARIO=2 LIVENESS=4 -- -O1
    verify "scenario 2, every sent async runs" ./live -a -f -m1000000
}

mistakes() {
    count=$(sed -n 's/^#define MUTANTS //p' "$model")
    for mutant in $(seq "$count"); do
        name=$(sed -n "s/^#define \([A-Z_]*\) $mutant  *\/\*.*/\1/p" "$model" | head -n 1)
        build mutant MUTANT="$mutant" -- -DSAFETY -DNOREDUCE
        ./mutant -m100000 >log 2>&1 || true
        grep -q 'errors: 1$' log || { cat log >&2; fail "the mistake $name goes unnoticed"; }
        echo "mistake $name: found"
    done
}

case ${1:-} in
safety | tasks | asyncs | mistakes) "$1" ;;
*) fail "the parts are safety, tasks, asyncs and mistakes" ;;
esac
