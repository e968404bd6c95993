//! Gathers a live table's rows into Arrow batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
    UInt64Builder,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::error::{Context, Result};
use crate::stage::sink::{Failure, PartWriter, UnitSink};

/// Rows after which a batch is written.
const BATCH_ROWS_MAX: usize = 16_384;
/// Bytes of values after which a batch is written, so that wide rows do not fill the memory.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// One column's cells. Each is appended with the method of its type, or with [`ColumnBuilder::null`].
pub(crate) enum ColumnBuilder {
    Int(Int64Builder),
    UnsignedInt(UInt64Builder),
    Decimal(Decimal128Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Bool(BooleanBuilder),
    /// Text, and whatever is carried as text.
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    /// Days since 1970-01-01; `i32::MAX` and its negative are the infinities.
    Date(Date32Builder),
    /// Microseconds since 1970; `i64::MAX` and its negative are the infinities.
    Timestamp(TimestampMicrosecondBuilder),
    /// Microseconds since midnight.
    Time(Time64MicrosecondBuilder),
}

impl ColumnBuilder {
    fn new(carried: &DataType) -> Self {
        match carried {
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::UInt64 => Self::UnsignedInt(UInt64Builder::new()),
            DataType::Decimal128(..) => {
                Self::Decimal(Decimal128Builder::new().with_data_type(carried.clone()))
            }
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(..) => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(carried.clone()))
            }
            DataType::Time64(_) => Self::Time(Time64MicrosecondBuilder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends NULL, whatever the type.
    pub(crate) fn null(&mut self) {
        match self {
            Self::Int(b) => b.append_null(),
            Self::UnsignedInt(b) => b.append_null(),
            Self::Decimal(b) => b.append_null(),
            Self::Float32(b) => b.append_null(),
            Self::Float64(b) => b.append_null(),
            Self::Bool(b) => b.append_null(),
            Self::Text(b) => b.append_null(),
            Self::Bytes(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::Time(b) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int(b) => Arc::new(b.finish()),
            Self::UnsignedInt(b) => Arc::new(b.finish()),
            Self::Decimal(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Bytes(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
        }
    }
}

/// Gathers rows of one schema and writes them to a unit's sink. One worker's own.
pub(crate) struct TableBuilder<'a> {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    /// By row: whether it stays. A row of which a cell could not be read does not.
    kept: Vec<bool>,
    bytes: usize,
    /// Whether nothing was written yet.
    is_empty: bool,
    sink: &'a UnitSink,
    part: PartWriter<'a>,
}

/// What is wrong with a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CellFault {
    /// The column's index.
    pub(crate) column: usize,
    /// What is wrong, in words that do not repeat the value.
    pub(crate) message: String,
}

impl<'a> TableBuilder<'a> {
    /// An empty builder; `schema` is [`super::schema`]'s.
    pub(crate) fn new(schema: SchemaRef, sink: &'a UnitSink) -> Self {
        let columns = schema.fields().iter().map(|field| ColumnBuilder::new(field.data_type())).collect();
        Self { schema, columns, kept: Vec::new(), bytes: 0, is_empty: true, sink, part: sink.part() }
    }

    /// The columns, to append one cell to each; [`TableBuilder::end_row`] follows.
    pub(crate) fn columns(&mut self) -> &mut [ColumnBuilder] {
        &mut self.columns
    }

    /// Ends a row of about so many bytes. A row with a fault is a failure with what could be read of it (`cells`); each of its
    /// columns has got a cell nevertheless.
    ///
    /// # Errors
    /// A sink that refuses; more failures than `--max-errors` allows.
    pub(crate) fn end_row(
        &mut self,
        bytes: usize,
        fault: Option<CellFault>,
        cells: impl FnOnce() -> BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.kept.push(fault.is_none());
        self.bytes += bytes;
        if let Some(CellFault { column, message }) = fault {
            let column = Some(self.schema.field(column).name().clone());
            self.sink.fail(Failure {
                line: None,
                column,
                code: "parse",
                message,
                cells: cells(),
                change: None,
            })?;
        }
        if self.kept.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        self.bytes = 0;
        if kept.is_empty() {
            return Ok(());
        }
        let arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let gather = || "cannot gather a batch of rows".to_owned();
        let mut batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).or_failed(gather)?;
        if kept.contains(&false) {
            batch = filter_record_batch(&batch, &BooleanArray::from(kept)).or_failed(gather)?;
        }
        self.is_empty = false;
        self.part.write(&batch)
    }

    /// Writes what is left. Without a row the columns are known all the same, and have to be seen.
    ///
    /// # Errors
    /// A sink that refuses.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush()?;
        if self.is_empty {
            self.part.write(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        }
        self.part.finish()
    }
}
