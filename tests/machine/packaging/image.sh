#!/bin/bash
# The root file system in which packaging/ is tried: a minimal Debian with the tools of image builders. Every case gets a
# copy-on-write view of it, so it is made once and never written to; nothing of it is installed on the machine itself.
#
#   tests/machine/packaging/image.sh DIRECTORY    makes DIRECTORY/root, unless it is there and of this very script
#
# MIRROR: where the packages come from; mmdebstrap's own default if not set.
set -euo pipefail

directory=${1:?usage: tests/machine/packaging/image.sh DIRECTORY}
suite=bookworm
packages=(
    systemd procps iproute2 iptables nftables sudo
    packer openssh-server openssh-client
    cloud-init
    # git: ansible-galaxy installs collections from it
    ansible-core ansible-lint python3-apt git
    # to install and erase the .rpm
    rpm
)
stamp=$(sha256sum <"$0")
if [ "$(cat "$directory/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

echo "packaging: making the image, which takes a minute or two"
mkdir -p "$directory"
rm -rf "$directory/stamp" "$directory/root"
include=${packages[*]}
mmdebstrap --variant=minbase --include="${include// /,}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io --aptopt='Acquire::Retries "5"' \
    "$suite" "$directory/root" ${MIRROR:+"$MIRROR"} >"$directory/log" 2>&1 || {
    tail -n 20 "$directory/log" >&2
    echo "packaging: the image could not be made" >&2
    exit 1
}
echo "$stamp" >"$directory/stamp"
