//! Exports in DynamoDB's layout to rows: data files, manifests, chains.

mod chains;
mod manifests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::ExportSource;
use super::testing::{Exported, full, gzip};
use crate::error::{Error, Result};
use crate::spec::ExportOptions;
use crate::stage::document::Names;
use crate::stage::document::testing::{Staged, stage, stage_with};

/// Times in the order in which the tests use them.
const T: [&str; 5] = [
    "2026-01-01T00:00:00.000Z",
    "2026-01-02T00:00:00Z",
    "2026-01-03T00:00:00.000Z",
    "2026-01-04T00:00:00.000Z",
    "2026-01-05T00:00:00.000Z",
];

fn bucket() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn options(full: &Path, increments: &[&Path], allow_gap: bool) -> ExportOptions {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    ExportOptions { uri: text(full), increments: increments.iter().map(|p| text(p)).collect(), allow_gap }
}

fn source(options: &ExportOptions) -> ExportSource {
    ExportSource::new(options, Arc::default(), Arc::new(Names::new("export")))
}

fn read(folder: &Path) -> Result<Staged> {
    stage(&source(&options(folder, &[], false)))
}

fn read_chain(full: &Path, increments: &[&Path]) -> Result<Staged> {
    stage(&source(&options(full, increments, false)))
}

/// Asserts exit 4, each of the words in the report, and a next step.
fn assert_failed(error: &Error, words: &[&str]) {
    let report = error.report();
    assert_eq!(error.exit_code(), 4, "{report}");
    for word in words {
        assert!(report.contains(word), "no `{word}` in {report}");
    }
    assert!(error.help_text().is_some(), "no next step: {report}");
}

fn data_file(folder: &Path, n: usize) -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files[n].clone()
}

#[test]
fn every_type_of_a_full_export() {
    let bucket = bucket();
    let item = concat!(
        r#"{"Item":{"pk":{"S":"a\"\u00e9"},"n":{"N":"1E2"},"big":{"N":"99999999999999999999999999999999999999"},"#,
        r#""tiny":{"N":"1E-130"},"b":{"B":"AQID"},"t":{"BOOL":true},"f":{"BOOL":false},"z":{"NULL":true},"#,
        r#""m":{"M":{"price":{"N":"1.5"}}},"l":{"L":[{"S":"a"},{"N":"1"}]},"ss":{"SS":["b","a"]},"#,
        r#""ns":{"NS":["1.0","-0"]},"bs":{"BS":["AQ==",""]},"e":{"S":""}}}"#
    );
    let folder = full(T[0], &[&[item]]).write(bucket.path());
    let staged = read(&folder).unwrap();
    assert_eq!(
        staged.json(),
        json!([{
            "pk:S": "a\"é", "n:N": "100", "big:N": "99999999999999999999999999999999999999", "tiny:N": "1E-130",
            "b:B": "\\x010203", "t:BOOL": true, "f:BOOL": false, "z:NULL": true, "m:M": r#"{"price":{"N":"1.5"}}"#,
            "l:L": r#"[{"S":"a"},{"N":"1"}]"#, "ss:SS": ["b", "a"], "ns:NS": ["1", "0"], "bs:BS": ["\\x01", "\\x"],
            "e:S": "",
        }])
    );
    assert!(staged.warnings.is_empty() && staged.failures.is_empty());
}

#[test]
fn empty_partitions_and_several_files_in_any_order_of_attributes() {
    let bucket = bucket();
    let files: [&[&str]; 3] = [
        &[r#"{"Item":{"pk":{"S":"1"},"a":{"N":"1"}}}"#],
        &[],
        &[r#"{"Item":{"a":{"N":"2"},"pk":{"S":"2"}}}"#, r#"{"Item":{"pk":{"S":"3"}}}"#],
    ];
    let folder = full(T[0], &files).write(bucket.path());
    let staged = read(&folder).unwrap();
    assert_eq!(staged.json(), json!([{"pk:S": "1", "a:N": "1"}, {"pk:S": "2", "a:N": "2"}, {"pk:S": "3"}]));
    assert_eq!(staged.units, 3);
}

#[test]
fn several_gzip_members_are_one_file() {
    let bucket = bucket();
    let folder = full(T[0], &[&[]]).write(bucket.path());
    let line = |n: u8| gzip(format!("{{\"Item\":{{\"pk\":{{\"S\":\"{n}\"}}}}}}\n").as_bytes());
    fs::write(data_file(&folder, 0), [line(1), gzip(b""), line(2)].concat()).unwrap();
    let staged = read(&folder.join("data")).unwrap();
    assert_eq!(staged.json(), json!([{"pk:S": "1"}, {"pk:S": "2"}]));
}

#[test]
fn a_cut_or_changed_file_is_refused_by_name() {
    let bucket = bucket();
    let lines: Vec<String> = (0..5_000).map(|n| format!(r#"{{"Item":{{"pk":{{"S":"{n}"}}}}}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let folder = full(T[0], &[&lines]).write(bucket.path());
    assert_eq!(read(&folder).unwrap().rows.len(), 5_000);
    let file = data_file(&folder, 0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&file).unwrap();

    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_failed(&read(&folder).unwrap_err(), &[&name, "damaged or cut short"]);
    fs::write(&file, &whole[..whole.len() - 4]).unwrap();
    assert_failed(&read(&folder).unwrap_err(), &[&name, "damaged or cut short"]);
    fs::write(&file, "").unwrap();
    assert_failed(&read(&folder).unwrap_err(), &[&name, "damaged or cut short"]);
    // The same items, packed otherwise.
    fs::write(&file, [whole.clone(), gzip(b"")].concat()).unwrap();
    assert_failed(&read(&folder).unwrap_err(), &[&name, "its MD5 is"]);
    for workers in [1, 3] {
        let source = source(&options(&folder, &[], false));
        assert_failed(&stage_with(&source, workers).unwrap_err(), &[&name, "its MD5 is"]);
    }
}

#[test]
fn a_wrong_number_of_items_is_refused_though_the_digests_are_right() {
    let bucket = bucket();
    let mut export = full(T[0], &[&[r#"{"Item":{"pk":{"S":"1"}}}"#], &[r#"{"Item":{"pk":{"S":"2"}}}"#]]);
    // Two items on one line of the file, so that the manifest counts one.
    export.files[1][0] = format!("{0}\n{0}", export.files[1][0]);
    let folder = export.write(bucket.path());
    assert_failed(
        &read(&folder).unwrap_err(),
        &["000000001.json.gz", "it holds 2 items, the manifest says 1"],
    );
}

#[test]
fn an_item_that_does_not_parse_counts_as_an_item_and_fails_alone() {
    let bucket = bucket();
    let items = [
        r#"{"Item":{"pk":{"S":"1"},"n":{"N":"one"}}}"#,
        r#"{"Item":{"pk":{"S":"2"}}}"#,
        r#"{"Item":{"pk":{"S":"3"}}} {}"#,
        r#"{"item":{"pk":{"S":"4"}}}"#,
        r#"{"Item":{"pk":{"S":"5"}},"more":1}"#,
    ];
    let folder = full(T[0], &[&items]).write(bucket.path());
    let staged = read(&folder).unwrap();
    assert_eq!(staged.json(), json!([{"pk:S": "2"}]));
    assert_eq!(
        staged.messages(),
        [
            "1: no number at byte 34",
            "3: something follows the value at byte 27",
            "4: expected the member `Item` at byte 2",
            "5: expected `}` after the item at byte 25",
        ]
    );
    assert_eq!(staged.failures[0].column.as_deref(), Some("n"));
    assert_eq!(staged.failures[0].cells["pk"].as_deref(), Some("1"));
}

#[test]
fn files_without_compression_are_read_too() {
    let bucket = bucket();
    let export = Exported { extension: "json", ..full(T[0], &[&[r#"{"Item":{"pk":{"S":"1"}}}"#]]) };
    assert_eq!(read(&export.write(bucket.path())).unwrap().rows.len(), 1);
}

#[test]
fn data_files_without_manifests_are_read_with_a_warning() {
    let bucket = bucket();
    let folder = full(T[0], &[&[r#"{"Item":{"pk":{"S":"1"}}}"#]]).write(bucket.path());
    let plain = tempfile::tempdir().unwrap();
    fs::copy(data_file(&folder, 0), plain.path().join("x.json.gz")).unwrap();
    fs::write(plain.path().join("README.txt"), "x").unwrap();
    let staged = read(plain.path()).unwrap();
    assert_eq!(staged.rows.len(), 1);
    assert!(
        staged.warnings[0].contains("neither checksums nor item counts were verified"),
        "{:?}",
        staged.warnings
    );
    let below = read(&folder.join("data")).unwrap();
    assert!(
        below.warnings[0].contains(&format!("give {} as `uri`", folder.display())),
        "{:?}",
        below.warnings
    );
}
