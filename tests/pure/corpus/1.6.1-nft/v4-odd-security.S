-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N IPL-169.254.169.254
[0:0] -A OUTPUT -p tcp -d 168.63.129.16/32 -m tcp --dport 53 -j ACCEPT
[0:0] -A OUTPUT -p tcp -d 168.63.129.16/32 -m owner --uid-owner 0 -j ACCEPT
[0:0] -A OUTPUT -p tcp -d 168.63.129.16/32 -m conntrack --ctstate INVALID,NEW -j DROP
[0:0] -A OUTPUT -p tcp -d 169.254.169.254/32 -j IPL-169.254.169.254
[0:0] -A OUTPUT -j CONNSECMARK --save
[0:0] -A OUTPUT -j AUDIT --type accept
[0:0] -A IPL-169.254.169.254 -m owner --uid-owner 0 -j ACCEPT
[0:0] -A IPL-169.254.169.254 -m comment --comment "ip-lockdown v2 9f86d081884c7d65 layers=filter,security" -j DROP
