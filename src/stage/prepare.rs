//! What a staging run has to do: a dataset is opened, narrowed to what differs where that was asked for, its units are listed, and
//! those that are staged already are kept.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use xxhash_rust::xxh3::xxh3_128;

use super::document::Names;
use super::input::Input;
use super::run::Options;
use super::sink::{PartColumn, RowLimit};
use super::{Source, Unit, changed, open};
use crate::error::{Context, Result};
use crate::event::Progress;
use crate::fault;
use crate::ledger::proof::Proof;
use crate::ledger::{Generation, Ledger, UnitRow};
use crate::spec::{Dataset, DatasetKind, Entity, Spec};
use crate::store::files::{Files, is_remote};

/// Digest of what decides how a dataset's rows are staged, for a home. The same from wherever recon is called, and however fast
/// and in how many pieces a table is read. `copy` makes a difference to Parquet files only.
pub fn definition(dataset: &Dataset, home: &Path, copy: bool) -> String {
    let copied = copy && matches!(dataset.kind, DatasetKind::Parquet { .. });
    let mut kind = dataset.kind.clone();
    let places: Vec<&mut String> = match &mut kind {
        DatasetKind::Csv(options) => vec![&mut options.uri],
        DatasetKind::Jsonl { uri } | DatasetKind::Parquet { uri } => vec![uri],
        DatasetKind::DynamodbExport(options) => {
            std::iter::once(&mut options.uri).chain(&mut options.increments).collect()
        }
        DatasetKind::Sqlite { path, .. } => vec![path],
        DatasetKind::Dynamodb(options) => {
            (options.rcu_max, options.segments) = (None, None);
            Vec::new()
        }
        DatasetKind::Postgres(_) | DatasetKind::Mysql(_) => Vec::new(),
    };
    for place in places {
        *place = from_project(home, Path::new(place));
    }
    let kind = format!("{kind:?} {:?} {copied} {}", dataset.storage, env!("CARGO_PKG_VERSION"));
    format!("{:032x}", xxh3_128(kind.as_bytes()))
}

/// A dataset's part in the run.
pub(super) struct Job<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) source: Box<dyn Source>,
    pub(super) folder: PathBuf,
    pub(super) generation: i64,
    pub(super) warnings: Vec<String>,
    pub(super) proof: Option<Proof>,
    pub(super) units: Vec<Unit>,
    /// The place of the next unit that comes to light while another is read.
    pub(super) next_ordinal: AtomicUsize,
    pub(super) rows_wanted: Option<Arc<RowLimit>>,
    /// Rows of units that need not be read again, by ordinal.
    pub(super) kept: HashMap<usize, UnitRow>,
    pub(super) done: Mutex<Vec<UnitRow>>,
    pub(super) unchanged: bool,
}

/// A dataset that is about to be staged.
pub(super) struct Opened<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) source: Box<dyn Source>,
    pub(super) names: Arc<Names>,
    pub(super) proof: Option<Proof>,
    pub(super) remarks: Vec<String>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(dataset: &'a Dataset, copy: bool) -> Result<Self> {
        let names = Arc::new(Names::new(&dataset.name));
        let source = open(dataset, &names, copy);
        let source = source.map_err(|error| error.of(&format!("dataset `{}`", dataset.name)))?;
        Ok(Self { dataset, source, names, proof: None, remarks: Vec::new() })
    }
}

/// Lets the stores prove what of an entity is equal. Where they cannot, its datasets stay whole and say why.
pub(super) fn prove(
    spec: &Spec,
    entity: &Entity,
    opened: &mut [Opened<'_>],
    threads: usize,
    progress: &Progress,
) -> Result<()> {
    let place = |name: &String| opened.iter().position(|one| one.dataset.name == *name);
    let places = (place(&entity.source), place(&entity.target));
    let (Some(source), Some(target)) = places else { return Ok(()) };
    let proven = match opened.get_disjoint_mut([source, target]) {
        Ok([source, target]) => {
            changed::prove(spec, entity, &mut *source.source, &mut *target.source, threads, progress)?
        }
        Err(_) => Err("both of its sides are one dataset".to_owned()),
    };
    match proven {
        Ok(proof) => [source, target].into_iter().for_each(|side| opened[side].proof = Some(proof.clone())),
        // Said once, of the entity.
        Err(reason) => opened[source].remarks.push(format!(
            "staged whole: of entity `{}` nothing could be proven equal in the stores: {reason}",
            entity.name
        )),
    }
    Ok(())
}

/// Lists a dataset's units and finds which are staged already.
pub(super) fn prepare<'a>(
    opened: Opened<'a>,
    ledger: &Ledger,
    run_id: &str,
    options: &Options<'_>,
) -> Result<Job<'a>> {
    let Opened { dataset, source, names, proof, remarks } = opened;
    let folder = ledger.home().join("stage").join(&dataset.name);
    fs::create_dir_all(&folder).or_failed(|| format!("cannot write {}", folder.display()))?;
    let listed = source.units();
    let (mut units, mut warnings) =
        listed.map_err(|error| error.of(&format!("dataset `{}`", dataset.name)))?;
    warnings.extend(remarks);
    let definition = definition(dataset, ledger.home(), options.copy);
    let unit_key = |unit: &Unit| unit_key(unit, ledger.home());
    let is_live = dataset.kind.is_live();
    // A finished staging of a live store is history: the next one reads what is there now.
    // What was read before stores were asked what is equal is not of the moment of their answer.
    let latest = ledger
        .latest_generation(&dataset.name)?
        .filter(|g| g.definition == definition && !(is_live && g.complete) && proof.is_none());
    let old = latest.as_ref().map_or(Ok(Vec::new()), |g| ledger.units(g.id))?;
    let by_path: HashMap<&str, &UnitRow> = old.iter().map(|row| (row.path.as_str(), row)).collect();
    // A range that was read before a table was altered does not go with those that are read now.
    let columns = source.columns();
    let is_of_now = |row: &UnitRow| columns.as_ref().is_none_or(|now| columns_of(row) == *now);
    let mut kept = HashMap::new();
    let mut ordinal = 0;
    while let Some(unit) = units.get(ordinal) {
        if let Some(row) = by_path.get(unit_key(unit).as_str()).filter(|row| is_of_now(row))
            && let Some(row) = still_good(unit, row, &folder)?
        {
            let rest = row.next.as_ref().map(|next| source.rest(unit, next));
            units.extend(rest);
            kept.insert(ordinal, UnitRow { ordinal: ordinal as i64, ..row });
        }
        ordinal += 1;
    }
    let columns: Vec<PartColumn> = kept.values().flat_map(columns_of).collect();
    names.preload_columns(&columns);
    // Parts are named after the unit's place, so a generation goes on only where every unit has kept its own.
    let in_place =
        old.iter().all(|row| kept.get(&(row.ordinal as usize)).is_some_and(|k| k.path == row.path));
    let unchanged = in_place
        && kept.len() == units.len()
        && latest.as_ref().is_some_and(|g| g.complete && old.len() == kept.len());
    let generation = match latest {
        Some(Generation { id, complete, .. }) if unchanged || (!complete && in_place) => {
            for row in kept.values().filter(|row| by_path.get(row.path.as_str()) != Some(row)) {
                ledger.insert_unit(id, row)?; // it was only touched
            }
            id
        }
        _ => {
            let rows: Vec<&UnitRow> = kept.values().collect();
            ledger.begin_generation(&dataset.name, &definition, run_id, &warnings, &rows)?
        }
    };
    // A staging that goes on may have begun with another one.
    ledger.describe_generation(generation, &warnings, proof.as_ref())?;
    fault::point("stage.prepared");
    let rows_wanted = options.rows_max.map(|max| Arc::new(RowLimit::new(max)));
    let (done, next_ordinal) = (Mutex::default(), AtomicUsize::new(units.len()));
    Ok(Job {
        next_ordinal,
        dataset,
        source,
        folder,
        generation,
        warnings,
        proof,
        units,
        rows_wanted,
        kept,
        done,
        unchanged,
    })
}

/// A unit's name in the ledger: one file may be in two exports of a chain.
pub(super) fn unit_key(unit: &Unit, home: &Path) -> String {
    let path = if unit.is_live { unit.path.display().to_string() } else { from_project(home, &unit.path) };
    match unit.window {
        0 => path,
        window => format!("{window}:{path}"),
    }
}

/// A path as seen from the folder that the home lies in, so that it depends neither on the current folder nor on how the spec's
/// own path was written; a path that leads elsewhere is absolute.
fn from_project(home: &Path, path: &Path) -> String {
    if path.to_str().is_some_and(|path| path.contains("://")) {
        return path.display().to_string();
    }
    let (home, path) = (settled(home), settled(path));
    let inside = home.parent().and_then(|project| path.strip_prefix(project).ok());
    inside.unwrap_or(&path).display().to_string()
}

/// The absolute path without `.` and `..`. Links are not followed: where one leads may change without the spec.
fn settled(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut settled = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                settled.pop();
            }
            Component::CurDir => {}
            other => settled.push(other),
        }
    }
    settled
}

/// A unit's row, where the file is what it was when it was read and its parts are what they were when they were written. A
/// file that was only touched is told from a changed one by its digest.
fn still_good(unit: &Unit, row: &UnitRow, folder: &Path) -> Result<Option<UnitRow>> {
    if !parts_are_whole(row, folder)
        || row.expected != expected_text(unit)
        || (row.bytes != unit.bytes && !unit.is_live)
    {
        return Ok(None);
    }
    // A range that was read as of an earlier moment stays; what that means is said in the end (`ledger::moments`).
    if row.stamp == unit.stamp.0 || unit.is_live {
        return Ok(Some(row.clone()));
    }
    // To read an object only to keep its rows costs as much as to stage it again.
    if is_remote(&unit.path) {
        return Ok(None);
    }
    let digests = Input::open(&Files::default(), unit, &Arc::new(Progress::default()))?
        .finish()
        .or_failed(|| format!("cannot read {}", unit.path.display()))?;
    Ok((digests.xxh3 == row.digest).then(|| UnitRow { stamp: unit.stamp.0.clone(), ..row.clone() }))
}

/// Whether a unit's parts are as they were written; read whole are those to which somebody wrote since.
fn parts_are_whole(row: &UnitRow, folder: &Path) -> bool {
    let (Ok(parts), Ok(failed)) = (row.parts(), row.failed()) else { return false };
    parts
        .iter()
        .chain(&failed)
        .all(|part| part.check(folder).is_ok() && (!part.is_touched(folder) || part.verify(folder).is_ok()))
}

pub(super) fn expected_text(unit: &Unit) -> Option<String> {
    if let Some(file) = unit.file {
        return Some(format!("file {file}"));
    }
    unit.expected.as_ref().map(|e| format!("{} {}", e.md5, e.items))
}

pub(super) fn columns_of(row: &UnitRow) -> Vec<PartColumn> {
    serde_json::from_str(&row.columns).unwrap_or_default()
}
