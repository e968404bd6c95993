//! JSON lines, one object a record, and the lines of a DynamoDB export, `{"Item":{…}}`.

use aws_sdk_dynamodb::types::ScalarAttributeType;

use super::kept::{Kept, document};
use super::{Format, Part, check_places};
use crate::error::{Error, Result};
use crate::migrate::Fault;
use crate::migrate::dynamodb::new_item;
use crate::migrate::mapped::{Column, Mapped};
use crate::store::dynamodb::item::write_item;
use crate::value::cast::Class;
use crate::value::{Value, json};

/// Attributes of a table's key.
const KEY_MAX: usize = 2;

pub(super) struct JsonFormat<'a> {
    mapped: &'a Mapped<'a>,
    kept: Vec<Kept>,
}

impl<'a> JsonFormat<'a> {
    pub(super) fn new(mapped: &'a Mapped<'a>, uri: &str) -> Result<Self> {
        check_places(mapped, uri)?;
        Ok(Self { mapped, kept: kept(mapped, false)? })
    }

    fn line(&self, values: &[Value<'_>]) -> Result<String, Fault> {
        let mut members = Vec::new();
        for ((column, kept), value) in self.mapped.columns.iter().zip(&self.kept).zip(values) {
            if matches!(value, Value::Absent) {
                continue;
            }
            let value = of_json(column, kept, value)?;
            put(&mut members, &column.name, &column.path, value);
        }
        Ok(json::canonical(&Value::Map(members)))
    }
}

fn kept(mapped: &Mapped<'_>, dynamodb: bool) -> Result<Vec<Kept>> {
    let stores: Vec<_> = mapped.columns.iter().map(|column| document(mapped, column, dynamodb)).collect();
    Kept::all(mapped, &stores)
}

/// A value as JSON has it: bytes as base64, what JSON has no type for as text.
fn of_json(column: &Column, kept: &Kept, value: &Value<'_>) -> Result<Value<'static>, Fault> {
    let json = match value {
        // In a document's place a text is read as the text of one.
        Value::Text(_) if column.class() == Some(Class::Json) => Value::Text(json::canonical(value).into()),
        Value::Null => return Ok(Value::Null),
        Value::Float32(_) | Value::Float64(_) => json::from_value(value.clone())
            .unwrap_or_else(|_| Value::Text(value.display().unwrap_or_default().into_owned().into())),
        value => json::from_value(value.clone())
            .map_err(|message| Fault::permanent("nan", Some(&column.field), message))?,
    };
    if !matches!(value, Value::Text(_)) || column.class() == Some(Class::Json) {
        kept.check(column, json.clone(), value)?;
    }
    Ok(json)
}

/// Puts a value at a path. No path leads through another's value: that was refused.
fn put(
    members: &mut Vec<(Value<'static>, Value<'static>)>,
    name: &str,
    path: &[String],
    value: Value<'static>,
) {
    let Some((next, rest)) = path.split_first() else {
        members.push((Value::Text(name.to_owned().into()), value));
        return;
    };
    let is_it = |member: &(Value<'static>, Value<'static>)| matches!(&member.0, Value::Text(n) if n == name);
    let at = members.iter().position(is_it).unwrap_or_else(|| {
        members.push((Value::Text(name.to_owned().into()), Value::Map(Vec::new())));
        members.len() - 1
    });
    if let Value::Map(inner) = &mut members[at].1 {
        put(inner, next, rest, value);
    }
}

impl Format for JsonFormat<'_> {
    fn extension(&self) -> &'static str {
        ".jsonl"
    }

    fn facts(&self) -> String {
        String::new()
    }

    fn begin(&self) -> Box<dyn Part + '_> {
        Box::new(Lines { line: |values: &[Value<'_>]| self.line(values), out: Vec::new() })
    }
}

pub(super) struct ExportFormat<'a> {
    mapped: &'a Mapped<'a>,
}

impl<'a> ExportFormat<'a> {
    pub(super) fn new(mapped: &'a Mapped<'a>, uri: &str) -> Result<Self> {
        check_places(mapped, uri)?;
        kept(mapped, true)?;
        let key = mapped.key();
        if key.len() > KEY_MAX || key.iter().any(|column| !column.path.is_empty()) {
            let names: Vec<&str> = key.iter().map(|column| column.field.as_str()).collect();
            let what = format!("{uri}: the key ({}) is no key of a DynamoDB table", names.join(", "));
            return Err(
                Error::usage(what).help("a table's key is one attribute, or two: partition key and sort key")
            );
        }
        Ok(Self { mapped })
    }

    fn line(&self, values: &[Value<'_>]) -> Result<String, Fault> {
        let key = &values[..self.mapped.key().len()];
        // The table is not there yet: each value is of its own type.
        let types: Vec<ScalarAttributeType> = key
            .iter()
            .map(|value| match value {
                Value::Number(_) | Value::Float32(_) | Value::Float64(_) => ScalarAttributeType::N,
                Value::Bytes(_) => ScalarAttributeType::B,
                _ => ScalarAttributeType::S,
            })
            .collect();
        let places: Vec<usize> = (0..key.len()).collect();
        let mut line = String::from("{\"Item\":");
        write_item(&new_item(self.mapped, values, &types, &places)?, &mut line);
        line.push('}');
        Ok(line)
    }
}

impl Format for ExportFormat<'_> {
    fn extension(&self) -> &'static str {
        ".json"
    }

    fn facts(&self) -> String {
        String::new()
    }

    fn begin(&self) -> Box<dyn Part + '_> {
        Box::new(Lines { line: |values: &[Value<'_>]| self.line(values), out: Vec::new() })
    }
}

/// A file of lines.
struct Lines<F> {
    line: F,
    out: Vec<u8>,
}

impl<F: Fn(&[Value<'_>]) -> Result<String, Fault>> Part for Lines<F> {
    fn push(&mut self, values: &[Value<'_>]) -> Result<(), Fault> {
        self.out.extend_from_slice((self.line)(values)?.as_bytes());
        self.out.push(b'\n');
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.out)
    }
}
