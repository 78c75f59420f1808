# cloud-init, ufw, firewalld, nftables and docker enabled together: systemd finds an order for them.

build() {
    install_package
    network
    probes
    ip-lockdown enable 169.254.169.254 root
    enable ufw nftables docker systemd-networkd
    seed cloud-config.yaml
}

enable() {
    local unit
    for unit in "$@"; do systemctl --quiet enable "$unit.service"; done
}

together() {
    claim "$1: the boot unit is active" is ip-lockdown.service active
    claim "$1: rules stood before the network" before ip-lockdown.service network-pre.target networking.service
    claim "$1: two probes tried from the very first moment" probed_from_the_first_moment
    claim "$1: the stranger never got through" never_open
    claim "$1: locked" locked
    claim "$1: soon, all of it stands" soon ip-lockdown verify
}

boot_1() {
    together "with cloud-init"
    touch /etc/cloud/cloud-init.disabled
    enable firewalld
}

boot_2() {
    together "with firewalld"
    rm /etc/cloud/cloud-init.disabled
    # Debian's cloud-init wants to be after the network and before sysinit.target, firewalld after sysinit.target and
    # before the network: a cycle without us, which systemd breaks by leaving out any one of them, the network too.
    # Here cloud-init comes later, as on Fedora and RHEL, where firewalld is at home; then no cycle may be left.
    sed '/^Before=sysinit.target$/d' /lib/systemd/system/cloud-init.service >/etc/systemd/system/cloud-init.service
}

boot_3() {
    together "with both"
    claim "with both: rules stood before cloud-init" before ip-lockdown.service cloud-init-local.service
}
