//! From a cell of an Arrow array to a [`Value`].
//!
//! Types and their meanings: <https://arrow.apache.org/docs/format/Columnar.html>.

use std::borrow::Cow;

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, DurationMicrosecondType, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::time::{Interval, Moment};
use super::{Number, Value};

/// An array whose type was looked at once, so that reading a cell is one match.
#[derive(Debug)]
pub enum Cells<'a> {
    /// UTF-8 with 32-bit offsets.
    Text(&'a StringArray),
    /// 64-bit integers, the most frequent ones.
    Int64(&'a arrow::array::Int64Array),
    /// Microseconds, with whether they are instants.
    Micros(&'a arrow::array::TimestampMicrosecondArray, bool),
    /// Everything else, looked at cell by cell.
    Other(&'a dyn Array),
}

impl<'a> Cells<'a> {
    /// Looks at an array's type.
    pub fn new(array: &'a dyn Array) -> Self {
        match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Int64 => Self::Int64(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Self::Micros(array.as_primitive(), zone.is_some())
            }
            _ => Self::Other(array),
        }
    }

    /// The value of a row; a NULL slot is [`Value::Null`].
    ///
    /// # Errors
    /// An Arrow type that has no value here, by name.
    pub fn value(&self, row: usize) -> Result<Value<'a>, String> {
        match self {
            Self::Text(array) if array.is_valid(row) => Ok(Value::Text(Cow::Borrowed(array.value(row)))),
            Self::Int64(array) if array.is_valid(row) => Ok(Value::Number(Number::from(array.value(row)))),
            Self::Micros(array, zoned) if array.is_valid(row) => Ok(moment(array.value(row), 1_000, *zoned)),
            Self::Text(_) | Self::Int64(_) | Self::Micros(..) => Ok(Value::Null),
            Self::Other(array) => value(*array, row),
        }
    }
}

fn int<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Value<'static>
where
    T::Native: Into<i128>,
{
    Value::Number(Number::from(array.as_primitive::<T>().value(row).into()))
}

fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize, unit_ns: i128, zoned: bool) -> Value<'static>
where
    T::Native: Into<i64>,
{
    moment(array.as_primitive::<T>().value(row).into(), unit_ns, zoned)
}

fn moment(units: i64, unit_ns: i128, zoned: bool) -> Value<'static> {
    // DuckDB's infinities of microsecond timestamps.
    let at = match units {
        i64::MAX => Moment::Infinity,
        x if x == -i64::MAX => Moment::NegInfinity,
        x => Moment::At(i128::from(x) * unit_ns),
    };
    Value::Timestamp { at, zoned }
}

/// The value of one cell; a NULL slot is [`Value::Null`].
///
/// # Errors
/// An Arrow type that has no value here, by name.
pub fn value(array: &dyn Array, row: usize) -> Result<Value<'_>, String> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(cast::<BooleanArray>(array).value(row)),
        DataType::Int8 => int::<Int8Type>(array, row),
        DataType::Int16 => int::<Int16Type>(array, row),
        DataType::Int32 => int::<Int32Type>(array, row),
        DataType::Int64 => int::<Int64Type>(array, row),
        DataType::UInt8 => int::<UInt8Type>(array, row),
        DataType::UInt16 => int::<UInt16Type>(array, row),
        DataType::UInt32 => int::<UInt32Type>(array, row),
        DataType::UInt64 => int::<UInt64Type>(array, row),
        DataType::Decimal128(_, scale) => {
            Value::Number(Number::from_scaled(cast::<Decimal128Array>(array).value(row), i32::from(*scale)))
        }
        DataType::Float32 => Value::Float32(cast::<Float32Array>(array).value(row)),
        DataType::Float64 => Value::Float64(cast::<Float64Array>(array).value(row)),
        DataType::Utf8 => Value::Text(Cow::Borrowed(cast::<StringArray>(array).value(row))),
        DataType::LargeUtf8 => Value::Text(Cow::Borrowed(cast::<LargeStringArray>(array).value(row))),
        DataType::Utf8View => Value::Text(Cow::Borrowed(cast::<StringViewArray>(array).value(row))),
        DataType::Binary => Value::Bytes(Cow::Borrowed(cast::<BinaryArray>(array).value(row))),
        DataType::LargeBinary => Value::Bytes(Cow::Borrowed(cast::<LargeBinaryArray>(array).value(row))),
        DataType::BinaryView => Value::Bytes(Cow::Borrowed(array.as_binary_view().value(row))),
        DataType::FixedSizeBinary(_) => {
            Value::Bytes(Cow::Borrowed(cast::<FixedSizeBinaryArray>(array).value(row)))
        }
        DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Time32(_)
        | DataType::Time64(_) => temporal(array, row),
        DataType::Interval(_) | DataType::Duration(_) => interval(array, row)?,
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.normalized_keys()[row];
            value(dictionary.values().as_ref(), key)?
        }
        _ => nested(array, row)?,
    })
}

fn cast<T: 'static>(array: &dyn Array) -> &T {
    array.as_any().downcast_ref().expect("the data type was matched")
}

fn temporal(array: &dyn Array, row: usize) -> Value<'static> {
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            Value::Date(match days {
                i32::MAX => Moment::Infinity,
                x if x == -i32::MAX => Moment::NegInfinity,
                x => Moment::At(x.into()),
            })
        }
        DataType::Date64 => Value::Date(Moment::At(
            i128::from(array.as_primitive::<Date64Type>().value(row)).div_euclid(86_400_000),
        )),
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            match unit {
                TimeUnit::Second => at::<TimestampSecondType>(array, row, 1_000_000_000, zoned),
                TimeUnit::Millisecond => at::<TimestampMillisecondType>(array, row, 1_000_000, zoned),
                TimeUnit::Microsecond => at::<TimestampMicrosecondType>(array, row, 1_000, zoned),
                TimeUnit::Nanosecond => at::<TimestampNanosecondType>(array, row, 1, zoned),
            }
        }
        DataType::Time32(TimeUnit::Second) => {
            Value::Time(i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1_000_000_000)
        }
        DataType::Time32(_) => {
            Value::Time(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            Value::Time(array.as_primitive::<Time64NanosecondType>().value(row))
        }
        _ => Value::Time(array.as_primitive::<Time64MicrosecondType>().value(row) * 1_000),
    }
}

fn interval(array: &dyn Array, row: usize) -> Result<Value<'static>, String> {
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let parts = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            if parts.nanoseconds % 1_000 != 0 {
                return Err("an interval finer than a microsecond".to_owned());
            }
            let (months, days) = (parts.months.into(), parts.days.into());
            Ok(Value::Interval(Interval { months, days, micros: parts.nanoseconds / 1_000 }))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
            Ok(Value::Interval(Interval { months: 0, days: 0, micros }))
        }
        other => Err(format!("the type {other} is not read")),
    }
}

fn nested(array: &dyn Array, row: usize) -> Result<Value<'_>, String> {
    let elements =
        |values: &'_ dyn Array, range: std::ops::Range<usize>| -> Result<Vec<Value<'static>>, String> {
            range.map(|i| value(values, i).map(Value::into_owned)).collect()
        };
    Ok(match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
            Value::List(elements(list.values().as_ref(), from..to)?)
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
            Value::List(elements(list.values().as_ref(), from..to)?)
        }
        DataType::FixedSizeList(_, size) => {
            let from = row * *size as usize;
            Value::List(elements(array.as_fixed_size_list().values().as_ref(), from..from + *size as usize)?)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let entries: Result<Vec<_>, String> = fields
                .iter()
                .zip(columns.columns())
                .map(|(field, column)| {
                    Ok((Value::Text(Cow::Owned(field.name().clone())), value(column.as_ref(), row)?))
                })
                .collect();
            Value::Map(entries?)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (from, to) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
            let names = elements(map.keys().as_ref(), from..to)?;
            let values = elements(map.values().as_ref(), from..to)?;
            Value::Map(names.into_iter().zip(values).collect())
        }
        other => return Err(format!("the type {other} is not read")),
    })
}
