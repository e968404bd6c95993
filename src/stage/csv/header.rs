//! The columns of a CSV file, and how those of a dataset's other files must agree with the first one's.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::record::RawRecord;
use crate::error::{Error, Result};
use crate::stage::names::{physical_names, reserved};
use crate::stage::sink::{COLUMN_LINE, META_ATTRIBUTE};

/// A file's columns in the order of its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    names: Vec<String>,
    physical: Vec<String>,
}

impl Columns {
    /// Columns of these names; `place` says in an error where they stand.
    ///
    /// # Errors
    /// A name that is empty or occurs twice.
    pub(super) fn new(names: Vec<String>, place: &str) -> Result<Self> {
        if let Some(i) = names.iter().position(String::is_empty) {
            return Err(Error::failed(format!("{place} has an empty column name (cell {})", i + 1)));
        }
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&str> =
            names.iter().map(String::as_str).filter(|name| !seen.insert(*name)).collect();
        if !twice.is_empty() {
            let list: Vec<String> = twice.iter().map(|name| format!("`{name}`")).collect();
            return Err(Error::failed(format!("{place} has duplicate column names: {}", list.join(", ")))
                .help("each column needs a name of its own"));
        }
        if let Some(name) = reserved(names.iter().map(String::as_str)) {
            return Err(Error::failed(format!(
                "{place} has the column `{name}`, a name that recon uses itself"
            ))
            .help("give the column another name: recon's own begin with `__recon_`"));
        }
        Ok(Self { physical: physical_names(&names), names })
    }

    /// `c1`, `c2`, … for a file without names.
    pub(super) fn numbered(count: usize) -> Self {
        let names: Vec<String> = (1..=count).map(|i| format!("c{i}")).collect();
        Self { physical: names.clone(), names }
    }

    /// The names in a header record of `path`.
    ///
    /// # Errors
    /// A header that is broken, has empty or duplicate names, or holds the rows too, since no line feed ends it.
    pub(super) fn of_header(record: &RawRecord<'_>, path: &Path) -> Result<Self> {
        let place = format!("the header of {}", path.display());
        let mut names = Vec::with_capacity(record.cells.len());
        for (i, cell) in record.cells.iter().enumerate() {
            if cell.trailing {
                return Err(Error::failed(format!(
                    "{place} has text after the closing quote of cell {}",
                    i + 1
                )));
            }
            let name = std::str::from_utf8(&cell.bytes).map_err(|error| {
                Error::failed(format!("{place} is not UTF-8 (cell {})", i + 1)).caused_by(error)
            })?;
            if name.replace("\r\n", "").contains('\r') {
                return Err(Error::failed(format!(
                    "{place} holds a carriage return: the file's lines seem to end with that alone"
                ))
                .help("convert the file to lines that end with a line feed, as with `tr '\\r' '\\n'`"));
            }
            names.push(name.to_owned());
        }
        Self::new(names, &place)
    }

    /// These columns of `path` with the physical names that `model`, the columns of `first`, gives them.
    ///
    /// # Errors
    /// A column that only one of the two files has.
    pub(super) fn like(mut self, model: &Self, path: &Path, first: &Path) -> Result<Self> {
        let missing = |from: &Path, name: &str, other: &Path| {
            Error::failed(format!("{} has no column `{name}`, which {} has", from.display(), other.display()))
                .help("the files of one dataset need the same columns, in any order")
        };
        if let Some(name) = model.names.iter().find(|name| !self.names.contains(name)) {
            return Err(missing(path, name, first));
        }
        let known: HashMap<&str, &str> =
            model.names().iter().map(String::as_str).zip(model.texts()).collect();
        for (name, physical) in self.names.iter().zip(&mut self.physical) {
            let Some(theirs) = known.get(name.as_str()) else { return Err(missing(first, name, path)) };
            (*theirs).clone_into(physical);
        }
        Ok(self)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.physical.iter().map(String::as_str)
    }

    /// Their names, exactly as the file spells them.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Their names in the parts.
    pub(super) fn physical(&self) -> &[String] {
        &self.physical
    }

    /// The schema of the parts: text, typed later, and the line on which each row begins.
    pub(super) fn schema(&self) -> SchemaRef {
        let fields = self.names.iter().zip(&self.physical).map(|(name, physical)| {
            let field = Field::new(physical, DataType::Utf8, true);
            if name == physical {
                field
            } else {
                field.with_metadata(HashMap::from([(META_ATTRIBUTE.to_owned(), name.clone())]))
            }
        });
        let line = Field::new(COLUMN_LINE, DataType::UInt64, false);
        Arc::new(Schema::new(fields.chain(std::iter::once(line)).collect::<Vec<_>>()))
    }
}
