//! Other tools' nftables tables with NAT chains: a rule that may rewrite a locked address is reported, a rule that
//! cannot is not.

use lab::{How, IMDS_V4, Lab, User};

use lab::captures::{Dump, answers, captures, folder};

use crate::hosts::alone;
use crate::netns::support::{V4, lock, only_root, verify};

/// What a rule in a chain of a table of someone else comes to.
#[track_caller]
fn with_rule(lab: &Lab, rule: &str, code: i32) {
    let (chain, rule) = rule.split_once(' ').expect("a chain and a rule");
    lab.sh(&format!(
        "nft -f - <<'RULES'
         table inet x {{
            set ours {{ type ipv4_addr; elements = {{ {V4} }}; }}
            set changing {{ type ipv4_addr; flags dynamic,timeout; timeout 1m; }}
            set others {{ type ipv4_addr; elements = {{ 192.0.2.1 }}; }}
            map leads {{ type ipv4_addr : verdict; }}
            chain deeper {{ meta l4proto tcp redirect to :9090; }}
            chain sub {{ jump deeper; }}
            chain output {{ type nat hook output priority -100; }}
            chain prerouting {{ type nat hook prerouting priority -100; }}
            chain postrouting {{ type nat hook postrouting priority 100; }}
         }}
         add element inet x leads {{ {V4} : jump sub }}
         add rule inet x {chain} {rule}\nRULES"
    ))
    .expect_code(0);
    println!("{chain} {rule}");
    let verdict = verify(lab, code, &["--no-probe"]);
    if code == 1 {
        verdict.expect_failed("nat-untouched", "x ");
    } else {
        assert_eq!(verdict.failed(), [""; 0], "{rule}");
    }
    lab.sh("nft delete table inet x").expect_code(0);
}

with_nftables! {
    fn rules_that_may_rewrite_the_address_are_found(lab) {
        lock(lab, &[V4, "root"]);
        for rule in [
            "output ip daddr 169.254.169.254 tcp dport 80 dnat ip to 127.0.0.1:8080",
            "output ip daddr 169.254.0.0/16 tcp dport { 80, 443 } dnat ip to 127.0.0.1",
            "output ip daddr { 169.254.169.254, 169.254.170.2 } redirect",
            "output ip daddr @ours tcp dport 80 redirect to :8080",
            "output ip daddr 169.254.169.250-169.254.169.254 tcp dport 1-1024 redirect",
            "output ip daddr != 192.0.2.0/24 tcp dport 80 redirect",
            "output ip daddr != @others tcp dport != 22 redirect",
            "output tcp dport 80 counter redirect",
            "output meta skuid 1666 meta l4proto tcp redirect",
            "output meta nfproto ipv4 dnat to 127.0.0.1",
            "output fib daddr type != local tcp dport 80 redirect",
            "output ip daddr . tcp dport { 169.254.169.254 . 80 } dnat ip to 127.0.0.1",
            "output dnat ip to ip daddr map { 169.254.169.254 : 127.0.0.1 }",
            "output jump sub",
            "output ip daddr @changing redirect",
            "output ip daddr . tcp dport vmap { 169.254.169.254 . 80 : jump sub }",
            "output ct state new goto sub",
            "output ip daddr vmap { 169.254.169.254 : jump sub }",
            "output ip daddr vmap @leads",
            "output ip6 daddr fd00::/8 tcp dport 80 redirect",
            "prerouting ip daddr 169.254.169.254 dnat ip to 10.0.0.1",
            "output ip daddr 169.254.169.254 ip daddr set 127.0.0.1",
            "output tcp dport set 8080",
            "output ip daddr & 255.255.0.255 == 169.254.0.254 redirect",
            "output ip daddr . tcp dport { 169.254.0.0/16 . 1-1024 } redirect",
            "output dnat ip addr . port to ip daddr . tcp dport map { 169.254.169.254 . 80 : 127.0.0.1 . 8080 }",
            "output tcp dport vmap { 22 : accept, 80 : goto sub }",
        ] {
            with_rule(lab, rule, 1);
        }
    }

    fn rules_for_other_packets_are_not_held_against_anyone(lab) {
        lock(lab, &[V4, "root"]);
        for rule in [
            "output ip daddr 169.254.170.2 tcp dport 80 redirect to :51679",
            "output ip daddr 10.0.0.0/8 redirect",
            "output ip daddr @others redirect",
            "output ip daddr { 192.0.2.1, 198.51.100.0/24 } redirect",
            "output ip daddr != 0.0.0.0/0 redirect",
            "output tcp dport 443 redirect",
            "output tcp dport { 22, 8000-8080 } redirect",
            "output udp dport 53 redirect to :5353",
            "output meta l4proto udp redirect",
            "output fib daddr type local tcp dport 80 redirect to :8080",
            "output ip daddr 192.0.2.1 jump sub",
            "output meta mark set 1",
            // As kube-proxy has it.
            "output ip daddr . meta l4proto . th dport vmap { 10.96.0.1 . tcp . 443 : goto sub }",
            "output ip daddr vmap { 10.1.1.1 : jump sub, 10.0.0.0/24 : goto sub }",
            "output dnat ip to ip daddr map { 192.0.2.7 : 127.0.0.1 }",
            "output accept",
            "prerouting ip daddr 192.0.2.7 dnat ip to 10.0.0.1",
            "postrouting masquerade",
            "output ip daddr 169.254.169.254 ip saddr set 127.0.0.1",
            "output ip daddr . tcp dport { 169.254.0.0/16 . 81-1024 } redirect",
            "output ip daddr { 169.254.0.0/24, 169.254.169.255 } redirect",
            "output ip daddr 169.254.169.254 add @changing { ip saddr }",
            "output ip daddr 169.254.169.254 limit rate 1/second log counter",
        ] {
            with_rule(lab, rule, 4);
        }
    }

    fn containers_that_may_pass_are_not_asked_about_what_is_done_to_their_packets(lab) {
        lock(lab, &[V4, "root", "--forwarded=allow"]);
        with_rule(lab, "prerouting ip daddr 169.254.169.254 dnat ip to 10.0.0.1", 4);
        with_rule(lab, "output ip daddr 169.254.169.254 dnat ip to 10.0.0.1", 1);
    }

    fn an_expression_that_is_not_known_and_a_map_that_changes_are_unknown(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh(
            "nft 'table inet x {
                map moving { type ipv4_addr : verdict; flags timeout; timeout 1h; }
                chain output { type nat hook output priority -100; ip daddr vmap @moving; }
            }'",
        )
        .expect_code(0);
        verify(lab, 4, &[]).expect_said("nat-untouched", "it is not known whether nftables chain x output rewrites the address");
        only_root(lab);
        assert!(lab.attempt(&User::ROOT, How::Udp, IMDS_V4).passed());
    }

    fn no_program_is_needed_to_read_the_rules(lab) {
        lock(lab, &[V4, "root"]);
        let table = "table inet x { chain output { type nat hook output priority -100; ip daddr 169.254.169.254 redirect; }; }";
        lab.sh(&format!("nft '{table}'; rm /usr/sbin/nft")).expect_code(0);
        let rule = "`meta nfproto ipv4 ip daddr 169.254.169.254 redirect`";
        verify(lab, 1, &[]).expect_failed("nat-untouched", rule);
    }

    fn rules_for_ipv6_are_judged_for_ipv6(lab) {
        lock(lab, &[V4, "root"]);
        for (rule, code) in [
            ("output ip6 daddr fd00:ec2::254 dnat ip6 to ::1", 1),
            ("output ip6 daddr { 2001:db8::/32, fd00::/16 } redirect", 1),
            ("output ip6 daddr . tcp dport vmap { fd00:ec2::254 . 80 : goto sub }", 1),
            ("output meta nfproto ipv6 tcp dport 80 redirect", 1),
            ("prerouting ip6 daddr fd00:ec2::254 dnat ip6 to 2001:db8::1", 1),
            ("output ip6 daddr fd00:ec2::/64 tcp dport 443 redirect", 4),
            ("output ip6 daddr { 2001:db8::/32, fd01::/16 } redirect", 4),
            ("output ip6 daddr . tcp dport vmap { fd00:ec2::254 . 443 : goto sub }", 4),
            ("output ip6 nexthdr udp redirect", 4),
        ] {
            with_rule(lab, rule, code);
        }
    }

    // A rule that looks up what it does in a map of thousands, of which packets to the address find nothing.
    fn what_others_find_in_a_long_map_is_not_read(lab) {
        lock(lab, &[V4, "root"]);
        let services: Vec<String> = (0..2000)
            .map(|nth| format!("10.1.{}.{} . tcp . 80 : goto to-{nth}", nth / 256, nth % 256))
            .collect();
        let chains: Vec<String> = (0..2000)
            .map(|nth| format!("chain to-{nth} {{ meta l4proto tcp redirect; }}"))
            .collect();
        let table = format!(
            "table inet x {{
                map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
                {}
                chain output {{
                    type nat hook output priority -100;
                    ip daddr . meta l4proto . th dport vmap @services
                }}
            }}
            add element inet x services {{ {} }}",
            chains.join("\n"),
            services.join(", ")
        );
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, table).expect("the rules");
        lab.run(&["nft", "-f", file.path().to_str().expect("a path of text")]).expect_code(0);
        verify(lab, 0, &[]);
        lab.sh(&format!("nft add element inet x services '{{ {V4} . tcp . 80 : goto to-7 }}'")).expect_code(0);
        verify(lab, 1, &[]).expect_failed("nat-untouched", "nftables chain x output may rewrite the address");
    }

    fn a_native_chain_with_a_name_of_iptables_is_read(lab) {
        lock(lab, &[V4, "root"]);
        for chain in [
            "chain OUTPUT { type nat hook output priority -50;",
            "chain PREROUTING { type nat hook output priority -100;",
            "chain OUTPUT { type nat hook output priority -101;",
        ] {
            lab.sh(&format!("nft 'table ip nat {{ {chain} ip daddr {V4} dnat to 192.0.2.2; }}; }}'")).expect_code(0);
            verify(lab, 1, &["--no-probe"]).expect_failed("nat-untouched", "nat ");
            lab.sh("nft delete table ip nat").expect_code(0);
        }
    }

    fn a_table_with_a_command_for_a_name_is_read_as_any_other(lab) {
        lock(lab, &[V4, "root"]);
        let name = "a; delete table inet ip_lockdown";
        for (verdict, code) in [("accept", 0), ("redirect", 1)] {
            let json = serde_json::json!({"nftables": [
                {"add": {"table": {"family": "ip", "name": "a"}}},
                {"add": {"table": {"family": "ip", "name": name}}},
                {"add": {"chain": {"family": "ip", "table": name, "name": "o", "type": "nat", "hook": "output",
                                   "prio": -100, "policy": "accept"}}},
                {"add": {"rule": {"family": "ip", "table": name, "chain": "o", "expr": [{verdict: null}]}}},
            ]});
            let script = r#"printf %s "$1" | nft -j -f -"#;
            lab.run(&["bash", "-euc", script, "add", &json.to_string()]).expect_code(0);
            verify(lab, code, &[]);
            assert!(lab.sh("nft list table inet ip_lockdown").stdout.contains("IPL-169.254.169.254"));
        }
    }
}

/// What iptables-nft shows is judged by what it shows; on a host without iptables, rules that it left are judged as the
/// kernel lists them.
#[test]
fn rules_that_iptables_left_are_read_without_it() {
    let lab = &alone();
    lock(lab, &[V4, "root"]);
    let iptables = "/usr/lib/lab-put-aside/iptables-nft -t nat";
    for (rule, code) in [
        ("-m addrtype --dst-type LOCAL -j REDIRECT", 4),
        (
            "-d 169.254.170.2 -p tcp -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:51679",
            4,
        ),
        ("-p tcp -m tcp --dport 443 -j REDIRECT --to-ports 8443", 4),
        ("-p udp -m udp --dport 80 -j REDIRECT", 4),
        (
            "-p tcp -m tcp --dport 1:1024 -j REDIRECT --to-ports 8080",
            1,
        ),
        ("-d 169.254.0.0/16 -j DNAT --to-destination 127.0.0.1", 1),
        ("-m addrtype ! --dst-type LOCAL -j REDIRECT", 1),
        ("-m owner --uid-owner 1337 -j RETURN", 4),
        ("-j LOG", 4),
    ] {
        lab.sh(&format!("{iptables} -A OUTPUT {rule}"))
            .expect_code(0);
        println!("{rule}");
        let verdict = verify(lab, code, &["--no-probe"]);
        if code == 1 {
            verdict.expect_failed("nat-untouched", "nftables chain nat OUTPUT");
        }
        lab.sh(&format!("{iptables} -F OUTPUT")).expect_code(0);
    }
}

/// The captures in `tests/corpus/netlink` come to what this kernel's own messages come to. `BLESS=1` writes them anew.
#[test]
fn captures_come_to_what_the_kernel_lists() {
    for name in captures() {
        let lab = &alone();
        let ruleset = folder().join(format!("{name}.nft"));
        let dumped = tempfile::NamedTempFile::new().expect("a file");
        let path = |path: &std::path::Path| path.to_str().expect("a path of text").to_owned();
        lab.run(&["nft", "-f", &path(&ruleset)]).expect_code(0);
        lab.dump(dumped.path());
        let bytes = std::fs::read(dumped.path()).expect("the dump");
        let captured = folder().join(format!("{name}.dump"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&captured, &bytes).expect("the capture can be written");
        }
        let captured = std::fs::read(&captured).expect("the capture");
        let answers = |bytes: &[u8]| answers(&Dump::read(bytes).expect("it is whole"), &name);
        assert_eq!(answers(&bytes), answers(&captured), "{name}");
    }
}
