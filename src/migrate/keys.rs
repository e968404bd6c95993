//! The keys of all records of an entity, as hashes: which occur twice, and where those are that are asked for.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::mapped::{Column, Mapped, Origin};
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::mapping::access::cells;
use crate::mapping::pipeline::fan_out;
use crate::mapping::plan::Side;
use crate::query::{self, render};
use crate::value::arrow::Cells;
use crate::warehouse::Warehouse;

/// Keys that occur twice are kept in memory; more of them than this are no accident.
const DUPLICATES_MAX: usize = 5_000_000;

/// Why a record has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKey {
    /// The field.
    pub field: String,
    /// `null_key` or `cast`.
    pub code: &'static str,
    /// In words.
    pub message: String,
}

/// The hash of a record's key.
///
/// # Errors
/// A key that is NULL or does not cast.
pub fn key_hash(
    key: &[Column],
    cells: &[Cells<'_>],
    row: usize,
    seed: u64,
    scratch: &mut Vec<u8>,
) -> Result<u128, NoKey> {
    scratch.clear();
    for column in key {
        let none = |code, message| NoKey { field: column.field.clone(), code, message };
        let value = column.value(cells, row).map_err(|message| none("cast", message))?;
        if value.is_null() {
            return Err(none("null_key", "a record without its key cannot be written".to_owned()));
        }
        value.encode(scratch);
    }
    Ok(xxh3_128_with_seed(scratch, seed))
}

/// The keys of all records, in files.
pub struct Keys {
    files: Vec<PathBuf>,
    /// Records of the entity, those without a key among them.
    pub records: u64,
    /// Hashes of the keys that occur more than once.
    pub duplicates: HashSet<u128>,
}

impl Keys {
    /// Reads them, in parallel, into files in a folder.
    ///
    /// # Errors
    /// What the engine says; a disk that is full.
    pub fn gather(
        mapped: &Mapped<'_>,
        warehouse: &Warehouse,
        seed: u64,
        threads: usize,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Self> {
        let schema = Arc::new(schema());
        let path = |n: usize| folder.join(format!("keys-{n}.parquet"));
        let start = |n: usize| {
            let fail = || format!("cannot write {}", path(n).display());
            let file = File::create(path(n)).or_failed(fail)?;
            let out = ArrowWriter::try_new(file, Arc::clone(&schema), Some(plain())).or_failed(fail)?;
            Ok::<_, Error>((out, path(n), 0, Vec::new()))
        };
        let (key, sql) = (mapped.key(), keys_sql(mapped));
        let sizes = fan_out(
            warehouse,
            &sql,
            threads,
            progress,
            start,
            |(out, path, rows, scratch), batch| {
                *rows += batch.num_rows() as u64;
                let keys = hashes(key, batch, seed, scratch, &schema)?;
                out.write(&keys).or_failed(|| format!("cannot write {}", path.display()))
            },
            |(out, path, rows, _)| {
                out.close().or_failed(|| format!("cannot write {}", path.display()))?;
                Ok((path, rows))
            },
        )?;
        let records = sizes.iter().map(|(_, rows)| rows).sum();
        let mut keys = Self {
            files: sizes.into_iter().map(|(path, _)| path).collect(),
            records,
            duplicates: HashSet::new(),
        };
        keys.duplicates = keys.find_duplicates(mapped, warehouse)?;
        Ok(keys)
    }

    fn find_duplicates(&self, mapped: &Mapped<'_>, warehouse: &Warehouse) -> Result<HashSet<u128>> {
        let sql =
            render(include_str!("../../queries/migrate/duplicate_keys.sql"), &[("files", &self.list())]);
        let mut found = HashSet::new();
        warehouse.stream(&sql, |batch| {
            let (high, low) =
                (batch.column(0).as_primitive::<UInt64Type>(), batch.column(1).as_primitive::<UInt64Type>());
            found.extend((0..batch.num_rows()).map(|i| join(high.value(i), low.value(i))));
            if found.len() > DUPLICATES_MAX {
                let entity = &mapped.plan.entity.name;
                return Err(Error::failed(format!(
                    "entity `{entity}`: more than {DUPLICATES_MAX} keys occur more than once in the source"
                ))
                .help("name more fields in its `key`, or leave rows out with `where`"));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The positions of the records with these keys, each with the hash of its key.
    ///
    /// # Errors
    /// What the engine says; a disk that is full.
    pub fn positions(
        &self,
        wanted: &[u128],
        warehouse: &Warehouse,
        folder: &Path,
    ) -> Result<Vec<(i64, u128)>> {
        let path = folder.join("wanted.parquet");
        let fail = || format!("cannot write {}", path.display());
        let halves = |half: fn(u128) -> u64| {
            Arc::new(UInt64Array::from_iter_values(wanted.iter().map(|hash| half(*hash))))
        };
        let schema = Arc::new(Schema::new(schema().fields()[1..].to_vec()));
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), vec![halves(high), halves(low)]).or_failed(fail)?;
        let mut out = ArrowWriter::try_new(File::create(&path).or_failed(fail)?, schema, Some(plain()))
            .or_failed(fail)?;
        out.write(&batch).or_failed(fail)?;
        out.close().or_failed(fail)?;
        let pieces = [("files", self.list()), ("wanted", query::file(&path))];
        let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        let sql = render(include_str!("../../queries/migrate/positions_of_keys.sql"), &pieces);
        let mut positions = Vec::new();
        warehouse.stream(&sql, |batch| {
            let at = batch.column(0).as_primitive::<Int64Type>();
            let (high, low) =
                (batch.column(1).as_primitive::<UInt64Type>(), batch.column(2).as_primitive::<UInt64Type>());
            positions.extend((0..batch.num_rows()).map(|i| (at.value(i), join(high.value(i), low.value(i)))));
            Ok(())
        })?;
        Ok(positions)
    }

    fn list(&self) -> String {
        self.files.iter().map(|path| query::file(path)).collect::<Vec<_>>().join(", ")
    }
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("pos", DataType::Int64, false),
        Field::new("high", DataType::UInt64, false),
        Field::new("low", DataType::UInt64, false),
    ])
}

/// Hashes do not repeat: a dictionary of them would only cost.
fn plain() -> WriterProperties {
    WriterProperties::builder().set_dictionary_enabled(false).build()
}

/// The query of the key's columns alone, at the places where the whole query has them.
fn keys_sql(mapped: &Mapped<'_>) -> String {
    let mut columns = String::new();
    let mut n = 0;
    for column in mapped.key() {
        let Origin::Field { access, .. } = &column.source else { continue };
        for sql in access.select() {
            columns.push_str(&format!(", {sql} as c{n}"));
            n += 1;
        }
    }
    mapped.plan.query_of_columns(Side::Source, &columns)
}

fn hashes(
    key: &[Column],
    batch: &RecordBatch,
    seed: u64,
    scratch: &mut Vec<u8>,
    schema: &Arc<Schema>,
) -> Result<RecordBatch> {
    let (cells, positions) = (cells(batch), batch.column(0).as_primitive::<Int64Type>());
    let (mut pos, mut highs, mut lows) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        // One without a key is told when it would be written.
        if let Ok(hash) = key_hash(key, &cells, row, seed, scratch) {
            pos.push(positions.value(row));
            highs.push(high(hash));
            lows.push(low(hash));
        }
    }
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from(pos)),
        Arc::new(UInt64Array::from(highs)),
        Arc::new(UInt64Array::from(lows)),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).or_failed(|| "cannot gather the keys".to_owned())
}

pub(super) fn high(hash: u128) -> u64 {
    (hash >> 64) as u64
}

pub(super) fn low(hash: u128) -> u64 {
    hash as u64
}

pub(super) fn join(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}
