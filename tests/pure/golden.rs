//! The exact text for `iptables-restore`, and the nftables transaction as text for `nft -f`, for a reader to review:
//! `tests/pure/golden/*.txt`.
//!
//! `BLESS=1 cargo test --test pure golden` rewrites these files; review their diff.
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ip_lockdown::policy::{
    Address, Family, Forwarded, GroupRef, Policy, Subjects, Target, Uid, UserRef,
};
use ip_lockdown::ruleset::iptables::parse;
use ip_lockdown::ruleset::model::{ChainName, Hook, Rule, Variant};
use ip_lockdown::ruleset::nftables::{Operation, encode, render};
use ip_lockdown::ruleset::plan::{self, Place, Plan, Transaction};
use ip_lockdown::ruleset::{Layers, LayersByFamily, Lockdown, Native, Observation};
use lab::netlink::{NEW_CHAIN, NEW_RULE, NEW_TABLE, messages};
use pretty_assertions::{assert_eq, assert_str_eq};

use crate::model::restore::with_saved_ids;

/// Asserts that the file holds what is sent, family by family.
fn assert_golden(name: &str, about: &str, sent: &[(Family, String)]) {
    let mut text = format!("# {about}\n");
    for (family, transaction) in sent {
        let shown = match transaction.as_str() {
            "" => "(nothing)\n",
            transaction => transaction,
        };
        write!(text, "\n# {family}\n{shown}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/pure/golden/{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_str_eq!(
        known,
        text,
        "{} differs; if the new text is right: BLESS=1 cargo test --test pure golden",
        path.display()
    );
}

fn policy(address: &str, users: &[(&str, u32)], words: &[&str]) -> Policy {
    let named = users
        .iter()
        .map(|&(name, uid)| (Uid::new(uid).unwrap(), name.parse().unwrap()));
    let uids = words.iter().map(|word| match word.parse().unwrap() {
        UserRef::Uids(uids) => uids,
        UserRef::Name(name) => panic!("{name} has no uid"),
    });
    Policy {
        target: Target::new(address.parse().unwrap(), false),
        subjects: Subjects::new(named, uids, []),
        forwarded: Forwarded::Refuse,
    }
}

/// Root alone, for the metadata service.
fn root_only() -> Policy {
    policy("169.254.169.254", &[("root", 0)], &[])
}

/// A host whose iptables-nft shows these rules, and whose nftables table is empty.
fn host(seen: [&str; 2]) -> Observation {
    let families = Family::ALL.into_iter().zip(seen);
    Observation {
        variant: Some(Variant::Nft),
        families: families
            .map(|(family, seen)| (family, Ok(parse::ruleset(family, seen).unwrap())))
            .collect(),
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(true),
        nftables: Ok(None),
        native: Ok(Native::default()),
    }
}

fn lockdown(policy: Policy, layers: Layers) -> Lockdown {
    Lockdown {
        policy,
        layers: LayersByFamily::both(layers),
    }
}

/// What is sent to a host with these rules; none: one that has no rules yet.
fn applied(policy: &Policy, layers: Layers, seen: [&str; 2]) -> Vec<(Family, String)> {
    texts(&plan::install(
        &[lockdown(policy.clone(), layers)],
        &host(seen),
    ))
}

/// What the plan sends to the iptables of each family.
fn texts(plan: &Plan) -> Vec<(Family, String)> {
    let text = |family| {
        plan.transactions()
            .filter(|transaction| transaction.place() == Place::Iptables(Variant::Nft, family))
            .map(Transaction::text)
            .collect()
    };
    Family::ALL.map(|family| (family, text(family))).to_vec()
}

/// The operations that install the lockdown in nftables alone.
fn in_nftables(policy: Policy) -> Vec<Operation> {
    let lockdowns = [lockdown(policy, Layers::NFTABLES)];
    let plan = plan::install(&lockdowns, &host(FRESH));
    let operations = plan
        .transactions()
        .find_map(|transaction| match transaction {
            Transaction::Nftables(operations) => Some(operations.clone()),
            Transaction::Iptables(..) | Transaction::Named(..) => None,
        });
    operations.unwrap()
}

const FRESH: [&str; 2] = ["", ""];

#[test]
fn one_user() {
    assert_golden(
        "one-user",
        "ip-lockdown 169.254.169.254 root, on a host without rules",
        &applied(&root_only(), Layers::FILTER_AND_SECURITY, FRESH),
    );
}

#[test]
fn nobody() {
    assert_golden(
        "nobody",
        "ip-lockdown 169.254.169.254, on a host without rules",
        &applied(
            &policy("169.254.169.254", &[], &[]),
            Layers::FILTER_AND_SECURITY,
            FRESH,
        ),
    );
}

#[test]
fn adjacent_users() {
    let users = [("alice", 1000), ("bob", 1001), ("carol", 1003)];
    assert_golden(
        "adjacent-users",
        "alice and bob have neighbouring uids and share a rule, carol does not",
        &applied(
            &policy("192.0.2.7", &users, &[]),
            Layers::FILTER_AND_SECURITY,
            FRESH,
        ),
    );
}

#[test]
fn range_names_and_groups() {
    // Two accounts with one uid; a name in the middle of a range.
    let users = [("root", 0), ("toor", 0), ("svc-web", 1010)];
    let mut policy = policy("192.0.2.7", &users, &["1000-1099", "4294967294"]);
    let group = |gid: &str, name: Option<&str>| match gid.parse().unwrap() {
        GroupRef::Gid(gid) => (gid, name.map(|name| name.parse().unwrap())),
        GroupRef::Name(name) => panic!("{name} has no gid"),
    };
    policy.subjects = Subjects::new(
        policy
            .subjects
            .named()
            .iter()
            .flat_map(|(&uid, names)| names.iter().map(move |name| (uid, name.clone()))),
        policy.subjects.unnamed().to_vec(),
        [group("500", Some("metadata")), group("44", None)],
    );
    assert_golden(
        "range-names-and-groups",
        "root toor svc-web 1000-1099 4294967294 --group metadata --group 44",
        &applied(&policy, Layers::FILTER_AND_SECURITY, FRESH),
    );
}

#[test]
fn forwarded_allow() {
    let policy = Policy {
        forwarded: Forwarded::Allow,
        ..root_only()
    };
    let seen = [
        "*filter\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:IPF-169.254.169.254 - [0:0]\n\
         -A FORWARD -d 169.254.169.254/32 -j IPF-169.254.169.254\n\
         -A IPF-169.254.169.254 -p tcp -j REJECT --reject-with tcp-reset\n\
         -A IPF-169.254.169.254 -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n",
        "",
    ];
    assert_golden(
        "forwarded-allow",
        "--forwarded allow; in IPv4 forwarded packets were refused before",
        &applied(&policy, Layers::FILTER_AND_SECURITY, seen),
    );
}

#[test]
fn only() {
    let policy = Policy {
        target: Target::new("fd00:ec2::254".parse().unwrap(), true),
        ..root_only()
    };
    assert_golden(
        "only",
        "--only fd00:ec2::254: the other half of the pair is not locked, and the marker says so",
        &applied(&policy, Layers::FILTER_AND_SECURITY, FRESH),
    );
}

#[test]
fn no_backstop() {
    let seen = [
        "*security\n:OUTPUT ACCEPT [0:0]\n:IPL-169.254.169.254 - [0:0]\n\
         -A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254\n\
         -A IPL-169.254.169.254 -j DROP\nCOMMIT\n",
        "",
    ];
    assert_golden(
        "no-backstop",
        "a kernel without a second layer; what an older lockdown left in IPv4 goes last",
        &applied(&root_only(), Layers::FILTER, seen),
    );
}

#[test]
fn long_ipv6_address() {
    let policy = policy(
        "2001:db8:1234:5678:9abc:def0:1234:5678",
        &[("root", 0)],
        &[],
    );
    assert_golden(
        "long-ipv6-address",
        "an address too long for the name of a chain stands there in base64url",
        &applied(&policy, Layers::FILTER_AND_SECURITY, FRESH),
    );
}

/// A lockdown of root and 1000, after other tools were at work; and another address's.
const STALE: &str = "*security
:OUTPUT ACCEPT [0:0]
:IPL-192.0.2.7 - [0:0]
:IPF-192.0.2.7 - [0:0]
-A IPL-192.0.2.7 -m owner --uid-owner 0 -m comment --comment root -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [9:540]
:ufw-output - [0:0]
:IPL-192.0.2.7 - [0:0]
:IPF-192.0.2.7 - [0:0]
:IPL-192.0.2.8 - [0:0]
[1:60] -A FORWARD -j ACCEPT
[0:0] -A FORWARD -d 192.0.2.7/32 -j IPF-192.0.2.7
[2:120] -A OUTPUT -d 192.0.2.8/32 -j IPL-192.0.2.8
[5:300] -A OUTPUT -j ufw-output
[0:0] -A OUTPUT -d 192.0.2.7/32 -j IPL-192.0.2.7
[0:0] -A OUTPUT -d 192.0.2.7/32 -j IPL-192.0.2.7
[0:0] -A OUTPUT -d 192.0.2.7/32 -p tcp -m comment --comment \"by \\\"hand\\\"\" -j IPL-192.0.2.7
[0:0] -A ufw-output -o a\"b -g IPL-192.0.2.7
[4:240] -A ufw-output -p tcp -m tcp --dport 80 -j ACCEPT
[0:0] -A IPL-192.0.2.7 -m owner --uid-owner 0 -m comment --comment root -j RETURN
[0:0] -A IPL-192.0.2.7 -m owner --uid-owner 1000 -j RETURN
[0:0] -A IPL-192.0.2.7 -j IPF-192.0.2.7
[0:0] -A IPF-192.0.2.7 -p tcp -j REJECT --reject-with tcp-reset
[0:0] -A IPF-192.0.2.7 -j REJECT --reject-with icmp-port-unreachable
[0:0] -A IPL-192.0.2.8 -j REJECT --reject-with icmp-port-unreachable
COMMIT
";

/// Every other uid, some of them with a name.
fn long_list(address: &str, count: u32) -> Policy {
    let ids = (0..count).map(|nth| 1000 + 2 * nth);
    let names: Vec<(String, u32)> = ids
        .clone()
        .filter(|id| id % 3 == 0)
        .map(|id| (format!("user{id}"), id))
        .collect();
    let users: Vec<(&str, u32)> = names
        .iter()
        .map(|(name, id)| (name.as_str(), *id))
        .collect();
    let uids: Vec<String> = ids
        .filter(|id| id % 3 != 0)
        .map(|id| id.to_string())
        .collect();
    policy(
        address,
        &users,
        &uids.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

#[test]
fn long_list_in_sub_chains() {
    assert_golden(
        "long-list",
        "40 users without neighbours: their rules are in sub-chains",
        &applied(
            &long_list("192.0.2.7", 40),
            Layers::FILTER_AND_SECURITY,
            FRESH,
        ),
    );
    let long_address = "2001:db8:1234:5678:9abc:def0:1234:5678";
    let operations = in_nftables(long_list(long_address, 40));
    assert_golden(
        "long-list-nftables",
        "the same in the layer nftables, for an address that is too long for a chain's name",
        &[(Family::V6, render::transaction(&operations))],
    );
}

/// How a line of the text begins, and the message that does it: its type, and its flags beside NLM_F_REQUEST.
const MESSAGES: [(&str, u16, u16); 6] = [
    ("add table ", NEW_TABLE, CREATE),
    ("add chain ", NEW_CHAIN, CREATE),
    ("add rule ", NEW_RULE, CREATE | APPEND),
    // NFT_MSG_DELTABLE, _DELCHAIN, _DELRULE
    ("delete table ", 10 << 8 | 2, 0),
    ("delete chain ", 10 << 8 | 5, 0),
    ("flush chain ", 10 << 8 | 8, 0),
];
/// NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE, NLM_F_APPEND (linux/netlink.h)
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Every operation there is, and long ones.
fn all_operations() -> Vec<Operation> {
    let root = ChainName::root(Hook::Output, "192.0.2.7".parse().unwrap());
    let mut operations = in_nftables(long_list("169.254.169.254", 100));
    operations.extend([
        Operation::Fill(root, Vec::new()),
        Operation::Fill(root, vec![Rule::RefuseTcp]),
        Operation::Flush(root),
        Operation::Delete(root),
        Operation::FlushBase(Hook::Forward),
        Operation::DeleteBase(Hook::Forward),
        Operation::DeleteTable,
    ]);
    operations
}

#[test]
fn a_message_does_what_a_line_says() {
    let all = all_operations();
    for count in 1..=all.len() {
        let operations = &all[..count];
        let (bytes, text) = (
            encode::transaction(operations),
            render::transaction(operations),
        );
        let messages = messages(&bytes);
        let [begin, changes @ .., end] = &messages[..] else {
            panic!("no begin and end");
        };
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(changes.len(), lines.len());
        for (number, (line, change)) in (1..).zip(lines.iter().zip(changes)) {
            let starts = |(start, ..): &&(&str, u16, u16)| line.starts_with(start);
            let &(_, kind, flags) = MESSAGES.iter().find(starts).expect(line);
            let last = usize::try_from(number) == Ok(lines.len());
            let flags = flags | REQUEST | if last { ACKNOWLEDGE } else { 0 };
            let as_sent = (change.number, change.kind, change.flags);
            assert_eq!(as_sent, (number, kind, flags), "{line}");
            // NFPROTO_INET, NFNETLINK_V0
            assert_eq!(change.object[..4], [1, 0, 0, 0], "{line}");
        }
        // NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, for NFNL_SUBSYS_NFTABLES
        assert_eq!((begin.kind, begin.flags, begin.number), (16, REQUEST, 0));
        assert_eq!((end.kind, end.flags), (17, REQUEST));
        assert_eq!(
            (begin.object, end.object),
            (&[0, 0, 0, 10][..], begin.object)
        );
    }
}

#[test]
fn long_list_that_gets_short() {
    let laid = applied(
        &long_list("192.0.2.7", 40),
        Layers::FILTER_AND_SECURITY,
        FRESH,
    );
    // As it is read back: with the built-in chains, whose jumps are first.
    let mut seen = String::new();
    for line in laid[0].1.lines() {
        match line
            .strip_prefix("-I ")
            .map(|rest| rest.replacen(" 1 ", " ", 1))
        {
            Some(rule) => writeln!(seen, "-A {rule}").unwrap(),
            None if line.starts_with('*') => {
                writeln!(seen, "{line}\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]").unwrap();
            }
            None => writeln!(seen, "{line}").unwrap(),
        }
    }
    let policy = policy("192.0.2.7", &[("root", 0)], &[]);
    assert_golden(
        "long-list-gets-short",
        "the same list, with root alone from now on: its sub-chains go",
        &applied(
            &policy,
            Layers::FILTER_AND_SECURITY,
            [&with_saved_ids(&seen), ""],
        ),
    );
}

#[test]
fn over_a_stale_state() {
    let policy = policy("192.0.2.7", &[("root", 0)], &[]);
    assert_golden(
        "over-a-stale-state",
        "jumps twice, too low, by hand and elsewhere; a chain with other rules, one lost, one whole",
        &applied(&policy, Layers::FILTER_AND_SECURITY, [STALE, ""]),
    );
}

#[test]
fn removal() {
    let address: Address = "192.0.2.7".parse().unwrap();
    let plan = plan::remove(&[address], false, &[], &host([STALE, ""]));
    let (_, text) = texts(&plan).remove(0);
    assert_golden(
        "removal",
        "ip-lockdown remove 192.0.2.7, from the state of over-a-stale-state; the backstop goes last",
        &[(Family::V4, text)],
    );
}

#[test]
fn moved_jump() {
    let policy = policy("192.0.2.7", &[("root", 0)], &[]);
    // What it lays, with an ACCEPT that someone inserted above our jump in `filter`.
    let laid = applied(&policy, Layers::FILTER_AND_SECURITY, FRESH)
        .remove(0)
        .1;
    let mut jump_lost = String::new();
    for line in laid.lines() {
        match line
            .strip_prefix("-I ")
            .and_then(|rest| rest.split_once(" 1 "))
        {
            Some((chain, rule)) => {
                if chain == "OUTPUT" && jump_lost.contains("*filter") {
                    jump_lost.push_str("-A OUTPUT -j ACCEPT\n");
                }
                writeln!(jump_lost, "-A {chain} {rule}").unwrap();
            }
            None if line.starts_with('*') => {
                writeln!(
                    jump_lost,
                    "{line}\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]"
                )
                .unwrap();
            }
            None => writeln!(jump_lost, "{line}").unwrap(),
        }
    }
    assert_golden(
        "moved-jump",
        "an ACCEPT was inserted above our jump in filter: the jump moves, the chains keep their counters",
        &applied(
            &policy,
            Layers::FILTER_AND_SECURITY,
            [&with_saved_ids(&jump_lost), ""],
        ),
    );
}
