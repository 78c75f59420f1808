#!/bin/sh
# For an image that has ip-lockdown. User-data scripts run once, late in the first boot: prefer cloud-config.yaml.
set -eu

# At every later boot, before the network is up.
ip-lockdown enable 169.254.169.254 root

# And now, until the next boot. It is the line that the bash script of this name was called with.
ip-lockdown 169.254.169.254 root || [ $? = 4 ]

# Not believed, but looked at. If this fails, so does `cloud-init status --wait`. 4: it holds, but degraded, and says why.
ip-lockdown verify 169.254.169.254 root || [ $? = 4 ]
