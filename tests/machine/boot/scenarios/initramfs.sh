# The initramfs of initramfs-tools configures the network, before systemd starts; dracut builds one too.

machine=qemu
# Only when it is named: two emulated boots take ten minutes.
slow=yes
parameters_boot_1='ip=192.0.2.1::192.0.2.2:255.255.255.252::eth0:off'
parameters_boot_2='ip=192.0.2.1::192.0.2.2:255.255.255.252::eth0:off'

build() {
    install_package
    probes
    claim "enable" ends 0 ip-lockdown enable 169.254.169.254 root
    # What is in force when systemd starts our unit.
    mkdir -p /etc/systemd/system/ip-lockdown.service.d
    printf '[Service]\nExecStartPre=+sh -c "cat /proc/net/route /proc/modules >/run/at-start; nft list ruleset >>/run/at-start"\n' \
        >/etc/systemd/system/ip-lockdown.service.d/look.conf
    # On a busy machine, this takes its time.
    printf '[Service]\nExecStartPre=sleep 1\n' >/etc/systemd/system/ip-lockdown.service.d/slow.conf

    # Such as dropbear-initramfs and open-iscsi have: it does what the kernel parameter ip= says.
    cat >/etc/initramfs-tools/scripts/init-premount/network <<'SCRIPT'
#!/bin/sh
case "$1" in prereqs) exit 0 ;; esac
. /scripts/functions
configure_networking
# The ip of busybox has no nodad.
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip -6 address add 2001:db8:1::1/64 dev eth0
ip -6 route add default via 2001:db8:1::2
SCRIPT
    chmod 755 /etc/initramfs-tools/scripts/init-premount/network
    local kernel examples=/srv/packaging/initramfs
    kernel=$(ls /lib/modules)
    claim "initramfs-tools makes an initramfs" mkinitramfs -o /boot/initrd-boot_1 "$kernel"
    # As docs/boot.md has it. (This image has no documentation.)
    install -m 755 $examples/hook /etc/initramfs-tools/hooks/ip-lockdown
    install -m 755 $examples/lock.sh /etc/initramfs-tools/scripts/init-bottom/ip-lockdown
    claim "initramfs-tools makes one that locks" mkinitramfs -o /boot/initrd-boot_2 "$kernel"
    install -D -m 755 -t /usr/lib/dracut/modules.d/90ip-lockdown $examples/lock.sh $examples/module-setup.sh
    claim "dracut makes one that locks" \
        dracut --quiet --no-hostonly --add "network ip-lockdown" --force /boot/initrd-dracut "$kernel"
}

# early WHAT: the network was there before systemd.
early() {
    claim "$1: eth0 was configured when systemd started the boot unit" grep -q '^eth0' /run/at-start
    claim "$1: the boot unit is active" is ip-lockdown.service active
}

# locks WHAT: and so were the rules.
locks() {
    claim "$1: our rules were there before" grep -q 'table inet ip_lockdown' /run/at-start
    claim "$1: and those of iptables" grep -q 'chain IPL-169.254.169.254' /run/at-start
    claim "$1: the stranger never got through" never_open
    claim "$1: root did" all_lanes root '.passed > 0'
    # They keep such a slow machine busy.
    systemctl stop probe-stranger probe-root
    claim "$1: locked" locked
    claim "$1: verify: it holds" ends 0 ip-lockdown verify
}

boot_1() {
    early "without us"
    claim "without us: no rules of ours were there before" ends 1 grep -q ip_lockdown /run/at-start
    claim "without us: the stranger got through, until the boot unit had started" got_through
}

boot_2() {
    early initramfs-tools
    locks initramfs-tools
}
