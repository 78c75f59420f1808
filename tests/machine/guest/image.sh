#!/bin/bash
# The root file system of the tests that boot a real Debian: a minimal one with the firewall tools, container engines
# and cloud-init that they are about. Every boot gets a copy-on-write view of it, so it is made once and never written to.
#
#   tests/machine/guest/image.sh DIRECTORY    makes DIRECTORY/root, unless it is there and of this very script
#
# MIRROR: where the packages come from; mmdebstrap's own default if not set.
set -euo pipefail

directory=${1:?usage: tests/machine/guest/image.sh DIRECTORY}
suite=bookworm
packages=(
    systemd systemd-sysv dbus dbus-user-session procps iproute2 kmod
    ifupdown cloud-init jq curl
    iptables nftables ipset
    ufw firewalld
    docker.io busybox-static
    podman netavark aardvark-dns crun
    # a kernel of its own, for those that qemu boots
    "linux-image-cloud-$(dpkg --print-architecture)" initramfs-tools
    # the other way to make an initramfs; Debian's package dracut would replace initramfs-tools
    dracut-core dracut-network
    # podman without root
    uidmap slirp4netns fuse-overlayfs
)
# Kept in /srv: they cannot be installed beside ufw.
aside=(netfilter-persistent iptables-persistent)
stamp=$(sha256sum <"$0")
if [ "$(cat "$directory/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

echo "guest: making the image, which takes a minute or two"
mkdir -p "$directory"
rm -rf "$directory/stamp" "$directory/root"
include=${packages[*]}
# Nobody reads documentation there, and the journal of a throw-away machine need not reach the disk.
mmdebstrap --variant=minbase --include="${include// /,}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io --aptopt='Acquire::Retries "5"' \
    --customize-hook="chroot \"\$1\" sh -c 'cd /srv && apt-get download ${aside[*]}'" \
    "$suite" "$directory/root" ${MIRROR:+"$MIRROR"} >"$directory/log" 2>&1 || {
    tail -n 20 "$directory/log" >&2
    echo "guest: the image could not be made" >&2
    exit 1
}

root=$directory/root
# Nothing runs that a test did not start.
systemctl --quiet --root="$root" disable ufw.service firewalld.service nftables.service docker.service docker.socket \
    containerd.service podman.service podman.socket podman-auto-update.timer podman-auto-update.service \
    podman-restart.service networking.service
touch "$root/etc/cloud/cloud-init.disabled"
# Neither timers nor consoles, nor what mounts or loads something that belongs to the machine's kernel.
systemctl --quiet --root="$root" mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target console-getty.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount systemd-modules-load.service
systemctl --quiet --root="$root" set-default multi-user.target
echo guest >"$root/etc/hostname"
# A resolver that refuses at once. Without one, each look-up waits for its time-out.
echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
echo "$stamp" >"$directory/stamp"
