#!/bin/bash
# One step of a scenario: in the guest, or for `build` in a chroot of its files. Run by tests/machine/boot/run.sh only.
#
#   guest.sh SCENARIO STEP
#
# The words that scenarios are made of are here.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

imds=169.254.169.254 imds6=fd00:ec2::254
# The interface to the metadata service.
cable=$(cat /srv/boot/cable)
# A user whom nobody lists.
stranger=4242

# --- claims -------------------------------------------------------------------------------------------------------

# claim TEXT COMMAND...: the command's exit code is the verdict, and its output the evidence: a line of it is shown
# when the claim holds, and all of it when it does not. A command of several steps fails at the first one that does.
claim() {
    local text=$1 evidence code
    shift
    set +e
    evidence=$(
        set -e
        "$@" 2>&1
    )
    code=$?
    set -e
    if [ "$code" = 0 ]; then
        [[ $evidence != *$'\n'* && ${#evidence} -le 120 ]] || evidence=
        printf '  ok    %s%s\n' "$text" "${evidence:+: $evidence}"
    else
        printf '  FAIL  %s\n        | %s: exit code %s\n' "$text" "$*" "$code"
        printf '%s\n' "$evidence" | sed 's/^/        | /'
    fi
}

# note TEXT COMMAND...: what the command prints, whatever it is: measured, not promised.
note() {
    local text=$1
    shift
    printf '  note  %s: %s\n' "$text" "$("$@" 2>&1)"
}

# ends CODE COMMAND...: the command ends with this exit code.
ends() {
    local expected=$1 code=0
    shift
    "$@" || code=$?
    [ "$code" = "$expected" ] || {
        echo "exit code $code, not $expected"
        return 1
    }
}

# says TEXT COMMAND...: what the command prints contains the text, whatever its exit code.
says() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) || true
    [[ $output = *"$text"* ]] || {
        printf 'this is not in it: %s\n%s\n' "$text" "$output"
        return 1
    }
}

# is UNIT STATE: its ActiveState.
is() {
    [ "$(property "$1" ActiveState)" = "$2" ] || {
        systemctl status --no-pager --lines=20 "$1" || true
        return 1
    }
}

# property UNIT NAME
property() {
    systemctl show --value --property "$2" "$1"
}

# shows UNIT NAME VALUE: a property of the unit, and what it has to be.
shows() {
    local value
    value=$(property "$1" "$2")
    [ "$value" = "$3" ] || {
        echo "$2 is $value"
        return 1
    }
}

# warnings UNIT: what of it is a warning, or worse.
warnings() {
    journalctl --sync
    journalctl --boot --no-pager --output=cat --priority=warning --unit "$1"
}

# has_field UNIT FIELD VALUE: an entry of the unit in the journal of this boot.
has_field() {
    journalctl --sync
    journalctl --boot --no-pager --output=json --unit "$1" |
        jq --slurp --exit-status "any(.$2 == \"$3\")" >/dev/null
}

# The command ends well, and has nothing to say.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        echo "$output"
        return 1
    }
    echo "$output"
    [ -z "$output" ]
}

# The boot ended without a failed unit.
boots_well() {
    [ "$(systemctl is-system-running)" = running ] || {
        systemctl --failed --no-pager
        return 1
    }
}

# soon COMMAND...: within ten seconds.
soon() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    "$@"
}

# --- who gets through ---------------------------------------------------------------------------------------------

# attempts UID CONDITION HOW...: by each of these ways, both addresses are tried, and the outcome is as the condition says.
attempts() {
    local uid=$1 condition=$2 address how outcome
    shift 2
    for address in $imds $imds6; do
        for how in "$@"; do
            outcome=$(lab try --uid "$uid" --gid "$uid" --addr "$address" --how "$how")
            jq --exit-status "$condition" <<<"$outcome" >/dev/null || {
                echo "uid $uid, $how to $address: $outcome"
                return 1
            }
        done
    done
}

refused() {
    attempts "$1" '(.outcome == "refused" or .outcome == "denied") and .ms < 100' tcp udp
}

served() {
    attempts "$1" '.outcome == "connected" or .outcome == "answered"' tcp udp
}

# locked [UID]...: to root and these, and to nobody else.
locked() {
    local uid
    for uid in 0 "$@"; do served "$uid"; done
    for uid in 1 65534 $stranger; do refused "$uid"; done
}

# In the image build: two that try from the very first moment of each boot on, a stranger and root.
probes() {
    local who user imds_lanes
    useradd --uid $stranger stranger
    for who in stranger root; do
        case $who in
        stranger) user=$stranger imds_lanes="--connect=$imds --connect=$imds6 --send=$imds --send=$imds6" ;;
        root) user=root imds_lanes="--fetch=$imds --fetch=$imds6" ;;
        esac
        cat >"/etc/systemd/system/probe-$who.service" <<UNIT
[Unit]
Description=Tries all the time to get through, as $who
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=exec
User=$user
RuntimeDirectory=probe-$who
ExecStart=/usr/local/bin/lab steady --name=$who --file=/run/probe-$who/report $imds_lanes --fetch=169.254.169.253 --fetch=fd00:ec2::253

[Install]
WantedBy=sysinit.target
UNIT
        systemctl --quiet enable "probe-$who.service"
    done
}

# lanes WHO: what a probe did since the last mark, a line a lane. Lanes to the neighbours, which nobody locks, have
# "open": true.
lanes() {
    # Longer than the time between two reports.
    sleep 0.06
    jq --compact-output --slurpfile before "/run/mark-$1" '
        [.lanes, $before[0].lanes // []] | [transpose[] |
        .[0] + {open: (.[0].to | endswith("253"))} +
        {tries: (.[0].tries - (.[1].tries // 0)), passed: (.[0].passed - (.[1].passed // 0)),
         refused: (.[0].refused - (.[1].refused // 0)), silent: (.[0].silent - (.[1].silent // 0)),
         other: (.[0].other - (.[1].other // 0))}] | .[]' "/run/probe-$1/report"
}

# From now on, lanes are counted.
mark() {
    local who
    sleep 0.06
    for who in stranger root; do
        # cp stops when the file is replaced meanwhile.
        cat "/run/probe-$who/report" >"/run/mark-$who"
    done
}

# all_lanes WHO CONDITION: holds for each of them.
all_lanes() {
    local lanes
    lanes=$(lanes "$1")
    jq --slurp --exit-status "length > 0 and all($2)" <<<"$lanes" >/dev/null || {
        echo "$lanes"
        return 1
    }
}

# The stranger never got through since the mark, tried all the time, and reached the neighbours meanwhile.
# A connect whose SYN was lost while a firewall was reloaded is tried again after seconds only: it is waited for.
never_open() {
    soon all_lanes stranger '(.open | not) or .passed > 0' >/dev/null || true
    all_lanes stranger 'if .open then .passed > 0 else .tries > 0 and .passed == 0 end'
    how_often
}

# The stranger got through since the mark, somewhere.
got_through() {
    [ "$(jq --slurp 'map(select(.open | not) | .passed) | add > 0' <<<"$(lanes stranger)")" = true ]
    how_often
}

# The stranger got through since the mark, to each address by each way.
was_open() {
    all_lanes stranger '.passed > 0'
    how_often
}

# How often the stranger got through since the mark.
how_often() {
    jq --slurp --raw-output 'map(select(.open | not)) | "\(map(.passed) | add) of \(map(.tries) | add) attempts"' \
        <<<"$(lanes stranger)"
}

# Root was served all the time since the mark, which came after the network.
always_served() {
    all_lanes root '.passed > 0 and .passed == .tries'
}

# --- from the very first moment -----------------------------------------------------------------------------------

# The probes tried before there was a network, and the stranger at the moment that there was one: no later than 0.2 s
# after it reached the neighbour for the first time.
probed_from_the_first_moment() {
    # Without a route no packet is made: the try is neither passed nor refused.
    all_lanes root '.other > 0 and .passed > 0'
    all_lanes stranger '.other > 0'
    jq --slurp --raw-output --exit-status '
        def first(which): map(select(which) | .first_passed, .first_refused | values) | min;
        (first(.open | not) - first(.open)) * 1000 | round | select(. < 200) | "\(.) ms after the neighbour"
    ' <<<"$(lanes stranger)"
}

# before UNIT UNIT...: the first was active before the others began to start.
before() {
    local first=$1 stood began unit evidence
    shift
    stood=$(property "$first" ActiveEnterTimestampMonotonic)
    [ "$stood" != 0 ]
    evidence="$first $(seconds "$stood")"
    for unit in "$@"; do
        began=$(property "$unit" InactiveExitTimestampMonotonic)
        evidence+=", $unit $(seconds "$began")"
        if [ "$began" = 0 ] || [ "$stood" -ge "$began" ]; then
            echo "$evidence"
            return 1
        fi
    done
    echo "$evidence"
}

# Since the guest's own systemd began.
seconds() {
    local began
    began=$(systemctl show --value --property UserspaceTimestampMonotonic)
    printf '%d.%03d s' "$((($1 - began) / 1000000))" "$((($1 - began) / 1000 % 1000))"
}

# --- the image build ------------------------------------------------------------------------------------------------

# The cable to the metadata service, by ifupdown.
network() {
    cat >/etc/network/interfaces.d/cable <<INTERFACES
auto lo
iface lo inet loopback
auto $cable
iface $cable inet static
    address 192.0.2.1/30
    gateway 192.0.2.2
iface $cable inet6 static
    address 2001:db8:1::1/64
    gateway 2001:db8:1::2
    accept_ra 0
    dad-attempts 0
INTERFACES
    systemctl --quiet enable networking.service
}

# seed FILE: real cloud-init, with user-data from packaging/. It configures the network as well.
seed() {
    rm /etc/cloud/cloud-init.disabled
    # There are neither locales nor sshd in this image.
    printf '%s\n' 'datasource_list: [NoCloud]' 'locale: C.UTF-8' 'ssh_genkeytypes: []' 'no_ssh_fingerprints: true' \
        >/etc/cloud/cloud.cfg.d/90-seed.cfg
    mkdir -p /var/lib/cloud/seed/nocloud
    cp "/srv/packaging/cloud-init/$1" /var/lib/cloud/seed/nocloud/user-data
    echo 'instance-id: i-00000000000000000' >/var/lib/cloud/seed/nocloud/meta-data
    cat >/var/lib/cloud/seed/nocloud/network-config <<'CONFIG'
version: 2
ethernets:
  host0:
    addresses: [192.0.2.1/30, "2001:db8:1::1/64"]
    gateway4: 192.0.2.2
    gateway6: "2001:db8:1::2"
CONFIG
    systemctl --quiet enable networking.service
}

install_package() {
    dpkg --install /srv/ip-lockdown.deb
}

# --- the step -----------------------------------------------------------------------------------------------------

scenario=$1 step=$2

play() {
    # shellcheck source=/dev/null
    . "/srv/boot/scenarios/$scenario.sh"
    if [ "$step" != build ]; then
        systemctl is-system-running --wait >/dev/null || true
        soon jq --exit-status '.lanes | all(if .to | endswith("253") then .passed > 0 else true end)' /run/probe-root/report
        # Counted from the start.
        for who in stranger root; do echo '{}' >"/run/mark-$who"; done
    fi
    "$step"
    echo end
}

# Shown are the claims, kept is everything.
play 2>&1 | tee "/results/$scenario.$step" | grep --line-buffered --extended-regexp '^  (ok|FAIL|note|      \|)'
