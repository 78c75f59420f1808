//! The layer nftables: other tools or accidents change our own table. `verify` reports it, another layer keeps the
//! address locked if there is one, and `apply` repairs the table.

use lab::{Done, Family, How, IMDS, IMDS_V4, Lab, User, lockdown_program};
use serde_json::Value;

use crate::hosts::alone;
use crate::netns::support::{V4, V6, lock, not_open, only_root, refused, served, verify};
use lab::saved::own_table;

/// One disturbance after the other: `verify` fails with these findings, nobody unlisted gets through where there
/// is another layer, and `apply` brings the very same state back.
fn reported_and_fixed(lab: &Lab, cases: &[(&str, &[&str])]) {
    lock(lab, &[V4, "root", "alice"]);
    let sound = own_table(lab);
    for (script, findings) in cases {
        let script = format!("t='inet ip_lockdown' chain=IPL-{V4} forward=IPF-{V4}\n{script}");
        lab.sh(&script).expect_code(0);
        let verdict = verify(lab, 1, &[]);
        let failed = verdict.failed();
        assert!(
            findings.iter().all(|id| failed.contains(id)),
            "{script}: {failed:?}"
        );
        if !lab.is_without_iptables() {
            verdict.expect_said("address-locked", "locked by filter alone");
            not_open(lab, &User::MALLORY, &IMDS);
        }
        lock(lab, &[V4, "root", "alice"]);
        pretty_assertions::assert_eq!(own_table(lab), sound, "{script}");
        verify(lab, 0, &[]);
    }
    served(lab, &User::ALICE, &IMDS);
    refused(lab, &User::MALLORY, &IMDS);
}

with_nftables! {
    fn damage_to_the_table_is_reported_and_fixed(lab) {
        reported_and_fixed(lab, &[
            ("nft flush table $t", &["rules-match"]),
        ]);
    }

    fn a_missing_table_is_reported_and_installed_again(lab) {
        let gone = if lab.is_without_iptables() {
            "something-locked"
        } else {
            "backstop-present"
        };
        reported_and_fixed(lab, &[("nft delete table $t", &[gone])]);
    }

    fn damage_to_its_chains_is_reported_and_fixed(lab) {
        reported_and_fixed(lab, &[
            ("nft flush chain $t $chain", &["rules-match"]),
            ("nft insert rule $t $chain accept", &["rules-match"]),
            ("nft insert rule $t $chain meta skuid 1666 counter return", &["rules-match"]),
            ("nft add rule $t $chain drop", &["rules-match"]),
            ("nft insert rule $t $forward meta mark 1 accept", &["rules-match"]),
            ("nft flush chain $t $forward", &["rules-match"]),
            ("nft insert rule $t $chain meta skuid 1666 counter return comment '\"mallory\"'", &["rules-match"]),
            ("nft replace rule $t $chain handle $(nft -a list chain $t $chain | sed -n 's/.*alice.*handle //p') \
              meta skuid 1666 counter return comment '\"alice\"'", &["rules-match"]),
            ("nft delete rule $t $chain handle $(nft -a list chain $t $chain | sed -n 's/.*alice.*handle //p')",
             &["rules-match"]),
        ]);
    }

    fn a_foreign_rule_longer_than_a_page_hides_none_of_ours(lab) {
        // The first rule of the table: the first chain has it.
        lab.sh("t='inet ip_lockdown'; nft add table $t && nft add chain $t first \\
                && nft add rule $t first $(seq -f 'ip saddr != 192.0.2.%g' 60) accept").expect_code(0);
        verify(lab, 1, &[]);
        lock(lab, &[V4, "root", "alice"]);
        verify(lab, 0, &[]);
        let again = lock(lab, &[V4, "root", "alice"]);
        assert!(again.stdout.contains("(unchanged)"), "{again}");
        refused(lab, &User::MALLORY, &IMDS);
    }

    fn damage_to_its_hooks_is_reported_and_fixed(lab) {
        reported_and_fixed(lab, &[
            ("nft flush chain $t OUTPUT", &["jump-first"]),
            ("nft flush table $t; nft delete chain $t $chain
              nft add chain $t $chain '{ type filter hook output priority 3; }'", &["rules-match"]),
            ("nft flush chain $t FORWARD", &["jump-first"]),
            ("nft insert rule $t OUTPUT accept", &["jump-first", "no-bypass"]),
            ("nft insert rule $t OUTPUT meta skuid 1666 accept", &["jump-first", "no-bypass"]),
            ("nft insert rule $t FORWARD counter return", &["jump-first", "no-bypass"]),
            ("nft flush chain $t OUTPUT; nft delete chain $t OUTPUT", &["jump-first"]),
            ("nft flush chain $t OUTPUT; nft delete chain $t OUTPUT; nft add chain $t OUTPUT;
              nft add rule $t OUTPUT ip daddr 169.254.169.254 jump $chain", &["jump-first"]),
            ("nft flush chain $t FORWARD; nft delete chain $t FORWARD
              nft add chain $t FORWARD '{ type filter hook input priority 50; }'
              nft add rule $t FORWARD ip daddr 169.254.169.254 jump $forward", &["jump-first"]),
            ("nft chain $t OUTPUT '{ policy drop; }'; nft chain $t OUTPUT '{ policy accept; }'
              nft insert rule $t OUTPUT ip daddr 169.254.169.254 tcp dport 80 jump $chain", &["jump-first"]),
        ]);
    }

    fn a_foreign_rule_behind_our_jumps_is_reported_and_removed(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh("nft add rule inet ip_lockdown OUTPUT ip daddr 169.254.169.253 drop").expect_code(0);
        verify(lab, 1, &[])
            .expect_failed("rules-match", "OUTPUT has a foreign rule")
            .expect_said("address-locked", "nftables");
        refused(lab, &User::MALLORY, &IMDS);
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
    }

    fn a_table_that_is_switched_off_enforces_nothing_and_is_switched_on(lab) {
        lock(lab, &[V4, "root"]);
        let sound = own_table(lab);
        lab.sh("nft 'add table inet ip_lockdown { flags dormant; }'").expect_code(0);
        verify(lab, 1, &[]).expect_failed_in("rules-match", "nftables");
        let open = lab.attempt(&User::MALLORY, How::Tcp, IMDS_V4).passed();
        assert_eq!(open, lab.is_without_iptables());
        lock(lab, &[V4, "root"]);
        assert_eq!(own_table(lab), sound);
        verify(lab, 0, &[]);
        only_root(lab);
        // Together with a hook that has gone: more than the kernel does in one transaction.
        lab.sh("nft 'add table inet ip_lockdown { flags dormant; }'
            nft flush chain inet ip_lockdown OUTPUT; nft delete chain inet ip_lockdown OUTPUT").expect_code(0);
        lock(lab, &[V4, "root", "alice"]);
        verify(lab, 0, &[V4, "root", "alice"]);
        refused(lab, &User::MALLORY, &IMDS);
    }

    fn what_others_keep_in_our_table_stays(lab) {
        lock(lab, &[V4, "root"]);
        let theirs = "chain theirs {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 1 drop\n\t}";
        lab.sh(&format!("nft 'table inet ip_lockdown {{ set s {{ type uid; elements = {{ 5 }}; }}; {theirs}; }}'"))
            .expect_code(0);
        verify(lab, 0, &[]);
        lock(lab, &[V4, "root", "bob"]);
        assert!(own_table(lab).contains("tcp dport 1 drop"), "{}", own_table(lab));
        served(lab, &User::BOB, &IMDS);
        lock(lab, &["remove"]);
        let left = own_table(lab);
        assert!(left.contains("tcp dport 1 drop") && left.contains("set s"), "{left}");
        assert!(!left.contains("IPL-") && !left.contains("IPF-"), "{left}");
        served(lab, &User::MALLORY, &IMDS);
    }

    fn remove_leaves_no_table(lab) {
        lock(lab, &[V4, "root"]);
        lock(lab, &["192.0.2.77", "alice"]);
        lock(lab, &["remove", V4]);
        assert!(own_table(lab).contains("IPL-192.0.2.77"), "{}", own_table(lab));
        verify(lab, 0, &["192.0.2.77", "alice"]);
        lock(lab, &["remove"]);
        let tables = lab.sh("nft list tables").stdout;
        assert!(!tables.contains("ip_lockdown"), "{tables}");
    }

    fn counters_of_a_chain_that_stands_live_on(lab) {
        lock(lab, &[V4, "root"]);
        for address in IMDS {
            lab.curl(&User::ROOT, address).expect_code(0);
        }
        let handles = lab.sh("nft -a list table inet ip_lockdown | grep -o 'handle [0-9]*'").stdout;
        let passed = |lab: &Lab| -> u64 {
            let status: Value = lock(lab, &["status", "--output=json"]).json();
            let counted = status["locks"][0]["counters"].as_array().expect("a list");
            counted
                .iter()
                .filter(|counted| counted["layer"] == "nftables")
                .filter_map(|counted| counted["passed"]["packets"].as_u64())
                .sum()
        };
        let before = passed(lab);
        assert!(before >= 16, "{before}");
        lock(lab, &[V4, "root"]);
        lock(lab, &["192.0.2.77", "alice"]);
        lock(lab, &["remove", "192.0.2.77"]);
        assert!(passed(lab) >= before);
        let after = lab.sh("nft -a list table inet ip_lockdown | grep -o 'handle [0-9]*'").stdout;
        // The chains at the hooks were filled anew, with new jumps; nothing else.
        let kept = handles.lines().filter(|handle| after.lines().any(|line| line == *handle));
        assert!(handles.lines().count() - kept.count() <= 4, "{handles}\n{after}");
    }

    fn many_users_ranges_and_names_are_served(lab) {
        // Separate, adjacent, in ranges, with and without names.
        let words = [V4, "root", "alice", "bob", "1003-1010", "1012", "1014-1014", "65000-65533", "4294967294"];
        lock(lab, &words);
        verify(lab, 0, &words);
        for uid in [1003, 1010, 1012, 1014, 65000, 65533, 4_294_967_294] {
            served(lab, &User { uid, ..User::MALLORY }, &IMDS);
        }
        for uid in [1, 999, 1011, 1013, 1015, 64999, 65534, 4_294_967_293] {
            refused(lab, &User { uid, ..User::MALLORY }, &IMDS);
        }
        served(lab, &User::ALICE, &IMDS);
        lock(lab, &[V4, "alice"]);
        refused(lab, &User::BOB, &IMDS);
        verify(lab, 0, &[V4, "alice"]);
    }

    fn without_nft_everything_of_ours_works(lab) {
        lab.hide("/usr/sbin/nft");
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
        only_root(lab);
        lock(lab, &["remove"]);
        served(lab, &User::MALLORY, &IMDS);
    }

    fn without_nft_other_tools_nat_tables_are_checked(lab) {
        lab.sh("nft 'table ip x { chain c { type nat hook output priority -100; tcp dport 81 accept; }; }'")
            .expect_code(0);
        lab.hide("/usr/sbin/nft");
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[]).expect_said("nat-untouched", "no NAT rule rewrites the address");
    }
}

#[test]
fn a_host_with_nothing_at_all_is_told_what_it_lacks() {
    let mut lab = alone();
    lab.take_nf_tables();
    let done = lab.lockdown(&[V4, "root"]).expect_code(3);
    assert!(done.stderr.contains("has no nf_tables"), "{done}");
    let mut command = lab.without("nf-tables", lockdown_program());
    let auto = Done::of(command.args([V4, "root"])).expect_code(3);
    assert!(auto.stderr.contains("apt-get install iptables"), "{auto}");
}

#[test]
fn a_host_without_iptables_needs_no_option_for_it() {
    let lab = alone();
    let run = |words: &[&str], code| {
        Done::of(lab.command(lockdown_program()).args(words)).expect_code(code)
    };
    run(&[V4, "root"], 0);
    only_root(&lab);
    let status = run(&["status"], 0);
    assert!(
        status
            .stdout
            .contains("layers      nftables, IPv4 and IPv6"),
        "{status}"
    );
    assert!(
        status.stdout.contains("backstop    none needed"),
        "{status}"
    );
    run(&["verify"], 0);
    run(&["verify", V6, "root"], 0);
    let groups = run(&[V4, "root", "--group=ops"], 3);
    assert!(groups.stderr.contains("install"), "{groups}");
    let groups = run(&["--layers=nftables", V4, "root", "--group=ops"], 2);
    assert!(groups.stderr.contains("supplementary groups"), "{groups}");
    only_root(&lab);
    // A table of that name, made by nft, is nobody's lockdown.
    lab.sh("nft 'table ip filter { chain output { type filter hook output priority 0; }; }'")
        .expect_code(0);
    run(&["verify"], 0);
    assert!(lab.save(Family::V4).contains("*filter"));
    run(&["remove"], 0);
    served(&lab, &User::MALLORY, &IMDS);
}
