//! Taking changes back: what a target does for a rollback, and what is decided about a row whatever store it is in.
//!
//! A change is taken back only where the row is what the change made of it. Where it is as it was before, there is nothing to do.
//! Anything else is somebody's work, and a conflict. A rollback keeps old images of its own, so that it can be taken back in turn.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::retry::Retries;
pub use super::{Fault, FaultClass, Trouble};
use super::{Images, Receipt};
use crate::error::Result;
use crate::event::Progress;
use crate::ledger::manifest::{Change, Image, Op, Origin};
use crate::spec::{Dataset, DatasetKind};

/// A table of which changes are taken back. What is to be done is in a manifest; no mapping is needed.
pub trait Undo: Send + Sync {
    /// As [`super::Target::fingerprint`].
    fn fingerprint(&self) -> &str;

    /// The columns of a whole row, in their order; empty where a row is all that it holds.
    fn columns(&self) -> &[String];

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

    /// Takes the changes of a batch back, those left out that are in conflict or do not go; where its marker is there already, nothing.
    /// The images of what is about to change are handed to `images`, which returns when they are on disk.
    ///
    /// # Errors
    /// Why the batch as a whole is not taken back; then nothing of it is.
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

/// Rows whose version went forward when they were restored: the digest of what is there, and what it would be with the old version.
pub type StandIns = HashMap<String, (String, String)>;

/// One text for a key.
pub fn key_text(key: &Image) -> String {
    serde_json::to_string(key).expect("a key is always JSON")
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

/// What is to be done about a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is as it was before the change.
    Nothing,
    /// It stays as it is.
    Conflict(Conflict),
    /// It goes. `forced`: somebody has changed it.
    Remove {
        /// Whether a conflict was overridden.
        forced: bool,
    },
    /// It is written whole: over what is there, or anew.
    Write(Write),
}

/// A row that is written back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Write {
    /// What the row is to be.
    pub row: Image,
    /// Whether it is not there.
    pub is_new: bool,
    /// Whether somebody's columns stay.
    pub merged: bool,
    /// Whether a conflict was overridden.
    pub forced: bool,
}

/// Decides what is to be done to take a change back. `now` is what is there, `digest` the digest of that.
pub fn decide(change: &Change, now: Option<&Image>, digest: Option<&str>, guard: &Guard) -> Step {
    let is_ours = match (&change.post_hash, digest) {
        (Some(ours), Some(digest)) => ours == digest,
        (None, None) => true,
        _ => false,
    };
    let is_old = match (&change.pre, now) {
        (Some(pre), Some(now)) => is_same(pre, now, guard),
        (None, None) => true,
        _ => false,
    };
    let added = now.filter(|_| change.pre.is_none() && is_ours).and_then(|now| added(now, &guard.columns));
    let kind = match (now, &change.post_hash, added) {
        (_, _, Some(_)) => Kind::Schema,
        _ if is_ours => return back(change, now, guard, false),
        _ if is_old => return Step::Nothing,
        (None, ..) => Kind::Deleted,
        (Some(_), None, _) => Kind::Recreated,
        (Some(_), Some(_), _) => Kind::Changed,
    };
    match guard.policy {
        OnConflict::Force => back(change, now, guard, true),
        OnConflict::Merge if kind == Kind::Changed => {
            merged(change, now, guard).map_or_else(|| conflict(kind, now, added), Step::Write)
        }
        OnConflict::Skip | OnConflict::Merge | OnConflict::Abort => conflict(kind, now, added),
    }
}

fn conflict(kind: Kind, now: Option<&Image>, added: Option<&str>) -> Step {
    let detail = added.map(|name| format!("column {name}"));
    Step::Conflict(Conflict { kind, now: now.cloned(), detail })
}

/// A column that has a value and that a row did not have then.
fn added<'i>(now: &'i Image, columns: &[String]) -> Option<&'i str> {
    let mut new = now.iter().filter(|(name, value)| !value.is_null() && !columns.contains(name));
    // Where a row is all that it holds, the digest tells of any attribute.
    new.next().filter(|_| !columns.is_empty()).map(|(name, _)| name.as_str())
}

/// Whether both are one row, but for its version. Columns that the old image does not have are of a later table.
fn is_same(pre: &Image, now: &Image, guard: &Guard) -> bool {
    let is_version = |name: &String| guard.version.as_ref() == Some(name);
    let is_whole =
        !guard.columns.is_empty() || now.keys().all(|name| pre.contains_key(name) || is_version(name));
    is_whole && pre.iter().all(|(name, value)| is_version(name) || now.get(name) == Some(value))
}

/// Takes a change back, whatever is there.
fn back(change: &Change, now: Option<&Image>, guard: &Guard, forced: bool) -> Step {
    match (&change.pre, now) {
        (None, None) => Step::Nothing,
        (None, Some(_)) => Step::Remove { forced },
        (Some(pre), None) => Step::Write(Write { row: pre.clone(), is_new: true, merged: false, forced }),
        (Some(pre), Some(now)) => {
            let mut row = pre.clone();
            // What the table has got since stays.
            let later = |name: &String| !guard.columns.is_empty() && !pre.contains_key(name);
            row.extend(
                now.iter().filter(|(name, _)| later(name)).map(|(name, value)| (name.clone(), value.clone())),
            );
            forward(&mut row, pre, now, guard);
            Step::Write(Write { row, is_new: false, merged: false, forced })
        }
    }
}

/// Puts back what is still as the change wrote it, if anything is.
fn merged(change: &Change, now: Option<&Image>, guard: &Guard) -> Option<Write> {
    let (pre, post, now) = (change.pre.as_ref()?, change.post.as_ref()?, now?);
    let mut row = now.clone();
    let mut any = false;
    let names: std::collections::BTreeSet<&String> = pre.keys().chain(post.keys()).collect();
    for name in names.into_iter().filter(|name| guard.version.as_ref() != Some(name)) {
        let (before, ours, there) = (pre.get(name), post.get(name), now.get(name));
        if before == ours || ours != there {
            continue;
        }
        any = true;
        match before {
            Some(value) => row.insert(name.clone(), value.clone()),
            None => row.remove(name),
        };
    }
    forward(&mut row, now, now, guard);
    any.then_some(Write { row, is_new: false, merged: true, forced: false })
}

/// A version goes forward: one above what is there and what was, where both are whole numbers; else it stays as it is there.
fn forward(row: &mut Image, pre: &Image, now: &Image, guard: &Guard) {
    let Some(name) = &guard.version else { return };
    let number = |image: &Image| image.get(name).and_then(whole_number);
    let next = number(now).map(|there| there.max(number(pre).unwrap_or(there)) + 1);
    match (next, now.get(name)) {
        (Some(next), Some(there)) => row.insert(name.clone(), like(there, next)),
        (None, Some(there)) => row.insert(name.clone(), there.clone()),
        (_, None) => return,
    };
}

/// The whole number of a value in an image: a text, with the letter of SQLite's storage class before it, or DynamoDB's `{"N": …}`.
fn whole_number(value: &Json) -> Option<i128> {
    let text = value.as_str().or_else(|| value.get("N")?.as_str())?;
    text.strip_prefix("i:").unwrap_or(text).parse().ok()
}

/// A number in the form of another value.
fn like(value: &Json, number: i128) -> Json {
    match value.as_str() {
        Some(text) if text.starts_with("i:") => Json::String(format!("i:{number}")),
        Some(_) => Json::String(number.to_string()),
        None => serde_json::json!({ "N": number.to_string() }),
    }
}

/// Rows of a table within a transaction: what stores with transactions have in common. Places are those of the batch's changes.
pub(crate) trait Rows {
    /// Reads and locks the rows of some keys, in the order of the keys.
    fn lock(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble>;
    /// Which of these rows others refer to that would go or change with them, and what those are.
    fn referred(&mut self, keys: &[&Image]) -> Result<Vec<(usize, String)>, Trouble>;
    /// Inserts rows.
    fn insert(&mut self, rows: &[&Image]) -> Result<u64, Refused>;
    /// Writes columns of rows that are there; those of the key are the same.
    fn update(&mut self, keys: &[&Image], rows: &[&Image], columns: &[&str]) -> Result<u64, Refused>;
    /// Deletes rows.
    fn delete(&mut self, keys: &[&Image]) -> Result<u64, Refused>;
    /// Runs `savepoint undo`, or what leads back to it.
    fn savepoint(&mut self, back: bool) -> Result<(), Trouble>;
    /// See [`Undo::digest`].
    fn digest(&self, row: &Image, columns: &[String]) -> Result<String>;
    /// See [`Undo::columns`].
    fn columns(&self) -> &[String];
}

/// Why a statement did not run.
pub(crate) enum Refused {
    /// It is the fault of a row.
    Row(Fault),
    /// It is not.
    Other(Trouble),
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Other(trouble)
    }
}

/// The order in which the steps of a batch are taken: what is put in first, so that nothing refers to what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Insert,
    Update,
    Delete,
}

/// Takes a batch back within a transaction, but for what does not go; returns what became of it and the changes that this is.
///
/// # Errors
/// Why the batch as a whole is not taken back.
pub(crate) fn within(rows: &mut dyn Rows, batch: &UndoBatch<'_>) -> Result<(Undone, Vec<Change>), Trouble> {
    let keys: Vec<&Image> = batch.changes.iter().map(|change| &change.key).collect();
    let there = rows.lock(&keys)?;
    let (mut undone, mut steps) = (Undone::default(), BTreeMap::new());
    for (place, (change, now)) in batch.changes.iter().zip(&there).enumerate() {
        let digest = now.as_ref().map(|now| rows.digest(now, &batch.guard.columns)).transpose()?;
        let digest = digest.map(|digest| stood_for(batch.stand_ins, change, digest));
        match decide(change, now.as_ref(), digest.as_deref(), batch.guard) {
            Step::Nothing => undone.noop += 1,
            Step::Conflict(conflict) => undone.conflicts.push((place, conflict)),
            step @ (Step::Remove { .. } | Step::Write(_)) => drop(steps.insert(place, step)),
        }
    }
    for phase in [Phase::Insert, Phase::Update] {
        halved(rows, batch, (&mut steps, phase), &there, &mut undone)?;
    }
    // What was written may refer to other rows than before, and a row that stays to one that was to go.
    loop {
        let removed: Vec<usize> = places(&steps, Phase::Delete);
        let keys: Vec<&Image> = removed.iter().map(|place| keys[*place]).collect();
        let referred = if keys.is_empty() { Vec::new() } else { rows.referred(&keys)? };
        if referred.is_empty() {
            break;
        }
        for (i, detail) in referred {
            let place = removed[i];
            let conflict =
                Conflict { kind: Kind::Referenced, now: there[place].clone(), detail: Some(detail) };
            if steps.remove(&place).is_some() {
                undone.conflicts.push((place, conflict));
            }
        }
    }
    halved(rows, batch, (&mut steps, Phase::Delete), &there, &mut undone)?;
    let changes = read_back(rows, batch, &steps, &there, &mut undone)?;
    undone.conflicts.sort_by_key(|(place, _)| *place);
    Ok((undone, changes))
}

/// The digest of a row as it was meant, where this rollback has restored it with another version.
pub(crate) fn stood_for(stand_ins: &StandIns, change: &Change, digest: String) -> String {
    let found = if stand_ins.is_empty() { None } else { stand_ins.get(&key_text(&change.key)) };
    found.filter(|(there, _)| *there == digest).map_or(digest, |(_, meant)| meant.clone())
}

/// The places of the steps of a phase.
fn places(steps: &BTreeMap<usize, Step>, phase: Phase) -> Vec<usize> {
    let is_of = |step: &Step| match step {
        Step::Remove { .. } => phase == Phase::Delete,
        Step::Write(write) if write.is_new => phase == Phase::Insert,
        Step::Write(_) => phase == Phase::Update,
        Step::Nothing | Step::Conflict(_) => false,
    };
    steps.iter().filter(|(_, step)| is_of(step)).map(|(place, _)| *place).collect()
}

/// Takes the steps of a phase for all rows; where that fails, for each half of them on its own, until the row is found.
fn halved(
    rows: &mut dyn Rows,
    batch: &UndoBatch<'_>,
    (steps, phase): (&mut BTreeMap<usize, Step>, Phase),
    there: &[Option<Image>],
    undone: &mut Undone,
) -> Result<(), Trouble> {
    let mut ranges = vec![places(steps, phase)];
    while let Some(range) = ranges.pop().filter(|range| !range.is_empty()) {
        rows.savepoint(false)?;
        let fault = match run(rows, batch, (&*steps, phase), there, &range) {
            Ok(()) => continue,
            Err(Refused::Other(trouble)) => return Err(trouble),
            Err(Refused::Row(fault)) => fault,
        };
        rows.savepoint(true)?;
        if let [place] = range.as_slice() {
            steps.remove(place);
            match is_reference(&fault) {
                true => {
                    let (now, detail) = (there[*place].clone(), Some(fault.message));
                    undone.conflicts.push((*place, Conflict { kind: Kind::Referenced, now, detail }));
                }
                false => undone.faults.push((*place, fault)),
            }
        } else {
            let (low, high) = range.split_at(range.len() / 2);
            ranges.extend([high.to_vec(), low.to_vec()]);
        }
    }
    Ok(())
}

/// Whether a row is not let go since others refer to it: SQLSTATE 23503, 1451 of MySQL, or SQLite's name.
fn is_reference(fault: &Fault) -> bool {
    matches!(fault.code.as_str(), "23503" | "23001" | "1451" | "1217" | "SQLITE_CONSTRAINT_FOREIGNKEY")
}

fn run(
    rows: &mut dyn Rows,
    batch: &UndoBatch<'_>,
    (steps, phase): (&BTreeMap<usize, Step>, Phase),
    there: &[Option<Image>],
    range: &[usize],
) -> Result<(), Refused> {
    let keys: Vec<&Image> = range.iter().map(|place| &batch.changes[*place].key).collect();
    let written = |place: &usize| match &steps[place] {
        Step::Write(write) => Some(&write.row),
        _ => None,
    };
    let new: Vec<&Image> = range.iter().filter_map(written).collect();
    let count = match phase {
        Phase::Insert => rows.insert(&new)?,
        Phase::Delete => rows.delete(&keys)?,
        Phase::Update => {
            // Only what differs in some row is written: a trigger may be on a column.
            let olds = range.iter().filter_map(|place| there[*place].as_ref());
            let pairs: Vec<(&Image, &Image)> = olds.zip(new.iter().copied()).collect();
            let columns = rows.columns().to_vec();
            let differs = |name: &&String| pairs.iter().any(|(old, new)| old.get(*name) != new.get(*name));
            let columns: Vec<&str> = columns.iter().filter(differs).map(String::as_str).collect();
            if columns.is_empty() {
                return Ok(());
            }
            rows.update(&keys, &new, &columns)?
        }
    };
    if count == range.len() as u64 {
        return Ok(());
    }
    let message = "the row is as it was: a trigger of the table left the change out, or the row came in or went meanwhile";
    Err(Refused::Row(Fault { class: FaultClass::Conflict, ..Fault::permanent("taken", None, message) }))
}

/// Reads what was written, and says which changes that is.
fn read_back(
    rows: &mut dyn Rows,
    batch: &UndoBatch<'_>,
    steps: &BTreeMap<usize, Step>,
    there: &[Option<Image>],
    undone: &mut Undone,
) -> Result<Vec<Change>, Trouble> {
    let is_write = |step: &Step| matches!(step, Step::Write(_));
    let written: Vec<usize> =
        steps.iter().filter(|(_, step)| is_write(step)).map(|(place, _)| *place).collect();
    let keys: Vec<&Image> = written.iter().map(|place| &batch.changes[*place].key).collect();
    let posts = if keys.is_empty() { Vec::new() } else { rows.lock(&keys)? };
    let mut posts: BTreeMap<usize, Option<Image>> = written.into_iter().zip(posts).collect();
    let columns = rows.columns().to_vec();
    let mut changes = Vec::with_capacity(steps.len());
    for (place, step) in steps {
        let post = posts.remove(place).flatten();
        if let (Step::Write(write), Some(post)) = (step, &post) {
            let altered: Vec<String> = write
                .row
                .iter()
                .filter(|(name, value)| post.get(*name) != Some(*value))
                .map(|(n, _)| n.clone())
                .collect();
            if !altered.is_empty() {
                undone.altered.push((*place, altered));
            }
        }
        let hash = post.as_ref().map(|post| rows.digest(post, &columns)).transpose()?;
        undone.count(step);
        changes.push(made(batch, *place, there[*place].clone(), post, hash));
    }
    Ok(changes)
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
pub(crate) fn column_is_gone(at: &str, column: &str) -> crate::error::Error {
    crate::error::Error::usage(format!("{at} has no column `{column}`, which it had when it was written to"))
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
        | DatasetKind::DynamodbExport(_) => Err(crate::error::Error::usage(format!(
            "dataset `{}` is files, of which recon changes none: there is nothing to roll back in them",
            dataset.name
        ))
        .help("remove the files of the run, which have its id in their names; `migrate` writes them again")),
    }
}
