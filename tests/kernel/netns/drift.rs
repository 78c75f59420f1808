//! Other tools or people change our rules: `verify` reports it, the other layer keeps the address locked, and `apply`
//! repairs it.

use lab::{Ending, Family, How, IMDS, IMDS_V4, IMDS_V6, Lab, User};

use crate::netns::support::{V4, lock, not_open, only_root, served, verify};
use lab::saved::state;

/// The lab's iptables; `$ipt` in the scripts below.
fn disturb(lab: &Lab, script: &str) {
    let variant = lab.variant();
    let script = format!(
        "ipt=iptables-{variant} ipt6=ip6tables-{variant} chain=IPL-{V4} forward=IPF-{V4}\n{script}"
    );
    lab.sh(&script).expect_code(0);
}

/// One disturbance after the other: `verify` fails with these findings, nobody unlisted gets through meanwhile,
/// and `apply` brings the very same state back.
fn reported_and_fixed(lab: &Lab, cases: &[(&str, &[&str])]) {
    lock(lab, &[V4, "root"]);
    let sound = state(lab);
    for (script, findings) in cases {
        disturb(lab, script);
        let verdict = verify(lab, 1, &[]);
        let failed = verdict.failed();
        assert!(
            findings.iter().all(|id| failed.contains(id)),
            "{script}: {failed:?}"
        );
        not_open(lab, &User::MALLORY, &IMDS);
        lock(lab, &[V4, "root"]);
        let mended: String = ours(&state(lab));
        assert_eq!(mended, ours(&sound), "{script}");
        verify(lab, 0, &[]);
    }
    only_root(lab);
}

/// The lines of a listing that name our chains.
fn ours(state: &str) -> String {
    let ours = |line: &&str| line.contains("IPL-") || line.contains("IPF-");
    state
        .lines()
        .filter(ours)
        .flat_map(|line| {
            [
                line, "
",
            ]
        })
        .collect()
}

in_filter_and_security! {
    fn misplaced_jumps_are_told_and_mended(lab) {
        reported_and_fixed(lab, &[
            ("$ipt -A OUTPUT -d 169.254.169.254 -j $chain", &["jump-first"]),
            ("$ipt -I OUTPUT -d 169.254.169.254 -j $chain", &["jump-first"]),
            ("$ipt -I OUTPUT -d 169.254.169.254 -p tcp -j $chain", &["jump-first"]),
            ("$ipt -I OUTPUT -d 169.254.169.254 -m comment --comment 'by hand' -j $chain", &["jump-first"]),
            ("$ipt -A OUTPUT -g $chain", &["jump-first"]),
            ("$ipt -D OUTPUT -d 169.254.169.254 -j $chain", &["jump-first"]),
            ("$ipt -t security -D OUTPUT 1", &["jump-first"]),
            ("$ipt -D OUTPUT -d 169.254.169.254 -j $chain; $ipt -I OUTPUT -d 169.254.169.254 -p tcp -j $chain",
             &["jump-first"]),
            ("$ipt -N AROUND; $ipt -A AROUND -j $chain", &["jump-first"]),
            ("$ipt -A FORWARD -i lo -j $forward", &["jump-first"]),
            ("$ipt -A INPUT -j $forward", &["jump-first"]),
            ("$ipt -D FORWARD -d 169.254.169.254 -j $forward", &["jump-first"]),
            ("$ipt -I OUTPUT -d 10.0.0.1 -j DROP", &["jump-first"]),
        ]);
    }

    fn a_stale_chain_of_an_older_run_with_a_jump_in_input_is_taken_over(lab) {
        // Before it has owner matches, even INPUT may lead to it.
        disturb(lab, "
            for table in filter security; do
                $ipt -t $table -N $chain
                $ipt -t $table -A $chain -j ACCEPT
                $ipt -t $table -A INPUT -d 169.254.169.254 -j $chain
                $ipt -t $table -A FORWARD -j $chain
            done");
        verify(lab, 1, &[]).expect_failed("rules-match", "not known who is allowed");
        let status = lab.lockdown(&["status"]).expect_code(0);
        assert!(status.stdout.contains("damaged"), "{status}");
        lock(lab, &[V4, "root"]);
        let state = state(lab);
        for chain in ["INPUT", "FORWARD"] {
            assert!(!state.contains(&format!("-A {chain} -d 169.254.169.254/32 -j IPL")), "{state}");
            assert!(!state.contains(&format!("-A {chain} -j IPL")), "{state}");
        }
        verify(lab, 0, &[]);
        only_root(lab);
    }

    fn a_bypass_above_our_rules_is_reported_held_by_the_backstop_and_fixed(lab) {
        lock(lab, &[V4, "root"]);
        disturb(lab, "$ipt -I OUTPUT -d 169.254.169.254 -j ACCEPT; $ipt6 -I OUTPUT -j ACCEPT");
        verify(lab, 1, &[])
            .expect_failed("no-bypass", "OUTPUT has a foreign rule above ours: `-d 169.254.169.254/32 -j ACCEPT`")
            .expect_failed("no-bypass", "OUTPUT has a foreign rule above ours: `-j ACCEPT`")
            .expect_failed("jump-first", "is rule 2 of OUTPUT, behind")
            .expect_said("address-locked", "locked by security alone");
        not_open(lab, &User::MALLORY, &IMDS);
        for address in IMDS {
            assert!(!lab.attempt(&User::MALLORY, How::Tcp, address).passed());
        }
        served(lab, &User::ROOT, &IMDS);
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[]);
        // The rule itself is another's, and stays.
        assert!(state(lab).contains("-A OUTPUT -d 169.254.169.254/32 -j ACCEPT"));
    }

    fn a_bypass_by_way_of_another_chain_is_told(lab) {
        lock(lab, &[V4, "root"]);
        disturb(lab, "
            $ipt -N allow; $ipt -N allow-more
            $ipt -A allow-more -p tcp --dport 80 -j ACCEPT; $ipt -A allow -j allow-more
            $ipt -I OUTPUT -j allow");
        verify(lab, 1, &[]).expect_failed("no-bypass", "-j allow");
        not_open(lab, &User::MALLORY, &[IMDS_V4]);
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
    }

    fn a_bypass_in_forward_is_told_held_by_the_backstop_and_mended(lab) {
        lock(lab, &[V4, "root"]);
        disturb(lab, "$ipt -I FORWARD -j ACCEPT; $ipt6 -I FORWARD -d fd00:ec2::/64 -j ACCEPT");
        verify(lab, 1, &[]).expect_failed("no-bypass", "FORWARD has a foreign rule above ours: `-j ACCEPT`")
            .expect_failed("no-bypass", "FORWARD has a foreign rule above ours: `-d fd00:ec2::/64 -j ACCEPT`");
        for address in IMDS {
            assert!(!lab.container_attempt(&User::ROOT, How::Tcp, address).passed());
        }
        lock(lab, &[V4, "root"]);
        for address in IMDS {
            assert!(lab.container_attempt(&User::ROOT, How::Tcp, address).refused_fast());
        }
        verify(lab, 0, &[]);
    }

    fn a_bypass_in_both_layers_is_open_and_called_so(lab) {
        lock(lab, &[V4, "root"]);
        disturb(lab, "for table in filter security; do $ipt -t $table -I OUTPUT -j ACCEPT; done");
        served(lab, &User::MALLORY, &[IMDS_V4]);
        verify(lab, 1, &[])
            .expect_failed("address-locked", "OPEN")
            .expect_failed("unlisted-refused", "got through: uid");
        lock(lab, &[V4, "root"]);
        only_root(lab);
    }

    fn a_flush_of_one_table_leaves_it_locked_by_the_other(lab) {
        lock(lab, &[V4, "root"]);
        let sound = state(lab);
        for (table, left) in [("filter", "security"), ("security", "filter")] {
            for and_chains in ["", "; $ipt -t $table -X; $ipt6 -t $table -X"] {
                disturb(lab, &format!("table={table}; $ipt -t $table -F; $ipt6 -t $table -F{and_chains}"));
                let words = format!("locked by {left} alone");
                verify(lab, 1, &[])
                    .expect_failed_in("rules-match", table)
                    .expect_failed_in("jump-first", table)
                    .expect_said("address-locked", &words);
                not_open(lab, &User::MALLORY, &IMDS);
                served(lab, &User::ROOT, &IMDS);
                lock(lab, &[V4, "root"]);
                assert_eq!(ours(&state(lab)), ours(&sound));
                verify(lab, 0, &[]);
            }
        }
        only_root(lab);
    }

    fn a_flush_of_both_tables_is_reported_and_fixed(lab) {
        lock(lab, &[V4, "root"]);
        disturb(lab, "for table in filter security; do $ipt -t $table -F; $ipt6 -t $table -F; done");
        verify(lab, 1, &[]).expect_failed("rules-match", "not known who is allowed");
        verify(lab, 1, &[V4, "root"]).expect_failed("as-asked", "no intact lockdown");
        disturb(lab, "for table in filter security; do $ipt -t $table -X; $ipt6 -t $table -X; done");
        verify(lab, 1, &[]).expect_failed("something-locked", "no address is locked");
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[]);
    }

    fn a_changed_rule_in_one_layer_is_reported_and_opens_nothing(lab) {
        lock(lab, &[V4, "root"]);
        let sound = state(lab);
        for table in ["filter", "security"] {
            for (change, words) in [
                ("-D $chain 1", "rule 1 of"),
                ("-D $chain 2", "rule 2 of"),
                ("-A $chain -j RETURN", "is superfluous"),
                ("-I $chain -m owner --uid-owner 1666 -j RETURN", "rule 1 of IPL-169.254.169.254 is `-m owner --uid-owner 1666 -j RETURN`"),
                ("-I $chain -j RETURN", "rule 1 of IPL-169.254.169.254 is `-j RETURN`"),
                ("-R $chain 1 -m owner --uid-owner 0-1666 -j RETURN", "instead of `-m owner --uid-owner 0 "),
                ("-R $chain 1 -m owner ! --uid-owner 0 -j RETURN", "instead of `-m owner --uid-owner 0 "),
                ("-F $forward", "IPF-169.254.169.254 is empty"),
            ] {
                disturb(lab, &format!("$ipt -t {table} {change}"));
                verify(lab, 1, &[])
                    .expect_failed_in("rules-match", table)
                    .expect_failed("rules-match", words);
                not_open(lab, &User::MALLORY, &IMDS);
                lock(lab, &[V4, "root"]);
                assert_eq!(state(lab), sound, "{change}");
            }
        }
        only_root(lab);
        verify(lab, 0, &[]);
    }

    fn a_user_slipped_into_both_layers_is_told_and_thrown_out(lab) {
        lock(lab, &[V4, "root"]);
        let slip = "for table in filter security; do
            $ipt -t $table -I $chain -m owner --uid-owner 1666 -m comment --comment mallory -j RETURN
        done";
        disturb(lab, slip);
        served(lab, &User::MALLORY, &[IMDS_V4]);
        verify(lab, 1, &[]).expect_failed_in("rules-match", "filter").expect_failed_in("rules-match", "security");
        // Nor does it help to do so in both families.
        let slip6 = slip.replace("$ipt ", "$ipt6 ").replace("$chain", "IPL-fd00:ec2::254");
        disturb(lab, &slip6);
        served(lab, &User::MALLORY, &IMDS);
        verify(lab, 1, &[]).expect_failed("rules-match", "no layer holds an intact copy");
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[]);
    }

    fn a_flush_of_everything_of_nft_is_told_and_mended(lab) {
        lock(lab, &[V4, "root"]);
        disturb(lab, "nft flush ruleset; $ipt -F; $ipt -t security -F; $ipt6 -F; $ipt6 -t security -F");
        verify(lab, 1, &[]);
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[]);
    }
}

/// The two variants are blind for each other: a rule of one cannot open what the other refuses.
#[test]
fn an_accept_of_the_other_variant_opens_nothing() {
    for variant in lab::Variant::ALL {
        let lab = &Lab::new(variant);
        lock(lab, &[V4, "root"]);
        let program = format!("iptables-{}", lab.variant().other());
        lab.run(&[&program, "-I", "OUTPUT", "-j", "ACCEPT"])
            .expect_code(0);
        only_root(lab);
        verify(lab, 0, &[]);
        // And what the other variant refuses is refused, though our rules say otherwise.
        lab.run(&[&program, "-I", "OUTPUT", "-d", V4, "-j", "REJECT"])
            .expect_code(0);
        assert_eq!(
            lab.attempt(&User::ROOT, How::Udp, IMDS_V4).ending,
            Ending::Denied
        );
        verify(lab, 1, &[]).expect_failed("listed-served", "refused although allowed: uid 0");
        served(lab, &User::ROOT, &[IMDS_V6]);
        lab.lockdown_as("auto", &["status"]).expect_code(0);
        assert!(lab.save(Family::V4).contains("IPL-"));
    }
}
