#!/bin/sh
# The image must have the package ip-lockdown. User-data scripts run once, late in the first boot: prefer
# cloud-config.yaml.
set -eu

# Lock now, and at every later boot before the network is up. Code 4 means locked but degraded.
ip-lockdown enable --now 169.254.169.254 root || [ $? = 4 ]

# Verify. If this fails, `cloud-init status --wait` fails too. With code 4, the output contains the reason.
ip-lockdown verify 169.254.169.254 root || [ $? = 4 ]
