//! SQLite's files: how they are opened, what their columns are declared as, and their errors in words that say what to do.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Purpose;
use crate::error::{Context, Error, Result};
use crate::value::column::ColumnType;

/// How long somebody else's transaction is waited for: by who reads, and by who writes and is tried again.
const READING_PATIENCE: Duration = Duration::from_secs(60);
const WRITING_PATIENCE: Duration = Duration::from_secs(10);

/// Opens a file that is there. One that is read stands in a read transaction from then on, as of one moment; in one that is written,
/// foreign keys hold.
///
/// # Errors
/// A file that is not there, no database, one that may not be read or written, one that somebody keeps to himself (exit 4).
pub(crate) fn connect(path: &str, purpose: Purpose) -> Result<Connection> {
    let fail = || format!("cannot open {path}");
    if !Path::new(path).exists() {
        return Err(Error::failed(format!("{path} is not there"))
            .help("`path` is the database's file; a relative one starts at the folder of the spec"));
    }
    let (access, patience, begin) = match purpose {
        Purpose::Read => {
            (OpenFlags::SQLITE_OPEN_READ_ONLY, READING_PATIENCE, "begin; select count(*) from sqlite_schema")
        }
        Purpose::Write => (
            OpenFlags::SQLITE_OPEN_READ_WRITE,
            WRITING_PATIENCE,
            "pragma foreign_keys = on; select count(*) from sqlite_schema",
        ),
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).or_failed(fail)?;
    connection.busy_timeout(patience).or_failed(fail)?;
    connection.execute_batch(begin).map_err(|error| failed(fail(), error))?;
    Ok(connection)
}

/// The error for something that SQLite refused.
pub(crate) fn failed(what: String, error: rusqlite::Error) -> Error {
    let help = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "the file is no SQLite database, or an encrypted one",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "somebody else writes to it for too long: try again later"
        }
        Some(ErrorCode::DiskFull) => "the disk is full: make room, then run the same command again",
        Some(ErrorCode::ReadOnly) => {
            "the file, or its folder, may not be written (in WAL mode who only reads needs that, too): change the permissions, then run \
             the same command again"
        }
        Some(ErrorCode::CannotOpen) => {
            "in WAL mode the folder of the file must be writable, or hold its -shm file"
        }
        Some(ErrorCode::DatabaseCorrupt) => "the file is damaged: `pragma integrity_check` says where",
        Some(ErrorCode::ConstraintViolation) => {
            "where a deferred foreign key was broken: write what it refers to first, as with `references` in the spec"
        }
        _ => "",
    };
    let failed = Error::failed(what).caused_by(error);
    if help.is_empty() { failed } else { failed.help(help) }
}

/// Towards which storage class a column leans the values that are put into it: <https://www.sqlite.org/datatype3.html>, 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// Numbers become text.
    Text,
    /// Texts that look like numbers become such, and whole numbers integers.
    Number,
    /// Values stay what they are.
    None,
}

impl Affinity {
    /// That of a column that was declared like this.
    pub(crate) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match () {
            () if has(&["INT"]) => Self::Number,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Self::Text,
            () if has(&["BLOB"]) || declared.is_empty() || declared == "ANY" => Self::None,
            () => Self::Number,
        }
    }
}

/// The type that a declaration promises, where it does; what it does not tell apart is [`ColumnType::Untyped`].
pub(crate) fn declared_type(declared: &str) -> ColumnType {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if has(&["INT"]) => ColumnType::Int,
        () if has(&["CHAR", "CLOB", "TEXT"]) => ColumnType::Untyped,
        () if has(&["BLOB"]) => ColumnType::Bytes,
        () if has(&["REAL", "FLOA", "DOUB"]) => ColumnType::Float64,
        () if declared.starts_with("BOOL") => ColumnType::BoolInt,
        () if has(&["NUMERIC", "DECIMAL", "NUMBER"]) => ColumnType::Number,
        () => ColumnType::Untyped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_say_what_sqlite_makes_of_them() {
        let db = Connection::open_in_memory().unwrap();
        for declared in [
            "int",
            "varchar(9)",
            "blob",
            "",
            "real",
            "boolean",
            "decimal(9,2)",
            "datetime",
            "string",
            "point",
        ] {
            db.execute_batch(&format!("create table t (c {declared}); insert into t values ('1'), (2)"))
                .unwrap();
            let kinds: String =
                db.query_row("select group_concat(typeof(c)) from t", [], |row| row.get(0)).unwrap();
            let expected = match Affinity::of(declared) {
                Affinity::Text => "text,text",
                Affinity::None => "text,integer",
                Affinity::Number if declared == "real" => "real,real",
                Affinity::Number => "integer,integer",
            };
            assert_eq!(kinds, expected, "{declared}");
            db.execute_batch("drop table t").unwrap();
        }
        assert_eq!(declared_type("DECIMAL(9,2)"), ColumnType::Number);
        assert_eq!(declared_type("datetime"), ColumnType::Untyped);
        assert_eq!(declared_type("Boolean"), ColumnType::BoolInt);
    }
}
