//! Taking changes back: what a target does for a rollback, and what is decided about a row whatever store it is in.
//!
//! A change is taken back only where the row is what the change made of it. Where it is as it was before, there is nothing to do.
//! Anything else is somebody's work, and a conflict. A rollback keeps old images of its own, so that it can be taken back in turn.

mod decide;
mod references;
mod within;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

pub use self::decide::{Step, Write, decide};
pub use self::references::Asked;
pub(crate) use self::references::Reference;
pub use self::within::changing;
pub(crate) use self::within::{Refused, Rows, within};
use super::retry::Retries;
pub use super::{Fault, FaultClass, Trouble};
use super::{Images, Receipt};
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::ledger::manifest::{Change, Image, Op, Origin};
use crate::spec::{Dataset, DatasetKind};

/// A table of which changes are taken back. What is to be done is in a manifest; no mapping is needed.
pub trait Undo: Send + Sync {
    /// As [`super::Target::fingerprint`].
    fn fingerprint(&self) -> &str;

    /// The columns of a whole row, in their order; empty where a row is all that it holds.
    fn columns(&self) -> &[String];

    /// The table as foreign keys that refer to it are told of, see [`Asked::not_of`]; empty where a store has none.
    fn own_name(&self) -> &str {
        ""
    }

    /// Batches under way at once: one where rows of the table refer to each other.
    fn concurrency(&self) -> usize;

    /// As [`super::Target::writes_in_parts`].
    fn writes_in_parts(&self) -> bool {
        false
    }

    /// What the marker of a batch says, where it is there.
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn receipt(&self, run_id: &str, entity: &str, batch: u64) -> Result<Option<Receipt>> {
        let _ = (run_id, entity, batch);
        Ok(None)
    }

    /// Hex SHA-256 of a row, as the manifests of this kind of target have it. `columns` are those of a whole row then.
    fn digest(&self, row: &Image, columns: &[String]) -> Result<String>;

    /// A row in one spelling: two of the same values are equal.
    ///
    /// # Errors
    /// An image that is none of this kind of target.
    fn spelled(&self, row: &Image) -> Result<Image> {
        Ok(row.clone())
    }

    /// A value of an image for people; `None` for NULL.
    fn text(&self, value: &Json) -> Option<String> {
        match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// A session of a worker.
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn session(&self) -> Result<Box<dyn UndoSession + '_>, Trouble>;

    /// As [`super::Target::forget`].
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn forget(&self, run_id: &str, entity: &str) -> Result<()>;
}

/// One worker's connection.
pub trait UndoSession {
    /// Reads the rows of some keys, in the order of the keys; nothing is locked.
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn look(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble>;

    /// Which of these rows others refer to that would go or change with them, by their place, and what those are. Of the rows
    /// themselves one may refer to another.
    ///
    /// # Errors
    /// A store that cannot be reached.
    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble> {
        let _ = (keys, asked);
        Ok(Vec::new())
    }

    /// Takes the changes of a batch back, those left out that are in conflict or do not go; where its marker is there already, nothing.
    /// The images of what is about to change are handed to `images`, which returns when they are on disk.
    ///
    /// # Errors
    /// Why the batch as a whole is not taken back; then nothing of it is. A conflict is one under [`OnConflict::Abort`].
    fn undo(&mut self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble>;
}

/// A batch of changes that are to be taken back. A key occurs once.
#[derive(Debug)]
pub struct UndoBatch<'a> {
    /// The rollback.
    pub run_id: &'a str,
    /// The entity.
    pub entity: &'a str,
    /// Its number in the rollback.
    pub number: u64,
    /// What tells it from others.
    pub hash: &'a str,
    /// The changes, the newest first.
    pub changes: &'a [Change],
    /// The run that made them.
    pub of_run: &'a str,
    /// By what is decided.
    pub guard: &'a Guard,
    /// What rows stand for that this rollback has restored already, by [`key_text`].
    pub stand_ins: &'a StandIns,
    /// As [`super::Batch::earlier`].
    pub earlier: &'a [Change],
    /// As [`super::Batch::retries`].
    pub retries: Retries,
    /// Who may want to stop while a session waits.
    pub progress: &'a Progress,
}

/// Rows that this rollback has restored and that are not to the letter what they were, since their version went forward or a trigger
/// had its way: by [`key_id`] the digest of what is there, and of what was meant. Both are short, by [`short`].
pub type StandIns = HashMap<u128, (u128, u128)>;

/// What tells a key from others.
pub fn key_id(key: &Image) -> u128 {
    short(&serde_json::to_string(key).expect("a key is always JSON"))
}

/// The first 128 bits of a text's SHA-256: no two texts of one run have the same.
pub fn short(text: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    u128::from_be_bytes(digest[..16].try_into().expect("half of it"))
}

/// By what is decided whether a change is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The columns of a whole row, as the digests of the changes take them.
    pub columns: Vec<String>,
    /// The column that counts versions, where there is one.
    pub version: Option<String>,
    /// What is done about a row that somebody has changed since.
    pub policy: OnConflict,
}

/// What is done about a row that somebody has changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It stays as it is, and is reported
    #[default]
    Skip,
    /// The columns that are still as the run wrote them get their old values; the others stay
    Merge,
    /// Nothing is rolled back at all
    Abort,
    /// Its old image is written over it
    Force,
}

/// How a row is not what the change made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody has changed it.
    Changed,
    /// Somebody has deleted it.
    Deleted,
    /// It was deleted, and somebody has made another one of its key.
    Recreated,
    /// Somebody's rows refer to it, and would go or change with it.
    Referenced,
    /// The table has columns with values that it had not.
    Schema,
}

impl Kind {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Recreated => "recreated",
            Self::Referenced => "referenced",
            Self::Schema => "schema",
        }
    }

    /// What it means, for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Changed => "the row was changed after the run had written it",
            Self::Deleted => "the row was deleted after the run had written it; it is not made again",
            Self::Recreated => "there is another row of the key where the run had deleted one",
            Self::Referenced => "other rows refer to the row, and would go or change with it",
            Self::Schema => "the row has values in columns that the table did not have when the run wrote it",
        }
    }
}

/// A row that is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Why.
    pub kind: Kind,
    /// What is there.
    pub now: Option<Image>,
    /// More about it: which rows refer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of a batch of changes. Places are those of [`UndoBatch::changes`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Rows that have their old image again.
    pub restored: u64,
    /// Rows that the change had made and that are gone again.
    pub removed: u64,
    /// Rows that the change had taken away and that are there again.
    pub inserted: u64,
    /// Rows that were as before the change.
    pub noop: u64,
    /// Those among the restored of which single columns stayed as somebody has made them.
    pub merged: u64,
    /// Those among the restored, removed and inserted whose conflict was overridden.
    pub forced: u64,
    /// Rows left as they are.
    pub conflicts: Vec<(usize, Conflict)>,
    /// Rows that the store did not let go back.
    pub faults: Vec<(usize, Fault)>,
    /// Rows that are back, but for columns in which the table keeps another value than was written.
    pub altered: Vec<(usize, Vec<String>)>,
    /// The numbers in the rollback's manifest of the changes that were made, from–to.
    pub made: Vec<(u64, u64)>,
    /// Rows among the restored and inserted whose time to live is past, so that the store will soon remove them.
    #[serde(default)]
    pub expired: u64,
}

/// The digest of a row as it was meant, where this rollback has restored it and it is not that to the letter.
pub(crate) fn stood_for(stand_ins: &StandIns, change: &Change, digest: String) -> String {
    let found = if stand_ins.is_empty() { None } else { stand_ins.get(&key_id(&change.key)) };
    match (found, &change.post_hash) {
        (Some(found), Some(ours)) if *found == (short(&digest), short(ours)) => ours.clone(),
        _ => digest,
    }
}

/// Conflicts where none may be.
pub(crate) fn aborted(batch: &UndoBatch<'_>, undone: &Undone) -> Error {
    let first = undone.conflicts.first().map(|(place, conflict)| {
        let key = serde_json::to_string(&batch.changes[*place].key).expect("a key is always JSON");
        let detail = conflict.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!(": {key}: {}{detail}", conflict.kind.message())
    });
    Error::incomplete(format!(
        "entity `{}`: {} rows of a batch are in conflict, so nothing more is rolled back{}",
        batch.entity,
        undone.conflicts.len(),
        first.unwrap_or_default()
    ))
    .help(format!(
        "what was rolled back before stays so, and `rollback apply --run {} --new-run` undoes that; with --new-run and \
         --on-conflict skip, merge or force the rest is rolled back",
        batch.run_id
    ))
}

/// The change that taking one back is. `pre` and `post` are the row before and after, `hash` the digest of the row after.
pub(crate) fn made(
    batch: &UndoBatch<'_>,
    place: usize,
    pre: Option<Image>,
    post: Option<Image>,
    hash: Option<String>,
) -> Change {
    let undone = &batch.changes[place];
    let op = match (&pre, &post) {
        (None, _) => Op::Insert,
        (Some(_), Some(_)) => Op::Update,
        (Some(_), None) => Op::Delete,
    };
    let (run_id, was_done) = match &undone.origin {
        None => (batch.of_run.to_owned(), true),
        Some(origin) => (origin.run_id.clone(), !origin.was_done),
    };
    Change {
        seq: 0,
        batch: batch.number,
        pos: undone.pos,
        origin: Some(Origin { run_id, was_done }),
        op,
        table: undone.table.clone(),
        key: undone.key.clone(),
        columns: Vec::new(),
        post_hash: hash,
        post: post.filter(|_| pre.is_some()),
        pre,
    }
}

impl Undone {
    /// Counts a step that was taken.
    pub(crate) fn count(&mut self, step: &Step) {
        match step {
            Step::Nothing | Step::Conflict(_) => {}
            Step::Remove { forced } => {
                self.removed += 1;
                self.forced += u64::from(*forced);
            }
            Step::Write(write) => {
                *(if write.is_new { &mut self.inserted } else { &mut self.restored }) += 1;
                self.merged += u64::from(write.merged);
                self.forced += u64::from(write.forced);
            }
        }
    }
}

/// The numbers of changes as ranges, from–to. One that was put into no manifest has none.
pub(crate) fn ranges(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    let mut numbers: Vec<u64> = numbers.into_iter().filter(|seq| *seq > 0).collect();
    numbers.sort_unstable();
    for seq in numbers {
        match all.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => all.push((seq, seq)),
        }
    }
    all
}

/// A column that a manifest has and the table has not.
pub(crate) fn column_is_gone(at: &str, column: &str) -> Error {
    Error::usage(format!("{at} has no column `{column}`, which it had when it was written to"))
        .help("give the column its name back while the rollback runs: without it nobody can tell what was changed since")
}

/// Opens the table that a manifest is of: the registry of kinds. `key` are the columns of its keys.
///
/// # Errors
/// A store that cannot be reached; a table or a column of the key that is not there any more; a kind whose changes are not taken back.
pub fn open<'a>(dataset: &'a Dataset, key: &[String]) -> Result<Box<dyn Undo + 'a>> {
    match &dataset.kind {
        DatasetKind::Postgres(options) => Ok(Box::new(super::postgres::PostgresUndo::open(options, key)?)),
        DatasetKind::Dynamodb(options) => Ok(Box::new(super::dynamodb::DynamodbUndo::open(options, key)?)),
        DatasetKind::Mysql(options) => Ok(Box::new(super::mysql::MysqlUndo::open(options, key)?)),
        DatasetKind::Sqlite { path, what } => Ok(Box::new(super::sqlite::SqliteUndo::open(path, what, key)?)),
        DatasetKind::Csv(_)
        | DatasetKind::Jsonl { .. }
        | DatasetKind::Parquet { .. }
        | DatasetKind::DynamodbExport(_) => Err(Error::usage(format!(
            "dataset `{}` is files, of which recon changes none: there is nothing to roll back in them",
            dataset.name
        ))
        .help("remove the files of the run, which have its id in their names; `migrate` writes them again")),
    }
}
