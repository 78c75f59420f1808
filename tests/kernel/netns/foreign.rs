//! Other tools' rules are never changed, reordered or rewritten.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use lab::{Done, Family, IMDS, IMDS_V4, Lab, User};

use crate::netns::support::{V4, lock, not_open, only_root};
use lab::saved::{of_iptables, rules};

/// Loads the odd rules of the corpus line by line: what this kernel or version does not know costs only itself.
fn load_odd(lab: &Lab, family: Family) {
    let (program, odd) = match family {
        Family::V4 => (
            "iptables",
            &include_bytes!("../../pure/corpus/input/v4-odd.rules")[..],
        ),
        Family::V6 => (
            "ip6tables",
            &include_bytes!("../../pure/corpus/input/v6-odd.rules")[..],
        ),
    };
    let program = format!("{program}-{}-restore", lab.variant());
    let script = r#"
        table=
        while IFS= read -r line; do
            case $line in
            \*[a-z]*) if [[ -z $table ]]; then table=$line; continue; fi ;;
            COMMIT) table=; continue ;;
            esac
            printf '%s\n%s\nCOMMIT\n' "$table" "$line" | "$1" -c --noflush 2>/dev/null || true
        done <<< "$2""#;
    Done::of(
        lab.command("bash")
            .args(["-c", script, "load", &program])
            .arg(OsStr::from_bytes(odd)),
    )
    .expect_code(0);
}

/// The state without our chains of the metadata service and all that leads there.
fn foreign(lab: &Lab) -> String {
    let ours = [
        "IPL-169.254.169.254",
        "IPF-169.254.169.254",
        "IPL-fd00:ec2::254",
        "IPF-fd00:ec2::254",
    ];
    // A declaration is `:NAME -`, all else has the name as a word.
    let is_ours = |line: &str| {
        line.split([' ', '"'])
            .any(|word| ours.contains(&word.strip_prefix(':').unwrap_or(word)))
    };
    of_iptables(lab)
        .lines()
        .filter(|line| !is_ours(line))
        .flat_map(|line| {
            [
                line, "
",
            ]
        })
        .collect()
}

on_every_host! {
    fn a_foreign_policy_and_its_rules_still_apply(lab) {
        lab.iptables(Family::V4, "-A OUTPUT -d 169.254.169.254 -m owner --uid-owner 1001 -j REJECT").expect_code(0);
        lab.iptables(Family::V4, "-A OUTPUT -o lo -j ACCEPT").expect_code(0);
        lab.iptables(Family::V4, "-A OUTPUT -o to-imds -j ACCEPT").expect_code(0);
        lab.iptables(Family::V4, "-P OUTPUT DROP").expect_code(0);
        lock(lab, &[V4, "root"]);
        only_root(lab);
        // Listed by us, refused by the host's own rule: RETURN is not ACCEPT, and apply says so.
        let done = lab.lockdown(&[V4, "root", "alice"]).expect_code(1);
        assert!(done.stdout.contains("refused although allowed: uid 1001"), "{done}");
        not_open(lab, &User::ALICE, &IMDS[..1]);
        let save = rules(&lab.save(Family::V4));
        assert!(save.contains(":OUTPUT DROP"), "{save}");
    }
}

on_both_variants! {
    fn a_ruleset_full_of_odd_rules_survives_apply_reapply_and_remove(lab) {
        for family in Family::ALL {
            load_odd(lab, family);
        }
        let before = foreign(lab);
        assert!(before.lines().count() > 300, "the odd rules were not loaded: {before}");
        // They redirect the address in nat, among other things: it does not hold, and that is said.
        let done = lab.lockdown(&[V4, "root"]).expect_code(1);
        assert!(done.stdout.contains("nat-untouched"), "{done}");
        assert_eq!(foreign(lab), before);
        not_open(lab, &User::MALLORY, &[IMDS_V4]);
        lab.lockdown(&[V4, "root"]).expect_code(1);
        lab.lockdown(&[V4, "alice", "1600-1650", "--group=ops"]).expect_code(1);
        assert_eq!(foreign(lab), before);
        not_open(lab, &User::MALLORY, &[IMDS_V4]);
        lab.lockdown(&["remove", V4]).expect_code(0);
        assert_eq!(of_iptables(lab), before);
        // Without their nat rules, which send IPv6 elsewhere, nothing of all that opens the address.
        for family in Family::ALL {
            lab.iptables(family, "-t nat -F").expect_code(0);
        }
        lab.lockdown(&[V4, "root"]);
        not_open(lab, &User::MALLORY, &IMDS);
    }
}
