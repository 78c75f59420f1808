//! What was seen -> findings. Pure: the commands look and probe, this module judges.
//!
//! "Could not look" is `unknown`, never `pass`; a finding that is not `pass` decides the exit
//! code ([`exit_code`]). The same look gives the same findings.
#![forbid(unsafe_code)]

mod behaviour;
mod bypass;
mod finding;
mod in_force;
mod names;
mod nat;
mod observation;
mod sample;
mod structure;
mod survives;
mod whole;

pub use crate::ruleset::Lock;
pub use behaviour::{Outcome, ProbeResult, Transport, behaviour, not_probed};
pub use finding::{Check, Finding, Severity, Status, exit_code};
pub use in_force::{InForce, in_force, in_force_elsewhere};
pub use names::{LookedUp, names, told_once};
pub use observation::{Flush, Native, Observation, Seen};
pub use sample::{Expected, Sample, Witness, sample};
pub use structure::structure;
pub use whole::{
    as_asked, config_unusable, config_usable, laid_as_asked, names_resolved, nothing_locked,
};
