# Shorewall with one interface: a chain for each pair of zones, `reject` of its own, policies DROP.
both <<'RULES'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
:fw-net - [0:0]
:net-fw - [0:0]
:sw-reject - [0:0]
-A INPUT -i to-imds -j net-fw
-A INPUT -i lo -j ACCEPT
-A INPUT -j sw-reject
-A OUTPUT -o to-imds -j fw-net
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -m addrtype --dst-type MULTICAST -j DROP
-A OUTPUT -j sw-reject
-A fw-net -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A fw-net -j ACCEPT
-A net-fw -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A net-fw -j DROP
-A sw-reject -p tcp -j REJECT --reject-with tcp-reset
-A sw-reject -j REJECT
COMMIT
RULES
ip6tables -I net-fw -p ipv6-icmp -j ACCEPT
