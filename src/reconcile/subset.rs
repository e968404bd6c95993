//! The wanted rows of our own parts, copied into small files: where few rows differ, the engine then reads their values from
//! these instead of from everything.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};

use super::hash::properties;
use crate::error::{Context, Result};

/// Copies rows by position (ascending, each once) and returns the files, which have the parts' columns and `__recon_pos`.
///
/// # Errors
/// A part that cannot be read; a disk that is full.
pub(super) fn copy(parts: &[PathBuf], positions: &[i64], folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for wanted in positions.chunk_by(|a, b| a >> 40 == b >> 40) {
        let part = (wanted[0] >> 40) as usize;
        let file = folder.join(format!("{name}-{part:06}.parquet"));
        copy_part(&parts[part], wanted, &file)?;
        files.push(file);
    }
    Ok(files)
}

fn copy_part(part: &Path, positions: &[i64], to: &Path) -> Result<()> {
    let fail = || format!("cannot read {}", part.display());
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(File::open(part).or_failed(fail)?).or_failed(fail)?;
    let rows = builder.metadata().file_metadata().num_rows() as usize;
    let row = |pos: &i64| (pos & ((1 << 40) - 1)) as usize;
    let ranges = positions
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| Range { start: row(&run[0]), end: row(&run[0]) + run.len() });
    let selection = RowSelection::from_consecutive_ranges(ranges, rows);
    let mut fields: Vec<Field> = builder.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("__recon_pos", DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields));
    let write_fail = || format!("cannot write {}", to.display());
    let out = File::create(to).or_failed(write_fail)?;
    let mut writer =
        ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties())).or_failed(write_fail)?;
    let mut done = 0;
    for batch in builder.with_row_selection(selection).build().or_failed(fail)? {
        let batch = batch.or_failed(fail)?;
        let mine = &positions[done..done + batch.num_rows()];
        done += batch.num_rows();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns.push(Arc::new(Int64Array::from_iter_values(mine.iter().copied())));
        writer
            .write(&RecordBatch::try_new(Arc::clone(&schema), columns).or_failed(fail)?)
            .or_failed(write_fail)?;
    }
    writer.close().or_failed(write_fail)?;
    Ok(())
}
