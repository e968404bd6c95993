//! A project in a temporary folder, the real binary run in it, and inputs that are not text made from readable ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::json;
use tempfile::TempDir;

/// A folder in which recon runs with `recon.toml` and the home `home`.
pub(crate) struct Project {
    folder: TempDir,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A file or folder of the project.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs recon with the project's spec and home.
    pub(crate) fn recon(&self, args: &[&str]) -> Ran {
        self.recon_with(args, &[])
    }

    /// The same, with more variables in its environment.
    pub(crate) fn recon_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_recon"))
            .args(["--spec", "recon.toml", "--home", "home", "--no-progress"])
            .args(args)
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("recon writes UTF-8");
        let code = output.status.code().unwrap_or(-1);
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The cells of `<folder>/mismatches.csv` of an entity whose key ends with a number: that number and the field, sorted.
    pub(crate) fn mismatches(&self, folder: &str, entity: &str) -> Vec<(usize, String)> {
        let mut reader =
            csv::Reader::from_path(self.path(&format!("{folder}/mismatches.csv"))).expect("a report");
        let field =
            reader.headers().expect("a header").iter().position(|name| name == "field").expect("a field");
        let records = reader.records().map(|record| record.expect("a record"));
        let mut found: Vec<(usize, String)> = records
            .filter(|record| record[0] == *entity)
            .map(|record| (record[field - 1].parse().expect("a number"), record[field].to_owned()))
            .collect();
        found.sort();
        found
    }

    /// The content of `<folder>/summary.json`.
    pub(crate) fn summary(&self, folder: &str) -> serde_json::Value {
        let text = self.read(&format!("{folder}/summary.json"));
        serde_json::from_str(&text).expect("summary.json is JSON")
    }
}

/// Writes the rows of a query of DuckDB as Parquet.
pub(crate) fn write_parquet(query: &str, path: &Path) {
    let engine = duckdb::Connection::open_in_memory().expect("an engine");
    let copy = format!("copy ({query}\n) to '{}' (format parquet)", path.display());
    engine.execute_batch(&copy).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Compresses as one gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Base64 of the MD5, as manifests hold it.
pub(crate) fn md5(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// An export of a DynamoDB table as the service lays it out (`AWSDynamoDB/<id>/…`): full as of hour 0 with `window` 0, else
/// incremental from hour `window − 1` to hour `window`. Each line of `lines` is a line of the one data file. Returns the
/// export's folder, relative to `root`.
pub(crate) fn write_export(root: &Path, window: u32, lines: &str) -> String {
    let id = format!("0170000000000{window}-0a1b2c3d");
    let folder = format!("AWSDynamoDB/{id}");
    let data = if window == 0 { format!("{folder}/data") } else { "AWSDynamoDB/data".to_owned() };
    let key = format!("{data}/abcdefghijklmnopqrstuvwxy{window}.json.gz");
    let (bytes, items) = (gzip(lines.as_bytes()), lines.lines().count());
    let hour = |n: u32| format!("2024-01-01T{n:02}:00:00.000Z");
    let mut summary = json!({
        "version": "2020-06-30", "exportArn": format!("arn:aws:dynamodb:x:1:table/T/export/{id}"),
        "tableArn": "arn:aws:dynamodb:x:1:table/T", "tableId": "t", "s3Bucket": "bucket", "itemCount": items,
        "manifestFilesS3Key": format!("{folder}/manifest-files.json"), "outputFormat": "DYNAMODB_JSON",
    });
    if window == 0 {
        summary["exportTime"] = json!(hour(0));
    } else {
        summary["version"] = json!("2023-08-01");
        summary["exportType"] = json!("INCREMENTAL_EXPORT");
        summary["outputView"] = json!("NEW_AND_OLD_IMAGES");
        summary["exportFromTime"] = json!(hour(window - 1));
        summary["exportToTime"] = json!(hour(window));
    }
    let files =
        json!({ "itemCount": items, "md5Checksum": md5(&bytes), "etag": "0-1", "dataFileS3Key": key });
    for folder in [&folder, &data] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::write(root.join(key), bytes).expect("a file");
    for (name, text) in [("manifest-files", format!("{files}\n")), ("manifest-summary", summary.to_string())]
    {
        fs::write(root.join(format!("{folder}/{name}.json")), &text).expect("a file");
        fs::write(root.join(format!("{folder}/{name}.md5")), md5(text.as_bytes())).expect("a file");
    }
    folder
}
