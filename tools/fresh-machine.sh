#!/bin/sh
# fresh-machine.sh [DIRECTORY]: runs the two commands of the README where nothing is installed yet: in a new chroot of Debian 12
# (debootstrap --variant=minbase, and git) with this machine's apt configuration, in a fresh clone. Needs root and debootstrap.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
chroot=${1:-$(mktemp -d)/chroot}
uri=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)*\([^ ]*\).*/\2/p' /etc/apt/sources.list.d/* /etc/apt/sources.list 2>/dev/null | head -n 1)

[ ! -e "$chroot" ] || { echo "fresh-machine: $chroot exists" >&2; exit 2; }
debootstrap --variant=minbase --include=git,ca-certificates bookworm "$chroot" "$uri"
mkdir -p "$chroot/srv"
cp -a /etc/apt/. "$chroot/etc/apt/"
for file in /etc/resolv.conf /etc/hosts; do
    [ ! -e "$file" ] || cp -L "$file" "$chroot$file"
done
git clone -q "$source" "$chroot/srv/loop"
mount -t proc proc "$chroot/proc"
mount --rbind /dev "$chroot/dev"
trap 'umount -l "$chroot/dev" "$chroot/proc"' EXIT
for command in demo test; do
    echo "== ./dev $command"
    chroot "$chroot" /usr/bin/env -i HOME=/srv PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd /srv/loop && ./dev $command"
done
