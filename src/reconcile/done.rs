//! What says that a side's hashes are there and whole: `done.json`, with the files that the pass wrote.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hash::Learned;
use crate::error::{Context, Error, Result};
use crate::ledger::part::{modified_ns, rows_of};

#[derive(Serialize, Deserialize)]
struct Done {
    learned: Learned,
    files: Vec<Written>,
}

/// A file of the pass as it was when the pass ended.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Written {
    name: String,
    bytes: u64,
    modified_ns: i128,
    rows: u64,
}

/// What a pass learned that wrote into this folder; nothing where there was none, or where its files are not what it wrote.
pub(super) fn read(folder: &Path) -> Option<Learned> {
    let done: Done = serde_json::from_slice(&fs::read(folder.join("done.json")).ok()?).ok()?;
    (files(folder).ok()? == done.files).then_some(done.learned)
}

/// Ends a pass.
///
/// # Errors
/// A disk that is full or refuses.
pub(super) fn write(folder: &Path, learned: &Learned) -> Result<()> {
    let fail = || format!("cannot write {}", folder.display());
    let done = Done { learned: learned.clone(), files: files(folder)? };
    let text = serde_json::to_vec(&done).expect("numbers and names are always JSON");
    fs::write(folder.join("done.tmp"), text).or_failed(fail)?;
    fs::rename(folder.join("done.tmp"), folder.join("done.json")).or_failed(fail)
}

/// The Parquet files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<Written>> {
    let fail = || format!("cannot read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).or_failed(fail)? {
        let entry = entry.or_failed(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".parquet") {
            continue;
        }
        let facts = entry.metadata().or_failed(fail)?;
        let rows = rows_of(&entry.path())
            .map_err(|damage| Error::failed(format!("{} {damage}", entry.path().display())))?;
        files.push(Written { name, bytes: facts.len(), modified_ns: modified_ns(&facts), rows });
    }
    files.sort();
    Ok(files)
}
