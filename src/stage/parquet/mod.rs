//! Parquet files: referenced where they lie, or copied as they are; the engine reads them as it reads our own parts.
//!
//! In: local files, or objects, which are always copied. Out: the file as a part, by digest, with its columns. `layout.rs` reads and checks the footer and holds
//! the files of a dataset against each other; `exact.rs` looks for values that the engine would cut on reading.

mod exact;
mod layout;

#[cfg(test)]
mod tests;

use std::path::absolute;
use std::sync::{Arc, Mutex};

use self::layout::Layout;
use super::input::{Digests, Input};
use super::sink::UnitSink;
use super::{Source, Stamp, Unit};
use crate::error::{Context, Error, Result};
use crate::store::files::{Files, is_remote};

/// What the names of such files end in.
pub(super) const EXTENSIONS: [&str; 1] = [".parquet"];

/// Parquet files with the same columns.
pub struct ParquetSource {
    dataset: String,
    files: Arc<Files>,
    units: Vec<Unit>,
    copy: bool,
    model: Mutex<Option<Arc<Layout>>>,
}

impl ParquetSource {
    /// The files `units` as one dataset; with `copy`, and where they are not on this machine, their bytes are copied into the stage.
    pub fn new(dataset: &str, files: Arc<Files>, units: Vec<Unit>, copy: bool) -> Self {
        Self { dataset: dataset.to_owned(), files, units, copy, model: Mutex::default() }
    }

    /// The columns of the first file, read once.
    fn model(&self) -> Result<Arc<Layout>> {
        let mut known = self.model.lock().expect("no worker panics while it holds the model");
        if let Some(model) = &*known {
            return Ok(Arc::clone(model));
        }
        let first = self
            .units
            .first()
            .ok_or_else(|| Error::failed(format!("dataset `{}` has no files", self.dataset)))?;
        let model = Arc::new(Layout::read(&first.path, &self.files.random(first)?)?);
        *known = Some(Arc::clone(&model));
        Ok(model)
    }
}

impl Source for ParquetSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        Ok((self.units.clone(), Vec::new()))
    }

    /// One worker does it all: there is nothing but the digest to compute.
    fn read(&self, unit: &Unit, sink: &UnitSink, _workers: usize) -> Result<Digests> {
        let path = &unit.path;
        let copy = self.copy || is_remote(path);
        let mut input = Input::open(&self.files, unit, sink.progress())?;
        let layout = Layout::read(path, &self.files.random(unit)?)?;
        self.model()?.admits(&layout)?;
        let lies = if copy {
            sink.copy(&mut input, path, layout.rows, layout.part_columns())?
        } else {
            path.clone()
        };
        exact::check(path, &lies, &layout, sink.progress())?;
        let digests = match sink.is_sample() {
            true => Digests { bytes: 0, xxh3: String::new(), md5: None, next: None },
            false => input.finish().or_failed(|| format!("cannot read {}", path.display()))?,
        };
        if !copy {
            let lies = absolute(path).or_failed(|| format!("cannot find {}", path.display()))?;
            if lies.to_str().is_none() {
                let what =
                    format!("the path {} is not UTF-8, so the file cannot be read in place", path.display());
                return Err(Error::failed(what).help("rename it, or stage with --copy"));
            }
            sink.reference(&lies, layout.rows, layout.part_columns());
        }
        Ok(digests)
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        self.files.stamp(unit)
    }
}
