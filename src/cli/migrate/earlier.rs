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

/// Whether nothing is written twice when an unfinished run is left as it is. A record that is found to be there is left alone, but not
/// where the spec's SQL merges both: that could do so again.
pub(super) fn check_abandonable(spec: &Spec, ledger: &Ledger, open: &[Migration]) -> Result<()> {
    let merges = |entity: &Entity| {
        entity.fields.iter().flatten().any(|field| matches!(field.on_conflict, OnConflict::Sql(_)))
    };
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
pub(super) fn abandon(ledger: &Ledger, open: &[Migration]) -> Result<()> {
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

/// Where earlier runs say which of these records they wrote.
pub(super) fn done_files(ledger: &Ledger, wanted: &Migration) -> Result<Vec<PathBuf>> {
    let ended = ledger.migrations()?.into_iter().filter(|m| {
        (m.entity.as_str(), m.generation, m.mapping.as_str(), m.target.as_str())
            == (wanted.entity.as_str(), wanted.generation, wanted.mapping.as_str(), wanted.target.as_str())
            && (m.state == "done" || m.state == "abandoned")
    });
    let files = ended.map(|m| folder_of(ledger.home(), &m.run_id, &m.entity).join("done.parquet"));
    Ok(files.filter(|path| path.exists()).collect())
}

/// Where a run keeps what belongs to one entity.
pub(super) fn folder_of(home: &Path, run_id: &str, entity: &str) -> PathBuf {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            c.to_string()
        } else {
            format!("%{:x}", c as u32)
        }
    };
    home.join("runs").join(run_id).join("entities").join(entity.chars().map(plain).collect::<String>())
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
