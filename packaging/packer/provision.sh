#!/bin/sh
# Installs ip-lockdown on a build instance and locks the metadata service, now and at every boot of the image. Fails the
# build if the lockdown does not work here. Run it as root, as the last step.
#
#   PACKAGE   the .deb or .rpm; empty if it is installed already
#   USERS     who is allowed, separated by blanks; root if not set
set -eu

case ${PACKAGE:-} in
"") ;;
*.deb)
    # The package depends on iptables. Without iptables, apt needs current package lists to find it.
    command -v iptables >/dev/null || apt-get update
    apt-get install --yes "$PACKAGE"
    ;;
*.rpm) dnf install --assumeyes "$PACKAGE" ;;
*)
    echo "provision: PACKAGE is neither a .deb nor a .rpm: $PACKAGE" >&2
    exit 1
    ;;
esac

# Exit code 4 means locked but degraded. The next command decides whether that fails the build.
# shellcheck disable=SC2086 # a list of users
ip-lockdown enable --now 169.254.169.254 ${USERS:-root} || [ $? = 4 ]

# Inspects the rules, sends packets as listed and unlisted users, and compares the list. Every exit code except 0 fails the build.
# To accept 4, locked but degraded (no backstop, for example): `verify ... || [ $? = 4 ]`.
# shellcheck disable=SC2086 # a list of users
ip-lockdown verify 169.254.169.254 ${USERS:-root}

# The rules above exist in this kernel only. Instances of the image are locked by the unit.
systemctl is-enabled ip-lockdown.service
