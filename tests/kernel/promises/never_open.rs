//! From the first successful `apply` on, no unlisted user gets through, not even for an instant.

use std::thread::sleep;
use std::time::Duration;

use lab::{IMDS, Lab, User};

use crate::promises::support::{
    Arrivals, Customer, V4, apply, assert_hammer_gets_through, assert_kept_out, hammered, lists,
    turn_to_hammer,
};

/// Policies of every kind. None of them lists mallory (uid and gid 1666).
fn policies_without_mallory(long: &[Vec<String>; 2]) -> Vec<Vec<&str>> {
    let mut policies: Vec<Vec<&str>> = [
        &[V4][..],
        &[V4, "alice"],
        &[V4, "root"],
        &[V4, "root", "alice", "bob", "carol", "dave", "svc-web"],
        &[V4, "1000-1009"],
        &[V4, "0-1665", "1667-65535"],
        &[V4, "1667"],
        &[V4, "--group", "metadata"],
        &[V4, "--group", "ops", "root"],
        &[V4, "1-9", "4294967294"],
        &[V4, "--only", "alice"],
        &["fd00:ec2::254", "--only", "bob"],
        &["fd00:ec2::254", "root", "bob"],
        &[V4, "--forwarded", "allow", "root"],
    ]
    .map(<[_]>::to_vec)
    .into();
    for list in long {
        let uids = list.iter().map(String::as_str);
        policies.push([V4].into_iter().chain(uids).collect());
    }
    policies
}

/// Policies that all list alice (uid 1001), and root.
fn policies_with_alice(long: &[Vec<String>; 2]) -> Vec<Vec<&str>> {
    let mut policies: Vec<Vec<&str>> = [
        &[V4, "root", "alice"][..],
        &["fd00:ec2::254", "alice", "root", "bob", "carol"],
        &[V4, "0-1001"],
        &[V4, "0-1665", "1667-65535"],
        &[V4, "--group", "1001", "root"],
        &[V4, "--group", "metadata", "alice", "root"],
    ]
    .map(<[_]>::to_vec)
    .into();
    for list in long {
        let uids = list.iter().map(String::as_str);
        let users = [V4, "root", "alice"].into_iter().chain(uids);
        policies.push(users.collect());
    }
    policies
}

/// Those that the host can have: without iptables there are no groups.
fn possible<'a>(lab: &Lab, mut policies: Vec<Vec<&'a str>>) -> Vec<Vec<&'a str>> {
    policies.retain(|policy| !lab.is_without_iptables() || !policy.contains(&"--group"));
    policies
}

/// Uids that are no range, 50 and 300 of them: long enough for sub-chains, of which one has mallory's uid between
/// two that it lists.
fn long_lists() -> [Vec<String>; 2] {
    [50, 300].map(|count| (0..count).map(|n| (1601 + 2 * n).to_string()).collect())
}

/// An order of `count` things in which each follows each, itself as well: `count * count` in all.
pub(crate) fn each_after_each(count: usize) -> Vec<usize> {
    let pairs = |a| (a + 1..count).flat_map(move |b| [a, b]);
    (0..count)
        .flat_map(|a| std::iter::once(a).chain(pairs(a)))
        .collect()
}

#[test]
fn the_order_of_policies_has_every_change_from_one_to_another() {
    let order = each_after_each(16);
    let mut changes: Vec<_> = order.iter().zip(order.iter().cycle().skip(1)).collect();
    changes.sort_unstable();
    changes.dedup();
    assert_eq!((order.len(), changes.len()), (256, 256));
}

/// 256 applies: every change between 16 policies (196 between 14 without iptables).
fn an_unlisted_user_never_gets_through_while_lists_change(lab: &Lab) {
    let long = long_lists();
    let policies = possible(lab, policies_without_mallory(&long));
    let order = each_after_each(policies.len());
    assert!(order.len() >= 196);

    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    apply(lab, &["root"]);
    // In parts, since no hammer lasts longer than a minute.
    for part in order.chunks(45) {
        let counts = hammered(lab, || {
            for policy in part.iter().map(|&nth| &policies[nth]) {
                lab.lockdown(&[&["apply"], policy.as_slice()].concat())
                    .expect_code(0);
            }
        });
        assert_kept_out(counts, 10 * 45);
    }
}
on_every_host!(an_unlisted_user_never_gets_through_while_lists_change);

/// Containers are refused all the while as well, though their root has the uid of a listed user.
fn a_user_on_every_list_is_served_while_lists_change_and_containers_are_not(lab: &Lab) {
    let long = long_lists();
    let policies = possible(lab, policies_with_alice(&long));

    let _turn = turn_to_hammer();
    let arrivals = Arrivals::count(lab);
    let open = lab.container_hammer(&User::ROOT, &IMDS);
    sleep(Duration::from_millis(100));
    assert!(open.stop().connected > 0 && arrivals.so_far().iter().all(|&packets| packets > 0));
    apply(lab, &["root", "alice"]);
    let before = arrivals.so_far();
    let routed = lab.container_hammer(&User::ROOT, &IMDS);
    let served = Customer::new(lab, User::ALICE).serve_while(|| {
        for policy in each_after_each(policies.len())
            .iter()
            .map(|&nth| &policies[nth])
        {
            lab.lockdown(&[&["apply"], policy.as_slice()].concat())
                .expect_code(0);
        }
    });
    let counts = routed.stop();
    println!("containers: {counts:?}");
    // A datagram leaves the container in any case: what counts is that nothing of the kind arrives.
    assert!(
        counts.connected == 0 && counts.attempts > 10 * 64,
        "{counts:?}"
    );
    assert_eq!(arrivals.so_far(), before);
    assert!(served >= 100, "{served}");
    assert_eq!(lab.server_half_closed(), 0);
}
on_every_host!(a_user_on_every_list_is_served_while_lists_change_and_containers_are_not);

fn only_remove_opens_and_it_does(lab: &Lab) {
    let _turn = turn_to_hammer();
    apply(lab, &["root"]);
    let before = hammered(lab, || {
        for _ in 0..5 {
            lab.lockdown(&["verify"]).expect_code(0);
            lab.lockdown(&["status"]).expect_code(0);
            lab.lockdown(&["remove", "192.0.2.77"]).expect_code(0);
            lab.lockdown(&["apply", "no-such-address", "mallory"])
                .expect_code(2);
            lab.lockdown(&["apply", V4, "no-such-user"]).expect_code(2);
            lab.lockdown(&["apply", V4, "mallory", "--dry-run"])
                .expect_code(0);
        }
    });
    assert_kept_out(before, 100);

    let during = hammered(lab, || {
        lab.lockdown(&["remove"]).expect_code(0);
        sleep(Duration::from_millis(200));
    });
    assert!(
        during.connected > 0 && during.udp_sent > 0 && during.refused > 0,
        "{during:?}"
    );
    let after = hammered(lab, || sleep(Duration::from_millis(100)));
    assert!(after.passed() > 0 && after.refused == 0, "{after:?}");
    assert!(lists(lab).is_empty());
}
on_every_host!(only_remove_opens_and_it_does);
