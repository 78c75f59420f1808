#!/bin/sh
# Before the files go; $1 is how many versions will be left. Erasing leaves the rules in force. Why so:
# packaging/README.md in the source.
if [ "$1" -eq 0 ]; then
    # For the one who wants to open the address later: rpm has no purge.
    if install -D -m 700 /usr/sbin/ip-lockdown /var/lib/ip-lockdown/ip-lockdown; then
        echo "ip-lockdown: what is locked stays locked until the next boot;" \
            "to open it: /var/lib/ip-lockdown/ip-lockdown remove"
    else
        echo "ip-lockdown: no copy could be kept in /var/lib/ip-lockdown; what is locked stays locked until the next boot" >&2
    fi
    if command -v systemctl >/dev/null; then
        units="ip-lockdown.service ip-lockdown-settle.service ip-lockdown-verify.timer"
        # Takes links away, also in a chroot.
        # shellcheck disable=SC2086 # a list
        systemctl --quiet disable $units || echo "ip-lockdown: links to $units may be left in /etc/systemd/system" >&2
        if [ -d /run/systemd/system ]; then
            # Stopping opens nothing: there is no ExecStop.
            # shellcheck disable=SC2086 # a list
            systemctl stop $units || :
        fi
    fi
fi
:
