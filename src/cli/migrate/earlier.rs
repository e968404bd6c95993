//! What earlier runs left: those that are not at their end, and which records the others have written.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use crate::error::{Context, Error, Result};
use crate::ledger::Ledger;
use crate::ledger::migration::Migration;
use crate::migrate::plan::Plan;
use crate::migrate::{Earlier, Settled, Target, escaped};
use crate::spec::{Entity, OnConflict, Spec};

/// The migrations that are not at their end. They are of one run: no other is begun before.
pub(super) fn open_migrations(ledger: &Ledger) -> Result<Vec<Migration>> {
    let mut all = ledger.migrations()?;
    all.retain(|m| m.state == "planning" || m.state == "running");
    Ok(all)
}

/// How many records of these entities did not go through, each in the target that it went to last, where this run does not write them.
pub(super) fn open_elsewhere(ledger: &Ledger, run_id: &str, entities: &[&str]) -> Result<u64> {
    let all = ledger.migrations()?;
    let mut open = 0;
    for entity in entities {
        // The newest comes last.
        let newest = all.iter().rev().find(|m| m.entity == *entity);
        if let Some(newest) = newest.filter(|m| m.run_id != run_id) {
            open += ledger.open_exceptions(entity, &newest.target)?;
        }
    }
    Ok(open)
}

/// Removes the plans of runs that are over.
pub(super) fn remove_left_plans(ledger: &Ledger) -> Result<()> {
    for ended in ledger.migrations()?.iter().filter(|m| m.state == "done" || m.state == "abandoned") {
        let plan = folder_of(ledger.home(), &ended.run_id, &ended.entity).join("plan");
        if plan.exists() {
            fs::remove_dir_all(&plan).or_failed(|| format!("cannot remove {}", plan.display()))?;
        }
    }
    Ok(())
}

/// Whether an entity's records are merged with what is there by SQL of the spec's, which could do so twice.
pub(super) fn merges(entity: &Entity) -> bool {
    entity.fields.iter().flatten().any(|field| matches!(field.on_conflict, OnConflict::Sql(_)))
}

/// Refuses to merge records once more that were merged from another staging, or by another mapping. `now` is the staging and the
/// mapping.
pub(super) fn check_merged(ledger: &Ledger, entity: &Entity, target: &str, now: (i64, &str)) -> Result<()> {
    if !merges(entity) {
        return Ok(());
    }
    let all = ledger.migrations()?;
    let mut own =
        all.iter().filter(|m| m.entity == entity.name && m.target == target && m.counts.applied > 0);
    match own.find(|m| (m.generation, m.mapping.as_str()) != now) {
        None => Ok(()),
        Some(earlier) => Err(Error::usage(format!(
            "entity `{}`: run {} has merged records by `on_conflict_sql`, from another staging or by another mapping: this run would \
             merge them once more",
            entity.name, earlier.run_id
        ))
        .help("`replay` writes what failed; --merge-again merges all of them again")),
    }
}

/// Whether nothing is written twice when an unfinished run is left as it is. A record that is found to be there is left alone, but not
/// where the spec's SQL merges both: that could do so again.
pub(super) fn check_abandonable(spec: &Spec, ledger: &Ledger, open: &[Migration]) -> Result<()> {
    for migration in open.iter().filter(|m| spec.entity(&m.entity).is_none_or(merges)) {
        let rows = ledger.batches(&migration.run_id, &migration.entity)?;
        if rows.iter().any(|row| !row.applied) {
            return Err(Error::usage(format!(
                "run {}: of a batch of entity `{}` only the target knows whether it was written, and its `on_conflict_sql` \
                 must not be applied twice",
                migration.run_id, migration.entity
            ))
            .help(format!("go on with it first, without --new-run: {}", migration.kind)));
        }
    }
    Ok(())
}

/// Leaves an unfinished run as it is. Of a batch that was begun nobody knows whether it is there: its records are pending, and are
/// found to be there.
pub(in crate::cli) fn abandon(ledger: &Ledger, open: &[Migration]) -> Result<()> {
    for migration in open {
        let folder = folder_of(ledger.home(), &migration.run_id, &migration.entity);
        if migration.state == "running" {
            let rows = ledger.batches(&migration.run_id, &migration.entity)?;
            let applied: HashSet<u64> = rows.iter().filter(|row| row.applied).map(|row| row.batch).collect();
            // A plan that is gone or damaged leaves everything pending, which costs time and no record.
            let plan = Plan::open(&folder.join("plan")).and_then(|plan| plan.verify().map(|()| plan));
            if let Ok(plan) = plan {
                keep_positions(&plan, Some(&applied), &folder)?;
            }
        }
        ledger.end_migration(&migration.run_id, &migration.entity, "abandoned")?;
    }
    Ok(())
}

/// Keeps which records were written, for the runs to come.
pub(super) fn keep_positions(plan: &Plan, applied: Option<&HashSet<u64>>, folder: &Path) -> Result<()> {
    let (path, temporary) = (folder.join("done.parquet"), folder.join("done.tmp"));
    let fail = || format!("cannot write {}", path.display());
    let schema = Arc::new(arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
        "pos",
        arrow::datatypes::DataType::Int64,
        false,
    )]));
    let file = File::create(&temporary).or_failed(fail)?;
    let synced = file.try_clone().or_failed(fail)?;
    let mut out = ArrowWriter::try_new(file, Arc::clone(&schema), None).or_failed(fail)?;
    for batch in (0..plan.batches()).filter(|batch| applied.is_none_or(|applied| applied.contains(batch))) {
        let positions: ArrayRef = Arc::new(Int64Array::from(plan.positions(batch)?));
        let positions = RecordBatch::try_new(Arc::clone(&schema), vec![positions]).or_failed(fail)?;
        out.write(&positions).or_failed(fail)?;
    }
    out.close().or_failed(fail)?;
    synced.sync_all().or_failed(fail)?;
    fs::rename(&temporary, &path).or_failed(fail)?;
    File::open(folder).and_then(|folder| folder.sync_all()).or_failed(fail)
}

/// Where earlier runs say which of these records they wrote, but for those of which nothing is there any more.
pub(super) fn done_files(ledger: &Ledger, wanted: &Migration, settled: &Settled) -> Result<Vec<PathBuf>> {
    let ended = ledger.migrations()?.into_iter().filter(|m| {
        (m.entity.as_str(), m.generation, m.mapping.as_str(), m.target.as_str())
            == (wanted.entity.as_str(), wanted.generation, wanted.mapping.as_str(), wanted.target.as_str())
            && (m.state == "done" || m.state == "abandoned")
            && !settled.gone.contains(&(m.run_id.clone(), m.entity.clone()))
    });
    let files = ended.map(|m| folder_of(ledger.home(), &m.run_id, &m.entity).join("done.parquet"));
    Ok(files.filter(|path| path.exists()).collect())
}

/// Where a run keeps what belongs to one entity.
pub(in crate::cli) fn folder_of(home: &Path, run_id: &str, entity: &str) -> PathBuf {
    home.join("runs").join(run_id).join("entities").join(escaped(entity))
}

/// What a target that is written once has of earlier runs, held against what the ledger knows of them. `own` is the run that is under
/// way, and `digest` says what decides what of an entity is written. A replay only adds records that are in no file.
pub(super) fn settle(
    (spec, ledger): (&Spec, &Ledger),
    target: &dyn Target,
    own: Option<&str>,
    is_replay: bool,
    digest: fn(&Spec, &Entity) -> String,
) -> Result<Settled> {
    if !target.is_written_once() {
        return Ok(Settled::default());
    }
    let mut earlier = Vec::new();
    let all = ledger.migrations()?.into_iter();
    for m in all.filter(|m| m.target == target.fingerprint() && m.state != "planning") {
        let is_own = own == Some(m.run_id.as_str());
        let is_current = |entity: &Entity| -> Result<bool> {
            let staging = ledger.latest_generation(&entity.source)?.map(|generation| generation.id);
            Ok(staging == Some(m.generation) && digest(spec, entity) == m.mapping)
        };
        let done = folder_of(ledger.home(), &m.run_id, &m.entity).join("done.parquet");
        earlier.push(Earlier {
            is_own,
            is_fit: is_own || is_replay || spec.entity(&m.entity).map_or(Ok(false), is_current)?,
            is_kept: done.exists(),
            batches: ledger.batches(&m.run_id, &m.entity)?,
            run_id: m.run_id,
            entity: m.entity,
        });
    }
    target.settle(&earlier)
}

/// Refuses a replay of records that are written once at most, where they did not fail: in files, and where SQL merges them.
pub(super) fn check_failed(
    ledger: &Ledger,
    target: &dyn Target,
    (entity, generation): (&str, i64),
    hashes: &[u128],
    positions: &[i64],
) -> Result<()> {
    let all = ledger.migrations()?;
    let runs: HashSet<&str> =
        all.iter().filter(|m| m.target == target.fingerprint()).map(|m| m.run_id.as_str()).collect();
    let (mut failed, mut unread) = (HashSet::new(), HashSet::new());
    ledger.exceptions(None, Some(entity), true, |e| {
        if runs.contains(e.run_id.as_str()) {
            failed.extend(e.key_hash.as_deref().and_then(|hash| u128::from_str_radix(hash, 16).ok()));
            unread.extend((e.generation == generation).then_some(e.pos));
        }
        Ok(())
    })?;
    let others = hashes.iter().filter(|hash| !failed.contains(hash)).count()
        + positions.iter().filter(|pos| !unread.contains(pos)).count();
    if others == 0 {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{others} of the records that are asked for did not fail in {}, and {}",
        target.fingerprint(),
        if target.is_written_once() {
            "what is in files is never changed"
        } else {
            "`on_conflict_sql` would merge them once more"
        }
    ))
    .help(if target.is_written_once() {
        "`replay` takes just what failed; what is to be written anew needs another folder, or this one empty, and `migrate`"
    } else {
        "`replay` takes just what failed; --merge-again merges the others, too"
    }))
}

pub(super) fn make_anew(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::failed(format!("cannot remove {}", folder.display())).caused_by(e));
        }
        _ => {}
    }
    fs::create_dir_all(folder).or_failed(|| format!("cannot write {}", folder.display()))
}
