//! A batch of changes that is taken back within a transaction: what stores with transactions have in common.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Asked, Conflict, Fault, FaultClass, Kind, OnConflict, Step, Trouble, UndoBatch, Undone, aborted, decide,
    made, stood_for,
};
use crate::error::Result;
use crate::ledger::manifest::{Change, Image};

/// Rows of a table within a transaction: what stores with transactions have in common. Places are those of the batch's changes.
pub(crate) trait Rows {
    /// Reads and locks the rows of some keys, in the order of the keys.
    fn lock(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble>;
    /// Whether any foreign key refers to the table.
    fn is_referred(&self) -> bool;
    /// See [`super::UndoSession::referred`].
    fn referred(&mut self, keys: &[&Image], asked: &Asked<'_>) -> Result<Vec<(usize, String)>, Trouble>;
    /// Inserts rows.
    fn insert(&mut self, rows: &[&Image]) -> Result<u64, Refused>;
    /// Writes columns of rows that are there; those of the key are the same.
    fn update(&mut self, keys: &[&Image], rows: &[&Image], columns: &[&str]) -> Result<u64, Refused>;
    /// Deletes rows.
    fn delete(&mut self, keys: &[&Image]) -> Result<u64, Refused>;
    /// Why a row stays as it is, as an earlier try has found. `place` is that of its change.
    fn left(&self, place: usize) -> Option<Fault> {
        let _ = place;
        None
    }
    /// Is told of each row as it is after all was written.
    fn has_written(&mut self, place: usize, row: &Image) -> Result<(), Trouble> {
        let _ = (place, row);
        Ok(())
    }
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
        if let Some(fault) = rows.left(place) {
            undone.faults.push((place, fault));
            continue;
        }
        let digest = now.as_ref().map(|now| rows.digest(now, &batch.guard.columns)).transpose()?;
        let digest = digest.map(|digest| stood_for(batch.stand_ins, change, digest));
        match decide(change, now.as_ref(), digest.as_deref(), batch.guard) {
            Step::Nothing => undone.noop += 1,
            Step::Conflict(conflict) => undone.conflicts.push((place, conflict)),
            step @ (Step::Remove { .. } | Step::Write(_)) => drop(steps.insert(place, step)),
        }
    }
    if rows.is_referred() {
        leave_referred(rows, batch, &mut steps, &there, &mut undone)?;
    }
    let planned = steps.clone();
    for phase in [Phase::Insert, Phase::Update] {
        let range = places(&steps, phase);
        halved(rows, batch, (&mut steps, phase, range), &there, &mut undone)?;
    }
    // What was written may refer to other rows than before, and a row that stays to one that was to go.
    loop {
        let removed: Vec<usize> = places(&steps, Phase::Delete);
        let keys: Vec<&Image> = removed.iter().map(|place| keys[*place]).collect();
        let referred = if keys.is_empty() { Vec::new() } else { rows.referred(&keys, &Asked::default())? };
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
    let range = places(&steps, Phase::Delete);
    halved(rows, batch, (&mut steps, Phase::Delete, range), &there, &mut undone)?;
    // What had a value that must be unique may be gone by now.
    let (again, others) =
        std::mem::take(&mut undone.faults).into_iter().partition(|(_, fault)| is_unique(fault));
    undone.faults = others;
    let again: BTreeMap<usize, Step> = again
        .into_iter()
        .filter_map(|(place, _): (usize, Fault)| Some((place, planned.get(&place)?.clone())))
        .collect();
    steps.extend(again.clone());
    for phase in [Phase::Insert, Phase::Update] {
        halved(rows, batch, (&mut steps, phase, places(&again, phase)), &there, &mut undone)?;
    }
    undone.conflicts.sort_by_key(|(place, _)| *place);
    if batch.guard.policy == OnConflict::Abort && !undone.conflicts.is_empty() {
        return Err(Trouble::Fatal(aborted(batch, &undone)));
    }
    let changes = read_back(rows, batch, &steps, &there, &mut undone)?;
    Ok((undone, changes))
}

/// Leaves rows as they are that others refer to by a column which would change: a foreign key may take its rows along with it.
fn leave_referred(
    rows: &mut dyn Rows,
    batch: &UndoBatch<'_>,
    steps: &mut BTreeMap<usize, Step>,
    there: &[Option<Image>],
    undone: &mut Undone,
) -> Result<(), Trouble> {
    for (columns, places) in changing(steps, there) {
        let keys: Vec<&Image> = places.iter().map(|place| &batch.changes[*place].key).collect();
        let asked = Asked { columns: Some(&columns), not_of: &[] };
        for (i, detail) in rows.referred(&keys, &asked)? {
            let place = places[i];
            if steps.remove(&place).is_some() {
                let (now, detail) = (there[place].clone(), Some(detail));
                undone.conflicts.push((place, Conflict { kind: Kind::Referenced, now, detail }));
            }
        }
    }
    Ok(())
}

/// The rows that are written over, by the columns that change in them.
pub fn changing(
    steps: &BTreeMap<usize, Step>,
    there: &[Option<Image>],
) -> BTreeMap<BTreeSet<String>, Vec<usize>> {
    let mut all: BTreeMap<BTreeSet<String>, Vec<usize>> = BTreeMap::new();
    for (place, step) in steps {
        let (Step::Write(write), Some(now)) = (step, &there[*place]) else { continue };
        let differs = write.row.iter().filter(|(name, value)| now.get(*name) != Some(*value));
        all.entry(differs.map(|(name, _)| name.clone()).collect()).or_default().push(*place);
    }
    all
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

/// Takes the steps of a phase for some rows; where that fails, for each half of them on its own, until the row is found.
fn halved(
    rows: &mut dyn Rows,
    batch: &UndoBatch<'_>,
    (steps, phase, range): (&mut BTreeMap<usize, Step>, Phase, Vec<usize>),
    there: &[Option<Image>],
    undone: &mut Undone,
) -> Result<(), Trouble> {
    let mut ranges = vec![range];
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
            match phase == Phase::Delete && is_reference(&fault) {
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

/// Whether a value is another row's that must be unique: SQLSTATE 23505, 1062 of MySQL, or SQLite's name.
fn is_unique(fault: &Fault) -> bool {
    matches!(fault.code.as_str(), "23505" | "1062" | "SQLITE_CONSTRAINT_UNIQUE")
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
    // A foreign key or a trigger may have taken them along with others of the batch.
    if phase == Phase::Delete && rows.lock(&keys)?.iter().all(Option::is_none) {
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
        if let Some(post) = &post {
            rows.has_written(*place, post)?;
        }
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
