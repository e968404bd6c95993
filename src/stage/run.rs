//! A staging run: which units are left to do, who does them, and when each counts as staged.
//!
//! A unit's rows become parts under temporary names; these are fsynced, renamed, and only then does the ledger's row say
//! "staged". Killed anywhere, the next run keeps what has a row and does the rest again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::document::Names;
use super::input::Digests;
pub use super::prepare::definition;
use super::prepare::{Job, Opened, expected_text, prepare, prove, unit_key};
use super::sink::{FailureLimit, PartColumn, UnitSink};
use super::{Keys, Stamp, Unit, open};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::event::{self, Progress};
use crate::fault;
use crate::ledger::part::DAMAGED;
use crate::ledger::proof::Proof;
use crate::ledger::{Ledger, UnitRow, moments};
use crate::spec::{Dataset, Entity, Spec};
use crate::store::files::is_remote;

/// A documents' row is nested as deep as its text says.
const STACK_BYTES: usize = 64 << 20;

/// How a staging goes.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Worker threads.
    pub threads: usize,
    /// Copy local Parquet files into the stage instead of referring to them.
    pub copy: bool,
    /// Most rows that may fail to parse.
    pub errors_max: Option<u64>,
    /// Most rows of each dataset that are read, where they are only looked at: the first ones, where there is one thread. The
    /// generation then counts as whole although it is not, so its home must be one that is thrown away.
    pub rows_max: Option<u64>,
    /// Of these entities only the rows that their stores do not prove equal.
    pub changed_only: Option<(&'a Spec, Vec<&'a Entity>)>,
}

/// What became of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The dataset.
    pub dataset: String,
    /// Its files.
    pub units: u64,
    /// Files that were read in this run.
    pub units_read: u64,
    /// Staged rows.
    pub rows: u64,
    /// Rows that did not parse.
    pub failures: u64,
    /// Whether nothing had changed since it was staged.
    pub kept: bool,
    /// What was proven equal in the stores and not staged.
    pub proof: Option<Proof>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A row that did not parse, for the run's `failures.csv`.
#[derive(Clone, Debug)]
pub struct FailureFile {
    /// The dataset.
    pub dataset: String,
    /// The input file.
    pub unit: String,
    /// Parquet file with its failures.
    pub path: PathBuf,
}

/// Stages datasets: lists their units, reads those that are new or changed, and completes their generations.
///
/// # Errors
/// Input that is missing or corrupt, a disk that is full, an interruption. What was finished until then is kept.
pub fn stage(
    datasets: &[&Dataset],
    ledger: &Ledger,
    run_id: &str,
    options: &Options<'_>,
    progress: &Arc<Progress>,
) -> Result<Vec<Outcome>> {
    let mut opened: Vec<Opened<'_>> =
        datasets.iter().map(|dataset| Opened::new(dataset, options.copy)).collect::<Result<_>>()?;
    if let Some((spec, entities)) = &options.changed_only {
        for entity in entities {
            prove(spec, entity, &mut opened, options.threads, progress)?;
        }
    }
    let jobs: Vec<Job<'_>> =
        opened.into_iter().map(|one| prepare(one, ledger, run_id, options)).collect::<Result<_>>()?;
    let todo: Vec<(usize, usize)> = jobs
        .iter()
        .enumerate()
        .flat_map(|(j, job)| (0..job.units.len()).filter(|u| !job.kept.contains_key(u)).map(move |u| (j, u)))
        .collect();
    event::add(&progress.units_total, todo.len() as u64);
    event::add(&progress.bytes_total, todo.iter().map(|(j, u)| jobs[*j].units[*u].bytes).sum());
    let limit = Arc::new(FailureLimit::new(options.errors_max));
    for row in jobs.iter().flat_map(|job| job.kept.values()) {
        limit.count(row.failures, || format!("{} among them, staged before", row.path))?;
    }
    run_units(&jobs, &todo, ledger, options, progress, &limit)?;
    jobs.into_iter().map(|job| complete(job, ledger)).collect()
}

/// Stages only the records with these keys, as their store has them now. `known` are the columns that the dataset was found to
/// have before. False where the store cannot look records up by these columns.
///
/// # Errors
/// As [`stage`].
pub fn stage_keys(
    dataset: &Dataset,
    keys: &Keys,
    known: &[PartColumn],
    ledger: &Ledger,
    run_id: &str,
    options: &Options<'_>,
    progress: &Arc<Progress>,
) -> Result<bool> {
    let mut opened = Opened::new(dataset, options.copy)?;
    opened.names.preload_columns(known);
    let only = opened.source.only(keys);
    let Some(only) = only.map_err(|error| error.of(&format!("dataset `{}`", dataset.name)))? else {
        return Ok(false);
    };
    opened.source = only;
    let job = prepare(opened, ledger, run_id, options)?;
    let todo: Vec<(usize, usize)> = (0..job.units.len()).map(|unit| (0, unit)).collect();
    let limit = Arc::new(FailureLimit::new(options.errors_max));
    let jobs = [job];
    run_units(&jobs, &todo, ledger, options, progress, &limit)?;
    jobs.into_iter().try_for_each(|job| complete(job, ledger).map(|_| ()))?;
    Ok(true)
}

/// Whether a dataset is staged as the spec has it and as its files, just listed, are now.
///
/// # Errors
/// A ledger that cannot be read.
pub fn is_current(dataset: &Dataset, units: &[Unit], ledger: &Ledger) -> Result<bool> {
    let Some(generation) = ledger.latest_generation(&dataset.name)?.filter(|g| g.complete) else {
        return Ok(false);
    };
    let is_same = |copy| generation.definition == definition(dataset, ledger.home(), copy);
    let rows = ledger.units(generation.id)?;
    let is_staged = |unit: &Unit| {
        let key = unit_key(unit, ledger.home());
        rows.iter().any(|row| row.path == key && row.stamp == unit.stamp.0)
    };
    Ok((is_same(false) || is_same(true)) && rows.len() == units.len() && units.iter().all(is_staged))
}

/// Reads the units that are left, several at a time; where there are fewer units than threads, each gets several.
fn run_units(
    jobs: &[Job<'_>],
    todo: &[(usize, usize)],
    ledger: &Ledger,
    options: &Options<'_>,
    progress: &Arc<Progress>,
    limit: &Arc<FailureLimit>,
) -> Result<()> {
    let at_once = options.threads.clamp(1, todo.len().max(1));
    let workers = (options.threads / todo.len().max(1)).max(1);
    let next = AtomicUsize::new(0);
    let first_error: Mutex<Option<Error>> = Mutex::default();
    let failed = || first_error.lock().expect("no worker panics").is_some();
    let work = || {
        while let Some((j, u)) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed() {
                return;
            }
            let (job, unit) = (&jobs[*j], &jobs[*j].units[*u]);
            match read_to_end(job, *u, ledger, workers, progress, limit) {
                Ok((rows, failures)) => {
                    let (of, name) = (job.dataset.name.clone(), unit_key(unit, ledger.home()));
                    progress.end_unit(&event::Unit { of, name, rows, failures });
                }
                Err(error) => {
                    first_error.lock().expect("no worker panics").get_or_insert(error);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..at_once {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, work).or_failed(|| "cannot start a thread".to_owned())?;
        }
        Ok(())
    })?;
    first_error.into_inner().expect("no worker panics").map_or(Ok(()), Err)
}

/// Reads a unit, and what is left of it as long as something is. Returns its rows and those that did not parse.
fn read_to_end(
    job: &Job<'_>,
    ordinal: usize,
    ledger: &Ledger,
    workers: usize,
    progress: &Arc<Progress>,
    limit: &Arc<FailureLimit>,
) -> Result<(u64, u64)> {
    let (mut ordinal, mut unit) = (ordinal, job.units[ordinal].clone());
    let (mut rows, mut failures) = (0, 0);
    loop {
        let Some(read) = read_unit(job, (ordinal, &unit), ledger, workers, progress, limit)? else {
            return Ok((rows, failures));
        };
        rows += read.rows;
        failures += read.failures;
        match read.rest {
            Some(rest) => (ordinal, unit) = (job.next_ordinal.fetch_add(1, Ordering::Relaxed), rest),
            None => return Ok((rows, failures)),
        }
    }
}

/// What became of a unit.
struct Read {
    rows: u64,
    failures: u64,
    /// What is left of it.
    rest: Option<Unit>,
}

/// Reads one unit, unless enough was read.
fn read_unit(
    job: &Job<'_>,
    (ordinal, unit): (usize, &Unit),
    ledger: &Ledger,
    workers: usize,
    progress: &Arc<Progress>,
    limit: &Arc<FailureLimit>,
) -> Result<Option<Read>> {
    progress.check()?;
    if job.rows_wanted.as_ref().is_some_and(|limit| limit.is_reached()) {
        return Ok(None);
    }
    let started = Instant::now();
    let stem = format!("{}-{ordinal:06}", job.generation);
    let sink = UnitSink::new(&job.folder, &stem, Arc::clone(progress), Arc::clone(limit))
        .of(&unit.path)
        .at_most(job.rows_wanted.as_ref());
    let of_dataset = |error: Error| match error.kind() {
        ErrorKind::Failed => error.of(&format!("dataset `{}`", job.dataset.name)),
        ErrorKind::Usage | ErrorKind::Incomplete => error,
    };
    let digests = match job.source.read(unit, &sink, workers) {
        Err(_) if sink.has_enough() => Digests { bytes: 0, xxh3: String::new(), md5: None, next: None },
        read => read.map_err(of_dataset)?,
    };
    let after = job.source.stamp(unit)?;
    if after != unit.stamp {
        return Err(Error::failed(format!("{} changed while it was being read", unit.path.display()))
            .help("run `recon stage` again once nobody writes to it"));
    }
    let staged = sink.commit()?;
    fault::point("stage.before-ledger");
    let row = UnitRow {
        ordinal: ordinal as i64,
        path: unit_key(unit, ledger.home()),
        stamp: unit.stamp.0.clone(),
        digest: digests.xxh3,
        expected: expected_text(unit),
        bytes: unit.bytes,
        rows: staged.rows,
        failures: staged.failed.as_ref().map_or(0, |part| part.rows),
        parts: serde_json::to_string(&staged.parts).expect("parts are always JSON"),
        columns: serde_json::to_string(&staged.columns).expect("columns are always JSON"),
        failed: staged.failed.map(|part| serde_json::to_string(&part).expect("a part is always JSON")),
        next: digests.next,
    };
    let rest = row.next.as_ref().map(|next| job.source.rest(unit, next));
    ledger.insert_unit(job.generation, &row)?;
    fault::point("stage.after-ledger");
    let seconds = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    let (dataset, file) = (&job.dataset.name, unit.path.display().to_string());
    tracing::info!(
        dataset,
        file,
        bytes = row.bytes,
        rows = row.rows,
        failures = row.failures,
        seconds,
        "read"
    );
    let read = Read { rows: row.rows, failures: row.failures, rest };
    job.done.lock().expect("no worker panics").push(row);
    Ok(Some(read))
}

/// Marks the generation whole and removes files that it does not need.
fn complete(job: Job<'_>, ledger: &Ledger) -> Result<Outcome> {
    let done = job.done.into_inner().expect("no worker panics");
    let rows: Vec<&UnitRow> = job.kept.values().chain(&done).collect();
    let mut warnings = job.warnings;
    if job.dataset.kind.is_live() {
        warnings.extend(moments(rows.iter().copied()));
    }
    if !job.unchanged {
        fault::point("stage.before-complete");
        ledger.complete_generation(&job.dataset.name, job.generation)?;
        fault::point("stage.after-complete");
    }
    // Also where nothing changed: a run that was killed after its last unit may have left something.
    remove_unused(&job.folder, &rows);
    Ok(Outcome {
        dataset: job.dataset.name.clone(),
        units: rows.len() as u64,
        units_read: done.len() as u64,
        rows: rows.iter().map(|r| r.rows).sum(),
        failures: rows.iter().map(|r| r.failures).sum(),
        kept: job.unchanged,
        proof: job.proof,
        warnings,
    })
}

/// A leftover costs space, not truth, so a failure to remove one is nobody's concern.
fn remove_unused(folder: &Path, rows: &[&UnitRow]) {
    let used: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| {
            let (parts, failed) = (row.parts().unwrap_or_default(), row.failed().unwrap_or_default());
            parts.into_iter().chain(failed).map(|part| part.file)
        })
        .collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = [".parquet", ".tmp", DAMAGED].iter().any(|end| name.ends_with(end));
        if is_ours && !used.contains(&name) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The files that hold the rows which did not parse, of the newest generations.
///
/// # Errors
/// A ledger that cannot be read.
pub fn failure_files(datasets: &[&Dataset], ledger: &Ledger) -> Result<Vec<FailureFile>> {
    let mut files = Vec::new();
    for dataset in datasets {
        let Some(generation) = ledger.latest_generation(&dataset.name)? else { continue };
        let folder = ledger.home().join("stage").join(&dataset.name);
        for row in ledger.units(generation.id)? {
            if let Some(part) = row.failed()? {
                let path = part.path(&folder);
                files.push(FailureFile { dataset: dataset.name.clone(), unit: row.path.clone(), path });
            }
        }
    }
    Ok(files)
}

/// What became of a dataset's files since it was staged, in words; nothing where they are what they were. Only looks at them.
///
/// # Errors
/// A ledger that cannot be read.
pub fn stale_inputs(ledger: &Ledger, dataset: &Dataset) -> Result<Option<String>> {
    // What was staged of a store is of that moment, and a comparison works without the store.
    if dataset.kind.is_live() || is_remote(dataset.kind.place()) {
        return Ok(None);
    }
    let Some(generation) = ledger.latest_generation(&dataset.name)? else { return Ok(None) };
    let old = ledger.units(generation.id)?;
    let mut unseen: HashMap<&str, &UnitRow> = old.iter().map(|row| (row.path.as_str(), row)).collect();
    let names = Arc::new(Names::new(&dataset.name));
    let units = match open(dataset, &names, false).and_then(|source| source.units()) {
        Ok((units, _)) => units,
        Err(e) => return Ok(Some(format!("its files cannot be listed any longer ({e}); {STALE}"))),
    };
    let mut changed: Vec<String> = Vec::new();
    for unit in &units {
        let key = unit_key(unit, ledger.home());
        if unseen.remove(key.as_str()).is_none_or(|row| row.stamp != unit.stamp.0) {
            changed.push(key);
        }
    }
    changed.extend(unseen.into_keys().map(str::to_owned));
    changed.sort();
    Ok(match changed.as_slice() {
        [] => None,
        [file] => Some(format!("{file} is not what it was when it was staged; {STALE}")),
        [file, more @ ..] => Some(format!(
            "{file} and {} more files are not what they were when they were staged; {STALE}",
            more.len()
        )),
    })
}

/// What follows from files that changed.
const STALE: &str = "what was staged then is compared, and `recon stage` reads it anew";

/// Holds files that are read where they lie against what they were when they were staged.
///
/// # Errors
/// A file that is gone or was changed since (exit 4).
pub fn check_references(ledger: &Ledger, dataset: &Dataset) -> Result<()> {
    let Some(generation) = ledger.latest_generation(&dataset.name)? else { return Ok(()) };
    for row in ledger.units(generation.id)? {
        for part in row.parts()?.iter().filter(|part| Path::new(&part.file).is_absolute()) {
            if Stamp::of(Path::new(&part.file))?.0 != row.stamp {
                return Err(Error::failed(format!("{} changed since it was staged", part.file))
                    .help("run `recon stage` again; `recon stage --copy` keeps a copy instead"));
            }
        }
    }
    Ok(())
}
