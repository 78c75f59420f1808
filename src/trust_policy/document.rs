//! A policy document as data, with the key order that people know.

use super::words::Sid;

/// JSON whose keys keep their order: what the three formats are written from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Tree>),
    /// An object.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An object.
    #[must_use]
    pub fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// One value by itself, several as an array.
    pub fn one_or_many<T: ToString>(values: &[T]) -> Self {
        match values {
            [one] => Self::text(one.to_string()),
            many => Self::List(
                many.iter()
                    .map(|value| Self::text(value.to_string()))
                    .collect(),
            ),
        }
    }
}

/// Whether a statement lets in or keeps out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Lets in.
    Allow,
    /// Keeps out, whatever other statements say.
    Deny,
}

/// One statement, of a trust policy (with `principal`) or of any other (with `resource`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name, unique in the document.
    pub sid: Option<Sid>,
    /// Lets in or keeps out.
    pub effect: Effect,
    /// What is allowed or denied.
    pub action: Tree,
    /// Who it is about: in trust policies.
    pub principal: Option<Tree>,
    /// What it is about: in every other policy.
    pub resource: Option<Tree>,
    /// When it holds.
    pub condition: Option<Tree>,
}

/// A policy document of version 2012-10-17.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its statements.
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
            (
                "Sid",
                self.sid.as_ref().map(|sid| Tree::text(sid.to_string())),
            ),
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
