# firewalld with its backend nftables, without the port forward of the capture: on a host that forwards for containers
# that one is a finding.
sed '/redirect to/d' ../../../pure/nat_corpus/firewalld.nft | nft -f -
