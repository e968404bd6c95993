//! Gathers rows of documents into Arrow batches. A row costs only the attributes that it has, however many columns
//! there are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;

use super::column::{Column, Tag};
use super::names::Names;
use super::{Change, DELETED, KEY_HASH_1, KEY_HASH_2, RowFault, WINDOW};
use crate::error::{Context, Result};
use crate::stage::sink::COLUMN_LINE;

/// Rows after which a batch is written.
const BATCH_ROWS_MAX: usize = 65_536;
/// Bytes of values after which a batch is written, so that wide rows do not fill the memory.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// A top-level attribute as one builder knows it. A row is numbered from 1 in `last_row`.
struct Attribute {
    name: String,
    columns: [Option<u32>; Tag::ALL.len()],
    last_row: u64,
    /// The attribute that followed last time: items of one table mostly have the same order.
    next: u32,
}

/// Gathers rows of documents into batches. One worker's own.
pub(crate) struct DocumentBuilder {
    names: Arc<Names>,
    attributes: Vec<Attribute>,
    by_name: HashMap<String, u32>,
    columns: Vec<Column>,
    /// The line of each row.
    lines: Vec<u64>,
    changes: Option<Vec<Change>>,
    /// Columns that the open row has written to.
    touched: Vec<u32>,
    /// Rows begun since the builder was made, failed ones included.
    row_number: u64,
    previous: u32,
    bytes: usize,
}

impl DocumentBuilder {
    /// An empty builder. `in_chain`: every row will carry a [`Change`].
    pub(crate) fn new(names: Arc<Names>, in_chain: bool) -> Self {
        // The first attribute is none: it stands before each row's first and remembers which that was.
        let before = Attribute { name: String::new(), columns: [None; Tag::ALL.len()], last_row: 0, next: 0 };
        Self {
            names,
            attributes: vec![before],
            by_name: HashMap::new(),
            columns: Vec::new(),
            lines: Vec::new(),
            changes: in_chain.then(Vec::new),
            touched: Vec::new(),
            row_number: 1,
            previous: 0,
            bytes: 0,
        }
    }

    /// Opens an attribute of the current row.
    ///
    /// # Errors
    /// The row has the attribute already: nobody can tell which of the two is meant.
    pub(crate) fn attribute(&mut self, name: &str) -> Result<u32, RowFault> {
        let guess = self.attributes[self.previous as usize].next;
        let id =
            if guess != 0 && self.attributes[guess as usize].name == name { guess } else { self.find(name) };
        self.previous = id;
        let attribute = &mut self.attributes[id as usize];
        if attribute.last_row == self.row_number {
            let message = "the same attribute occurs twice".to_owned();
            return Err(RowFault { code: "parse", attribute: Some(name.to_owned()), message });
        }
        attribute.last_row = self.row_number;
        Ok(id)
    }

    fn find(&mut self, name: &str) -> u32 {
        let id = match self.by_name.get(name) {
            Some(id) => *id,
            None => {
                let id =
                    u32::try_from(self.attributes.len()).expect("the number of columns is limited far below");
                let columns = [None; Tag::ALL.len()];
                self.attributes.push(Attribute { name: name.to_owned(), columns, last_row: 0, next: 0 });
                self.by_name.insert(name.to_owned(), id);
                id
            }
        };
        self.attributes[self.previous as usize].next = id;
        id
    }

    /// The column that takes the attribute's value of type `tag` in the current row.
    ///
    /// # Errors
    /// More columns than a dataset may have (exit 4).
    pub(crate) fn column(&mut self, attribute: u32, tag: Tag) -> Result<&mut Column> {
        let known = self.attributes[attribute as usize].columns[tag as usize];
        let index = match known {
            Some(index) => index,
            None => self.add_column(attribute, tag)?,
        };
        self.touched.push(index);
        let rows = self.lines.len();
        let column = &mut self.columns[index as usize];
        column.pad(rows);
        self.bytes -= column.size();
        Ok(column)
    }

    fn add_column(&mut self, attribute: u32, tag: Tag) -> Result<u32> {
        let owner = &mut self.attributes[attribute as usize];
        let physical = self.names.physical(&owner.name, tag.name())?;
        let index = u32::try_from(self.columns.len()).expect("the number of columns is limited far below");
        self.columns.push(Column::new(&physical, &owner.name, tag));
        owner.columns[tag as usize] = Some(index);
        Ok(index)
    }

    /// The current row's value of an attribute that has one of the types a key can have.
    pub(crate) fn key_value(&self, name: &str) -> Option<(Tag, &[u8])> {
        let attribute = &self.attributes[*self.by_name.get(name)? as usize];
        if attribute.last_row != self.row_number {
            return None;
        }
        [Tag::S, Tag::N, Tag::B].into_iter().find_map(|tag| {
            let column = &self.columns[attribute.columns[tag as usize]? as usize];
            Some((tag, column.value(self.lines.len())?))
        })
    }

    /// Keeps the current row, which stood on a line (1-based). `change` is given exactly where the builder was made for a
    /// chain.
    pub(crate) fn keep(&mut self, line: u64, change: Option<Change>) {
        for index in self.touched.drain(..) {
            let column = &mut self.columns[index as usize];
            column.used = true;
            self.bytes += column.size();
        }
        if let (Some(changes), Some(change)) = (&mut self.changes, change) {
            changes.push(change);
        }
        self.lines.push(line);
        self.begin();
    }

    /// Gives the current row up: nothing of it stays.
    pub(crate) fn give_up(&mut self) {
        for index in self.touched.drain(..) {
            let column = &mut self.columns[index as usize];
            column.truncate(self.lines.len());
            self.bytes += column.size();
        }
        self.begin();
    }

    fn begin(&mut self) {
        self.row_number += 1;
        self.previous = 0;
    }

    /// Whether a batch is full.
    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Takes the rows gathered so far, if any, and goes on with empty columns. Columns are sorted by name, so that a
    /// file's schema does not depend on which item came first.
    ///
    /// # Errors
    /// None for what the readers write.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.lines.is_empty() {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        let rows = lines.len();
        self.bytes = 0;
        let line = Arc::new(Field::new(COLUMN_LINE, DataType::UInt64, false));
        let mut parts: Vec<(FieldRef, ArrayRef)> = vec![(line, Arc::new(UInt64Array::from(lines)))];
        parts.extend(self.changes.as_mut().map_or_else(Vec::new, change_columns));
        let reserved = parts.len();
        for column in self.columns.iter_mut().filter(|column| column.used) {
            let values =
                column.take(rows).or_failed(|| format!("cannot gather column {}", column.field.name()))?;
            parts.push((Arc::clone(&column.field), values));
        }
        parts[reserved..].sort_by(|a, b| a.0.name().cmp(b.0.name()));
        let (fields, arrays): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        batch.map(Some).or_failed(|| "cannot gather a batch of documents".to_owned())
    }
}

fn change_columns(changes: &mut Vec<Change>) -> Vec<(FieldRef, ArrayRef)> {
    let changes = std::mem::take(changes);
    let half = |shift: u32| changes.iter().map(|c| (c.key >> shift) as u64).collect::<UInt64Array>();
    let columns: [(&str, ArrayRef); 4] = [
        (KEY_HASH_1, Arc::new(half(64))),
        (KEY_HASH_2, Arc::new(half(0))),
        (WINDOW, Arc::new(changes.iter().map(|c| c.window).collect::<UInt32Array>())),
        (DELETED, Arc::new(changes.iter().map(|c| Some(c.deleted)).collect::<BooleanArray>())),
    ];
    columns
        .into_iter()
        .map(|(name, values)| (Arc::new(Field::new(name, values.data_type().clone(), false)), values))
        .collect()
}

#[cfg(test)]
mod tests;
