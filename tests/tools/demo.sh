#!/bin/bash
# A demonstration of ip-lockdown, step by step, on a simulated network: `make demo`.
#
#   container ---- host (iptables and ip-lockdown) ---- imds (169.254.169.254, fd00:ec2::254)
#
# Everything runs in new network, mount and process namespaces. The kernel removes them when their first process ends,
# however it ends. The firewall of the machine is never touched. VARIANT=legacy uses iptables-legacy.
set -euo pipefail

variant=${VARIANT:-nft}
here=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$here/$target
path=/run/demo:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

fail() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

case $variant in
nft | legacy) ;;
*) fail "VARIANT must be nft or legacy, not $variant" ;;
esac
for program in ip-lockdown lab; do
    [ -x "$target/debug/$program" ] || fail "$target/debug/$program does not exist; run: make demo"
done

if [ "${1:-}" != in-namespaces ]; then
    [ "$(id -u)" = 0 ] || fail "not root; run: sudo make demo"
    # The environment is cleared: with a proxy in it, curl would not connect to the metadata service.
    exec env -i PATH="$path" LC_ALL=C VARIANT="$variant" CARGO_TARGET_DIR="$target" \
        unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private -- \
        bash "$here/tests/tools/demo.sh" in-namespaces
fi

# --- the network ----------------------------------------------------------------------------------------------

# The first process of a process namespace receives only signals with a handler. When it ends, all others are killed.
trap 'exit 130' INT TERM HUP

mount -t tmpfs -o mode=755 demo /run
mkdir -m 755 /run/demo
ln -s "$target/debug/ip-lockdown" "$target/debug/lab" /run/demo/

# Any process on an instance can do this.
cat >/run/demo/fetch-credentials <<'SCRIPT'
#!/bin/sh
# fetch-credentials ADDRESS: IMDSv2, a token first, then the credentials of the instance's role
case $1 in *:*) imds="http://[$1]/latest" ;; *) imds="http://$1/latest" ;; esac
fetch() { curl -sS --fail --globoff --max-time 2 "$@"; }
token=$(fetch -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/api/token" \
    --write-out '%{stderr}curl took %{time_total} s\n') || exit
fetch -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/iam/security-credentials/demo-role" && echo
SCRIPT
chmod 755 /run/demo/fetch-credentials

# settings COMMAND...: sets up forwarding and IPv6 in a namespace. Addresses can be used without duplicate detection.
settings() {
    local setting
    for setting in net.ipv4.ip_forward=1 net.ipv6.conf.{all,default,lo}.disable_ipv6=0 \
        net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1; do
        [ "$families" = 2 ] || [[ $setting != *ipv6* ]] || continue
        "$@" sysctl -qw "$setting"
    done
    "$@" ip link set lo up
}

# configure COMMAND...: runs the lines with `ip` in a namespace. Without IPv6, it skips lines with IPv6 addresses.
configure() {
    if [ "$families" = 2 ]; then cat; else grep -v :: || true; fi | "$@" ip -batch -
}

families=1
[ ! -e /proc/net/if_inet6 ] || families=2
ip netns add imds
ip netns add container
imds=(nsenter --net=/run/netns/imds)
container=(nsenter --net=/run/netns/container)
settings
settings "${imds[@]}"
settings "${container[@]}"
configure env <<'LINES'
link add to-imds type veth peer name to-host netns imds
link add to-container type veth peer name to-host netns container
link set to-imds up
link set to-container up
addr add 192.0.2.1/30 dev to-imds
addr add 198.51.100.1/30 dev to-container
addr add 2001:db8:1::1/64 dev to-imds nodad
addr add 2001:db8:2::1/64 dev to-container nodad
route add default via 192.0.2.2
route add default via 2001:db8:1::2
LINES
configure "${imds[@]}" <<'LINES'
link set to-host up
addr add 169.254.169.254/32 dev lo
addr add fd00:ec2::254/128 dev lo nodad
addr add 192.0.2.2/30 dev to-host
addr add 2001:db8:1::2/64 dev to-host nodad
route add 198.51.100.0/30 via 192.0.2.1
route add 2001:db8:2::/64 via 2001:db8:1::1
LINES
configure "${container[@]}" <<'LINES'
link set to-host up
addr add 198.51.100.2/30 dev to-host
addr add 2001:db8:2::2/64 dev to-host nodad
route add default via 198.51.100.1
route add default via 2001:db8:2::1
LINES

addresses=(169.254.169.254)
listen=(--listen 169.254.169.254:80)
if [ "$families" = 2 ]; then
    addresses+=(fd00:ec2::254)
    listen+=(--listen '[fd00:ec2::254]:80')
fi
# The service ends when its standard input, the pipe of the coprocess, is closed.
coproc service { exec "${imds[@]}" lab imds "${listen[@]}" 2>&1; }
read -r -t 10 line <&"${service[0]}" || line="nothing"
[ "$line" = ready ] || fail "the metadata service did not start; it printed: $line"

# The plain name `iptables` if it is this variant, so that the commands look as on a usual host.
lockdown=(ip-lockdown)
suffix=
case $variant:$(iptables --version 2>/dev/null) in
nft:*nf_tables* | legacy:*legacy*) ;;
*)
    lockdown+=(--variant "$variant")
    suffix=-$variant
    ;;
esac
# The layer that also refuses if `filter` does not: its name, the command that shows it, a line of its rules, and the exit
# code of curl when the layer refuses a connection.
backstop=nftables show=(nft list chain inet ip_lockdown IPL-169.254.169.254) line='reject with tcp reset' refused=7
tables=("iptables$suffix")
[ "$families" = 1 ] || tables+=("ip6tables$suffix")

# --- the demo -------------------------------------------------------------------------------------------------

steps=0
step() {
    steps=$((steps + 1))
    printf '\n== %s. %s\n' "$steps" "$*"
}

# run CODE COMMAND...: prints the command and its output. The command must end with exit code CODE.
run() {
    local expected=$1 code=0
    shift
    printf '$ %s\n' "$*"
    output=$("$@" 2>&1) || code=$?
    [ -z "$output" ] || printf '%s\n' "$output"
    [ "$code" = "$expected" ] || fail "step $steps: the exit code is $code, not $expected"
    [ "$code" = 0 ] || printf '(exit code %s)\n' "$code"
}

# prints PATTERN: the last command printed a line that matches.
prints() {
    grep -Eq -e "$1" <<<"$output" || fail "step $steps: no line of the output matches '$1'"
}

# The connection of the last command took less than half a second. curl measures it, without the start of the program.
at_once() {
    local took
    took=$(sed -n 's/^curl took \([0-9.]*\) s$/\1/p' <<<"$output" | tail -n 1)
    awk -v took="$took" 'BEGIN { exit !(took != "" && took < 0.5) }' ||
        fail "step $steps: curl took ${took:-?} s; the connection was not refused at once"
}

# Exit code 7 of curl: failed to connect.
served() {
    run 0 "$@"
    prints '"AccessKeyId"'
}
refused_at_once() {
    run 7 "$@"
    at_once
}

started=$EPOCHREALTIME
printf 'A host that can reach an instance metadata service, and a container whose packets the host routes.\n'
printf 'With this script, any user can get the credentials of the instance role:\n\n'
run 0 cat /run/demo/fetch-credentials
[ "$families" = 2 ] || printf '\nThis kernel has no IPv6: the demo uses IPv4 only.\n'

step "Without a lockdown: the user nobody gets the credentials, and the container gets them too."
for address in "${addresses[@]}"; do served runuser -u nobody -- fetch-credentials "$address"; done
for address in "${addresses[@]}"; do served "${container[@]}" fetch-credentials "$address"; done

step "One command locks both addresses of the service, reads the rules back, and tests them with probes."
run 0 "${lockdown[@]}" 169.254.169.254 root

step "The rules that are installed now: the layer filter, and the layer $backstop, which refuses the same packets."
run 0 "${tables[0]}" -S
prints '^-A OUTPUT -d 169\.254\.169\.254/32 -j '
run 0 "${show[@]}"
prints "$line"

step "root still gets the credentials."
for address in "${addresses[@]}"; do served fetch-credentials "$address"; done

step "The user nobody is refused, at once: programs do not wait for a timeout."
for address in "${addresses[@]}"; do refused_at_once runuser -u nobody -- fetch-credentials "$address"; done

step "The container is refused too, even its root: packets that the host forwards have no user on the host."
for address in "${addresses[@]}"; do refused_at_once "${container[@]}" fetch-credentials "$address"; done

step "verify inspects the rules and sends test packets as listed and unlisted users. It changes nothing."
run 0 "${lockdown[@]}" verify

step "Another tool inserts an ACCEPT rule at the top of filter. The layer $backstop still refuses the user nobody."
run 0 "${tables[0]}" -I OUTPUT -j ACCEPT
run "$refused" runuser -u nobody -- fetch-credentials 169.254.169.254
step "verify reports the problem."
run 1 "${lockdown[@]}" verify
prints '^ +rules +FAIL +filter, IPv4: .*-j ACCEPT'
prints '^ +packets +ok +refused: '

step "Another tool flushes the table filter. nobody and the container are still refused; root still gets through."
for table in "${tables[@]}"; do run 0 "$table" -F; done
for address in "${addresses[@]}"; do run "$refused" runuser -u nobody -- fetch-credentials "$address"; done
run "$refused" "${container[@]}" fetch-credentials 169.254.169.254
served fetch-credentials 169.254.169.254
step "verify reports what is missing."
run 1 "${lockdown[@]}" verify
prints '^ +rules +FAIL +filter, '
prints '^locked, but '

step "The same command again repairs the lockdown."
run 0 "${lockdown[@]}" 169.254.169.254 root
refused_at_once runuser -u nobody -- fetch-credentials 169.254.169.254
run 0 "${lockdown[@]}" verify

step "status shows who is allowed, and how many packets were allowed and refused."
run 0 "${lockdown[@]}" status
prints '^ +allowed +root \(0\)$'

step "remove removes the rules of ip-lockdown and nothing else. It is the only command that opens an address."
run 0 "${lockdown[@]}" remove
run 0 "${tables[0]}" -S
! grep -q 'IPL' <<<"$output" || fail "step $steps: a rule of ip-lockdown is still installed"
for address in "${addresses[@]}"; do served runuser -u nobody -- fetch-credentials "$address"; done

# Both times have six decimal places.
took=$((${EPOCHREALTIME/[.,]/} - ${started/[.,]/}))
printf '\ndemo: all %s steps succeeded in %s.%s s\n' "$steps" $((took / 1000000)) $((took / 100000 % 10))
