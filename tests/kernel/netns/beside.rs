//! Hosts as other tools leave them: the address is locked and opened again, the listed user is served, and every rule
//! of the other tool is what and where it was. Each file in `beside/` installs the rules of one tool.

use std::path::Path;

use lab::saved::own_table;
use lab::{Done, IMDS, Lab, User};

use crate::hosts;
use crate::netns::support::{V4, refused, served};

/// What the files may use: `iptables` and its family in the variant of the host, and `both`, which loads a listing
/// for both families.
const TOOLS: &str = r#"
for name in iptables ip6tables; do
    for suffix in '' -restore -save; do
        eval "$name$suffix() { command $name-$VARIANT$suffix \"\$@\"; }"
    done
done
both() {
    local listing
    listing=$(cat)
    iptables-restore --noflush <<<"$listing"
    ip6tables-restore --noflush <<<"$listing"
}
"#;

/// Installs the rules of a tool.
fn install(lab: &Lab, tool: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/netns/beside");
    let script = format!("{TOOLS}cd \"$1\"\n. \"./$2.sh\"");
    Done::of(
        lab.command("bash")
            .env("VARIANT", lab.variant().to_string())
            .args(["-euo", "pipefail", "-c", &script, "install"])
            .arg(folder)
            .arg(tool),
    )
    .expect_code(0);
}

/// The rules and routes that other tools have, of iptables-legacy and of nftables (which has those of iptables-nft),
/// without counters.
fn foreign(lab: &Lab) -> Vec<String> {
    let script = "
        for program in iptables-legacy-save ip6tables-legacy-save; do
            $program | grep '^-A' || true
        done
        nft -s list ruleset | awk '
            /^table / { own = $3 == \"ip_lockdown\" }
            /^\tchain / { chain = $2 ~ /^IP[LF]-/ }
            !own && !chain && !/^table |^\tchain |^\t\ttype .* hook |^\t?}$|^$/'
        ip route; ip -6 route; ip rule; ip -6 rule";
    let listing = lab.sh(script).expect_code(0).stdout;
    listing
        .lines()
        .filter(|line| !line.contains("IPL-") && !line.contains("IPF-"))
        .map(str::to_owned)
        .collect()
}

/// Expects one of the two codes that mean that the address is locked, and for 4 a sentence that says why.
#[track_caller]
fn locked(done: &Done) {
    let code = done.code;
    assert!(matches!(code, Some(0 | 4)), "{done}");
    if code == Some(4) {
        assert!(!(done.stdout.clone() + &done.stderr).is_empty(), "{done}");
    }
}

/// Whether the tool has put its own jumps at the head again since `apply`.
#[derive(PartialEq)]
enum Sync {
    No,
    Yes,
}

/// The whole life of a lockdown on such a host.
fn life(lab: &Lab, tool: &str, sync: &Sync, options: &[&str]) {
    install(lab, tool);
    let before = foreign(lab);
    let with = |words: &[&str]| lab.lockdown(&[options, words].concat());

    locked(&with(&[V4, "root"]));
    if *sync == Sync::Yes {
        install(lab, tool);
    }
    for _ in 0..2 {
        served(lab, &User::ROOT, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        locked(&with(&["verify"]));
        locked(&with(&[V4, "root"]));
    }
    assert_eq!(foreign(lab), before);

    with(&["remove"]).expect_code(0);
    served(lab, &User::MALLORY, &IMDS);
    assert_eq!(foreign(lab), before);
    assert_eq!(own_table(lab), "");
}

/// A test for each tool, on hosts of both variants of iptables: whether it syncs, and with which options the program
/// is called.
macro_rules! beside {
    ($($name:ident: $tool:literal, $sync:ident, $options:expr;)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "most need no options")]
            use super::*;

            #[test]
            fn nft() {
                life(&hosts::nft(), $tool, &Sync::$sync, &$options);
            }

            #[test]
            fn legacy() {
                life(&hosts::legacy(), $tool, &Sync::$sync, &$options);
            }
        }
    )*};
}

/// What a host says in its configuration where another tool keeps its jumps at the head.
const NFTABLES: [&str; 2] = ["--layers", "nftables"];

beside! {
    app_mesh: "app-mesh", No, [];
    calico: "calico", Yes, NFTABLES;
    cilium: "cilium", Yes, NFTABLES;
    csf: "csf", No, [];
    docker: "docker", No, [];
    docker_native: "docker-native", No, [];
    fail2ban: "fail2ban", No, [];
    firewalld: "firewalld", No, [];
    k3s: "k3s", Yes, NFTABLES;
    kube_proxy: "kube-proxy", No, [];
    kube_proxy_native: "kube-proxy-native", No, [];
    libvirt: "libvirt", No, [];
    libvirt_native: "libvirt-native", No, [];
    netavark_native: "netavark-native", No, [];
    opensnitch: "opensnitch", No, [];
    redsocks: "redsocks", No, [];
    shorewall: "shorewall", No, [];
    swarm: "swarm", No, [];
    tailscale: "tailscale", No, [];
    tailscale_native: "tailscale-native", No, [];
    ufw: "ufw", No, [];
}

on_both_variants! {
    // Nobody reaches the address itself on such a host: requests go through systemd-imdsd, whose sockets have a mark.
    fn a_route_that_prohibits_the_address_is_no_obstacle(lab) {
        install(lab, "imdsd");
        let before = foreign(lab);
        for _ in 0..2 {
            let done = lab.lockdown(&[V4, "root"]).expect_code(4);
            assert!(done.stdout.contains("prohibit"), "{done}");
            let done = lab.lockdown(&["verify"]).expect_code(4);
            assert!(done.stdout.contains("prohibit"), "{done}");
        }
        assert_eq!(foreign(lab), before);
        lab.lockdown(&["remove"]).expect_code(0);
        assert_eq!(foreign(lab), before);
    }
}
