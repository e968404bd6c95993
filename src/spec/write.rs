//! How an entity's records are written to its target.

use super::Sql;

/// How an entity's records are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writing {
    /// Which records are written, by whether they are there already.
    pub policy: Policy,
    /// The field that holds a record's version: one that is there is overwritten only by a higher version.
    pub version: Option<String>,
    /// Columns of the target that say where each record came from.
    pub provenance: Vec<(Provenance, String)>,
    /// Whether NULL is written as a value of its own where the target knows NULL and absence (DynamoDB); where nobody says so, as the
    /// source has it: a table's NULL is left out, a document's is a value.
    pub null: Option<bool>,
    /// Whether nobody else writes to the target meanwhile, so that it may be written without conditions (DynamoDB).
    pub exclusive: bool,
}

/// Which records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// All: one that is there and differs is overwritten.
    #[default]
    Upsert,
    /// Only those that are not there; one that is there and differs is a conflict.
    InsertOnly,
    /// Only those that are there.
    UpdateOnly,
}

/// What a column says of where its record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The run's id.
    Run,
    /// When the run began, RFC 3339.
    At,
    /// The record's key in the source, as a JSON array where it has several fields.
    SourceKey,
    /// The value of the version field in the source.
    SourceVersion,
}

/// What becomes of a field of a record that is there already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The new value.
    #[default]
    Overwrite,
    /// The old value.
    Keep,
    /// The new value, or the old one where the new one is NULL.
    Coalesce,
    /// The greater of the two.
    Greatest,
    /// The target's SQL over `old.column` and `new.column`.
    Sql(Sql),
}
