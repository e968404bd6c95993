//! What the ledger knows of a run that takes back what others changed.

use rusqlite::{Row, params};

use super::{Ledger, now};
use crate::error::Result;
use crate::fault;
use crate::query::ledger as sql;

/// An entity of a run that rolls back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollback {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// What tells the target from others.
    pub target: String,
    /// JSON of what the command was asked for.
    pub options: String,
    /// The runs whose changes are taken back.
    pub undo_of: Vec<String>,
    /// Whether all that they changed of the entity is taken back, not only what was asked for.
    pub is_whole: bool,
    /// Changes that there are to take back.
    pub changes: u64,
    /// `planning`, `running`, `done` or `abandoned`.
    pub state: String,
    /// Digest of the spec that the run began with.
    pub spec_digest: String,
    /// What became of the changes.
    pub counts: UndoCounts,
}

/// What became of changes that were to be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UndoCounts {
    /// Changes of the batches that are done.
    pub handled: u64,
    /// Rows that have their old image again.
    pub restored: u64,
    /// Rows that a change had made and that are gone again.
    pub removed: u64,
    /// Rows that a change had taken away and that are there again.
    pub inserted: u64,
    /// Rows that were as before the change.
    pub noop: u64,
    /// Those among the restored of which single columns stayed.
    pub merged: u64,
    /// Those whose conflict was overridden.
    pub forced: u64,
    /// Those that are back but for columns which the table keeps otherwise.
    pub altered: u64,
    /// Rows that somebody has changed since, left as they are.
    pub conflicts: u64,
    /// Rows that the store did not let go back.
    pub failed: u64,
    /// Those among the restored and inserted whose time to live is past, so that the store will take them away.
    pub expired: u64,
}

/// A batch that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoBatchRow {
    /// The entity.
    pub entity: String,
    /// Its number in the rollback, from 0.
    pub batch: u64,
    /// Its changes.
    pub changes: u64,
    /// What tells it from others.
    pub hash: String,
    /// Whether the target has it; else only a look there can tell.
    pub done: bool,
    /// The numbers of its changes in the rollback's own manifest, from–to.
    pub made: Vec<(u64, u64)>,
    /// When it was done, RFC 3339, UTC; `None` of one that is not.
    pub at: Option<String>,
}

/// A change that was not taken back, or not to the letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UndoException {
    /// The run that rolls back.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// The batch.
    pub batch: u64,
    /// The run whose change it is.
    pub of_run: String,
    /// The change's number there.
    pub seq: u64,
    /// JSON object of the key's values, as people read them.
    pub key: String,
    /// `ROLLBACK_CONFLICT`, `FAILED_RETRYABLE`, `FAILED_PERMANENT` or `ALTERED`.
    pub state: String,
    /// A word of ours, or the store's own code.
    pub code: String,
    /// The column that it is about.
    pub column: Option<String>,
    /// In words.
    pub message: String,
    /// JSON object: `old`, `ours` and `now`, each null or a row, its values as people read them.
    pub images: String,
}

impl Ledger {
    /// Records what a run sets out to take back, all or nothing.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn begin_rollbacks(&self, rollbacks: &[Rollback]) -> Result<()> {
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            for r in rollbacks {
                let undo_of = serde_json::to_string(&r.undo_of).expect("names are always JSON");
                let row = params![r.run_id, r.entity, r.target, r.options, undo_of, r.is_whole];
                transaction.execute(sql::INSERT_ROLLBACK, row)?;
            }
            transaction.commit()
        })
    }

    /// Records how many changes of each entity there are to take back. The plan must be durable.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn plan_rollback(&self, run_id: &str, changes: &[(String, u64)]) -> Result<()> {
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            for (entity, changes) in changes {
                transaction.execute(sql::PLAN_ROLLBACK, params![run_id, entity, *changes as i64])?;
            }
            fault::point("rollback.before-planned");
            transaction.commit()
        })
    }

    /// Says which changes a batch made of which only the target knew; `is_rollback` tells whose batch it is.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn settle_batch(
        &self,
        (run_id, entity): (&str, &str),
        batch: u64,
        made: &[(u64, u64)],
        is_rollback: bool,
    ) -> Result<()> {
        let made = serde_json::to_string(made).expect("numbers are always JSON");
        let sql = if is_rollback { sql::SETTLE_UNDO_BATCH } else { sql::SETTLE_BATCH };
        self.execute(sql, params![run_id, entity, batch as i64, made])
    }

    /// Ends a rollback: `done` or `abandoned`.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn end_rollback(&self, run_id: &str, state: &str) -> Result<()> {
        self.execute(sql::END_ROLLBACK, params![run_id, state])
    }

    /// All that was taken back, oldest first.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn rollbacks(&self) -> Result<Vec<Rollback>> {
        self.with(|conn| conn.prepare_cached(sql::ROLLBACKS)?.query_map([], rollback)?.collect())
    }

    /// The batches of a rollback that were begun, in order.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn undo_batches(&self, run_id: &str) -> Result<Vec<UndoBatchRow>> {
        self.with(|conn| {
            conn.prepare_cached(sql::UNDO_BATCHES)?
                .query_map([run_id], |row| {
                    Ok(UndoBatchRow {
                        entity: row.get(0)?,
                        batch: row.get::<_, i64>(1)? as u64,
                        changes: row.get::<_, i64>(2)? as u64,
                        hash: row.get(3)?,
                        done: row.get::<_, String>(4)? == "ROLLED_BACK",
                        made: serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default(),
                        at: row.get(6)?,
                    })
                })?
                .collect()
        })
    }

    /// Says that a batch is about to be taken back. Saying it again changes nothing.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn begin_undo_batch(
        &self,
        (run_id, entity): (&str, &str),
        batch: u64,
        changes: u64,
        hash: &str,
    ) -> Result<()> {
        let row = params![run_id, entity, batch as i64, changes as i64, hash];
        self.execute(sql::BEGIN_UNDO_BATCH, row)
    }

    /// Says that a batch was taken back, with its changes that were not.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn end_undo_batch(
        &self,
        (run_id, entity): (&str, &str),
        batch: u64,
        counts: &UndoCounts,
        made: &[(u64, u64)],
        exceptions: &[UndoException],
    ) -> Result<()> {
        let made = serde_json::to_string(made).expect("numbers are always JSON");
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            let row = params![run_id, entity, batch as i64, made, now()];
            if transaction.prepare_cached(sql::END_UNDO_BATCH)?.execute(row)? > 0 {
                let c = counts;
                let sums = [
                    c.handled,
                    c.restored,
                    c.removed,
                    c.inserted,
                    c.noop,
                    c.merged,
                    c.forced,
                    c.altered,
                    c.conflicts,
                    c.failed,
                    c.expired,
                ];
                let sums = sums.map(|n| rusqlite::types::Value::Integer(n as i64));
                let names = [run_id, entity].map(|text| rusqlite::types::Value::Text(text.to_owned()));
                let row = rusqlite::params_from_iter(names.into_iter().chain(sums));
                transaction.prepare_cached(sql::ADD_TO_ROLLBACK)?.execute(row)?;
                for e in exceptions {
                    insert(&transaction, e)?;
                }
            }
            fault::point("rollback.before-done");
            transaction.commit()
        })
    }

    /// Hands over the changes that a rollback did not take back, or not to the letter.
    ///
    /// # Errors
    /// A ledger that cannot be read; what `each` says.
    pub fn undo_exceptions(
        &self,
        run_id: &str,
        mut each: impl FnMut(UndoException) -> Result<()>,
    ) -> Result<()> {
        let mut failed = Ok(());
        self.with(|conn| {
            let mut statement = conn.prepare_cached(sql::UNDO_EXCEPTIONS)?;
            let mut rows = statement.query([run_id])?;
            while let Some(row) = rows.next()? {
                failed = each(exception(row)?);
                if failed.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        failed
    }
}

fn rollback(row: &Row<'_>) -> rusqlite::Result<Rollback> {
    let count = |column: usize| row.get::<_, i64>(column).map(|n| n as u64);
    Ok(Rollback {
        run_id: row.get(0)?,
        entity: row.get(1)?,
        target: row.get(2)?,
        options: row.get(3)?,
        undo_of: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
        is_whole: row.get(5)?,
        changes: count(6)?,
        state: row.get(7)?,
        spec_digest: row.get(8)?,
        counts: UndoCounts {
            handled: count(9)?,
            restored: count(10)?,
            removed: count(11)?,
            inserted: count(12)?,
            noop: count(13)?,
            merged: count(14)?,
            forced: count(15)?,
            altered: count(16)?,
            conflicts: count(17)?,
            failed: count(18)?,
            expired: count(19)?,
        },
    })
}

fn insert(conn: &rusqlite::Connection, e: &UndoException) -> rusqlite::Result<()> {
    let (batch, seq) = (e.batch as i64, e.seq as i64);
    let row = params![
        e.run_id, e.entity, batch, e.of_run, seq, e.key, e.state, e.code, e.column, e.message, e.images
    ];
    conn.prepare_cached(sql::INSERT_UNDO_EXCEPTION)?.execute(row).map(|_| ())
}

fn exception(row: &Row<'_>) -> rusqlite::Result<UndoException> {
    Ok(UndoException {
        run_id: row.get(0)?,
        entity: row.get(1)?,
        batch: row.get::<_, i64>(2)? as u64,
        of_run: row.get(3)?,
        seq: row.get::<_, i64>(4)? as u64,
        key: row.get(5)?,
        state: row.get(6)?,
        code: row.get(7)?,
        column: row.get(8)?,
        message: row.get(9)?,
        images: row.get(10)?,
    })
}
