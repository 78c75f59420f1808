#!/bin/bash
# packaging/ and the packages, tried without AWS: `make packaging-test`.
#
#   tests/machine/packaging/run.sh [CASE]...     without a word: what needs no root file system, then all cases of cases.sh
#
#   a case: a Debian of its own (copy-on-write) ------ imds (169.254.169.254, fd00:ec2::254)
#
# Each case has network, mount, process and host name namespaces of its own, and sees nothing of this machine but
# packaging/, the packages and its scripts. The kernel takes all of it away with the case's first process.
set -euo pipefail

here=$(cd "$(dirname "$0")/../../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$here/$target
place=$target/packaging

fail() {
    printf 'packaging: %s\n' "$*" >&2
    exit 1
}

# --- inside: makes the case's world, and becomes its first process ------------------------------------------------

if [ "${1:-}" = case ]; then
    work=$place/world root=$place/world/root
    mount -t tmpfs -o mode=755 packaging "$work"
    mkdir "$work"/{root,upper,lower}
    mount -t overlay -o "lowerdir=$place/root,upperdir=$work/upper,workdir=$work/lower" packaging "$root"
    mkdir "$root"/{packaging,package,scripts,tests,old}
    mount --bind -o ro "$here/packaging" "$root/packaging"
    mount --bind -o ro "$here/tests/machine/packaging" "$root/tests"
    mount --bind -o ro "$target/package" "$root/package"
    mount --bind -o ro "$place/scripts" "$root/scripts"
    install -m 755 "$target/debug/lab" "$root/usr/local/bin/lab"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    # Settings of the kernel that are not the namespace's own stay as they are.
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,ro,bind "$root/proc/sys"
    mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
    mount -o remount,rw,bind "$root/proc/sys/net"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"; done
    mkdir -m 1777 "$root/dev/shm"
    mkdir "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=755 run "$root/run"
    hostname packaging
    echo '127.0.0.1 localhost packaging' >"$root/etc/hosts"
    cd "$root"
    pivot_root . old
    umount --lazy /old
    rmdir /old
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        bash /tests/cases.sh "$2" </dev/null
fi

# --- outside ------------------------------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || fail "not root; run as root: sudo make packaging-test"
for built in "$target"/package/*.deb "$target"/package/*.rpm "$target/debug/lab" "$target/judge/bin/python"; do
    [ -e "$built" ] || fail "$built is not there: make packaging-test"
done
# It needs the machine's network.
"$here/tests/machine/packaging/image.sh" "$place"

started=$SECONDS
rm -rf "$place/scripts"
mkdir -p "$place/scripts" "$place/world"
"$target/judge/bin/python" "$here/tests/machine/packaging/check.py" "$here/packaging" "$place/scripts"
# SC2194: values stand where parameters were.
shellcheck --shell sh --exclude SC2194 "$place"/scripts/*

mapfile -t all < <(sed -n 's/^case_\([a-z_]*\)() {$/\1/p' "$here/tests/machine/packaging/cases.sh")
cases=("${@:-${all[@]}}")
failed=()
for name in "${cases[@]}"; do
    [[ " ${all[*]} " = *" $name "* ]] || fail "there is no case $name; there are: ${all[*]}"
    printf 'packaging: %s\n' "$name"
    timeout 900 unshare --net --mount --pid --ipc --uts --fork --kill-child --propagation private -- \
        env CARGO_TARGET_DIR="$target" bash "$here/tests/machine/packaging/run.sh" case "$name" || failed+=("$name")
done
[ "${#failed[@]}" = 0 ] || fail "failed: ${failed[*]}"
echo "packaging: ${#cases[@]} cases as they should be, in $((SECONDS - started)) s"
