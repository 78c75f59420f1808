# kube-proxy in nftables mode.
nft -f ../../../pure/nat_corpus/kube-proxy.nft
