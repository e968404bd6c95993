//! For tests: stages a source and reads the rows back from the Parquet parts.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, UInt32Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::error::Result;
use crate::event::{self, Progress};
use crate::stage::Source;
use crate::stage::failures::read;
use crate::stage::sink::{Failure, FailureLimit, META_ATTRIBUTE, META_TYPE, PartColumn, UnitSink};

/// What is not null in a row, by physical column.
pub(crate) type Row = BTreeMap<String, Value>;

/// A whole source, staged.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) rows: Vec<Row>,
    /// The line of each row.
    pub(crate) lines: Vec<u64>,
    pub(crate) columns: Vec<PartColumn>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) warnings: Vec<String>,
    pub(crate) parts: usize,
    pub(crate) units: usize,
}

impl Staged {
    /// The rows as one JSON array, for comparing.
    pub(crate) fn json(&self) -> Value {
        json!(self.rows)
    }

    /// The messages of the failures, each with its line.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.failures.iter().map(|f| format!("{}: {}", f.line.unwrap_or(0), f.message)).collect()
    }
}

/// Stages every unit with one worker.
pub(crate) fn stage(source: &dyn Source) -> Result<Staged> {
    stage_with(source, 1)
}

/// Stages every unit.
pub(crate) fn stage_with(source: &dyn Source, workers: usize) -> Result<Staged> {
    let folder = tempfile::tempdir().unwrap();
    let progress = Arc::new(Progress::default());
    let (units, warnings) = source.units()?;
    let mut staged = Staged { warnings, units: units.len(), ..Staged::default() };
    for (n, unit) in units.iter().enumerate() {
        let limit = Arc::new(FailureLimit::new(None));
        let sink = UnitSink::new(folder.path(), &format!("part-{n}"), Arc::clone(&progress), limit);
        let digests = source.read(unit, &sink, workers)?;
        assert_eq!(digests.bytes, unit.bytes);
        let done = sink.commit()?;
        let before = staged.rows.len();
        for part in &done.parts {
            read_part(&folder.path().join(&part.file), &mut staged);
        }
        assert_eq!((staged.rows.len() - before) as u64, done.rows);
        staged.parts += done.parts.len();
        staged.failures.extend(done.failed.iter().flat_map(|part| read(&part.path(folder.path()))));
        staged.columns.extend(done.columns);
    }
    staged.columns.sort();
    staged.columns.dedup();
    assert_eq!(event::get(&progress.rows_done), staged.rows.len() as u64);
    Ok(staged)
}

fn read_part(path: &std::path::Path, staged: &mut Staged) {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    for batch in reader {
        let mut batch = batch.unwrap();
        let lines = batch.remove_column(0);
        staged.lines.extend(lines.as_primitive::<UInt64Type>().values());
        for index in 0..batch.num_rows() {
            let mut row = Row::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if field.name().contains(':') {
                    let meta = |key: &str| field.metadata()[key].clone();
                    assert!(field.name().ends_with(&format!(":{}", meta(META_TYPE))));
                    assert!(
                        field.name().starts_with(&meta(META_ATTRIBUTE))
                            || meta(META_ATTRIBUTE).contains('\0')
                    );
                }
                if column.is_valid(index) {
                    row.insert(field.name().clone(), cell(column, index));
                }
            }
            staged.rows.push(row);
        }
    }
}

fn cell(column: &dyn Array, index: usize) -> Value {
    match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(index)),
        DataType::Binary => {
            let hex: String =
                column.as_binary::<i32>().value(index).iter().map(|b| format!("{b:02x}")).collect();
            json!(format!("\\x{hex}"))
        }
        DataType::Boolean => json!(column.as_boolean().value(index)),
        DataType::UInt32 => json!(column.as_primitive::<UInt32Type>().value(index)),
        DataType::UInt64 => json!(column.as_primitive::<UInt64Type>().value(index)),
        DataType::List(_) => {
            let elements = column.as_list::<i32>().value(index);
            Value::Array((0..elements.len()).map(|n| cell(&elements, n)).collect())
        }
        other => panic!("no column of type {other} is written"),
    }
}
