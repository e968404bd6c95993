//! A full export and its increments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::testing::{Exported, full, incremental};
use super::{T, assert_failed, bucket, options, read, read_chain, source};
use crate::stage::document::testing::{Staged, stage};

const ONE: &str = r#"{"Item":{"pk":{"S":"a"},"sk":{"N":"1"},"v":{"N":"1"}}}"#;
const TWO: &str = r#"{"Item":{"v":{"N":"1"},"sk":{"N":"2"},"pk":{"S":"a"}}}"#;
/// The key is spelled otherwise than in the full export, but it is the same number.
const UPDATE: &str = r#"{"Metadata":{"WriteTimestampMicros":{"N":"1767225600000000"}},"Keys":{"sk":{"N":"1.0"},"pk":{"S":"a"}},"OldImage":{"pk":{"S":"a"},"sk":{"N":"1"},"v":{"N":"1"}},"NewImage":{"pk":{"S":"a"},"sk":{"N":"1"},"v":{"N":"2"}}}"#;
const INSERT: &str = r#"{"Metadata":{},"Keys":{"pk":{"S":"a"},"sk":{"N":"3"}},"NewImage":{"pk":{"S":"a"},"sk":{"N":"3"},"w":{"S":"x"}}}"#;
const DELETE: &str = r#"{"Metadata":{},"Keys":{"pk":{"S":"a"},"sk":{"N":"2"}},"OldImage":{"pk":{"S":"a"},"sk":{"N":"2"},"v":{"N":"1"}}}"#;
const DELETE_KEYS_ONLY: &str = r#"{"Metadata":{},"Keys":{"pk":{"S":"a"},"sk":{"N":"3"}}}"#;

/// The newest row of each key that is no deletion, as whoever reads the stage finds it, without reserved columns.
fn newest(staged: &Staged) -> Vec<Value> {
    let mut by_key = BTreeMap::new();
    for row in &staged.rows {
        let key = (row["__recon_k1"].as_u64().unwrap(), row["__recon_k2"].as_u64().unwrap());
        let window = row["__recon_window"].as_u64().unwrap();
        let newer = by_key.get(&key).is_none_or(|(known, _)| *known < window);
        if newer {
            by_key.insert(key, (window, row));
        }
    }
    let mut rows: Vec<_> = by_key
        .into_values()
        .filter(|(_, row)| row["__recon_deleted"] == json!(false))
        .map(|(_, row)| row.iter().filter(|(name, _)| name.contains(':')).collect::<BTreeMap<_, _>>())
        .map(|row| json!(row))
        .collect();
    rows.sort_by_key(Value::to_string);
    rows
}

#[test]
fn a_chain_gives_the_table_as_of_its_end() {
    let bucket = bucket();
    let base = full(T[0], &[&[ONE], &[TWO]]).write(bucket.path());
    let first = incremental(T[0], T[1], &[&[UPDATE, INSERT, DELETE], &[]]).write(bucket.path());
    let quiet = incremental(T[1], T[2], &[&[]]).write(bucket.path());
    let last = incremental(T[2], T[3], &[&[DELETE_KEYS_ONLY]]).write(bucket.path());

    let staged = read_chain(&base, &[&first]).unwrap();
    let third = json!({"pk:S": "a", "sk:N": "3", "w:S": "x"});
    let changed = json!({"pk:S": "a", "sk:N": "1", "v:N": "2"});
    assert_eq!(newest(&staged), [changed.clone(), third]);

    let staged = read_chain(&base, &[&first, &quiet, &last]).unwrap();
    assert_eq!(newest(&staged), [changed]);
    assert!(staged.failures.is_empty() && staged.warnings.is_empty());
    let windows: Vec<_> = staged.rows.iter().map(|row| row["__recon_window"].as_u64().unwrap()).collect();
    assert_eq!(windows, [0, 0, 1, 1, 1, 3]);
    let last = staged.rows.last().unwrap();
    assert_eq!(
        (&last["pk:S"], &last["sk:N"], &last["__recon_deleted"]),
        (&json!("a"), &json!("3"), &json!(true))
    );
}

#[test]
fn the_view_with_new_images_only_is_read_alike() {
    let bucket = bucket();
    let base = full(T[0], &[&[ONE, TWO]]).write(bucket.path());
    let update = r#"{"Metadata":{},"Keys":{"pk":{"S":"a"},"sk":{"N":"1"}},"NewImage":{"pk":{"S":"a"},"sk":{"N":"1"}}}"#;
    let delete = r#"{"Metadata":{},"Keys":{"pk":{"S":"a"},"sk":{"N":"2"}}}"#;
    let mut export = incremental(T[0], T[1], &[&[update, delete]]);
    export.summary.insert("outputView".to_owned(), json!("NEW_IMAGE"));
    let staged = read_chain(&base, &[&export.write(bucket.path())]).unwrap();
    assert_eq!(newest(&staged), [json!({"pk:S": "a", "sk:N": "1"})]);
}

#[test]
fn without_any_change_no_row_carries_reserved_columns() {
    let bucket = bucket();
    let base = full(T[0], &[&[ONE]]).write(bucket.path());
    let quiet = incremental(T[0], T[1], &[&[]]).write(bucket.path());
    let staged = read_chain(&base, &[&quiet]).unwrap();
    assert_eq!(staged.json(), json!([{"pk:S": "a", "sk:N": "1", "v:N": "1"}]));
}

#[test]
fn keys_that_look_alike_when_joined_are_different() {
    let bucket = bucket();
    let item = |a: &str, b: &str| format!(r#"{{"Item":{{"a":{a},"b":{b}}}}}"#);
    let between = format!("\\u0001{}bS", "\\u0000".repeat(7));
    let items = [
        item(r#"{"S":"x|y"}"#, r#"{"S":"z"}"#),
        item(r#"{"S":"x"}"#, r#"{"S":"y|z"}"#),
        item(r#"{"S":"xy"}"#, r#"{"S":"z"}"#),
        item(r#"{"S":"1"}"#, r#"{"S":"z"}"#),
        item(r#"{"N":"1"}"#, r#"{"S":"z"}"#),
        item(r#"{"B":"MQ=="}"#, r#"{"S":"z"}"#),
        item(r#"{"S":""}"#, r#"{"S":"xyz"}"#),
        // What would stand between the two values in the hashed bytes, inside the first or the second of them.
        item(&format!(r#"{{"S":"P{between}Q"}}"#), r#"{"S":"R"}"#),
        item(r#"{"S":"P"}"#, &format!(r#"{{"S":"Q{between}R"}}"#)),
    ];
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let base = full(T[0], &[&items]).write(bucket.path());
    let change = r#"{"Keys":{"a":{"S":"new"},"b":{"S":"new"}}}"#;
    let staged = read_chain(&base, &[&incremental(T[0], T[1], &[&[change]]).write(bucket.path())]).unwrap();
    assert_eq!(newest(&staged).len(), items.len());
}

#[test]
fn an_item_without_its_key_fails() {
    let bucket = bucket();
    let bad = r#"{"Item":{"pk":{"S":"a"},"v":{"N":"1"}}}"#;
    let wrong_type = r#"{"Item":{"pk":{"S":"a"},"sk":{"NULL":true}}}"#;
    let base = full(T[0], &[&[ONE, bad, wrong_type]]).write(bucket.path());
    let no_key = r#"{"Keys":{"pk":{"S":"a"},"sk":{"N":"5"}},"NewImage":{"pk":{"S":"a"}}}"#;
    let other_key = r#"{"Keys":{"pk":{"S":"a"},"sk":{"N":"5"}},"NewImage":{"pk":{"S":"a"},"sk":{"N":"6"}}}"#;
    let fewer = r#"{"Keys":{"pk":{"S":"a"}}}"#;
    let more = r#"{"Keys":{"pk":{"S":"a"},"sk":{"N":"5"},"x":{"S":""}}}"#;
    let none = r#"{"Metadata":{}}"#;
    let increment = incremental(T[0], T[1], &[&[UPDATE, no_key, other_key, fewer, more, none, ONE]]);
    let staged = read_chain(&base, &[&increment.write(bucket.path())]).unwrap();
    let found: Vec<_> = staged.failures.iter().map(|f| (f.code, f.column.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("null_key", Some("sk")),
            ("null_key", Some("sk")),
            ("null_key", Some("sk")),
            ("parse", None),
            ("null_key", Some("sk")),
            ("parse", Some("x")),
            ("parse", None),
            ("parse", None),
        ]
    );
    assert_eq!(staged.rows.len(), 2);
    assert_eq!(staged.failures[0].cells["pk"].as_deref(), Some("a"));
    assert_eq!(staged.failures[3].cells["sk"].as_deref(), Some("6"));
}

#[test]
fn gaps_and_overlaps_are_refused_unless_allowed() {
    let bucket = bucket();
    let base = full(T[1], &[&[ONE]]).write(bucket.path());
    let early = incremental(T[0], T[2], &[&[UPDATE]]).write(bucket.path());
    let right = incremental(T[1], T[2], &[&[UPDATE]]).write(bucket.path());
    let late = incremental(T[3], T[4], &[&[DELETE]]).write(bucket.path());
    let name = |path: &std::path::Path| path.display().to_string();

    let error = read_chain(&base, &[&early]).unwrap_err();
    let words = [
        "an overlap",
        "is as of 2026-01-02T00:00:00Z",
        "covers 2026-01-01T00:00:00Z to 2026-01-03T00:00:00Z",
    ];
    assert_failed(&error, &words);
    assert_failed(&read_chain(&base, &[&late]).unwrap_err(), &["a gap", &name(&base), &name(&late)]);
    let error = read_chain(&base, &[&right, &late]).unwrap_err();
    let words = ["a gap", &name(&right), &name(&late), "covers 2026-01-02T00:00:00Z to 2026-01-03T00:00:00Z"];
    assert_failed(&error, &words);
    assert_failed(&read_chain(&base, &[&late, &right]).unwrap_err(), &["a gap"]);
    assert!(read_chain(&base, &[&right]).is_ok());

    let staged = stage(&source(&options(&base, &[&right, &late], true))).unwrap();
    assert_eq!(staged.warnings.len(), 1);
    assert!(
        staged.warnings[0].contains("a gap") && staged.warnings[0].contains("allow_gap"),
        "{:?}",
        staged.warnings
    );
}

#[test]
fn an_incremental_export_alone_is_refused() {
    let bucket = bucket();
    let export = incremental(T[0], T[1], &[&[UPDATE]]).write(bucket.path());
    assert_failed(&read(&export).unwrap_err(), &["is an incremental export", "increments"]);
    // Without its manifests it shows only in the records.
    let plain = bucket.path().join("AWSDynamoDB/data");
    assert_failed(&read(&plain).unwrap_err(), &["holds an incremental export's records"]);
}

#[test]
fn increments_are_incremental_exports_with_manifests_each_once() {
    let bucket = bucket();
    let base = full(T[0], &[&[ONE]]).write(bucket.path());
    let other = full(T[1], &[&[ONE]]).write(bucket.path());
    let step = incremental(T[0], T[1], &[&[UPDATE]]).write(bucket.path());
    assert_failed(
        &read_chain(&base, &[&other]).unwrap_err(),
        &["is a full export (as of 2026-01-02T00:00:00Z)"],
    );
    assert_failed(&read_chain(&base, &[&step, &step]).unwrap_err(), &["occurs twice"]);
    let plain = bucket.path().join("AWSDynamoDB/data");
    assert_failed(&read_chain(&base, &[&plain]).unwrap_err(), &["has no manifests"]);
    // And a full one without manifests has no time at which a window could begin.
    let data = base.join("data");
    assert_failed(&read_chain(&data, &[&step]).unwrap_err(), &["nobody knows as of when"]);
    assert!(
        stage(&source(&options(&data, &[&step], true)))
            .unwrap()
            .warnings
            .iter()
            .any(|w| w.contains("allow_gap"))
    );
}

#[test]
fn exports_of_different_tables_make_no_chain() {
    let bucket = bucket();
    let base = full(T[0], &[&[ONE]]).write(bucket.path());
    for name in ["tableArn", "tableId"] {
        let mut export: Exported = incremental(T[0], T[1], &[&[UPDATE]]);
        export.summary.insert(name.to_owned(), json!("other"));
        let error = read_chain(&base, &[&export.write(bucket.path())]).unwrap_err();
        assert_failed(&error, &["of different tables", "other"]);
    }
}
