//! Both families of a host, and the steps by which the product changes them.

use ip_lockdown::policy::{Address, Family, Policy};
use ip_lockdown::ruleset::model::Variant;
use ip_lockdown::ruleset::transaction::{clearing, laying, removing};
use ip_lockdown::ruleset::{LaidLayers, Layers, Lock};
use ip_lockdown::verify::{Flush, Native, Observation, in_force};

use super::kernel::Kernel;
use super::restore::restore;

#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) families: [Kernel; 2],
}

impl Host {
    pub(crate) fn family(&self, family: Family) -> &Kernel {
        self.families
            .iter()
            .find(|kernel| kernel.family == family)
            .unwrap()
    }

    pub(crate) fn observe(&self) -> Observation {
        Observation {
            variant: Some(Variant::Nft),
            families: self
                .families
                .iter()
                .map(|kernel| (kernel.family, Ok(kernel.observed())))
                .collect(),
            other: Vec::new(),
            nftables: Ok(None),
            native: Ok(Native::default()),
            flush: Flush::No,
            firewalld: Ok(false),
        }
    }

    /// The policy, and the half of the IMDS pair that its `--only` cuts off an older one: as
    /// `src/commands/enforce.rs` puts them together.
    pub(crate) fn wanted(&self, policy: &Policy) -> Vec<Policy> {
        let cut_off = in_force(&self.observe())
            .locks
            .into_iter()
            .filter_map(|lock| {
                let left = lock.policy.without(&policy.target)?;
                (lock.policy.target != policy.target && left != lock.policy).then_some(left)
            });
        std::iter::once(policy.clone()).chain(cut_off).collect()
    }

    /// What is sent to put the policy in force, by family: first what is laid, and once that
    /// stands, what is cleared.
    pub(crate) fn transactions(&self, policy: &Policy, layers: Layers) -> [String; 2] {
        let locks = self.locks(policy, layers);
        self.families.each_ref().map(|kernel| {
            let seen = kernel.observed();
            match laying(&locks, &seen) {
                text if text.is_empty() => clearing(&locks, &seen),
                text => text,
            }
        })
    }

    fn locks(&self, policy: &Policy, layers: Layers) -> Vec<Lock> {
        let lock = |policy| Lock {
            policy,
            layers: LaidLayers::both(layers),
        };
        self.wanted(policy).into_iter().map(lock).collect()
    }

    /// Each state that a family goes through while the policy is put in force, from this one on.
    /// The families go their ways at the same time.
    pub(crate) fn steps(&self, policy: &Policy, layers: Layers) -> [Vec<Kernel>; 2] {
        let locks = self.locks(policy, layers);
        self.families.each_ref().map(|kernel| {
            let mut states = steps(kernel, &laying(&locks, &kernel.observed()));
            let laid = states.pop().unwrap();
            states.extend(steps(&laid, &clearing(&locks, &laid.observed())));
            states
        })
    }

    #[must_use]
    pub(crate) fn after(&self, policy: &Policy, layers: Layers) -> Self {
        Self {
            families: self
                .steps(policy, layers)
                .map(|mut steps| steps.pop().unwrap()),
        }
    }

    #[must_use]
    pub(crate) fn after_removal(&self, addresses: &[Address]) -> Self {
        Self {
            families: self.families.each_ref().map(|kernel| {
                let text = removing(addresses, &kernel.observed());
                steps(kernel, &text).pop().unwrap()
            }),
        }
    }
}

/// The states from `kernel` on, one more a COMMIT; every COMMIT must succeed.
fn steps(kernel: &Kernel, text: &str) -> Vec<Kernel> {
    let restored = restore(kernel, text);
    if let Some(failure) = restored.failure {
        panic!("{failure}\non\n{}", kernel.save());
    }
    let mut steps = vec![kernel.clone()];
    steps.extend(restored.after_commit);
    steps
}
