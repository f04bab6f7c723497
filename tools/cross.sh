#!/bin/sh
# cross.sh [--no-run] [--brief] [TARGET...]: compiles and links library, tests and examples for other systems, every warning being
# an error, and runs the tests of the targets that Linux runs, and Wine. Called by ./dev cross, which installs what this needs.
# --brief: every system but Linux once, which is what changes break: the static library and one program that is linked with it; of
# Windows also tests and all examples, and for ARM the library's objects. What is left out takes longest: zig compiles musl first.
# For each target build/cross has its tree and log.
set -eu
cd "$(dirname "$0")/.."
cross=$PWD/build/cross

# The one that takes longest comes first: zig compiles libraries of Windows, one file after the other.
all="x86_64-windows-gnu aarch64-windows-gnu aarch64-macos x86_64-macos x86_64-freebsd aarch64-freebsd
x86_64-netbsd x86_64-openbsd x86_64-linux-musl aarch64-linux-musl"
brief="x86_64-windows-gnu aarch64-windows-gnu aarch64-macos x86_64-freebsd x86_64-netbsd x86_64-openbsd"

main() {
    run=yes
    [ "${1:-}" != --no-run ] || { run=no; shift; }
    if [ "${1:-}" = --brief ]; then
        export CROSS_BRIEF=yes
        all=$brief
        shift
    fi
    # shellcheck disable=SC2086
    [ $# -gt 0 ] || set -- $all
    for target; do
        case " $(echo "$all" | tr '\n' ' ') " in
        *" $target "*) ;;
        *) stop "there is no target '$target'; see ./dev help." ;;
        esac
    done

    tools/zig.sh >/dev/null
    tools/cmocka.sh --fetch
    case "$run $* " in
    yes*" x86_64-windows-gnu "*)
        trap 'tools/wine.sh --stop' EXIT
        trap 'exit 130' HUP INT TERM
        tools/wine.sh --start
        export CROSS_WINE="$PWD/tools/wine.sh"
        ;;
    esac
    # Two at a time: configuring uses one processor.
    printf '%s\n' "$@" | xargs -n 1 -P 2 "$0" --build
    [ $run = yes ] || return 0
    for target; do
        case $target in *-linux-musl | x86_64-windows-gnu) run_tests "$target" ;; esac
    done
}

stop() {
    echo "cross: $*" >&2
    exit 2
}

# ----------------------------------------------------------------------------------------------------------- one target

build() { # TARGET
    tree=$cross/$1
    begin=$(date +%s)
    mkdir -p "$tree"
    make=make_target
    [ "${CROSS_BRIEF:-} $1" != 'yes aarch64-windows-gnu' ] || make=compile_for_windows
    if ! $make "$1" >"$tree/log" 2>&1; then
        { grep -E '(error|warning|undefined symbol)[^a-z]*:|CMake Error' "$tree/log" || tail -n 20 "$tree/log"; } |
            awk '!seen[$0]++' | head -n 40 >&2
        echo "cross: $1 failed; all of it: build/cross/$1/log" >&2
        return 1
    fi
    echo "$1: built, $(($(date +%s) - begin)) s"
}

make_target() { # TARGET
    # The oldest macOS that zig and the library are for: what is newer must be looked for at run time.
    case $1 in
    *-macos) triple=$1.11.0 ;;
    *-freebsd) triple=$1.14.0 ;;
    *) triple=$1 ;;
    esac
    emulator=''
    [ "$1" != x86_64-windows-gnu ] || emulator=${CROSS_WINE:-}
    case ${CROSS_BRIEF:-}$1 in
    yesx86_64-windows-gnu) tests=ON shared=OFF targets='' ;;
    yes*) tests=OFF shared=OFF targets='loop_static loop_example_http' ;;
    *) tests=ON shared=ON targets='' ;;
    esac
    zig=$(tools/zig.sh)
    { [ $tests = OFF ] || tools/cmocka.sh "$tree/sysroot" "$zig ar" "$zig" cc -target "$triple"; } &&
        cmake -S . -B "$tree" -G Ninja -DCMAKE_TOOLCHAIN_FILE=cmake/zig.cmake -DZIG="$zig" -DZIG_TARGET="$triple" \
            -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-fno-sanitize=undefined -DLOOP_WERROR=ON \
            -DLOOP_BUILD_TESTS=$tests -DLOOP_SHARED=$shared -DLOOP_BUILD_BENCH=OFF \
            ${emulator:+-DCMAKE_CROSSCOMPILING_EMULATOR="$emulator"} &&
        cmake --build "$tree" -j "$(getconf _NPROCESSORS_ONLN)" ${targets:+--target $targets} -- -k 0
}

# The library's own files, as CMake has them compiled.
compile_for_windows() { # TARGET
    zig=$(tools/zig.sh)
    for file in src/*.c src/iocp/*.c; do
        echo "$file"
        "$zig" cc -target "$1" -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude -Isrc -Isrc/iocp \
            -c -o "$tree/object" "$file" || return 1
    done
}

run_tests() { # TARGET
    echo "$1: tests"
    tests=$cross/$1/tests
    unset LOOP_TEST_WHOLE
    # These rows run the host's compiler or its CMake.
    left_out='^(install$|spin\.|programs\.configure$)'
    if [ "$1" = x86_64-windows-gnu ]; then
        export LOOP_TEST_SLOW=1 LOOP_TEST_TIMEOUT_FACTOR=3 LOOP_TEST_WHOLE=1
        # The longest ones, which ./dev test --backend iocp runs.
        left_out="$left_out|^(model|fault|iocp_poll_thread)[a-z_]*\."
    elif grep -q '^ZIG_EMULATOR:FILEPATH=/' "$cross/$1/CMakeCache.txt"; then
        export LOOP_TEST_SLOW=1 LOOP_TEST_TIMEOUT_FACTOR=5
        # What qemu-user 7.2 cannot: start a thread in the forked child of a process with threads (it aborts), and send
        # a datagram without buffers (it says that it did).
        left_out="$left_out|^pool\.a_child_runs_what_was_queued_and_is_told_what_was_lost$"
        left_out="$left_out|^pool\.a_child_delivers_what_had_ended$"
        left_out="$left_out|^pool\.in_a_child_each_loop_of_a_shared_pool_takes_up_its_own_work$"
        left_out="$left_out|^op\.datagrams_keep_their_bounds_and_bring_their_sender$"
    fi
    ctest --test-dir "$cross/$1" --output-on-failure --no-tests=error -j "$(getconf _NPROCESSORS_ONLN)" \
        -E "$left_out" >"$tests.log" 2>&1 ||
        { failures "$tests.log" >&2; stop "$1: tests failed; all of it: build/cross/$1/tests.log"; }
    grep '% tests passed' "$tests.log"
}

# What the rows that failed said, and the list of them.
failures() { # LOG
    awk '/^ *[0-9]+\/[0-9]+ Test +#/ { shown = !/ Passed / } /^ +Start / { next } /% tests passed/ { shown = 1 } shown' "$1"
}

export ZIG_GLOBAL_CACHE_DIR="$PWD/build/zig/cache" ZIG_LOCAL_CACHE_DIR="$PWD/build/zig/cache"
if [ "${1:-}" = --build ]; then
    build "$2"
else
    main "$@"
fi
