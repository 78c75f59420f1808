//! A kernel can have the rules of iptables-nft and of iptables-legacy at once. Changing from one variant to the other
//! never opens the address, and leaves the lockdown in one variant only.

use lab::{Done, How, IMDS, Lab, User, Variant};

use crate::promises::support::{
    V4, assert_hammer_gets_through, assert_kept_out, hammered, rules_of, turn_to_hammer,
};

#[track_caller]
fn run(lab: &Lab, variant: Variant, arguments: &[&str]) {
    Done::of(&mut lab.lockdown_command(variant, arguments)).expect_code(0);
}

fn a_change_of_variant_and_back_never_opens_and_leaves_one_list(lab: &Lab) {
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    let (first, second) = (lab.variant(), lab.variant().other());
    run(lab, first, &["apply", V4, "alice"]);
    let counts = hammered(lab, || {
        for (variant, user) in [
            (second, "bob"),
            (first, "alice"),
            (second, "alice"),
            (first, "bob"),
        ]
        .into_iter()
        .cycle()
        .take(12)
        {
            run(lab, variant, &["apply", V4, user]);
            run(lab, variant, &["verify", V4, user]);
            assert_eq!(rules_of(lab, variant.other()), [""; 0]);
            let listed = if user == "bob" {
                User::BOB
            } else {
                User::ALICE
            };
            for address in IMDS {
                assert!(
                    lab.attempt(&listed, How::Udp, address).passed(),
                    "{variant} {user} {address}"
                );
            }
        }
    });
    assert_kept_out(counts, 100);
    // Either variant finds and removes what the other holds.
    run(lab, second, &["remove"]);
    assert_eq!(
        [rules_of(lab, first), rules_of(lab, second)].concat(),
        [""; 0]
    );
}
on_both_variants!(a_change_of_variant_and_back_never_opens_and_leaves_one_list);

#[test]
fn legacy_tables_appear_on_an_nft_host_only_when_asked_for() {
    let lab = Lab::new(Variant::Nft);
    let legacy_tables = || {
        let names =
            lab.sh("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null || true");
        names.expect_code(0).stdout
    };
    for words in [
        &["apply", V4, "root"][..],
        &["verify"],
        &["status"],
        &["apply", V4, "root", "--dry-run"],
        &["remove"],
    ] {
        lab.lockdown(words).expect_code(0);
        assert_eq!(legacy_tables(), "", "{words:?}");
    }
    run(&lab, Variant::Legacy, &["apply", V4, "root"]);
    assert!(legacy_tables().contains("filter"));
}
