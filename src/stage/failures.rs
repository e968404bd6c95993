//! The rows of a unit that did not parse, on their way to the disk: however many there are, only some are in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::document::{Change, KEY_HASH_1, KEY_HASH_2, WINDOW};
use super::part::PartFile;
use crate::error::{Context, Result};
use crate::ledger::part::Seal;

/// So many bytes of cells and messages make a batch.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 8_192;
/// A row group is in memory until it is whole.
const ROW_GROUP_BYTES_MAX: usize = 8 << 20;

/// A row that could not be read.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// 1-based line where the row begins.
    pub line: Option<u64>,
    /// The column's name, or its 1-based number where it has none.
    pub column: Option<String>,
    /// A stable word of ours, mostly `parse`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub message: String,
    /// The cells that could be read all the same, so that a readable key still finds its counterpart.
    pub cells: BTreeMap<String, Option<String>>,
    /// In a chain of exports, the key and the window, where the key could be read.
    pub(crate) change: Option<Change>,
}

impl Failure {
    fn bytes(&self) -> usize {
        let cells = self.cells.iter().map(|(name, cell)| name.len() + cell.as_ref().map_or(0, String::len));
        self.message.len() + cells.sum::<usize>()
    }
}

/// Writes a unit's failures in the order in which they are found; whoever reads them sorts them by line.
pub(super) struct FailureFile {
    path: PathBuf,
    waiting: Vec<Failure>,
    waiting_bytes: usize,
    rows: u64,
    open: Option<ArrowWriter<PartFile>>,
}

impl FailureFile {
    /// A file of that name, made with the first failure.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, waiting: Vec::new(), waiting_bytes: 0, rows: 0, open: None }
    }

    /// Adds a row that could not be read.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub(super) fn push(&mut self, failure: Failure) -> Result<()> {
        self.rows += 1;
        self.waiting_bytes += failure.bytes();
        self.waiting.push(failure);
        if self.waiting_bytes < BATCH_BYTES && self.waiting.len() < BATCH_ROWS {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let fail = || format!("cannot write {}", self.path.display());
        let batch = batch(&std::mem::take(&mut self.waiting))?;
        self.waiting_bytes = 0;
        let writer = match &mut self.open {
            Some(writer) => writer,
            closed => {
                let to = PartFile::create(&self.path).or_failed(fail)?;
                closed.insert(ArrowWriter::try_new(to, batch.schema(), Some(properties())).or_failed(fail)?)
            }
        };
        writer.write(&batch).or_failed(fail)
    }

    /// Makes the file durable, and returns its rows and what it is; nothing where there was no failure.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub(super) fn finish(mut self) -> Result<Option<(u64, Seal)>> {
        if !self.waiting.is_empty() {
            self.write()?;
        }
        let Some(writer) = self.open else { return Ok(None) };
        let fail = || format!("cannot write {}", self.path.display());
        let seal = writer.into_inner().or_failed(fail)?.finish().or_failed(fail)?;
        Ok(Some((self.rows, seal)))
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .build()
}

/// One row a failure.
fn batch(failures: &[Failure]) -> Result<RecordBatch> {
    let schema = Schema::new(vec![
        Field::new("line", DataType::UInt64, true),
        Field::new("column", DataType::Utf8, true),
        Field::new("code", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
        Field::new("cells", DataType::Utf8, false),
        Field::new(KEY_HASH_1, DataType::UInt64, true),
        Field::new(KEY_HASH_2, DataType::UInt64, true),
        Field::new(WINDOW, DataType::UInt32, true),
    ]);
    let half = |shift: u32| -> ArrayRef {
        let halves = failures.iter().map(|f| f.change.map(|change| (change.key >> shift) as u64));
        Arc::new(halves.collect::<UInt64Array>())
    };
    let text = |f: &dyn Fn(&Failure) -> Option<String>| -> ArrayRef {
        Arc::new(failures.iter().map(f).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(failures.iter().map(|f| f.line).collect::<UInt64Array>()),
        text(&|f| f.column.clone()),
        text(&|f| Some(f.code.to_owned())),
        text(&|f| Some(f.message.clone())),
        text(&|f| Some(serde_json::to_string(&f.cells).expect("a map of texts is always JSON"))),
        half(64),
        half(0),
        Arc::new(failures.iter().map(|f| f.change.map(|change| change.window)).collect::<UInt32Array>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).or_failed(|| "cannot gather the failures".to_owned())
}

/// For tests: the failures that a unit's file holds, as they were found.
#[cfg(test)]
pub(crate) fn read(path: &std::path::Path) -> Vec<Failure> {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::UInt64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let file = std::fs::File::open(path).unwrap();
    let mut failures = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let text = |column: usize, row: usize| {
            let texts = batch.column(column).as_string::<i32>();
            texts.is_valid(row).then(|| texts.value(row).to_owned())
        };
        let lines = batch.column(0).as_primitive::<UInt64Type>();
        failures.extend((0..batch.num_rows()).map(|row| Failure {
            line: lines.is_valid(row).then(|| lines.value(row)),
            column: text(1, row),
            code: String::leak(text(2, row).unwrap()),
            message: text(3, row).unwrap(),
            cells: serde_json::from_str(&text(4, row).unwrap()).unwrap(),
            change: None,
        }));
    }
    failures
}
