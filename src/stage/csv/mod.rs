//! CSV files: every cell is staged as text, NULL where it is unquoted and empty or a null token.
//!
//! In: delimited text in UTF-8, plain or compressed. Out: one text column per cell of the header, and the rows that could
//! not be read as failures. `blocks.rs` cuts a file into blocks of whole records, `tokenizer.rs` turns those into Arrow
//! columns, `record.rs` holds the rules in their plainest form, `header.rs` the columns.
//!
//! The tokenizer is our own because readers of CSV hand out cells without saying whether they were quoted, and here that
//! decides between NULL and the empty string. The tests hold it against the `csv` crate.

mod blocks;
mod header;
mod record;
mod tokenizer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use arrow::record_batch::RecordBatch;

use self::blocks::{Block, BlockReader};
use self::header::Columns;
use self::record::Dialect;
use self::tokenizer::{NullTokens, Output, Tokenizer};
use super::input::{Digests, Input};
use super::sink::UnitSink;
use super::{Source, Stamp, Unit};
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::spec::CsvOptions;
use crate::store::files::Files;

/// What the names of such files end in.
pub(super) const EXTENSIONS: [&str; 3] = [".csv", ".tsv", ".txt"];

/// Small enough to stay in a core's cache from the first pass over it to the last.
const BLOCK_BYTES: usize = 1 << 20;

/// Delimited text files with the same columns.
pub struct CsvSource {
    dataset: String,
    options: CsvOptions,
    files: Arc<Files>,
    units: Vec<Unit>,
    block_bytes: usize,
    model: Mutex<Option<Model>>,
}

/// The columns that every file of the dataset must have, and the file that has them.
#[derive(Clone)]
struct Model {
    columns: Arc<Columns>,
    path: PathBuf,
}

impl CsvSource {
    /// The files `units` as one dataset.
    pub fn new(dataset: &str, options: CsvOptions, files: Arc<Files>, units: Vec<Unit>) -> Self {
        Self {
            dataset: dataset.to_owned(),
            options,
            files,
            units,
            block_bytes: BLOCK_BYTES,
            model: Mutex::default(),
        }
    }

    /// Smaller blocks, so that a test's few records span several of them.
    #[cfg(test)]
    fn with_block_bytes(mut self, block_bytes: usize) -> Self {
        self.block_bytes = block_bytes;
        self
    }

    fn dialect(&self) -> Result<Dialect> {
        let CsvOptions { delimiter, quote, .. } = self.options;
        let usable = |byte: u8| byte.is_ascii() && byte != b'\n' && byte != b'\r';
        if !usable(delimiter) || !usable(quote) || delimiter == quote {
            let what = format!(
                "dataset `{}` needs two different ASCII characters as delimiter and quote",
                self.dataset
            );
            return Err(Error::usage(what).help("line breaks cannot be either of them"));
        }
        Ok(Dialect { delimiter, quote })
    }

    /// The columns of the first file that has any, read once.
    fn model(&self) -> Result<Model> {
        let mut known = self.model.lock().expect("no worker panics while it holds the model");
        if let Some(model) = &*known {
            return Ok(model.clone());
        }
        let model = self.find_model()?;
        *known = Some(model.clone());
        Ok(model)
    }

    fn find_model(&self) -> Result<Model> {
        if !self.options.header
            && let Some(names) = &self.options.columns
        {
            let columns = Columns::new(names.clone(), &format!("`columns` of dataset `{}`", self.dataset))?;
            return Ok(Model { columns: Arc::new(columns), path: PathBuf::new() });
        }
        for unit in &self.units {
            if let Some(columns) = self.columns_of(&mut self.open(unit, &Arc::default())?, unit)? {
                return Ok(Model { columns: Arc::new(columns), path: unit.path.clone() });
            }
        }
        Err(Error::failed(format!(
            "dataset `{}` has no rows and no header, so its columns are not known",
            self.dataset
        ))
        .help("name them with `columns = [\"…\"]`"))
    }

    /// What the first record of a file says of its columns. A header is taken off the records.
    fn columns_of(&self, reader: &mut BlockReader, unit: &Unit) -> Result<Option<Columns>> {
        if !self.options.header {
            return reader.first(false, |record| Columns::numbered(record.cells.len()));
        }
        let columns = reader.first(true, |record| Columns::of_header(&record, &unit.path))?;
        columns.transpose()?.map_or_else(|| Err(no_header(unit)), |columns| Ok(Some(columns)))
    }

    fn open(&self, unit: &Unit, progress: &Arc<Progress>) -> Result<BlockReader> {
        let input = Input::open(&self.files, unit, progress)?;
        Ok(BlockReader::new(&unit.path, input, self.dialect()?, self.block_bytes))
    }

    /// One worker: takes blocks until there are none left, and writes a part of its own.
    fn work(&self, reader: &Mutex<BlockReader>, columns: &Arc<Columns>, sink: &UnitSink) -> Result<()> {
        let nulls = NullTokens::new(&self.options.null_tokens);
        let mut tokenizer = Tokenizer::new(self.dialect()?, nulls, Arc::clone(columns));
        let mut out = Output { part: sink.part(), sink };
        let mut read_all = || {
            let mut block = Block::default();
            while lock(reader).next(&mut block)? {
                sink.progress().check()?;
                tokenizer.block(&block, &mut out)?;
            }
            tokenizer.flush(&mut out)
        };
        let result = read_all();
        if result.is_err() {
            lock(reader).abandon();
        }
        result?;
        out.part.finish()
    }
}

impl Source for CsvSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        self.dialect()?;
        Ok((self.units.clone(), Vec::new()))
    }

    fn read(&self, unit: &Unit, sink: &UnitSink, workers: usize) -> Result<Digests> {
        let model = self.model()?;
        let mut reader = self.open(unit, sink.progress())?;
        let columns = if self.options.header {
            let own = self.columns_of(&mut reader, unit)?.ok_or_else(|| no_header(unit))?;
            Arc::new(own.like(&model.columns, &unit.path, &model.path)?)
        } else {
            model.columns
        };
        let reader = Mutex::new(reader);
        thread::scope(|scope| {
            let others: Vec<_> =
                (1..workers).map(|_| scope.spawn(|| self.work(&reader, &columns, sink))).collect();
            let own = self.work(&reader, &columns, sink);
            let join = |worker: thread::ScopedJoinHandle<'_, Result<()>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            others.into_iter().map(join).fold(own, Result::and)
        })?;
        if sink.rows() == 0 {
            // Without rows there is no part yet, but the columns are known and have to be seen.
            let mut part = sink.part();
            part.write(&RecordBatch::new_empty(columns.schema()))?;
            part.finish()?;
        }
        let reader = reader.into_inner().expect("no worker panics while it holds the reader");
        reader.finish()
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        self.files.stamp(unit)
    }
}

fn lock(reader: &Mutex<BlockReader>) -> MutexGuard<'_, BlockReader> {
    reader.lock().expect("no worker panics while it holds the reader")
}

fn no_header(unit: &Unit) -> Error {
    Error::failed(format!("{} is empty: it has no header", unit.path.display()))
        .help("set `header = false` and `columns` where files have no header line")
}
