//! `apply --boot` never opens an address, whatever is wrong; `--settle` waits for missing names.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::{DNS_V4, Ending, How, IMDS, IMDS_V4, IMDS_V6, Lab, User};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts::nft;
use crate::netns::config::{CONFIG, imds, write};
use crate::netns::support::{V4, lock, only_root, refused, served, verify};

on_every_host! {
    fn a_configuration_that_is_fine_is_applied(lab) {
        write(lab, CONFIG, &imds("\"root\", \"alice\""));
        let done = lock(lab, &["apply", "--boot"]);
        assert!(done.stdout.contains("root (0), alice (1001) are allowed"), "{done}");
        served(lab, &User::ALICE, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
    }

    fn a_name_that_does_not_exist_is_left_out(lab) {
        write(lab, CONFIG, &imds("\"root\", \"not-yet\""));
        let done = lab.lockdown(&["apply", "--boot"]).expect_code(4);
        assert!(done.stdout.contains("names-resolved") && done.stdout.contains("not-yet"), "{done}");
        only_root(lab);
        verify(lab, 4, &[]).expect_failed("names-resolved", "not-yet");
        lab.sh("echo 'not-yet:x:1666:1666::/:/bin/sh' >> /etc/passwd").expect_code(0);
        // Rules and configuration say different things now.
        verify(lab, 1, &[]).expect_failed("as-asked", "different users");
        lock(lab, &["apply", "--boot"]);
        served(lab, &User::MALLORY, &IMDS);
        verify(lab, 0, &[]);
    }

    fn a_name_that_is_gone_keeps_the_id_that_stands(lab) {
        write(lab, CONFIG, &imds("\"root\", \"alice\""));
        lock(lab, &["apply"]);
        lab.sh("sed -i /^alice:/d /etc/passwd").expect_code(0);
        lab.lockdown(&["apply", "--boot"]).expect_code(4);
        served(lab, &User::ALICE, &IMDS);
        served(lab, &User::ROOT, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        verify(lab, 4, &[]).expect_failed("names-current", "alice");
        // Somebody else has it now.
        lab.sh("echo 'heir:x:1001:1001::/:/bin/sh' >> /etc/passwd").expect_code(0);
        lab.lockdown(&["apply", "--boot"]).expect_code(4);
        refused(lab, &User::ALICE, &IMDS);
        served(lab, &User::ROOT, &IMDS);
    }

    fn without_a_configuration_only_root_passes(lab) {
        for text in [None, Some("[[lockdown"), Some("# nothing\n")] {
            lab.sh("rm -rf /etc/ip-lockdown").expect_code(0);
            if let Some(text) = text {
                write(lab, CONFIG, text);
            }
            let done = lab.lockdown(&["apply", "--boot"]).expect_code(4);
            assert!(done.stdout.contains("config-usable"), "{done}");
            only_root(lab);
            lab.lockdown(&["remove"]).expect_code(0);
        }
    }

    fn without_a_configuration_what_is_locked_stays_locked(lab) {
        lock(lab, &[V4, "root", "alice"]);
        let done = lab.lockdown(&["apply", "--boot"]).expect_code(4);
        assert!(done.stdout.contains("(unchanged)"), "{done}");
        served(lab, &User::ALICE, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        // One half of the pair is locked, the other gets the floor.
        lab.lockdown(&["remove"]).expect_code(0);
        lock(lab, &[V4, "--only", "alice"]);
        lab.lockdown(&["apply", "--boot"]).expect_code(4);
        served(lab, &User::ALICE, &[IMDS_V4]);
        refused(lab, &User::ROOT, &[IMDS_V4]);
        refused(lab, &User::ALICE, &[IMDS_V6]);
        served(lab, &User::ROOT, &[IMDS_V6]);
    }
}

#[test]
fn without_a_configuration_a_damaged_layer_is_mended_from_the_other() {
    let lab = nft();
    lock(&lab, &[V4, "root", "alice"]);
    lab.sh("iptables -F; ip6tables -F").expect_code(0);
    lab.lockdown(&["apply", "--boot"]).expect_code(4);
    verify(&lab, 0, &[V4, "root", "alice"]);
}

#[test]
fn what_cannot_be_locked_does_not_keep_the_rest_open() {
    let lab = Lab::without_iptables();
    // nftables cannot match supplementary groups, and there is no iptables.
    let text = format!(
        "[[lockdown]]\naddress = \"169.254.169.253\"\ngroups = [2000]\n{}",
        imds("\"root\"")
    );
    write(&lab, CONFIG, &text);
    let words = ["apply", "--boot", "--layers=auto"];
    let done = lab.lockdown(&words[..2]).expect_code(3);
    assert!(done.stderr.contains("169.254.169.253"), "{done}");
    only_root(&lab);
}

#[test]
fn the_floor_is_installed_before_any_name_is_looked_up() {
    let lab = nft();
    write(&lab, CONFIG, &imds("\"root\", \"alice\""));
    let done = lab.lockdown(&["apply", "--boot", "-vv"]).expect_code(0);
    let plans: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| line.starts_with("debug: installing"))
        .collect();
    let [floor, whole] = plans.as_slice() else {
        panic!("the rules are not installed in two steps: {done}");
    };
    assert!(floor.contains("root") && !floor.contains("alice"), "{done}");
    assert!(whole.contains("root") && whole.contains("alice"), "{done}");
    // What is locked already stays as it is until the names are known.
    lock(&lab, &[V4, "root", "bob"]);
    let done = lab.lockdown(&["apply", "--boot", "-vv"]).expect_code(0);
    let plans = done.stderr.matches("debug: installing");
    assert_eq!(plans.count(), 1, "{done}");
}

/// A name service (nss(5)) that does not answer for `slow` until there is a file.
const SLOW_DIRECTORY: &str = r#"
cat > /run/slow.c <<'C'
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
enum nss_status _nss_slow_getpwnam_r(const char *name, struct passwd *user, char *text, size_t size, int *error)
{
    if (strcmp(name, "slow") != 0)
        return NSS_STATUS_NOTFOUND;
    while (access("/run/answer", F_OK) != 0)
        usleep(10000);
    strncpy(text, "slow", size);
    *user = (struct passwd){ .pw_name = text, .pw_uid = 1666, .pw_passwd = "", .pw_gecos = "", .pw_dir = "", .pw_shell = "" };
    return NSS_STATUS_SUCCESS;
}
C
# Beside the C library, where it looks for them.
libc=$(ldd "$(command -v sh)" | awk '$1 == "libc.so.6" { print $3 }')
cc -shared -fPIC -o "${libc%/*}/libnss_slow.so.2" /run/slow.c
echo 'passwd: files slow' > /etc/nsswitch.conf
"#;

#[test]
fn while_a_directory_does_not_answer_everything_is_locked_and_others_have_their_turn() {
    let lab = nft();
    lab.sh(SLOW_DIRECTORY).expect_code(0);
    let other = "[[lockdown]]\naddress = \"169.254.169.253\"\nusers = [\"slow\"]\n";
    write(&lab, CONFIG, &format!("{}{other}", imds("\"root\"")));
    let mut boot = lab.command(lab::lockdown_program());
    let mut boot = boot
        .args(lab.options())
        .args(["apply", "--boot"])
        .spawn()
        .expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    let neighbour = || lab.attempt(&User::ROOT, How::Tcp, DNS_V4).ending;
    while neighbour() != Ending::Refused {
        assert!(Instant::now() < deadline, "{:?}", neighbour());
        sleep(Duration::from_millis(50));
    }
    only_root(&lab);
    lab.lockdown(&["--wait=5", "10.0.0.1", "alice"])
        .expect_code(0);
    assert!(boot.try_wait().expect("a child").is_none(), "it waits");
    lab.run(&["touch", "/run/answer"]).expect_code(0);
    assert!(boot.wait().expect("it ends").success());
    served(&lab, &User::MALLORY, &[DNS_V4]);
    only_root(&lab);
}

#[test]
fn settling_applies_again_and_waits_for_names() {
    let lab = nft();
    write(&lab, CONFIG, &imds("\"root\", \"not-yet\""));
    let mut settle = lab.command(lab::lockdown_program());
    let mut settle = settle
        .args(lab.options())
        .args(["apply", "--boot", "--settle"])
        .spawn()
        .expect("it starts");
    let soon = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            sleep(Duration::from_millis(50));
        }
    };
    let whole = || lab.lockdown(&["verify", "--no-probe"]).code == Some(4);
    soon("it applies", &whole);
    only_root(&lab);
    lab.sh("nft flush ruleset").expect_code(0);
    soon("it applies again", &whole);
    only_root(&lab);
    lab.sh("echo 'not-yet:x:1666:1666::/:/bin/sh' >> /etc/passwd")
        .expect_code(0);
    soon("the name gets access", &|| {
        lab.attempt(&User::MALLORY, How::Tcp, IMDS_V4).ending == Ending::Connected
    });
    served(&lab, &User::MALLORY, &IMDS);
    assert!(
        settle.try_wait().expect("a child").is_none(),
        "it stays for a while"
    );
    let pid = Pid::from_raw(settle.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("it runs");
    settle.wait().expect("it ends");
    verify(&lab, 0, &[]);
}
