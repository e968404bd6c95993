//! Reading some records of both sides again, as their stores have them now: in a home of its own that is gone afterwards.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Global;
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::reconcile::again::{Reading, Record, Ways, readings, ways};
use crate::reconcile::diff::{Bench, Verified};
use crate::reconcile::side::{Column, Staged};
use crate::spec::{Dataset, Entity, Spec};
use crate::stage::document::Names;
use crate::stage::run::{Options, definition, stage_keys};
use crate::stage::sink::PartColumn;
use crate::stage::{self, Keys};
use crate::warehouse::Warehouse;

/// The folder in the home where records are staged that are looked at again.
const FOLDER: &str = "afresh";

/// Reads records again, for one run.
pub(super) struct Afresh<'a> {
    pub(super) global: &'a Global,
    pub(super) bench: &'a Bench<'a>,
    pub(super) progress: &'a Arc<Progress>,
    folder: PathBuf,
    /// How often records were read: each time has a folder of its own, since the reports need what was found there.
    times: Cell<u32>,
    /// Primary keys of the stores that were asked already, by dataset.
    primary: HashMap<String, Option<Vec<String>>>,
}

/// Both sides of some records, and what compares them.
pub(super) struct Read {
    /// The home that they are in.
    pub(super) home: PathBuf,
    /// An engine of its own.
    pub(super) warehouse: Warehouse,
    /// Source and target.
    pub(super) sides: [Staged; 2],
}

impl Read {
    /// What a comparison of these records works with.
    pub(super) fn bench<'b>(&'b self, of: &'b Bench<'b>) -> Bench<'b> {
        Bench {
            spec: of.spec,
            warehouse: &self.warehouse,
            home: &self.home,
            seed: of.seed,
            threads: of.threads,
            progress: of.progress,
            verified: Verified::default(),
            may_hash: true,
        }
    }
}

impl<'a> Afresh<'a> {
    /// For a run on this bench. What a killed run left goes first.
    ///
    /// # Errors
    /// A home that cannot be written to.
    pub(super) fn new(global: &'a Global, bench: &'a Bench<'a>, progress: &'a Arc<Progress>) -> Result<Self> {
        clear(bench.home)?;
        let (folder, times) = (bench.home.join(FOLDER), Cell::new(0));
        Ok(Self { global, bench, progress, folder, times, primary: HashMap::new() })
    }

    /// How an entity's records can be looked up.
    pub(super) fn ways(&mut self, entity: &Entity, sides: [&Staged; 2]) -> Result<Ways> {
        let mut primary = Vec::new();
        for staged in sides {
            let dataset = &staged.dataset;
            if !self.primary.contains_key(&dataset.name) {
                self.primary.insert(dataset.name.clone(), primary_key(dataset)?);
            }
            primary.push(self.primary[&dataset.name].clone());
        }
        ways(self.bench, entity, sides, [primary[0].as_deref(), primary[1].as_deref()])
    }

    /// Reads records again; `None` where one of them has no value by which it could be found.
    pub(super) fn read(
        &self,
        entity: &Entity,
        sides: [&Staged; 2],
        ways: &Ways,
        records: &[Record],
    ) -> Result<Option<Read>> {
        let Some(readings) = readings(self.bench, entity, sides, ways, records)? else { return Ok(None) };
        self.times.set(self.times.get() + 1);
        let folder = self.folder.join(self.times.get().to_string());
        let make = |name: &str| {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder).or_failed(|| format!("cannot write {}", folder.display()))?;
            Ok::<_, Error>(folder)
        };
        let home = make("diff")?;
        let warehouse = Warehouse::open(&home, self.bench.threads, self.global.engine_memory())?;
        warehouse.stop_with(self.progress)?;
        let mut read = Vec::new();
        for ((staged, reading), name) in sides.into_iter().zip(readings).zip(["source", "target"]) {
            let folder = make(name)?;
            read.push(match reading {
                Reading::AsStaged(positions) => {
                    staged.subset(&warehouse, &positions, &folder.join("rows.parquet"))?
                }
                Reading::Afresh { columns, values } => {
                    self.stage(staged, Keys { columns, values }, &folder, &warehouse)?
                }
            });
        }
        let sides = read.try_into().map_err(|_| Error::failed("a record has two sides"))?;
        Ok(Some(Read { home, warehouse, sides }))
    }

    /// Stages the records of one side in a home of their own.
    fn stage(&self, staged: &Staged, keys: Keys, home: &Path, warehouse: &Warehouse) -> Result<Staged> {
        let dataset = &staged.dataset;
        let ledger = Ledger::open(home, "recheck")?;
        let options = Options { threads: self.bench.threads, copy: false, errors_max: None, rows_max: None };
        let known = columns(staged);
        let run = ledger.begin_run("recheck", &self.bench.spec.digest)?;
        let can = stage_keys(dataset, &keys, &known, &ledger, &run, &options, self.progress)?;
        if !can {
            let columns = keys.columns.join(", ");
            return Err(Error::failed(format!("dataset `{}` finds no record by {columns}", dataset.name)));
        }
        let fresh = Staged::load(&ledger, warehouse, dataset, &definition(dataset, home, false))?;
        fresh.with_columns_of(staged, warehouse, &home.join("columns.parquet"))
    }
}

/// Removes what was read, once the reports are written.
///
/// # Errors
/// A home that cannot be written to.
pub(super) fn clear(home: &Path) -> Result<()> {
    let folder = home.join(FOLDER);
    match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot remove {}", folder.display())).caused_by(e))
        }
        _ => Ok(()),
    }
}

/// A dataset's columns as its parts have them.
fn columns(staged: &Staged) -> Vec<PartColumn> {
    let of = |column: &Column| {
        let attribute = column.name.clone();
        column.physical.clone().into_iter().map(move |(tag, physical)| PartColumn {
            physical,
            attribute: attribute.clone(),
            tag,
        })
    };
    staged.columns.iter().flat_map(of).collect()
}

/// The primary key of a live store's table, maybe empty; `None` where the dataset is made of files.
fn primary_key(dataset: &Dataset) -> Result<Option<Vec<String>>> {
    if !dataset.kind.is_live() {
        return Ok(None);
    }
    let names = Arc::new(Names::new(&dataset.name));
    let facts = stage::open(dataset, &names, false).and_then(|source| source.facts());
    let facts = facts.map_err(|error| error.of(&format!("dataset `{}`", dataset.name)))?;
    Ok(Some(facts.map(|facts| facts.key).unwrap_or_default()))
}

/// Whether any of these entities has a side that lives.
pub(super) fn has_live_side(spec: &Spec, entity: &Entity) -> bool {
    let is_live = |name: &str| spec.dataset(name).is_some_and(|dataset| dataset.kind.is_live());
    is_live(&entity.source) || is_live(&entity.target)
}
