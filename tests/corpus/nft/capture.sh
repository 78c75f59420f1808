#!/usr/bin/env bash
# Regenerates the folder of one version in this corpus (see README.md).
#
#   capture.sh [ROOT]                the nft in ROOT, or the one installed here
#   capture.sh --cross WRITER READER a table made by one root, listed by another
#
# ROOT is a directory with packages unpacked in it that can be chrooted into.
# CORPUS_ONLY="ours nat" captures these situations only (default: all, or those that need no JSON).
# Needs root. Every nft call runs in a network namespace made for it, never in this machine's own.
set -u -o pipefail
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$here/$(basename "${BASH_SOURCE[0]}")
input=$here/input
table='inet ip_lockdown'
chain="$table IPL-169.254.169.254"
v4=169.254.169.254 v6=fd00:ec2::254

# ---- the tool under capture: $CORPUS_ROOT (empty: this machine)

tool() { # tool ARG...
	if [[ -n $CORPUS_ROOT ]]; then
		timeout 60 env -i LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$CORPUS_ROOT" nft "$@"
	else
		timeout 60 env -i LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin nft "$@"
	fi
}

load() { # a file on stdin. 0.8 does not know "-f -"
	if [[ -n ${CORPUS_DEV_STDIN-} ]]; then tool -f /dev/stdin; else tool -f -; fi
}

version_of() { # "nftables v1.0.6 (Lester Gooch #5)" -> 1.0.6
	tool -v 2>/dev/null </dev/null | sed -n 's/^nftables v\([0-9.]*\).*/\1/p'
}

# ---- capturing (inside the namespaces)

note() { # note FILE EXIT-CODE COMMAND...
	local file=$1 rc=$2
	shift 2
	printf '%s\t%s\t%s\n' "$file" "$rc" "$*" >>"$out/status.txt"
}

list() { # list SITUATION FAMILY TABLE: stdout as it is, the exit code and stderr beside it
	local file=$1.json rc=0
	shift
	tool -j list table "$@" >"$out/$file" 2>"$out/$file.stderr" </dev/null || rc=$?
	sed -i "\\|^$self: line |d" "$out/$file.stderr" # this shell's word on a tool that crashed
	[[ -s $out/$file.stderr ]] || rm -f "$out/$file.stderr"
	note "$file" "$rc" "nft -j list table $*"
}

list_ours() { # list_ours SITUATION
	# shellcheck disable=SC2086
	list "$1" $table
}

load_whole() { # load_whole NAME FOR-WHAT: in one transaction
	local rc=0
	load <"$input/$1.nft" || rc=$?
	note "$2" "$rc" "nft -f - <input/$1.nft"
	return "$rc"
}

load_lines() { # load_lines NAME: line by line, so that what a version does not know costs only itself
	local line message rc
	: >"$out/$1.rejected"
	while IFS= read -r line; do
		case $line in \#* | '') continue ;; esac
		rc=0
		message=$(load 2>&1 <<<"$line") || rc=$?
		[[ $rc == 0 ]] || printf '%s\n# %s: %s\n' "$line" "$rc" "${message%%$'\n'*}" >>"$out/$1.rejected"
	done <"$input/$1.nft"
	[[ -s $out/$1.rejected ]] || rm "$out/$1.rejected"
}

# ---- two namespaces: this one, and one with the address, behind a veth pair

listener='
import selectors, socket, sys
ways = selectors.DefaultSelector()
for family in (socket.AF_INET, socket.AF_INET6):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("", 80))
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        ways.register(s, selectors.EVENT_READ, ("4" if family == socket.AF_INET else "6", kind))
print("ready", flush=True)
while True:
    for key, _ in ways.select():
        family, kind = key.data
        if kind == socket.SOCK_DGRAM:
            word = key.fileobj.recv(100)
        else:
            connection, _ = key.fileobj.accept()
            connection.settimeout(2)
            word = connection.recv(100)
            connection.close()
        print("udp" if kind == socket.SOCK_DGRAM else "tcp", family, word.decode().strip(), flush=True)
'

far_side() { # far_side LOG: puts the address behind a veth pair; sets far_pid
	local own
	own=$(readlink /proc/self/ns/net)
	unshare --net -- python3 -c "$listener" >"$1" </dev/null &
	far_pid=$!
	until [[ $(readlink "/proc/$far_pid/ns/net") != "$own" && $(cat "/proc/$far_pid/comm") == python3 ]]; do sleep 0.05; done
	ip link set lo up
	ip link add to-imds type veth peer name to-host netns "$far_pid"
	ip link set to-imds up
	ip addr add 192.0.2.1/30 dev to-imds
	ip addr add 2001:db8:1::1/64 dev to-imds nodad
	nsenter --net="/proc/$far_pid/ns/net" ip -batch - <<-LINES
		link set lo up
		link set to-host up
		addr add $v4/32 dev lo
		addr add $v6/128 dev lo nodad
		addr add 192.0.2.2/30 dev to-host
		addr add 2001:db8:1::2/64 dev to-host nodad
	LINES
	ip route add default via 192.0.2.2
	ip route add default via 2001:db8:1::2
	until grep -q ready "$1"; do sleep 0.05; done
}

send() { # send PROTOCOL ADDRESS UID: "sent", or why not
	local message
	# shellcheck disable=SC2016
	message=$(setpriv --reuid "$3" --regid 65534 --clear-groups \
		timeout 3 bash -c 'exec 3<>"/dev/$1/$2/80" && echo "$3" >&3' _ "$@" 2>&1) && echo sent && return
	message=${message##*$'\n'}
	echo "${message##*: }"
}

arrived() { # arrived LOG PROTOCOL FAMILY UID
	for _ in 1 2 3 4; do
		grep -qx "$2 $3 $4" "$1" && echo arrived && return
		sleep 0.05
	done
	echo lost
}

traffic() { # traffic UID...: "arrived", or what the sender heard, of a datagram and a connection over both families
	local log uid family address protocol word
	log=$(mktemp)
	far_side "$log"
	printf '%s\t%s\n' uid $'udp 4\ttcp 4\tudp 6\ttcp 6'
	for uid in "$@"; do
		printf %s "$uid"
		for family in 4 6; do
			address=$v4
			[[ $family == 4 ]] || address=$v6
			for protocol in udp tcp; do
				word=$(send "$protocol" "$address" "$uid")
				[[ $word != sent ]] || word=$(arrived "$log" "$protocol" "$family" "$uid")
				printf '\t%s' "$word"
			done
		done
		echo
	done
	kill "$far_pid"
	wait "$far_pid" 2>/dev/null
	ip link del to-imds 2>/dev/null
	rm -f "$log"
}

# ---- transactions

step() { # step TITLE: stdin goes to nft -f -; writes what was asked and what came of it
	local title=$1 text rc=0 message
	text=$(cat)
	message=$(load 2>&1 <<<"$text" | grep Error; exit "${PIPESTATUS[0]}") || rc=$?
	printf '## %s\n%s\nexit code %s\n' "$title" "${text/00000000*0/0...0}" "$rc"
	[[ -z $message ]] || printf '%s\n' "$message" | sed 's/^/stderr: /'
}

state() { # state: the table in nft's own words
	tool list table inet t 2>&1 </dev/null | sed 's/^/    /'
	echo
}

transactions() {
	local round
	step "a table to begin with" <<-'LINES'
		add table inet t
		add chain inet t base { type filter hook output priority 50; policy accept; }
		add chain inet t c
		add rule inet t c meta skuid 0 counter return comment "root"
		add rule inet t base jump c
	LINES
	for round in 1 2 3; do
		step "a chain flushed and filled, $round" <<-LINES
			flush chain inet t c
			add chain inet t c
			add rule inet t c meta skuid $round-1000 counter return
			add rule inet t c counter reject with icmpx type port-unreachable
		LINES
	done
	state
	for round in 1 2 3; do
		step "a base chain deleted and added at another priority, $round" <<-LINES
			flush chain inet t base
			delete chain inet t base
			add chain inet t base { type filter hook output priority $((50 + round)); policy accept; }
			add rule inet t base jump c
		LINES
	done
	step "a base chain made a regular one" <<-'LINES'
		flush chain inet t base
		delete chain inet t base
		add chain inet t base
	LINES
	step "a regular chain declared as a base chain" <<<'add chain inet t base { type filter hook output priority 50; policy accept; }'
	step "a regular chain made a base chain" <<-'LINES'
		flush chain inet t base
		delete chain inet t base
		add chain inet t base { type filter hook output priority 50; policy accept; }
		add rule inet t base jump c
	LINES
	step "a base chain declared with another priority" <<<'add chain inet t base { type filter hook output priority 60; policy accept; }'
	step "a base chain declared with another policy" <<<'add chain inet t base { type filter hook output priority 50; policy drop; }'
	step "a base chain declared without its hook" <<<'add chain inet t base'
	state
	step "a chain deleted while a rule jumps to it" <<<'delete chain inet t c'
	step "a chain emptied and deleted, and what led to it emptied" <<-'LINES'
		flush chain inet t base
		flush chain inet t c
		delete chain inet t c
	LINES
	state

	step "dormant" <<<'add table inet t { flags dormant; }'
	state
	step "woken" <<<'add table inet t'
	state
	step "dormant again" <<<'add table inet t { flags dormant; }'
	step "woken, with a new base chain" <<-'LINES'
		add table inet t
		add chain inet t new { type filter hook forward priority 50; policy accept; }
	LINES
	step "woken, with its base chain deleted and added" <<-'LINES'
		add table inet t
		flush chain inet t base
		delete chain inet t base
		add chain inet t base { type filter hook output priority 50; policy accept; }
	LINES
	step "woken, with its base chain declared again and its rules renewed" <<-'LINES'
		add table inet t
		add chain inet t base { type filter hook output priority 50; policy accept; }
		flush chain inet t base
		add rule inet t base counter accept
	LINES
	step "dormant again" <<<'add table inet t { flags dormant; }'
	step "woken, with a new regular chain" <<-'LINES'
		add table inet t
		add chain inet t regular
		add rule inet t base jump regular
	LINES
	state
	step "dormant again" <<<'add table inet t { flags dormant; }'
	step "a dormant one deleted and made anew" <<-'LINES'
		delete table inet t
		add table inet t
		add chain inet t base { type filter hook output priority 50; policy accept; }
	LINES
	state

	step "a transaction whose last line fails" <<-'LINES'
		flush chain inet t base
		add chain inet t another
		add rule inet t another jump nowhere
	LINES
	step "a transaction whose last line is none" <<-'LINES'
		add chain inet t another
		add rule inet t another nonsense
	LINES
	state
	step "a rule's comment of 128 bytes" <<<"add rule inet t base counter comment \"$(printf '%0128d' 0)\""
	step "a rule's comment of 129 bytes" <<<"add rule inet t base counter comment \"$(printf '%0129d' 0)\""
	step "a table deleted with all that is in it" <<<'delete table inet t'
	step "a table deleted that is not there" <<<'delete table inet t'
}

show() { # show tool ARG...: what one call says, and where
	local rc=0
	"$@" >"$out/show.stdout" 2>"$out/show.stderr" </dev/null || rc=$?
	printf '## nft %s\nexit code %s\n' "${*:2}" "$rc"
	sed 's/^/stdout: /' "$out/show.stdout"
	sed 's/^/stderr: /' "$out/show.stderr"
	rm -f "$out/show.stdout" "$out/show.stderr"
}

powerless() { # powerless ARG...: nft as root without the right to administer the network
	local chroot=()
	[[ -z $CORPUS_ROOT ]] || chroot=(chroot "$CORPUS_ROOT")
	timeout 60 env -i LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		setpriv --bounding-set=-net_admin --inh-caps=-net_admin "${chroot[@]}" nft "$@"
}

inside() { # inside SITUATION
	local situation=$1 root word
	if [[ $(readlink /proc/self/ns/net) == "$CORPUS_OUTER" ]]; then
		echo "not in a namespace of its own" >&2
		exit 1
	fi
	for root in "$CORPUS_ROOT" "${CORPUS_READER_ROOT-}"; do
		[[ -n $root ]] || continue
		mount -t proc proc "$root/proc" || exit 1
		mount -t tmpfs dev "$root/dev" || exit 1
		mknod -m 666 "$root/dev/null" c 1 3
		ln -s /proc/self/fd/0 "$root/dev/stdin"
		cp "$input/passwd" "$root/dev/passwd"
		[[ -e $root/etc/passwd ]] || : >"$root/etc/passwd"
		mount --bind "$root/dev/passwd" "$root/etc/passwd" || exit 1
	done
	case $situation in
	none)
		{
			# shellcheck disable=SC2086
			show tool -j list table $table
			show tool -j list tables
			printf '# with a table ip_lockdown of another family\n'
			tool add table ip ip_lockdown
			# shellcheck disable=SC2086
			show tool -j list table $table
			show tool -j list tables
			printf '# with the table, without CAP_NET_ADMIN\n'
			load <"$input/only.nft" >/dev/null 2>&1
			show powerless -j list table inet ip_lockdown
			show powerless -j list tables
		} >"$out/none.txt"
		;;
	help)
		for word in -V -v -h; do
			printf '## nft %s\n' "$word"
			tool "$word" 2>&1 </dev/null
			printf 'exit code %s\n' "$?"
		done >"$out/help.txt"
		;;
	ours)
		load_whole ours ours
		list_ours ours
		;;
	counters)
		load_whole only counters
		traffic 0 1001 1005 999 65534 >/dev/null
		list_ours counters
		;;
	frame*)
		load_whole only "$situation"
		load_whole "$situation" "$situation"
		list_ours "$situation"
		;;
	empty)
		load_whole empty empty
		list_ours empty
		;;
	dormant)
		load_whole only dormant
		# shellcheck disable=SC2086
		tool add table $table '{ flags dormant; }' || echo "dormant: refused" >&2
		list_ours dormant
		;;
	foreign)
		load_whole only foreign
		load_lines foreign
		list_ours foreign
		;;
	nat)
		load_lines nat
		list nat inet x
		;;
	transactions) transactions >"$out/transactions.txt" ;;
	behaviour)
		load_whole ours behaviour
		{
			echo "# ours.nft"
			traffic 0 1 2 999 1000 1001 1002 1004 1005 1006 65533 65534 \
				2147483646 2147483647 2147483648 2147483649 4294967293 4294967294
			printf '\n# 1000-1005 alone over IPv4: the chain flushed and filled\n'
			load <<-LINES
				flush chain $chain
				add rule $chain meta skuid 1000-1005 counter return
				add rule $chain meta skuid 0-4294967295 meta l4proto tcp counter reject with tcp reset
				add rule $chain counter reject with icmpx type port-unreachable
			LINES
			traffic 0 999 1000 1005 1006
			printf '\n# Dormant\n'
			# shellcheck disable=SC2086
			tool add table $table '{ flags dormant; }'
			traffic 999
			printf '\n# Woken\n'
			# shellcheck disable=SC2086
			tool add table $table
			traffic 999
			printf '\n# Deleted\n'
			# shellcheck disable=SC2086
			tool delete table $table
			traffic 999
		} >"$out/behaviour.txt" 2>&1
		;;
	cross-hidden)
		load_whole only hidden
		load_lines hidden
		CORPUS_ROOT=$CORPUS_READER_ROOT
		list_ours hidden
		;;
	esac
	return 0
}

# ---- outside

fresh() { # fresh SITUATION: in namespaces of its own
	unshare --net --mount --propagation private -- "$self" --inside "$@"
}

folder() { # folder NAME: an empty one, or without what is captured anew
	local situation
	export CORPUS_OUT=$here/$1
	[[ -n ${CORPUS_ONLY-} ]] || rm -rf "$CORPUS_OUT"
	mkdir -p "$CORPUS_OUT"
	[[ -e $CORPUS_OUT/status.txt ]] || printf '# file\texit code\tcommand\n' >"$CORPUS_OUT/status.txt"
	for situation in ${CORPUS_ONLY-}; do
		sed -i "/^$situation\(\.json\)\?\t/d" "$CORPUS_OUT/status.txt"
	done
}

shape='
import json, sys
def bare(value):
    if isinstance(value, dict):
        return [(key, bare(item)) for key, item in value.items() if key not in ("handle", "version", "release_name")]
    return [bare(item) for item in value] if isinstance(value, list) else value
sys.exit(bare(json.load(open(sys.argv[1]))) != bare(json.load(open(sys.argv[2]))))
'

only_news() { # only_news VERSION: takes away what the version before prints too, but for handles and its own name
	local file before
	for file in "$CORPUS_OUT"/{frame*,empty,dormant,foreign,nat}.json; do
		[[ -e $file ]] || continue
		before=$(cd "$here" && printf '%s\n' */"${file##*/}" "$1/${file##*/}" | sort -uV | grep -B1 -x "$1/${file##*/}" | head -n 1)
		[[ $before == "$1/"* ]] || ! python3 -c "$shape" "$here/$before" "$file" || rm "$file"
	done
}

prepare() { # prepare ROOT: what is mounted on
	[[ -z $1 ]] || mkdir -p "$1/proc" "$1/dev" "$1/run" "$1/etc"
}

version() { # version ROOT
	local version situation
	local situations="help none behaviour"
	local with_json="transactions ours counters frame frame-nat frame-route frame-hook frame-priority frame-policy \
		frame-beside empty dormant foreign nat"
	export CORPUS_ROOT=$1 CORPUS_DEV_STDIN=''
	prepare "$1"
	version=$(version_of)
	[[ -n $version ]] || { echo "the nft there does not run" >&2; exit 1; }
	case $version in
	0.[0-8] | 0.[0-8].*) CORPUS_DEV_STDIN=yes ;;
	*) situations="$situations $with_json" ;;
	esac
	folder "$version"
	for situation in ${CORPUS_ONLY-$situations}; do
		fresh "$situation"
	done
	only_news "$version"
	echo "$version: $(find "$CORPUS_OUT" -type f | wc -l) files"
}

cross() { # cross WRITER READER
	local writer reader
	export CORPUS_ROOT=$1 CORPUS_READER_ROOT=$2
	prepare "$1"
	prepare "$2"
	writer=$(version_of)
	reader=$(CORPUS_ROOT=$2 version_of)
	folder "cross/$writer-read-by-$reader"
	fresh cross-hidden
	echo "$writer read by $reader: $(find "$CORPUS_OUT" -type f | wc -l) files"
}

case ${1-} in
--inside)
	out=$CORPUS_OUT
	inside "$2"
	exit
	;;
esac
[[ $EUID == 0 ]] || { echo "needs root" >&2; exit 1; }
CORPUS_OUTER=$(readlink /proc/self/ns/net)
export CORPUS_OUTER
case ${1-} in
--cross) cross "$(cd "$2" && pwd)" "$(cd "$3" && pwd)" ;;
'') version '' ;;
-*) sed -n '2,9s/^# \{0,1\}//p' "$self" && exit 1 ;;
*) version "$(cd "$1" && pwd)" ;;
esac
