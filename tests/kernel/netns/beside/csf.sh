# csf: everything that is not named is dropped, both ways; TCP_OUT names port 80, UDP_OUT does not.
both <<'RULES'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
:ALLOWOUT - [0:0]
:DENYOUT - [0:0]
:LOCALOUTPUT - [0:0]
:LOGDROPOUT - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A OUTPUT ! -o lo -j LOCALOUTPUT
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT ! -o lo -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A OUTPUT ! -o lo -p tcp -m conntrack --ctstate NEW -m multiport --dports 22,25,53,80,443 -j ACCEPT
-A OUTPUT ! -o lo -p udp -m conntrack --ctstate NEW -m multiport --dports 53,113,123 -j ACCEPT
-A OUTPUT ! -o lo -j LOGDROPOUT
-A LOCALOUTPUT ! -o lo -j ALLOWOUT
-A LOCALOUTPUT ! -o lo -j DENYOUT
-A LOGDROPOUT -j REJECT
COMMIT
RULES
ip6tables -I INPUT -p ipv6-icmp -j ACCEPT
ip6tables -I OUTPUT -p ipv6-icmp -j ACCEPT
