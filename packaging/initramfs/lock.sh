#!/bin/sh
# Runs `ip-lockdown apply --boot` of the root file system before its systemd starts, if the initramfs has configured a
# network interface. ip-lockdown.service does the same, but only after systemd has started.
#
# initramfs-tools runs this script from init-bottom. dracut sources it in pre-pivot, so that it must not exit.

ip_lockdown() {
    root=$1
    # As for ip-lockdown.service: nothing happens unless `ip-lockdown enable` was run.
    [ -L "$root/etc/systemd/system/sysinit.target.wants/ip-lockdown.service" ] || return 0

    up=
    for interface in /sys/class/net/*; do
        # 1 is IFF_UP, 8 is IFF_LOOPBACK.
        [ $(($(cat "$interface/flags") & 9)) != 1 ] || up=$interface
    done
    [ -n "$up" ] || return 0

    # The probes of `apply` need lo, where refused connects are answered; systemd brings it up only later.
    ip link set lo up

    mounted=
    for directory in proc sys dev run; do
        # Some of them have been moved to the root file system already.
        if ! grep -q " $root/$directory " /proc/mounts && mount -o bind "/$directory" "$root/$directory"; then
            mounted="$root/$directory $mounted"
        fi
    done
    # 4: locked, but degraded.
    chroot "$root" /usr/sbin/ip-lockdown apply --boot --quiet || [ $? = 4 ] ||
        echo "ip-lockdown: apply --boot failed; ip-lockdown.service tries again" >&2
    for directory in $mounted; do
        umount "$directory"
    done
}

case ${1:-} in
# initramfs-tools asks which scripts run first: that of udev moves /dev to the root file system.
prereqs) echo udev ;;
# initramfs-tools sets rootmnt, dracut NEWROOT.
*) ip_lockdown "${rootmnt:-$NEWROOT}" ;;
esac
