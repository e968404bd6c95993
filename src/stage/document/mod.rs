//! Documents (DynamoDB items, JSON objects) to columns: one column per top-level attribute and type.
//!
//! In: text, line by line (`lines.rs`), read with a cursor over JSON (`json_text.rs`) as DynamoDB's typed JSON
//! (`typed.rs`) or whatever else a source writes. Out: Arrow batches (`builder.rs`) whose columns are called
//! `<attribute>:<TYPE>` (`names.rs`), hold values as `column.rs` says, and carry the exact attribute and type as
//! metadata. A row in which no column of an attribute has a value lacks the attribute.

mod builder;
mod column;
pub(crate) mod json_text;
pub(crate) mod lines;
mod names;
pub(crate) mod number;
pub(crate) mod typed;

use crate::error::Error;

pub(crate) use builder::DocumentBuilder;
pub(crate) use column::Column;
pub use column::Tag;
pub use names::{COLUMNS_MAX, Names};

/// Reserved column: the first half of the XXH3-128 of an item's key. No attribute's column can have this name, since
/// theirs end with a colon and a type. Like the three that follow, only in a chain of exports whose increments hold at least
/// one record, and then in every row.
pub const KEY_HASH_1: &str = "__recon_k1";
/// Reserved column: the second half of the key's hash.
pub const KEY_HASH_2: &str = "__recon_k2";
/// Reserved column: which export of the chain the row comes from, 0 for the full one.
pub const WINDOW: &str = "__recon_window";
/// Reserved column: whether the row says that the item was deleted.
pub const DELETED: &str = "__recon_deleted";

/// Why a row did not go through.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The row's own fault: the next row may be read.
    Row(RowFault),
    /// Nothing more can be read.
    Fatal(Error),
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// A stable word of ours.
    pub(crate) code: &'static str,
    /// The attribute, where it is known.
    pub(crate) attribute: Option<String>,
    /// What is wrong, in words.
    pub(crate) message: String,
}

impl RowFault {
    /// A row that does not parse.
    pub(crate) fn parse(message: impl Into<String>) -> Self {
        Self { code: "parse", attribute: None, message: message.into() }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<RowFault> for Stop {
    fn from(fault: RowFault) -> Self {
        Self::Row(fault)
    }
}

impl Stop {
    /// A row that does not parse.
    pub(crate) fn parse(message: impl Into<String>) -> Self {
        Self::Row(RowFault::parse(message))
    }

    /// Adds the attribute in which a row's fault lies.
    pub(crate) fn in_attribute(mut self, name: &str) -> Self {
        if let Self::Row(fault) = &mut self {
            fault.attribute.get_or_insert_with(|| name.to_owned());
        }
        self
    }
}

/// What a row of a chain of exports carries besides its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// XXH3-128 of the key.
    pub(crate) key: u128,
    /// The export in the chain.
    pub(crate) window: u32,
    /// Whether the item was deleted.
    pub(crate) deleted: bool,
}

#[cfg(test)]
pub(crate) mod testing;
