//! A rollback: group by group, batch by batch through the order of writes, until all are taken back or something stops it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Map, Value as Json, json};

use super::plan::{Group, Plan, Planned};
use crate::error::{Error, Result};
use crate::event::{self, Progress, Unit};
use crate::fault;
use crate::ledger::Ledger;
use crate::ledger::manifest::{self, Change, Frame, Image, Writer};
use crate::ledger::rollback::{Rollback, UndoCounts, UndoException};
use crate::mapping::pipeline::spawn_workers;
use crate::migrate::retry::{Attempt, Pace, Retries};
use crate::migrate::undo::{
    FaultClass, OnConflict, StandIns, Undo, UndoBatch, UndoSession, Undone, aborted, key_id, short,
};

/// How a rollback goes about it.
#[derive(Debug)]
pub struct Options {
    /// Batches under way at once; `None`: as the target takes them.
    pub concurrency: Option<usize>,
    /// How often a batch is tried again.
    pub retries: Retries,
    /// How fast records go out.
    pub pace: Pace,
}

/// An entity's target, and where its old images go.
pub struct Side<'a> {
    /// The target.
    pub undo: Box<dyn Undo + 'a>,
    /// Takes old images.
    pub manifest: Mutex<Writer>,
}

/// A rollback, with all that is needed.
pub struct Job<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The run.
    pub run_id: &'a str,
    /// What is taken back.
    pub plan: &'a Plan,
    /// The entities' targets.
    pub sides: &'a BTreeMap<String, Side<'a>>,
    /// How it goes about it.
    pub options: &'a Options,
    /// Who wants to know how far it is.
    pub progress: &'a Progress,
}

/// What the workers of a group share.
struct Shared<'a> {
    group: &'a Group,
    todo: Vec<&'a Planned>,
    next: AtomicUsize,
    over: AtomicBool,
    stand_ins: StandIns,
    /// The changes that were announced for batches which were begun before, of a target that writes in parts.
    earlier: Mutex<HashMap<u64, Vec<Change>>>,
}

impl Job<'_> {
    /// Takes back every batch that is not taken back yet.
    ///
    /// # Errors
    /// An interruption, or what stops the run; what was taken back stays so, and the run can be resumed.
    pub fn run(&self) -> Result<()> {
        let begun = self.ledger.undo_batches(self.run_id)?;
        let done: HashSet<u64> = begun.iter().filter(|row| row.done).map(|row| row.batch).collect();
        let open: HashSet<u64> = begun.iter().filter(|row| !row.done).map(|row| row.batch).collect();
        let all =
            self.plan.groups.iter().flat_map(|group| group.batches.iter().map(move |batch| (group, batch)));
        for (group, batch) in all {
            event::add(&self.progress.units_total, 1);
            event::add(&self.progress.rows_planned, batch.changes());
            if done.contains(&batch.number) {
                let unit = Unit {
                    of: group.entity.clone(),
                    name: String::new(),
                    rows: batch.changes(),
                    failures: 0,
                };
                self.progress.add_earlier(1, &unit);
            }
        }
        for (at, group) in self.plan.groups.iter().enumerate() {
            let todo: Vec<&Planned> =
                group.batches.iter().filter(|batch| !done.contains(&batch.number)).collect();
            if !todo.is_empty() {
                self.work_on(at, group, todo, &open)?;
            }
        }
        Ok(())
    }

    fn side(&self, group: &Group) -> Result<&Side<'_>> {
        self.sides
            .get(&group.entity)
            .ok_or_else(|| Error::failed(format!("no target of entity `{}`", group.entity)))
    }

    fn work_on(&self, at: usize, group: &Group, todo: Vec<&Planned>, open: &HashSet<u64>) -> Result<()> {
        let side = self.side(group)?;
        let open: HashSet<u64> = todo.iter().map(|batch| batch.number).filter(|n| open.contains(n)).collect();
        let earlier = match side.undo.writes_in_parts() && !open.is_empty() {
            true => {
                let manifest = side.manifest.lock().expect("nobody panics while it writes");
                manifest::changes_of(manifest.folder(), &open)?
            }
            false => HashMap::new(),
        };
        let shared = Shared {
            group,
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            stand_ins: self.stand_ins(at, group, side)?,
            earlier: Mutex::new(earlier),
            todo,
        };
        let workers = self.options.concurrency.unwrap_or(usize::MAX).min(side.undo.concurrency());
        spawn_workers(workers.min(shared.todo.len()).max(1), |_| {
            let worked = self.work(&shared, side);
            if worked.is_err() {
                shared.over.store(true, Ordering::Relaxed);
            }
            worked
        })?;
        Ok(())
    }

    /// What rows stand for that an earlier group, or an earlier rollback, has restored, and that are not to the letter what was meant.
    fn stand_ins(&self, at: usize, group: &Group, side: &Side<'_>) -> Result<StandIns> {
        let mut all = StandIns::new();
        if group.back_by.is_some() {
            return Ok(all);
        }
        restored_before(self.ledger, self.run_id, group, &*side.undo, &mut all)?;
        let before: Vec<&Group> =
            self.plan.groups[..at].iter().filter(|g| g.entity == group.entity).collect();
        let rollbacks = self.ledger.rollbacks()?;
        let is_altered = rollbacks.iter().any(|r| r.run_id == self.run_id && r.counts.altered > 0);
        if !before.is_empty() && (group.guard.version.is_some() || is_altered) {
            let folder = side.manifest.lock().expect("nobody panics while it writes").folder().to_path_buf();
            restored(&before, &folder, (&*side.undo, &group.guard.columns), &mut all)?;
        }
        Ok(all)
    }

    fn work(&self, shared: &Shared<'_>, side: &Side<'_>) -> Result<()> {
        let mut session = None;
        while !shared.over.load(Ordering::Relaxed)
            && let Some(batch) = shared.todo.get(shared.next.fetch_add(1, Ordering::Relaxed))
        {
            self.progress.check()?;
            let since = Instant::now();
            self.options.pace.take(batch.changes(), self.progress)?;
            event::add_time(&self.progress.paced_ns, since);
            self.take_back(batch, &mut session, shared, side)?;
        }
        Ok(())
    }

    fn take_back<'s>(
        &self,
        planned: &Planned,
        session: &mut Option<Box<dyn UndoSession + 's>>,
        shared: &Shared<'_>,
        side: &'s Side<'_>,
    ) -> Result<()> {
        let began = Instant::now();
        let (group, number) = (shared.group, planned.number);
        let (changes, hash) = (planned.read(group)?, planned.hash(group));
        let entity = group.entity.as_str();
        self.ledger.begin_undo_batch((self.run_id, entity), number, changes.len() as u64, &hash)?;
        fault::point("rollback.intent");
        event::add_time(&self.progress.own_ns, began);
        let earlier =
            shared.earlier.lock().expect("nobody panics with it").remove(&number).unwrap_or_default();
        let batch = UndoBatch {
            run_id: self.run_id,
            entity,
            number,
            hash: &hash,
            changes: &changes,
            of_run: &group.run_id,
            guard: &group.guard,
            stand_ins: &shared.stand_ins,
            earlier: &[],
            retries: self.options.retries,
            progress: self.progress,
        };
        let undone = match &group.back_by {
            Some(_) => Undone { noop: changes.len() as u64, ..Undone::default() },
            None => self.apply(&batch, earlier, session, side)?,
        };
        fault::point("rollback.applied");
        let since = Instant::now();
        let counts = counts(&undone, changes.len() as u64);
        let exceptions = self.exceptions(&batch, &undone, &*side.undo);
        self.ledger.end_undo_batch((self.run_id, entity), number, &counts, &undone.made, &exceptions)?;
        fault::point("rollback.batch-done");
        event::add_time(&self.progress.own_ns, since);
        let failures = counts.conflicts + counts.failed;
        event::add(&self.progress.rows_done, counts.handled);
        event::add(&self.progress.failures, failures);
        let unit =
            Unit { of: group.entity.clone(), name: number.to_string(), rows: counts.handled, failures };
        self.progress.end_unit(&unit);
        // A store without transactions finds some only while it writes.
        match group.guard.policy == OnConflict::Abort && counts.conflicts > 0 {
            true => Err(aborted(&batch, &undone)),
            false => Ok(()),
        }
    }

    /// Gets a batch back, however often that has to be tried.
    fn apply<'s>(
        &self,
        batch: &UndoBatch<'_>,
        earlier: Vec<Change>,
        session: &mut Option<Box<dyn UndoSession + 's>>,
        side: &'s Side<'_>,
    ) -> Result<Undone> {
        let attempt = Attempt {
            number: batch.number,
            manifest: Some(&side.manifest),
            in_parts: side.undo.writes_in_parts(),
            retries: self.options.retries,
            progress: self.progress,
        };
        let tried = attempt.until_taken(
            earlier,
            session,
            || side.undo.session(),
            |session, earlier, images| session.undo(&UndoBatch { earlier, ..*batch }, images),
        )?;
        tried.end
    }

    fn exceptions(&self, batch: &UndoBatch<'_>, undone: &Undone, undo: &dyn Undo) -> Vec<UndoException> {
        let texts = |row: &Image| -> Map<String, Json> {
            row.iter().map(|(name, value)| (name.clone(), undo.text(value).into())).collect()
        };
        let of = |place: usize, state: &str, code: &str, message: &str, now: Option<&Image>| {
            let change = &batch.changes[place];
            let row = |row: Option<&Image>| row.map_or(Json::Null, |row| Json::Object(texts(row)));
            let images = json!({ "old": row(change.pre.as_ref()), "ours": row(change.post.as_ref()), "now": row(now) });
            UndoException {
                run_id: self.run_id.to_owned(),
                entity: batch.entity.to_owned(),
                batch: batch.number,
                of_run: batch.of_run.to_owned(),
                seq: change.seq,
                key: Json::Object(texts(&change.key)).to_string(),
                state: state.to_owned(),
                code: code.to_owned(),
                column: None,
                message: message.to_owned(),
                images: images.to_string(),
            }
        };
        let mut all = Vec::new();
        for (place, conflict) in &undone.conflicts {
            let detail = conflict.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let message = format!("{}{detail}", conflict.kind.message());
            all.push(of(*place, "ROLLBACK_CONFLICT", conflict.kind.word(), &message, conflict.now.as_ref()));
        }
        for (place, fault) in &undone.faults {
            let state = match fault.class {
                FaultClass::Retryable => "FAILED_RETRYABLE",
                FaultClass::Permanent | FaultClass::Conflict => "FAILED_PERMANENT",
            };
            all.push(UndoException {
                column: fault.column.clone(),
                ..of(*place, state, &fault.code, &fault.message, None)
            });
        }
        for (place, columns) in &undone.altered {
            let message = "the table keeps other values than the old image's: a trigger, or what the columns are declared as";
            let column = Some(columns.join(", "));
            all.push(UndoException { column, ..of(*place, "ALTERED", "changed", message, None) });
        }
        all
    }
}

/// Adds what earlier rollbacks have restored otherwise than was meant.
///
/// # Errors
/// A ledger that cannot be read.
pub fn restored_before(
    ledger: &Ledger,
    run_id: &str,
    group: &Group,
    undo: &dyn Undo,
    all: &mut StandIns,
) -> Result<()> {
    let of =
        |r: &Rollback| (r.entity.as_str(), r.target.as_str()) == (group.entity.as_str(), undo.fingerprint());
    for r in ledger.rollbacks()?.iter().filter(|r| of(r) && r.run_id != run_id) {
        let folder = ledger.home().join("runs").join(&r.run_id);
        if r.counts.restored == 0 || (group.guard.version.is_none() && r.counts.altered == 0) {
            continue;
        }
        let added = Plan::open(&folder).and_then(|plan| {
            let groups: Vec<&Group> = plan.groups.iter().filter(|g| g.entity == group.entity).collect();
            let own = group.folder.parent().and_then(Path::file_name).unwrap_or_default();
            let manifest = folder.join("entities").join(own).join("manifest");
            restored(&groups, &manifest, (undo, &group.guard.columns), all)
        });
        // Without them more rows are taken for somebody's work, and left.
        if let Err(error) = added {
            tracing::warn!("nobody can tell what rollback {} restored: {error}", r.run_id);
        }
    }
    Ok(())
}

/// Adds what the groups of a rollback, whose manifest is in a folder, have restored otherwise than was meant.
fn restored(
    groups: &[&Group],
    folder: &Path,
    (undo, columns): (&dyn Undo, &[String]),
    all: &mut StandIns,
) -> Result<()> {
    let mut own: HashMap<u64, Vec<Frame>> = HashMap::new();
    for frame in manifest::frames(folder)?.1 {
        own.entry(frame.batch).or_default().push(frame);
    }
    let digest = |row: &Image| Ok::<_, Error>(short(&undo.digest(row, columns)?));
    for group in groups {
        for batch in &group.batches {
            let mut meant = HashMap::new();
            for change in batch.read(group)? {
                if let Some(pre) = &change.pre {
                    meant.insert(key_id(&change.key), digest(pre)?);
                }
            }
            for frame in own.get(&batch.number).into_iter().flatten() {
                for change in frame.read(folder)? {
                    let key = key_id(&change.key);
                    // The last one is what is there.
                    match (change.post_hash.as_deref().map(short), meant.get(&key)) {
                        (Some(there), Some(meant)) if there != *meant => all.insert(key, (there, *meant)),
                        _ => all.remove(&key),
                    };
                }
            }
        }
    }
    Ok(())
}

fn counts(undone: &Undone, changes: u64) -> UndoCounts {
    UndoCounts {
        handled: changes,
        restored: undone.restored,
        removed: undone.removed,
        inserted: undone.inserted,
        noop: undone.noop,
        merged: undone.merged,
        forced: undone.forced,
        altered: undone.altered.len() as u64,
        conflicts: undone.conflicts.len() as u64,
        failed: undone.faults.len() as u64,
        expired: undone.expired,
    }
}
