//! `enable` and `disable` where systemd is installed but does not run, as in an image build.

use lab::{IMDS, Lab, User};

use crate::hosts::nft;
use crate::netns::config::{CONFIG, imds, write};
use crate::netns::support::{V4, only_root, refused, served, verify};

const LINKS: [&str; 3] = [
    "/etc/systemd/system/sysinit.target.wants/ip-lockdown.service",
    "/etc/systemd/system/multi-user.target.wants/ip-lockdown-settle.service",
    "/etc/systemd/system/timers.target.wants/ip-lockdown-verify.timer",
];

/// A host with our units.
#[track_caller]
fn with_units() -> Lab {
    let lab = nft();
    install_units(&lab);
    lab
}

/// Puts the units of this tree where packages put them.
#[track_caller]
pub(crate) fn install_units(lab: &Lab) {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
    lab.sh(&format!(
        "mkdir -p /usr/lib/systemd/system /usr/lib/systemd/system/nftables.service.d
         cp {units}/ip-lockdown* /usr/lib/systemd/system
         cp {units}/reapply.conf /usr/lib/systemd/system/nftables.service.d/50-ip-lockdown.conf"
    ))
    .expect_code(0);
}

#[track_caller]
fn enabled(lab: &Lab, wanted: bool) {
    for link in LINKS {
        let there = lab.sh(&format!("test -L {link}")).code == Some(0);
        assert_eq!(there, wanted, "{link}");
    }
}

fn config(lab: &Lab) -> String {
    lab.run(&["cat", CONFIG]).expect_code(0).stdout
}

#[test]
fn enable_writes_the_configuration_and_makes_the_links() {
    let lab = with_units();
    let done = lab
        .lockdown(&["enable", V4, "root", "alice"])
        .expect_code(0);
    assert!(done.stdout.contains("config.toml: written"), "{done}");
    assert!(
        done.stdout.contains("ip-lockdown.service: enabled"),
        "{done}"
    );
    assert_eq!(config(&lab), imds("\"root\", \"alice\""));
    assert_eq!(
        lab.sh(&format!("stat -c '%U %a' {CONFIG} /etc/ip-lockdown"))
            .stdout,
        "root 644\nroot 755\n"
    );
    enabled(&lab, true);
    // Nothing is applied.
    served(&lab, &User::MALLORY, &IMDS);
    let inode = || lab.run(&["stat", "-c", "%i %Y", CONFIG]).stdout;
    let before = inode();
    let done = lab
        .lockdown(&["enable", V4, "root", "alice"])
        .expect_code(0);
    assert!(
        done.stdout.contains("config.toml: unchanged") && done.stdout.contains("already enabled"),
        "{done}"
    );
    assert_eq!(inode(), before);
    // Owner and mode are the administrator's.
    lab.sh(&format!("chmod 600 {CONFIG}; chgrp 4 {CONFIG}"))
        .expect_code(0);
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    assert_eq!(lab.run(&["stat", "-c", "%g %a", CONFIG]).stdout, "4 600\n");
    // Nothing is left beside it.
    assert_eq!(
        lab.run(&["ls", "-A", "/etc/ip-lockdown"]).stdout,
        "config.toml\n"
    );
}

#[test]
fn a_folder_that_is_a_link_is_written_to() {
    let lab = with_units();
    lab.sh("mkdir -p /etc/kept; ln -s kept /etc/ip-lockdown")
        .expect_code(0);
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    lab.lockdown(&["enable", V4, "root", "alice"])
        .expect_code(0);
    assert_eq!(config(&lab), imds("\"root\", \"alice\""));
    lab.sh("test -L /etc/ip-lockdown; test -f /etc/kept/config.toml")
        .expect_code(0);
}

#[test]
fn enable_now_applies_the_configuration_too() {
    let lab = with_units();
    write(
        &lab,
        "/etc/ip-lockdown/conf.d/agent.toml",
        &imds("\"alice\""),
    );
    let done = lab
        .lockdown(&["enable", "--now", V4, "root"])
        .expect_code(0);
    assert!(
        done.stderr.contains("drop-ins in conf.d also grant access"),
        "{done}"
    );
    served(&lab, &User::ALICE, &IMDS);
    refused(&lab, &User::MALLORY, &IMDS);
    verify(&lab, 0, &[]);
    let done = lab
        .lockdown(&["enable", "--now", "--output=json"])
        .expect_code(0);
    assert_eq!(done.json::<serde_json::Value>()["command"], "apply");
}

#[test]
fn only_access_that_drop_ins_add_is_reported() {
    let lab = with_units();
    let words = ["enable", V4, "root", "1000-1010", "--group=adm"];
    for (drop_in, told) in [
        (imds("0, \"root\", 1005"), None),
        (format!("{}groups = [\"adm\"]", imds("\"1000-1001\"")), None),
        (imds("1011"), Some("also grant access")),
        (
            format!("{}groups = [\"users\"]", imds("")),
            Some("also grant access"),
        ),
    ] {
        write(&lab, "/etc/ip-lockdown/conf.d/agent.toml", &drop_in);
        let done = lab.lockdown(&words).expect_code(0);
        let said = done.stderr.lines().filter(|line| line.contains("conf.d"));
        let said: Vec<&str> = said.collect();
        match told {
            None => assert!(said.is_empty(), "{drop_in}: {done}"),
            Some(told) => assert!(matches!(said[..], [line] if line.contains(told)), "{done}"),
        }
    }
}

/// It would leave one of the two addresses open, or containers in.
#[test]
fn no_drop_in_widens_what_enable_was_told() {
    let lab = with_units();
    for (key, value) in [("only", "true"), ("forwarded", "\"allow\"")] {
        let drop_in = format!("{}{key} = {value}\n", imds("\"daemon\""));
        write(&lab, "/etc/ip-lockdown/conf.d/agent.toml", &drop_in);
        let done = lab
            .lockdown(&["enable", "--now", V4, "root"])
            .expect_code(2);
        assert!(
            done.stderr.contains("conf.d/agent.toml:4:") && done.stderr.contains(key),
            "{done}"
        );
        lab.sh("test ! -e /etc/ip-lockdown/config.toml")
            .expect_code(0);
    }
}

#[test]
fn none_of_many_that_enable_at_once_is_lost() {
    let lab = with_units();
    let program = lab::lockdown_program();
    let done = lab.sh(&format!(
        "for n in 1 2 3 4 5 6 7 8; do {} enable 10.0.0.$n root & done; wait; grep -c ^address {CONFIG}",
        program.display()
    ));
    assert!(done.stdout.ends_with("\n8\n"), "{done}");
}

#[test]
fn enable_waits_with_a_bound_for_another_writer() {
    let lab = with_units();
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    let program = lab::lockdown_program();
    let enable = |words: &str| {
        lab.sh(&format!(
            "exec 9< /etc/ip-lockdown; flock 9; {} --wait=1 enable {words} 9<&-",
            program.display()
        ))
    };
    let done = enable("10.0.0.1 root").expect_code(3);
    let told = "another ip-lockdown has held /etc/ip-lockdown for 1s";
    assert!(done.stderr.contains(told), "{done}");
    assert_eq!(config(&lab), imds("\"root\""));
    // Where there is nothing to write, there is nothing to wait for.
    enable(&format!("{V4} root")).expect_code(0);
}

#[test]
fn enable_needs_no_run() {
    let lab = with_units();
    lab.sh("mkdir /var/none; mount --bind /var/none /run; mount -o remount,ro,bind /run")
        .expect_code(0);
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    enabled(&lab, true);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_written() {
    let lab = with_units();
    for (words, told) in [
        (
            &["enable", V4, "no-such-user"][..],
            "there is no user \"no-such-user\"",
        ),
        (&["enable", "169.254.0.0/16"], "is a network"),
        (&["enable"], "there is no configuration"),
        (&["enable", "--now"], "there is no configuration"),
    ] {
        let done = lab.lockdown(words).expect_code(2);
        assert!(done.stderr.contains(told), "{done}");
        assert_ne!(lab.sh("test -e /etc/ip-lockdown").code, Some(0));
        enabled(&lab, false);
    }
    write(&lab, CONFIG, "[[lockdown");
    lab.lockdown(&["enable", V4, "root"]).expect_code(2);
    assert_eq!(config(&lab), "[[lockdown");
    // With --now all names have to be there, also those of drop-ins.
    lab.run(&["rm", CONFIG]).expect_code(0);
    write(
        &lab,
        "/etc/ip-lockdown/conf.d/agent.toml",
        &imds("\"not-yet\""),
    );
    lab.lockdown(&["enable", "--now", V4, "root"])
        .expect_code(2);
    assert_ne!(lab.sh(&format!("test -e {CONFIG}")).code, Some(0));
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    enabled(&lab, true);
}

#[test]
fn only_root_enables() {
    let lab = with_units();
    let program = "/usr/local/bin/ip-lockdown";
    let source = lab::lockdown_program();
    let source = source.to_str().expect("a path of text");
    lab.run(&["install", "-D", "-m", "755", source, program])
        .expect_code(0);
    for words in ["enable 169.254.169.254 root", "disable"] {
        let done = lab
            .sh(&format!(
                "setpriv --reuid=1666 --regid=1666 --clear-groups {program} {words}"
            ))
            .expect_code(3);
        assert!(done.stderr.contains("not privileged"), "{done}");
    }
}

#[test]
fn without_units_or_systemctl_enable_fails() {
    let lab = nft();
    lab.sh("rm -f /usr/lib/systemd/system/ip-lockdown* /lib/systemd/system/ip-lockdown*")
        .expect_code(0);
    let done = lab.lockdown(&["enable", V4, "root"]).expect_code(3);
    assert!(done.stderr.contains("install the units"), "{done}");
    assert!(done.stdout.contains("config.toml: written"), "{done}");
    // It is locked all the same, and one result says both.
    let done = lab
        .lockdown(&["enable", "--now", V4, "root"])
        .expect_code(3);
    assert!(
        done.stdout.contains("locked, only root (0) is allowed")
            && done.stderr.contains("install the units"),
        "{done}"
    );
    only_root(&lab);
    let done = lab
        .lockdown(&["enable", "--now", "--output=json"])
        .expect_code(3);
    let json: serde_json::Value = done.json();
    assert_eq!(json["command"], "apply");
    assert_eq!(json["exit_code"], 3);
    let errors = json["errors"].to_string();
    assert!(errors.contains("does not exist"), "{done}");
    lab.sh("rm /run/ip-lockdown.lock; ln -s x /run/ip-lockdown.lock")
        .expect_code(0);
    let done = lab
        .lockdown(&["enable", "--now", "--output=json"])
        .expect_code(3);
    let json: serde_json::Value = done.json();
    assert_eq!(json["command"], "enable");
    lab.sh("rm /run/ip-lockdown.lock").expect_code(0);
    lab.sh("rm -f /usr/bin/systemctl /bin/systemctl")
        .expect_code(0);
    let done = lab.lockdown(&["enable", V4, "root"]).expect_code(3);
    assert!(done.stderr.contains("systemctl is missing"), "{done}");
}

#[test]
fn disable_removes_the_links_and_nothing_else() {
    let lab = with_units();
    lab.lockdown(&["enable", "--now", V4, "root"])
        .expect_code(0);
    let done = lab.lockdown(&["disable"]).expect_code(0);
    assert!(
        done.stdout.contains("stay locked until the next boot"),
        "{done}"
    );
    enabled(&lab, false);
    assert_eq!(config(&lab), imds("\"root\""));
    only_root(&lab);
    let done = lab.lockdown(&["disable"]).expect_code(0);
    assert!(done.stdout.contains("already disabled"), "{done}");
    // And back, with the configuration as it was.
    lab.lockdown(&["enable"]).expect_code(0);
    enabled(&lab, true);
    let done = lab.lockdown(&["remove"]).expect_code(0);
    assert!(
        done.stderr
            .contains("locks the configured addresses again at the next boot"),
        "{done}"
    );
    lab.lockdown(&["apply"]).expect_code(0);
    let done = lab.lockdown(&["disable", "--now"]).expect_code(0);
    assert_eq!(done.stderr, "", "{done}");
    enabled(&lab, false);
    served(&lab, &User::MALLORY, &IMDS);
    assert_eq!(config(&lab), imds("\"root\""));
}

#[test]
fn a_missing_configuration_is_found_where_the_unit_is_enabled() {
    let lab = with_units();
    lab.lockdown(&["enable", "--now", V4, "root"])
        .expect_code(0);
    verify(&lab, 0, &[]);
    lab.run(&["rm", CONFIG]).expect_code(0);
    verify(&lab, 4, &[]).expect_failed("config-usable", "there is no configuration");
    lab.lockdown(&["disable"]).expect_code(0);
    verify(&lab, 0, &[]);
}

/// A host whose nftables.service, which is enabled, flushes all rules.
#[track_caller]
fn with_flush_at_boot() -> Lab {
    let lab = with_units();
    lab.sh("echo 'flush ruleset' > /etc/nftables.conf
        printf '[Service]\\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\\n' > /etc/systemd/system/nftables.service
        mkdir -p /etc/systemd/system/sysinit.target.wants
        ln -sf ../nftables.service /etc/systemd/system/sysinit.target.wants/nftables.service")
        .expect_code(0);
    lab
}

#[test]
fn a_flush_by_nftables_service_is_mended_only_where_the_unit_is_enabled() {
    let lab = with_flush_at_boot();
    lab.lockdown(&[V4, "root"]).expect_code(4);
    verify(&lab, 4, &[]).expect_failed("survives-nft-flush", "");
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    verify(&lab, 0, &[]);
}

/// A drop-in that reloads our unit does nothing while the unit is not active.
#[test]
fn where_systemd_runs_a_flush_is_mended_only_by_an_active_unit() {
    let lab = with_flush_at_boot();
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    lab.lockdown(&["apply"]).expect_code(0);
    // As if systemd ran: what systemctl shows of every unit is in a file.
    lab.sh("mkdir -p /run/systemd/system; rm $(command -v systemctl)
        printf '#!/bin/sh\\ncat /run/shown\\n' > /usr/bin/systemctl; chmod 755 /usr/bin/systemctl")
        .expect_code(0);
    let show = |text: &str| {
        lab.sh(&format!("printf '{text}\\n' > /run/shown"))
            .expect_code(0);
    };
    for state in ["inactive", "failed", "deactivating"] {
        show(&format!("ActiveState={state}"));
        verify(&lab, 4, &[]).expect_failed("survives-nft-flush", "enabled but not active");
    }
    for state in ["active", "activating", "reloading", "inactive\\nJob=12"] {
        show(&format!("ActiveState={state}"));
        verify(&lab, 0, &[]).expect_said("survives-nft-flush", "applies the lockdown again");
    }
    // A service that is not enabled, but was started.
    lab.sh("rm /etc/systemd/system/sysinit.target.wants/nftables.service")
        .expect_code(0);
    show("ActiveState=inactive");
    verify(&lab, 0, &[]);
    lab.sh("rm /usr/lib/systemd/system/nftables.service.d/50-ip-lockdown.conf")
        .expect_code(0);
    show("ActiveState=active");
    verify(&lab, 4, &[]).expect_failed("survives-nft-flush", "active or enabled");
    // What systemctl cannot tell is unknown.
    lab.run(&["rm", "/run/shown"]).expect_code(0);
    verify(&lab, 4, &[]).expect_said("survives-nft-flush", "`systemctl show");
}

#[test]
fn a_killed_enable_leaves_a_whole_file() {
    let lab = with_units();
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
    for users in [&["root"][..], &["root", "alice"]]
        .into_iter()
        .cycle()
        .take(20)
    {
        let words = [&["enable", V4], users].concat();
        let mut command = lab.command("timeout");
        command
            .args(["--signal=KILL", "0.004"])
            .arg(lab::lockdown_program())
            .args(&words);
        lab::Done::of(&mut command);
        let text = config(&lab);
        assert!(
            [imds("\"root\""), imds("\"root\", \"alice\"")].contains(&text),
            "{text}"
        );
    }
    lab.lockdown(&["enable", V4, "root"]).expect_code(0);
}
