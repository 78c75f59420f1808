#!/bin/bash
# What the rows call by a word: the guest's network, and each tool made ready. Every line of a row is run with this
# before it, by the program `coexist`, in the guest only.

# The way out to the service, whose other end is in run.sh, and a bridge with a container.
topology() {
    sysctl --quiet --write net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
    ip -batch - <<'LINES'
link set lo up
link set host0 up
address add 192.0.2.1/30 dev host0
address add 2001:db8:1::1/64 dev host0 nodad
route add default via 192.0.2.2
route add default via 2001:db8:1::2
link add br0 type bridge
link set br0 up
address add 198.51.100.1/24 dev br0
address add 2001:db8:2::1/64 dev br0 nodad
netns add container
link add to-container type veth peer name eth0 netns container
link set to-container master br0 up
LINES
    ip -netns container -batch - <<'LINES'
link set lo up
link set eth0 up
address add 198.51.100.2/24 dev eth0
address add 2001:db8:2::2/64 dev eth0 nodad
route add default via 198.51.100.1
route add default via 2001:db8:2::1
LINES
}

# Input: the drop-in for nftables.service.
setup_iptables() {
    local family
    mkdir /etc/iptables /etc/systemd/system/nftables.service.d
    for family in 4 6; do
        printf '%s\n' '*filter' ':INPUT ACCEPT [0:0]' ':FORWARD ACCEPT [0:0]' ':OUTPUT ACCEPT [0:0]' \
            '-A OUTPUT -p tcp -j ACCEPT' COMMIT >"/etc/iptables/rules.v$family"
    done
    # As the page advises.
    sed 's/^flush ruleset$/table inet filter\ndelete table inet filter/' /etc/nftables.conf >/etc/nftables-own.conf
    grep -q '^delete table inet filter$' /etc/nftables-own.conf
    cat >/etc/nftables-drop-in.conf
}

drop_in() {
    cp /etc/nftables-drop-in.conf /etc/systemd/system/nftables.service.d/
    systemctl daemon-reload
}

# ufw drops what is forwarded, unless told so. What it drops itself would show nothing.
setup_ufw() {
    sed -i 's/^DEFAULT_FORWARD_POLICY=.*/DEFAULT_FORWARD_POLICY="ACCEPT"/' /etc/default/ufw
}

# setup_firewalld BACKEND: a zone of trust for the container's bridge, from which traffic may go out.
setup_firewalld() {
    sed -i "s/^FirewallBackend=.*/FirewallBackend=$1/" /etc/firewalld/firewalld.conf
    firewall-offline-cmd --zone=public --add-interface=host0
    firewall-offline-cmd --zone=trusted --add-interface=br0
    firewall-offline-cmd --new-policy=containers
    firewall-offline-cmd --policy=containers --add-ingress-zone=trusted
    firewall-offline-cmd --policy=containers --add-egress-zone=public
    firewall-offline-cmd --policy=containers --set-target=ACCEPT
}

# It reports active before it flushes and loads its rules.
settle_firewalld() {
    if systemctl --quiet is-active firewalld; then
        until firewall-cmd --quiet --state; do sleep 0.1; done
    fi
}

# The files of a container image, as an archive: busybox, the clients, and the libraries that they are linked to.
image() {
    local root=/srv/image
    mkdir -p "$root"/{bin,proc,sys,dev,etc,run,tmp}
    cp /bin/busybox /usr/local/bin/lab "$root/bin"
    ldd /usr/local/bin/lab | grep -o '/[^ ]*' | xargs -I LIBRARY cp -L --parents LIBRARY "$root"
    tar -C "$root" -c .
}

setup_docker() {
    mkdir -p /etc/docker
    echo '{"ipv6": true, "fixed-cidr-v6": "fd00:d0c::/64", "experimental": true, "ip6tables": true}' \
        >/etc/docker/daemon.json
    systemctl start docker
    image | docker import - bench
}

# As on a host that has just booted: the next start is the first.
undo_docker() {
    local iptables table
    docker ps --all --quiet | xargs docker rm --force
    systemctl stop docker.socket docker
    ip link delete docker0
    for iptables in iptables ip6tables; do
        for table in filter nat; do
            "$iptables" -t "$table" -F
            "$iptables" -t "$table" -X
        done
    done
}

setup_podman() {
    image | podman import --quiet - localhost/bench
    podman network create --ipv6 --subnet=10.89.0.0/24 --subnet=fd00:b0d::/64 both
    useradd --create-home --uid=1500 pod
    loginctl enable-linger pod
    until [ -d /run/user/1500 ]; do sleep 0.1; done
    image | rootless podman import --quiet - localhost/bench
}

undo_podman() {
    podman rm --force --time=0 --all
    rootless podman rm --force --time=0 --all
}

# The cgroups of this guest are not whole: on most machines podman needs none of these options.
run_podman() {
    podman --cgroup-manager=cgroupfs run --detach --cgroups=disabled --network=both "$@"
}
run_rootless() {
    rootless podman --cgroup-manager=cgroupfs run --detach --cgroups=disabled \
        --network=slirp4netns:enable_ipv6=true "$@"
}
rootless() {
    (cd / && setpriv --reuid=1500 --regid=1500 --init-groups env HOME=/home/pod XDG_RUNTIME_DIR=/run/user/1500 "$@")
}

# A bridge takes the lowest address of its ports for its own, unless one is set. When a port goes, and with it that
# address, other containers send to the old one for half a minute.
keep_address() {
    ip link set "$1" address "$(cat "/sys/class/net/$1/address")"
}
