//! Where a table is: its file, recon's own table in there with the markers, and what errors mean.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Context, Error, Result};
use crate::migrate::{Fault, FaultClass, Trouble};
use crate::query::render;
use crate::spec::TableName;
use crate::store::Purpose;
use crate::store::sqlite::{connect, failed};

const MARKERS_EXIST: &str = include_str!("../../../queries/migrate/sqlite/markers_exist.sql");
const CREATE_MARKERS: &str = include_str!("../../../queries/migrate/sqlite/create_markers.sql");
const TAKE_MARKER: &str = include_str!("../../../queries/migrate/sqlite/take_marker.sql");
const READ_MARKER: &str = include_str!("../../../queries/migrate/sqlite/read_marker.sql");
const WRITE_RECEIPT: &str = include_str!("../../../queries/migrate/sqlite/write_receipt.sql");
const FORGET: &str = include_str!("../../../queries/migrate/sqlite/forget.sql");

/// A table of a SQLite file.
pub(super) struct Place<'a> {
    path: &'a str,
    /// What tells it from others.
    pub(super) fingerprint: String,
    /// The schema in quotes.
    schema: String,
}

impl<'a> Place<'a> {
    /// `schema` is in quotes.
    pub(super) fn new(path: &'a str, name: &TableName, schema: &str) -> Self {
        Self { path, fingerprint: format!("sqlite {path} {name}"), schema: schema.to_owned() }
    }

    pub(super) fn failed(&self, what: &str, error: rusqlite::Error) -> Error {
        failed(format!("{}: {what}", self.fingerprint), error)
    }

    /// What an error means that is no record's fault.
    pub(super) fn trouble(&self, what: &str, error: rusqlite::Error) -> Trouble {
        let code = error.sqlite_error_code();
        let error = self.failed(what, error);
        match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy(error),
            _ => Trouble::Fatal(error),
        }
    }

    /// What an error of a statement that ran means: a fault of the record, or trouble.
    pub(super) fn refused(&self, connection: &Connection, error: rusqlite::Error) -> Result<Fault, Trouble> {
        let rusqlite::Error::SqliteFailure(code, said) = &error else {
            return Err(self.trouble("cannot write", error));
        };
        let is_record = matches!(
            code.code,
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch | ErrorCode::Unknown
        );
        // A trigger or a constraint may end the whole transaction.
        if !is_record || connection.is_autocommit() {
            return Err(self.trouble("cannot write", error));
        }
        let message = said.clone().unwrap_or_else(|| error.to_string());
        let column = message.rsplit_once(": ").filter(|_| message.contains("constraint failed: "));
        let column = column.map(|(_, name)| name).filter(|name| !name.contains(", "));
        let column = column.and_then(|name| name.rsplit_once('.')).map(|(_, name)| name.to_owned());
        let name = name_of(code.extended_code);
        // What it refers to may come yet.
        let class = if name == "SQLITE_CONSTRAINT_FOREIGNKEY" {
            FaultClass::Retryable
        } else {
            FaultClass::Permanent
        };
        Ok(Fault { class, code: name, column, message })
    }

    /// A statement without parameters.
    pub(super) fn plain(&self, connection: &Connection, sql: &str) -> Result<(), Trouble> {
        let run = || connection.prepare_cached(sql)?.execute([]);
        run().map(|_| ()).map_err(|e| self.trouble("cannot write", e))
    }

    /// A worker's connection; recon's own table is there from then on.
    pub(super) fn session(&self) -> Result<Connection, Trouble> {
        let connection = connect(self.path, Purpose::Write)?;
        connection.set_prepared_statement_cache_capacity(16);
        if !self.has_markers(&connection).map_err(|e| self.trouble("cannot write", e))? {
            let what = "cannot make recon's own table `recon_batches`";
            connection.execute_batch(&self.marked(CREATE_MARKERS)).map_err(|e| self.trouble(what, e))?;
        }
        Ok(connection)
    }

    fn has_markers(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = render(MARKERS_EXIST, &[("schema", &self.schema)]);
        connection.query_row(&sql, [], |row| row.get(0))
    }

    fn marked(&self, template: &str) -> String {
        render(template, &[("markers", &format!("{}.recon_batches", self.schema))])
    }

    /// Removes the markers of a run.
    pub(super) fn forget(&self, run_id: &str, entity: &str) -> Result<()> {
        let fail = |e| self.failed("cannot remove the markers of the run", e);
        let connection = connect(self.path, Purpose::Write)?;
        // Where every record was refused before it was sent, nobody made the table.
        if self.has_markers(&connection).map_err(fail)? {
            connection.execute(&self.marked(FORGET), [run_id, entity]).map_err(fail)?;
        }
        Ok(())
    }

    /// What the marker of a batch says, where it is there.
    pub(super) fn receipt<T: DeserializeOwned>(
        &self,
        run_id: &str,
        entity: &str,
        batch: u64,
    ) -> Result<Option<T>> {
        let connection = connect(self.path, Purpose::Write)?;
        if !self.has_markers(&connection).map_err(|e| self.failed(CANNOT_READ, e))? {
            return Ok(None);
        }
        let found = Marked { place: self, run_id, entity, batch }.read(&connection);
        let receipt = found.map_err(|e| self.failed(CANNOT_READ, e))?.and_then(|(_, receipt)| receipt);
        Ok(receipt.and_then(|receipt| serde_json::from_str(&receipt).ok()))
    }
}

const CANNOT_READ: &str = "cannot read a marker";

/// The marker of a batch: it is committed with it, and says what became of it.
pub(super) struct Marked<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) run_id: &'a str,
    pub(super) entity: &'a str,
    pub(super) batch: u64,
}

impl Marked<'_> {
    /// Takes it; not where it is taken already.
    pub(super) fn take(&self, connection: &Connection, hash: &str) -> Result<bool, Trouble> {
        let sql = self.place.marked(TAKE_MARKER);
        let taken = connection.execute(&sql, params![self.run_id, self.entity, self.batch as i64, hash]);
        taken.map(|rows| rows > 0).map_err(|e| self.place.trouble("cannot write", e))
    }

    /// The batch's hash and what became of it, where it was committed.
    fn read(&self, connection: &Connection) -> rusqlite::Result<Option<(String, Option<String>)>> {
        let sql = self.place.marked(READ_MARKER);
        let read = connection.query_row(&sql, params![self.run_id, self.entity, self.batch as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        read.optional()
    }

    /// What became of our batch, which was committed earlier.
    pub(super) fn read_own<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        hash: &str,
    ) -> Result<T, Trouble> {
        let found = self.read(connection).map_err(|e| self.place.trouble(CANNOT_READ, e))?;
        let receipt = found.filter(|(of, _)| of == hash).and_then(|(_, receipt)| receipt);
        receipt.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            let what = format!(
                "{}: the marker of batch {} of run {} is not ours",
                self.place.fingerprint, self.batch, self.run_id
            );
            Trouble::Fatal(
                Error::failed(what).help("look into the table recon_batches; --new-run begins anew"),
            )
        })
    }

    /// Puts what became of the batch into it.
    pub(super) fn write(&self, connection: &Connection, receipt: &impl Serialize) -> Result<(), Trouble> {
        let text = serde_json::to_string(receipt).or_failed(|| "cannot write a receipt".to_owned())?;
        let sql = self.place.marked(WRITE_RECEIPT);
        let written = connection.execute(&sql, params![self.run_id, self.entity, self.batch as i64, text]);
        written.map(|_| ()).map_err(|e| self.place.trouble("cannot write", e))
    }
}

/// The name of an extended result code: <https://www.sqlite.org/rescode.html>.
fn name_of(code: i32) -> String {
    let name = match code {
        1 => "ERROR",
        18 => "TOOBIG",
        20 => "MISMATCH",
        19 => "CONSTRAINT",
        275 => "CONSTRAINT_CHECK",
        787 => "CONSTRAINT_FOREIGNKEY",
        1043 => "CONSTRAINT_FUNCTION",
        1299 => "CONSTRAINT_NOTNULL",
        1555 => "CONSTRAINT_PRIMARYKEY",
        1811 => "CONSTRAINT_TRIGGER",
        2067 => "CONSTRAINT_UNIQUE",
        2323 => "CONSTRAINT_VTAB",
        2579 => "CONSTRAINT_ROWID",
        3091 => "CONSTRAINT_DATATYPE",
        other => return format!("SQLITE_{other}"),
    };
    format!("SQLITE_{name}")
}
