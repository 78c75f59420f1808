# Docker Swarm on top of Docker: the ingress network with one published service.
. ./docker.sh
iptables-restore --noflush <<'RULES'
*filter
:DOCKER-INGRESS - [0:0]
-I FORWARD 1 -j DOCKER-INGRESS
-A DOCKER-INGRESS -p tcp -m tcp --dport 8081 -j ACCEPT
-A DOCKER-INGRESS -p tcp -m state --state RELATED,ESTABLISHED -m tcp --sport 8081 -j ACCEPT
-A DOCKER-INGRESS -j RETURN
COMMIT
*nat
:DOCKER-INGRESS - [0:0]
-I PREROUTING 1 -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-I OUTPUT 1 -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE
-A DOCKER-INGRESS -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.18.0.2:8081
-A DOCKER-INGRESS -j RETURN
COMMIT
RULES
