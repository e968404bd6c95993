//! Taking changes back in PostgreSQL: rows go to the server as texts of each column, and the server casts them.

use std::sync::Mutex;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use super::marked::Marked;
use super::run;
use super::session::{BEGIN, image};
use crate::error::{Context, Error, Result};
use crate::fault;
use crate::ledger::manifest::{Change, Image};
use crate::migrate::undo::{
    Asked, Reference, Refused, Rows, Undo, UndoBatch, UndoSession, Undone, ranges, within,
};
use crate::migrate::{Images, Receipt, Trouble};
use crate::query::{identifier, render};
use crate::spec::{SqlOptions, What};
use crate::store::Purpose;
use crate::store::net::block_on;
use crate::store::postgres::Server;

const COLUMNS: &str = include_str!("../../../queries/rollback/postgres/columns.sql");
const REFERENCES: &str = include_str!("../../../queries/rollback/postgres/references.sql");
const OWN: &str = include_str!("../../../queries/rollback/postgres/own.sql");
const ROWS: &str = include_str!("../../../queries/rollback/postgres/rows.sql");
const REFERRED: &str = include_str!("../../../queries/rollback/postgres/referred.sql");
const INSERT: &str = include_str!("../../../queries/rollback/postgres/insert.sql");
const UPDATE: &str = include_str!("../../../queries/rollback/postgres/update.sql");
const DELETE: &str = include_str!("../../../queries/rollback/postgres/delete.sql");

/// A table of a PostgreSQL database of which changes are taken back.
pub struct PostgresUndo {
    server: Server,
    fingerprint: String,
    /// The table, quoted.
    table: String,
    /// The table as the server spells it.
    own_name: String,
    columns: Vec<String>,
    /// The type of each column.
    types: Vec<String>,
    /// The columns of the key, with their types.
    key: Vec<(String, String)>,
    references: Vec<Reference>,
    /// Whether other columns than the key's are unique.
    has_other_unique: bool,
    /// Held while a session begins: only one of them makes recon's own table.
    beginning: Mutex<()>,
}

impl PostgresUndo {
    /// Looks the table up. `key` are the columns of the manifest's keys.
    ///
    /// # Errors
    /// A table or a column of the key that is not there (exit 2); a server that cannot be reached.
    pub fn open(options: &SqlOptions, key: &[String]) -> Result<Self> {
        let server = Server::new(&options.url, Purpose::Write)?;
        let What::Table(name) = &options.what else {
            return Err(Error::usage(format!("{}: in a query nothing can be rolled back", server.shown))
                .help("give the target dataset the `table` that it had when it was migrated to"));
        };
        let table = name.to_string();
        let fingerprint = format!("postgres {} {name}", server.shown);
        let Looked { columns: found, references, own_name, has_other_unique } =
            block_on(look_up(&server, &table))?;
        let of = |name: &String| {
            let column = found.iter().find(|(column, _)| column == name);
            column.cloned().ok_or_else(|| crate::migrate::undo::column_is_gone(&fingerprint, name))
        };
        let key = key.iter().map(of).collect::<Result<Vec<_>>>()?;
        let (columns, types) = found.into_iter().unzip();
        Ok(Self {
            server,
            fingerprint,
            table,
            own_name,
            columns,
            types,
            key,
            references,
            has_other_unique,
            beginning: Mutex::new(()),
        })
    }

    fn type_of(&self, column: &str) -> &str {
        let at = self.columns.iter().position(|name| name == column);
        at.map_or("text", |at| self.types[at].as_str())
    }

    /// What all statements over keys are made of.
    fn keyed(&self, template: &str, first: usize, more: &[(&str, &str)]) -> String {
        let texts: Vec<String> = (0..self.key.len()).map(|i| format!("${}::text[]", first + i)).collect();
        let keys: Vec<String> = (0..self.key.len()).map(|i| format!("k{i}")).collect();
        let same = self.key.iter().enumerate();
        let same: Vec<String> =
            same.map(|(i, (name, ty))| format!("old.{} = new.k{i}::{ty}", identifier(name))).collect();
        let (texts, keys, same) = (texts.join(", "), keys.join(", "), same.join(" and "));
        let own = [("table", self.table.as_str()), ("texts", &texts), ("keys", &keys), ("same", &same)];
        // What a caller says comes first.
        render(template, &more.iter().copied().chain(own).collect::<Vec<_>>())
    }

    fn rows_sql(&self, lock: &str) -> String {
        let images: Vec<String> =
            self.columns.iter().map(|name| format!("old.{}::text", identifier(name))).collect();
        self.keyed(ROWS, 2, &[("images", &images.join(", ")), ("lock", lock)])
    }
}

/// What the server says of a table.
struct Looked {
    /// With their types.
    columns: Vec<(String, String)>,
    references: Vec<Reference>,
    own_name: String,
    has_other_unique: bool,
}

async fn look_up(server: &Server, table: &str) -> Result<Looked> {
    let fail = |e| server.failed(&format!("cannot look {table} up"), e);
    let mut connection = server.connect().await?;
    let rows = sqlx::query(COLUMNS).bind(table).fetch_all(&mut connection).await.map_err(fail)?;
    let column = |row: &PgRow| Ok((row.try_get("name")?, row.try_get("type")?));
    let columns = rows.iter().map(column).collect::<sqlx::Result<_>>().map_err(fail)?;
    let rows = sqlx::query(REFERENCES).bind(table).fetch_all(&mut connection).await.map_err(fail)?;
    let reference = |row: &PgRow| {
        let (children, parents): (Vec<String>, Vec<String>) =
            (row.try_get("child_columns")?, row.try_get("parent_columns")?);
        let columns = children.into_iter().zip(parents).map(|(child, parent)| [child, parent]).collect();
        Ok(Reference { child: row.try_get("child")?, is_self: row.try_get("is_self")?, columns })
    };
    let references = rows.iter().map(reference).collect::<sqlx::Result<_>>().map_err(fail)?;
    let own = sqlx::query(OWN).bind(table).fetch_one(&mut connection).await.map_err(fail)?;
    let unique: i64 = own.try_get("unique_indexes").map_err(fail)?;
    let own_name = own.try_get("name").map_err(fail)?;
    Ok(Looked { columns, references, own_name, has_other_unique: unique > 1 })
}

impl Undo for PostgresUndo {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn own_name(&self) -> &str {
        &self.own_name
    }

    fn concurrency(&self) -> usize {
        // What rows must not have in common, or refer to among themselves, goes back only in its order.
        let is_ordered = self.has_other_unique || self.references.iter().any(|reference| reference.is_self);
        if is_ordered { 1 } else { 2 }
    }

    fn receipt(&self, run_id: &str, entity: &str, batch: u64) -> Result<Option<Receipt>> {
        block_on(async {
            let mut connection = self.server.connect().await?;
            let marked = Marked { server: &self.server, run_id, entity, batch };
            if !Marked::exist(&self.server, &mut connection).await.map_err(Trouble::error)? {
                return Ok(None);
            }
            let found = marked.read(&mut connection).await.map_err(Trouble::error)?;
            Ok(found.and_then(|(_, receipt)| serde_json::from_str(&receipt?).ok()))
        })
    }

    fn digest(&self, row: &Image, columns: &[String]) -> Result<String> {
        Ok(digest(columns.iter().map(|name| row.get(name).and_then(Json::as_str))))
    }

    fn session(&self) -> Result<Box<dyn UndoSession + '_>, Trouble> {
        let connection = block_on(self.server.connect()).map_err(Trouble::Lost)?;
        Ok(Box::new(Session { target: self, connection, has_markers: false }))
    }

    fn forget(&self, run_id: &str, entity: &str) -> Result<()> {
        block_on(super::forget(&self.server, run_id, entity))
    }
}

/// Hex SHA-256 of a row's texts as PostgreSQL writes a record of them
/// (<https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX>), which is what the statements that write ask the server for.
pub(super) fn digest<'t>(texts: impl Iterator<Item = Option<&'t str>>) -> String {
    let mut out = String::from("(");
    for (i, text) in texts.enumerate() {
        if i > 0 {
            out.push(',');
        }
        let Some(text) = text else { continue };
        let is_special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',' | ' ' | '\t'..='\r');
        if !text.is_empty() && !text.contains(is_special) {
            out.push_str(text);
            continue;
        }
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push(')');
    Sha256::digest(out).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Session<'a> {
    target: &'a PostgresUndo,
    connection: PgConnection,
    /// Whether recon's own table is known to be there.
    has_markers: bool,
}

/// The texts of a column of some rows.
fn texts<'i>(rows: &[&'i Image], column: &str) -> Vec<Option<&'i str>> {
    rows.iter().map(|row| row.get(column).and_then(Json::as_str)).collect()
}

impl Session<'_> {
    fn trouble(&self, what: &str, error: sqlx::Error) -> Trouble {
        super::session::trouble(&self.target.server, what, error)
    }

    fn refused(&self, error: sqlx::Error) -> Refused {
        match super::session::refused(&self.target.server, error) {
            super::session::Refused::Record { fault, .. } => Refused::Row(fault),
            super::session::Refused::Other(trouble) => Refused::Other(trouble),
        }
    }

    fn plain(&mut self, sql: &str) -> Result<u64, Trouble> {
        block_on(run(&mut self.connection, sql)).map_err(|e| self.trouble("", e))
    }

    /// A statement with places and keys bound.
    fn keyed<'q>(&self, sql: &'q str, keys: &[&'q Image]) -> Query<'q, Postgres, PgArguments> {
        let places: Vec<i32> = (0..keys.len() as i32).collect();
        let query = sqlx::query(AssertSqlSafe(sql)).bind(places);
        self.target.key.iter().fold(query, |query, (name, _)| query.bind(texts(keys, name)))
    }

    fn read(&mut self, keys: &[&Image], lock: &str) -> Result<Vec<Option<Image>>, Trouble> {
        let sql = self.target.rows_sql(lock);
        let rows = block_on(self.keyed(&sql, keys).fetch_all(&mut self.connection));
        let rows = rows.map_err(|e| self.trouble("cannot read what is there", e))?;
        let mut all = vec![None; keys.len()];
        for row in rows {
            let read = || Ok((row.try_get::<i32, _>(0)? as usize, image(&row, 1, &self.target.columns)?));
            let (place, image) = read().map_err(|e: sqlx::Error| self.trouble("", e))?;
            // An index may take two texts for one: the row of this very key is meant, and another one only tells that it is there.
            if all[place].is_none()
                || self.target.key.iter().all(|(name, _)| image.get(name) == keys[place].get(name))
            {
                all[place] = Some(image);
            }
        }
        Ok(all)
    }

    fn try_undo(&mut self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble> {
        let server = &self.target.server;
        let marked = Marked { server, run_id: batch.run_id, entity: batch.entity, batch: batch.number };
        self.plain("begin")?;
        self.plain(BEGIN)?;
        if !block_on(marked.take(&mut self.connection, batch.hash))? {
            let undone = block_on(marked.read_own(&mut self.connection, batch.hash))?;
            self.plain("rollback")?;
            return Ok(undone);
        }
        let (mut undone, mut changes): (Undone, Vec<Change>) = within(self, batch)?;
        if !changes.is_empty() {
            images(&mut changes)?;
        }
        fault::point("rollback.images-kept");
        undone.made = ranges(changes.iter().map(|change| change.seq));
        let receipt = serde_json::to_string(&undone).or_failed(|| "cannot write a receipt".to_owned())?;
        block_on(marked.write(&mut self.connection, receipt))?;
        fault::point("rollback.before-commit");
        self.plain("commit")?;
        fault::point("rollback.committed");
        Ok(undone)
    }
}

impl UndoSession for Session<'_> {
    fn look(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble> {
        self.read(keys, "")
    }

    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble> {
        Rows::referred(self, keys, asked)
    }

    fn undo(&mut self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble> {
        if !self.has_markers {
            let _alone = self.target.beginning.lock().expect("nobody panics while a session begins");
            block_on(Marked::make(&self.target.server, &mut self.connection))?;
            self.has_markers = true;
        }
        let undone = self.try_undo(batch, images);
        if matches!(undone, Err(Trouble::Busy(_))) {
            self.plain("rollback")?;
        }
        undone
    }
}

impl Rows for Session<'_> {
    fn lock(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble> {
        self.read(keys, " for update of old")
    }

    fn is_referred(&self) -> bool {
        !self.target.references.is_empty()
    }

    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble> {
        let mut all = Vec::new();
        for reference in asked.of(&self.target.references) {
            let refers = reference.refers(identifier);
            // Of these rows themselves one may refer to another.
            let own: Vec<String> = self.target.key.iter().map(|(name, _)| identifier(name)).collect();
            let same = own.iter().zip(&self.target.key).enumerate();
            let same: Vec<String> = same
                .map(|(i, (name, (_, ty)))| format!("child.{name} is not distinct from own.k{i}::{ty}"))
                .collect();
            let texts: Vec<String> = (0..own.len()).map(|i| format!("${}::text[]", i + 2)).collect();
            let names: Vec<String> = (0..own.len()).map(|i| format!("k{i}")).collect();
            let other = format!(
                " and not exists (select 1 from unnest({}) as own ({}) where {})",
                texts.join(", "),
                names.join(", "),
                same.join(" and ")
            );
            let other = if reference.is_self { other } else { String::new() };
            let more = [("child", reference.child.as_str()), ("refers", refers.as_str()), ("other", &other)];
            let sql = self.target.keyed(REFERRED, 2, &more);
            let rows = block_on(self.keyed(&sql, keys).fetch_all(&mut self.connection));
            for row in
                rows.map_err(|e| self.trouble("cannot look for rows that refer to what would go", e))?
            {
                let place: i32 = row.try_get(0).map_err(|e| self.trouble("", e))?;
                all.push((place as usize, reference.detail()));
            }
        }
        Ok(all)
    }

    fn insert(&mut self, rows: &[&Image]) -> Result<u64, Refused> {
        let target = self.target;
        let columns: Vec<&String> =
            target.columns.iter().filter(|name| rows[0].contains_key(*name)).collect();
        let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
        let texts_of: Vec<String> = (1..=columns.len()).map(|i| format!("${i}::text[]")).collect();
        let values = names.iter().zip(&columns);
        let values: Vec<String> =
            values.map(|(n, column)| format!("new.{n}::{}", target.type_of(column))).collect();
        let quoted: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
        let pieces = [
            ("table", target.table.as_str()),
            ("columns", &quoted.join(", ")),
            ("values", &values.join(", ")),
            ("texts", &texts_of.join(", ")),
            ("names", &names.join(", ")),
        ];
        let sql = render(INSERT, &pieces);
        let query =
            columns.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, name| query.bind(texts(rows, name)));
        let done = block_on(query.execute(&mut self.connection));
        done.map(|done| done.rows_affected()).map_err(|e| self.refused(e))
    }

    fn update(&mut self, keys: &[&Image], rows: &[&Image], columns: &[&str]) -> Result<u64, Refused> {
        let target = self.target;
        let first = 2 + target.key.len();
        let keys_of: Vec<String> = (2..first).map(|i| format!("${i}::text[]")).collect();
        let texts_of: Vec<String> = (0..columns.len()).map(|i| format!("${}::text[]", first + i)).collect();
        let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
        let set = columns.iter().zip(&names);
        let set: Vec<String> = set
            .map(|(column, n)| format!("{} = new.{n}::{}", identifier(column), target.type_of(column)))
            .collect();
        let texts_all = [keys_of, texts_of].concat().join(", ");
        let more = [("set", set.join(", ")), ("names", names.join(", ")), ("texts", texts_all)];
        let more: Vec<(&str, &str)> = more.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        let sql = target.keyed(UPDATE, 2, &more);
        let query = columns.iter().fold(self.keyed(&sql, keys), |query, name| query.bind(texts(rows, name)));
        let done = block_on(query.execute(&mut self.connection));
        done.map(|done| done.rows_affected()).map_err(|e| self.refused(e))
    }

    fn delete(&mut self, keys: &[&Image]) -> Result<u64, Refused> {
        let sql = self.target.keyed(DELETE, 2, &[]);
        let done = block_on(self.keyed(&sql, keys).execute(&mut self.connection));
        done.map(|done| done.rows_affected()).map_err(|e| self.refused(e))
    }

    fn savepoint(&mut self, back: bool) -> Result<(), Trouble> {
        let sql = if back { "rollback to savepoint undo" } else { "savepoint undo" };
        self.plain(sql).map(|_| ())
    }

    fn digest(&self, row: &Image, columns: &[String]) -> Result<String> {
        self.target.digest(row, columns)
    }

    fn columns(&self) -> &[String] {
        &self.target.columns
    }
}
