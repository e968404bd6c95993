//! Which records count as written after a rollback: those that it took back are pending again.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use super::chosen::folder_of;
use crate::error::{Context, Result};
use crate::fault;
use crate::ledger::Ledger;
use crate::query;
use crate::rollback::plan::{Group, Plan};
use crate::warehouse::Warehouse;

const WITHOUT: &str = include_str!("../../../queries/rollback/positions_without.sql");
const WITH: &str = include_str!("../../../queries/rollback/positions_with.sql");

/// Amends what the runs of a plan say they have written, by the batches that were begun. Doing it again changes nothing.
pub(super) fn amend(
    ledger: &Ledger,
    warehouse: &Warehouse,
    run_id: &str,
    plan: &Plan,
    folder: &Path,
) -> Result<()> {
    // What is not known to be taken back is written again, and found to be there; as written counts only what is known to be.
    let batches = ledger.undo_batches(run_id)?;
    let begun: HashSet<u64> = batches.iter().map(|row| row.batch).collect();
    let done: HashSet<u64> = batches.iter().filter(|row| row.done).map(|row| row.batch).collect();
    let mut kept: HashSet<(String, String, u64)> = HashSet::new();
    ledger.undo_exceptions(run_id, |e| {
        if e.state != "ALTERED" {
            kept.insert((e.of_run, e.entity, e.seq));
        }
        Ok(())
    })?;
    let path = folder.join("positions.parquet");
    for group in &plan.groups {
        // The run that wrote a record, and whether the record counts as written afterwards.
        let mut positions: BTreeMap<(String, bool), Vec<i64>> = BTreeMap::new();
        for batch in group.batches.iter().filter(|batch| begun.contains(&batch.number)) {
            for change in batch.read(group)? {
                let is_kept = !kept.is_empty()
                    && kept.contains(&(group.run_id.clone(), group.entity.clone(), change.seq));
                let Some(pos) = change.pos.filter(|_| !is_kept) else { continue };
                let of = match change.origin {
                    None => (group.run_id.clone(), false),
                    Some(origin) => (origin.run_id, origin.was_done),
                };
                if !of.1 || done.contains(&batch.number) {
                    positions.entry(of).or_default().push(pos);
                }
            }
        }
        for ((run, is_done), positions) in positions {
            write(&path, positions)?;
            for run in runs_of(ledger, group, &run, is_done)? {
                amend_one(ledger, warehouse, group, (&run, is_done), &path)?;
            }
        }
    }
    match path.exists() {
        true => fs::remove_file(&path).or_failed(|| format!("cannot remove {}", path.display())),
        false => Ok(()),
    }
}

/// The runs that may say of a record that it is written: also those that found it there. Of another staging the positions are others', and
/// all of it is pending, to be found there.
fn runs_of(ledger: &Ledger, group: &Group, run: &str, is_done: bool) -> Result<Vec<String>> {
    if is_done {
        return Ok(vec![run.to_owned()]);
    }
    let all = ledger.migrations()?;
    let Some(own) = all.iter().find(|m| m.run_id == run && m.entity == group.entity) else {
        return Ok(Vec::new());
    };
    let mut same = Vec::new();
    for m in all.iter().filter(|m| m.entity == own.entity && m.target == own.target) {
        if (m.generation, &m.mapping) == (own.generation, &own.mapping) {
            same.push(m.run_id.clone());
        } else {
            let done = folder_of(ledger.home(), &m.run_id, &m.entity).join("done.parquet");
            if done.exists() {
                fs::remove_file(&done).or_failed(|| format!("cannot remove {}", done.display()))?;
            }
        }
    }
    Ok(same)
}

/// Takes positions out of what a run has written, or puts them back.
fn amend_one(
    ledger: &Ledger,
    warehouse: &Warehouse,
    group: &Group,
    (run, is_done): (&str, bool),
    positions: &Path,
) -> Result<()> {
    let folder = folder_of(ledger.home(), run, &group.entity);
    let (done, temporary) = (folder.join("done.parquet"), folder.join("done.tmp"));
    let fail = || format!("cannot write {}", done.display());
    if !done.exists() {
        return Ok(());
    }
    let pieces = [
        ("done", query::file(&done)),
        ("positions", query::file(positions)),
        ("out", query::literal(&temporary.display().to_string())),
    ];
    let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
    warehouse.execute(&query::render(if is_done { WITH } else { WITHOUT }, &pieces))?;
    File::open(&temporary).and_then(|file| file.sync_all()).or_failed(fail)?;
    fault::point("rollback.before-amended");
    fs::rename(&temporary, &done).or_failed(fail)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).or_failed(fail)
}

fn write(path: &Path, positions: Vec<i64>) -> Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let schema = Arc::new(Schema::new(vec![Field::new("pos", DataType::Int64, false)]));
    let mut out = ArrowWriter::try_new(File::create(path).or_failed(fail)?, Arc::clone(&schema), None)
        .or_failed(fail)?;
    let column: ArrayRef = Arc::new(Int64Array::from(positions));
    out.write(&RecordBatch::try_new(schema, vec![column]).or_failed(fail)?).or_failed(fail)?;
    out.close().map(|_| ()).or_failed(fail)
}
