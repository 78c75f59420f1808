//! A policy document as data; its keys have the order of AWS's documentation.

use crate::json::Tree;
use crate::value::Sid;

/// The effect of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Allows the action.
    Allow,
    /// Denies the action, whatever other statements allow.
    Deny,
}

/// A statement: of a trust policy with `principal`, of any other policy with `resource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The statement's name, unique in the document.
    pub sid: Option<Sid>,
    /// Allow or Deny.
    pub effect: Effect,
    /// The actions.
    pub action: Tree,
    /// The principals, in a trust policy.
    pub principal: Option<Tree>,
    /// The resources, in any other policy.
    pub resource: Option<Tree>,
    /// The conditions under which the statement applies.
    pub condition: Option<Tree>,
}

/// A policy document of version 2012-10-17.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The statements.
    pub statements: Vec<Statement>,
}

impl Document {
    /// The document as JSON.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let statements = self.statements.iter().map(Statement::tree).collect();
        Tree::map([
            ("Version", Tree::text("2012-10-17")),
            ("Statement", Tree::List(statements)),
        ])
    }
}

impl Statement {
    fn tree(&self) -> Tree {
        let effect = match self.effect {
            Effect::Allow => "Allow",
            Effect::Deny => "Deny",
        };
        let entries = [
            ("Sid", self.sid.as_ref().map(|sid| Tree::text(sid.as_str()))),
            ("Effect", Some(Tree::text(effect))),
            ("Action", Some(self.action.clone())),
            ("Principal", self.principal.clone()),
            ("Resource", self.resource.clone()),
            ("Condition", self.condition.clone()),
        ];
        Tree::Map(
            entries
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                .collect(),
        )
    }
}
