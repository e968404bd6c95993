//! `recon.toml`: what the two sides are and how they correspond.
//!
//! In: the text of a spec file and the environment. Out: a [`Spec`] that was checked once and is trusted from then on.
//! `raw.rs` holds what serde reads, `check.rs` turns it into what is below.

mod amount;
mod check;
mod hooks;
mod interpolate;
mod load;
mod place;
mod raw;
mod schema;
mod store;
mod suggest;
#[cfg(test)]
mod tests;
mod unknown;
mod url;
mod valid;
mod words;
mod write;

use std::path::PathBuf;

use crate::error::Error;
use crate::value::kind::Type;

pub use hooks::{HookCommand, Hooks};
pub use load::{as_shown, interpolated, load, parse, time_zone};
pub use schema::json_schema;
pub use store::{Identifier, TableName, What};
pub(crate) use suggest::closest;
pub use url::Url;
pub use valid::{Bound, Length, Valid, number, order};
pub use words::KINDS;
pub use write::{OnConflict, Policy, Provenance, Writing};

/// A checked spec.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The file it was read from.
    pub path: PathBuf,
    /// Hex digest of the file's text before interpolation, so that no secret is in it.
    pub digest: String,
    /// Datasets by name, in the order of the file.
    pub datasets: Vec<Dataset>,
    /// Entities by name, in the order of the file.
    pub entities: Vec<Entity>,
    /// Commands that are told how a run goes.
    pub hooks: Hooks,
    /// The file's text before interpolation, to show places in it.
    text: String,
}

impl Spec {
    /// The dataset of that name.
    pub fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.name == name)
    }

    /// The entity of that name.
    pub fn entity(&self, name: &str) -> Option<&Entity> {
        self.entities.iter().find(|entity| entity.name == name)
    }

    /// The file's text as it may be shown: before interpolation, with stars in place of what is or may be a password.
    pub fn shown(&self) -> String {
        place::shown(&self.path, &self.text)
    }

    /// A usage error (exit 2) that shows a place of the spec: `recon.toml:LINE:COLUMN: message`, the line, and a caret.
    /// Line and column are 1-based, as in [`Sql::place`]; `width` is in characters.
    pub fn error_at(&self, line: usize, column: usize, width: usize, message: &str) -> Error {
        let text = place::SpecText { path: &self.path, text: &self.text };
        Error::usage(text.show(line.max(1), column.max(1), width, message))
    }
}

/// One physical thing that can be staged.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name in the spec.
    pub name: String,
    /// What it is and where.
    pub kind: DatasetKind,
    /// IANA zone or fixed offset of its timestamps that carry none.
    pub timezone: Option<String>,
    /// How its object storage is reached, where it lies in one.
    pub storage: Storage,
    /// How its files are compressed where they are written; `None`: as their kind is wont to be.
    pub compression: Option<Compression>,
    /// 1-based line of its table in the spec.
    pub line: usize,
}

/// What a dataset is and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub enum DatasetKind {
    /// Delimited text files.
    Csv(CsvOptions),
    /// JSON lines: a file, a folder or a glob.
    Jsonl {
        /// A file, a folder or a glob.
        uri: String,
    },
    /// Parquet files.
    Parquet {
        /// A file, a folder or a glob.
        uri: String,
    },
    /// An export of a DynamoDB table to S3, as a folder.
    DynamodbExport(ExportOptions),
    /// A table or a query of a PostgreSQL database.
    Postgres(SqlOptions),
    /// A table or a query of a MySQL or MariaDB database.
    Mysql(SqlOptions),
    /// A table or a query of a SQLite file.
    Sqlite {
        /// The file.
        path: String,
        /// What of it is read.
        what: What,
    },
    /// A DynamoDB table.
    Dynamodb(DynamodbOptions),
}

impl DatasetKind {
    /// The spec's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::Jsonl { .. } => "jsonl",
            Self::Parquet { .. } => "parquet",
            Self::DynamodbExport(_) => "dynamodb-export",
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Sqlite { .. } => "sqlite",
            Self::Dynamodb(_) => "dynamodb",
        }
    }

    /// Where it lies, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Csv(options) => options.uri.clone(),
            Self::Jsonl { uri } | Self::Parquet { uri } => uri.clone(),
            Self::DynamodbExport(options) => options.uri.clone(),
            Self::Postgres(options) | Self::Mysql(options) => {
                format!("{} {}", options.url.shown(), options.what.shown())
            }
            Self::Sqlite { path, what } => format!("{path} {}", what.shown()),
            Self::Dynamodb(options) => options.table.clone(),
        }
    }

    /// Whether it may change while it is read, so that a finished staging of it is read afresh the next time.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Mysql(_) | Self::Sqlite { .. } | Self::Dynamodb(_))
    }

    /// Whether its rows are documents: each has attributes of its own, and absent is not NULL.
    pub fn is_schemaless(&self) -> bool {
        matches!(self, Self::Jsonl { .. } | Self::DynamodbExport(_) | Self::Dynamodb(_))
    }

    /// Whether its documents have DynamoDB's types, and every item a key.
    pub fn is_dynamodb(&self) -> bool {
        matches!(self, Self::DynamodbExport(_) | Self::Dynamodb(_))
    }
}

/// A SQL database and what of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlOptions {
    /// Where it is.
    pub url: Url,
    /// What is read.
    pub what: What,
}

/// Options of a `dynamodb` dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamodbOptions {
    /// The table's name or ARN.
    pub table: String,
    /// Its region, where the environment does not say.
    pub region: Option<String>,
    /// Another endpoint than the region's own.
    pub endpoint: Option<String>,
    /// How many segments are scanned in parallel; `None`: as the table's size suggests.
    pub segments: Option<u32>,
    /// Whether reads are strongly consistent, at twice the price.
    pub consistent: bool,
    /// Only items whose partition key is this, read by `Query`.
    pub partition: Option<String>,
    /// With `partition`: only items whose sort key begins like this.
    pub sort_prefix: Option<String>,
    /// Most read capacity units a second.
    pub rcu_max: Option<u32>,
}

/// How object storage is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Another endpoint than the region's own.
    pub endpoint: Option<String>,
    /// The region, where the environment does not say.
    pub region: Option<String>,
    /// The bucket is part of the path, not of the host.
    pub path_style: bool,
    /// Requests are not signed.
    pub unsigned: bool,
    /// The requester pays.
    pub requester_pays: bool,
}

/// Options of a `csv` dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvOptions {
    /// A file, a folder or a glob.
    pub uri: String,
    /// The byte between cells.
    pub delimiter: u8,
    /// The byte around quoted cells.
    pub quote: u8,
    /// Whether the first record of each file names the columns.
    pub header: bool,
    /// Column names where there is no header.
    pub columns: Option<Vec<String>>,
    /// Unquoted texts that mean NULL, besides the empty one.
    pub null_tokens: Vec<String>,
    /// How bytes fields are written.
    pub encoding: BytesEncoding,
}

/// How files are compressed where they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// How bytes are written in a CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesEncoding {
    /// `\x` and two hex digits a byte.
    Hex,
    /// RFC 4648 with padding.
    Base64,
}

/// Options of a `dynamodb-export` dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// The export's folder (the one with the manifests), or a plain folder of data files.
    pub uri: String,
    /// The incremental exports that follow the full one, in order.
    pub increments: Vec<String>,
    /// Accept a gap or an overlap between the windows of the chain.
    pub allow_gap: bool,
}

/// One logical record type.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its name in the spec.
    pub name: String,
    /// The dataset it comes from.
    pub source: String,
    /// The dataset it is in afterwards.
    pub target: String,
    /// SQL over the source's rows that selects this entity's.
    pub source_filter: Option<Sql>,
    /// SQL over the target's rows that selects this entity's.
    pub target_filter: Option<Sql>,
    /// Names of the key's fields; empty for an entity without a key (whole rows are compared as a multiset).
    pub key: Vec<String>,
    /// Source expressions over which several source rows fold into one record.
    pub group_by: Vec<Sql>,
    /// The compared fields in the order of the file; `None`: every column with the same name on both sides.
    pub fields: Option<Vec<Field>>,
    /// Lists of fields whose values no two records share.
    pub unique: Vec<Vec<String>>,
    /// Conditions over the fields, by name.
    pub checks: Vec<(String, Sql)>,
    /// How its records are written to the target.
    pub writing: Writing,
    /// Declared references to other entities.
    pub references: Vec<Reference>,
    /// 1-based line of its table in the spec.
    pub line: usize,
}

/// SQL from the spec, with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// The expression.
    pub text: String,
    /// 1-based line of the string in the spec.
    pub line: usize,
    /// 1-based column of the string's first character in the spec, in characters.
    pub column: usize,
    /// The name itself where the spec gives no SQL and the field's own name stands for it; `text` is then that name as
    /// a quoted identifier, and the place is the field's key.
    pub plain_name: Option<String>,
}

impl Sql {
    /// Line and column in the spec of a byte offset into `text`. Exact unless the TOML string has escapes before it.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        if self.plain_name.is_some() {
            return (self.line, self.column);
        }
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        match before.rsplit_once('\n') {
            Some((above, last)) => (self.line + above.matches('\n').count() + 1, last.chars().count() + 1),
            None => (self.line, self.column + before.chars().count()),
        }
    }
}

/// One compared value of a record.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, which is the target's column unless `to` says otherwise.
    pub name: String,
    /// SQL over the source's attributes (a plain name or path most of the time).
    pub from: Sql,
    /// SQL over the target's columns.
    pub to: Sql,
    /// The declared type.
    pub ty: Option<Type>,
    /// How its values are compared.
    pub rule: Rule,
    /// What holds of its values.
    pub valid: Valid,
    /// What becomes of it where the record is there already.
    pub on_conflict: OnConflict,
    /// 1-based line in the spec.
    pub line: usize,
}

/// How one field is compared. The default compares exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Largest accepted |target − source|, inclusive.
    pub tolerance: Option<Tolerance>,
    /// Largest accepted |target − source| as a share of max(|source|, |target|): a decimal's text, as in `1e-6`.
    pub relative: Option<String>,
    /// Unit to which times are cut before they are compared.
    pub precision: Option<Precision>,
    /// Normalisations of text, applied in this order: trim, collapse, casefold, nfc.
    pub text: TextRule,
    /// What NULL, absent and the empty string mean; `None`: as the stores can express.
    pub nulls: Option<Nulls>,
    /// Compare as JSON documents.
    pub json: bool,
    /// Compare without regard to order.
    pub set: bool,
    /// Own predicate over `source` and `target`.
    pub sql: Option<Sql>,
    /// Not compared, on purpose.
    pub ignore: bool,
}

/// An absolute tolerance.
#[derive(Clone, Debug, PartialEq)]
pub enum Tolerance {
    /// A non-negative decimal's text.
    Number(String),
    /// A duration in nanoseconds.
    Duration(i128),
}

/// `precision` and `rounding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// The unit in nanoseconds.
    pub unit_ns: i128,
    /// Round half away from zero instead of cutting off.
    pub round: bool,
}

/// `text = […]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextRule {
    /// Cut white space (Unicode White_Space) from both ends.
    pub trim: bool,
    /// Turn each run of white space into one space.
    pub collapse: bool,
    /// Unicode full case folding.
    pub casefold: bool,
    /// Unicode normalisation form C.
    pub nfc: bool,
}

/// `nulls = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// Absent, NULL and the empty string are three things, even where a store cannot express one.
    Strict,
    /// The empty string is NULL.
    EmptyIsNull,
    /// Absent is NULL.
    AbsentIsNull,
}

/// `user_id = "user.id"` under `[entities.x.references]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name in the spec, which in the short form is the field's.
    pub name: String,
    /// The referring fields of this entity.
    pub fields: Vec<String>,
    /// The entity referred to.
    pub entity: String,
    /// Its fields, as many as `fields`.
    pub to: Vec<String>,
}
