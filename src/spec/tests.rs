//! One test per rule of the spec; a few compare the whole message.

mod amounts;
mod datasets;
mod entities;
mod fields;
mod files;
mod hooks;
mod references;
mod rules;
mod schema;
mod whole;

use std::path::Path;

use super::{Entity, Field, Spec, parse};

const DATASETS: &str = r#"[datasets.a]
kind = "csv"
uri = "a.csv"

[datasets.b]
kind = "csv"
uri = "b.csv"

"#;

const ENTITY: &str = r#"[entities.image]
source = "a"
target = "b"
"#;

const ENTITY_WITH_DATASET: &str = r#"
[entities.image]
source = "a"
target = "a"
"#;

/// The only variables of these tests.
fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        "EXPORTS" => Some("/exports".to_owned()),
        _ => None,
    }
}

#[track_caller]
fn good(text: &str) -> Spec {
    match parse(text, Path::new("recon.toml"), &env) {
        Ok(spec) => spec,
        Err(error) => panic!("this spec is right, but:\n{}", error.report()),
    }
}

#[track_caller]
fn bad(text: &str) -> String {
    let error = parse(text, Path::new("recon.toml"), &env).expect_err("this spec is wrong");
    assert_eq!(error.exit_code(), 2);
    let report = error.report();
    assert!(!report.contains("hunter2"), "a value of the environment is in:\n{report}");
    report
}

/// The report of a wrong spec must have all of these texts.
#[track_caller]
fn assert_has(report: &str, texts: &[&str]) {
    for text in texts {
        assert!(report.contains(text), "`{text}` is not in:\n{report}");
    }
}

/// A spec of one csv dataset with these further lines.
fn dataset(lines: &str) -> String {
    format!("[datasets.a]\n{lines}\n{ENTITY_WITH_DATASET}")
}

/// A spec of one entity with these further lines.
fn entity(lines: &str) -> String {
    format!("{DATASETS}{ENTITY}{lines}\n")
}

/// A spec with key `id` and these lines of fields; the first of them is line 14.
fn fields(lines: &str) -> String {
    entity(&format!("key = [\"id\"]\n[entities.image.fields]\nid = \"id\"\n{lines}"))
}

fn the_entity(spec: &Spec) -> Entity {
    spec.entities[0].clone()
}

/// The one field besides `id`.
#[track_caller]
fn the_field(line: &str) -> Field {
    let mut fields = the_entity(&good(&fields(line))).fields.expect("the spec lists fields");
    fields.pop().expect("the spec has a field")
}
