#!/bin/bash
# What the demo and the tests need of the machine: looked for, installed when missing, and named when it cannot be had.
#
#   tests/tools/requirements.sh demo|test|coexist-test|boot-test|package|packaging-test|ci      ci: all of them
#
# Nothing is skipped: either the machine can run them when this ends with 0, or the last line says why not.
set -euo pipefail
cd "$(dirname "$0")/../.."

set_wanted=${1:-}
PATH=$PATH:/usr/sbin:/sbin # not in the PATH of every root shell

fail() {
    printf 'requirements: %s\n' "$*" >&2
    exit 1
}

case $set_wanted in
demo | test | coexist-test | boot-test | package | packaging-test | ci) ;;
*) fail "usage: tests/tools/requirements.sh demo|test|coexist-test|boot-test|package|packaging-test|ci" ;;
esac

# wants SET...: whether one of these is wanted.
wants() {
    [[ " $* ci " = *" $set_wanted "* ]]
}

[ "$(uname -s)" = Linux ] || fail "not Linux: iptables is a part of the Linux kernel; use a Linux machine"
# Packages can be made by anybody, where nothing is missing.
[ "$(id -u)" = 0 ] || [ "$set_wanted" = package ] || fail "not root; run as root: sudo make $set_wanted"
if [ "$set_wanted" != package ] && command -v unshare >/dev/null; then
    reason=$(unshare --net --mount true 2>&1) ||
        fail "no network and mount namespaces here: use a virtual machine, or a privileged container (${reason%%$'\n'*})"
fi

# --- programs -------------------------------------------------------------------------------------------------

# Each line: what is looked for (a program or a file), then the Debian packages that bring it. `links` is a compiler
# that can link, `venv` a Python that can make virtual environments.
wanted() {
    if wants package; then
        cat <<'LIST'
links gcc libc6-dev
readelf binutils
jq jq
dpkg-shlibdeps dpkg-dev
/usr/lib/rpm/find-requires rpm
lintian lintian
rpmlint rpmlint
LIST
    fi
    [ "$set_wanted" != package ] || return 0
    cat <<'LIST'
iptables-nft iptables
ip6tables-nft iptables
iptables-nft-restore iptables
iptables-legacy iptables
ip6tables-legacy iptables
iptables-legacy-restore iptables
nft nftables
ip iproute2
unshare util-linux
nsenter util-linux
setpriv util-linux
curl curl
setcap libcap2-bin
capsh libcap2-bin
ps procps
sysctl procps
systemctl systemd
links gcc libc6-dev
LIST
    if wants test packaging-test; then
        echo /usr/share/bash-completion/bash_completion bash-completion
        echo zsh zsh
        echo fish fish
        echo setsid util-linux
        echo lexgrog man-db
        echo groff groff-base
        echo shellcheck shellcheck
    fi
    if wants packaging-test; then
        echo venv python3-venv
    fi
    if wants packaging-test coexist-test boot-test; then
        # The guest is a Debian, also on another distribution.
        echo mmdebstrap mmdebstrap
        echo /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
    fi
    if wants coexist-test boot-test; then
        echo systemd-nspawn systemd-container
    fi
    if wants boot-test; then
        echo qemu-system-x86_64 qemu-system-x86
        echo mke2fs e2fsprogs
        echo debugfs e2fsprogs
    fi
}

links() {
    local output
    output=$(mktemp)
    if echo 'int main(void) { return 0; }' | cc -x c - -o "$output" 2>/dev/null; then
        rm -f "$output"
    else
        rm -f "$output"
        return 1
    fi
}

present() {
    case $1 in
    links) links ;;
    venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# Prints the packages of whatever is not there, each once.
missing() {
    local program packages
    wanted | while read -r program packages; do
        if ! present "$program"; then
            tr ' ' '\n' <<<"$packages"
        fi
    done | sort -u | tr '\n' ' '
}

packages=$(missing)
if [ -n "$packages" ]; then
    command -v apt-get >/dev/null ||
        fail "missing, and there is no apt-get to install with. Install what Debian calls: $packages"
    [ "$(id -u)" = 0 ] || fail "not root, and there is something to install; as root: apt-get install $packages"
    echo "requirements: installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    # A fresh cloud machine is often still updating itself: wait for its lock, with a bound.
    apt=(apt-get -qq -o DPkg::Lock::Timeout=180)
    "${apt[@]}" update || fail "apt-get update failed; needed: $packages"
    # shellcheck disable=SC2086 # a list of package names, split on purpose
    "${apt[@]}" install -y --no-install-recommends $packages >/dev/null || fail "apt-get could not install: $packages"
    packages=$(missing)
    [ -z "$packages" ] || fail "installed, but their programs are still not found: $packages"
fi

# --- Rust -----------------------------------------------------------------------------------------------------

minimum=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
[ -n "$minimum" ] || fail "no rust-version in Cargo.toml"

if ! command -v cargo >/dev/null || ! found=$(rustc --version 2>/dev/null); then
    hint=
    [ -z "${SUDO_USER:-}" ] || hint=" (sudo drops the PATH: sudo env \"PATH=\$PATH\" \"RUSTUP_HOME=\$HOME/.rustup\" make $set_wanted)"
    fail "no Rust: install Rust $minimum or newer, see https://rustup.rs$hint"
fi
found=${found#rustc }
found=${found%%[ -]*}
if [ "$(printf '%s\n' "$minimum" "$found" | sort -V | head -n 1)" != "$minimum" ]; then
    fail "Rust $found is too old: install Rust $minimum or newer, see https://rustup.rs (rustup update)"
fi

if wants test; then
    for component in rustfmt clippy; do
        if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
            command -v rustup >/dev/null ||
                fail "no $component: install it beside cargo (the package is called $component, or rust-$component)"
            rustup component add "$component" || fail "rustup could not add $component"
        fi
    done
fi

[ "$set_wanted" != package ] || exit 0

# --- the kernel -----------------------------------------------------------------------------------------------

variants=(iptables-nft ip6tables-nft)
if wants test boot-test; then
    variants+=(iptables-legacy ip6tables-legacy)
fi
for program in "${variants[@]}"; do
    # -w: the lock of the legacy variant is the machine's, also in a namespace of our own.
    reason=$(unshare --net --mount "$program" -w 10 -t filter -S 2>&1 >/dev/null) ||
        fail "$program does not work on this kernel, and it has to be tested: ${reason%%$'\n'*}"
done
