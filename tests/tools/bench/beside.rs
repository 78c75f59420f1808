//! The cost of a change and of a check on a host with the rules of very many services.

use std::fmt::Write as _;
use std::fs;

use lab::{Lab, Variant, lockdown_program};

use crate::changes::{TIMED, add};
use crate::page::Page;
use crate::series::AllSeries;

const IMDS: &str = "169.254.169.254";

/// How many services, and how often it is measured.
const SIZES: [(u32, u32); 2] = [(0, 9), (10_000, 5)];

pub(crate) fn measure(page: &mut Page) {
    page.section(
        "Beside kube-proxy",
        "Milliseconds, on a host where kube-proxy has installed its services in nftables mode, with two endpoints each. *Lines*: \
         of `nft list ruleset`. *Save*: `iptables-nft-save`, which `apply` and the others run; of this ruleset it shows \
         nothing, but it reads all names of chains. *Again*: `apply` of an installed lockdown.",
    );
    page.head(&[
        "variant",
        "services",
        "lines",
        "save",
        "apply",
        "again",
        "verify --no-probe",
        "verify",
        "status",
        "remove",
    ]);
    for (services, rounds) in SIZES {
        // It takes a minute to load so many, and is of no other use to the variants.
        let lab = Lab::new(Variant::Nft);
        if services > 0 {
            load(&lab, services);
        }
        let lines = said(&lab, &["nft", "list", "ruleset"]).lines().count();
        for variant in Variant::ALL {
            let times = times(&lab, variant, rounds);
            let ms = |what| format!("{:.1}", times.of(what));
            page.row(&[
                variant.to_string(),
                services.to_string(),
                lines.to_string(),
                ms("save"),
                format!("**{}**", ms("apply")),
                ms("again"),
                ms("look"),
                ms("verify"),
                ms("status"),
                ms("remove"),
            ]);
        }
    }
}

fn times(lab: &Lab, variant: Variant, rounds: u32) -> AllSeries {
    let lockdown = format!("{} --variant {variant}", lockdown_program().display());
    let script = format!(
        r#"{TIMED}
holds() {{ "$@" || [[ $? = 4 ]]; }}
timed save iptables-nft-save
timed apply {lockdown} {IMDS} root
timed again {lockdown} {IMDS} root
timed look holds {lockdown} verify --no-probe
timed verify {lockdown} verify
timed status {lockdown} status
timed remove {lockdown} remove
"#
    );
    let mut all = AllSeries::default();
    for _ in 0..rounds {
        add(&mut all, &lab.sh(&script).expect_code(0).stdout);
    }
    all
}

/// Loads the table in one transaction.
fn load(lab: &Lab, services: u32) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, ruleset(services)).expect("the ruleset");
    let path = file.path().to_str().expect("a path of text");
    said(lab, &["nft", "-f", path]);
}

/// What a program says that may take minutes.
fn said(lab: &Lab, words: &[&str]) -> String {
    let (program, arguments) = words.split_first().expect("a program");
    let output = lab.command(program).args(arguments).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The table of kube-proxy with so many services, as `sigs.k8s.io/knftables` writes it.
fn ruleset(services: u32) -> String {
    let mut text = String::from(
        "table ip kube-proxy {
            set cluster-ips { type ipv4_addr; }
            set nodeport-ips { type ipv4_addr; elements = { 192.0.2.10 }; }
            map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
            map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
            map service-nodeports { type inet_proto . inet_service : verdict; }
            chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
            chain masquerading {
                meta mark and 0x4000 == 0 return
                meta mark set meta mark xor 0x4000
                masquerade fully-random
            }\n",
    );
    let (mut addresses, mut elements) = (Vec::new(), Vec::new());
    for nth in 0..services {
        let (high, low) = (nth / 256 % 256, nth % 256);
        let address = format!("172.30.{high}.{low}");
        let service = format!("service-{nth:08X}-default/svc{nth}/tcp/http");
        let endpoints = [64, 65].map(|network| {
            let pod = format!("10.{network}.{high}.{low}");
            let chain = format!("endpoint-{nth:08X}-default/svc{nth}/tcp/http__{pod}/8080");
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "chain {chain} {{
                    ip saddr {pod} jump mark-for-masquerade
                    meta l4proto tcp dnat to {pod}:8080
                }}"
            );
            chain
        });
        let [one, two] = endpoints;
        let _ = writeln!(
            text,
            "chain {service} {{
                ip daddr {address} tcp dport 80 ip saddr != 10.64.0.0/14 jump mark-for-masquerade
                numgen random mod 2 vmap {{ 0 : goto {one}, 1 : goto {two} }}
            }}"
        );
        elements.push(format!("{address} . tcp . 80 : goto {service}"));
        addresses.push(address);
    }
    text.push_str(
        "chain services {
            ip daddr . meta l4proto . th dport vmap @service-ips
            ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
        }
        chain nat-output { type nat hook output priority -100; jump services; }
        chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
        chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
        }\n",
    );
    let _ = writeln!(
        text,
        "add element ip kube-proxy cluster-ips {{ {} }}
         add element ip kube-proxy service-ips {{ {} }}",
        addresses.join(", "),
        elements.join(", ")
    );
    text
}
