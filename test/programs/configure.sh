#!/bin/sh
# configure.sh CMAKE SOURCE GENERATOR: a system or a backend that does not exist stops the configure step with one clear sentence.
set -eu
cmake=$1
source=$2
generator=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

refused() { # SENTENCE ARGUMENT...
    sentence=$1
    shift
    if "$cmake" -S "$source" -B "$work/build" -G "$generator" -DLOOP_BUILD_TESTS=OFF "$@" >"$work/log" 2>&1; then
        echo "configured with $*" >&2
        exit 1
    fi
    # CMake breaks long lines.
    tr -s ' \n' '  ' <"$work/log" | grep -qF "$sentence" || { cat "$work/log" >&2; exit 1; }
    rm -rf "$work/build"
}

refused "loop: there is no backend for the system 'Plan9'." -DCMAKE_SYSTEM_NAME=Plan9
refused "loop: LOOP_PROBES 'maybe' is unknown; use auto, on or off." -DLOOP_PROBES=maybe
refused "loop: LOOP_PROBES needs <sys/sdt.h>" -DLOOP_PROBES=on -DLOOP_HAS_SDT=
refused "loop: LOOP_BACKEND 'select' is unknown; use auto, epoll, kqueue or iocp." -DLOOP_BACKEND=select
