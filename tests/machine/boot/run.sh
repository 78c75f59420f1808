#!/bin/bash
# An image build, and the boots that follow, of a real Debian with the package: does the lockdown survive what an
# instance goes through? tests/machine/guest/guest.sh has the picture.
#
#   tests/machine/boot/run.sh PACKAGE.deb [SCENARIO]...     without a scenario: all but those with slow=yes
#
# A scenario is a file in scenarios/. Its `build` is run in a chroot, as an image build does, where systemd is not
# running. Each of boot_1, boot_2... is run in a boot of what was left by the step before. All of them make claims, of
# which each prints one line; a claim that fails fails the run, and so does a step that does not come to its end.
set -euo pipefail

here=$(cd "$(dirname "$0")/../../.." && pwd)
name=boot
# shellcheck source=tests/machine/guest/guest.sh
. "$here/tests/machine/guest/guest.sh"
package=$(realpath "${1:?usage: tests/machine/boot/run.sh PACKAGE.deb [SCENARIO]...}")
shift
for built in "$package" "$target/debug/lab"; do
    [ -e "$built" ] || fail "$built is not there: make boot-test"
done
guest_enter "$here/tests/machine/boot/run.sh" "$package" "$@"

mapfile -t all < <(cd "$here/tests/machine/boot/scenarios" && printf '%s\n' *.sh)
all=("${all[@]%.sh}")
mapfile -t quick < <(cd "$here/tests/machine/boot/scenarios" && grep -L '^slow=yes$' -- *.sh)
quick=("${quick[@]%.sh}")
scenarios=("${@:-${quick[@]}}")
for scenario in "${scenarios[@]}"; do
    [[ " ${all[*]} " = *" $scenario "* ]] || fail "there is no scenario $scenario; there are: ${all[*]}"
done

# scenario NAME: all of its steps.
scenario() {
    local step steps
    sed -n '1s/^# /boot: /p' "$here/tests/machine/boot/scenarios/$1.sh"
    # shellcheck source=/dev/null
    mapfile -t steps < <(. "$here/tests/machine/boot/scenarios/$1.sh" && compgen -A function boot_ | sort -V)
    machine=$(setting "$1" machine)
    machine=${machine:-nspawn}
    build "$1"
    ended "$1" build || return 0
    for step in "${steps[@]}"; do
        printf ' %s\n' "$step"
        "start_$machine" "$1" "$step"
        ended "$1" "$step" || return 0
    done
}

# setting SCENARIO NAME: a line NAME=VALUE or NAME='VALUE' of its file.
setting() {
    sed -n "s/^$2='\?\([^']*\)'\?$/\1/p" "$here/tests/machine/boot/scenarios/$1.sh"
}

# build SCENARIO: a fresh copy of the image, and what the scenario's image build does to it.
build() {
    local root=$work/root
    guest_root lab
    cp -r "$here/tests/machine/boot" "$root/srv/boot"
    case $machine in
    nspawn) echo host0 ;;
    qemu) echo eth0 ;;
    esac >"$root/srv/boot/cable"
    cp -r "$here/packaging" "$root/srv/packaging"
    cp "$package" "$root/srv/ip-lockdown.deb"
    cat >"$root/etc/systemd/system/boot-test.service" <<'UNIT'
[Unit]
Description=One step of the boot test
SuccessAction=poweroff
FailureAction=poweroff

[Service]
Type=exec
EnvironmentFile=/srv/boot/step
ExecStart=/srv/boot/guest.sh $SCENARIO $STEP
RuntimeMaxSec=300
TimeoutStopSec=5
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console

[Install]
WantedBy=multi-user.target
UNIT
    systemctl --quiet --root="$root" enable boot-test.service
    # As tools that build images do.
    mount -t proc "$name" "$root/proc"
    mkdir -p "$root/results"
    mount --bind "$work/results" "$root/results"
    chroot "$root" /srv/boot/guest.sh "$1" build || true
    umount "$root/results" "$root/proc"
}

# start_nspawn SCENARIO STEP
start_nspawn() {
    printf 'SCENARIO=%s\nSTEP=%s\n' "$1" "$2" >"$work/root/srv/boot/step"
    guest_boot 300 --log-level=info > >(show "$1.$2") || true
    orders "$1" "$2"
}

# start_qemu SCENARIO STEP
start_qemu() {
    if [ "$2" = boot_1 ]; then
        guest_disk
    fi
    printf 'SCENARIO=%s\nSTEP=%s\n' "$1" "$2" >"$work/step"
    debugfs -w -R 'rm /srv/boot/step' "$place/disk" 2>/dev/null
    debugfs -w -R "write $work/step /srv/boot/step" "$place/disk" 2>/dev/null >&2
    # A scenario can have made an initramfs for a step.
    local INITRD=$work/root/boot/initrd-$2
    [ -e "$INITRD" ] || INITRD=
    guest_boot_kernel 600 "$(setting "$1" "parameters_$2")" > >(show "$1.$2") || true
    guest_file "/results/$1.$2" >"$work/results/$1.$2"
}

# show NAME: of the console, the claims. All of it is left in a file: what systemd and others have to say there.
show() {
    tee "$place/console.$1" | grep --line-buffered --extended-regexp '^  (ok|FAIL|note|      \|)'
}

# orders SCENARIO STEP: systemd had to leave nothing out to find an order. It says so before there is a journal.
orders() {
    local cycle result=ok
    cycle=$(grep -A 20 'ordering cycle' "$place/console.$1.$2" | grep -e 'ordering cycle' -e 'Found dependency') || true
    [ -z "$cycle" ] || result=FAIL
    printf '  %-5s systemd found an order for all units\n' "$result" | tee -a "$work/results/$1.$2.order"
    [ "$result" = ok ] || printf '%s\n' "$cycle" | sed 's/^/        | /'
}

# ended SCENARIO STEP: whether it came to its end.
ended() {
    [ "$(tail -n 1 "$work/results/$1.$2" 2>/dev/null)" = end ] && return
    tail -n 10 "$work/results/$1.$2" | sed 's/^/        | /' || true
    printf '  FAIL  %s of %s did not come to its end\n' "$2" "$1" | tee -a "$work/results/$1.$2"
    return 1
}

rm -f "$place"/console.*
guest_begin
started=$SECONDS
for scenario in "${scenarios[@]}"; do
    scenario "$scenario"
done

rm -rf "$place/results"
cp -r "$work/results" "$place/results"
count() {
    cat "$place"/results/* | grep -c "^  $1" || true
}
printf 'boot: %s claims hold, %s do not; %s scenarios in %s s\n' \
    "$(count ok)" "$(count FAIL)" "${#scenarios[@]}" "$((SECONDS - started))"
[ "$(count FAIL)" = 0 ] || fail "the lines with FAIL say what; more in $place/results"
[ "$(count ok)" != 0 ] || fail "nothing was claimed"
