#!/bin/sh
# Runs after the files are removed; $1 is the number of versions left.
if [ "$1" -eq 0 ]; then
    # cargo-generate-rpm cannot make a package own directories, so rpm does not remove these.
    for unit in nftables iptables ip6tables netfilter-persistent ufw firewalld docker; do
        rmdir /usr/lib/systemd/system/$unit.service.d 2>/dev/null || :
    done
    rmdir /usr/share/doc/ip-lockdown/docs /usr/share/doc/ip-lockdown/examples/initramfs \
        /usr/share/doc/ip-lockdown/examples /usr/share/doc/ip-lockdown \
        /usr/share/licenses/ip-lockdown 2>/dev/null || :
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
:
