# Sourced, with the arguments PROGRAM CLIENT. echo_serves OPTION...: an echo server gives every byte back, to several clients at a
# time, and ends at SIGTERM although clients are connected.
# shellcheck shell=sh
. "$(dirname "$0")/../../tools/server.sh"
program=$1
client=$2

echo_serves() {
    start_server "$program" --port 0 "$@"
    head -c 3000000 /dev/urandom >"$work/sent"
    clients=
    for i in 1 2 3 4 5 6 7 8; do
        "$client" -e "$where" <"$work/sent" >"$work/got.$i" &
        clients="$clients $!"
    done
    for process in $clients; do
        wait "$process" || fail "a client failed"
    done
    for i in 1 2 3 4 5 6 7 8; do
        cmp "$work/sent" "$work/got.$i" || fail "client $i did not get its bytes back"
    done

    # One that stays connected and says nothing more.
    rm -f "$work/quiet"
    : >"$work/answer"
    mkfifo "$work/quiet"
    "$client" "$where" <"$work/quiet" >"$work/answer" &
    quiet=$!
    exec 3>"$work/quiet"
    echo hello >&3
    await "the quiet client is served" grep -q hello "$work/answer"
    stop_server "$server"
    wait "$quiet" || true # the end of the connection, or a reset
    exec 3>&-
}
