//! Other tools flush, insert and delete rules beside an installed lockdown, and during `apply`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{scope, sleep};
use std::time::Duration;

use lab::{Family, How, IMDS, IMDS_V4, IMDS_V6, Lab, User};

use crate::promises::support::{
    Enough, apply, assert_hammer_gets_through, assert_kept_out, hammered, jumps, rules_of,
    turn_to_hammer,
};

fn an_inserted_accept_and_a_flush_of_filter_do_not_open(lab: &Lab) {
    let accept = |family, address| format!("-I OUTPUT -d {address} -j ACCEPT {}", comment(family));
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    apply(lab, &["root", "alice"]);
    let counts = hammered(lab, || {
        for round in 0..8_u64 {
            for (family, address) in [(Family::V4, IMDS_V4), (Family::V6, IMDS_V6)] {
                for meddling in [
                    "-F",
                    "-F OUTPUT",
                    "-P OUTPUT ACCEPT",
                    &accept(family, address),
                ] {
                    lab.iptables(family, meddling).expect_code(0);
                    sleep(Duration::from_millis(round * 5 % 13));
                }
            }
            if round % 3 == 2 {
                let found = lab.lockdown(&["verify"]).expect_code(1);
                assert!(!found.stdout.contains("OPEN"), "{found}");
                apply(lab, &["root", "alice"]);
                lab.lockdown(&["verify"]).expect_code(0);
            }
        }
    });
    assert_kept_out(counts, 100);
    // Who is listed is served by the backstop alone as well.
    for address in IMDS {
        assert!(lab.attempt(&User::ALICE, How::Tcp, address).passed());
    }
}
on_both_variants!(an_inserted_accept_and_a_flush_of_filter_do_not_open);

fn comment(family: Family) -> String {
    format!("-m comment --comment a-rule-of-another-tool-{family:?}")
}

/// What another tool does to OUTPUT again and again: a rule of its own comes and goes, and our own jump goes and
/// comes back. So what was read is stale by the time of the transaction.
const MEDDLE: &str = r#"
    for t in iptables ip6tables; do
      if [ $t = iptables ]; then other=203.0.113.9; else other=2001:db8::9; fi
      "$t-$1" -w -I OUTPUT -d $other -j ACCEPT
      "$t-$1" -w -D OUTPUT -d $other -j ACCEPT
      jump=$("$t-$1" -w -S OUTPUT | sed -n '/-j IPL-/ { s/^-A //p; q }')
      # Each fails where we were faster.
      [ -z "$jump" ] || ! "$t-$1" -w -D $jump || "$t-$1" -w -I $jump || true
    done
"#;

fn a_tool_that_changes_the_same_chain_all_the_time_opens_nothing(lab: &Lab) {
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    apply(lab, &["root"]);
    let mut codes = BTreeMap::<_, u32>::new();
    let enough = AtomicBool::new(false);
    let variant = lab.variant().to_string();
    let counts = hammered(lab, || {
        scope(|scope| {
            let tool = scope.spawn(|| {
                while !enough.load(Relaxed) {
                    lab.run(&["bash", "-uc", MEDDLE, "meddle", &variant]);
                }
            });
            let told = Enough(&enough);
            for nth in 0..24 {
                let list = [&["root"][..], &["root", "alice"], &["bob"]][nth % 3];
                let words = [&["apply", "169.254.169.254"], list].concat();
                let done = lab.lockdown(&words);
                // 1: in force, but the tool has put a rule above it by the time it is read back.
                assert!(matches!(done.code, Some(0 | 1 | 3)), "{done}");
                assert!(!done.stdout.contains("OPEN"), "{done}");
                *codes.entry(done.code).or_default() += 1;
            }
            drop(told);
            tool.join().expect("the tool was stopped");
        });
    });
    println!("exit codes: {codes:?}");
    assert_kept_out(counts, 100);
    assert!(codes.contains_key(&Some(0)), "{codes:?}");
    apply(lab, &["carol"]);
    lab.lockdown(&["verify", "169.254.169.254", "carol"])
        .expect_code(0);
    assert_eq!(jumps(lab), 2 * 2 * 2, "two hooks, layers and families");
}
on_both_variants!(a_tool_that_changes_the_same_chain_all_the_time_opens_nothing);

/// The same from within: rules of another tool are never touched, whatever we do at the same time.
fn rules_that_another_tool_adds_meanwhile_are_all_kept(lab: &Lab) {
    apply(lab, &["root"]);
    let enough = AtomicBool::new(false);
    let added = scope(|scope| {
        let tool = scope.spawn(|| {
            let mut added = 0_u32;
            while !enough.load(Relaxed) && added < 200 {
                for (family, address) in [(Family::V4, "203.0.113.9"), (Family::V6, "2001:db8::9")]
                {
                    let rule =
                        format!("-w -A OUTPUT -d {address} -p tcp --dport {added} -j ACCEPT");
                    lab.iptables(family, &rule).expect_code(0);
                }
                added += 1;
            }
            added
        });
        let told = Enough(&enough);
        for list in [&["root", "alice"][..], &["bob"], &["root"]]
            .iter()
            .cycle()
            .take(15)
        {
            apply(lab, list);
        }
        drop(told);
        tool.join().expect("the tool was stopped")
    });
    assert!(added > 5, "{added}");
    for family in Family::ALL {
        let saved = lab.save(family);
        let ports: Vec<u32> = saved
            .lines()
            .filter_map(|line| {
                line.split_once("--dport ")?
                    .1
                    .split(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(
            ports,
            (0..added).collect::<Vec<_>>(),
            "all of them, in their order"
        );
    }
}
on_both_variants!(rules_that_another_tool_adds_meanwhile_are_all_kept);

/// A transaction fails, and whether the kernel has the backstop's table cannot be told at that moment: that is no
/// reason to take the backstop away.
fn the_backstop_stays_when_nobody_can_say_whether_there_is_one(lab: &Lab) {
    apply(lab, &["root"]);
    let multi = format!("xtables-{}-multi", lab.variant());
    for iptables in ["iptables", "ip6tables"] {
        let name = format!("{iptables}-{}", lab.variant());
        // Fails once, as for a rule that has gone meanwhile.
        let restore = format!(
            "#!/bin/sh\nmkdir /run/failed-{iptables} 2>/dev/null && exit 1\nexec {multi} {name}-restore \"$@\"\n"
        );
        lab.stub(&format!("/usr/sbin/{name}-restore"), &restore);
        lab.stub(&format!("/usr/sbin/{name}"), "#!/bin/sh\nexit 4\n");
    }
    let done = lab.lockdown(&["apply", "169.254.169.254", "alice"]);
    assert!(matches!(done.code, Some(0 | 3)), "{done}");
    let drops = rules_of(lab, lab.variant())
        .iter()
        .filter(|rule| rule.ends_with("-j DROP"))
        .count();
    assert_eq!(drops, 2 * 2, "two hooks, two families: {done}");
}
in_filter_and_security!(the_backstop_stays_when_nobody_can_say_whether_there_is_one);
