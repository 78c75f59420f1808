-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER-USER
-N ufw6-before-input
-N ufw6-user-input
-N ufw6-logging-deny
-N IN_public
-N f2b-sshd
-N abcdefghijklmnopqrstuvwxyz12
-N kété-grüße-链
-N odd"quote
-N IPL-fd00:ec2::254
-N IPF-fd00:ec2::254
-N IPL-fd00:ec2::254-x
-N IPL-FD00:EC2::254
[0:0] -A INPUT -i lo -j ACCEPT
[0:0] -A INPUT 
[0:0] -A INPUT -s ::1 
[0:0] -A INPUT -s fe80:: -j ACCEPT
[0:0] -A INPUT -j ACCEPT
[0:0] -A INPUT -d ff02::1 -j ACCEPT
[0:0] -A INPUT -j DROP
[0:0] -A INPUT -s ::ffff:192.0.2.1 -j DROP
[0:0] -A INPUT -s ::192.0.2.1 -j DROP
[0:0] -A INPUT -s 64:ff9b:: -j DROP
[0:0] -A INPUT -d fd00:ec2::254 -j DROP
[0:0] -A INPUT -d fd00:ec2::254 -j DROP
[0:0] -A INPUT -d fd00:ec2::254 -j DROP
[0:0] -A INPUT -d fd00::254 -j DROP
[0:0] -A INPUT ! -s 2001:db8:: ! -d 2001:db8:1:: -j ACCEPT
[0:0] -A INPUT -s 2001:db8::1 -j ACCEPT
[0:0] -A INPUT -s 2001:db8::2 -j ACCEPT
[0:0] -A INPUT -p ipv6-icmp -j ACCEPT
[0:0] -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT
[0:0] -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136 -m hl --hl-eq 255 -j ACCEPT
[0:0] -A INPUT -p ipv6-icmp -m icmp6 ! --icmpv6-type 1/4 -j ACCEPT
[0:0] -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 255/0 -j ACCEPT
[0:0] -A INPUT -p ipv6-icmp -j ACCEPT
[0:0] -A INPUT -p icmp -j ACCEPT
[0:0] -A INPUT -p sctp -j ACCEPT
[0:0] -A INPUT -p sctp -m sctp --chunk-types any DATA -j ACCEPT
[0:0] -A INPUT -p 253 -j ACCEPT
[0:0] -A INPUT -j ACCEPT
[0:0] -A INPUT -p ipv6-nonxt -j ACCEPT
[0:0] -A INPUT -j ACCEPT
[0:0] -A INPUT ! -p tcp -j ACCEPT
[0:0] -A INPUT -m frag --fragid 1:5 --fragmore -j DROP
[0:0] -A INPUT -m rt --rt-type 0 -j DROP
[0:0] -A INPUT -m rt --rt-type 0 --rt-segsleft 1:2 -j DROP
[0:0] -A INPUT -m ipv6header --header hop-by-hop,ipv6-opts --soft -j DROP
[0:0] -A INPUT -m ipv6header ! --header ipv6-frag -j DROP
[0:0] -A INPUT -m hbh --hbh-len 8 -j DROP
[0:0] -A INPUT -m dst --dst-opts 5  -j DROP
[0:0] -A INPUT -m eui64 -j ACCEPT
[0:0] -A INPUT -p mobility-header -m mh --mh-type 1:3 -j ACCEPT
[0:0] -A INPUT -p ah -m ah --ahspi 1 --ahlen 5 --ahres -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
[0:0] -A INPUT -p tcp -m multiport --dports 22,80:81 -j ACCEPT
[0:0] -A INPUT -m comment --comment "say \"hi\" it\'s \\ all" -j ACCEPT
[0:0] -A INPUT -m comment --comment "-A OUTPUT -d fd00:ec2::254/128 -j ACCEPT" -j ACCEPT
[0:0] -A INPUT -m comment --comment "grüße 你好" -j ACCEPT
[0:0] -A INPUT -m comment --comment "latin1 gr��e ��" -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp --dport 22 -m comment --comment second -j ACCEPT
[0:0] -A INPUT -i eth+ -j ACCEPT
[0:0] -A INPUT -j LOG --log-prefix "[UFW BLOCK] "
[0:0] -A INPUT -j NFLOG --nflog-prefix  "x \"y\"" --nflog-group 5
[0:0] -A INPUT -m limit --limit 3/min -j ACCEPT
[0:0] -A INPUT -m conntrack --ctstate INVALID -j DROP
[0:0] -A INPUT -m conntrack --ctorigsrc fd00::/8 -j ACCEPT
[0:0] -A INPUT -m hashlimit --hashlimit-above 10/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name h1 --hashlimit-srcmask 64 -j DROP
[0:0] -A INPUT -m recent --update --seconds 30 --name ssh --mask ffff:ffff:ffff:ffff:: --rsource -j DROP
[0:0] -A INPUT -m iprange --src-range 2001:db8::1-2001:db8::9 -j ACCEPT
[0:0] -A INPUT -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 2001:db8::1 -j ACCEPT
[0:0] -A INPUT -j REJECT --reject-with icmp6-port-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp6-no-route
[0:0] -A INPUT -j REJECT --reject-with icmp6-adm-prohibited
[0:0] -A INPUT -j REJECT --reject-with icmp6-addr-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp6-port-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp6-policy-fail
[0:0] -A INPUT -j REJECT --reject-with icmp6-reject-route
[0:0] -A INPUT -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A INPUT -j abcdefghijklmnopqrstuvwxyz12
[0:0] -A INPUT -j kété-grüße-链
[0:0] -A INPUT -j odd"quote
[0:0] -A INPUT -p tcp -g IN_public
[0:0] -A FORWARD -j DOCKER-USER
[0:0] -A FORWARD -d fd00:ec2::254 -j IPF-fd00:ec2::254
[0:0] -A OUTPUT -p tcp -d fd00:ec2::254 -m owner ! --uid-owner 0 -j REJECT --reject-with icmp6-port-unreachable
[0:0] -A OUTPUT -d fd00:ec2::254 -j ACCEPT
[0:0] -A OUTPUT -d fd00:ec2::254 -j IPL-fd00:ec2::254
[0:0] -A OUTPUT -d fd00:ec2::254 -j IPL-fd00:ec2::254
[0:0] -A OUTPUT -p tcp -d fd00:ec2::254 -j IPL-fd00:ec2::254
[0:0] -A OUTPUT ! -d fd00:ec2::254 -j IPL-fd00:ec2::254
[0:0] -A OUTPUT -d fd00:ec2::254 -j IPL-fd00:ec2::254
[0:0] -A OUTPUT -d fd00:ec2::254 -g IPL-fd00:ec2::254
[0:0] -A OUTPUT -d fd00:ec2::254 -j IPL-FD00:EC2::254
[0:0] -A DOCKER-USER -d fd00:ec2::254 -j DROP
[0:0] -A ufw6-before-input -m rt --rt-type 0 -j DROP
[0:0] -A ufw6-user-input -p tcp -m tcp --dport 22 -j ACCEPT
[0:0] -A ufw6-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
[0:0] -A f2b-sshd -s 2001:db8::bad -j REJECT --reject-with icmp6-port-unreachable
[0:0] -A IPL-fd00:ec2::254 -j ACCEPT
[0:0] -A IPL-fd00:ec2::254 -m owner --uid-owner 1000-1002 -m comment --comment alice -j ACCEPT
[0:0] -A IPL-fd00:ec2::254 -m owner ! --uid-owner 1000 -j RETURN
[0:0] -A IPL-fd00:ec2::254 -m owner --uid-owner 1000 --gid-owner 100 -j RETURN
[0:0] -A IPL-fd00:ec2::254 -m owner ! --socket-exists -j RETURN
[0:0] -A IPL-fd00:ec2::254 -m limit --limit 10/min --limit-burst 20 -j LOG --log-prefix "ip-lockdown: " --log-uid
[0:0] -A IPL-fd00:ec2::254 -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A IPL-fd00:ec2::254 -m comment --comment "ip-lockdown v1 9f86d081884c7d65 layers=filter,security" -j REJECT --reject-with icmp6-port-unreachable
[0:0] -A IPF-fd00:ec2::254 -j RETURN
