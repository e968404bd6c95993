//! For tests: writes exports as DynamoDB does, with manifests and digests.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

/// An export to be written.
pub(crate) struct Exported {
    /// Folders between the bucket's root and `AWSDynamoDB/`.
    pub(crate) prefix: &'static str,
    /// `ExportId`.
    pub(crate) id: String,
    /// `exportTime`, or `exportFromTime` and `exportToTime`.
    pub(crate) times: Vec<&'static str>,
    /// Extension of the data files.
    pub(crate) extension: &'static str,
    /// Lines of each data file.
    pub(crate) files: Vec<Vec<String>>,
    /// Changed in the summary before its digest is taken.
    pub(crate) summary: Map<String, Value>,
    /// Suffix of the digests' files.
    pub(crate) digest_suffix: &'static str,
}

/// A full export as of a time.
pub(crate) fn full(time: &'static str, files: &[&[&str]]) -> Exported {
    exported(vec![time], files)
}

/// An incremental export of a window.
pub(crate) fn incremental(from: &'static str, to: &'static str, files: &[&[&str]]) -> Exported {
    exported(vec![from, to], files)
}

fn exported(times: Vec<&'static str>, files: &[&[&str]]) -> Exported {
    let digest = Md5::digest(times.join(" "));
    Exported {
        prefix: "",
        id: format!("01768385930622-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]),
        times,
        extension: "json.gz",
        files: files.iter().map(|lines| lines.iter().map(|line| (*line).to_owned()).collect()).collect(),
        summary: Map::new(),
        digest_suffix: "md5",
    }
}

/// Compresses as one member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn md5(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

impl Exported {
    /// Writes the export below `bucket` and returns its folder.
    pub(crate) fn write(&self, bucket: &Path) -> PathBuf {
        let exports = bucket.join(self.prefix).join("AWSDynamoDB");
        let folder = exports.join(&self.id);
        let data = if self.times.len() == 1 { folder.join("data") } else { exports.join("data") };
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&data).unwrap();
        fs::write(folder.join("_started"), "").unwrap();
        let mut files = String::new();
        for (n, lines) in self.files.iter().enumerate() {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let bytes =
                if self.extension.ends_with(".gz") { gzip(text.as_bytes()) } else { text.into_bytes() };
            // DynamoDB's names are random; these are different in each export and stay the same.
            let name = format!("{}{n:0>18}.{}", &self.id[15..], self.extension).to_lowercase();
            fs::write(data.join(&name), &bytes).unwrap();
            let key = data.join(&name).strip_prefix(bucket).unwrap().to_str().unwrap().to_owned();
            let line = json!({
                "itemCount": lines.len(), "md5Checksum": md5(&bytes), "etag": "0-1", "dataFileS3Key": key,
            });
            files.push_str(&format!("{line}\n"));
        }
        self.write_manifest(&folder, "manifest-files", &files);
        self.write_manifest(&folder, "manifest-summary", &self.summary_text());
        folder
    }

    fn summary_text(&self) -> String {
        let items: usize = self.files.iter().map(Vec::len).sum();
        let mut summary = json!({
            "version": "2020-06-30",
            "exportArn": format!("arn:aws:dynamodb:eu-central-1:111122223333:table/Images/export/{}", self.id),
            "tableArn": "arn:aws:dynamodb:eu-central-1:111122223333:table/Images",
            "tableId": "5c1d8c2e-0000-4000-8000-000000000001",
            "s3Bucket": "bucket", "s3Prefix": self.prefix, "itemCount": items,
            "outputFormat": if self.extension.starts_with("ion") { "ION" } else { "DYNAMODB_JSON" },
        });
        let more = match self.times.as_slice() {
            [time] => json!({ "exportTime": time }),
            [from, to] => json!({
                "version": "2023-08-01", "exportType": "INCREMENTAL_EXPORT", "outputView": "NEW_AND_OLD_IMAGES",
                "exportFromTime": from, "exportToTime": to,
            }),
            _ => panic!("one time or two"),
        };
        let all = summary.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        all.extend(self.summary.clone());
        all.retain(|_, value| !value.is_null());
        summary.to_string()
    }

    fn write_manifest(&self, folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(format!("{name}.json")), text).unwrap();
        fs::write(folder.join(format!("{name}.{}", self.digest_suffix)), md5(text.as_bytes())).unwrap();
    }
}
