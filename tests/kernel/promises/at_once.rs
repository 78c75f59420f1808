//! Many runs at once: the result is the state that one of them wanted, and no reader sees a half-done change.

use std::collections::BTreeSet;
use std::thread::scope;

use lab::{Done, How, IMDS, Lab, User};

use crate::promises::support::{
    V4, apply, assert_done_or_busy, assert_hammer_gets_through, assert_kept_out, hammered, jumps,
    lists, turn_to_hammer,
};

/// Runs each of the command lines at the same time.
fn at_once(lab: &Lab, lines: &[Vec<String>]) -> Vec<Done> {
    scope(|scope| {
        let runs: Vec<_> = lines
            .iter()
            .map(|line| {
                let words: Vec<_> = line.iter().map(String::as_str).collect();
                scope.spawn(move || lab.lockdown(&words))
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("it came to an end"))
            .collect()
    })
}

fn line(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

/// How many layers there are by themselves.
fn layers(lab: &Lab) -> usize {
    if lab.is_without_iptables() { 1 } else { 2 }
}

/// The one list that stands in every layer and family; it is one of `uids`.
#[track_caller]
fn the_one_list(lab: &Lab, uids: std::ops::Range<u32>) -> String {
    let lists = lists(lab);
    assert_eq!(lists.len(), 2 * layers(lab), "two families: {lists:?}");
    let distinct: BTreeSet<_> = lists.values().flatten().collect();
    assert_eq!(distinct.len(), 1, "{lists:?}");
    let uid = distinct.into_iter().next().expect("there is one");
    assert!(uid.parse().is_ok_and(|uid| uids.contains(&uid)), "{uid}");
    uid.clone()
}

fn twenty_applies_at_once_end_in_the_state_of_one_of_them(lab: &Lab) {
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    apply(lab, &["root"]);
    let uids = 7000..7020;
    for options in ["", " --wait 0"] {
        let lines: Vec<_> = uids
            .clone()
            .map(|uid| line(&format!("apply {V4} {uid}{options}")))
            .collect();
        let mut done = Vec::new();
        let counts = hammered(lab, || done = at_once(lab, &lines));
        assert_kept_out(counts, 20);
        done.iter().for_each(assert_done_or_busy);
        let succeeded = done.iter().filter(|done| done.code == Some(0)).count();
        println!("{succeeded} of 20 applies{options} succeeded");
        assert!(succeeded > 0);
        let uid = the_one_list(lab, uids.clone());
        lab.lockdown(&["verify", V4, &uid]).expect_code(0);
        lab.lockdown(&["verify"]).expect_code(0);
    }
}
on_every_host!(twenty_applies_at_once_end_in_the_state_of_one_of_them);

fn applies_of_different_addresses_at_once_all_come_to_stand(lab: &Lab) {
    let by_group = if lab.is_without_iptables() {
        "2001:db8::99 7000-7009"
    } else {
        "2001:db8::99 --group metadata"
    };
    let locks = [
        format!("{V4} alice"),
        "169.254.169.253 bob".to_owned(),
        "fd00:ec2::253 root".to_owned(),
        "192.0.2.99 carol dave".to_owned(),
        by_group.to_owned(),
    ];
    let applies: Vec<_> = locks
        .iter()
        .map(|lock| line(&format!("apply {lock}")))
        .collect();
    for done in at_once(lab, &applies) {
        done.expect_code(0);
    }
    let verifies: Vec<_> = locks
        .iter()
        .map(|lock| line(&format!("verify {lock}")))
        .collect();
    for done in at_once(lab, &verifies) {
        done.expect_code(0);
    }
    let every = 6 * 2 * layers(lab);
    assert_eq!(jumps(lab), every, "six addresses, two hooks, each layer");
}
on_every_host!(applies_of_different_addresses_at_once_all_come_to_stand);

fn verify_sees_no_half_done_change(lab: &Lab) {
    apply(lab, &["root", "alice"]);
    // The same policy, another address that comes and goes, and looks from all sides.
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.extend([
            line(&format!("apply {V4} root alice")),
            line("verify"),
            line("apply 192.0.2.99 bob"),
            line(&format!("verify {V4} root alice")),
            line("remove 192.0.2.99"),
            line("status"),
        ]);
    }
    for done in at_once(lab, &lines) {
        done.expect_code(0);
    }
    lab.lockdown(&["verify", V4, "root", "alice"])
        .expect_code(0);
}
on_every_host!(verify_sees_no_half_done_change);

fn applies_and_removes_at_once_end_in_all_or_nothing(lab: &Lab) {
    for _ in 0..3 {
        let lines: Vec<_> = (7000..7006)
            .flat_map(|uid| [line(&format!("apply {V4} {uid}")), line("remove")])
            .collect();
        at_once(lab, &lines).iter().for_each(assert_done_or_busy);
        if jumps(lab) == 0 {
            lab.lockdown(&["verify"]).expect_code(1);
        } else {
            the_one_list(lab, 7000..7006);
            lab.lockdown(&["verify"]).expect_code(0);
        }
    }
    apply(lab, &["root"]);
    for address in IMDS {
        assert!(
            lab.attempt(&User::MALLORY, How::Tcp, address)
                .refused_fast()
        );
    }
}
on_every_host!(applies_and_removes_at_once_end_in_all_or_nothing);
