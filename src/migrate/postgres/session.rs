//! A session: the transaction of a batch, and how a record that does not go in is found.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value as Json;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow};
use sqlx::{AssertSqlSafe, Row};
use tokio::time::timeout;

use super::encode::line;
use super::marked::Marked;
use super::{PostgresTarget, run};
use crate::error::{Context, Error};
use crate::fault;
use crate::ledger::manifest::{Change, Image, Op};
use crate::migrate::undo::ranges;
use crate::migrate::{
    Batch, Fault, FaultClass, Images, Receipt, SAME_TO_TARGET, Session, Trouble, barred, not_there,
};
use crate::store::net::block_on;
use crate::store::postgres::Server;

pub(super) const BEGIN: &str = include_str!("../../../queries/migrate/postgres/begin.sql");
const FOUND: &str = include_str!("../../../queries/migrate/postgres/found.sql");

const REMOVE: &str = include_str!("../../../queries/migrate/postgres/remove.sql");

/// Bytes of a message of COPY.
const CHUNK_BYTES: usize = 1 << 20;
/// A batch that takes longer than this is taken for lost.
const BATCH_MAX: Duration = Duration::from_secs(600);

/// A worker's connection.
pub(super) struct PostgresSession<'a> {
    target: &'a PostgresTarget<'a>,
    connection: PgConnection,
    /// Whether nothing of the next batch is expected to be there: nothing of the last one was.
    expects_new: bool,
}

/// Why a statement did not run.
pub(super) enum Refused {
    /// It is the fault of a record: of this line, where it was copied.
    Record { fault: Fault, line: Option<usize> },
    /// It is not.
    Other(Trouble),
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Other(trouble)
    }
}

impl<'a> PostgresSession<'a> {
    pub(super) async fn open(target: &'a PostgresTarget<'a>) -> Result<Self, Trouble> {
        let connection = target.server.connect().await.map_err(Trouble::Lost)?;
        let mut session = Self { target, connection, expects_new: target.index_is_alike };
        Marked::make(&target.server, &mut session.connection).await?;
        session.plain(&target.statements.create, "cannot make a temporary table").await?;
        Ok(session)
    }

    async fn plain(&mut self, sql: &str, what: &str) -> Result<u64, Trouble> {
        run(&mut self.connection, sql).await.map_err(|e| self.trouble(what, e))
    }

    fn trouble(&self, what: &str, error: sqlx::Error) -> Trouble {
        trouble(&self.target.server, what, error)
    }

    fn refused(&self, error: sqlx::Error) -> Refused {
        refused(&self.target.server, error)
    }

    async fn try_apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        self.plain("begin", "").await?;
        self.plain(BEGIN, "").await?;
        let taken = marked(self.target, batch).take(&mut self.connection, batch.hash).await?;
        if !taken {
            let receipt = marked(self.target, batch).read_own(&mut self.connection, batch.hash).await?;
            self.plain("rollback", "").await?;
            return Ok(receipt);
        }
        let mut work = Work { number: batch.number, ..Work::default() };
        self.copy(batch, &mut work).await?;
        if !(self.expects_new && self.write_new(batch, &mut work).await?) {
            self.look(batch, &mut work).await?;
            self.bar(batch, &mut work).await?;
            self.write(batch, &mut work).await?;
            self.expects_new = self.target.index_is_alike && work.images.is_empty();
        }
        work.receipt.unchanged = batch.records.len() as u64
            - work.receipt.inserted
            - work.receipt.updated
            - work.receipt.faults.len() as u64;
        if !work.changes.is_empty() {
            images(&mut work.changes)?;
            work.receipt.made = ranges(work.changes.iter().map(|change| change.seq));
        }
        fault::point("postgres.images-kept");
        let receipt =
            serde_json::to_string(&work.receipt).or_failed(|| "cannot write a receipt".to_owned())?;
        marked(self.target, batch).write(&mut self.connection, receipt).await?;
        fault::point("postgres.before-commit");
        self.plain("commit", "").await?;
        Ok(work.receipt)
    }

    /// Copies the records into the temporary table, those left out that do not go in.
    async fn copy(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<(), Trouble> {
        let (mut data, mut scratch) = (Vec::with_capacity(batch.records.len() * 256), String::new());
        // Place and bytes of each line.
        let mut lines: Vec<(usize, std::ops::Range<usize>)> = Vec::with_capacity(batch.records.len());
        for (place, record) in batch.records.iter().enumerate() {
            let start = data.len();
            let (columns, limits) = (&self.target.mapped.columns, &self.target.limits);
            match line(columns, limits, place, &record.values, &mut data, &mut scratch) {
                Ok(()) => lines.push((place, start..data.len())),
                Err(fault) => work.fail(batch, place, fault),
            }
        }
        self.plain("savepoint copied", "").await?;
        loop {
            let (fault, line) = match self.send(&data).await {
                Ok(()) => break,
                Err(Refused::Other(trouble)) => return Err(trouble),
                Err(Refused::Record { fault, line }) => (fault, line),
            };
            let Some(line) = line.filter(|line| (1..=lines.len()).contains(line)) else {
                let what = format!("{}: {}", self.target.fingerprint, fault.message);
                return Err(Trouble::Fatal(Error::failed(what)));
            };
            let (place, bytes) = lines.remove(line - 1);
            data.drain(bytes.clone());
            lines[line - 1..].iter_mut().for_each(|(_, later)| {
                *later = later.start - bytes.len()..later.end - bytes.len();
            });
            work.fail(batch, place, fault);
            self.plain("rollback to savepoint copied", "").await?;
        }
        work.new = lines.into_iter().map(|(place, _)| place).collect();
        Ok(())
    }

    async fn send(&mut self, data: &[u8]) -> Result<(), Refused> {
        let copied = async {
            let mut copy = self.connection.copy_in_raw(&self.target.statements.copy).await?;
            for chunk in data.chunks(CHUNK_BYTES) {
                copy.send(chunk).await?;
            }
            copy.finish().await
        };
        let copied = copied.await;
        fault::point("postgres.copied");
        copied.map(|_| ()).map_err(|error| self.refused(error))
    }

    /// Reads what is there of the batch's records, and locks it.
    async fn look(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<(), Trouble> {
        let statements = &self.target.statements;
        let rows =
            sqlx::query(AssertSqlSafe(statements.images.as_str())).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|e| self.trouble("cannot read what is there", e))?;
        let (mut places, mut twice) = (HashSet::new(), Vec::new());
        for row in &rows {
            let read = || {
                Ok((
                    row.try_get::<i32, _>(0)? as usize,
                    row.try_get::<String, _>(1)?,
                    row.try_get::<bool, _>(2)?,
                    image(row, 3, &statements.image_columns)?,
                ))
            };
            let (place, at, is_other, image) = read().map_err(|e: sqlx::Error| self.trouble("", e))?;
            // To the target two keys may be one, as with a collation that ignores case.
            match !is_other && places.insert(at) {
                true => {
                    work.new.remove(&place);
                    work.images.insert(place, image);
                }
                false => twice.push(place),
            }
        }
        for place in twice {
            work.new.remove(&place);
            work.fail(batch, place, Fault::permanent("duplicate_key", None, SAME_TO_TARGET));
            work.gone.push(place as i32);
        }
        if !work.images.is_empty() {
            let found: Vec<i32> = work.images.keys().map(|place| *place as i32).collect();
            let mark = sqlx::query(FOUND).bind(found);
            mark.execute(&mut self.connection).await.map_err(|e| self.trouble("", e))?;
        }
        Ok(())
    }

    /// Sets those aside that are not written whatever is in them.
    async fn bar(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<(), Trouble> {
        if self.target.statements.insert.is_none() {
            for place in std::mem::take(&mut work.new) {
                work.fail(batch, place, not_there());
            }
        }
        if !work.gone.is_empty() {
            let remove = sqlx::query(REMOVE).bind(&work.gone);
            remove.execute(&mut self.connection).await.map_err(|e| self.trouble("", e))?;
        }
        Ok(())
    }

    /// Writes all records without a look at what is there. `false` where that fails: nothing is written then.
    async fn write_new(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<bool, Trouble> {
        let (Some(low), Some(high)) = (work.new.first(), work.new.last()) else { return Ok(false) };
        let (low, high, mut part) = (*low, *high, Part::default());
        let Some(insert) = self.target.statements.insert_new.as_deref() else { return Ok(false) };
        self.plain("savepoint part", "").await?;
        match self.insert_range((insert, batch), work, (low, high), &mut part).await {
            Ok(()) => work.add(part),
            Err(Refused::Other(trouble)) => return Err(trouble),
            Err(Refused::Record { .. }) => {
                self.plain("rollback to savepoint part", "").await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the records; where that fails, each half of them on its own, until the record is found.
    async fn write(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<(), Trouble> {
        let Some(last) = batch.records.len().checked_sub(1) else { return Ok(()) };
        let mut ranges = vec![(0, last)];
        while let Some((low, high)) = ranges.pop() {
            self.plain("savepoint part", "").await?;
            let fault = match self.write_range(batch, work, (low, high)).await {
                Ok(part) => {
                    for place in &part.barred {
                        let may_update = self.target.statements.update.is_some();
                        work.fail(batch, *place, barred(self.target.mapped, may_update));
                    }
                    work.add(part);
                    continue;
                }
                Err(Refused::Other(trouble)) => return Err(trouble),
                Err(Refused::Record { fault, .. }) => fault,
            };
            self.plain("rollback to savepoint part", "").await?;
            if low == high {
                work.fail(batch, low, fault);
            } else {
                let middle = low + (high - low) / 2;
                // The lower half comes next, so that a parent goes in before what refers to it.
                ranges.extend([(middle + 1, high), (low, middle)]);
            }
        }
        Ok(())
    }

    async fn write_range(
        &mut self,
        batch: &Batch<'_>,
        work: &Work,
        (low, high): (usize, usize),
    ) -> Result<Part, Refused> {
        let mut part = Part::default();
        if let Some(insert) = self.target.statements.insert.as_deref() {
            self.insert_range((insert, batch), work, (low, high), &mut part).await?;
        }
        if work.images.keys().any(|place| (low..=high).contains(place)) {
            self.update_range(batch, work, (low, high), &mut part).await?;
        }
        Ok(part)
    }

    /// Writes what is not there.
    async fn insert_range(
        &mut self,
        (insert, batch): (&str, &Batch<'_>),
        work: &Work,
        (low, high): (usize, usize),
        part: &mut Part,
    ) -> Result<(), Refused> {
        let statements = &self.target.statements;
        let expected = work.new.range(low..=high).count();
        if expected == 0 {
            return Ok(());
        }
        let query = sqlx::query(AssertSqlSafe(insert)).bind(low as i32).bind(high as i32);
        let rows = query.fetch_all(&mut self.connection).await.map_err(|e| self.refused(e))?;
        if rows.len() != expected {
            let message = "the row did not go in: one of its key came in meanwhile, or a trigger of the table left it out";
            let fault = Fault { class: FaultClass::Conflict, ..Fault::permanent("taken", None, message) };
            return Err(Refused::Record { fault, line: None });
        }
        // They come back in the order in which they were written.
        for (row, place) in rows.iter().zip(work.new.range(low..=high)) {
            let read = || Ok((row.try_get::<String, _>(0)?, image(row, 1, &statements.key)?));
            let (digest, key) = read().map_err(|e: sqlx::Error| self.refused(e))?;
            let change = statements.change(work.number, Op::Insert, key, digest);
            part.changes.push(Change { pos: Some(batch.records[*place].pos), ..change });
        }
        part.inserted = rows.len() as u64;
        Ok(())
    }

    /// Changes what is there and differs, and finds what of it must not be changed.
    async fn update_range(
        &mut self,
        batch: &Batch<'_>,
        work: &Work,
        (low, high): (usize, usize),
        part: &mut Part,
    ) -> Result<(), Refused> {
        let statements = &self.target.statements;
        let query =
            sqlx::query(AssertSqlSafe(statements.differing.as_str())).bind(low as i32).bind(high as i32);
        let mut expected = 0;
        for row in query.fetch_all(&mut self.connection).await.map_err(|e| self.refused(e))? {
            let read = || Ok((row.try_get::<i32, _>(0)? as usize, row.try_get::<bool, _>(1)?));
            match read().map_err(|e: sqlx::Error| self.refused(e))? {
                (_, true) => expected += 1,
                (place, false) => part.barred.push(place),
            }
        }
        let Some(update) = statements.update.as_deref().filter(|_| expected > 0) else { return Ok(()) };
        let query = sqlx::query(AssertSqlSafe(update)).bind(low as i32).bind(high as i32);
        let rows = query.fetch_all(&mut self.connection).await.map_err(|e| self.refused(e))?;
        if rows.len() != expected {
            let message = "the row is as it was: a trigger of the table left the change out";
            let fault = Fault { class: FaultClass::Conflict, ..Fault::permanent("taken", None, message) };
            return Err(Refused::Record { fault, line: None });
        }
        for row in rows {
            let read = || {
                let (place, digest) = (row.try_get::<i32, _>(0)? as usize, row.try_get::<String, _>(1)?);
                Ok((place, digest, image(&row, 2, &statements.image_columns)?))
            };
            let (place, digest, post) = read().map_err(|e: sqlx::Error| self.refused(e))?;
            let pre = work.images.get(&place).cloned().unwrap_or_default();
            let key =
                statements.key.iter().map(|k| (k.clone(), pre.get(k).cloned().unwrap_or_default())).collect();
            let change = statements.change(work.number, Op::Update, key, digest);
            part.changes.push(Change {
                pos: Some(batch.records[place].pos),
                columns: statements.written.clone(),
                pre: Some(pre),
                post: Some(post),
                ..change
            });
        }
        Ok(())
    }
}

impl Session for PostgresSession<'_> {
    fn apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        block_on(async {
            let applied = match timeout(BATCH_MAX, self.try_apply(batch, images)).await {
                Ok(applied) => applied,
                Err(_) => {
                    let what =
                        format!("{}: no answer within {} s", self.target.fingerprint, BATCH_MAX.as_secs());
                    return Err(Trouble::Lost(Error::failed(what)));
                }
            };
            if matches!(applied, Err(Trouble::Busy(_))) {
                self.plain("rollback", "").await?;
            }
            applied
        })
    }
}

/// The marker of a batch.
fn marked<'a>(target: &'a PostgresTarget<'_>, batch: &'a Batch<'_>) -> Marked<'a> {
    Marked { server: &target.server, run_id: batch.run_id, entity: batch.entity, batch: batch.number }
}

/// What is known of a batch while it is written.
#[derive(Default)]
struct Work {
    number: u64,
    /// Places of the records that are not there.
    new: BTreeSet<usize>,
    /// What is there, by place.
    images: HashMap<usize, Image>,
    /// Places that are taken out of the temporary table.
    gone: Vec<i32>,
    changes: Vec<Change>,
    receipt: Receipt,
}

impl Work {
    fn fail(&mut self, batch: &Batch<'_>, place: usize, fault: Fault) {
        self.receipt.faults.push((batch.records[place].row, fault));
    }

    /// Counts what a part of it wrote.
    fn add(&mut self, part: Part) {
        self.receipt.inserted += part.inserted;
        self.receipt.updated += part.changes.len() as u64 - part.inserted;
        self.changes.extend(part.changes);
    }
}

/// A part of a batch that went in.
#[derive(Default)]
struct Part {
    inserted: u64,
    /// Places of what is there and must not be changed.
    barred: Vec<usize>,
    changes: Vec<Change>,
}

/// The texts of some columns of a row, from one on.
pub(super) fn image(row: &PgRow, first: usize, columns: &[String]) -> sqlx::Result<Image> {
    let text = |i: usize| {
        row.try_get::<Option<String>, _>(first + i).map(|text| text.map_or(Json::Null, Json::String))
    };
    columns.iter().enumerate().map(|(i, name)| Ok((name.clone(), text(i)?))).collect()
}

/// What the server says against a record.
fn fault_of(said: &dyn DatabaseError, code: String) -> (Fault, Option<usize>) {
    let own = said.try_downcast_ref::<PgDatabaseError>();
    let context = own.and_then(PgDatabaseError::r#where).unwrap_or_default();
    // What a type's own reader says may come first. The server's language decides which word is before the number.
    let copied = context.lines().find_map(|line| line.strip_prefix("COPY recon_batch, "));
    let digits = |text: &str| -> String {
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
    };
    let line = copied.and_then(|rest| digits(rest).parse().ok());
    let named = copied.and_then(|rest| rest.split(", column ").nth(1)?.split(':').next());
    let column = own.and_then(PgDatabaseError::column).or(named);
    let detail =
        own.and_then(PgDatabaseError::detail).map(|detail| format!(" ({detail})")).unwrap_or_default();
    let class = if code == "23503" { FaultClass::Retryable } else { FaultClass::Permanent };
    let message = format!("{}{detail}", said.message());
    (Fault { class, code, column: column.map(str::to_owned), message }, line)
}

/// What an error means that is no record's fault.
pub(super) fn trouble(server: &Server, what: &str, error: sqlx::Error) -> Trouble {
    let what = if what.is_empty() { "cannot write" } else { what };
    let code = error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned());
    let is_lost = code.is_none() && !matches!(error, sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_));
    let error = server.failed(what, error);
    match code.as_deref() {
        None if is_lost => Trouble::Lost(error),
        // The server is going down, or has no connection left.
        Some("57P01" | "57P02" | "57P03" | "53300" | "08000" | "08003" | "08006") => Trouble::Lost(error),
        Some("40001" | "40P01" | "55P03" | "25P02") => Trouble::Busy(error),
        Some("42501") => Trouble::Fatal(error.help(
            "the user needs: select, insert and update on the table (delete, too, to roll back); temporary on the database; and a schema \
             `recon` of its own (create schema recon authorization USER)",
        )),
        Some("53100") => {
            Trouble::Fatal(error.help("the server's disk is full: make room, then run the same command again"))
        }
        _ => Trouble::Fatal(error),
    }
}

/// What an error means that may be a record's fault.
pub(super) fn refused(server: &Server, error: sqlx::Error) -> Refused {
    let Some(said) = error.as_database_error() else { return Refused::Other(trouble(server, "", error)) };
    let code = said.code().unwrap_or_default().into_owned();
    // Data exceptions, broken constraints, what a trigger raises, and rows that are larger than the server takes.
    let is_of = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
    let is_record = is_of(&["22", "23", "P0", "54"]) || code == "44000";
    let context =
        said.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::r#where).unwrap_or_default();
    // Whatever else a type's own reader says of a row, or a trigger raises; what a trigger's own statements may not do is no row's fault.
    let is_about_row = context.contains("COPY recon_batch, ") || context.contains(" at RAISE");
    if !is_record && (!is_about_row || is_of(&["08", "25", "40", "53", "55", "57", "58"])) {
        return Refused::Other(trouble(server, "", error));
    }
    let (fault, line) = fault_of(said, code);
    Refused::Record { fault, line }
}
