//! Both families of a host, and the steps in which the program changes them.

use ip_lockdown::host::{self, Flush};
use ip_lockdown::policy::{Address, Family, Policy};
use ip_lockdown::ruleset::model::Variant;
use ip_lockdown::ruleset::plan::{self, Place, Plan};
use ip_lockdown::ruleset::{LayerChoice, Layers, LayersByFamily, Lockdown, Native, Observation};

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
            unusable: Vec::new(),
            other: Vec::new(),
            nf_tables: Ok(true),
            nftables: Ok(None),
            native: Ok(Native::default()),
        }
    }

    /// The lockdown of the policy, and the half of the IMDS pair that its `--only` cuts off an older one.
    pub(crate) fn lockdowns(&self, policy: &Policy, layers: Layers) -> Vec<Lockdown> {
        let own = Lockdown {
            policy: policy.clone(),
            layers: LayersByFamily::both(layers),
        };
        let choice = LayerChoice::These(layers);
        let halves = plan::cut_off_halves(&[&policy.target], choice, &self.observe()).unwrap();
        let halves = halves.into_iter().map(|half| Lockdown {
            layers: LayersByFamily::both(layers),
            ..half
        });
        std::iter::once(own).chain(halves).collect()
    }

    /// The policies of [`Self::lockdowns`].
    pub(crate) fn wanted(&self, policy: &Policy) -> Vec<Policy> {
        let lockdowns = self.lockdowns(policy, Layers::FILTER_AND_SECURITY);
        lockdowns
            .into_iter()
            .map(|lockdown| lockdown.policy)
            .collect()
    }

    /// What is sent to install the policy, by family; once it is installed, what is sent to clear stale rules.
    pub(crate) fn transactions(&self, policy: &Policy, layers: Layers) -> [String; 2] {
        let lockdowns = self.lockdowns(policy, layers);
        let seen = self.observe();
        let install = plan::install(&lockdowns, &seen);
        let clear = plan::clear(&lockdowns, &seen);
        Family::ALL.map(|family| match text(&install, family) {
            text if text.is_empty() => self::text(&clear, family),
            text => text,
        })
    }

    /// Each state that a family goes through while the policy is installed, from this one on. The families change
    /// independently.
    pub(crate) fn steps(&self, policy: &Policy, layers: Layers) -> [Vec<Kernel>; 2] {
        let lockdowns = self.lockdowns(policy, layers);
        let install = plan::install(&lockdowns, &self.observe());
        let mut states = self.after_plan(&install);
        let installed = Self {
            families: states
                .each_ref()
                .map(|states| states.last().unwrap().clone()),
        };
        let clear = plan::clear(&lockdowns, &installed.observe());
        for (states, more) in states.iter_mut().zip(installed.after_plan(&clear)) {
            states.pop();
            states.extend(more);
        }
        states
    }

    fn after_plan(&self, plan: &Plan) -> [Vec<Kernel>; 2] {
        self.families
            .each_ref()
            .map(|kernel| steps(kernel, &text(plan, kernel.family)))
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
        let plan = plan::remove(addresses, false, &[], &self.observe());
        Self {
            families: self.after_plan(&plan).map(|mut steps| steps.pop().unwrap()),
        }
    }
}

/// A host on which no other tool does anything.
pub(crate) fn quiet_host() -> host::Host {
    host::Host {
        flush: Ok(Flush::No),
        firewalld_at_boot: Ok(false),
        next_boot: Ok(host::NextBoot::NotEnabled),
        network: Ok(host::Network::default()),
        interfaces: Ok(host::Interfaces::default()),
    }
}

/// What the plan sends to the family's iptables.
fn text(plan: &Plan, family: Family) -> String {
    plan.transactions()
        .filter(|transaction| matches!(transaction.place(), Place::Iptables(_, of) if of == family))
        .map(ip_lockdown::ruleset::plan::Transaction::text)
        .collect()
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
