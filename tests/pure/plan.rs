//! The planner's choices: which layers a policy gets, which half of the IMDS pair an `--only` leaves, in which order the
//! places change, and what replaces a layer that the host refuses.

use ip_lockdown::policy::{
    Family, Forwarded, Gid, IMDS_V4, IMDS_V6, Policy, Subjects, Target, Uid,
};
use ip_lockdown::ruleset::iptables::parse;
use ip_lockdown::ruleset::model::{Ruleset, Variant};
use ip_lockdown::ruleset::plan::{
    self, CannotLock, Place, Plan, Refused, choose_layers, cut_off_halves, fallback, lockdown_for,
    may_lack_security,
};
use ip_lockdown::ruleset::{
    LayerChoice, Layers, LayersByFamily, Lockdown, Native, NotRead, Observation, Readable,
};
use pretty_assertions::assert_eq;

use crate::model::restore::with_saved_ids;

const V4: Place = Place::Iptables(Variant::Nft, Family::V4);
const V6: Place = Place::Iptables(Variant::Nft, Family::V6);

/// A host without any rule.
fn host(variant: Option<Variant>, nf_tables: bool) -> Observation {
    Observation {
        variant,
        families: Family::ALL
            .map(|family| (family, Ok(Ruleset::empty(family))))
            .to_vec(),
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(nf_tables),
        nftables: Ok(None),
        native: Ok(Native::default()),
    }
}

fn not_read(place: Readable) -> NotRead {
    NotRead::new(place, std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn policy(target: Target, uid: u32) -> Policy {
    Policy {
        target,
        subjects: Subjects::new([], [Uid::new(uid).unwrap().into()], []),
        forwarded: Forwarded::Refuse,
    }
}

fn pair(uid: u32) -> Policy {
    policy(Target::new(IMDS_V4, false), uid)
}

fn with_a_group() -> Policy {
    Policy {
        subjects: Subjects::new([], [], [(Gid::new(7).unwrap(), None)]),
        ..pair(0)
    }
}

fn lockdown(policy: Policy, layers: Layers) -> Lockdown {
    Lockdown {
        policy,
        layers: LayersByFamily::both(layers),
    }
}

/// The host after the iptables transactions of the plan: each table has the built-in chains, and the insertions are made.
fn after(seen: &Observation, plan: &Plan) -> Observation {
    let mut seen = seen.clone();
    for transaction in plan.transactions() {
        let Place::Iptables(_, family) = transaction.place() else {
            continue;
        };
        let text: String = transaction
            .text()
            .lines()
            .map(|line| {
                match line
                    .strip_prefix("-I ")
                    .and_then(|line| line.split_once(" 1 "))
                {
                    Some((chain, rule)) => format!("-A {chain} {rule}\n"),
                    None if line.starts_with('*') => {
                        format!("{line}\n:OUTPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n")
                    }
                    None => format!("{line}\n"),
                }
            })
            .collect();
        let ruleset = parse::ruleset(family, &with_saved_ids(&text)).unwrap();
        for (known, state) in &mut seen.families {
            if *known == family {
                *state = Ok(ruleset.clone());
            }
        }
    }
    seen
}

fn places(plan: &Plan) -> Vec<Vec<Place>> {
    let step = |step: &Vec<plan::Transaction>| step.iter().map(plan::Transaction::place).collect();
    plan.steps.iter().map(step).collect()
}

#[test]
fn auto_takes_the_layers_that_the_host_offers() {
    let auto = |variant, nf_tables, policy: &Policy| {
        choose_layers(LayerChoice::Auto, policy, &host(variant, nf_tables))
    };
    let nft = Some(Variant::Nft);
    let legacy = Some(Variant::Legacy);
    assert_eq!(auto(nft, true, &pair(0)), Ok(Layers::FILTER_AND_NFTABLES));
    assert_eq!(
        auto(legacy, true, &pair(0)),
        Ok(Layers::FILTER_AND_NFTABLES)
    );
    assert_eq!(
        auto(legacy, false, &pair(0)),
        Ok(Layers::FILTER_AND_SECURITY)
    );
    assert_eq!(auto(None, true, &pair(0)), Ok(Layers::NFTABLES));
    assert_eq!(auto(None, false, &pair(0)), Err(CannotLock::NoIptables));
    // nftables cannot match groups.
    assert_eq!(
        auto(nft, true, &with_a_group()),
        Ok(Layers::FILTER_AND_SECURITY)
    );
    assert!(matches!(
        auto(None, true, &with_a_group()),
        Err(CannotLock::NeedsIptables(_))
    ));
}

#[test]
fn chosen_layers_are_taken_or_refused_but_never_changed() {
    let these = |layers, variant, nf_tables, policy: &Policy| {
        choose_layers(
            LayerChoice::These(layers),
            policy,
            &host(variant, nf_tables),
        )
    };
    let nft = Some(Variant::Nft);
    assert_eq!(
        these(Layers::FILTER, nft, true, &pair(0)),
        Ok(Layers::FILTER)
    );
    assert_eq!(
        these(Layers::FILTER, None, true, &pair(0)),
        Err(CannotLock::NoIptables)
    );
    assert_eq!(
        these(Layers::NFTABLES, nft, false, &pair(0)),
        Err(CannotLock::NoNfTables)
    );
    assert!(matches!(
        these(Layers::NFTABLES, nft, true, &with_a_group()),
        Err(CannotLock::NotForNftables(_))
    ));
}

#[test]
fn an_unknown_kernel_is_no_kernel_without_nf_tables() {
    let mut seen = host(Some(Variant::Nft), true);
    seen.nf_tables = Err(not_read(Readable::NfTables));
    assert!(matches!(
        choose_layers(LayerChoice::Auto, &pair(0), &seen),
        Err(CannotLock::NotRead(_))
    ));
}

#[test]
fn an_address_whose_family_the_kernel_lacks_cannot_be_locked_alone() {
    let mut seen = host(Some(Variant::Nft), true);
    seen.families.retain(|(family, _)| *family == Family::V4);
    let alone = policy(Target::new(IMDS_V6, true), 0);
    assert_eq!(
        lockdown_for(&alone, LayerChoice::Auto, &seen),
        Err(CannotLock::NoFamily(Family::V6, alone.target.clone()))
    );
    assert!(lockdown_for(&pair(0), LayerChoice::Auto, &seen).is_ok());
}

#[test]
fn an_only_leaves_the_other_half_with_its_list_and_layers() {
    let seen = host(Some(Variant::Nft), true);
    let old = lockdown(pair(1000), Layers::FILTER_AND_SECURITY);
    let seen = after(&seen, &plan::install(&[old], &seen));
    let only = Target::new(IMDS_V4, true);
    let halves = cut_off_halves(&[&only], LayerChoice::Auto, &seen).unwrap();
    let half = lockdown(
        policy(Target::new(IMDS_V6, true), 1000),
        Layers::FILTER_AND_SECURITY,
    );
    assert_eq!(halves, [half]);
    // The pair as a whole leaves nothing, and another address cuts nothing off.
    let other = Target::new("192.0.2.7".parse().unwrap(), false);
    for target in [Target::new(IMDS_V4, false), other] {
        assert_eq!(
            cut_off_halves(&[&target], LayerChoice::Auto, &seen),
            Ok(Vec::new())
        );
    }
}

#[test]
fn a_half_that_the_other_variant_holds_moves_to_the_variant_in_use() {
    let legacy = host(Some(Variant::Legacy), true);
    let old = lockdown(pair(1000), Layers::FILTER_AND_SECURITY);
    let legacy = after(&legacy, &plan::install(&[old], &legacy));
    let mut seen = host(Some(Variant::Nft), true);
    let other = legacy.families.into_iter();
    seen.other = other
        .map(|(family, ruleset)| (Variant::Legacy, family, ruleset))
        .collect();
    let only = Target::new(IMDS_V4, true);
    let halves = cut_off_halves(&[&only], LayerChoice::Auto, &seen).unwrap();
    let half = lockdown(
        policy(Target::new(IMDS_V6, true), 1000),
        Layers::FILTER_AND_NFTABLES,
    );
    assert_eq!(halves, [half]);
}

#[test]
fn the_order_of_places_never_leaves_two_lists() {
    let lockdowns = |uid| [lockdown(pair(uid), Layers::FILTER_AND_NFTABLES)];
    let fresh = host(Some(Variant::Nft), true);
    // Nothing is locked yet: all at once.
    let first = plan::install(&lockdowns(0), &fresh);
    assert_eq!(places(&first), [vec![V4, V6, Place::Nftables]]);
    // iptables holds a list, nftables none: nftables first.
    let half_done = after(&fresh, &first);
    let second = plan::install(&lockdowns(1000), &half_done);
    assert_eq!(places(&second), [vec![Place::Nftables], vec![V4, V6]]);
    // Installed in iptables: only nftables is left.
    let rest = plan::install(&lockdowns(0), &half_done);
    assert_eq!(places(&rest), [vec![Place::Nftables]]);
}

#[test]
fn no_place_waits_for_another_to_be_removed() {
    let fresh = host(Some(Variant::Nft), true);
    let lockdowns = [lockdown(pair(0), Layers::FILTER_AND_NFTABLES)];
    let mut seen = after(&fresh, &plan::install(&lockdowns, &fresh));
    let addresses = [IMDS_V4, IMDS_V6];
    assert_eq!(
        places(&plan::remove(&addresses, true, &[], &seen)),
        [vec![V4, V6]]
    );
    // A table that cannot be read goes only with everything.
    seen.nftables = Err(not_read(Readable::OwnTable));
    assert_eq!(
        places(&plan::remove(&addresses, true, &[], &seen)),
        [vec![V4, V6, Place::Nftables]]
    );
    assert_eq!(
        places(&plan::remove(&addresses, false, &[], &seen)),
        [vec![V4, V6]]
    );
    assert!(plan::remove(&[], false, &[], &fresh).is_empty());
}

#[test]
fn beside_an_unread_layer_an_installed_list_stays() {
    let fresh = host(Some(Variant::Nft), true);
    let old = [lockdown(pair(0), Layers::FILTER_AND_NFTABLES)];
    let new = [lockdown(pair(1000), Layers::FILTER_AND_NFTABLES)];
    let mut seen = after(&fresh, &plan::install(&old, &fresh));
    seen.nftables = Err(not_read(Readable::OwnTable));
    assert!(plan::install(&new, &seen).is_empty());
    // Where nothing is installed, one layer is better than none.
    let mut empty = fresh;
    empty.nftables = Err(not_read(Readable::OwnTable));
    assert_eq!(places(&plan::install(&new, &empty)), [vec![V4, V6]]);
}

#[test]
fn a_layer_falls_back_only_when_the_host_cannot_give_it() {
    let seen = host(Some(Variant::Nft), true);
    let both = [lockdown(pair(0), Layers::FILTER_AND_NFTABLES)];
    let refused = |place, times, has_security| Refused {
        place,
        times,
        has_security,
    };
    let layers = |lockdowns: &[Lockdown], choice, refused, seen: &Observation| {
        let fallback = fallback(lockdowns, choice, refused, seen)?;
        Some(Family::ALL.map(|family| fallback.lockdowns[0].layers.of(family)))
    };
    let auto = LayerChoice::Auto;
    // One refusal may be a concurrent change; a choice of the user is kept; without iptables there is nothing else.
    let nftables = Place::Nftables;
    assert_eq!(layers(&both, auto, refused(nftables, 1, None), &seen), None);
    assert_eq!(
        layers(&both, auto, refused(nftables, 2, None), &seen),
        Some([Layers::FILTER_AND_SECURITY; 2])
    );
    let chosen = LayerChoice::These(Layers::FILTER_AND_NFTABLES);
    assert_eq!(
        layers(&both, chosen, refused(nftables, 2, None), &seen),
        None
    );
    let without = host(None, true);
    assert_eq!(
        layers(&both, auto, refused(nftables, 2, None), &without),
        None
    );
    // A kernel without the table security, in the family that lacks it alone; unknown is not missing.
    let security = [lockdown(pair(0), Layers::FILTER_AND_SECURITY)];
    assert_eq!(may_lack_security(&security, V6), Some(Family::V6));
    assert_eq!(may_lack_security(&both, V6), None);
    assert_eq!(
        layers(&security, auto, refused(V6, 1, Some(false)), &seen),
        Some([Layers::FILTER_AND_SECURITY, Layers::FILTER])
    );
    for answer in [Some(true), None] {
        assert_eq!(layers(&security, auto, refused(V6, 1, answer), &seen), None);
    }
}

#[test]
fn stale_rules_are_cleared_from_other_layers_and_the_other_variant() {
    let fresh = host(Some(Variant::Nft), true);
    let old = [lockdown(pair(0), Layers::FILTER_AND_SECURITY)];
    let seen = after(&fresh, &plan::install(&old, &fresh));
    let new = [lockdown(pair(0), Layers::FILTER)];
    let cleared = plan::clear(&new, &seen);
    assert_eq!(places(&cleared), [vec![V4, V6]]);
    assert!(
        cleared
            .transactions()
            .all(|one| one.text().starts_with("*security\n"))
    );
    assert!(plan::clear(&old, &seen).is_empty());
    let mut beside = fresh;
    let other = seen.families.into_iter();
    beside.other = other
        .map(|(family, ruleset)| (Variant::Legacy, family, ruleset))
        .collect();
    let legacy = |family| Place::Iptables(Variant::Legacy, family);
    assert_eq!(
        places(&plan::clear(&new, &beside)),
        [Family::ALL.map(legacy).to_vec()]
    );
}
