//! What the program tells about the next boot: whether the lockdown is installed again, and who loses access then.

use lab::{Done, Lab};

use crate::hosts::nft;
use crate::netns::config::{CONFIG, imds, write};
use crate::netns::enable::install_units;
use crate::netns::support::{V4, verify};

const NOTE: &str = "note: the lockdown ends at the next boot";

/// Locks the address to root, and expects a note about the next boot, or none, and this message of `verify`.
#[track_caller]
fn expect_told(lab: &Lab, code: i32, address: &str, has_note: bool, message: &str) {
    let done = lab.lockdown(&[address, "root"]).expect_code(code);
    let notes = done.stdout.matches(NOTE).count();
    assert_eq!(notes, usize::from(has_note), "{done}");
    let done = lab
        .lockdown(&["verify", address, "root", "-v"])
        .expect_code(code);
    let found = |line: &str| {
        line.starts_with("pass") && line.contains("survives-reboot") && line.ends_with(message)
    };
    assert!(done.stdout.lines().any(found), "{message}: {done}");
    let done = lab.lockdown(&["status"]).expect_code(0);
    assert!(
        done.stdout
            .contains(&format!("\n  boot        {message}\n")),
        "{message}: {done}"
    );
    lab.lockdown(&["remove"]).expect_code(0);
}

on_every_host! {
    fn a_lockdown_that_ends_at_the_next_boot_is_no_secret(lab) {
        let done = lab.lockdown(&[V4, "root"]).expect_code(0);
        assert!(done.stdout.lines().nth(1).is_some_and(|line| line.starts_with(NOTE)), "{done}");
        assert_eq!(done.stderr, "", "{done}");
        let done = lab.lockdown(&["--quiet", V4, "root"]).expect_code(0);
        assert_eq!(done.stdout, "", "{done}");
        lab.lockdown(&["--output=json", V4, "root"]).expect_code(0).json::<serde_json::Value>();
        verify(lab, 0, &[]).expect_said("survives-reboot", "the lockdown ends at the next boot");
        let done = lab.lockdown(&["verify"]).expect_code(0);
        assert!(done.stdout.contains("\n  boot        -        the lockdown ends at the next boot: "), "{done}");
    }
}

#[test]
fn the_unit_and_its_configuration_decide_what_is_told() {
    let lab = nft();
    let not_enabled = "the lockdown ends at the next boot: ip-lockdown.service is not enabled";
    let locks = "ip-lockdown.service locks the address at every boot";
    let not_contained =
        "the lockdown ends at the next boot: the configuration does not contain the address";
    // A configuration without an enabled unit locks nothing.
    install_units(&lab);
    write(&lab, CONFIG, &imds("\"root\""));
    expect_told(&lab, 0, V4, true, not_enabled);
    lab.lockdown(&["enable"]).expect_code(0);
    expect_told(&lab, 0, V4, false, locks);
    expect_told(&lab, 0, "10.0.0.1", true, not_contained);
    let done = lab
        .lockdown(&["enable", "--now", V4, "root"])
        .expect_code(0);
    assert!(!done.stdout.contains(NOTE), "{done}");
    lab.lockdown(&["remove"]).expect_code(0);
    // A drop-in of the unit can name another configuration.
    write(
        &lab,
        "/etc/systemd/system/ip-lockdown.service.d/config.conf",
        "[Service]\nExecStart=\nExecStart=/usr/sbin/ip-lockdown apply --boot --config /etc/other.toml\n",
    );
    write(
        &lab,
        "/etc/other.toml",
        "[[lockdown]]\naddress = \"10.0.0.1\"\nusers = [\"root\"]\n",
    );
    expect_told(&lab, 0, V4, true, not_contained);
    expect_told(&lab, 0, "10.0.0.1", false, locks);
    // Without a usable configuration, the unit locks the metadata service alone.
    lab.sh("rm -r /etc/systemd/system/ip-lockdown.service.d")
        .expect_code(0);
    write(&lab, CONFIG, "[[lockdown");
    let floor = "the configuration cannot be used: at the next boot, ip-lockdown.service locks the address for root only";
    expect_told(&lab, 0, V4, false, floor);
    let unusable = "the lockdown ends at the next boot: the configuration cannot be used";
    expect_told(&lab, 0, "10.0.0.1", true, unusable);
    lab.sh("ln -sf /dev/null /etc/systemd/system/ip-lockdown.service")
        .expect_code(0);
    expect_told(&lab, 0, V4, true, not_enabled);
}

/// What was said about users that lose access.
fn warnings(done: &Done) -> Vec<&str> {
    let lines = done.stderr.lines();
    lines.filter(|line| line.contains("allowed")).collect()
}

#[test]
fn enable_warns_of_a_list_without_root_beside_cloud_init() {
    let lab = nft();
    install_units(&lab);
    let unit = "/usr/lib/systemd/system/cloud-init-local.service";
    lab.sh(&format!("rm -f {unit} /etc/systemd/system/cloud-init*"))
        .expect_code(0);
    let enable = |words: &[&str]| lab.lockdown(&[&["enable"], words].concat()).expect_code(0);
    let done = enable(&[V4, "alice"]);
    assert_eq!(warnings(&done), [""; 0], "{done}");
    lab.sh(&format!("touch {unit}")).expect_code(0);
    for words in [
        &[V4, "alice"][..],
        &["--now", V4, "alice"],
        &["--now"],
        &[],
        &["fd00:ec2::254", "--group", "2000", "alice"],
    ] {
        let done = enable(words);
        let told = warnings(&done);
        assert!(
            matches!(told[..], [line] if line.starts_with("warning: root is not allowed: cloud-init")),
            "{words:?}: {done}"
        );
    }
    // An empty list has one warning of its own.
    for words in [&[V4][..], &["--now", V4]] {
        let done = enable(words);
        let told = warnings(&done);
        assert!(
            matches!(told[..], [line] if line.starts_with("warning: no user is allowed")),
            "{words:?}: {done}"
        );
    }
    lab.sh("echo 'toor:x:0:0::/:/bin/sh' >> /etc/passwd")
        .expect_code(0);
    for words in [
        &[V4, "root"][..],
        &[V4, "0"],
        &[V4, "toor"],
        &[V4, "0-99"],
        &[V4, "--group", "root"],
        &[V4, "--group", "0"],
        &["10.0.0.1", "alice"],
    ] {
        let done = enable(words);
        assert_eq!(warnings(&done), [""; 0], "{words:?}: {done}");
    }
    // Root may be added by a drop-in.
    write(
        &lab,
        "/etc/ip-lockdown/conf.d/cloud.toml",
        &imds("\"root\""),
    );
    assert_eq!(warnings(&enable(&[V4, "alice"])), [""; 0]);
    lab.sh("rm -r /etc/ip-lockdown/conf.d; ln -sf /dev/null /etc/systemd/system/cloud-init-local.service")
        .expect_code(0);
    assert_eq!(warnings(&enable(&[V4, "alice"])), [""; 0]);
}
