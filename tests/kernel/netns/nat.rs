//! Tables of others in nftables that translate addresses: what may rewrite ours is found, and what cannot is not
//! held against anyone.

use lab::{How, IMDS_V4, Lab, User};

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
        ] {
            with_rule(lab, rule, 4);
        }
    }

    fn containers_that_may_pass_are_not_asked_about_what_is_done_to_their_packets(lab) {
        lock(lab, &[V4, "root", "--forwarded=allow"]);
        with_rule(lab, "prerouting ip daddr 169.254.169.254 dnat ip to 10.0.0.1", 4);
        with_rule(lab, "output ip daddr 169.254.169.254 dnat ip to 10.0.0.1", 1);
    }

    fn a_listing_that_is_not_understood_is_unknown(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh(
            "mkdir -p /usr/lib/real; cp /usr/sbin/nft /usr/lib/real/nft
             nft 'table inet x { chain output { type nat hook output priority -100; ip daddr 10.0.0.1 redirect; }; }'",
        )
        .expect_code(0);
        verify(lab, 0, &[]);
        lab.stub(
            "/usr/sbin/nft",
            "#!/bin/bash\nif [[ $* == *' x' ]]; then /usr/lib/real/nft \"$@\" | sed 's/redirect/turn/'; exit; fi\nexec /usr/lib/real/nft \"$@\"\n",
        );
        verify(lab, 4, &[]).expect_said("nat-untouched", "x output of nftables rewrites it is not known");
        only_root(lab);
        assert!(lab.attempt(&User::ROOT, How::Udp, IMDS_V4).passed());
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

    fn a_table_with_a_command_for_a_name_is_not_asked_for(lab) {
        lock(lab, &[V4, "root"]);
        let name = "a; delete table inet ip_lockdown";
        let json = serde_json::json!({"nftables": [
            {"add": {"table": {"family": "ip", "name": "a"}}},
            {"add": {"table": {"family": "ip", "name": name}}},
            {"add": {"chain": {"family": "ip", "table": name, "name": "o", "type": "nat", "hook": "output",
                               "prio": -100, "policy": "accept"}}},
            {"add": {"rule": {"family": "ip", "table": name, "chain": "o", "expr": [{"accept": null}]}}},
        ]});
        let script = r#"printf %s "$1" | nft -j -f -"#;
        lab.run(&["bash", "-euc", script, "add", &json.to_string()]).expect_code(0);
        verify(lab, 4, &[]).expect_said("nat-untouched", "is none that nft can be asked for");
        only_root(lab);
        assert!(lab.sh("nft list table inet ip_lockdown").stdout.contains("IPL-169.254.169.254"));
    }
}
