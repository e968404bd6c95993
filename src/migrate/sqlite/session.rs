//! A session: the transaction of a batch, record by record.

use std::collections::HashMap;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::SqliteTarget;
use super::encode::{Stored, cell, digest};
use super::place::Marked;
use crate::fault;
use crate::ledger::manifest::{Change, Image, Op};
use crate::migrate::undo::ranges;
use crate::migrate::{Batch, Fault, Images, Receipt, Record, Session, Trouble, barred};
use crate::spec::OnConflict;

/// A worker's connection.
pub(super) struct SqliteSession<'a> {
    target: &'a SqliteTarget<'a>,
    connection: Connection,
}

/// What became of a record.
enum Outcome {
    /// What is there since.
    Written(Box<Change>, Vec<Stored>),
    Unchanged,
    Refused(Fault),
}

impl<'a> SqliteSession<'a> {
    pub(super) fn open(target: &'a SqliteTarget<'a>) -> Result<Self, Trouble> {
        Ok(Self { target, connection: target.place.session()? })
    }

    fn trouble(&self, what: &str, error: rusqlite::Error) -> Trouble {
        self.target.place.trouble(what, error)
    }

    fn plain(&self, sql: &str) -> Result<(), Trouble> {
        self.target.place.plain(&self.connection, sql)
    }

    /// Writes a batch but for the records that cannot be committed, by their row; those that are found are added, and then nothing is
    /// written.
    fn try_apply(
        &self,
        batch: &Batch<'_>,
        images: &mut Images<'_>,
        broken: &mut HashMap<usize, Fault>,
    ) -> Result<Option<Receipt>, Trouble> {
        let place = &self.target.place;
        let marked = Marked { place, run_id: batch.run_id, entity: batch.entity, batch: batch.number };
        self.plain("begin immediate")?;
        if !marked.take(&self.connection, batch.hash)? {
            let receipt = marked.read_own(&self.connection, batch.hash)?;
            self.plain("rollback")?;
            return Ok(Some(receipt));
        }
        let (mut receipt, mut changes, mut posts) = (Receipt::default(), Vec::new(), Vec::new());
        for record in batch.records {
            let outcome = match broken.get(&record.row) {
                Some(fault) => Outcome::Refused(fault.clone()),
                None => self.write(batch.number, record)?,
            };
            match outcome {
                Outcome::Written(change, post) => {
                    if !self.target.deferred.is_empty() {
                        posts.push((record.row, post));
                    }
                    match change.op {
                        Op::Insert => receipt.inserted += 1,
                        _ => receipt.updated += 1,
                    }
                    changes.push(Change { pos: Some(record.pos), ..*change });
                }
                Outcome::Unchanged => receipt.unchanged += 1,
                Outcome::Refused(fault) => receipt.faults.push((record.row, fault)),
            }
        }
        let known = broken.len();
        for (row, post) in posts {
            broken.extend(self.broken(&post)?.map(|fault| (row, fault)));
        }
        if broken.len() > known {
            self.plain("rollback")?;
            return Ok(None);
        }
        fault::point("sqlite.written");
        if !changes.is_empty() {
            images(&mut changes)?;
            receipt.made = ranges(changes.iter().map(|change| change.seq));
        }
        fault::point("sqlite.images-kept");
        marked.write(&self.connection, &receipt)?;
        fault::point("sqlite.before-commit");
        self.plain("commit")?;
        fault::point("sqlite.committed");
        Ok(Some(receipt))
    }

    /// Why a row that was written cannot be committed.
    fn broken(&self, post: &[Stored]) -> Result<Option<Fault>, Trouble> {
        let names = &self.target.statements.images;
        let value = |column: &str| {
            let at = names.iter().position(|name| name.eq_ignore_ascii_case(column))?;
            Some(post[at].clone())
        };
        let found = self.target.deferred.broken(&self.connection, value);
        found.map_err(|e| self.trouble("cannot look for what the record refers to", e))
    }

    /// Writes one record, or leaves everything as it was before it.
    fn write(&self, batch: u64, record: &Record<'_>) -> Result<Outcome, Trouble> {
        let columns = self.target.mapped.columns.iter().zip(&self.target.kept).zip(&record.values);
        let sent = columns.map(|((column, kept), value)| cell(column, *kept, value)).collect();
        let sent: Vec<Cell> = match sent {
            Ok(sent) => sent,
            Err(fault) => return Ok(Outcome::Refused(fault)),
        };
        let (statements, mapped) = (&self.target.statements, self.target.mapped);
        let pre = self.row(&sent)?;
        let sql = match &pre {
            None => match &statements.insert {
                Some(insert) => insert,
                None => return Ok(Outcome::Refused(crate::migrate::not_there())),
            },
            Some(pre) => {
                if let Some(fault) = self.another_key(record, &sent, pre) {
                    return Ok(Outcome::Refused(fault));
                }
                match (self.judge(&sent)?, &statements.update) {
                    (Ok((false, _)), _) => return Ok(Outcome::Unchanged),
                    (Ok((true, true)), Some(update)) => update,
                    (Ok((true, _)), update) => {
                        return Ok(Outcome::Refused(barred(mapped, update.is_some())));
                    }
                    (Err(fault), _) => return Ok(Outcome::Refused(fault)),
                }
            }
        };
        self.plain("savepoint record")?;
        let written = match self.run(sql, &sent)? {
            Ok(()) => self.read_back(record, &sent, pre.as_deref())?,
            Err(fault) => Err(fault),
        };
        match written {
            Ok(post) => {
                self.plain("release record")?;
                Ok(Outcome::Written(Box::new(self.change(batch, pre, &post)), post))
            }
            Err(fault) => {
                self.plain("rollback to record")?;
                self.plain("release record")?;
                Ok(Outcome::Refused(fault))
            }
        }
    }

    /// The row that the index has under a record's key.
    fn row(&self, sent: &[Cell]) -> Result<Option<Vec<Stored>>, Trouble> {
        let statements = &self.target.statements;
        let fail = |e| self.trouble("cannot read what is there", e);
        let mut statement = self.connection.prepare_cached(&statements.image).map_err(fail)?;
        let key = &sent[..self.target.mapped.key().len()];
        let read = statement.query_row(params_from_iter(key), |row| {
            (0..statements.images.len()).map(|i| row.get_ref(i).map(Stored::from)).collect()
        });
        read.optional().map_err(fail)
    }

    /// Why the row that is there is not this record's: to the index the keys are one, as with a collation that ignores case.
    fn another_key(&self, record: &Record<'_>, sent: &[Cell], row: &[Stored]) -> Option<Fault> {
        let places = &self.target.statements.places;
        let is_same = self.target.mapped.key().iter().enumerate().all(|(i, column)| {
            row[places[i]].is_meant(&sent[i], column, self.target.kept[i], &record.values[i])
        });
        (!is_same).then(|| Fault::permanent("duplicate_key", None, crate::migrate::SAME_TO_TARGET))
    }

    /// Whether a record that is there would be changed, and may be.
    fn judge(&self, sent: &[Cell]) -> Result<Result<(bool, bool), Fault>, Trouble> {
        let fail = |e| self.trouble("cannot compare with what is there", e);
        let mut statement = self.connection.prepare_cached(&self.target.statements.judge).map_err(fail)?;
        match statement.query_row(params_from_iter(sent), |row| Ok((row.get(0)?, row.get(1)?))) {
            Ok(judged) => Ok(Ok(judged)),
            Err(error) => self.refused(error).map(Err),
        }
    }

    fn run(&self, sql: &str, sent: &[Cell]) -> Result<Result<(), Fault>, Trouble> {
        let mut statement =
            self.connection.prepare_cached(sql).map_err(|e| self.trouble("cannot write", e))?;
        match statement.execute(params_from_iter(sent)) {
            Ok(_) => Ok(Ok(())),
            Err(error) => self.refused(error).map(Err),
        }
    }

    /// The row as it is stored now, held against what was meant.
    fn read_back(
        &self,
        record: &Record<'_>,
        sent: &[Cell],
        pre: Option<&[Stored]>,
    ) -> Result<Result<Vec<Stored>, Fault>, Trouble> {
        let Some(post) = self.row(sent)? else {
            let message = "the row is not there after it was written: a trigger kept it out or took it away";
            return Ok(Err(Fault::permanent("not_kept", None, message)));
        };
        for (i, column) in self.target.mapped.columns.iter().enumerate() {
            let is_known = pre.is_none() || column.is_key || column.on_conflict == OnConflict::Overwrite;
            let stored = &post[self.target.statements.places[i]];
            if is_known && !stored.is_meant(&sent[i], column, self.target.kept[i], &record.values[i]) {
                let message = "the table keeps another value than this: what the column is declared as, or a trigger, changes it";
                return Ok(Err(Fault::permanent("changed", Some(&column.name), message)));
            }
        }
        Ok(Ok(post))
    }

    fn change(&self, batch: u64, pre: Option<Vec<Stored>>, post: &[Stored]) -> Change {
        let statements = &self.target.statements;
        let image = |row: &[Stored]| -> Image {
            statements.images.iter().cloned().zip(row.iter().map(Stored::image)).collect()
        };
        let key = self.target.mapped.key().iter().enumerate();
        let key = key.map(|(i, c)| (c.name.clone(), post[statements.places[i]].image())).collect();
        let op = if pre.is_some() { Op::Update } else { Op::Insert };
        let change = statements.change(batch, op, key, digest(post.iter().map(Stored::image)));
        match pre {
            None => change,
            Some(pre) => Change {
                columns: statements.written.clone(),
                pre: Some(image(&pre)),
                post: Some(image(post)),
                ..change
            },
        }
    }

    fn refused(&self, error: rusqlite::Error) -> Result<Fault, Trouble> {
        self.target.place.refused(&self.connection, error)
    }
}

impl Session for SqliteSession<'_> {
    fn apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        let mut broken = HashMap::new();
        loop {
            match self.try_apply(batch, images, &mut broken) {
                Ok(None) => {}
                Ok(Some(receipt)) => return Ok(receipt),
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
