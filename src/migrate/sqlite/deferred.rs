//! Foreign keys that are checked only at the commit (<https://www.sqlite.org/foreignkeys.html#fk_deferred>), as some frameworks declare
//! all of theirs: what breaks one is found before, so that it is a row's fault and does not hold up its batch.

use rusqlite::{Connection, params_from_iter};

use super::encode::Stored;
use crate::migrate::{Fault, FaultClass};
use crate::query::{identifier, render};

const DEFERRED_KEYS: &str = include_str!("../../../queries/migrate/sqlite/deferred_keys.sql");
const IS_REFERRED: &str = include_str!("../../../queries/migrate/sqlite/is_referred.sql");

/// The foreign keys of a table that are checked only at the commit.
pub(super) struct Deferred {
    keys: Vec<ForeignKey>,
}

struct ForeignKey {
    parent: String,
    columns: Vec<String>,
    /// Finds what a row refers to.
    sql: String,
}

impl Deferred {
    /// Looks them up. `schema` is in quotes.
    pub(super) fn look_up(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare(&render(DEFERRED_KEYS, &[("schema", schema)]))?;
        let plain = schema[1..schema.len() - 1].replace("\"\"", "\"");
        let found = statement.query_map([table, &plain], |row| {
            let pair: (String, String) = (row.get("child_column")?, row.get("parent_column")?);
            Ok((row.get::<_, i64>("id")?, row.get::<_, String>("parent")?, pair))
        })?;
        let found: Vec<_> = found.collect::<rusqlite::Result<_>>()?;
        let of_one = found.chunk_by(|a, b| a.0 == b.0);
        let key = |columns: &[(i64, String, (String, String))]| {
            // The affinity and the collation are those of the column that is referred to.
            let refers = columns.iter().enumerate();
            let refers: Vec<String> = refers
                .map(|(i, (_, _, (_, parent)))| format!("parent.{} = ?{}", identifier(parent), i + 1))
                .collect();
            let parent = format!("{schema}.{}", identifier(&columns[0].1));
            let pieces = [("parent", parent.as_str()), ("refers", &refers.join(" and "))];
            ForeignKey {
                sql: render(IS_REFERRED, &pieces),
                parent: columns[0].1.clone(),
                columns: columns.iter().map(|(_, _, (child, _))| child.clone()).collect(),
            }
        };
        Ok(Self { keys: of_one.map(key).collect() })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Why a row cannot be committed as it is. `value` gives the value of a column.
    pub(super) fn broken(
        &self,
        connection: &Connection,
        value: impl Fn(&str) -> Option<Stored>,
    ) -> rusqlite::Result<Option<Fault>> {
        for key in &self.keys {
            let values: Vec<Stored> = key.columns.iter().filter_map(|column| value(column)).collect();
            // One that is NULL refers to nothing.
            if values.len() < key.columns.len() || values.iter().any(Stored::is_null) {
                continue;
            }
            let mut statement = connection.prepare_cached(&key.sql)?;
            if !statement.query_row(params_from_iter(values), |row| row.get(0))? {
                return Ok(Some(Fault {
                    // What it refers to may come yet.
                    class: FaultClass::Retryable,
                    code: "SQLITE_CONSTRAINT_FOREIGNKEY".to_owned(),
                    column: Some(key.columns.join(", ")),
                    message: format!("FOREIGN KEY constraint failed: {} has no such row", key.parent),
                }));
            }
        }
        Ok(None)
    }
}
