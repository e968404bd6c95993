//! An item of the SDK as DynamoDB JSON, and values as DynamoDB takes them.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Context, Error};
use crate::value::Value;

/// Appends an item, its attributes sorted by name: `{"id":{"S":"1"},…}`.
pub(super) fn write_item(item: HashMap<String, AttributeValue>, out: &mut String) {
    let mut attributes: Vec<_> = item.into_iter().collect();
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    for (i, (name, value)) in attributes.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        text(&name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: AttributeValue, out: &mut String) {
    let quoted = |blob: Blob| STANDARD.encode(blob.into_inner());
    match value {
        AttributeValue::S(s) => tagged("S", out, |out| text(&s, out)),
        AttributeValue::N(n) => tagged("N", out, |out| text(&n, out)),
        AttributeValue::B(b) => tagged("B", out, |out| text(&quoted(b), out)),
        AttributeValue::Bool(flag) => {
            tagged("BOOL", out, |out| out.push_str(if flag { "true" } else { "false" }))
        }
        AttributeValue::Null(_) => tagged("NULL", out, |out| out.push_str("true")),
        AttributeValue::Ss(all) => tagged("SS", out, |out| list(all, out, |s, out| text(&s, out))),
        AttributeValue::Ns(all) => tagged("NS", out, |out| list(all, out, |n, out| text(&n, out))),
        AttributeValue::Bs(all) => tagged("BS", out, |out| list(all, out, |b, out| text(&quoted(b), out))),
        AttributeValue::L(all) => tagged("L", out, |out| list(all, out, write_value)),
        AttributeValue::M(map) => tagged("M", out, |out| write_item(map, out)),
        // Not readable as any type: the row fails by name instead of losing an attribute.
        _ => out.push_str("{\"?\":null}"),
    }
}

fn tagged(tag: &str, out: &mut String, write: impl FnOnce(&mut String)) {
    out.push_str("{\"");
    out.push_str(tag);
    out.push_str("\":");
    write(out);
    out.push('}');
}

fn list<T>(all: Vec<T>, out: &mut String, mut write: impl FnMut(T, &mut String)) {
    out.push('[');
    for (i, one) in all.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(one, out);
    }
    out.push(']');
}

fn text(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
}

/// A key's value as DynamoDB takes it.
///
/// # Errors
/// A value of a type that no key of a table has.
pub(super) fn attribute(value: &Value<'_>) -> Result<AttributeValue, String> {
    Ok(match value {
        Value::Text(text) => AttributeValue::S(text.to_string()),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.to_vec())),
        other => return Err(format!("a {}, which no key of DynamoDB is", other.kind_name())),
    })
}

/// Reads a key that was written by [`write_item`].
///
/// # Errors
/// A text that is no key.
pub(super) fn read_key(text: &str) -> crate::error::Result<HashMap<String, AttributeValue>> {
    let fail = || format!("`{text}` is no key");
    let key: HashMap<String, HashMap<String, String>> = serde_json::from_str(text).or_failed(fail)?;
    let value = |(ty, value): (String, String)| match ty.as_str() {
        "S" => Some(AttributeValue::S(value)),
        "N" => Some(AttributeValue::N(value)),
        "B" => Some(AttributeValue::B(Blob::new(STANDARD.decode(value).ok()?))),
        _ => None,
    };
    let one =
        |(name, typed): (String, HashMap<String, String>)| Some((name, value(typed.into_iter().next()?)?));
    key.into_iter().map(one).collect::<Option<_>>().ok_or_else(|| Error::failed(fail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = HashMap::from([
            ("é\"".to_owned(), AttributeValue::S("a\n, after \u{0}\"".to_owned())),
            ("n".to_owned(), AttributeValue::N("-1.5E-130".to_owned())),
            ("b".to_owned(), AttributeValue::B(Blob::new([0, 255]))),
        ]);
        let mut text = String::new();
        write_item(key.clone(), &mut text);
        assert_eq!(read_key(&text).expect("a key"), key);
        assert!(read_key("{\"a\":{\"BOOL\":\"true\"}}").is_err());
    }

    #[test]
    fn items_are_written_as_exports_write_them() {
        let list = AttributeValue::L(vec![AttributeValue::Null(true), AttributeValue::Bool(false)]);
        let item = HashMap::from([
            ("é\"".to_owned(), AttributeValue::S("a\nb".to_owned())),
            ("b".to_owned(), AttributeValue::B(Blob::new([0, 255]))),
            ("m".to_owned(), AttributeValue::M(HashMap::from([("l".to_owned(), list)]))),
            ("n".to_owned(), AttributeValue::Ns(vec!["1E-130".to_owned(), "2".to_owned()])),
        ]);
        let mut out = String::new();
        write_item(item, &mut out);
        let expected = r#"{"b":{"B":"AP8="},"m":{"M":{"l":{"L":[{"NULL":true},{"BOOL":false}]}}},"n":{"NS":["1E-130","2"]},"é\"":{"S":"a\nb"}}"#;
        assert_eq!(out, expected);
    }
}
