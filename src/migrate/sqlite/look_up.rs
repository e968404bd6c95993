//! What a SQLite file says of a table that is to be written.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use crate::error::Result;
use crate::query::{identifier, render};
use crate::spec::{TableName, What};
use crate::store::Purpose;
use crate::store::sqlite::{connect, declared_type, failed};
use crate::store::table::TableFacts;
use crate::value::column::ColumnType;

const COLUMNS: &str = include_str!("../../../queries/migrate/sqlite/columns.sql");
const UNIQUE_COLUMNS: &str = include_str!("../../../queries/migrate/sqlite/unique_columns.sql");
const KIND_OF_TABLE: &str = include_str!("../../../queries/migrate/sqlite/kind_of_table.sql");
const HAS_VALUES: &str = include_str!("../../../queries/migrate/sqlite/has_values.sql");

/// A table.
pub(super) struct Table {
    /// Its schema in quotes.
    pub(super) schema: String,
    /// Schema and table in quotes.
    pub(super) quoted: String,
    /// Whether it is a view.
    pub(super) is_view: bool,
    /// Its columns in order.
    pub(super) columns: Vec<Found>,
    /// Each unique index: its columns with their collations.
    unique: Vec<Vec<(String, Option<String>)>>,
}

/// A column as it was declared.
pub(super) struct Found {
    /// Its name.
    pub(super) name: String,
    /// Its type, as it was written.
    pub(super) declared: String,
    /// Whether the table makes its values.
    pub(super) generated: bool,
    is_in_key: bool,
}

impl Table {
    /// The collation by which each of these columns is unique together with the others; `None` where no unique index is on exactly
    /// them.
    pub(super) fn unique_on(&self, key: &[&str]) -> Option<Vec<Option<String>>> {
        let find = |columns: &[(String, Option<String>)]| {
            (columns.len() == key.len()).then_some(())?;
            let collation = |name: &&str| {
                columns.iter().find(|(column, _)| column == name).map(|(_, collation)| collation.clone())
            };
            key.iter().map(collation).collect::<Option<Vec<_>>>()
        };
        self.unique.iter().find_map(|columns| find(columns))
    }
}

/// Looks a table up.
///
/// # Errors
/// What SQLite says.
pub(super) fn look_up(connection: &Connection, path: &str, name: &TableName) -> Result<Table> {
    let fail = |e| failed(format!("{path}: cannot look {name} up"), e);
    let schema = name.parts.iter().rev().nth(1).map_or("main", |part| part.text.as_str());
    let table = name.table().text.as_str();
    read(connection, schema, table).map_err(fail)
}

fn read(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Table> {
    let quoted_schema = identifier(schema);
    let kind = render(KIND_OF_TABLE, &[("schema", &quoted_schema)]);
    let kind: Option<String> = connection.query_row(&kind, [table], |row| row.get(0)).optional()?;
    let mut statement = connection.prepare(COLUMNS)?;
    let columns = statement.query_map([table, schema], |row| {
        Ok(Found {
            name: row.get("name")?,
            declared: row.get("declared")?,
            generated: row.get("generated")?,
            is_in_key: row.get::<_, i64>("pk")? > 0,
        })
    })?;
    let columns: Vec<Found> = columns.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare(UNIQUE_COLUMNS)?;
    let mut rows = statement.query([table, schema])?;
    let mut indexes: BTreeMap<String, Vec<(String, Option<String>)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        // An expression has no name, and is no column's.
        let column = row.get::<_, Option<String>>("column_name")?.unwrap_or_default();
        indexes.entry(row.get("index_name")?).or_default().push((column, row.get("collation")?));
    }
    let mut unique: Vec<_> = indexes.into_values().collect();
    // An integer that is the key of the rows themselves has no index besides.
    if let [key] = columns.iter().filter(|c| c.is_in_key).collect::<Vec<_>>().as_slice()
        && key.declared.eq_ignore_ascii_case("integer")
    {
        unique.push(vec![(key.name.clone(), None)]);
    }
    Ok(Table {
        quoted: format!("{quoted_schema}.{}", identifier(table)),
        schema: quoted_schema,
        is_view: kind.as_deref() == Some("view"),
        columns,
        unique,
    })
}

/// Gives the columns of a table the types that were declared, where what they hold does not contradict: what is there says nothing of
/// what is to come, of an empty table least of all.
///
/// # Errors
/// A file that cannot be read.
pub fn declare(path: &str, what: &What, facts: &mut TableFacts) -> Result<()> {
    let What::Table(name) = what else { return Ok(()) };
    let connection = connect(path, Purpose::Read)?;
    let table = look_up(&connection, path, name)?;
    for column in &mut facts.columns {
        let Some(found) = table.columns.iter().find(|found| found.name == column.name) else { continue };
        let declared = declared_type(&found.declared);
        let holds_whole = matches!(column.ty, ColumnType::Int | ColumnType::BoolInt);
        let holds_number = holds_whole || matches!(column.ty, ColumnType::Float64 | ColumnType::Number);
        column.ty = match declared {
            ColumnType::Number if holds_number => ColumnType::Number,
            ColumnType::Int | ColumnType::BoolInt if holds_whole => declared,
            ColumnType::Int | ColumnType::BoolInt if holds_number => ColumnType::Number,
            ColumnType::Float64 if holds_number => ColumnType::Float64,
            _ if column.ty == ColumnType::Untyped => {
                let sql =
                    render(HAS_VALUES, &[("table", &table.quoted), ("column", &identifier(&column.name))]);
                let found: rusqlite::Result<bool> = connection.query_row(&sql, [], |row| row.get(0));
                let has_values = found.map_err(|e| failed(format!("{path}: cannot look {name} up"), e))?;
                if has_values { ColumnType::Untyped } else { declared }
            }
            _ => continue,
        };
    }
    Ok(())
}
