//! Staging: from files and stores to typed Parquet parts, streaming, unit by unit.
//!
//! A [`Source`] lists its units and reads one at a time into a [`UnitSink`]; `run.rs` decides which units are left to do,
//! runs them in parallel, and records each in the ledger once its parts are durable.

pub mod csv;
pub mod document;
pub mod dynamodb_export;
mod failures;
pub mod input;
pub mod jsonl;
pub mod listing;
mod names;
pub mod parquet;
mod part;
pub mod run;
pub mod sink;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::spec::{Dataset, DatasetKind};
use document::Names;
use input::{Digests, Stamp};
use sink::UnitSink;

/// Something that can be read, checked and resumed alone: a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The file.
    pub path: PathBuf,
    /// Its state when it was listed.
    pub stamp: Stamp,
    /// Its size in bytes.
    pub bytes: u64,
    /// What a manifest says of it, where there is one.
    pub expected: Option<Expected>,
    /// Which export of a chain it belongs to: 0 for the full one, then the increments in order.
    pub window: u32,
}

/// What an export's manifest says of a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Base64 of the MD5 of the file's bytes.
    pub md5: String,
    /// Items in the file.
    pub items: u64,
}

/// A kind of dataset that can be staged.
///
/// Reading is repeatable: the same unit gives the same rows. Units may be read at the same time and in any order. A unit
/// counts as staged only after `read` returned and its parts were renamed, so `read` may fail at any point.
pub trait Source: Send + Sync {
    /// The units in a stable order, and warnings for the user (such as "nothing was verified").
    ///
    /// # Errors
    /// A location that is missing, empty or unreadable; a manifest that contradicts itself.
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)>;

    /// Reads one unit into the sink with at most `workers` threads and returns the digests of what was read.
    ///
    /// # Errors
    /// Input that is corrupt as a whole (a truncated gzip, a wrong MD5, a quote never closed). A row's own fault goes to
    /// [`UnitSink::fail`] instead.
    fn read(&self, unit: &Unit, sink: &UnitSink, workers: usize) -> Result<Digests>;
}

/// Opens a dataset: the registry of kinds. Nothing is read yet but the list of files.
///
/// # Errors
/// A location that is missing or empty.
pub fn open(dataset: &Dataset, names: &Arc<Names>, copy: bool) -> Result<Box<dyn Source>> {
    let name = dataset.name.as_str();
    Ok(match &dataset.kind {
        DatasetKind::Csv(options) => {
            let units = listing::list_files(&options.uri, &[".csv", ".tsv", ".txt"])?;
            Box::new(csv::CsvSource::new(name, options.clone(), units))
        }
        DatasetKind::Parquet { uri } => {
            let units = listing::list_files(uri, &[".parquet"])?;
            Box::new(parquet::ParquetSource::new(name, units, copy))
        }
        DatasetKind::Jsonl { uri } => Box::new(jsonl::JsonlSource::new(uri, Arc::clone(names))),
        DatasetKind::DynamodbExport(options) => {
            Box::new(dynamodb_export::ExportSource::new(options, Arc::clone(names)))
        }
    })
}
