# A kernel whose firewall is made of modules, loaded when they are needed, also from inside the sandbox.

machine=qemu

build() {
    install_package
    network
    probes
    claim "enable" ends 0 ip-lockdown enable 169.254.169.254 root
}

# boot VARIANT MODULE...: these were loaded for it.
boot() {
    local variant=$1 module
    shift
    claim "$variant: the boot ends well" boots_well
    for module in "$@"; do
        claim "$variant: the module $module was loaded" grep -q "^$module " /proc/modules
    done
    claim "$variant: the boot unit is active" is ip-lockdown.service active
    claim "$variant: rules stood before the network" before ip-lockdown.service networking.service
    claim "$variant: two probes tried from the very first moment" probed_from_the_first_moment
    claim "$variant: the stranger never got through" never_open
    claim "$variant: root did" all_lanes root '.passed > 0'
    # They keep such a slow machine busy.
    systemctl stop probe-stranger probe-root
    claim "$variant: locked" locked
    claim "$variant: verify: it holds" ends 0 ip-lockdown verify
    claim "$variant: the regular verify passes" systemctl start ip-lockdown-verify.service
}

boot_1() {
    boot iptables-nft nf_tables nft_compat xt_owner
    update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy
    update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy
}

boot_2() {
    boot iptables-legacy ip6_tables ip6table_filter xt_owner
}
