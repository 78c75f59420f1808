#!/bin/bash
# ip-lockdown beside ufw, firewalld, docker and podman: boots a real Debian with them for each group of rows, and
# writes docs/coexistence.md when every row was as expected. tests/machine/guest/guest.sh has the picture.
#
#   tests/machine/coexist/run.sh [GROUP]...     without a word: all groups, and the page
set -euo pipefail

here=$(cd "$(dirname "$0")/../../.." && pwd)
name=coexist
# shellcheck source=tests/machine/guest/guest.sh
. "$here/tests/machine/guest/guest.sh"
for built in "$program" "$target"/debug/{lab,coexist}; do
    [ -x "$built" ] || fail "$built is not there: make coexist-test"
done
guest_enter "$here/tests/machine/coexist/run.sh" "$@"

mapfile -t all < <("$target/debug/coexist" groups)
groups=("${@:-${all[@]}}")
for group in "${groups[@]}"; do
    [[ " ${all[*]} " = *" $group "* ]] || fail "there is no group $group; there are: ${all[*]}"
done

# --- a boot for each group ----------------------------------------------------------------------------------------

# play GROUP: a fresh copy of the image, a unit in it that plays the group, and the end of the guest with the unit's.
play() {
    local root=$work/root
    guest_root lab coexist
    install -m 755 "$program" "$root/usr/sbin/ip-lockdown"
    guest_runs ip-lockdown
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
    if ! guest_boot 360 --log-level=err || [ ! -s "$work/results/$1.json" ]; then
        fail "the group $1 did not come to its end"
    fi
}

guest_begin
started=$SECONDS
for group in "${groups[@]}"; do
    printf 'coexist: %s\n' "$group"
    play "$group"
done

# --- the page -----------------------------------------------------------------------------------------------------

verdict=0
"$target/debug/coexist" page --results "$work/results" --date "$(date --utc +%F)" >"$place/coexistence.md" || verdict=$?
cp "$work"/results/*.json "$place/"
echo "coexist: ${#groups[@]} groups in $((SECONDS - started)) s; the page is $place/coexistence.md"
[ "$verdict" = 0 ] || fail "not as expected: the lines above say what"
if [ $# = 0 ]; then
    cp "$place/coexistence.md" "$here/docs/coexistence.md"
    echo "coexist: every row as expected; written to docs/coexistence.md"
fi
