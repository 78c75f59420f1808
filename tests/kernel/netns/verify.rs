//! `verify`: checks rules, names and real packets, and changes nothing.

use std::time::Duration;

use lab::{Family, IMDS, User};
use serde_json::Value;

use crate::netns::support::{V4, V6, lock, refused, served, settle, verify};
use lab::saved::{lines, rules};

on_every_host! {
    fn with_nothing_locked_verify_fails(lab) {
        verify(lab, 1, &[]).expect_failed("something-locked", "no address is locked");
        let done = lab.lockdown(&["verify"]).expect_code(1);
        assert!(done.stdout.contains("NOT locked"), "{done}");
        verify(lab, 1, &[V4, "root"]).expect_failed("as-asked", "no intact lockdown");
    }

    fn verify_is_read_only(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh("rm /run/ip-lockdown.lock").expect_code(0);
        let before = Family::ALL.map(|family| lab.save(family));
        let files = "find /run /etc /var /usr -newer /run/mark -type f 2>/dev/null | grep -v xtables.lock || true";
        lab.sh("touch /run/mark; sleep 0.02").expect_code(0);
        verify(lab, 0, &[]);
        verify(lab, 0, &[V4, "root"]);
        verify(lab, 1, &[V4, "alice"]);
        verify(lab, 4, &["--no-probe"]);
        for (family, before) in Family::ALL.into_iter().zip(before) {
            let after = lab.save(family);
            assert_eq!(rules(&before), rules(&after));
            for ((rule, before), (_, after)) in lines(&before).zip(lines(&after)) {
                assert!(before <= after, "{rule}");
            }
        }
        assert_eq!(lab.sh(files).stdout, "", "files were written");
    }

    fn without_probes_not_one_packet_is_sent(lab) {
        lock(lab, &[V4, "root"]);
        settle(lab);
        let before = Family::ALL.map(|family| ours(&lab.save(family)));
        verify(lab, 4, &["--no-probe"]);
        assert_eq!(Family::ALL.map(|family| ours(&lab.save(family))), before);
    }

    fn of_many_listed_ids_a_stated_sample_is_probed(lab) {
        lock(lab, &[V4, "2000-2999"]);
        verify(lab, 0, &[]).expect_said("listed-served", "64 of 1000");
        lock(lab, &[V4, "2000-2009"]);
        verify(lab, 0, &[]).expect_said("listed-served", "10 of 10");
    }

    fn probes_are_bounded_in_time(lab) {
        lock(lab, &[V4, "root"]);
        let times: Vec<Duration> = (0..3).map(|_| lock(lab, &["verify"]).took).collect();
        assert!(times.iter().min() < Some(&Duration::from_secs(1)), "{times:?}");
        // Nor does a server that is not there hold them up.
        lab.sh("ip route del default; ip route add blackhole 169.254.169.254 || true").expect_code(0);
        let times: Vec<Duration> = (0..3).map(|_| lab.lockdown(&["verify"]).took).collect();
        assert!(times.iter().min() < Some(&Duration::from_secs(1)), "{times:?}");
    }

    fn an_account_renamed_to_a_listed_name_gains_nothing(lab) {
        lock(lab, &[V4, "alice"]);
        lab.sh("sed -i 's/^mallory:/alice:/; s/^alice:x:1001/old:x:1001/' /etc/passwd").expect_code(0);
        refused(lab, &User::MALLORY, &IMDS);
        verify(lab, 1, &[]).expect_failed("names-current", "alice had id 1001 and now has 1666");
    }

    fn json_of_verify_has_findings_and_probes(lab) {
        lock(lab, &[V4, "root"]);
        let json: Value = lock(lab, &["verify", "--output=json"]).json();
        assert_eq!(json["command"], "verify");
        assert_eq!(json["locks"][0]["addresses"], serde_json::json!([V4, V6]));
        let probes = json["probes"].as_array().expect("a list");
        let of = |uid: u64, outcome: &str| {
            probes.iter().filter(|probe| probe["witness"]["uid"] == uid && probe["outcome"] == outcome).count()
        };
        // A datagram to each address; the unlisted also try to connect.
        assert_eq!((of(0, "sent"), of(65534, "denied"), of(65534, "refused")), (2, 2, 2), "{json:#}");
    }
}

on_both_variants! {
    fn a_name_with_another_uid_now_is_reported(lab) {
        lock(lab, &[V4, "alice", "bob", "--group=metadata"]);
        verify(lab, 0, &[]).expect_said("names-current", "3 names");
        lab.sh("sed -i 's/^alice:x:1001:/alice:x:1101:/' /etc/passwd").expect_code(0);
        verify(lab, 1, &[]).expect_failed("names-current", "alice had id 1001 and now has 1101");
        // The rules admit the old uid until they are applied again.
        let new = User { uid: 1101, ..User::ALICE };
        refused(lab, &new, &IMDS);
        lock(lab, &[V4, "alice", "bob", "--group=metadata"]);
        served(lab, &new, &IMDS);
        refused(lab, &User::ALICE, &IMDS);
        verify(lab, 0, &[]);
    }

    fn a_name_that_no_longer_exists_is_reported(lab) {
        lock(lab, &[V4, "alice", "bob", "--group=metadata"]);
        lab.sh("sed -i '/^bob:/d' /etc/passwd; sed -i '/^metadata:/d' /etc/group").expect_code(0);
        verify(lab, 1, &[])
            .expect_failed("names-current", "bob (1002) no longer exists")
            .expect_failed("names-current", "metadata (2000) no longer exists");
    }

    fn verify_compares_with_the_policy_that_it_is_given(lab) {
        lock(lab, &[V4, "root", "--group=ops"]);
        for same in [&[V4, "root", "--group=ops"][..], &[V6, "--group", "ops", "root", "root"]] {
            verify(lab, 0, same);
        }
        for differing in [
            &[V4, "root"][..],
            &[V4, "root", "alice", "--group=ops"],
            &[V4, "alice", "--group=ops"],
            &[V4, "--group=ops"],
            &[V4, "root", "--group=metadata"],
            &[V4],
            &["--only", V4, "root", "--group=ops"],
            &[V4, "root", "--group=ops", "--forwarded=allow"],
            &["192.0.2.77", "root", "--group=ops"],
        ] {
            verify(lab, 1, differing).expect_failed("as-asked", "");
        }

    }

    fn without_probes_behaviour_is_unknown_and_not_passed(lab) {
        lock(lab, &[V4, "root"]);
        let done = lab.lockdown(&["verify", "--no-probe"]).expect_code(4);
        assert!(done.stdout.contains("no probes were sent"), "{done}");
        assert!(done.stdout.contains("degraded"), "{done}");
        let verdict = verify(lab, 4, &["--no-probe"]);
        assert_eq!(verdict.failed(), [""; 0]);
        verdict.expect_said("unlisted-refused", "no probes were sent");
        // What is wrong is still worse than what was not looked at.
        lab.iptables(Family::V4, "-F").expect_code(0);
        verify(lab, 1, &["--no-probe"]).expect_failed_in("rules-match", "filter");
    }
}

/// The lines of our chains, with their counters.
fn ours(save: &str) -> Vec<(String, Option<u64>)> {
    lines(save)
        .filter(|(rule, _)| rule.contains("IPL-") || rule.contains("IPF-"))
        .collect()
}
