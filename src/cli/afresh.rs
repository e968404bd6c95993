//! Reading some records of both sides again, as their stores have them now: in a home of its own that is gone afterwards.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Global;
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::mapping::plan::Side;
use crate::mapping::side::{Column, Staged};
use crate::reconcile::again::{Reading, Record, Ways, readings, wanted_rows, ways};
use crate::reconcile::diff::Bench;
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
    /// Records that were asked for, those among them whose key could not be read.
    pub(super) asked: usize,
}

impl Read {
    /// What a comparison of these records works with.
    pub(super) fn bench<'b>(&'b self, of: &'b Bench<'b>) -> Bench<'b> {
        of.at(&self.home, &self.warehouse)
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

    /// Reads records again; or says in words why they cannot be read.
    ///
    /// # Errors
    /// A store that cannot be reached; a disk that is full.
    pub(super) fn read(
        &self,
        entity: &Entity,
        sides: [&Staged; 2],
        ways: &Ways,
        records: &[Record],
    ) -> Result<Result<Read, String>> {
        let Some(readings) = readings(self.bench, entity, sides, ways, records)? else {
            return Ok(Err("a record has no value by which its store finds it".to_owned()));
        };
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
        let mut fresh = sides.map(Clone::clone);
        for (side, reading) in [Side::Source, Side::Target].into_iter().zip(readings.sides.clone()) {
            let (staged, folder) = (sides[side as usize], make(side.word())?);
            fresh[side as usize] = match reading {
                Reading::AsStaged(positions) => {
                    staged.subset(&warehouse, &positions, &folder.join("rows.parquet"))?
                }
                Reading::Afresh { values, .. } if values.is_empty() => {
                    staged.subset(&warehouse, &[], &folder.join("rows.parquet"))?
                }
                Reading::Afresh { columns, values } => {
                    match self.stage(staged, Keys { columns, values }, &folder, &warehouse)? {
                        Ok(read) => read,
                        Err(why) => return Ok(Err(format!("dataset `{}` {why}", staged.dataset.name))),
                    }
                }
            };
        }
        let asked = readings.keys.len() + readings.without_key;
        let mut read = Read { home, warehouse, sides: fresh, asked };
        for (side, reading) in [Side::Source, Side::Target].into_iter().zip(readings.sides) {
            if matches!(reading, Reading::Afresh { .. }) {
                let folder = folder.join(side.word());
                read.sides[side as usize] = self.wanted(&read, entity, side, &readings.keys, &folder)?;
            }
        }
        Ok(Ok(read))
    }

    /// Of what a store found, the rows of the wanted keys, each once; rows that did not parse stay.
    fn wanted(
        &self,
        read: &Read,
        entity: &Entity,
        side: Side,
        keys: &HashSet<Vec<u8>>,
        folder: &Path,
    ) -> Result<Staged> {
        let (bench, fresh) = (read.bench(self.bench), &read.sides[side as usize]);
        let primary = self.primary.get(&fresh.dataset.name).cloned().flatten().unwrap_or_default();
        let sides = [&read.sides[0], &read.sides[1]];
        let positions = wanted_rows(&bench, entity, sides, side, keys, &primary)?;
        let mut wanted = fresh.subset(&read.warehouse, &positions, &folder.join("rows.parquet"))?;
        wanted.parts.iter_mut().for_each(|part| part.unit = "read afresh".to_owned());
        Ok(Staged { failures: fresh.failures.clone(), ..wanted })
    }

    /// Stages the records of one side in a home of their own; `None` where the table is not what it was: its values would have
    /// to be brought to types that they do not have.
    fn stage(
        &self,
        staged: &Staged,
        keys: Keys,
        home: &Path,
        warehouse: &Warehouse,
    ) -> Result<Result<Staged, String>> {
        let dataset = &staged.dataset;
        let ledger = Ledger::open(home, "recheck")?;
        let options = Options {
            threads: self.bench.threads,
            copy: false,
            errors_max: None,
            rows_max: None,
            changed_only: None,
        };
        let known = columns(staged);
        let run = ledger.begin_run("recheck", &self.bench.spec.digest)?;
        let can = stage_keys(dataset, &keys, &known, &ledger, &run, &options, self.progress)?;
        if !can {
            return Ok(Err(format!("finds no record by these values of {}", keys.columns.join(", "))));
        }
        let fresh = Staged::load(&ledger, warehouse, dataset, &definition(dataset, home, false))?;
        if dataset.kind.is_schemaless() {
            return fresh.with_columns_of(staged, warehouse, &home.join("columns.parquet")).map(Ok);
        }
        Ok(if fresh.has_columns_of(staged) {
            Ok(fresh)
        } else {
            Err("has other columns now: stage it again".to_owned())
        })
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
