//! What a store says of a table.

use crate::value::column::ColumnType;

/// A column of a live table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name, exactly.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// What there is to say of it, as "money is not compared: its text depends on the locale".
    pub remark: Option<String>,
}

/// What a store says of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Its columns in their order.
    pub columns: Vec<TableColumn>,
    /// The columns of its primary key, in order; empty where there is none.
    pub key: Vec<String>,
    /// The columns of each of its other unique constraints without NULLs.
    pub unique: Vec<Vec<String>>,
    /// About how many rows there are, where the store has an idea.
    pub rows: Option<u64>,
}
