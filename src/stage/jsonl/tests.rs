//! JSON lines to rows: every kind of value, every kind of broken line.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::JsonlSource;
use crate::error::Result;
use crate::stage::document::Names;
use crate::stage::document::testing::{Staged, stage, stage_with};

struct Case {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Case {
    fn new(bytes: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, bytes).unwrap();
        Self { folder, path }
    }

    fn source(&self) -> JsonlSource {
        JsonlSource::new(self.path.to_str().unwrap(), Arc::default(), Arc::new(Names::new("rows")))
    }

    fn stage(&self) -> Staged {
        stage(&self.source()).unwrap()
    }
}

fn staged(bytes: impl AsRef<[u8]>) -> Staged {
    Case::new(bytes).stage()
}

fn failed(bytes: impl AsRef<[u8]>) -> Result<Staged> {
    stage(&Case::new(bytes).source())
}

#[test]
fn every_kind_of_value_has_its_column() {
    let staged = staged(concat!(
        r#"{"s":"a\n\u00e9","n":1.50,"t":true,"f":false,"z":null,"#,
        r#""m":{"x":[1,"b",{"y":null}],"e":{}},"l":[true,1E2,[]]}"#,
        "\n"
    ));
    assert_eq!(
        staged.json(),
        json!([{
            "s:S": "a\né", "n:N": "1.5", "t:BOOL": true, "f:BOOL": false, "z:NULL": true,
            "m:M": r#"{"x":{"L":[{"N":"1"},{"S":"b"},{"M":{"y":{"NULL":true}}}]},"e":{"M":{}}}"#,
            "l:L": r#"[{"BOOL":true},{"N":"100"},{"L":[]}]"#,
        }])
    );
    assert!(staged.failures.is_empty());
}

#[test]
fn an_attribute_may_change_its_type_and_be_absent() {
    let staged = staged("{\"a\":1}\n{\"a\":\"1\"}\n{}\n{\"a\":null,\"b\":2}\n");
    assert_eq!(staged.json(), json!([{"a:N": "1"}, {"a:S": "1"}, {}, {"a:NULL": true, "b:N": "2"}]));
}

#[test]
fn rows_without_any_attribute_are_rows() {
    assert_eq!(staged("{}\n{ }\n").json(), json!([{}, {}]));
}

#[test]
fn numbers_never_pass_through_a_float() {
    let staged =
        staged("{\"a\":9007199254740993,\"b\":0.1000000000000000000000000001,\"c\":1e400,\"d\":-0.0}\n");
    assert_eq!(
        staged.json(),
        json!([{"a:N": "9007199254740993", "b:N": "0.1000000000000000000000000001", "c:N": "1E400", "d:N": "0"}])
    );
}

#[test]
fn blank_lines_crlf_a_byte_order_mark_and_a_missing_last_newline_are_no_matter() {
    let staged = staged("\u{feff}{\"a\":1}\r\n\r\n  \t\n{\"a\":2}\n\n{\"a\": x}\r\n{\"a\":3}");
    assert_eq!(staged.json(), json!([{"a:N": "1"}, {"a:N": "2"}, {"a:N": "3"}]));
    assert_eq!(staged.messages(), ["6: expected a value at byte 7"]);
    assert_eq!(staged.lines, [1, 4, 7]);
}

#[test]
fn broken_lines_fail_alone_and_say_where() {
    let staged = staged(
        [
            &br#"{"id":"1","x":tru}"#[..],
            br#"{"id":"2"} x"#,
            br#"[1,2]"#,
            br#""text""#,
            br#"{"id":"5","x":"\ud800"}"#,
            br#"{"id":"6","id":"7"}"#,
            b"{\"id\":\"7\",\"x\":\"\xff\"}",
            br#"{"id":8,"x":[1,}"#,
            br#"{"id":"9","x":1e9999999999}"#,
            br#"{"id":"10"}"#,
        ]
        .join(&b'\n'),
    );
    assert_eq!(staged.json(), json!([{"id:S": "10"}]));
    assert_eq!(
        staged.messages(),
        [
            "1: expected a value at byte 15",
            "2: something follows the value at byte 12",
            "3: an array; each line must be an object of its own",
            "4: no object",
            "5: half a surrogate pair is no character at byte 16",
            "6: the same attribute occurs twice",
            "7: invalid UTF-8 at byte 16",
            "8: expected a value at byte 16",
            "9: an exponent beyond any number at byte 15",
        ]
    );
    assert!(staged.failures.iter().all(|failure| failure.code == "parse"));
    assert_eq!(staged.failures[5].column.as_deref(), Some("id"));
    let ids: Vec<_> = staged.failures.iter().map(|f| f.cells.get("id").cloned().flatten()).collect();
    let expected =
        ["1", "2", "", "", "5", "7", "7", "8", "9"].map(|id| Some(id.to_owned()).filter(|id| !id.is_empty()));
    assert_eq!(ids, expected);
}

#[test]
fn a_failed_row_leaves_nothing_behind() {
    let staged = staged(
        "{\"a\":\"1\",\"b\":[1]}\n{\"a\":\"2\",\"b\":[1,\"c\":tru}\n{\"new\":1,\"new\":1}\n{\"b\":[2]}\n",
    );
    assert_eq!(staged.json(), json!([{"a:S": "1", "b:L": "[{\"N\":\"1\"}]"}, {"b:L": "[{\"N\":\"2\"}]"}]));
    assert_eq!(
        staged.columns.iter().filter(|c| !c.tag.is_empty()).count(),
        2,
        "an attribute of a failed row alone has no column: {:?}",
        staged.columns
    );
}

#[test]
fn duplicate_names_inside_a_document_are_kept() {
    let staged = staged("{\"m\":{\"a\":1,\"a\":2}}\n");
    assert_eq!(staged.json(), json!([{"m:M": r#"{"a":{"N":"1"},"a":{"N":"2"}}"#}]));
}

#[test]
fn values_nest_a_thousand_deep_and_can_be_read_again() {
    let nested = |depth: usize| format!("{{\"d\":{}1{}}}\n", "[".repeat(depth), "]".repeat(depth));
    let staged = staged([nested(1_000), nested(1_001), "[".repeat(3_000_000)].concat());
    assert_eq!(staged.rows.len(), 1);
    let text = staged.rows[0]["d:L"].as_str().unwrap();
    assert_eq!((text.matches("{\"L\":[").count(), text.matches("]}").count()), (999, 999));
    assert!(text.contains(r#"[{"N":"1"}]"#));
    assert_eq!(
        staged.messages(),
        [
            "2: nested more than 1,000 deep at byte 1007",
            "3: an array; each line must be an object of its own"
        ]
    );
}

#[test]
fn names_that_differ_in_case_have_columns_of_their_own() {
    let staged = staged("{\"Name\":1,\"name\":2,\"name~2\":3}\n");
    assert_eq!(staged.json(), json!([{"Name:N": "1", "name~2:N": "2", "name~2~2:N": "3"}]));
    let own = staged.columns.iter().filter(|c| !c.tag.is_empty());
    let attributes: Vec<_> = own.map(|c| (c.physical.as_str(), c.attribute.as_str())).collect();
    assert_eq!(attributes, [("Name:N", "Name"), ("name~2:N", "name"), ("name~2~2:N", "name~2")]);
}

#[test]
fn odd_names_are_only_names() {
    let staged = staged("{\"\":1,\"a:S\":2,\"a`;drop\":3,\"\\u0000\":4,\"q\\\"\":5}\n");
    assert_eq!(
        staged.json(),
        json!([{":N": "1", "a:S:N": "2", "a`;drop:N": "3", "\u{fffd}:N": "4", "q\":N": "5"}])
    );
}

#[test]
fn compressed_files_and_several_workers_give_the_same_rows() {
    let mut text = String::new();
    for n in 0..60_000 {
        match n {
            30_000 | 59_999 => text.push_str("{\"id\": broken\n"),
            _ => text.push_str(&format!("{{\"id\":{n},\"note\":\"row {n} {}\"}}\n", "x".repeat(n % 50))),
        }
    }
    let plain = Case::new(&text);
    fs::write(plain.folder.path().join("rows.jsonl.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap())
        .unwrap();
    let one = plain.stage();
    assert_eq!(one.rows.len(), 59_998);
    for name in ["rows.jsonl", "rows.jsonl.zst"] {
        let uri = plain.folder.path().join(name);
        let source = JsonlSource::new(uri.to_str().unwrap(), Arc::default(), Arc::new(Names::new("rows")));
        let mut many = stage_with(&source, 4).unwrap();
        let id = |row: &crate::stage::document::testing::Row| {
            row["id:N"].as_str().unwrap().parse::<u64>().unwrap()
        };
        many.rows.sort_by_key(id);
        assert!(many.rows == one.rows, "{name}");
        many.failures.sort_by_key(|failure| failure.line);
        assert_eq!(
            many.messages(),
            ["30001: expected a value at byte 8", "60000: expected a value at byte 8"]
        );
    }
}

#[test]
fn a_line_may_be_longer_than_a_block() {
    let long = "x".repeat(3_000_000);
    let staged = staged(format!("{{\"a\":\"1\"}}\n{{\"a\":\"{long}\"}}\n{{\"a\":\"2\"}}\n{{\n"));
    let lengths: Vec<_> = staged.rows.iter().map(|row| row["a:S"].as_str().unwrap().len()).collect();
    assert_eq!(lengths, [1, 3_000_000, 1]);
    assert_eq!(staged.messages(), ["4: expected a string at byte 2"]);
}

#[test]
fn a_line_beyond_all_bounds_ends_the_file_by_name() {
    let error = failed(vec![b'x'; 70 << 20]).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.report().contains("rows.jsonl:1: a line is longer than 64 MiB"), "{}", error.report());
}

#[test]
fn a_damaged_compressed_file_is_an_error() {
    let rows = "{\"a\":1}\n".repeat(10_000);
    let whole = zstd::encode_all(rows.as_bytes(), 1).unwrap();
    let error = failed(&whole[..whole.len() - 5]).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.report().contains("damaged or cut short"), "{}", error.report());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.jsonl.gz");
    fs::write(&path, "").unwrap();
    let source = JsonlSource::new(path.to_str().unwrap(), Arc::default(), Arc::new(Names::new("rows")));
    assert!(stage(&source).unwrap_err().report().contains("damaged or cut short"));
}

#[test]
fn an_empty_file_has_no_rows() {
    let staged = staged("");
    assert_eq!((staged.rows.len(), staged.parts), (0, 0));
}

#[test]
fn too_many_attributes_are_refused_with_the_datasets_name() {
    let members: Vec<String> = (0..2_001).map(|n| format!("\"a{n}\":1")).collect();
    let error = failed(format!("{{{}}}\n", members.join(","))).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.report().contains("`rows`") && error.help_text().is_some());
}

#[test]
fn a_stop_is_heeded() {
    let case = Case::new("{\"a\":1}\n");
    let source = case.source();
    let (units, _) = crate::stage::Source::units(&source).unwrap();
    let progress = Arc::new(crate::event::Progress::default());
    let limit = Arc::new(crate::stage::sink::FailureLimit::new(None));
    let sink = crate::stage::sink::UnitSink::new(case.folder.path(), "p", Arc::clone(&progress), limit);
    progress.request_stop();
    let error = crate::stage::Source::read(&source, &units[0], &sink, 1).unwrap_err();
    assert_eq!(error.exit_code(), 3);
}
