# OpenSnitch with its iptables firewall: new connections wait for its daemon, and pass while it does not run.
both <<'RULES'
*filter
-A INPUT -p udp -m udp --sport 53 -j NFQUEUE --queue-num 0 --queue-bypass
COMMIT
*mangle
-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j NFQUEUE --queue-num 0 --queue-bypass
-A OUTPUT -p udp -m conntrack --ctstate RELATED,NEW -j NFQUEUE --queue-num 0 --queue-bypass
COMMIT
RULES
