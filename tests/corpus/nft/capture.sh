#!/usr/bin/env bash
# Regenerates the folder of one version in this corpus (see README.md).
#
#   capture.sh [ROOT]   the nft in ROOT, or the one installed here
#
# ROOT is a directory with packages unpacked in it that can be chrooted into.
# Needs root. Every nft call runs in a network namespace made for it, never in this machine's own.
set -u -o pipefail
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$here/$(basename "${BASH_SOURCE[0]}")
input=$here/input

# ---- the tool under capture: $CORPUS_ROOT (empty: this machine)

tool() { # tool ARG...
	if [[ -n $CORPUS_ROOT ]]; then
		timeout 60 env -i LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$CORPUS_ROOT" nft "$@"
	else
		timeout 60 env -i LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin nft "$@"
	fi
}

version_of() { # "nftables v1.0.6 (Lester Gooch #5)" -> 1.0.6
	tool -v 2>/dev/null </dev/null | sed -n 's/^nftables v\([0-9.]*\).*/\1/p'
}

# ---- capturing (inside the namespaces)

list() { # list SITUATION FAMILY TABLE: stdout as it is, the exit code and stderr beside it
	local file=$1.json rc=0
	shift
	tool -j list table "$@" >"$out/$file" 2>"$out/$file.stderr" </dev/null || rc=$?
	sed -i "\\|^$self: line |d" "$out/$file.stderr" # this shell's word on a tool that crashed
	[[ -s $out/$file.stderr ]] || rm -f "$out/$file.stderr"
	printf '%s\t%s\t%s\n' "$file" "$rc" "nft -j list table $*" >>"$out/status.txt"
}

load_lines() { # load_lines NAME: line by line, so that what a version does not know costs only itself
	local line message rc
	: >"$out/$1.rejected"
	while IFS= read -r line; do
		case $line in \#* | '') continue ;; esac
		rc=0
		message=$(tool -f - 2>&1 <<<"$line") || rc=$?
		[[ $rc == 0 ]] || printf '%s\n# %s: %s\n' "$line" "$rc" "${message%%$'\n'*}" >>"$out/$1.rejected"
	done <"$input/$1.nft"
	[[ -s $out/$1.rejected ]] || rm "$out/$1.rejected"
}

inside() {
	local root=$CORPUS_ROOT
	if [[ $(readlink /proc/self/ns/net) == "$CORPUS_OUTER" ]]; then
		echo "not in a namespace of its own" >&2
		exit 1
	fi
	if [[ -n $root ]]; then
		mount -t proc proc "$root/proc" || exit 1
		mount -t tmpfs dev "$root/dev" || exit 1
		mknod -m 666 "$root/dev/null" c 1 3
		ln -s /proc/self/fd/0 "$root/dev/stdin"
	fi
	load_lines nat
	list nat inet x
}

# ---- outside

shape='
import json, sys
def bare(value):
    if isinstance(value, dict):
        return [(key, bare(item)) for key, item in value.items() if key not in ("handle", "version", "release_name")]
    return [bare(item) for item in value] if isinstance(value, list) else value
sys.exit(bare(json.load(open(sys.argv[1]))) != bare(json.load(open(sys.argv[2]))))
'

only_news() { # only_news VERSION: takes away what the version before prints too, but for handles and its own name
	local file=$CORPUS_OUT/nat.json before
	[[ -e $file ]] || return 0
	before=$(cd "$here" && printf '%s\n' */nat.json "$1/nat.json" | sort -uV | grep -B1 -x "$1/nat.json" | head -n 1)
	[[ $before == "$1/"* ]] || ! python3 -c "$shape" "$here/$before" "$file" || rm "$file"
}

version() { # version ROOT
	local version
	export CORPUS_ROOT=$1
	[[ -z $1 ]] || mkdir -p "$1/proc" "$1/dev" "$1/run"
	version=$(version_of)
	[[ -n $version ]] || { echo "the nft there does not run" >&2; exit 1; }
	export CORPUS_OUT=$here/$version
	rm -rf "$CORPUS_OUT"
	mkdir -p "$CORPUS_OUT"
	printf '# file\texit code\tcommand\n' >"$CORPUS_OUT/status.txt"
	unshare --net --mount --propagation private -- "$self" --inside
	only_news "$version"
	echo "$version: $(find "$CORPUS_OUT" -type f | wc -l) files"
}

case ${1-} in
--inside)
	out=$CORPUS_OUT
	inside
	exit
	;;
esac
[[ $EUID == 0 ]] || { echo "needs root" >&2; exit 1; }
CORPUS_OUTER=$(readlink /proc/self/ns/net)
export CORPUS_OUTER
case ${1-} in
'') version '' ;;
-*) sed -n '2,7s/^# \{0,1\}//p' "$self" && exit 1 ;;
*) version "$(cd "$1" && pwd)" ;;
esac
