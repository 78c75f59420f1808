# fail2ban: a chain for each jail by iptables-multiport, and the table of its nftables action.
both <<'RULES'
*filter
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -j RETURN
COMMIT
RULES
iptables -I f2b-sshd 1 -s 203.0.113.7 -j REJECT --reject-with icmp-port-unreachable
nft -f - <<'RULES'
table inet f2b-table {
    set addr-set-recidive {
        type ipv4_addr
        elements = { 203.0.113.9 }
    }
    chain f2b-chain {
        type filter hook input priority -1; policy accept;
        meta l4proto tcp ip saddr @addr-set-recidive reject with icmp port-unreachable
    }
}
RULES
