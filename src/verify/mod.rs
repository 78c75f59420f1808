//! Observation and probe results -> findings. Pure: the engine reads and probes, this module
//! judges.
//!
//! A check that could not be made is `unknown`, never `pass`. The findings that did not pass decide
//! the exit code ([`exit_code`]). The same observation always gives the same findings.
#![forbid(unsafe_code)]

mod behaviour;
mod bypass;
mod conclusion;
mod finding;
mod layer;
mod names;
mod nat;
mod structure;
mod survives;
mod whole;

pub use behaviour::{behaviour, not_probed};
pub use conclusion::{conclude, only_behaviour_fails};
pub use finding::{Check, Finding, Group, Severity, Status, broken, exit_code};
pub use names::names;
pub use structure::structure;
pub use whole::{
    as_asked, config_unusable, config_usable, layers_as_asked, names_resolved, nothing_locked,
};
