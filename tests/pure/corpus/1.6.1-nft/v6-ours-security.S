-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N IPL-fd00:ec2::254
-N IPF-fd00:ec2::254
[0:0] -A FORWARD -d fd00:ec2::254 -j IPF-fd00:ec2::254
[5:340] -A OUTPUT -d fd00:ec2::254 -j IPL-fd00:ec2::254
[1:80] -A IPL-fd00:ec2::254 -m owner --uid-owner 0 -m comment --comment root -j RETURN
[1:80] -A IPL-fd00:ec2::254 -m owner --uid-owner 1000-1002 -m comment --comment "alice,bob,svc-web" -j RETURN
[0:0] -A IPL-fd00:ec2::254 -m owner --uid-owner 2000-2999 -j RETURN
[0:0] -A IPL-fd00:ec2::254 -m owner --gid-owner 500 -m comment --comment metadata -j RETURN
[3:180] -A IPL-fd00:ec2::254 -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m owner ! --socket-exists -j RETURN
[0:0] -A IPL-fd00:ec2::254 -m comment --comment "ip-lockdown v1 9f86d081884c7d65 layers=filter,security" -j DROP
[0:0] -A IPF-fd00:ec2::254 -j DROP
