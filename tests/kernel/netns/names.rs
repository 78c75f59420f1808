//! Ids and names: a number is an id whatever accounts are called, and a name may be anything.

use std::time::{Duration, Instant};

use lab::{IMDS, Lab, User};
use serde_json::Value;

use crate::hosts::nft;
use crate::netns::support::{V4, lock, refused, served, verify};
use lab::saved::state;

/// The user of a uid, which is the gid too.
fn user(uid: u32) -> User {
    User {
        uid,
        gid: uid,
        ..User::ALICE
    }
}

/// Accounts whose names are what iptables reads as a number, if it does not find an account.
#[track_caller]
fn add_accounts_with_numbers_as_names(lab: &Lab) {
    lab.sh(
        "for name in 0:61000 20001:61001 20001-20001:61002 0x4e21:61003 1001-1003:61004; do
            echo \"${name%:*}:x:${name#*:}:${name#*:}::/:/bin/sh\" >> /etc/passwd
            echo \"${name%:*}:x:${name#*:}:\" >> /etc/group
        done",
    )
    .expect_code(0);
}

/// Scripts that install a lockdown as the first versions did, with ids for iptables to look up: a command, and
/// its input.
#[track_caller]
fn scripts_of_an_older_version(lab: &Lab, words: &[&str]) -> Vec<(String, String)> {
    let dry = [&["--dry-run", "--output=json"], words].concat();
    let json: Value = lab.lockdown(&dry).expect_code(0).json();
    let transactions = json["transactions"].as_array().expect("a list");
    let script = |transaction: &Value| {
        let command = transaction["command"].as_array().expect("a list");
        let command: Vec<&str> = command.iter().filter_map(Value::as_str).collect();
        let mut input = transaction["input"].as_str().expect("a text").to_owned();
        for uid in ["0", "20001"] {
            input = input.replace(&format!("-owner {uid}:{uid} "), &format!("-owner {uid} "));
        }
        assert!(!input.contains("-owner 20001:"), "{input}");
        (command.join(" "), input)
    };
    transactions.iter().map(script).collect()
}

#[track_caller]
fn run(lab: &Lab, command: &str, input: &str) {
    lab.sh(&format!("{command} <<'INPUT'\n{input}\nINPUT\n"))
        .expect_code(0);
}

on_both_variants! {
    fn a_number_is_an_id_and_never_the_name_of_an_account(lab) {
        // The tables come into being, and stay: groups need `security`.
        lock(lab, &[V4, "--group=ops"]);
        lock(lab, &["remove"]);
        let before = state(lab);
        add_accounts_with_numbers_as_names(lab);
        let listed = ["--layers=filter", V4, "0", "20001", "1001-1003"];
        lab.lockdown(&listed).expect_code(4);
        served(lab, &User::ROOT, &IMDS);
        for uid in [20_001, 1001, 1003] {
            served(lab, &user(uid), &IMDS);
        }
        for uid in [61_000, 61_001, 61_002, 61_003, 61_004, 1004] {
            refused(lab, &user(uid), &IMDS);
        }
        let again = lab.lockdown(&listed).expect_code(4);
        assert!(again.stdout.contains("(unchanged)"), "{again}");

        lab.lockdown(&["--layers=filter", V4, "--group=20001", "--group=0"]).expect_code(4);
        let of_group = |gid| User { gid, ..User::MALLORY };
        served(lab, &of_group(20_001), &IMDS);
        served(lab, &of_group(0), &IMDS);
        for gid in [61_000, 61_001, 61_002, 1666] {
            refused(lab, &of_group(gid), &IMDS);
        }

        // A login that is a number is listed as a name by its prefix.
        lock(lab, &[V4, "name:20001"]);
        served(lab, &user(61_001), &IMDS);
        refused(lab, &user(20_001), &IMDS);
        verify(lab, 0, &[V4, "name:20001"]);
        verify(lab, 1, &[V4, "20001"]);
        lock(lab, &[V4, "--group", "name:20001"]);
        served(lab, &of_group(61_001), &IMDS);
        refused(lab, &of_group(20_001), &IMDS);

        // The largest id.
        lock(lab, &[V4, "4294967294"]);
        served(lab, &user(4_294_967_294), &IMDS);
        refused(lab, &User::ROOT, &IMDS);

        // A rule of another tool that leads to our chain is deleted as it was read.
        let jump = format!("-A OUTPUT -d {V4} -m owner --uid-owner 20001:20001 -j IPL-{V4}");
        lab.iptables(lab::Family::V4, &jump).expect_code(0);
        lock(lab, &[V4, "4294967294"]);
        lock(lab, &["remove"]);
        assert_eq!(state(lab), before);
    }

    fn rules_of_an_older_version_are_ours_and_equal(lab) {
        let words = [V4, "root", "20001"];
        for (command, input) in scripts_of_an_older_version(lab, &words) {
            run(lab, &command, &input);
        }
        verify(lab, 0, &words);
        served(lab, &User::ROOT, &IMDS);
        let again = lock(lab, &words);
        assert!(again.stdout.contains("(unchanged)"), "{again}");
    }

    fn what_an_older_version_resolved_wrongly_is_replaced_without_a_gap(lab) {
        add_accounts_with_numbers_as_names(lab);
        let words = [V4, "root", "20001"];
        let scripts = scripts_of_an_older_version(lab, &words);
        lock(lab, &words);
        for (command, input) in scripts.iter().filter(|(command, _)| command.contains("restore")) {
            // The jumps are in place; a chain that is declared again is emptied.
            let lines = input.lines().filter(|line| !line.starts_with("-I "));
            run(lab, command, &lines.collect::<Vec<_>>().join("\n"));
        }
        verify(lab, 1, &words).expect_failed("rules-match", "--uid-owner 61");
        let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
            lock(lab, &words);
        });
        assert_eq!(counts.passed(), 0, "{counts:?}");
        verify(lab, 0, &words);
        served(lab, &user(20_001), &IMDS);
        refused(lab, &user(61_001), &IMDS);
    }

    fn a_slow_name_service_gets_its_time(lab) {
        // 250 lookups take 15 s, and a program has 11 s beside them.
        slow_name_service(lab, "-DMILLISECONDS=60");
        let uids = odd_uids(250);
        lock(lab, &words(&["--wait=1", "169.254.169.253"], &uids));
        served(lab, &user(20_001), &[lab::DNS_V4]);
        refused(lab, &User::ROOT, &[lab::DNS_V4]);
        // In both families; those of iptables-legacy have one lock, and wait for it 1 s.
        let uids = odd_uids(60);
        lock(lab, &words(&["--wait=1", V4], &uids));
        served(lab, &user(20_001), &IMDS);
        refused(lab, &User::ROOT, &IMDS);
    }
}

/// Odd uids from 20001 on.
fn odd_uids(count: u32) -> Vec<String> {
    (0..count)
        .map(|nth| (20_001 + 2 * nth).to_string())
        .collect()
}

fn words<'a>(first: &[&'a str], uids: &'a [String]) -> Vec<&'a str> {
    let uids = uids.iter().map(String::as_str);
    first.iter().copied().chain(uids).collect()
}

/// Installs a name service (nss(5)) that knows nobody, and needs some time to find that out. With `-DPOLITE` it
/// heeds the variables by which the modules of SSSD, winbind and systemd are told not to ask their directory.
#[track_caller]
fn slow_name_service(lab: &Lab, options: &str) {
    lab.sh(&format!(
        r#"
cat > /run/slow.c <<'C'
#include <nss.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>
enum nss_status _nss_slow_getpwnam_r(const char *name, struct passwd *user, char *text, size_t size, int *error)
{{
#ifdef POLITE
    if (getenv("_SSS_LOOPS") && getenv("_NO_WINBINDD") && getenv("SYSTEMD_NSS_DYNAMIC_BYPASS"))
        return NSS_STATUS_NOTFOUND;
#endif
    usleep(1000 * MILLISECONDS);
    return NSS_STATUS_NOTFOUND;
}}
C
libc=$(ldd "$(command -v sh)" | awk '$1 == "libc.so.6" {{ print $3 }}')
cc -shared -fPIC {options} -o "${{libc%/*}}/libnss_slow.so.2" /run/slow.c
echo 'passwd: files slow' > /etc/nsswitch.conf
"#
    ))
    .expect_code(0);
}

#[test]
fn a_directory_is_not_asked_for_ids() {
    let lab = &nft();
    slow_name_service(lab, "-DPOLITE -DMILLISECONDS=30");
    let uids = odd_uids(1000);
    let started = Instant::now();
    lock(lab, &words(&[V4], &uids));
    // 1,000 lookups would take 30 s in each family.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    served(lab, &user(20_001), &IMDS);
    refused(lab, &User::ROOT, &IMDS);
}

#[test]
fn a_name_service_that_is_too_slow_is_named_and_the_other_layer_locks() {
    let lab = &nft();
    slow_name_service(lab, "-DMILLISECONDS=1000");
    let uids = odd_uids(30);
    let done = lab
        .lockdown(&words(&["--wait=1", V4], &uids))
        .expect_code(3);
    for text in [
        "looks up each of the 30 ids in the name service",
        "/etc/nsswitch.conf",
        "\nhelp: run `time getent passwd 0:0`",
    ] {
        assert!(done.stderr.contains(text), "{text}: {done}");
    }
    served(lab, &user(20_001), &IMDS);
    refused(lab, &User::ROOT, &IMDS);
}

/// Names as directories have them, and one that nobody should have. Each with its uid, and as a comment has it.
const NAMES: [(&str, u32, &str); 8] = [
    (r"CORP\svc", 62_000, "CORP%5Csvc"),
    ("svc@corp.example", 62_010, "svc@corp.example"),
    ("Jörg Müller", 62_020, "Jörg%20Müller"),
    ("HOST$", 62_030, "HOST$"),
    ("$(reboot)", 62_040, "%24%28reboot%29"),
    ("o'neill \"x\"", 62_050, "o%27neill%20%22x%22"),
    ("a\u{1b}[2J,b", 62_060, "a%1B%5B2J%2Cb"),
    ("50%", 62_070, "50%25"),
];

on_every_host! {
    fn any_name_that_the_name_service_knows_is_listed_and_written_in_one_line(lab) {
        lock(lab, &[V4, "root"]);
        lock(lab, &["remove"]);
        let before = state(lab);
        let passwd = NAMES.map(|(name, uid, _)| format!("{name}:x:{uid}:{uid}::/:/bin/sh\n"));
        let passwd = passwd.concat();
        lab.sh(&format!("cat >> /etc/passwd <<'PASSWD'\n{passwd}PASSWD\n")).expect_code(0);
        let names = NAMES.map(|(name, ..)| name);
        let listed = [&[V4, "--"], &names[..]].concat();
        lock(lab, &listed);
        for (_, uid, _) in NAMES {
            served(lab, &user(uid), &IMDS);
        }
        refused(lab, &User::ROOT, &IMDS);
        verify(lab, 0, &[&["--"], &listed[..1], &names[..]].concat());
        let again = lock(lab, &listed);
        assert!(again.stdout.contains("(unchanged)"), "{again}");

        let rules = state(lab);
        for (_, _, comment) in NAMES {
            assert!(rules.contains(comment), "{comment}: {rules}");
        }
        let json: Value = lock(lab, &["status", "--output=json"]).json();
        let subjects = json["locks"][0]["subjects"].as_array().expect("a list");
        let printed: Vec<&str> = subjects.iter().filter_map(|one| one["names"][0].as_str()).collect();
        assert_eq!(printed, names);
        let text = lock(lab, &["status"]).stdout;
        assert!(text.contains(r"CORP\svc (62000), svc@corp.example (62010), Jörg Müller (62020)"), "{text}");
        assert!(text.contains(r#"o'neill \"x\" (62050), a\u{1b}[2J,b (62060)"#), "{text}");

        // The same from a configuration.
        let toml = toml_list(&names);
        let text = format!("[[lockdown]]\naddress = \"{V4}\"\nusers = {toml}\n");
        crate::netns::config::write(lab, crate::netns::config::CONFIG, &text);
        let applied = lock(lab, &["apply"]);
        assert!(applied.stdout.contains("(unchanged)"), "{applied}");
        verify(lab, 0, &[]);

        // A name that is gone is reported in one line.
        lab.sh("sed -i '/:6[2]060:/d' /etc/passwd").expect_code(0);
        verify(lab, 4, &[]).expect_failed("names-resolved", r"a\u{1b}[2J,b");
        let done = lab.lockdown(&listed).expect_code(2);
        assert!(done.stderr.contains(r#"there is no user "a\u{1b}[2J,b" on this host"#), "{done}");
        assert_eq!(state(lab), rules);
        lock(lab, &["remove"]);
        assert_eq!(state(lab), before);
    }
}

/// A list of strings: JSON's escapes are TOML's.
fn toml_list(names: &[&str]) -> String {
    serde_json::to_string(names).expect("a list")
}

#[test]
fn a_group_s_name_may_be_anything_too() {
    let lab = &nft();
    lab.sh(r"printf 'Domain Users:x:2600:\nCORP\\ops:x:2601:\n' >> /etc/group")
        .expect_code(0);
    let listed = [V4, "--group", "Domain Users", "--group", r"CORP\ops"];
    lock(lab, &listed);
    for gid in [2600, 2601] {
        served(
            lab,
            &User {
                gid,
                ..User::MALLORY
            },
            &IMDS,
        );
    }
    refused(lab, &User::MALLORY, &IMDS);
    verify(lab, 0, &listed);
}
