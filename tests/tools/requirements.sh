#!/bin/bash
# Checks that this machine has what the demo or the tests need. Installs missing packages; fails if something cannot be
# installed.
#
#   tests/tools/requirements.sh demo|test|coexist-test|boot-test|package|packaging-test|ci      ci: all of them
#
# With exit code 0, the machine can run them. Otherwise the last line contains the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."

set_wanted=${1:-}
PATH=$PATH:/usr/sbin:/sbin # some root shells do not have these in PATH

fail() {
    printf 'requirements: %s\n' "$*" >&2
    exit 1
}

case $set_wanted in
demo | test | coexist-test | boot-test | package | packaging-test | ci) ;;
*) fail "usage: tests/tools/requirements.sh demo|test|coexist-test|boot-test|package|packaging-test|ci" ;;
esac

# wants SET...: whether the argument of this script is one of these sets, or ci.
wants() {
    [[ " $* ci " = *" $set_wanted "* ]]
}

[ "$(uname -s)" = Linux ] || fail "this is not Linux; run it on a Linux machine"
# Building packages needs root only to install what is missing.
[ "$(id -u)" = 0 ] || [ "$set_wanted" = package ] || fail "not root; run: sudo make $set_wanted"
if [ "$set_wanted" != package ] && command -v unshare >/dev/null; then
    reason=$(unshare --net --mount true 2>&1) ||
        fail "cannot create network and mount namespaces (${reason%%$'\n'*}); use a virtual machine or a privileged container"
fi

# --- programs -------------------------------------------------------------------------------------------------

# Each line has a program or file, and the Debian packages that contain it. `links` is a compiler that can link programs,
# `venv` a Python that can create virtual environments.
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
        # The guest system is Debian, also if this machine has another distribution.
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

# Prints the packages of all missing programs and files, each once.
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
        fail "programs are missing, and there is no apt-get; install the equivalents of these Debian packages: $packages"
    [ "$(id -u)" = 0 ] || fail "packages are missing; run as root: apt-get install $packages"
    echo "requirements: installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    # A new cloud machine often runs updates at its first boot: wait for the lock, with a limit.
    apt=(apt-get -qq -o DPkg::Lock::Timeout=180)
    "${apt[@]}" update || fail "apt-get update failed; these packages are missing: $packages"
    # shellcheck disable=SC2086 # a list of package names, split on purpose
    "${apt[@]}" install -y --no-install-recommends $packages >/dev/null || fail "apt-get cannot install: $packages"
    packages=$(missing)
    [ -z "$packages" ] || fail "these packages are installed, but their programs are still missing: $packages"
fi

# --- Rust -----------------------------------------------------------------------------------------------------

minimum=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
[ -n "$minimum" ] || fail "Cargo.toml contains no rust-version"

if ! command -v cargo >/dev/null || ! found=$(rustc --version 2>/dev/null); then
    hint=
    [ -z "${SUDO_USER:-}" ] || hint="; sudo resets PATH, so run: sudo env \"PATH=\$PATH\" \"RUSTUP_HOME=\$HOME/.rustup\" make $set_wanted"
    fail "Rust is missing; install Rust $minimum or newer (https://rustup.rs)$hint"
fi
found=${found#rustc }
found=${found%%[ -]*}
if [ "$(printf '%s\n' "$minimum" "$found" | sort -V | head -n 1)" != "$minimum" ]; then
    fail "Rust $found is too old; install Rust $minimum or newer: rustup update, or https://rustup.rs"
fi

if wants test; then
    for component in rustfmt clippy; do
        if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
            command -v rustup >/dev/null ||
                fail "$component is missing; install the package $component or rust-$component"
            rustup component add "$component" || fail "rustup cannot add $component"
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
    # -w: the legacy variant has one lock for the whole machine, also in another namespace.
    reason=$(unshare --net --mount "$program" -w 10 -t filter -S 2>&1 >/dev/null) ||
        fail "$program does not work on this kernel, but the tests need it: ${reason%%$'\n'*}"
done
