# AWS App Mesh: all TCP of the application goes to the proxy, except to the metadata service.
for family in iptables:169.254.169.254 ip6tables:fd00:ec2::254; do
    program=${family%%:*} address=${family#*:}
    "$program-restore" --noflush <<RULES
*nat
:APPMESH_EGRESS - [0:0]
:APPMESH_INGRESS - [0:0]
-A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS
-A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
-A APPMESH_EGRESS -m owner --uid-owner 1337 -j RETURN
-A APPMESH_EGRESS -d $address -j RETURN
-A APPMESH_EGRESS -p tcp -m multiport --dports 22 -j RETURN
-A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports 15001
-A APPMESH_INGRESS -p tcp -m multiport --dports 8080 -j REDIRECT --to-ports 15000
COMMIT
RULES
done
