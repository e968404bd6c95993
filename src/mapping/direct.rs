//! Reading parts without the engine: where a side's fields are plainly columns of its parts, and nothing is filtered, its
//! batches come straight from the Parquet files, several row groups at a time.
//!
//! The batches are those that the engine would give for the same query (`project.sql`): position first, then the fields'
//! columns. It is a shortcut past one copy and one conversion of every value, nothing else. Our own parts are always read
//! so; a user's files only where each column is of a type that reads the same either way ([`reads_alike`]).

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int64Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

use super::pipeline::spawn_workers;
use super::resolve::StoreType;
use super::side::Staged;
use crate::error::{Context, Result};
use crate::event::Progress;

#[cfg(test)]
mod tests;

/// Rows of a batch: its columns stay in a core's cache.
const BATCH_ROWS: usize = 4_096;

/// A row group of a part.
struct Piece {
    part: usize,
    group: usize,
    first_row: i64,
}

/// A column of the parts.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name there.
    pub name: String,
    /// What the store says of it.
    pub store: StoreType,
}

/// A part with its footer, read once.
pub(crate) struct Opened<'a> {
    path: &'a Path,
    metadata: ArrowReaderMetadata,
}

/// Opens the parts of a side; `None` where the engine has to read them.
///
/// # Errors
/// A part that cannot be read.
pub(crate) fn open<'a>(staged: &'a Staged, columns: &[Column]) -> Result<Option<Vec<Opened<'a>>>> {
    let own = staged.has_own_parts();
    let mut opened = Vec::new();
    for part in &staged.parts {
        let part = open_part(&part.path, own)?;
        if !own && !columns.iter().all(|column| part.has_alike(column)) {
            return Ok(None);
        }
        opened.push(part);
    }
    Ok(Some(opened))
}

fn open_part(path: &Path, own: bool) -> Result<Opened<'_>> {
    let fail = || format!("cannot read {}", path.display());
    let file = File::open(path).or_failed(fail)?;
    // What other programs note of Arrow types in their files means nothing to the engine.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(!own);
    let metadata = ArrowReaderMetadata::load(&file, options).or_failed(fail)?;
    Ok(Opened { path, metadata })
}

impl Opened<'_> {
    /// Whether the file has this column under this name, and it reads here as it does in the engine.
    fn has_alike(&self, column: &Column) -> bool {
        // The engine takes such a path for a pattern.
        let is_pattern = self.path.to_str().is_none_or(|path| path.contains(['*', '?', '[']));
        let fields = self.metadata.schema().fields();
        // Where names differ only in case, the engine gives names of its own, which may be those of other columns.
        let mut names: Vec<String> = fields.iter().map(|field| field.name().to_ascii_lowercase()).collect();
        names.sort_unstable();
        let is_renamed = names.windows(2).any(|pair| pair[0] == pair[1]);
        let Some(field) = fields.iter().find(|field| *field.name() == column.name) else { return false };
        if is_pattern || is_renamed {
            return false;
        }
        let metadata = self.metadata.metadata();
        let leaves = metadata.file_metadata().schema_descr().columns();
        let Some(at) = leaves.iter().position(|leaf| *leaf.path().parts() == [column.name.clone()]) else {
            return false;
        };
        leaves[at].max_rep_level() == 0
            && reads_alike(&leaves[at], field.data_type(), &column.store)
            && metadata.row_groups().iter().all(|group| fits_the_engine(field.data_type(), group.column(at)))
    }
}

/// Whether a type of Parquet means the same values here and in the engine: a positive list, each entry held by a test that
/// reads both ways.
fn reads_alike(leaf: &ColumnDescriptor, arrow: &DataType, store: &StoreType) -> bool {
    use Physical::{BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED_LEN_BYTE_ARRAY, FLOAT, INT32, INT64};
    let is_bare = leaf.logical_type_ref().is_none() && leaf.converted_type() == ConvertedType::NONE;
    match (store, arrow, leaf.physical_type()) {
        (StoreType::Bool, DataType::Boolean, BOOLEAN)
        | (StoreType::Int, DataType::Int32 | DataType::UInt32, INT32)
        | (StoreType::Int, DataType::Int64 | DataType::UInt64, INT64)
        | (StoreType::Float32, DataType::Float32, FLOAT)
        | (StoreType::Float64, DataType::Float64, DOUBLE)
        | (StoreType::Date, DataType::Date32, INT32) => true,
        (StoreType::Text, DataType::Utf8, BYTE_ARRAY) => {
            matches!(leaf.logical_type_ref(), None | Some(LogicalType::String))
                && matches!(leaf.converted_type(), ConvertedType::UTF8 | ConvertedType::NONE)
        }
        (StoreType::Bytes, DataType::Binary, BYTE_ARRAY) => is_bare,
        (StoreType::Decimal(size), DataType::Decimal128(precision, scale), physical) => {
            let stored_bytes = match physical {
                INT32 => 4,
                INT64 => 8,
                FIXED_LEN_BYTE_ARRAY => leaf.type_length(),
                _ => return false,
            };
            (size.precision, i64::from(size.scale)) == (u32::from(*precision), i64::from(*scale))
                && stored_bytes <= engine_bytes(size.precision)
        }
        (StoreType::Timestamp { zoned }, DataType::Timestamp(unit, zone), INT64) => {
            // Files that say it the old way alone leave open whether these are instants.
            matches!(leaf.logical_type_ref(), Some(LogicalType::Timestamp { .. }))
                && zone.is_some() == *zoned
                && (!zoned || *unit != TimeUnit::Nanosecond)
        }
        _ => false,
    }
}

/// In how many bytes the engine keeps a decimal; of a value that is stored in more it would cut some.
fn engine_bytes(precision: u32) -> i32 {
    match precision {
        0..=4 => 2,
        5..=9 => 4,
        10..=18 => 8,
        _ => 16,
    }
}

/// The engine keeps microseconds of milliseconds; where a file does not show that all of its values are within their range,
/// whatever the engine makes of the others is left to it.
fn fits_the_engine(ty: &DataType, chunk: &ColumnChunkMetaData) -> bool {
    if !matches!(ty, DataType::Timestamp(TimeUnit::Millisecond, _)) {
        return true;
    }
    let Some(Statistics::Int64(values)) = chunk.statistics() else { return false };
    let nulls = values.null_count_opt().and_then(|nulls| i64::try_from(nulls).ok());
    let is_within =
        |value: Option<&i64>| value.is_some_and(|ms| ms.unsigned_abs() < i64::MAX.unsigned_abs() / 1_000);
    nulls == Some(chunk.num_values()) || (is_within(values.min_opt()) && is_within(values.max_opt()))
}

/// As `pipeline::fan_out`, over the parts themselves: each batch has the position and then `columns`.
///
/// # Errors
/// A part that cannot be read; the first error of a worker; an interruption.
pub(crate) fn fan_out_parts<S, R: Send>(
    opened: &[Opened<'_>],
    columns: &[Column],
    threads: usize,
    progress: &Progress,
    start: impl Fn(usize) -> Result<S> + Sync,
    each: impl Fn(&mut S, &RecordBatch) -> Result<()> + Sync,
    end: impl Fn(S) -> Result<R> + Sync,
) -> Result<Vec<R>> {
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

fn read(
    opened: &Opened<'_>,
    piece: &Piece,
    columns: &[Column],
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
        .filter(|(_, field)| columns.iter().any(|column| column.name == *field.name()))
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
        for (i, Column { name, .. }) in columns.iter().enumerate() {
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
