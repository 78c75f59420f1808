//! Other processes hold the lock files: the program waits for a limited time, then exits with code 3 and changes nothing.

use std::time::Duration;

use lab::{Done, Lab, Variant};

use crate::cli::support::{Locked, V4};

/// A process that holds the lock file until it is let go.
struct Holder<'a>(&'a Lab, String);

impl<'a> Holder<'a> {
    #[track_caller]
    fn of(lab: &'a Lab, path: &str) -> Self {
        let script = r#"
            setsid flock --exclusive "$1" sh -c 'echo $$ > /run/holder; exec sleep 60' > /run/log 2>&1 &
            for _ in $(seq 500); do [ -s /run/holder ] && break; sleep 0.01; done
            cat /run/holder"#;
        let done = lab
            .run(&["bash", "-euc", script, "hold", path])
            .expect_code(0);
        Self(lab, done.stdout.trim().to_owned())
    }

    /// Ends it, after which the lock is free.
    #[track_caller]
    fn let_go(self) {
        self.0.run(&["kill", "-9", &self.1]).expect_code(0);
        self.0.sh("rm /run/holder").expect_code(0);
    }
}

fn within(done: &Done, least: u64, most: u64) {
    let seconds = Duration::from_secs;
    assert!(
        done.took >= seconds(least) && done.took < seconds(most),
        "{done}"
    );
}

#[test]
fn the_wait_for_the_xtables_lock_is_bounded() {
    let locked = Locked::new(Variant::Legacy);
    let holder = Holder::of(&locked.lab, "/run/xtables.lock");
    let done = Done::of(locked.lab.program().args(["--wait=1", V4, "alice"])).expect_code(3);
    assert!(
        done.stderr
            .contains("did not get the xtables lock within 1 s"),
        "{done}"
    );
    within(&done, 1, 8);
    locked.expect_unchanged();
    let done = Done::of(locked.lab.program().args(["--wait=0", V4, "alice"])).expect_code(3);
    within(&done, 0, 8);
    locked.fails(&["--wait=1", "remove"], 3, "did not get the xtables lock");
    locked.expect_unchanged();
    locked.expect_not_open();
    // Reading needs no lock.
    locked.lab.lockdown(&["verify"]).expect_code(0);
    holder.let_go();
    locked.lab.lockdown(&[V4, "alice"]).expect_code(0);
}

#[test]
fn the_xtables_lock_let_go_in_time_is_taken() {
    let locked = Locked::new(Variant::Legacy);
    locked
        .lab
        .sh("setsid flock --exclusive /run/xtables.lock sleep 1.5 > /run/log 2>&1 & sleep 0.3")
        .expect_code(0);
    let done = locked.lab.lockdown(&[V4, "alice"]).expect_code(0);
    within(&done, 0, 10);
}

#[test]
fn the_wait_for_our_own_lock_is_bounded() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        let holder = Holder::of(&locked.lab, "/run/ip-lockdown.lock");
        for words in [&[V4, "alice"][..], &["remove"], &["verify"], &["status"]] {
            let words: Vec<&str> = ["--wait=1"]
                .into_iter()
                .chain(words.iter().copied())
                .collect();
            let done = locked.fails(
                &words,
                3,
                "another ip-lockdown has held /run/ip-lockdown.lock",
            );
            within(&done, 1, 5);
        }
        let done = locked.fails(&["--wait=0", V4, "alice"], 3, "another ip-lockdown");
        within(&done, 0, 2);
        locked.expect_unchanged();
        holder.let_go();
        locked.lab.lockdown(&["--wait=0", "verify"]).expect_code(0);
    }
}

#[test]
fn a_lock_file_that_is_a_link_is_not_followed() {
    let locked = Locked::new(Variant::Nft);
    locked
        .lab
        .sh("rm /run/ip-lockdown.lock; touch /run/target; ln -s /run/target /run/ip-lockdown.lock; touch -d @0 /run/target")
        .expect_code(0);
    for words in [&[V4, "alice"][..], &["remove"], &["verify"], &["status"]] {
        locked.fails(words, 3, "cannot open the lock file /run/ip-lockdown.lock");
    }
    // Nor is the target of a dangling one made.
    locked.lab.sh("rm /run/target").expect_code(0);
    locked.fails(&[V4, "alice"], 3, "cannot open the lock file");
    locked.lab.sh("test ! -e /run/target").expect_code(0);
    locked
        .lab
        .sh("rm /run/ip-lockdown.lock; mkdir /run/ip-lockdown.lock")
        .expect_code(0);
    locked.fails(&[V4, "alice"], 3, "cannot open the lock file");
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
