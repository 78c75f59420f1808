#!/bin/sh
# After installation; $1 is how many versions are there now. Why so: packaging/README.md in the source.
# The program is back, so the copy that an erased package kept is of no use any more.
rm -f /var/lib/ip-lockdown/ip-lockdown
[ ! -d /var/lib/ip-lockdown ] || rmdir --ignore-fail-on-non-empty /var/lib/ip-lockdown
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # Where a lockdown is active, the new program puts it in force; the old rules stand until it has.
    if [ "$1" -gt 1 ] && ! systemctl try-reload-or-restart ip-lockdown.service; then
        echo "ip-lockdown: not applied again, what stood still stands; see: systemctl status ip-lockdown" >&2
    fi
fi
:
