#!/bin/sh
# wine.sh --start:             has a Wine prefix in build/wine, and its server running.
# wine.sh --stop:              ends that server, and every program of that prefix.
# wine.sh PROGRAM ARGUMENT...: runs a Windows program there, e.g. wine.sh build/test-mingw/test/test_timer.exe --list
# Of a test program the output comes when it has ended, errors last, and a start that Wine failed is tried again.
# WINEDEBUG, if it is set, says what Wine is to report, e.g. +winsock,+server.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

export WINEPREFIX="$root/build/wine" WINEDEBUG="${WINEDEBUG:--all}"
# No questions about Mono and Gecko, no menu entries; and no debugger, beside which a program that crashes may exit with 0.
export WINEDLLOVERRIDES="mscoree,mshtml=;winemenubuilder.exe=d;winedbg.exe=d"

server() {
    if command -v wineserver >/dev/null 2>&1; then
        wineserver "$@"
    else # where Debian keeps it
        /usr/lib/wine/wineserver "$@"
    fi
}

start() {
    # -p makes a server stay, which saves each program half a second. If there is one, either it leaves soon or it stays.
    server -p 2>/dev/null || { ! timeout 5 "$0" --wait || server -p; }
    [ -e "$WINEPREFIX/prepared" ] || prepare
    # The first program starts the system's own, which stay, and must not keep the output of a test open.
    wine cmd /c exit >/dev/null 2>&1 </dev/null
}

prepare() {
    echo "wine.sh: making a Wine prefix" >&2
    if ! { wine wineboot -i && wine reg add 'HKCU\Software\Wine' /v Version /t REG_SZ /d win10 /f; } \
        >"$WINEPREFIX.log" 2>&1 </dev/null; then
        cat "$WINEPREFIX.log" >&2
        echo "wine.sh: Wine cannot make its prefix." >&2
        server -k || true
        exit 2
    fi
    rm -f "$WINEPREFIX.log"
    # Only a server that ends has surely written the registry.
    server -k || true
    server -p
    : >"$WINEPREFIX/prepared"
}

# About one start in a thousand fails in Wine itself: the program has not begun, so nothing was said, and the status is 1.
run_test() {
    said=$(mktemp -d)
    trap 'rm -rf "$said"' EXIT
    for try in 1 2 3; do
        status=0
        # Apart, because Wine itself may add to the errors, and what --list prints is read by a program.
        wine "$@" >"$said/output" 2>"$said/errors" || status=$?
        if [ "$status" -ne 1 ] || [ -s "$said/output" ] || [ -s "$said/errors" ] || [ "$try" = 3 ]; then
            break
        fi
    done
    cat "$said/output"
    cat "$said/errors" >&2
    exit "$status"
}

case ${1:---help} in
--start)
    [ -e "$WINEPREFIX/prepared" ] || { server -k || true; rm -rf "$WINEPREFIX"; } 2>/dev/null
    mkdir -p "$WINEPREFIX"
    start
    ;;
--stop) ! [ -d "$WINEPREFIX" ] || server -k || true ;; # 1: there is none
--wait) server -w ;;
--help) sed -n '2,/^set/s/^# //p' "$0" ;;
*/test_*.exe) run_test "$@" ;;
*) exec wine "$@" ;;
esac
