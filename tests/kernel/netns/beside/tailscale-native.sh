# Tailscale in nftables mode: rules in the tables of iptables that iptables cannot print.
for family in ip ip6; do
    nft -f - <<RULES
table $family filter {
    chain INPUT { type filter hook input priority filter; policy accept; }
    chain FORWARD { type filter hook forward priority filter; policy accept; }
    chain OUTPUT { type filter hook output priority filter; policy accept; }
    chain ts-input {
        iifname "tailscale0*" counter accept
        udp dport 41641 counter accept
    }
    chain ts-forward {
        iifname "tailscale0*" counter meta mark set meta mark & 0xff00ffff ^ 0x00040000
        meta mark & 0x00ff0000 == 0x00040000 counter accept
        oifname "tailscale0*" counter accept
    }
}
insert rule $family filter INPUT counter jump ts-input
insert rule $family filter FORWARD counter jump ts-forward
RULES
done
