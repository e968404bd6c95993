//! Reading our own parts without the engine: where a side's fields are plainly columns of the staged parts, and nothing is
//! filtered, its batches come straight from the Parquet files, several row groups at a time.
//!
//! The batches are those that the engine would give for the same query (`project.sql`): position first, then the fields'
//! columns. It is a shortcut past one copy and one conversion of every value, nothing else.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int64Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::pipeline::spawn_workers;
use crate::error::{Context, Result};
use crate::event::Progress;

/// Rows of a batch: its columns stay in a core's cache.
const BATCH_ROWS: usize = 4_096;

/// A row group of a part.
struct Piece {
    part: usize,
    group: usize,
    first_row: i64,
}

/// A part with its footer, read once.
struct Opened<'a> {
    path: &'a Path,
    metadata: ArrowReaderMetadata,
}

/// As `pipeline::fan_out`, over the parts themselves: each batch has the position and then `columns`.
///
/// # Errors
/// A part that cannot be read; the first error of a worker; an interruption.
pub(super) fn fan_out_parts<S, R: Send>(
    parts: &[PathBuf],
    columns: &[String],
    threads: usize,
    progress: &Progress,
    start: impl Fn(usize) -> Result<S> + Sync,
    each: impl Fn(&mut S, &RecordBatch) -> Result<()> + Sync,
    end: impl Fn(S) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let opened: Vec<Opened<'_>> = parts.iter().map(|path| open(path)).collect::<Result<_>>()?;
    let mut pieces = Vec::new();
    for (part, opened) in opened.iter().enumerate() {
        let mut first_row = 0;
        for (group, facts) in opened.metadata.metadata().row_groups().iter().enumerate() {
            pieces.push(Piece { part, group, first_row });
            first_row += facts.num_rows();
        }
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    spawn_workers(threads, |n| {
        let mut state = start(n)?;
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let read = read(&opened[piece.part], piece, columns, |batch| {
                progress.check()?;
                each(&mut state, batch)
            });
            if read.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            read?;
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        end(state)
    })
}

fn open(path: &Path) -> Result<Opened<'_>> {
    let fail = || format!("cannot read {}", path.display());
    let file = File::open(path).or_failed(fail)?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).or_failed(fail)?;
    Ok(Opened { path, metadata })
}

fn read(
    opened: &Opened<'_>,
    piece: &Piece,
    columns: &[String],
    mut each: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let fail = || format!("cannot read {}", opened.path.display());
    let file = File::open(opened.path).or_failed(fail)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.metadata.clone());
    let roots: Vec<usize> = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| columns.contains(field.name()))
        .map(|(i, _)| i)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder
        .with_projection(mask)
        .with_row_groups(vec![piece.group])
        .with_batch_size(BATCH_ROWS)
        .build()
        .or_failed(fail)?;
    let mut pos = ((piece.part as i64) << 40) + piece.first_row;
    for batch in reader {
        let batch = batch.or_failed(fail)?;
        let rows = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(pos..pos + rows as i64))];
        let mut fields = vec![Field::new("pos", DataType::Int64, false)];
        for (i, name) in columns.iter().enumerate() {
            // A part that does not have the column has no value of it.
            let array =
                batch.column_by_name(name).cloned().unwrap_or_else(|| new_null_array(&DataType::Utf8, rows));
            fields.push(Field::new(format!("c{i}"), array.data_type().clone(), true));
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).or_failed(fail)?;
        each(&batch)?;
        pos += rows as i64;
    }
    Ok(())
}
