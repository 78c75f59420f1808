#!/bin/sh
# Installs ip-lockdown into the machine that an image is made of, and locks the metadata service, now and at every boot
# of the image. Fails, and the build with it, unless the lockdown holds here. Run as root, as the last step that matters.
#
#   PACKAGE   the .deb or .rpm; empty if it is installed already
#   USERS     who may pass, with blanks between them; root if not set
set -eu

case ${PACKAGE:-} in
"") ;;
*.deb)
    # It depends on iptables. An image may come without that, and without the lists that it is found in.
    command -v iptables >/dev/null || apt-get update
    apt-get install --yes "$PACKAGE"
    ;;
*.rpm) dnf install --assumeyes "$PACKAGE" ;;
*)
    echo "provision: PACKAGE is neither a .deb nor a .rpm: $PACKAGE" >&2
    exit 1
    ;;
esac

# 4: locked, but degraded. The next step has the last word.
# shellcheck disable=SC2086 # a list of users
ip-lockdown enable --now 169.254.169.254 ${USERS:-root} || [ $? = 4 ]

# Looks at the rules, sends packets as listed and unlisted users, and compares with the list. Anything but 0 fails the
# build. A lockdown that holds but is degraded, such as one without a backstop, is 4: `verify ... || [ $? = 4 ]` takes it.
# shellcheck disable=SC2086 # a list of users
ip-lockdown verify 169.254.169.254 ${USERS:-root}

# The rules above are those of this kernel. In the image it is the unit that counts.
systemctl is-enabled ip-lockdown.service
