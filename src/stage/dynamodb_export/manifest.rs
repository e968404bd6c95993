//! One export: where its folder is, what its manifests say, and where its data files lie.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::{Deserialize, Deserializer};

use crate::error::{Context, Error, Result};
use crate::stage::{Expected, Unit};
use crate::store::files::{Files, Folder};

/// The folder in which DynamoDB puts its exports, below the prefix that the user gave.
const EXPORTS_FOLDER: &str = "AWSDynamoDB";
const SUMMARY: &str = "manifest-summary";
const SUMMARY_FILE: &str = "manifest-summary.json";
const FILES: &str = "manifest-files";
const STARTED: &str = "_started";
/// Versions of the manifest that this reader was written for.
const VERSIONS: [&str; 2] = ["2020-06-30", "2023-08-01"];

/// How the data files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `DYNAMODB_JSON`.
    Json,
    /// `ION`.
    Ion,
}

impl Format {
    /// The format that a data file's name says, if it says one.
    pub(super) fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let has = |suffix: &str| name.ends_with(suffix) || name.contains(&format!("{suffix}."));
        if has(".ion") {
            Some(Self::Ion)
        } else if has(".json") {
            Some(Self::Json)
        } else {
            None
        }
    }
}

/// What of a table an export holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every item, as of a time; unknown where there is no manifest.
    Full(Option<Timestamp>),
    /// What changed from the first time (inclusive) to the second (exclusive).
    Incremental(Timestamp, Timestamp),
}

/// An export whose manifests were checked.
#[derive(Debug)]
pub(super) struct Export {
    /// Its folder, or the plain folder of data files.
    pub(super) folder: PathBuf,
    /// What it holds.
    pub(super) extent: Extent,
    /// How its data files are written, where the manifest says so.
    pub(super) format: Option<Format>,
    /// ARN of the table, where the manifest says so.
    pub(super) table_arn: Option<String>,
    /// Id of the table: another one after the table was deleted and made again.
    pub(super) table_id: Option<String>,
    /// Its data files, in the manifest's order.
    pub(super) units: Vec<Unit>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    version: Option<String>,
    table_arn: Option<String>,
    table_id: Option<String>,
    export_type: Option<String>,
    #[serde(default, deserialize_with = "time")]
    export_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    export_from_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    export_to_time: Option<Timestamp>,
    output_format: Option<String>,
    item_count: Option<u64>,
}

/// Reads an instant in RFC 3339.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataFile {
    item_count: u64,
    md5_checksum: String,
    #[serde(rename = "dataFileS3Key")]
    key: String,
}

impl Export {
    /// Opens the export at `uri`: its own folder, a folder that holds one below `AWSDynamoDB/`, or a folder of data files
    /// without manifests.
    ///
    /// # Errors
    /// Nothing there; several exports; an export that has not finished; manifests that are damaged, contradict
    /// themselves or name a file that is not there.
    pub(super) fn open(uri: &str, files: &Files) -> Result<Self> {
        match locate(uri, files)? {
            Some(export) => Self::with_manifests(&export),
            None => Self::without_manifests(uri, files),
        }
    }

    fn without_manifests(uri: &str, files: &Files) -> Result<Self> {
        let units = files.list(uri, &super::EXTENSIONS)?;
        let folder = PathBuf::from(uri);
        let mut warning = format!("{uri} has no manifests: neither checksums nor item counts were verified");
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty())
            && let Ok(Some(export)) = Lying::with_manifest(parent, files)
        {
            warning.push_str(&format!("; give {} as `uri` to have them verified", export.path.display()));
        }
        Ok(Self {
            folder,
            extent: Extent::Full(None),
            format: None,
            table_arn: None,
            table_id: None,
            units,
            warnings: vec![warning],
        })
    }

    fn with_manifests(export: &Lying<'_>) -> Result<Self> {
        let folder = &export.path;
        let text = export.manifest(SUMMARY)?;
        let path = folder.join(format!("{SUMMARY}.json"));
        let summary: Summary = serde_json::from_slice(&text)
            .or_failed(|| format!("{} is no export's summary", path.display()))?;
        let mut warnings = Vec::new();
        if let Some(version) = summary.version.as_deref().filter(|version| !VERSIONS.contains(version)) {
            let known = VERSIONS.join(" and ");
            warnings.push(format!("{} is of version {version}; this recon knows {known}", path.display()));
        }
        let files = data_files(export)?;
        let listed: u64 = files.iter().map(|file| file.item_count).sum();
        if let Some(total) = summary.item_count.filter(|total| *total != listed) {
            return Err(Error::failed(format!(
                "the manifests in {} contradict each other: {total} items in {SUMMARY}.json, {listed} in {FILES}.json",
                folder.display()
            ))
            .help("fetch the manifests again from the export's bucket"));
        }
        Ok(Self {
            folder: folder.clone(),
            extent: summary.extent(&path)?,
            format: summary.format(&path)?,
            table_arn: summary.table_arn,
            table_id: summary.table_id,
            units: data_units(export, &files)?,
            warnings,
        })
    }
}

impl Summary {
    fn extent(&self, path: &Path) -> Result<Extent> {
        let lacks = |what: &str| Error::failed(format!("{} has no {what}", path.display()));
        match self.export_type.as_deref() {
            None | Some("FULL_EXPORT") if self.export_from_time.is_none() => {
                Ok(Extent::Full(Some(self.export_time.ok_or_else(|| lacks("exportTime"))?)))
            }
            None | Some("INCREMENTAL_EXPORT") => {
                let from = self.export_from_time.ok_or_else(|| lacks("exportFromTime"))?;
                let to = self.export_to_time.ok_or_else(|| lacks("exportToTime"))?;
                if from > to {
                    return Err(Error::failed(format!(
                        "{}: the window ends before it begins",
                        path.display()
                    )));
                }
                Ok(Extent::Incremental(from, to))
            }
            Some(other) => Err(Error::failed(format!("{}: exportType is `{other}`", path.display()))
                .help("recon reads FULL_EXPORT and INCREMENTAL_EXPORT")),
        }
    }

    fn format(&self, path: &Path) -> Result<Option<Format>> {
        match self.output_format.as_deref() {
            None => Ok(None),
            Some("DYNAMODB_JSON") => Ok(Some(Format::Json)),
            Some("ION") => Ok(Some(Format::Ion)),
            Some(other) => Err(Error::failed(format!("{}: outputFormat is `{other}`", path.display()))
                .help("recon reads DYNAMODB_JSON and ION")),
        }
    }
}

/// An export's folder with what lies in it.
struct Lying<'a> {
    files: &'a Files,
    path: PathBuf,
    folder: Folder,
}

impl<'a> Lying<'a> {
    /// A folder, if it holds a manifest or says that one is to come.
    fn with_manifest(path: &Path, files: &'a Files) -> Result<Option<Self>> {
        let Some(folder) = files.folder(path)? else { return Ok(None) };
        let export = Self { files, path: path.to_path_buf(), folder };
        let has = |name: &str| export.unit(name).is_some();
        let names = [SUMMARY_FILE, &format!("{FILES}.json"), STARTED];
        Ok(names.into_iter().any(has).then_some(export))
    }

    fn unit(&self, name: &str) -> Option<&Unit> {
        self.folder.file(&self.path.join(name))
    }

    /// The folder and, where its summary can be read, what it holds.
    fn describe(&self) -> String {
        let (path, summary) = (self.path.join(SUMMARY_FILE), self.unit(SUMMARY_FILE));
        let extent = summary
            .and_then(|unit| self.files.read(unit).ok())
            .and_then(|text| serde_json::from_slice::<Summary>(&text).ok())
            .and_then(|summary| summary.extent(&path).ok());
        let folder = self.path.display();
        match extent {
            Some(Extent::Full(Some(time))) => format!("{folder} (full, as of {time})"),
            Some(Extent::Incremental(from, to)) => format!("{folder} (incremental, {from} to {to})"),
            _ => folder.to_string(),
        }
    }

    /// Reads a manifest and holds it against its digest. The documentation calls the digest's file `.checksum`, exports in
    /// the wild have `.md5`.
    fn manifest(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(format!("{name}.json"));
        let Some(unit) = self.unit(&format!("{name}.json")) else {
            let failed = Error::failed(format!("{} is not there", path.display()));
            return Err(if self.unit(STARTED).is_some() {
                failed
                    .help("the export has not finished, or was copied before it had; export or copy it again")
            } else {
                failed.help("copy the whole export, or give a folder that holds nothing but data files")
            });
        };
        let bytes = self.files.read(unit)?;
        let found = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&bytes));
        for suffix in ["md5", "checksum"] {
            let Some(digest) = self.unit(&format!("{name}.{suffix}")) else { continue };
            let said = self.files.read(digest)?;
            let said = String::from_utf8_lossy(&said);
            if said.trim() != found {
                return Err(Error::failed(format!(
                    "{} was changed: its MD5 is {found}, {} says {}",
                    path.display(),
                    digest.path.display(),
                    said.trim()
                ))
                .help("fetch the manifests again from the export's bucket"));
            }
        }
        Ok(bytes)
    }
}

/// The export that `uri` means, or none where it holds data files without manifests.
fn locate<'a>(uri: &str, files: &'a Files) -> Result<Option<Lying<'a>>> {
    let path = Path::new(uri);
    if let Some(export) = Lying::with_manifest(path, files)? {
        return Ok(Some(export));
    }
    // The summary itself is what AWS's own messages name.
    if path.file_name().is_some_and(|name| name == SUMMARY_FILE)
        && let Some(folder) = path.parent()
        && files.file(path)?.is_some()
    {
        return Lying::with_manifest(folder, files);
    }
    let is_exports_folder = path.file_name().is_some_and(|name| name == EXPORTS_FOLDER);
    let below = path.join(EXPORTS_FOLDER);
    let (exports_folder, inside) = match files.folder(&below)? {
        Some(inside) => (below, inside),
        None if is_exports_folder => match files.folder(path)? {
            Some(inside) => (path.to_path_buf(), inside),
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    let mut exports = Vec::new();
    for folder in &inside.folders {
        exports.extend(Lying::with_manifest(folder, files)?);
    }
    match exports.len() {
        0 => Err(Error::failed(format!("{} holds no export with its manifests", exports_folder.display()))
            .help("give the folder that has manifest-summary.json as `uri`")),
        1 => Ok(exports.pop()),
        _ => {
            let list: String = exports.iter().map(|export| format!("\n  {}", export.describe())).collect();
            Err(Error::failed(format!("{} holds several exports:{list}", exports_folder.display()))
                .help("give the full one's folder as `uri`, and those of incremental ones as `increments`, in order"))
        }
    }
}

/// Reads `manifest-files.json`, which is JSON lines.
fn data_files(export: &Lying<'_>) -> Result<Vec<DataFile>> {
    let text = export.manifest(FILES)?;
    let path = export.path.join(format!("{FILES}.json"));
    let mut files = Vec::new();
    let mut seen = BTreeMap::new();
    for (n, line) in text.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line_number = n + 1;
        let file: DataFile = serde_json::from_slice(line)
            .or_failed(|| format!("{}:{line_number} does not describe a data file", path.display()))?;
        if let Some(other) = seen.insert(file.key.clone(), line_number) {
            return Err(Error::failed(format!(
                "{}:{line_number} lists {} again (first in line {other})",
                path.display(),
                file.key
            )));
        }
        files.push(file);
    }
    Ok(files)
}

/// The units of the data files that a manifest lists. Each folder that may hold some is listed once.
fn data_units(export: &Lying<'_>, listed: &[DataFile]) -> Result<Vec<Unit>> {
    let base = export.files.canonical(&export.path);
    let mut folders: BTreeMap<PathBuf, Folder> = BTreeMap::new();
    let mut units = Vec::new();
    for file in listed {
        let places = places(&base, &file.key);
        let mut found = None;
        for path in &places {
            let Some(parent) = path.parent() else { continue };
            if !folders.contains_key(parent) {
                folders.insert(parent.to_path_buf(), export.files.folder(parent)?.unwrap_or_default());
            }
            found = folders[parent].file(path).cloned();
            if found.is_some() {
                break;
            }
        }
        let Some(unit) = found else {
            let tried: String = places.iter().map(|path| format!("\n  {}", path.display())).collect();
            return Err(Error::failed(format!(
                "the manifest lists {}, which is not there; looked for{tried}",
                file.key
            ))
            .help("copy the data files too; those of an incremental export lie in AWSDynamoDB/data/"));
        };
        let expected = Expected { md5: file.md5_checksum.clone(), items: file.item_count };
        units.push(Unit { expected: Some(expected), ..unit });
    }
    Ok(units)
}

/// Where a data file may lie. Its key starts at the bucket's root, or behind the prefix; so first the key's end, from
/// `AWSDynamoDB/` on, beside this export's own `AWSDynamoDB` folder; then, for an export that was copied alone or
/// renamed, the `data` folders in and beside it, and the folder itself.
fn places(folder: &Path, key: &str) -> Vec<PathBuf> {
    let mut places = Vec::new();
    // Only plain names: a key never leads out of the folders that the user named.
    let parts: Vec<&str> = key.split('/').filter(|part| !part.is_empty()).collect();
    let is_plain = |part: &&str| matches!(Path::new(part).components().next(), Some(Component::Normal(_)));
    let Some(name) = parts.last().filter(|name| is_plain(name)) else { return places };
    if let (Some(at), Some(root)) =
        (parts.iter().rposition(|part| *part == EXPORTS_FOLDER), folder.parent().and_then(Path::parent))
        && parts[at..].iter().all(is_plain)
    {
        places.push(root.join(parts[at..].join("/")));
    }
    places.push(folder.join("data").join(name));
    if let Some(parent) = folder.parent() {
        places.push(parent.join("data").join(name));
    }
    places.push(folder.join(name));
    places
}
