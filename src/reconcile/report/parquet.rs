//! `mismatches.parquet`: the rows of `mismatches.csv` under the same names, every column text, NULL as NULL.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::csv::WholeFile;
use super::rows::Rows;
use crate::error::{Context, Result};

/// The file's name.
pub const NAME: &str = "mismatches.parquet";
/// Rows, and bytes of them, that are held until they are written.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;

/// Writes the file from the `mismatches.csv` of a folder.
///
/// # Errors
/// A table that is not there or damaged; a disk that is full or refuses.
pub fn write(folder: &Path, path: &Path) -> Result<()> {
    let mut rows = Rows::open(&folder.join("mismatches.csv"))?;
    let fail = || format!("cannot write {}", path.display());
    let schema = Arc::new(Schema::new(columns(rows.header())));
    let mut file = WholeFile::create(path)?;
    let packed = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer =
        ArrowWriter::try_new(&mut file.out, Arc::clone(&schema), Some(packed)).or_failed(fail)?;
    loop {
        let mut builders: Vec<StringBuilder> = schema.fields().iter().map(|_| StringBuilder::new()).collect();
        let (mut count, mut bytes) = (0, 0);
        while count < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some(cells) = rows.next_row()? else { break };
            count += 1;
            for (builder, cell) in builders.iter_mut().zip(&cells) {
                bytes += cell.as_ref().map_or(0, String::len);
                builder.append_option(cell.as_deref());
            }
        }
        if count == 0 {
            break;
        }
        let arrays = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).or_failed(fail)?;
        writer.write(&batch).or_failed(fail)?;
    }
    writer.close().or_failed(fail)?;
    file.finish()
}

/// Columns of these names; one that was there before gets a number, since Parquet's readers go by the name.
fn columns(header: &[String]) -> Vec<Field> {
    let mut names: Vec<String> = Vec::new();
    for name in header {
        let taken = |name: &String| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let numbered = (2..).map(|n| format!("{name}~{n}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name));
        names.extend(free);
    }
    names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect()
}
