-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-N DOCKER
-N KUBE-SERVICES
-N KUBE-SVC-NPX46M4PTMTKRN6Y
-N ISTIO_OUTPUT
[0:0] -A PREROUTING -i cali+ -p tcp -d fd00:ec2::254 -m tcp --dport 80 -m comment --comment kube2iam -j DNAT --to-destination [fd00::5]:8181
[0:0] -A OUTPUT -p tcp -d fd00:ec2::254 -m tcp --dport 80 -m owner ! --uid-owner 0 -j REDIRECT --to-ports 8181
[0:0] -A OUTPUT -p tcp -d fd00:ec2::23 -m tcp --dport 80 -j DNAT --to-destination [::1]:51679
[0:0] -A OUTPUT -d fd00:ec2:: -j DNAT --to-destination fd00::1
[0:0] -A OUTPUT ! -d ::1 -m addrtype --dst-type LOCAL -j DOCKER
[0:0] -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[0:0] -A OUTPUT -p tcp -j ISTIO_OUTPUT
[0:0] -A POSTROUTING ! -o docker0 -s fd17:: -j MASQUERADE
[0:0] -A POSTROUTING -o eth0 -j SNAT --to-source 2001:db8::1-2001:db8::9 --persistent
[0:0] -A POSTROUTING -s fd00:1:: -j NETMAP --to 2001:db8:2::/64
[0:0] -A KUBE-SERVICES -p tcp -d fd00:10:96::1 -m tcp --dport 443 -m comment --comment "default/kubernetes:https cluster IP" -j KUBE-SVC-NPX46M4PTMTKRN6Y
[0:0] -A ISTIO_OUTPUT -o lo -s ::6 -j RETURN
[0:0] -A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
