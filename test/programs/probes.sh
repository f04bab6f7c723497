#!/bin/sh
# probes.sh READELF FILE: a program or library built with probes has a note for each of them, with its arguments.
set -eu
readelf=$1
file=$2
notes=$("$readelf" -n "$file")
for probe in poll_begin:2 poll_end:2 submit:4 complete:4 timer:2 task:3; do
    arguments=$(echo "$notes" | awk -v name="${probe%:*}" '
        $1 == "Provider:" { provider = $2 }
        $1 == "Name:" { current = $2 }
        $1 == "Arguments:" && provider == "loop" && current == name { print NF - 1; exit }')
    [ "$arguments" = "${probe#*:}" ] || { echo "probe ${probe%:*} has ${arguments:-no note} arguments" >&2; exit 1; }
done
