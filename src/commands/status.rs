//! `status`: what is locked, to whom, where, and how many packets passed and were refused.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tracing::error;

use super::report::{LockView, print, print_json, who};
use super::{CommandError, open};
use crate::cli::{CommonArgs, Format};
use crate::exit_code::ExitCode;
use crate::policy::{Address, Family, Policy};
use crate::ruleset::model::{ChainName, Counters, Hook, Rule, Variant};
use crate::ruleset::{Layer, Layers};
use crate::sys::lock;
use crate::verify::{Finding, Lock, Observation, Severity, Status, in_force, structure};

/// What one layer counted for one address.
#[derive(Serialize)]
struct Counted {
    address: Address,
    family: Family,
    layer: Layer,
    /// Packets of listed users.
    passed: Counters,
    /// Closing packets, which belong to no socket any more.
    closing: Counters,
    /// Packets made on this host and refused.
    refused: Counters,
    /// Packets forwarded for others and refused.
    forwarded_refused: Counters,
}

pub(super) fn run(common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let firewall = open(common, false)?;
    let _held = lock::shared(Duration::from_secs(common.wait.into()))?;
    let seen = firewall.observe(&[]);
    let found = in_force(&seen);
    let mut errors: Vec<String> = seen.unread().cloned().collect();
    if found.locks.is_empty() {
        // Whether nothing is locked cannot be said then.
        errors.extend(seen.unread_of_other().cloned());
    }
    for failure in &errors {
        error!("{failure}");
    }
    let code = match errors.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::CouldNot,
    };
    let elsewhere = seen.locked_by_other();
    match common.output {
        Format::Json => {
            #[derive(Serialize)]
            struct Locked {
                #[serde(flatten)]
                lock: LockView,
                drift: usize,
                counters: Vec<Counted>,
            }
            #[derive(Serialize)]
            struct Body {
                variant: Option<Variant>,
                families: Vec<Family>,
                locks: Vec<Locked>,
                damaged: Vec<Address>,
                locked_by_other_variant: Vec<Address>,
                errors: Vec<String>,
            }
            let body = Body {
                variant: firewall.variant(),
                families: seen.known_families(),
                locks: found
                    .locks
                    .iter()
                    .map(|lock| Locked {
                        lock: lock.into(),
                        drift: drift(lock, &seen),
                        counters: counted(lock, &seen),
                    })
                    .collect(),
                damaged: found.damaged,
                locked_by_other_variant: elsewhere
                    .into_iter()
                    .map(|(_, address)| address)
                    .collect(),
                errors,
            };
            print_json("status", code, body)?;
        }
        Format::Text => {
            let mut out = Vec::new();
            for lock in &found.locks {
                print_lock(&mut out, lock, &seen)?;
            }
            for address in &found.damaged {
                writeln!(
                    out,
                    "{address}\n  damaged     no layer holds an intact copy; apply it again"
                )?;
            }
            let nothing =
                found.locks.is_empty() && found.damaged.is_empty() && elsewhere.is_empty();
            if nothing && errors.is_empty() {
                writeln!(out, "no address is locked")?;
            }
            for (other, address) in elsewhere {
                writeln!(
                    out,
                    "{address}\n  locked by   iptables-{other}: see --variant {other}"
                )?;
            }
            print(&out)?;
        }
    }
    Ok(code)
}

fn print_lock(out: &mut impl Write, lock: &Lock, seen: &Observation) -> io::Result<()> {
    let policy = &lock.policy;
    let counted = counted(lock, seen);
    let layers: Vec<&str> = Layer::ALL
        .into_iter()
        .filter(|layer| counted.iter().any(|one| one.layer == *layer))
        .map(Layer::name)
        .collect();
    let mut families: Vec<String> = counted.iter().map(|one| one.family.to_string()).collect();
    families.sort();
    families.dedup();
    writeln!(
        out,
        "{}{}",
        policy.target,
        if policy.target.only() { " only" } else { "" }
    )?;
    writeln!(out, "  may pass    {}", who(lock))?;
    writeln!(
        out,
        "  rules in    {}{}, {}",
        layers.join(" and "),
        match seen.variant {
            Some(variant) if lock.layers.of(Family::V4).need_iptables() => {
                format!(" (iptables-{variant})")
            }
            _ => String::new(),
        },
        families.join(" and ")
    )?;
    let (ipv4, ipv6) = (lock.layers.of(Family::V4), lock.layers.of(Family::V6));
    match ipv4 == ipv6 {
        true => writeln!(out, "  backstop    {}", backstop(ipv4, policy))?,
        false => writeln!(
            out,
            "  backstop    IPv4 {}, IPv6 {}",
            backstop(ipv4, policy),
            backstop(ipv6, policy)
        )?,
    }
    let forwarded = match policy.forwarded {
        crate::policy::Forwarded::Refuse => "refused",
        crate::policy::Forwarded::Allow => "left alone",
    };
    writeln!(out, "  forwarded   {forwarded}")?;
    let drift = drift(lock, seen);
    if drift > 0 {
        writeln!(
            out,
            "  drift       {drift} checks on the rules do not pass: run `ip-lockdown verify`"
        )?;
    }
    for &address in policy.target.addresses() {
        let of_address = || counted.iter().filter(move |one| one.address == address);
        // What filter lets pass meets the backstop too: count it once, where it was met first.
        let Some(first) = of_address().next() else {
            continue;
        };
        let total = |what: fn(&Counted) -> Counters| {
            of_address().fold(Counters::default(), |mut sum, one| {
                sum += what(one);
                sum
            })
        };
        writeln!(
            out,
            "  {address}: {} packets passed, {} refused, {} forwarded refused",
            first.passed.packets,
            total(|one| one.refused).packets,
            total(|one| one.forwarded_refused).packets
        )?;
    }
    Ok(())
}

/// What stands behind `filter`.
fn backstop(layers: Layers, policy: &Policy) -> String {
    let behind: Vec<&str> = layers
        .iter()
        .filter(|&layer| layer != Layer::Filter)
        .map(Layer::name)
        .collect();
    match (layers, behind.as_slice()) {
        (Layers::NFTABLES, _) => "none needed: the table of nftables is our own".to_owned(),
        (_, [] | [_]) if layers.iter().count() == 1 => "none".to_owned(),
        (Layers::FILTER_AND_SECURITY, _) if !policy.subjects.groups().is_empty() => {
            "security, since nftables cannot match groups".to_owned()
        }
        (_, behind) => behind.join(" and "),
    }
}

/// How many checks on the rules of the lock do not pass; none on what packets meet.
fn drift(lock: &Lock, seen: &Observation) -> usize {
    let broken = |finding: &Finding| {
        finding.status != Status::Pass && finding.severity == Some(Severity::Broken)
    };
    structure(lock, seen)
        .iter()
        .filter(|finding| broken(finding))
        .count()
}

/// The counters of every layer of every address of the lock that is there.
fn counted(lock: &Lock, seen: &Observation) -> Vec<Counted> {
    let mut all = Vec::new();
    for &address in lock.policy.target.addresses() {
        for layer in Layer::ALL {
            let Ok(Some(table)) = seen.table(layer, address.family()) else {
                continue;
            };
            let rules = |hook| {
                let chains = table.own_chains();
                let chains =
                    chains.filter(move |(name, _)| name.hook == hook && name.address == address);
                chains.flat_map(|(_, chain)| &chain.rules)
            };
            let root = ChainName::root(Hook::Output, address).to_string();
            if table.chain(&root).is_none() {
                continue;
            }
            let mut counted = Counted {
                address,
                family: address.family(),
                layer,
                passed: Counters::default(),
                closing: Counters::default(),
                refused: Counters::default(),
                forwarded_refused: Counters::default(),
            };
            for rule in rules(Hook::Output) {
                let place = match rule.own() {
                    Some(Rule::PassUids { .. } | Rule::PassGroup { .. }) => &mut counted.passed,
                    Some(Rule::PassClosing) => &mut counted.closing,
                    Some(
                        Rule::RefuseOwnedTcp
                        | Rule::RefuseOwned
                        | Rule::RefuseTcp
                        | Rule::Refuse { .. },
                    ) => &mut counted.refused,
                    // What these count, the chain that they lead to counts, too.
                    Some(Rule::Jump(_) | Rule::Goto { .. }) | None => continue,
                };
                *place += rule.counters.unwrap_or_default();
            }
            for rule in rules(Hook::Forward) {
                counted.forwarded_refused += rule.counters.unwrap_or_default();
            }
            all.push(counted);
        }
    }
    all
}
