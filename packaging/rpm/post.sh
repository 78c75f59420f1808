#!/bin/sh
# Runs after installation; $1 is the number of installed versions. The reasons are in packaging/README.md of the source.
# The program is installed again, so the copy that an erased package kept is not needed any more.
rm -f /var/lib/ip-lockdown/ip-lockdown
[ ! -d /var/lib/ip-lockdown ] || rmdir --ignore-fail-on-non-empty /var/lib/ip-lockdown
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # If a lockdown is active, the new program applies it again. The old rules stay installed until it succeeds.
    if [ "$1" -gt 1 ] && ! systemctl try-reload-or-restart ip-lockdown.service; then
        echo "ip-lockdown: the new version could not reapply the lockdown; the old rules stay installed. See: systemctl status ip-lockdown" >&2
    fi
fi
:
