//! Long lists, whose rules are in sub-chains: the same users get through as with one chain, and `remove` removes all
//! sub-chains.

use lab::{IMDS, IMDS_V4, Lab, User};
use serde_json::Value;

use crate::hosts::alone;
use crate::netns::support::{V4, V6, lock, not_open, refused, served, settle, verify};
use lab::saved::{own_table, state};

/// Each odd uid from 1 on: alice is one of them, mallory and root are not.
fn odd_uids(count: u32) -> Vec<String> {
    (0..count).map(|nth| (2 * nth + 1).to_string()).collect()
}

fn words(uids: &[String]) -> Vec<&str> {
    let uids = uids.iter().map(String::as_str);
    std::iter::once(V4).chain(uids).collect()
}

fn user(uid: u32) -> User {
    User {
        uid,
        gid: 65533,
        groups: &[],
        ..User::ALICE
    }
}

/// Packets that were refused, of all layers and addresses.
#[track_caller]
fn refused_packets(lab: &Lab) -> u64 {
    let status: Value = lock(lab, &["status", "--output=json"]).json();
    let counters = status["locks"][0]["counters"].as_array().expect("a list");
    let packets = counters
        .iter()
        .map(|counted| counted["refused"]["packets"].as_u64());
    packets.map(|packets| packets.expect("a number")).sum()
}

on_hosts! {
    [nft, legacy, alone, nft_security, legacy_security]

    fn ten_thousand_users_are_served_and_all_others_refused(lab) {
        // The tables come into being, and stay.
        lock(lab, &[V4, "root"]);
        lock(lab, &["remove"]);
        let before = state(lab);
        let uids = odd_uids(10_000);
        lock(lab, &words(&uids));
        // At the edges of sub-chains of each level, and on both sides of the whole list.
        for uid in [1, 31, 33, 511, 513, 8191, 8193, 10_001, 19_999] {
            served(lab, &user(uid), &[IMDS_V4]);
        }
        for uid in [0, 2, 32, 512, 8192, 10_000, 19_998, 20_000, 20_001, 4_294_967_294] {
            refused(lab, &user(uid), &[IMDS_V4]);
        }
        served(lab, &user(19_999), &IMDS);
        refused(lab, &user(16_384), &IMDS);
        let long = state(lab);
        // No closing packet is refused in a sub-chain, nor in the first.
        settle(lab);
        let refused_before = refused_packets(lab);
        for address in IMDS {
            assert_eq!(lab.requests(&user(10_001), address, 100).served, 100);
        }
        settle(lab);
        assert_eq!(refused_packets(lab), refused_before);
        assert_eq!(lab.server_half_closed(), 0);
        // What is counted in a sub-chain counts.
        not_open(lab, &user(10_000), &[IMDS_V4]);
        assert_eq!(refused_packets(lab), refused_before + 1);
        verify(lab, 0, &words(&uids));
        let again = lock(lab, &words(&uids));
        assert!(again.stdout.contains("(unchanged)"), "{again}");
        let text = lock(lab, &["status"]).stdout;
        assert!(text.contains("uid 19 and 9990 more") && !text.contains("drift"), "{text}");

        lock(lab, &[V4, "root"]);
        let short = state(lab);
        assert!(!short.contains("IPL0") && !short.contains(" goto ") && !short.contains(" -g "), "{short}");
        served(lab, &User::ROOT, &IMDS);
        refused(lab, &user(1), &IMDS);
        lock(lab, &words(&uids));
        assert_eq!(state(lab), long);
        lock(lab, &["remove", V6]);
        assert_eq!(state(lab), before);
        served(lab, &User::MALLORY, &IMDS);
    }

    fn damage_in_a_sub_chain_is_told_and_mended(lab) {
        let uids = odd_uids(600);
        lock(lab, &words(&uids));
        let sound = state(lab);
        let iptables = [
            "$ipt -D IPL01-$v4 3",
            "$ipt -I IPL01-$v4 3 -j ACCEPT",
            "$ipt -R IPL01-$v4 3 -m owner --uid-owner 1666 -j RETURN",
            "$ipt -F IPL01-$v4",
            "$ipt -A IPL01-$v4 -j RETURN",
            // 600 rules are in sub-chains 00 to 11, which three others lead to.
            "$ipt -R IPL12-$v4 2 -m owner --uid-owner 33-63 -g IPL00-$v4",
            "$ipt -D IPL12-$v4 2; $ipt -F IPL01-$v4; $ipt -X IPL01-$v4",
            "$ipt -F IPL-$v4; for nth in 2 3 4; do $ipt -F IPL1$nth-$v4; $ipt -X IPL1$nth-$v4; done",
            "$ipt -N IPL77-$v4; $ipt -A IPL77-$v4 -j ACCEPT",
            "$ipt -A OUTPUT -d $v4 -g IPL01-$v4",
            "$ipt -N mine; $ipt -A mine -j IPL14-$v4",
            "$ipt6 -F IPL01-$v6",
        ];
        let nft = [
            "nft flush chain inet ip_lockdown IPL01-$v4",
            "nft insert rule inet ip_lockdown IPL01-$v4 accept",
            "nft add rule inet ip_lockdown IPL01-$v4 return",
            "nft flush chain inet ip_lockdown IPL12-$v4; nft delete chain inet ip_lockdown IPL01-$v4",
            "nft insert rule inet ip_lockdown IPL12-$v4 meta skuid 33-63 goto IPL00-$v4",
            "nft insert rule inet ip_lockdown IPL01-$v4 meta skuid 1666 counter return",
            "nft add chain inet ip_lockdown IPL77-$v4",
        ];
        let of_iptables = iptables.iter().filter(|_| !lab.is_without_iptables());
        let of_nft = nft.iter().filter(|_| !own_table(lab).is_empty());
        for script in of_iptables.chain(of_nft) {
            let variant = lab.variant();
            let harm = format!(
                "ipt=iptables-{variant} ipt6=ip6tables-{variant} v4={V4} v6={V6}\n{script}"
            );
            lab.sh(&harm).expect_code(0);
            let verdict = verify(lab, 1, &[]);
            let failed = verdict.failed();
            let told = failed.iter().any(|id| matches!(*id, "rules-match" | "jump-first"));
            assert!(told, "{script}: {failed:?}");
            if !lab.is_without_iptables() {
                not_open(lab, &User::MALLORY, &IMDS);
            }
            lock(lab, &words(&uids));
            let mended = state(lab);
            let foreign = |line: &&str| line.contains(" mine") || line.contains(":mine");
            let left: Vec<&str> = mended.lines().filter(|line| !foreign(line)).collect();
            assert_eq!(left, sound.lines().collect::<Vec<_>>(), "{script}");
            verify(lab, 0, &[]);
        }
        served(lab, &User::ALICE, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
    }

    fn damage_in_all_layers_is_reported_and_remove_removes_the_rest(lab) {
        lock(lab, &words(&odd_uids(100)));
        let harm = format!(
            "for ipt in iptables-{variant} ip6tables-{variant}; do
                for table in filter security; do
                    for address in {V4} {V6}; do
                        $ipt -t $table -F IPL03-$address 2> /dev/null || true
                    done
                done
            done
            nft flush chain inet ip_lockdown IPL03-{V4} 2> /dev/null || true
            nft flush chain inet ip_lockdown IPL03-fd00_ec2__254 2> /dev/null || true",
            variant = lab.variant()
        );
        lab.sh(&harm).expect_code(0);
        verify(lab, 1, &[]).expect_failed("rules-match", "not known who is allowed");
        let status = lab.lockdown(&["status"]).expect_code(0);
        assert!(status.stdout.contains("damaged"), "{status}");
        lock(lab, &["remove"]);
        let after = state(lab);
        assert!(!after.contains("IPL"), "{after}");
        assert_eq!(own_table(lab), "");
    }
}

on_every_host! {
    fn many_addresses_are_locked_in_one_go_and_nothing_of_them_is_left(lab) {
        lock(lab, &[V4, "root"]);
        lock(lab, &["remove"]);
        let before = state(lab);
        // Long and short ones, each with a list of its own, all of one transaction.
        let addresses: Vec<String> = (1..=60).flat_map(|nth| {
            [format!("203.0.113.{nth}"), format!("2001:db8:1234:5678:9abc:def0:1234:{nth}")]
        }).collect();
        let lockdowns = addresses.iter().enumerate().map(|(nth, address)| {
            let uids: Vec<String> = (0..20).map(|uid| (3000 + 100 * nth + 2 * uid).to_string()).collect();
            format!("[[lockdown]]\naddress = \"{address}\"\nusers = [{}]\n", uids.join(", "))
        });
        let lockdowns: Vec<String> = lockdowns.collect();
        let text = crate::netns::config::imds("\"alice\"") + &lockdowns.concat();
        crate::netns::config::write(lab, crate::netns::config::CONFIG, &text);
        lock(lab, &["apply"]);
        assert_eq!(verify(lab, 4, &["--no-probe"]).failed(), [""; 0]);
        let again = lock(lab, &["apply"]);
        assert_eq!(again.stdout.matches("(unchanged)").count(), addresses.len() + 1, "{again}");
        served(lab, &User::ALICE, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        for address in [&addresses[0], &addresses[119]] {
            refused(lab, &User::ALICE, &[address.parse().expect("an address")]);
        }
        lock(lab, &["remove", &addresses[60]]);
        assert!(!state(lab).contains(&addresses[60]));
        verify(lab, 0, &[V4, "alice"]);
        lock(lab, &["remove"]);
        assert_eq!(state(lab), before);
    }
}

#[test]
fn the_root_of_a_user_namespace_installs_a_list_that_exceeds_a_socket_s_buffer() {
    let lab = alone();
    // 400 rules of each family are more than net.core.wmem_default, 208 KiB, and less than what the limit
    // net.core.wmem_max of the same size gives.
    let script = r#"
        unshare --user --net sleep 60 & inside=$!
        until [ "$(readlink /proc/self/ns/user)" != "$(readlink /proc/$inside/ns/user)" ]; do sleep 0.01; done
        echo 0 0 65536 > /proc/$inside/uid_map; echo 0 0 65536 > /proc/$inside/gid_map
        within() { nsenter --user --net --target $inside "$@"; }
        within "$@"
        within nft list table inet ip_lockdown | grep --count 'skuid [0-9]* counter .*return'
        within "$1" remove
        within nft list tables
        kill $inside"#;
    let uids = odd_uids(400);
    let mut command = lab.command("bash");
    command
        .args(["-euc", script, "inside"])
        .arg(lab::lockdown_program())
        .arg("--layers=nftables")
        .args(words(&uids));
    let done = lab::Done::of(&mut command).expect_code(0);
    let says = |text: &str| assert!(done.stdout.contains(text), "{text}: {done}");
    says("locked, only uid 1,");
    says("\n800\n");
    assert!(
        done.stdout.ends_with("is open to all users again\n"),
        "{done}"
    );
}

on_both_variants! {
    fn a_reader_of_the_rules_finds_the_way(lab) {
        let text = "2001:db8:1234:5678:9abc:def0:1234:5678";
        let uids = odd_uids(40);
        let mut words = words(&uids);
        words[0] = text;
        words.extend(["--group", "metadata"]);
        lock(lab, &words);
        let program = format!("ip6tables-{}", lab.variant());
        let rules = lab.run(&[&program, "-S"]).expect_code(0).stdout;
        for line in [
            "-A OUTPUT -d 2001:db8:1234:5678:9abc:def0:1234:5678/128 -j IPL-IAENuBI0VniavN7wEjRWeA\n\
             ",
            "-A IPL-IAENuBI0VniavN7wEjRWeA -m owner --gid-owner 2000 --suppl-groups \
             -m comment --comment metadata -j RETURN\n\
             -A IPL-IAENuBI0VniavN7wEjRWeA -m owner --uid-owner 1-31 -g IPL00-IAENuBI0VniavN7wEjRWeA\n\
             -A IPL-IAENuBI0VniavN7wEjRWeA -m owner --uid-owner 33-63 -g IPL01-IAENuBI0VniavN7wEjRWeA\n\
             -A IPL-IAENuBI0VniavN7wEjRWeA -m owner --uid-owner 65-79 -g IPL02-IAENuBI0VniavN7wEjRWeA\n",
            "-A IPL00-IAENuBI0VniavN7wEjRWeA -m owner --uid-owner 31 -j RETURN\n\
             -A IPL00-IAENuBI0VniavN7wEjRWeA -p tcp -m tcp --sport 16925\n\
             -A IPL00-IAENuBI0VniavN7wEjRWeA -p udp -m udp --sport 16925\n\
             -A IPL00-IAENuBI0VniavN7wEjRWeA -p tcp -j REJECT --reject-with tcp-reset\n\
             -A IPL00-IAENuBI0VniavN7wEjRWeA -j REJECT --reject-with icmp6-port-unreachable\n",
        ] {
            assert!(rules.contains(line), "no {line:?} in {rules}");
        }
        lock(lab, &["remove", text]);
        assert!(!state(lab).contains("IPL"), "{}", state(lab));
    }

    fn a_listed_group_passes_whatever_sub_chain_its_members_uid_belongs_to(lab) {
        let uids = odd_uids(600);
        let mut words = words(&uids);
        words.push("--group=metadata");
        lock(lab, &words);
        // The uid is in the range of a sub-chain, and not listed there.
        let member = User { groups: &[2000], ..user(1002) };
        served(lab, &member, &IMDS);
        refused(lab, &user(1002), &IMDS);
        served(lab, &User::ALICE, &IMDS);
        verify(lab, 0, &[]);
    }
}
