//! Both families of a host, and the steps by which the product changes them.

use ip_lockdown::policy::{Address, Family, Policy};
use ip_lockdown::ruleset::Backstop;
use ip_lockdown::ruleset::model::Variant;
use ip_lockdown::ruleset::transaction::{enforcing, removing};
use ip_lockdown::verify::{Native, Observation, in_force};

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
            variant: Variant::Nft,
            families: self
                .families
                .iter()
                .map(|kernel| (kernel.family, Ok(kernel.observed())))
                .collect(),
            other: Vec::new(),
            native: Ok(Native::default()),
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

    /// What is sent to put the policy in force, by family.
    pub(crate) fn transactions(&self, policy: &Policy, backstop: Backstop) -> [String; 2] {
        let policies = self.wanted(policy);
        self.families
            .each_ref()
            .map(|kernel| enforcing(&policies, backstop, &kernel.observed()))
    }

    /// Each state that a family goes through while the policy is put in force, from this one on.
    /// The families go their ways at the same time.
    pub(crate) fn steps(&self, policy: &Policy, backstop: Backstop) -> [Vec<Kernel>; 2] {
        let texts = self.transactions(policy, backstop);
        let mut texts = texts.iter();
        self.families
            .each_ref()
            .map(|kernel| steps(kernel, texts.next().unwrap()))
    }

    #[must_use]
    pub(crate) fn after(&self, policy: &Policy, backstop: Backstop) -> Self {
        Self {
            families: self
                .steps(policy, backstop)
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
