# The check can fail: without the unit, and with one that comes too late, the same probe gets through.

build() {
    install_package
    network
    probes
}

boot_1() {
    claim "the boot ends well" boots_well
    claim "not enabled, the boot unit is not started" is ip-lockdown.service inactive
    claim "two probes tried from the very first moment" probed_from_the_first_moment
    claim "nothing enabled: the stranger gets through" was_open

    # A unit as many would write it, on a machine that takes its time.
    sed -e '/^Wants=network-pre/d' -e '/^Before=network-pre/d' -e 's/^After=.*/After=network-online.target/' \
        -e 's/^ExecStart=/ExecStartPre=sleep 0.2\n&/' /usr/lib/systemd/system/ip-lockdown.service \
        >/etc/systemd/system/ip-lockdown.service
    ip-lockdown enable 169.254.169.254 root
}

boot_2() {
    claim "a unit after network-online is active" is ip-lockdown.service active
    claim "too late: the stranger gets through" got_through
    mark
    claim "from then on, it is locked" locked
    claim "the stranger does not get through any more" never_open
}
