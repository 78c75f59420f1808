//! A role as its policy documents.

use crate::document::Document;
use crate::value::RoleName;

/// A role, as its policy documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The role's name, if it was given one.
    pub name: Option<RoleName>,
    /// The role's purpose, such as `consul-cluster`. Resources are named after it where the role has no name.
    pub purpose: String,
    /// The trust policy: who may assume the role.
    pub trust: Document,
    /// The permissions policy: what the role may do.
    pub permissions: Option<Document>,
    /// The policy (guardrail) [`Guardrail::Imdsv2`](crate::Guardrail::Imdsv2).
    pub guardrail: Option<Document>,
    /// Whether the role trusts EC2, so that instances need an instance profile.
    pub instance_profile: bool,
}

impl Role {
    /// The policies beside the trust policy, each with the name that the output formats give it.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (&'static str, &Document)> {
        let permissions = self
            .permissions
            .iter()
            .map(|document| ("permissions", document));
        let guardrail = self
            .guardrail
            .iter()
            .map(|document| ("imdsv2-guard", document));
        permissions.chain(guardrail)
    }
}
