-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N IPL-169.254.169.254
-N IPF-169.254.169.254
[0:0] -A FORWARD -d 169.254.169.254/32 -j IPF-169.254.169.254
[0:0] -A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 0 -m comment --comment root -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 1000-1002 -m comment --comment "alice,bob,svc-web" -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 2000-2999 -j RETURN
[0:0] -A IPL-169.254.169.254 -m owner --gid-owner 500 -m comment --comment metadata -j RETURN
[0:0] -A IPL-169.254.169.254 -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m owner ! --socket-exists -j RETURN
[0:0] -A IPL-169.254.169.254 -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A IPL-169.254.169.254 -m comment --comment "ip-lockdown v1 9f86d081884c7d65 layers=filter,security" -j REJECT --reject-with icmp-port-unreachable
[0:0] -A IPF-169.254.169.254 -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A IPF-169.254.169.254 -j REJECT --reject-with icmp-port-unreachable
