//! Hosts on which nothing is wrong: rules of other tools that leave the lockdown as it is raise no alarm.

use lab::{Family, Lab, User};

use crate::netns::support::{V4, lock, only_root, refused, verify};
use lab::saved::rules;

/// The path of a ruleset of `neighbours`.
fn neighbour(file: &str) -> String {
    format!(
        "{}/tests/kernel/netns/neighbours/{file}",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// Loads a ruleset of `neighbours` as the tool does that owns it: nothing else is flushed.
#[track_caller]
fn load(lab: &Lab, file: &str) {
    let variant = lab.variant();
    let path = neighbour(file);
    lab.sh(&format!(
        "iptables-{variant}-restore --noflush --wait < {path}"
    ))
    .expect_code(0);
}

/// What `verify` comes to with one more rule of iptables.
#[track_caller]
fn with(lab: &Lab, rule: &str, code: i32) {
    lab.iptables(Family::V4, &format!("-t nat -A {rule}"))
        .expect_code(0);
    println!("{rule}");
    let verdict = verify(lab, code, &["--no-probe"]);
    if code == 1 {
        verdict.expect_failed("nat-untouched", "may rewrite the address");
    } else {
        assert_eq!(verdict.failed(), [""; 0], "{rule}");
    }
    lab.iptables(Family::V4, "-t nat -F").expect_code(0);
}

on_both_variants! {
    fn a_proxy_that_leaves_the_address_alone_is_no_alarm(lab) {
        lock(lab, &[V4, "root"]);
        for file in ["app-mesh.rules", "redsocks.rules"] {
            load(lab, file);
            verify(lab, 0, &[]);
            lock(lab, &[V4, "root"]);
            only_root(lab);
            lab.iptables(Family::V4, "-t nat -F").expect_code(0);
        }
        for verdict in ["ACCEPT", "RETURN"] {
            let exempt = format!("-t nat -A OUTPUT -d 169.254.0.0/16 -j {verdict}");
            lab.iptables(Family::V4, &exempt).expect_code(0);
            with(lab, "OUTPUT -p tcp -j REDIRECT --to-ports 12345", 4);
        }
        // What exempts somebody, or something else, exempts nobody else.
        for exempt in [
            "-d 169.254.0.0/16 -m owner --uid-owner 1337 -j RETURN",
            "-d 169.254.170.2 -j ACCEPT",
            "-d 169.254.169.254 -p udp -j ACCEPT",
            "-d 169.254.169.254 -m recent --name other --set -j ACCEPT",
            "-d 169.254.169.254 -j LOG",
        ] {
            lab.iptables(Family::V4, &format!("-t nat -A OUTPUT {exempt}")).expect_code(0);
            with(lab, "OUTPUT -p tcp -j REDIRECT --to-ports 12345", 1);
        }
    }

    fn rules_that_the_packets_do_not_meet_are_no_alarm(lab) {
        lock(lab, &[V4, "root"]);
        for rule in [
            "OUTPUT -o lo -p tcp --dport 80 -j REDIRECT --to-ports 8080",
            "OUTPUT -p tcp -m iprange --dst-range 10.0.0.0-10.0.0.255 -j REDIRECT",
            "OUTPUT -p tcp -m iprange ! --dst-range 169.254.0.0-169.254.255.255 -j REDIRECT",
            "PREROUTING -i lo -p tcp --dport 80 -j REDIRECT --to-ports 8080",
        ] {
            with(lab, rule, 4);
        }
        for rule in [
            "OUTPUT ! -o lo -p tcp --dport 80 -j REDIRECT --to-ports 8080",
            "OUTPUT -o lo+ -p tcp --dport 80 -j REDIRECT --to-ports 8080",
            "OUTPUT -p tcp -m iprange --dst-range 169.254.0.0-169.254.255.255 -j REDIRECT",
            "OUTPUT -p tcp -m iprange --src-range 10.0.0.0-10.0.0.255 -j REDIRECT",
            "PREROUTING -i to-container -p tcp --dport 80 -j REDIRECT --to-ports 8080",
        ] {
            with(lab, rule, 1);
        }
        lab.sh(&format!(
            "iptables-{} -t nat -A OUTPUT -m recent --set --name '-d 10.0.0.1' -p tcp -j REDIRECT",
            lab.variant()
        ))
        .expect_code(0);
        verify(lab, 1, &["--no-probe"]).expect_failed("nat-untouched", "-d 10.0.0.1");
    }

    fn a_web_server_that_forwards_nothing_may_redirect_what_it_receives(lab) {
        lock(lab, &[V4, "root"]);
        let rule = "PREROUTING -i to-imds -p tcp --dport 80 -j REDIRECT --to-ports 8080";
        lab.sh("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
            .expect_code(0);
        with(lab, rule, 4);
        lab.sh("nft 'table inet web { chain in { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }'")
            .expect_code(0);
        verify(lab, 0, &[]);
        lab.sh("echo 1 > /proc/sys/net/ipv4/conf/to-container/forwarding").expect_code(0);
        verify(lab, 1, &[]).expect_failed("nat-untouched", "web in");
    }

    fn rules_above_ours_that_cannot_accept_the_address_are_no_alarm(lab) {
        lock(lab, &[V4, "root"]);
        load(lab, "refusing.rules");
        let before = rules(&lab.save(Family::V4));
        let at = |rule: &str| before.find(rule).unwrap_or_else(|| panic!("{rule}: {before}"));
        assert!(at("-A OUTPUT -j guard-out") < at("-A OUTPUT -d 169.254.169.254/32 -j IPL"));
        verify(lab, 0, &[]);
        only_root(lab);
        assert_eq!(rules(&lab.save(Family::V4)), before);
        lab.iptables(Family::V4, "-I guard-out -d 169.254.0.0/16 -j ACCEPT").expect_code(0);
        verify(lab, 1, &[]).expect_failed("no-bypass", "guard-out");
    }

    fn beside_agents_that_put_their_jump_first_verify_can_stay_at_0(lab) {
        for (file, tool) in [("calico.rules", "Calico"), ("k3s.rules", "kube-router"), ("cilium.rules", "Cilium")] {
            lock(lab, &[V4, "root"]);
            load(lab, file);
            // Their chains accept what bears a mark or comes from a pod: a bypass of `filter`, and that is said.
            let done = lab.lockdown(&["verify"]).expect_code(1);
            assert!(done.stdout.contains(tool) && done.stdout.contains("--layers nftables"), "{done}");
            lock(lab, &["--layers=nftables", V4, "root"]);
            load(lab, file);
            verify(lab, 0, &[]);
            verify(lab, 0, &["--layers=nftables", V4, "root"]);
            let foreign = rules(&lab.save(Family::V4));
            lock(lab, &["--layers=nftables", V4, "root"]);
            assert_eq!(rules(&lab.save(Family::V4)), foreign);
            only_root(lab);
            lab.lockdown(&["remove"]).expect_code(0);
            assert_eq!(rules(&lab.save(Family::V4)), foreign);
            let variant = lab.variant();
            lab.sh(&format!(
                "for t in filter nat mangle; do iptables-{variant} -t $t -F; iptables-{variant} -t $t -X; done"
            ))
            .expect_code(0);
        }
    }
}

with_nftables! {
    fn proxies_of_nftables_that_leave_the_address_alone_are_no_alarm(lab) {
        lock(lab, &[V4, "root"]);
        lab.run(&["nft", "-f", &neighbour("sidecars.nft")]).expect_code(0);
        verify(lab, 0, &[]);
        lab.sh("nft flush set ip mesh ignored").expect_code(0);
        verify(lab, 1, &[]).expect_failed("nat-untouched", "mesh output");
        refused(lab, &User::MALLORY, &lab::IMDS[1..]);
    }
}
