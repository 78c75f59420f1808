//! A lock file that cannot be made, opened or locked, and files that the program makes: whatever is in the lock
//! file's place, and whatever limits the caller has set, no run hangs, dies of a signal or spoils later runs.

use lab::{Done, Lab, Variant};

use crate::cli::support::{Locked, V4};
use crate::netns::config::{CONFIG, imds, write};
use crate::netns::enable::install_units;
use crate::netns::support::only_root;

/// What can be in the lock file's place, or prevent it: a name, and a script that brings it about.
const IN_THE_WAY: [(&str, &str); 7] = [
    ("a directory", "mkdir /run/ip-lockdown.lock"),
    ("a FIFO", "mkfifo /run/ip-lockdown.lock"),
    ("a link", "ln -s /run/target /run/ip-lockdown.lock"),
    ("a device", "mknod /run/ip-lockdown.lock c 1 3"),
    (
        "a file without any permission",
        "touch /run/ip-lockdown.lock; chmod 0 /run/ip-lockdown.lock",
    ),
    ("a read-only /run", "mount -t tmpfs -o ro none /run"),
    (
        "a /run without inodes",
        "mount -t tmpfs -o nr_inodes=1 none /run",
    ),
];

#[test]
fn boot_locks_without_a_lock_file() {
    for (what, script) in IN_THE_WAY {
        let lab = Lab::new(Variant::Nft);
        write(&lab, CONFIG, &imds("\"root\""));
        lab.sh(script).expect_code(0);
        let done = lab.lockdown(&["apply", "--boot"]).expect_code(0);
        only_root(&lab);
        let warnings: Vec<&str> = done.stderr.lines().collect();
        assert!(
            matches!(warnings[..], [line, ..] if line.starts_with("warning: ")
                && line.contains("/run/ip-lockdown.lock")
                && line.contains("without")),
            "{what}: {done}"
        );
        assert_eq!(
            done.stderr.matches("warning: ").count(),
            1,
            "{what}: {done}"
        );
        lab.sh("test ! -e /run/target").expect_code(0);
    }
}

/// iptables-legacy needs a lock file of its own in /run. The layer nftables needs none.
#[test]
fn boot_locks_with_iptables_legacy_and_a_run_that_cannot_be_written() {
    for (what, script) in &IN_THE_WAY[5..] {
        let lab = Lab::new(Variant::Legacy);
        write(&lab, CONFIG, &imds("\"root\""));
        lab.sh(script).expect_code(0);
        let done = lab.lockdown(&["apply", "--boot"]).expect_code(4);
        assert!(done.stdout.contains("/run/xtables.lock"), "{what}: {done}");
        only_root(&lab);
    }
}

#[test]
fn boot_waits_for_a_lock_that_another_run_holds() {
    let lab = Lab::new(Variant::Nft);
    write(&lab, CONFIG, &imds("\"root\""));
    let program = lab::lockdown_program();
    let done = lab.sh(&format!(
        "exec 9> /run/ip-lockdown.lock; flock 9; {} --wait=1 apply --boot 9>&-",
        program.display()
    ));
    let told = "another ip-lockdown has held /run/ip-lockdown.lock for 1s";
    assert!(done.expect_code(3).stderr.contains(told));
}

#[test]
fn what_is_in_the_place_of_the_lock_file_is_an_error_on_the_command_line() {
    let locked = Locked::new(Variant::Nft);
    for (what, script) in &IN_THE_WAY[..5] {
        locked
            .lab
            .sh(&format!("rm -rf /run/ip-lockdown.lock; {script}"))
            .expect_code(0);
        for words in [&[V4, "alice"][..], &["remove"], &["verify"], &["status"]] {
            let done = locked.fails(words, 3, "cannot open the lock file /run/ip-lockdown.lock");
            assert!(done.stderr.contains("help: "), "{what}: {done}");
        }
        locked.lab.sh("test ! -e /run/target").expect_code(0);
        locked.expect_unchanged();
    }
    locked
        .lab
        .sh("rm /run/ip-lockdown.lock; touch /run/target; touch -d @0 /run/target; ln -s target /run/ip-lockdown.lock")
        .expect_code(0);
    locked.fails(&[V4, "alice"], 3, "cannot open the lock file");
    locked.fails(&["verify"], 3, "cannot open the lock file");
    locked.expect_unchanged();
}

#[test]
fn only_root_can_hold_our_lock() {
    let locked = Locked::new(Variant::Nft);
    let mode = locked
        .lab
        .sh("stat -c '%a %u %g' /run/ip-lockdown.lock")
        .stdout;
    assert_eq!(mode, "600 0 0\n");
}

/// Runs the program from a shell that has run `setting` before.
#[track_caller]
fn after(lab: &Lab, setting: &str, words: &str) -> Done {
    let program = lab::lockdown_program();
    let options = lab.options().join(" ");
    lab.sh(&format!(
        "{setting}; {} {options} {words}",
        program.display()
    ))
}

/// The boot unit has no CAP_DAC_OVERRIDE, and the program drops it: the mode of a file counts for root too.
#[test]
fn no_umask_makes_a_file_that_later_runs_cannot_open() {
    for variant in Variant::ALL {
        for umask in ["0277", "0777", "0377"] {
            let lab = Lab::new(variant);
            install_units(&lab);
            let umask = format!("umask {umask}");
            after(&lab, &umask, "169.254.169.254 root").expect_code(0);
            after(&lab, &umask, "enable 169.254.169.254 root").expect_code(0);
            let modes = lab
                .sh(&format!(
                    "stat -c '%a %n' /run/ip-lockdown.lock {CONFIG} /etc/ip-lockdown
                     find /run/xtables.lock -printf '%m %p\\n' 2>&1 || true"
                ))
                .stdout;
            for line in modes.lines().filter(|line| !line.contains("No such")) {
                let least = if line.ends_with("/etc/ip-lockdown") {
                    '7'
                } else {
                    '6'
                };
                assert!(line.starts_with(least), "{umask}: {modes}");
            }
            lab.lockdown(&[V4, "root", "alice"]).expect_code(0);
            lab.lockdown(&["apply", "--boot"]).expect_code(0);
            lab.lockdown(&["verify"]).expect_code(0);
            lab.lockdown(&["remove"]).expect_code(0);
        }
    }
    // What the umask keeps from others, others do not get.
    let lab = Lab::new(Variant::Nft);
    install_units(&lab);
    after(&lab, "umask 077", "enable 169.254.169.254 root").expect_code(0);
    let modes = lab
        .sh(&format!("stat -c %a {CONFIG} /etc/ip-lockdown"))
        .stdout;
    assert_eq!(modes, "600\n700\n");
}

#[test]
fn a_limit_for_the_size_of_files_ends_no_run_by_a_signal() {
    let locked = Locked::new(Variant::Nft);
    let run = |words: &str, end: &str| {
        let program = lab::lockdown_program();
        let program = program.display();
        locked.lab.run(&[
            "bash",
            "-c",
            &format!(
                "exec 2> >(cat > /dev/null); ulimit -f 0; {program} --variant=nft {words} {end}"
            ),
        ])
    };
    for words in [
        "--help",
        "--version",
        "status",
        "verify",
        "generate man",
        "169.254.169.254 root",
    ] {
        let done = run(words, "> /run/out");
        assert_eq!((done.code, done.signal), (Some(3), None), "{words}: {done}");
        let done = run(words, "> /dev/null");
        assert_eq!((done.code, done.signal), (Some(0), None), "{words}: {done}");
    }
    locked.expect_unchanged();
}

/// The text for iptables-restore is in a file, which has this limit too. The layer nftables needs no such file.
#[test]
fn with_a_limit_for_the_size_of_files_the_address_is_locked_and_an_error_tells_what_to_do() {
    for variant in Variant::ALL {
        let lab = Lab::new(variant);
        let done = after(
            &lab,
            "set -o pipefail; (ulimit -f 0",
            "169.254.169.254 root 2>&1) | cat",
        );
        let done = done.expect_code(3);
        assert!(
            done.stdout.contains("File too large") && done.stdout.contains("ulimit -f unlimited"),
            "{done}"
        );
        only_root(&lab);
        lab.lockdown(&[V4, "root"]).expect_code(0);
        lab.lockdown(&["verify"]).expect_code(0);
    }
}
