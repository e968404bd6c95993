//! A fold on the disk: a Parquet file of records, and `done.json`, which says that it is whole and what is in it.

use std::fs::{self, File};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::super::resolve::StoreType;
use super::super::side::{Column, Folded, Physical, Staged, StagedPart};
use crate::error::{Context, Error, Result};
use crate::fault;
use crate::ledger::part::{Part, Seal, rows_of};
use crate::query::{self, render};
use crate::spec::{Entity, Field};
use crate::value::column::ColumnType;
use crate::warehouse::Warehouse;

const RECORDS: &str = "records.parquet";
const DONE: &str = "done.json";

/// What a fold is.
#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    part: Part,
    /// Staged rows that are in the records.
    rows: u64,
    columns: Vec<KeptColumn>,
    unused: Vec<String>,
}

/// A field's column.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptColumn {
    /// The field.
    pub(super) name: String,
    /// Its column in the file.
    pub(super) physical: String,
    /// The type of a live table's column, where its values are such.
    pub(super) tag: String,
    /// The engine's type of the expression; nothing where the field is a column and keeps that one's type.
    pub(super) ty: Option<String>,
}

/// The name of a fold's folder: the entity, then all that decides the content.
pub(super) fn name(seed: u64, entity: &Entity, source: &Staged) -> String {
    let fields: Vec<_> = entity
        .fields
        .iter()
        .flatten()
        .map(|f| (&f.name, &f.from.text, f.rule.ignore && f.from.plain_name.is_some()))
        .collect();
    let groups: Vec<&str> = entity.group_by.iter().map(|sql| sql.text.as_str()).collect();
    let filter = entity.source_filter.as_ref().map(|sql| &sql.text);
    let of =
        (env!("CARGO_PKG_VERSION"), seed, &source.dataset.name, source.generation, filter, groups, fields);
    format!("{}{:032x}", prefix(entity), xxh3_128(format!("{of:?}").as_bytes()))
}

fn prefix(entity: &Entity) -> String {
    format!("{:016x}-", xxh3_64(entity.name.as_bytes()))
}

/// The fold that lies in a folder; nothing where there is none, or where it is not what it was.
pub(super) fn find(folder: &Path) -> Option<Done> {
    let done: Done = serde_json::from_slice(&fs::read(folder.join(DONE)).ok()?).ok()?;
    done.part.check(folder).ok()?;
    if done.part.is_touched(folder) {
        done.part.verify(folder).ok()?;
    }
    Some(done)
}

/// Folds into a folder. What lies there and is no fold goes first, and so do older folds of the entity.
///
/// # Errors
/// What the engine says; a disk that is full.
pub(super) fn write(
    folder: &Path,
    warehouse: &Warehouse,
    records: &str,
    columns: Vec<KeptColumn>,
    unused: Vec<String>,
) -> Result<Done> {
    let fail = || format!("cannot write {}", folder.display());
    remove_older(folder).or_failed(fail)?;
    fs::create_dir_all(folder).or_failed(fail)?;
    let path = folder.join(RECORDS);
    let file = query::literal(&path.display().to_string());
    let pieces = [("records", records), ("file", &file)];
    warehouse.execute(&render(include_str!("../../../queries/mapping/fold_file.sql"), &pieces))?;
    fault::point("fold.written");
    File::open(&path).and_then(|file| file.sync_all()).or_failed(fail)?;
    let counted = include_str!("../../../queries/mapping/folded_rows.sql");
    let counted = warehouse.integers(&render(counted, &[("file", &query::file(&path))]))?;
    let damaged = |damage| Error::failed(format!("{} {damage}", path.display()));
    let rows_of_part = rows_of(&path).map_err(damaged)?;
    let seal = Some(Seal::of(&path).or_failed(fail)?);
    let part = Part { file: RECORDS.to_owned(), rows: rows_of_part, seal };
    let rows = counted[0][0].unwrap_or(0).unsigned_abs();
    let done = Done { part, rows, columns, unused };
    let text = serde_json::to_vec(&done).expect("numbers and names are always JSON");
    fs::write(folder.join("done.tmp"), text).or_failed(fail)?;
    File::open(folder.join("done.tmp")).and_then(|file| file.sync_all()).or_failed(fail)?;
    fs::rename(folder.join("done.tmp"), folder.join(DONE)).or_failed(fail)?;
    File::open(folder).and_then(|folder| folder.sync_all()).or_failed(fail)?;
    fault::point("fold.done");
    Ok(done)
}

fn remove_older(folder: &Path) -> std::io::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let prefix = name.split_inclusive('-').next().unwrap_or_default();
    for entry in folder.parent().and_then(|all| fs::read_dir(all).ok()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

impl Done {
    /// The records as a staged source.
    ///
    /// # Errors
    /// A folder that cannot be found.
    pub(super) fn staged(self, source: &Staged, folder: &Path, warehouse: &Warehouse) -> Result<Staged> {
        let folder = std::path::absolute(folder).or_failed(|| format!("cannot find {}", folder.display()))?;
        let unit = format!("records folded from {}", source.dataset.name);
        let part = StagedPart { path: self.part.path(&folder), unit, written: self.part };
        let mut staged = Staged {
            folder,
            parts: vec![part],
            folded: Some(Folded { rows: self.rows, unused: self.unused }),
            ..nothing(source, std::iter::empty())
        };
        let physical = self.columns.iter().map(|column| Physical {
            physical: column.physical.clone(),
            attribute: column.name.clone(),
            tag: column.tag.clone(),
        });
        staged.columns = staged.find_columns(warehouse, physical.collect())?;
        for (column, kept) in staged.columns.iter_mut().zip(&self.columns) {
            column.store = match (&kept.ty, kept.tag.parse::<ColumnType>()) {
                (Some(ty), _) => StoreType::from_duckdb(ty),
                (None, Ok(ty)) => StoreType::from(&ty),
                (None, Err(_)) => StoreType::Untyped,
            };
        }
        Ok(staged)
    }
}

/// A source of which no row is staged, so that nobody knows its columns, folded.
pub(super) fn nothing<'f>(source: &Staged, fields: impl Iterator<Item = &'f Field>) -> Staged {
    let column = |field: &Field| Column {
        name: field.name.clone(),
        sql_name: field.name.clone(),
        store: StoreType::Document { dynamodb: source.dataset.kind.is_dynamodb(), tags: Vec::new() },
        physical: Vec::new(),
    };
    let mut failures = source.failures.clone();
    for failed in &mut failures {
        // They lie where the dataset is staged.
        failed.written.file = failed.path.display().to_string();
    }
    Staged {
        failures,
        parts: Vec::new(),
        columns: fields.map(column).collect(),
        has_lines: false,
        is_chain: false,
        folded: Some(Folded { rows: 0, unused: Vec::new() }),
        ..source.clone()
    }
}
