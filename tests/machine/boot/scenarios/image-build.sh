# Installed and enabled in an image build, where systemd does not run; booted, and booted again.

build() {
    claim "the package installs, and enables nothing" install_package
    claim "the boot unit is there and not enabled" says disabled systemctl is-enabled ip-lockdown.service
    claim "enable works without a running systemd" ends 0 ip-lockdown enable 169.254.169.254 root
    claim "the boot unit is enabled" says enabled systemctl is-enabled ip-lockdown.service
    claim "so is the timer" says enabled systemctl is-enabled ip-lockdown-verify.timer
    claim "the image build's own firewall is untouched" no_rules
    network
    probes
    # Each unit of ours dies of a system call that its sandbox does not list, where users get an error.
    local unit
    for unit in ip-lockdown ip-lockdown-settle ip-lockdown-verify; do
        mkdir -p "/etc/systemd/system/$unit.service.d"
        printf '[Service]\nSystemCallErrorNumber=\n' >"/etc/systemd/system/$unit.service.d/strict.conf"
    done
    # What the sandbox looks like from inside.
    printf '[Service]\nExecStartPost=sh -c "cat /proc/self/status /proc/self/mountinfo >/run/sandbox"\n' \
        >>/etc/systemd/system/ip-lockdown.service.d/strict.conf
}

no_rules() {
    local rules
    rules=$(nft list ruleset)
    echo "$rules"
    [ -z "$rules" ]
}

boot_1() {
    claim "the boot ends well" boots_well
    claim "the boot unit is active" is ip-lockdown.service active
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "rules stood before the network" \
        before ip-lockdown.service network-pre.target networking.service
    claim "two probes tried from the very first moment" probed_from_the_first_moment
    claim "the stranger never got through" never_open
    claim "root did" all_lanes root '.passed > 0'
    claim "locked: to root only, by TCP and UDP, refused at once" locked

    claim "systemd finds nothing wrong with the units" quietly systemd-analyze --man=no verify \
        ip-lockdown.service ip-lockdown-settle.service ip-lockdown-verify.service ip-lockdown-verify.timer
    local unit
    for unit in ip-lockdown ip-lockdown-settle ip-lockdown-verify; do
        claim "exposure of $unit at most 2.5" exposure 25 "$unit.service"
    done
    claim "the sandbox is real" sandboxed

    claim "the journal has fields of ours" has_field ip-lockdown.service IP_LOCKDOWN_EXIT_CODE 0
    claim "the timer waits" is ip-lockdown-verify.timer active
    claim "the regular verify passes" systemctl start ip-lockdown-verify.service

    mark
    claim "iptables -F takes rules away" ends 1 flushed
    claim "systemctl reload brings them back" systemctl reload ip-lockdown
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "systemctl stop" systemctl stop ip-lockdown
    claim "stopping opens nothing" ends 0 ip-lockdown verify
    claim "systemctl start" systemctl start ip-lockdown
    claim "throughout, the stranger never got through" never_open
    claim "throughout, root was served" always_served

    # It would mend what follows.
    systemctl stop ip-lockdown-settle
    iptables -I OUTPUT -j ACCEPT
    claim "where the lockdown does not hold, the regular verify is a failed unit" failed_verify
    claim "the journal says which check failed" has_field ip-lockdown-verify.service IP_LOCKDOWN_CHECK jump-first
    systemctl reload ip-lockdown
    claim "mended, it passes again" systemctl start ip-lockdown-verify.service
    claim "and the system is well" boots_well

    # For the next boot: as a package would, whose user its own daemon makes later.
    mkdir -p /etc/ip-lockdown/conf.d
    printf '[[lockdown]]\naddress = "169.254.169.254"\nusers = ["later"]\n' >/etc/ip-lockdown/conf.d/later.toml
}

flushed() {
    systemctl stop ip-lockdown-settle
    iptables -F
    ip6tables -F
    ip-lockdown verify
}

exposure() {
    systemd-analyze security --no-pager --threshold="$1" "$2" >/run/exposure || {
        cat /run/exposure
        return 1
    }
    sed -n 's/.*exposure level for .*: \([0-9.]*\).*/\1/p' /run/exposure
}

sandboxed() {
    grep -qx 'Seccomp:.*2' /run/sandbox
    grep -qx 'NoNewPrivs:.*1' /run/sandbox
    # KILL, SETGID, SETUID, SETPCAP, NET_ADMIN, NET_RAW
    grep -qx 'CapBnd:.*00000000000031e0' /run/sandbox
    # The root is read-only, and /run is not.
    awk '$5 == "/" && $6 ~ /^ro/ { root = 1 } $5 == "/run" && $6 ~ /^rw/ { run = 1 } END { exit !(root && run) }' /run/sandbox
}

failed_verify() {
    ends 1 systemctl start ip-lockdown-verify.service
    is ip-lockdown-verify.service failed
    says degraded systemctl is-system-running
}

boot_2() {
    claim "the boot ends well, though a name is not known" boots_well
    claim "rules stood before the network" before ip-lockdown.service networking.service
    claim "two probes tried from the very first moment" probed_from_the_first_moment
    claim "the stranger never got through" never_open
    claim "the boot unit is active" is ip-lockdown.service active
    claim "its exit code is 4" shows ip-lockdown.service ExecMainStatus 4
    claim "a warning in the journal names whom it does not know" says '"later"' warnings ip-lockdown.service
    claim "verify: degraded" ends 4 ip-lockdown verify
    claim "locked: to root only" locked

    mark
    useradd --uid 4300 later
    claim "a user who appears later gets access, and nobody did anything" soon served 4300
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "locked: to root and that user only" locked 4300
    claim "throughout, the stranger never got through" never_open
    claim "throughout, root was served" always_served
}
