# Real cloud-init with a NoCloud seed: the user-data script of packaging/, and the boot after it.

build() {
    install_package
    probes
    seed user-data.sh
}

boot_1() {
    claim "cloud-init is done" says "status: done" cloud-init status --wait
    claim "until user-data was run, the stranger got through" got_through
    mark
    claim "locked" locked
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "the boot unit is enabled" says enabled systemctl is-enabled ip-lockdown.service
    claim "the boot unit is active" soon is ip-lockdown.service active
    claim "the settle unit is active" is ip-lockdown-settle.service active
    claim "the timer is active" is ip-lockdown-verify.timer active
    claim "from then on, the stranger does not get through" never_open
    claim "from then on, root is served" always_served
}

boot_2() {
    claim "the next boot: it ends well" boots_well
    claim "the next boot: cloud-init is done" says "status: done" cloud-init status --wait
    claim "the next boot: rules stood before cloud-init" \
        before ip-lockdown.service cloud-init-local.service networking.service
    claim "the next boot: two probes tried from the very first moment" probed_from_the_first_moment
    claim "the next boot: the stranger never got through" never_open
    claim "the next boot: root did" all_lanes root '.passed > 0'
    claim "the next boot: verify: it holds" ends 0 ip-lockdown verify
}
