//! The edits that change a table.

use crate::ruleset::model::{ChainName, Rule, Spec};

/// One edit of a table. All edits of a table take effect at the same instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Creates or empties the chain, then adds its rules.
    Rebuild {
        /// The chain.
        chain: ChainName,
        /// All its rules.
        rules: Vec<Rule>,
    },
    /// Deletes the first rule equal to `spec` from the chain.
    Delete {
        /// The chain.
        chain: String,
        /// The rule.
        spec: Spec,
    },
    /// Inserts a rule at the head of a built-in chain.
    InsertFirst {
        /// The chain.
        chain: &'static str,
        /// The rule.
        rule: Rule,
    },
    /// Empties and deletes the chain.
    Remove {
        /// The chain.
        chain: ChainName,
    },
}

/// The edits of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEdits {
    /// The table.
    pub table: String,
    /// Its edits, in order; at least one.
    pub edits: Vec<Edit>,
}
