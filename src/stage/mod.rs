//! Staging: from files and stores to typed Parquet parts, streaming, unit by unit.
//!
//! A [`Source`] lists its units and reads one at a time into a [`UnitSink`]; `run.rs` decides which units are left to do,
//! runs them in parallel, and records each in the ledger once its parts are durable.

pub mod changed;
pub mod csv;
pub mod document;
pub mod dynamodb;
pub mod dynamodb_export;
mod failures;
pub mod input;
pub mod jsonl;
pub mod mysql;
mod names;
pub mod parquet;
mod part;
pub mod postgres;
mod prepare;
pub mod run;
pub mod sink;
pub mod sqlite;
pub mod table;

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::spec::{Dataset, DatasetKind};
use crate::store::files::Files;
pub use crate::store::files::{Expected, Stamp, Unit};
use crate::store::table::TableFacts;
use crate::value::Value;
use changed::Summing;
use document::Names;
use input::Digests;
use sink::{PartColumn, UnitSink};

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

    /// What is left of a unit that was read as far as `next` ([`Digests::next`]), as a unit of its own.
    fn rest(&self, unit: &Unit, next: &str) -> Unit {
        Unit { path: unit.path.join(next), ..unit.clone() }
    }

    /// The unit's state now, to be held against [`Unit::stamp`] once it was read.
    ///
    /// # Errors
    /// A file that is gone.
    fn stamp(&self, unit: &Unit) -> Result<Stamp>;

    /// What the store itself says of a table: without reading any row. `None` for files.
    ///
    /// # Errors
    /// A store that cannot be reached; a table that is not there.
    fn facts(&self) -> Result<Option<TableFacts>> {
        Ok(None)
    }

    /// The columns that every part of a table has from now on; `None` where they depend on the rows.
    fn columns(&self) -> Option<Vec<PartColumn>> {
        None
    }

    /// The table as one whose store can add its rows up; `None` where the store cannot.
    fn summing(&mut self) -> Option<&mut dyn Summing> {
        None
    }

    /// The same dataset, but only the records with these keys, read afresh when it is read; `None` where the store cannot look
    /// records up.
    ///
    /// # Errors
    /// A store that cannot be reached; key columns that it does not have.
    fn only(&self, _keys: &Keys) -> Result<Option<Box<dyn Source>>> {
        Ok(None)
    }
}

/// Keys of some records, as one side of an entity has them.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The columns (or a document's attributes) that make the key.
    pub columns: Vec<String>,
    /// For each record a value of each column, none of them NULL.
    pub values: Vec<Vec<Value<'static>>>,
}

/// Whether a dataset's location would list a file of that name in that folder as one of its own.
pub fn would_take(dataset: &Dataset, folder: &Path, name: &str) -> bool {
    let (uris, extensions): (Vec<&String>, &[&str]) = match &dataset.kind {
        DatasetKind::Csv(options) => (vec![&options.uri], &csv::EXTENSIONS),
        DatasetKind::Parquet { uri } => (vec![uri], &parquet::EXTENSIONS),
        DatasetKind::Jsonl { uri } => (vec![uri], &jsonl::EXTENSIONS),
        DatasetKind::DynamodbExport(options) => {
            (std::iter::once(&options.uri).chain(&options.increments).collect(), &dynamodb_export::EXTENSIONS)
        }
        _ => return false,
    };
    uris.iter().any(|uri| Files::would_list(uri, extensions, folder, name))
}

/// Opens a dataset: the registry of kinds. Nothing is read yet but the list of files.
///
/// # Errors
/// A location that is missing or empty.
pub fn open(dataset: &Dataset, names: &Arc<Names>, copy: bool) -> Result<Box<dyn Source>> {
    let name = dataset.name.as_str();
    let files = Arc::new(Files::new(&dataset.storage));
    Ok(match &dataset.kind {
        DatasetKind::Csv(options) => {
            let units = files.list(&options.uri, &csv::EXTENSIONS)?;
            Box::new(csv::CsvSource::new(name, options.clone(), files, units))
        }
        DatasetKind::Parquet { uri } => {
            let units = files.list(uri, &parquet::EXTENSIONS)?;
            Box::new(parquet::ParquetSource::new(name, files, units, copy))
        }
        DatasetKind::Jsonl { uri } => Box::new(jsonl::JsonlSource::new(uri, files, Arc::clone(names))),
        DatasetKind::DynamodbExport(options) => {
            Box::new(dynamodb_export::ExportSource::new(options, files, Arc::clone(names)))
        }
        DatasetKind::Postgres(options) => postgres::open(options)?,
        DatasetKind::Mysql(options) => mysql::open(options)?,
        DatasetKind::Sqlite { path, what } => sqlite::open(path, what)?,
        DatasetKind::Dynamodb(options) => dynamodb::open(options, Arc::clone(names))?,
    })
}
