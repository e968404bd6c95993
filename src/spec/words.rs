//! The words of a spec that come out of a fixed list, once, for the checks and for the JSON Schema.

use serde_json::{Value, json};

use crate::value::kind::TYPE_NAMES;

/// Kinds of files.
const KINDS_OF_FILES: [&str; 4] = ["csv", "jsonl", "parquet", "dynamodb-export"];

/// All kinds of datasets.
pub const KINDS: [&str; 8] =
    ["csv", "jsonl", "parquet", "dynamodb-export", "sqlite", "postgres", "mysql", "dynamodb"];

pub(super) const ENCODINGS: [&str; 2] = ["hex", "base64"];
pub(super) const COMPRESSIONS: [&str; 3] = ["none", "gzip", "zstd"];
pub(super) const ROUNDINGS: [&str; 2] = ["truncate", "round"];
pub(super) const NULLS: [&str; 3] = ["strict", "empty-is-null", "absent-is-null"];
pub(super) const POLICIES: [&str; 3] = ["upsert", "insert-only", "update-only"];
pub(super) const WRITE_NULLS: [&str; 2] = ["omit", "null"];
pub(super) const ON_CONFLICTS: [&str; 4] = ["overwrite", "keep", "coalesce", "greatest"];
pub(super) const TEXTS: [&str; 4] = ["trim", "casefold", "collapse", "nfc"];

/// Units of `precision`, in the order of [`UNITS_NS`].
pub(super) const PRECISIONS: [&str; 7] = ["ns", "us", "ms", "s", "m", "h", "d"];

/// The units of [`PRECISIONS`] in nanoseconds.
pub(super) const UNITS_NS: [i128; 7] =
    [1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000, 3_600_000_000_000, 86_400_000_000_000];

/// Options of datasets that need an `s3://` uri (where the kind has no such option itself).
pub(super) const OBJECT_STORAGE: [&str; 5] =
    ["endpoint", "region", "path_style", "unsigned", "requester_pays"];

/// Which kinds each option of a dataset belongs to; `kind` and `timezone` belong to all.
pub(super) const OPTIONS: [(&str, &[&str]); 20] = [
    ("uri", &KINDS_OF_FILES),
    ("delimiter", &["csv"]),
    ("quote", &["csv"]),
    ("header", &["csv"]),
    ("columns", &["csv"]),
    ("null_tokens", &["csv"]),
    ("encoding", &["csv"]),
    ("compression", &["csv", "jsonl", "parquet"]),
    ("increments", &["dynamodb-export"]),
    ("allow_gap", &["dynamodb-export"]),
    ("path", &["sqlite"]),
    ("url", &["postgres", "mysql"]),
    ("table", &["sqlite", "postgres", "mysql", "dynamodb"]),
    ("query", &["sqlite", "postgres", "mysql"]),
    ("query_file", &["sqlite", "postgres", "mysql"]),
    ("segments", &["dynamodb"]),
    ("consistent", &["dynamodb"]),
    ("partition", &["dynamodb"]),
    ("sort_prefix", &["dynamodb"]),
    ("max_rcu", &["dynamodb"]),
];

/// Whether a kind has an option of its own; object storage is another question.
pub(super) fn belongs(option: &str, kind: &str) -> bool {
    matches!(option, "kind" | "timezone")
        || (kind == "dynamodb" && matches!(option, "endpoint" | "region"))
        || OPTIONS.iter().any(|(name, kinds)| *name == option && kinds.contains(&kind))
}

/// Whether datasets of a kind can lie in object storage.
pub(super) fn has_uri(kind: &str) -> bool {
    KINDS_OF_FILES.contains(&kind)
}

/// What `type` can be, as JSON Schema: the simple names, or a decimal with its size.
pub(super) fn type_choices() -> Value {
    json!([{ "enum": TYPE_NAMES }, { "pattern": "^decimal\\([0-9]+, ?[0-9]+\\)$" }])
}

/// What each item of `text` can be, as JSON Schema.
pub(super) fn text_choices() -> Value {
    json!({ "enum": TEXTS })
}
