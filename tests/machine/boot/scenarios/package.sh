# The package is upgraded, removed and purged while the lockdown is in force.

build() {
    install_package
    network
    probes
    ip-lockdown enable 169.254.169.254 root
    # The next version.
    dpkg-deb --raw-extract /srv/ip-lockdown.deb /srv/next
    sed -i 's/^Version: .*/&.1/' /srv/next/DEBIAN/control
    echo '# of the next version' >>/srv/next/usr/lib/systemd/system/ip-lockdown-verify.timer
    dpkg-deb --root-owner-group --build /srv/next /srv/next.deb
}

boot_1() {
    claim "locked" locked
    mark
    cp /etc/ip-lockdown/config.toml /run/config.toml
    claim "upgraded" dpkg --install /srv/next.deb
    claim "the new version is there" grep -q 'next version' /usr/lib/systemd/system/ip-lockdown-verify.timer
    claim "systemd knows its units" shows ip-lockdown-verify.timer NeedDaemonReload no
    claim "the configuration stays" cmp /run/config.toml /etc/ip-lockdown/config.toml
    claim "the boot unit is enabled" says enabled systemctl is-enabled ip-lockdown.service
    claim "the boot unit is active" is ip-lockdown.service active
    claim "verify: it holds" ends 0 ip-lockdown verify
    claim "throughout, the stranger never got through" never_open
    claim "throughout, root was served" always_served
}

boot_2() {
    claim "booted again: the stranger never got through" never_open
    claim "booted again: the boot ends well" boots_well
    mark
    claim "removed" dpkg --remove ip-lockdown
    claim "the program is gone" ends 1 test -e /usr/sbin/ip-lockdown
    claim "still locked" locked
    claim "throughout, the stranger never got through" never_open
    claim "throughout, root was served" always_served
    claim "the configuration stays" test -e /etc/ip-lockdown/config.toml
    claim "no link is left" no_links
    claim "purged" dpkg --purge ip-lockdown
    claim "open" served $stranger
    claim "no rules of ours are left" no_rules_of_ours
    claim "no files are left in /etc" ends 1 test -e /etc/ip-lockdown
    claim "the system is well" boots_well
}

no_links() {
    local links
    links=$(find /etc/systemd/system -name 'ip-lockdown*')
    echo "$links"
    [ -z "$links" ]
}

no_rules_of_ours() {
    local rules
    rules=$(nft list ruleset)
    rules+=$(iptables-legacy-save)
    rules+=$(ip6tables-legacy-save)
    echo "$rules"
    [[ $rules != *IPL-* && $rules != *IPF-* && $rules != *ip_lockdown* ]]
}
