//! The ledger: the durable truth of a home, and the only owner of SQLite.
//!
//! One process at a time may write (a lock on a file and a random epoch, never a process id); any number may read while it
//! does. Every statement is a file under `queries/ledger/`; the schema is made by numbered migrations that are never edited.

pub mod lock;
pub mod manifest;
pub mod migration;
pub mod part;
pub mod proof;
mod reader;
pub mod rollback;
pub mod told;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Context, Error, Result};
use crate::fault;
use crate::query::ledger as sql;
use lock::take_lock;
use part::Part;
use proof::Proof;

/// A home that this process may write to. The lock goes with it.
#[derive(Debug)]
pub struct Ledger {
    conn: Mutex<Connection>,
    home: PathBuf,
    epoch: String,
    _lock: Option<File>,
}

/// A run as the ledger has it.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its id: time, command and a random part.
    pub run_id: String,
    /// `stage`, `diff`, …
    pub command: String,
    /// `running`, `done`, `failed` or `interrupted`.
    pub state: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub ended_at: Option<String>,
    /// What the process exited with.
    pub exit_code: Option<i64>,
    /// Where its reports are.
    pub folder: Option<String>,
    /// How it ended, in words.
    pub message: Option<String>,
    /// Digest of the spec that it began with.
    pub spec_digest: String,
}

/// A staging of a dataset.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Its number, rising.
    pub id: i64,
    /// Digest of what the spec says of the dataset.
    pub definition: String,
    /// Whether every unit is staged.
    pub complete: bool,
    /// RFC 3339, UTC; nothing in it was read before.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub completed_at: Option<String>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// What was proven equal to the other side in the stores, where that was not staged.
    pub proof: Option<Proof>,
}

/// What a run has staged of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedBy {
    /// The staging's number.
    pub generation: i64,
    /// The dataset.
    pub dataset: String,
    /// `staging` or `complete`.
    pub state: String,
    /// Units that are staged.
    pub units: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows that did not parse.
    pub failures: u64,
}

/// A staged unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitRow {
    /// Its place among the generation's units.
    pub ordinal: i64,
    /// The file.
    pub path: String,
    /// The file's state when it was read.
    pub stamp: String,
    /// Hex XXH3-128 of its bytes.
    pub digest: String,
    /// What a manifest said of it, as it was when the unit was verified.
    pub expected: Option<String>,
    /// Its bytes.
    pub bytes: u64,
    /// Rows in its parts.
    pub rows: u64,
    /// Rows that did not parse.
    pub failures: u64,
    /// JSON list of its parts.
    pub parts: String,
    /// JSON list of its parts' columns.
    pub columns: String,
    /// JSON of the part that holds the rows that did not parse.
    pub failed: Option<String>,
    /// Where the reading goes on, in another unit; `None` where it came to its end.
    pub next: Option<String>,
}

impl UnitRow {
    /// Its parts, as they were when they were written.
    ///
    /// # Errors
    /// A ledger that is damaged.
    pub fn parts(&self) -> Result<Vec<Part>> {
        serde_json::from_str(&self.parts)
            .or_failed(|| format!("the ledger's parts of {} are damaged", self.path))
    }

    /// The file that holds the rows that did not parse, where there are some.
    ///
    /// # Errors
    /// A ledger that is damaged.
    pub fn failed(&self) -> Result<Option<Part>> {
        let read = self.failed.as_deref().map(serde_json::from_str).transpose();
        read.or_failed(|| format!("the ledger's failures of {} are damaged", self.path))
    }
}

/// How many records of an entity are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The run that decided it.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// `VERIFIED`, `MISMATCHED`, …
    pub state: String,
    /// Rows of the source.
    pub source_records: u64,
    /// Rows of the target.
    pub target_records: u64,
}

/// What there is to say of a live dataset whose units were not all read as of one moment: a record that moved meanwhile may be
/// there twice, or not at all.
pub fn moments<'a>(units: impl IntoIterator<Item = &'a UnitRow>) -> Option<String> {
    let stamps: std::collections::BTreeSet<&str> =
        units.into_iter().map(|unit| unit.stamp.as_str()).collect();
    (stamps.len() > 1).then(|| {
        format!(
            "not one moment: the staging was interrupted and its units were read as of {} moments; \
             a record that changed in between may look different, missing or extra",
            stamps.len()
        )
    })
}

/// Now, as the ledger writes times.
pub fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// A random text of 16 hex digits.
pub fn random_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds each of these from the operating system's randomness.
    format!("{:016x}", std::hash::RandomState::new().build_hasher().finish())
}

impl Ledger {
    /// Takes the home for writing; makes it where there is none.
    ///
    /// # Errors
    /// A home that another run holds, a ledger of a newer version, a disk that is full or refuses (all exit 4).
    pub fn open(home: &Path, command: &str) -> Result<Self> {
        let fail = || format!("cannot use {}", home.display());
        fs::create_dir_all(home).or_failed(fail)?;
        let epoch = random_id();
        let lock = take_lock(&home.join("lock"), command, &epoch)?;
        let mut conn = Connection::open(home.join("ledger.db")).or_failed(fail)?;
        migrate(&mut conn, home)?;
        let ledger = Self { conn: Mutex::new(conn), home: home.to_path_buf(), epoch, _lock: Some(lock) };
        for run_id in ledger.close_abandoned_runs()? {
            remove_half_written(&home.join("runs").join(run_id));
        }
        Ok(ledger)
    }

    /// Opens the home for reading, also while another process writes; `None` where there is none yet.
    ///
    /// # Errors
    /// A ledger that cannot be read, or of a newer version.
    pub fn open_reader(home: &Path) -> Result<Option<Self>> {
        let path = home.join("ledger.db");
        if !path.exists() {
            return Ok(None);
        }
        let conn = reader::open(&path)?;
        if check_version(&conn, home)? < sql::MIGRATIONS.len() {
            return Err(Error::failed(format!("{} was made by an earlier recon", path.display()))
                .help("run `recon stage` or `recon diff` once: it brings it up to date"));
        }
        Ok(Some(Self { conn: Mutex::new(conn), home: home.to_path_buf(), epoch: String::new(), _lock: None }))
    }

    /// Forgets everything: the home's folders, the engine's file, the ledger itself last. Only the lock's file stays, since
    /// whoever waits for it must find the same one.
    ///
    /// # Errors
    /// A file that cannot be deleted.
    pub fn delete(self) -> Result<()> {
        let Self { conn, home, epoch: _, _lock } = self;
        for name in ["stage", "folds", "runs", "tmp", "logs"] {
            let path = home.join(name);
            if path.exists() {
                fs::remove_dir_all(&path).or_failed(|| format!("cannot delete {}", path.display()))?;
            }
        }
        drop(conn);
        for name in ["stage.duckdb", "stage.duckdb.wal", "ledger.db-wal", "ledger.db-shm", "ledger.db"] {
            let path = home.join(name);
            if path.exists() {
                fs::remove_file(&path).or_failed(|| format!("cannot delete {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let conn = self.conn.lock().expect("nobody panics while holding the ledger");
        work(&conn).or_failed(|| format!("cannot use {}", self.home.join("ledger.db").display()))
    }

    fn execute(&self, statement: &str, params: impl rusqlite::Params) -> Result<()> {
        self.with(|conn| conn.execute(statement, params).map(|_| ()))
    }

    fn close_abandoned_runs(&self) -> Result<Vec<String>> {
        self.with(|conn| {
            let ended_at = now();
            conn.prepare(sql::CLOSE_ABANDONED_RUNS)?.query_map([ended_at], |row| row.get(0))?.collect()
        })
    }

    /// Begins a run and returns its id.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn begin_run(&self, command: &str, spec_digest: &str) -> Result<String> {
        let clock = Timestamp::now().strftime("%Y%m%d-%H%M%S%3f").to_string();
        let run_id = format!("{clock}-{command}-{}", &self.epoch[..4]);
        self.execute(sql::INSERT_RUN, params![run_id, command, spec_digest, self.epoch, now()])?;
        Ok(run_id)
    }

    /// Ends a run.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn finish_run(
        &self,
        run_id: &str,
        exit_code: u8,
        folder: Option<&Path>,
        message: Option<&str>,
    ) -> Result<()> {
        let state = end_state(exit_code, message);
        let folder = folder.map(|f| f.display().to_string());
        self.execute(sql::FINISH_RUN, params![run_id, state, now(), exit_code, folder, message])
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRow>> {
        self.with(|conn| conn.prepare_cached(sql::RUNS)?.query_map([limit], run_row)?.collect())
    }

    /// The newest runs as they are and not only as they are recorded: one that is recorded as running though nobody holds the
    /// home was killed. The holder of the home comes with them, where there is one.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn runs_now(&self, limit: u32) -> Result<(Vec<RunRow>, Option<String>)> {
        let is_running = |run: &RunRow| run.state == "running";
        let runs = self.runs(limit)?;
        let holder = Self::holder(&self.home);
        if holder.is_some() || !runs.iter().any(is_running) {
            return Ok((runs, holder));
        }
        // It may have ended between the two looks.
        let mut runs = self.runs(limit)?;
        for run in runs.iter_mut().filter(|run| is_running(run)) {
            run.state = "interrupted".to_owned();
            run.message = Some("the process ended without a word".to_owned());
        }
        Ok((runs, None))
    }

    /// The newest generation of a dataset.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn latest_generation(&self, dataset: &str) -> Result<Option<Generation>> {
        self.with(|conn| {
            conn.query_row(sql::LATEST_GENERATION, [dataset], |row| {
                let (warnings, proof): (String, Option<String>) = (row.get(4)?, row.get(5)?);
                let damaged = |e| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(e));
                Ok(Generation {
                    id: row.get(0)?,
                    definition: row.get(1)?,
                    complete: row.get::<_, String>(2)? == "complete",
                    started_at: row.get(6)?,
                    completed_at: row.get(3)?,
                    warnings: serde_json::from_str(&warnings).unwrap_or_default(),
                    proof: proof.map(|text| serde_json::from_str(&text).map_err(damaged)).transpose()?,
                })
            })
            .optional()
        })
    }

    /// The stagings that a run began, as far as no newer ones took their place.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn generations_of(&self, run_id: &str) -> Result<Vec<StagedBy>> {
        self.with(|conn| {
            conn.prepare_cached(sql::GENERATIONS_OF)?
                .query_map([run_id], |row| {
                    let count = |i: usize| row.get::<_, i64>(i).map(|n| n as u64);
                    let (units, rows, failures) = (count(3)?, count(4)?, count(5)?);
                    Ok(StagedBy {
                        generation: row.get(0)?,
                        dataset: row.get(1)?,
                        state: row.get(2)?,
                        units,
                        rows,
                        failures,
                    })
                })?
                .collect()
        })
    }

    /// Begins a generation with the units that it takes over from the one before, and returns its number. All or nothing:
    /// what is not taken over would have to be read again.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn begin_generation(
        &self,
        dataset: &str,
        definition: &str,
        run_id: &str,
        warnings: &[String],
        kept: &[&UnitRow],
    ) -> Result<i64> {
        let warnings = serde_json::to_string(warnings).expect("texts are always JSON");
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            transaction
                .execute(sql::INSERT_GENERATION, params![dataset, definition, run_id, now(), warnings])?;
            let generation = transaction.last_insert_rowid();
            fault::point("ledger.generation-inserted");
            for unit in kept {
                insert_unit(&transaction, generation, unit)?;
            }
            transaction.commit()?;
            Ok(generation)
        })
    }

    /// Replaces what is said of a generation that is under way.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn describe_generation(
        &self,
        generation: i64,
        warnings: &[String],
        proof: Option<&Proof>,
    ) -> Result<()> {
        let warnings = serde_json::to_string(warnings).expect("texts are always JSON");
        let proof = proof.map(|proof| serde_json::to_string(proof).expect("a proof is always JSON"));
        self.execute(sql::DESCRIBE_GENERATION, params![generation, warnings, proof])
    }

    /// Marks a generation whole and forgets the dataset's older ones.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn complete_generation(&self, dataset: &str, generation: i64) -> Result<()> {
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            transaction.execute(sql::COMPLETE_GENERATION, params![generation, now()])?;
            fault::point("ledger.generation-completed");
            transaction.execute(sql::DELETE_OLD_GENERATIONS, params![dataset, generation])?;
            transaction.commit()
        })
    }

    /// Records a unit. Its parts must be durable.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn insert_unit(&self, generation: i64, unit: &UnitRow) -> Result<()> {
        self.with(|conn| insert_unit(conn, generation, unit))
    }

    /// The units of a generation in their order.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn units(&self, generation: i64) -> Result<Vec<UnitRow>> {
        self.with(|conn| {
            conn.prepare_cached(sql::UNITS)?
                .query_map([generation], |row| {
                    Ok(UnitRow {
                        ordinal: row.get(0)?,
                        path: row.get(1)?,
                        stamp: row.get(2)?,
                        digest: row.get(3)?,
                        expected: row.get(4)?,
                        bytes: row.get::<_, i64>(5)? as u64,
                        rows: row.get::<_, i64>(6)? as u64,
                        failures: row.get::<_, i64>(7)? as u64,
                        parts: row.get(8)?,
                        columns: row.get(9)?,
                        failed: row.get(10)?,
                        next: row.get(11)?,
                    })
                })?
                .collect()
        })
    }

    /// Records the states of an entity's records after a run.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn insert_totals(&self, totals: &[Total]) -> Result<()> {
        self.with(|conn| {
            let transaction = conn.unchecked_transaction()?;
            for t in totals {
                let counts = (t.source_records as i64, t.target_records as i64);
                transaction
                    .execute(sql::INSERT_TOTAL, params![t.run_id, t.entity, t.state, counts.0, counts.1])?;
                fault::point("ledger.total-inserted");
            }
            transaction.commit()
        })
    }

    /// The states of all records after the newest diffs.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn totals(&self) -> Result<Vec<Total>> {
        self.with(|conn| {
            conn.prepare_cached(sql::TOTALS)?
                .query_map([], |row| {
                    Ok(Total {
                        run_id: row.get(0)?,
                        entity: row.get(1)?,
                        state: row.get(2)?,
                        source_records: row.get::<_, i64>(3)? as u64,
                        target_records: row.get::<_, i64>(4)? as u64,
                    })
                })?
                .collect()
        })
    }

    /// The seed of this home's row hashes: random once, so that nobody can prepare two rows with one hash.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn hash_seed(&self) -> Result<u64> {
        let known =
            || self.with(|conn| conn.query_row(sql::SETTING, ["hash_seed"], |row| row.get(0)).optional());
        let text: String = match known()? {
            Some(text) => text,
            None => {
                self.execute(sql::INSERT_SETTING, params!["hash_seed", random_id()])?;
                known()?.unwrap_or_default()
            }
        };
        u64::from_str_radix(&text, 16).or_failed(|| "the ledger's hash seed is damaged".to_owned())
    }
}

/// The state of a run that ended: `done`, `interrupted` or `failed`. Where something could not be compared the run came to its end all
/// the same, and has no message.
pub fn end_state(exit_code: u8, message: Option<&str>) -> &'static str {
    match (exit_code, message) {
        (0 | 1, _) | (3, None) => "done",
        (3, Some(_)) => "interrupted",
        _ => "failed",
    }
}

/// A row of `runs.sql` or `last_migration.sql`.
fn run_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        run_id: row.get(0)?,
        command: row.get(1)?,
        state: row.get(2)?,
        started_at: row.get(3)?,
        ended_at: row.get(4)?,
        exit_code: row.get(5)?,
        folder: row.get(6)?,
        message: row.get(7)?,
        spec_digest: row.get(8)?,
    })
}

fn insert_unit(conn: &Connection, generation: i64, unit: &UnitRow) -> rusqlite::Result<()> {
    let row = params![
        generation,
        unit.ordinal,
        unit.path,
        unit.stamp,
        unit.digest,
        unit.expected,
        unit.bytes as i64,
        unit.rows as i64,
        unit.failures as i64,
        unit.parts,
        unit.columns,
        unit.failed,
        unit.next
    ];
    conn.execute(sql::INSERT_UNIT, row).map(|_| ())
}

/// Reports that a killed run had begun and that no later run would finish. A leftover costs space, not truth, so a failure to
/// remove one is nobody's concern.
fn remove_half_written(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "tmp") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn check_version(conn: &Connection, home: &Path) -> Result<usize> {
    let fail = || format!("cannot read {}", home.join("ledger.db").display());
    let version: i64 = conn.query_row("pragma user_version", [], |row| row.get(0)).or_failed(fail)?;
    let known = sql::MIGRATIONS.len() as i64;
    if version > known {
        return Err(Error::failed(format!(
            "{} is of version {version}; this recon knows versions up to {known}",
            home.join("ledger.db").display()
        ))
        .help("use the newer recon that made it, or another --home"));
    }
    usize::try_from(version).or_failed(fail)
}

fn migrate(conn: &mut Connection, home: &Path) -> Result<()> {
    let fail = || format!("cannot prepare {}", home.join("ledger.db").display());
    conn.busy_timeout(Duration::from_secs(5)).or_failed(fail)?;
    conn.execute_batch("pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;")
        .or_failed(fail)?;
    let done = check_version(conn, home)?;
    for (i, migration) in sql::MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = conn.transaction().or_failed(fail)?;
        transaction.execute_batch(migration).or_failed(fail)?;
        transaction.pragma_update(None, "user_version", i as i64 + 1).or_failed(fail)?;
        fault::point("ledger.before-migrated");
        transaction.commit().or_failed(fail)?;
    }
    Ok(())
}
