//! JSON documents as values: exact numbers, duplicate keys kept, up to 1,000 levels deep (RFC 8259), and the typed form in
//! which DynamoDB writes attributes
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Number, Value, typed};

/// How deep a document may be nested.
pub const DEPTH_MAX: usize = 1_000;

/// Reads a JSON document.
///
/// # Errors
/// Text that is no JSON, in words, or a document nested too deep.
pub fn parse(text: &str) -> Result<Value<'static>, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    plain(raw.get(), DEPTH_MAX)
}

fn plain(text: &str, levels_left: usize) -> Result<Value<'static>, String> {
    let inner = |text: &str| match levels_left.checked_sub(1) {
        Some(levels_left) => plain(text, levels_left),
        None => Err(format!("JSON nested more than {DEPTH_MAX} deep")),
    };
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
            let entries: Result<Vec<_>, String> = members
                .0
                .into_iter()
                .map(|(name, raw)| Ok((Value::Text(Cow::Owned(name)), inner(raw.get())?)))
                .collect();
            Value::Map(entries?)
        }
        Some(b'[') => {
            let elements: Elements<'_> = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
            Value::List(elements.0.into_iter().map(|raw| inner(raw.get())).collect::<Result<_, _>>()?)
        }
        Some(b'"') => {
            Value::Text(Cow::Owned(serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?))
        }
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        _ => Value::Number(Number::parse(text).map_err(|e| format!("JSON number: {e}"))?),
    })
}

/// Reads one attribute in DynamoDB's typed form, as in `{"N":"1.5"}`.
///
/// # Errors
/// Text that is not of that form, in words.
pub fn parse_typed(text: &str) -> Result<Value<'static>, String> {
    typed(&parse_deep(text)?)
}

/// The typed form spends two levels on each of the document's.
fn parse_deep(text: &str) -> Result<Value<'static>, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    plain(raw.get(), 2 * DEPTH_MAX + 2)
}

/// Reads the inside of a typed map, as in `{"price":{"N":"1.5"}}`.
///
/// # Errors
/// Text that is not of that form, in words.
pub fn parse_typed_map(text: &str) -> Result<Value<'_>, String> {
    typed::map(text).map_or_else(|| typed_members(&parse_deep(text)?), Ok)
}

/// Reads the inside of a typed list, as in `[{"S":"a"}]`.
///
/// # Errors
/// Text that is not of that form, in words.
pub fn parse_typed_list(text: &str) -> Result<Value<'_>, String> {
    typed::list(text).map_or_else(|| typed_elements(&parse_deep(text)?), Ok)
}

fn typed_members(value: &Value<'static>) -> Result<Value<'static>, String> {
    let Value::Map(entries) = value else { return Err("a typed map that is no object".to_owned()) };
    let entries: Result<Vec<_>, String> =
        entries.iter().map(|(name, v)| Ok((name.clone(), typed(v)?))).collect();
    Ok(Value::Map(entries?))
}

fn typed_elements(value: &Value<'static>) -> Result<Value<'static>, String> {
    let Value::List(elements) = value else { return Err("a typed list that is no array".to_owned()) };
    Ok(Value::List(elements.iter().map(typed).collect::<Result<_, _>>()?))
}

fn typed(value: &Value<'static>) -> Result<Value<'static>, String> {
    let Value::Map(entries) = value else { return Err("an attribute that is no object".to_owned()) };
    let [(Value::Text(tag), inner)] = entries.as_slice() else {
        return Err("an attribute that does not have exactly one type".to_owned());
    };
    let wrong = || format!("an attribute of type {tag} that holds a {}", inner.kind_name());
    let elements = |read: fn(&str) -> Result<Value<'static>, String>| -> Result<Value<'static>, String> {
        let Value::List(texts) = inner else { return Err(wrong()) };
        let values: Result<Vec<_>, String> = texts
            .iter()
            .map(|text| match text {
                Value::Text(text) => read(text),
                _ => Err(wrong()),
            })
            .collect();
        Ok(Value::set(values?))
    };
    match (tag.as_ref(), inner) {
        ("S", Value::Text(_)) => Ok(inner.clone()),
        ("N", Value::Text(text)) => Ok(Value::Number(Number::parse(text)?)),
        ("B", Value::Text(text)) => bytes(text),
        ("BOOL", Value::Bool(_)) => Ok(inner.clone()),
        ("NULL", Value::Bool(true)) => Ok(Value::Null),
        ("M", _) => typed_members(inner),
        ("L", _) => typed_elements(inner),
        ("SS", _) => elements(|text| Ok(Value::Text(Cow::Owned(text.to_owned())))),
        ("NS", _) => elements(|text| Ok(Value::Number(Number::parse(text)?))),
        ("BS", _) => elements(bytes),
        _ => Err(wrong()),
    }
}

fn bytes(text: &str) -> Result<Value<'static>, String> {
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| format!("not base64: {e}"))?;
    Ok(Value::Bytes(Cow::Owned(bytes)))
}

/// What a value is inside a JSON document: sets are arrays in canonical order, bytes are base64 text, times are their text,
/// floats are their shortest number.
///
/// # Errors
/// A float that JSON cannot express.
pub fn from_value(value: Value<'_>) -> Result<Value<'static>, String> {
    Ok(match value {
        Value::Absent | Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(value),
        Value::Number(number) => Value::Number(number),
        Value::Float32(f) => Value::Number(Number::from_f32(f).ok_or("JSON has no NaN and no infinities")?),
        Value::Float64(f) => Value::Number(Number::from_f64(f).ok_or("JSON has no NaN and no infinities")?),
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        Value::Bytes(bytes) => Value::Text(Cow::Owned(super::base64_text(&bytes))),
        Value::List(elements) | Value::Set(elements) => {
            Value::List(elements.into_iter().map(from_value).collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(name, value)| {
                    let name = name.display().map_or(Cow::Borrowed("null"), |n| Cow::Owned(n.into_owned()));
                    Ok((Value::Text(name), from_value(value)?))
                })
                .collect::<Result<_, String>>()?,
        ),
        other => Value::Text(Cow::Owned(other.display().expect("neither NULL nor absent").into_owned())),
    })
}

/// The canonical text of a document: names sorted by code point, numbers plain, no white space.
pub fn canonical(value: &Value<'_>) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Absent | Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::List(elements) | Value::Set(elements) => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let mut members: Vec<(String, String)> = entries
                .iter()
                .map(|(name, value)| (name.display().unwrap_or_default().into_owned(), canonical(value)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (i, (name, text)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quote(name, out);
                out.push(':');
                out.push_str(text);
            }
            out.push('}');
        }
        Value::Float32(f) if f.is_finite() => out.push_str(&value.display().unwrap_or_default()),
        Value::Float64(f) if f.is_finite() => out.push_str(&value.display().unwrap_or_default()),
        Value::Bytes(bytes) => quote(&super::base64_text(bytes), out),
        other => quote(&other.display().unwrap_or_default(), out),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
}

/// Whether an object somewhere in the document has a name twice.
pub fn has_duplicate_keys(value: &Value<'_>) -> bool {
    match value {
        Value::List(elements) | Value::Set(elements) => elements.iter().any(has_duplicate_keys),
        Value::Map(entries) => {
            let mut names: Vec<_> = entries.iter().map(|(name, _)| name.encoded()).collect();
            names.sort();
            names.windows(2).any(|pair| pair[0] == pair[1])
                || entries.iter().any(|(_, v)| has_duplicate_keys(v))
        }
        _ => false,
    }
}

/// The members of an object in their order, duplicates included, their values not looked into.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// The elements of an array, not looked into.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(Collect).map(Elements)
    }
}
