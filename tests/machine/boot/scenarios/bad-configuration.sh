# A configuration that cannot be used: the boot ends well, locked to root, and says what is wrong.

build() {
    install_package
    network
    probes
    claim "enable, for daemon and root" ends 0 ip-lockdown enable 169.254.169.254 daemon root
    cp /etc/ip-lockdown/config.toml /root/good.toml
    sed -i 's/^address/adress/' /etc/ip-lockdown/config.toml
}

# floor WHAT: with a configuration that cannot be used.
floor() {
    claim "$1: the boot ends well" boots_well
    claim "$1: rules stood before the network" before ip-lockdown.service networking.service
    claim "$1: two probes tried from the very first moment" probed_from_the_first_moment
    claim "$1: the stranger never got through" never_open
    claim "$1: root did" all_lanes root '.passed > 0'
    claim "$1: the boot unit is active" is ip-lockdown.service active
    claim "$1: its exit code is 4" shows ip-lockdown.service ExecMainStatus 4
    claim "$1: locked, to root only, not to daemon" locked
    claim "$1: verify: degraded" ends 4 ip-lockdown verify
}

boot_1() {
    floor broken
    local line
    line=$(grep -n adress /etc/ip-lockdown/config.toml | cut -d: -f1)
    claim "broken: the journal has a warning with file, line and column" \
        says "/etc/ip-lockdown/config.toml:$line:1: there is no key \`adress\`" warnings ip-lockdown.service

    cp /root/good.toml /etc/ip-lockdown/config.toml
    mark
    claim "mended: systemctl reload" systemctl reload ip-lockdown
    claim "mended: verify: it holds" ends 0 ip-lockdown verify
    claim "mended: locked to root and daemon" mended
    claim "mended: the stranger never got through" never_open

    echo 'rubbish' >>/etc/ip-lockdown/config.toml
    claim "broken while it runs: systemctl reload" systemctl reload ip-lockdown
    claim "broken while it runs: what stood stands" mended
    claim "broken while it runs: the stranger never got through" never_open
    rm /etc/ip-lockdown/config.toml
}

mended() {
    served 0
    served 1
    refused $stranger
    refused 65534
}

boot_2() {
    floor missing
    claim "missing: the journal has a warning" says "/etc/ip-lockdown/config.toml does not exist" warnings ip-lockdown.service
    cp /root/good.toml /etc/ip-lockdown/config.toml
    chmod o+w /etc/ip-lockdown/config.toml
}

boot_3() {
    floor "writable by others"
    claim "writable by others: the journal has a warning" \
        says "/etc/ip-lockdown/config.toml is writable by other users" warnings ip-lockdown.service
}
