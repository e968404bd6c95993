//! Writing an entity's records to its target: planned, in batches, resumable at any point, with every old image on disk first.
//!
//! In reading order: `mapped` (what of a record is written where), `keys` and `plan` (which records, in which batches), `batch` (a
//! batch's records as values), `run` (the batches' states, tries, failures), `dry_run` and `script` (what would be written) and one file
//! for each kind of [`Target`].
//!
//! # Order of writes
//! The ledger says that a batch is about to be written; the target's transaction takes the batch's marker in a table of recon's own,
//! locks and reads what is there, writes, and has the old images put into the manifest, durably, before it commits; then the ledger
//! says that the batch was written. Killed anywhere, the marker tells whether the batch is there. A target without transactions has the
//! old images of a batch put into the manifest before its first write, and after a kill finds out by them what was written.

pub mod batch;
pub mod dry_run;
pub mod dynamodb;
pub mod files;
pub mod keys;
pub mod mapped;
pub mod mysql;
pub mod plan;
pub mod postgres;
pub mod retry;
pub mod run;
pub mod script;
pub mod sqlite;
pub mod undo;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Progress;
use crate::ledger::manifest::Change;
use crate::ledger::migration::BatchRow;
use crate::spec::{Dataset, DatasetKind};
use crate::value::Value;
use mapped::Mapped;
use retry::Retries;
use script::{Frame, Scripted};

/// A kind of store that records can be written to.
pub trait Target: Send + Sync {
    /// What tells it from others: kind, place and table, without a secret.
    fn fingerprint(&self) -> &str;

    /// How it is written where nobody says otherwise.
    fn defaults(&self) -> Defaults;

    /// What a record's values are as they would be written, for people; also whether they can be written at all.
    ///
    /// # Errors
    /// Why the target would not take it.
    fn preview(&self, values: &[Value<'_>]) -> Result<Vec<Option<String>>, Fault>;

    /// What writing a record costs in write units, where the store counts those; see [`Target::units_a_second`].
    ///
    /// # Errors
    /// Why the target would not take it.
    fn cost(&self, values: &[Value<'_>]) -> Result<Option<u64>, Fault> {
        let _ = values;
        Ok(None)
    }

    /// Write units that the store takes in a second, where it says so.
    fn units_a_second(&self) -> Option<u64> {
        None
    }

    /// The columns of a whole row, in the order in which digests of rows take them; empty where a row is all that it holds.
    fn image_columns(&self) -> &[String] {
        &[]
    }

    /// Whether a batch may be there in part, so that a session needs the changes that were announced for it (see [`Batch::earlier`]).
    fn writes_in_parts(&self) -> bool {
        false
    }

    /// A place that takes the records of one entity alone.
    fn alone_in(&self) -> Option<&str> {
        None
    }

    /// Whether what was written there is never changed, so that a record is written once at most.
    fn is_written_once(&self) -> bool {
        false
    }

    /// Of a target that is written once: holds what lies there against what earlier runs wrote.
    ///
    /// # Errors
    /// What no run wrote, or wrote of other records (exit 2); what is gone.
    fn settle(&self, earlier: &[Earlier]) -> Result<Settled> {
        let _ = earlier;
        Ok(Settled::default())
    }

    /// Removes what [`Target::settle`] found left over.
    ///
    /// # Errors
    /// A store that cannot be reached or refuses.
    fn clear(&self, left: &[String]) -> Result<()> {
        let _ = left;
        Ok(())
    }

    /// Makes ready for batches.
    ///
    /// # Errors
    /// A store that cannot be reached or refuses.
    fn begin(&self) -> Result<()> {
        Ok(())
    }

    /// Completes what is written, once all batches are. `at_ns` is when the run began.
    ///
    /// # Errors
    /// A store that cannot be reached or refuses.
    fn finish(&self, at_ns: i128) -> Result<()> {
        let _ = at_ns;
        Ok(())
    }

    /// What stands around a script of this target.
    ///
    /// # Errors
    /// A target or a spec for which there is none (exit 2).
    fn script_frame(&self) -> Result<Frame> {
        Err(Error::usage(format!("{}: there is no script that would write there", self.fingerprint()))
            .help("replay without --sql"))
    }

    /// Appends what a person would run to write a batch; nothing is written.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn script(&self, batch: &Batch<'_>, out: &mut String) -> Result<Scripted, Trouble> {
        let _ = (batch, out);
        self.script_frame().map(|_| Scripted::default()).map_err(Trouble::from)
    }

    /// A session of a worker.
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn session(&self) -> Result<Box<dyn Session + '_>, Trouble>;

    /// Removes what the target keeps of a run for recon's sake, once the ledger has it all.
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn forget(&self, run_id: &str, entity: &str) -> Result<()>;
}

/// What the ledger knows of a run that wrote to a target that is written once.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// It is the run that is under way.
    pub is_own: bool,
    /// What it wrote goes with what is written now.
    pub is_fit: bool,
    /// The records of the batches that it wrote are not pending any more.
    pub is_kept: bool,
    /// The batches that it began.
    pub batches: Vec<BatchRow>,
}

/// What a target that is written once has of earlier runs.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Runs of which nothing is there any more, by run and entity: their records are pending again.
    pub gone: BTreeSet<(String, String)>,
    /// What is there of batches that no run will finish.
    pub left: Vec<String>,
}

/// A name as part of a file's.
pub fn escaped(name: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
        true => c.to_string(),
        false => format!("%{:x}", c as u32),
    };
    name.chars().map(plain).collect()
}

/// How a target is written where nobody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Records in a batch.
    pub batch_records: u64,
    /// Batches under way at once.
    pub concurrency: usize,
}

/// One worker's connection to a target.
pub trait Session {
    /// Writes a batch, whole or, where single records do not go in, but for those; where its marker is there already, nothing. The old
    /// images of what is about to change are handed to `images`, which returns when they are on disk.
    ///
    /// # Errors
    /// Why the batch as a whole is not written; then nothing of it is.
    fn apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble>;
}

/// Takes the changes of a batch and returns when they are on disk.
pub type Images<'a> = dyn FnMut(&mut Vec<Change>) -> Result<()> + 'a;

/// A batch on its way to the target.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The entity.
    pub entity: &'a str,
    /// Its number.
    pub number: u64,
    /// What tells it from others.
    pub hash: &'a str,
    /// Its records, those left out that cannot be written.
    pub records: &'a [Record<'a>],
    /// The changes that an earlier try handed to `images`, of a target that writes in parts: nobody knows which of them were made.
    pub earlier: &'a [Change],
    /// How often a single record is tried again, of a target that writes in parts.
    pub retries: Retries,
    /// Who may want to stop while a session waits.
    pub progress: &'a Progress,
}

/// A record on its way to the target.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its row in the batch.
    pub row: usize,
    /// Its position in the staged source.
    pub pos: i64,
    /// A value for each column.
    pub values: Vec<Value<'a>>,
}

/// What became of a batch in its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// Records that were not there.
    pub inserted: u64,
    /// Records that were there and were changed.
    pub updated: u64,
    /// Records that were there and are as they should be.
    pub unchanged: u64,
    /// Records that did not go in.
    pub faults: Vec<(usize, Fault)>,
    /// How often records were tried in this one try of the batch, by row, where it was more than once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tries: BTreeMap<usize, u64>,
    /// The numbers in the manifest of the changes that were made, from–to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<(u64, u64)>,
}

/// Whose fault it is that a record does not go in, and what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultClass {
    /// It may go in when it is tried again.
    Retryable,
    /// The record or the spec has to change first.
    Permanent,
    /// Somebody else's change is in its place.
    Conflict,
}

impl FaultClass {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Permanent => "permanent",
            Self::Conflict => "conflict",
        }
    }
}

/// Why a record does not go in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Whose fault it is.
    pub class: FaultClass,
    /// A word of ours, or the store's own code.
    pub code: String,
    /// The column that it is about.
    pub column: Option<String>,
    /// The store's own words, or ours.
    pub message: String,
}

impl Fault {
    /// A fault of the record itself, found by recon.
    pub fn permanent(code: &str, column: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            class: FaultClass::Permanent,
            code: code.to_owned(),
            column: column.map(str::to_owned),
            message: message.into(),
        }
    }
}

/// Why a batch as a whole is not written.
#[derive(Debug)]
pub enum Trouble {
    /// The store could not do it just now; trying again may help.
    Busy(Error),
    /// The connection is lost, so that nobody knows whether the batch is there: a new session finds out.
    Lost(Error),
    /// Trying again will not help: access denied, the table gone, the disk full.
    Fatal(Error),
}

impl Trouble {
    /// Its error.
    pub fn error(self) -> Error {
        match self {
            Self::Busy(error) | Self::Lost(error) | Self::Fatal(error) => error,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// To the target this key is another row's.
pub(crate) const SAME_TO_TARGET: &str = "to the target this key is the same as another record's";

/// Why a record that is there and differs is left as it is. `may_update`: what is there is changed under some conditions.
pub(crate) fn barred(mapped: &Mapped<'_>, may_update: bool) -> Fault {
    let (code, message) = match mapped.version.filter(|_| may_update) {
        Some(at) => {
            let version = &mapped.columns[at].name;
            ("version", format!("what is there differs and has the same or a higher {version}"))
        }
        None => ("exists", "what is there differs, and the policy is insert-only".to_owned()),
    };
    Fault { class: FaultClass::Conflict, ..Fault::permanent(code, None, message) }
}

/// Why a record that is not there is not written.
pub(crate) fn not_there() -> Fault {
    Fault::permanent("missing", None, "there is no record of this key, and the policy is update-only")
}

/// Opens a target: the registry of kinds.
///
/// # Errors
/// A store that cannot be reached; a table that cannot be written; a kind that is not written to.
pub fn open<'a>(dataset: &'a Dataset, mapped: &'a Mapped<'a>) -> Result<Box<dyn Target + 'a>> {
    match &dataset.kind {
        DatasetKind::Postgres(options) => Ok(Box::new(postgres::PostgresTarget::open(options, mapped)?)),
        DatasetKind::Dynamodb(options) => Ok(Box::new(dynamodb::DynamodbTarget::open(options, mapped)?)),
        DatasetKind::Mysql(options) => Ok(Box::new(mysql::MysqlTarget::open(options, mapped)?)),
        DatasetKind::Sqlite { path, what } => Ok(Box::new(sqlite::SqliteTarget::open(path, what, mapped)?)),
        DatasetKind::Csv(_)
        | DatasetKind::Jsonl { .. }
        | DatasetKind::Parquet { .. }
        | DatasetKind::DynamodbExport(_) => Ok(Box::new(files::FilesTarget::open(dataset, mapped)?)),
    }
}
