#!/bin/sh
# cmocka.sh --fetch:                   has the source of cmocka in build/cmocka.
# cmocka.sh PREFIX AR COMPILER...:     builds it as PREFIX/lib/libcmocka.a, its headers beside it, unless it is there. AR and
#                                      the compiler may be commands of several words; of AR they stand in one argument.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
source=$root/build/cmocka

# The source package of this machine's distribution, by apt-get with lists and caches of its own: its configuration need
# not name source packages, and is left alone.
fetch() {
    [ ! -e "$source" ] || return 0
    echo "cmocka.sh: fetching the source of cmocka" >&2
    apt=$source.apt
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
        { cat "$apt/log" >&2; echo "cmocka.sh: apt-get could not fetch the source of cmocka." >&2; exit 2; }
    mv "$apt"/cmocka-*/ "$source"
    rm -rf "$apt"
}

# Not by its own CMake files, whose checks of the compiler take a minute: it is one file, and these are the answers.
build() { # PREFIX AR COMPILER...
    prefix=$1 archive=$2
    shift 2
    [ ! -e "$prefix/lib/libcmocka.a" ] || return 0
    mkdir -p "$prefix/include" "$prefix/lib"
    cp "$source"/include/*.h "$prefix/include"
    if echo _WIN32 | "$@" -E - | grep -qx 1; then
        set -- "$@" -DHAVE_MALLOC_H
    else
        set -- "$@" -D_GNU_SOURCE -DHAVE_SIGNAL_H -DHAVE_STRSIGNAL -DHAVE_CLOCK_REALTIME -DHAVE_SIGLONGJMP \
            -D_UINTPTR_T_DEFINED=1
    fi
    "$@" -O1 -DHAVE_INTTYPES_H -DHAVE_STRINGS_H -DHAVE_STRUCT_TIMESPEC -DHAVE_GCC_THREAD_LOCAL_STORAGE \
        -include stdint.h -fno-stack-protector -I"$prefix/include" \
        -c "$source/src/cmocka.c" -o "$prefix/cmocka.o"
    $archive rcs "$prefix/lib/libcmocka.a" "$prefix/cmocka.o"
}

fetch
[ "$1" = --fetch ] || build "$@"
