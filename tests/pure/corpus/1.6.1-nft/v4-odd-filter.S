-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-ISOLATION-STAGE-2
-N ufw-before-output
-N ufw-before-input
-N ufw-not-local
-N ufw-user-input
-N ufw-user-output
-N ufw-user-limit
-N ufw-user-limit-accept
-N ufw-logging-deny
-N ufw-skip-to-policy-output
-N ufw-track-output
-N KUBE-FIREWALL
-N KUBE-FORWARD
-N INPUT_direct
-N INPUT_ZONES
-N IN_public
-N IN_public_allow
-N IN_public_log
-N OUTPUT_direct
-N f2b-sshd
-N ts-input
-N cali-fw-cali1234567890a
-N LIBVIRT_INP
-N abcdefghijklmnopqrstuvwxyz12
-N odd.dots-and_under:colon
-N odd+plus@at%percent=eq
-N odd"quote
-N odd'tick
-N odd\back
-N odd[brack]et
-N odd;semi#hash,comma
-N odd(paren)*star$dollar
-N kété-grüße-链
-N latin-gr��e-��
-N 42
-N a
-N COMMIT
-N A
-N accept
-N --dashes
-N #hash
-N *star
-N empty-chain
-N IPL-169.254.169.254
-N IPF-169.254.169.254
-N IPL-169.254.169.254-x
-N IPL-10.0.0.1
[18446744073709551615:18446744073709551615] -A INPUT -i lo -j ACCEPT
[9007199254740993:1180591620717411303] -A INPUT ! -i lo -d 127.0.0.0/8 -j DROP
[0:0] -A INPUT 
[0:0] -A INPUT -s 10.0.0.0/8 
[1:2] -A INPUT -p tcp 
[0:0] -A INPUT -m comment --comment "no target" 
[0:0] -A INPUT ! -f 
[0:0] -A INPUT -f -j ACCEPT
[0:0] -A INPUT -p tcp ! -f -j DROP
[0:0] -A INPUT -p sctp -j ACCEPT
[0:0] -A INPUT -p sctp -m sctp --dport 3868 -j ACCEPT
[0:0] -A INPUT -p sctp -m sctp --chunk-types any DATA,INIT -j ACCEPT
[0:0] -A INPUT -p sctp -m sctp --chunk-types only DATA:Be -j ACCEPT
[0:0] -A INPUT -p 253 -j ACCEPT
[0:0] -A INPUT -j ACCEPT
[0:0] -A INPUT -j ACCEPT
[0:0] -A INPUT -p 255 -j ACCEPT
[0:0] -A INPUT -p ipv6 -j ACCEPT
[0:0] -A INPUT -p ipencap -j ACCEPT
[0:0] -A INPUT -p gre -j ACCEPT
[0:0] -A INPUT -p esp -m esp --espspi 500:600 -j ACCEPT
[0:0] -A INPUT -p ah -m ah --ahspi 1 -j ACCEPT
[0:0] -A INPUT -p vrrp -j ACCEPT
[0:0] -A INPUT -p igmp -j ACCEPT
[0:0] -A INPUT -p udplite -j ACCEPT
[0:0] -A INPUT -p dccp -m dccp --dport 5000:5010 -j ACCEPT
[0:0] -A INPUT ! -p tcp -j ACCEPT
[0:0] -A INPUT ! -p sctp -j ACCEPT
[0:0] -A INPUT -p icmp -j ACCEPT
[0:0] -A INPUT -p icmp -m icmp --icmp-type any -j ACCEPT
[0:0] -A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
[0:0] -A INPUT -p icmp -m icmp --icmp-type 0 -j ACCEPT
[0:0] -A INPUT -p icmp -m icmp --icmp-type 3/4 -j ACCEPT
[0:0] -A INPUT -p icmp -m icmp ! --icmp-type 3/4 -j ACCEPT
[0:0] -A INPUT -p icmp -m icmp --icmp-type any -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j DROP
[0:0] -A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,SYN,RST,PSH,ACK,URG -j DROP
[0:0] -A INPUT -p tcp -m tcp --tcp-flags SYN,PSH,ACK,URG NONE -j DROP
[0:0] -A INPUT -p tcp -m tcp --tcp-option 30 -j DROP
[0:0] -A INPUT -p tcp -m tcp ! --tcp-option 30 -j DROP
[0:0] -A INPUT -p tcp -m tcp --sport 1024:65535 --dport 22 -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp ! --sport 1:1023 ! --dport 80 -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp --dport 0 -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp --dport 80 -j ACCEPT
[0:0] -A INPUT -p udp -m udp --sport 0:1023 -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp -j ACCEPT
[0:0] -A INPUT -p udp -m udp -j ACCEPT
[0:0] -A INPUT -p tcp -m multiport --dports 22,80,443,8000:8100 -j ACCEPT
[0:0] -A INPUT -p tcp -m multiport ! --sports 22,80 -j ACCEPT
[0:0] -A INPUT -p udp -m multiport --ports 53,123 -j ACCEPT
[0:0] -A INPUT -p tcp -m multiport --dports 22 -m comment --comment "one port" -j f2b-sshd
[0:0] -A INPUT -s 192.0.2.1/32 -d 198.51.100.7/32 -j ACCEPT
[0:0] -A INPUT ! -s 192.0.2.0/24 ! -d 198.51.100.0/25 -j ACCEPT
[0:0] -A INPUT -s 10.0.0.0/255.0.255.0 -j ACCEPT
[0:0] -A INPUT -d 169.254.169.254/31 -j ACCEPT
[0:0] -A INPUT -j ACCEPT
[0:0] -A INPUT -j DROP
[0:0] -A INPUT -j DROP
[0:0] -A INPUT -s 192.0.2.1/32 -d 198.51.100.0/24 -j ACCEPT
[0:0] -A INPUT -s 192.0.2.1/32 -d 203.0.113.9/32 -j ACCEPT
[0:0] -A INPUT -s 192.0.2.2/32 -d 198.51.100.0/24 -j ACCEPT
[0:0] -A INPUT -s 192.0.2.2/32 -d 203.0.113.9/32 -j ACCEPT
[0:0] -A INPUT -i eth+ -j ACCEPT
[0:0] -A INPUT ! -i eth+ -j ACCEPT
[0:0] -A INPUT -i a -j ACCEPT
[0:0] -A INPUT -i veth0123456789a -j ACCEPT
[0:0] -A INPUT -i eth0.100 -j ACCEPT
[0:0] -A INPUT -i if@x:y%z -j ACCEPT
[0:0] -A INPUT -m comment --comment plain -j ACCEPT
[0:0] -A INPUT -m comment --comment "with-dash_under.dot" -j ACCEPT
[0:0] -A INPUT -m comment --comment "a,b" -j ACCEPT
[0:0] -A INPUT -m comment --comment "a:b/c@d" -j ACCEPT
[0:0] -A INPUT -m comment --comment "a=b" -j ACCEPT
[0:0] -A INPUT -m comment --comment "a#b" -j ACCEPT
[0:0] -A INPUT -m comment --comment "a;b" -j ACCEPT
[0:0] -A INPUT -m comment --comment "#leading" -j ACCEPT
[0:0] -A INPUT -m comment --comment "with blanks" -j ACCEPT
[0:0] -A INPUT -m comment --comment " leading and trailing " -j ACCEPT
[0:0] -A INPUT -m comment --comment "  " -j ACCEPT
[0:0] -A INPUT -m comment --comment "a	tab" -j ACCEPT
[0:0] -A INPUT -m comment --comment "say \"hi\"" -j ACCEPT
[0:0] -A INPUT -m comment --comment "it\'s" -j ACCEPT
[0:0] -A INPUT -m comment --comment "\"" -j ACCEPT
[0:0] -A INPUT -m comment --comment "\'" -j ACCEPT
[0:0] -A INPUT -m comment --comment "\\" -j ACCEPT
[0:0] -A INPUT -m comment --comment "back\\slash" -j ACCEPT
[0:0] -A INPUT -m comment --comment "ends in \\" -j ACCEPT
[0:0] -A INPUT -m comment --comment "\\\" -j DROP" -j ACCEPT
[0:0] -A INPUT -m comment --comment "not a rule: -j DROP" -j ACCEPT
[0:0] -A INPUT -m comment --comment "-A OUTPUT -d 169.254.169.254/32 -j ACCEPT" -j ACCEPT
[0:0] -A INPUT -m comment --comment --comment -j ACCEPT
[0:0] -A INPUT -m comment --comment -j -j ACCEPT
[0:0] -A INPUT -m comment --comment "!" -j ACCEPT
[0:0] -A INPUT -m comment --comment COMMIT -j ACCEPT
[0:0] -A INPUT -m comment --comment "*filter" -j ACCEPT
[0:0] -A INPUT -m comment --comment ":OUTPUT ACCEPT [0:0]" -j ACCEPT
[0:0] -A INPUT -m comment --comment "[1:2]" -j ACCEPT
[0:0] -A INPUT -m comment --comment "$(id) `id` $HOME %s %n" -j ACCEPT
[0:0] -A INPUT -m comment --comment "grüße, 你好, Привет 🔒" -j ACCEPT
[0:0] -A INPUT -m comment --comment "grüße" -j ACCEPT
[0:0] -A INPUT -m comment --comment "latin1 gr��e ��" -j ACCEPT
[0:0] -A INPUT -m comment --comment "bidi ‮⁦ nbsp  " -j ACCEPT
[0:0] -A INPUT -m comment --comment "esc [31mred" -j ACCEPT
[0:0] -A INPUT -m comment --comment "second one" -j ACCEPT
[0:0] -A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m comment --comment "before matches" -j ACCEPT
[0:0] -A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 22 -m comment --comment between -j ACCEPT
[0:0] -A INPUT -m comment --comment "after the target" -j ACCEPT
[0:0] -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A INPUT -m conntrack --ctstate INVALID,NEW,RELATED,ESTABLISHED,UNTRACKED,SNAT,DNAT -j ACCEPT
[0:0] -A INPUT -m conntrack ! --ctstate NEW -j ACCEPT
[0:0] -A INPUT -m conntrack --ctproto 6 --ctorigsrc 10.0.0.0/8 ! --ctorigdst 192.0.2.1 --ctorigdstport 80:81 --ctstatus ASSURED --ctexpire 10:20 --ctdir ORIGINAL -j ACCEPT
[0:0] -A INPUT -m state --state NEW,ESTABLISHED -j ACCEPT
[0:0] -A INPUT -m state ! --state INVALID -j ACCEPT
[0:0] -A INPUT -m mark --mark 0x1 -j ACCEPT
[0:0] -A INPUT -m mark ! --mark 0x4000/0x4000 -j ACCEPT
[0:0] -A INPUT -m connmark --mark 0x80/0x80 -j ACCEPT
[0:0] -A INPUT -m connbytes --connbytes 100:200 --connbytes-mode packets --connbytes-dir both -j ACCEPT
[0:0] -A INPUT -m connlimit --connlimit-above 10 --connlimit-mask 32 --connlimit-saddr -j REJECT --reject-with icmp-port-unreachable
[0:0] -A INPUT -m limit --limit 3/min --limit-burst 10 -j ACCEPT
[0:0] -A INPUT -m limit --limit 1/sec -j ACCEPT
[0:0] -A INPUT -m limit --limit 7/day --limit-burst 1 -j ACCEPT
[0:0] -A INPUT -m hashlimit --hashlimit-above 10/sec --hashlimit-burst 20 --hashlimit-mode srcip,dstport --hashlimit-name h1 --hashlimit-srcmask 24 -j DROP
[0:0] -A INPUT -m hashlimit --hashlimit-upto 512kb/s --hashlimit-burst 1mb --hashlimit-name h2 -j ACCEPT
[0:0] -A INPUT -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource 
[0:0] -A INPUT -m recent --update --seconds 30 --hitcount 6 --name ssh --mask 255.255.255.0 --rsource -j DROP
[0:0] -A INPUT -m recent ! --rcheck --name bad.guys --mask 255.255.255.255 --rdest -j DROP
[0:0] -A INPUT -m string --string "GET /" --algo bm --to 65535 -j DROP
[0:0] -A INPUT -m string --string "with \"quote\" and \\ back" --algo kmp --from 10 --to 100 --icase -j DROP
[0:0] -A INPUT -m string --hex-string "|0d0a00ff|" --algo bm --to 65535 -j DROP
[0:0] -A INPUT -m string ! --hex-string "|474554202f780d0a|" --algo kmp --to 65535 -j DROP
[0:0] -A INPUT -p udp -m udp --dport 53 -m u32 --u32 "0x0>>0x16&0x3c@0x8>>0xf&0x1=0x0" -j ACCEPT
[0:0] -A INPUT -m u32 --u32 "0x6&0xff=0x1&&0x4&0x3fff=0x0&&0x0>>0x16&0x3c@0x0>>0x18=0x0:0x8,0xd" -j DROP
[0:0] -A INPUT -m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0" -j ACCEPT
[0:0] -A INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 ! --dst-range 192.0.2.4-192.0.2.8 -j ACCEPT
[0:0] -A INPUT -m mac --mac-source 00:11:22:AA:BB:CC -j ACCEPT
[0:0] -A INPUT -m length --length 0:1500 -j ACCEPT
[0:0] -A INPUT -m length ! --length 100 -j ACCEPT
[0:0] -A INPUT -m ttl --ttl-lt 5 -j DROP
[0:0] -A INPUT -m ttl --ttl-eq 1 -j DROP
[0:0] -A INPUT -m tos --tos 0x10/0x3f -j ACCEPT
[0:0] -A INPUT -m dscp --dscp 0x0a -j ACCEPT
[0:0] -A INPUT -p tcp -m ecn --ecn-tcp-cwr -j ACCEPT
[0:0] -A INPUT -m addrtype --src-type BROADCAST,MULTICAST ! --dst-type UNICAST -j DROP
[0:0] -A INPUT -m pkttype --pkt-type broadcast -j DROP
[0:0] -A INPUT -m physdev --physdev-is-bridged -j ACCEPT
[0:0] -A INPUT -m physdev ! --physdev-is-in -j ACCEPT
[0:0] -A INPUT -m policy --dir in --pol ipsec --strict --proto esp --mode tunnel --tunnel-dst 192.0.2.2 --tunnel-src 192.0.2.1 --next --proto ah -j ACCEPT
[0:0] -A INPUT -m policy --dir in --pol none -j ACCEPT
[0:0] -A INPUT -m time --timestart 09:00:00 --timestop 17:30:00 --weekdays Mon,Tue,Fri --datestop 2038-01-19T03:14:07 -j ACCEPT
[0:0] -A INPUT -m time --monthdays 1,15 --datestart 2024-01-01T00:00:00 --datestop 2038-01-19T03:14:07 --kerneltz -j ACCEPT
[0:0] -A INPUT -m quota --quota 1000000 -j ACCEPT
[0:0] -A INPUT -m quota ! --quota 18446744073709551615 -j ACCEPT
[0:0] -A INPUT -m helper --helper ftp-2121 -j ACCEPT
[0:0] -A INPUT -m cpu --cpu 0 -j ACCEPT
[0:0] -A INPUT -m devgroup --src-group 0x5 -j ACCEPT
[0:0] -A INPUT -m realm --realm 0xa -j ACCEPT
[0:0] -A INPUT -m cluster --cluster-local-nodemask 0x00000001 --cluster-total-nodes 2 --cluster-hash-seed 0xdeadbeef -j ACCEPT
[0:0] -A INPUT -p tcp -m tcpmss --mss 0:500 -j DROP
[0:0] -A INPUT -p tcp -m tcp --dport 443 -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460
[0:0] -A INPUT -j LOG
[0:0] -A INPUT -j LOG --log-prefix "[UFW BLOCK] "
[0:0] -A INPUT -j LOG --log-prefix "q\"uo\'te\\ " --log-level 7 --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid --log-macdecode
[0:0] -A INPUT -j LOG --log-prefix "plain:" --log-level 7
[0:0] -A INPUT -j NFLOG --nflog-prefix  "-j ACCEPT \"x\"" --nflog-group 5 --nflog-threshold 4
[0:0] -A INPUT -j NFLOG --nflog-group 65535 --nflog-size 64
[0:0] -A INPUT -j NFLOG
[0:0] -A INPUT -j NFQUEUE --queue-num 3
[0:0] -A INPUT -j NFQUEUE --queue-balance 0:3 --queue-bypass --queue-cpu-fanout
[0:0] -A INPUT -j AUDIT --type drop
[0:0] -A INPUT -j RATEEST --rateest-name eth0 --rateest-interval 250.0ms --rateest-ewmalog 500.0ms
[0:0] -A INPUT -j RETURN
[0:0] -A INPUT -j DROP
[0:0] -A INPUT -j REJECT --reject-with icmp-port-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp-net-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp-host-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp-proto-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp-port-unreachable
[0:0] -A INPUT -j REJECT --reject-with icmp-net-prohibited
[0:0] -A INPUT -j REJECT --reject-with icmp-host-prohibited
[0:0] -A INPUT -j REJECT --reject-with icmp-admin-prohibited
[0:0] -A INPUT -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A INPUT -j abcdefghijklmnopqrstuvwxyz12
[0:0] -A INPUT -j odd.dots-and_under:colon
[0:0] -A INPUT -j odd+plus@at%percent=eq
[0:0] -A INPUT -j odd"quote
[0:0] -A INPUT -j odd'tick
[0:0] -A INPUT -j odd\back
[0:0] -A INPUT -j odd[brack]et
[0:0] -A INPUT -j odd;semi#hash,comma
[0:0] -A INPUT -j odd(paren)*star$dollar
[0:0] -A INPUT -j kété-grüße-链
[0:0] -A INPUT -j latin-gr��e-��
[0:0] -A INPUT -j 42
[0:0] -A INPUT -j COMMIT
[0:0] -A INPUT -g A
[0:0] -A INPUT -g accept
[0:0] -A INPUT -p tcp -g a
[0:0] -A INPUT -j INPUT_direct
[0:0] -A INPUT -j INPUT_ZONES
[0:0] -A FORWARD -i eth0 -o wlan+ -j ACCEPT
[0:0] -A FORWARD ! -i eth0 ! -o wlan+ -j ACCEPT
[0:0] -A FORWARD -j DOCKER-USER
[0:0] -A FORWARD -j DOCKER-ISOLATION-STAGE-1
[0:0] -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A FORWARD -o docker0 -j DOCKER
[0:0] -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
[0:0] -A FORWARD -i docker0 -o docker0 -j ACCEPT
[0:0] -A FORWARD -d 169.254.169.254/32 -j IPL-10.0.0.1
[0:0] -A FORWARD -i docker0 -d 169.254.169.254/32 -j IPF-169.254.169.254
[0:0] -A OUTPUT -j ufw-before-output
[0:0] -A OUTPUT -j ufw-track-output
[0:0] -A OUTPUT -j KUBE-FIREWALL
[0:0] -A OUTPUT -j OUTPUT_direct
[0:0] -A OUTPUT -p tcp -d 169.254.169.254/32 -m owner ! --uid-owner 0 -j REJECT --reject-with icmp-port-unreachable
[0:0] -A OUTPUT -d 169.254.169.254/32 -m owner ! --uid-owner 0 -j DROP
[0:0] -A OUTPUT -p tcp -d 169.254.169.254/32 -m tcp --dport 80 -m owner ! --uid-owner 0 -m comment --comment "IMDS only for root" -j REJECT --reject-with tcp-reset
[0:0] -A OUTPUT -d 169.254.169.254/32 -j ACCEPT
[0:0] -A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT -p tcp -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT -p tcp -d 169.254.169.254/32 -m tcp --dport 80 -j IPL-169.254.169.254
[0:0] -A OUTPUT ! -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT ! -o lo -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT -d 169.254.169.254/32 -m comment --comment "by hand" -j IPL-169.254.169.254
[0:0] -A OUTPUT -d 169.254.169.254/32 -g IPL-169.254.169.254
[0:0] -A OUTPUT -d 169.254.169.254/31 -j IPL-169.254.169.254
[0:0] -A OUTPUT -s 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT -j IPL-169.254.169.254
[0:0] -A OUTPUT -d 169.254.169.254/32 -j IPL-10.0.0.1
[0:0] -A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254-x
[0:0] -A DOCKER-USER -d 169.254.169.254/32 -j DROP
[0:0] -A DOCKER-USER -j RETURN
[0:0] -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
[0:0] -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
[0:0] -A ufw-before-output -o lo -j ACCEPT
[0:0] -A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw-before-output -j ufw-user-output
[0:0] -A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny
[0:0] -A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
[0:0] -A ufw-before-input -p udp -d 224.0.0.251/32 -m udp --dport 5353 -j ACCEPT
[0:0] -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
[0:0] -A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
[0:0] -A ufw-user-input -p tcp -m multiport --dports 80,443 -m comment --comment "\'dapp_Nginx%20Full\'" -j ACCEPT
[0:0] -A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource 
[0:0] -A ufw-user-output -p tcp -d 169.254.169.254/32 -m tcp --dport 80 -j ACCEPT
[0:0] -A ufw-user-limit -j REJECT --reject-with icmp-port-unreachable
[0:0] -A ufw-logging-deny -m conntrack --ctstate INVALID -m limit --limit 3/min --limit-burst 10 -j RETURN
[0:0] -A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
[0:0] -A ufw-track-output -p tcp -m conntrack --ctstate NEW -j ACCEPT
[0:0] -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -m comment --comment "block incoming localnet connections" -j DROP
[0:0] -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -m comment --comment "kubernetes firewall for dropping marked packets" -j DROP
[0:0] -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -m comment --comment "kubernetes forwarding rules" -j ACCEPT
[0:0] -A INPUT_ZONES -i eth0 -g IN_public
[0:0] -A INPUT_ZONES -s 10.0.0.0/8 -g IN_public
[0:0] -A INPUT_ZONES -g IN_public
[0:0] -A IN_public -j IN_public_log
[0:0] -A IN_public -j IN_public_allow
[0:0] -A IN_public_allow -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT
[0:0] -A IN_public_log -m limit --limit 1/min -j LOG --log-prefix "\"IN_public_DROP: \""
[0:0] -A f2b-sshd -s 198.51.100.23/32 -j REJECT --reject-with icmp-port-unreachable
[0:0] -A f2b-sshd -j RETURN
[0:0] -A ts-input ! -i tailscale0 -s 100.64.0.0/10 -j DROP
[0:0] -A cali-fw-cali1234567890a -p udp -m multiport --dports 4789 -m comment --comment "Drop VXLAN encapped packets originating in workloads" -j DROP
[0:0] -A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
[0:0] -A IPL-169.254.169.254 -j ACCEPT
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 0 -j ACCEPT
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000-1002 -m comment --comment alice -j ACCEPT
[0:0] -A IPL-169.254.169.254 -m owner ! --uid-owner 1000 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner ! --uid-owner 1000-1002 -j DROP
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000 --gid-owner 100 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --socket-exists --uid-owner 1000 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --gid-owner 500 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --socket-exists -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner ! --socket-exists -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 0-4294967294 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 4294967294 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 5 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000 -m owner --uid-owner 1001 -j RETURN
[0:0] -A IPL-169.254.169.254 -p tcp -m owner --uid-owner 1000 -j RETURN
[0:0] -A IPL-169.254.169.254 -d 10.0.0.1/32 -m owner --uid-owner 1000 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000 
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000 -j empty-chain
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000 -m comment --comment alice -j RETURN
[0:0] -A IPL-169.254.169.254 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner ! --socket-exists -j RETURN
[0:0] -A IPL-169.254.169.254 -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j RETURN
[0:0] -A IPL-169.254.169.254 -p tcp -m owner ! --socket-exists -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j RETURN
[0:0] -A IPL-169.254.169.254 -m limit --limit 10/min --limit-burst 20 -j LOG --log-prefix "ip-lockdown: " --log-uid
[0:0] -A IPL-169.254.169.254 -m limit --limit 10/min --limit-burst 20 -j NFLOG --nflog-prefix  ip-lockdown --nflog-group 100
[0:0] -A IPL-169.254.169.254 -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A IPL-169.254.169.254 -m comment --comment "ip-lockdown v1 9f86d081884c7d65 layers=filter,security" -j REJECT --reject-with icmp-port-unreachable
[0:0] -A IPL-169.254.169.254 -m comment --comment "ip-lockdown v1 9f86d081884c7d65 layers=filter" -j DROP
[0:0] -A IPL-169.254.169.254 -m comment --comment "ip-lockdown v1" -j RETURN
[0:0] -A IPL-169.254.169.254 -m comment --comment "ip-lockdown v1 9f86d081884c7d65 layers=filter,security" -j ACCEPT
[0:0] -A IPL-169.254.169.254 -m comment --comment "IP-LOCKDOWN v1 9f86d081884c7d65 \"layers=filter,security\"" -j REJECT --reject-with icmp-port-unreachable
[0:0] -A IPF-169.254.169.254 -j RETURN
[0:0] -A IPL-10.0.0.1 -p tcp -j REJECT --reject-with tcp-reset
