#!/bin/bash
# The story of ip-lockdown, played for a reader on a bench of its own: `make demo`.
#
#   container ---- host (here; its own iptables) ---- imds (169.254.169.254, fd00:ec2::254)
#
# Everything runs in new network, mount and process namespaces, which the kernel takes away when the first process in
# them ends, in whatever way. The firewall of the machine is never touched. VARIANT=legacy plays it with iptables-legacy.
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
*) fail "VARIANT is $variant; it can be nft or legacy" ;;
esac
for program in ip-lockdown lab; do
    [ -x "$target/debug/$program" ] || fail "$target/debug/$program is not there: make demo"
done

if [ "${1:-}" != played ]; then
    [ "$(id -u)" = 0 ] || fail "not root; run as root: sudo make demo"
    # A proxy in the environment would answer curl in the place of the metadata service.
    exec env -i PATH="$path" LC_ALL=C VARIANT="$variant" CARGO_TARGET_DIR="$target" \
        unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private -- \
        bash "$here/tests/tools/demo.sh" played
fi

# --- the bench ------------------------------------------------------------------------------------------------

# The first process of a namespace gets only those signals that it asks for. Its end is the end of all others.
trap 'exit 130' INT TERM HUP

mount -t tmpfs -o mode=755 demo /run
mkdir -m 755 /run/demo
ln -s "$target/debug/ip-lockdown" "$target/debug/lab" /run/demo/

# What any process on an instance can do.
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

# An address can be used at once, without waiting for duplicates to speak up. Writes to the namespace's own settings.
settings() {
    local setting
    for setting in net.ipv4.ip_forward=1 net.ipv6.conf.{all,default,lo}.disable_ipv6=0 \
        net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1; do
        [ "$families" = 2 ] || [[ $setting != *ipv6* ]] || continue
        "$@" sysctl -qw "$setting"
    done
    "$@" ip link set lo up
}

# Lines with an IPv6 address are left out where the kernel has none.
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
# The service ends with its input, the coprocess's pipe.
coproc service { exec "${imds[@]}" lab imds "${listen[@]}" 2>&1; }
read -r -t 10 line <&"${service[0]}" || line="nothing"
[ "$line" = ready ] || fail "the metadata service did not come up, it said: $line"

# `iptables` where that is the variant, so that the commands are those of an everyday host.
lockdown=(ip-lockdown)
suffix=
case $variant:$(iptables --version 2>/dev/null) in
nft:*nf_tables* | legacy:*legacy*) ;;
*)
    lockdown+=(--variant "$variant")
    suffix=-$variant
    ;;
esac
# What stands behind `filter`: the command that shows it, a line of it, and how curl ends at it, which is refused at once.
behind=nftables show=(nft list chain inet ip_lockdown IPL-169.254.169.254) line='reject with tcp reset' refused=7
tables=("iptables$suffix")
[ "$families" = 1 ] || tables+=("ip6tables$suffix")

# --- the play -------------------------------------------------------------------------------------------------

acts=0
act() {
    acts=$((acts + 1))
    printf '\n== %s. %s\n' "$acts" "$*"
}

# run CODE WORD...: shows the command and what it prints; it has to end with CODE.
run() {
    local expected=$1 code=0
    shift
    printf '$ %s\n' "$*"
    output=$("$@" 2>&1) || code=$?
    [ -z "$output" ] || printf '%s\n' "$output"
    [ "$code" = "$expected" ] || fail "act $acts is not as told: expected exit code $expected, got $code"
    [ "$code" = 0 ] || printf '(exit code %s)\n' "$code"
}

# says PATTERN: the last command printed a line like that.
says() {
    grep -Eq -e "$1" <<<"$output" || fail "act $acts is not as told: no line like '$1'"
}

# The last command's curl took less than half a second. Measured by curl, so that a slow start of programs is no matter.
at_once() {
    local took
    took=$(sed -n 's/^curl took \([0-9.]*\) s$/\1/p' <<<"$output" | tail -n 1)
    awk -v took="$took" 'BEGIN { exit !(took != "" && took < 0.5) }' ||
        fail "act $acts is not as told: curl took ${took:-?} s, so it was not refused at once"
}

# 7 is curl's "failed to connect", 28 its "timed out".
served() {
    run 0 "$@"
    says '"AccessKeyId"'
}
refused_at_once() {
    run 7 "$@"
    at_once
}

started=$EPOCHREALTIME
printf 'A host with the metadata service of an instance behind it, and a container routed through the host.\n'
printf 'Anybody can ask the service for the credentials of the role by this script:\n\n'
run 0 cat /run/demo/fetch-credentials
[ "$families" = 2 ] || printf '\nThis kernel has no IPv6: the story is told over IPv4 alone.\n'

act "Before: nobody, the least of all users, gets the credentials, and so does the container."
for address in "${addresses[@]}"; do served runuser -u nobody -- fetch-credentials "$address"; done
for address in "${addresses[@]}"; do served "${container[@]}" fetch-credentials "$address"; done

act "The lockdown: one command. It locks both addresses of the service, reads the rules back and probes them."
run 0 "${lockdown[@]}" 169.254.169.254 root

act "What is in the firewall now, in filter; the layer $behind holds the same again."
run 0 "${tables[0]}" -S
says '^-A OUTPUT -d 169\.254\.169\.254/32 -j '
run 0 "${show[@]}"
says "$line"

act "root is served as before."
for address in "${addresses[@]}"; do served fetch-credentials "$address"; done

act "nobody is refused, and at once: no program waits for a time-out."
for address in "${addresses[@]}"; do refused_at_once runuser -u nobody -- fetch-credentials "$address"; done

act "The container is refused too, even its root: what the host forwards has no user on the host."
for address in "${addresses[@]}"; do refused_at_once "${container[@]}" fetch-credentials "$address"; done

act "verify looks at the rules, and at what the kernel does with packets of real users. It changes nothing."
run 0 "${lockdown[@]}" verify

act "Another tool inserts an ACCEPT at the top. nobody does not get through: $behind stands behind it."
run 0 "${tables[0]}" -I OUTPUT -j ACCEPT
run "$refused" runuser -u nobody -- fetch-credentials 169.254.169.254
act "verify says what is wrong."
run 1 "${lockdown[@]}" verify
says '^FAIL +no-bypass +169\.254\.169\.254'
says '^pass +unlisted-refused +169\.254\.169\.254'

act "Another tool flushes the whole table. nobody and the container still do not get through; root still does."
for table in "${tables[@]}"; do run 0 "$table" -F; done
for address in "${addresses[@]}"; do run "$refused" runuser -u nobody -- fetch-credentials "$address"; done
run "$refused" "${container[@]}" fetch-credentials 169.254.169.254
served fetch-credentials 169.254.169.254
act "verify says what is left of the lockdown."
run 1 "${lockdown[@]}" verify
says '^FAIL +rules-match'
says '^pass +address-locked'

act "The same command again mends it."
run 0 "${lockdown[@]}" 169.254.169.254 root
refused_at_once runuser -u nobody -- fetch-credentials 169.254.169.254
run 0 "${lockdown[@]}" verify

act "status: who may pass, and how many packets passed and were refused. Those of the probes count too."
run 0 "${lockdown[@]}" status
says 'may pass +root \(0\)'

act "remove takes away our rules and nothing else. It is the one way to open an address."
run 0 "${lockdown[@]}" remove
run 0 "${tables[0]}" -S
! grep -q 'IPL' <<<"$output" || fail "act $acts is not as told: a rule of ours is left"
for address in "${addresses[@]}"; do served runuser -u nobody -- fetch-credentials "$address"; done

# Both have six digits after the point.
took=$((${EPOCHREALTIME/[.,]/} - ${started/[.,]/}))
printf '\ndemo: all %s acts went as told in %s.%s s\n' "$acts" $((took / 1000000)) $((took / 100000 % 10))
