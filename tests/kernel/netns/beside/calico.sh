# Calico's Felix with its defaults: its jump is the first rule of OUTPUT, and packets that a policy of a host endpoint
# allowed are accepted. Played again, it is a sync.
for program in iptables ip6tables; do
    "$program" -D INPUT -m comment --comment "cali:input" -j cali-INPUT 2>/dev/null || true
    "$program" -D FORWARD -m comment --comment "cali:forward" -j cali-FORWARD 2>/dev/null || true
    "$program" -D OUTPUT -m comment --comment "cali:output" -j cali-OUTPUT 2>/dev/null || true
done
both <<'RULES'
*filter
:cali-FORWARD - [0:0]
:cali-INPUT - [0:0]
:cali-OUTPUT - [0:0]
:cali-to-host-endpoint - [0:0]
-I INPUT 1 -m comment --comment "cali:input" -j cali-INPUT
-I FORWARD 1 -m comment --comment "cali:forward" -j cali-FORWARD
-I OUTPUT 1 -m comment --comment "cali:output" -j cali-OUTPUT
-A cali-OUTPUT -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT -o cali+ -j RETURN
-A cali-OUTPUT -j MARK --set-xmark 0x0/0xf0000
-A cali-OUTPUT -m conntrack ! --ctstate DNAT -j cali-to-host-endpoint
-A cali-OUTPUT -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
COMMIT
RULES
