//! Data files in Amazon Ion text: `$ion_1_0 {Item:{…}}` a line in full exports, `$ion_1_0 {Record:{…}}` in incremental
//! ones. DynamoDB's sets are lists annotated `$dynamodb_SS`, `$dynamodb_NS` and `$dynamodb_BS`.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html> and
//! <https://amazon-ion.github.io/ion-docs/docs/spec.html>
//!
//! Values go to the same columns, in the same form, as those of the JSON format; maps and lists become typed JSON.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ion_rs::{Element, Sequence, Struct, Symbol, Value};

use super::json::incremental_alone;
use super::keys::{built_key, check_keys, failed_change, given_key, push_keys};
use crate::stage::document::lines::LineReader;
use crate::stage::document::typed::KeyValues;
use crate::stage::document::{Change, Column, DocumentBuilder, Stop, Tag, number};

/// How deep a line may be nested: DynamoDB allows 32 levels, and the reader below recurses.
const DEPTH_MAX: usize = 100;

/// Reads items or, behind the first export of a chain, records.
pub(super) struct IonReader<'a> {
    file: &'a Path,
    window: u32,
    keys: Option<&'a [String]>,
}

impl<'a> IonReader<'a> {
    /// A reader for `file` at place `window` of the chain. `keys`: the table's key attributes, in a chain.
    pub(super) fn new(file: &'a Path, window: u32, keys: Option<&'a [String]>) -> Self {
        Self { file, window, keys }
    }

    fn change(&self, record: &Struct, builder: &mut DocumentBuilder) -> Result<Change, Stop> {
        let record = Record::of(record)?;
        let names = self.keys.unwrap_or_default();
        check_keys(&record.keys, names)?;
        let key = given_key(&record.keys);
        match record.new_image {
            Some(image) => {
                push_item(image, builder)?;
                if built_key(builder, names)? != key {
                    return Err(Stop::parse("the new image has another key than `Keys` says"));
                }
            }
            None => push_keys(&record.keys, builder)?,
        }
        Ok(Change { key, window: self.window, deleted: record.new_image.is_none() })
    }
}

impl LineReader for IonReader<'_> {
    fn read(&mut self, line: &str, builder: &mut DocumentBuilder) -> Result<Option<Change>, Stop> {
        let element = parse(line)?;
        let (name, inner) = wrapper(&element)?;
        match (name, self.window) {
            ("Item", 0) => push_item(inner, builder)?,
            ("Record", 0) => return Err(incremental_alone(self.file).into()),
            ("Record", _) => return self.change(inner, builder).map(Some),
            _ if self.window == 0 => return Err(Stop::parse("expected the field `Item`")),
            _ => return Err(Stop::parse("expected the field `Record`")),
        }
        match self.keys {
            None => Ok(None),
            Some(keys) => Ok(Some(Change { key: built_key(builder, keys)?, window: 0, deleted: false })),
        }
    }

    fn cells(&self, line: &str) -> BTreeMap<String, Option<String>> {
        let mut cells = BTreeMap::new();
        let Ok(element) = parse(line) else { return cells };
        let Ok((name, inner)) = wrapper(&element) else { return cells };
        let parts: Vec<&Struct> = match name {
            "Record" => {
                ["Keys", "NewImage"].iter().filter_map(|part| inner.get(*part)?.as_struct()).collect()
            }
            _ => vec![inner],
        };
        for (name, value) in parts.into_iter().flat_map(Struct::fields) {
            let (Some(name), Ok(tag @ (Tag::S | Tag::N | Tag::Bool))) = (name.text(), tag(value)) else {
                continue;
            };
            let text = match value.as_bool() {
                Some(flag) if tag == Tag::Bool => Some(flag.to_string()),
                _ => scalar(tag, value).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
            };
            cells.extend(text.map(|text| (name.to_owned(), Some(text))));
        }
        cells
    }

    fn failed_change(&self, line: &str) -> Option<Change> {
        let element = parse(line).ok()?;
        let names = self.keys?;
        let keys = match wrapper(&element).ok()? {
            ("Record", record) => key_values(record.get("Keys")?.as_struct()?).ok()?,
            (_, item) => names
                .iter()
                .map(|name| {
                    let value = item.get(name.as_str())?;
                    let tag = tag(value).ok().filter(|tag| matches!(tag, Tag::S | Tag::N | Tag::B))?;
                    Some((name.clone(), (tag, scalar(tag, value).ok()?)))
                })
                .collect::<Option<KeyValues>>()?,
        };
        failed_change(&keys, names, self.window)
    }
}

/// The names of the key attributes in a record that can be read, sorted.
pub(super) fn key_names(line: &str) -> Option<Vec<String>> {
    let element = parse(line).ok()?;
    let (_, record) = wrapper(&element).ok()?;
    Some(Record::of(record).ok()?.keys.into_keys().collect())
}

fn parse(line: &str) -> Result<Element, Stop> {
    if depth(line) > DEPTH_MAX {
        return Err(Stop::parse(format!("nested more than {DEPTH_MAX} deep; DynamoDB allows 32 levels")));
    }
    // Of the parser's words only the first line: what follows shows the input, and with it the user's values.
    Element::read_one(line).map_err(|error| {
        let text = error.to_string();
        let what: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        Stop::parse(format!("no Ion text of one value: {what}"))
    })
}

/// How deep brackets are nested outside strings, comments aside, which no export has.
fn depth(line: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = line;
    while let Some(at) = rest.find(['{', '[', '(', '}', ']', ')', '"', '\'']) {
        let found = &rest[at..];
        let end = [("{{", "}}"), ("'''", "'''"), ("\"", "\""), ("'", "'")]
            .iter()
            .find_map(|(open, close)| Some(open.len() + end_of(found.strip_prefix(*open)?, close)));
        if let Some(end) = end {
            rest = &found[end..];
            continue;
        }
        match found.as_bytes()[0] {
            b'{' | b'[' | b'(' => depth += 1,
            _ => depth = depth.saturating_sub(1),
        }
        deepest = deepest.max(depth);
        rest = &found[1..];
    }
    deepest
}

/// The offset behind `close`, escaped ones passed over; the text's length where there is none.
fn end_of(text: &str, close: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        if text.as_bytes()[at] == b'\\' {
            at += 2;
        } else if text.as_bytes()[at..].starts_with(close.as_bytes()) {
            return at + close.len();
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The one field of a line's struct.
fn wrapper(element: &Element) -> Result<(&str, &Struct), Stop> {
    let outer = element.as_struct().filter(|outer| outer.len() == 1 && element.annotations().is_empty());
    let (name, inner) =
        outer.and_then(|outer| outer.fields().next()).ok_or_else(|| Stop::parse("no struct of one field"))?;
    let inner = inner.as_struct().ok_or_else(|| Stop::parse("the field holds no struct"))?;
    Ok((text_of(name)?, inner))
}

fn text_of(name: &Symbol) -> Result<&str, Stop> {
    name.text().ok_or_else(|| Stop::parse("a name without text"))
}

/// The parts of a record that count.
struct Record<'a> {
    keys: KeyValues,
    new_image: Option<&'a Struct>,
}

impl<'a> Record<'a> {
    fn of(record: &'a Struct) -> Result<Self, Stop> {
        let (mut keys, mut new_image) = (None, None);
        for (name, value) in record.fields() {
            let name = text_of(name)?;
            let fields = value.as_struct().ok_or_else(|| Stop::parse(format!("`{name}` is no struct")))?;
            let is_second = match name {
                "Keys" => keys.replace(key_values(fields)?).is_some(),
                "NewImage" => new_image.replace(fields).is_some(),
                "OldImage" | "Metadata" => false,
                _ => {
                    return Err(Stop::parse(
                        "no record of an incremental export: it has Metadata, Keys and images",
                    ));
                }
            };
            if is_second {
                return Err(Stop::parse(format!("`{name}` occurs twice")));
            }
        }
        Ok(Self { keys: keys.ok_or_else(|| Stop::parse("a record without `Keys`"))?, new_image })
    }
}

fn key_values(fields: &Struct) -> Result<KeyValues, Stop> {
    let mut keys = KeyValues::new();
    for (name, value) in fields.fields() {
        let name = text_of(name)?;
        let tag = tag(value)?;
        if !matches!(tag, Tag::S | Tag::N | Tag::B) {
            return Err(Stop::parse("a key is a string, a number or a binary").in_attribute(name));
        }
        if keys.insert(name.to_owned(), (tag, scalar(tag, value)?)).is_some() {
            return Err(Stop::parse("the same attribute occurs twice").in_attribute(name));
        }
    }
    Ok(keys)
}

fn push_item(item: &Struct, builder: &mut DocumentBuilder) -> Result<(), Stop> {
    for (name, value) in item.fields() {
        let name = text_of(name)?;
        let attribute = builder.attribute(name)?;
        let tag = tag(value).map_err(|stop| stop.in_attribute(name))?;
        let column = builder.column(attribute, tag)?;
        push_value(tag, value, column).map_err(|stop| stop.in_attribute(name))?;
    }
    Ok(())
}

/// DynamoDB's type of a value.
fn tag(element: &Element) -> Result<Tag, Stop> {
    let annotation = match element.annotations().len() {
        0 => None,
        1 => element.annotations().first(),
        _ => return Err(Stop::parse("more than one annotation")),
    };
    Ok(match (annotation, element.value()) {
        (Some("$dynamodb_SS"), Value::List(_)) => Tag::Ss,
        (Some("$dynamodb_NS"), Value::List(_)) => Tag::Ns,
        (Some("$dynamodb_BS"), Value::List(_)) => Tag::Bs,
        _ if !element.annotations().is_empty() => {
            return Err(Stop::parse("an annotation that DynamoDB does not write"));
        }
        (_, Value::Null(_)) => Tag::Null,
        (_, Value::Bool(_)) => Tag::Bool,
        (_, Value::Int(_) | Value::Decimal(_)) => Tag::N,
        (_, Value::String(_)) => Tag::S,
        (_, Value::Blob(_)) => Tag::B,
        (_, Value::List(_)) => Tag::L,
        (_, Value::Struct(_)) => Tag::M,
        (_, other) => {
            return Err(Stop::parse(format!("DynamoDB has no type for an Ion {}", other.ion_type())));
        }
    })
}

fn push_value(tag: Tag, element: &Element, column: &mut Column) -> Result<(), Stop> {
    match (tag, element.value()) {
        (Tag::Null, _) => column.flag(true),
        (_, Value::Bool(value)) => column.flag(*value),
        (Tag::Ss | Tag::Ns | Tag::Bs, Value::List(elements)) => {
            for element in elements {
                column.bytes().extend_from_slice(&scalar(element_tag(tag), element)?);
                column.end_element();
            }
            column.end_set();
        }
        (Tag::M | Tag::L, value) => {
            push_document(value, column.bytes())?;
            column.end_value();
        }
        _ => {
            column.bytes().extend_from_slice(&scalar(tag, element)?);
            column.end_value();
        }
    }
    Ok(())
}

fn element_tag(set: Tag) -> Tag {
    match set {
        Tag::Ns => Tag::N,
        Tag::Bs => Tag::B,
        _ => Tag::S,
    }
}

/// A string's text, a number's canonical text, a blob's bytes.
fn scalar(tag: Tag, element: &Element) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::new();
    match (tag, element.value()) {
        (Tag::S, Value::String(text)) => out.extend_from_slice(text.text().as_bytes()),
        (Tag::B, Value::Blob(bytes)) => out.extend_from_slice(bytes.as_ref()),
        (Tag::N, Value::Int(int)) => push_number(&int.to_string(), &mut out)?,
        (Tag::N, Value::Decimal(decimal)) => {
            let sign = if decimal.coefficient().is_negative() { "-" } else { "" };
            let text = format!("{sign}{}E{}", decimal.coefficient().magnitude(), decimal.exponent());
            push_number(&text, &mut out)?;
        }
        _ => return Err(Stop::parse("an element of another type than its set's")),
    }
    Ok(out)
}

fn push_number(text: &str, out: &mut Vec<u8>) -> Result<(), Stop> {
    if number::canonical(text, out) { Ok(()) } else { Err(Stop::parse("an exponent beyond any number")) }
}

/// Writes a map or a list as the inside of typed JSON. It recurses, as the parser did: [`DEPTH_MAX`] bounds both.
fn push_document(value: &Value, out: &mut Vec<u8>) -> Result<(), Stop> {
    match value {
        Value::Struct(fields) => push_between(b"{}", fields.fields(), out, |(name, value), out| {
            push_text(text_of(name)?, out);
            out.push(b':');
            push_typed(value, out)
        }),
        Value::List(elements) => push_elements(elements, out, push_typed),
        _ => Err(Stop::parse("neither a map nor a list")),
    }
}

/// Writes a value with its type, as in `{"S":"a"}`.
fn push_typed(element: &Element, out: &mut Vec<u8>) -> Result<(), Stop> {
    let tag = tag(element)?;
    out.extend_from_slice(format!("{{\"{}\":", tag.name()).as_bytes());
    match (tag, element.value()) {
        (Tag::Null, _) => out.extend_from_slice(b"true"),
        (_, Value::Bool(value)) => out.extend_from_slice(value.to_string().as_bytes()),
        (Tag::Ss | Tag::Ns | Tag::Bs, Value::List(elements)) => {
            push_elements(elements, out, |element, out| push_json_scalar(element_tag(tag), element, out))?;
        }
        (Tag::M | Tag::L, value) => push_document(value, out)?,
        _ => push_json_scalar(tag, element, out)?,
    }
    out.push(b'}');
    Ok(())
}

fn push_json_scalar(tag: Tag, element: &Element, out: &mut Vec<u8>) -> Result<(), Stop> {
    let bytes = scalar(tag, element)?;
    if tag == Tag::B {
        push_text(&STANDARD.encode(bytes), out);
    } else {
        push_text(std::str::from_utf8(&bytes).expect("strings and numbers are text"), out);
    }
    Ok(())
}

fn push_elements(
    elements: &Sequence,
    out: &mut Vec<u8>,
    push: impl FnMut(&Element, &mut Vec<u8>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    push_between(b"[]", elements.iter(), out, push)
}

fn push_between<T>(
    brackets: &[u8; 2],
    parts: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut push: impl FnMut(T, &mut Vec<u8>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    out.push(brackets[0]);
    for (n, part) in parts.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        push(part, out)?;
    }
    out.push(brackets[1]);
    Ok(())
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text can be written to memory");
}

#[cfg(test)]
mod tests;
