# libvirt with its backend nftables.
nft -f ../../../pure/nat_corpus/libvirt.nft
