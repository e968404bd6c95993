//! DynamoDB's typed form, as in `{"price":{"N":"1.5"}}`, read in one go and without a copy of its texts.
//!
//! It takes what documents usually hold. Deeper ones, rarer types and whatever is wrong are left to `json`, which takes documents
//! apart level by level and has the words for what it refuses.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::{Number, Value};

/// Reads the inside of a typed map; `None` says only that `json` has to look at it.
pub(super) fn map(text: &str) -> Option<Value<'_>> {
    serde_json::from_str(text).ok().map(|members: Members<'_>| Value::Map(members.0))
}

/// Reads the inside of a typed list; `None` says only that `json` has to look at it.
pub(super) fn list(text: &str) -> Option<Value<'_>> {
    serde_json::from_str(text).ok().map(elements)
}

fn elements(attributes: Vec<Attribute<'_>>) -> Value<'_> {
    Value::List(attributes.into_iter().map(|attribute| attribute.0).collect())
}

/// Names and values in their order, duplicates included.
struct Members<'a>(Vec<(Value<'a>, Value<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Value<'de>, Value<'de>)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), Attribute(value))) = map.next_entry()? {
                    members.push((Value::Text(name), value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// An object of one member: a type's tag, and the value.
struct Attribute<'a>(Value<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Attribute<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Value<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let tag = map.next_key::<Text<'de>>()?.map(|tag| tag.0);
                let value = match tag.as_deref() {
                    Some("S") => Value::Text(map.next_value::<Text<'de>>()?.0),
                    Some("N") => {
                        let text = map.next_value::<Text<'de>>()?.0;
                        Value::Number(Number::parse(&text).map_err(A::Error::custom)?)
                    }
                    Some("BOOL") => Value::Bool(map.next_value()?),
                    Some("NULL") if map.next_value::<bool>()? => Value::Null,
                    Some("M") => Value::Map(map.next_value::<Members<'de>>()?.0),
                    Some("L") => elements(map.next_value()?),
                    _ => return Err(A::Error::custom("another type")),
                };
                match map.next_key::<Text<'de>>()? {
                    None => Ok(value),
                    Some(_) => Err(A::Error::custom("several types")),
                }
            }
        }
        deserializer.deserialize_map(Read).map(Attribute)
    }
}

/// A text, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Read).map(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::json;

    #[test]
    fn usual_documents_are_read_without_a_copy() {
        let text = r#"{"a":{"S":"x"},"b":{"L":[{"N":"1"},{"M":{}}]},"c":{"BOOL":false},"d":{"NULL":true}}"#;
        let Some(Value::Map(entries)) = map(text) else { panic!("read") };
        assert!(matches!(entries[0], (Value::Text(Cow::Borrowed("a")), Value::Text(Cow::Borrowed("x")))));
        assert!(matches!(list(r#"[{"S":"x"}]"#), Some(Value::List(elements)) if elements.len() == 1));
    }

    fn attribute() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            r#"{"S":"a\n"}"#,
            r#"{"S":"é\u0041"}"#,
            r#"{"S":"\ud800"}"#,
            r#"{"N":"-1.50"}"#,
            r#"{"N":"x"}"#,
            r#"{ "BOOL" : true }"#,
            r#"{"NULL":true}"#,
            r#"{"NULL":false}"#,
            r#"{"SS":["b","a"]}"#,
            r#"{"B":"AQI="}"#,
            r#"{"S":"a","N":"1"}"#,
            r#"{"S":"a","S":"a"}"#,
            "{}",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
            let inner = prop::collection::vec(inner, 0..3);
            (inner, any::<bool>()).prop_map(|(inner, is_map)| match is_map {
                true => format!("{{\"M\":{}}}", members(&inner)),
                false => format!("{{\"L\":[{}]}}", inner.join(",")),
            })
        })
    }

    /// Every second name is one that was there before.
    fn members(inner: &[String]) -> String {
        let members = inner.iter().enumerate().map(|(i, one)| format!("\"n{}\":{one}", i / 2));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    proptest! {
        #[test]
        fn what_is_read_in_one_go_is_what_is_read_by_level(
            inner in prop::collection::vec(attribute(), 0..4),
            at in 0usize..200,
            other in prop::sample::select(vec!['{', '}', '"', ',', ':', '1', ' ', 'é', '\\']),
        ) {
            let text = members(&inner);
            let mut broken: Vec<char> = text.chars().collect();
            let at = at % broken.len();
            broken[at] = other;
            for text in [text, broken.iter().collect()] {
                if let Some(read) = map(&text) {
                    let by_level = json::parse_typed(&format!("{{\"M\":{text}}}"));
                    prop_assert!(by_level.is_ok_and(|by_level| by_level.same(&read)), "{}", text);
                }
            }
        }
    }
}
