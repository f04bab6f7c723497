#!/bin/sh
# Usage: run.sh SOURCE BUILD
#
# Installs BUILD to a temporary prefix and uses the result as a stranger would: through pkg-config (shared, static) and
# find_package, from C11 and C++17; then the sources through add_subdirectory. Compares the symbols the shared library
# exports with the functions loop.h declares. CC, CXX, CMAKE and GENERATOR come from the environment.
set -eu

source=$1
build=$2
here=$source/test/install
: "${CC:=cc}" "${CXX:=c++}" "${CMAKE:=cmake}" "${GENERATOR:=Unix Makefiles}"

work=$(mktemp -d "${TMPDIR:-/tmp}/loop-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

step() {
    echo "== $*"
}

fail() {
    echo "install test: $*" >&2
    exit 1
}

step "install"
"$CMAKE" --install "$build" --prefix "$work/first" >/dev/null
# Everything below uses the moved tree: an installed package must not depend on where it was.
mv "$work/first" "$work/prefix"
prefix=$work/prefix
pc=$(find "$prefix" -name loop.pc)
libdir=$(dirname "$(dirname "$pc")")
[ -f "$prefix/include/loop.h" ] || fail "loop.h is not installed"

version=$(sed -n 's/^#define LOOP_VERSION_\(MAJOR\|MINOR\|PATCH\)  *\([0-9]*\).*/\2/p' "$prefix/include/loop.h" |
    paste -s -d. -)
export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion loop)" = "$version" ] || fail "loop.pc does not say version $version"

if command -v nm >/dev/null && [ -e "$libdir/libloop.so" ]; then
    step "exported symbols"
    nm -D --defined-only "$libdir/libloop.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
        LC_ALL=C sort >"$work/exported"
    # A declaration may continue on the next line before its name; -E -P leaves one per line.
    echo '#include <loop.h>' | "$CC" -std=c11 -E -P -I"$prefix/include" -x c - | tr '\n' ' ' | tr ';' '\n' |
        sed -n 's/.*visibility("default")))[^(]*[ *]\(loop_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort >"$work/declared"
    [ -s "$work/declared" ] || fail "no public function found in loop.h"
    if ! diff "$work/declared" "$work/exported" >"$work/difference"; then
        echo "< declared in loop.h only   > exported only" >&2
        cat "$work/difference" >&2
        fail "the shared library does not export exactly what loop.h declares"
    fi
fi

warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef -Wcast-qual -Werror"
c_flags="-std=c11 $warnings -Wstrict-prototypes -Wmissing-prototypes"
cxx_flags="-std=c++17 $warnings -Wold-style-cast -Wextra-semi"

# The words of flags are separate arguments.
# shellcheck disable=SC2086,SC2046
pkg_config_programs() {
    "$CC" $c_flags -o "$work/$1_c" "$here/main.c" $(pkg-config $2 --cflags --libs loop) $3
    "$CXX" $cxx_flags -o "$work/$1_cc" "$here/main.cc" $(pkg-config $2 --cflags --libs loop) $3
    "$work/$1_c" || fail "the C program fails ($1)"
    "$work/$1_cc" || fail "the C++ program fails ($1)"
}

step "pkg-config, shared"
pkg_config_programs shared "" "-Wl,-rpath,$libdir"
if command -v readelf >/dev/null; then
    readelf -d "$work/shared_c" | grep -q 'NEEDED.*libloop\.so\.[0-9]' || fail "the program does not name the SONAME"
fi

step "find_package"
"$CMAKE" -G "$GENERATOR" -S "$here/package" -B "$work/package" -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
    -DCMAKE_PREFIX_PATH="$prefix" -DLOOP_EXPECTED_VERSION="$version" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"$CMAKE" --build "$work/package" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
for library in loop static shared; do
    for language in c cc; do
        "$work/package/user_${library}_$language" || fail "find_package: loop::$library from .$language fails"
    done
done

step "pkg-config, static"
# Without the shared library -lloop means libloop.a, with every linker.
mkdir "$work/aside"
find "$libdir" -maxdepth 1 \( -name 'libloop.so*' -o -name 'libloop*.dylib' \) -exec mv {} "$work/aside" \;
pkg_config_programs static --static ""
if command -v readelf >/dev/null && readelf -d "$work/static_c" | grep -q libloop; then
    fail "the static program needs the shared library"
fi

step "add_subdirectory"
"$CMAKE" -G "$GENERATOR" -S "$here/subdirectory" -B "$work/subdirectory" -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
    -DLOOP_SOURCE="$source" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"$CMAKE" --build "$work/subdirectory" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"$work/subdirectory/user_c" || fail "add_subdirectory: the C program fails"
"$work/subdirectory/user_cc" || fail "add_subdirectory: the C++ program fails"

step "all passed"
