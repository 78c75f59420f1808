# A sandbox that cannot be made: a visible failure, and locked all the same.

build() {
    install_package
    network
    probes
    ip-lockdown enable 169.254.169.254 root
    mkdir -p /etc/systemd/system/ip-lockdown.service.d
    printf '[Service]\nInaccessiblePaths=/not-there\n' >/etc/systemd/system/ip-lockdown.service.d/broken.conf
    # The step after it, whose sandbox can be made, would lock as well, but later.
    systemctl mask ip-lockdown-settle.service
}

boot_1() {
    claim "the boot unit has failed" is ip-lockdown.service failed
    claim "because of the sandbox" shows ip-lockdown.service ExecMainStatus 226
    claim "the boot is degraded" says degraded systemctl is-system-running
    claim "two probes tried from the very first moment" probed_from_the_first_moment
    claim "the stranger never got through" never_open
    claim "locked" locked
    claim "verify: it holds" ends 0 ip-lockdown verify
}
