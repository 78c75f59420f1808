# The settle unit with the drop-in of docs/boot.md: it does not end, and repairs at once.

build() {
    install_package
    network
    probes
    ip-lockdown enable 169.254.169.254 root
    mkdir -p /etc/systemd/system/ip-lockdown-settle.service.d
    printf '[Service]\nRestart=always\nRestartSec=1\n' >/etc/systemd/system/ip-lockdown-settle.service.d/repair.conf
}

# started_again: the settle unit has come to its end, after half a minute, and was started again.
started_again() {
    local tries
    for ((tries = 0; tries < 90; tries++)); do
        [ "$(property ip-lockdown-settle.service NRestarts)" = 0 ] || return 0
        sleep 1
    done
    return 1
}

boot_1() {
    claim "the boot ends well" boots_well
    claim "the settle unit starts again" started_again
    # Not the verify unit's doing.
    systemctl stop ip-lockdown-verify.timer
    local flush
    for flush in "iptables -F" "nft delete table inet ip_lockdown" "nft flush ruleset"; do
        $flush
        claim "$flush: soon repaired" soon ip-lockdown verify
        claim "$flush: locked" locked
    done
    claim "the journal tells of it" says "reapplied" warnings ip-lockdown-settle.service
    note "CPU time of the settle unit, since it was started the last time" cpu
    claim "remove" ends 0 ip-lockdown remove
    sleep 5
    mark
    sleep 1
    claim "remove: it stays open" got_through
    claim "remove: the settle unit is stopped" is ip-lockdown-settle.service inactive
}

cpu() {
    local began
    began=$(date --date="$(property ip-lockdown-settle.service ExecMainStartTimestamp)" +%s)
    echo "$(($(property ip-lockdown-settle.service CPUUsageNSec) / 1000000)) ms in $(($(date +%s) - began)) s"
}
