//! Exports of DynamoDB tables to S3, there or as folders on this machine: full ones, and incremental ones that follow them.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>
//!
//! `manifest.rs` finds an export's folder, checks its manifests and resolves its data files; `chain.rs` puts a full
//! export and its increments in order; `json.rs` and `ion.rs` turn lines into rows. A data file counts as read only when
//! its MD5 and its number of items are what the manifest says.
//!
//! In a dataset with increments every row carries reserved columns (see [`super::document::KEY_HASH_1`]): the newest row
//! of each key, unless it is a deletion, is the table as of the last increment's end.

mod chain;
mod ion;
mod json;
mod keys;
mod manifest;

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::document::Names;
use super::document::lines::{LinesJob, Tally};
use super::input::Digests;
use super::sink::UnitSink;
use super::{Source, Stamp, Unit};
use crate::error::{Error, Result};
use crate::spec::ExportOptions;
use crate::store::files::Files;
use chain::Chain;
use ion::IonReader;
use json::{ChangeReader, ItemReader};
use manifest::Format;

/// What the names of data files end in.
pub(super) const EXTENSIONS: [&str; 2] = [".json", ".ion"];

/// A dataset of kind `dynamodb-export`.
pub struct ExportSource {
    options: ExportOptions,
    files: Arc<Files>,
    names: Arc<Names>,
    chain: Mutex<Option<Arc<Chain>>>,
}

impl ExportSource {
    /// The export that `options` name, with the dataset's registry of names. Nothing is read yet.
    pub fn new(options: &ExportOptions, files: Arc<Files>, names: Arc<Names>) -> Self {
        Self { options: options.clone(), files, names, chain: Mutex::default() }
    }

    /// The exports in order, read once.
    fn chain(&self) -> Result<Arc<Chain>> {
        let mut known = self.chain.lock().expect("no reader panics while it opens the chain");
        if let Some(chain) = &*known {
            return Ok(Arc::clone(chain));
        }
        let chain = Arc::new(Chain::open(&self.options, &self.files)?);
        *known = Some(Arc::clone(&chain));
        Ok(chain)
    }
}

impl Source for ExportSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        let chain = self.chain()?;
        Ok((chain.units(), chain.warnings.clone()))
    }

    fn read(&self, unit: &Unit, sink: &UnitSink, workers: usize) -> Result<Digests> {
        let chain = self.chain()?;
        let keys = chain.keys.as_deref();
        let job = LinesJob {
            files: &self.files,
            unit,
            sink,
            workers,
            names: &self.names,
            in_chain: keys.is_some(),
        };
        let tally = match (chain.format(unit), unit.window) {
            (Format::Json, 0) => job.run(|| ItemReader::new(&unit.path, keys))?,
            (Format::Json, window) => job.run(|| ChangeReader::new(window, keys))?,
            (Format::Ion, window) => job.run(|| IonReader::new(&unit.path, window, keys))?,
        };
        verify(unit, &tally)?;
        Ok(tally.digests)
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        self.files.stamp(unit)
    }
}

/// Holds what was read against what the manifest says.
fn verify(unit: &Unit, tally: &Tally) -> Result<()> {
    let Some(expected) = &unit.expected else { return Ok(()) };
    if tally.digests.md5.as_deref() != Some(expected.md5.as_str()) {
        let found = tally.digests.md5.as_deref().unwrap_or_default();
        return Err(differs(&unit.path, &format!("its MD5 is {found}, the manifest says {}", expected.md5)));
    }
    if tally.documents != expected.items {
        let found = tally.documents;
        return Err(differs(
            &unit.path,
            &format!("it holds {found} items, the manifest says {}", expected.items),
        ));
    }
    Ok(())
}

fn differs(path: &Path, how: &str) -> Error {
    Error::failed(format!("{} is not the file that was exported: {how}", path.display()))
        .help("fetch the file again from the export's bucket and repeat the command")
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
