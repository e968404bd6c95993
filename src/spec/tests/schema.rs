//! The JSON Schema: the committed copy, and that it says what the checks say.

use std::fs;

use serde_json::{Value, json};

use crate::spec::json_schema;

/// The copy for editors at the root of the repository.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recon.schema.json");

#[test]
fn committed_copy_is_current() {
    if std::env::var_os("RECON_BLESS").is_some() {
        fs::write(COPY, json_schema()).expect("the copy is written");
    }
    let copy = fs::read_to_string(COPY).unwrap_or_default();
    assert!(
        copy == json_schema(),
        "{COPY} is not what `json_schema` gives: run the tests with RECON_BLESS=1"
    );
}

fn schema() -> Value {
    serde_json::from_str(&json_schema()).expect("it is JSON")
}

#[test]
fn nothing_can_be_null() {
    fn offers_null(schema: &Value) -> bool {
        match schema {
            Value::Object(entries) => {
                let null = json!("null");
                let types = entries.get("type").into_iter();
                types
                    .clone()
                    .any(|ty| *ty == null || ty.as_array().is_some_and(|types| types.contains(&null)))
                    || entries.values().any(offers_null)
            }
            Value::Array(elements) => elements.iter().any(offers_null),
            _ => false,
        }
    }
    assert!(offers_null(&json!({ "a": [{ "type": ["string", "null"] }] })), "the test sees one");
    assert!(!offers_null(&schema()), "TOML has no null");
}

#[test]
fn unknown_keys_are_errors_in_an_editor_too() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], json!(false));
    for table in ["Dataset", "Entity", "Field", "Reference", "Hooks"] {
        assert_eq!(schema["$defs"][table]["additionalProperties"], json!(false), "{table}");
    }
}

#[test]
fn every_key_is_described() {
    let schema = schema();
    for table in ["Dataset", "Entity", "Field", "Reference", "Hooks"] {
        for (key, property) in schema["$defs"][table]["properties"].as_object().expect("an object") {
            assert!(property["description"].is_string(), "{table}.{key}");
        }
    }
}

#[test]
fn each_kind_offers_its_own_options() {
    let schema = schema();
    let of_kind = |kind: &str| {
        let all = schema["$defs"]["Dataset"]["allOf"].as_array().expect("an array");
        let found = all.iter().find(|rule| rule["if"]["properties"]["kind"]["const"] == kind);
        found.expect("the kind has its options")["then"]["propertyNames"]["enum"].clone()
    };
    assert_eq!(
        of_kind("jsonl"),
        json!([
            "kind",
            "timezone",
            "uri",
            "compression",
            "endpoint",
            "region",
            "path_style",
            "unsigned",
            "requester_pays"
        ])
    );
    assert_eq!(of_kind("sqlite"), json!(["kind", "timezone", "path", "table", "query", "query_file"]));
    assert_eq!(
        of_kind("dynamodb"),
        json!([
            "kind",
            "timezone",
            "table",
            "segments",
            "consistent",
            "partition",
            "sort_prefix",
            "max_rcu",
            "endpoint",
            "region"
        ])
    );
}

#[test]
fn words_are_listed() {
    let schema = schema();
    assert_eq!(
        schema["$defs"]["Dataset"]["properties"]["kind"]["enum"].as_array().expect("an array").len(),
        8
    );
    assert_eq!(schema["$defs"]["Field"]["properties"]["nulls"]["enum"][1], "empty-is-null");
    assert_eq!(schema["$defs"]["Dataset"]["required"], json!(["kind"]));
    assert_eq!(schema["$defs"]["Entity"]["required"], json!(["source", "target"]));
    assert_eq!(schema["$defs"]["Field"]["required"], Value::Null);
    assert_eq!(schema["$defs"]["Field"]["properties"]["text"]["items"]["enum"][0], "trim");
    assert_eq!(schema["$defs"]["Field"]["properties"]["type"]["anyOf"][0]["enum"][1], "int");
}
