# enable --now, disable, remove, and disable --now, on a running system.

build() {
    install_package
    network
    probes
}

boot_1() {
    claim "nothing is locked yet" was_open
    claim "enable --now" ends 0 ip-lockdown enable --now 169.254.169.254 root
    mark
    claim "locked at once" locked
    claim "the boot unit is active" soon is ip-lockdown.service active
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "the timer waits" soon is ip-lockdown-verify.timer active
    claim "enable --now again" ends 0 ip-lockdown enable --now 169.254.169.254 root

    claim "disable" ends 0 ip-lockdown disable
    claim "no longer enabled" says disabled systemctl is-enabled ip-lockdown.service
    claim "the configuration stays" grep -q '^address' /etc/ip-lockdown/config.toml
    claim "still locked" locked
    claim "the stranger never got through" never_open
}

boot_2() {
    claim "after disable and a boot: the boot unit is not started" is ip-lockdown.service inactive
    claim "after disable and a boot: open" was_open
    claim "enable --now, of what the configuration says" ends 0 ip-lockdown enable --now
    mark
    claim "locked at once" locked
    claim "the stranger never got through" never_open

    claim "the settle step runs" soon is ip-lockdown-settle.service active
    mark
    claim "remove" ends 0 ip-lockdown remove
    claim "remove: the settle step, which would lock again, is stopped" is ip-lockdown-settle.service inactive
    claim "remove: open" served $stranger
    claim "after remove: systemctl reload locks again" systemctl reload ip-lockdown
    claim "after remove and reload: locked" locked

    mark
    claim "disable --now" ends 0 ip-lockdown disable --now
    claim "open" served $stranger
    claim "the boot unit is inactive" is ip-lockdown.service inactive
    claim "the timer too" is ip-lockdown-verify.timer inactive
    claim "the configuration stays" grep -q '^address' /etc/ip-lockdown/config.toml
    claim "no rules of ours are left" says "no address is locked" ip-lockdown status
}
