//! The manifests of an export, so that its folder is read as one.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>
//!
//! The summary comes last and goes first: while it is not there, `_started` says that the export has not finished. So a folder has the
//! manifests of a finished export, in which every file is as it says, or none.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use md5::{Digest, Md5};
use serde_json::{Value as Json, json};

use super::folder::Folder;
use crate::error::{Context, Error, Result};
use crate::fault;
use crate::store::files::Files;

const STARTED: &str = "_started";
const FILES: &str = "manifest-files";
const SUMMARY: &str = "manifest-summary";
/// The version of the manifests of full exports.
const VERSION: &str = "2020-06-30";

/// What a manifest says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    items: u64,
    /// MD5 of its bytes.
    md5: Vec<u8>,
}

impl Listed {
    pub(super) fn of(bytes: &[u8], items: u64) -> Self {
        Self { items, md5: Md5::digest(bytes).to_vec() }
    }
}

pub(super) struct Export<'a> {
    pub(super) files: &'a Files,
    pub(super) folder: &'a Folder,
}

impl Export<'_> {
    /// Says that an export was begun.
    pub(super) fn begin(&self) -> Result<()> {
        let path = self.folder.path(STARTED);
        if self.files.file(&path)?.is_none() {
            self.put(STARTED, b"")?;
        }
        Ok(())
    }

    /// Says that the export is not finished any more.
    pub(super) fn reopen(&self) -> Result<()> {
        [format!("{SUMMARY}.json"), format!("{SUMMARY}.md5")]
            .iter()
            .try_for_each(|name| self.files.remove(&self.folder.path(name)))
    }

    /// Writes the manifests of all files that are there; nothing where they say so already. `known` are those of this process.
    pub(super) fn finish(&self, known: &BTreeMap<String, Listed>, at_ns: i128) -> Result<()> {
        let parts = self.folder.parts(self.files)?;
        let before = self.before()?;
        let has_summary = self.files.file(&self.folder.path(&format!("{SUMMARY}.json")))?.is_some();
        if has_summary && parts.iter().eq(before.keys()) {
            return Ok(());
        }
        let mut all: Vec<(String, Listed)> = Vec::new();
        for name in parts {
            let listed = match known.get(&name).or_else(|| before.get(&name)) {
                Some(listed) => listed.clone(),
                None => self.read(&name)?,
            };
            all.push((name, listed));
        }
        self.reopen()?;
        fault::point("files.manifests-reopened");
        let lines: String =
            all.iter().map(|(name, listed)| format!("{}\n", self.line(name, listed))).collect();
        self.put_with_digest(FILES, lines.as_bytes())?;
        fault::point("files.manifest-written");
        let items = all.iter().map(|(_, listed)| listed.items).sum();
        let summary = self.summary(items, at_ns)?.to_string();
        self.put_with_digest(SUMMARY, summary.as_bytes())?;
        fault::point("files.summary-written");
        Ok(())
    }

    /// The files that the manifest lists; none where it is not there or not of ours.
    fn before(&self) -> Result<BTreeMap<String, Listed>> {
        let path = self.folder.path(&format!("{FILES}.json"));
        let Some(unit) = self.files.file(&path)? else { return Ok(BTreeMap::new()) };
        let text = self.files.read(&unit)?;
        let line = |line: &str| {
            let json: Json = serde_json::from_str(line).ok()?;
            let name = json["dataFileS3Key"].as_str()?.rsplit('/').next()?.to_owned();
            let md5 = STANDARD.decode(json["md5Checksum"].as_str()?).ok()?;
            Some((name, Listed { items: json["itemCount"].as_u64()?, md5 }))
        };
        Ok(String::from_utf8_lossy(&text).lines().filter_map(line).collect())
    }

    /// What an earlier process wrote is read again.
    fn read(&self, name: &str) -> Result<Listed> {
        let path = self.folder.path_of(name);
        let fail = || format!("cannot read {}", path.display());
        let unit =
            self.files.file(&path)?.ok_or_else(|| Error::failed(format!("{} is gone", path.display())))?;
        let bytes = self.files.read(&unit)?;
        let (mut inside, mut items, mut buffer) =
            (MultiGzDecoder::new(bytes.as_slice()), 0, vec![0; 1 << 16]);
        loop {
            let n = inside.read(&mut buffer).or_failed(fail)?;
            if n == 0 {
                return Ok(Listed::of(&bytes, items));
            }
            items += buffer[..n].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
    }

    /// The key of a file in its bucket; of one on this machine its path in the export.
    fn key(&self, path: &Path) -> String {
        let path = path.to_string_lossy();
        match path.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
            Some((_, key)) => key.to_owned(),
            None => path.strip_prefix(self.folder.uri()).unwrap_or(&path).to_owned(),
        }
    }

    fn line(&self, name: &str, listed: &Listed) -> Json {
        let etag: String = Md5::digest(&listed.md5).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "itemCount": listed.items, "md5Checksum": STANDARD.encode(&listed.md5), "etag": format!("{etag}-1"),
            "dataFileS3Key": self.key(&self.folder.path_of(name)),
        })
    }

    fn summary(&self, items: u64, at_ns: i128) -> Result<Json> {
        let at = jiff::Timestamp::from_nanosecond(at_ns).or_failed(|| "the run's time is none".to_owned())?;
        let bucket = self.folder.uri().strip_prefix("s3://").and_then(|rest| rest.split('/').next());
        Ok(json!({
            "version": VERSION, "exportTime": format!("{at:.3}"), "itemCount": items, "outputFormat": "DYNAMODB_JSON",
            "s3Bucket": bucket, "manifestFilesS3Key": self.key(&self.folder.path(&format!("{FILES}.json"))),
        }))
    }

    fn put_with_digest(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(&format!("{name}.md5"), STANDARD.encode(Md5::digest(bytes)).as_bytes())?;
        self.put(&format!("{name}.json"), bytes)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.put(&self.folder.path(name), bytes).map_err(|unsent| unsent.error)
    }
}
