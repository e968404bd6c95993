//! Finds instants that the engine would cut on reading: it keeps microseconds of INT96 and of zoned nanoseconds.
//!
//! Such columns mostly hold nothing finer than microseconds, so they are read through once rather than refused.

use std::fs::File;
use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::layout::Layout;
use crate::error::{Context, Error, Result};
use crate::event::Progress;

const ROWS_AT_ONCE: usize = 65_536;
const NANOS_PER_MICRO: i64 = 1_000;

/// Reads the columns that may hold more digits than the engine keeps, of the file called `path` that lies at `lies`.
///
/// # Errors
/// A value that would lose digits; a column that cannot be read.
pub(super) fn check(path: &Path, lies: &Path, layout: &Layout, progress: &Progress) -> Result<()> {
    if layout.finer.is_empty() {
        return Ok(());
    }
    let damaged = || format!("{} is damaged", path.display());
    let file = File::open(lies).or_failed(|| format!("cannot read {}", lies.display()))?;
    let reader = SerializedFileReader::new(file).or_failed(damaged)?;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).or_failed(damaged)?;
        for &leaf in &layout.finer {
            progress.check()?;
            let whole = match group.get_column_reader(leaf).or_failed(damaged)? {
                ColumnReader::Int64ColumnReader(values) => all(values, |nanos| nanos % NANOS_PER_MICRO == 0),
                ColumnReader::Int96ColumnReader(values) => all(values, |instant| {
                    let &[low, high, _day] = instant.data() else { return false };
                    (u64::from(high) << 32 | u64::from(low)) % NANOS_PER_MICRO.unsigned_abs() == 0
                }),
                _ => Ok(false),
            };
            if !whole.or_failed(damaged)? {
                let column = group.metadata().column(leaf).column_path().string();
                let what =
                    format!("column `{column}` of {} holds nanoseconds, which would be lost", path.display());
                return Err(Error::failed(what).help("write it as a timestamp without a zone, or as text"));
            }
        }
    }
    Ok(())
}

fn all<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    fits: impl Fn(&T::T) -> bool,
) -> parquet::errors::Result<bool> {
    let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        definitions.clear();
        repetitions.clear();
        values.clear();
        let (records, ..) =
            column.read_records(ROWS_AT_ONCE, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if !values.iter().all(&fits) {
            return Ok(false);
        }
        if records == 0 {
            return Ok(true);
        }
    }
}
