# Other firewalls at boot and after it, one a boot: they flush, and the lockdown is there again.

build() {
    install_package
    network
    probes
    ip-lockdown enable 169.254.169.254 root
    # What is in force when the network begins to be configured.
    mkdir -p /etc/systemd/system/networking.service.d
    printf '[Service]\nExecStartPre=sh -c "nft list ruleset >/run/at-network"\n' \
        >/etc/systemd/system/networking.service.d/look.conf
    # Both take their time, so that they would overlap if they could.
    slow ip-lockdown.service Post
    slow nftables.service Pre
    systemctl --quiet enable nftables.service
    claim "Debian's /etc/nftables.conf flushes everything" grep -qx 'flush ruleset' /etc/nftables.conf
}

# slow UNIT Pre|Post: before or after what it does.
slow() {
    mkdir -p "/etc/systemd/system/$1.d"
    printf '[Service]\nExecStart%s=sleep 0.5\n' "$2" >"/etc/systemd/system/$1.d/slow.conf"
}

# at_boot TOOL
at_boot() {
    claim "$1: the boot ends well" boots_well
    claim "$1: it is active" is "$1.service" active
    claim "$1: our rules stood when the network began" grep -q 'table inet ip_lockdown' /run/at-network
    claim "$1: the stranger never got through" never_open
    claim "$1: soon, all of it stands" soon ip-lockdown verify
}

# after TOOL ACTION: what has to be said of what systemctl does to it.
after() {
    # What follows is not the settle step's doing; the reload that the drop-in does starts it again.
    systemctl stop ip-lockdown-settle
    mark
    claim "systemctl $2 $1: within ten seconds" timeout 10 systemctl "$2" "$1"
    settled
    claim "systemctl $2 $1: all of it stands again" soon ip-lockdown verify
    claim "systemctl $2 $1: locked" locked
}

# firewalld reports active before it flushes.
settled() {
    if systemctl --quiet is-active firewalld; then
        soon firewall-cmd --quiet --state
    fi
}

next() {
    systemctl --quiet disable "$1.service"
    [ -z "${2:-}" ] || systemctl --quiet enable "$2.service"
}

boot_1() {
    at_boot nftables
    local action
    for action in restart reload stop start; do
        after nftables $action
        # `flush ruleset` takes every layer; the README says so.
        note "systemctl $action nftables: the stranger got through in between" how_often
    done
    next nftables ufw
    ufw --force enable
}

boot_2() {
    at_boot ufw
    local action
    for action in restart stop start; do
        after ufw $action
        claim "systemctl $action ufw: the stranger never got through" never_open
    done
    claim "ufw cannot be reloaded, as without us" shows ufw.service CanReload no
    ufw disable
    next ufw firewalld
}

boot_3() {
    at_boot firewalld
    local action
    for action in restart reload stop start; do
        after firewalld $action
        claim "systemctl $action firewalld: the stranger never got through" never_open
    done
    next firewalld
    dpkg --purge ufw
    DEBIAN_FRONTEND=noninteractive dpkg --install /srv/*-persistent_*.deb
    # An ordinary saved set of rules, which does not know of ours.
    mkdir -p /etc/iptables
    printf '%s\n' '*filter' ':OUTPUT ACCEPT [0:0]' '-A OUTPUT -p tcp -j ACCEPT' COMMIT | tee /etc/iptables/rules.v4 >/etc/iptables/rules.v6
    systemctl --quiet enable netfilter-persistent.service
}

boot_4() {
    at_boot netfilter-persistent
    local action
    for action in restart stop start; do
        after netfilter-persistent $action
        claim "systemctl $action netfilter-persistent: the stranger never got through" never_open
    done
    claim "netfilter-persistent cannot be reloaded, as without us" shows netfilter-persistent.service CanReload no
    next netfilter-persistent docker
}

boot_5() {
    at_boot docker
    after docker restart
    claim "systemctl restart docker: the stranger never got through" never_open
    after docker reload
    claim "systemctl reload docker: the stranger never got through" never_open
}
