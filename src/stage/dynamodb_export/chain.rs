//! A full export and the incremental ones that follow it, in order.
//!
//! Staging all of them gives the table as of the last increment's end only where each window begins exactly where the
//! one before it ended: DynamoDB's `exportFromTime` is inclusive, `exportToTime` exclusive.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html>

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use jiff::Timestamp;

use super::manifest::{Export, Extent, Format};
use super::{ion, json};
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::spec::ExportOptions;
use crate::stage::Unit;
use crate::stage::input::Input;
use crate::store::files::Files;

/// The exports of a dataset.
#[derive(Debug)]
pub(super) struct Chain {
    /// The full export, then the increments.
    exports: Vec<Export>,
    /// Names of the table's key attributes, sorted. Only the records of increments tell them, so without any record
    /// there are none, and then no row needs its key either.
    pub(super) keys: Option<Vec<String>>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl Chain {
    /// Opens all exports and checks that they belong together.
    ///
    /// # Errors
    /// An export that cannot be opened; one of the wrong kind or of another table; a gap or an overlap that
    /// `allow_gap` does not allow.
    pub(super) fn open(options: &ExportOptions, files: &Files) -> Result<Self> {
        let full = Export::open(&options.uri, files)?;
        if let Extent::Incremental(from, to) = full.extent {
            return Err(Error::failed(format!(
                "{} is an incremental export ({from} to {to}): alone it only says what changed",
                full.folder.display()
            ))
            .help("give the full export that it follows as `uri`, and this one in `increments`"));
        }
        let mut exports = vec![full];
        for uri in &options.increments {
            let export = Export::open(uri, files)?;
            check_increment(&exports, &export, files)?;
            exports.push(export);
        }
        let mut warnings: Vec<String> = exports.iter().flat_map(|export| export.warnings.clone()).collect();
        for pair in exports.windows(2) {
            let Some(problem) = seam(&pair[0], &pair[1]) else { continue };
            if !options.allow_gap {
                return Err(Error::failed(problem).help(
                    "add the missing increment, or put them in order; `allow_gap = true` accepts it as it is",
                ));
            }
            warnings.push(format!("{problem}; accepted because of allow_gap"));
        }
        let mut chain = Self { exports, keys: None, warnings };
        chain.keys = chain.find_keys(files)?;
        Ok(chain)
    }

    /// All data files, each with its place in the chain.
    pub(super) fn units(&self) -> Vec<Unit> {
        let numbered = (0u32..).zip(&self.exports);
        numbered
            .flat_map(|(window, export)| export.units.iter().map(move |u| Unit { window, ..u.clone() }))
            .collect()
    }

    /// How a data file is written: as its name says, else as its export's manifest says.
    pub(super) fn format(&self, unit: &Unit) -> Format {
        let said = || self.exports.get(unit.window as usize).and_then(|export| export.format);
        Format::of_name(&unit.path).or_else(said).unwrap_or(Format::Json)
    }

    fn find_keys(&self, files: &Files) -> Result<Option<Vec<String>>> {
        for unit in self.units().iter().filter(|unit| unit.window > 0) {
            let keys = match self.format(unit) {
                Format::Json => first_keys(files, unit, json::key_names)?,
                Format::Ion => first_keys(files, unit, ion::key_names)?,
            };
            if keys.is_some() {
                return Ok(keys);
            }
        }
        Ok(None)
    }
}

/// The names of the key attributes in a file's first record that can be read.
fn first_keys(
    files: &Files,
    unit: &Unit,
    key_names: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<Option<Vec<String>>> {
    let input = Input::open(files, unit, &Arc::new(Progress::default()))?;
    for line in BufReader::new(input).split(b'\n') {
        let line = line.or_failed(|| format!("cannot read {}", unit.path.display()))?;
        let names = std::str::from_utf8(&line).ok().and_then(&key_names);
        if names.as_ref().is_some_and(|names| !names.is_empty()) {
            return Ok(names);
        }
    }
    Ok(None)
}

fn check_increment(before: &[Export], export: &Export, files: &Files) -> Result<()> {
    let folder = export.folder.display();
    match export.extent {
        Extent::Incremental(..) => {}
        Extent::Full(Some(time)) => {
            return Err(Error::failed(format!("{folder} is a full export (as of {time}), not an increment"))
                .help("`uri` is the full export; `increments` are the incremental ones that follow it"));
        }
        Extent::Full(None) => {
            return Err(Error::failed(format!(
                "{folder} has no manifests, so nobody knows which window it covers"
            ))
            .help("give the folder of the incremental export that has manifest-summary.json"));
        }
    }
    let place = |export: &Export| files.canonical(&export.folder);
    if before.iter().any(|other| place(other) == place(export)) {
        return Err(
            Error::failed(format!("{folder} occurs twice in `increments`")).help("list each export once")
        );
    }
    for other in before {
        let pairs = [(&other.table_arn, &export.table_arn), (&other.table_id, &export.table_id)];
        if let Some((theirs, ours)) =
            pairs.iter().find_map(|(a, b)| a.as_ref().zip(b.as_ref()).filter(|(a, b)| a != b))
        {
            let other = other.folder.display();
            return Err(Error::failed(format!(
                "the exports are of different tables: {other} of {theirs}, {folder} of {ours}"
            ))
            .help("a chain is of one table; one that was deleted and made again is another table"));
        }
    }
    Ok(())
}

/// What is wrong between an export and the increment after it, if anything.
fn seam(before: &Export, after: &Export) -> Option<String> {
    let Extent::Incremental(from, to) = after.extent else { return None };
    let after_words = format!("{} covers {from} to {to}", after.folder.display());
    let folder = before.folder.display();
    let (until, before_words): (Timestamp, String) = match before.extent {
        Extent::Full(Some(time)) => (time, format!("{folder} is as of {time}")),
        Extent::Incremental(begin, end) => (end, format!("{folder} covers {begin} to {end}")),
        Extent::Full(None) => {
            return Some(format!(
                "nobody knows as of when {folder} is, which has no manifests, and {after_words}"
            ));
        }
    };
    let what = match from.cmp(&until) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => "a gap",
        std::cmp::Ordering::Less => "an overlap",
    };
    Some(format!("{what} in the chain of exports: {before_words}, {after_words}"))
}
