//! Other processes hold the lock files: the program waits for a limited time, then exits with code 3 and changes nothing.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::{Done, Lab, Variant};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::cli::support::{Locked, V4};
use crate::netns::config::{CONFIG, imds, write};
use crate::netns::enable::install_units;

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
    // Reading needs no lock.
    locked.lab.lockdown(&["verify"]).expect_code(0);
    // It removes what it can: the layer nftables.
    locked.fails(&["--wait=1", "remove"], 3, "did not get the xtables lock");
    locked.expect_not_open();
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

/// A pipe with room for so many bytes, whose reader does not read.
#[track_caller]
fn stopped_reader(room: usize) -> (PipeReader, PipeWriter) {
    let (mut reader, mut writer) = pipe().expect("a pipe");
    let flags = |flags| fcntl(&writer, FcntlArg::F_SETFL(flags)).expect("a pipe has flags");
    flags(OFlag::O_NONBLOCK);
    while (&writer).write(&[b'.'; PAGE]).is_ok() {}
    flags(OFlag::empty());
    // Room is made by pages; what is too much is filled again.
    let pages = room.div_ceil(PAGE);
    let mut read = vec![0; pages * PAGE];
    reader.read_exact(&mut read).expect("pages are in the pipe");
    read.truncate(pages * PAGE - room);
    writer.write_all(&read).expect("there is room");
    (reader, writer)
}

const PAGE: usize = 4096;

/// Waits until the program waits for the reader of its output, or ends; returns whether it waits.
#[track_caller]
fn waits_for_reader(program: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    let place = format!("/proc/{}/wchan", program.id());
    loop {
        if fs::read_to_string(&place).is_ok_and(|place| place.contains("pipe_write")) {
            return true;
        }
        if program.try_wait().expect("a child").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "it neither writes nor ends");
        sleep(Duration::from_millis(5));
    }
}

/// A host that is locked for root, with units and a configuration.
#[track_caller]
fn configured() -> Lab {
    let lab = Lab::new(Variant::Nft);
    install_units(&lab);
    write(&lab, CONFIG, &imds("\"root\""));
    lab.lockdown(&[V4, "root"]).expect_code(0);
    lab
}

/// Runs the program with a stream whose reader does not read, and another `apply` meanwhile. Returns whether the
/// program waited for its reader.
#[track_caller]
fn another_run_beside(lab: &Lab, mut program: Command, reader: PipeReader) -> bool {
    let mut child = program.stdin(Stdio::null()).spawn().expect("it starts");
    let waits = waits_for_reader(&mut child);
    lab.lockdown(&["--wait=4", V4, "root", "alice"])
        .expect_code(0);
    assert_eq!(
        child.try_wait().expect("a child").is_none(),
        waits,
        "{program:?}"
    );
    // A reader that goes away is no reason to hang.
    drop((reader, program));
    child.wait().expect("it ends");
    waits
}

/// Commands that take the lock.
const COMMANDS: [&[&str]; 9] = [
    &["verify"],
    &["verify", "--output=json"],
    &["status"],
    &["status", "--output=json"],
    &[V4, "root"],
    &[V4],
    &["apply", "--boot"],
    &["enable", "--now", V4, "root"],
    &["remove"],
];

#[test]
fn the_lock_is_free_while_a_result_waits_for_its_reader() {
    let lab = configured();
    for words in COMMANDS {
        let (reader, writer) = stopped_reader(0);
        let mut program = lab.program();
        program.args(words).stdout(writer).stderr(Stdio::null());
        assert!(another_run_beside(&lab, program, reader), "{words:?}");
    }
}

#[test]
fn the_lock_is_free_while_a_warning_waits_for_its_reader() {
    let lab = configured();
    lab.lockdown(&["enable"]).expect_code(0);
    for words in [&[V4][..], &["remove"]] {
        let (reader, writer) = stopped_reader(0);
        let mut program = lab.program();
        program.args(words).stdout(Stdio::null()).stderr(writer);
        assert!(another_run_beside(&lab, program, reader), "{words:?}");
    }
}

/// Debug messages are written from the beginning to the end, so also while the lock is held.
#[test]
fn the_lock_is_free_while_log_lines_wait_for_their_reader() {
    let lab = configured();
    for words in [
        &["verify"][..],
        &["status"],
        &[V4, "root"],
        &["apply", "--boot"],
        &["remove"],
    ] {
        let mut rooms = (0..).step_by(120);
        let all_written = rooms.position(|room| {
            let (reader, writer) = stopped_reader(room);
            let mut program = lab.program();
            program.args(["-vv"]).args(words);
            program.stdout(Stdio::null()).stderr(writer);
            !another_run_beside(&lab, program, reader)
        });
        assert!(all_written > Some(2), "{words:?}: {all_written:?}");
    }
}
