//! Rows of a live table to Arrow batches: typed columns that each store's reader appends its cells to.
//!
//! How a type is carried is said once, in [`ColumnType`] and in [`field`]; a part's column remembers its type by name.

mod builder;
mod ranges;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::sink::{META_ATTRIBUTE, META_TYPE};
use crate::store::table::TableColumn;
use crate::value::column::ColumnType;

pub(crate) use builder::{CellFault, ColumnBuilder, TableBuilder};
pub(crate) use ranges::{Range, no_table, units};

/// The schema of a table's parts. Two columns of one name keep both (`Name`, `Name~2`): a query may give that.
pub(crate) fn schema(columns: &[TableColumn]) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for column in columns {
        // The engine has no empty names.
        let own = if column.name.is_empty() { "~" } else { &column.name };
        let mut physical = own.to_owned();
        let mut n = 2;
        // The engine takes names that differ in case alone for one.
        while fields.iter().any(|field| field.name().eq_ignore_ascii_case(&physical)) {
            physical = format!("{own}~{n}");
            n += 1;
        }
        fields.push(field(&physical, column));
    }
    Arc::new(Schema::new(fields))
}

fn field(physical: &str, column: &TableColumn) -> Field {
    let carried = match &column.ty {
        ColumnType::Int | ColumnType::BoolInt => DataType::Int64,
        ColumnType::UnsignedInt => DataType::UInt64,
        ColumnType::Decimal(size) => DataType::Decimal128(size.precision as u8, size.scale as i8),
        ColumnType::Float32 => DataType::Float32,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Bytes => DataType::Binary,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp { zoned } => {
            DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into()))
        }
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Number
        | ColumnType::Text
        | ColumnType::Untyped
        | ColumnType::LongTime
        | ColumnType::TimeTz
        | ColumnType::Interval
        | ColumnType::Uuid
        | ColumnType::Json
        | ColumnType::List(_)
        | ColumnType::Other(_) => DataType::Utf8,
    };
    let metadata = [(META_ATTRIBUTE, column.name.clone()), (META_TYPE, column.ty.to_string())];
    Field::new(physical, carried, true)
        .with_metadata(metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
