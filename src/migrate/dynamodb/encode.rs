//! Values as DynamoDB's attributes, and what it cannot hold, by name.
//!
//! What is no type of DynamoDB's (times, dates, UUIDs, intervals) is text in the form in which reports show it, which a comparison
//! reads back. Types and limits:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ScalarAttributeType};

use crate::migrate::Fault;
use crate::migrate::mapped::Column;
use crate::value::cast::Class;
use crate::value::{Number, Value};

/// Digits of a number.
const DIGITS_MAX: u64 = 38;
/// The power of ten of a number's first digit.
const MAGNITUDES: std::ops::RangeInclusive<i64> = -130..=125;
/// Bytes of a partition key and of a sort key.
const KEY_BYTES_MAX: [usize; 2] = [2048, 1024];

type Refusal = (&'static str, String);

/// A value as an attribute; `None` where it is left out.
///
/// # Errors
/// A value that DynamoDB cannot hold.
pub(super) fn encode(
    column: &Column,
    value: &Value<'_>,
    write_null: bool,
) -> Result<Option<AttributeValue>, Fault> {
    match value {
        Value::Absent => Ok(None),
        Value::Null => Ok(write_null.then_some(AttributeValue::Null(true))),
        value => attribute(value).map(Some).map_err(|why| refused(column, why)),
    }
}

/// A value as a key's attribute: the `nth` of the key, of that type.
///
/// # Errors
/// A value that no key can be.
pub(super) fn encode_key(
    column: &Column,
    value: &Value<'_>,
    nth: usize,
    ty: &ScalarAttributeType,
) -> Result<AttributeValue, Fault> {
    let attribute = attribute(value).map_err(|why| refused(column, why))?;
    let (is, bytes) = match &attribute {
        AttributeValue::S(text) => (ScalarAttributeType::S, text.len()),
        AttributeValue::B(blob) => (ScalarAttributeType::B, blob.as_ref().len()),
        AttributeValue::N(_) => (ScalarAttributeType::N, 1),
        _ => {
            let message = format!("a {}, which no key of DynamoDB is", value.kind_name());
            return Err(refused(column, ("key_type", message)));
        }
    };
    if is != *ty {
        let message = format!("a {} for a key of type {}", value.kind_name(), ty.as_str());
        return Err(refused(column, ("key_type", message)));
    }
    let most = KEY_BYTES_MAX[nth.min(1)];
    match bytes {
        0 => {
            Err(refused(column, ("empty_key", "an empty value, which no key of DynamoDB can be".to_owned())))
        }
        bytes if bytes > most => {
            Err(refused(column, ("too_long", format!("{bytes} bytes, where a key of its kind holds {most}"))))
        }
        _ => Ok(attribute),
    }
}

/// The type of key that a class of values is; `None` where that depends on the value.
pub(super) fn key_type_of(class: Class) -> Option<ScalarAttributeType> {
    Some(match class {
        Class::Any => return None,
        Class::Int | Class::Number | Class::Decimal(_) | Class::Float32 | Class::Float64 => {
            ScalarAttributeType::N
        }
        Class::Bytes => ScalarAttributeType::B,
        Class::Text
        | Class::Timestamp(_)
        | Class::Date
        | Class::Time
        | Class::TimeTz
        | Class::Interval
        | Class::Uuid => ScalarAttributeType::S,
        Class::Bool | Class::Json | Class::Set(_) | Class::List => ScalarAttributeType::from("none"),
    })
}

fn refused(column: &Column, (code, message): Refusal) -> Fault {
    Fault::permanent(code, Some(&column.field), message)
}

fn attribute(value: &Value<'_>) -> Result<AttributeValue, Refusal> {
    Ok(match value {
        Value::Absent | Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Number(_) | Value::Float32(_) | Value::Float64(_) => AttributeValue::N(number(value)?),
        Value::Text(text) => AttributeValue::S(text.to_string()),
        Value::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.to_vec())),
        Value::Timestamp { .. }
        | Value::Date(_)
        | Value::Time(_)
        | Value::TimeTz(..)
        | Value::Interval(_)
        | Value::Uuid(_) => AttributeValue::S(value.display().unwrap_or_default().into_owned()),
        Value::List(elements) => AttributeValue::L(elements.iter().map(attribute).collect::<Result<_, _>>()?),
        Value::Set(elements) => set(elements)?,
        Value::Map(entries) => AttributeValue::M(map(entries)?),
    })
}

fn number(value: &Value<'_>) -> Result<String, Refusal> {
    let number = match value {
        Value::Number(number) => Some(number.clone()),
        Value::Float32(float) => Number::from_f32(*float),
        Value::Float64(float) => Number::from_f64(*float),
        _ => None,
    };
    let Some(number) = number else {
        let what = value.display().unwrap_or_default();
        return Err(("range", format!("{what}, and DynamoDB's numbers have neither NaN nor infinities")));
    };
    let (digits, magnitude) = (number.significant_digits(), number.magnitude());
    if digits > DIGITS_MAX {
        return Err(("range", format!("a number of {digits} digits, where DynamoDB holds {DIGITS_MAX}")));
    }
    if !MAGNITUDES.contains(&magnitude) {
        return Err((
            "range",
            format!("a number of the order 1E{magnitude}, where DynamoDB holds 1E-130 to 9.9E125"),
        ));
    }
    Ok(number.to_string())
}

fn set(elements: &[Value<'_>]) -> Result<AttributeValue, Refusal> {
    if elements.is_empty() {
        return Err((
            "empty_set",
            "an empty set, which DynamoDB does not hold; make it NULL, or a list".to_owned(),
        ));
    }
    let (mut texts, mut numbers, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for element in elements {
        match attribute(element)? {
            AttributeValue::S(text) => texts.push(text),
            AttributeValue::N(number) => numbers.push(number),
            AttributeValue::B(blob) => blobs.push(blob),
            AttributeValue::Null(_) => {
                return Err((
                    "null_in_set",
                    "a set with NULL in it, which DynamoDB does not hold".to_owned(),
                ));
            }
            _ => {
                let kind = element.kind_name();
                return Err((
                    "set",
                    format!("a set with a {kind} in it: DynamoDB's sets are of texts, numbers or bytes"),
                ));
            }
        }
    }
    match elements.len() {
        n if n == texts.len() => Ok(AttributeValue::Ss(texts)),
        n if n == numbers.len() => Ok(AttributeValue::Ns(numbers)),
        n if n == blobs.len() => Ok(AttributeValue::Bs(blobs)),
        _ => {
            Err(("set", "a set of several types: DynamoDB's sets are of texts, numbers or bytes".to_owned()))
        }
    }
}

fn map(entries: &[(Value<'_>, Value<'_>)]) -> Result<HashMap<String, AttributeValue>, Refusal> {
    let mut all = HashMap::with_capacity(entries.len());
    for (name, value) in entries {
        let name = name.display().unwrap_or_default().into_owned();
        let attribute = attribute(value)?;
        if matches!(value, Value::Absent) {
            continue;
        }
        if all.insert(name.clone(), attribute).is_some() {
            return Err((
                "duplicate_name",
                format!("a document with the name `{name}` twice, which DynamoDB does not hold"),
            ));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Result<AttributeValue, Refusal> {
        attribute(&Value::Number(Number::parse(text).expect("a number")))
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let nines = "9".repeat(38);
        for (text, written) in [
            ("1.50", "1.5"),
            ("1E-130", "1E-130"),
            (nines.as_str(), nines.as_str()),
            ("9.9E125", "99E124"),
            ("0", "0"),
        ] {
            assert_eq!(n(text), Ok(AttributeValue::N(written.to_owned())), "{text}");
        }
        for text in ["1E-131", "1E126", &format!("{nines}1"), &format!("0.{nines}1")] {
            assert_eq!(n(text).map_err(|(code, _)| code), Err("range"), "{text}");
        }
        assert_eq!(attribute(&Value::Float64(f64::NAN)).map_err(|(code, _)| code), Err("range"));
        assert_eq!(attribute(&Value::Float32(0.1)), Ok(AttributeValue::N("0.1".to_owned())));
    }

    #[test]
    fn sets_and_documents_are_held_or_refused() {
        let text = |text: &'static str| Value::Text(text.into());
        let one = Value::Number(Number::from(1_i64));
        assert_eq!(
            attribute(&Value::set(vec![text("b"), text("a")])),
            Ok(AttributeValue::Ss(vec!["a".to_owned(), "b".to_owned()]))
        );
        for (set, code) in [
            (vec![], "empty_set"),
            (vec![Value::Null], "null_in_set"),
            (vec![text("a"), one.clone()], "set"),
            (vec![Value::Bool(true)], "set"),
        ] {
            assert_eq!(attribute(&Value::Set(set)).map_err(|(code, _)| code), Err(code));
        }
        let twice = Value::Map(vec![(text("a"), one.clone()), (text("a"), one.clone())]);
        assert_eq!(attribute(&twice).map_err(|(code, _)| code), Err("duplicate_name"));
        let map = Value::Map(vec![(text("a"), Value::Null), (text("b"), Value::Absent), (text("c"), one)]);
        let AttributeValue::M(map) = attribute(&map).expect("a document") else { panic!("no map") };
        assert_eq!(map.len(), 2);
        assert_eq!(map["a"], AttributeValue::Null(true));
    }
}
