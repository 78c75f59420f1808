//! Our table after nft has written it: the kernel's dump is equal to what this program sends, or the program reports
//! the difference.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::{fs, thread};

use ip_lockdown::ruleset::model::Spec;
use ip_lockdown::ruleset::nftables::decode;
use ip_lockdown::ruleset::nftables::nat::{Answer, Contents, judge};
use ip_lockdown::ruleset::nftables::object::{NativeChain, NativeRule};
use lab::{Done, IMDS, Lab, User};
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use serde_json::Value;

use crate::hosts::alone;
use crate::netns::support::{V4, lock, refused, served, verify};
use lab::captures::Dump;

/// The objects of a kind (enum nf_tables_msg_types) that this network namespace has, as the kernel lists them.
fn listed(kind: libc::c_int) -> Vec<Vec<u8>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    );
    let mut netlink = fs::File::from(netlink.expect("a socket"));
    // struct nlmsghdr and struct nfgenmsg: NFNL_SUBSYS_NFTABLES; NLM_F_REQUEST, NLM_F_DUMP.
    let kind = 10 << 8 | u16::try_from(kind).expect("a small number");
    let head = [20_u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4], [0; 4]];
    let mut request = head.concat();
    request.splice(4..6, kind.to_ne_bytes());
    request.splice(6..8, 0x301_u16.to_ne_bytes());
    netlink.write_all(&request).expect("the kernel is asked");
    let mut objects = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = netlink.read(&mut buffer).expect("the kernel answers");
        let mut rest = &buffer[..length];
        while let Some((&size, after)) = rest.split_first_chunk() {
            let size = usize::try_from(u32::from_ne_bytes(size)).expect("a length");
            let kind = u16::from_ne_bytes([after[0], after[1]]);
            match i32::from(kind) {
                libc::NLMSG_DONE => return objects,
                libc::NLMSG_ERROR => panic!("{rest:?}"),
                _ => objects.push(rest[16..size].to_vec()),
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// A process on the lab's host that waits.
struct Inhabitant(Child);

impl Inhabitant {
    #[track_caller]
    fn of(lab: &Lab) -> Self {
        let mut command = lab.command("bash");
        command.args(["-c", "echo here; exec cat"]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().expect("nsenter starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "here\n");
        Self(child)
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Does something in the network namespace of the lab's host.
#[track_caller]
pub(crate) fn within<T: Send>(lab: &Lab, work: impl FnOnce() -> T + Send) -> T {
    let inhabitant = Inhabitant::of(lab);
    let network = format!("/proc/{}/ns/net", inhabitant.0.id());
    let network = fs::File::open(network).expect("its network namespace");
    thread::scope(|scope| {
        // A thread has a namespace of its own.
        let working = scope.spawn(|| {
            setns(network, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            work()
        });
        working.join().expect("it came to an end")
    })
}

/// The chains of our table, and its rules, as the kernel lists them on the lab's host.
#[track_caller]
fn dumps(lab: &Lab) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut chains, mut rules) = within(lab, || {
        (
            listed(libc::NFT_MSG_GETCHAIN),
            listed(libc::NFT_MSG_GETRULE),
        )
    });
    chains.retain(|chain| {
        let chain = NativeChain::read(chain).expect("a chain");
        decode::is_ours(chain.families, &chain.table)
    });
    rules.retain(|rule| {
        let rule = NativeRule::read(rule).expect("a rule");
        decode::is_ours(rule.families, &rule.table)
    });
    (chains, rules)
}

/// The object without the attributes of these types, the number of the kernel's last change (in struct nfgenmsg),
/// and what was counted.
fn without(object: &[u8], kinds: &[u16]) -> String {
    let (head, mut rest) = object.split_at(4);
    let mut left = vec![head[0], head[1]];
    while !rest.is_empty() {
        let length: usize = u16::from_ne_bytes([rest[0], rest[1]]).into();
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let (attribute, after) = rest.split_at(length.next_multiple_of(4));
        if !kinds.contains(&kind) {
            left.extend(attribute);
        }
        rest = after;
    }
    // NFTA_EXPR_NAME
    let name = b"\x0c\0\x01\0counter\0";
    let counters = left.windows(name.len()).enumerate();
    let counters = counters.filter(|(_, window)| window == name);
    let counters: Vec<usize> = counters.map(|(at, _)| at + name.len()).collect();
    for at in counters {
        // Behind NFTA_EXPR_DATA: NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS
        left[at + 8..at + 16].fill(0);
        left[at + 20..at + 28].fill(0);
    }
    left.escape_ascii().to_string()
}

/// All bytes of our table but for handles: NFTA_CHAIN_HANDLE; NFTA_RULE_HANDLE, NFTA_RULE_POSITION.
#[track_caller]
fn bytes(lab: &Lab) -> Vec<String> {
    let (chains, rules) = dumps(lab);
    let chains = chains.iter().map(|chain| without(chain, &[2]));
    let rules = rules.iter().map(|rule| without(rule, &[3, 6]));
    chains.chain(rules).collect()
}

/// Loads a text with nft.
#[track_caller]
fn load(lab: &Lab, text: &str) -> Done {
    lab.sh(&format!("nft -f - <<'END'\n{text}\nEND"))
}

/// Policies in all their shapes: several names of one uid and adjacent ones, ranges at the edges of what a number
/// can be, sub-chains, one address alone, forwarded packets left alone, other addresses.
fn policies() -> Vec<Vec<String>> {
    let long: Vec<String> = (0..300).map(|nth| (3 * nth + 5).to_string()).collect();
    let texts = [
        V4.to_owned(),
        format!("{V4} root daemon alice bob carol carol-backup 1100-1200 65533 4294967294"),
        format!("--only --forwarded=allow {V4} root 2147483647-2147483648"),
        "--only fd00:ec2::254 alice 0-4294967294".to_owned(),
        "2001:db8:1234:5678:9abc:def0:1234:5678 root 7".to_owned(),
        "192.0.2.7 alice carol carol-backup carol-reports-eu-central-1".to_owned(),
        format!("{V4} root alice {}", long.join(" ")),
        format!("2001:db8:1234:5678:9abc:def0:1234:5678 {}", long.join(" ")),
    ];
    let words = texts.map(|text| text.split(' ').map(str::to_owned).collect());
    words.to_vec()
}

#[test]
fn what_the_dry_run_prints_is_what_is_sent() {
    let lab = alone();
    let more =
        "carol-backup:x:1005:1005::/:/bin/sh\\ncarol-reports-eu-central-1:x:1005:1005::/:/bin/sh";
    lab.sh(&format!(
        "sed -i 's/^carol:x:[0-9]*:/carol:x:1005:/' /etc/passwd; printf '{more}\\n' >> /etc/passwd"
    ))
    .expect_code(0);
    for words in policies() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let with = |first: &'static str| [&[first], &words[..]].concat();
        let text = lab.lockdown(&with("--dry-run")).expect_code(0).stdout;
        lab.lockdown(&words).expect_code(0);
        let sent = bytes(&lab);
        lab.sh("nft delete table inet ip_lockdown").expect_code(0);
        load(&lab, &text).expect_code(0);
        // nft 1.1.3 and later make one expression of a range, which reads as the two that others make.
        // Then what is read of it, below, says that it is the same.
        let loaded = bytes(&lab);
        if !loaded.iter().any(|rule| rule.contains(r"range\x00")) {
            pretty_assertions::assert_eq!(loaded, sent, "{words:?}");
        }
        assert!(sent.len() > 5, "{sent:?}");
        let again = lab.lockdown(&with("--dry-run")).expect_code(0);
        assert!(again.stdout.contains("nothing to do"), "{again}");
        let applied = lab.lockdown(&words).expect_code(0);
        assert!(applied.stdout.contains("(unchanged)"), "{applied}");
        verify(&lab, 0, &words);
        lock(&lab, &["remove"]);
        assert_eq!(bytes(&lab), [""; 0]);
    }
}

/// The lockdown that others disturb here.
const LOCK: [&str; 7] = [
    "--only",
    "--forwarded=allow",
    V4,
    "root",
    "alice",
    "1101-1102",
    "1104",
];

/// The chains of ours in it.
const CHAINS: [&str; 3] = ["OUTPUT", "FORWARD", "IPL-169.254.169.254"];

/// The commands in a file of `native/`, one a line.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// The rules in the chains of ours, and what the program takes them for.
#[track_caller]
fn rules(lab: &Lab) -> Vec<(String, Spec)> {
    let read = dumps(lab).1.into_iter().filter_map(|object| {
        let rule = NativeRule::read(&object).expect("a rule");
        let ours = CHAINS.contains(&&*rule.chain);
        ours.then(|| (without(&object, &[3, 6]), decode::rule(rule).spec))
    });
    read.collect()
}

/// What `verify` finds wrong.
#[track_caller]
fn failures(lab: &Lab) -> Vec<Value> {
    let done = lab.lockdown(&["verify", "--no-probe", "--output=json"]);
    let mut report: Value = done.json();
    let findings = report["findings"].as_array_mut().expect("a list");
    findings.retain(|finding| finding["status"] == "fail");
    std::mem::take(findings)
}

/// A rule of others in a chain of ours is told, taken for none of ours, and taken out; what is beside ours stays.
#[test]
fn no_rule_of_others_is_taken_for_ours() {
    let lab = alone();
    let (mut tried, mut refused_by_nft) = (0, Vec::new());
    let loaded = |line: &str| load(&lab, line).code == Some(0);
    for text in [
        include_str!("native/foreign.nft"),
        include_str!("native/hidden.nft"),
    ] {
        lock(&lab, &LOCK);
        let (of_rules, of_objects): (Vec<&str>, Vec<&str>) =
            commands(text).partition(|line| line.contains(" rule "));
        refused_by_nft.extend(of_objects.into_iter().filter(|line| !loaded(line)));
        // It has jumps to each chain with a name of ours.
        lab.lockdown(&LOCK).expect_code(0);
        let (sound, known) = (rules(&lab), failures(&lab));
        assert!(sound.iter().all(|(_, spec)| matches!(spec, Spec::Own(_))));
        for line in of_rules {
            if !loaded(line) {
                refused_by_nft.push(line);
                continue;
            }
            let mut now = rules(&lab);
            let chain = line.split(' ').nth(4).expect("a chain");
            if !CHAINS.contains(&chain) {
                let all = bytes(&lab);
                lab.lockdown(&LOCK);
                assert_eq!(now, sound, "{line}");
                assert_eq!(bytes(&lab), all, "{line}");
                lab.sh(&format!("nft flush chain inet ip_lockdown {chain}"))
                    .expect_code(0);
                continue;
            }
            now.retain(|rule| !sound.contains(rule));
            assert!(
                matches!(&now[..], [(_, Spec::Foreign(_))]),
                "{line}: {now:?}"
            );
            // This lockdown has nothing in FORWARD that could be disturbed.
            if chain != "FORWARD" {
                assert_ne!(failures(&lab), known, "{line}");
            }
            lab.lockdown(&LOCK).expect_code(0);
            assert_eq!(rules(&lab), sound, "{line}");
            assert_eq!(failures(&lab), known, "{line}");
            tried += 1;
        }
        // Its elements lead to a chain of ours, which the kernel would not let go.
        lab.sh("nft delete map inet ip_lockdown f-verdicts || true");
        lock(&lab, &["remove"]);
        let left = lab.sh("nft list tables").stdout;
        assert_eq!(
            left.contains("ip_lockdown"),
            text.contains("f-regular"),
            "{left}"
        );
        lab.sh("nft flush ruleset").expect_code(0);
    }
    println!("{tried} tried, without {refused_by_nft:#?}");
    // How many depends on the version of nft and on the kernel.
    assert!(tried >= 100);
}

/// Other tools' rules are read whatever they are made of.
#[test]
fn a_table_of_others_is_read_whole() {
    let lab = alone();
    let frame = [
        "table inet x",
        "chain inet x OUTPUT",
        "chain inet x FORWARD",
        "chain inet x IPL-169.254.169.254",
    ];
    load(&lab, &frame.map(|one| format!("add {one}")).join("\n")).expect_code(0);
    let text = include_str!("native/foreign.nft").replace("ip_lockdown", "x");
    let loaded = commands(&text).filter(|line| load(&lab, line).code == Some(0));
    let loaded = loaded.filter(|line| line.contains(" rule ")).count();
    let file = tempfile::NamedTempFile::new().expect("a file");
    lab.dump(file.path());
    let dump = Dump::read(&std::fs::read(file.path()).expect("the dump")).expect("it is whole");
    let contents = &dump.table("inet", "x").contents;
    assert_eq!(contents.chains.values().flatten().count(), loaded);
    for rule in contents.chains.values().flatten() {
        let alone = Contents {
            chains: [("alone".to_owned(), vec![rule.clone()])].into(),
            sets: contents.sets.clone(),
        };
        let answer = judge(&alone, "alone", lab::IMDS_V4.into());
        let known = match &answer {
            Answer::Unknown(reason) => !reason.contains("unknown"),
            Answer::Untouched | Answer::Rewritten(_) => true,
        };
        assert!(known, "{answer:?}");
    }
    assert!(loaded >= 100, "{loaded}");
}

with_nftables! {
    fn a_chain_that_stands_elsewhere_is_told_and_mended(lab) {
        // One that is in no use: the address stands open.
        load(lab, include_str!("native/empty.nft")).expect_code(0);
        verify(lab, 1, &[]);
        lock(lab, &LOCK);
        let sound = bytes(lab);
        for text in [
            include_str!("native/frame.nft"),
            include_str!("native/frame-nat.nft"),
            include_str!("native/frame-route.nft"),
            include_str!("native/frame-hook.nft"),
            include_str!("native/frame-priority.nft"),
            include_str!("native/frame-policy.nft"),
        ] {
            load(lab, text).expect_code(0);
            assert_ne!(bytes(lab), sound, "{text}");
            verify(lab, 1, &[]).expect_failed_in("jump-first", "nftables").expect_said("jump-first", "OUTPUT");
            lock(lab, &LOCK);
            let sorted = |mut bytes: Vec<String>| {
                // A chain that was made anew is the last.
                bytes.sort_unstable();
                bytes
            };
            pretty_assertions::assert_eq!(sorted(bytes(lab)), sorted(sound.clone()), "{text}");
            verify(lab, 0, &[]);
        }
        served(lab, &User::ALICE, &IMDS[..1]);
        refused(lab, &User::MALLORY, &IMDS[..1]);
    }

    fn a_foreign_chain_beside_ours_removes_nothing_and_stays(lab) {
        lock(lab, &LOCK);
        load(lab, include_str!("native/frame-beside.nft")).expect_code(0);
        verify(lab, 0, &[]);
        let applied = lock(lab, &LOCK);
        assert!(applied.stdout.contains("(unchanged)"), "{applied}");
        refused(lab, &User::MALLORY, &IMDS[..1]);
        lock(lab, &["remove"]);
        let left = lab.sh("nft list table inet ip_lockdown").expect_code(0).stdout;
        assert!(left.contains("chain early") && !left.contains("IPL-"), "{left}");
        served(lab, &User::MALLORY, &IMDS[..1]);
    }
}
