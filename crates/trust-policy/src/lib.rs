#![doc = include_str!("../README.md")]
//!
//! ## Order of the modules
//!
//! Each module imports only modules above it:
//!
//! ```text
//! text, services, third_parties, json, diagnostic
//! principal      the grammar of principals
//! value          AccountId, RoleArn, ...: what a caller can put into a policy
//! document       Document, Statement
//! guardrail      Guardrail -> Document
//! role           Role: the documents of one role
//! render         Role -> JSON, Terraform, CloudFormation
//! check          text -> Diagnostic
//! preset         Preset, RoleOptions -> Role, or the error that check finds in it
//! ```
#![forbid(unsafe_code)]

mod check;
mod diagnostic;
mod document;
mod guardrail;
mod json;
mod preset;
mod principal;
mod render;
mod role;
mod services;
mod text;
mod third_parties;
pub mod value;

pub use check::{CheckOptions, MAX_BYTES, check};
pub use diagnostic::{Code, Diagnostic, Severity};
pub use document::{Document, Effect, Statement};
pub use guardrail::Guardrail;
pub use json::Tree;
pub use preset::{BuildError, MACHINE_USER, Oidc, Preset, RoleOptions};
pub use render::{Format, render};
pub use role::Role;
