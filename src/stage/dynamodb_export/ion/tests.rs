//! Ion text to rows: the same rows as from JSON.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::super::ExportSource;
use super::super::testing::{Exported, full, incremental};
use super::depth;
use crate::error::Result;
use crate::spec::ExportOptions;
use crate::stage::document::Names;
use crate::stage::document::testing::{Staged, stage};

const TIMES: [&str; 3] = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"];

fn read(full: &Path, increments: &[&Path]) -> Result<Staged> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let options = ExportOptions {
        uri: text(full),
        increments: increments.iter().map(|path| text(path)).collect(),
        allow_gap: false,
    };
    stage(&ExportSource::new(&options, Arc::default(), Arc::new(Names::new("export"))))
}

fn staged(format: &'static str, lines: &[&str]) -> Staged {
    let bucket = tempfile::tempdir().unwrap();
    let folder = Exported { extension: format, ..full(TIMES[0], &[lines]) }.write(bucket.path());
    read(&folder, &[]).unwrap()
}

#[test]
fn every_type_becomes_what_it_becomes_from_json() {
    let ion = concat!(
        r#"$ion_1_0 {Item:{Authors:$dynamodb_SS::["B","A"],Id:103.,InPublication:false,PageCount:6d2,Price:-2.50,"#,
        r#"Big:99999999999999999999999999999999999999.,Tiny:1d-130,Zero:-0.,Int:7,'odd name':"a\"\u00e9\n",b:{{AQID}},"#,
        r#"z:null,t:true,ns:$dynamodb_NS::[1.0,2.],bs:$dynamodb_BS::[{{AQ==}},{{}}],e:"","#,
        r#"m:{a:[1.5,"x\"",null,{b:{{AQ==}},c:true}],s:$dynamodb_SS::["q"],n:$dynamodb_NS::[1.],b:$dynamodb_BS::[{{AQ==}}]},l:[]}}"#,
    );
    let json = concat!(
        r#"{"Item":{"Authors":{"SS":["B","A"]},"Id":{"N":"103"},"InPublication":{"BOOL":false},"PageCount":{"N":"600"},"#,
        r#""Price":{"N":"-2.5"},"Big":{"N":"99999999999999999999999999999999999999"},"Tiny":{"N":"1E-130"},"#,
        r#""Zero":{"N":"0"},"Int":{"N":"7"},"odd name":{"S":"a\"é\n"},"b":{"B":"AQID"},"z":{"NULL":true},"#,
        r#""t":{"BOOL":true},"ns":{"NS":["1","2"]},"bs":{"BS":["AQ==",""]},"e":{"S":""},"#,
        r#""m":{"M":{"a":{"L":[{"N":"1.5"},{"S":"x\""},{"NULL":true},{"M":{"b":{"B":"AQ=="},"c":{"BOOL":true}}}]},"#,
        r#""s":{"SS":["q"]},"n":{"NS":["1"]},"b":{"BS":["AQ=="]}}},"l":{"L":[]}}}"#,
    );
    let (ion, json) = (staged("ion.gz", &[ion]), staged("json.gz", &[json]));
    assert!(ion.failures.is_empty(), "{:?}", ion.messages());
    assert_eq!(ion.json(), json.json());
    assert_eq!(ion.columns, json.columns);
}

#[test]
fn lines_that_are_no_item_fail_alone_without_showing_their_values() {
    let staged = staged(
        "ion.gz",
        &[
            r#"$ion_1_0 {Item:{pk:"1",secret:"xyzzy" "#,
            r#"$ion_1_0 {Item:{pk:"2",f:1e0}}"#,
            r#"$ion_1_0 {Item:{pk:"3",t:2026-01-01T}}"#,
            r#"$ion_1_0 {Item:{pk:"4",s:$dynamodb_NS::["a"]}}"#,
            r#"$ion_1_0 {Item:{pk:"5",s:other::"a"}}"#,
            r#"$ion_1_0 {Item:{pk:"6",pk:"7"}}"#,
            r#"$ion_1_0 {Thing:{pk:"7"}}"#,
            r#"$ion_1_0 {Item:{pk:"8"}} {Item:{pk:"9"}}"#,
            r#"$ion_1_0 {Item:"x"}"#,
            r#"$ion_1_0 {Item:{pk:"10",m:{a:[sym]}}}"#,
            r#"$ion_1_0 {Item:{pk:"11"}}"#,
        ],
    );
    assert_eq!(staged.json(), json!([{"pk:S": "11"}]));
    let words = [
        "no Ion text of one value",
        "DynamoDB has no type for an Ion float",
        "DynamoDB has no type for an Ion timestamp",
        "an element of another type than its set's",
        "an annotation that DynamoDB does not write",
        "the same attribute occurs twice",
        "expected the field `Item`",
        "no Ion text of one value",
        "the field holds no struct",
        "DynamoDB has no type for an Ion symbol",
    ];
    let messages = staged.messages();
    assert_eq!(messages.len(), words.len(), "{messages:?}");
    for (message, word) in messages.iter().zip(words) {
        assert!(message.contains(word) && !message.contains("xyzzy"), "{message}");
    }
    assert_eq!(staged.failures[1].cells["pk"].as_deref(), Some("2"));
    assert_eq!(staged.failures[1].column.as_deref(), Some("f"));
}

#[test]
fn a_chain_in_ion() {
    let bucket = tempfile::tempdir().unwrap();
    let ion = |export: Exported| Exported { extension: "ion.gz", ..export }.write(bucket.path());
    let base = ion(full(
        TIMES[0],
        &[&[r#"$ion_1_0 {Item:{pk:"a",sk:1.,v:1.}}"#], &[r#"$ion_1_0 {Item:{pk:"a",sk:2.,v:1.}}"#]],
    ));
    let update = r#"$ion_1_0 {Record:{Metadata:{WriteTimestampMicros:1767225600000000.},Keys:{pk:"a",sk:1.0},OldImage:{pk:"a",sk:1.,v:1.},NewImage:{pk:"a",sk:1.,v:2.}}}"#;
    let delete = r#"$ion_1_0 {Record:{Metadata:{},Keys:{pk:"a",sk:2.}}}"#;
    let lacking = r#"$ion_1_0 {Record:{Keys:{pk:"a",sk:2.},NewImage:{pk:"a"}}}"#;
    let step = ion(incremental(TIMES[0], TIMES[1], &[&[update, delete, lacking]]));
    let quiet = ion(incremental(TIMES[1], TIMES[2], &[&[]]));
    let staged = read(&base, &[&step, &quiet]).unwrap();
    let key = |n: usize| (&staged.rows[n]["__recon_k1"], &staged.rows[n]["__recon_k2"]);
    assert_eq!(staged.rows.len(), 4);
    assert!(key(0) == key(2) && key(1) == key(3) && key(0) != key(1));
    assert_eq!((&staged.rows[2]["v:N"], &staged.rows[2]["__recon_deleted"]), (&json!("2"), &json!(false)));
    assert_eq!((&staged.rows[3]["sk:N"], &staged.rows[3]["__recon_deleted"]), (&json!("2"), &json!(true)));
    assert_eq!(staged.failures.iter().map(|f| f.code).collect::<Vec<_>>(), ["null_key"]);
    let report = read(&bucket.path().join("AWSDynamoDB/data"), &[]).unwrap_err().report();
    assert!(report.contains("holds an incremental export's records"), "{report}");
}

#[test]
fn brackets_in_strings_and_blobs_do_not_nest() {
    for (line, expected) in [
        ("{a:[(x)]}", 3),
        (r#"{a:"[[[{{",b:'[[[',c:'''it's [[[ '''}"#, 1),
        (r#"{a:"\"[[[",b:'\'[[['}"#, 1),
        ("{b:{{AA//}},c:[]}", 2),
        ("[[[", 3),
        ("]]][", 1),
    ] {
        assert_eq!(depth(line), expected, "{line}");
    }
}

#[test]
fn nesting_never_exhausts_the_stack() {
    let nested = |depth: usize| format!("$ion_1_0 {{Item:{{a:{}{}}}}}", "[".repeat(depth), "]".repeat(depth));
    let (fits, deep) = (nested(98), nested(1_000_000));
    let staged = staged("ion.gz", &[&fits, &deep]);
    assert_eq!(staged.rows.len(), 1);
    assert_eq!(staged.messages(), ["2: nested more than 100 deep; DynamoDB allows 32 levels"]);
}
