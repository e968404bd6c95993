//! Taking changes back in a file of SQLite: row by row, each value bound with the storage class that its image names.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Row, params_from_iter};
use serde_json::Value as Json;

use super::deferred::Deferred;
use super::encode::{Stored, digest};
use super::look_up::{Table, look_up};
use super::place::{Marked, Place};
use crate::error::{Error, Result};
use crate::fault;
use crate::ledger::manifest::{Change, Image};
use crate::migrate::undo::{
    Asked, Reference, Refused, Rows, Undo, UndoBatch, UndoSession, Undone, column_is_gone, ranges, within,
};
use crate::migrate::{Fault, Images, Receipt, Trouble};
use crate::query::{identifier, render};
use crate::spec::What;
use crate::store::Purpose;
use crate::store::sqlite::connect;

const REFERENCES: &str = include_str!("../../../queries/rollback/sqlite/references.sql");
const ROWS: &str = include_str!("../../../queries/rollback/sqlite/rows.sql");
const REFERRED: &str = include_str!("../../../queries/rollback/sqlite/referred.sql");
const INSERT: &str = include_str!("../../../queries/rollback/sqlite/insert.sql");
const UPDATE: &str = include_str!("../../../queries/rollback/sqlite/update.sql");
const DELETE: &str = include_str!("../../../queries/rollback/sqlite/delete.sql");

/// A table of a SQLite file of which changes are taken back.
pub struct SqliteUndo<'a> {
    place: Place<'a>,
    /// Schema in quotes.
    schema: String,
    /// Schema and table in quotes.
    table: String,
    /// The table's own name.
    own_name: String,
    columns: Vec<String>,
    key: Vec<String>,
    /// The keys are equal to their index.
    alike: String,
    /// The keys are equal to their index, so that it is used, and byte by byte.
    same: String,
    references: Vec<Reference>,
    deferred: Deferred,
}

impl<'a> SqliteUndo<'a> {
    /// Looks the table up. `key` are the columns of the manifest's keys.
    ///
    /// # Errors
    /// A query, a view, a table or a column of the key that is not there (exit 2); a file that cannot be opened for writing.
    pub fn open(path: &'a str, what: &What, key: &[String]) -> Result<Self> {
        let help = "give the target dataset the `table` that it had when it was migrated to";
        let What::Table(name) = what else {
            return Err(Error::usage(format!("{path}: in a query nothing can be rolled back")).help(help));
        };
        let connection = connect(path, Purpose::Write)?;
        let table = look_up(&connection, path, name)?;
        let place = Place::new(path, name, &table.schema);
        if table.columns.is_empty() || table.is_view {
            return Err(Error::usage(format!("{path} {name} is no table")).help(help));
        }
        let columns = table.columns.iter().filter(|column| !column.generated);
        let columns: Vec<String> = columns.map(|column| column.name.clone()).collect();
        if let Some(gone) = key.iter().find(|name| !columns.contains(name)) {
            return Err(column_is_gone(&place.fingerprint, gone));
        }
        let [alike, same] = [false, true].map(|exactly| same(&table, key, exactly));
        let own_name = name.table().text.to_ascii_lowercase();
        let fail = |e| place.failed("cannot look the table up", e);
        let references = references(&connection, &table.schema, &own_name).map_err(fail)?;
        let deferred = Deferred::look_up(&connection, &table.schema, &own_name).map_err(fail)?;
        let (key, schema, table) = (key.to_vec(), table.schema, table.quoted);
        Ok(Self { place, schema, table, own_name, columns, key, alike, same, references, deferred })
    }

    fn filled(&self, template: &str, more: &[(&str, &str)]) -> String {
        let own = [("table", self.table.as_str()), ("same", &self.same)];
        render(template, &more.iter().copied().chain(own).collect::<Vec<_>>())
    }
}

fn same(table: &Table, key: &[String], exactly: bool) -> String {
    let names: Vec<&str> = key.iter().map(String::as_str).collect();
    let collations = table.unique_on(&names).unwrap_or_else(|| vec![None; key.len()]);
    let same = key.iter().zip(collations).enumerate().map(|(i, (name, collation))| {
        let equal = format!("old.{} = ?{}", identifier(name), i + 1);
        let collate = collation.map(|name| format!(" collate {}", identifier(&name))).unwrap_or_default();
        let exact = if exactly { format!(" and {equal} collate binary") } else { String::new() };
        format!("{equal}{collate}{exact}")
    });
    same.collect::<Vec<_>>().join(" and ")
}

fn references(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<Reference>> {
    let mut statement = connection.prepare(&render(REFERENCES, &[("schema", schema)]))?;
    let plain = &schema[1..schema.len() - 1].replace("\"\"", "\"");
    let found = statement.query_map([table, plain], |row| {
        let pair: [String; 2] = [row.get("child_column")?, row.get("parent_column")?];
        Ok((row.get::<_, String>("child")?, row.get::<_, i64>("id")?, pair))
    })?;
    let found: Vec<_> = found.collect::<rusqlite::Result<_>>()?;
    let of_one = found.chunk_by(|a, b| (&a.0, a.1) == (&b.0, b.1));
    let reference = |columns: &[(String, i64, [String; 2])]| Reference {
        child: columns[0].0.to_ascii_lowercase(),
        is_self: columns[0].0.eq_ignore_ascii_case(table),
        columns: columns.iter().map(|(_, _, pair)| pair.clone()).collect(),
    };
    Ok(of_one.map(reference).collect())
}

impl Undo for SqliteUndo<'_> {
    fn fingerprint(&self) -> &str {
        &self.place.fingerprint
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn own_name(&self) -> &str {
        &self.own_name
    }

    /// Without the letter of the storage class.
    fn text(&self, value: &Json) -> Option<String> {
        value.as_str().map(|text| text.split_once(':').map_or(text, |(_, value)| value).to_owned())
    }

    /// A file has one writer.
    fn concurrency(&self) -> usize {
        1
    }

    fn receipt(&self, run_id: &str, entity: &str, batch: u64) -> Result<Option<Receipt>> {
        self.place.receipt(run_id, entity, batch)
    }

    fn digest(&self, row: &Image, columns: &[String]) -> Result<String> {
        Ok(digest(columns.iter().map(|name| row.get(name).unwrap_or(&Json::Null))))
    }

    fn session(&self) -> Result<Box<dyn UndoSession + '_>, Trouble> {
        let connection = self.place.session()?;
        Ok(Box::new(Session { target: self, connection, has_savepoint: false, broken: HashMap::new() }))
    }

    fn forget(&self, run_id: &str, entity: &str) -> Result<()> {
        self.place.forget(run_id, entity)
    }
}

struct Session<'a> {
    target: &'a SqliteUndo<'a>,
    connection: Connection,
    has_savepoint: bool,
    /// Rows of the batch that cannot be committed, by the place of their change.
    broken: HashMap<usize, Fault>,
}

/// The values of some columns of a row.
fn values<'n>(row: &Image, columns: impl IntoIterator<Item = &'n str>) -> Result<Vec<Stored>> {
    let value = |name: &str| {
        let image = row.get(name).unwrap_or(&Json::Null);
        Stored::of(image).ok_or_else(|| {
            Error::failed(format!("column `{name}` of an old image is no value of SQLite: {image}"))
                .help("restore the manifest from a backup")
        })
    };
    columns.into_iter().map(value).collect()
}

impl Session<'_> {
    fn trouble(&self, what: &str, error: rusqlite::Error) -> Trouble {
        self.target.place.trouble(what, error)
    }

    fn plain(&self, sql: &str) -> Result<(), Trouble> {
        self.target.place.plain(&self.connection, sql)
    }

    fn key(&self, row: &Image) -> Result<Vec<Stored>> {
        values(row, self.target.key.iter().map(String::as_str))
    }

    /// The rows of a query over a key, each value as an image.
    fn rows(&self, sql: &str, key: &Image) -> Result<Vec<Vec<Json>>, Trouble> {
        let key = self.key(key)?;
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let width = statement.column_count();
            let images =
                |row: &Row<'_>| (0..width).map(|i| Ok(Stored::from(row.get_ref(i)?).image())).collect();
            statement.query_map(params_from_iter(key), images)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.trouble("cannot read what is there", e))
    }

    fn run(&self, sql: &str, sent: &[Stored]) -> Result<u64, Refused> {
        let run = || self.connection.prepare_cached(sql)?.execute(params_from_iter(sent));
        match run() {
            Ok(rows) => Ok(rows as u64),
            Err(error) => Err(Refused::Row(self.target.place.refused(&self.connection, error)?)),
        }
    }

    /// Takes a batch back but for rows that cannot be committed. Where some are found, nothing is done.
    fn try_undo(
        &mut self,
        batch: &UndoBatch<'_>,
        images: &mut Images<'_>,
    ) -> Result<Option<Undone>, Trouble> {
        let place = &self.target.place;
        let marked = Marked { place, run_id: batch.run_id, entity: batch.entity, batch: batch.number };
        self.has_savepoint = false;
        self.plain("begin immediate")?;
        if !marked.take(&self.connection, batch.hash)? {
            let undone = marked.read_own(&self.connection, batch.hash)?;
            self.plain("rollback")?;
            return Ok(Some(undone));
        }
        let known = self.broken.len();
        let (mut undone, mut changes): (Undone, Vec<Change>) = within(self, batch)?;
        if self.broken.len() > known {
            self.plain("rollback")?;
            return Ok(None);
        }
        if !changes.is_empty() {
            images(&mut changes)?;
        }
        fault::point("rollback.images-kept");
        undone.made = ranges(changes.iter().map(|change| change.seq));
        marked.write(&self.connection, &undone)?;
        fault::point("rollback.before-commit");
        self.plain("commit")?;
        fault::point("rollback.committed");
        Ok(Some(undone))
    }
}

impl UndoSession for Session<'_> {
    fn look(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble> {
        self.lock(keys)
    }

    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble> {
        Rows::referred(self, keys, asked)
    }

    fn undo(&mut self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble> {
        self.broken.clear();
        loop {
            match self.try_undo(batch, images) {
                Ok(None) => {}
                Ok(Some(undone)) => return Ok(undone),
                Err(trouble) => {
                    if !self.connection.is_autocommit() {
                        self.plain("rollback")?;
                    }
                    return Err(trouble);
                }
            }
        }
    }
}

impl Rows for Session<'_> {
    /// The transaction holds the file's one write lock from its beginning.
    fn lock(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble> {
        let target = self.target;
        let images: Vec<String> =
            target.columns.iter().map(|name| format!("old.{}", identifier(name))).collect();
        let sql = target.filled(ROWS, &[("images", &images.join(", ")), ("same", &target.alike)]);
        let row = |key: &&Image| {
            let found = self.rows(&sql, key)?.into_iter();
            let mut found: Vec<Image> =
                found.map(|values| target.columns.iter().cloned().zip(values).collect()).collect();
            // The index may take two texts for one, and a whole number and a double: the row of this very key is meant, and another one
            // only tells that it is there.
            let own =
                found.iter().position(|image| target.key.iter().all(|name| image.get(name) == key.get(name)));
            Ok((!found.is_empty()).then(|| found.swap_remove(own.unwrap_or(0))))
        };
        keys.iter().map(row).collect()
    }

    fn is_referred(&self) -> bool {
        !self.target.references.is_empty()
    }

    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble> {
        let target = self.target;
        let key_of =
            |row: &Image| target.key.iter().map(|name| row.get(name).cloned()).collect::<Option<Vec<Json>>>();
        // Of these rows themselves one may refer to another.
        let own: HashSet<Option<Vec<Json>>> = keys.iter().map(|key| key_of(key)).collect();
        let child_key =
            target.key.iter().map(|name| format!("child.{}", identifier(name))).collect::<Vec<_>>();
        let mut all = Vec::new();
        for reference in asked.of(&target.references) {
            let more = [
                ("own", if reference.is_self { child_key.join(", ") } else { "1".to_owned() }),
                ("child", format!("{}.{}", target.schema, identifier(&reference.child))),
                ("refers", reference.refers(identifier)),
            ];
            let sql = target.filled(REFERRED, &more.each_ref().map(|(name, piece)| (*name, piece.as_str())));
            for (place, key) in keys.iter().enumerate() {
                let rows = self.rows(&sql, key)?;
                if rows.into_iter().any(|row| !(reference.is_self && own.contains(&Some(row)))) {
                    all.push((place, reference.detail()));
                }
            }
        }
        Ok(all)
    }

    fn insert(&mut self, rows: &[&Image]) -> Result<u64, Refused> {
        let mut count = 0;
        for row in rows {
            let columns: Vec<&str> = self
                .target
                .columns
                .iter()
                .map(String::as_str)
                .filter(|name| row.contains_key(*name))
                .collect();
            let names: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
            let places: Vec<String> = (1..=columns.len()).map(|i| format!("?{i}")).collect();
            let more = [("columns", names.join(", ")), ("places", places.join(", "))];
            let sql =
                self.target.filled(INSERT, &more.each_ref().map(|(name, piece)| (*name, piece.as_str())));
            count += self.run(&sql, &values(row, columns).map_err(Trouble::from)?)?;
        }
        Ok(count)
    }

    fn update(&mut self, keys: &[&Image], rows: &[&Image], columns: &[&str]) -> Result<u64, Refused> {
        let first = self.target.key.len() + 1;
        let set = columns.iter().enumerate();
        let set: Vec<String> =
            set.map(|(i, name)| format!("{} = ?{}", identifier(name), first + i)).collect();
        let sql = self.target.filled(UPDATE, &[("set", &set.join(", "))]);
        let mut count = 0;
        for (key, row) in keys.iter().zip(rows) {
            let mut sent = self.key(key).map_err(Trouble::from)?;
            sent.extend(values(row, columns.iter().copied()).map_err(Trouble::from)?);
            count += self.run(&sql, &sent)?;
        }
        Ok(count)
    }

    fn delete(&mut self, keys: &[&Image]) -> Result<u64, Refused> {
        let sql = self.target.filled(DELETE, &[]);
        let mut count = 0;
        for key in keys {
            count += self.run(&sql, &self.key(key).map_err(Trouble::from)?)?;
        }
        Ok(count)
    }

    fn left(&self, place: usize) -> Option<Fault> {
        self.broken.get(&place).cloned()
    }

    fn has_written(&mut self, place: usize, row: &Image) -> Result<(), Trouble> {
        let target = self.target;
        let value = |column: &str| {
            let name = target.columns.iter().find(|name| name.eq_ignore_ascii_case(column))?;
            Stored::of(row.get(name)?)
        };
        let found = target.deferred.broken(&self.connection, value);
        let found = found.map_err(|e| self.trouble("cannot look for what the row refers to", e))?;
        self.broken.extend(found.map(|fault| (place, fault)));
        Ok(())
    }

    /// Each one is released by the next, which takes its place.
    fn savepoint(&mut self, back: bool) -> Result<(), Trouble> {
        if back {
            return self.plain("rollback to savepoint undo");
        }
        if std::mem::replace(&mut self.has_savepoint, true) {
            self.plain("release savepoint undo")?;
        }
        self.plain("savepoint undo")
    }

    fn digest(&self, row: &Image, columns: &[String]) -> Result<String> {
        self.target.digest(row, columns)
    }

    fn columns(&self) -> &[String] {
        &self.target.columns
    }
}
