//! Files as a target: a folder on this machine or in S3, in which each batch becomes one file.
//!
//! A file is written once and whole, under a name that follows from entity, run and batch: written again after a kill or a lost reply
//! it is the same file, so that no marker is needed. What is in a file is never changed. So nothing is written into a folder that
//! holds anything else than what the ledger's runs wrote of the same records (`folder.rs`).
//!
//! `csv.rs`, `json.rs` and `parquet.rs` make a file of records, `kept.rs` says as what a field is read back, `export.rs` writes the
//! manifests of an export.

mod csv;
mod export;
mod folder;
mod json;
mod kept;
mod parquet;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use self::csv::CsvFormat;
use self::export::{Export, Listed};
use self::folder::Folder;
use self::json::{ExportFormat, JsonFormat};
use self::parquet::ParquetFormat;
use super::mapped::Mapped;
use super::{Batch, Defaults, Earlier, Fault, Images, Receipt, Session, Settled, Target, Trouble};
use crate::error::{Context, Error, Result};
use crate::fault;
use crate::ledger::manifest::{Change, Image, Op};
use crate::spec::{Compression, Dataset, DatasetKind, OnConflict, Policy};
use crate::store::files::{Files, Unsent};
use crate::value::{Value, hex};

/// Records of a file: some ten megabytes of rows as they mostly are.
const BATCH_RECORDS: u64 = 50_000;
/// Files under way at once. Each is held in memory until it is written.
const BATCHES: usize = 2;

/// How records become a file.
trait Format: Send + Sync {
    /// What the names of its files end in, before a compression's own.
    fn extension(&self) -> &'static str;

    /// What files of one folder have in common: columns and options.
    fn facts(&self) -> String;

    /// An empty file.
    fn begin(&self) -> Box<dyn Part + '_>;
}

/// A file that is being made.
trait Part {
    /// Adds a record, or nothing of it.
    ///
    /// # Errors
    /// What the format cannot hold.
    fn push(&mut self, values: &[Value<'_>]) -> Result<(), Fault>;

    /// Its bytes.
    ///
    /// # Errors
    /// None for what was added.
    fn finish(self: Box<Self>) -> Result<Vec<u8>>;
}

/// A folder of files.
pub struct FilesTarget<'a> {
    mapped: &'a Mapped<'a>,
    files: Files,
    folder: Folder,
    format: Box<dyn Format + 'a>,
    compression: Compression,
    fingerprint: String,
    /// Of an export: the files of this process, by name.
    listed: Mutex<BTreeMap<String, Listed>>,
    is_export: bool,
}

impl<'a> FilesTarget<'a> {
    /// Finds out how the records are written. Nothing is asked of a store yet.
    ///
    /// # Errors
    /// A file or a glob in place of a folder, policies that change what is there, fields that the format cannot hold or that would not be
    /// compared afterwards (exit 2).
    pub fn open(dataset: &'a Dataset, mapped: &'a Mapped<'a>) -> Result<Self> {
        let uri = dataset.kind.place();
        let is_export = matches!(dataset.kind, DatasetKind::DynamodbExport(_));
        let folder = Folder::new(&uri, is_export)?;
        check_policies(mapped, &uri)?;
        let format: Box<dyn Format + 'a> = match &dataset.kind {
            DatasetKind::Csv(options) => Box::new(CsvFormat::new(options, mapped)?),
            DatasetKind::Parquet { .. } => Box::new(ParquetFormat::new(mapped, dataset.compression)?),
            DatasetKind::DynamodbExport(options) => {
                if !options.increments.is_empty() {
                    return Err(Error::usage(format!("{uri}: `increments` are not written"))
                        .help("give the target a dataset of its own, without `increments`"));
                }
                Box::new(ExportFormat::new(mapped, &uri)?)
            }
            _ => Box::new(JsonFormat::new(mapped, &uri)?),
        };
        let compression = match &dataset.kind {
            DatasetKind::DynamodbExport(_) => Compression::Gzip,
            // Its pages are compressed, not the file.
            DatasetKind::Parquet { .. } => Compression::None,
            _ => dataset.compression.unwrap_or(Compression::None),
        };
        let at = dataset.storage.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}"));
        let facts = hex(&Sha256::digest(format.facts()));
        Ok(Self {
            mapped,
            files: Files::new(&dataset.storage),
            fingerprint: format!(
                "{} {}{} ({})",
                dataset.kind.word(),
                folder.uri(),
                at.unwrap_or_default(),
                &facts[2..10]
            ),
            folder,
            format,
            compression,
            listed: Mutex::default(),
            is_export,
        })
    }

    fn name(&self, batch: &Batch<'_>) -> String {
        let compression = match self.compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let stem = folder::stem(batch.run_id, batch.entity, batch.number);
        format!("{stem}{}{compression}", self.format.extension())
    }

    fn compress(&self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(bytes),
            Compression::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(&bytes)?;
                out.finish()
            }
            Compression::Zstd => zstd::encode_all(bytes.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }

    fn change(&self, batch: &Batch<'_>, name: &str, values: &[Value<'_>]) -> Change {
        let key: Image = self
            .mapped
            .key()
            .iter()
            .zip(values)
            .map(|(column, value)| {
                (column.name.clone(), value.display().map(|text| text.into_owned()).into())
            })
            .collect();
        let (mut digest, mut bytes) = (Sha256::new(), Vec::new());
        for value in values {
            bytes.clear();
            value.encode(&mut bytes);
            digest.update(&bytes);
        }
        let digest = hex(&digest.finalize()).split_off(2);
        Change::without_images(
            &self.folder.path_of(name).to_string_lossy(),
            batch.number,
            Op::Insert,
            key,
            digest,
        )
    }

    /// Makes a batch's file, with the records that are in it.
    fn part(&self, batch: &Batch<'_>, name: &str) -> Result<(Option<Vec<u8>>, Receipt, Vec<Change>)> {
        let (mut part, mut receipt, mut changes) = (self.format.begin(), Receipt::default(), Vec::new());
        for record in batch.records {
            match part.push(&record.values) {
                Ok(()) => {
                    receipt.inserted += 1;
                    changes.push(self.change(batch, name, &record.values));
                }
                Err(fault) => receipt.faults.push((record.row, fault)),
            }
        }
        if receipt.inserted == 0 {
            return Ok((None, receipt, changes));
        }
        let bytes = self.compress(part.finish()?).or_failed(|| format!("cannot compress {name}"))?;
        Ok((Some(bytes), receipt, changes))
    }
}

/// Whether a dataset is a folder of files in which nothing lies yet, so that it may be one that is going to be written.
///
/// # Errors
/// A store that cannot be reached or does not let us look.
pub fn is_to_come(dataset: &Dataset) -> Result<bool> {
    let is_files = dataset.kind.is_schemaless() && !dataset.kind.is_live()
        || matches!(dataset.kind, DatasetKind::Csv(_) | DatasetKind::Parquet { .. });
    match Folder::new(&dataset.kind.place(), false) {
        Ok(folder) if is_files => {
            let there = Files::new(&dataset.storage).folder(&folder.path(""))?;
            Ok(there.is_none_or(|there| there.files.is_empty() && there.folders.is_empty()))
        }
        _ => Ok(false),
    }
}

/// A file is written once: nothing that is there is looked at or changed.
fn check_policies(mapped: &Mapped<'_>, uri: &str) -> Result<()> {
    let refuse = |what: &str, help: &str| {
        Err(Error::usage(format!("{uri}: {what}, but what is in files is never changed")).help(help))
    };
    if mapped.policy() == Policy::UpdateOnly {
        return refuse("`write = \"update-only\"`", "leave it out: all records are new in files");
    }
    if mapped.writing.version.is_some() {
        return refuse("`version` is given", "leave it out: all records are new in files");
    }
    match mapped.columns.iter().find(|c| !matches!(c.on_conflict, OnConflict::Overwrite)) {
        Some(column) => refuse(&format!("field `{}` has `on_conflict`", column.field), "leave it out"),
        None => Ok(()),
    }
}

impl Target for FilesTarget<'_> {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn defaults(&self) -> Defaults {
        Defaults { batch_records: BATCH_RECORDS, concurrency: BATCHES }
    }

    fn preview(&self, values: &[Value<'_>]) -> Result<Vec<Option<String>>, Fault> {
        self.format.begin().push(values)?;
        Ok(values.iter().map(|value| value.display().map(|text| text.into_owned())).collect())
    }

    fn session(&self) -> Result<Box<dyn Session + '_>, Trouble> {
        Ok(Box::new(FilesSession { target: self }))
    }

    fn is_written_once(&self) -> bool {
        true
    }

    fn alone_in(&self) -> Option<&str> {
        // Files of CSV and Parquet have one entity's columns.
        let is_common = matches!(self.format.extension(), ".jsonl" | ".json");
        (!is_common).then(|| self.folder.uri())
    }

    fn settle(&self, earlier: &[Earlier]) -> Result<Settled> {
        let only = self.alone_in().map(|_| &self.mapped.plan.entity.name);
        self.folder.settle(&self.files, earlier, only)
    }

    fn clear(&self, left: &[String]) -> Result<()> {
        if self.is_export && !left.is_empty() {
            Export { files: &self.files, folder: &self.folder }.reopen()?;
        }
        left.iter().try_for_each(|name| self.files.remove(&self.folder.path_of(name)))
    }

    fn begin(&self) -> Result<()> {
        match self.is_export {
            true => Export { files: &self.files, folder: &self.folder }.begin(),
            false => Ok(()),
        }
    }

    fn finish(&self, at_ns: i128) -> Result<()> {
        if !self.is_export {
            return Ok(());
        }
        let listed = self.listed.lock().expect("nobody panics with it");
        Export { files: &self.files, folder: &self.folder }.finish(&listed, at_ns)
    }

    /// Nothing of recon's is there.
    fn forget(&self, _run_id: &str, _entity: &str) -> Result<()> {
        Ok(())
    }
}

struct FilesSession<'a> {
    target: &'a FilesTarget<'a>,
}

impl Session for FilesSession<'_> {
    fn apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        let target = self.target;
        let name = target.name(batch);
        let (bytes, receipt, mut changes) = target.part(batch, &name)?;
        let Some(bytes) = bytes else { return Ok(receipt) };
        images(&mut changes)?;
        drop(changes);
        fault::point("files.images-kept");
        target.files.put(&target.folder.path_of(&name), &bytes).map_err(trouble)?;
        fault::point("files.written");
        if target.is_export {
            let listed = Listed::of(&bytes, receipt.inserted);
            target.listed.lock().expect("nobody panics with it").insert(name, listed);
        }
        Ok(receipt)
    }
}

/// Where the answer is missing, the file may be there: it is written again, until it is known to be. Throttling was waited for.
fn trouble(unsent: Unsent) -> Trouble {
    if unsent.is_unknown {
        return Trouble::Lost(unsent.error);
    }
    match unsent.error.help_text() {
        Some(_) => Trouble::Fatal(unsent.error),
        None => Trouble::Fatal(
            unsent.error.help("make room or mend what is said above, then run the same command again: what was written stays written"),
        ),
    }
}

/// Fields that lie in one place, or one in the other.
fn check_places(mapped: &Mapped<'_>, uri: &str) -> Result<()> {
    super::mapped::check_places(mapped).map_err(|e| e.of(uri))
}
