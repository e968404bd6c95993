//! One growing column of a document builder: an attribute's values of one type.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, NullBufferBuilder, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use crate::stage::sink::{META_ATTRIBUTE, META_TYPE};

/// DynamoDB's data types, as its JSON names them.
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// String.
    S,
    /// Number, as text.
    N,
    /// Binary, as base64.
    B,
    /// Boolean.
    Bool,
    /// The NULL type.
    Null,
    /// Map.
    M,
    /// List.
    L,
    /// Set of strings.
    Ss,
    /// Set of numbers.
    Ns,
    /// Set of binaries.
    Bs,
}

impl Tag {
    /// All of them; the place of each is its discriminant.
    pub const ALL: [Self; 10] =
        [Self::S, Self::N, Self::B, Self::Bool, Self::Null, Self::M, Self::L, Self::Ss, Self::Ns, Self::Bs];

    /// DynamoDB's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
            Self::Bool => "BOOL",
            Self::Null => "NULL",
            Self::M => "M",
            Self::L => "L",
            Self::Ss => "SS",
            Self::Ns => "NS",
            Self::Bs => "BS",
        }
    }

    /// The type of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| tag.name() == name)
    }

    /// How the column's values are stored.
    fn data_type(self) -> DataType {
        let list = |element| DataType::List(Arc::new(Field::new_list_field(element, true)));
        match self {
            Self::S | Self::N | Self::M | Self::L => DataType::Utf8,
            Self::B => DataType::Binary,
            Self::Bool | Self::Null => DataType::Boolean,
            Self::Ss | Self::Ns => list(DataType::Utf8),
            Self::Bs => list(DataType::Binary),
        }
    }
}

/// Values of one attribute and type. Rows without one are made null when the next value comes, or when it is taken.
///
/// A value is written into [`Column::bytes`] and closed with [`Column::end_value`]; what was written but not closed, or
/// closed in a row that is given up, [`Column::truncate`] takes back.
pub(crate) struct Column {
    /// How it is written.
    pub(crate) field: FieldRef,
    /// Whether any row that was kept has a value here.
    pub(crate) used: bool,
    tag: Tag,
    /// Rows that have a value or are null already. Counted here too, since this is asked for every value.
    rows: usize,
    nulls: NullBufferBuilder,
    bytes: Vec<u8>,
    /// Where each text or binary ends in `bytes`, after a leading 0. For sets: each element.
    ends: Vec<i32>,
    /// For sets: where each row's elements end in `ends`, after a leading 0.
    list_ends: Vec<i32>,
    flags: BooleanBufferBuilder,
}

impl Column {
    /// An empty column called `physical` for an attribute's values of one type.
    pub(crate) fn new(physical: &str, attribute: &str, tag: Tag) -> Self {
        let metadata = HashMap::from([
            (META_ATTRIBUTE.to_owned(), attribute.to_owned()),
            (META_TYPE.to_owned(), tag.name().to_owned()),
        ]);
        let field = Field::new(physical, tag.data_type(), true).with_metadata(metadata);
        Self {
            field: Arc::new(field),
            used: false,
            tag,
            rows: 0,
            nulls: NullBufferBuilder::new(0),
            bytes: Vec::new(),
            ends: vec![0],
            list_ends: vec![0],
            flags: BooleanBufferBuilder::new(0),
        }
    }

    /// Bytes that the values take.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Makes rows null until there are `rows`.
    pub(crate) fn pad(&mut self, rows: usize) {
        let missing = rows - self.rows;
        if missing == 0 {
            return;
        }
        self.rows = rows;
        self.nulls.append_n_nulls(missing);
        match self.tag {
            Tag::Bool | Tag::Null => self.flags.append_n(missing, false),
            Tag::Ss | Tag::Ns | Tag::Bs => repeat_last(&mut self.list_ends, missing),
            Tag::S | Tag::N | Tag::B | Tag::M | Tag::L => repeat_last(&mut self.ends, missing),
        }
    }

    /// Where the next text, binary or set element is written. Only text may go into a column of text.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Closes what was written as this row's value.
    pub(crate) fn end_value(&mut self) {
        self.end_element();
        self.close_row();
    }

    /// Closes what was written as an element of this row's set.
    pub(crate) fn end_element(&mut self) {
        // A batch is flushed long before 2 GB; one row adds less than a line's longest length.
        self.ends.push(i32::try_from(self.bytes.len()).expect("a batch stays below 2 GB"));
    }

    /// Closes this row's set.
    pub(crate) fn end_set(&mut self) {
        self.list_ends.push(i32::try_from(self.ends.len() - 1).expect("a batch stays below 2 GB"));
        self.close_row();
    }

    /// Sets this row's flag.
    pub(crate) fn flag(&mut self, value: bool) {
        self.flags.append(value);
        self.close_row();
    }

    fn close_row(&mut self) {
        self.rows += 1;
        self.nulls.append_non_null();
    }

    /// The value of row `row`, where it has one and it is a text or a binary.
    pub(crate) fn value(&self, row: usize) -> Option<&[u8]> {
        let (start, end) = (*self.ends.get(row)?, *self.ends.get(row + 1)?);
        self.nulls.is_valid(row).then(|| &self.bytes[start as usize..end as usize])
    }

    /// Takes back everything from row `rows` on, unfinished values included.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.nulls.truncate(rows);
        match self.tag {
            Tag::Bool | Tag::Null => self.flags.truncate(rows),
            Tag::Ss | Tag::Ns | Tag::Bs => {
                self.list_ends.truncate(rows + 1);
                self.ends.truncate(last(&self.list_ends) + 1);
            }
            Tag::S | Tag::N | Tag::B | Tag::M | Tag::L => self.ends.truncate(rows + 1),
        }
        self.bytes.truncate(last(&self.ends));
    }

    /// Takes the values as an array of `rows` rows and leaves the column empty.
    ///
    /// # Errors
    /// None for what the readers write; Arrow checks that text is text.
    pub(crate) fn take(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.pad(rows);
        self.rows = 0;
        let nulls = self.nulls.finish();
        if matches!(self.tag, Tag::Bool | Tag::Null) {
            return Ok(Arc::new(BooleanArray::new(self.flags.finish(), nulls)));
        }
        let is_set = matches!(self.tag, Tag::Ss | Tag::Ns | Tag::Bs);
        let bytes = Buffer::from_vec(taken(&mut self.bytes));
        let ends = taken(&mut self.ends);
        self.ends.push(0);
        let ends = OffsetBuffer::new(ends.into());
        let element_nulls = if is_set { None } else { nulls.clone() };
        let values: ArrayRef = match self.tag {
            Tag::B | Tag::Bs => Arc::new(BinaryArray::try_new(ends, bytes, element_nulls)?),
            _ => Arc::new(StringArray::try_new(ends, bytes, element_nulls)?),
        };
        if !is_set {
            return Ok(values);
        }
        let list_ends = OffsetBuffer::new(std::mem::replace(&mut self.list_ends, vec![0]).into());
        let DataType::List(element) = self.field.data_type() else { unreachable!("sets are lists") };
        Ok(Arc::new(ListArray::try_new(Arc::clone(element), list_ends, values, nulls)?))
    }
}

/// Takes a buffer and leaves one of the same size in its place, since the next batch will need as much.
fn taken<T>(buffer: &mut Vec<T>) -> Vec<T> {
    let capacity = buffer.len();
    std::mem::replace(buffer, Vec::with_capacity(capacity))
}

fn last(ends: &[i32]) -> usize {
    ends.last().map_or(0, |end| *end as usize)
}

fn repeat_last(ends: &mut Vec<i32>, times: usize) {
    let end = ends.last().copied().unwrap_or(0);
    ends.extend(std::iter::repeat_n(end, times));
}
