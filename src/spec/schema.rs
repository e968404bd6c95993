//! The JSON Schema of a spec, for editors.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::raw::RawSpec;
use super::words::{KINDS, OBJECT_STORAGE, OPTIONS, belongs, has_uri};

/// The JSON Schema of `recon.toml` (draft 2020-12), pretty-printed, with a newline at its end.
pub fn json_schema() -> String {
    let mut schema = SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<RawSpec>();
    RecursiveTransform(tidy).transform(&mut schema);
    if let Some(dataset) = schema.pointer_mut("/$defs/Dataset").and_then(Value::as_object_mut) {
        dataset.insert("allOf".into(), KINDS.iter().map(|kind| options_of(kind)).collect());
    }
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is made of JSON values alone");
    text.push('\n');
    text
}

/// TOML has no null: an option is left out, not set to null. Nor does an editor know Rust's integer formats.
fn tidy(schema: &mut Schema) {
    schema.remove("format");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|ty| ty != "null");
        if let [single] = types.as_slice() {
            let single = single.clone();
            schema.insert("type".into(), single);
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [Value::Object(single)] = choices.as_slice() {
            let single = single.clone();
            schema.remove("anyOf");
            for (key, value) in single {
                schema.insert(key, value);
            }
        }
    }
}

/// "If the kind is this one, only its options are right", so that an editor offers no other.
fn options_of(kind: &str) -> Value {
    let mut options = vec!["kind", "timezone"];
    options.extend(OPTIONS.iter().map(|(name, _)| *name).filter(|name| belongs(name, kind)));
    if has_uri(kind) || kind == "dynamodb" {
        options.extend(OBJECT_STORAGE.iter().filter(|name| has_uri(kind) || belongs(name, kind)));
    }
    json!({
        "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
        "then": { "propertyNames": { "enum": options } },
    })
}
