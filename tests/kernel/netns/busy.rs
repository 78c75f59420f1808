//! Other tools change nf_tables without pause while it is read: the result is correct, or unknown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::scope;

use lab::{Done, IMDS, Lab, User};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};

use crate::netns::native::within;
use crate::netns::support::{V4, lock, only_root, refused, served, verify};
use lab::saved::{own_table, state};

/// Does `work` while another tool runs a script again and again.
#[track_caller]
fn while_busy(lab: &Lab, script: &str, work: impl FnOnce()) {
    let enough = AtomicBool::new(false);
    let rounds = scope(|scope| {
        let tool = scope.spawn(|| {
            let mut rounds = 0;
            while !enough.load(Relaxed) {
                lab.sh(script).expect_code(0);
                rounds += 1;
            }
            rounds
        });
        let told = Enough(&enough);
        work();
        drop(told);
        tool.join().expect("the tool was stopped")
    });
    assert!(rounds > 3, "{rounds}");
}

/// Says that it is enough when it goes, also when that is by a panic.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

on_every_host! {
    fn rules_that_other_tools_change_all_the_time_are_never_misread(lab) {
        lock(lab, &[V4, "root"]);
        let before = state(lab);
        // Each change gives the kernel's rules another generation, in which what was read before is void. Long
        // tables of others make a look long, so that more of them come in between.
        let rules: Vec<_> = (1..2000).map(|port| format!("tcp dport {port} accept")).collect();
        lab.sh(&format!("nft 'table inet long {{ chain c {{ {}; }}; }}'", rules.join("; "))).expect_code(0);
        let script = "for nth in {1..5}; do
            nft 'add table ip busy; add chain ip busy c; add rule ip busy c tcp dport 1 accept'
            nft 'add rule inet long c tcp dport 2 accept'
            nft 'delete table ip busy'
        done";
        while_busy(lab, script, || {
            for round in 0..30 {
                let again = lock(lab, &[V4, "root"]);
                assert!(again.stdout.contains("(unchanged)"), "{round}: {again}");
                verify(lab, 0, &[V4, "root"]);
            }
            for round in 0..30 {
                let list: &[&str] = if round % 2 == 0 { &[V4, "root", "alice"] } else { &[V4, "root"] };
                lock(lab, list);
                verify(lab, 0, list);
            }
        });
        lab.sh("nft delete table inet long").expect_code(0);
        assert_eq!(state(lab), before);
        only_root(lab);
    }

    fn rules_that_change_faster_than_they_can_be_read_are_unknown_at_worst(lab) {
        lock(lab, &[V4, "root"]);
        let lists: [&[&str]; 2] = [&[V4, "root", "alice"], &[V4, "root"]];
        let enough = AtomicBool::new(false);
        let mut codes = BTreeMap::<_, u32>::new();
        let mut told_or_done = |what: &str, done: Done, done_codes: &[i32]| {
            let code = done.code.expect("an exit code");
            *codes.entry((what.to_owned(), code)).or_default() += 1;
            let unknown = done.to_string().contains("kept changing nf_tables");
            // Where tables of others could not be asked for, all else is judged.
            assert!(done_codes.contains(&code) || unknown && [3, 4].contains(&code), "{done}");
            code == 0
        };
        let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
            let changes = scope(|scope| {
                let tool = scope.spawn(|| within(lab, || change_until(&enough)));
                let told = Enough(&enough);
                for round in 0..30 {
                    let list = lists[round % 2];
                    let is_done = told_or_done("apply", lab.lockdown(list), &[0]);
                    let with = [&["verify", "--no-probe"], list].concat();
                    // 1: it is another list that stands. 4: no probes.
                    let wrong: &[i32] = if is_done { &[4] } else { &[1, 4] };
                    told_or_done("verify", lab.lockdown(&with), wrong);
                    told_or_done("status", lab.lockdown(&["status"]), &[0]);
                }
                drop(told);
                tool.join().expect("it was stopped")
            });
            println!("{changes} changes");
            assert!(changes > 10_000, "{changes}");
        });
        println!("{codes:?}");
        assert_eq!(counts.passed(), 0, "{counts:?}");
        served(lab, &User::ROOT, &IMDS);
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[V4, "root"]);
    }

    fn two_lists_at_once_are_one_of_them_in_the_end(lab) {
        for round in 0..10 {
            scope(|scope| {
                let runs = ["alice", "bob"].map(|user| scope.spawn(move || lock(lab, &[V4, user])));
                for run in runs {
                    run.join().expect("it was done");
                }
            });
            let alice = lab.lockdown(&["verify", "--no-probe", V4, "alice"]).code == Some(4);
            let (listed, other) = if alice { ("alice", User::BOB) } else { ("bob", User::ALICE) };
            verify(lab, 0, &[V4, listed]);
            refused(lab, &other, &IMDS);
            println!("{round}: {listed}");
        }
        lock(lab, &["remove"]);
        assert_eq!(own_table(lab), "");
    }
}

/// Makes a table and takes it away as fast as the kernel does it; how often.
fn change_until(enough: &AtomicBool) -> u64 {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    );
    let mut socket = File::from(socket.expect("a socket"));
    // NFTA_TABLE_NAME
    let name = b"\x09\0\x01\0busy\0\0\0\0";
    // NFT_MSG_NEWTABLE with NLM_F_CREATE, NFT_MSG_DELTABLE; of AF_INET.
    let transactions = [(10 << 8, 0x401), (10 << 8 | 2, 1)].map(|(kind, flags)| {
        // NFNL_MSG_BATCH_BEGIN and _END, of NFNL_SUBSYS_NFTABLES.
        let begin = message(16, 1, [0, 0, 0, 10], b"");
        let change = message(kind, flags, [2, 0, 0, 0], name);
        [begin, change, message(17, 1, [0, 0, 0, 10], b"")].concat()
    });
    let mut changes = 0;
    let mut buffer = [0; 4096];
    while !enough.load(Relaxed) {
        for transaction in &transactions {
            socket.write_all(transaction).expect("the kernel takes it");
            changes += 1;
        }
        loop {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    // struct nlmsgerr
                    let error = (buffer[4] == 2).then(|| &buffer[16..20]);
                    assert!(
                        error.is_none_or(|errno| errno == [0; 4]),
                        "{:?}",
                        &buffer[..length]
                    );
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::ENOBUFS) => {}
                Err(errno) => panic!("{errno}"),
            }
        }
    }
    changes
}

/// A netlink message of nfnetlink.
fn message(kind: u16, flags: u16, head: [u8; 4], attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).expect("a short message");
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(head);
    bytes.extend(attributes);
    bytes
}
