//! DynamoDB's typed JSON, `{"pk":{"S":"a"},"n":{"N":"1"}}`, into a document builder.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>
//!
//! Values below a map or a list stay the text they are, but are checked whole here (types, numbers, base64, escapes),
//! so that nothing that reads a staged `M` or `L` later meets text that is no typed JSON.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json_text::{Container, Cursor, Nesting, SyntaxFault, push_compact};
use super::{Column, DocumentBuilder, RowFault, Stop, Tag, number};

type Step<T = ()> = std::result::Result<T, SyntaxFault>;

impl From<SyntaxFault> for Stop {
    fn from(fault: SyntaxFault) -> Self {
        Self::Row(RowFault::parse(format!("{} at byte {}", fault.what, fault.at + 1)))
    }
}

/// Reads an item, the object at the cursor, into the builder's current row.
pub(crate) fn read_item(cursor: &mut Cursor<'_>, builder: &mut DocumentBuilder) -> Result<(), Stop> {
    each_member(cursor, |cursor, name| {
        let attribute = builder.attribute(name)?;
        read_value(cursor, builder, attribute).map_err(|stop| stop.in_attribute(name))
    })
}

/// Passes an object, calling `member` with each name, the cursor standing before the member's value.
pub(crate) fn each_member<'a>(
    cursor: &mut Cursor<'a>,
    mut member: impl FnMut(&mut Cursor<'a>, &str) -> Result<(), Stop>,
) -> Result<(), Stop> {
    cursor.expect(b'{', "expected `{`")?;
    if cursor.accept(b'}') {
        return Ok(());
    }
    loop {
        let name = cursor.name()?;
        if name.escaped {
            member(cursor, &name.value())?;
        } else {
            member(cursor, name.raw)?;
        }
        if !cursor.accept(b',') {
            return Ok(cursor.expect(b'}', "expected `,` or `}`")?);
        }
    }
}

fn read_value(cursor: &mut Cursor<'_>, builder: &mut DocumentBuilder, attribute: u32) -> Result<(), Stop> {
    cursor.expect(b'{', "expected `{` and a type")?;
    let tag = tag(cursor)?;
    let column = builder.column(attribute, tag)?;
    match tag {
        Tag::S => {
            cursor.string()?.push_to(column.bytes());
            column.end_value();
        }
        Tag::N | Tag::B => {
            push_scalar(cursor, tag, column.bytes())?;
            column.end_value();
        }
        Tag::Bool => column.flag(cursor.boolean()?),
        Tag::Null => column.flag(null(cursor)?),
        Tag::M => read_document(cursor, Container::Map, column)?,
        Tag::L => read_document(cursor, Container::List, column)?,
        Tag::Ss | Tag::Ns | Tag::Bs => {
            each_element(cursor, |cursor| {
                push_scalar(cursor, element(tag), column.bytes())?;
                column.end_element();
                Ok(())
            })?;
            column.end_set();
        }
    }
    Ok(cursor.expect(b'}', "expected `}` after the value")?)
}

/// Reads the type's name and the colon after it.
#[inline]
fn tag(cursor: &mut Cursor<'_>) -> Step<Tag> {
    match cursor.short_name(b"SNML") {
        Some(b'S') => return Ok(Tag::S),
        Some(b'N') => return Ok(Tag::N),
        Some(b'M') => return Ok(Tag::M),
        Some(_) => return Ok(Tag::L),
        None => {}
    }
    cursor.peek();
    let at = cursor.at();
    let name = cursor.name()?;
    // The names of the types are plain letters; one written with escapes is none.
    Tag::of(name.raw).ok_or(SyntaxFault { at, what: "no type of DynamoDB" })
}

fn element(set: Tag) -> Tag {
    match set {
        Tag::Ns => Tag::N,
        Tag::Bs => Tag::B,
        _ => Tag::S,
    }
}

/// Reads a value that is written as a string, and appends what it stands for.
fn push_scalar(cursor: &mut Cursor<'_>, tag: Tag, out: &mut Vec<u8>) -> Step {
    cursor.peek();
    let at = cursor.at();
    let text = cursor.string()?;
    let is_valid = match tag {
        Tag::N => number::canonical(&text.value(), out),
        Tag::B => STANDARD.decode_vec(&*text.value(), out).is_ok(),
        _ => {
            text.push_to(out);
            true
        }
    };
    let what = if tag == Tag::N { "no number" } else { "no base64" };
    if is_valid { Ok(()) } else { Err(SyntaxFault { at, what }) }
}

fn null(cursor: &mut Cursor<'_>) -> Step<bool> {
    cursor.peek();
    let at = cursor.at();
    if cursor.boolean()? { Ok(true) } else { Err(SyntaxFault { at, what: "the NULL type is always `true`" }) }
}

fn each_element<'a>(cursor: &mut Cursor<'a>, mut element: impl FnMut(&mut Cursor<'a>) -> Step) -> Step {
    cursor.expect(b'[', "expected `[`")?;
    if cursor.accept(b']') {
        return Ok(());
    }
    loop {
        element(cursor)?;
        if !cursor.accept(b',') {
            return cursor.expect(b']', "expected `,` or `]`");
        }
    }
}

/// Checks a map or a list and keeps its text, without the white space between its parts.
fn read_document(cursor: &mut Cursor<'_>, container: Container, column: &mut Column) -> Step {
    cursor.peek();
    cursor.take_spaced();
    let start = cursor.at();
    check_document(cursor, container)?;
    let text = cursor.since(start);
    if cursor.take_spaced() {
        push_compact(text, column.bytes());
    } else {
        column.bytes().extend_from_slice(text.as_bytes());
    }
    column.end_value();
    Ok(())
}

/// Passes a map or a list of typed values. Without recursion: see [`Nesting`].
fn check_document(cursor: &mut Cursor<'_>, outer: Container) -> Step {
    let mut scratch = Vec::new();
    let mut nesting = Nesting::default();
    let mut first = cursor.open(&mut nesting, outer)?;
    while let Some(container) = nesting.top() {
        if cursor.accept(container.close()) {
            nesting.pop();
            if nesting.top().is_some() {
                cursor.expect(b'}', "expected `}` after the value")?;
            }
            first = false;
            continue;
        }
        cursor.separator(first)?;
        if container == Container::Map {
            cursor.name()?;
        }
        cursor.expect(b'{', "expected `{` and a type")?;
        first = match tag(cursor)? {
            Tag::M => cursor.open(&mut nesting, Container::Map)?,
            Tag::L => cursor.open(&mut nesting, Container::List)?,
            leaf => {
                check_leaf(cursor, leaf, &mut scratch)?;
                cursor.expect(b'}', "expected `}` after the value")?;
                false
            }
        };
    }
    Ok(())
}

fn check_leaf(cursor: &mut Cursor<'_>, tag: Tag, scratch: &mut Vec<u8>) -> Step {
    match tag {
        Tag::S => cursor.string().map(|_| ()),
        Tag::Bool => cursor.boolean().map(|_| ()),
        Tag::Null => null(cursor).map(|_| ()),
        Tag::Ss => each_element(cursor, |cursor| cursor.string().map(|_| ())),
        Tag::Ns | Tag::Bs => each_element(cursor, |cursor| check_scalar(cursor, element(tag), scratch)),
        Tag::N | Tag::B | Tag::M | Tag::L => check_scalar(cursor, tag, scratch),
    }
}

/// As [`push_scalar`], without writing; only base64 needs room to be tried in.
fn check_scalar(cursor: &mut Cursor<'_>, tag: Tag, scratch: &mut Vec<u8>) -> Step {
    if tag == Tag::B {
        scratch.clear();
        return push_scalar(cursor, tag, scratch);
    }
    cursor.peek();
    let at = cursor.at();
    let text = cursor.string()?;
    if number::is_number(&text.value()) { Ok(()) } else { Err(SyntaxFault { at, what: "no number" }) }
}

/// The strings, numbers and flags among an item's attributes, as far as the text can be read. For lines that failed.
pub(crate) fn salvage(cursor: &mut Cursor<'_>, cells: &mut BTreeMap<String, Option<String>>) {
    // What stops the reading is reported already; here only what came before it counts.
    let _ = each_member(cursor, |cursor, name| {
        let value = cursor.any()?;
        if let Ok(Some(text)) = scalar_text(value) {
            cells.insert(name.to_owned(), Some(text));
        }
        Ok(())
    });
}

fn scalar_text(value: &str) -> Step<Option<String>> {
    let mut cursor = Cursor::new(value);
    cursor.expect(b'{', "expected `{` and a type")?;
    let mut out = Vec::new();
    match tag(&mut cursor)? {
        tag @ (Tag::S | Tag::N) => push_scalar(&mut cursor, tag, &mut out)?,
        Tag::Bool => out.extend_from_slice(cursor.boolean()?.to_string().as_bytes()),
        _ => return Ok(None),
    }
    Ok(String::from_utf8(out).ok())
}

/// A key's attributes, by name: type and value in the same form as in the columns.
pub(crate) type KeyValues = BTreeMap<String, (Tag, Vec<u8>)>;

/// Reads the `Keys` of an incremental export's record.
pub(crate) fn read_keys(cursor: &mut Cursor<'_>) -> Result<KeyValues, Stop> {
    let mut keys = KeyValues::new();
    each_member(cursor, |cursor, name| {
        let value = key_value(cursor).map_err(|stop| stop.in_attribute(name))?;
        match keys.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(Stop::parse("the same attribute occurs twice").in_attribute(name)),
        }
    })?;
    Ok(keys)
}

fn key_value(cursor: &mut Cursor<'_>) -> Result<(Tag, Vec<u8>), Stop> {
    cursor.expect(b'{', "expected `{` and a type")?;
    let tag = tag(cursor)?;
    if !matches!(tag, Tag::S | Tag::N | Tag::B) {
        return Err(Stop::parse("a key is a string, a number or a binary"));
    }
    let mut value = Vec::new();
    push_scalar(cursor, tag, &mut value)?;
    cursor.expect(b'}', "expected `}` after the value")?;
    Ok((tag, value))
}

/// The attributes of these names, as far as an item can be read and they could be a key's. For lines that failed.
pub(crate) fn salvage_keys(cursor: &mut Cursor<'_>, names: &[String]) -> KeyValues {
    let mut keys = KeyValues::new();
    let _ = each_member(cursor, |cursor, name| {
        let value = cursor.any()?;
        if names.iter().any(|key| key == name) {
            keys.insert(name.to_owned(), key_value(&mut Cursor::new(value))?);
        }
        Ok(())
    });
    keys
}

#[cfg(test)]
mod tests;
