//! What the ledger knows of a run that writes: its plan, its batches, and the records that did not go through.

use rusqlite::{OptionalExtension, Row, params};

use super::{Ledger, RunRow, now, run_row};
use crate::error::Result;
use crate::fault;
use crate::query::ledger as sql;

/// An entity of a run that writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// `migrate` or `replay`.
    pub kind: String,
    /// The staging of the source that it is written from.
    pub generation: i64,
    /// Digest of what the spec says of the entity.
    pub mapping: String,
    /// What tells the target from others.
    pub target: String,
    /// JSON of what the command was asked for.
    pub options: String,
    /// Records that it sets out to write.
    pub records: u64,
    /// The batches that they are cut into.
    pub batches: u64,
    /// Records that are pending and that it leaves for another run.
    pub left_over: u64,
    /// `planning`, `running`, `done` or `abandoned`.
    pub state: String,
    /// Digest of the spec that the run began with.
    pub spec_digest: String,
    /// What became of its batches.
    pub counts: Counts,
}

impl Migration {
    /// Whether it keeps no old images (`--no-undo`).
    pub fn is_without_images(&self) -> bool {
        let options: serde_json::Value = serde_json::from_str(&self.options).unwrap_or_default();
        options["no_undo"] == true
    }
}

/// What became of a migration's batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that were written.
    pub applied: u64,
    /// Records of the batches that were written, those among them that did not go through.
    pub records: u64,
    /// Records that were not in the target.
    pub inserted: u64,
    /// Records that were there and were changed.
    pub updated: u64,
    /// Records that were there and are as they should be.
    pub unchanged: u64,
    /// Records that did not go through.
    pub failed: u64,
}

/// A batch that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// Its number, from 0.
    pub batch: u64,
    /// Its records.
    pub records: u64,
    /// Hex digest of them.
    pub hash: String,
    /// Whether the target has it; else only a look there can tell.
    pub applied: bool,
    /// Its records that were not in the target before.
    pub inserted: u64,
    /// The numbers in the manifest of the changes that were made, from–to.
    pub made: Vec<(u64, u64)>,
    /// When it was done, RFC 3339, UTC; `None` of one that is not.
    pub at: Option<String>,
}

/// A record that did not go through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// The batch that it was to be written with.
    pub batch: Option<u64>,
    /// Its position in the staged source.
    pub pos: i64,
    /// The staging that the position is in.
    pub generation: i64,
    /// JSON array of its key's texts; NULL for a field that is not there.
    pub key: String,
    /// Hex digest of its key; `None` where the key cannot be read.
    pub key_hash: Option<String>,
    /// Where it failed: `migrate`.
    pub stage: String,
    /// `retryable`, `permanent`, `conflict` or `fatal`.
    pub class: String,
    /// A word of ours, or the store's own code.
    pub code: String,
    /// The column that it is about.
    pub column: Option<String>,
    /// In words.
    pub message: String,
    /// How often it was tried.
    pub attempts: u64,
}

/// A record of a batch, as exceptions of earlier runs know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Hex digest of its key; `None` where the key cannot be read.
    pub key_hash: Option<String>,
    /// The staging that the position is in.
    pub generation: i64,
    /// Its position in the staged source.
    pub pos: i64,
}

/// What became of a batch that was written.
#[derive(Debug)]
pub struct Applied<'a> {
    /// How many records, by what became of them.
    pub counts: &'a Counts,
    /// The numbers in the manifest of the changes that were made, from–to.
    pub made: &'a [(u64, u64)],
    /// Its records that did not go through.
    pub exceptions: &'a [Exception],
    /// All its records: what is said of them from earlier runs into the same target no longer counts, but for how often they were
    /// tried.
    pub tried: &'a [Tried],
}

impl Ledger {
    /// Goes on with a run that was interrupted.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn resume_run(&self, run_id: &str) -> Result<()> {
        self.execute(sql::RESUME_RUN, params![run_id, self.epoch])
    }

    /// Records which entities a run sets out to write, all or none.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn begin_migrations(&self, migrations: &[Migration]) -> Result<()> {
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            for m in migrations {
                let row = params![m.run_id, m.entity, m.kind, m.generation, m.mapping, m.target, m.options];
                transaction.execute(sql::INSERT_MIGRATION, row)?;
            }
            fault::point("migrate.before-begun");
            transaction.commit()
        })
    }

    /// Records the plan of a migration, with the records that could not be planned. The plan's files must be durable.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn plan_migration(
        &self,
        (run_id, entity): (&str, &str),
        (records, batches, left_over): (u64, u64, u64),
    ) -> Result<()> {
        let row = params![run_id, entity, records as i64, batches as i64, left_over as i64];
        self.execute(sql::PLAN_MIGRATION, row)
    }

    /// Ends a migration: `done` where every batch was written, else `abandoned`.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn end_migration(&self, run_id: &str, entity: &str, state: &str) -> Result<()> {
        self.execute(sql::END_MIGRATION, params![run_id, entity, state])
    }

    /// All migrations, oldest first.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn migrations(&self) -> Result<Vec<Migration>> {
        let all: Option<&str> = None;
        self.with(|conn| conn.prepare_cached(sql::MIGRATIONS_OF_RUNS)?.query_map([all], migration)?.collect())
    }

    /// The migrations of a run, in the order in which it writes them.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn migrations_of(&self, run_id: &str) -> Result<Vec<Migration>> {
        self.with(|conn| {
            conn.prepare_cached(sql::MIGRATIONS_OF_RUNS)?.query_map([run_id], migration)?.collect()
        })
    }

    /// The newest run that wrote or was to write.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn last_migration(&self) -> Result<Option<RunRow>> {
        self.with(|conn| conn.query_row(sql::LAST_MIGRATION, [], run_row).optional())
    }

    /// The batches of a migration that were begun, in order.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn batches(&self, run_id: &str, entity: &str) -> Result<Vec<BatchRow>> {
        self.with(|conn| {
            conn.prepare_cached(sql::BATCHES)?
                .query_map([run_id, entity], |row| {
                    Ok(BatchRow {
                        batch: count(row, 0)?,
                        records: count(row, 1)?,
                        hash: row.get(2)?,
                        applied: row.get::<_, String>(3)? == "APPLIED",
                        inserted: count(row, 4)?,
                        made: serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default(),
                        at: row.get(6)?,
                    })
                })?
                .collect()
        })
    }

    /// Says that a batch is about to be written. Saying it again changes nothing.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn begin_batch(
        &self,
        (run_id, entity): (&str, &str),
        batch: u64,
        records: u64,
        hash: &str,
    ) -> Result<()> {
        self.execute(sql::BEGIN_BATCH, params![run_id, entity, batch as i64, records as i64, hash])
    }

    /// Says that a batch was written, with its records that did not go through.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn apply_batch(&self, (run_id, entity): (&str, &str), batch: u64, done: &Applied<'_>) -> Result<()> {
        let Applied { counts, made, exceptions, tried } = done;
        let made = serde_json::to_string(made).expect("numbers are always JSON");
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            let row = params![
                run_id,
                entity,
                batch as i64,
                counts.inserted as i64,
                counts.updated as i64,
                counts.unchanged as i64,
                counts.failed as i64,
                made,
                now()
            ];
            if transaction.prepare_cached(sql::APPLY_BATCH)?.execute(row)? > 0 {
                let batch = params![run_id, entity, batch as i64];
                transaction.prepare_cached(sql::ADD_TO_MIGRATION)?.execute(batch)?;
            }
            let open: bool = transaction
                .prepare_cached(sql::HAS_OPEN_EXCEPTIONS)?
                .query_row([entity, run_id], |row| row.get(0))?;
            let mut earlier = std::collections::HashMap::new();
            if open {
                let mut by_key = transaction.prepare_cached(sql::RESOLVE_KEY)?;
                let mut by_position = transaction.prepare_cached(sql::RESOLVE_POSITION)?;
                for Tried { key_hash, generation, pos } in *tried {
                    let mut attempts: Option<i64> = by_position
                        .query_row(params![entity, generation, pos, run_id], |row| row.get(0))
                        .optional()?;
                    if let Some(key) = key_hash {
                        let of_key = by_key.query_row([entity, key, run_id], |row| row.get(0)).optional()?;
                        attempts = of_key.or(attempts);
                    }
                    earlier.extend(attempts.map(|n| (*pos, n)));
                }
            }
            for e in *exceptions {
                let before = earlier.get(&e.pos).copied().unwrap_or(0);
                insert_exception(&transaction, e, before)?;
            }
            fault::point("migrate.before-applied");
            transaction.commit()
        })
    }

    /// Says of keys that failed earlier in a run's target that there is no record of them any more: nothing is left to be tried.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn resolve_gone(&self, (run_id, entity): (&str, &str), keys: &[u128]) -> Result<()> {
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            for key in keys {
                let row = params![entity, format!("{key:032x}"), run_id];
                transaction.prepare_cached(sql::RESOLVE_KEY)?.query_row(row, |_| Ok(())).optional()?;
            }
            transaction.commit()
        })
    }

    /// Says that all of a staging was tried in a run's target: nothing is left to be tried of the stagings before it.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn resolve_older(&self, (run_id, entity): (&str, &str), generation: i64) -> Result<()> {
        self.execute(sql::RESOLVE_OLDER, params![entity, generation, run_id])
    }

    /// Hands over the records that did not go through: of one run or of all, of one entity or of all, maybe only those that were not
    /// tried since.
    ///
    /// # Errors
    /// A ledger that cannot be read; what `each` says.
    pub fn exceptions(
        &self,
        run_id: Option<&str>,
        entity: Option<&str>,
        only_open: bool,
        mut each: impl FnMut(Exception) -> Result<()>,
    ) -> Result<()> {
        let mut failed = Ok(());
        self.with(|conn| {
            let mut statement = conn.prepare_cached(sql::EXCEPTIONS)?;
            let mut rows = statement.query(params![run_id, entity, only_open])?;
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

    /// How many records of an entity did not go through in a target and were not tried since.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn open_exceptions(&self, entity: &str, target: &str) -> Result<u64> {
        self.with(|conn| {
            conn.prepare_cached(sql::OPEN_EXCEPTIONS)?.query_row([entity, target], |row| count(row, 0))
        })
    }
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|n| n as u64)
}

fn migration(row: &Row<'_>) -> rusqlite::Result<Migration> {
    Ok(Migration {
        run_id: row.get(0)?,
        entity: row.get(1)?,
        kind: row.get(2)?,
        generation: row.get(3)?,
        mapping: row.get(4)?,
        target: row.get(5)?,
        options: row.get(6)?,
        records: count(row, 7)?,
        batches: count(row, 8)?,
        left_over: count(row, 9)?,
        state: row.get(10)?,
        spec_digest: row.get(11)?,
        counts: Counts {
            applied: count(row, 12)?,
            records: count(row, 13)?,
            inserted: count(row, 14)?,
            updated: count(row, 15)?,
            unchanged: count(row, 16)?,
            failed: count(row, 17)?,
        },
    })
}

fn exception(row: &Row<'_>) -> rusqlite::Result<Exception> {
    Ok(Exception {
        run_id: row.get(0)?,
        entity: row.get(1)?,
        batch: row.get::<_, Option<i64>>(2)?.map(|n| n as u64),
        pos: row.get(3)?,
        generation: row.get(4)?,
        key: row.get(5)?,
        key_hash: row.get(6)?,
        stage: row.get(7)?,
        class: row.get(8)?,
        code: row.get(9)?,
        column: row.get(10)?,
        message: row.get(11)?,
        attempts: count(row, 12)?,
    })
}

fn insert_exception(conn: &rusqlite::Connection, e: &Exception, before: i64) -> rusqlite::Result<()> {
    let row = params![
        e.run_id,
        e.entity,
        e.batch.map(|n| n as i64),
        e.pos,
        e.generation,
        e.key,
        e.key_hash,
        e.stage,
        e.class,
        e.code,
        e.column,
        e.message,
        e.attempts as i64 + before
    ];
    conn.prepare_cached(sql::INSERT_EXCEPTION)?.execute(row).map(|_| ())
}
