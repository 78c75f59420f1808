# k3s: kube-proxy, flannel, and the policy controller of kube-router, which keeps its jumps at the head. Played again,
# it is a sync of that controller.
if ! iptables -n -L KUBE-SERVICES >/dev/null 2>&1; then
    . ./kube-proxy.sh
fi
for program in iptables; do
    "$program" -D INPUT -j KUBE-ROUTER-INPUT 2>/dev/null || true
    "$program" -D FORWARD -j KUBE-ROUTER-FORWARD 2>/dev/null || true
    "$program" -D OUTPUT -j KUBE-ROUTER-OUTPUT 2>/dev/null || true
    "$program" -D FORWARD -j FLANNEL-FWD 2>/dev/null || true
    "$program" -t nat -D POSTROUTING -j FLANNEL-POSTRTG 2>/dev/null || true
done
iptables-restore --noflush <<'RULES'
*filter
:FLANNEL-FWD - [0:0]
:KUBE-POD-FW-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-ROUTER-FORWARD - [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:KUBE-ROUTER-OUTPUT - [0:0]
-I INPUT 1 -j KUBE-ROUTER-INPUT
-I FORWARD 1 -j KUBE-ROUTER-FORWARD
-I OUTPUT 1 -j KUBE-ROUTER-OUTPUT
-A FORWARD -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.42.0.0/16 -j ACCEPT
-A FLANNEL-FWD -d 10.42.0.0/16 -j ACCEPT
-A KUBE-POD-FW-AAAAAAAAAAAAAAAA -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-POD-FW-AAAAAAAAAAAAAAAA -m addrtype --src-type LOCAL -d 10.42.0.5/32 -j ACCEPT
-A KUBE-ROUTER-INPUT -d 10.43.0.0/16 -j RETURN
-A KUBE-ROUTER-INPUT -p tcp -m addrtype --dst-type LOCAL -m multiport --dports 30000:32767 -j RETURN
-A KUBE-ROUTER-OUTPUT -s 10.42.0.5/32 -j KUBE-POD-FW-AAAAAAAAAAAAAAAA
-A KUBE-ROUTER-OUTPUT -d 10.42.0.5/32 -j KUBE-POD-FW-AAAAAAAAAAAAAAAA
-A KUBE-ROUTER-OUTPUT -m mark --mark 0x20000/0x20000 -j ACCEPT
COMMIT
*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -s 10.42.0.0/16 -d 10.42.0.0/16 -j RETURN
-A FLANNEL-POSTRTG -s 10.42.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully
COMMIT
RULES
