//! Rules that are written are read back unchanged, and the rules of a policy name the policy's users.

use ip_lockdown::policy::{AccountName, Family, Gid, Policy, Target, Uid, UidRange};
use ip_lockdown::probe::Transport;
use ip_lockdown::ruleset::desired::{desired, subjects_of};
use ip_lockdown::ruleset::iptables::{parse, render, tokens};
use ip_lockdown::ruleset::model::{
    Chain, ChainName, Counters, Hook, ObservedRule, Part, Rule, Ruleset, Spec, Table, Verdict,
};
use ip_lockdown::ruleset::{Layer, Layers, Marker};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::any::{account_name, address, cases, id, layers, policy, subjects};

fn marker() -> impl Strategy<Value = Marker> {
    (policy(), layers()).prop_map(|(policy, layers)| Marker::new(&policy, layers))
}

fn chain_name() -> impl Strategy<Value = ChainName> {
    let any_address = prop_oneof![
        2 => address(),
        1 => any::<[u8; 4]>().prop_map(|bytes| std::net::IpAddr::from(bytes).into()),
        // Never a mapped one: that would be an IPv4 address.
        2 => any::<[u8; 16]>().prop_map(|mut bytes| {
            bytes[0] |= 0x20;
            std::net::IpAddr::from(bytes).into()
        }),
    ];
    let part = select(Part::all().collect::<Vec<_>>());
    let name = prop_oneof![
        1 => select(Hook::ALL.to_vec()).prop_map(|hook| (hook, None)),
        1 => part.prop_map(|part| (Hook::Output, Some(part))),
    ];
    (any_address, name).prop_map(|(address, (hook, part))| match part {
        None => ChainName::root(hook, address),
        Some(part) => ChainName::sub(address, part),
    })
}

fn jump() -> impl Strategy<Value = Rule> {
    chain_name().prop_map(|name| Rule::Jump(ChainName::root(name.hook, name.address)))
}

fn own_rule() -> impl Strategy<Value = Rule> {
    let uids = (id(), vec(account_name(), 0..6)).prop_map(|(first, names)| {
        let first = first.min(u32::MAX - 10);
        let more = u32::try_from(names.len()).unwrap().saturating_sub(1);
        let uid = |id| Uid::new(id).unwrap();
        Rule::AllowUids {
            uids: UidRange::new(uid(first), uid(first + more)).unwrap(),
            names,
        }
    });
    let group = (id(), vec(account_name(), 0..3)).prop_map(|(gid, names)| Rule::AllowGroup {
        gid: Gid::new(gid).unwrap(),
        names,
    });
    let goto = (
        id(),
        id(),
        address(),
        select(Part::all().collect::<Vec<_>>()),
    )
        .prop_map(|(one, other, address, part)| {
            let uid = |id| Uid::new(id).unwrap();
            Rule::Goto {
                uids: UidRange::new(uid(one.min(other)), uid(one.max(other))).unwrap(),
                chain: ChainName::sub(address, part),
            }
        });
    let verdict = prop_oneof![Just(Verdict::Reject), Just(Verdict::Drop)];
    prop_oneof![
        3 => uids,
        2 => group,
        1 => Just(Rule::AllowClosing),
        1 => select(Transport::ALL.map(Rule::CountProbes).to_vec()),
        1 => Just(Rule::RefuseTcp),
        2 => (verdict, option::of(marker()))
            .prop_map(|(verdict, marker)| Rule::Refuse { verdict, marker }),
        1 => jump(),
        1 => goto,
    ]
}

/// What others have in their rules; `TEXT` is a quoted text of any characters.
const FOREIGN: [&str; 10] = [
    "",
    "-j ACCEPT",
    "-i a\"b -j odd\"quote",
    "-g \"",
    "-m comment --comment \"TEXT\" -j RETURN",
    "-m owner --uid-owner 0 -m comment --comment \"TEXT\" -j ACCEPT",
    "-m owner ! --uid-owner 0 -j RETURN",
    "-j LOG --log-prefix \"TEXT\" --log-level 7",
    "-d 169.254.169.254/32 -m comment --comment \"TEXT\" -j IPL-169.254.169.254",
    "-m recent --set --name with blank --rsource",
];

fn foreign_spec() -> impl Strategy<Value = Spec> {
    let text = prop_oneof![
        "[ -~]{0,20}",
        "(?s).{0,20}",
        "(\n|COMMIT|-A OUTPUT -j ACCEPT|\"|\\\\|\\*filter| |#){0,8}",
    ];
    (select(FOREIGN.to_vec()), text).prop_map(|(rule, text)| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        Spec::Foreign(rule.replace("TEXT", &text))
    })
}

fn counters() -> impl Strategy<Value = Counters> {
    (any::<u64>(), any::<u64>()).prop_map(|(packets, bytes)| Counters { packets, bytes })
}

fn chain(
    in_ours: bool,
    name: impl Strategy<Value = (String, Option<String>)>,
) -> impl Strategy<Value = Chain> {
    let spec = if in_ours {
        prop_oneof![3 => own_rule().prop_map(Spec::Own), 1 => foreign_spec()].boxed()
    } else {
        prop_oneof![
            1 => jump().prop_map(Spec::Own),
            3 => foreign_spec(),
        ]
        .boxed()
    };
    let rule =
        (option::of(counters()), spec).prop_map(|(counters, spec)| ObservedRule { counters, spec });
    (name, counters(), vec(rule, 0..8)).prop_map(|((name, policy), counters, rules)| Chain {
        name,
        policy,
        counters,
        rules,
    })
}

fn table(name: &'static str) -> impl Strategy<Value = Table> {
    let built_in = |name: &str| Just((name.to_owned(), Some("DROP".to_owned())));
    let odd = select(vec![
        "a",
        "\"",
        "odd\"quote",
        "COMMIT",
        "#hash",
        "*star",
        ":",
        "[0:0]",
        "-A",
    ]);
    (
        chain(false, built_in("OUTPUT")),
        chain(false, built_in("with blanks in it")),
        chain(false, odd.prop_map(|name| (name.to_owned(), None))),
        vec(
            chain(true, chain_name().prop_map(|name| (name.to_string(), None))),
            0..3,
        ),
    )
        .prop_map(move |(output, blanks, odd, ours)| {
            let mut chains = vec![output, blanks, odd];
            chains.extend(ours);
            let mut known = std::collections::BTreeSet::new();
            chains.retain(|chain| known.insert(chain.name.clone()));
            Table {
                name: name.to_owned(),
                chains,
            }
        })
}

pub(crate) fn any_ruleset() -> impl Strategy<Value = Ruleset> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    let tables = (
        option::of(table("raw")),
        option::of(table("filter")),
        option::of(table("security")),
    );
    (family, tables).prop_map(|(family, (raw, filter, security))| Ruleset {
        family,
        tables: [raw, filter, security].into_iter().flatten().collect(),
        hidden: Vec::new(),
    })
}

fn comments(text: &str) -> impl Iterator<Item = String> {
    let words = tokens::tokens(text);
    let at: Vec<usize> = (1..words.len())
        .filter(|&at| words[at - 1] == "--comment")
        .collect();
    at.into_iter().map(move |at| words[at].clone())
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn reading_undoes_writing(ruleset in any_ruleset()) {
        let text = render::ruleset(&ruleset);
        prop_assert_eq!(parse::ruleset(ruleset.family, &text), Ok(ruleset), "{}", text);
    }

    #[test]
    fn chain_names_are_short_and_read_back(name in chain_name()) {
        prop_assert!(name.to_string().len() <= 28);
        prop_assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn the_rules_say_who_may_pass(policy in policy(), layers in layers()) {
        let marker = Marker::new(&policy, layers);
        prop_assert_eq!(marker.to_string().parse(), Ok(marker));
        prop_assert!(marker.fits(&policy.subjects));
        for layer in Layer::OF_IPTABLES {
            for family in Family::ALL {
                for locked in desired(&policy, layers, layer, family) {
                    let chains = || locked.at(Hook::Output);
                    let rules: Vec<&Rule> = chains().flat_map(|(_, rules)| rules).collect();
                    prop_assert_eq!(&subjects_of(rules.iter().copied()), &policy.subjects);
                    let last = chains().next_back().and_then(|(_, rules)| rules.last());
                    let stamped = matches!(last, Some(Rule::Refuse { marker: Some(s), .. }) if *s == marker);
                    prop_assert!(stamped, "{last:?}");
                    for rule in rules {
                        let text = render::rule(rule, family);
                        for comment in comments(&text) {
                            prop_assert!(comment.len() <= 255, "{comment}");
                        }
                    }
                }
            }
        }
    }

    /// The marker tells any two policies apart; the address is told by the chain.
    #[test]
    fn the_stamp_of_another_list_does_not_fit(
        one in policy(),
        other in subjects(),
        layers in layers(),
    ) {
        let marker = Marker::new(&one, layers);
        prop_assert_eq!(marker.fits(&other), one.subjects == other);
    }

    /// Adjacent uids share a rule: a thousand users stay cheap.
    #[test]
    fn neighbours_share_a_rule(first in 0..100_000_u32, count in 1..2000_u32) {
        let uids = (first..first + count).map(|id| Uid::new(id).unwrap().into());
        let policy = Policy {
            target: Target::new(ip_lockdown::policy::IMDS_V4, false),
            subjects: ip_lockdown::policy::Subjects::new([], uids, []),
            forwarded: ip_lockdown::policy::Forwarded::Refuse,
        };
        let locked = desired(&policy, Layers::FILTER_AND_SECURITY, Layer::Filter, Family::V4);
        let pass = |rule: &&Rule| matches!(rule, Rule::AllowUids { .. });
        let rules = locked[0].at(Hook::Output).flat_map(|(_, rules)| rules);
        prop_assert_eq!(rules.filter(pass).count(), 1);
    }
}

/// Names share a rule as far as the comment holds them, each still at its place.
#[test]
fn named_neighbours_share_a_rule_as_far_as_their_names_fit() {
    let name = |id: u32| -> AccountName { format!("u{id:03}").parse().unwrap() };
    let named = (0..100).map(|id| (Uid::new(id).unwrap(), name(id)));
    let policy = Policy {
        target: Target::new(ip_lockdown::policy::IMDS_V4, false),
        subjects: ip_lockdown::policy::Subjects::new(named, [], []),
        forwarded: ip_lockdown::policy::Forwarded::Refuse,
    };
    let locked = desired(
        &policy,
        Layers::FILTER_AND_SECURITY,
        Layer::Filter,
        Family::V4,
    );
    let rules: Vec<&Rule> = locked[0]
        .at(Hook::Output)
        .flat_map(|(_, rules)| rules)
        .filter(|rule| matches!(rule, Rule::AllowUids { .. }))
        .collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
}
