//! The operations that change our table.

use crate::ruleset::model::{ChainName, Hook, Rule};

/// One operation of a transaction. The kernel applies all operations of a transaction at one
/// instant, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Creates the table, or clears its `dormant` flag.
    AddTable,
    /// Deletes the table with its content.
    DeleteTable,
    /// Creates the base chain of the hook.
    AddBase(Hook),
    /// Removes all rules of the base chain.
    FlushBase(Hook),
    /// Deletes the base chain.
    DeleteBase(Hook),
    /// Adds a jump to this chain, at the end of the base chain of its hook.
    Jump(ChainName),
    /// Removes all rules of the chain.
    Flush(ChainName),
    /// Deletes the chain.
    Delete(ChainName),
    /// Creates the chain if it does not exist, and adds all its rules.
    Fill(ChainName, Vec<Rule>),
}
