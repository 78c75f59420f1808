# Docker with its backend nftables.
nft -f ../../../pure/nat_corpus/docker.nft
