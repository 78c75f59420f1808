#!/usr/bin/env bash
# Regenerates the folder of one version in this corpus (see README.md).
#
#   capture.sh [ROOT]                the iptables in ROOT, or the one installed here
#   capture.sh --cross WRITER READER rules written by one root (nft), saved by another
#
# ROOT is a directory with packages unpacked in it that can be chrooted into.
# CORPUS_ODD="nft" keeps the big foreign ruleset out of the other variant (default: "nft legacy").
# Needs root. Every iptables call runs in a network namespace made for it, never in this machine's own.
set -u -o pipefail
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$here/$(basename "${BASH_SOURCE[0]}")

# ---- the tool under capture: $CORPUS_ROOT (empty: this machine), $CORPUS_MULTI (its xtables-*-multi)

tool() { # tool NAME ARG...: one applet of the multi binary
	if [[ -n $CORPUS_ROOT ]]; then
		timeout 20 env -i LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$CORPUS_ROOT" "$CORPUS_MULTI" "$@"
	else
		timeout 20 env -i LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin "$CORPUS_MULTI" "$@"
	fi
}

with_multi() { # with_multi MULTI COMMAND...
	local CORPUS_MULTI=$1
	shift
	"$@"
}

find_multi() { # find_multi ROOT NAME...: the path inside ROOT
	local root=$1 dir name
	shift
	for name in "$@"; do
		for dir in /usr/sbin /sbin; do
			[[ -x $root$dir/$name ]] && echo "$dir/$name" && return
		done
	done
	return 1
}

version_of() { # "iptables v1.8.9 (nf_tables)" -> 1.8.9
	tool iptables -V 2>/dev/null </dev/null | sed -n 's/^iptables v\([0-9.]*\).*/\1/p'
}

# ---- capturing (inside the namespace)

capture() { # capture FILE NAME ARG...: stdout as it is, the exit code and stderr beside it
	local file=$1 rc=0
	shift
	tool "$@" >"$out/$file" 2>"$out/$file.stderr" </dev/null || rc=$?
	sed -i "\\|^$self: line |d" "$out/$file.stderr" # this shell's word on a tool that crashed
	[[ -s $out/$file.stderr ]] || rm -f "$out/$file.stderr"
	printf '%s\t%s\t%s\n' "$file" "$rc" "$*" >>"$out/status.txt"
}

capture_all() { # capture_all SITUATION: every shape of output for this family
	local table
	capture "v$fam-$1.save" "$ipt-save"
	capture "v$fam-$1-counters.save" "$ipt-save" -c
	for table in filter security nat; do
		capture "v$fam-$1-$table.S" "$ipt" -t "$table" -S
	done
}

load_ours() { # old versions have no --suppl-groups; 1.6 on nft knows a built-in chain only after -L
	local rules table
	rules=$(<"$here/input/v$fam-ours.rules")
	tool "$ipt-restore" --noflush <<<"$rules" 2>/dev/null && return
	rules=${rules// --suppl-groups/}
	tool "$ipt-restore" --noflush <<<"$rules" 2>/dev/null && return
	for table in security filter; do
		tool "$ipt" -t "$table" -n -L >/dev/null 2>&1
		tool "$ipt" -t "$table" -F
	done
	tool "$ipt-restore" --noflush <<<"$rules" || echo "v$fam-ours: refused" >&2
}

load_odd() { # line by line, so that what a version does not know costs only itself
	local line table='' message rejected=$out/v$fam-odd.rejected
	: >"$rejected"
	while IFS= read -r line; do
		case $line in
		\*[a-z]*) [[ -z $table ]] && table=$line && continue ;;
		COMMIT) table='' && continue ;;
		esac
		message=$(printf '%s\n%s\nCOMMIT\n' "$table" "$line" | tool "$ipt-restore" -c --noflush 2>&1) && continue
		printf '%s\n%s\n' "$table $line" "# ${message%%$'\n'*}" >>"$rejected"
	done <"$here/input/v$fam-odd.rules"
}

try() { # try ARG...: a rule by command line; a refusal is recorded
	local message
	message=$(tool "$ipt" "$@" 2>&1 </dev/null) && return
	printf '%q ' "$ipt" "$@" >>"$out/v$fam-argv.rejected"
	printf '\n# %s\n' "${message%%$'\n'*}" >>"$out/v$fam-argv.rejected"
}

load_argv() { # what a restore file cannot say, and a command line can
	local word
	: >"$out/v$fam-argv.rejected"
	for word in $'two\nlines' $'x\n-A OUTPUT -d '"$addr"$' -j ACCEPT\nCOMMIT\n# y' $'\n' $'cr\rx' $'crlf\r\n' $'tab\there' \
		$'bell\a nul-less \x01\x7f' $'c1 \x9b31m' ''; do
		try -A INPUT -m comment --comment "$word" -j ACCEPT
	done
	for word in 'with blank' $'new\nline' $'tab\tx' '-dash' '!bang' '' 'quo"te' '"' 'INPUT ' $'\x01'; do
		try -N "$word"
		try -A INPUT -j "$word"
	done
	for word in 'a b' 'a"b' "a'b" 'a\b' $'a\nb' '!x' '-j' '' '++' 'a+b' $'\xff'; do
		try -A INPUT -i "$word" -j ACCEPT
	done
	for word in $'a\nb' '' ' ' '"' $'\xfc'; do
		try -A INPUT -j LOG --log-prefix "$word"
		try -A INPUT -j NFLOG --nflog-prefix "$word"
	done
	for word in $'\x01\x02' $'a\nb' 'a|b' '' $'\xc3\xbc'; do
		try -A INPUT -m string --algo bm --string "$word" -j DROP
	done
	for word in 'with blank' 'quo"te' $'a\nb' 'a/b'; do
		try -A INPUT -m recent --set --name "$word"
		try -A INPUT -m hashlimit --hashlimit-upto 1/s --hashlimit-name "$word" -j DROP
		try -A INPUT -m helper --helper "$word" -j DROP
	done
}

traffic() { # some packets, so that the counters are not all zero
	local word
	ip link set lo up
	ip addr add "$addr" dev lo nodad 2>/dev/null || ip addr add "$addr" dev lo
	for word in 0 1001 65534; do
		# shellcheck disable=SC2016
		setpriv --reuid "$word" --regid 65534 --clear-groups \
			timeout 1 bash -c 'exec 3<>"/dev/tcp/$1/80"' _ "${addr%/*}" 2>/dev/null
	done
	return 0
}

native() { # native SITUATION: nft rules of others around and inside the tables of iptables-nft
	local nfam=ip
	[[ $fam == 6 ]] && nfam=ip6
	case $1 in
	native-table)
		nft -f - <<-RULES
			table inet ip_lockdown {
				chain output { type filter hook output priority 10; $nfam daddr ${addr%/*} meta skuid { 0, 1000-1002 } return; }
			}
			table $nfam foreign {
				set s { typeof $nfam daddr; elements = { ${addr%/*} }; }
				chain out { type filter hook output priority -5; $nfam daddr @s accept; }
			}
		RULES
		;;
	native-chain) nft add chain "$nfam" filter mine '{ type filter hook output priority 5; policy drop; }' ;;
	native-skuid) nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" meta skuid 1000 accept ;;
	native-set) nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "{ ${addr%/*}, 192.0.2.1 }" accept ;;
	native-ct) nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" ct state established accept ;;
	native-log) nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" limit rate 5/minute log prefix '"native "' ;;
	native-plain)
		nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" tcp dport 80 counter accept
		nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" accept comment '"a native comment"'
		nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" tcp dport 1-1024 accept
		nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" meta mark 0x1 accept
		nft insert rule "$nfam" filter OUTPUT "$nfam" daddr != "${addr%/*}" tcp flags syn accept
		;;
	native-reject) nft insert rule "$nfam" filter OUTPUT "$nfam" daddr "${addr%/*}" tcp dport 80 reject with tcp reset ;;
	esac
}

inside() { # inside SITUATION FAMILY
	local situation=$1
	fam=$2 ipt=iptables addr=169.254.169.254/32
	[[ $fam == 6 ]] && ipt=ip6tables addr=fd00:ec2::254/128
	if [[ $(readlink /proc/self/ns/net) == "$CORPUS_OUTER" ]]; then
		echo "not in a namespace of its own" >&2
		exit 1
	fi
	local root
	for root in "$CORPUS_ROOT" "${CORPUS_READER_ROOT-}"; do
		[[ -z $root ]] || mount -t proc proc "$root/proc" || exit 1
	done
	case $situation in
	nothing)
		capture_all nothing
		capture "v$fam-listed.save" "$ipt-save"
		capture "v$fam-listed-counters.save" "$ipt-save" -c
		;;
	ours)
		load_ours
		traffic
		capture_all ours
		;;
	odd)
		load_odd
		capture_all odd
		;;
	argv)
		load_argv
		capture "v$fam-argv.save" "$ipt-save"
		capture "v$fam-argv-filter.S" "$ipt" -S
		;;
	native-*)
		load_ours
		native "$situation" || echo "v$fam-$situation: nft refused" >&2
		capture "v$fam-$situation.save" "$ipt-save"
		capture "v$fam-$situation-filter.S" "$ipt" -S
		capture "v$fam-$situation-security.S" "$ipt" -t security -S
		;;
	beside-legacy) # rules in the legacy tables too
		with_multi "$CORPUS_LEGACY" load_ours
		load_ours
		capture_all beside-legacy
		;;
	beside-legacy-empty) # the legacy tables only exist
		with_multi "$CORPUS_LEGACY" tool "$ipt" -S >/dev/null
		capture "v$fam-beside-legacy-empty.save" "$ipt-save"
		capture "v$fam-beside-legacy-empty-filter.S" "$ipt" -S
		;;
	cross-ours | cross-odd)
		if [[ $situation == cross-odd ]]; then load_odd; else load_ours; fi
		rm -f "$out/v$fam-odd.rejected"
		CORPUS_ROOT=$CORPUS_READER_ROOT CORPUS_MULTI=$CORPUS_READER_MULTI
		capture "v$fam-${situation#cross-}.save" "$ipt-save"
		;;
	esac
	return 0
}

# ---- outside

fresh() { # fresh SITUATION FAMILY: in namespaces of its own
	unshare --net --mount --propagation private -- "$self" --inside "$@"
}

folder() { # folder NAME: an empty one
	export CORPUS_OUT=$here/$1
	rm -rf "$CORPUS_OUT"
	mkdir -p "$CORPUS_OUT"
	printf '# file\texit code\tcommand\n' >"$CORPUS_OUT/status.txt"
}

version() { # version ROOT
	local variant version situation family
	export CORPUS_ROOT=$1 CORPUS_MULTI CORPUS_LEGACY=''
	[[ -z $1 ]] || mkdir -p "$1/proc" "$1/run"
	CORPUS_LEGACY=$(find_multi "$1" xtables-legacy-multi xtables-multi) || true
	for variant in nft legacy; do
		case $variant in
		nft) CORPUS_MULTI=$(find_multi "$1" xtables-nft-multi xtables-compat-multi) || continue ;;
		legacy) CORPUS_MULTI=$CORPUS_LEGACY ;;
		esac
		[[ -n $CORPUS_MULTI ]] || continue
		version=$(version_of)
		[[ -n $version ]] || { echo "$CORPUS_MULTI does not run" >&2; continue; }
		folder "$version-$variant"
		for family in 4 6; do
			for situation in nothing ours odd argv; do
				[[ $situation == odd && " ${CORPUS_ODD-nft legacy} " != *" $variant "* ]] && continue
				fresh "$situation" "$family"
			done
			[[ $variant == nft ]] || continue
			for situation in native-{table,chain,skuid,set,ct,log,plain,reject}; do
				[[ $family == 6 && $situation != native-table ]] || fresh "$situation" "$family"
			done
			[[ -n $CORPUS_LEGACY ]] || continue
			fresh beside-legacy "$family"
			fresh beside-legacy-empty "$family"
		done
		echo "$version-$variant: $(find "$CORPUS_OUT" -type f | wc -l) files"
	done
}

cross() { # cross WRITER READER
	local writer reader family
	export CORPUS_ROOT=$1 CORPUS_READER_ROOT=$2 CORPUS_MULTI CORPUS_READER_MULTI CORPUS_LEGACY=''
	mkdir -p "$1/proc" "$1/run" "$2/proc" "$2/run"
	CORPUS_MULTI=$(find_multi "$1" xtables-nft-multi xtables-compat-multi) || exit 1
	CORPUS_READER_MULTI=$(find_multi "$2" xtables-nft-multi xtables-compat-multi) || exit 1
	writer=$(version_of)
	reader=$(CORPUS_ROOT=$2 CORPUS_MULTI=$CORPUS_READER_MULTI version_of)
	folder "cross/$writer-read-by-$reader"
	for family in 4 6; do
		fresh cross-ours "$family"
		fresh cross-odd "$family"
	done
	echo "$writer read by $reader: $(find "$CORPUS_OUT" -type f | wc -l) files"
}

case ${1-} in
--inside)
	out=$CORPUS_OUT
	inside "$2" "$3"
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
