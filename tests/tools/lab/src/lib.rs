//! The test bench of ip-lockdown: a small network with a fake instance metadata service, on a real kernel.
//!
//! ```text
//!                     +--------------------- host --------------------+
//!   container --------| alice, bob, ...; the program under test;      |-------- imds
//!   routed through    | iptables and nft of its own                   |         169.254.169.254, fd00:ec2::254
//!   the host          +-----------------------------------------------+         and the "VPC DNS", ...253
//! ```
//!
//! Each of the three is a network namespace of its own, joined by veth pairs. They share one mount namespace,
//! in which `/run` is empty and whatever is written below `/etc`, `/usr` and `/var` stays in memory. So a test
//! may install rules, add users, write units or break `iptables` without the machine noticing, and any number
//! of labs can exist at once. Dropping a [`Lab`] ends every process in it, and the kernel then removes the rest.
//!
//! A machine where this cannot work (not root, a program missing) makes [`Lab::new`] panic with the reason:
//! a test of a lockdown that did not run must never look like one that passed.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot be set up must stop the test loudly"
)]
#![expect(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a test asserts: a panic is how it fails, and asserting on a result is a use of it"
)]

mod background;
pub mod captures;
mod done;
pub mod files;
mod lab;
pub mod markdown;
mod namespace;
pub mod netlink;
pub mod pages;
mod report;
pub mod saved;
mod topology;
mod user;

pub use background::{Hammer, Hold, Sink};
pub use done::Done;
pub use lab::{
    DNS_V4, DNS_V6, Family, IMDS, IMDS_V4, IMDS_V6, Lab, V4, V6, Variant, lockdown,
    lockdown_program,
};
pub use report::{Activity, Counts, Ending, How, Lane, Outcome, Pace, Peak, Report, Served};
pub use user::User;
