//! SQLite: a table, a view or a query of a file, which others may go on using.
//!
//! A column of SQLite holds whatever each row puts there; its declared type only leans values towards a storage class
//! (<https://www.sqlite.org/datatype3.html>). So a column's type is what its values are: one pass counts their storage classes
//! first. All is read in one read transaction, as of one moment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, params_from_iter};
use xxhash_rust::xxh3::Xxh3;

use super::input::Digests;
use super::sink::UnitSink;
use super::table::{CellFault, ColumnBuilder, TableBuilder, no_table, schema};
use super::{Keys, Source, Stamp, Unit};
use crate::error::{Context, Error, Result};
use crate::event;
use crate::query::identifier;
use crate::spec::What;
use crate::store::Purpose;
use crate::store::sqlite::connect;
use crate::store::table::{TableColumn, TableFacts};
use crate::value::Value;
use crate::value::column::ColumnType;

/// Rows between two looks at whether somebody wants to stop.
const ROWS_BETWEEN_CHECKS: u64 = 10_000;

/// Opens a dataset, read-only.
///
/// # Errors
/// A file that is not there or no database; a table that is not there; a query that does not run.
pub(crate) fn open(path: &str, what: &What) -> Result<Box<dyn Source>> {
    let connection = connect(path, Purpose::Read)?;
    let from = match what {
        What::Table(name) => {
            let parts: Vec<String> = name.parts.iter().map(|part| identifier(&part.text)).collect();
            exists(
                &connection,
                path,
                name.parts.first().filter(|_| parts.len() > 1).map(|p| p.text.as_str()),
                &name.table().text,
            )?;
            parts.join(".")
        }
        // The line break keeps a comment at the end of the query from swallowing what follows.
        What::Query(sql) => format!("({sql}\n)"),
    };
    let mut source = SqliteSource {
        path: path.to_owned(),
        shown: what.shown(),
        from,
        facts: TableFacts::default(),
        keys: None,
        connection: Mutex::new(connection),
    };
    source.facts = source.look(what)?;
    Ok(Box::new(source))
}

fn exists(connection: &Connection, path: &str, database: Option<&str>, table: &str) -> Result<()> {
    let fail = || format!("cannot read the schema of {path}");
    let sql = format!(
        "select name from {}.sqlite_schema where type in ('table', 'view') and name not like 'sqlite_%' order by name",
        identifier(database.unwrap_or("main"))
    );
    let mut statement = connection.prepare(&sql).or_failed(fail)?;
    let names: Vec<String> =
        statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).or_failed(fail)?;
    if names.iter().any(|name| name.eq_ignore_ascii_case(table)) {
        return Ok(());
    }
    Err(no_table(path, table, table, &names))
}

struct SqliteSource {
    path: String,
    shown: String,
    /// What follows `from`.
    from: String,
    facts: TableFacts,
    /// Only the rows with these keys.
    keys: Option<Keys>,
    /// In a read transaction, so that it sees one moment.
    connection: Mutex<Connection>,
}

/// How many values of a column have each storage class.
#[derive(Clone, Copy, Debug, Default)]
struct Classes {
    integer: i64,
    real: i64,
    text: i64,
    blob: i64,
}

impl Classes {
    /// The type that a column with these values has, and a remark where some values are none.
    fn column(self, name: &str, declared: &str) -> TableColumn {
        let Self { integer, real, text, blob } = self;
        let numbers = integer + real;
        let declared_upper = declared.to_ascii_uppercase();
        let ty = if blob > text.max(numbers) {
            ColumnType::Bytes
        } else if text > numbers || (numbers == 0 && blob == 0) {
            ColumnType::Untyped
        } else if real == 0 {
            if declared_upper.starts_with("BOOL") { ColumnType::BoolInt } else { ColumnType::Int }
        } else if integer == 0 {
            ColumnType::Float64
        } else {
            ColumnType::Number
        };
        let kinds = [numbers, text, blob].iter().filter(|count| **count > 0).count();
        let remark = (kinds > 1).then(|| {
            format!("declared `{declared}`, holds {numbers} numbers, {text} texts and {blob} blobs: what is not {ty} is a failure")
        });
        TableColumn { name: name.to_owned(), ty, remark }
    }
}

impl SqliteSource {
    fn fail(&self, what: &str) -> String {
        format!("{}: {what} {}", self.path, self.shown)
    }

    /// The columns, their types by their values, and the table's keys.
    fn look(&self, what: &What) -> Result<TableFacts> {
        let connection = self.connection.lock().expect("nobody panics while reading");
        let fail = || self.fail("cannot read");
        // The query as it is: around it, SQLite would tell two columns of one name apart by names of its own.
        let sql = match what {
            What::Table(_) => format!("select * from {}", self.from),
            What::Query(sql) => sql.clone(),
        };
        let statement = connection.prepare(&sql).or_failed(fail)?;
        let columns: Vec<(String, String)> = statement
            .columns()
            .iter()
            .map(|c| (c.name().to_owned(), c.decl_type().unwrap_or_default().to_owned()))
            .collect();
        drop(statement);
        for (i, (name, _)) in columns.iter().enumerate() {
            if columns[..i].iter().any(|(other, _)| other == name) {
                return Err(Error::failed(format!("{}: two columns are called `{name}`", self.path))
                    .help("give each column of the query a name of its own with `as`"));
            }
        }
        let counts: Vec<String> = columns
            .iter()
            .flat_map(|(name, _)| {
                ["integer", "real", "text", "blob"]
                    .map(|class| format!("total(typeof({}) = '{class}')", identifier(name)))
            })
            .collect();
        let sql = format!("select count(*), {} from {}", counts.join(", "), self.from);
        let (rows, classes) = connection
            .query_row(&sql, [], |row| {
                let classes: rusqlite::Result<Vec<Classes>> = (0..columns.len())
                    .map(|i| {
                        let count = |j: usize| row.get::<_, f64>(1 + 4 * i + j).map(|n| n as i64);
                        Ok(Classes { integer: count(0)?, real: count(1)?, text: count(2)?, blob: count(3)? })
                    })
                    .collect();
                Ok((row.get::<_, i64>(0)?, classes?))
            })
            .or_failed(fail)?;
        let described =
            columns.iter().zip(classes).map(|((name, declared), classes)| classes.column(name, declared));
        let mut facts = TableFacts {
            columns: described.collect(),
            rows: u64::try_from(rows).ok(),
            ..TableFacts::default()
        };
        if let What::Table(name) = what {
            let mut statement = connection
                .prepare("select name from pragma_table_info(?1) where pk > 0 order by pk")
                .or_failed(fail)?;
            facts.key = statement
                .query_map([&name.table().text], |row| row.get(0))
                .and_then(Iterator::collect)
                .or_failed(fail)?;
        }
        Ok(facts)
    }

    /// The statement that reads all, with its parameters.
    fn sql(&self) -> (String, Vec<Vec<Cell>>) {
        let select: Vec<String> = self.facts.columns.iter().map(|c| identifier(&c.name)).collect();
        let all = format!("select {} from {}", select.join(", "), self.from);
        let Some(keys) = &self.keys else { return (all, vec![Vec::new()]) };
        let condition: Vec<String> =
            keys.columns.iter().map(|name| format!("{} = ?", identifier(name))).collect();
        let values = keys.values.iter().map(|values| values.iter().map(cell).collect()).collect();
        (format!("{all} where {}", condition.join(" and ")), values)
    }
}

/// A value as SQLite stores it.
fn cell(value: &Value<'_>) -> Cell {
    match value {
        Value::Bool(flag) => Cell::Integer((*flag).into()),
        Value::Number(number) => match number.to_scaled(0).and_then(|n| i64::try_from(n).ok()) {
            Some(n) => Cell::Integer(n),
            None => Cell::Real(number.to_f64()),
        },
        Value::Float32(f) => Cell::Real((*f).into()),
        Value::Float64(f) => Cell::Real(*f),
        Value::Bytes(bytes) => Cell::Blob(bytes.to_vec()),
        other => other.display().map_or(Cell::Null, |text| Cell::Text(text.into_owned())),
    }
}

impl Source for SqliteSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        let bytes = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        let stamp = Stamp(format!("{} {}", crate::ledger::now(), crate::ledger::random_id()));
        let unit = Unit {
            path: PathBuf::from(format!("{} {}", self.path, self.shown)),
            stamp,
            bytes,
            expected: None,
            file: None,
            window: 0,
            is_live: true,
        };
        let remarks = self.facts.columns.iter().filter_map(|column| {
            column.remark.as_ref().map(|remark| format!("column `{}`: {remark}", column.name))
        });
        Ok((vec![unit], remarks.collect()))
    }

    fn read(&self, _unit: &Unit, sink: &UnitSink, _workers: usize) -> Result<Digests> {
        let connection = self.connection.lock().expect("nobody panics while reading");
        let fail = || self.fail("reading failed:");
        let (sql, parameters) = self.sql();
        let mut statement = connection.prepare(&sql).or_failed(fail)?;
        let mut builder = TableBuilder::new(schema(&self.facts.columns), sink);
        let (mut bytes, mut count, mut digest) = (0, 0u64, Xxh3::new());
        for parameters in parameters {
            let mut rows = statement.query(params_from_iter(parameters)).or_failed(fail)?;
            while let Some(row) = rows.next().or_failed(fail)? {
                let (mut size, mut fault) = (0, None);
                for (i, to) in builder.columns().iter_mut().enumerate() {
                    let value = row.get_ref(i).or_failed(fail)?;
                    size += digested(value, &mut digest);
                    if let Err(message) = append(value, &self.facts.columns[i].ty, to) {
                        to.null();
                        fault.get_or_insert(CellFault { column: i, message });
                    }
                }
                builder.end_row(size, fault, || cells(row, &self.facts))?;
                bytes += size as u64;
                count += 1;
                event::add(&sink.progress().bytes_done, size as u64);
                if count % ROWS_BETWEEN_CHECKS == 0 {
                    sink.progress().check()?;
                }
            }
        }
        builder.finish()?;
        Ok(Digests { bytes, xxh3: format!("{:032x}", digest.digest128()), md5: None, next: None })
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        Ok(unit.stamp.clone())
    }

    fn facts(&self) -> Result<Option<TableFacts>> {
        Ok(Some(self.facts.clone()))
    }

    fn only(&self, keys: &Keys) -> Result<Option<Box<dyn Source>>> {
        Ok(Some(Box::new(Self {
            path: self.path.clone(),
            shown: self.shown.clone(),
            from: self.from.clone(),
            facts: self.facts.clone(),
            keys: Some(keys.clone()),
            connection: Mutex::new(connect(&self.path, Purpose::Read)?),
        })))
    }
}

/// Adds a value to the digest and returns about how large it is.
fn digested(value: ValueRef<'_>, digest: &mut Xxh3) -> usize {
    let (class, bytes): (u8, &[u8]) = match &value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(n) => (1, &n.to_le_bytes()),
        ValueRef::Real(n) => (2, &n.to_le_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    digest.update(&[class]);
    digest.update(&(bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
    bytes.len() + 1
}

fn append(value: ValueRef<'_>, ty: &ColumnType, to: &mut ColumnBuilder) -> Result<(), String> {
    match (value, to) {
        (ValueRef::Null, to) => to.null(),
        (ValueRef::Integer(n), ColumnBuilder::Int(b)) => b.append_value(n),
        (ValueRef::Real(n), ColumnBuilder::Float64(b)) => b.append_value(n),
        (ValueRef::Blob(bytes), ColumnBuilder::Bytes(b)) => b.append_value(bytes),
        (ValueRef::Text(bytes), ColumnBuilder::Text(b)) if *ty == ColumnType::Untyped => {
            b.append_value(utf8(bytes)?);
        }
        (ValueRef::Integer(n), ColumnBuilder::Text(b)) if *ty == ColumnType::Number => {
            b.append_value(n.to_string())
        }
        (ValueRef::Real(n), ColumnBuilder::Text(b)) if *ty == ColumnType::Number => b.append_value(real(n)),
        (other, _) => return Err(format!("a {} in a column of {ty}", class(other))),
    }
    Ok(())
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|e| format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1))
}

fn real(n: f64) -> String {
    match n {
        n if n == f64::INFINITY => "Infinity".to_owned(),
        n if n == f64::NEG_INFINITY => "-Infinity".to_owned(),
        n => format!("{n:e}"),
    }
}

fn class(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) | ValueRef::Real(_) => "number",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "blob",
    }
}

/// What can be read of a row that failed, as text.
fn cells(row: &rusqlite::Row<'_>, facts: &TableFacts) -> BTreeMap<String, Option<String>> {
    let mut cells = BTreeMap::new();
    for (i, column) in facts.columns.iter().enumerate() {
        let text = match row.get_ref(i) {
            Ok(ValueRef::Null) => None,
            Ok(ValueRef::Integer(n)) => Some(n.to_string()),
            Ok(ValueRef::Real(n)) => Some(real(n)),
            Ok(ValueRef::Text(bytes)) => match utf8(bytes) {
                Ok(text) => Some(text.to_owned()),
                Err(_) => continue,
            },
            Ok(ValueRef::Blob(_)) | Err(_) => continue,
        };
        cells.insert(column.name.clone(), text);
    }
    cells
}
