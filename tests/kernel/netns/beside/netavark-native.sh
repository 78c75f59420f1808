# netavark, the network of Podman, with its driver nftables.
nft -f ../../../pure/nat_corpus/netavark.nft
