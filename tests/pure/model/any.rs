//! Any policy, any foreign rules, any damage, any packet: from small ranges, so that they often concern each other.

use std::net::IpAddr;

use ip_lockdown::policy::{
    AccountName, Address, Family, Forwarded, Gid, Policy, Subjects, Target, Uid, UidRange,
};
use ip_lockdown::probe::SOURCE_PORT;
use ip_lockdown::ruleset::Layers;
use ip_lockdown::ruleset::model::{ChainName, Hook};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;

use super::host::Host;
use super::kernel::{Chain, Kernel, Rule, Table};
use super::packet::{ACK, FIN, Owner, Packet, Protocol, RST, SYN};
use super::restore::params;

/// Where proptest saves the seeds of cases that failed, and reads them: from the package's folder, where cargo runs tests.
const REGRESSIONS: &str = "tests/pure/model/regressions.txt";

/// As many cases as `PROPTEST_CASES` says, else this many.
pub(crate) fn cases(few: u32) -> ProptestConfig {
    let config = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(few),
    };
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..config
    }
}

/// The addresses that policies lock here, the IMDS pair foremost.
const ADDRESSES: [&str; 6] = [
    "169.254.169.254",
    "fd00:ec2::254",
    "169.254.169.254",
    "192.0.2.7",
    "2001:db8:1234:5678:9abc:def0:1234:5678",
    "fd00::1",
];

/// Ids are few, so that lists overlap, touch, and hit the ids of packets.
pub(crate) fn id() -> impl Strategy<Value = u32> {
    prop_oneof![
        20 => 0..16_u32,
        2 => select(vec![1000, 65_534, u32::MAX - 2, u32::MAX - 1]),
        1 => 0..u32::MAX,
    ]
}

pub(crate) fn account_name() -> impl Strategy<Value = AccountName> {
    prop_oneof![
        8 => "[a-z_][a-z0-9._@+-]{0,7}\\$?",
        // As directories have them, and worse.
        4 => "[A-Za-z]{1,4}\\\\[a-zA-Zäöüß 0-9]{1,8}",
        1 => "[0-9]{1,6}",
        2 => "(?s)[^:\0]{1,16}",
        // As long as a name may be: few fit into one comment.
        1 => "[A-Z]{80}",
        1 => "[A-Z]{199,200}",
    ]
    .prop_map(|name| name.parse().unwrap())
}

fn uids() -> impl Strategy<Value = UidRange> {
    (id(), 0..4_u32).prop_map(|(first, more)| {
        let last = first.saturating_add(more).min(u32::MAX - 1);
        UidRange::new(Uid::new(first).unwrap(), Uid::new(last).unwrap()).unwrap()
    })
}

pub(crate) fn subjects() -> impl Strategy<Value = Subjects> {
    prop_oneof![16 => few_subjects(), 1 => long_list(33..400)]
}

fn few_subjects() -> impl Strategy<Value = Subjects> {
    let named = (id(), account_name()).prop_map(|(id, name)| (Uid::new(id).unwrap(), name));
    let group = (id(), proptest::option::of(account_name()))
        .prop_map(|(id, name)| (Gid::new(id).unwrap(), name));
    (vec(named, 0..8), vec(uids(), 0..4), vec(group, 0..3))
        .prop_map(|(named, uids, groups)| Subjects::new(named, uids, groups))
}

/// As many uids as are split over sub-chains, or more, no two of which share a rule; some named,
/// and a group or two.
pub(crate) fn long_list(length: std::ops::Range<usize>) -> impl Strategy<Value = Subjects> {
    // Wide enough for all, and close enough for packets to meet.
    let steps = vec((0..3_u32, 2..4_u32), length);
    let group = id().prop_map(|id| (Gid::new(id).unwrap(), None));
    (0..8_u32, steps, vec(group, 0..3)).prop_map(|(mut at, steps, groups)| {
        let (mut named, mut uids) = (Vec::new(), Vec::new());
        for (kind, step) in steps {
            let uid = Uid::new(at).unwrap();
            match kind {
                0 => named.push((uid, format!("u{at}").parse().unwrap())),
                kind => {
                    at += kind - 1;
                    uids.push(UidRange::new(uid, Uid::new(at).unwrap()).unwrap());
                }
            }
            at += step;
        }
        Subjects::new(named, uids, groups)
    })
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    select(ADDRESSES.to_vec()).prop_map(|text| text.parse().unwrap())
}

pub(crate) fn forwarded() -> impl Strategy<Value = Forwarded> {
    prop_oneof![3 => Just(Forwarded::Refuse), 1 => Just(Forwarded::Allow)]
}

pub(crate) fn policy_for(address: impl Strategy<Value = Address>) -> impl Strategy<Value = Policy> {
    (address, any::<bool>(), subjects(), forwarded()).prop_map(
        |(address, only, subjects, forwarded)| Policy {
            target: Target::new(address, only),
            subjects,
            forwarded,
        },
    )
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    policy_for(address())
}

pub(crate) fn layers() -> impl Strategy<Value = Layers> {
    prop_oneof![3 => Just(Layers::FILTER_AND_SECURITY), 1 => Just(Layers::FILTER)]
}

pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    let owner = prop_oneof![
        2 => Just(Owner::NoSocket),
        1 => Just(Owner::NoFile),
        8 => (prop_oneof![8 => id(), 1 => 0..1500_u32], id(), vec(id(), 0..3))
            .prop_map(|(uid, gid, groups)| Owner::Process { uid, gid, groups }),
    ];
    let flags = select(vec![SYN, SYN, ACK, FIN | ACK, RST, SYN | ACK, SYN | FIN, 0]);
    let protocol = prop_oneof![
        4 => flags.prop_map(Protocol::Tcp),
        1 => Just(Protocol::Udp),
        1 => Just(Protocol::Icmp),
    ];
    let destination = prop_oneof![
        6 => address().prop_map(Address::ip),
        1 => Just("169.254.169.253".parse::<IpAddr>().unwrap()),
        1 => Just("fd00:ec2::253".parse::<IpAddr>().unwrap()),
    ];
    let source_port = select(vec![SOURCE_PORT, 45_000]);
    (any::<bool>(), destination, owner, protocol, source_port).prop_map(
        |(forwarded, destination, owner, protocol, source_port)| Packet {
            hook: if forwarded {
                Hook::Forward
            } else {
                Hook::Output
            },
            destination,
            // A forwarded packet has no socket here.
            owner: if forwarded { Owner::NoSocket } else { owner },
            protocol,
            source_port,
        },
    )
}

/// Enough packets that most of what can differ does.
pub(crate) fn packets() -> impl Strategy<Value = Vec<Packet>> {
    vec(packet(), 40)
}

pub(crate) fn family_of(packet: &Packet) -> Family {
    Address::from(packet.destination).family()
}

/// Chains of others; a name with a quote in it is allowed, and printed as it is.
const FOREIGN_CHAINS: [&str; 3] = ["DOCKER-USER", "odd\"name", "IPL-not-ours"];

/// Rules of others that the model can run a packet through. `NET` is the network of the addresses,
/// `ONE` one of them, `NEXT` a chain of others.
const FOREIGN_RULES: [&str; 20] = [
    "-j ACCEPT",
    "-p tcp -j ACCEPT",
    "-d NET -j ACCEPT",
    "-d ONE -j ACCEPT",
    "-d ONE -p udp -j DROP",
    "! -d ONE -j RETURN",
    "-o eth0 -j ACCEPT",
    "! -o lo -p tcp -j DROP",
    "-j RETURN",
    "-d ONE -j REJECT",
    "-j DROP",
    "-j NEXT",
    "-p tcp -g NEXT",
    "-d ONE -g NEXT",
    "-m comment --comment \"a \\\"quoted\\\" -j DROP\" -j LOG --log-prefix \"[X] it's \"",
    "-m comment --comment \"ends in \\\\\" -j MARK --set-xmark 0x1/0x1",
    "-m comment --comment \"\" -p tcp -j ACCEPT",
    "-m owner --uid-owner 3 -j ACCEPT",
    "-m owner ! --uid-owner 0-2 -j REJECT --reject-with icmp-port-unreachable",
    "-m comment --comment ip-lockdown",
];

/// What others may do to a table, before our lockdown or after it.
#[derive(Debug, Clone)]
pub(crate) enum Meddling {
    /// Puts a rule of theirs anywhere, in a chain of ours too.
    Insert(usize, Index, Index, usize),
    /// Takes any rule away.
    Delete(usize, Index, Index),
    /// Says a rule twice.
    Repeat(usize, Index, Index),
    /// Leads to a chain of ours from anywhere, in this way.
    Lead(usize, Index, Index, Index, &'static str),
    /// Empties a chain.
    Flush(usize, Index),
    /// `iptables -F`
    FlushAll(usize),
    /// Has the table never been in use.
    Forget(usize),
    /// Makes a chain of ours by hand, or another one, and leaves it empty.
    Make(usize, Address, bool),
    /// Sets the policy of a built-in chain.
    Policy(usize, Index, bool),
}

const LEADS: [&str; 5] = [
    "-d ONE -j OURS",
    "-j OURS",
    "-p tcp -g OURS",
    "-d ONE -m comment --comment \"by hand\" -j OURS",
    "-d NET -j OURS",
];

fn foreign_meddling() -> impl Strategy<Value = Meddling> {
    let table = || 0..3_usize;
    let at = any::<Index>;
    prop_oneof![
        8 => (table(), at(), at(), 0..FOREIGN_RULES.len())
            .prop_map(|(table, chain, place, rule)| Meddling::Insert(table, chain, place, rule)),
        1 => (table(), at(), at()).prop_map(|(t, c, r)| Meddling::Repeat(t, c, r)),
        1 => (table(), at(), any::<bool>()).prop_map(|(t, c, drop)| Meddling::Policy(t, c, drop)),
    ]
}

pub(crate) fn meddling() -> impl Strategy<Value = Meddling> {
    let table = || 0..2_usize;
    let at = any::<Index>;
    prop_oneof![
        4 => foreign_meddling(),
        3 => (table(), at(), at()).prop_map(|(t, c, r)| Meddling::Delete(t, c, r)),
        2 => (table(), at(), at()).prop_map(|(t, c, r)| Meddling::Repeat(t, c, r)),
        6 => (table(), at(), at(), at(), select(LEADS.to_vec()))
            .prop_map(|(t, c, p, o, how)| Meddling::Lead(t, c, p, o, how)),
        2 => (table(), at()).prop_map(|(t, c)| Meddling::Flush(t, c)),
        1 => table().prop_map(Meddling::FlushAll),
        1 => table().prop_map(Meddling::Forget),
        2 => (table(), address(), any::<bool>())
            .prop_map(|(t, address, forward)| Meddling::Make(t, address, forward)),
    ]
}

/// A host with rules of others alone.
pub(crate) fn foreign_host() -> impl Strategy<Value = Host> {
    let in_use = [any::<bool>(), any::<bool>(), any::<bool>()];
    (in_use, vec(foreign_meddling(), 0..24)).prop_map(|(in_use, meddling)| {
        let mut host = Host {
            families: Family::ALL.map(Kernel::new),
        };
        for kernel in &mut host.families {
            for (name, _) in TABLES.iter().zip(in_use).filter(|(_, in_use)| *in_use) {
                let table = kernel.table_mut(name);
                for chain in FOREIGN_CHAINS {
                    table.chains.push(Chain {
                        name: chain.to_owned(),
                        policy: None,
                        rules: Vec::new(),
                    });
                }
            }
        }
        meddle(&mut host, &meddling);
        host
    })
}

const TABLES: [&str; 3] = ["filter", "security", "nat"];

/// Others at work. What the kernel would refuse is left out.
pub(crate) fn meddle(host: &mut Host, meddling: &[Meddling]) {
    for kernel in &mut host.families {
        for one in meddling {
            let mut tried = kernel.clone();
            if meddle_once(&mut tried, one).is_some() && tried.check().is_ok() {
                *kernel = tried;
            }
        }
    }
}

fn meddle_once(kernel: &mut Kernel, meddling: &Meddling) -> Option<()> {
    let family = kernel.family;
    match meddling {
        Meddling::Insert(t, chain, place, rule) => {
            let table = table(kernel, *t)?;
            let next = *place.get(&FOREIGN_CHAINS);
            let rules = &mut chain.get_mut(&mut table.chains).rules;
            let mut new = rule_of(&in_family(FOREIGN_RULES[*rule], family));
            // Not before: a quote in the name of a chain is no quote.
            new.words
                .iter_mut()
                .filter(|word| *word == "NEXT")
                .for_each(|word| next.clone_into(word));
            rules.insert(place.index(rules.len() + 1), new);
        }
        Meddling::Delete(t, chain, rule) => {
            let rules = &mut chain.get_mut(&mut table(kernel, *t)?.chains).rules;
            (!rules.is_empty()).then(|| rules.remove(rule.index(rules.len())))?;
        }
        Meddling::Repeat(t, chain, rule) => {
            let rules = &mut chain.get_mut(&mut table(kernel, *t)?.chains).rules;
            let again = (!rules.is_empty()).then(|| rule.get(rules).clone())?;
            rules.push(again);
        }
        Meddling::Lead(t, chain, place, ours, how) => {
            let table = table(kernel, *t)?;
            let names: Vec<ChainName> = table
                .chains
                .iter()
                .filter_map(|chain| chain.name.parse().ok())
                .collect();
            let ours = (!names.is_empty()).then(|| ours.get(&names))?;
            let bits = if family == Family::V4 { 32 } else { 128 };
            let text = how
                .replace("ONE", &format!("{}/{bits}", ours.address))
                .replace("OURS", &ours.to_string());
            let rules = &mut chain.get_mut(&mut table.chains).rules;
            let rule = rule_of(&in_family(&text, family));
            rules.insert(place.index(rules.len() + 1), rule);
        }
        Meddling::Flush(t, chain) => chain.get_mut(&mut table(kernel, *t)?.chains).rules.clear(),
        Meddling::FlushAll(t) => {
            let chains = table(kernel, *t)?.chains.iter_mut();
            chains.for_each(|chain| chain.rules.clear());
        }
        Meddling::Forget(t) => kernel.tables.retain(|table| table.name != TABLES[*t]),
        Meddling::Make(t, address, forward) => {
            let table = table(kernel, *t)?;
            let hook = if *forward {
                Hook::Forward
            } else {
                Hook::Output
            };
            let name = ChainName::root(hook, *address).to_string();
            let new = address.family() == family && table.chain(&name).is_none();
            new.then(|| {
                table.chains.push(Chain {
                    name,
                    policy: None,
                    rules: Vec::new(),
                });
            })?;
        }
        Meddling::Policy(t, chain, drop) => {
            let policy = &mut chain.get_mut(&mut table(kernel, *t)?.chains).policy;
            if policy.is_none() {
                return None;
            }
            *policy = Some(if *drop { "DROP" } else { "ACCEPT" }.to_owned());
        }
    }
    Some(())
}

fn table(kernel: &mut Kernel, table: usize) -> Option<&mut Table> {
    let mut tables = kernel.tables.iter_mut();
    tables.find(|known| known.name == TABLES[table])
}

fn in_family(text: &str, family: Family) -> String {
    let (one, net) = match family {
        Family::V4 => ("169.254.169.254/32", "169.254.0.0/16"),
        Family::V6 => ("fd00:ec2::254/128", "fd00::/8"),
    };
    text.replace("ONE", one).replace("NET", net).replace(
        "icmp-port-unreachable",
        match family {
            Family::V4 => "icmp-port-unreachable",
            Family::V6 => "icmp6-port-unreachable",
        },
    )
}

fn rule_of(text: &str) -> Rule {
    Rule {
        packets: 7,
        words: params(text),
    }
}
