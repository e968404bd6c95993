//! Data files in DynamoDB JSON: `{"Item":{…}}` a line in full exports, `{"Metadata":…,"Keys":…,"OldImage":…,"NewImage":…}`
//! in incremental ones.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::stage::document::json_text::{Cursor, SyntaxFault};
use crate::stage::document::lines::LineReader;
use crate::stage::document::typed::{KeyValues, each_member, read_item, read_keys, salvage, salvage_keys};
use crate::stage::document::{Change, DocumentBuilder, Stop};

use super::keys::{built_key, check_keys, failed_change, given_key, push_keys};

/// Reads a full export's items.
pub(super) struct ItemReader<'a> {
    file: &'a Path,
    keys: Option<&'a [String]>,
}

impl<'a> ItemReader<'a> {
    /// A reader for `file`. `keys`: the table's key attributes, in a chain of exports.
    pub(super) fn new(file: &'a Path, keys: Option<&'a [String]>) -> Self {
        Self { file, keys }
    }

    fn no_item(&self, at: usize, name: &str) -> Stop {
        if matches!(name, "Keys" | "NewImage" | "OldImage" | "Metadata") {
            return incremental_alone(self.file).into();
        }
        SyntaxFault { at, what: "expected the member `Item`" }.into()
    }
}

/// The error for records of an incremental export where a full one's items should be.
pub(super) fn incremental_alone(file: &Path) -> Error {
    Error::failed(format!(
        "{} holds an incremental export's records, which only say what changed",
        file.display()
    ))
    .help("give a full export as `uri`, and the incremental ones, with their manifests, in `increments`")
}

impl LineReader for ItemReader<'_> {
    fn read(&mut self, line: &str, builder: &mut DocumentBuilder) -> Result<Option<Change>, Stop> {
        let mut cursor = Cursor::new(line);
        cursor.expect(b'{', "expected `{`")?;
        let at = cursor.at();
        let name = cursor.name()?;
        if name.raw != "Item" {
            return Err(self.no_item(at, name.raw));
        }
        read_item(&mut cursor, builder)?;
        cursor.expect(b'}', "expected `}` after the item")?;
        cursor.end()?;
        match self.keys {
            None => Ok(None),
            Some(keys) => Ok(Some(Change { key: built_key(builder, keys)?, window: 0, deleted: false })),
        }
    }

    fn cells(&self, line: &str) -> BTreeMap<String, Option<String>> {
        let mut cells = BTreeMap::new();
        let mut cursor = Cursor::new(line);
        if cursor.accept(b'{') && cursor.name().is_ok_and(|name| name.raw == "Item") {
            salvage(&mut cursor, &mut cells);
        }
        cells
    }

    fn failed_change(&self, line: &str) -> Option<Change> {
        let mut cursor = Cursor::new(line);
        let is_item = cursor.accept(b'{') && cursor.name().is_ok_and(|name| name.raw == "Item");
        let names = self.keys.filter(|_| is_item)?;
        failed_change(&salvage_keys(&mut cursor, names), names, 0)
    }
}

/// Reads an incremental export's records.
pub(super) struct ChangeReader<'a> {
    window: u32,
    keys: Option<&'a [String]>,
}

/// The parts of a record that count. The old image is checked, but the chain already holds what it says.
struct Record<'a> {
    keys: KeyValues,
    new_image: Option<Cursor<'a>>,
}

impl<'a> ChangeReader<'a> {
    /// A reader for the export at place `window` of the chain. `keys`: the table's key attributes.
    pub(super) fn new(window: u32, keys: Option<&'a [String]>) -> Self {
        Self { window, keys }
    }
}

fn read_record(line: &str) -> Result<Record<'_>, Stop> {
    let mut cursor = Cursor::new(line);
    let (mut keys, mut new_image) = (None, None);
    each_member(&mut cursor, |cursor, name| {
        let is_second = match name {
            "Keys" => keys.replace(read_keys(cursor)?).is_some(),
            "NewImage" => {
                let image = cursor.clone();
                cursor.any()?;
                new_image.replace(image).is_some()
            }
            "OldImage" | "Metadata" => {
                cursor.any()?;
                false
            }
            _ => {
                return Err(Stop::parse(
                    "no record of an incremental export: it has Metadata, Keys and images",
                ));
            }
        };
        if is_second { Err(Stop::parse(format!("`{name}` occurs twice"))) } else { Ok(()) }
    })?;
    cursor.end()?;
    let keys = keys.ok_or_else(|| Stop::parse("a record without `Keys`"))?;
    Ok(Record { keys, new_image })
}

impl LineReader for ChangeReader<'_> {
    fn read(&mut self, line: &str, builder: &mut DocumentBuilder) -> Result<Option<Change>, Stop> {
        let record = read_record(line)?;
        let names = self.keys.unwrap_or_default();
        check_keys(&record.keys, names)?;
        let key = given_key(&record.keys);
        let deleted = record.new_image.is_none();
        match record.new_image {
            Some(mut image) => {
                read_item(&mut image, builder)?;
                if built_key(builder, names)? != key {
                    return Err(Stop::parse("the new image has another key than `Keys` says"));
                }
            }
            // A deletion keeps its key's attributes, so that a user can read which item it was.
            None => push_keys(&record.keys, builder)?,
        }
        Ok(Some(Change { key, window: self.window, deleted }))
    }

    fn cells(&self, line: &str) -> BTreeMap<String, Option<String>> {
        let mut cells = BTreeMap::new();
        let _ = each_member(&mut Cursor::new(line), |cursor, name| {
            let mut inner = cursor.clone();
            if matches!(name, "Keys" | "NewImage") {
                salvage(&mut inner, &mut cells);
            }
            Ok(cursor.any().map(|_| ())?)
        });
        cells
    }

    fn failed_change(&self, line: &str) -> Option<Change> {
        let mut keys = None;
        let _ = each_member(&mut Cursor::new(line), |cursor, name| {
            match name {
                "Keys" => keys = Some(read_keys(cursor)?),
                _ => cursor.any().map(|_| ())?,
            }
            Ok(())
        });
        failed_change(&keys?, self.keys?, self.window)
    }
}

/// The names of the key attributes in a record that can be read, sorted.
pub(super) fn key_names(line: &str) -> Option<Vec<String>> {
    Some(read_record(line).ok()?.keys.into_keys().collect())
}
