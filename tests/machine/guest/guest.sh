#!/bin/bash
# A Debian that systemd-nspawn or qemu boots, for the tests that need a real one: what their run.sh have in common.
# Sourced.
#
#   +----- guest: systemd-nspawn, or qemu ------+
#   | the program under test, other tools,      |------ here: 169.254.169.254, fd00:ec2::254 (locked)
#   | and who tries to get through              |             169.254.169.253, fd00:ec2::253 (not locked)
#   +-------------------------------------------+
#
# "Here" is a network and mount namespace of its own: the machine's firewall, routes and mounts are never touched, and
# the kernel takes the rest away with the last process.
#
# The one who sources this has set `here`, the root of the source, and `name`, the test's: guest_enter, then
# guest_begin, then as often as wanted guest_root and guest_boot. IP_LOCKDOWN: the program under test.

: "${here:?}" "${name:?}"
target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$here/$target
program=${IP_LOCKDOWN:-$target/release/ip-lockdown}
# Where results are left.
place=$target/$name

fail() {
    printf '%s: %s\n' "$name" "$*" >&2
    exit 1
}

# guest_enter SCRIPT [ARGUMENT]...: makes the image, which needs the machine's network, and goes on in namespaces of our
# own.
guest_enter() {
    [ "${IN_NAMESPACE:-}" != 1 ] || return 0
    [ "$(id -u)" = 0 ] || fail "not root; run as root: sudo make $name-test"
    "$here/tests/machine/guest/image.sh" "$target/guest"
    mkdir -p "$place"
    exec env -i PATH="$PATH" LC_ALL=C IN_NAMESPACE=1 CARGO_TARGET_DIR="$target" IP_LOCKDOWN="$program" \
        unshare --net --mount --propagation private -- bash "$@"
}

# guest_begin: what all boots need. Afterwards $work is a place that goes with this process, $work/results the guest's
# /results, and $work/root where guest_root puts the guest's files.
guest_begin() {
    cgroups=()
    work=$(mktemp -d "$place/run.XXXXXX")
    trap guest_end EXIT
    trap 'exit 130' INT TERM HUP

    mount -t tmpfs -o mode=755 "$name" "$work"
    mkdir "$work"/{results,root}
    # Devices of the guest's own: what it does to their modes must not happen to the machine's.
    mknod "$work/tun" c 10 200
    mknod "$work/fuse" c 10 229
    chmod 666 "$work"/{tun,fuse}

    options=(
        --quiet --boot --directory="$work/root" --machine="$name" --network-veth --capability=all --register=no
        --link-journal=no --console=read-only --kill-signal=SIGKILL --bind="$work/results:/results"
        --bind="$work/tun:/dev/net/tun" --bind="$work/fuse:/dev/fuse"
        # Container engines put layers over layers; that needs a file system that is none.
        --tmpfs=/var/lib/docker --tmpfs=/var/lib/containers --tmpfs=/home
    )
    if [ ! -d /run/systemd/system ]; then
        # No systemd here that could give it a cgroup and a /run that goes with the boot.
        options+=(--keep-unit)
        mount -t tmpfs -o mode=755 "$name" /run
        for hierarchy in /sys/fs/cgroup{,/unified,/systemd}; do
            [ ! -e "$hierarchy/cgroup.procs" ] || cgroups+=("$hierarchy/ip-lockdown-$name.$$")
        done
        [ "${#cgroups[@]}" = 0 ] || mkdir "${cgroups[@]}"
    fi
    guest_service
}

guest_end() {
    local code=$? cgroup
    trap - EXIT
    [ -z "${guest:-}" ] || kill "$guest" 2>/dev/null || true
    # The end of its input is the end of the service.
    if [ -n "${service_PID:-}" ]; then
        local input=${service[1]}
        exec {input}>&-
    fi
    wait
    umount --recursive "$work" 2>/dev/null || true
    rm -rf "$work" "$place/disk"
    for cgroup in "${cgroups[@]}"; do
        find "$cgroup" -depth -type d -exec rmdir {} + || true
    done
    exit "$code"
}

# The metadata service, and its neighbours.
guest_service() {
    ip -batch - <<'LINES'
link set lo up
address add 169.254.169.254/32 dev lo
address add 169.254.169.253/32 dev lo
address add fd00:ec2::254/128 dev lo nodad
address add fd00:ec2::253/128 dev lo nodad
LINES
    local address line listen=()
    for address in 169.254.169.25{4,3} '[fd00:ec2::254]' '[fd00:ec2::253]'; do
        listen+=(--listen "$address:80")
    done
    # It ends with its input, the coprocess's pipe.
    coproc service { exec "$target/debug/lab" imds "${listen[@]}" 2>&1; }
    read -r -t 10 line <&"${service[0]}" || line="nothing"
    [ "$line" = ready ] || fail "the metadata service did not come up, it said: $line"
}

# guest_root PROGRAM...: a fresh copy of the image at $work/root, with these programs of the tests in /usr/local/bin.
guest_root() {
    local root=$work/root built
    if mountpoint --quiet "$root"; then
        umount --recursive "$root"
    fi
    rm -rf "$work"/{upper,lower}
    mkdir "$work"/{upper,lower}
    mount -t overlay -o "lowerdir=$target/guest/root,upperdir=$work/upper,workdir=$work/lower" "$name" "$root"
    for built in "$@"; do
        install -m 755 "$target/debug/$built" "$root/usr/local/bin"
        guest_runs "$built"
    done
}

# guest_runs PROGRAM: makes sure that it does, there.
guest_runs() {
    chroot "$work/root" "$1" --help >/dev/null ||
        fail "$1 does not run on Debian bookworm: build it there, or on a system whose C library is not newer"
}

# guest_boot SECONDS [OPTION]...: boots $work/root, with options for its systemd, and waits until the guest powers itself
# off. What a unit prints on /dev/console is seen here. Fails when it takes longer, or ends in another way.
guest_boot() {
    local code=0 cgroup limit=$1
    shift
    (
        for cgroup in "${cgroups[@]}"; do echo "$BASHPID" >"$cgroup/cgroup.procs"; done
        export SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
        # When this script goes, in whatever way, they are told to go, and systemd-nspawn then kills all of the guest.
        exec setpriv --pdeathsig TERM timeout "$limit" setpriv --pdeathsig TERM \
            systemd-nspawn "${options[@]}" -- --show-status=no "$@" </dev/null
    ) > >(sed -u 's/\r$//') &
    guest=$!
    guest_connect
    wait "$guest" || code=$?
    guest=
    return "$code"
}

# guest_disk: a disk with the files of $work/root, for guest_boot_kernel.
guest_disk() {
    [ "$(uname -m)" = x86_64 ] || fail "this needs an x86-64 machine: qemu is told of no other"
    rm -f "$place/disk"
    mke2fs -q -t ext4 -d "$work/root" "$place/disk" 3G >/dev/null
}

# guest_boot_kernel SECONDS [KERNEL PARAMETER]...: boots that disk in qemu, with Debian's own kernel, whose firewall is made of modules that
# are loaded when they are needed. As guest_boot otherwise, with eth0 for the guest's end of the cable. Without KVM: it is slower,
# and the same everywhere. INITRD: another initramfs than Debian's.
guest_boot_kernel() {
    local code=0 boot=$target/guest/root/boot limit=$1
    shift
    ip tuntap add "ve-$name" mode tap
    setpriv --pdeathsig TERM timeout "$limit" setpriv --pdeathsig KILL \
        qemu-system-x86_64 -machine q35 -accel tcg -m 1024 -smp 2 -display none -no-reboot -serial stdio -monitor none \
        -kernel "$boot"/vmlinuz-* -initrd "${INITRD:-$(echo "$boot"/initrd.img-*)}" \
        -append "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 systemd.show_status=0 $*" \
        -drive "file=$place/disk,if=virtio,format=raw" \
        -netdev "tap,id=cable,ifname=ve-$name,script=no,downscript=no" -device virtio-net,netdev=cable \
        </dev/null > >(sed -u 's/\r$//') &
    guest=$!
    guest_connect
    wait "$guest" || code=$?
    guest=
    ip link delete "ve-$name"
    # debugfs sees nothing of what is only in the journal of the file system.
    e2fsck -p "$place/disk" >/dev/null || true
    return "$code"
}

# guest_file PATH: what is in that file of the disk.
guest_file() {
    debugfs -R "cat $1" "$place/disk" 2>/dev/null
}

# Our end of the cable, as soon as it is there.
guest_connect() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if ip link set "ve-$name" up 2>/dev/null; then
            ip -batch - <<LINES
address add 192.0.2.2/30 dev ve-$name
address add 2001:db8:1::2/64 dev ve-$name nodad
route add default via 192.0.2.1
route add default via 2001:db8:1::1
LINES
            return
        fi
        sleep 0.05
    done
    fail "there is no cable to the guest"
}
