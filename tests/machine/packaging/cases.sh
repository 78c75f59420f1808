#!/bin/bash
# One case, in the world that run.sh made for it: tests/machine/packaging/run.sh CASE
set -euo pipefail

deb=$(echo /package/*.deb)
rpm=$(echo /package/*.rpm)

fail() {
    printf 'packaging: %s: %s\n' "$name" "$*" >&2
    exit 1
}

# expect CODE WORD...: the command has to end with CODE; $output is what it said.
expect() {
    local expected=$1 code=0
    shift
    output=$("$@" 2>&1) || code=$?
    [ "$code" = "$expected" ] || fail "expected exit code $expected, got $code: $*"$'\n'"$output"
}

# says TEXT: the last command said so.
says() {
    grep -qF -e "$1" <<<"$output" || fail "not said: $1"$'\n'"$output"
}

# --- the metadata service -----------------------------------------------------------------------------------------

bench() {
    ip netns add imds
    ip link set lo up
    ip -batch - <<'LINES'
link add to-imds type veth peer name to-host netns imds
link set to-imds up
addr add 192.0.2.1/30 dev to-imds
addr add 2001:db8:1::1/64 dev to-imds nodad
route add default via 192.0.2.2
route add default via 2001:db8:1::2
LINES
    ip -netns imds -batch - <<'LINES'
link set lo up
link set to-host up
addr add 169.254.169.254/32 dev lo
addr add fd00:ec2::254/128 dev lo nodad
addr add 192.0.2.2/30 dev to-host
addr add 2001:db8:1::2/64 dev to-host nodad
LINES
    # The service ends with its input, the coprocess's pipe.
    coproc service { exec ip netns exec imds lab imds --listen 169.254.169.254:80 --listen '[fd00:ec2::254]:80' 2>&1; }
    local line
    read -r -t 10 line <&"${service[0]}" || line="nothing"
    [ "$line" = ready ] || fail "the metadata service did not come up, it said: $line"
}

reaches() {
    timeout 5 runuser -u "$1" -- bash -c "exec 3<>/dev/tcp/$2/80" 2>/dev/null
}

open() {
    local address user
    for address in 169.254.169.254 fd00:ec2::254; do
        for user in root nobody; do reaches "$user" "$address" || fail "$user does not reach $address"; done
    done
}

locked() {
    local address
    for address in 169.254.169.254 fd00:ec2::254; do
        reaches root "$address" || fail "root does not reach $address"
        ! reaches nobody "$address" || fail "nobody reaches $address"
    done
}

enabled() {
    expect 0 systemctl is-enabled ip-lockdown.service
}

links() {
    find /etc/systemd/system -name 'ip-lockdown*' | sort
}

# What a lockdown cannot hold against, and apply cannot cure: packets are rewritten before they meet it.
sabotage() {
    iptables -t nat -I OUTPUT -d 169.254.169.254 -p tcp --dport 80 -j DNAT --to-destination 127.0.0.1:8080
}
end_sabotage() {
    iptables -t nat -F OUTPUT
}

rules() {
    iptables-save | sed '/^#/d; s/\[[0-9:]*\]//'
    ip6tables-save | sed '/^#/d; s/\[[0-9:]*\]//'
    nft -s list table inet ip_lockdown
}

# All files but those of the package managers themselves.
files() {
    find / -xdev \( -path /var/lib/dpkg -o -path /var/lib/rpm -o -path /root/.rpmdb -o -path /var/log -o -path /var/cache \
        -o -path /tmp \) -prune -o -print | sort
}

# A directory that is another system's root, to packages' scripts.
make_chroot() {
    mkdir /chroot
    mount --bind / /chroot
    mount --bind /proc /chroot/proc
    mount --bind /package /chroot/package
}

# Such as the package managers of a machine that is not this Debian.
stand_in() {
    cat >"/usr/local/bin/$1"
    chmod 755 "/usr/local/bin/$1"
}

# --- the packages -------------------------------------------------------------------------------------------------

case_deb() {
    files >/tmp/before
    # A version from before, to upgrade from.
    dpkg-deb --raw-extract "$deb" /tmp/older
    sed -i 's/^Version: .*/Version: 0.0.1-1/' /tmp/older/DEBIAN/control
    dpkg-deb --build --root-owner-group /tmp/older /tmp/older.deb >/dev/null

    # Installing does nothing else.
    expect 0 dpkg --install /tmp/older.deb
    expect 1 systemctl is-enabled ip-lockdown.service
    says disabled
    [ -z "$(links)" ] || fail "links after installation: $(links)"
    [ ! -e /etc/ip-lockdown ] || fail "/etc/ip-lockdown is there after installation"
    open

    expect 0 ip-lockdown enable --now 169.254.169.254 root
    locked

    # An upgrade keeps rules, links and configuration.
    rules >/tmp/rules
    links >/tmp/links
    cp /etc/ip-lockdown/config.toml /tmp/config.toml
    expect 0 dpkg --install "$deb"
    diff /tmp/rules <(rules) || fail "the upgrade changed rules"
    diff /tmp/links <(links) || fail "the upgrade changed links"
    cmp /tmp/config.toml /etc/ip-lockdown/config.toml
    locked
    enabled

    # Removal leaves the address locked, and what opens it.
    expect 0 dpkg --remove ip-lockdown
    says "stay locked until the next boot"
    locked
    [ ! -e /usr/sbin/ip-lockdown ] || fail "the program is there after the removal"
    [ -z "$(links)" ] || fail "links after removal: $(links)"
    cmp /tmp/config.toml /etc/ip-lockdown/config.toml
    expect 0 /var/lib/ip-lockdown/ip-lockdown verify 169.254.169.254 root

    # Installed again: no copy, and not enabled; the configuration is still there to be.
    expect 0 dpkg --install "$deb"
    [ ! -e /var/lib/ip-lockdown ] || fail "the copy is left after a new installation"
    expect 1 systemctl is-enabled ip-lockdown.service
    expect 0 ip-lockdown enable --now

    # Purge opens, and leaves what is not the package's.
    mkdir -p /etc/ip-lockdown/conf.d
    printf '[[lockdown]]\naddress = "169.254.169.254"\nusers = ["daemon"]\n' >/etc/ip-lockdown/conf.d/other.toml
    expect 0 dpkg --purge ip-lockdown
    open
    [ ! -e /etc/ip-lockdown/config.toml ] || fail "config.toml is there after the purge"
    [ -e /etc/ip-lockdown/conf.d/other.toml ] || fail "the purge took a file of others"
    rm -r /etc/ip-lockdown
    diff /tmp/before <(files) || fail "the package left something, or took it"
}

# A host that has only the kernel's nf_tables, and no network to install anything from.
case_deb_without_iptables() {
    DEBIAN_FRONTEND=noninteractive expect 0 dpkg --remove --force-depends iptables
    ! command -v iptables || fail "iptables is still there"
    expect 0 dpkg --install "$deb"
    # shellcheck disable=SC2016 # fields of dpkg-query
    expect 0 dpkg-query --show --showformat='${Status} ${Recommends}' ip-lockdown
    says "install ok installed iptables"
    expect 0 ip-lockdown enable --now 169.254.169.254 root
    locked
    expect 0 dpkg --remove ip-lockdown
    locked
    expect 0 dpkg --purge ip-lockdown
    open
    # An image build there, with an apt that does not find iptables.
    rm -rf /etc/apt/sources.list /etc/apt/sources.list.d
    expect 0 env PACKAGE="$deb" USERS=root sh /packaging/packer/provision.sh
    locked
}

case_deb_purge_that_cannot_open() {
    expect 0 dpkg --install "$deb"
    expect 0 ip-lockdown enable --now 169.254.169.254 root
    expect 0 dpkg --remove ip-lockdown
    dpkg-divert --quiet --local --rename --add /usr/sbin/xtables-nft-multi
    expect 0 dpkg --purge ip-lockdown
    says "could not open the locked addresses"
    locked
    [ ! -e /var/lib/ip-lockdown ] || fail "the copy is left"
}

case_deb_in_a_chroot() {
    expect 0 dpkg --install "$deb"
    expect 0 ip-lockdown 169.254.169.254 root
    make_chroot
    # As in an image build: enabled there, and the rules of this machine are not touched by what becomes of the image.
    rules >/tmp/rules
    expect 0 chroot /chroot ip-lockdown enable 169.254.169.254 root nobody
    enabled
    expect 0 chroot /chroot dpkg --install "$deb"
    enabled
    expect 0 chroot /chroot dpkg --remove ip-lockdown
    [ -z "$(links)" ] || fail "links after removal: $(links)"
    expect 0 chroot /chroot dpkg --purge ip-lockdown
    says "this is a chroot"
    diff /tmp/rules <(rules) || fail "the chroot changed rules"
    locked
    expect 0 dpkg --install "$deb"
    expect 0 dpkg --remove ip-lockdown
    umount /chroot/proc
    # Where it cannot be told.
    expect 0 chroot /chroot dpkg --purge ip-lockdown
    says "this is a chroot"
    locked
}

case_rpm() {
    # Debian's rpm has no packages to depend on.
    install=(rpm --nodeps --install)
    # Both packages bring the same, but for units that cannot reload in Debian.
    diff <(dpkg-deb --contents "$deb" | sed -n 's/^-[^.]* \.//p' |
        sed '/lintian\|copyright\|changelog\|third-party/d; s/vendor-completions/site-functions/' | sort) \
        <(rpm -qlp "$rpm" | sed '/licenses\|CHANGELOG\|\/ip6\?tables.service.d\/51-/d' | sort) || fail "the packages are not alike"
    expect 0 rpm -qp --recommends "$rpm"
    says iptables
    expect 0 rpm -qp --requires "$rpm"
    says 'libc.so.6(GLIBC_2.34)(64bit)'
    [[ $output != *iptables* ]] || fail "the .rpm requires iptables"$'\n'"$output"

    rpm --initdb
    # Directories that every rpm distribution has, of its package filesystem.
    mkdir -p /usr/share/{licenses,man/man1,man/man5,man/man8,zsh/site-functions,fish/vendor_completions.d}
    files >/tmp/before
    expect 0 "${install[@]}" "$rpm"
    expect 1 systemctl is-enabled ip-lockdown.service
    says disabled
    [ ! -e /etc/ip-lockdown ] || fail "/etc/ip-lockdown is there after installation"
    open
    expect 0 ip-lockdown enable --now 169.254.169.254 root
    locked

    rules >/tmp/rules
    links >/tmp/links
    cp /etc/ip-lockdown/config.toml /tmp/config.toml
    expect 0 rpm --nodeps --upgrade --force "$rpm"
    diff /tmp/rules <(rules) || fail "the upgrade changed rules"
    diff /tmp/links <(links) || fail "the upgrade changed links"
    cmp /tmp/config.toml /etc/ip-lockdown/config.toml
    [ ! -e /var/lib/ip-lockdown ] || fail "the upgrade was taken for a removal"
    enabled

    expect 0 rpm --erase ip-lockdown
    says "stay locked until the next boot"
    locked
    [ -z "$(links)" ] || fail "links after erasing: $(links)"
    cmp /tmp/config.toml /etc/ip-lockdown/config.toml
    expect 0 /var/lib/ip-lockdown/ip-lockdown remove
    open
    rm -r /etc/ip-lockdown /var/lib/ip-lockdown
    diff /tmp/before <(files) || fail "the package left something, or took it"
}

# --- images -------------------------------------------------------------------------------------------------------

case_packer() {
    local template=/tmp/ip-lockdown.pkr.hcl command
    # Debian's Packer 1.6.6 has an Amazon builder that does not know these settings; check.py looks at them.
    cp /packaging/packer/provision.sh /tmp
    sed '/# Instances of the image require/,/^  }$/d' /packaging/packer/ip-lockdown.pkr.hcl >"$template"
    ! cmp --quiet /packaging/packer/ip-lockdown.pkr.hcl "$template" || fail "the template does not set imds_support"
    export CHECKPOINT_DISABLE=1
    useradd --create-home --shell /bin/bash admin
    echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin
    ssh-keygen -q -t ed25519 -N '' -f /root/key
    install -D -m 600 -o admin /root/key.pub /home/admin/.ssh/authorized_keys
    ssh-keygen -A >/dev/null
    mkdir /run/sshd
    /usr/sbin/sshd

    mkdir /tmp/fmt
    cp /packaging/packer/*.pkr.hcl /tmp/fmt
    for file in /packaging/terraform/*.tf; do cp "$file" "/tmp/fmt/${file##*/}.pkr.hcl"; done
    expect 0 packer fmt -check -diff /tmp/fmt
    # A judge that takes everything is none.
    printf 'variable "x" {\n type = string\n}\n' >/tmp/fmt/bad.pkr.hcl
    expect 3 packer fmt -check /tmp/fmt

    words=(-var "package=$deb" -var source_ami=ami-0123456789abcdef0 -var host=127.0.0.1
        -var ssh_private_key_file=/root/key)
    expect 0 packer validate "${words[@]}" "$template"
    # The commands in the template's comment, as they are there.
    mapfile -t commands < <(sed -n 's/^# *//p' "$template" | sed -z 's/\\\n//g' | sed -n 's/^packer build/packer validate/p' |
        sed "s|package=[^ ]*|package=$deb|; s|=ami-[^ ]*|=ami-0123456789abcdef0|; s|[^ ]*\.pkr\.hcl$|$template|")
    [ "${#commands[@]}" = 2 ] || fail "the template has other commands: ${commands[*]}"
    for command in "${commands[@]}"; do
        expect 0 bash -c "$command"
    done

    # shellcheck disable=SC2317 # called by expect
    build() { packer build -color=false '-only=null.*' "${words[@]}" "$@" "$template"; }
    open
    expect 0 build
    says "locked: "
    locked
    enabled
    # Nothing to be installed any more: what is asked here is the lockdown.
    sabotage
    expect 1 build
    says "may rewrite the address"
    end_sabotage
    # Somebody else may pass as well, by a drop-in that the build knows nothing of.
    mkdir -p /etc/ip-lockdown/conf.d
    printf '[[lockdown]]\naddress = "169.254.169.254"\nusers = ["daemon"]\n' >/etc/ip-lockdown/conf.d/other.toml
    expect 1 build
    says "daemon"
    expect 0 build -var 'users=root daemon'
    rm /etc/ip-lockdown/conf.d/other.toml
    expect 1 build -var users=no-such-user
    says "no-such-user"
    expect 1 build -var package=/tests/cases.sh
    says "neither a .deb nor a .rpm"
    # What is there holds, but would not come back.
    stand_in systemctl <<'SCRIPT'
#!/bin/sh
[ "$1" != is-enabled ] || { echo disabled; exit 1; }
exec /usr/bin/systemctl "$@"
SCRIPT
    expect 1 build
    rm /usr/local/bin/systemctl
    expect 0 build
    locked
}

case_packer_rpm() {
    # dnf, but for its dependencies: they are Debian's here.
    stand_in dnf <<'SCRIPT'
#!/bin/sh
[ "$1 $2" = "install --assumeyes" ] && exec rpm --nodeps --install "$3"
SCRIPT
    rpm --initdb
    expect 0 env PACKAGE="$rpm" USERS="root daemon" /packaging/packer/provision.sh
    reaches daemon 169.254.169.254 || fail "daemon does not reach it"
    locked
}

case_image_builder() {
    local build=/scripts/image-builder-build phase
    # What S3Download does.
    cp "$deb" /tmp/ip-lockdown.package
    expect 0 bash "$build-Install"
    open
    expect 0 bash "$build-Enable"
    for phase in validate-Holds test-HoldsAfterBoot; do expect 0 bash "/scripts/image-builder-$phase"; done
    locked
    enabled
    sabotage
    for phase in validate-Holds test-HoldsAfterBoot; do
        expect 1 bash "/scripts/image-builder-$phase"
        says "checks failed"
    done
    end_sabotage
    # The rules are this kernel's: an instance of an image whose unit does not work comes up without.
    expect 0 ip-lockdown remove
    expect 1 bash /scripts/image-builder-test-HoldsAfterBoot
    expect 0 ip-lockdown disable
    expect 0 ip-lockdown apply
    expect 1 bash /scripts/image-builder-validate-Holds
}

# --- user-data ----------------------------------------------------------------------------------------------------

# boot FILE: cloud-init's stages with that user-data, in their order.
boot() {
    local seed=/var/lib/cloud/seed/nocloud
    rm -rf /run/cloud-init
    mkdir -p "$seed"
    printf 'instance-id: i-%s\n' "${1//[^a-z]/}" >"$seed/meta-data"
    cp "$1" "$seed/user-data"
    # Of its modules, those that are the matter here; the rest would set up a machine.
    cat >/etc/cloud/cloud.cfg.d/99-case.cfg <<'CONFIG'
datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: [bootcmd]
cloud_config_modules: []
cloud_final_modules: [scripts-user]
CONFIG
    cloud-init init --local && cloud-init init && cloud-init modules --mode=config && cloud-init modules --mode=final
}

case_cloud_init() {
    expect 0 dpkg --install "$deb"
    expect 0 cloud-init schema --config-file /packaging/cloud-init/cloud-config.yaml
    sed 's/^  - \[.*/  lockdown: true/' /packaging/cloud-init/cloud-config.yaml >/tmp/bad.yaml
    expect 1 cloud-init schema --config-file /tmp/bad.yaml

    open
    expect 0 boot /packaging/cloud-init/cloud-config.yaml
    locked
    enabled
    # At the next boot of the same instance, a configuration that was changed since then stays.
    expect 0 ip-lockdown enable 169.254.169.254 root daemon
    cp /etc/ip-lockdown/config.toml /tmp/config.toml
    expect 0 boot /packaging/cloud-init/cloud-config.yaml
    cmp /tmp/config.toml /etc/ip-lockdown/config.toml
    # A new instance whose lockdown cannot hold says so.
    sabotage
    cp /packaging/cloud-init/cloud-config.yaml /tmp/again.yaml
    expect 1 boot /tmp/again.yaml
    says "may rewrite the address"
}

case_cloud_init_shell() {
    expect 0 dpkg --install "$deb"
    open
    expect 0 boot /packaging/cloud-init/user-data.sh
    locked
    enabled
    # A new instance whose lockdown cannot hold says so.
    sabotage
    cp /packaging/cloud-init/user-data.sh /tmp/again.sh
    expect 1 boot /tmp/again.sh
    says "may rewrite the address"
}

# --- fleets -------------------------------------------------------------------------------------------------------

case_ssm() {
    stand_in aws <<SCRIPT
#!/bin/sh
[ "\$1 \$2 \$3 \$4" = "s3 cp --only-show-errors s3://bucket/ip-lockdown.deb" ] && cp $deb "\$5"
SCRIPT
    sed "s/^package=.*/package=''/" /scripts/ssm-Lock >/tmp/without
    expect 1 sh /tmp/without
    says "no Package was given"
    expect 127 sh /scripts/ssm-Verify
    expect 0 sh /scripts/ssm-Lock
    expect 0 sh /scripts/ssm-Verify
    locked
    enabled
    # The next hour.
    rm /usr/local/bin/aws
    rules >/tmp/rules
    expect 0 sh /scripts/ssm-Lock
    diff /tmp/rules <(rules) || fail "the second run changed rules"
    expect 0 sh /scripts/ssm-Verify
    sabotage
    expect 1 sh /scripts/ssm-Verify
    says "checks failed"
}

# Another package is named: it replaces the one that is installed, also if it is older.
case_ssm_upgrade() {
    dpkg-deb --raw-extract "$deb" /tmp/next
    sed -i 's/^Version: .*/Version: 99.0-1/' /tmp/next/DEBIAN/control
    dpkg-deb --build --root-owner-group /tmp/next /tmp/next.deb >/dev/null
    stand_in aws <<SCRIPT
#!/bin/sh
echo "\$*" >>/tmp/downloads
case "\$1 \$2 \$3 \$4" in
"s3 cp --only-show-errors s3://bucket/ip-lockdown.deb") cp $deb "\$5" ;;
"s3 cp --only-show-errors s3://bucket/next.deb") cp /tmp/next.deb "\$5" ;;
*) exit 1 ;;
esac
SCRIPT
    # shellcheck disable=SC2317 # called by expect
    version() {
        # shellcheck disable=SC2016 # a field of dpkg-query
        dpkg-query --show --showformat='${Version}' ip-lockdown
    }
    sed "s|^package=.*|package='s3://bucket/next.deb'|" /scripts/ssm-Lock >/tmp/lock-next
    sed "s|^package=.*|package='s3://bucket/missing.deb'|" /scripts/ssm-Lock >/tmp/missing
    sed "s|^package=.*|package=''|" /scripts/ssm-Lock >/tmp/without
    expect 0 sh /scripts/ssm-Lock
    before=$(version)
    locked
    expect 0 sh /tmp/lock-next
    [ "$(version)" = 99.0-1 ] || fail "not upgraded: $(version)"
    locked
    expect 0 sh /tmp/lock-next
    expect 0 sh /tmp/without
    [ "$(grep -c next.deb /tmp/downloads)" = 1 ] || fail "downloaded again: $(cat /tmp/downloads)"
    # Back to the older one.
    expect 0 sh /scripts/ssm-Lock
    [ "$(version)" = "$before" ] || fail "not downgraded: $(version)"
    expect 1 sh /tmp/missing
    expect 0 sh /scripts/ssm-Verify
    locked
    # The .rpm: with dnf, but for its dependencies.
    mkdir -p /tmp/rpm
    rpm --initdb
    stand_in dnf <<'SCRIPT'
#!/bin/sh
[ "$1 $2" = "install --assumeyes" ] && echo "$3" >>/tmp/dnf && exec rpm --nodeps --force --install "$3"
SCRIPT
    stand_in aws <<SCRIPT
#!/bin/sh
cp $rpm "\$5"
SCRIPT
    sed "s|^package=.*|package='s3://bucket/a.rpm'|" /scripts/ssm-Lock >/tmp/a
    sed "s|^package=.*|package='s3://bucket/b.rpm'|" /scripts/ssm-Lock >/tmp/b
    expect 0 sh /tmp/a
    # The same version under another name.
    expect 0 sh /tmp/b
    [ "$(wc -l </tmp/dnf)" = 1 ] || fail "dnf: $(cat /tmp/dnf)"
    expect 0 rpm --query ip-lockdown
}

# The collection, installed from a git repository; play runs its role.
collection() {
    mkdir /tmp/source
    cp -r /packaging /tmp/source
    git -C /tmp/source init --quiet
    git -C /tmp/source add .
    git -C /tmp/source -c user.name=x -c user.email=x@localhost commit --quiet --message=x
    expect 0 ansible-galaxy collection install 'git+file:///tmp/source#/packaging/ansible'
    cat >/tmp/play.yml <<'PLAY'
- hosts: all
  become: true
  become_method: ansible.builtin.sudo
  roles:
    - role: ip_lockdown.hardening.ip_lockdown
PLAY
}

# shellcheck disable=SC2317 # called by expect
play() {
    ANSIBLE_NOCOLOR=1 ansible-playbook --inventory localhost, --connection local \
        --extra-vars "ip_lockdown_package=$deb" "$@" "${playbook:-/tmp/play.yml}"
}

case_ansible() {
    collection
    files >/tmp/before
    open
    # A host that does not have the program yet.
    expect 0 play --check --diff
    says " failed=0 "
    open
    diff /tmp/before <(files) || fail "check mode changed files"

    expect 0 play
    locked
    enabled
    expect 0 play
    says " changed=0 "
    expect 0 play --check
    says " changed=0 "
    # From a clone, without the collection.
    playbook=/packaging/ansible/playbook.yml expect 0 play
    says " changed=0 "
    # Who may pass is changed.
    expect 0 play --extra-vars '{"ip_lockdown_users": ["root", "daemon"]}'
    reaches daemon 169.254.169.254 || fail "daemon does not reach it"

    # Rules that are gone come back.
    iptables -F
    expect 0 play
    expect 0 ip-lockdown verify 169.254.169.254 root
    sabotage
    expect 2 play
    says "may rewrite the address"
}

# A list that cannot be used is never written.
case_ansible_bad_lists() {
    collection
    expect 0 play
    cp -a /etc/ip-lockdown/config.toml /tmp/config.toml
    expect 2 play --extra-vars '{"ip_lockdown_users": ["root", "no-such-user"]}'
    says no-such-user
    expect 2 play --extra-vars '{"ip_lockdown_lockdowns": [{"address": "169.254.0.0/16"}]}'
    says "is a network"
    expect 2 play --extra-vars '{"ip_lockdown_forwarded": "maybe"}'
    says "value of forwarded must be one of"
    expect 2 play --extra-vars '{"ip_lockdown_users": "root", "ip_lockdown_passes": "none"}'
    cmp /tmp/config.toml /etc/ip-lockdown/config.toml || fail "a bad list was written"
    [ "$(ls -A /etc/ip-lockdown)" = config.toml ] || fail "left in /etc/ip-lockdown: $(ls -A /etc/ip-lockdown)"
    expect 0 ip-lockdown verify 169.254.169.254 root
}

case_ansible_variables() {
    collection
    local two three
    two='{"ip_lockdown_lockdowns": [{"address": "169.254.169.254", "users": ["root"], "forwarded": "allow", "only": true},
        {"address": "192.0.2.9", "users": ["daemon"], "groups": ["adm"]}]}'
    three='{"ip_lockdown_lockdowns": [{"address": "169.254.169.254", "users": ["root"]},
        {"address": "192.0.2.9", "state": "absent"}]}'
    expect 0 play --extra-vars "$two"
    expect 0 ip-lockdown verify --forwarded allow --only 169.254.169.254 root
    reaches nobody fd00:ec2::254 || fail "fd00:ec2::254 is locked"
    expect 0 ip-lockdown verify 192.0.2.9 daemon --group adm
    expect 0 play --extra-vars "$two"
    says " changed=0 "
    expect 0 play --extra-vars "$three"
    expect 0 ip-lockdown status
    [[ $output != *192.0.2.9* ]] || fail "still locked"$'\n'"$output"
    locked
    expect 0 play --extra-vars "$three"
    says " changed=0 "
    expect 0 play
    locked

    # One layer only, at boot too.
    local one='{"ip_lockdown_layers": ["nftables"], "ip_lockdown_passes": [0, 4]}'
    expect 0 play --extra-vars "$one"
    locked
    [[ $(iptables-save) != *IPL-* ]] || fail "the layer filter is still there"
    expect 0 play --extra-vars "$one"
    says " changed=0 "
    grep -qx 'layers = \["nftables"\]' /etc/ip-lockdown/config.toml || fail "the layers are not in the configuration"
    expect 0 play
    [[ $(iptables-save) = *IPL-* ]] || fail "the layer filter is not back"
    expect 0 play
    says " changed=0 "

    # Removal opens.
    expect 0 play --check --extra-vars ip_lockdown_state=absent
    locked
    expect 0 play --extra-vars ip_lockdown_state=absent
    open
    [ -z "$(find /etc/systemd/system -name 'ip-lockdown*')" ] || fail "links after removal: $(links)"
    [ ! -e /usr/sbin/ip-lockdown ] || fail "the program is there after the removal"
    [ ! -e /etc/ip-lockdown/config.toml ] || fail "the configuration is there after the removal"
    expect 0 play --extra-vars ip_lockdown_state=absent
    says " changed=0 "
    expect 2 play --extra-vars ip_lockdown_state=gone
    says "value of ip_lockdown_state must be one of"
}

# Enabled, locked, and not active: what a shell script without --now leaves.
case_ansible_inactive_units() {
    collection
    expect 0 dpkg --install "$deb"
    # As if systemd ran.
    dpkg-divert --quiet --local --rename --add /usr/bin/systemctl
    cat >/usr/bin/systemctl <<'SCRIPT'
#!/bin/sh
case "$*" in
*is-active*) [ -e /run/active ] || { echo inactive; exit 3; } ;;
show*) [ ! -e /run/active ] || echo ActiveState=active ;;
"--no-block start "*) touch /run/active ;;
*daemon-reload | *try-reload-or-restart* | stop*) ;;
*) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl.distrib "$@" ;;
esac
SCRIPT
    chmod 755 /usr/bin/systemctl
    mkdir -p /run/systemd/system
    expect 0 play
    [ -e /run/active ] || fail "the units were not started"
    expect 0 play
    says " changed=0 "
    rm /run/active
    expect 0 play
    says " changed=1 "
    [ -e /run/active ] || fail "the units were not started"
    expect 0 play
    says " changed=0 "
}

case_ansible_lint() {
    cp -r /packaging/ansible /tmp/ansible
    cd /tmp/ansible
    expect 0 ansible-lint --offline --strict --profile production
    sed -i '/changed_when: true/d' roles/ip_lockdown/tasks/present.yml
    expect 2 ansible-lint --offline --strict --profile production
}

name=$1
bench
"case_$name"
