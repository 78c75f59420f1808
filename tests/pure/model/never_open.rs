//! "From the first successful apply on, there is no instant at which an unlisted user gets
//! through."

use ip_lockdown::policy::{Address, Forwarded, Policy};
use ip_lockdown::ruleset::model::Hook;
use proptest::prelude::*;

use super::any::{cases, family_of, foreign_host, layers, packets, policy};
use super::packet::{BOTH, Owner, Packet};
use super::same_input_same_state::any_host;

fn covers(policy: &Policy, packet: &Packet) -> bool {
    let address: Address = packet.destination.into();
    policy.target.addresses().contains(&address)
}

/// Whether the policy must refuse the packet: it has an owner who is not listed, or none and would
/// open something, or it is another host's.
fn refuses(policy: &Policy, packet: &Packet) -> bool {
    let free = match packet.hook {
        Hook::Forward => policy.forwarded == Forwarded::Allow,
        Hook::Output => {
            let closing = packet.owner == Owner::NoSocket && packet.is_closing_tcp();
            packet.is_listed(&policy.subjects) || closing
        }
    };
    covers(policy, packet) && !free
}

proptest! {
    #![proptest_config(cases(128))]

    /// In each layer alone: a flush of one, or an ACCEPT in it, leaves the other.
    #[test]
    fn each_layer_alone_refuses_whoever_is_not_listed(
        host in any_host(),
        policy in policy(),
        layers in layers(),
        packets in packets(),
    ) {
        let after = host.after(&policy, layers);
        for packet in packets.iter().filter(|packet| refuses(&policy, packet)) {
            let kernel = after.family(family_of(packet));
            for layer in layers.iter() {
                prop_assert!(!packet.passes(kernel, &[layer.name()]), "{packet:?} in {layer}");
            }
            prop_assert!(!packet.passes(kernel, BOTH), "{packet:?}");
        }
    }

    /// From one policy to another, between any two COMMITs: who is on neither list never passes,
    /// who is on both always does.
    #[test]
    fn a_change_of_policy_opens_nothing_and_cuts_off_nobody_at_any_instant(
        foreign in foreign_host(),
        old in policy(),
        new in policy(),
        same_address in any::<bool>(),
        laid in (layers(), layers()),
        packets in packets(),
    ) {
        let new = if same_address {
            Policy { target: old.target.clone(), ..new }
        } else {
            new
        };
        let steps = foreign.after(&old, laid.0).steps(&new, laid.1);
        for packet in &packets {
            let family = family_of(packet);
            let kernels = steps.iter().find(|kernels| kernels[0].family == family).unwrap();
            let applying: Vec<&Policy> =
                [&old, &new].into_iter().filter(|policy| covers(policy, packet)).collect();
            let all_refuse = applying.iter().all(|policy| refuses(policy, packet));
            let none_refuses = !applying.iter().any(|policy| refuses(policy, packet));
            let without = packet.passes(foreign.family(family), BOTH);
            for (step, kernel) in kernels.iter().enumerate() {
                let passes = packet.passes(kernel, BOTH);
                if covers(&old, packet) && all_refuse {
                    prop_assert!(!passes, "{packet:?} passes at step {step}");
                }
                if none_refuses {
                    prop_assert_eq!(passes, without, "{:?} at step {}", packet, step);
                }
            }
        }
    }

    /// Whatever damage there was: the first COMMIT closes it, and no later one opens it again.
    #[test]
    fn the_first_commit_closes_what_was_open(
        host in any_host(),
        policy in policy(),
        layers in layers(),
        packets in packets(),
    ) {
        let steps = host.steps(&policy, layers);
        for packet in packets.iter().filter(|packet| refuses(&policy, packet)) {
            let family = family_of(packet);
            let kernels = steps.iter().find(|kernels| kernels[0].family == family).unwrap();
            let closed = kernels.iter().position(|kernel| !packet.passes(kernel, BOTH));
            let closed = closed.unwrap_or(usize::MAX);
            prop_assert!(closed <= 1, "{packet:?} passes until step {closed}");
            for kernel in &kernels[closed..] {
                prop_assert!(!packet.passes(kernel, BOTH), "{packet:?} passes again");
            }
        }
    }

    #[test]
    fn removing_one_lockdown_opens_no_other(
        foreign in foreign_host(),
        kept in policy(),
        removed in policy(),
        layers in layers(),
        packets in packets(),
    ) {
        let addresses: Vec<Address> = removed
            .target
            .addresses()
            .iter()
            .copied()
            .filter(|address| !kept.target.addresses().contains(address))
            .collect();
        let host = foreign.after(&removed, layers).after(&kept, layers);
        let after = host.after_removal(&addresses);
        for packet in packets.iter().filter(|packet| refuses(&kept, packet)) {
            prop_assert!(!packet.passes(after.family(family_of(packet)), BOTH), "{packet:?}");
        }
    }
}
