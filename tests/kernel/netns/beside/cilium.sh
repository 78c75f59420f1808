# Cilium with its proxy: jumps at the head of OUTPUT; return packets of the proxy, told by their mark, are accepted.
# Played again, it is a sync.
for program in iptables ip6tables; do
    "$program" -t raw -D OUTPUT -j CILIUM_OUTPUT_raw 2>/dev/null || true
    "$program" -D INPUT -j CILIUM_INPUT 2>/dev/null || true
    "$program" -D FORWARD -j CILIUM_FORWARD 2>/dev/null || true
    "$program" -D OUTPUT -j CILIUM_OUTPUT 2>/dev/null || true
    "$program" -t nat -D POSTROUTING -j CILIUM_POST_nat 2>/dev/null || true
done
both <<'RULES'
*raw
:CILIUM_OUTPUT_raw - [0:0]
-I OUTPUT 1 -j CILIUM_OUTPUT_raw
-A CILIUM_OUTPUT_raw -m mark --mark 0xa00/0xfffffeff -j CT --notrack
COMMIT
*filter
:CILIUM_FORWARD - [0:0]
:CILIUM_INPUT - [0:0]
:CILIUM_OUTPUT - [0:0]
-I INPUT 1 -j CILIUM_INPUT
-I FORWARD 1 -j CILIUM_FORWARD
-I OUTPUT 1 -j CILIUM_OUTPUT
-A CILIUM_FORWARD -o cilium_host -j ACCEPT
-A CILIUM_FORWARD -i cilium_host -j ACCEPT
-A CILIUM_FORWARD -i lxc+ -j ACCEPT
-A CILIUM_INPUT -m mark --mark 0x200/0xf00 -j ACCEPT
-A CILIUM_OUTPUT -m mark --mark 0xa00/0xfffffeff -j ACCEPT
-A CILIUM_OUTPUT -m mark ! --mark 0xe00/0xf00 -m mark ! --mark 0xd00/0xf00 -m mark ! --mark 0xa00/0xe00 -j MARK --set-xmark 0xc00/0xf00
COMMIT
*nat
:CILIUM_POST_nat - [0:0]
-I POSTROUTING 1 -j CILIUM_POST_nat
COMMIT
RULES
