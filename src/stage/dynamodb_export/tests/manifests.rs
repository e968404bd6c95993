//! Finding exports, checking their manifests, resolving their data files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::testing::{Exported, full, incremental};
use super::{T, assert_failed, bucket, data_file, read, read_chain};

const ITEM: &str = r#"{"Item":{"pk":{"S":"1"}}}"#;
const CHANGE: &str = r#"{"Metadata":{},"Keys":{"pk":{"S":"1"}},"NewImage":{"pk":{"S":"1"}}}"#;

#[test]
fn an_export_is_found_from_its_folder_or_from_above() {
    let bucket = bucket();
    let export = Exported { prefix: "backups/2026", ..full(T[0], &[&[ITEM]]) };
    let folder = export.write(bucket.path());
    for uri in [
        folder.join("manifest-summary.json"),
        folder.clone(),
        folder.join(""),
        bucket.path().join("backups/2026"),
        bucket.path().join("backups/2026/AWSDynamoDB"),
    ] {
        let staged = read(&uri).unwrap();
        assert_eq!((staged.rows.len(), staged.warnings.len()), (1, 0), "{}", uri.display());
    }
}

#[test]
fn several_exports_below_one_prefix_are_listed() {
    let bucket = bucket();
    let first = full(T[0], &[&[ITEM]]).write(bucket.path());
    let second = incremental(T[0], T[1], &[&[CHANGE]]).write(bucket.path());
    let error = read(bucket.path()).unwrap_err();
    let names = [first, second].map(|folder| folder.display().to_string());
    assert_failed(&error, &[&names[0], &names[1], "full, as of 2026-01-01T00:00:00Z", "incremental"]);
}

#[test]
fn nothing_there_is_an_error() {
    let bucket = bucket();
    assert_failed(&read(&bucket.path().join("missing")).unwrap_err(), &["missing is not there"]);
    assert_failed(&read(bucket.path()).unwrap_err(), &["holds no file that ends in .json, .ion"]);
    fs::create_dir_all(bucket.path().join("AWSDynamoDB/data")).unwrap();
    assert_failed(&read(bucket.path()).unwrap_err(), &["holds no export with its manifests"]);
    assert_failed(&read(Path::new("s3://bucket/prefix/")).unwrap_err(), &["s3://bucket/prefix/"]);
}

#[test]
fn an_export_that_has_not_finished_is_refused() {
    let bucket = bucket();
    let folder = full(T[0], &[&[ITEM]]).write(bucket.path());
    fs::remove_file(folder.join("manifest-summary.json")).unwrap();
    assert_failed(&read(&folder).unwrap_err(), &["manifest-summary.json is not there", "has not finished"]);
}

#[test]
fn the_list_of_files_is_needed() {
    let bucket = bucket();
    let folder = full(T[0], &[&[ITEM]]).write(bucket.path());
    fs::remove_file(folder.join("manifest-files.json")).unwrap();
    assert_failed(&read(&folder).unwrap_err(), &["manifest-files.json is not there"]);
}

#[test]
fn manifests_are_held_against_their_digests_under_either_name() {
    for suffix in ["md5", "checksum"] {
        for name in ["manifest-summary", "manifest-files"] {
            let bucket = bucket();
            let folder = Exported { digest_suffix: suffix, ..full(T[0], &[&[ITEM]]) }.write(bucket.path());
            assert_eq!(read(&folder).unwrap().rows.len(), 1);
            let path = folder.join(format!("{name}.json"));
            fs::write(&path, format!("{} ", fs::read_to_string(&path).unwrap())).unwrap();
            let digest = format!("{name}.{suffix}");
            assert_failed(&read(&folder).unwrap_err(), &[&format!("{name}.json was changed"), &digest]);
            fs::remove_file(folder.join(digest)).unwrap();
            assert_eq!(
                read(&folder).unwrap().rows.len(),
                1,
                "without a digest there is nothing to hold it against"
            );
        }
    }
}

#[test]
fn sums_that_differ_are_refused() {
    let bucket = bucket();
    let mut export = full(T[0], &[&[ITEM], &[ITEM]]);
    export.summary.insert("itemCount".to_owned(), json!(3));
    let error = read(&export.write(bucket.path())).unwrap_err();
    assert_failed(
        &error,
        &["contradict each other", "3 items in manifest-summary.json, 2 in manifest-files.json"],
    );
}

#[test]
fn a_listed_file_that_is_not_there_is_named() {
    let bucket = bucket();
    let folder = full(T[0], &[&[ITEM], &[ITEM]]).write(bucket.path());
    let gone = data_file(&folder, 1);
    fs::remove_file(&gone).unwrap();
    assert_failed(
        &read(&folder).unwrap_err(),
        &[gone.file_name().unwrap().to_str().unwrap(), "which is not there"],
    );
}

#[test]
fn lines_that_describe_no_file_or_one_twice_are_refused() {
    let bucket = bucket();
    let folder = full(T[0], &[&[ITEM]]).write(bucket.path());
    let path = folder.join("manifest-files.json");
    fs::remove_file(folder.join("manifest-files.md5")).unwrap();
    let line = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{line}\n{line}")).unwrap();
    assert!(read(&folder).unwrap_err().to_string().contains("manifest-files.json:3 lists"));
    fs::write(&path, "{\"itemCount\":1}\n").unwrap();
    assert!(
        read(&folder)
            .unwrap_err()
            .to_string()
            .contains("manifest-files.json:1 does not describe a data file")
    );
}

#[test]
fn keys_may_lack_the_prefix() {
    let bucket = bucket();
    let folder = Exported { prefix: "a/b", ..full(T[0], &[&[ITEM]]) }.write(bucket.path());
    change_keys(&folder, |key| key.strip_prefix("a/b/").unwrap().to_owned());
    assert_eq!(read(&folder).unwrap().rows.len(), 1);
}

#[test]
fn an_export_may_be_copied_alone_and_renamed() {
    let bucket = bucket();
    let folder = full(T[0], &[&[ITEM]]).write(bucket.path());
    let alone = tempfile::tempdir().unwrap();
    let copy = alone.path().join("my-export");
    fs::rename(&folder, &copy).unwrap();
    assert_eq!(read(&copy).unwrap().rows.len(), 1);
    // And with the data files right beside the manifests.
    let data = data_file(&copy, 0);
    fs::rename(&data, copy.join(data.file_name().unwrap())).unwrap();
    assert_eq!(read(&copy).unwrap().rows.len(), 1);
}

#[test]
fn a_key_does_not_lead_out_of_the_export() {
    let bucket = bucket();
    let folder = full(T[0], &[&[ITEM]]).write(bucket.path());
    let outside = bucket.path().join("secret.json.gz");
    fs::rename(data_file(&folder, 0), outside).unwrap();
    for key in ["AWSDynamoDB/../secret.json.gz", "../../secret.json.gz", "..", ""] {
        change_keys(&folder, |_| key.to_owned());
        assert!(read(&folder).unwrap_err().to_string().contains("which is not there"), "{key}");
    }
}

#[test]
fn incremental_data_is_taken_by_the_manifest_alone() {
    let bucket = bucket();
    let base = full(T[0], &[&[ITEM]]).write(bucket.path());
    let one = incremental(T[0], T[1], &[&[CHANGE]]).write(bucket.path());
    incremental(T[1], T[2], &[&[CHANGE, CHANGE], &[CHANGE]]).write(bucket.path());
    let staged = read_chain(&base, &[&one]).unwrap();
    assert_eq!((staged.rows.len(), staged.units), (2, 2));
}

#[test]
fn unknown_versions_warn_and_unknown_formats_stop() {
    let bucket = bucket();
    let mut export = full(T[0], &[&[ITEM]]);
    export.summary.insert("version".to_owned(), json!("2031-01-01"));
    let staged = read(&export.write(bucket.path())).unwrap();
    assert!(staged.warnings[0].contains("2031-01-01"), "{:?}", staged.warnings);
    for (name, value) in [("outputFormat", "PARQUET"), ("exportType", "SIDEWAYS")] {
        export.summary.insert(name.to_owned(), json!(value));
        assert_failed(&read(&export.write(bucket.path())).unwrap_err(), &[value, "manifest-summary.json"]);
        export.summary.remove(name);
    }
    export.summary.insert("exportTime".to_owned(), Value::Null);
    assert!(read(&export.write(bucket.path())).unwrap_err().to_string().contains("has no exportTime"));
}

fn change_keys(folder: &Path, change: impl Fn(&str) -> String) {
    let path = folder.join("manifest-files.json");
    let mut text = String::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        let mut file: Value = serde_json::from_str(line).unwrap();
        file["dataFileS3Key"] = json!(change(file["dataFileS3Key"].as_str().unwrap()));
        text.push_str(&format!("{file}\n"));
    }
    fs::write(&path, text).unwrap();
    fs::remove_file(folder.join("manifest-files.md5")).unwrap_or_default();
}
