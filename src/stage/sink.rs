//! Where a unit's rows go while it is read: Parquet parts under temporary names, fsynced and renamed when the unit is
//! whole, and the rows that did not parse beside them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::event::{self, Progress};
use crate::fault;
use crate::ledger::part::Part;
use crate::stage::failures::FailureFile;
use crate::stage::part::{self, PartFile};

pub use crate::stage::failures::Failure;

/// Arrow metadata keys by which a document's physical column says which attribute and which type it holds.
pub const META_ATTRIBUTE: &str = "recon.attribute";
/// See [`META_ATTRIBUTE`]: the type as DynamoDB writes it (`S`, `N`, `M`, …).
pub const META_TYPE: &str = "recon.type";

/// Reserved column of parts made from text files: the 1-based line on which each row begins.
pub const COLUMN_LINE: &str = "__recon_line";

const COPY_BYTES: usize = 1 << 20;

/// A physical column of a unit's parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartColumn {
    /// The column's name in the Parquet parts.
    pub physical: String,
    /// The attribute it belongs to, exactly as the source spells it.
    pub attribute: String,
    /// For documents, DynamoDB's name of the type it holds; empty for tables.
    pub tag: String,
}

/// Receives one unit's rows. Shared by the unit's workers; each takes a [`PartWriter`] of its own.
pub struct UnitSink {
    folder: PathBuf,
    stem: String,
    unit: String,
    progress: Arc<Progress>,
    limit: Arc<FailureLimit>,
    rows_wanted: Option<Arc<RowLimit>>,
    parts: Mutex<Vec<Part>>,
    columns: Mutex<Vec<PartColumn>>,
    failures: Mutex<FailureFile>,
    part_count: AtomicU64,
    rows: AtomicU64,
}

/// `--max-errors`, shared by all units of a run.
#[derive(Debug, Default)]
pub struct FailureLimit {
    /// `None`: no limit.
    pub max: Option<u64>,
    seen: AtomicU64,
}

impl FailureLimit {
    /// A limit of `max` failures, or none.
    pub fn new(max: Option<u64>) -> Self {
        Self { max, seen: AtomicU64::new(0) }
    }

    /// Counts failures; `last` says where the last of them is.
    ///
    /// # Errors
    /// More failures than `--max-errors` allows (exit 4).
    pub fn count(&self, failures: u64, last: impl FnOnce() -> String) -> Result<()> {
        let seen = self.seen.fetch_add(failures, Ordering::Relaxed) + failures;
        match self.max {
            Some(max) if seen > max => {
                let what = format!("more than {max} rows did not parse (--max-errors): {}", last());
                Err(Error::failed(what).help("mend the input, or allow more with --max-errors"))
            }
            _ => Ok(()),
        }
    }
}

/// Most rows that are read of a dataset which is only looked at; shared by its units.
#[derive(Debug)]
pub struct RowLimit {
    left: AtomicU64,
}

impl RowLimit {
    /// A limit of `max` rows.
    pub fn new(max: u64) -> Self {
        Self { left: AtomicU64::new(max) }
    }

    /// Whether there are enough rows.
    pub fn is_reached(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// How many of so many rows are still wanted.
    fn take(&self, rows: usize) -> usize {
        let take = |left: u64| Some(left.saturating_sub(rows as u64));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        rows.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// What a unit became.
#[derive(Debug)]
pub struct StagedUnit {
    /// Its parts in the order they were opened.
    pub parts: Vec<Part>,
    /// The union of its parts' columns.
    pub columns: Vec<PartColumn>,
    /// Rows in the parts.
    pub rows: u64,
    /// The file of the rows that did not parse, where there are some.
    pub failed: Option<Part>,
}

impl UnitSink {
    /// A sink that writes parts called `<stem>-<n>.parquet` into `folder`.
    pub fn new(folder: &Path, stem: &str, progress: Arc<Progress>, limit: Arc<FailureLimit>) -> Self {
        Self {
            folder: folder.to_path_buf(),
            stem: stem.to_owned(),
            unit: stem.to_owned(),
            progress,
            limit,
            rows_wanted: None,
            parts: Mutex::default(),
            columns: Mutex::default(),
            failures: Mutex::new(FailureFile::new(folder.join(failures_name(stem)).with_extension("tmp"))),
            part_count: AtomicU64::new(0),
            rows: AtomicU64::new(0),
        }
    }

    /// The same sink, that calls its unit by this name in errors.
    #[must_use]
    pub fn of(mut self, unit: &Path) -> Self {
        self.unit = unit.display().to_string();
        self
    }

    /// The same sink, that refuses more rows than these. Its readers then fail; what was written until then is whole.
    #[must_use]
    pub fn at_most(mut self, rows: Option<&Arc<RowLimit>>) -> Self {
        self.rows_wanted = rows.map(Arc::clone);
        self
    }

    /// Whether the dataset is only looked at.
    pub fn is_sample(&self) -> bool {
        self.rows_wanted.is_some()
    }

    /// Whether it has all the rows that it was to take.
    pub fn has_enough(&self) -> bool {
        self.rows_wanted.as_ref().is_some_and(|limit| limit.is_reached())
    }

    /// The run's counters; [`Progress::check`] tells when to stop.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// A writer for one worker.
    pub fn part(&self) -> PartWriter<'_> {
        PartWriter { sink: self, open: None }
    }

    /// Records a row that could not be read.
    ///
    /// # Errors
    /// More failures than `--max-errors` allows; a disk that is full.
    pub fn fail(&self, failure: Failure) -> Result<()> {
        event::add(&self.progress.failures, 1);
        let place = failure.line.map_or_else(|| self.unit.clone(), |line| format!("{}:{line}", self.unit));
        let last = format!("{place}: {}", failure.message);
        self.failures.lock().expect("no worker panics while it holds the failures").push(failure)?;
        self.limit.count(1, || last)
    }

    /// Adds a file that is referenced where it lies instead of being copied.
    pub fn reference(&self, file: &Path, rows: u64, columns: Vec<PartColumn>) {
        self.note_part(Part { file: file.display().to_string(), rows, seal: None }, columns);
        event::add(&self.progress.rows_done, rows);
    }

    /// Copies a Parquet file's bytes, as they come out of `input`, into a part of its own; `from` names it in errors.
    /// Returns where they lie until the unit is whole.
    ///
    /// # Errors
    /// A file that cannot be read; a disk that is full or refuses.
    pub fn copy(
        &self,
        input: &mut impl Read,
        from: &Path,
        rows: u64,
        columns: Vec<PartColumn>,
    ) -> Result<PathBuf> {
        let file = self.next_name();
        let path = self.folder.join(&file).with_extension("tmp");
        let fail = || format!("cannot copy {} to {}", from.display(), path.display());
        let mut to = PartFile::create(&path).or_failed(fail)?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            self.progress.check()?;
            match input.read(&mut buffer).or_failed(fail)? {
                0 => break,
                n => to.write_all(&buffer[..n]).or_failed(fail)?,
            }
        }
        let seal = Some(to.finish().or_failed(fail)?);
        self.note_part(Part { file, rows, seal }, columns);
        event::add(&self.progress.rows_done, rows);
        Ok(path)
    }

    fn next_name(&self) -> String {
        format!("{}-{:04}.parquet", self.stem, self.part_count.fetch_add(1, Ordering::Relaxed))
    }

    fn note_part(&self, part: Part, columns: impl IntoIterator<Item = PartColumn>) {
        self.note_columns(columns);
        self.rows.fetch_add(part.rows, Ordering::Relaxed);
        self.parts.lock().expect("no worker panics while it holds the parts").push(part);
    }

    /// Rows in the parts that are finished.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    fn note_columns(&self, columns: impl IntoIterator<Item = PartColumn>) {
        let mut known = self.columns.lock().expect("no worker panics while it holds the columns");
        for column in columns {
            if !known.contains(&column) {
                known.push(column);
            }
        }
    }

    /// Gives every part its final name. Called once, after all writers finished and the unit was verified.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn commit(self) -> Result<StagedUnit> {
        let failures = self.failures.into_inner().expect("no worker panics while it holds the failures");
        let failed = failures.finish()?.map(|(rows, seal)| Part {
            file: failures_name(&self.stem),
            rows,
            seal: Some(seal),
        });
        let mut parts = self.parts.into_inner().expect("no worker panics while it holds the parts");
        parts.sort_by(|a, b| a.file.cmp(&b.file));
        fault::point("stage.before-rename");
        for part in parts.iter().filter(|part| !Path::new(&part.file).is_absolute()) {
            let to = self.folder.join(&part.file);
            rename(&to)?;
            fault::point("stage.part-renamed");
        }
        if let Some(failed) = &failed {
            fault::point("stage.before-failures");
            rename(&self.folder.join(&failed.file))?;
            fault::point("stage.after-failures");
        }
        sync_folder(&self.folder)?;
        fault::point("stage.after-rename");
        Ok(StagedUnit {
            parts,
            columns: self.columns.into_inner().expect("no worker panics while it holds the columns"),
            rows: self.rows.into_inner(),
            failed,
        })
    }
}

/// Gives a file that was written under a temporary name its own.
fn rename(to: &Path) -> Result<()> {
    fs::rename(to.with_extension("tmp"), to).or_failed(|| format!("cannot write {}", to.display()))
}

fn failures_name(stem: &str) -> String {
    format!("{stem}-failures.parquet")
}

/// Makes the names in a folder durable.
///
/// # Errors
/// A disk that refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).or_failed(|| format!("cannot sync {}", folder.display()))
}

/// Writes one worker's batches; opens a new part when the schema changes.
pub struct PartWriter<'a> {
    sink: &'a UnitSink,
    open: Option<OpenPart>,
}

struct OpenPart {
    schema: SchemaRef,
    file: String,
    writer: ArrowWriter<PartFile>,
    rows: u64,
}

impl PartWriter<'_> {
    /// Appends a batch as (part of) a row group.
    ///
    /// # Errors
    /// A disk that is full or refuses; the error names the part. Rows enough of a dataset that is only looked at.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(limit) = &self.sink.rows_wanted else { return self.append(batch) };
        self.append(&batch.slice(0, limit.take(batch.num_rows())))?;
        if !limit.is_reached() {
            return Ok(());
        }
        self.close()?;
        Err(Error::incomplete("enough rows were read"))
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.sink.progress.check()?;
        if self.open.as_ref().is_some_and(|open| open.schema != batch.schema()) {
            self.close()?;
        }
        if self.open.is_none() {
            self.open = Some(self.start(batch)?);
        }
        let open = self.open.as_mut().expect("opened above");
        open.writer
            .write(batch)
            .or_failed(|| format!("cannot write {}", self.sink.folder.join(&open.file).display()))?;
        open.rows += batch.num_rows() as u64;
        event::add(&self.sink.progress.rows_done, batch.num_rows() as u64);
        fault::point("stage.batch-written");
        Ok(())
    }

    /// Closes and fsyncs the last part. A writer that is dropped instead leaves a temporary file that nobody reads.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn finish(mut self) -> Result<()> {
        self.close()
    }

    fn start(&self, first: &RecordBatch) -> Result<OpenPart> {
        let (schema, file) = (first.schema(), self.sink.next_name());
        let path = self.sink.folder.join(&file).with_extension("tmp");
        let fail = || format!("cannot write {}", path.display());
        let properties = part::properties_for(first).or_failed(fail)?;
        let to = PartFile::create(&path).or_failed(fail)?;
        let writer = ArrowWriter::try_new(to, Arc::clone(&schema), Some(properties)).or_failed(fail)?;
        Ok(OpenPart { schema, file, writer, rows: 0 })
    }

    fn close(&mut self) -> Result<()> {
        let Some(OpenPart { schema, file, writer, rows }) = self.open.take() else { return Ok(()) };
        let fail = || format!("cannot write {}", self.sink.folder.join(&file).display());
        let seal = Some(writer.into_inner().or_failed(fail)?.finish().or_failed(fail)?);
        let columns = columns_of(&schema);
        self.sink.note_part(Part { file, rows, seal }, columns);
        Ok(())
    }
}

/// The columns of a part with this schema.
pub(super) fn columns_of(schema: &arrow::datatypes::Schema) -> Vec<PartColumn> {
    let fields = schema.fields().iter();
    fields
        .map(|field| PartColumn {
            physical: field.name().clone(),
            attribute: field.metadata().get(META_ATTRIBUTE).unwrap_or(field.name()).clone(),
            tag: field.metadata().get(META_TYPE).cloned().unwrap_or_default(),
        })
        .collect()
}
