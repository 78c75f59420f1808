//! IAM role trust policies: who may assume a role. Builds them, and says what is wrong with one.
//!
//! ```text
//! preset + options -> Role { trust, permissions, guard } -> render -> JSON, Terraform, CloudFormation
//! guard's name ----> Document ------------------------------^
//! text ------------> source (strict JSON, places kept) -> statements -> findings
//! ```
//! - [`Preset`], [`Oidc`]: what can be built; [`Role`] is what comes of it
//! - [`Guard`]: the policies that pair with a lockdown of the instance metadata service
//! - [`Format`]: how a role is written down
//! - [`check()`]: text -> [`Finding`]s, each with a stable [`Code`]
//! - [`Document`], [`Statement`]: a policy document as data
//! - [`words`]: accounts, ARNs, services, names: parsed once, at the edge
//!
//! All of it is pure: no file, no network, no AWS call, no credentials, and nothing of firewalls.
#![forbid(unsafe_code)]

mod check;
mod document;
mod guard;
mod preset;
mod principal;
mod render;
mod services;
mod third_parties;
pub mod words;

pub use check::{CheckOptions, Code, Finding, MAX_BYTES, Severity, check};
pub use document::{Document, Effect, Statement, Tree};
pub use guard::Guard;
pub use preset::{BuildError, MACHINE_USER, Oidc, Preset, Role, RoleOptions};
pub use render::{Format, compact, json};
