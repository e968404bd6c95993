//! Which changes are taken back, in which order: the newest run first, in each the entity that was written last first, in each the
//! newest batch first. The plan is kept beside the run's reports, so that a rollback that was killed goes on with the very same batches.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keys::Wanted;
use crate::error::{Context, Error, Result};
use crate::fault;
use crate::ledger::Ledger;
use crate::ledger::manifest::{self, Change, Frame};
use crate::ledger::migration::Migration;
use crate::ledger::rollback::Rollback;
use crate::migrate::undo::{Guard, OnConflict, Undo};

const FILE: &str = "rollback.json";

/// What is taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order in which they are taken back; each waits for the one before.
    pub groups: Vec<Group>,
    /// What the target told of batches of which only it knew.
    pub settled: Vec<Settled>,
    /// Keys that were asked for and that no run has changed.
    pub not_found: Vec<String>,
    /// Runs that were left out, with the reason.
    pub left_out: Vec<String>,
}

/// A batch of which only the target knew what it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// The batch.
    pub batch: u64,
    /// The numbers of its changes, from–to.
    pub made: Vec<(u64, u64)>,
    /// Whether the run is a rollback.
    pub is_rollback: bool,
}

/// The changes that one run made of one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// The folder of the manifest.
    pub folder: PathBuf,
    /// Whose changes they were in turn, where the run was a rollback.
    pub origin: Option<String>,
    /// By what is decided.
    pub guard: Guard,
    /// See [`Part::back_by`].
    #[serde(default)]
    pub back_by: Option<String>,
    /// The batches.
    pub batches: Vec<Planned>,
}

/// Changes that are taken back together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Its number in the rollback, from 0.
    pub number: u64,
    /// Where its changes are.
    pub frame: Frame,
    /// The numbers of those that are taken back, from–to.
    pub seqs: Vec<(u64, u64)>,
}

impl Planned {
    /// How many changes there are.
    pub fn changes(&self) -> u64 {
        self.seqs.iter().map(|(from, to)| to - from + 1).sum()
    }

    /// What tells it from others.
    pub fn hash(&self, group: &Group) -> String {
        format!("{}-{}-{}", group.run_id, self.frame.first_seq, self.changes())
    }

    /// Reads the changes, the newest first.
    ///
    /// # Errors
    /// A manifest that is gone or damaged, with the place.
    pub fn read(&self, group: &Group) -> Result<Vec<Change>> {
        let mut changes = self.frame.read(&group.folder)?;
        changes.retain(|change| is_in(&self.seqs, change.seq));
        changes.reverse();
        Ok(changes)
    }
}

/// A run's part in what is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The run.
    pub run_id: String,
    /// The entity.
    pub entity: String,
    /// The folder of its manifest.
    pub folder: PathBuf,
    /// What tells the target from others.
    pub target: String,
    /// The numbers of the changes that each batch made; `None` of a batch of which only the target knows.
    pub made: BTreeMap<u64, Option<Vec<(u64, u64)>>>,
    /// Whether the run is a rollback itself.
    pub is_rollback: bool,
    /// The rollback that has taken all of it back, where it is in force: what is there since is others' work.
    pub back_by: Option<String>,
}

/// What is asked for.
#[derive(Debug, Default)]
pub struct Request {
    /// Only these keys, by entity; `None` for all.
    pub keys: Option<BTreeMap<String, Wanted>>,
    /// The fields of each entity's key.
    pub key_fields: BTreeMap<String, Vec<String>>,
    /// Only so many changes of a record that it has this version again.
    pub to_version: Option<String>,
    /// What is done about rows that somebody has changed since.
    pub policy: OnConflict,
}

impl Part {
    /// Holds what was read of the manifest against what the ledger knows to be in it.
    ///
    /// # Errors
    /// A manifest of which changes are missing.
    pub fn check(&self, frames: &[Frame]) -> Result<()> {
        let known = self.made.values().flatten().flatten().map(|(_, to)| *to).max().unwrap_or(0);
        manifest::check_known(&self.folder, frames.last().map_or(0, Frame::last_seq), known)
    }
}

impl Plan {
    /// Puts a plan together.
    ///
    /// # Errors
    /// A manifest that is damaged; a column that is gone; a version that no manifest knows.
    pub fn make(parts: &[Part], undos: &mut Undos<'_>, request: &mut Request) -> Result<Self> {
        let mut plan = Self::default();
        let mut versions = Versions::new(request.to_version.clone());
        for part in parts {
            let (head, frames) = manifest::frames(&part.folder)?;
            part.check(&frames)?;
            let Some(first) = frames.first() else { continue };
            let undo = undos.of(part, &first.key)?;
            let guard = Guard { columns: head.columns, version: head.version, policy: request.policy };
            let mut is_fit = false;
            let mut numbered: Vec<&Frame> = frames.iter().collect();
            numbered.sort_by_key(|frame| std::cmp::Reverse(frame.first_seq));
            for frame in numbered {
                let made = match part.made.get(&frame.batch) {
                    None => continue,
                    Some(Some(made)) => made.clone(),
                    Some(None) => plan.settle(undo, part, frame)?,
                };
                let mut seqs = cut(&made, frame);
                if seqs.is_empty() {
                    continue;
                }
                if let Some(keys) = &mut request.keys {
                    let Some(wanted) = keys.get_mut(&part.entity) else { continue };
                    let names = request.key_fields.get(&part.entity).map_or(&[][..], Vec::as_slice);
                    let mut taken = Vec::new();
                    let mut changes = frame.read(&part.folder)?;
                    changes.reverse();
                    for change in changes {
                        if is_in(&seqs, change.seq)
                            && wanted.takes(undo, &change.key, names)
                            && versions.take(undo, &change, &guard)?
                        {
                            taken.push(change.seq);
                        }
                    }
                    seqs = crate::migrate::undo::ranges(taken);
                    if seqs.is_empty() {
                        continue;
                    }
                }
                if !is_fit {
                    fits(undo, &guard.columns)?;
                    is_fit = true;
                }
                plan.push(part, &guard, frame, seqs);
            }
        }
        versions.finish()?;
        // A version that any of the runs knew goes forward whichever of them is taken back.
        for at in 0..plan.groups.len() {
            let entity = &plan.groups[at].entity;
            let of_entity = plan.groups.iter().filter(|group| group.entity == *entity);
            let version = of_entity.filter_map(|group| group.guard.version.clone()).next();
            plan.groups[at].guard.version = plan.groups[at].guard.version.take().or(version);
        }
        Ok(plan)
    }

    /// The changes of a batch that was begun, of which only the target knows whether they were made.
    fn settle(&mut self, undo: &dyn Undo, part: &Part, frame: &Frame) -> Result<Vec<(u64, u64)>> {
        if undo.writes_in_parts() {
            // Each row tells by itself.
            return Ok(vec![(frame.first_seq, frame.last_seq())]);
        }
        let receipt = undo.receipt(&part.run_id, &part.entity, frame.batch)?;
        let made = receipt.map(|receipt| receipt.made).unwrap_or_default();
        let settled = Settled {
            run_id: part.run_id.clone(),
            entity: part.entity.clone(),
            batch: frame.batch,
            made: made.clone(),
            is_rollback: part.is_rollback,
        };
        if !(made.is_empty() || self.settled.contains(&settled)) {
            self.settled.push(settled);
        }
        Ok(made)
    }

    fn push(&mut self, part: &Part, guard: &Guard, frame: &Frame, seqs: Vec<(u64, u64)>) {
        let number = self.groups.iter().map(|group| group.batches.len() as u64).sum();
        let is_of = |group: &&mut Group| {
            (&group.run_id, &group.entity, &group.origin) == (&part.run_id, &part.entity, &frame.origin)
        };
        let planned = Planned { number, frame: frame.clone(), seqs };
        match self.groups.last_mut().filter(is_of) {
            Some(group) => group.batches.push(planned),
            None => self.groups.push(Group {
                run_id: part.run_id.clone(),
                entity: part.entity.clone(),
                folder: part.folder.clone(),
                origin: frame.origin.clone(),
                guard: guard.clone(),
                back_by: part.back_by.clone(),
                batches: vec![planned],
            }),
        }
    }

    /// The changes of each entity.
    pub fn changes(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for group in &self.groups {
            *all.entry(group.entity.clone()).or_default() +=
                group.batches.iter().map(Planned::changes).sum::<u64>();
        }
        all
    }

    /// Writes the plan into a folder, durably.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let (path, temporary) = (folder.join(FILE), folder.join("rollback.json.tmp"));
        let fail = || format!("cannot write {}", path.display());
        let text = serde_json::to_vec(self).or_failed(fail)?;
        let mut file = File::create(&temporary).or_failed(fail)?;
        file.write_all(&text).and_then(|()| file.sync_all()).or_failed(fail)?;
        fault::point("rollback.before-rename");
        fs::rename(&temporary, &path).or_failed(fail)?;
        File::open(folder).and_then(|folder| folder.sync_all()).or_failed(fail)
    }

    /// Reads the plan of a run.
    ///
    /// # Errors
    /// A plan that is gone or damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read(&path).or_failed(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).or_failed(|| format!("{} is damaged", path.display()))
    }
}

/// The opened targets, by entity.
pub struct Undos<'a> {
    open: Opener<'a>,
    /// Those that were opened.
    pub all: BTreeMap<String, Box<dyn Undo + 'a>>,
}

/// Opens the target of a part, whose keys have these columns.
pub type Opener<'a> = Box<dyn Fn(&Part, &[String]) -> Result<Box<dyn Undo + 'a>> + 'a>;

impl<'a> Undos<'a> {
    /// Opens nothing yet.
    pub fn new(open: Opener<'a>) -> Self {
        Self { open, all: BTreeMap::new() }
    }

    /// The target of a part, whose keys have these columns.
    ///
    /// # Errors
    /// A target that is not the one of then (exit 2), or cannot be reached.
    pub fn of(&mut self, part: &Part, key: &[String]) -> Result<&dyn Undo> {
        if !self.all.contains_key(&part.entity) {
            self.all.insert(part.entity.clone(), (self.open)(part, key)?);
        }
        let undo = &*self.all[&part.entity];
        match undo.fingerprint() == part.target {
            true => Ok(undo),
            false => Err(Error::usage(format!(
                "entity `{}` goes to {} by the spec, and run {} wrote to {}",
                part.entity,
                undo.fingerprint(),
                part.run_id,
                part.target
            ))
            .help("let the entity's target in the spec be the one of then, with the same user and table, and run this again")),
        }
    }
}

/// Whether the table still has the columns of the manifest.
fn fits(undo: &dyn Undo, columns: &[String]) -> Result<()> {
    let known: HashSet<&String> = undo.columns().iter().collect();
    match columns.iter().find(|name| !known.contains(name)) {
        Some(gone) => Err(crate::migrate::undo::column_is_gone(undo.fingerprint(), gone)),
        None => Ok(()),
    }
}

/// Finds where a record had a version.
struct Versions {
    wanted: Option<String>,
    is_there: bool,
    known: Vec<String>,
}

impl Versions {
    fn new(wanted: Option<String>) -> Self {
        Self { wanted, is_there: false, known: Vec::new() }
    }

    /// Whether a change, the next older one, is to be taken back.
    fn take(&mut self, undo: &dyn Undo, change: &Change, guard: &Guard) -> Result<bool> {
        let Some(wanted) = &self.wanted else { return Ok(true) };
        if self.is_there {
            return Ok(false);
        }
        let Some(name) = &guard.version else {
            return Err(Error::usage(
                "--to-version: the spec named no `version` when the record was written",
            )
            .help("without --to-version the record goes back to what it was before it was migrated"));
        };
        let before = change.pre.as_ref().and_then(|pre| undo.text(pre.get(name)?));
        self.is_there = before.as_ref() == Some(wanted);
        self.known.extend(before);
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        match self.wanted.filter(|_| !self.is_there) {
            None => Ok(()),
            Some(wanted) => {
                Err(Error::usage(format!("no manifest has an old image of the record with version {wanted}"))
                    .help(match self.known.is_empty() {
                        true => "there is no old image of it at all: it was not there before it was migrated"
                            .to_owned(),
                        false => format!("there are old images with the versions {}", self.known.join(", ")),
                    }))
            }
        }
    }
}

fn is_in(ranges: &[(u64, u64)], seq: u64) -> bool {
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&seq))
}

/// The ranges that lie in a frame.
fn cut(ranges: &[(u64, u64)], frame: &Frame) -> Vec<(u64, u64)> {
    let inside = ranges.iter().map(|(from, to)| ((*from).max(frame.first_seq), (*to).min(frame.last_seq())));
    inside.filter(|(from, to)| from <= to).collect()
}

/// The runs that changed something, each entity of each, the newest first and in each the entity that was written last first, but for
/// those without old images. `folder_of` says where a run keeps what belongs to an entity.
///
/// # Errors
/// A ledger that cannot be read.
pub fn parts(ledger: &Ledger, folder_of: &dyn Fn(&str, &str) -> PathBuf) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for m in ledger.migrations()? {
        let folder = folder_of(&m.run_id, &m.entity).join("manifest");
        // One that is gone is missed by whoever reads it.
        if folder.join("manifest.json").exists()
            || (!m.is_without_images() && m.counts.inserted + m.counts.updated > 0)
        {
            let rows = ledger.batches(&m.run_id, &m.entity)?;
            let known = |applied: bool, made: Vec<_>| (applied || !made.is_empty()).then_some(made);
            let made = rows.into_iter().map(|row| (row.batch, known(row.applied, row.made))).collect();
            let Migration { run_id, entity, target, .. } = m;
            parts.push(Part { run_id, entity, folder, target, made, is_rollback: false, back_by: None });
        }
    }
    let rollbacks = ledger.rollbacks()?;
    for r in &rollbacks {
        let folder = folder_of(&r.run_id, &r.entity).join("manifest");
        // One that is gone is missed by whoever reads it.
        if folder.join("manifest.json").exists() || has_changed(r) {
            let rows = ledger.undo_batches(&r.run_id)?.into_iter().filter(|row| row.entity == r.entity);
            let known = |done: bool, made: Vec<_>| (done || !made.is_empty()).then_some(made);
            let made = rows.map(|row| (row.batch, known(row.done, row.made))).collect();
            let Rollback { run_id, entity, target, .. } = r.clone();
            parts.push(Part { run_id, entity, folder, target, made, is_rollback: true, back_by: None });
        }
    }
    for part in &mut parts {
        part.back_by = rolled_back_by(&rollbacks, &part.run_id, &part.entity).map(str::to_owned);
    }
    let order: BTreeMap<String, usize> =
        ledger.runs(u32::MAX)?.into_iter().enumerate().map(|(i, run)| (run.run_id, i)).collect();
    // Within a run the last entity first; the sort keeps that.
    parts.reverse();
    parts.sort_by_key(|part| order.get(&part.run_id).copied().unwrap_or(usize::MAX));
    Ok(parts)
}

/// Whether a rollback has changed anything, as far as the ledger knows.
fn has_changed(rollback: &Rollback) -> bool {
    let counts = &rollback.counts;
    counts.restored + counts.removed + counts.inserted > 0
}

/// Whether all that a run changed of an entity was taken back, no row left, and stays so.
pub fn is_rolled_back(rollbacks: &[Rollback], run_id: &str, entity: &str) -> bool {
    rolled_back_by(rollbacks, run_id, entity).is_some()
}

/// The rollback that took back all that a run changed of an entity, where it is in force.
pub fn rolled_back_by<'r>(rollbacks: &'r [Rollback], run_id: &str, entity: &str) -> Option<&'r str> {
    let is_of = |r: &&Rollback| {
        let is_all = r.is_whole && r.state == "done" && r.counts.conflicts + r.counts.failed == 0;
        r.entity == entity && is_all && r.undo_of.iter().any(|one| one == run_id)
    };
    // One that was undone, if only in part, has left something of the run there.
    let undoes = |x: &Rollback, r: &Rollback| {
        x.entity == entity
            && x.undo_of.contains(&r.run_id)
            && has_changed(x)
            && !is_rolled_back(rollbacks, &x.run_id, entity)
    };
    let in_force = |r: &&Rollback| !rollbacks.iter().any(|x| undoes(x, r));
    rollbacks.iter().rev().filter(is_of).find(in_force).map(|r| r.run_id.as_str())
}
