#!/bin/bash
# dracut: lock.sh and the kernel modules that ip-lockdown needs. The kernel loads modules with the modprobe of the initramfs
# until systemd switches to the root file system.

check() {
    # Only if it is asked for: add_dracutmodules+=" ip-lockdown "
    return 255
}

installkernel() {
    # What is built into the kernel, or does not exist in this version, is ignored.
    hostonly='' instmods nf_tables nft_reject_inet nft_compat xt_owner xt_tcpudp ipt_REJECT ip6t_REJECT iptable_filter ip6table_filter
}

install() {
    inst_multiple cat chroot grep ip mount umount
    # shellcheck disable=SC2154 # dracut sets moddir
    inst_hook pre-pivot 90 "$moddir/lock.sh"
}
