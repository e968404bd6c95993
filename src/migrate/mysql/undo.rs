//! Taking changes back in MySQL and MariaDB: rows go into a temporary table whose columns are declared as the table's, and from there
//! to where they were.

use std::collections::{BTreeSet, HashSet};

use mysql::prelude::Queryable;
use mysql::{Conn, Value as Raw};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::columns::{Found, Kind, Table};
use super::encode::Literal;
use super::load::{STATEMENT_BYTES, largest, too_large};
use super::place::{Connected, Marked, Place};
use super::refused;
use super::session::{image as images_of, place as place_of};
use super::statements::{declared, image, same_exactly};
use crate::error::{Error, Result};
use crate::fault;
use crate::ledger::manifest::{Change, Image};
use crate::migrate::undo::{
    Asked, Reference, Refused, Rows, Undo, UndoBatch, UndoSession, Undone, column_is_gone, ranges, within,
};
use crate::migrate::{Images, Receipt, Trouble};
use crate::query::render;
use crate::spec::{SqlOptions, What};
use crate::store::Purpose;
use crate::store::mysql::{Server, quoted};
use crate::value::unhex;

const CREATE: &str = include_str!("../../../queries/migrate/mysql/create_batch.sql");
const LOAD: &str = include_str!("../../../queries/migrate/mysql/load.sql");
const EMPTY: &str = include_str!("../../../queries/rollback/mysql/empty.sql");
const SEES_ALL: &str = include_str!("../../../queries/rollback/mysql/sees_all.sql");
const REFERENCES: &str = include_str!("../../../queries/rollback/mysql/references.sql");
const ROWS: &str = include_str!("../../../queries/rollback/mysql/rows.sql");
const REFERRED: &str = include_str!("../../../queries/rollback/mysql/referred.sql");
const INSERT: &str = include_str!("../../../queries/rollback/mysql/insert.sql");
const UPDATE: &str = include_str!("../../../queries/rollback/mysql/update.sql");
const DELETE: &str = include_str!("../../../queries/rollback/mysql/delete.sql");

/// A date that was there was taken once, as 31 February may have been.
const MODE: &str = "set session sql_mode = concat(@@sql_mode, ',ALLOW_INVALID_DATES')";

/// A table of a MySQL or MariaDB database of which changes are taken back.
pub struct MysqlUndo {
    place: Place,
    /// The table and the temporary one, with their database, in quotes.
    tables: [String; 2],
    /// The columns that the table does not make by itself.
    found: Vec<Found>,
    columns: Vec<String>,
    key: Vec<String>,
    references: Vec<Reference>,
    /// Whether other columns than the key's are unique.
    has_other_unique: bool,
}

impl MysqlUndo {
    /// Looks the table up. `key` are the columns of the manifest's keys.
    ///
    /// # Errors
    /// A query, a view, a table or a column of the key that is not there (exit 2); a server that cannot be reached.
    pub fn open(options: &SqlOptions, key: &[String]) -> Result<Self> {
        let help = "give the target dataset the `table` that it had when it was migrated to";
        let server = Server::new(&options.url, Purpose::Write)?;
        let What::Table(name) = &options.what else {
            let what = format!("{}: in a query nothing can be rolled back", server.shown);
            return Err(Error::usage(what).help(help));
        };
        let database = name.parts.iter().rev().nth(1).map(|part| part.text.as_str());
        let fail = |e| server.failed(&format!("cannot look {name} up"), e);
        let mut connection = server.connect()?;
        let table = Table::look_up(&mut connection, database, &name.table().text).map_err(fail)?;
        if table.columns.is_empty() || table.is_view {
            return Err(Error::usage(format!("{} {name} is no table", server.shown)).help(help));
        }
        let references = references(&mut connection, &table.database, &name.table().text).map_err(fail)?;
        let sees_all: Option<bool> = connection.query_first(SEES_ALL).map_err(fail)?;
        if sees_all != Some(true) {
            let user: Option<String> = connection.query_first("select current_user()").map_err(fail)?;
            let user = user.unwrap_or_default();
            return Err(Error::usage(format!(
                "{} {name}: {user} sees only foreign keys of tables that it may use, and rows of others could go with those that are removed",
                server.shown
            ))
            .help(format!(
                "`grant references on *.* to {user}` lets it see all foreign keys, and nothing else; it can be revoked afterwards"
            )));
        }
        let (place, has_other_unique) = (Place::new(server, name, &table.database), table.has_other_unique());
        let found: Vec<Found> = table.columns.into_iter().filter(|found| !found.generated).collect();
        let columns: Vec<String> = found.iter().map(|found| found.name.clone()).collect();
        if let Some(gone) = key.iter().find(|name| !columns.contains(name)) {
            return Err(column_is_gone(&place.fingerprint, gone));
        }
        let tables = [name.table().text.as_str(), "recon_batch"]
            .map(|name| format!("{}.{}", quoted(&table.database), quoted(name)));
        Ok(Self { place, tables, found, columns, key: key.to_vec(), references, has_other_unique })
    }

    fn column(&self, name: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.name == name)
    }

    fn filled(&self, template: &str, more: &[(&str, &str)]) -> String {
        let same: Vec<String> =
            self.key.iter().map(|name| format!("old.{0} = new.{0}", quoted(name))).collect();
        let exact = self.key.iter().filter_map(|name| Some(same_exactly(name, &self.column(name)?.limits)));
        let (same, exact) = (same.join(" and "), exact.collect::<Vec<_>>().join(" and "));
        let own = [
            ("table", self.tables[0].as_str()),
            ("batch", &self.tables[1]),
            ("same", &same),
            ("exact", &exact),
        ];
        render(template, &more.iter().copied().chain(own).collect::<Vec<_>>())
    }

    /// How columns are selected for an image, and which of them as bytes.
    fn images<'n>(
        &self,
        side: &str,
        names: impl IntoIterator<Item = &'n String>,
    ) -> (Vec<String>, Vec<(String, bool)>) {
        let found = names.into_iter().filter_map(|name| self.column(name));
        let each = found.map(|found| {
            let (sql, is_bytes) = image(side, &found.name, &found.limits);
            (sql, (found.name.clone(), is_bytes))
        });
        each.unzip()
    }

    /// The value of an image as SQL.
    fn literal(&self, name: &str, value: Option<&Json>) -> Result<Literal> {
        let (Some(Json::String(text)), Some(found)) = (value, self.column(name)) else {
            return Ok(Literal::Null);
        };
        if image("old", name, &found.limits).1 {
            let bytes = unhex(text).ok_or_else(|| {
                Error::failed(format!("column `{name}` of an old image is not in hex digits: {text}"))
                    .help("restore the manifest from a backup, or give the column the type that it had")
            });
            return bytes.map(Literal::Bytes);
        }
        let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e'));
        Ok(match found.limits.kind {
            Kind::Bit(_) if is_plain => Literal::Plain(text.clone()),
            // Else it would be read as a decimal.
            Kind::Float | Kind::Double if is_plain && !text.contains('e') => {
                Literal::Plain(format!("{text}e0"))
            }
            Kind::Float | Kind::Double if is_plain => Literal::Plain(text.clone()),
            _ => Literal::Text(text.clone()),
        })
    }
}

fn references(connection: &mut Conn, database: &str, table: &str) -> mysql::Result<Vec<Reference>> {
    type Row = (String, String, String, String, String);
    let found: Vec<Row> = connection.exec(REFERENCES, (database, table))?;
    let of_one = found.chunk_by(|a, b| (&a.0, &a.1, &a.2) == (&b.0, &b.1, &b.2));
    let reference = |rows: &[Row]| Reference {
        child: format!("{}.{}", quoted(&rows[0].0), quoted(&rows[0].1)),
        is_self: (rows[0].0.as_str(), rows[0].1.as_str()) == (database, table),
        columns: rows.iter().map(|row| [row.3.clone(), row.4.clone()]).collect(),
    };
    Ok(of_one.map(reference).collect())
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Undo for MysqlUndo {
    fn fingerprint(&self) -> &str {
        &self.place.fingerprint
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn own_name(&self) -> &str {
        &self.tables[0]
    }

    fn concurrency(&self) -> usize {
        // What rows must not have in common, or refer to among themselves, goes back only in its order.
        let is_ordered = self.has_other_unique || self.references.iter().any(|reference| reference.is_self);
        if is_ordered { 1 } else { 2 }
    }

    fn receipt(&self, run_id: &str, entity: &str, batch: u64) -> Result<Option<Receipt>> {
        self.place.receipt(run_id, entity, batch)
    }

    /// What the statements that write ask the server for: the digest of the digests of each value, as its image's text or bytes.
    fn digest(&self, row: &Image, columns: &[String]) -> Result<String> {
        let of = |name: &String| match self.literal(name, row.get(name))? {
            Literal::Bytes(bytes) => Ok(sha256(bytes)),
            _ => Ok(row.get(name).and_then(Json::as_str).map_or_else(|| "-".to_owned(), sha256)),
        };
        Ok(sha256(columns.iter().map(of).collect::<Result<Vec<_>>>()?.join(",")))
    }

    fn session(&self) -> Result<Box<dyn UndoSession + '_>, Trouble> {
        let Connected { connection, packet } = self.place.session()?;
        let mut session = Session { target: self, connection, packet };
        session.plain(MODE)?;
        let columns: Vec<String> =
            self.found.iter().map(|found| declared(quoted(&found.name), found)).collect();
        let create = self.filled(CREATE, &[("columns", &columns.join(",\n  "))]);
        let made = session.connection.query_drop(create);
        made.map_err(|e| self.place.trouble("cannot make a temporary table", e))?;
        Ok(Box::new(session))
    }

    fn forget(&self, run_id: &str, entity: &str) -> Result<()> {
        self.place.forget(run_id, entity)
    }
}

struct Session<'a> {
    target: &'a MysqlUndo,
    connection: Conn,
    /// The most bytes of a statement that the server takes.
    packet: usize,
}

impl Session<'_> {
    fn plain(&mut self, sql: &str) -> Result<(), Trouble> {
        self.connection.query_drop(sql).map_err(|e| self.target.place.trouble("cannot write", e))
    }

    /// Runs a statement; how many rows it changed.
    fn run(&mut self, sql: &str) -> Result<u64, Refused> {
        match self.connection.query_drop(sql) {
            Ok(()) => Ok(self.connection.affected_rows()),
            Err(error) => Err(match self.target.place.refused(error) {
                refused::Refused::Record { fault, .. } => Refused::Row(fault),
                refused::Refused::Other(trouble) => Refused::Other(trouble),
            }),
        }
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Raw>>, Trouble> {
        let rows: Result<Vec<mysql::Row>, _> = self.connection.query(sql);
        let rows = rows.map_err(|e| self.target.place.trouble("cannot read what is there", e))?;
        Ok(rows.into_iter().map(mysql::Row::unwrap).collect())
    }

    /// Puts some columns of rows into the temporary table, and nothing else.
    fn load(&mut self, rows: &[&Image], columns: &[&str]) -> Result<(), Refused> {
        let target = self.target;
        self.plain(&target.filled(EMPTY, &[]))?;
        let quoted: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let sql = target.filled(LOAD, &[("columns", &quoted.join(", ")), ("rows", "{{rows}}")]);
        // Not before the rows: a value may look like their place.
        let (head, tail) = sql.split_once("{{rows}}").expect("rows have a place");
        let largest = largest(self.packet);
        let mut lines = String::new();
        for (place, row) in rows.iter().enumerate() {
            let mut line = format!("({place}");
            for name in columns {
                line.push(',');
                target.literal(name, row.get(*name)).map_err(Trouble::from)?.write(&mut line);
            }
            line.push(')');
            if line.len() > largest {
                return Err(Refused::Row(too_large(line.len(), self.packet)));
            }
            if !lines.is_empty() && lines.len() + line.len() > largest.min(STATEMENT_BYTES) {
                self.run(&[head, &std::mem::take(&mut lines), tail].concat())?;
            }
            if !lines.is_empty() {
                lines.push(',');
            }
            lines.push_str(&line);
        }
        if !lines.is_empty() {
            self.run(&[head, &lines, tail].concat())?;
        }
        Ok(())
    }

    fn load_keys(&mut self, keys: &[&Image]) -> Result<(), Refused> {
        let names: Vec<&str> = self.target.key.iter().map(String::as_str).collect();
        self.load(keys, &names)
    }

    fn read(&mut self, keys: &[&Image], lock: &str) -> Result<Vec<Option<Image>>, Trouble> {
        let target = self.target;
        self.load_keys(keys).map_err(|refused| unfit_key(target, refused))?;
        let (images, columns) = target.images("old", &target.columns);
        let sql = target.filled(ROWS, &[("images", &images.join(", ")), ("lock", lock)]);
        let mut all = vec![None; keys.len()];
        for values in self.rows(&sql)? {
            let (place, image) = (place_of(&values), images_of(&values[1..], &columns));
            // An index may take two texts for one: the row of this very key is meant, and another one only tells that it is there.
            if all[place].is_none() || target.key.iter().all(|name| image.get(name) == keys[place].get(name))
            {
                all[place] = Some(image);
            }
        }
        Ok(all)
    }

    fn try_undo(&mut self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble> {
        let place = &self.target.place;
        let marked = Marked { place, run_id: batch.run_id, entity: batch.entity, batch: batch.number };
        self.plain("start transaction")?;
        if !marked.take(&mut self.connection, batch.hash)? {
            let undone = marked.read_own(&mut self.connection, batch.hash)?;
            self.plain("rollback")?;
            return Ok(undone);
        }
        let (mut undone, mut changes): (Undone, Vec<Change>) = within(self, batch)?;
        if !changes.is_empty() {
            images(&mut changes)?;
        }
        fault::point("rollback.images-kept");
        undone.made = ranges(changes.iter().map(|change| change.seq));
        marked.write(&mut self.connection, &undone)?;
        fault::point("rollback.before-commit");
        self.plain("commit")?;
        fault::point("rollback.committed");
        Ok(undone)
    }
}

/// A key that was there once and that the table does not take any more.
fn unfit_key(target: &MysqlUndo, refused: Refused) -> Trouble {
    match refused {
        Refused::Other(trouble) => trouble,
        Refused::Row(fault) => Trouble::Fatal(
            Error::failed(format!("{}: a key of the manifest: {}", target.place.fingerprint, fault.message))
                .help("give the columns of the key the types that they had when the run wrote them"),
        ),
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
        let undone = self.try_undo(batch, images);
        if matches!(undone, Err(Trouble::Busy(_))) {
            self.plain("rollback")?;
        }
        undone
    }
}

impl Rows for Session<'_> {
    fn lock(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble> {
        self.read(keys, " for update")
    }

    fn is_referred(&self) -> bool {
        !self.target.references.is_empty()
    }

    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble> {
        let target = self.target;
        if asked.of(&target.references).next().is_none() {
            return Ok(Vec::new());
        }
        self.load_keys(keys).map_err(|refused| unfit_key(target, refused))?;
        let key_of = |row: &Image| -> Vec<Json> {
            target.key.iter().map(|name| row.get(name).cloned().unwrap_or_default()).collect()
        };
        // Of these rows themselves one may refer to another.
        let own: HashSet<Vec<Json>> = keys.iter().map(|key| key_of(key)).collect();
        let (images, columns) = target.images("child", &target.key);
        let mut all = Vec::new();
        for reference in asked.of(&target.references) {
            let refers = reference.refers(quoted);
            let wanted = if reference.is_self { format!(", {}", images.join(", ")) } else { String::new() };
            let more = [("own", wanted.as_str()), ("child", &reference.child), ("refers", &refers)];
            let rows = self.rows(&target.filled(REFERRED, &more))?;
            let others = rows
                .iter()
                .filter(|row| !(reference.is_self && own.contains(&key_of(&images_of(&row[1..], &columns)))));
            let places: BTreeSet<usize> = others.map(|row| place_of(row)).collect();
            all.extend(places.into_iter().map(|place| (place, reference.detail())));
        }
        Ok(all)
    }

    fn insert(&mut self, rows: &[&Image]) -> Result<u64, Refused> {
        let target = self.target;
        let columns: Vec<&str> =
            target.columns.iter().map(String::as_str).filter(|name| rows[0].contains_key(*name)).collect();
        self.load(rows, &columns)?;
        let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let values = format!("new.{}", names.join(", new."));
        self.run(&target.filled(INSERT, &[("columns", &names.join(", ")), ("values", &values)]))
    }

    fn update(&mut self, keys: &[&Image], rows: &[&Image], columns: &[&str]) -> Result<u64, Refused> {
        let target = self.target;
        let names: Vec<&str> = target.key.iter().map(String::as_str).collect();
        let others = columns.iter().copied().filter(|name| !names.contains(name));
        let all: Vec<&str> = names.iter().copied().chain(others).collect();
        self.load(rows, &all)?;
        let written = columns.iter().map(|name| format!("old.{0} = new.{0}", quoted(name)));
        // Such a column may take the time of day by itself where nobody says what it is to have.
        let is_time = |found: &&Found| matches!(found.limits.kind, Kind::Timestamp | Kind::DateTime);
        let kept =
            target.found.iter().filter(is_time).filter(|found| !columns.contains(&found.name.as_str()));
        let kept = kept.map(|found| format!("old.{0} = old.{0}", quoted(&found.name)));
        let set: Vec<String> = written.chain(kept).collect();
        self.run(&target.filled(UPDATE, &[("set", &set.join(", "))]))?;
        // They are locked; the server counts only those that differ.
        Ok(keys.len() as u64)
    }

    fn delete(&mut self, keys: &[&Image]) -> Result<u64, Refused> {
        self.load_keys(keys)?;
        self.run(&self.target.filled(DELETE, &[]))
    }

    fn savepoint(&mut self, back: bool) -> Result<(), Trouble> {
        self.plain(if back { "rollback to savepoint part" } else { "savepoint part" })
    }

    fn digest(&self, row: &Image, columns: &[String]) -> Result<String> {
        self.target.digest(row, columns)
    }

    fn columns(&self) -> &[String] {
        &self.target.columns
    }
}
