#!/bin/sh
# Runs before the files are removed; $1 is the number of versions that will be left. Erasing leaves the rules installed.
# The reasons are in packaging/README.md of the source.
if [ "$1" -eq 0 ]; then
    # Keep a copy of the program, to open the address later: rpm has no purge.
    if install -D -m 700 /usr/sbin/ip-lockdown /var/lib/ip-lockdown/ip-lockdown; then
        echo "ip-lockdown: locked addresses stay locked until the next boot;" \
            "to open them, run /var/lib/ip-lockdown/ip-lockdown remove"
    else
        echo "ip-lockdown: cannot keep a copy of the program in /var/lib/ip-lockdown; locked addresses stay locked until the next boot" >&2
    fi
    if command -v systemctl >/dev/null; then
        units="ip-lockdown.service ip-lockdown-settle.service ip-lockdown-verify.timer"
        # Removes links, also in a chroot.
        # shellcheck disable=SC2086 # a list
        systemctl --quiet disable $units || echo "ip-lockdown: links to $units may be left in /etc/systemd/system" >&2
        if [ -d /run/systemd/system ]; then
            # Stopping opens nothing: the units have no ExecStop.
            # shellcheck disable=SC2086 # a list
            systemctl stop $units || :
        fi
    fi
fi
:
