# iptables-legacy, then nftables alone, then no program, then a layer that this host does not have.

build() {
    install_package
    network
    probes
    update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy
    update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy
    claim "enable" ends 0 ip-lockdown enable 169.254.169.254 root
    local unit
    for unit in ip-lockdown ip-lockdown-settle ip-lockdown-verify; do
        mkdir -p "/etc/systemd/system/$unit.service.d"
        printf '[Service]\nSystemCallErrorNumber=\n' >"/etc/systemd/system/$unit.service.d/strict.conf"
    done
}

boot_1() {
    claim "the boot ends well" boots_well
    claim "the boot unit is active" is ip-lockdown.service active
    claim "the rules are in legacy tables" says IPL-169.254.169.254 iptables-legacy -S OUTPUT
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "rules stood before the network" before ip-lockdown.service networking.service
    claim "two probes tried from the very first moment" probed_from_the_first_moment
    claim "the stranger never got through" never_open
    claim "root did" all_lanes root '.passed > 0'
    claim "locked" locked
    mark
    systemctl stop ip-lockdown-settle
    iptables -F
    ip6tables -F
    claim "iptables -F takes rules away" ends 1 ip-lockdown verify
    claim "systemctl reload brings them back" systemctl reload ip-lockdown
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "the regular verify passes" systemctl start ip-lockdown-verify.service
    claim "throughout, the stranger never got through" never_open
    claim "throughout, root was served" always_served
}

boot_2() {
    claim "booted again: the boot ends well" boots_well
    claim "booted again: verify: it holds" ends 0 ip-lockdown verify
    claim "booted again: the stranger never got through" never_open

    # A host that has nftables only.
    rm /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi
}

boot_3() {
    claim "nftables alone: the boot ends well" boots_well
    claim "nftables alone: verify: it holds" ends 0 ip-lockdown verify
    claim "nftables alone: rules stood before the network" before ip-lockdown.service networking.service
    claim "nftables alone: two probes tried from the very first moment" probed_from_the_first_moment
    claim "nftables alone: the stranger never got through" never_open
    claim "nftables alone: root did" all_lanes root '.passed > 0'
    rm /usr/sbin/nft
}

boot_4() {
    claim "no program at all: the boot ends well" boots_well
    claim "no program at all: verify: it holds" ends 0 ip-lockdown verify
    claim "no program at all: the stranger never got through" never_open
    claim "no program at all: root did" all_lanes root '.passed > 0'

    # Only the layer that needs iptables, which is not there.
    printf '[Service]\nExecStopPost=\nExecStart=\nExecStart=/usr/sbin/ip-lockdown apply --boot --layers=filter\n' \
        >/etc/systemd/system/ip-lockdown.service.d/filter.conf
    printf '[Service]\nExecStart=\nExecStart=/usr/sbin/ip-lockdown apply --boot --settle --layers=filter\n' \
        >/etc/systemd/system/ip-lockdown-settle.service.d/filter.conf
}

boot_5() {
    claim "not the layer that was chosen: the boot unit has failed" is ip-lockdown.service failed
    claim "not the layer that was chosen: with exit code 3" shows ip-lockdown.service ExecMainStatus 3
    claim "not the layer that was chosen: the boot is degraded" says degraded systemctl is-system-running
    claim "not the layer that was chosen: the journal says what to install" \
        says "apt-get install iptables" warnings ip-lockdown.service
    claim "not the layer that was chosen: nftables locks all the same" ends 0 systemctl start ip-lockdown-verify.service
    claim "not the layer that was chosen: the stranger never got through" never_open
    claim "not the layer that was chosen: root did" all_lanes root '.passed > 0'
}
