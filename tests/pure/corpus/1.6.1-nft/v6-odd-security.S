-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N IPL-fd00:ec2::254
[0:0] -A OUTPUT -p tcp -d fd00:ec2::254 -j IPL-fd00:ec2::254
[0:0] -A IPL-fd00:ec2::254 -m owner --uid-owner 0 -j ACCEPT
[0:0] -A IPL-fd00:ec2::254 -m comment --comment "ip-lockdown v2 9f86d081884c7d65 layers=filter,security" -j DROP
