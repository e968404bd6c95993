//! JSON lines: one object a line, staged like DynamoDB items.
//! Source: <https://jsonlines.org>
//!
//! A string is an `S`, a number an `N` (its exact text in canonical form), `true` and `false` a `BOOL`, `null` a `NULL`;
//! objects and arrays become the typed JSON of an `M` and an `L`, duplicate names in them included.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::json_text::{Container, Cursor, Nesting, SyntaxFault};
use super::document::lines::{LineReader, LinesJob};
use super::document::typed::each_member;
use super::document::{Change, Column, DocumentBuilder, Names, Stop, Tag, number};
use super::input::Digests;
use super::sink::UnitSink;
use super::{Source, Stamp, Unit};
use crate::error::Result;
use crate::store::files::Files;

pub(super) const EXTENSIONS: [&str; 3] = [".jsonl", ".ndjson", ".json"];

type Step<T = ()> = std::result::Result<T, SyntaxFault>;

/// A dataset of kind `jsonl`.
#[derive(Debug)]
pub struct JsonlSource {
    uri: String,
    files: Arc<Files>,
    names: Arc<Names>,
}

impl JsonlSource {
    /// The files that `uri` means, with the dataset's registry of names.
    pub fn new(uri: &str, files: Arc<Files>, names: Arc<Names>) -> Self {
        Self { uri: uri.to_owned(), files, names }
    }
}

impl Source for JsonlSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        Ok((self.files.list(&self.uri, &EXTENSIONS)?, Vec::new()))
    }

    fn read(&self, unit: &Unit, sink: &UnitSink, workers: usize) -> Result<Digests> {
        let job = LinesJob { files: &self.files, unit, sink, workers, names: &self.names, in_chain: false };
        Ok(job.run(|| ObjectReader)?.digests)
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        self.files.stamp(unit)
    }
}

struct ObjectReader;

impl LineReader for ObjectReader {
    fn read(&mut self, line: &str, builder: &mut DocumentBuilder) -> Result<Option<Change>, Stop> {
        let mut cursor = Cursor::new(line);
        match cursor.peek() {
            Some(b'{') => {}
            Some(b'[') => return Err(Stop::parse("an array; each line must be an object of its own")),
            _ => return Err(Stop::parse("no object")),
        }
        each_member(&mut cursor, |cursor, name| {
            let attribute = builder.attribute(name)?;
            read_value(cursor, builder, attribute).map_err(|stop| stop.in_attribute(name))
        })?;
        cursor.end()?;
        Ok(None)
    }

    fn cells(&self, line: &str) -> BTreeMap<String, Option<String>> {
        let mut cells = BTreeMap::new();
        // What stops the reading is reported already; here only what came before it counts.
        let _ = each_member(&mut Cursor::new(line), |cursor, name| {
            let value = cursor.any()?;
            let text = match value.as_bytes()[0] {
                b'{' | b'[' | b'n' => return Ok(()),
                b'"' => Cursor::new(value).string()?.value().into_owned(),
                _ => value.to_owned(),
            };
            cells.insert(name.to_owned(), Some(text));
            Ok(())
        });
        cells
    }
}

fn read_value(cursor: &mut Cursor<'_>, builder: &mut DocumentBuilder, attribute: u32) -> Result<(), Stop> {
    let tag = match cursor.peek() {
        Some(b'"') => Tag::S,
        Some(b't' | b'f') => Tag::Bool,
        Some(b'n') => Tag::Null,
        Some(b'{') => Tag::M,
        Some(b'[') => Tag::L,
        _ => Tag::N,
    };
    let column = builder.column(attribute, tag)?;
    Ok(push_value(cursor, tag, column)?)
}

fn push_value(cursor: &mut Cursor<'_>, tag: Tag, column: &mut Column) -> Step {
    match tag {
        Tag::Bool => {
            column.flag(cursor.boolean()?);
            return Ok(());
        }
        Tag::Null => {
            cursor.null()?;
            column.flag(true);
            return Ok(());
        }
        Tag::S => cursor.string()?.push_to(column.bytes()),
        Tag::M => push_typed(cursor, Container::Map, column.bytes())?,
        Tag::L => push_typed(cursor, Container::List, column.bytes())?,
        _ => push_number(cursor, column.bytes())?,
    }
    column.end_value();
    Ok(())
}

fn push_number(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Step {
    cursor.peek();
    let at = cursor.at();
    let text = cursor.number()?;
    if number::canonical(text, out) {
        Ok(())
    } else {
        Err(SyntaxFault { at, what: "an exponent beyond any number" })
    }
}

/// Writes the object or array at the cursor as typed JSON. Without recursion: see [`Nesting`].
fn push_typed(cursor: &mut Cursor<'_>, outer: Container, out: &mut Vec<u8>) -> Step {
    let mut nesting = Nesting::default();
    let mut first = cursor.open(&mut nesting, outer)?;
    out.push(outer.open());
    while let Some(container) = nesting.top() {
        if cursor.accept(container.close()) {
            out.push(container.close());
            nesting.pop();
            if nesting.top().is_some() {
                out.push(b'}');
            }
            first = false;
            continue;
        }
        cursor.separator(first)?;
        if !first {
            out.push(b',');
        }
        if container == Container::Map {
            push_string(cursor, out)?;
            cursor.expect(b':', "expected `:`")?;
            out.push(b':');
        }
        let inner = match cursor.peek() {
            Some(b'{') => Some((Container::Map, &b"{\"M\":{"[..])),
            Some(b'[') => Some((Container::List, &b"{\"L\":["[..])),
            _ => None,
        };
        first = match inner {
            Some((container, opening)) => {
                out.extend_from_slice(opening);
                cursor.open(&mut nesting, container)?
            }
            None => push_leaf(cursor, out)?,
        };
    }
    Ok(())
}

/// Copies a string with its quotes and escapes.
fn push_string(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Step {
    cursor.peek();
    let start = cursor.at();
    cursor.string()?;
    out.extend_from_slice(cursor.since(start).as_bytes());
    Ok(())
}

/// Writes a scalar as typed JSON. Returns false: what comes next is no first element.
fn push_leaf(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Step<bool> {
    match cursor.peek() {
        Some(b'"') => {
            out.extend_from_slice(b"{\"S\":");
            push_string(cursor, out)?;
            out.push(b'}');
        }
        Some(b't') | Some(b'f') => {
            let value = if cursor.boolean()? { "{\"BOOL\":true}" } else { "{\"BOOL\":false}" };
            out.extend_from_slice(value.as_bytes());
        }
        Some(b'n') => {
            cursor.null()?;
            out.extend_from_slice(b"{\"NULL\":true}");
        }
        _ => {
            out.extend_from_slice(b"{\"N\":\"");
            push_number(cursor, out)?;
            out.extend_from_slice(b"\"}");
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
