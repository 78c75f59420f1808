#!/bin/bash
# The root file system that the coexistence test boots: a minimal Debian with the firewall tools and container
# engines that it is about. Every boot gets a copy-on-write view of it, so it is made once and never written to.
#
#   tests/coexist/image.sh DIRECTORY    makes DIRECTORY/root, unless it is there and of this very script
#
# MIRROR: where the packages come from; mmdebstrap's own default if not set.
set -euo pipefail

directory=${1:?usage: tests/coexist/image.sh DIRECTORY}
suite=bookworm
packages=(
    systemd systemd-sysv dbus dbus-user-session procps iproute2 kmod
    iptables nftables ipset
    ufw firewalld
    docker.io busybox-static
    podman netavark aardvark-dns crun
    # podman without root
    uidmap slirp4netns fuse-overlayfs
)
stamp=$(sha256sum <"$0")
if [ "$(cat "$directory/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

echo "coexist: making the image, which takes a minute or two"
mkdir -p "$directory"
rm -rf "$directory/stamp" "$directory/root"
include=${packages[*]}
# Nobody reads documentation there, and the journal of a throw-away machine need not reach the disk.
mmdebstrap --variant=minbase --include="${include// /,}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io --aptopt='Acquire::Retries "5"' \
    "$suite" "$directory/root" ${MIRROR:+"$MIRROR"} >"$directory/log" 2>&1 || {
    tail -n 20 "$directory/log" >&2
    echo "coexist: the image could not be made" >&2
    exit 1
}

root=$directory/root
# Nothing runs that the test did not start: each group of rows starts its own tool.
systemctl --quiet --root="$root" disable ufw.service firewalld.service nftables.service docker.service docker.socket \
    containerd.service podman.service podman.socket podman-auto-update.timer podman-restart.service
# Neither timers nor consoles, nor what mounts or loads something that belongs to the machine's kernel.
systemctl --quiet --root="$root" mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer fstrim.timer getty.target console-getty.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount systemd-modules-load.service
systemctl --quiet --root="$root" set-default multi-user.target
echo coexist >"$root/etc/hostname"
# A resolver that refuses at once. Without one, each look-up waits for its time-out.
echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
echo "$stamp" >"$directory/stamp"
