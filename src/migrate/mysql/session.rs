//! A session: the transaction of a batch.

use std::collections::{BTreeSet, HashMap};

use mysql::prelude::Queryable;
use mysql::{Conn, Row, Value as Raw};
use serde_json::Value as Json;

use super::MysqlTarget;
use super::load::Loading;
use super::place::{Connected, Marked};
use super::refused::{DUPLICATE, Refused};
use crate::fault;
use crate::ledger::manifest::{Change, Image, Op};
use crate::migrate::undo::ranges;
use crate::migrate::{
    Batch, Fault, FaultClass, Images, Receipt, SAME_TO_TARGET, Session, Trouble, barred, not_there,
};
use crate::value::cast::Class;
use crate::value::{hex, json};

/// What is to become of a record, in the temporary table.
const THERE: &str = "1";
const CHANGE: &str = "2";
pub(super) const LEAVE: &str = "3";

/// A worker's connection.
pub(super) struct MysqlSession<'a> {
    pub(super) target: &'a MysqlTarget<'a>,
    pub(super) connection: Conn,
    /// The most bytes of a statement that the server takes.
    pub(super) packet: usize,
}

/// What is known of a batch while it is written.
#[derive(Default)]
pub(super) struct Work {
    number: u64,
    /// The records' positions in the staged source, by place.
    positions: Vec<i64>,
    /// Places of the records that are not there.
    pub(super) new: BTreeSet<usize>,
    /// Those that are there.
    there: BTreeSet<usize>,
    /// Those of them that are to be changed.
    differing: BTreeSet<usize>,
    /// What is there, by place.
    images: HashMap<usize, Image>,
    changes: Vec<Change>,
    receipt: Receipt,
}

impl Work {
    pub(super) fn fail(&mut self, batch: &Batch<'_>, place: usize, fault: Fault) {
        self.receipt.faults.push((batch.records[place].row, fault));
    }
}

/// A step of a batch over some of its places, that may fail for one of them.
type Step<'a> = fn(&mut MysqlSession<'a>, &mut Work, usize, usize) -> Result<Vec<Change>, Refused>;

impl<'a> MysqlSession<'a> {
    pub(super) fn open(target: &'a MysqlTarget<'a>) -> Result<Self, Trouble> {
        let Connected { connection, packet } = target.place.session()?;
        let mut session = Self { target, connection, packet };
        let made = session.connection.query_drop(&target.statements.create);
        made.map_err(|e| target.place.trouble("cannot make a temporary table", e))?;
        Ok(session)
    }

    pub(super) fn plain(&mut self, sql: &str) -> Result<(), Trouble> {
        self.connection.query_drop(sql).map_err(|e| self.target.place.trouble("cannot write", e))
    }

    pub(super) fn rows(&mut self, sql: &str, what: &str) -> Result<Vec<Row>, Trouble> {
        self.connection.query(sql).map_err(|e| self.target.place.trouble(what, e))
    }

    fn try_apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        let target = self.target;
        let place = &target.place;
        let marked = Marked { place, run_id: batch.run_id, entity: batch.entity, batch: batch.number };
        self.plain(&target.statements.empty)?;
        self.plain("start transaction")?;
        if !marked.take(&mut self.connection, batch.hash)? {
            let receipt = marked.read_own(&mut self.connection, batch.hash)?;
            self.plain("rollback")?;
            return Ok(receipt);
        }
        let positions = batch.records.iter().map(|record| record.pos).collect();
        let mut work = Work { number: batch.number, positions, ..Work::default() };
        Loading::new(self, batch).load(&mut work)?;
        fault::point("mysql.loaded");
        self.look(batch, &mut work)?;
        if target.statements.resolve.is_some() && !work.there.is_empty() {
            self.halved(batch, &mut work, Self::resolve)?;
        }
        self.judge(batch, &mut work)?;
        self.halved(batch, &mut work, Self::write)?;
        work.receipt.unchanged = batch.records.len() as u64
            - work.receipt.inserted
            - work.receipt.updated
            - work.receipt.faults.len() as u64;
        if !work.changes.is_empty() {
            images(&mut work.changes)?;
            work.receipt.made = ranges(work.changes.iter().map(|change| change.seq));
        }
        fault::point("mysql.images-kept");
        marked.write(&mut self.connection, &work.receipt)?;
        fault::point("mysql.before-commit");
        self.plain("commit")?;
        fault::point("mysql.committed");
        Ok(work.receipt)
    }

    /// Reads what is there of the batch's records, and locks it.
    fn look(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<(), Trouble> {
        let statements = &self.target.statements;
        let rows = self.rows(&statements.images, "cannot read what is there")?;
        let (mut out, mut same_documents) = (Vec::new(), HashMap::<usize, Vec<usize>>::new());
        for row in rows {
            let values = row.unwrap();
            let place = place(&values);
            work.new.remove(&place);
            if !is_true(&values[1]) {
                work.fail(batch, place, Fault::permanent("duplicate_key", None, SAME_TO_TARGET));
                out.push(place);
                continue;
            }
            let image = image(&values[2..], &statements.image_columns);
            for (i, column) in self.target.mapped.columns.iter().enumerate() {
                let old = image.get(&column.name).and_then(Json::as_str);
                let is_same = |old: &str| {
                    json::parse(old).is_ok_and(|document| document.same(&batch.records[place].values[i]))
                };
                if column.class() == Some(Class::Json) && !column.is_key && old.is_some_and(is_same) {
                    same_documents.entry(i).or_default().push(place);
                }
            }
            work.there.insert(place);
            work.images.insert(place, image);
        }
        self.mark(LEAVE, &out)?;
        self.mark(THERE, &work.there.iter().copied().collect::<Vec<_>>())?;
        for (i, places) in same_documents {
            let column = crate::store::mysql::quoted(&self.target.mapped.columns[i].name);
            let sql = statements.keep_documents.replace("{{column}}", &column);
            self.plain(&sql.replace("{{places}}", &listed(&places)))?;
        }
        if statements.insert.is_none() {
            let missing: Vec<usize> = std::mem::take(&mut work.new).into_iter().collect();
            self.mark(LEAVE, &missing)?;
            missing.into_iter().for_each(|place| work.fail(batch, place, not_there()));
        }
        Ok(())
    }

    pub(super) fn mark(&mut self, state: &str, places: &[usize]) -> Result<(), Trouble> {
        if places.is_empty() {
            return Ok(());
        }
        let sql = self.target.statements.mark.replace("{{state}}", state);
        self.plain(&sql.replace("{{places}}", &listed(places)))
    }

    /// Works out what columns are to have that are not simply overwritten.
    fn resolve(&mut self, work: &mut Work, low: usize, high: usize) -> Result<Vec<Change>, Refused> {
        if let Some(sql) = self
            .target
            .statements
            .resolve
            .as_deref()
            .filter(|_| work.there.range(low..=high).next().is_some())
        {
            self.connection.query_drop(between(sql, low, high)).map_err(|e| self.target.place.refused(e))?;
        }
        Ok(Vec::new())
    }

    /// Finds what is to be changed, and sets those aside that must not be.
    fn judge(&mut self, batch: &Batch<'_>, work: &mut Work) -> Result<(), Trouble> {
        if work.there.is_empty() {
            return Ok(());
        }
        let may_update = self.target.statements.update.is_some();
        let (mut changed, mut kept) = (Vec::new(), Vec::new());
        for row in self.rows(&self.target.statements.differing, "cannot compare with what is there")? {
            let values = row.unwrap();
            let place = place(&values);
            match may_update && is_true(&values[1]) {
                true => changed.push(place),
                false => {
                    work.fail(batch, place, barred(self.target.mapped, may_update));
                    kept.push(place);
                }
            }
        }
        self.mark(LEAVE, &kept)?;
        self.mark(CHANGE, &changed)?;
        work.differing = changed.into_iter().collect();
        Ok(())
    }

    /// Takes a step for all records; where that fails, for each half of them on its own, until the record is found.
    fn halved(&mut self, batch: &Batch<'_>, work: &mut Work, step: Step<'a>) -> Result<(), Trouble> {
        let Some(last) = batch.records.len().checked_sub(1) else { return Ok(()) };
        let mut ranges = vec![(0, last)];
        while let Some((low, high)) = ranges.pop() {
            self.plain("savepoint part")?;
            let fault = match step(self, work, low, high) {
                Ok(changes) => {
                    let inserted = changes.iter().filter(|change| change.op == Op::Insert).count();
                    work.receipt.inserted += inserted as u64;
                    work.receipt.updated += (changes.len() - inserted) as u64;
                    work.changes.extend(changes);
                    continue;
                }
                Err(Refused::Other(trouble)) => return Err(trouble),
                Err(Refused::Record { fault, .. }) => fault,
            };
            self.plain("rollback to savepoint part")?;
            if low == high {
                let fault = self.named(fault, low)?;
                for places in [&mut work.new, &mut work.there, &mut work.differing] {
                    places.remove(&low);
                }
                self.mark(LEAVE, &[low])?;
                work.fail(batch, low, fault);
            } else {
                let middle = low + (high - low) / 2;
                // The lower half comes next, so that a parent goes in before what refers to it.
                ranges.extend([(middle + 1, high), (low, middle)]);
            }
        }
        Ok(())
    }

    /// A duplicate of the key has a name of its own: somebody's row of this very key, or one that only the index takes for the same.
    fn named(&mut self, fault: Fault, place: usize) -> Result<Fault, Trouble> {
        if fault.code != DUPLICATE.to_string() {
            return Ok(fault);
        }
        let sql = self.target.statements.taken.replace("{{place}}", &place.to_string());
        let rows = self.rows(&sql, "cannot read what is there")?;
        Ok(match rows.first().and_then(|row| row.as_ref(0)).map(is_true) {
            Some(true) => {
                let message = "a row of this key came in while the batch was written; it is left as it is";
                Fault { class: FaultClass::Conflict, ..Fault::permanent("taken", None, message) }
            }
            Some(false) => {
                Fault::permanent("duplicate_key", None, format!("{SAME_TO_TARGET}: {}", fault.message))
            }
            // Another unique index.
            None => fault,
        })
    }

    /// Writes records, those that are not there and those that differ, and reads back what they are now.
    fn write(&mut self, work: &mut Work, low: usize, high: usize) -> Result<Vec<Change>, Refused> {
        let (target, mut changes) = (self.target, Vec::new());
        let statements = &target.statements;
        let new = work.new.range(low..=high).count();
        if let Some(insert) = statements.insert.as_deref().filter(|_| new > 0) {
            self.connection.query_drop(between(insert, low, high)).map_err(|e| target.place.refused(e))?;
            let rows = self.rows(&between(&statements.inserted, low, high), "cannot read back")?;
            if rows.len() != new {
                return Err(not_kept());
            }
            for row in rows {
                let values = row.unwrap();
                let key = image(&values[2..], &statements.key);
                let change = statements.change(work.number, Op::Insert, key, text(&values[1]));
                changes.push(Change { pos: work.positions.get(place(&values)).copied(), ..change });
            }
        }
        let differing = work.differing.range(low..=high).count();
        if let Some(update) = statements.update.as_deref().filter(|_| differing > 0) {
            self.connection.query_drop(between(update, low, high)).map_err(|e| target.place.refused(e))?;
            let rows = self.rows(&between(&statements.updated, low, high), "cannot read back")?;
            if rows.len() != differing {
                return Err(not_kept());
            }
            for row in rows {
                let values = row.unwrap();
                let pre = work.images.get(&place(&values)).cloned().unwrap_or_default();
                let old = |name: &String| (name.clone(), pre.get(name).cloned().unwrap_or_default());
                let key = statements.key.iter().map(|(name, _)| old(name)).collect();
                changes.push(Change {
                    pos: work.positions.get(place(&values)).copied(),
                    columns: statements.written.clone(),
                    pre: Some(pre),
                    post: Some(image(&values[2..], &statements.image_columns)),
                    ..statements.change(work.number, Op::Update, key, text(&values[1]))
                });
            }
        }
        Ok(changes)
    }
}

impl Session for MysqlSession<'_> {
    fn apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        let applied = self.try_apply(batch, images);
        if matches!(applied, Err(Trouble::Busy(_))) {
            self.plain("rollback")?;
        }
        applied
    }
}

fn not_kept() -> Refused {
    let message = "the row is not there after it was written: a trigger changed its key or took it away";
    Refused::Record { fault: Fault::permanent("not_kept", None, message), row: None }
}

fn between(sql: &str, low: usize, high: usize) -> String {
    sql.replace("{{low}}", &low.to_string()).replace("{{high}}", &high.to_string())
}

fn listed(places: &[usize]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The place that a row begins with.
pub(super) fn place(values: &[Raw]) -> usize {
    text(&values[0]).parse().expect("the first column is the place")
}

fn is_true(value: &Raw) -> bool {
    matches!(value, Raw::Bytes(bytes) if bytes == b"1")
}

pub(super) fn text(value: &Raw) -> String {
    match value {
        Raw::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// The values of some columns: text as the server writes it, or hex digits.
pub(super) fn image(values: &[Raw], columns: &[(String, bool)]) -> Image {
    let value = |value: &Raw, is_bytes: bool| match value {
        Raw::Bytes(bytes) if is_bytes => Json::String(hex(bytes).split_off(2)),
        Raw::Bytes(_) => Json::String(text(value)),
        _ => Json::Null,
    };
    columns.iter().zip(values).map(|((name, is_bytes), raw)| (name.clone(), value(raw, *is_bytes))).collect()
}
