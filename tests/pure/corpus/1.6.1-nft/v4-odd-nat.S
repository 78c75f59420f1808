-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-N DOCKER
-N DOCKER_OUTPUT
-N KUBE-MARK-MASQ
-N KUBE-MARK-DROP
-N KUBE-NODEPORTS
-N KUBE-POSTROUTING
-N KUBE-SERVICES
-N KUBE-SVC-NPX46M4PTMTKRN6Y
-N KUBE-SVC-TCOU7JCQXEZGVUNU
-N KUBE-SEP-IT2ZTR26TO4XFPTO
-N KUBE-SEP-YIL6JZP7A3QYXJU2
-N AWS-SNAT-CHAIN-0
-N AWS-CONNMARK-CHAIN-0
-N ISTIO_OUTPUT
-N ISTIO_REDIRECT
-N ISTIO_IN_REDIRECT
-N POSTROUTING_ZONES
-N POST_public
-N POST_public_allow
-N CNI-HOSTPORT-DNAT
-N ts-postrouting
[0:0] -A PREROUTING -p tcp -d 169.254.170.2/32 -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:51679
[0:0] -A PREROUTING -i cali+ -p tcp -d 169.254.169.254/32 -m tcp --dport 80 -m comment --comment kube2iam -j DNAT --to-destination 10.0.0.5:8181
[0:0] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[0:0] -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[0:0] -A OUTPUT -p tcp -d 169.254.170.2/32 -m tcp --dport 80 -j REDIRECT --to-ports 51679
[0:0] -A OUTPUT -p tcp -d 169.254.170.2/32 -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:51679
[0:0] -A OUTPUT -p tcp -d 169.254.169.254/32 -m tcp --dport 80 -m owner ! --uid-owner 0 -j REDIRECT --to-ports 8181
[0:0] -A OUTPUT -p tcp -d 169.254.0.0/16 -j REDIRECT --to-ports 9000-9010 --random
[0:0] -A OUTPUT -p tcp -j REDIRECT
[0:0] -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
[0:0] -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[0:0] -A OUTPUT -p tcp -j ISTIO_OUTPUT
[0:0] -A POSTROUTING ! -o docker0 -s 172.17.0.0/16 -j MASQUERADE
[0:0] -A POSTROUTING -p tcp -s 172.17.0.2/32 -d 172.17.0.2/32 -m tcp --dport 5432 -j MASQUERADE
[0:0] -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
[0:0] -A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
[0:0] -A POSTROUTING -o eth0 -p tcp -j SNAT --to-source 10.0.1.17-10.0.1.20:1024-65535
[0:0] -A POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-65535
[0:0] -A POSTROUTING -s 10.8.0.0/24 -j NETMAP --to 10.9.0.0/24
[0:0] -A POSTROUTING -j POSTROUTING_ZONES
[0:0] -A DOCKER -i docker0 -j RETURN
[0:0] -A DOCKER_OUTPUT -p tcp -d 127.0.0.11/32 -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:41321
[0:0] -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
[0:0] -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
[0:0] -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
[0:0] -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
[0:0] -A KUBE-SERVICES -p tcp -d 10.96.0.1/32 -m tcp --dport 443 -m comment --comment "default/kubernetes:https cluster IP" -j KUBE-SVC-NPX46M4PTMTKRN6Y
[0:0] -A KUBE-SERVICES -m addrtype --dst-type LOCAL -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -j KUBE-NODEPORTS
[0:0] -A KUBE-SVC-NPX46M4PTMTKRN6Y -m statistic --mode random --probability 0.33333333349 -m comment --comment "default/kubernetes:https -> 192.168.1.10:6443" -j KUBE-SEP-IT2ZTR26TO4XFPTO
[0:0] -A KUBE-SVC-NPX46M4PTMTKRN6Y -m statistic --mode random --probability 0.50000000000 -m comment --comment "default/kubernetes:https" -j KUBE-SEP-IT2ZTR26TO4XFPTO
[0:0] -A KUBE-SVC-NPX46M4PTMTKRN6Y -m statistic --mode nth --every 3 --packet 1 -j KUBE-SEP-YIL6JZP7A3QYXJU2
[0:0] -A KUBE-SVC-TCOU7JCQXEZGVUNU -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-YIL6JZP7A3QYXJU2 --mask 255.255.255.255 --rsource -m comment --comment "kube-system/kube-dns:dns" -j KUBE-SEP-YIL6JZP7A3QYXJU2
[0:0] -A KUBE-SEP-IT2ZTR26TO4XFPTO -s 192.168.1.10/32 -m comment --comment "default/kubernetes:https" -j KUBE-MARK-MASQ
[0:0] -A KUBE-SEP-IT2ZTR26TO4XFPTO -p tcp -m tcp -j DNAT --to-destination 192.168.1.10:6443 --random --persistent
[0:0] -A KUBE-SEP-YIL6JZP7A3QYXJU2 -p udp -m recent --set --name KUBE-SEP-YIL6JZP7A3QYXJU2 --mask 255.255.255.255 --rsource -m udp -m comment --comment "kube-system/kube-dns:dns" -j DNAT --to-destination 10.244.0.2:53
[0:0] -A AWS-SNAT-CHAIN-0 ! -o vlan+ ! -d 10.0.0.0/16 -m addrtype ! --dst-type LOCAL -m comment --comment "AWS, SNAT" -j SNAT --to-source 10.0.1.17 --random-fully
[0:0] -A AWS-CONNMARK-CHAIN-0 ! -d 10.0.0.0/16 -m comment --comment "AWS CONNMARK CHAIN, VPC CIDR" -j RETURN
[0:0] -A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN
[0:0] -A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
[0:0] -A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
[0:0] -A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
[0:0] -A ISTIO_OUTPUT -m owner ! --gid-owner 1337 -j RETURN
[0:0] -A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
[0:0] -A ISTIO_OUTPUT -j ISTIO_REDIRECT
[0:0] -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
[0:0] -A POSTROUTING_ZONES -o eth0 -g POST_public
[0:0] -A POST_public -j POST_public_allow
[0:0] -A POST_public_allow ! -o lo -j MASQUERADE
[0:0] -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8080,8443 -m comment --comment "dnat name: \"cbr0\" id: \"8b5d\"" -j DNAT --to-destination 10.88.0.4
[0:0] -A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
