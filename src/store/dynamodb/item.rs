//! An item of the SDK as DynamoDB JSON (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>) and
//! back, what is the same item, how large it is, and values as DynamoDB takes them.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::Item;
use crate::error::{Context, Error, Result};
use crate::value::{Number, Value};

/// Appends an item, its attributes sorted by name: `{"id":{"S":"1"},…}`.
pub(crate) fn write_item(item: &Item, out: &mut String) {
    let mut attributes: Vec<_> = item.iter().collect();
    attributes.sort_by(|a, b| a.0.cmp(b.0));
    out.push('{');
    for (i, (name, value)) in attributes.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        text(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &AttributeValue, out: &mut String) {
    let quoted = |blob: &Blob| STANDARD.encode(blob);
    match value {
        AttributeValue::S(s) => tagged("S", out, |out| text(s, out)),
        AttributeValue::N(n) => tagged("N", out, |out| text(n, out)),
        AttributeValue::B(b) => tagged("B", out, |out| text(&quoted(b), out)),
        AttributeValue::Bool(flag) => {
            tagged("BOOL", out, |out| out.push_str(if *flag { "true" } else { "false" }))
        }
        AttributeValue::Null(_) => tagged("NULL", out, |out| out.push_str("true")),
        AttributeValue::Ss(all) => tagged("SS", out, |out| list(all, out, |s, out| text(s, out))),
        AttributeValue::Ns(all) => tagged("NS", out, |out| list(all, out, |n, out| text(n, out))),
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

fn list<T>(all: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push('[');
    for (i, one) in all.iter().enumerate() {
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

/// The DynamoDB JSON of each attribute, as an image in a manifest holds it.
///
/// # Errors
/// A type that recon does not know.
pub(crate) fn to_image(item: &Item) -> Result<Map<String, Json>> {
    let one = |(name, value): (&String, &AttributeValue)| {
        let mut out = String::new();
        write_value(value, &mut out);
        let json = serde_json::from_str(&out).or_failed(|| format!("attribute `{name}` is no JSON"))?;
        Ok((name.clone(), json))
    };
    let mut attributes: Vec<_> = item.iter().map(one).collect::<Result<_>>()?;
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(attributes.into_iter().collect())
}

/// The item of an image.
///
/// # Errors
/// An attribute that is not DynamoDB JSON.
pub(crate) fn from_image(image: &Map<String, Json>) -> Result<Item> {
    let one = |(name, json): (&String, &Json)| {
        let value = from_json(json)
            .ok_or_else(|| Error::failed(format!("attribute `{name}` of an image is no DynamoDB JSON")))?;
        Ok((name.clone(), value))
    };
    image.iter().map(one).collect()
}

fn from_json(json: &Json) -> Option<AttributeValue> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    let (tag, inner) = object.iter().next()?;
    let string = |json: &Json| json.as_str().map(str::to_owned);
    let blob = |json: &Json| STANDARD.decode(json.as_str()?).ok().map(Blob::new);
    Some(match tag.as_str() {
        "S" => AttributeValue::S(string(inner)?),
        "N" => AttributeValue::N(string(inner)?),
        "B" => AttributeValue::B(blob(inner)?),
        "BOOL" => AttributeValue::Bool(inner.as_bool()?),
        "NULL" => AttributeValue::Null(inner.as_bool()?),
        "SS" => AttributeValue::Ss(inner.as_array()?.iter().map(string).collect::<Option<_>>()?),
        "NS" => AttributeValue::Ns(inner.as_array()?.iter().map(string).collect::<Option<_>>()?),
        "BS" => AttributeValue::Bs(inner.as_array()?.iter().map(blob).collect::<Option<_>>()?),
        "L" => AttributeValue::L(inner.as_array()?.iter().map(from_json).collect::<Option<_>>()?),
        "M" => AttributeValue::M(
            inner
                .as_object()?
                .iter()
                .map(|(name, one)| Some((name.clone(), from_json(one)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// One text for all spellings of an item: numbers by their value, sets in one order.
pub(crate) fn canonical(item: &Item) -> String {
    let mut out = String::new();
    write_item(&item.iter().map(|(name, value)| (name.clone(), canonical_value(value))).collect(), &mut out);
    out
}

/// Whether both are one value, where the absent one is `None`.
pub(crate) fn is_same(a: Option<&AttributeValue>, b: Option<&AttributeValue>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || canonical_value(a) == canonical_value(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn canonical_value(value: &AttributeValue) -> AttributeValue {
    let number = |text: &String| Number::parse(text).map_or_else(|_| text.clone(), |n| n.to_string());
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    match value {
        AttributeValue::N(text) => AttributeValue::N(number(text)),
        AttributeValue::Ss(all) => AttributeValue::Ss(sorted(all.clone())),
        AttributeValue::Ns(all) => AttributeValue::Ns(sorted(all.iter().map(number).collect())),
        AttributeValue::Bs(all) => {
            let mut all = all.clone();
            all.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
            AttributeValue::Bs(all)
        }
        AttributeValue::L(all) => AttributeValue::L(all.iter().map(canonical_value).collect()),
        AttributeValue::M(map) => AttributeValue::M(
            map.iter().map(|(name, value)| (name.clone(), canonical_value(value))).collect(),
        ),
        other => other.clone(),
    }
}

/// An item's size in bytes, as DynamoDB counts it
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>). Of numbers it says only about how
/// many they have, so this is at most what the store finds.
pub(crate) fn size(item: &Item) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + size_of_value(value)).sum()
}

fn size_of_value(value: &AttributeValue) -> u64 {
    let number = |text: &String| {
        let digits = text.bytes().take_while(|b| !matches!(b, b'e' | b'E')).filter(u8::is_ascii_digit);
        let digits: Vec<u8> = digits.skip_while(|b| *b == b'0').collect();
        let zeros = digits.iter().rev().take_while(|b| **b == b'0').count();
        (digits.len() - zeros).div_ceil(2) as u64 + 1
    };
    match value {
        AttributeValue::S(text) => text.len() as u64,
        AttributeValue::N(text) => number(text),
        AttributeValue::B(blob) => blob.as_ref().len() as u64,
        AttributeValue::Ss(all) => all.iter().map(|text| text.len() as u64).sum(),
        AttributeValue::Ns(all) => all.iter().map(number).sum(),
        AttributeValue::Bs(all) => all.iter().map(|blob| blob.as_ref().len() as u64).sum(),
        AttributeValue::L(all) => 3 + all.iter().map(|one| 1 + size_of_value(one)).sum::<u64>(),
        AttributeValue::M(map) => 3 + map.len() as u64 + size(map),
        _ => 1,
    }
}

/// A key's value as DynamoDB takes it.
///
/// # Errors
/// A value of a type that no key of a table has.
pub(crate) fn attribute(value: &Value<'_>) -> Result<AttributeValue, String> {
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
pub(crate) fn read_key(text: &str) -> Result<Item> {
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
        write_item(&key, &mut text);
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
        write_item(&item, &mut out);
        let image = to_image(&item).expect("an image");
        assert_eq!(from_image(&image).expect("an item"), item);
        let expected = r#"{"b":{"B":"AP8="},"m":{"M":{"l":{"L":[{"NULL":true},{"BOOL":false}]}}},"n":{"NS":["1E-130","2"]},"é\"":{"S":"a\nb"}}"#;
        assert_eq!(out, expected);
    }

    #[test]
    fn one_item_in_two_spellings_is_one_item() {
        let item = |n: &str, set: [&str; 2]| {
            let inner = HashMap::from([("n".to_owned(), AttributeValue::N(n.to_owned()))]);
            HashMap::from([
                ("m".to_owned(), AttributeValue::L(vec![AttributeValue::M(inner)])),
                ("s".to_owned(), AttributeValue::Ns(set.map(str::to_owned).to_vec())),
            ])
        };
        assert_eq!(canonical(&item("1.0", ["2", "1E1"])), canonical(&item("1", ["10", "2.0"])));
        assert_ne!(canonical(&item("1.0", ["2", "1E1"])), canonical(&item("1.01", ["10", "2.0"])));
    }

    #[test]
    fn sizes_are_those_of_the_documentation() {
        let item = HashMap::from([
            ("ab".to_owned(), AttributeValue::S("é".to_owned())),
            ("n".to_owned(), AttributeValue::N("-123.400".to_owned())),
            ("l".to_owned(), AttributeValue::L(vec![AttributeValue::Bool(true)])),
        ]);
        assert_eq!(size(&item), (2 + 2) + (1 + 3) + (1 + 3 + 1 + 1));
    }
}
