# enable --now, disable, remove, and disable --now, on a running system; units that are enabled and not active.

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
    claim "remove: open" soon served $stranger
    claim "after remove: systemctl reload locks again" systemctl reload ip-lockdown
    claim "after remove and reload: locked" locked

    mark
    claim "disable --now" ends 0 ip-lockdown disable --now
    claim "open" soon served $stranger
    claim "the boot unit is inactive" is ip-lockdown.service inactive
    claim "the timer too" is ip-lockdown-verify.timer inactive
    claim "the configuration stays" grep -q '^address' /etc/ip-lockdown/config.toml
    claim "no rules of ours are left" says "no address is locked" ip-lockdown status
}

# is_open: the stranger gets through from now on, on a busy machine too.
is_open() {
    mark
    sleep 1
    got_through
}

# takes SECONDS: so long the boot unit takes to start.
takes() {
    mkdir -p /etc/systemd/system/ip-lockdown.service.d
    printf '[Service]\nExecStartPre=sleep %s\n' "$1" >/etc/systemd/system/ip-lockdown.service.d/slow.conf
    systemctl daemon-reload
}

boot_3() {
    claim "after disable --now and a boot: open" was_open
    takes 5
    claim "enable --now, of a unit that takes its time" ends 0 ip-lockdown enable --now
    claim "the boot unit has not started yet" is ip-lockdown.service activating
    claim "remove, meanwhile" ends 0 ip-lockdown remove
    claim "remove, meanwhile: the boot unit has started" is ip-lockdown.service active
    sleep 3
    claim "remove, meanwhile: it stays open" is_open
    claim "remove, meanwhile: no rules of ours are left" says "no address is locked" ip-lockdown status

    claim "systemctl reload, without waiting" systemctl --no-block reload ip-lockdown
    claim "remove, right after it" ends 0 ip-lockdown remove
    sleep 3
    claim "remove, right after a reload: it stays open" is_open

    systemctl stop ip-lockdown
    takes 40
    claim "enable --now, of a unit that does not come to its end" ends 0 ip-lockdown enable --now
    claim "remove, which waits with a bound" says "stopped ip-lockdown.service" ip-lockdown remove --wait 2
    sleep 1
    claim "remove, after its bound: it stays open" is_open
    claim "remove, after its bound: the boot unit is not active" ends 3 systemctl --quiet is-active ip-lockdown
    takes 0

    # Locked and enabled, but not active: nothing applies it again after a flush.
    systemctl --quiet enable nftables.service
    systemctl reset-failed ip-lockdown
    claim "apply" ends 4 ip-lockdown apply
    claim "enabled and not active: verify finds it" says "enabled but not active" ip-lockdown verify
    systemctl restart nftables
    claim "enabled and not active: a restart of nftables opens" is_open
    claim "enable --now" ends 0 ip-lockdown enable --now
    claim "the boot unit is active" soon is ip-lockdown.service active
    claim "active: verify: it holds" ends 0 ip-lockdown verify
    systemctl restart nftables
    claim "active: after a restart of nftables it is locked" locked
}
