#!/bin/bash
# ip-lockdown beside ufw, firewalld, docker and podman: boots a real Debian with them for each group of rows, and
# writes docs/coexistence.md when every row was as expected.
#
#   tests/coexist/run.sh [GROUP]...     without a word: all groups, and the page
#
#   +---------- guest: systemd-nspawn ----------+
#   | the program under test, the other tools,  |------ here: 169.254.169.254, fd00:ec2::254 (locked)
#   | containers, and who tries to get through  |             169.254.169.253, fd00:ec2::253 (not locked)
#   +-------------------------------------------+
#
# "Here" is a network and mount namespace of its own: the machine's firewall, routes and mounts are never touched, and
# the kernel takes the rest away with the last process. IP_LOCKDOWN: the program under test.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$here/$target
program=${IP_LOCKDOWN:-$target/release/ip-lockdown}
place=$target/coexist

fail() {
    printf 'coexist: %s\n' "$*" >&2
    exit 1
}

for built in "$program" "$target"/release/{lab,coexist}; do
    [ -x "$built" ] || fail "$built is not there: make coexist-test"
done
if [ "${IN_NAMESPACE:-}" != 1 ]; then
    [ "$(id -u)" = 0 ] || fail "not root; run as root: sudo make coexist-test"
    # It needs the machine's network.
    "$here/tests/coexist/image.sh" "$place"
    exec env -i PATH="$PATH" LC_ALL=C IN_NAMESPACE=1 CARGO_TARGET_DIR="$target" IP_LOCKDOWN="$program" \
        unshare --net --mount --propagation private -- bash "$here/tests/coexist/run.sh" "$@"
fi

mapfile -t all < <("$target/release/coexist" groups)
groups=("${@:-${all[@]}}")

# --- what has to go at the end ------------------------------------------------------------------------------------

work=$(mktemp -d "$place/run.XXXXXX")
cgroups=()
clean() {
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
    rm -rf "$work"
    for cgroup in "${cgroups[@]}"; do
        find "$cgroup" -depth -type d -exec rmdir {} + || true
    done
    exit "$code"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP

mount -t tmpfs -o mode=755 coexist "$work"
mkdir "$work"/{results,root}
# Devices of the guest's own: what it does to their modes must not happen to the machine's.
mknod "$work/tun" c 10 200
mknod "$work/fuse" c 10 229
chmod 666 "$work"/{tun,fuse}

options=(
    --quiet --boot --directory="$work/root" --machine=coexist --network-veth --capability=all --register=no
    --link-journal=no --console=read-only --kill-signal=SIGKILL --bind="$work/results:/results"
    --bind="$work/tun:/dev/net/tun" --bind="$work/fuse:/dev/fuse"
    # Container engines put layers over layers; that needs a file system that is none.
    --tmpfs=/var/lib/docker --tmpfs=/var/lib/containers --tmpfs=/home
)
if [ ! -d /run/systemd/system ]; then
    # No systemd here that could give it a cgroup and a /run that goes with the boot.
    options+=(--keep-unit)
    mount -t tmpfs -o mode=755 coexist /run
    for hierarchy in /sys/fs/cgroup{,/unified,/systemd}; do
        [ ! -e "$hierarchy/cgroup.procs" ] || cgroups+=("$hierarchy/ip-lockdown-coexist.$$")
    done
    [ "${#cgroups[@]}" = 0 ] || mkdir "${cgroups[@]}"
fi

# --- the metadata service -----------------------------------------------------------------------------------------

ip -batch - <<'LINES'
link set lo up
address add 169.254.169.254/32 dev lo
address add 169.254.169.253/32 dev lo
address add fd00:ec2::254/128 dev lo nodad
address add fd00:ec2::253/128 dev lo nodad
LINES
listen=()
for address in 169.254.169.25{4,3} '[fd00:ec2::254]' '[fd00:ec2::253]'; do
    listen+=(--listen "$address:80")
done
# It ends with its input, the coprocess's pipe.
coproc service { exec "$target/release/lab" imds "${listen[@]}" 2>&1; }
read -r -t 10 line <&"${service[0]}" || line="nothing"
[ "$line" = ready ] || fail "the metadata service did not come up, it said: $line"

# Our end of the cable, as soon as nspawn has made it.
connect() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if ip link set ve-coexist up 2>/dev/null; then
            ip -batch - <<'LINES'
address add 192.0.2.2/30 dev ve-coexist
address add 2001:db8:1::2/64 dev ve-coexist nodad
route add default via 192.0.2.1
route add default via 2001:db8:1::1
LINES
            return
        fi
        sleep 0.05
    done
    fail "systemd-nspawn made no cable"
}

# --- a boot for each group ----------------------------------------------------------------------------------------

# play GROUP: a fresh copy of the image, a unit in it that plays the group, and the end of the guest with the unit's.
play() {
    local root=$work/root code=0
    mkdir -p "$work/upper" "$work/lower"
    mount -t overlay -o "lowerdir=$place/root,upperdir=$work/upper,workdir=$work/lower" coexist "$root"
    install -m 755 "$program" "$root/usr/sbin/ip-lockdown"
    install -m 755 "$target"/release/{lab,coexist} "$root/usr/local/bin"
    local name
    for name in ip-lockdown lab coexist; do
        chroot "$root" "$name" --help >/dev/null ||
            fail "$name does not run on Debian bookworm: build it there, or on a system whose C library is not newer"
    done
    cat >"$root/etc/systemd/system/coexist.service" <<UNIT
[Unit]
Description=One group of the coexistence test
After=dbus.service systemd-logind.service
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=exec
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
ExecStart=/usr/local/bin/coexist play $1 --results /results
TimeoutStartSec=10
RuntimeMaxSec=300
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console

[Install]
WantedBy=multi-user.target
UNIT
    systemctl --quiet --root="$root" enable coexist.service

    (
        for cgroup in "${cgroups[@]}"; do echo "$BASHPID" >"$cgroup/cgroup.procs"; done
        export SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
        # When this script goes, in whatever way, they are told to go, and systemd-nspawn then kills all of the guest.
        exec setpriv --pdeathsig TERM timeout 360 setpriv --pdeathsig TERM \
            systemd-nspawn "${options[@]}" -- --show-status=no --log-level=err </dev/null
    ) > >(sed -u 's/\r$//') &
    guest=$!
    connect
    wait "$guest" || code=$?
    guest=
    umount "$root"
    rm -rf "$work/upper" "$work/lower"
    if [ "$code" != 0 ] || [ ! -s "$work/results/$1.json" ]; then
        fail "the group $1 did not come to its end"
    fi
}

for group in "${groups[@]}"; do
    [[ " ${all[*]} " = *" $group "* ]] || fail "there is no group $group; there are: ${all[*]}"
done
started=$SECONDS
for group in "${groups[@]}"; do
    printf 'coexist: %s\n' "$group"
    play "$group"
done

# --- the page -----------------------------------------------------------------------------------------------------

verdict=0
"$target/release/coexist" page --results "$work/results" --date "$(date --utc +%F)" >"$place/coexistence.md" || verdict=$?
cp "$work"/results/*.json "$place/"
echo "coexist: ${#groups[@]} groups in $((SECONDS - started)) s; the page is $place/coexistence.md"
[ "$verdict" = 0 ] || fail "not as expected: the lines above say what"
if [ $# = 0 ]; then
    cp "$place/coexistence.md" "$here/docs/coexistence.md"
    echo "coexist: every row as expected; written to docs/coexistence.md"
fi
