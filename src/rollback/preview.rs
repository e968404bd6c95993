//! What a plan would do to the target as it is now; nothing is locked or changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::plan::{Group, Plan};
use crate::error::{Error, Result};
use crate::event::{self, Progress};
use crate::ledger::manifest::{Change, Image};
use crate::migrate::undo::{
    Asked, Conflict, Guard, Kind, StandIns, Step, Undo, UndoSession, changing, decide, key_id, short,
    stood_for,
};

/// Rows that are asked for at once.
const ROWS_AT_ONCE: usize = 5_000;

/// What would become of an entity's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Changes in the plan.
    pub changes: u64,
    /// Rows that would get their old image again.
    pub restored: u64,
    /// Rows that would be removed.
    pub removed: u64,
    /// Rows that would be made again.
    pub inserted: u64,
    /// Rows that are as they were.
    pub noop: u64,
    /// Rows that somebody has changed since.
    pub conflicts: u64,
}

/// What a row is after the newer changes of the plan were taken back.
enum After {
    Gone,
    /// This digest with the old version, short.
    Row(u128),
    /// Nothing was done: it is as it is.
    Same,
}

/// Works out what a plan would do. `stand_ins` are what earlier rollbacks have restored, by entity. `each` is told of every change in order, and of what would be done.
///
/// # Errors
/// A store that cannot be read; a manifest that is damaged; an interruption; what `each` says.
pub fn preview(
    plan: &Plan,
    undos: &BTreeMap<String, Box<dyn Undo + '_>>,
    stand_ins: impl Fn(&Group, &dyn Undo) -> Result<StandIns>,
    progress: &Progress,
    mut each: impl FnMut(&dyn Undo, &Group, &Change, &Step) -> Result<()>,
) -> Result<BTreeMap<String, Preview>> {
    let mut all: BTreeMap<String, Preview> = BTreeMap::new();
    let mut after: BTreeMap<&str, HashMap<u128, After>> = BTreeMap::new();
    let tables: Vec<String> = undos.values().map(|undo| undo.own_name().to_owned()).collect();
    for (at, group) in plan.groups.iter().enumerate() {
        let undo = undo_of(undos, group)?;
        let told = all.entry(group.entity.clone()).or_default();
        let is_of = |other: &Group| other.entity == group.entity;
        let (is_last, is_first) =
            (!plan.groups[at + 1..].iter().any(is_of), !plan.groups[..at].iter().any(is_of));
        let mut session = undo.session().map_err(|trouble| trouble.error())?;
        let stand_ins = stand_ins(group, undo)?;
        for batch in &group.batches {
            progress.check()?;
            for changes in batch.read(group)?.chunks(ROWS_AT_ONCE) {
                let keys: Vec<&Image> = changes.iter().map(|change| &change.key).collect();
                let there = session.look(&keys).map_err(|trouble| trouble.error())?;
                let (changes, there) = spelled(undo, changes, there)?;
                let after = after.entry(&group.entity).or_default();
                let mut steps = BTreeMap::new();
                for (place, (change, now)) in changes.iter().zip(&there).enumerate() {
                    let known = if is_first { None } else { after.get(&key_id(&change.key)) };
                    let step = match &group.back_by {
                        Some(_) => Step::Nothing,
                        None => judge(undo, (change, now.as_ref()), known, &group.guard, &stand_ins)?,
                    };
                    steps.insert(place, step);
                }
                leave_referred(&mut *session, &changes, &there, &tables, &mut steps)?;
                for (change, step) in changes.iter().zip(steps.values()) {
                    told.count(step);
                    each(undo, group, change, step)?;
                    if !is_last && group.back_by.is_none() {
                        after.insert(key_id(&change.key), outcome(undo, change, step, &group.guard)?);
                    }
                }
                event::add(&progress.rows_done, changes.len() as u64);
            }
        }
    }
    Ok(all)
}

/// What others' rows refer to stays. Those of tables of the plan may go before, which is seen only when they do.
fn leave_referred(
    session: &mut dyn UndoSession,
    changes: &[Change],
    there: &[Option<Image>],
    tables: &[String],
    steps: &mut BTreeMap<usize, Step>,
) -> Result<()> {
    let removed =
        steps.iter().filter(|(place, step)| matches!(step, Step::Remove { .. }) && there[**place].is_some());
    let removed: Vec<usize> = removed.map(|(place, _)| *place).collect();
    let changed = changing(steps, there);
    let groups = changed.iter().map(|(columns, places)| (Some(columns), places));
    for (columns, places) in groups.chain(std::iter::once((None, &removed))) {
        let keys: Vec<&Image> = places.iter().map(|place| &changes[*place].key).collect();
        let asked = Asked { columns, not_of: tables };
        for (i, detail) in session.referred(&keys, &asked).map_err(|trouble| trouble.error())? {
            let conflict =
                Conflict { kind: Kind::Referenced, now: there[places[i]].clone(), detail: Some(detail) };
            steps.insert(places[i], Step::Conflict(conflict));
        }
    }
    Ok(())
}

/// Changes and what is there in one spelling.
fn spelled(
    undo: &dyn Undo,
    changes: &[Change],
    there: Vec<Option<Image>>,
) -> Result<(Vec<Change>, Vec<Option<Image>>)> {
    let image = |image: Option<&Image>| image.map(|image| undo.spelled(image)).transpose();
    let change = |change: &Change| -> Result<Change> {
        Ok(Change { pre: image(change.pre.as_ref())?, post: image(change.post.as_ref())?, ..change.clone() })
    };
    let changes = changes.iter().map(change).collect::<Result<_>>()?;
    Ok((changes, there.iter().map(|now| image(now.as_ref())).collect::<Result<_>>()?))
}

fn undo_of<'u>(undos: &'u BTreeMap<String, Box<dyn Undo + '_>>, group: &Group) -> Result<&'u dyn Undo> {
    let found = undos.get(&group.entity).map(|undo| &**undo);
    found.ok_or_else(|| Error::failed(format!("no target of entity `{}`", group.entity)))
}

fn judge(
    undo: &dyn Undo,
    (change, now): (&Change, Option<&Image>),
    known: Option<&After>,
    guard: &Guard,
    stand_ins: &StandIns,
) -> Result<Step> {
    match known {
        None | Some(After::Same) => {
            let digest = now.map(|now| undo.digest(now, &guard.columns)).transpose()?;
            let digest = digest.map(|digest| stood_for(stand_ins, change, digest));
            Ok(decide(change, now, digest.as_deref(), guard))
        }
        Some(After::Gone) => Ok(decide(change, None, None, guard)),
        // What is there will be another row by then; only its digest is known.
        Some(After::Row(digest)) => {
            let is_old = change.pre.as_ref().map(|pre| undo.digest(pre, &guard.columns)).transpose()?;
            let is = |text: &Option<String>| text.as_deref().map(short) == Some(*digest);
            Ok(match (is(&change.post_hash), is(&is_old)) {
                (true, _) => decide(change, change.post.as_ref().or(now), change.post_hash.as_deref(), guard),
                (false, true) => Step::Nothing,
                (false, false) => decide(change, now, Some(""), guard),
            })
        }
    }
}

fn outcome(undo: &dyn Undo, change: &Change, step: &Step, guard: &Guard) -> Result<After> {
    Ok(match step {
        Step::Conflict(_) => After::Same,
        Step::Remove { .. } => After::Gone,
        Step::Write(write) if write.merged => After::Row(short(&undo.digest(&write.row, &guard.columns)?)),
        Step::Nothing | Step::Write(_) => match &change.pre {
            Some(pre) => After::Row(short(&undo.digest(pre, &guard.columns)?)),
            None => After::Gone,
        },
    })
}

impl Preview {
    fn count(&mut self, step: &Step) {
        self.changes += 1;
        *match step {
            Step::Nothing => &mut self.noop,
            Step::Conflict(_) => &mut self.conflicts,
            Step::Remove { .. } => &mut self.removed,
            Step::Write(write) if write.is_new => &mut self.inserted,
            Step::Write(_) => &mut self.restored,
        } += 1;
    }
}

/// A row that is not as it was before the changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The entity.
    pub entity: String,
    /// Its key.
    pub key: Image,
    /// The row before; `None` where it was not there.
    pub old: Option<Image>,
    /// The row now.
    pub now: Option<Image>,
    /// The columns that differ; empty where one of both is not there.
    pub columns: Vec<String>,
}

/// Compares the target with what it was before the changes of a plan. Versions, which go forward, are left out. Returns how many rows were
/// compared of each entity.
///
/// # Errors
/// A store that cannot be read; a manifest that is damaged; an interruption; what `each` says.
pub fn compare(
    plan: &Plan,
    undos: &BTreeMap<String, Box<dyn Undo + '_>>,
    progress: &Progress,
    mut each: impl FnMut(&dyn Undo, Difference) -> Result<()>,
) -> Result<BTreeMap<String, u64>> {
    let (mut compared, mut seen) = (BTreeMap::new(), BTreeMap::<&str, HashSet<u128>>::new());
    // The oldest change has the image that counts.
    for (at, group) in plan.groups.iter().enumerate().rev() {
        let undo = undo_of(undos, group)?;
        let is_alone = plan.groups.iter().filter(|other| other.entity == group.entity).count() == 1;
        let has_newer = plan.groups[..at].iter().any(|other| other.entity == group.entity);
        let mut session = undo.session().map_err(|trouble| trouble.error())?;
        for batch in &group.batches {
            progress.check()?;
            let mut changes = batch.read(group)?;
            let seen = seen.entry(&group.entity).or_default();
            if !is_alone {
                changes.retain(|change| !seen.contains(&key_id(&change.key)));
            }
            if has_newer {
                seen.extend(changes.iter().map(|change| key_id(&change.key)));
            }
            for changes in changes.chunks(ROWS_AT_ONCE) {
                let keys: Vec<&Image> = changes.iter().map(|change| &change.key).collect();
                let there = session.look(&keys).map_err(|trouble| trouble.error())?;
                *compared.entry(group.entity.clone()).or_default() += changes.len() as u64;
                event::add(&progress.rows_done, changes.len() as u64);
                let (changes, there) = spelled(undo, changes, there)?;
                for (change, now) in changes.iter().zip(there) {
                    if let Some(columns) = differing(change.pre.as_ref(), now.as_ref(), &group.guard) {
                        let (entity, key) = (group.entity.clone(), change.key.clone());
                        each(undo, Difference { entity, key, old: change.pre.clone(), now, columns })?;
                    }
                }
            }
        }
    }
    Ok(compared)
}

/// The columns in which two rows differ; `None` where they are one.
fn differing(old: Option<&Image>, now: Option<&Image>, guard: &Guard) -> Option<Vec<String>> {
    match (old, now) {
        (None, None) => None,
        (Some(old), Some(now)) => {
            let is_compared = |name: &&String| {
                guard.version.as_ref() != Some(*name) && (guard.columns.is_empty() || old.contains_key(*name))
            };
            let names: std::collections::BTreeSet<&String> =
                old.keys().chain(now.keys()).filter(is_compared).collect();
            let differing: Vec<String> =
                names.into_iter().filter(|name| old.get(*name) != now.get(*name)).cloned().collect();
            (!differing.is_empty()).then_some(differing)
        }
        (Some(_), None) | (None, Some(_)) => Some(Vec::new()),
    }
}
