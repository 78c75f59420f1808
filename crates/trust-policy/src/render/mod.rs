//! Roles as text: JSON, Terraform, CloudFormation.

mod cloudformation;
mod terraform;

use crate::json::Tree;
use crate::role::Role;

/// A format for roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON: the trust policy, followed by each further policy as a document of its own.
    #[default]
    Json,
    /// JSON without white space: one document per line, the trust policy first.
    CompactJson,
    /// Terraform: the role and its resources, laid out as `terraform fmt` does.
    Terraform,
    /// CloudFormation: a template in YAML.
    CloudFormation,
}

/// Renders a role. The text ends in a line break.
#[must_use]
pub fn render(role: &Role, format: Format) -> String {
    match format {
        Format::Json => documents(role, Tree::pretty),
        Format::CompactJson => documents(role, Tree::compact),
        Format::Terraform => terraform::role(role),
        Format::CloudFormation => cloudformation::role(role),
    }
}

fn documents(role: &Role, text: fn(&Tree) -> String) -> String {
    let further = role.policies().map(|(_, document)| document);
    std::iter::once(&role.trust)
        .chain(further)
        .map(|document| text(&document.tree()))
        .collect()
}
