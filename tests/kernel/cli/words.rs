//! Wrong arguments: each has its own message and exit code 2, and changes nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use lab::{Done, How, IMDS_V4, Lab, User, Variant};

use crate::cli::support::{Locked, V4};

/// Bad words, and what is said about them.
fn each_is_reported(cases: &[(&[&str], &str)]) {
    let locked = Locked::new(Variant::Nft);
    for (words, says) in cases {
        let done = locked.fails(words, 2, says);
        assert!(
            done.stderr.trim_end().lines().count() <= 2,
            "one or two lines: {done}"
        );
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!done.stderr.contains(control), "raw characters: {done}");
    }
    locked.expect_unchanged();
    locked.expect_not_open();
}

#[test]
fn a_bad_address_is_reported_and_changes_nothing() {
    each_is_reported(&[
        (
            &["instance-data", "root"],
            "\"instance-data\" is not an IP address\nhelp: give an IP address such as 169.254.169.254; host names",
        ),
        (&["instance-data.ec2.internal", "root"], "not an IP address"),
        (
            &["169.254.169", "root"],
            "\"169.254.169\" is not an IP address",
        ),
        (
            &["169.254.169.256", "root"],
            "\"169.254.169.256\" is not an IP address",
        ),
        (&["0xa9fea9fe", "root"], "is not an IP address"),
        (
            &["169.254.169.254/32", "root"],
            "\"169.254.169.254/32\" is a network",
        ),
        (&["169.254.0.0/16", "root"], "is a network"),
        (&["fd00:ec2::/64", "root"], "is a network"),
        (&["169.254.169.254:80", "root"], "is not an IP address"),
        (&["fe80::1%lo", "root"], "has a scope"),
        (&["", "root"], "the address is empty"),
        (&["apply", "", "root"], "the address is empty"),
        (&["0.0.0.0", "root"], "is the unspecified address"),
        (&["::", "root"], "is the unspecified address"),
        (&["169.254.169.254 ", "root"], "is not an IP address"),
        (
            &["169.254.169.254\n", "root"],
            "\"169.254.169.254\\n\" is not an IP address",
        ),
        (
            &["1\u{1b}[2J\u{7}.2", "root"],
            "\"1\\u{1b}[2J\\u{7}.2\" is not an IP address",
        ),
        (&["verify", "169.254.0.0/16"], "is a network"),
        (&["remove", "here"], "is not an IP address"),
    ]);
}

#[test]
fn a_bad_user_is_reported_and_changes_nothing() {
    each_is_reported(&[
        (
            &[V4, "alcie"],
            "there is no user \"alcie\" on this host\nhelp: similar names exist: alice",
        ),
        (
            &[V4, "root", "svc_web"],
            "help: similar names exist: svc-web",
        ),
        (
            &[V4, "zzzzzz"],
            "there is no user \"zzzzzz\" on this host\n",
        ),
        (&[V4, "metadata"], "there is no user \"metadata\""),
        (
            &[V4, "--group", "metdata"],
            "there is no group \"metdata\" on this host\nhelp: similar names exist: metadata",
        ),
        (
            &[V4, "--group", "mallory2"],
            "there is no group \"mallory2\"",
        ),
        (&[V4, "-1"], "\"-1\" is negative"),
        (&[V4, "--group", "-1"], "\"-1\" is negative"),
        (&[V4, "4294967295"], "\"4294967295\" is too large"),
        (&[V4, "4294967296"], "is too large"),
        (&[V4, "99999999999999999999999"], "is too large"),
        (&[V4, "1-4294967295"], "is too large"),
        (&[V4, "--group=4294967295"], "is too large"),
        (&[V4, "1099-1000"], "the range \"1099-1000\" is reversed"),
        (
            &[V4, "--group", "10-20"],
            "is a range; groups have no ranges\nhelp: list each group",
        ),
        (&[V4, ""], "a user or group name is empty"),
        (&[V4, "--group", ""], "a user or group name is empty"),
        (&[V4, "root;reboot"], "there is no user \"root;reboot\""),
        (&[V4, "$(reboot)"], "there is no user \"$(reboot)\""),
        (
            &[V4, "root\" -j ACCEPT"],
            "there is no user \"root\\\" -j ACCEPT\" on this host",
        ),
        (
            &[V4, "zz yyy"],
            "there is no user \"zz yyy\" on this host\n\
             help: give each user as an argument of its own",
        ),
        (
            &[V4, "1001,1002,zz"],
            "on this host\nhelp: give each user as an argument of its own",
        ),
        (
            &[V4, "--group=a b"],
            "help: give each group as an argument of its own",
        ),
        (&[V4, "root\nCOMMIT"], "there is no user \"root\\nCOMMIT\""),
        (
            &[V4, "\u{1b}[31m\u{202e}"],
            "there is no user \"\\u{1b}[31m\\u{202e}\"",
        ),
        (&[V4, "@wheel"], "there is no user \"@wheel\""),
        (&[V4, "--", "-oops"], "there is no user \"-oops\""),
        (&[V4, "name:1001"], "there is no user \"1001\""),
        (&[V4, "uid:1001"], "names cannot contain ':'\nhelp: give"),
        (&[V4, "name:"], "a user or group name is empty"),
        (&[V4, &"x".repeat(300)], "takes 300 bytes in the comment"),
        (&["verify", V4, "alcie"], "there is no user \"alcie\""),
    ]);
}

#[test]
fn a_good_name_beside_a_bad_one_changes_nothing_either() {
    each_is_reported(&[
        (
            &[V4, "root", "alice", "nosuchuser"],
            "there is no user \"nosuchuser\"",
        ),
        (
            &[V4, "alice", "--group=ops", "--group=nosuchgroup"],
            "there is no group \"nosuchgroup\"",
        ),
        (
            &["--dry-run", V4, "nosuchuser"],
            "there is no user \"nosuchuser\"",
        ),
    ]);
}

#[test]
fn words_that_are_not_text_are_told_and_change_nothing() {
    let locked = Locked::new(Variant::Nft);
    let bad = OsStr::from_bytes(b"al\xffice");
    let v4 = OsStr::new(V4);
    let cases = [
        vec![v4, bad],
        vec![OsStr::from_bytes(b"169.254.169.254\xff")],
        vec![v4, OsStr::new("--group"), bad],
        vec![OsStr::new("remove"), bad],
    ];
    for words in cases {
        let done = locked.fails(&words, 2, "is not valid UTF-8");
        assert!(!done.stderr.contains('\u{1b}'), "{done}");
    }
    locked.expect_unchanged();
}

#[test]
fn too_many_users_are_told_at_once_and_change_nothing() {
    let locked = Locked::new(Variant::Nft);
    for count in [16_385, 100_000] {
        let uids: Vec<String> = (0..count).map(|uid| (uid % 50_000).to_string()).collect();
        let mut words = vec![V4];
        words.extend(uids.iter().map(String::as_str));
        let done = locked.fails(
            &words,
            2,
            &format!("{count} users and groups are listed; the limit is 16384"),
        );
        assert!(done.stderr.len() < 500, "{done}");
    }
    locked.expect_unchanged();
}

#[test]
fn as_many_users_as_are_taken_can_be_locked() {
    let lab = Lab::new(Variant::Nft);
    let uids: Vec<String> = (0..16_384).map(|nth| (nth * 2).to_string()).collect();
    let mut command = lab.program();
    Done::of(command.arg(V4).args(&uids)).expect_code(0);
    let bob = lab.attempt(&User::BOB, How::Tcp, IMDS_V4);
    assert!(bob.passed(), "{bob:?}");
    let alice = lab.attempt(&User::ALICE, How::Tcp, IMDS_V4);
    assert!(alice.refused_fast(), "{alice:?}");
}

#[test]
fn bad_usage_has_code_2_and_changes_nothing() {
    let locked = Locked::new(Variant::Nft);
    for (words, says) in [
        (&[][..], "Usage"),
        (&["apply"], "ADDRESS"),
        (&["--frobnicate", V4], "--frobnicate"),
        (&[V4, "root", "--frobnicate"], "--frobnicate"),
        (&["--variant=other", V4], "--variant"),
        (&["--wait", "x", V4], "--wait"),
        (&["--wait", "100000", V4], "--wait"),
        (&["--output=xml", "status"], "--output"),
        (&["--forwarded=maybe", V4], "--forwarded"),
        (&["remove", "--only"], "ADDRESS"),
        (&["status", V4], "unexpected"),
        (&["generate"], "generate"),
        (&["generate", "completions", "tcsh"], "tcsh"),
    ] {
        let mut command = locked.lab.command(lab::lockdown_program());
        let done = Done::of(command.args(words)).expect_code(2);
        assert!(done.stderr.contains(says), "no {says:?} in {done}");
    }
    locked.expect_unchanged();
}

#[test]
fn users_called_like_commands_are_users() {
    let lab = Lab::new(Variant::Nft);
    lab.sh("printf '%s\n' verify:x:3001:3001::/:/bin/sh status:x:3002:3002::/:/bin/sh apply:x:3003:3003::/:/bin/sh \
            remove:x:3004:3004::/:/bin/sh generate:x:3005:3005::/:/bin/sh help:x:3006:3006::/:/bin/sh >> /etc/passwd")
        .expect_code(0);
    let names = ["verify", "status", "apply", "remove", "generate", "help"];
    for words in [&[V4][..], &["apply", V4]] {
        let words: Vec<&str> = words.iter().copied().chain(names).collect();
        let done = lab.lockdown(&words).expect_code(0);
        assert!(done.stdout.contains("help (3006)"), "{done}");
        lab.lockdown(&["remove"]).expect_code(0);
    }
    for name in names {
        lab.lockdown(&[V4, name]).expect_code(0);
        lab.lockdown(&["verify", V4, name]).expect_code(0);
    }
}
