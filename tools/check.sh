#!/bin/sh
# Every static check. Called by ./dev check, which installs what this needs. Goes on after a failure, so that one run shows all.
# shellcheck disable=SC2317 # the functions are called by name, through check
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0

check() { # check WHAT COMMAND...
    what=$1
    shift
    echo "-- $what"
    "$@" || { echo "   FAILED: $what" >&2; failed=1; }
}

sources() {
    git ls-files -co --exclude-standard '*.c' '*.h'
}

formatted() {
    sources | xargs clang-format --dry-run -Werror
}

configured() { # NAME COMPILER OPTION...
    tree=build/check-$1
    compiler=$2
    shift 2
    cmake -S . -B "$tree" -G Ninja -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release -DLOOP_WERROR=ON \
        -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" >/dev/null
}

compiled() { # NAME [TARGET]: with every warning an error
    cmake --build "build/check-$1" ${2:+--target "$2"} | tail -n 1
}

# One file a run: clang-tidy 14 loses sight of va_start() in the second.
tidy() {
    git ls-files -co --exclude-standard '*.c' | grep -vE '^(src/(kqueue|iocp)|test/(install|iocp|kqueue|kqshim)|tools)/|/(machport|os_windows|windows_threadpool)\.c$' |
        xargs -P 2 -n 1 clang-tidy -p build/check-clang --quiet 2>/dev/null &&
        git ls-files -co --exclude-standard 'src/kqueue/*.c' 'test/kqueue/*.c' '*machport.c' | sort -u |
        xargs -P 2 -n 1 clang-tidy -p build/check-kqueue --quiet 2>/dev/null
}

cppcheck_clean() {
    cppcheck_with epoll src/*.c src/posix src/epoll examples && cppcheck_with kqueue src/posix src/kqueue
}

cppcheck_with() { # BACKEND FILE...
    backend=$1
    shift
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --suppressions-list=tools/cppcheck.txt -Iinclude -Isrc -Isrc/posix "-Isrc/$backend" "$@"
}

# Prints the lines that match, and fails if there are any.
none() {
    ! git grep -nIE "$@"
}

core_knows_no_platform() {
    # shellcheck disable=SC2016
    ! grep -nE '#[ ]*(if|elif|ifdef|ifndef).*(_WIN32|__linux__|__APPLE__|BSD__|__unix__)|epoll_|kevent\(|OVERLAPPED' \
        src/*.c src/*.h
}

no_machine_paths() {
    none '/(home|root|work|Users)/[a-z]|deb\.debian\.org|registry\.npmjs|"resolved": *"http' -- . ':!tools/check.sh'
}

readme_shows_the_example() {
    awk '/^```/ { inside = $0 == "```c"; next } inside' README.md | diff - examples/timer.c
}

library_never_ends_its_host() {
    none '\b(abort|exit|_exit)\(' -- src
}

check "layout (clang-format)" formatted
configured gcc gcc -DLOOP_BUILD_BENCH=OFF && configured clang clang &&
    configured kqueue clang -DLOOP_BACKEND=kqueue -DLOOP_KQSHIM=macos -DLOOP_BUILD_BENCH=OFF || failed=1
check "gcc, optimised, warnings are errors" compiled gcc loop_static
check "the library over kqueue" compiled kqueue loop_static
check "clang-tidy, and the warnings of clang" tidy
check "cppcheck" cppcheck_clean
check "shell scripts (shellcheck)" shellcheck -x -P SCRIPTDIR dev .ci/run tools/*.sh bench/*.sh test/install/run.sh test/programs/*.sh \
    test/spin/run.sh
check "the core knows no platform" core_knows_no_platform
check "the program in the README is examples/timer.c" readme_shows_the_example
check "the C in docs/ is in examples/" tools/check-docs.sh
check "the library never ends its host" library_never_ends_its_host
check "no paths or addresses of a machine" no_machine_paths
check "system calls go through the seam and are made to fail by a test" tools/check-seam.sh build/check-gcc epoll
check "the same with kqueue" tools/check-seam.sh build/check-kqueue kqueue
check "the calls of Windows are made to fail by a test" tools/check-seam.sh - iocp

exit $failed
