#!/bin/sh
# check-docs.sh: fails if a block ```c in docs/ is not in examples/, where everything is compiled and run: as it stands, line by
# line, up to indentation. A line of `...` stands for lines left out. Code of others is marked ```c before, and not looked at.
set -u
cd "$(dirname "$0")/.." || exit 1

awk '
function trimmed(line) {
    sub(/^[ \t]+/, "", line)
    return line
}

# Whether the parts of the block come one after the other in the text.
function found(text,    i, at) {
    for (i = 1; i <= parts; i++) {
        at = index(text, part[i])
        if (at == 0)
            return 0
        text = substr(text, at + length(part[i]) - 1)
    }
    return 1
}

function end_of_block(    file) {
    blocks++
    for (file in source)
        if (found(source[file]))
            return
    print start ": this is nowhere in examples/" > "/dev/stderr"
    failed = 1
}

FILENAME ~ /\.[ch]$/ {
    if (!(FILENAME in source))
        source[FILENAME] = "\n"
    source[FILENAME] = source[FILENAME] trimmed($0) "\n"
    next
}
/^```/ {
    if (inside)
        end_of_block()
    inside = !fenced && $0 == "```c"
    fenced = !fenced
    start = FILENAME ":" FNR
    parts = 1
    part[1] = "\n"
    next
}
inside && trimmed($0) == "..." { part[++parts] = "\n"; next }
inside { part[parts] = part[parts] trimmed($0) "\n" }
END {
    if (fenced || blocks == 0) {
        print "check-docs: no block, or one without an end" > "/dev/stderr"
        failed = 1
    }
    exit failed
}' examples/*.h examples/*.c docs/*.md
