//! "Users on the list lose nothing. Rules of other tools are never touched, reordered or
//! rewritten."

use ip_lockdown::policy::{Address, Family, Forwarded, Policy, Subjects, Target, Uid};
use ip_lockdown::probe::SOURCE_PORT;
use ip_lockdown::ruleset::Layers;
use ip_lockdown::ruleset::model::{ChainName, Hook};
use proptest::collection::vec;
use proptest::prelude::*;

use super::any::{cases, family_of, foreign_host, layers, packets, policy};
use super::host::Host;
use super::kernel::{Kernel, Table};
use super::packet::{ACK, BOTH, FIN, Owner, Packet, Protocol, RST, SYN};
use super::same_input_same_state::any_host;

/// The kernel without the chains of these addresses, and without the rules that lead to them;
/// an empty table that nobody had in use counts as none.
fn without(kernel: &Kernel, addresses: &[Address]) -> Vec<Table> {
    let ours = |name: &str| {
        let name: Option<ChainName> = name.parse().ok();
        name.is_some_and(|name| addresses.contains(&name.address))
    };
    let mut tables = kernel.tables.clone();
    for table in &mut tables {
        table.chains.retain(|chain| !ours(&chain.name));
        for chain in &mut table.chains {
            chain
                .rules
                .retain(|rule| !rule.target().is_some_and(|(_, target)| ours(target)));
        }
    }
    let mut fresh = Kernel::new(kernel.family);
    tables.retain(|table| table != fresh.table_mut(&table.name));
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

proptest! {
    #![proptest_config(cases(128))]

    /// Rules of other tools, and lockdowns of other addresses with their counters.
    #[test]
    fn whatever_is_not_of_this_lockdown_survives_whole_and_in_order(
        host in any_host(),
        policy in policy(),
        layers in layers(),
    ) {
        let addresses: Vec<Address> = host
            .wanted(&policy)
            .iter()
            .flat_map(|policy| policy.target.addresses().to_vec())
            .collect();
        let after = host.after(&policy, layers);
        for (before, after) in host.families.iter().zip(&after.families) {
            prop_assert_eq!(without(before, &addresses), without(after, &addresses));
        }
    }

    #[test]
    fn removal_takes_away_what_is_ours_and_nothing_else(
        host in any_host(),
        all in any::<bool>(),
        policy in policy(),
    ) {
        let addresses = if all {
            host.families.iter().flat_map(|kernel| kernel.observed().locked_addresses()).collect()
        } else {
            policy.target.addresses().to_vec()
        };
        let after = host.after_removal(&addresses);
        for (before, after) in host.families.iter().zip(&after.families) {
            prop_assert_eq!(without(before, &addresses), without(after, &[]));
            let left = after.observed().locked_addresses();
            prop_assert!(!left.iter().any(|address| addresses.contains(address)));
            prop_assert!(!all || !after.save().contains("IPL-1") && !after.save().contains("IPL-f"));
        }
        // Twice is fine.
        let twice = after.after_removal(&addresses);
        prop_assert_eq!(twice.families, after.families);
    }

    #[test]
    fn laid_and_removed_the_host_is_as_before(
        host in foreign_host(),
        policies in vec((policy(), layers()), 1..4),
    ) {
        let locked = policies
            .iter()
            .fold(host.clone(), |host, (policy, layers)| host.after(policy, *layers));
        let addresses: Vec<Address> = locked
            .families
            .iter()
            .flat_map(|kernel| kernel.observed().locked_addresses())
            .collect();
        let after = locked.after_removal(&addresses);
        for (before, after) in host.families.iter().zip(&after.families) {
            prop_assert_eq!(without(before, &[]), without(after, &[]));
        }
    }

    /// RETURN, not ACCEPT: what the host's other rules say of a listed user, and of all other
    /// destinations, holds as before; so does a connection's last packet, which has no owner.
    #[test]
    fn a_listed_user_and_other_traffic_fare_as_without_the_lockdown(
        before in foreign_host(),
        policy in policy(),
        layers in layers(),
        packets in packets(),
    ) {
        let after = before.after(&policy, layers);
        for packet in packets {
            let family = family_of(&packet);
            let locked = policy.target.addresses().contains(&packet.destination.into());
            let closing = packet.owner == Owner::NoSocket && packet.is_closing_tcp();
            let free = match packet.hook {
                Hook::Output => packet.is_listed(&policy.subjects) || closing,
                Hook::Forward => policy.forwarded == Forwarded::Allow,
            };
            if !locked || free {
                for tables in [BOTH, &["filter"], &["security"]] {
                    prop_assert_eq!(
                        packet.passes(before.family(family), tables),
                        packet.passes(after.family(family), tables),
                        "{:?} in {:?}", packet, tables
                    );
                }
            }
        }
    }
}

fn from_the_port_of_probes(owner: Owner, flags: u8) -> Packet {
    Packet {
        hook: Hook::Output,
        destination: ip_lockdown::policy::IMDS_V4.ip(),
        owner,
        protocol: Protocol::Tcp(flags),
        source_port: SOURCE_PORT,
    }
}

/// The source port of probes is any user's to take: for listed ones nothing is different there.
#[test]
fn a_listed_user_loses_nothing_at_the_source_port_of_probes() {
    let uid = |id: u32| Uid::new(id).unwrap();
    for count in [1, 600] {
        let policy = Policy {
            target: Target::new(ip_lockdown::policy::IMDS_V4, false),
            subjects: Subjects::new([], (0..count).map(|nth| uid(2 * nth).into()), []),
            forwarded: Forwarded::Refuse,
        };
        let host = Host {
            families: Family::ALL.map(Kernel::new),
        };
        let host = host.after(&policy, Layers::FILTER_AND_SECURITY);
        let passes = |packet: &Packet, table| packet.passes(host.family(Family::V4), &[table]);
        let user = |uid| Owner::Process {
            uid,
            gid: 7,
            groups: Vec::new(),
        };
        for table in BOTH {
            for flags in [SYN, ACK, FIN | ACK, RST] {
                let listed = from_the_port_of_probes(user(2 * (count - 1)), flags);
                assert!(passes(&listed, table), "{listed:?} in {table}");
                let unlisted = from_the_port_of_probes(user(2 * count - 1), flags);
                assert!(!passes(&unlisted, table), "{unlisted:?} in {table}");
                let closing = from_the_port_of_probes(Owner::NoSocket, flags);
                assert_eq!(
                    passes(&closing, table),
                    flags != SYN,
                    "{closing:?} in {table}"
                );
            }
        }
    }
}

/// The model itself: a packet that nothing concerns passes, whoever sends it.
#[test]
fn without_a_lockdown_everything_passes() {
    let imds = ip_lockdown::policy::IMDS_V4;
    let packet = Packet {
        hook: Hook::Output,
        destination: imds.ip(),
        owner: Owner::NoFile,
        protocol: Protocol::Tcp(SYN),
        source_port: 45_000,
    };
    let host = Host {
        families: Family::ALL.map(Kernel::new),
    };
    assert!(packet.passes(host.family(Family::V4), BOTH));
    let policy = Policy {
        target: Target::new(imds, false),
        subjects: Subjects::default(),
        forwarded: Forwarded::Refuse,
    };
    let host = host.after(&policy, Layers::FILTER);
    assert!(!packet.passes(host.family(Family::V4), BOTH));
}
